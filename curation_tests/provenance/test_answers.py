"""What `curation explain` and `curation trace` print."""

import io

import polars as pl
import pytest
from rich.console import Console
from typer.testing import CliRunner

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.cli import answers, app
from curation_assets.cli.answers import marked, show_explanation
from curation_assets.lake.station import Staged
from curation_assets.line import Line
from curation_assets.provenance.explain import Explanation
from curation_assets.provenance.trace import Passage, trace


def invoke(line: Line, *arguments: str, width: int = 100) -> str:
    runner = CliRunner(env={"COLUMNS": str(width), "TERM": "dumb"})
    done = runner.invoke(app, [*arguments, "--lake", str(line.lake.root)])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def verdicts(line: Line, staged: dict[str, Staged]) -> pl.DataFrame:
    return pl.read_parquet(line.lake.partition(line.key("verdicts"), SAMPLE_SNAPSHOT).paths(".parquet"))


def test_explain_shows_every_gate(line: Line, verdicts: pl.DataFrame) -> None:
    record = verdicts.filter(pl.col("verdict") == "kept")["record_id"][0]
    shown = invoke(line, "explain", record.upper())
    for _, _, gate in line.recipe.gates:
        assert f" {gate.name} " in shown
    assert "fails" not in shown


def test_explain_says_that_there_was_no_text(line: Line, verdicts: pl.DataFrame) -> None:
    record = verdicts.filter(pl.col("station") == "acquisition")["record_id"][0]
    assert "no annotations: acquisition got no text" in invoke(line, "explain", record)


def test_a_narrow_terminal_cuts_no_name_and_no_url(line: Line, verdicts: pl.DataFrame) -> None:
    url = verdicts.filter(pl.col("verdict") == "kept").sort(pl.col("url").str.len_chars())["url"][-1]
    shown = invoke(line, "explain", url, width=40)
    assert "…" not in shown
    assert url in shown


def test_a_url_of_any_length_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://a.example/" + "x" * 3000
    verdict = dict.fromkeys(("value", "limit", "detail", "duplicate_of", "cluster_size", "date", "warc_file"))
    verdict |= {"url": url, "record_id": "<urn:uuid:1>", "verdict": "minhash_duplicate", "station": "minhash"}
    verdict |= {"duplicate_of": 1, "duplicate_of_url": url, "warc_file": "a", "warc_offset": 1, "warc_length": 2}
    screen = io.StringIO()
    monkeypatch.setattr(answers, "console", Console(file=screen, width=60))
    show_explanation(Explanation("CC-MAIN-2000-01", verdict, {}, [], []))
    assert screen.getvalue().replace("\n", "").count(url) == 2


def test_trace_marks_the_token(line: Line, staged: dict[str, Staged]) -> None:
    found = trace(line, SAMPLE_SNAPSHOT, 0, 0, 20)
    options = ("--shard", "0", "--sequence", "0", "--token", "20", "--fetch", "--source", line.settings.source)
    shown = invoke(line, "trace", *options, width=400)
    token = f"⟦{found.token_text}⟧"
    assert shown.count(token) == 2
    assert "approximate" not in shown


def test_a_terminal_shows_the_token_in_reverse(monkeypatch: pytest.MonkeyPatch) -> None:
    passage = Passage("the [red] ", "wat\x1ber", " in")
    monkeypatch.setattr(answers, "console", Console(file=io.StringIO(), force_terminal=True, color_system="standard"))
    text = marked(passage)
    assert text.plain == "the [red] wat\ufffder in"
    assert [(text.plain[span.start : span.end], span.style) for span in text.spans] == [("wat\ufffder", "reverse")]
    monkeypatch.setattr(answers, "console", Console(file=io.StringIO()))
    assert marked(passage).plain == "the [red] ⟦wat\ufffder⟧ in"
