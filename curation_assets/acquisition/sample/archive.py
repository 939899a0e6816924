"""WARC/1.0 as Common Crawl writes it: a gzip member for each record, and for each capture request, response, metadata.

Compression is `zlib.compressobj` at a fixed level behind a gzip header without time or file name. The bytes are then
the same in every run; between machines they agree where the zlib does (zlib-ng, which some Python builds use,
compresses a little differently). Inflated, all records are the same everywhere.
"""

import base64
import hashlib
import json
import struct
import uuid
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

CRLF = b"\r\n"
LEVEL = 6
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""Deflate, no flags, no time, no hint about the level, operating system unknown (RFC 1952)."""

Fields = Sequence[tuple[str, str]]

LANGUAGE_NAMES = {
    "en": ("eng", "ENGLISH"),
    "de": ("deu", "GERMAN"),
    "fr": ("fra", "FRENCH"),
    "es": ("spa", "SPANISH"),
    "ru": ("rus", "RUSSIAN"),
    "zh": ("zho", "Chinese"),
    "ja": ("jpn", "Japanese"),
    "ar": ("ara", "ARABIC"),
    "hi": ("hin", "HINDI"),
}


@dataclass(frozen=True)
class Capture:
    """One fetch: what was asked and what came back."""

    url: str
    record_id: str
    date: datetime
    status: str
    """Status code and reason; empty for a response without any HTTP header."""
    fields: Fields
    body: bytes
    payload_type: str
    charset: str
    language: str | None
    address: str
    fetch_ms: int


def gzip_member(content: bytes) -> bytes:
    """`content` as one gzip member; see the module's text on what its bytes depend on."""
    deflate = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, 8, zlib.Z_DEFAULT_STRATEGY)
    trailer = zlib.crc32(content).to_bytes(4, "little") + (len(content) & 0xFFFFFFFF).to_bytes(4, "little")
    return _GZIP_HEADER + deflate.compress(content) + deflate.flush() + trailer


def gzip_stored(content: bytes) -> bytes:
    """`content` as a gzip file that compresses nothing, and is therefore the same whatever the zlib."""
    blocks = [content[i : i + 0xFFFF] for i in range(0, len(content), 0xFFFF)] or [b""]
    stored = b"".join(
        bytes([i == len(blocks) - 1]) + struct.pack("<HH", len(block), len(block) ^ 0xFFFF) + block
        for i, block in enumerate(blocks)
    )
    return _GZIP_HEADER + stored + struct.pack("<II", zlib.crc32(content), len(content) & 0xFFFFFFFF)


def record_name(*key: str) -> str:
    """A WARC-Record-ID that depends on `key` alone."""
    return f"<urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, ' '.join(('curation-assets sample', *key)))}>"


def digest(content: bytes) -> str:
    """`sha1:` and the digest in base 32."""
    return "sha1:" + base64.b32encode(hashlib.sha1(content, usedforsecurity=False).digest()).decode()


def record(kind: str, record_id: str, date: datetime, content_type: str, block: bytes, fields: Fields = ()) -> bytes:
    """One record, uncompressed, with the two line ends that close it."""
    head = [
        ("WARC-Type", kind),
        ("WARC-Date", date.strftime("%Y-%m-%dT%H:%M:%SZ")),
        ("WARC-Record-ID", record_id),
        ("Content-Length", str(len(block))),
        ("Content-Type", content_type),
        *fields,
    ]
    lines = "".join(f"{name}: {value}\r\n" for name, value in head)
    return b"WARC/1.0\r\n" + lines.encode() + CRLF + block + CRLF + CRLF


def warcinfo(snapshot: str, filename: str, date: datetime) -> bytes:
    """The record that opens a file."""
    block = (
        f"isPartOf: {snapshot}\r\n"
        "publisher: curation-assets\r\n"
        "description: Embedded sample snapshot; every page, person and place in it is invented\r\n"
        "operator: none (no crawler was run)\r\n"
        "hostname: sample.invalid\r\n"
        "software: curation-assets\r\n"
        "robots: not applicable\r\n"
        "format: WARC File Format 1.0\r\n"
        "conformsTo: https://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.0/\r\n"
    )
    fields = [("WARC-Filename", filename)]
    return record("warcinfo", record_name(filename), date, "application/warc-fields", block.encode() + CRLF, fields)


def response_block(status: str, fields: Fields, body: bytes) -> tuple[bytes, bytes]:
    """HTTP header (empty without a status) and body."""
    if not status:
        return b"", body
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"HTTP/1.1 {status}\r\n{lines}".encode("latin-1") + CRLF, body


def capture_records(capture: Capture, filename: str) -> tuple[bytes, bytes, bytes]:
    """Request, response and metadata of one fetch, uncompressed."""
    info = ("WARC-Warcinfo-ID", record_name(filename))
    target = ("WARC-Target-URI", capture.url)
    address = ("WARC-IP-Address", capture.address)
    request_id = record_name("request", capture.record_id)
    _, _, rest = capture.url.partition("://")
    host, slash, path = rest.partition("/")
    asked = (
        f"GET {slash or '/'}{path} HTTP/1.1\r\n"
        "User-Agent: CCBot/2.0 (https://commoncrawl.org/faq/)\r\n"
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
        "Accept-Language: en-US,en;q=0.5\r\n"
        "Accept-Encoding: br,gzip\r\n"
        f"Host: {host}\r\n"
        "Connection: Keep-Alive\r\n\r\n"
    )
    request = record(
        "request",
        request_id,
        capture.date,
        "application/http; msgtype=request",
        asked.encode(),
        [info, address, target],
    )
    head, body = response_block(capture.status, capture.fields, capture.body)
    response = record(
        "response",
        capture.record_id,
        capture.date,
        "application/http; msgtype=response",
        head + body,
        [
            info,
            ("WARC-Concurrent-To", request_id),
            address,
            target,
            ("WARC-Payload-Digest", digest(body)),
            ("WARC-Block-Digest", digest(head + body)),
            ("WARC-Identified-Payload-Type", capture.payload_type),
        ],
    )
    facts = f"fetchTimeMs: {capture.fetch_ms}\r\ncharset-detected: {capture.charset}\r\n"
    if capture.language:
        code, name = LANGUAGE_NAMES[capture.language]
        found = {"code": capture.language, "code-iso-639-3": code, "text-covered": 0.98, "score": 1100.0, "name": name}
        cld2 = {"reliable": True, "text-bytes": len(capture.body), "languages": [found]}
        facts += f"languages-cld2: {json.dumps(cld2, separators=(',', ':'))}\r\n"
    metadata = record(
        "metadata",
        record_name("metadata", capture.record_id),
        capture.date,
        "application/warc-fields",
        facts.encode() + CRLF,
        [info, ("WARC-Concurrent-To", capture.record_id), target],
    )
    return request, response, metadata
