"""Lines and paragraphs that were seen before: where each is, its key, and which occurrences to remove.

C4 (Raffel et al. 2020) kept one of each recurring span of sentences, DCLM's reproduction of it one of each line
(stripped, in lower case), CCNet (Wenzek et al. 2020) one of each paragraph. Here the earliest occurrence stays:
that of the earliest document (a missing date comes last), of the smallest `doc`, of the smallest position.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
from numba import njit

from curation_assets.deduplication.exact import Part, key_files
from curation_assets.deduplication.hashes.murmur3 import murmur3_128
from curation_assets.deduplication.normal_form import GROWTH, fold, folded_case
from curation_assets.filtering.characters import character_classes, inner, string_buffers
from curation_assets.filtering.lines import line_end, stripped
from curation_assets.lake.parts import ROW_BITS
from curation_assets.lake.query import statement

_BATCH_ROWS = 1 << 16

Unit = Literal["line", "paragraph"]
Scope = Literal["page", "snapshot"]

SEGMENTS = pa.list_(
    pa.struct(
        [
            pa.field("before", pa.uint32(), nullable=False),
            pa.field("start", pa.uint32(), nullable=False),
            pa.field("stop", pa.uint32(), nullable=False),
            pa.field("end", pa.uint32(), nullable=False),
            pa.field("key", pa.uint64(), nullable=False),
        ]
    )
)
"""The segments of one text, as byte offsets. A segment is what is from `start` to `stop`. `before` is where the one
before it stops, `end` where the next one starts; what is between segments belongs to none."""

REMOVALS = pa.schema(
    [
        pa.field("doc", pa.int64(), nullable=False),
        pa.field("removed", pa.list_(pa.struct([("start", pa.uint32()), ("end", pa.uint32())])), nullable=False),
    ]
)
"""What to remove from a document: sorted, disjoint spans of bytes, with the line breaks that go with them."""


@inner
def _after_blank_lines(text: np.ndarray, position: int, end: int, classes: np.ndarray) -> int:
    """Start of the first line, from the one at a byte on, with more than white space; `end` without one."""
    while position < end:
        stop, following = line_end(text, position, end)
        first, last = stripped(text, position, stop, classes)
        if first < last:
            break
        position = following
    return position


@inner
def _next_segment(text: np.ndarray, position: int, end: int, paragraph: bool, classes: np.ndarray) -> tuple[int, int]:
    """Where the segment that starts at a byte stops, and where the next one starts."""
    stop, following = line_end(text, position, end)
    if paragraph:
        while following < end and _after_blank_lines(text, following, end, classes) == following:
            stop, following = line_end(text, following, end)
        following = _after_blank_lines(text, following, end, classes)
    return (stop if following < end else end), following


@njit(cache=True, nogil=True)
def _find_segments(
    offsets: np.ndarray,
    data: np.ndarray,
    paragraph: bool,
    shortest: int,
    case: np.ndarray,
    classes: np.ndarray,
    rows: np.ndarray,
    keys: np.ndarray,
    counts: np.ndarray,
) -> None:
    """Fill rows (uint32[4, n]: before, start, stop, end) and keys; those of text i end at counts[i + 1]."""
    longest = 0
    for i in range(len(offsets) - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    folded = np.empty(GROWTH * longest, np.uint8)
    count = 0
    for i in range(len(offsets) - 1):
        origin, end = offsets[i], offsets[i + 1]
        before = origin
        start = _after_blank_lines(data, origin, end, classes) if paragraph else origin
        while start < end:
            stop, following = _next_segment(data, start, end, paragraph, classes)
            length, characters = fold(data, start, stop, case, classes, folded)
            if characters >= shortest:
                rows[0, count] = before - origin
                rows[1, count] = start - origin
                rows[2, count] = stop - origin
                rows[3, count] = following - origin
                keys[count], _ = murmur3_128(folded, 0, length)
                count += 1
            before = stop
            start = following
        counts[i + 1] = count


def segments(texts: pa.LargeStringArray, unit: Unit, *, fold_case: bool = True, min_length: int = 1) -> pa.ListArray:
    """The lines or paragraphs of each text with their keys, of type SEGMENTS; null for null.

    A line ends as ``str.splitlines`` has it. A paragraph is a run of lines that have more than white space. The key is
    64 bits of the segment with white space folded. Blank lines are no segments.

    Args:
        texts: each of less than 4 GiB.
        unit: what to find.
        fold_case: segments that differ only in case have one key, as C4's lines.
        min_length: characters, white space folded, below which a segment is left out: it is never a duplicate.

    Raises:
        ValueError: min_length is below 1.
    """
    if min_length < 1:
        raise ValueError(f"segments have at least one character, not {min_length}")
    offsets, data = string_buffers(texts.fill_null(""))
    most = int(offsets[-1] - offsets[0])
    rows = np.empty((4, most), np.uint32)
    keys = np.empty(most, np.uint64)
    counts = np.zeros(len(texts) + 1, np.int32)
    _find_segments(
        offsets, data, unit == "paragraph", min_length, folded_case(fold_case), character_classes(), rows, keys, counts
    )
    columns = [pa.array(column[: counts[-1]]) for column in (*rows, keys)]
    found = pa.StructArray.from_arrays(columns, fields=list(SEGMENTS.value_type))
    return pa.ListArray.from_arrays(pa.array(counts), found, type=SEGMENTS, mask=texts.is_null())


def repeated_segments(
    parts: Sequence[Part], scope: Scope = "snapshot", preceding: Sequence[Part] = ()
) -> Iterator[pa.Table]:
    """What to remove so that every segment is kept once.

    Args:
        parts: Parquet files with the columns doc (int64, unique over all parts), date (timestamp, nullable) and
            segments (of type SEGMENTS).
        scope: in what a segment is kept once: its own document or all of the parts.
        preceding: such files of the snapshots before this one: a segment that they have is not the first here.

    Yields:
        For each part of documents (`doc >> ROW_BITS`) of which something goes, in ascending order, a table of
        schema REMOVALS, sorted by doc. Where a segment goes, so does the line break after it, or the one before it
        at the end of the text: the segments that stay are joined as before.

    Raises:
        ValueError: a part is given twice.
    """
    if not parts:
        return
    with key_files(parts, preceding) as con:
        found = con.sql(statement("deduplication/repeated_segments"), params={"scope": scope})
        pending: list[pa.RecordBatch] = []
        part = -1
        for batch in found.to_arrow_reader(_BATCH_ROWS):
            numbers = batch.column("doc").to_numpy() >> ROW_BITS
            bounds = [0, *(np.flatnonzero(numbers[1:] != numbers[:-1]) + 1), len(numbers)]
            for start, stop in itertools.pairwise(bounds):
                if pending and numbers[start] != part:
                    yield _removals(pa.Table.from_batches(pending))
                    pending = []
                part = numbers[start]
                pending.append(batch.slice(start, stop - start))
        if pending:
            yield _removals(pa.Table.from_batches(pending))


def _removals(found: pa.Table) -> pa.Table:
    """Spans to remove, from the segments to remove in order of doc and start."""
    doc, before, start, stop, end = (found[name].to_numpy() for name in ("doc", "before", "start", "stop", "end"))
    # Segments that touch are one span.
    first = np.flatnonzero(np.r_[True, (doc[1:] != doc[:-1]) | (start[1:] != end[:-1])])
    last = np.r_[first[1:], len(doc)] - 1
    at_the_end = stop[last] == end[last]
    spans = pa.StructArray.from_arrays(
        [pa.array(np.where(at_the_end, before[first], start[first])), pa.array(end[last])], ["start", "end"]
    )
    docs, offsets = np.unique(doc[first], return_index=True)
    removed = pa.ListArray.from_arrays(pa.array(np.r_[offsets, len(first)].astype(np.int32)), spans)
    return pa.table([pa.array(docs), removed], schema=REMOVALS)
