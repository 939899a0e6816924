"""The kernels of `substring`, which says how they go together: windows of symbols, their minimisers, equal ones.

Symbols are unsigned integers of any size: bytes, hashes of words, tokens. The texts of a batch are one array of symbols
with int64[n + 1] offsets.
"""

import numpy as np
from numba import njit

from curation_assets.deduplication.hashes.mix64 import GOLDEN, hash_bytes, mix
from curation_assets.filtering.characters import allocating, inner
from curation_assets.filtering.words import doubled, widened, word_spans

RUN = np.dtype(
    [
        ("row", np.int64),
        ("start", np.int64),
        ("windows", np.int64),
        ("minimiser", np.uint64),
        ("places", np.int64),
    ]
)
"""Consecutive windows of a text that share a minimiser: its row, the first one's first symbol in the batch, how many
they are, and whether the minimiser is in one place or in several (2)."""

HEAD = np.dtype([("minimiser", np.uint64), ("position", np.int64), ("windows", np.int64), ("places", np.int64)])
"""A run whose symbols have been copied: `position` is where it is in the snapshot."""

_ENTRY = np.dtype([("hash", np.uint64), ("at", np.int64), ("position", np.int64), ("again", np.bool_)], align=True)
"""The first of equal windows: hash, where its symbols are, position in the snapshot, and whether it came again."""


@inner
def _power(exponent: int) -> np.uint64:
    """GOLDEN to the power of exponent, modulo 2**64: the base of the rolling hashes, which are polynomials."""
    power = np.uint64(1)
    for _ in range(exponent):
        power *= GOLDEN
    return power


@njit(cache=True, nogil=True)
def word_symbols(
    offsets: np.ndarray, data: np.ndarray, classes: np.ndarray, symbols: np.ndarray, ends: np.ndarray
) -> np.ndarray:
    """Hash the words of each text; those of text i end at ends[i + 1] (int64[n + 1], zero at the start)."""
    count = 0
    for row in range(len(offsets) - 1):
        starts, stops = word_spans(data, offsets[row], offsets[row + 1], classes)
        if count + len(starts) > len(symbols):
            symbols = widened(symbols, 2 * (count + len(starts)))
        for word in range(len(starts)):
            symbols[count] = hash_bytes(data, starts[word], stops[word], np.uint64(0))
            count += 1
        ends[row + 1] = count
    return symbols[:count]


@njit(cache=True, nogil=True)
def find_runs(symbols: np.ndarray, offsets: np.ndarray, length: int, gram: int) -> np.ndarray:
    """The runs (RUN) of each text, in order.

    Of equal minimisers the rightmost counts. Equal windows have theirs at equal distances, so two of them in one run
    have it in two places.
    """
    grams = length - gram + 1
    mask = 1
    while mask < grams:
        mask *= 2
    mask -= 1
    ring = np.zeros(mask + 1, np.uint64)
    top = _power(gram - 1)
    runs = np.empty(64, RUN)
    count = 0
    for row in range(len(offsets) - 1):
        begin, end = offsets[row], offsets[row + 1]
        if end - begin < length:
            continue
        rolling = np.uint64(0)
        for i in range(begin, begin + gram - 1):
            rolling = rolling * GOLDEN + np.uint64(symbols[i])
        least, place = np.uint64(0xFFFFFFFFFFFFFFFF), begin
        counted = -1
        for at in range(begin, end - gram + 1):
            rolling = rolling * GOLDEN + np.uint64(symbols[at + gram - 1])
            value = mix(rolling)
            rolling -= top * np.uint64(symbols[at])
            ring[at & mask] = value
            if value <= least:
                least, place = value, at
            start = at - grams + 1
            if start < begin:
                continue
            if place < start:
                least, place = value, at
                for j in range(at - 1, start - 1, -1):
                    if ring[j & mask] < least:
                        least, place = ring[j & mask], j
            if place == counted:
                continue
            if counted >= 0 and runs["minimiser"][count - 1] == least:
                runs["places"][count - 1] = 2
            else:
                if counted >= 0:
                    runs["windows"][count - 1] = start - runs["start"][count - 1]
                if count == len(runs):
                    runs = widened(runs, 2 * count)
                runs["row"][count] = row
                runs["start"][count] = start
                runs["minimiser"][count] = least
                runs["places"][count] = 1
                count += 1
            counted = place
        runs["windows"][count - 1] = end - length + 1 - runs["start"][count - 1]
    return runs[:count]


@njit(cache=True, nogil=True)
def count_places(seen: np.ndarray, runs: np.ndarray) -> None:
    """Add the places of each run's minimiser to its slot: two bits that stop at 2, four slots to a byte."""
    mask = np.uint64(4 * len(seen) - 1)
    for i in range(len(runs)):
        slot = runs["minimiser"][i] & mask
        byte = slot >> np.uint64(2)
        shift = np.uint8(slot & np.uint64(3)) * np.uint8(2)
        places = (seen[byte] >> shift) & np.uint8(3)
        if places < 2:
            places = min(np.uint8(2), np.uint8(places + np.uint8(runs["places"][i])))
            seen[byte] = (seen[byte] & ~np.uint8(np.uint8(3) << shift)) | np.uint8(places << shift)


@njit(cache=True, nogil=True)
def repeated(seen: np.ndarray, runs: np.ndarray) -> np.ndarray:
    """Which runs have a minimiser that was counted twice: bool[n]."""
    mask = np.uint64(4 * len(seen) - 1)
    found = np.empty(len(runs), np.bool_)
    for i in range(len(runs)):
        slot = runs["minimiser"][i] & mask
        shift = np.uint8(slot & np.uint64(3)) * np.uint8(2)
        found[i] = (seen[slot >> np.uint64(2)] >> shift) & np.uint8(3) >= 2
    return found


@njit(cache=True, nogil=True)
def scatter(
    symbols: np.ndarray,
    runs: np.ndarray,
    length: int,
    positions: np.ndarray,
    heads: np.ndarray,
    copies: np.ndarray,
    head_ends: np.ndarray,
    copy_ends: np.ndarray,
) -> None:
    """Order runs and their symbols by bucket.

    positions: int64[n], of the runs in the snapshot. heads gets a HEAD for each run, copies gets its symbols; those of
    bucket b end at head_ends[b] and copy_ends[b] (int64[B], zero at the start).
    """
    buckets = np.uint64(len(head_ends))
    for i in range(len(runs)):
        bucket = mix(runs["minimiser"][i]) % buckets
        head_ends[bucket] += 1
        copy_ends[bucket] += runs["windows"][i] + length - 1
    for ends in (head_ends, copy_ends):
        total = 0
        for bucket in range(len(ends)):
            size = ends[bucket]
            ends[bucket] = total
            total += size
    for i in range(len(runs)):
        bucket = mix(runs["minimiser"][i]) % buckets
        head = head_ends[bucket]
        heads["minimiser"][head] = runs["minimiser"][i]
        heads["position"][head] = positions[i]
        heads["windows"][head] = runs["windows"][i]
        heads["places"][head] = runs["places"][i]
        head_ends[bucket] += 1
        size = runs["windows"][i] + length - 1
        source = symbols[runs["start"][i] : runs["start"][i] + size]
        target = copies[copy_ends[bucket] : copy_ends[bucket] + size]
        for j in range(size):
            target[j] = source[j]
        copy_ends[bucket] += size


@inner
def _clear(table: np.ndarray, size: int) -> None:
    for slot in range(size):
        table["at"][slot] = -1


@allocating
def _rehashed(table: np.ndarray, size: int) -> np.ndarray:
    """A table of 2 * size slots with the entries of the first `size` slots of another."""
    wider = np.empty(2 * size, _ENTRY)
    _clear(wider, 2 * size)
    mask = np.uint64(2 * size - 1)
    for i in range(size):
        if table["at"][i] >= 0:
            slot = (table["hash"][i] >> np.uint64(20)) & mask
            while wider["at"][slot] >= 0:
                slot = (slot + np.uint64(1)) & mask
            wider[slot] = table[i]
    return wider


@allocating
def _added(spans: np.ndarray, count: int, start: int, end: int) -> tuple[np.ndarray, int]:
    """Add a span to the first `count`, or join it to the last if they touch."""
    if count and start <= spans[count - 1, 1] and end >= spans[count - 1, 0]:
        spans[count - 1, 0] = min(spans[count - 1, 0], start)
        spans[count - 1, 1] = max(spans[count - 1, 1], end)
        return spans, count
    if count == len(spans):
        spans = doubled(spans)
    spans[count, 0] = start
    spans[count, 1] = end
    return spans, count + 1


@inner
def _equal(symbols: np.ndarray, a: int, b: int, length: int) -> bool:
    one, other = symbols[a : a + length], symbols[b : b + length]
    different = False
    for i in range(length):  # to the end, without a branch, so that it becomes vector code: the hashes agree already
        different |= one[i] != other[i]
    return not different


@inner
def _slot(table: np.ndarray, mask: np.uint64, value: np.uint64, symbols: np.ndarray, at: int, length: int) -> np.uint64:
    """Where in the table the window at `at`, whose hash is `value`, has its equal, or may be entered."""
    slot = (value >> np.uint64(20)) & mask
    while table["at"][slot] >= 0:
        if table["hash"][slot] == value and _equal(symbols, table["at"][slot], at, length):
            break
        slot = (slot + np.uint64(1)) & mask
    return slot


@njit(cache=True, nogil=True)
def find_cuts(
    symbols: np.ndarray, heads: np.ndarray, begins: np.ndarray, length: int, keep_first: bool, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find the equal windows of a bucket, one minimiser after the other.

    heads: HEAD[n], by minimiser and position; begins: int64[n], where in `symbols` each run is; most: different windows
    that a table holds. If a minimiser has more, its windows are taken in turns, by their hash. Returns spans of
    positions to cut, two times int64[m, 2], neither sorted nor disjoint: of the windows that came before, and of those
    that came again, unless the first is kept.
    """
    top = _power(length - 1)
    table = np.empty(1 << 10, _ENTRY)
    later, later_count = np.empty((64, 2), np.int64), 0
    first, first_count = np.empty((64, 2), np.int64), 0
    end = 0
    while end < len(heads):
        begin, windows = end, 0
        while end < len(heads) and heads["minimiser"][end] == heads["minimiser"][begin]:
            windows += heads["windows"][end]
            end += 1
        if end == begin + 1 and heads["places"][begin] == 1:
            continue
        turn, turns = 0, 1
        while turn < turns:
            # Hashes that defy division, which takes malice, get a larger table instead.
            limit = most if turns * most < 4 * windows else windows
            size = 4
            while size < min(2 * windows, 256):
                size *= 2
            _clear(table, size)
            mask = np.uint64(size - 1)
            filled, over = 0, False
            for run in range(begin, end):
                if over:
                    break
                rolling = np.uint64(0)
                for i in range(begins[run], begins[run] + length - 1):
                    rolling = rolling * GOLDEN + np.uint64(symbols[i])
                for window in range(heads["windows"][run]):
                    at = begins[run] + window
                    rolling = rolling * GOLDEN + np.uint64(symbols[at + length - 1])
                    value = mix(rolling)
                    rolling -= top * np.uint64(symbols[at])
                    if value & np.uint64(turns - 1) != np.uint64(turn):
                        continue
                    slot = _slot(table, mask, value, symbols, at, length)
                    position = heads["position"][run] + window
                    if table["at"][slot] < 0:
                        over = filled == limit
                        if over:
                            break
                        filled += 1
                        table["hash"][slot] = value
                        table["at"][slot] = at
                        table["position"][slot] = position
                        table["again"][slot] = False
                        if 4 * filled > 3 * size:
                            table = _rehashed(table, size)
                            size *= 2
                            mask = np.uint64(size - 1)
                        continue
                    start = table["position"][slot]
                    if keep_first:
                        start = max(start + length, position)
                        later, later_count = _added(later, later_count, start, position + length)
                        continue
                    later, later_count = _added(later, later_count, position, position + length)
                    if not table["again"][slot]:
                        table["again"][slot] = True
                        first, first_count = _added(first, first_count, start, start + length)
            if over:  # from the start, by half as many: what was found is found again, which does no harm
                turn, turns = 0, 2 * turns
            else:
                turn += 1
    return later[:later_count], first[:first_count]


@njit(cache=True, nogil=True)
def on_characters(data: np.ndarray, bounds: np.ndarray, rows: np.ndarray, spans: np.ndarray) -> None:
    """Shrink spans of bytes (int64[n, 2], each inside a text of `rows`) to whole characters; maybe to none."""
    for i in range(len(spans)):
        begin, end = bounds[rows[i]], bounds[rows[i] + 1]
        while spans[i, 0] < spans[i, 1] and data[begin + spans[i, 0]] & 0xC0 == 0x80:
            spans[i, 0] += 1
        while spans[i, 0] < spans[i, 1] < end - begin and data[begin + spans[i, 1]] & 0xC0 == 0x80:
            spans[i, 1] -= 1


@njit(cache=True, nogil=True)
def on_words(data: np.ndarray, bounds: np.ndarray, rows: np.ndarray, spans: np.ndarray, classes: np.ndarray) -> None:
    """Turn spans of words (int64[n, 2], of ascending rows) into spans of bytes."""
    row = -1
    starts = stops = np.empty(0, np.int64)
    for i in range(len(spans)):
        if rows[i] != row:
            row = int(rows[i])
            starts, stops = word_spans(data, bounds[row], bounds[row + 1], classes)
        spans[i, 0] = starts[spans[i, 0]] - bounds[row]
        spans[i, 1] = stops[spans[i, 1] - 1] - bounds[row]
