"""How stations stand while a run is at work, after it was killed, and after a change."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.engine.local import LocalEngine
from curation_assets.lake.lake import fingerprint, fingerprints
from curation_assets.lake.standing import Standing, standings
from curation_assets.lake.station import staging
from curation_assets.line import Line
from curation_assets.settings import Settings
from curation_tests.conftest import RESILIPARSE

Item = TypeVar("Item")
Result = TypeVar("Result")


class Killed(Exception):
    """What ends a run here instead of a signal."""


class Dying:
    """An engine that lives for so many parts."""

    def __init__(self, parts: int) -> None:
        self.parts = parts

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        for item in items:
            if self.parts == 0:
                raise Killed
            self.parts -= 1
            yield function(item)


def stand(line: Line) -> dict[str, Standing]:
    return {one.station.name: one for one in standings(line.stations, line.lake, SAMPLE_SNAPSHOT)}


@pytest.fixture
def begun(sample: Path, tmp_path: Path, engine: LocalEngine) -> Line:
    """A line whose run was killed when two of four parts of `languages` were made."""
    line = Line(Settings(source=str(sample), lake=tmp_path / "lake", recipe_set=RESILIPARSE))
    for station in line.stations[:2]:
        with staging(station, line.lake, SAMPLE_SNAPSHOT, engine) as staged:
            staged.publish()
    languages = next(station for station in line.stations if station.name == "languages")
    with pytest.raises(Killed), staging(languages, line.lake, SAMPLE_SNAPSHOT, Dying(2)):
        pass
    return line


def test_what_a_killed_run_had_finished_is_told_with_its_counters(begun: Line) -> None:
    found = stand(begun)
    assert [found[name].state for name in ("warc_files", "documents", "languages", "corpus")] == [
        *("current", "current"),
        *("missing", "missing"),
    ]
    staged = found["languages"].staged
    assert staged is not None and (staged.parts, staged.total) == (2, 4)
    assert 0 < staged.stats["rows_in"] < found["documents"].manifest.rows  # type: ignore[union-attr]
    assert staged.bytes and not staged.estimated
    assert found["languages"].holder is None


def test_a_part_that_is_cut_off_counts_for_nothing(begun: Line) -> None:
    partition = begun.lake.partition(begun.key("languages"), SAMPLE_SNAPSHOT)
    part = sorted(partition.staging.glob("part-*"))[0]
    part.write_bytes(part.read_bytes()[:-9])
    staged = stand(begun)["languages"].staged
    assert staged is not None and staged.parts == 1


def test_a_live_run_is_named(begun: Line, engine: LocalEngine) -> None:
    languages = next(station for station in begun.stations if station.name == "languages")
    with staging(languages, begun.lake, SAMPLE_SNAPSHOT, engine):
        holder = stand(begun)["languages"].holder
        assert holder is not None and holder.process.startswith("process ")
    assert stand(begun)["languages"].holder is None


def test_a_changed_limit_makes_what_follows_stale_and_nothing_before(
    staged: dict[str, object], line: Line, sample: Path
) -> None:
    assert {one.state for one in stand(line).values()} == {"current"}
    changed = Line(line.settings.model_copy(update={"recipe_set": {**RESILIPARSE, "language_score": 0.7}}))
    found = stand(changed)
    assert [found[name].state for name in ("signals", "filter_verdicts", "tokens")] == ["current", "stale", "stale"]
    assert found["filter_verdicts"].after is None
    assert found["minhash_signatures"].after == "filter_verdicts"


def test_hashing_what_is_common_once_changes_no_fingerprint() -> None:
    common, own = ["name", {"b": 1, "a": [2, "ü"]}], [[{"x": "1"}, {}], [None], [{"x": "2"}, {"y": 3}]]
    assert list(fingerprints(common, own)) == [fingerprint([*common, *one]) for one in own]
    with pytest.raises(ValueError, match="nothing"):
        list(fingerprints([], [[1]]))
