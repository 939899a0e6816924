"""WARC bytes to response records, with exact offsets, losing only what is damaged.

Formats: ISO 28500 (WARC 1.0 and 1.1), RFC 1952 (gzip).
"""

from collections.abc import Iterator
from typing import BinaryIO

from curation_assets.acquisition.warc_members import GZIP, read_member
from curation_assets.acquisition.warc_plain import read_record
from curation_assets.acquisition.warc_records import Damage, Response, WarcError
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
    window = Window(stream)
    start = window.take(0, 512)
    if not start:
        yield Damage(0, 0, "warc_truncated", "the file is empty")
        return
    gzip = start.startswith(GZIP)
    if not gzip and not start.startswith(b"WARC/"):
        kind = next((name for magic, name in _FOREIGN.items() if start.startswith(magic)), "unknown")
        raise WarcError(f"not a WARC: the stream begins with {start[:8]!r} ({kind} format)")
    read_next = read_member if gzip else read_record
    while not window.ended:
        found = read_next(window, max_record_bytes)
        if found is not None:
            yield found
