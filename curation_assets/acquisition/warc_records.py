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
    block: memoryview


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
    """A WARC header, in which fields are looked up (the first of each name), and where the block begins.

    `lines` is the header without the empty line, and `lowered` the same in lower case.
    """

    lines: bytes
    lowered: bytes
    block: int

    @classmethod
    def parse(cls, data: bytes) -> Head | None:
        """The header that `data` begins with; None where there is none within `HEADER_LIMIT` bytes."""
        if not data.startswith(b"WARC/"):
            return None
        end = data.find(b"\r\n\r\n", 0, HEADER_LIMIT)
        if end < 0:
            return None
        lines = data[: end + 2]
        return cls(lines, lines.lower(), end + 4)

    def _raw(self, start: bytes) -> bytes | None:
        """What follows a line's beginning (in lower case, line break to colon); None if no line begins like this."""
        at = self.lowered.find(start)
        if at < 0:
            return None
        at += len(start)
        return self.lines[at : self.lines.find(b"\r\n", at)].strip()

    def _value(self, start: bytes) -> str | None:
        """The same as text."""
        raw = self._raw(start)
        return None if raw is None else raw.decode("utf-8", "replace")

    @property
    def is_response(self) -> bool:
        """Whether the WARC-Type is response."""
        return (self._raw(b"\r\nwarc-type:") or b"").lower() == b"response"

    @property
    def content_length(self) -> int | None:
        """The stated length of the block in bytes; None where none can be read."""
        value = self._raw(b"\r\ncontent-length:") or b""
        return int(value) if value.isdigit() and len(value) < 19 else None

    def response(self, offset: int, length: int, block: memoryview) -> Response:
        """The record at `offset` as a `Response`."""
        payload_type = self._value(b"\r\nwarc-identified-payload-type:")
        return Response(offset, length, *self._name(), payload_type, block)

    def damage(self, offset: int, length: int, verdict: str, detail: str) -> Damage:
        """A `Damage` of the region at `offset`, with what this header says."""
        return Damage(offset, length, verdict, detail, *self._name())

    def _name(self) -> tuple[str | None, str | None, datetime | None]:
        """What says which record it is: its id, its URL, its date."""
        return (
            self._value(b"\r\nwarc-record-id:"),
            bare_url(self._value(b"\r\nwarc-target-uri:")),
            parse_date(self._value(b"\r\nwarc-date:")),
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
