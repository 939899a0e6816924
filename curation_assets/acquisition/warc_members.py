"""WARC of gzip members, one record in each: where a member ends is known however its record lies about its length.

Reading begins at the window's `position`, accounts for at least one byte, and leaves `position` at the next member
that is sound.
"""

import zlib
from typing import NamedTuple, cast

from isal import isal_zlib

from curation_assets.acquisition.warc_records import HEADER_LIMIT, Damage, Head, Response, WarcError
from curation_assets.acquisition.warc_window import CHUNK, Window

GZIP = b"\x1f\x8b\x08"
"""What a gzip member begins with."""

# A member that inflates past this many times the record bound is left by scanning, not by inflating to its end.
_SKIP_FACTOR = 64
_InflateError = cast(type[Exception], isal_zlib.error)  # its stubs call the class an exception
_END = b"\r\n\r\n"
_NO_HEAD = Head(b"", b"", 0)


class _Member(NamedTuple):
    """A gzip member's content, or what came out before it failed, and where the compressed bytes read end."""

    data: bytes
    end: int
    problem: str
    inflater: isal_zlib.Decompress


def read_member(window: Window, max_record_bytes: int) -> Response | Damage | None:
    """Account for exactly one gzip member, or for everything up to the next sound one; None if it is no row.

    Raises:
        WarcError: the first member of the file holds no WARC record, or several.
    """
    offset = window.position
    member = _inflate(window, offset, max_record_bytes)
    if not member.problem:
        window.advance(member.end)
        return _record(offset, member.end - offset, member.data)
    if member.problem == "large":
        return _skip_large(window, member, max_record_bytes)
    if member.problem == "cut":
        return _lost(window, member.data, "warc_truncated", "the file ends inside a gzip member")
    if not window.take(offset, 3).startswith(GZIP):
        return _lost(window, b"", "warc_damaged", "not a gzip member")
    return _lost(window, member.data or _start(window, offset, 4096), "warc_damaged", member.problem)


def _record(offset: int, length: int, data: bytes) -> Response | Damage | None:
    """The one record that a sound member must hold."""
    head = Head.parse(data)
    if head is None:
        if not data:
            return None
        if offset == 0:
            kind = "an ARC" if data.startswith(b"filedesc") else "no WARC"
            raise WarcError(f"not a WARC: the first gzip member holds {kind} record ({data[:16]!r})")
        return Damage(offset, length, "warc_damaged", f"no WARC header in {len(data)} bytes")
    size = head.content_length
    end = len(data) if size is None else head.block + size
    if data[end:] != _END:
        if data.startswith(_END + b"WARC/", end):
            if offset == 0:
                raise WarcError("several records share the first gzip member: compress each record by itself")
            return head.damage(offset, length, "warc_damaged", "several records share one gzip member")
        # The stated length lies: the record ends where the member does.
        end = len(data) - len(_END) * data.endswith(_END)
    if not head.is_response:
        return None
    return head.response(offset, length, memoryview(data)[head.block : end])


def _inflate(window: Window, offset: int, bound: int) -> _Member:
    inflater = isal_zlib.decompressobj(31)
    pieces: list[bytes] = []
    room, at = bound + 1, offset
    problem = ""
    while not (inflater.eof or problem):
        chunk = window.take(at, CHUNK)
        at += len(chunk)
        if not chunk:
            problem = "cut"
        elif at - offset > bound + (1 << 20):
            problem = f"no end of the gzip member within {at - offset} bytes"
        else:
            try:
                piece = inflater.decompress(chunk, room)
            except _InflateError as error:
                problem = str(error)
            else:
                pieces.append(piece)
                room -= len(piece)
                problem = "" if room else "large"
    return _Member(b"".join(pieces), at - len(inflater.unused_data), problem, inflater)


def _start(window: Window, offset: int, size: int) -> bytes:
    """Up to so many of a member's first bytes, as far as they can be inflated. ISA-L would look too far ahead."""
    inflater, rest, start = zlib.decompressobj(31), window.take(offset, 4096), b""
    try:
        while len(start) < size and (piece := inflater.decompress(rest, min(32, size - len(start)))):
            start += piece
            rest = inflater.unconsumed_tail
    except zlib.error:
        pass
    return start


def _skip_large(window: Window, member: _Member, bound: int) -> Damage | None:
    """Leave a member that inflates past the bound, keeping only its first bytes."""
    offset, at, inflater = window.position, member.end, member.inflater
    size, tail = len(member.data), inflater.unconsumed_tail
    end = at
    problem = ""
    while not inflater.eof and not problem:
        chunk = tail or window.take(at, CHUNK)
        if not tail:
            at += len(chunk)
            window.forget(at - bound)
        try:
            size += len(inflater.decompress(chunk, 1 << 20))
        except _InflateError as error:
            problem = str(error)
        tail = inflater.unconsumed_tail
        if not chunk:
            problem = "the file ends inside it"
        elif size > _SKIP_FACTOR * bound:
            problem = "its end was not sought further"
        end = at - len(inflater.unused_data)
    if not inflater.eof:
        # A stream that a flipped bit has made large ends in an error, and sound members lie in what it seemed to hold.
        end = _next_member(window, max(offset + 1, window.start))
    window.advance(end)
    head = Head.parse(member.data[:HEADER_LIMIT])
    if head is None or head.is_response or problem:
        detail = f"more than {bound} bytes inflated" + (f"; {problem}" if problem else "")
        return (head or _NO_HEAD).damage(offset, end - offset, "record_too_large", detail)
    return None


def _lost(window: Window, data: bytes, verdict: str, detail: str) -> Damage:
    """Give up everything to the next sound member; `data` is what is known of the first lost one."""
    offset = window.position
    end = _next_member(window, offset + 1)
    if verdict == "warc_truncated" and window.take(end, 1):
        verdict, detail = "warc_damaged", "corrupt gzip member"
    window.advance(end)
    head = Head.parse(data) or _NO_HEAD
    return head.damage(offset, end - offset, verdict, f"{detail}; {end - offset} bytes lost")


def _next_member(window: Window, at: int) -> int:
    """The offset of the next gzip member that begins with a WARC header; the end of the file if there is none."""
    while True:
        chunk = window.take(at, 4 * CHUNK)
        found = chunk.find(GZIP)
        if found >= 0:
            at += found
            if _start(window, at, 7) == b"WARC/1.":
                return at
            at += 1
        elif len(chunk) < 3:
            return at + len(chunk)
        else:
            at += len(chunk) - 2
        window.forget(at)
