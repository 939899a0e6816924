"""WARC bytes to response records, with exact offsets, losing only what is damaged.

A WARC is read twice as carefully as fast. *Fast*: fastwarc walks over all records; each is held back until the
next one has parsed and the gzip trailer agrees that the member holds this record and nothing else. *Careful*:
where anything disagrees (a corrupt member, a Content-Length that lies, the end of the file) one gzip member is
inflated on its own, the block is taken from the member, and reading resumes at the next member that begins with
a WARC header. Formats: ISO 28500 (WARC 1.0 and 1.1), RFC 1952 (gzip).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import BinaryIO, NamedTuple, cast

from fastwarc.warc import ArchiveIterator, WarcHeader, WarcRecord, WarcRecordType

GZIP = b"\x1f\x8b\x08"
HEADER_LIMIT = 64 << 10
_CHUNK = 16 << 10
_FORGET_BYTES = 256 << 10
# A member that inflates past this many times the record bound is left by scanning, not by inflating to its end.
_SKIP_FACTOR = 64
_FOREIGN = {
    b"\x04\x22\x4d\x18": "LZ4",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"filedesc": "ARC",
    b"BZh": "bzip2",
    b"PK\x03\x04": "ZIP",
    b"\xfd7zXZ": "xz",
    b"PAR1": "Parquet",
}


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
    payload_digest: str | None
    truncated: str | None
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


def read_responses(stream: BinaryIO, max_record_bytes: int = 64 << 20) -> Iterator[Response | Damage]:
    """Yield every response record and every damaged region of a WARC, in file order.

    `stream` needs `read` only. Memory is bounded by a few times `max_record_bytes`, the largest record taken
    (inflated); a larger response gives a `record_too_large` row. Gzip members and uncompressed WARC are understood.

    Raises:
        WarcError: the first bytes are no WARC, or the first gzip member holds several records.
        Exception: whatever `stream.read` raises, unchanged.
    """
    reader = _Reader(_Window(stream, 2 * max_record_bytes + (1 << 20)), max_record_bytes)
    start = reader.window.take(0, 512)
    if not start:
        yield Damage(0, 0, "warc_truncated", "the file is empty")
        return
    reader.gzip = start.startswith(GZIP)
    if not reader.gzip and not start.startswith(b"WARC/"):
        kind = next((name for magic, name in _FOREIGN.items() if start.startswith(magic)), "unknown")
        raise WarcError(f"not a WARC: the stream begins with {start[:8]!r} ({kind} format)")
    while not reader.ended():
        yield from reader.fast()
        if not reader.ended():
            yield from reader.careful_gzip() if reader.gzip else reader.careful_plain()


def parse_date(value: str | None) -> datetime | None:
    """The UTC time of a WARC-Date (ISO 8601), or None where there is none or it cannot be read."""
    if value is None:
        return None
    try:
        date = datetime.fromisoformat(value.strip())
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


class _Window:
    """The part of a forward-only stream that may still be read again; looks like a file to fastwarc."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self.stream, self.limit = stream, limit
        self.buffer = bytearray()
        self.start = 0  # stream offset of buffer[0]
        self.pointer = 0  # stream offset of fastwarc's next read
        self.exhausted = False
        self.error: BaseException | None = None

    def tell(self) -> int:
        return self.pointer

    def read(self, size: int = -1) -> bytes:
        if size < 0 or len(self.buffer) > self.limit:
            raise OSError("one record needs more of the file than the record bound")
        if self.pointer == self.start + len(self.buffer):
            chunk = self._load(size)
        else:
            chunk = bytes(self.buffer[self.pointer - self.start : self.pointer - self.start + size])
        self.pointer += len(chunk)
        return chunk

    def _load(self, size: int) -> bytes:
        if self.exhausted:
            return b""
        try:
            chunk = self.stream.read(size)
        except BaseException as error:
            # fastwarc turns this into its own error; the reader looks here before it blames the data.
            self.error = error
            raise
        self.exhausted = not chunk
        self.buffer += chunk
        return chunk

    def take(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end of the stream."""
        end = offset - self.start + size
        while len(self.buffer) < end and self._load(max(_CHUNK, end - len(self.buffer))):
            pass
        return bytes(self.buffer[offset - self.start : end])

    def forget(self, offset: int) -> None:
        """Give up the bytes before `offset` (in steps, so that the cost stays linear)."""
        if offset - self.start > _FORGET_BYTES:
            del self.buffer[: offset - self.start]
            self.start = offset

    @property
    def end(self) -> int:
        """The stream offset after the last byte loaded: the size of the file once `exhausted`."""
        return self.start + len(self.buffer)


class _Reader:
    def __init__(self, window: _Window, max_record_bytes: int) -> None:
        self.window = window
        self.max_record_bytes = max_record_bytes
        self.gzip = True
        self.position = 0  # everything before this offset has been accounted for

    def ended(self) -> bool:
        return not self.window.take(self.position, 1)

    def advance(self, offset: int) -> None:
        self.position = offset
        self.window.forget(offset)

    # -- fast -------------------------------------------------------------------------------------------------

    def fast(self) -> Iterator[Response]:
        """Yield responses as long as fastwarc and the gzip trailers agree; `position` is left where they do not."""
        window = self.window
        window.pointer = self.position
        inflated = -1  # what the record at `position`, read and not yet confirmed, must inflate to
        held = None  # its fields, if it is a response
        for record in self._records():
            offset = record.stream_pos
            if inflated < 0:
                if offset != self.position:
                    return
            elif not self._confirms(inflated, offset):
                return
            else:
                if held is not None:
                    yield Response(self.position, offset - self.position, *held)
                self.position = offset
                if offset - window.start > _FORGET_BYTES:
                    window.forget(offset)
            size = record.content_length
            if size > self.max_record_bytes:
                return
            headers = record.headers
            # "WARC/1.0", "key: value" lines, an empty line, the block, two empty lines. A record whose header is
            # spaced differently is read carefully, which is slower.
            text = len(b"".join(headers.keys_bytes())) + len(b"".join(headers.values_bytes()))
            inflated = 16 + text + 4 * len(headers) + size
            held = None
            if record.record_type == WarcRecordType.response:
                block = record.reader.read()
                if len(block) != size:
                    return
                get = headers.get
                held = (
                    get(WarcHeader.WARC_RECORD_ID),
                    _bare_url(get(WarcHeader.WARC_TARGET_URI)),
                    parse_date(get(WarcHeader.WARC_DATE)),
                    get(WarcHeader.WARC_IDENTIFIED_PAYLOAD_TYPE),
                    get(WarcHeader.WARC_PAYLOAD_DIGEST),
                    get(WarcHeader.WARC_TRUNCATED),
                    block,
                )

    def _records(self) -> Iterator[WarcRecord]:
        """fastwarc's records up to its first error; errors of the stream itself are raised."""
        window = self.window
        try:
            yield from ArchiveIterator(cast(BinaryIO, window), parse_http=False)
        except GeneratorExit:
            raise
        except BaseException as error:
            if window.error is not None:
                raise window.error from None
            # A panic in fastwarc is no Exception; anything else that is not one (KeyboardInterrupt) is not for us.
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise

    def _confirms(self, inflated: int, offset: int) -> bool:
        """Whether the bytes from `position` to the next record are the record read and nothing else."""
        if not self.gzip:
            return offset - self.position == inflated
        # The member's last four bytes state its inflated size; the next member follows at once.
        window = self.window
        at = offset - window.start
        return window.buffer.startswith(inflated.to_bytes(8, "little")[:4] + GZIP, at - 4)

    # -- careful: gzip ----------------------------------------------------------------------------------------

    def careful_gzip(self) -> Iterator[Response | Damage]:
        """Account for exactly one gzip member, or for everything up to the next sound one."""
        offset = self.position
        if not self.window.take(offset, 3).startswith(GZIP):
            yield self._lost_until_member(offset, offset + 1, b"", "warc_damaged", "not a gzip member")
            return
        member = self._inflate(offset)
        if member.problem == "large":
            yield from self._skip_large(offset, member)
        elif member.problem:
            truncated = member.problem == "cut"
            yield self._lost_until_member(
                offset,
                offset + 1,
                member.data or self._beginning(offset),
                "warc_truncated" if truncated else "warc_damaged",
                "the file ends inside a gzip member" if truncated else member.problem,
            )
        else:
            yield from self._whole_member(offset, member.end, member.data)
            self.advance(member.end)

    def _whole_member(self, offset: int, end: int, data: bytes) -> Iterator[Response | Damage]:
        if not data:
            return
        head = _Head.parse(data)
        if head is None:
            if offset == 0:
                kind = "an ARC" if data.startswith(b"filedesc") else "no WARC"
                raise WarcError(f"not a WARC: the first gzip member holds {kind} record ({data[:16]!r})")
            yield Damage(offset, end - offset, "warc_damaged", f"no WARC header in {len(data)} bytes")
            return
        after = head.block + head.content_length if head.content_length is not None else len(data)
        if data.startswith(b"\r\n\r\nWARC/", after):
            if offset == 0:
                raise WarcError("several records share the first gzip member: compress each record by itself")
            yield head.damage(offset, end - offset, "warc_damaged", "several records share one gzip member")
        elif head.is_response:
            honest = data[after:] == b"\r\n\r\n"
            block = data[head.block : after] if honest else data[head.block :].removesuffix(b"\r\n\r\n")
            yield head.response(offset, end - offset, block)

    def _inflate(self, offset: int) -> _Member:
        """One gzip member's content, or what came out before it failed."""
        inflater = zlib.decompressobj(31)
        pieces: list[bytes] = []
        size, at, bound = 0, offset, self.max_record_bytes
        problem = ""
        while not inflater.eof and not problem:
            chunk = self.window.take(at, _CHUNK)
            if not chunk:
                problem = "cut"
            elif at - offset > bound + (1 << 20):
                problem = f"no end of the gzip member within {at - offset} bytes"
            else:
                try:
                    piece = inflater.decompress(chunk, bound + 1 - size)
                except zlib.error as error:
                    problem = str(error)
                else:
                    pieces.append(piece)
                    size += len(piece)
                    at += len(chunk)
                    problem = "large" if size > bound else ""
        return _Member(b"".join(pieces), at - len(inflater.unused_data), problem, inflater)

    def _beginning(self, offset: int) -> bytes:
        """What can be inflated of a member that fails within its first chunk, for its WARC header."""
        chunk = self.window.take(offset, 4096)
        for size in (4096, 1024, 512, 256):
            try:
                return zlib.decompressobj(31).decompress(chunk, size)
            except zlib.error:
                continue
        return b""

    def _skip_large(self, offset: int, member: _Member) -> Iterator[Damage]:
        """Leave a member that inflates past the bound, keeping only its first bytes."""
        start, at, inflater = member.data[:HEADER_LIMIT], member.end, member.inflater
        size, tail = len(member.data), inflater.unconsumed_tail
        problem = ""
        while not inflater.eof and not problem:
            chunk = tail or self.window.take(at, _CHUNK)
            if not tail:
                at += len(chunk)
                self.window.forget(at)
            try:
                size += len(inflater.decompress(chunk, 1 << 20))
            except zlib.error as error:
                problem = str(error)
            tail = inflater.unconsumed_tail
            if not chunk:
                problem = "the file ends inside it"
            elif size > _SKIP_FACTOR * self.max_record_bytes:
                problem = "its end was not sought further"
        end = at - len(inflater.unused_data) if inflater.eof else self._next_member(at)
        self.advance(end)
        head = _Head.parse(start)
        if head is None or head.is_response or problem:
            detail = f"more than {self.max_record_bytes} bytes inflated" + (f"; {problem}" if problem else "")
            yield (head or _Head({}, 0)).damage(offset, end - offset, "record_too_large", detail)

    def _lost_until_member(self, offset: int, search: int, data: bytes, verdict: str, detail: str) -> Damage:
        end = self._next_member(search)
        if verdict == "warc_truncated" and self.window.take(end, 1):
            verdict, detail = "warc_damaged", "corrupt gzip member"
        self.advance(end)
        head = _Head.parse(data) or _Head({}, 0)
        return head.damage(offset, end - offset, verdict, f"{detail}; {end - offset} bytes lost")

    def _next_member(self, at: int) -> int:
        """The offset of the next gzip member that begins with a WARC header; the end of the file if there is none."""
        while True:
            chunk = self.window.take(at, 4 * _CHUNK)
            found = chunk.find(GZIP)
            if found >= 0:
                at += found
                try:
                    start = zlib.decompressobj(31).decompress(self.window.take(at, 4096), 7)
                except zlib.error:
                    start = b""
                if start == b"WARC/1.":
                    return at
                at += 1
            elif len(chunk) < 3:
                return at + len(chunk)
            else:
                at += len(chunk) - 2
            self.window.forget(at)

    # -- careful: uncompressed --------------------------------------------------------------------------------

    def careful_plain(self) -> Iterator[Response | Damage]:
        """Account for exactly one uncompressed record, or for everything up to the next WARC header."""
        offset, window = self.position, self.window
        head = _Head.parse(window.take(offset, HEADER_LIMIT))
        if head is None:
            end = self._next_plain(offset + 1, self.max_record_bytes)
            yield Damage(offset, end - offset, "warc_damaged", f"no WARC header; {end - offset} bytes lost")
            self.advance(end)
            return
        start = offset + head.block
        size = head.content_length
        end = None
        if size is not None and size <= self.max_record_bytes:
            following = window.take(start + size, 4)
            if following == b"\r\n\r\n" or following.strip() == b"":
                whole = len(window.take(start, size)) == size
                end = start + size + len(following)
                if not whole:
                    if self._next_plain(start, self.max_record_bytes) == window.end and window.exhausted:
                        length = window.end - offset
                        yield head.damage(
                            offset, length, "warc_truncated", f"the file ends inside a record; {length} bytes lost"
                        )
                        self.advance(window.end)
                        return
                    end = None
        honest = end is not None
        if end is None:
            # The stated length lies: the record ends where the next header begins.
            end = self._next_plain(start, self.max_record_bytes)
            size = end - start
        if head.is_response:
            if size is None or size > self.max_record_bytes:
                detail = f"more than {self.max_record_bytes} bytes"
                yield head.damage(offset, end - offset, "record_too_large", detail)
            else:
                block = window.take(start, size)
                yield head.response(offset, end - offset, block if honest else block.removesuffix(b"\r\n\r\n"))
        self.advance(end)

    def _next_plain(self, at: int, keep: int) -> int:
        """The offset of the next line that begins a WARC header after an empty one; or the end of the file."""
        first = at
        while True:
            chunk = self.window.take(at, 4 * _CHUNK)
            found = chunk.find(b"\r\n\r\nWARC/1.")
            if found >= 0:
                return at + found + 4
            if len(chunk) < 4 * _CHUNK:
                return at + len(chunk)
            at += len(chunk) - 10
            if at - first > keep:
                self.window.forget(at)


class _Member(NamedTuple):
    data: bytes
    end: int
    problem: str
    inflater: zlib._Decompress


class _Head(NamedTuple):
    """The WARC header of a record read carefully."""

    fields: dict[str, str]
    block: int  # where the block begins

    @classmethod
    def parse(cls, data: bytes) -> _Head | None:
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
        return self.fields.get("warc-type", "").lower() == "response"

    @property
    def content_length(self) -> int | None:
        value = self.fields.get("content-length", "")
        return int(value) if value.isascii() and value.isdigit() and len(value) < 19 else None

    def response(self, offset: int, length: int, block: bytes) -> Response:
        get = self.fields.get
        return Response(
            offset,
            length,
            get("warc-record-id"),
            _bare_url(get("warc-target-uri")),
            parse_date(get("warc-date")),
            get("warc-identified-payload-type"),
            get("warc-payload-digest"),
            get("warc-truncated"),
            block,
        )

    def damage(self, offset: int, length: int, verdict: str, detail: str) -> Damage:
        get = self.fields.get
        return Damage(
            offset,
            length,
            verdict,
            detail,
            get("warc-record-id"),
            _bare_url(get("warc-target-uri")),
            parse_date(get("warc-date")),
        )


def _bare_url(url: str | None) -> str | None:
    # Some writers put the target into angle brackets, as the grammar of WARC 1.0 says by mistake.
    return url[1:-1] if url is not None and url.startswith("<") and url.endswith(">") else url
