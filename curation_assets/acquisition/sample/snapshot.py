"""The embedded sample snapshot: `write_sample` makes a local mirror in Common Crawl's layout.

A few hundred invented pages in two segments of two WARC files: articles worth keeping, copies and near copies of
them, spam, other languages, opted-out pages, personal data, wrong labels, and two damaged records. Every gate of the
`fineweb` recipe that a document can fail drops at least one page first; `expected_outcomes` says which. Hosts lie
under the reserved top-level names of RFC 2606, addresses in the documentation ranges of RFC 5737.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from curation_assets.acquisition.sample import articles, broken, gates
from curation_assets.acquisition.sample.archive import Capture, capture_records, gzip_member, record_name, warcinfo
from curation_assets.acquisition.sample.page import Page
from curation_assets.acquisition.sample.prose import Draw

SAMPLE_SNAPSHOT = "CC-MAIN-2000-01"
"""The name of the sample; Common Crawl's own crawls begin in 2008."""

_START = datetime(2000, 1, 3, 8, 30, tzinfo=UTC)
_WINDOW = timedelta(hours=3)
_SEGMENTS = ("946888200417.26", "946899000583.74")
_FILES_PER_SEGMENT = 2
_NETWORKS = ("192.0.2", "198.51.100", "203.0.113")
_SERVERS = ("nginx", "Apache", "Apache/2.4 (Debian)", "lighttpd", "Caddy")


@cache
def pages() -> tuple[Page, ...]:
    """All pages of the sample in the order of their capture, each with its record id.

    A page that repeats another one comes after it.
    """
    english = list(articles.english())
    made = [
        *english,
        *articles.exact_copies(english),
        *articles.near_copies(english),
        *articles.templated(),
        *articles.personal(),
        *articles.foreign(),
        *gates.consent(),
        *gates.addresses(),
        *gates.gate_pages(),
        *broken.unusable(),
        *broken.awkward(),
        *broken.encoded(),
        *broken.damaged(),
    ]
    ordered = Draw("order").shuffled(made)
    # The truncated record must be the last of its file.
    ordered.sort(key=lambda page: page.damage == "truncated")
    place = {page.url: i for i, page in enumerate(ordered)}
    if len(place) != len(ordered):
        raise RuntimeError("two pages of the sample have one URL")
    for page in made:
        original, copy = place.get(page.copy_of, -1), place[page.url]
        if original > copy:
            ordered[original], ordered[copy] = page, ordered[original]
            place[page.url], place[page.copy_of] = original, copy
    return tuple(replace(page, record_id=record_name("response", page.url)) for page in ordered)


def expected_outcomes() -> dict[str, str]:
    """By record id, what a run of the `fineweb` recipe with resiliparse is to say: `kept` or the reason to drop it."""
    return {page.record_id: page.intent for page in pages()}


def write_sample(folder: Path) -> None:
    """Write the sample snapshot below `folder`, in the layout of the public bucket.

    The same bytes in every run (see `archive` on differences between zlib implementations). A file that is there
    already with the same content is left alone; others are written to a temporary name and renamed, the list of
    snapshots last.
    """
    for path, content in sample_files():
        _put(folder / path, content)


def sample_files() -> Iterator[tuple[str, bytes]]:
    """Path below the root and content of every file of the mirror."""
    paths = []
    for segment, captures in enumerate(_captures()):
        for number, pages_of_file in enumerate(captures):
            name = _file_name(segment, number)
            path = f"crawl-data/{SAMPLE_SNAPSHOT}/segments/{_SEGMENTS[segment]}/warc/{name}"
            paths.append(path)
            yield path, b"".join(_members(name, _START + segment * _WINDOW, pages_of_file))
    yield f"crawl-data/{SAMPLE_SNAPSHOT}/warc.paths.gz", gzip_member("".join(f"{path}\n" for path in paths).encode())
    collections = [
        {
            "id": SAMPLE_SNAPSHOT,
            "name": "January 2000 Index (embedded sample)",
            "timegate": f"https://index.sample.invalid/{SAMPLE_SNAPSHOT}/",
            "cdx-api": f"https://index.sample.invalid/{SAMPLE_SNAPSHOT}-index",
            "from": _START.strftime("%Y-%m-%dT%H:%M:%S"),
            "to": (_START + len(_SEGMENTS) * _WINDOW).strftime("%Y-%m-%dT%H:%M:%S"),
        }
    ]
    yield "collinfo.json", json.dumps(collections, indent=2).encode() + b"\n"


def _file_name(segment: int, number: int) -> str:
    start, end = (_START + (segment + i) * _WINDOW for i in (0, 1))
    return f"CC-MAIN-{start:%Y%m%d%H%M%S}-{end:%Y%m%d%H%M%S}-{number:05}.warc.gz"


def _captures() -> list[list[list[tuple[datetime, Page]]]]:
    """Pages with their dates, by segment and file; the files of a segment are written side by side."""
    all_pages = pages()
    half = -(-len(all_pages) // len(_SEGMENTS))
    step = _WINDOW.total_seconds() / (half + 1)
    made = []
    for segment in range(len(_SEGMENTS)):
        start = _START + segment * _WINDOW
        dated = [
            (start + timedelta(seconds=int((i + 1) * step)), page)
            for i, page in enumerate(all_pages[segment * half : (segment + 1) * half])
        ]
        # From the end, so that the last page of all is the last of the last file.
        made.append([dated[::-1][number::_FILES_PER_SEGMENT][::-1] for number in reversed(range(_FILES_PER_SEGMENT))])
    return made


def _members(filename: str, started: datetime, captures: list[tuple[datetime, Page]]) -> Iterator[bytes]:
    """The gzip members of one WARC file, damaged where the sample wants it."""
    yield gzip_member(warcinfo(SAMPLE_SNAPSHOT, filename, started))
    for date, page in captures:
        request, response, metadata = map(gzip_member, capture_records(_capture(page, date), filename))
        yield request
        if page.damage == "truncated":
            yield response[: len(response) * 3 // 5]
            return
        if page.damage == "corrupt":
            # A run of ones is no valid deflate data for long, and the checksum would not agree in any case.
            middle = len(response) * 3 // 5
            response = response[:middle] + b"\xff" * 64 + response[middle + 64 :]
        yield response
        yield metadata


def _capture(page: Page, date: datetime) -> Capture:
    host = page.url.split("/")[2]
    draw = Draw("fetch", host)
    size = len(page.body)
    fields = {
        "Date": date.strftime("%a, %d %b %Y %H:%M:%S GMT"),
        "Server": draw.pick(_SERVERS),
        "Content-Type": page.content_type,
        **({"X-Crawl-Content-Encoding": "gzip", "Vary": "Accept-Encoding"} if draw.below(2) else {}),
        "Content-Length": str(size),
        "Connection": "keep-alive",
        **dict(page.fields),
    }
    return Capture(
        url=page.url,
        record_id=page.record_id,
        date=date,
        status=page.status,
        fields=[(name, value) for name, value in fields.items() if value],
        body=page.body,
        payload_type=page.payload_type,
        charset=page.charset,
        language=page.language,
        address=f"{draw.pick(_NETWORKS)}.{1 + draw.below(254)}",
        fetch_ms=20 + size // 100 + Draw("time", page.url).below(400),
    )


def _put(path: Path, content: bytes) -> None:
    if path.is_file() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".sample-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        # mkstemp makes files for the owner's eyes only; these are ordinary ones.
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
