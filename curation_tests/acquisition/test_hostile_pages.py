"""Spoiled and hostile pages cost themselves only, in native code too; charsets decode as they are labelled."""

import io
import random
from collections import Counter
from functools import cache
from pathlib import Path

import pyarrow as pa
import pytest

from curation_assets.acquisition.decoding import decode_html
from curation_assets.acquisition.documents import DOCUMENTS, Extraction, read_documents
from curation_tests.acquisition.test_warc_fuzz import MUTATIONS
from curation_tests.acquisition.warc_bytes import http_block, member, record

SHARED = Path(__file__).parents[3] / "shared/data"
PROSE = "The harbour town of Lindow keeps its market on the second Saturday of the month, and the ferry runs twice. "
LIMITED = Extraction(cpu_seconds=1, memory_bytes=256 << 20, wall_seconds=60, max_html_bytes=4 << 20)

FATES = {
    *("charset_undecodable", "text_empty", "not_html", "http_error_status", "html_too_large", "no_payload"),
    *("extraction_timeout", "extraction_memory", "extraction_crashed", "extraction_failed", "http_malformed"),
}


def page(number: int) -> bytes:
    """A page with a good deal of structure; each says its own number."""
    body = "".join(
        f"<section id=s{part}><h2 class='a b'>Part {part} of {number}</h2><p>{PROSE * (1 + part % 3)}</p>"
        f"<ul><li><a href='/{part}?x=1&amp;y=&quot;'>caf&eacute; &#{8211 + part};</a><li>two</ul>"
        f"<table><tr><td>{part}<td><b>bold<i>both</b>italic</i></table><!-- note -- {part} --></section>"
        for part in range(number % 5 + 1)
    )
    return f"<!doctype html><html lang=en><head><title>Page {number}</title></head><body>{body}</body></html>".encode()


def rows(pages: list[bytes], extraction: Extraction) -> list[dict[str, object]]:
    data = b"".join(member(record(number, http_block(body))) for number, body in enumerate(pages))
    batches = list(read_documents(io.BytesIO(data), 0, "a.warc.gz", extraction))
    table = pa.Table.from_batches(batches, schema=DOCUMENTS)
    table.validate(full=True)
    return table.to_pylist()


@cache
def alone(number: int, extractor: str) -> object:
    (row,) = rows([page(number)], Extraction.model_validate({"extractor": extractor}))
    return row["text"]


@pytest.mark.parametrize(("extractor", "cases"), [("resiliparse", 1500), ("trafilatura", 150)])
def test_a_spoiled_page_is_a_row_and_changes_no_other(extractor: str, cases: int) -> None:
    chance = random.Random(cases)
    pages = []
    for number in range(cases):
        spoiled = page(number)
        for _ in range(chance.randint(1, 4)):
            spoiled = chance.choice(MUTATIONS)(chance, spoiled) or b"<"
        pages += [spoiled, page(number % 5)]
    found = rows(pages, Extraction.model_validate({"extractor": extractor}))
    assert len(found) == len(pages)
    for number, (spoiled, whole) in enumerate(zip(found[::2], found[1::2], strict=True)):
        assert whole["text"] == alone(number % 5, extractor)
        assert (spoiled["text"] is None) == (spoiled["verdict"] is not None)


HOSTILE = {
    "nested": b"<div>" * 200_000 + b"deep",
    "nested inline": b"<b><i>" * 100_000 + b"deep",
    "nested tables": b"<table><tr><td>" * 30_000,
    "nested lists": b"<ul><li>" * 60_000,
    "unclosed attribute": b"<p title='" + b"a" * 3_000_000,
    "many attributes": b"<p " + b" ".join(b"a%d=%d" % (at, at) for at in range(200_000)) + b">text",
    "entities": b"&amp;" * 500_000 + b"&#x110000;" * 100_000 + b"&" * 100_000,
    "comments": b"<!--" * 300_000,
    "cdata": b"<![CDATA[" * 200_000,
    "forms": b"<form><input>" * 150_000,
    "scripts": b"<script>" * 200_000,
    "template": b"<template>" * 100_000,
    "svg and math": b"<svg><math><mi><svg>" * 50_000,
    "misnested formatting": b"<a><b><p><table><i>" * 20_000,
    "nul": b"\0" * 1_000_000 + b"<p>" + PROSE.encode(),
    "one line": b"<p>" + b"word " * 700_000,
    "no markup": b"\xf0\x9f\x98\x80" * 700_000,
    "links": b"<a href=javascript:alert(1)>x</a>" * 100_000,
    "headings": b"<h1>" * 200_000,
    "select": b"<select><option>" * 100_000,
}


@pytest.mark.parametrize("extractor", ["resiliparse", "trafilatura"])
def test_pages_made_to_hurt_cost_themselves_only(extractor: str) -> None:
    """Nesting, size and repetition against the native parsers: each page ends within its bounds, the next is whole."""
    pages = [body for hostile in HOSTILE.values() for body in (b"<html><body>" + hostile, page(1))]
    found = rows(pages, LIMITED.model_copy(update={"extractor": extractor}))
    for name, hostile, whole in zip(HOSTILE, found[::2], found[1::2], strict=True):
        assert whole["text"] == alone(1, extractor), name
        assert (hostile["text"] is None) == (hostile["verdict"] is not None), name
        assert hostile["verdict"] is None or hostile["verdict"] in FATES, name
        assert len(str(hostile["text"] or "")) <= LIMITED.max_html_bytes


CODECS = {
    "windows-1250": "cp1250",
    "windows-1251": "cp1251",
    "windows-1252": "cp1252",
    "windows-1253": "cp1253",
    "windows-1254": "cp1254",
    "windows-1255": "cp1255",
    "windows-1256": "cp1256",
    "windows-1257": "cp1257",
    "windows-1258": "cp1258",
    "windows-874": "cp874",
    **{f"iso-8859-{part}": f"iso8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)},
    "koi8-r": "koi8-r",
    "koi8-u": "koi8-u",
    "macintosh": "mac-roman",
    "x-mac-cyrillic": "mac-cyrillic",
    "ibm866": "cp866",
    "shift_jis": "cp932",
    "euc-jp": "euc_jp",
    "iso-2022-jp": "iso2022_jp",
    "gbk": "gbk",
    "gb18030": "gb18030",
    "big5": "big5",
    "euc-kr": "euc_kr",
    "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be",
}
"""WHATWG encodings, and the Python codec that writes each."""


def encoded(text: str, codec: str) -> bytes | None:
    try:
        return text.encode(codec)
    except UnicodeEncodeError:
        return None


@pytest.mark.skipif(not SHARED.exists(), reason="needs the shared language data")
@pytest.mark.parametrize("label", CODECS)
def test_declarations_of_human_rights_in_legacy_charsets(label: str) -> None:
    """Every text of the UDHR that a charset can hold comes back, labelled by HTTP or by a meta element."""
    texts = {path.stem: path.read_text() for path in sorted((SHARED / "language/udhr").glob("*.txt"))}
    bodies = {name: body for name, text in texts.items() if (body := encoded(text, CODECS[label])) is not None}
    assert bodies
    for name, body in bodies.items():
        assert decode_html(body, label).text == texts[name], name
        meta = encoded(f'<meta charset="{label}">\n', "ascii") or b""
        if not label.startswith("utf-16"):
            assert decode_html(meta + body).text.partition("\n")[2] == texts[name], name


OTHERS = {
    "aut/example.arc.gz": {"warc_damaged": 1},
    "dolma/sample-0000.warc.gz": {"text": 22},
    "jwarc/cc.warc.gz": {"text": 1},
    "jwarc/gzip_extra_sl.warc.gz": {},
    "resiliparse/block-sized-records.warc": {},
    "resiliparse/block-sized-records.warc.gz": {},
    "resiliparse/block-sized-records.warc.lz4": {"warc_damaged": 1},
    "resiliparse/clipped.warc.gz": {"warc_truncated": 1},
    "resiliparse/warcfile.warc": {"text": 16},
    "resiliparse/warcfile.warc.gz": {"text": 16},
    "resiliparse/warcfile.warc.lz4": {"warc_damaged": 1},
    "warcio/bad.arc": {"warc_damaged": 1},
    "warcio/example-bad-non-chunked.warc.gz": {"warc_damaged": 1},
    "warcio/example-bad.warc.gz.bad": {"warc_damaged": 1},
    "warcio/example-digest.warc": {},
    "warcio/example-iana.org-chunked.warc": {"text": 1},
    "warcio/example-resource.warc.gz": {},
    "warcio/example-space-in-target-uri.warc.gz": {},
    "warcio/example-space-in-url.arc": {"warc_damaged": 1},
    "warcio/example-trunc.warc": {"text": 1},
    "warcio/example-wget-bad-target-uri.warc.gz": {"text": 1},
    "warcio/example-wrong-chunks.warc.gz": {"body_empty": 1, "warc_damaged": 2},
    "warcio/example.arc": {"warc_damaged": 1},
    "warcio/example.arc.gz": {"warc_damaged": 1},
    "warcio/example.warc": {"text": 1},
    "warcio/example.warc.gz": {"text": 1},
    "warcio/post-test.warc.gz": {"mime_not_html": 3},
    "webarchive-commons/org/archive/format/arc/IAH-20080430204825-00000-blackbook-truncated.arc": {"warc_damaged": 1},
    "webarchive-commons/org/archive/format/gzip/IAH-urls-wget.warc.gz": {
        "http_status": 9,
        "mime_not_html": 5,
        "text": 2,
    },
    "webarchive-commons/org/archive/format/gzip/abcd.gz": {"warc_damaged": 1},
    "webarchive-commons/org/archive/format/gzip/double-single-inflate-error.gz": {"warc_damaged": 1},
    "webarchive-commons/org/archive/format/gzip/empty.gz": {},
    "webarchive-commons/org/archive/format/gzip/hi-2.gz": {"warc_damaged": 1},
    "webarchive-commons/org/archive/format/gzip/hi.gz": {"warc_damaged": 1},
    "webarchive-commons/org/archive/format/warc/IAH-urls-wget.warc": {"http_status": 9, "mime_not_html": 5, "text": 2},
    "webarchive-commons/org/archive/format/warc/mutliple-headers.warc": {"text_empty": 1},
    "webarchive-commons/org/archive/resource/html/link-extraction-test.warc": {"text": 6, "warc_damaged": 1},
    "whirlwind-python/CC-MAIN-2024-22.warc.paths.gz": {"warc_damaged": 1},
    "whirlwind-python/whirlwind.warc": {"text": 1},
    "whirlwind-python/whirlwind.warc.gz": {"text": 1},
    "whirlwind-python/whirlwind.warc.wat": {},
    "whirlwind-python/whirlwind.warc.wat.gz": {},
    "whirlwind-python/whirlwind.warc.wet": {},
    "whirlwind-python/whirlwind.warc.wet.gz": {},
}
"""All files of other projects' tests, and what becomes of their responses; ARC, LZ4 and the like are told as such."""


@pytest.mark.skipif(not SHARED.exists(), reason="needs the shared WARC files")
def test_no_odd_file_is_left_out() -> None:
    files = [
        path for path in (SHARED / "warc").rglob("*") if path.is_file() and path.name not in ("LICENSE", "README.md")
    ]
    assert {str(path.relative_to(SHARED / "warc")) for path in files} == OTHERS.keys()


@pytest.mark.skipif(not SHARED.exists(), reason="needs the shared WARC files")
@pytest.mark.parametrize("name", OTHERS)
def test_the_odd_files_of_other_projects(name: str) -> None:
    with (SHARED / "warc" / name).open("rb") as stream:
        batches = list(read_documents(stream, 0, name, Extraction(), sandboxed=False))
    assert Counter(verdict or "text" for batch in batches for verdict in batch["verdict"].to_pylist()) == OTHERS[name]
