"""Settings: what a person chooses for a machine, from the environment and from one YAML file."""

import os
from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

SETTINGS_FILE = "CURATION_SETTINGS"
"""Environment variable that names the YAML file; `curation.yaml` in the working folder otherwise."""


class Settings(BaseSettings):
    """All settings. Each is `CURATION_<NAME>` in the environment or `<name>` in `curation.yaml`; the former wins.

    Credentials are not settings: they come from the environment as boto3 expects them.
    """

    model_config = SettingsConfigDict(env_prefix="CURATION_", extra="forbid", frozen=True)

    source: str = "https://data.commoncrawl.org/"
    """Where the crawl is: an HTTPS base URL, `s3://commoncrawl/`, or a local folder of the same layout."""

    lake: Path = Path("lake")
    """The folder that all tables are written to."""

    recipe: str = "fineweb"
    """A published recipe's name, or the path of a YAML file."""

    recipe_set: dict[str, Any] = Field(default_factory=dict)
    """Values that replace the recipe's, by dotted path or gate: {"extraction.extractor": "resiliparse"}."""

    warcs: int | None = Field(default=None, gt=0)
    """WARC files a snapshot: a deterministic sample of so many; all of them when unset."""

    sample_seed: int = 1
    """Seed of that sample."""

    workers: int = Field(default_factory=lambda: os.cpu_count() or 1, gt=0)
    """Worker processes; about 1 GB of memory each."""

    lists: Path | None = None
    """Folder of URL block lists in the UT1 layout; the small lists of the package when unset."""

    tokenizer: Path | None = None
    """A Hugging Face tokenizer.json for every snapshot; a tokenizer is trained on each snapshot when unset."""

    s3_signed: bool = False
    """Sign requests to S3 with the environment's credentials; the public bucket needs none."""

    s3_endpoint_url: str | None = None
    """An S3 endpoint other than Amazon's."""

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
        file = YamlConfigSettingsSource(settings_cls, yaml_file=os.environ.get(SETTINGS_FILE, "curation.yaml"))
        return init_settings, env_settings, file
