"""The embedded sample snapshot, and a lake that it was taken through, made once for all tests."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT, write_sample
from curation_assets.engine.local import LocalEngine
from curation_assets.lake.station import Staged
from curation_assets.line import Line
from curation_assets.recipes.loading import published_recipes
from curation_assets.settings import Settings
from curation_tests.mirrors import add_snapshot, prose

RESILIPARSE = {"extraction.extractor": "resiliparse"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=10, help="how often test_survival kills a run (10)")


@pytest.fixture(scope="session")
def kills(pytestconfig: pytest.Config) -> int:
    """How often a run is killed."""
    return pytestconfig.getoption("--kills")


@pytest.fixture(scope="session", autouse=True)
def no_settings_of_this_machine() -> Iterator[None]:
    """Tests see the defaults, whatever the environment and the folder say."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("CURATION_")]:
            patch.delenv(name)
        patch.setenv("CURATION_SETTINGS", os.devnull)
        yield


@pytest.fixture(scope="session")
def engine() -> Iterator[LocalEngine]:
    with LocalEngine(2) as engine:
        yield engine


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A local mirror that holds the sample snapshot."""
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder)
    return folder


@pytest.fixture(scope="session")
def line(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Line:
    """The fineweb line over the sample, not run yet by itself; see `staged`."""
    lake = tmp_path_factory.mktemp("lake")
    return Line(Settings(source=str(sample), lake=lake, recipe_set=RESILIPARSE, workers=2))


@pytest.fixture(scope="session")
def staged(line: Line, engine: LocalEngine) -> dict[str, Staged]:
    """What each station of `line` did when it was run on the sample."""
    return {staged.station.name: staged for staged in line.run(SAMPLE_SNAPSHOT, engine)}


class Curated(NamedTuple):
    """A recipe's line after a run on a snapshot, and what each station did."""

    line: Line
    snapshot: str
    staged: dict[str, Staged]


EVERY_METHOD = Path(__file__).parent / "every_method.yaml"
"""A recipe with all methods, edits and weights: what the published ones never drop on the sample, it does."""

REPEATED_SNAPSHOT = "CC-MAIN-2000-02"
"""The sample with one of its files twice, and a page with something to mend and to mask."""


@pytest.fixture(scope="session")
def curated(sample: Path, tmp_path_factory: pytest.TempPathFactory, engine: LocalEngine) -> dict[str, Curated]:
    """Every published recipe on the sample, and `every_method` on more, all in one lake."""
    mirror, lake = tmp_path_factory.mktemp("mirror"), tmp_path_factory.mktemp("lakes")
    text = prose(1)
    text[3:3] = ["The cafÃ© was naÃ¯ve about that in winter.", "| | | |"]
    text[20:20] = ["For the people of the town, write to someone@company.example or to 8.8.4.4 in summer.", "| | | | |"]
    page = "".join(f"<p>{sentence}</p>" for sentence in text)
    add_snapshot(mirror, sample, REPEATED_SNAPSHOT, [0, 1, 2, 3, 0], [page])

    def curate(recipe: str, source: Path, snapshot: str) -> Curated:
        line = Line(Settings(source=str(source), lake=lake, recipe=recipe, recipe_set=RESILIPARSE, workers=2))
        return Curated(line, snapshot, {one.station.name: one for one in line.run(snapshot, engine)})

    runs = {recipe: curate(recipe, sample, SAMPLE_SNAPSHOT) for recipe in published_recipes()}
    return runs | {"every_method": curate(str(EVERY_METHOD), mirror, REPEATED_SNAPSHOT)}
