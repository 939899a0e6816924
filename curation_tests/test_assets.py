"""What a run's log says while a station is at work, and what an asset shows when it is done."""

import dagster as dg
import pytest

from curation_assets.assets import LogReporter, definition_metadata, engine_of, run_metadata, shown_metadata
from curation_assets.engine.local import LocalEngine
from curation_assets.engine.ray import RayEngine
from curation_assets.lake.station import Staged
from curation_assets.line import Line


class Clock:
    """Stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def logged(line: Line, parts: int, seconds_a_part: float) -> list[str]:
    """The log of `documents` over so many parts, each of a hundred records of which one is dropped."""
    clock, lines = Clock(), []
    (station,) = [station for station in line.stations if station.name == "documents"]
    progress = LogReporter(clock).progress(station, 2, lines.append)
    for done in range(parts + 1):
        clock.now = done * seconds_a_part
        progress(done, parts, {"rows_in": 100 * done, "rows_out": 99 * done, "dropped.http_status": done})
    return lines


def test_a_short_run_says_a_line_for_each_tenth(line: Line) -> None:
    lines = logged(line, 100, 0.01)
    assert len(lines) == 11
    assert lines[-1] == (
        "documents: part 100 of 100; 9,900 of 10,000 documents left; 10,000 documents read/s; 1 s so far; "
        "dropped most by http_status 100"
    )


def test_a_long_run_says_a_line_a_minute_and_when_it_will_end(line: Line) -> None:
    lines = logged(line, 90_000, 28.8)
    month_in_minutes = 30 * 24 * 60
    assert month_in_minutes * 0.6 < len(lines) <= month_in_minutes + 11
    assert (
        "part 45,000 of 90,000; 4,455,000 of 4,500,000 documents left; 3 documents read/s; 15 d so far; 15 d to go"
        in (next(line for line in lines if "part 45,000 " in line))
    )
    assert "; end about 20" in lines[5] and lines[5].endswith(" UTC")


def test_a_station_without_parts_says_each_phase_once(line: Line) -> None:
    lines: list[str] = []
    (station,) = [station for station in line.stations if station.name == "tokenizer"]
    progress = LogReporter(Clock()).progress(station, 2, lines.append)
    progress(0, 0, {}, "training")
    progress(0, 0, {}, "training")
    assert lines == ["tokenizer: training; 0 s so far"]


def test_a_runs_configuration_chooses_its_engine(line: Line) -> None:
    resource = {"engine": engine_of(line)}
    with dg.build_resources(resource) as chosen:
        assert isinstance(chosen.engine, LocalEngine)
        assert chosen.engine.workers == line.settings.workers
    with dg.build_resources(resource, resource_config={"engine": {"config": {"workers": 1}}}) as chosen:
        assert chosen.engine.workers == 1
    cluster = {"cluster": "ray://head:10001", "workers": 7}
    with dg.build_resources(resource, resource_config={"engine": {"config": cluster}}) as chosen:
        assert isinstance(chosen.engine, RayEngine)
        assert (chosen.engine.address, chosen.engine.workers) == ("ray://head:10001", 7)


def test_plots_are_seen_without_a_click_and_large_ones_are_optional(staged: dict[str, Staged]) -> None:
    shown = shown_metadata(staged["verdicts"], large_plots=True)
    assert len(shown["plot.funnel"].value) < 1000 < len(shown["plots_large"].value)
    assert "plots_large" not in shown_metadata(staged["verdicts"], large_plots=False)
    assert shown["dropped_documents"].records


def test_numbers_have_the_same_names_in_every_snapshot(staged: dict[str, Staged]) -> None:
    metadata = run_metadata(staged["verdicts"])
    assert metadata["yield"] + metadata["drop_share"] == 1
    assert metadata["documents_per_second"] > 0 and metadata["seconds"] > 0
    assert len(metadata["dropped_by"].value) < 1000
    assert 0 < run_metadata(staged["packed_sequences"])["fill"] <= 1


def test_a_picture_that_cannot_be_drawn_takes_nothing_back(
    staged: dict[str, Staged], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("curation_assets.assets.show_files", lambda staged: 1 / 0)
    assert shown_metadata(staged["minhash_signatures"], large_plots=True) == {}
    assert "cannot be shown" in caplog.text


def test_columns_are_said_to_be_what_the_contract_holds(line: Line) -> None:
    def constraints(name: str) -> dict[str, tuple[bool, bool]]:
        station = next(one for one in line.stations if one.name == name)
        columns = definition_metadata(station, line)["dagster/column_schema"].columns
        return {column.name: (column.constraints.nullable, column.constraints.unique) for column in columns}

    shards, languages = constraints("training_shards"), constraints("languages")
    assert shards["doc"] == (False, False), "a document that is cut lies in several sequences"
    assert languages["doc"] == (False, True)
    assert languages["language"][0] and not languages["language_score"][1]
