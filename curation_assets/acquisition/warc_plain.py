"""Uncompressed WARC, record by record: only the lengths that records state tell where they end.

Reading begins at the window's `position`, accounts for at least one byte, and leaves `position` at what comes next.
"""

from curation_assets.acquisition.warc_records import HEADER_LIMIT, Damage, Head, Response
from curation_assets.acquisition.warc_window import CHUNK, Window


def read_record(window: Window, max_record_bytes: int) -> Response | Damage | None:
    """Account for one uncompressed record, or for everything up to the next WARC header; None if it is no row."""
    offset = window.position
    head = Head.parse(window.take(offset, HEADER_LIMIT))
    if head is None:
        end = _next_record(window, offset + 1, max_record_bytes)
        window.advance(end)
        return Damage(offset, end - offset, "warc_damaged", f"no WARC header; {end - offset} bytes lost")
    start = offset + head.block
    cut = False
    size = head.content_length
    if size is not None and size <= max_record_bytes:
        block, after = window.take(start, size), window.take(start + size, 4)
        cut = len(block) < size
        if not cut and not after.strip():
            end = start + size + len(after)
            window.advance(end)
            return head.response(offset, end - offset, memoryview(block)) if head.is_response else None
    # The stated length lies, or the file is cut: the record ends where the next header begins.
    end = _next_record(window, start, max_record_bytes)
    size = end - start
    block = window.take(start, size) if size <= max_record_bytes else b""
    window.advance(end)
    if cut and window.ended:
        return head.damage(
            offset, end - offset, "warc_truncated", f"the file ends inside a record; {end - offset} bytes lost"
        )
    if not head.is_response:
        return None
    if size > max_record_bytes:
        return head.damage(offset, end - offset, "record_too_large", f"more than {max_record_bytes} bytes")
    return head.response(offset, end - offset, memoryview(block.removesuffix(b"\r\n\r\n")))


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
