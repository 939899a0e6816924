"""The command that shows a table's contract."""

from pathlib import Path

from typer.testing import CliRunner

from curation_assets.cli import app
from curation_assets.lake.station import Staged
from curation_assets.line import Line


def shown(line: Line, *arguments: str) -> str:
    options = ["--lake", str(line.lake.root), "--set", "extraction.extractor=resiliparse"]
    done = CliRunner().invoke(app, ["contract", *arguments, *options], env={"COLUMNS": "200"})
    return f"{done.exit_code} {done.output}"


def test_it_lists_the_tables_and_shows_the_rules_with_what_was_found(line: Line, staged: dict[str, Staged]) -> None:
    assert "languages: " in shown(line)
    told = shown(line, "languages")
    assert "language_score is from 0 to 1" in told
    assert "resiliparse/languages/CC-MAIN-2000-01 keeps it: 370 rows" in told
    assert shown(line, "nothing").startswith("1 ")


def test_it_writes_data_docs(line: Line, staged: dict[str, Staged], tmp_path: Path) -> None:
    assert str(tmp_path / "docs" / "index.html") in shown(line, "languages", "--data-docs", str(tmp_path / "docs"))
    assert "kept, " in (tmp_path / "docs" / "index.html").read_text()
