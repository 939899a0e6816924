"""The command line as a person uses it."""

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.cli import app, printable
from curation_assets.lake.station import Staged
from curation_assets.line import Line

RUNNER = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"})


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without an instance or settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)


def options(line: Line) -> list[str]:
    return ["--lake", str(line.lake.root), "--set", "extraction.extractor=resiliparse"]


def test_run_makes_shards_and_says_where(sample: Path, tmp_path: Path) -> None:
    command = ["run", "--snapshot", SAMPLE_SNAPSHOT, "--source", str(sample), "--lake", str(tmp_path / "lake")]
    command += ["--workers", "2", "--warcs", "1", "--set", "extraction.extractor=resiliparse"]
    done = RUNNER.invoke(app, command)
    assert done.exit_code == 0, done.output
    shards = tmp_path / "lake" / "fineweb" / "training_shards" / SAMPLE_SNAPSHOT
    assert str(shards) in done.output.replace("\n", "")
    assert json.loads((shards / "manifest.json").read_text())["counts"]["tokens"] > 0
    again = RUNNER.invoke(app, command)
    assert again.exit_code == 0, again.output
    assert "nothing was redone" in again.output


def test_trace_prints_the_record_and_fetches_it(line: Line, staged: dict[str, Staged]) -> None:
    done = RUNNER.invoke(
        app,
        [
            "trace",
            "--shard",
            "0",
            "--sequence",
            "0",
            "--token",
            "3",
            "--fetch",
            "--source",
            line.settings.source,
            *options(line),
        ],
    )
    assert done.exit_code == 0, done.output
    for word in ("<urn:uuid:", "WARC file", "offset", "length", "the same text as in the lake"):
        assert word in done.output


def test_explain_tells_the_gate_and_its_value(line: Line, staged: dict[str, Staged]) -> None:
    verdicts = pl.read_parquet(line.lake.partition(line.key("verdicts"), SAMPLE_SNAPSHOT).paths(".parquet"))
    url = verdicts.filter(pl.col("verdict") == "gopher_short_doc")["url"][0]
    done = RUNNER.invoke(app, ["explain", url, *options(line)])
    assert done.exit_code == 0, done.output
    assert "dropped by gopher_quality: gopher_short_doc" in done.output
    assert "limit 50" in done.output


def test_funnel_counts_down_to_what_is_kept(line: Line, staged: dict[str, Staged]) -> None:
    done = RUNNER.invoke(app, ["funnel", *options(line)])
    assert done.exit_code == 0, done.output
    kept = line.lake.partition(line.key("corpus"), SAMPLE_SNAPSHOT).manifest().rows
    rows = [text for text in done.output.splitlines() if "minhash_duplicate" in text]
    assert f" {kept} " in rows[0]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["trace", "--shard", "0", "--sequence", "0", "--lake", "empty"], "holds no shards"),
        (["explain", "https://a.example/", "--lake", "empty"], "holds no verdicts"),
        (["funnel", "--recipe", "nonsense"], "published ones are"),
        (["funnel", "--set", "nonsense"], "name=value"),
        (["snapshots", "--source", "no-such-folder"], "no-such-folder"),
        (["run", "--snapshot", "CC-MAIN-2099-01", "--source", "no-such-folder"], "no-such-folder"),
    ],
)
def test_errors_say_what_to_do_without_a_traceback(command: list[str], message: str) -> None:
    done = RUNNER.invoke(app, command)
    assert done.exit_code == 1
    assert message in done.output.replace("\n", "")
    assert "Traceback" not in done.output


def test_help_teaches() -> None:
    done = RUNNER.invoke(app, ["--help"])
    for command in ("run", "trace", "explain", "funnel", "demo", "snapshots"):
        assert command in done.output


def test_a_page_cannot_command_the_terminal() -> None:
    assert printable("a\x1b[2Jb\x07c\u202ed") == "a\ufffd[2Jb\ufffdc\ufffdd"
