"""WARC bytes to response records, with exact offsets, losing only what is damaged.

A WARC is read twice as carefully as fast. *Fast*, here: fastwarc walks over all records; each is held back until the
next one has parsed and the gzip trailer agrees that the member holds this record and nothing else. *Careful*, in
`warc_recovery`: where anything disagrees (a corrupt member, a Content-Length that lies, the end of the file) one gzip
member is inflated on its own, the block is taken from the member, and reading resumes at the next member that begins
with a WARC header. Formats: ISO 28500 (WARC 1.0 and 1.1), RFC 1952 (gzip).
"""

from collections.abc import Iterator
from typing import BinaryIO, cast

from fastwarc.warc import ArchiveIterator, WarcHeader, WarcRecord, WarcRecordType

from curation_assets.acquisition.warc_records import Damage, Response, WarcError, bare_url, parse_date
from curation_assets.acquisition.warc_recovery import GZIP, recover_member, recover_record
from curation_assets.acquisition.warc_window import Window

_FOREIGN = {
    b"\x04\x22\x4d\x18": "LZ4",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"filedesc": "ARC",
    b"BZh": "bzip2",
    b"PK\x03\x04": "ZIP",
    b"\xfd7zXZ": "xz",
    b"PAR1": "Parquet",
}


def read_responses(stream: BinaryIO, max_record_bytes: int = 64 << 20) -> Iterator[Response | Damage]:
    """Yield every response record and every damaged region of a WARC, in file order.

    `stream` needs `read` only. Memory is bounded by a few times `max_record_bytes`, the largest record taken
    (inflated); a larger response gives a `record_too_large` row. Gzip members and uncompressed WARC are understood.

    Raises:
        WarcError: the first bytes are no WARC, or the first gzip member holds several records.
        Exception: whatever `stream.read` raises, unchanged.
    """
    window = Window(stream, 2 * max_record_bytes + (1 << 20))
    start = window.take(0, 512)
    if not start:
        yield Damage(0, 0, "warc_truncated", "the file is empty")
        return
    gzip = start.startswith(GZIP)
    if not gzip and not start.startswith(b"WARC/"):
        kind = next((name for magic, name in _FOREIGN.items() if start.startswith(magic)), "unknown")
        raise WarcError(f"not a WARC: the stream begins with {start[:8]!r} ({kind} format)")
    recover = recover_member if gzip else recover_record
    while not window.ended:
        yield from _read_sound(window, gzip, max_record_bytes)
        if not window.ended:
            yield from recover(window, max_record_bytes)


def _read_sound(window: Window, gzip: bool, max_record_bytes: int) -> Iterator[Response]:
    """Yield responses as long as fastwarc and the gzip trailers agree; `position` is left where they do not."""
    window.pointer = window.position
    inflated = -1  # what the record at `position`, read and not yet confirmed, must inflate to
    held = None  # its fields, if it is a response
    for record in _records(window):
        offset = record.stream_pos
        if inflated < 0:
            if offset != window.position:
                return
        elif not _confirms(window, gzip, inflated, offset):
            return
        else:
            if held is not None:
                yield Response(window.position, offset - window.position, *held)
            window.advance(offset)
        size = record.content_length
        if size > max_record_bytes:
            return
        headers = record.headers
        # "WARC/1.0", "key: value" lines, an empty line, the block, two empty lines. A record whose header is
        # spaced differently is read carefully, which is slower.
        text = len(b"".join(headers.keys_bytes())) + len(b"".join(headers.values_bytes()))
        inflated = 16 + text + 4 * len(headers) + size
        held = None
        if record.record_type == WarcRecordType.response:
            block = _block(window, record)
            if block is None or len(block) != size:
                return
            get = headers.get
            held = (
                get(WarcHeader.WARC_RECORD_ID),
                bare_url(get(WarcHeader.WARC_TARGET_URI)),
                parse_date(get(WarcHeader.WARC_DATE)),
                get(WarcHeader.WARC_IDENTIFIED_PAYLOAD_TYPE),
                block,
            )


def _records(window: Window) -> Iterator[WarcRecord]:
    """fastwarc's records up to its first error; errors of the stream itself are raised."""
    try:
        yield from ArchiveIterator(cast(BinaryIO, window), parse_http=False)
    except GeneratorExit:
        raise
    except BaseException as error:
        _raise_unless_of_fastwarc(window, error)


def _block(window: Window, record: WarcRecord) -> bytes | None:
    """A record's block; None if fastwarc cannot read it. Errors of the stream itself are raised."""
    try:
        return record.reader.read()
    except BaseException as error:
        _raise_unless_of_fastwarc(window, error)
        return None


def _raise_unless_of_fastwarc(window: Window, error: BaseException) -> None:
    """Let fastwarc's own errors pass in silence, but not those of the stream that it reads."""
    if window.error is not None:
        raise window.error from None
    # A panic in fastwarc is no Exception; anything else that is not one (KeyboardInterrupt) is not for us.
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
        raise error


def _confirms(window: Window, gzip: bool, inflated: int, offset: int) -> bool:
    """Whether the bytes from `position` to the next record are the record read and nothing else."""
    if not gzip:
        return offset - window.position == inflated
    # The member's last four bytes state its inflated size; the next member follows at once.
    return window.buffer.startswith(inflated.to_bytes(8, "little")[:4] + GZIP, offset - window.start - 4)
