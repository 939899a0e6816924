"""Whether the source is well."""

import json
from datetime import date
from pathlib import Path

import pytest

from curation_assets.acquisition.archive import LocalArchive
from curation_assets.acquisition.health import source_health
from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT

TODAY = date(2000, 2, 1)


def wrong(source: str, snapshot: str | None = SAMPLE_SNAPSHOT, today: date = TODAY) -> dict[str, str]:
    return {one.name: one.told for one in source_health(LocalArchive(source), snapshot, today) if not one.passed}


def test_a_source_that_has_what_is_wanted_is_well(sample: Path) -> None:
    assert wrong(str(sample)) == {}


def test_a_source_that_is_gone(tmp_path: Path) -> None:
    assert set(wrong(str(tmp_path / "none"))) == {"source_is_reachable", "snapshot_is_listed"}


def test_a_snapshot_that_is_not_listed(sample: Path) -> None:
    assert set(wrong(str(sample), "CC-MAIN-2031-01")) == {"snapshot_is_listed"}
    assert wrong(str(sample), None) == {}


def test_a_server_whose_newest_crawl_is_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a folder that is no fault: somebody put there what he wanted."""
    (tmp_path / "collinfo.json").write_text(json.dumps([{"id": SAMPLE_SNAPSHOT}]))
    late = date(2000, 6, 1)
    assert wrong(str(tmp_path), None, late) == {}
    monkeypatch.setattr(LocalArchive, "collections", lambda _: ((tmp_path / "collinfo.json").open("rb"), "a server"))
    source = "https://mirror.example/"
    assert wrong(source, None) == {}
    assert "150 days old" in wrong(source, None, late)["newest_snapshot_is_recent"]
