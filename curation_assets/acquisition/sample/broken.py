"""Responses as the web really sends them: errors, other media types, wrong labels, odd encodings, damaged records."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

from curation_assets.acquisition.sample.archive import gzip_stored
from curation_assets.acquisition.sample.articles import article_html
from curation_assets.acquisition.sample.furniture import Site, page_html, text_html
from curation_assets.acquisition.sample.page import KEPT, Page, html_page
from curation_assets.acquisition.sample.prose import Draw, Story, story

_TOPIC = {
    "error 404 with an article": "harbour",
    "no header at all": "bread",
    "notes.txt": "maps",
    "wrong charset label": "bicycles",
    "chunks left in place": "astronomy",
    "chunks announced and not sent": "rivers",
    "gzip left in place": "markethall",
    "gzip announced and not sent": "allotment",
    "length too small": "handtools",
    "no content type": "mathematics",
    "three thousand open elements": "wool",
    "byte order mark and zeros": "lighthouse",
    "utf-16 with byte order mark": "bridges",
    "windows-1252 punctuation": "birds",
    "corrupt record": "sleep",
    "truncated record": "theatre",
}

_PDF = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n"
_JSON = '{"items": [{"name": "lamp", "price": 12}, {"name": "rope", "price": 7}]}'
_APP = (
    "<!DOCTYPE html><html><head><title>App</title></head>"
    '<body><div id="root"></div><script src="/app.js"></script></body></html>'
)

SITE = Site("www.leaky-roof.example", "Leaky Roof", "blog")


@cache
def _told(name: str, language: str = "") -> Story:
    draw = Draw("broken", name)
    return story(f"other/{language}", draw, 5) if language else story(f"en/{_TOPIC[name]}", draw, way=13)


def _html(name: str, language: str = "", head: str = "") -> str:
    return article_html(SITE, _told(name, language), Draw("broken", name, "page"), language or "en", head)


def _page(name: str, intent: str, html: str | bytes, **more: Any) -> Page:
    page = html_page(SITE, name.replace(" ", "-"), intent, name, "")
    return replace(page, body=html if isinstance(html, bytes) else html.encode(), **more)


def _labelled(html: str, charset: str) -> str:
    """The page with another charset in its meta element; without one if `charset` is empty."""
    return html.replace('<meta charset="utf-8">', f'<meta charset="{charset}">' if charset else "")


def unusable() -> Iterator[Page]:
    """Responses that acquisition refuses."""
    missing = page_html(
        SITE, "Not found", text_html("Not found", ["There is no page here. Perhaps it has moved."]), draw=Draw("404")
    )
    yield _page("error 404", "http_status", missing, status="404 Not Found")
    yield _page("error 404 with an article", "http_status", _html("error 404 with an article"), status="404 Not Found")
    yield _page(
        "moved", "http_status", "<html><head><title>301</title></head><body><h1>Moved</h1></body></html>",
        status="301 Moved Permanently", fields=(("Location", "https://www.leaky-roof.example/new"),),
    )  # fmt: skip
    yield _page(
        "error 503", "http_status", "<html><body>Back in a moment.</body></html>", status="503 Service Unavailable"
    )
    yield _page("no header at all", "http_malformed", _html("no header at all"), status="")
    yield _page("empty body", "body_empty", b"", language=None)
    yield _page("only white space", "body_empty", b"\r\n \r\n", language=None)
    pixels = b"".join(b"\x00" + bytes((x * y) % 256 for x in range(48)) for y in range(16))
    yield _page("picture called html", "mime_not_html", _png(16, 16, pixels), language=None)
    yield _page(
        "minutes.pdf", "mime_not_html", _PDF,
        content_type="application/pdf", payload_type="application/pdf", language=None,
    )  # fmt: skip
    yield _page(
        "data.json", "mime_not_html", _JSON,
        content_type="application/json", payload_type="application/json", language=None,
    )  # fmt: skip
    yield _page(
        "notes.txt", "mime_not_html", "\n\n".join(_told("notes.txt").paragraphs),
        content_type="text/plain; charset=UTF-8", payload_type="text/plain",
    )  # fmt: skip
    # The first block is of a type that does not exist.
    ruined = gzip_stored(b"")[:10] + b"\xff" * 60
    yield _page("ruined gzip body", "content_encoding_undecodable", ruined, fields=(("Content-Encoding", "gzip"),))
    yield _page("page without text", "text_empty", _APP, language=None)


def awkward() -> Iterator[Page]:
    """English pages that a careful reader gets right, whatever their headers say."""
    name = "wrong charset label"
    html = _html(name).replace(
        "</h1>", "</h1><p>The café by the pier is naïve about its prices – “half a crown”, says the menu.</p>", 1
    )
    yield _page(name, KEPT, html, content_type="text/html; charset=ISO-8859-1")
    name = "chunks left in place"
    yield _page(
        name, KEPT, _chunked(_html(name).encode()), fields=(("Transfer-Encoding", "chunked"), ("Content-Length", ""))
    )
    name = "chunks announced and not sent"
    yield _page(name, KEPT, _html(name), fields=(("Transfer-Encoding", "chunked"), ("Content-Length", "")))
    name = "gzip left in place"
    yield _page(name, KEPT, gzip_stored(_html(name).encode()), fields=(("Content-Encoding", "gzip"),))
    name = "gzip announced and not sent"
    yield _page(name, KEPT, _html(name), fields=(("Content-Encoding", "gzip"),))
    name = "length too small"
    yield _page(name, KEPT, _html(name), fields=(("Content-Length", "312"),))
    name = "no content type"
    yield _page(name, KEPT, _html(name), content_type="")
    name = "three thousand open elements"
    yield _page(name, KEPT, _html(name).replace("</main>", "</main>" + "<div><span>" * 1500, 1))
    name = "byte order mark and zeros"
    yield _page(name, KEPT, b"\xef\xbb\xbf" + _html(name).replace("<p>", "<p>\0", 1).encode())
    name = "utf-16 with byte order mark"
    html = _labelled(_html(name), "")
    yield _page(name, KEPT, b"\xff\xfe" + html.encode("utf-16-le"), content_type="text/html", charset="UTF-16LE")
    name = "windows-1252 punctuation"
    html = _labelled(_html(name), "iso-8859-1").replace(
        "</h1>", "</h1><p>“Don’t hurry”, it says – and the ticket is 5 €.</p>", 1
    )
    body = html.encode("cp1252", "xmlcharrefreplace")
    yield _page(name, KEPT, body, content_type="text/html; charset=ISO-8859-1", charset="windows-1252")


def encoded() -> Iterator[Page]:
    """Pages in other languages and in encodings of their own; where they are declared varies."""
    cases = (
        ("windows-1251 in the header", "ru", "cp1251", "text/html; charset=windows-1251", ""),
        ("windows-1251 in a meta element", "ru", "cp1251", "text/html", "windows-1251"),
        ("windows-1251 called utf-8", "ru", "cp1251", "text/html; charset=UTF-8", ""),
        ("shift_jis in the header", "ja", "cp932", "text/html; charset=Shift_JIS", ""),
        ("shift_jis in a meta element", "ja", "cp932", "text/html", "shift_jis"),
        ("gb18030 in a meta element", "zh", "gb18030", "text/html", "gb2312"),
        ("iso-8859-1 in the header", "de", "cp1252", "text/html; charset=ISO-8859-1", ""),
        ("utf-16 in the header", "es", "utf-16-be", "text/html; charset=UTF-16BE", ""),
    )
    for name, language, codec, content_type, meta in cases:
        body = _labelled(_html(name, language), meta).encode(codec, "xmlcharrefreplace")
        charset = content_type.partition("charset=")[2] or meta
        yield _page(name, "language", body, content_type=content_type, charset=charset, language=language)


def damaged() -> Iterator[Page]:
    """Pages whose records are damaged in their WARC file."""
    for name, verdict, damage in (
        ("corrupt record", "warc_damaged", "corrupt"),
        ("truncated record", "warc_truncated", "truncated"),
    ):
        yield _page(name, verdict, _html(name), damage=damage)


def _png(width: int, height: int, rows: bytes) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    # Stored, not deflated, so that the picture does not depend on the zlib at hand.
    stored = (
        b"\x78\x01\x01"
        + struct.pack("<HH", len(rows), len(rows) ^ 0xFFFF)
        + rows
        + struct.pack(">I", zlib.adler32(rows))
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", stored) + chunk(b"IEND", b"")


def _chunked(body: bytes) -> bytes:
    parts = [body[i : i + 4096] for i in range(0, len(body), 4096)]
    return b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in parts) + b"0\r\n\r\n"
