"""HTTP responses as crawlers store them: parsed tolerantly, content codings undone within a bound.

Common Crawl stores bodies decoded and renames the headers that no longer hold; other writers, and some servers, do
not. So a declared coding is believed only where the bytes agree (RFC 9110, RFC 9112 are the grammar, not the facts).
"""

from __future__ import annotations

import io
import re
import zlib
from typing import NamedTuple

from fastwarc.stream_io import BrotliReader, ZstdReader

HEADER_LIMIT = 64 << 10
"""Bytes within which an HTTP header must end; beyond, what there is counts as header and there is no body."""

_STATUS = re.compile(rb"HTTP/\d(?:\.\d+)?[ \t]+(\d{3})(?!\d)")
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]{0,256})?\r?\n")
_CHARSET = re.compile(r"""charset\s*=\s*["']?\s*([^\s"';,>]+)""", re.IGNORECASE)


class CodingError(ValueError):
    """A body is compressed and cannot be decompressed."""


class BodyTooLarge(ValueError):
    """A body decompresses to more than the bound."""


class HttpResponse(NamedTuple):
    """Status, header fields (names in lower case, repeated ones in order) and body as stored.

    `status` is None where the block begins with no status line; the whole block is then the body.
    """

    status: int | None
    fields: list[tuple[str, str]]
    body: memoryview

    def values(self, name: str) -> list[str]:
        """All values of one header field (`name` in lower case)."""
        return [value for key, value in self.fields if key == name]


def parse_response(block: bytes | memoryview) -> HttpResponse:
    """Split the block of a response record; never raises."""
    status = _STATUS.match(block)
    if status is None:
        return HttpResponse(None, [], memoryview(block))
    end = _HEADER_END.search(block, 0, HEADER_LIMIT)
    head, body = (end.start(), end.end()) if end else (len(block[:HEADER_LIMIT]), len(block))
    fields: list[tuple[str, str]] = []
    for line in str(block[:head], "latin-1").split("\n")[1:]:
        if line[:1] in (" ", "\t") and fields:
            # An obsolete line fold: one value over several lines.
            name, value = fields[-1]
            fields[-1] = (name, f"{value} {line.strip()}")
        else:
            name, colon, value = line.partition(":")
            if colon:
                fields.append((name.strip().lower(), value.strip()))
    return HttpResponse(int(status[1]), fields, memoryview(block)[body:])


def media_type(content_type: str) -> str:
    """The bare media type of a Content-Type value in lower case; empty where it has none."""
    kind = content_type.partition(";")[0].partition(",")[0].strip().lower()
    return kind if "/" in kind else ""


def charset_parameter(content_type: str) -> str | None:
    """The charset label in a Content-Type value, as written."""
    found = _CHARSET.search(content_type)
    return found[1] if found else None


def decode_body(response: HttpResponse, max_bytes: int) -> memoryview:
    """The body without its transfer and content codings, where it still has them.

    Handles `chunked`, `gzip`, `deflate` (zlib or raw), `br` and `zstd`. A body cut short gives what it holds.

    Raises:
        CodingError: the bytes are compressed as declared but corrupt.
        BodyTooLarge: more than `max_bytes` after decompression.
    """
    body = response.body
    transfer = content = None
    for name, value in response.fields:
        if name == "transfer-encoding":
            transfer = f"{transfer},{value}" if transfer else value
        elif name == "content-encoding":
            content = f"{content},{value}" if content else value
    if transfer is not None and "chunked" in transfer.lower():
        body = memoryview(_dechunk(bytes(body)))
    if content is not None:
        for coding in reversed(content.lower().replace(" ", "").split(",")[:4]):
            body = memoryview(_decompress(bytes(body), coding, max_bytes))
    return body


def _dechunk(body: bytes) -> bytes:
    """The chunks' data; the body itself if it does not begin with a chunk that ends where it says."""
    pieces: list[bytes] = []
    at = 0
    while True:
        size = _CHUNK_SIZE.match(body, at)
        if size is None:
            # No chunk here: plain from the start, or broken from here on. Nothing is thrown away.
            return b"".join(pieces) + body[at:]
        count = int(size[1], 16)
        start, end = size.end(), size.end() + count
        if count == 0:
            return b"".join(pieces)
        closed = body.startswith((b"\r\n", b"\n"), end)
        if not closed and not pieces and end < len(body):
            return body
        pieces.append(body[start:end])
        if not closed:
            return b"".join(pieces) + body[end:]
        at = end + (2 if body.startswith(b"\r", end) else 1)


def _decompress(body: bytes, coding: str, max_bytes: int) -> bytes:
    if coding in ("gzip", "x-gzip") and body.startswith(b"\x1f\x8b"):
        return _inflate(body, 31, max_bytes)
    if coding == "deflate" and body and not _is_text(body):
        try:
            return _inflate(body, 15, max_bytes)
        except CodingError:
            return _inflate(body, -15, max_bytes)
    if coding in ("br", "zstd") and body and not _is_text(body):
        return _read_bounded(BrotliReader if coding == "br" else ZstdReader, body, max_bytes)
    return body


def _inflate(body: bytes, window_bits: int, max_bytes: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while body:
        inflater = zlib.decompressobj(window_bits)
        try:
            piece = inflater.decompress(body, max_bytes + 1 - size)
        except zlib.error as error:
            # Bytes after a whole member are padding or junk, which decoders ignore.
            if pieces:
                break
            raise CodingError(str(error)) from None
        pieces.append(piece)
        size += len(piece)
        if size > max_bytes:
            raise BodyTooLarge(f"more than {max_bytes} bytes inflated")
        body = inflater.unused_data if window_bits == 31 else b""
    return b"".join(pieces)


def _read_bounded(reader: type[BrotliReader] | type[ZstdReader], body: bytes, max_bytes: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    stream = reader(io.BytesIO(body))
    while size <= max_bytes:
        try:
            piece = stream.read(4096)
        except Exception as error:
            # These readers call a body that was cut off corrupt, too.
            if pieces:
                break
            raise CodingError(str(error)) from None
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
    if size > max_bytes:
        raise BodyTooLarge(f"more than {max_bytes} bytes inflated")
    return b"".join(pieces)


def _is_text(body: bytes) -> bool:
    """Whether the first bytes are text in some charset that contains ASCII, so hardly compressed data."""
    start = body[:512]
    controls = len(start) - len(start.translate(None, bytes([*range(9), 11, *range(14, 27), *range(28, 32), 127])))
    return controls * 50 <= len(start)
