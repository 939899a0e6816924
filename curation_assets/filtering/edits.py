"""Recorded edits: how a text was changed, as spans of UTF-8 byte offsets into the text before the change.

Whatever a station does to a text (dropped lines, masked e-mail addresses) is kept as edits, so that any
output text is a function of the extracted text, and any byte of it can be traced back.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit

from curation_assets.filtering.characters import inner, string_buffers

EDITS = pa.list_(pa.struct([("start", pa.uint32()), ("end", pa.uint32()), ("replacement", pa.string())]))
"""The edits of one text: bytes ``start`` to ``end`` (exclusive) become ``replacement``; sorted and disjoint."""


@njit(cache=True, nogil=True)
def _edited_offsets(
    offsets: np.ndarray,
    valid: np.ndarray,
    first: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    inserts: np.ndarray,
) -> tuple[np.ndarray, int]:
    """Offsets of the edited texts, int64[n + 1], and the first row whose spans are not as they must be, or -1."""
    edited = np.zeros(len(offsets), np.int64)
    for row in range(len(offsets) - 1):
        edited[row + 1] = edited[row]
        if not valid[row]:
            continue
        size = offsets[row + 1] - offsets[row]
        length = size
        position = 0
        for edit in range(first[row], first[row + 1]):
            start = np.int64(starts[edit])
            end = np.int64(ends[edit])
            if start < position or end < start or end > size:
                return edited, row
            position = end
            length += inserts[edit + 1] - inserts[edit] - (end - start)
        edited[row + 1] += length
    return edited, -1


@inner
def _copy(source: np.ndarray, start: int, end: int, target: np.ndarray, position: int) -> int:
    for i in range(start, end):
        target[position] = source[i]
        position += 1
    return position


@njit(cache=True, nogil=True)
def _write(
    offsets: np.ndarray,
    data: np.ndarray,
    valid: np.ndarray,
    first: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    inserts: np.ndarray,
    inserted: np.ndarray,
    target: np.ndarray,
) -> None:
    position = 0
    for row in range(len(offsets) - 1):
        if not valid[row]:
            continue
        copied = offsets[row]
        for edit in range(first[row], first[row + 1]):
            position = _copy(data, copied, offsets[row] + np.int64(starts[edit]), target, position)
            position = _copy(inserted, inserts[edit], inserts[edit + 1], target, position)
            copied = offsets[row] + np.int64(ends[edit])
        position = _copy(data, copied, offsets[row + 1], target, position)


def apply_edits(texts: pa.LargeStringArray, edits: pa.ListArray) -> pa.LargeStringArray:
    """Apply to each text its edits.

    Args:
        texts: the texts to which the spans refer.
        edits: of type ``EDITS`` and of the same length; null means no edits.

    Returns:
        The edited texts; null where the text is null.

    Raises:
        ValueError: if the lengths differ, or the spans of a row are unsorted, overlap or leave the text.
    """
    if len(texts) != len(edits):
        raise ValueError(f"{len(texts)} texts but {len(edits)} lists of edits")
    offsets, data = string_buffers(texts)
    valid = texts.is_valid()
    valid_rows = valid.to_numpy(zero_copy_only=False)
    first = np.zeros(len(edits) + 1, np.int64)
    np.cumsum(edits.value_lengths().fill_null(0).to_numpy(), out=first[1:])
    starts, ends, replacements = edits.flatten().flatten()
    inserts, inserted = string_buffers(replacements.cast(pa.large_string()))
    spans = starts.to_numpy(), ends.to_numpy()
    edited, wrong = _edited_offsets(offsets, valid_rows, first, *spans, inserts)
    if wrong >= 0:
        raise ValueError(f"the edits of row {wrong} are unsorted, overlap or leave the text")
    target = np.empty(edited[-1], np.uint8)
    _write(offsets, data, valid_rows, first, *spans, inserts, inserted, target)
    bitmap = valid.buffers()[1] if texts.null_count else None
    return pa.LargeStringArray.from_buffers(len(texts), pa.py_buffer(edited), pa.py_buffer(target), bitmap)


def as_edits(spans: pa.ListArray) -> pa.ListArray:
    """Spans with `start` and `end` (and `replacement`, or nothing put in their place) as `EDITS`; null stays null."""
    if spans.type == EDITS:
        return spans
    found = spans.flatten()
    offsets = np.zeros(len(spans) + 1, np.int32)
    np.cumsum(spans.value_lengths().fill_null(0).to_numpy(), out=offsets[1:])
    names = [field.name for field in found.type]
    empty = pa.repeat(pa.scalar(""), len(found))
    columns = [found.field(field.name) if field.name in names else empty for field in EDITS.value_type]
    struct = pa.StructArray.from_arrays(columns, fields=list(EDITS.value_type))
    return pa.ListArray.from_arrays(pa.array(offsets), struct, type=EDITS)


def source_offset(edits: Sequence[Mapping[str, Any]], output_offset: int) -> int:
    """Where a byte of the edited text came from.

    Args:
        edits: the edits of one text, as ``EDITS`` values have them: mappings with start, end and replacement.
        output_offset: byte offset in the edited text, or its length.

    Returns:
        The byte's offset in the text before the edits; the start of the edit for a byte of a replacement. To
        map the exclusive end of a span, map its last byte and add one.
    """
    shift = 0
    for edit in edits:
        start = edit["start"] + shift
        if output_offset < start:
            break
        size = len(edit["replacement"].encode())
        if output_offset < start + size:
            return edit["start"]
        shift += size - (edit["end"] - edit["start"])
    return output_offset - shift


def output_offset(edits: Sequence[Mapping[str, Any]], source_offset: int) -> int:
    """Where a byte of the text before the edits is in the edited text; the inverse of ``source_offset``.

    A byte that was removed or replaced maps to the first byte of the replacement, or to what follows the gap.
    """
    shift = 0
    for edit in edits:
        if source_offset < edit["start"]:
            break
        if source_offset < edit["end"]:
            return edit["start"] + shift
        shift += len(edit["replacement"].encode()) - (edit["end"] - edit["start"])
    return source_offset + shift
