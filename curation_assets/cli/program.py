"""What the commands have in common: the program, its options, its settings and its errors."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from curation_assets.lake.lake import LakeError
from curation_assets.settings import Settings
from curation_assets.terminal import printable

if TYPE_CHECKING:
    from curation_assets.line import Line

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Common Crawl snapshots in, packed LLM training shards out.\n\n"
    "Options not given come from the environment (CURATION_SOURCE, CURATION_LAKE, ...) or from curation.yaml.",
)
console = Console()
errors = Console(stderr=True)

Source = Annotated[
    str | None, typer.Option(help="https://data.commoncrawl.org/, s3://commoncrawl/, or a local folder of that layout.")
]
LakeFolder = Annotated[Path | None, typer.Option("--lake", help="Folder that all tables are written to.")]
RecipeName = Annotated[str | None, typer.Option("--recipe", help="Published recipe, or the path of a YAML file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Replace a recipe's value: extraction.extractor=resiliparse, language_score=0.7."),
]
ClusterAddress = Annotated[
    str | None,
    typer.Option("--cluster", help="A Ray cluster that makes the parts: ray://host:10001, host:6379 or auto."),
]
Snapshot = Annotated[str | None, typer.Option(help="Such as CC-MAIN-2025-05; the newest in the lake by default.")]


@contextmanager
def plain_errors() -> Iterator[None]:
    """Errors that a person can act on, without a traceback."""
    try:
        yield
    except KeyboardInterrupt:
        errors.print("interrupted; run again to go on")
        raise typer.Exit(130) from None
    except Exception as error:
        if not isinstance(error, _explained()):
            raise
        message = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else error
        errors.print(f"[red]error:[/red] {escape(printable(str(message)))}", soft_wrap=True)
        raise typer.Exit(1) from error


def _explained() -> tuple[type[Exception], ...]:
    """Errors whose message is enough. What raises them is imported by then, or is not at work."""
    from curation_assets.acquisition.archive import ArchiveError
    from curation_assets.engine.local import EngineError
    from curation_assets.provenance.trace import TraceError
    from curation_assets.recipes.loading import RecipeError

    return ArchiveError, EngineError, LakeError, RecipeError, TraceError, ValueError, OSError


def line_of(**given: Any) -> "Line":
    """The line of `settings_of`; only commands that call this load all that it takes to run one."""
    from curation_assets.line import Line

    return Line(settings_of(**given))


def settings_of(**given: Any) -> Settings:
    """The settings with the options that were given in their place; `set` is a list of `name=value`."""
    overrides = {}
    for assignment in given.pop("set", None) or []:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise ValueError(f"--set takes name=value, not {assignment!r}")
        try:
            overrides[name] = json.loads(value)
        except json.JSONDecodeError:
            overrides[name] = value
    if overrides:
        given["recipe_set"] = overrides
    return Settings(**{name: value for name, value in given.items() if value is not None})


def recipe_name(settings: Settings) -> str:
    """The name of the recipe that settings speak of; the published ones need not be read to know it."""
    if (
        Path(__file__).parents[1] / "recipes" / f"{settings.recipe}.yaml"
    ).is_file() and "name" not in settings.recipe_set:
        return settings.recipe
    from curation_assets.recipes.loading import load_recipe

    return load_recipe(settings.recipe, settings.recipe_set).name


def newest(line: "Line") -> str:
    """The newest snapshot with shards in the lake. Raises `LakeError` when there is none."""
    known = line.lake.snapshots(line.key("training_shards"))
    if not known:
        raise LakeError(f"{line.lake.root} holds no shards of recipe {line.recipe.name} yet; see `curation run --help`")
    return known[-1]
