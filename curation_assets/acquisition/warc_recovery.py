"""One damaged or doubtful stretch of a WARC, read carefully: what can be saved, and how much is lost.

Both entry points begin at the window's `position`, account for at least one byte, and leave `position` where fast
reading can be tried again.
"""

import zlib
from collections.abc import Iterator
from typing import NamedTuple

from curation_assets.acquisition.warc_records import HEADER_LIMIT, Damage, Head, Response, WarcError
from curation_assets.acquisition.warc_window import CHUNK, Window

GZIP = b"\x1f\x8b\x08"
"""What a gzip member begins with."""

# A member that inflates past this many times the record bound is left by scanning, not by inflating to its end.
_SKIP_FACTOR = 64
_NO_HEAD = Head({}, 0)


class _Member(NamedTuple):
    """A gzip member's content, or what came out before it failed, and where the compressed bytes read end."""

    data: bytes
    end: int
    problem: str
    inflater: "zlib._Decompress"


def recover_member(window: Window, max_record_bytes: int) -> Iterator[Response | Damage]:
    """Account for exactly one gzip member, or for everything up to the next sound one.

    Raises:
        WarcError: the first member of the file holds no WARC record, or several.
    """
    offset = window.position
    if not window.take(offset, 3).startswith(GZIP):
        yield _lost(window, b"", "warc_damaged", "not a gzip member")
        return
    member = _inflate(window, offset, max_record_bytes)
    if member.problem == "large":
        yield from _skip_large(window, member, max_record_bytes)
    elif member.problem:
        cut = member.problem == "cut"
        verdict = "warc_truncated" if cut else "warc_damaged"
        detail = "the file ends inside a gzip member" if cut else member.problem
        yield _lost(window, member.data or _beginning(window, offset), verdict, detail)
    else:
        yield from _whole_member(offset, member.end, member.data)
        window.advance(member.end)


def _whole_member(offset: int, end: int, data: bytes) -> Iterator[Response | Damage]:
    if not data:
        return
    head = Head.parse(data)
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


def _inflate(window: Window, offset: int, bound: int) -> _Member:
    inflater = zlib.decompressobj(31)
    pieces: list[bytes] = []
    size, at = 0, offset
    problem = ""
    while not inflater.eof and not problem:
        chunk = window.take(at, CHUNK)
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


def _beginning(window: Window, offset: int) -> bytes:
    """What can be inflated of a member that fails within its first chunk, for its WARC header."""
    chunk = window.take(offset, 4096)
    for size in (4096, 1024, 512, 256):
        try:
            return zlib.decompressobj(31).decompress(chunk, size)
        except zlib.error:
            continue
    return b""


def _skip_large(window: Window, member: _Member, bound: int) -> Iterator[Damage]:
    """Leave a member that inflates past the bound, keeping only its first bytes."""
    offset, at, inflater = window.position, member.end, member.inflater
    size, tail = len(member.data), inflater.unconsumed_tail
    problem = ""
    while not inflater.eof and not problem:
        chunk = tail or window.take(at, CHUNK)
        if not tail:
            at += len(chunk)
            window.forget(at - bound)
        try:
            size += len(inflater.decompress(chunk, 1 << 20))
        except zlib.error as error:
            problem = str(error)
        tail = inflater.unconsumed_tail
        if not chunk:
            problem = "the file ends inside it"
        elif size > _SKIP_FACTOR * bound:
            problem = "its end was not sought further"
    # A stream that a flipped bit has made large ends in an error, and sound members lie in what it seemed to hold.
    end = at - len(inflater.unused_data) if inflater.eof else _next_member(window, max(offset + 1, window.start))
    window.advance(end)
    head = Head.parse(member.data[:HEADER_LIMIT])
    if head is None or head.is_response or problem:
        detail = f"more than {bound} bytes inflated" + (f"; {problem}" if problem else "")
        yield (head or _NO_HEAD).damage(offset, end - offset, "record_too_large", detail)


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
            try:
                start = zlib.decompressobj(31).decompress(window.take(at, 4096), 7)
            except zlib.error:
                start = b""
            if start == b"WARC/1.":
                return at
            at += 1
        elif len(chunk) < 3:
            return at + len(chunk)
        else:
            at += len(chunk) - 2
        window.forget(at)


def recover_record(window: Window, max_record_bytes: int) -> Iterator[Response | Damage]:
    """Account for exactly one uncompressed record, or for everything up to the next WARC header."""
    offset = window.position
    head = Head.parse(window.take(offset, HEADER_LIMIT))
    if head is None:
        end = _next_record(window, offset + 1, max_record_bytes)
        yield Damage(offset, end - offset, "warc_damaged", f"no WARC header; {end - offset} bytes lost")
        window.advance(end)
        return
    start = offset + head.block
    size = head.content_length
    end = None
    if size is not None and size <= max_record_bytes:
        following = window.take(start + size, 4)
        if following == b"\r\n\r\n" or following.strip() == b"":
            if len(window.take(start, size)) == size:
                end = start + size + len(following)
            elif _next_record(window, start, max_record_bytes) == window.end and window.exhausted:
                length = window.end - offset
                detail = f"the file ends inside a record; {length} bytes lost"
                yield head.damage(offset, length, "warc_truncated", detail)
                window.advance(window.end)
                return
    honest = end is not None
    if end is None:
        # The stated length lies: the record ends where the next header begins.
        end = _next_record(window, start, max_record_bytes)
        size = end - start
    if head.is_response:
        if size is None or size > max_record_bytes:
            detail = f"more than {max_record_bytes} bytes"
            yield head.damage(offset, end - offset, "record_too_large", detail)
        else:
            block = window.take(start, size)
            yield head.response(offset, end - offset, block if honest else block.removesuffix(b"\r\n\r\n"))
    window.advance(end)


def _next_record(window: Window, at: int, keep: int) -> int:
    """The offset of the next line that begins a WARC header after an empty one; or the end of the file."""
    first = at
    while True:
        chunk = window.take(at, 4 * CHUNK)
        found = chunk.find(b"\r\n\r\nWARC/1.")
        if found >= 0:
            return at + found + 4
        if len(chunk) < 4 * CHUNK:
            return at + len(chunk)
        at += len(chunk) - 10
        if at - first > keep:
            window.forget(at)
