"""The documents table: a row for everything, the right verdict, the same bytes with and without the sandbox."""

import csv
import gzip
import io
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from curation_assets.acquisition import documents, sandbox
from curation_assets.acquisition.documents import (
    BATCH_ROWS,
    DOCUMENTS,
    Extraction,
    read_documents,
    registered_domain,
    split_host,
)
from curation_tests.acquisition.warc_bytes import capture, http_block, member, name, record

CRAWL = Path(__file__).parents[3] / "shared/data/crawl"
PROSE = "The harbour town of Lindow keeps its market on the second Saturday of the month, and the ferry runs twice."


def page(text: str = PROSE, head: str = "") -> bytes:
    return (
        f'<!DOCTYPE html><html lang="en"><head><title>Market</title>{head}</head>'
        f"<body><main><p>{text}</p></main></body></html>"
    ).encode()


def table(
    data: bytes, part: int = 0, extraction: Extraction | None = None, sandboxed: bool = False
) -> list[dict[str, object]]:
    batches = list(read_documents(io.BytesIO(data), part, "a.warc.gz", extraction or Extraction(), sandboxed))
    found = pa.Table.from_batches(batches, schema=DOCUMENTS)
    found.validate(full=True)
    return found.to_pylist()


def one(
    block: bytes, extraction: Extraction | None = None, payload_type: str | None = "text/html"
) -> dict[str, object]:
    (row,) = table(member(record(1, block, payload_type=payload_type)), extraction=extraction)
    return row


def test_a_usable_page() -> None:
    block = http_block(page(), "Content-Type: text/html; charset=utf-8", "X-Robots-Tag: noai")
    first, second = table(b"".join([*capture(0), *capture(7, block)]), part=5)
    assert first["doc"] == 5 << 32
    assert second["date"].isoformat() == "2025-03-15T11:21:46+00:00"  # type: ignore[attr-defined]
    del second["date"]
    offset = sum(map(len, [*capture(0), capture(7, block)[0]]))
    assert second == {
        "doc": (5 << 32) + 1,
        "record_id": name(7),
        "url": "https://example.com/7",
        "host": "example.com",
        "registered_domain": "example.com",
        "warc_file": "a.warc.gz",
        "warc_offset": offset,
        "warc_length": len(capture(7, block)[1]),
        "http_status": 200,
        "mime": "text/html",
        "charset": "utf-8",
        "charset_source": "http",
        "html_bytes": len(page()),
        "title": "Market",
        "language_declared": "en",
        "consent": ["noai"],
        "text": PROSE,
        "verdict": None,
        "detail": None,
    }


PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256)) * 4


@pytest.mark.parametrize(
    ("block", "verdict", "detail"),
    [
        (page(), "http_malformed", "b'<!DOCTYPE html><html lang=\"en\"><'"),
        (http_block(page(), status="404 Not Found"), "http_status", "404"),
        (http_block(page(), status="301 Moved"), "http_status", "301"),
        (http_block(b""), "body_empty", None),
        (http_block(b" \r\n\t"), "body_empty", None),
        (http_block(PNG), "mime_not_html", "image/png"),
        (http_block(b"\x1f\x8b\x08" + b"\xff" * 90, "Content-Encoding: gzip"), "content_encoding_undecodable", None),
        (http_block(gzip.compress(bytes(9 << 20)), "Content-Encoding: gzip"), "record_too_large", None),
        (http_block(page() + b" " * (3 << 20)), "record_too_large", None),
        (http_block(b"<p>" + bytes([*range(1, 9), *range(128, 256)]) * 9), "charset_undecodable", None),
        (http_block(b"<html><body><script>f()</script></body></html>"), "text_empty", None),
    ],
)
def test_verdicts(block: bytes, verdict: str, detail: str | None) -> None:
    row = one(block, Extraction(max_html_bytes=2 << 20))
    assert row["verdict"] == verdict
    assert row["text"] is None
    if detail is not None:
        assert row["detail"] == detail


@pytest.mark.parametrize(
    ("identified", "content_type", "body", "mime", "usable"),
    [
        ("text/html", "application/pdf", page(), "text/html", True),
        ("application/pdf", "text/html", page(), "application/pdf", False),
        (None, "text/html; charset=utf-8", page(), "text/html", True),
        (None, "application/xhtml+xml", page(), "application/xhtml+xml", True),
        (None, "text/plain", page(), "text/plain", False),
        (None, "nonsense", page(), "text/html", True),
        (None, "", page(), "text/html", True),
        (None, "", page()[15:], "text/html", True),
        (None, "", PNG, "image/png", False),
        (None, "", b"%PDF-1.4\n1 0 obj", "application/pdf", False),
        (None, "", b"just some words", "text/plain", False),
    ],
)
def test_media_types(identified: str | None, content_type: str, body: bytes, mime: str, usable: bool) -> None:
    row = one(http_block(body, f"Content-Type: {content_type}"), payload_type=identified)
    assert (row["mime"], row["verdict"] is None) == (mime, usable)


def test_damage_is_rows_in_order() -> None:
    parts = [*capture(0, http_block(page())), *capture(1, http_block(page())), *capture(2, http_block(page()))]
    data = b"".join([*parts[:4], parts[4][:-8] + bytes(8), *parts[5:]])
    rows = table(data[:-120])
    assert [row["verdict"] for row in rows] == [None, "warc_damaged", None, "warc_truncated"]
    assert [row["doc"] for row in rows] == [0, 1, 2, 3]
    assert [row["http_status"] for row in rows] == [200, None, 200, None]


def test_batches_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"".join(member(record(i, http_block(page()))) for i in range(BATCH_ROWS + 76))
    assert [batch.num_rows for batch in read(data)] == [BATCH_ROWS, 76]
    monkeypatch.setattr(documents, "BATCH_TEXT_BYTES", 10 * len(PROSE))
    found = read(data)
    assert {batch.num_rows for batch in found} == {10}
    assert pa.Table.from_batches(found)["doc"].to_pylist() == list(range(BATCH_ROWS + 76))


def read(data: bytes) -> list[pa.RecordBatch]:
    return list(read_documents(io.BytesIO(data), 0, "a", Extraction(), sandboxed=False))


def hostile_factory(*_: object) -> sandbox.Function:
    from curation_tests.acquisition.hostile_functions import run

    def extract(head: bytes, body: sandbox.Buffer) -> tuple[bytes, bytes]:
        for command in ("sum", "segfault", "huge", "raise"):
            if f"please {command}".encode() in bytes(body):
                run(command.encode(), bytearray())
        return b'{"quirks": false}', b"<body>fine</body>"

    return extract


def test_hostile_pages_cost_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "make_extractor", hostile_factory)
    commands = ["", "sum", "", "segfault", "huge", "raise", ""]
    data = b"".join(member(record(i, http_block(page(f"please {c}")))) for i, c in enumerate(commands))
    rows = table(data, extraction=Extraction(cpu_seconds=0.3, memory_bytes=200 << 20), sandboxed=True)
    assert [row["verdict"] for row in rows] == [
        None,
        "extraction_timeout",
        None,
        "extraction_crashed",
        "extraction_memory",
        "extraction_failed",
        None,
    ]
    assert [row["record_id"] for row in rows] == [name(i) for i in range(7)]


def test_a_deep_page_takes_no_longer_than_others() -> None:
    # resiliparse's own extraction takes minutes for it.
    pages = [page(), b"<div>" * 50_000 + b"the lantern is still lit", page()]
    data = b"".join(member(record(i, http_block(html))) for i, html in enumerate(pages))
    rows = table(data, extraction=Extraction(cpu_seconds=2), sandboxed=True)
    assert [row["verdict"] for row in rows] == [None, None, None]
    assert rows[1]["text"] == "the lantern is still lit"


@pytest.mark.parametrize("extractor", ["resiliparse", "trafilatura"])
def test_the_sandbox_changes_nothing(extractor: str) -> None:
    pages = [page(PROSE * (1 + i % 7), "<meta name=robots content=noai>" if i % 5 == 0 else "") for i in range(40)]
    blocks = [http_block(html) for html in pages] + [http_block(b""), b"no header", http_block(b"<p>"), http_block(PNG)]
    data = b"".join(member(record(i, block)) for i, block in enumerate(blocks))
    extraction = Extraction.model_validate({"extractor": extractor})
    assert table(data, 3, extraction, sandboxed=True) == table(data, 3, extraction, sandboxed=False)


def test_parameters() -> None:
    assert Extraction.model_validate({"extractor": "trafilatura", "favour_precision": False}).cpu_seconds == 5
    for wrong in ({"extractor": "lynx"}, {"timeout": 1}, {"cpu_seconds": 0}, {"memory_bytes": 1}):
        with pytest.raises(ValidationError):
            Extraction.model_validate(wrong)


@pytest.mark.parametrize(
    ("url", "host", "domain"),
    [
        ("https://www.Example.co.uk/a?b", "www.example.co.uk", "example.co.uk"),
        ("https://user:secret@PORT.Example.com:8443/a/../b", "port.example.com", "example.com"),
        ("http://203.0.113.9:8080/", "203.0.113.9", None),
        ("http://[2001:db8::1]:80/x", "2001:db8::1", None),
        ("https://bücher.de/straße", "xn--bcher-kva.de", "xn--bcher-kva.de"),
        ("https://xn--bcher-kva.de./", "xn--bcher-kva.de", "xn--bcher-kva.de"),
        ("https://a_b.example.com/two words", "a_b.example.com", "example.com"),
        ("https://ex%61mple.com/", "example.com", "example.com"),
        ("https://someone.github.io/", "someone.github.io", "github.io"),
        ("https://example.com\\@evil.net/", "example.com", "example.com"),
        ("https://localhost/", "localhost", None),
        ("https://" + "ü" * 300 + ".de/", None, None),
        ("https:///path", None, None),
        ("dns:example.com", None, None),
        ("", None, None),
    ],
)
def test_hosts(url: str, host: str | None, domain: str | None) -> None:
    found = split_host(url)
    if len(url) < 200:
        assert found == host
        assert (registered_domain(found) if found else None) == domain
    else:
        assert found is not None
        assert found.isascii()


@given(st.text(), st.sampled_from(["https://", "http://[", "", "http://xn--", "http://a@", "http://%"]))
def test_any_url(text: str, start: str) -> None:
    host = split_host(start + text)
    if host is not None:
        assert host.isascii()
        registered_domain(host)


def test_the_suffix_list_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("network")

    monkeypatch.setattr("socket.socket.connect", refuse)
    registered_domain.cache_clear()
    documents._suffixes.cache_clear()
    assert registered_domain("a.b.example.co.uk") == "example.co.uk"


@pytest.mark.skipif(not CRAWL.exists(), reason="needs the shared crawl mirror")
def test_what_the_hostile_snapshot_must_contain() -> None:
    csv.field_size_limit(sys.maxsize)
    with (CRAWL / "tricky.csv").open(encoding="utf-8", newline="") as stream:
        expected = {row["record_id"]: row for row in csv.DictReader(stream) if row["record_id"]}
    rows: dict[object, dict[str, object]] = {}
    for number in (0, 1):
        (path,) = CRAWL.glob(f"crawl-data/CC-MAIN-2025-13/segments/*/warc/*-0000{number}.warc.gz")
        with path.open("rb") as stream:
            for batch in read_documents(stream, number, path.name, Extraction(cpu_seconds=3)):
                rows |= {row["record_id"]: row for row in batch.to_pylist()}
    assert len(rows) == 184 + 183
    assert expected.keys() <= rows.keys()
    missing = [
        expected[key]["what"]
        for key in expected
        if expected[key]["must_contain"] not in (rows[key]["text"] or "")  # type: ignore[operator]
    ]
    assert not missing


@pytest.mark.parametrize("data", [b"<html>404</html>", gzip.compress(b"<html>404</html>")], ids=["plain", "gzip"])
def test_a_file_that_is_no_warc_costs_only_itself(data: bytes) -> None:
    counts: list[str] = []
    batches = list(read_documents(io.BytesIO(data), 0, "a.warc.gz", Extraction(), False, counts.append))
    (row,) = [row for batch in batches for row in batch.to_pylist()]
    assert (row["verdict"], counts) == ("warc_damaged", ["damaged_regions", "refused_files"])
    assert "not a WARC" in row["detail"]
