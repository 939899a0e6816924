"""Whether the source answers, and has what a run wants of it."""

from datetime import date

from curation_assets.acquisition.archive import Archive, ArchiveError
from curation_assets.lake.health import Finding

OLD_DAYS = 90
"""Common Crawl publishes about once a month: an online source whose newest crawl is older is no longer brought up to
date, or its list is an old copy."""


def source_health(archive: Archive, snapshot: str | None, today: date) -> list[Finding]:
    """Ask a source for its crawls and, with a snapshot, for that one's list of WARC files: two small requests."""
    findings = []
    try:
        listed = archive.snapshots()
    except ArchiveError as error:
        findings.append(Finding("source_is_reachable", False, str(error)))
    else:
        findings.append(Finding("source_is_reachable", True, f"{archive.source} lists {len(listed):,} snapshots"))
        findings.append(_newest(archive.source, listed, today))
    if snapshot is not None:
        try:
            files = len(archive.warc_files(snapshot))
            findings.append(Finding("snapshot_is_listed", files > 0, f"{snapshot} has {files:,} WARC files"))
        except ArchiveError as error:
            findings.append(Finding("snapshot_is_listed", False, str(error)))
    return findings


def _newest(source: str, listed: list[str], today: date) -> Finding:
    """How old the newest crawl is, by the year and ISO week in its name; of a local folder that is never wrong."""
    name = "newest_snapshot_is_recent"
    if not listed:
        return Finding(name, "://" not in source, "no snapshot is listed")
    try:
        year, week = map(int, listed[0].split("-")[2:4])
        days = (today - date.fromisocalendar(year, week, 1)).days
    except ValueError:
        return Finding(name, True, f"the newest is {listed[0]}, whose name says no week")
    return Finding(name, days <= OLD_DAYS or "://" not in source, f"the newest is {listed[0]}, {days:,} days old")
