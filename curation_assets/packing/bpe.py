"""Learning byte-pair merges from word counts.

Byte-pair encoding (Sennrich, Haddow and Birch 2016, arXiv 1508.07909, algorithm 1): again and again, the most
frequent pair of neighbouring symbols becomes a new symbol. Ties go to the smaller pair of ids, as in Hugging
Face's `BpeTrainer`, whose merges these are. Counts are kept up to date instead of being taken anew for each
merge: every occurrence of a pair is in a doubly linked list, and a heap holds the pairs. One thread and no hash
order: the same words give the same merges.
"""

import numba
import numpy as np

BYTES = 256

# Everything is widened to int64 in the kernels: one type, one compilation.
Integer = int | np.int64

# Rows of `nodes`, int32: a column is a position in the words, alive while it begins a symbol.
SYMBOL, LEFT, RIGHT, WORD, SIZE = range(5)  # symbol here; neighbouring positions or -1; word; bytes of the symbol
PAIR, BEFORE, AFTER = range(5, 8)  # pair that begins here, and the other positions where it does, or -1
# Rows of `pairs`, int64: a column is a pair of symbols, from 1.
KEY, COUNT, FIRST, MERGED, GROWN = range(5)  # left << 32 | right; occurrences; a position of it or -1; flags
# Rows of `names`, int64: a column is a symbol.
START, LENGTH = range(2)  # bytes that spell it


def learn_merges(symbols: np.ndarray, lengths: np.ndarray, counts: np.ndarray, vocabulary: int) -> np.ndarray:
    """Learn merges until there are `vocabulary` symbols or nothing is left to merge.

    A symbol that two different merges spell is one symbol. Needs about 200 bytes of memory a byte of the
    distinct words.

    Args:
        symbols: ids 0 … 255 of the bytes of all words, end to end.
        lengths: bytes of each word.
        counts: how often each word occurs.
        vocabulary: number of symbols wanted, the 256 bytes included.

    Returns:
        int32 [merges, 3]: left id, right id, resulting id. New ids count up from 256.

    Raises:
        ValueError: the distinct words have 2²⁹ bytes or more.
    """
    total = len(symbols)
    if total >= 2**29:
        raise ValueError(f"{total} bytes of distinct words are too many to learn from; take a smaller sample")
    nodes = np.full((8, total), -1, np.int32)
    nodes[SYMBOL] = symbols
    nodes[WORD] = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    nodes[SIZE] = 1
    inside = np.flatnonzero(nodes[WORD, 1:] == nodes[WORD, :-1])
    nodes[LEFT, inside + 1] = inside
    nodes[RIGHT, inside] = inside + 1
    # A merge makes at most two new pairs and leaves one symbol fewer, so this bounds all pairs there ever are.
    # Zeroed memory costs nothing before it is touched.
    bound = 3 * total + 2
    merges = np.empty((total + 1, 3), np.int32)
    found = _learn(
        nodes,
        nodes[SYMBOL].copy(),
        np.asarray(counts, np.int64),
        max(vocabulary, BYTES),
        np.zeros((5, bound), np.int64),
        np.zeros(1 << (4 * bound // 3).bit_length(), np.int32),
        np.zeros((2, bound), np.int64),
        np.zeros((2, max(vocabulary, BYTES) + 1), np.int64),
        np.zeros(1 << (2 * vocabulary).bit_length(), np.int32),
        np.zeros(2 * total + 2, np.int64),
        merges,
    )
    return merges[:found]


@numba.njit(cache=True, nogil=True)
def _learn(
    nodes: np.ndarray,
    spelled: np.ndarray,
    counts: np.ndarray,
    vocabulary: int,
    pairs: np.ndarray,
    pair_slots: np.ndarray,
    heap: np.ndarray,
    names: np.ndarray,
    name_slots: np.ndarray,
    grown: np.ndarray,
    merges: np.ndarray,
) -> int:
    """Fill `merges` and return how many there are. `spelled` is the symbols as they were at first."""
    heap_size = 0
    merge_count = 0
    known = BYTES
    grown_count = 0  # pairs that became more frequent since they were last put on the heap
    for at in range(nodes.shape[1] - 1, -1, -1):
        grown_count = _link(at, nodes, counts, pairs, pair_slots, grown, grown_count)

    while known < vocabulary:
        for k in range(grown_count):
            pairs[GROWN, grown[k]] = 0
            _push(heap, heap_size, pairs, grown[k])
            heap_size += 1
        grown_count = 0
        while heap_size and heap[0, 0] != pairs[COUNT, heap[1, 0]]:
            # Out of date: put right, or gone.
            heap[0, 0] = pairs[COUNT, heap[1, 0]]
            if heap[0, 0] == 0:
                heap_size -= 1
                heap[0, 0], heap[1, 0] = heap[0, heap_size], heap[1, heap_size]
            _sift_down(heap, heap_size, pairs)
        if heap_size == 0 or heap[0, 0] == 0:
            break

        pair = heap[1, 0]
        a, b = pairs[KEY, pair] >> 32, pairs[KEY, pair] & 0xFFFFFFFF
        at = pairs[FIRST, pair]
        new = _name(spelled, at, nodes[SIZE, at] + nodes[SIZE, nodes[RIGHT, at]], names, name_slots, known)
        known = max(known, new + 1)
        if not pairs[MERGED, pair]:
            pairs[MERGED, pair] = 1
            merges[merge_count, 0], merges[merge_count, 1], merges[merge_count, 2] = a, b, new
            merge_count += 1
        while pairs[FIRST, pair] >= 0:
            at = pairs[FIRST, pair]
            # Overlapping occurrences, in a run of one symbol, merge from the left.
            while a == b and nodes[LEFT, at] >= 0 and nodes[SYMBOL, nodes[LEFT, at]] == a:
                at = np.int64(nodes[LEFT, at])
            while at >= 0 and nodes[PAIR, at] == pair:
                gone, before = np.int64(nodes[RIGHT, at]), np.int64(nodes[LEFT, at])
                after = np.int64(nodes[RIGHT, gone])
                for place in (before, at, gone):
                    _unlink(place, nodes, counts, pairs)
                nodes[SYMBOL, at] = new
                nodes[SIZE, at] += nodes[SIZE, gone]
                nodes[RIGHT, at] = after
                if after >= 0:
                    nodes[LEFT, after] = at
                for place in (before, at):
                    grown_count = _link(place, nodes, counts, pairs, pair_slots, grown, grown_count)
                at = after
    return merge_count


@numba.njit(cache=True, nogil=True)
def _link(
    at: Integer,
    nodes: np.ndarray,
    counts: np.ndarray,
    pairs: np.ndarray,
    slots: np.ndarray,
    grown: np.ndarray,
    grown_count: int,
) -> int:
    """Count the pair that begins at a position, if one does, and put it into the lists; return `grown_count`.

    The pair's number comes from an open-addressing hash table; column 0 of `pairs` counts the pairs.
    """
    if at < 0 or nodes[RIGHT, at] < 0:
        return grown_count
    key = np.int64(nodes[SYMBOL, at]) << 32 | np.int64(nodes[SYMBOL, nodes[RIGHT, at]])
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    slot = np.int64(mixed >> np.uint64(32)) & (len(slots) - 1)
    while slots[slot] and pairs[KEY, slots[slot]] != key:
        slot = (slot + 1) & (len(slots) - 1)
    if not slots[slot]:
        pairs[COUNT, 0] += 1
        slots[slot] = pairs[COUNT, 0]
        pairs[KEY, slots[slot]] = key
        pairs[FIRST, slots[slot]] = -1
    pair = slots[slot]

    after = pairs[FIRST, pair]
    nodes[PAIR, at], nodes[BEFORE, at], nodes[AFTER, at] = pair, -1, after
    if after >= 0:
        nodes[BEFORE, after] = at
    pairs[FIRST, pair] = at
    pairs[COUNT, pair] += counts[nodes[WORD, at]]
    if not pairs[GROWN, pair]:
        pairs[GROWN, pair] = 1
        grown[grown_count] = pair
        grown_count += 1
    return grown_count


@numba.njit(cache=True, nogil=True)
def _unlink(at: Integer, nodes: np.ndarray, counts: np.ndarray, pairs: np.ndarray) -> None:
    """Uncount the pair that begins at a position, if one does, and take it out of the lists."""
    if at < 0 or nodes[PAIR, at] < 0:
        return
    before, after = nodes[BEFORE, at], nodes[AFTER, at]
    if before >= 0:
        nodes[AFTER, before] = after
    else:
        pairs[FIRST, nodes[PAIR, at]] = after
    if after >= 0:
        nodes[BEFORE, after] = before
    pairs[COUNT, nodes[PAIR, at]] -= counts[nodes[WORD, at]]
    nodes[PAIR, at] = -1


@numba.njit(cache=True, nogil=True)
def _name(spelled: np.ndarray, start: int, length: int, names: np.ndarray, slots: np.ndarray, known: int) -> Integer:
    """Id of the symbol that a run of bytes spells: an existing one, or `known`."""
    mixed = np.uint64(length)
    for k in range(length):
        mixed = (mixed ^ np.uint64(spelled[start + k])) * np.uint64(0x100000001B3)
    slot = np.int64(mixed >> np.uint64(20)) & (len(slots) - 1)
    while slots[slot]:
        other = np.int64(slots[slot])
        k = 0
        while names[LENGTH, other] == length and k < length:
            if spelled[start + k] != spelled[names[START, other] + k]:
                break
            k += 1
        if k == length:
            return other
        slot = (slot + 1) & (len(slots) - 1)
    slots[slot] = known
    names[START, known], names[LENGTH, known] = start, length
    return known


@numba.njit(cache=True, nogil=True)
def _above(heap: np.ndarray, x: int, y: int, pairs: np.ndarray) -> bool:
    """Whether one place of the heap belongs above another: more occurrences, then smaller ids."""
    if heap[0, x] != heap[0, y]:
        return heap[0, x] > heap[0, y]
    return pairs[KEY, heap[1, x]] < pairs[KEY, heap[1, y]]


@numba.njit(cache=True, nogil=True)
def _sift_down(heap: np.ndarray, size: int, pairs: np.ndarray) -> None:
    at = 0
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and _above(heap, child + 1, child, pairs):
            child += 1
        if not _above(heap, child, at, pairs):
            return
        for row in range(2):
            heap[row, at], heap[row, child] = heap[row, child], heap[row, at]
        at = child


@numba.njit(cache=True, nogil=True)
def _push(heap: np.ndarray, size: int, pairs: np.ndarray, pair: int) -> None:
    heap[0, size], heap[1, size] = pairs[COUNT, pair], pair
    at = size
    while at and _above(heap, at, (at - 1) // 2, pairs):
        above = (at - 1) // 2
        for row in range(2):
            heap[row, at], heap[row, above] = heap[row, above], heap[row, at]
        at = above
