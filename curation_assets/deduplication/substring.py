"""Exact substring deduplication: spans of text that a snapshot has more than once, whatever surrounds them.

After ExactSubstr (Lee et al. 2022, "Deduplicating training data makes language models better"); RefinedWeb too cuts
spans of 50 tokens. A *window* is `length` consecutive symbols of one text: bytes, or words. A longer span occurs again
only if all its windows do, so what is to be found are the windows that occur more than once: exactly those that a
suffix array shows by common prefixes of `length` or more. Unlike a suffix array, equal windows can be found by a layout
of files, in about half the time that building one takes, and without the snapshot in memory.

Guarantee: every window that occurs more than once is found and no other, whatever the parts, their order and the sizes
below. Hashes only choose what is compared, symbol by symbol. (The symbol of a word is a 64-bit hash of its bytes.)

1. The *minimiser* of a window is the smallest hash of its grams, each two fifths of it. It depends on the window alone,
   so equal windows have equal minimisers; and consecutive windows mostly share one: they form a *run* (the
   super-k-mers of Li et al. 2013, "Memory efficient minimum substring partitioning"). The first reading counts the
   places of each minimiser in a table of two bits a slot. A collision there costs time, nothing else.
2. The second reading appends the symbols of each run whose minimiser has several places to one of up to 512 files,
   chosen by minimiser. Equal windows are in one file.
3. Each file is taken alone, one minimiser after the other, its runs in the order of the snapshot. A hash table holds
   the first of equal windows. More windows than it may hold are taken in turns, by their hash.
4. The windows to cut are united to spans of the snapshot, and a third reading makes them spans of each text.

Memory, for windows of 100 bytes or 50 words: 0.03 to 0.13 bytes per byte of text (the table of stage 1, which stops at
1 GiB); 64 bytes per document; 192 MiB at most for stage 3's table and 100 bytes for each run of one file; one batch,
and the result. Scratch disk: about 5 bytes per byte of text that shares its minimisers (in words 6), for real web text
1 to 2 bytes per byte of all, of which the system may keep in memory what it likes.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation_assets.deduplication.forest import microseconds
from curation_assets.deduplication.windows import (
    HEAD,
    count_places,
    find_cuts,
    find_runs,
    on_characters,
    on_words,
    repeated,
    scatter,
    word_symbols,
)
from curation_assets.filtering.characters import character_classes, string_buffers
from curation_assets.lake.parts import read_batches
from curation_assets.lake.shuffle import temporary_folder

_SPAN = pa.struct([("start", pa.uint32()), ("end", pa.uint32())])
SPANS = pa.schema([pa.field("doc", pa.int64(), nullable=False), pa.field("spans", pa.list_(_SPAN), nullable=False)])
"""One row for each document with something to cut, sorted by doc. The spans are offsets in bytes of the text as it was
given, sorted, never touching, on the bounds of characters or of words; `edits.as_edits` makes edits of them."""

Unit = Literal["bytes", "words"]
Keep = Literal["first", "none"]

_SYMBOL_SIZE = {"bytes": 1, "words": 4}  # bytes of text, about
_LEAST_SLOTS, _MOST_SLOTS = 1 << 16, 1 << 32
_BUCKET_SYMBOLS = 1 << 26  # of all the text, for each bucket
_MOST_BUCKETS = 512
_TABLE_WINDOWS = 1 << 21
_SPAN_FILE_SYMBOLS = 1 << 28


def duplicate_spans(
    parts: Sequence[Path],
    *,
    unit: Unit,
    length: int,
    keep: Keep = "first",
    scratch: str | os.PathLike[str] | None = None,
) -> pa.Table:
    """Find the spans of text that occur more than once in a snapshot, in several documents or in one.

    Of equal windows the first is the one whose document has the earliest date (a null date comes last), then the
    smallest doc, then the one that starts first. To keep it means that the others are cut, except for symbols that one
    shares with the first by overlapping it: "abcabcabcabc" by windows of 3 is cut to "abc". Every symbol that is
    cut has an equal before it that is not, but two spans that were neighbours in the first occurrence may be kept in
    different places. Without keeping, every window that occurs more than once is cut.

    Parts are read three times. The result depends on neither their order nor the row groups.

    Args:
        parts: Parquet files with the columns doc (int64, unique over all parts), date (timestamp, nullable) and text
            (string or large_string; null is empty). Other columns are not read.
        unit: what a window consists of: bytes of UTF-8, or words (`filtering.words`), whatever is between them. A span
            of bytes is then shrunk to whole characters; one of words is from the first to the last of them.
        length: symbols of a window, 1 or more. Published: 50 BPE tokens.
        keep: whether the first of equal windows stays.
        scratch: folder for temporary files, made if it does not exist; the system's by default. It is left as
            it was found.

    Returns:
        A table of schema SPANS. Documents with nothing to cut are not in it.

    Raises:
        ValueError: the length is less than 1, a doc occurs twice, or a text has 4 GiB or more.
    """
    if length < 1:
        raise ValueError(f"length must be at least 1, not {length}")
    with temporary_folder(scratch) as folder:
        seen, docs, positions, total = _count(parts, unit, length)
        buckets = _collect(parts, unit, length, seen, positions, total, folder)
        del seen
        spans = _find(buckets, unit, length, keep == "first", total, folder)
    return _by_document(parts, unit, docs, positions, spans)


def _count(parts: Sequence[Path], unit: Unit, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Count minimisers, and put the texts in order.

    Returns the table of `count_places`; doc and position of each text (int64[n]) in the order of reading; and the
    number of positions. The position of a text is its first symbol's if all texts are joined in the order
    (date, doc), with one more position after each, so that spans of two texts never touch.
    """
    seen = np.zeros(_slots(parts, unit, length) // 4, np.uint8)
    docs, dates, sizes = ([np.empty(0, np.int64)] for _ in range(3))
    for batch, offsets, _, runs in _runs(parts, unit, length, ["doc", "date"]):
        count_places(seen, runs)
        docs.append(batch.column("doc").to_numpy())
        dates.append(microseconds(batch.column("date")))
        sizes.append(np.diff(offsets) + 1)
    doc, size = np.concatenate(docs), np.concatenate(sizes)
    ordered = np.sort(doc)
    if np.any(ordered[1:] == ordered[:-1]):
        raise ValueError(f"doc {ordered[:-1][ordered[1:] == ordered[:-1]][0]} occurs more than once in the parts")
    order = np.lexsort((doc, np.concatenate(dates)))
    position = np.empty_like(size)
    position[order] = np.cumsum(size[order]) - size[order]
    return seen, doc, position, int(size.sum())


def _slots(parts: Sequence[Path], unit: Unit, length: int) -> int:
    """Slots to count minimisers in: a power of two, 8 to 16 for each that random text would have."""
    size = 0
    for part in parts:
        footer = pq.read_metadata(part)
        groups = (footer.row_group(i) for i in range(footer.num_row_groups))
        columns = (group.column(i) for group in groups for i in range(group.num_columns))
        size += sum(column.total_uncompressed_size for column in columns if column.path_in_schema == "text")
    runs = 2 * size // (_SYMBOL_SIZE[unit] * (length - _gram(length) + 2))
    return min(max(_LEAST_SLOTS, 1 << (8 * runs).bit_length()), _MOST_SLOTS)


def _collect(
    parts: Sequence[Path],
    unit: Unit,
    length: int,
    seen: np.ndarray,
    positions: np.ndarray,
    total: int,
    folder: Path,
) -> list[Path]:
    """Write the runs whose minimiser has several places to buckets: pairs of files `*.heads` and `*.symbols`."""
    count = min(1 + total // _BUCKET_SYMBOLS, _MOST_BUCKETS)
    buckets = [folder / f"bucket={i:04d}" for i in range(count)]
    row = 0
    for batch, offsets, symbols, runs in _runs(parts, unit, length):
        runs = runs[repeated(seen, runs)]
        starts = positions[row + runs["row"]] + runs["start"] - offsets[runs["row"]]
        heads = np.empty(len(runs), HEAD)
        copies = np.empty(runs["windows"].sum() + len(runs) * (length - 1), symbols.dtype)
        ends = np.zeros((2, count), np.int64)
        scatter(symbols, runs, length, starts, heads, copies, *ends)
        _append([bucket.with_suffix(".heads") for bucket in buckets], heads, ends[0])
        _append([bucket.with_suffix(".symbols") for bucket in buckets], copies, ends[1])
        row += batch.num_rows
    return buckets


def _find(buckets: Sequence[Path], unit: Unit, length: int, keep_first: bool, total: int, folder: Path) -> np.ndarray:
    """Find what is to be cut in each bucket: spans of positions (int64[n, 2]), sorted, never touching."""
    files = [folder / f"spans={i:04d}" for i in range(1 + total // _SPAN_FILE_SYMBOLS)]
    bounds = np.arange(1, len(files) + 1) * _SPAN_FILE_SYMBOLS
    for bucket in buckets:
        heads = _read(bucket.with_suffix(".heads"), HEAD)
        symbols = _read(bucket.with_suffix(".symbols"), np.dtype(np.uint8 if unit == "bytes" else np.uint64))
        sizes = heads["windows"] + length - 1
        order = np.lexsort((heads["position"], heads["minimiser"]))
        begins = (np.cumsum(sizes) - sizes)[order]
        for spans in find_cuts(symbols, heads[order], begins, length, keep_first, _TABLE_WINDOWS):
            spans = spans[np.argsort(spans[:, 0])]
            _append(files, spans, np.searchsorted(spans[:, 0], bounds))
    united = [_united(_read(file, np.dtype(np.int64)).reshape(-1, 2)) for file in files]
    return _united(np.concatenate(united))


def _united(spans: np.ndarray) -> np.ndarray:
    """The union of spans, sorted; those that touch become one."""
    if not len(spans):
        return spans
    spans = spans[np.argsort(spans[:, 0])]
    ends = np.maximum.accumulate(spans[:, 1])
    gap = spans[1:, 0] > ends[:-1]
    return np.column_stack([spans[np.append(True, gap), 0], ends[np.append(gap, True)]])


def _by_document(
    parts: Sequence[Path], unit: Unit, docs: np.ndarray, positions: np.ndarray, spans: np.ndarray
) -> pa.Table:
    """Turn spans of positions into a table of SPANS."""
    order = np.argsort(positions)
    numbers = order[np.searchsorted(positions[order], spans[:, 0], side="right") - 1]  # the text of each span
    by_reading = np.argsort(numbers, kind="stable")
    numbers = numbers[by_reading]
    spans = spans[by_reading] - positions[numbers, None]
    first = 0
    for batch in _batches(parts, ["text"]):
        low, high = np.searchsorted(numbers, [first, first + batch.num_rows])
        if low < high:
            offsets, data = _texts(batch)
            rows = numbers[low:high] - first
            if unit == "bytes":
                on_characters(data, offsets, rows, spans[low:high])
            else:
                on_words(data, offsets, rows, spans[low:high], character_classes())
        first += batch.num_rows
    some = spans[:, 0] < spans[:, 1]
    doc, spans = docs[numbers[some]], spans[some]
    by_doc = np.argsort(doc, kind="stable")
    doc, counts = np.unique(doc, return_counts=True)
    starts, ends = (pa.array(column, pa.uint32()) for column in spans[by_doc].T)
    structs = pa.StructArray.from_arrays([starts, ends], fields=list(_SPAN))
    bounds = pa.array(np.append(0, np.cumsum(counts)), pa.int32())
    return pa.table([doc, pa.ListArray.from_arrays(bounds, structs)], schema=SPANS)


def _runs(
    parts: Sequence[Path], unit: Unit, length: int, columns: Sequence[str] = ()
) -> Iterator[tuple[pa.RecordBatch, np.ndarray, np.ndarray, np.ndarray]]:
    """Each batch of text and other columns, with its offsets (int64[n + 1]), symbols and runs (RUN)."""
    for batch in _batches(parts, [*columns, "text"]):
        offsets, data = _texts(batch)
        if unit == "words":
            offsets, data = _words(offsets, data)
        yield batch, offsets, data, find_runs(data, offsets, length, _gram(length))


def _words(offsets: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Offsets and symbols (uint64) of texts by words."""
    ends = np.zeros(len(offsets), np.int64)
    room = 64 + int(offsets[-1] - offsets[0]) // _SYMBOL_SIZE["words"]
    return ends, word_symbols(offsets, data, character_classes(), np.empty(room, np.uint64), ends)


def _texts(batch: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray]:
    """Offsets and bytes (uint8) of a batch's texts; a null is an empty text."""
    texts = batch.column("text").cast(pa.large_string())
    offsets, data = string_buffers(texts.fill_null("") if texts.null_count else texts)
    if len(texts) and int(np.diff(offsets).max()) > np.iinfo(np.uint32).max:
        raise ValueError("a text of 4 GiB or more does not fit uint32 offsets")
    return offsets, data


def _batches(parts: Sequence[Path], columns: list[str]) -> Iterator[pa.RecordBatch]:
    """The texts in the order of reading, the same each time."""
    for part in parts:
        yield from read_batches(part, columns)


def _append(files: Sequence[Path], rows: np.ndarray, ends: np.ndarray) -> None:
    """Append rows to files; those of each end at `ends`. Only files that get some exist."""
    start = 0
    for file, end in zip(files, ends.tolist(), strict=True):
        if start < end:
            with file.open("ab") as opened:
                opened.write(rows[start:end].data)
        start = end


def _read(file: Path, dtype: np.dtype) -> np.ndarray:
    """What was appended to a file, which goes; mapped, so that a large one needs no memory."""
    if not file.exists():
        return np.empty(0, dtype)
    mapped = np.memmap(file, dtype, "r").view(np.ndarray)
    file.unlink()
    return mapped


def _gram(length: int) -> int:
    """Symbols of a gram. Shorter ones are shared by text that differs, longer ones make more and shorter runs."""
    return max(1, length * 2 // 5)
