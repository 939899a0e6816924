"""The embedded sample snapshot, and a lake that it was taken through, made once for all tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT, write_sample
from curation_assets.engine.local import LocalEngine
from curation_assets.lake.station import Staged
from curation_assets.line import Line
from curation_assets.settings import Settings

RESILIPARSE = {"extraction.extractor": "resiliparse"}


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
