"""What a WARC gives: responses, damaged regions, and the header fields of both (ISO 28500, WARC 1.0 and 1.1)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

HEADER_LIMIT = 64 << 10
"""Bytes within which a WARC header must end."""


class WarcError(ValueError):
    """The stream is not a WARC, or not one compressed record by record."""


class Response(NamedTuple):
    """One response record: its place in the file, its WARC headers, its block (HTTP header and body).

    `offset` and `length` count bytes of the file as it lies in the archive (compressed, if it is): reading
    exactly these bytes gives this record again.
    """

    offset: int
    length: int
    record_id: str | None
    url: str | None
    date: datetime | None
    payload_type: str | None
    block: bytes


class Damage(NamedTuple):
    """A region of the file that gives no usable response.

    `verdict` is `warc_damaged`, `warc_truncated` or `record_too_large`; `record_id`, `url` and `date` are what could
    still be read of the header of the region's first record, whose type may be any.
    """

    offset: int
    length: int
    verdict: str
    detail: str
    record_id: str | None = None
    url: str | None = None
    date: datetime | None = None


class Head(NamedTuple):
    """A WARC header: its fields by lower-case name (the first of each), and where the block begins.

    This is the tolerant reading, for records that are not sound; sound ones are parsed by fastwarc.
    """

    fields: dict[str, str]
    block: int

    @classmethod
    def parse(cls, data: bytes) -> Head | None:
        """The header that `data` begins with; None where there is none within `HEADER_LIMIT` bytes."""
        if not data.startswith(b"WARC/"):
            return None
        end = data.find(b"\r\n\r\n", 0, HEADER_LIMIT)
        if end < 0:
            return None
        fields: dict[str, str] = {}
        for line in data[:end].split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            fields.setdefault(key.decode("latin-1").lower(), value.decode("utf-8", "replace").strip())
        return cls(fields, end + 4)

    @property
    def is_response(self) -> bool:
        """Whether the WARC-Type is response."""
        return self.fields.get("warc-type", "").lower() == "response"

    @property
    def content_length(self) -> int | None:
        """The stated length of the block in bytes; None where none can be read."""
        value = self.fields.get("content-length", "")
        return int(value) if value.isascii() and value.isdigit() and len(value) < 19 else None

    def response(self, offset: int, length: int, block: bytes) -> Response:
        """The record at `offset` as a `Response`."""
        get = self.fields.get
        return Response(
            offset,
            length,
            get("warc-record-id"),
            bare_url(get("warc-target-uri")),
            parse_date(get("warc-date")),
            get("warc-identified-payload-type"),
            block,
        )

    def damage(self, offset: int, length: int, verdict: str, detail: str) -> Damage:
        """A `Damage` of the region at `offset`, with what this header says."""
        get = self.fields.get
        return Damage(
            offset,
            length,
            verdict,
            detail,
            get("warc-record-id"),
            bare_url(get("warc-target-uri")),
            parse_date(get("warc-date")),
        )


def parse_date(value: str | None) -> datetime | None:
    """The UTC time of a WARC-Date (ISO 8601), or None where there is none or it cannot be read."""
    if value is None:
        return None
    try:
        date = datetime.fromisoformat(value.strip())
        if date.tzinfo is UTC:
            return date
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def bare_url(url: str | None) -> str | None:
    """A WARC-Target-URI without the angle brackets that the grammar of WARC 1.0 prescribes by mistake."""
    return url[1:-1] if url is not None and url.startswith("<") and url.endswith(">") else url
