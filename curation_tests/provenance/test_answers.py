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
from curation_assets.provenance.explain import Compared, Edit, Explanation
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
    verdict |= {"duplicate_of": 1, "warc_file": "a", "warc_offset": 1, "warc_length": 2}
    screen = io.StringIO()
    monkeypatch.setattr(answers, "console", Console(file=screen, width=60))
    kept = Compared("minhash_duplicates", False, 2, 1, 2, 1, None, url, None)
    show_explanation(Explanation("CC-MAIN-2000-01", verdict, compared=[kept]))
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


def test_what_a_page_says_is_harmless_in_its_story(monkeypatch: pytest.MonkeyPatch) -> None:
    """Markup is shown, control characters are not obeyed, a line of megabytes is cut."""
    verdict = dict.fromkeys(("value", "limit", "detail", "duplicate_of", "cluster_size", "date"))
    verdict |= {"url": "https://a.example/[red]", "record_id": "<urn:uuid:1>", "verdict": "kept", "station": None}
    verdict |= {"warc_file": "a\x1b[2J", "warc_offset": 1, "warc_length": 2}
    edits = [
        Edit("line_edits", None, b"[bold]\x1b]0;title\x07 \n\xff", ""),
        Edit("line_edits", None, b"x" * 5_000_000, ""),
        Edit("pii_spans", "email", b"someone@a.example", "email@example.com"),
    ]
    screen = io.StringIO()
    monkeypatch.setattr(answers, "console", Console(file=screen, width=60))
    show_explanation(Explanation("CC-MAIN-2000-01", verdict, edits=edits, corpus_bytes=3))
    shown = screen.getvalue()
    assert "[bold]" in shown and "https://a.example/[red]" in shown
    assert not set(shown) & {"\x1b", "\x07"}
    assert len(shown) < 2000
    assert "1 × email" in shown
    assert "someone@" not in shown


def test_a_host_has_its_counts(line: Line, verdicts: pl.DataFrame) -> None:
    kept = verdicts.filter(pl.col("verdict") == "kept")["url"]
    host = kept[0].split("/")[2]
    shown = invoke(line, "explain", host.upper(), width=40)
    assert f"{host} in {SAMPLE_SNAPSHOT}: " in shown
    assert min(url for url in kept if url.split("/")[2] == host) in shown


def test_what_is_not_there_is_told_with_what_is(line: Line, verdicts: pl.DataFrame) -> None:
    url = verdicts.filter(pl.col("verdict") == "kept")["url"][0]
    done = CliRunner(env={"COLUMNS": "100"}).invoke(app, ["explain", url + "zzz", "--lake", str(line.lake.root)])
    assert done.exit_code == 1
    assert f"it has {url}" in done.output
