"""The record of ratios, and the page that is written from it."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from benchmarks import record

ROOT = Path(__file__).parents[2]
PAGE = runpy.run_path(str(ROOT / "docs" / "write_performance.py"))


def test_the_page_says_what_the_record_says() -> None:
    """Write it again with `python docs/write_performance.py`."""
    page = (ROOT / "docs" / "performance.md").read_text()
    assert PAGE["write"](page, record.read_record()) == page


def test_every_row_has_its_benchmark_and_every_entry_its_rows() -> None:
    for row in record.ROWS:
        assert (ROOT / "benchmarks" / f"{row.benchmark}.py").exists(), row
    for benchmark, entry in record.read_record().items():
        rows = {row.ratio: row.target for row in record.ROWS if row.benchmark == benchmark}
        assert {name: kept["target"] for name, kept in entry["ratios"].items()}.items() <= rows.items(), benchmark


def test_one_benchmark_refreshes_one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "record.json"
    kept.write_text(record.RECORD.read_text())
    before = record.read_record()
    answer = {
        "benchmark": "signals",
        "ours": 9e3,
        "peer": 45.0,
        "ratio": 200.04,
        "ratios": {"dolma": 21.0},
        "dclm": 7e3,
    }
    monkeypatch.setattr(record, "RECORD", kept)
    monkeypatch.setattr(record, "run", lambda benchmark, arguments: answer)
    monkeypatch.setattr(sys, "argv", ["record", "signals"])
    record.main()
    after = record.read_record()
    assert {name: entry for name, entry in after.items() if name != "signals"} == {
        name: entry for name, entry in before.items() if name != "signals"
    }
    assert after["signals"]["ratios"] == {"": {"ratio": 200, "target": 100}, "dolma": {"ratio": 21, "target": 40}}
    assert "45" not in json.dumps(after["signals"])  # no rate


def test_a_missed_target_is_seen() -> None:
    entry = {"refreshed": "2026-01-01", "ratios": {"": {"ratio": 99.0, "target": 100}}, "facts": {}}
    assert "99 ✗" in PAGE["table"]({"signals": entry})
    entry["ratios"][""]["ratio"] = 101.0
    assert "**101**" in PAGE["table"]({"signals": entry})


def test_without_pages_what_needs_them_is_skipped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["record", "fineweb"])
    before = record.RECORD.read_bytes()
    record.main()
    assert "skipped: needs real pages" in capsys.readouterr().out
    assert record.RECORD.read_bytes() == before
