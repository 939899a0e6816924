"""SQL and what-if as a person uses them."""

import json
import re
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from rich.console import Console
from typer.testing import CliRunner

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.cli import app
from curation_assets.lake.station import Staged
from curation_assets.line import Line
from curation_assets.provenance.whatif import Fate, Sample
from curation_assets.terminal import CELL, answer_table, samples_table
from curation_tests.mirrors import table

RUNNER = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"})


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without settings."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def options(line: Line, staged: dict[str, Staged]) -> list[str]:
    return ["--lake", str(line.lake.root), "--set", "extraction.extractor=resiliparse"]


def printed(shown: object) -> str:
    console = Console(width=200, force_terminal=False, no_color=True)
    with console.capture() as capture:
        console.print(shown)
    return capture.get()


def test_sql_counts_verdicts(line: Line, options: list[str]) -> None:
    done = RUNNER.invoke(app, ["sql", "SELECT verdict, count(*) FROM verdicts GROUP BY ALL", *options])
    assert done.exit_code == 0, done.output
    shown = dict(re.findall(r"^(\w+) +(\d+) *$", done.output, re.MULTILINE))
    counted = table(line, "verdicts")["verdict"].value_counts().iter_rows()
    assert shown == {verdict: str(count) for verdict, count in counted}


def test_sql_without_a_statement_lists_the_views(options: list[str]) -> None:
    done = RUNNER.invoke(app, ["sql", *options])
    assert done.exit_code == 0, done.output
    for text in ("verdicts: 370 rows of 1 snapshot", "all gates that the document fails", "tokens: ", "warc_files: "):
        assert text in done.output


def test_sql_says_that_there_may_be_more(options: list[str]) -> None:
    done = RUNNER.invoke(app, ["sql", "SELECT * FROM range(2000)", *options])
    assert "1,000 rows, the limit" in done.output
    assert re.search(r"^ *999 *$", done.output, re.MULTILINE)
    assert not re.search(r"^ *1000 *$", done.output, re.MULTILINE)
    every = RUNNER.invoke(app, ["sql", "SELECT * FROM range(2000)", "--limit", "0", *options])
    assert re.search(r"^ *1999 *$", every.output, re.MULTILINE)
    assert "the limit" not in every.output


def test_sql_writes_a_file(options: list[str], tmp_path: Path) -> None:
    question = ["sql", "SELECT doc FROM verdicts ORDER BY doc", "--limit", "3"]
    done = RUNNER.invoke(app, [*question, "--output", "a.txt", "--format", "json", *options])
    assert done.exit_code == 0, done.output
    assert "3 rows in a.txt" in done.output
    assert [json.loads(row) for row in (tmp_path / "a.txt").read_text().splitlines()] == [
        {"doc": doc} for doc in range(3)
    ]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["sql", "DROP VIEW verdicts"], "this only reads"),
        (["sql", "SELECT * FROM verdict"], "Did you mean"),
        (["sql", "SELECT url::INT FROM verdicts"], "Conversion Error"),
        (["sql", "SELECT chr(27) || '[2J'; SELECT 2"], "one SELECT"),
        (["sql", "SELECT 1", "--format", "csv"], "--output"),
        (["sql", "SELECT 1", "--output", "a.xlsx"], "csv, json, parquet"),
        (["sql", "SELECT 1", "--recipe", "gopher"], "it holds fineweb: --recipe names one"),
        (["whatif", "--set", "minhash_duplicates.bands=20"], "bands is 20 and was 14"),
        (["whatif", "--snapshot", "CC-MAIN-1999-01"], "no verdicts of recipe fineweb for CC-MAIN-1999-01"),
        (["whatif", "--recipe", "gopher"], "no verdicts of recipe gopher yet"),
    ],
)
def test_errors_say_what_to_do(options: list[str], command: list[str], message: str) -> None:
    done = RUNNER.invoke(app, [*command, *options])
    assert done.exit_code == 1, done.output
    assert message in " ".join(done.output.split())
    assert "Traceback" not in done.output


def test_an_error_that_quotes_a_page_cannot_command_the_terminal(options: list[str]) -> None:
    done = RUNNER.invoke(app, ["sql", "SELECT (chr(27) || '[2J' || url)::INT FROM verdicts", *options])
    assert done.exit_code == 1
    assert "\x1b" not in done.output


def test_values_are_cut_and_harmless() -> None:
    hostile = "\x1b[2J[bold]\u202e" + "é" * 5 * CELL
    with duckdb.connect() as con:
        con.register("given", pa.table({"\x1b[31m[red]": [hostile, None], "n": [1, 2], "l": [["a\x07"], []]}))
        shown = printed(answer_table(con.sql("SELECT * FROM given")))
    assert not {"\x1b", "\u202e", "\x07"} & set(shown)
    assert "[bold]" in shown
    assert "[red]" in shown
    assert shown.count("é") == CELL - len("\x1b[2J[bold]\u202e")
    assert "…" in shown
    assert "null" in shown


def test_whatif_shows_both_funnels_and_samples(line: Line, options: list[str]) -> None:
    done = RUNNER.invoke(app, ["whatif", "--set", "gopher_short_doc=400", "--set", "list_ratio=null", *options])
    assert done.exit_code == 0, done.output
    text = " ".join(done.output.split())
    kept = table(line, "corpus").height
    for told in (
        "gopher_short_doc: words_nonsymbol < 400; it was words_nonsymbol < 50",
        "list_ratio: gone; it was list_ratio > 0.3",
        f"fineweb on {SAMPLE_SNAPSHOT}: 370 response records",
        f"Kept: {kept} documents were, ",
        "Lost, for example:",
        ", limit 400",
        "a run would keep some of these instead",
    ):
        assert told in text, told


def test_whatif_says_what_is_not_known(options: list[str]) -> None:
    done = RUNNER.invoke(app, ["whatif", "--set", "list_ratio=null", "--samples", "1", *options])
    text = " ".join(done.output.split())
    for told in ("more that would be compared first", "never compared with others", "compared by minhash_duplicates"):
        assert told in text, told
    same = RUNNER.invoke(app, ["whatif", *options])
    assert f"No gate differs from those that decided {SAMPLE_SNAPSHOT}" in same.output


def test_a_sample_cannot_command_the_terminal() -> None:
    fate = Fate("url_domain", "url_filter", 1.0, 0.0)
    shown = printed(
        samples_table([Sample(1, "https://a.example/\x1b[2J[red]", fate, fate), Sample(2, None, fate, fate)])
    )
    assert "\x1b" not in shown
    assert "[red]" in shown
