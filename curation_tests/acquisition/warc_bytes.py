"""WARC records, whole and spoiled, as bytes."""

from __future__ import annotations

import gzip


def http_block(body: bytes, *fields: str, status: str = "200 OK") -> bytes:
    fields = fields or ("Content-Type: text/html; charset=utf-8",)
    return "\r\n".join([f"HTTP/1.1 {status}", *fields, "", ""]).encode() + body


def record(
    number: int,
    block: bytes = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>page",
    kind: str = "response",
    lie: int = 0,
    url: str | None = None,
    date: str = "2025-03-15T11:21:46Z",
    payload_type: str | None = "text/html",
    newline: str = "\r\n",
) -> bytes:
    """One WARC record; `lie` is added to the stated Content-Length."""
    fields = [
        f"WARC-Type: {kind}",
        f"WARC-Record-ID: <urn:uuid:{number:08d}>",
        f"WARC-Date: {date}",
        f"WARC-Target-URI: {url or f'https://example.com/{number}'}",
        "Content-Type: application/http; msgtype=response",
        f"Content-Length: {len(block) + lie}",
    ]
    if payload_type:
        fields.append(f"WARC-Identified-Payload-Type: {payload_type}")
    return newline.join(["WARC/1.0", *fields, "", ""]).encode() + block + b"\r\n\r\n"


def member(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def capture(number: int, block: bytes | None = None) -> list[bytes]:
    """Request, response and metadata as Common Crawl writes them, each its own gzip member."""
    response = record(number) if block is None else record(number, block)
    return [
        member(record(number + 1000, b"GET / HTTP/1.1\r\n\r\n", "request")),
        member(response),
        member(record(number + 2000, b"fetchTimeMs: 12\r\n", "metadata")),
    ]


def name(number: int) -> str:
    return f"<urn:uuid:{number:08d}>"
