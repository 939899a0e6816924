"""Settings: what a person chooses for a machine, from the environment and from one YAML file."""

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import pydantic_settings
import yaml
from pydantic import AfterValidator, DirectoryPath, Field, FilePath, ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from curation_assets.engine.ray import checked_address

PREFIX = "CURATION_"
SETTINGS_FILE = "CURATION_SETTINGS"
"""Environment variable that names the YAML file; `curation.yaml` in the working folder otherwise."""

OTHER_VARIABLES = (SETTINGS_FILE, "CURATION_STATE")
"""Variables that are no settings: `dagster.yaml` keeps the instance's state in the folder CURATION_STATE."""


class SettingsError(ValueError):
    """A setting is unknown, or has a value that is not allowed; the message says where, and what is allowed."""


class Settings(BaseSettings):
    """All settings. Each is `CURATION_<NAME>` in the environment or `<name>` in `curation.yaml`; the former wins.

    Credentials are not settings: they come from the environment as boto3 expects them. Making them raises
    `SettingsError`.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, use_attribute_docstrings=True)

    source: str = "https://data.commoncrawl.org/"
    """Where the crawl is: an HTTPS base URL, `s3://commoncrawl/`, or a local folder of the same layout."""

    lake: Path = Path("lake")
    """The folder that all tables are written to."""

    recipe: str = "fineweb"
    """A published recipe's name, or the path of a YAML file."""

    recipes: tuple[str, ...] = ()
    """Further recipes that Dagster shows beside it; tables that depend only on the pages are shared."""

    recipe_set: dict[str, Any] = Field(default_factory=dict)
    """Values that replace the recipe's, by dotted path or gate: {"extraction.extractor": "resiliparse"}."""

    warcs: int | None = Field(default=None, gt=0)
    """WARC files a snapshot: a deterministic sample of so many; all of them when unset."""

    sample_seed: int = 1
    """Seed of that sample."""

    exclude_warcs: tuple[str, ...] = ()
    """Paths of WARC files that are left out, as `warc.paths.gz` lists them."""

    workers: int = Field(default_factory=lambda: os.cpu_count() or 1, gt=0)
    """Worker processes; about 1 GB of memory each."""

    cluster: Annotated[str, AfterValidator(checked_address)] | None = None
    """A Ray cluster whose workers make the parts: `ray://host:10001`, or `host:6379` or `auto` on one of its nodes;
    processes of this machine when unset."""

    lists: DirectoryPath | None = None
    """Folder of URL block lists in the UT1 layout; the small lists of the package when unset."""

    tokenizer: FilePath | None = None
    """A Hugging Face tokenizer.json for every snapshot; a tokenizer is trained on each snapshot when unset."""

    s3_signed: bool = False
    """Sign requests to S3 with the environment's credentials; Common Crawl's own bucket takes no others."""

    s3_endpoint_url: str | None = None
    """An S3 endpoint other than Amazon's."""

    verify: bool = False
    """Compare every file of the lake with the hash in its manifest before it is read, and not only when that fails."""

    def __init__(self, **values: Any) -> None:
        known = [*(PREFIX + name.upper() for name in type(self).model_fields), *OTHER_VARIABLES]
        for variable in _ours():
            if variable.upper() not in known:
                raise SettingsError(f"{variable} in the environment is no setting{_nearest(variable.upper(), known)}")
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingsError("\n".join(_explained(fault, values) for fault in error.errors())) from None
        except pydantic_settings.SettingsError as error:
            raise SettingsError(
                f"CURATION_RECIPE_SET or CURATION_RECIPES in the environment is no JSON: {error.__cause__}; "
                """write '{"language_score": 0.7}' or '["refinedweb"]'"""
            ) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, the environment over the file."""
        return init_settings, env_settings, InitSettingsSource(settings_cls, _read(settings_file()))


def settings_file() -> Path | None:
    """The YAML file that settings come from, if there is one; raises `SettingsError` when a named one is missing."""
    named = os.environ.get(SETTINGS_FILE)
    if named and not Path(named).exists():
        raise SettingsError(f"{SETTINGS_FILE} in the environment names {named}, which does not exist")
    path = Path(named or "curation.yaml")
    return path.absolute() if path.exists() else None


def _read(path: Path | None) -> dict[str, Any]:
    """The settings in a YAML file, by name; their values are not looked at."""
    if path is None:
        return {}
    try:
        content = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError) as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise SettingsError(f"{path}{line} is no YAML: {problem or error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"{path} must hold lines of the form `name: value`, not {type(content).__name__}")
    for name in content:
        if name not in Settings.model_fields:
            raise SettingsError(f"{path}: {name} is no setting{_nearest(str(name), Settings.model_fields)}")
    return content


def _ours() -> list[str]:
    return sorted(name for name in os.environ if name.upper().startswith(PREFIX))


def _nearest(name: str, known: Iterable[str]) -> str:
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"


def _explained(fault: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """One fault that pydantic found, in words: where the value is from, what it is, and what is allowed."""
    name = str(fault["loc"][0])
    field = Settings.model_fields.get(name)
    if field is None:
        return f"{name} is no setting{_nearest(name, Settings.model_fields)}"
    variable = next((variable for variable in _ours() if variable.upper() == PREFIX + name.upper()), None)
    if name in given:
        where = name
    elif variable is not None:
        where = f"{variable} in the environment"
    else:
        where = f"{settings_file()}: {name}"
    allowed = fault["msg"][:1].lower() + fault["msg"][1:]
    return f"{where}: {str(fault['input'])!r} is not allowed: {allowed}. {name} is: {field.description}"
