"""Repeated paragraphs, lines and word n-grams: the kernels beneath Gopher's repetition signals.

Rae et al. 2021 (arXiv 2112.11446, table A1) as datatrove 0.10 computes it. Pieces of text are compared by
64-bit polynomial hashes of their bytes: among m different pieces of one document the chance of any false
match is about m**2 / 2**65 (3e-8 for a million).
"""

import numpy as np

from curation_assets.filtering.characters import inner

_BASE = 6364136223846793005
_SEQUENCE_BASE = 3935559000370003845
_SCRAMBLE = 2862933555777941757

START, STOP, LENGTH, UNION, INTERSECTION = range(5)
"""Columns of the words array: first byte, byte after the last, characters, union and intersection of classes."""


@inner
def hash_bytes(text: np.ndarray, start: int, stop: int) -> tuple[int, int]:
    """Hash the bytes ``start`` to ``stop`` of UTF-8 and count their characters."""
    value = 0
    length = 0
    for i in range(start, stop):
        byte = int(np.int64(text[i]))
        value = value * _BASE + byte + 1
        length += (byte & 0xC0) != 0x80
    return value, length


@inner
def first_index(table: np.ndarray, mask: int, turn: int, key: int, index: int) -> int:
    """Index under which a key was first seen in this turn; ``index`` itself, now remembered, if it was not.

    Args:
        table: int64[capacity, 2] of keys and (turn << 32 | index), from ``sized``; turns make clearing
        needless.
        mask: a power of two below or equal to the capacity, and above the keys of the turn, less one.
        turn: positive, larger than in every earlier use of the table for another set of keys.
        key: hash of the piece.
        index: below 2**32.
    """
    slot = key ^ (key >> 29)
    slot *= _SCRAMBLE
    slot = (slot ^ (slot >> 32)) & mask
    while table[slot, 1] >> 32 == turn:
        if table[slot, 0] == key:
            return table[slot, 1] & 0xFFFFFFFF
        slot = (slot + 1) & mask
    table[slot, 0] = key
    table[slot, 1] = turn << 32 | index
    return index


@inner
def duplicate_pieces(
    text: np.ndarray, start: int, end: int, newlines: int, table: np.ndarray, mask: int, turn: int
) -> tuple[int, int, int]:
    """Split at every run of at least ``newlines`` line feeds and compare the pieces, empty ones included.

    Returns the number of pieces, of pieces equal to an earlier one, and of characters in those.
    """
    pieces = duplicates = characters = 0
    piece = position = start
    while True:
        run = 0
        while position < end and text[position] == 0x0A:
            position += 1
            run += 1
        if run >= newlines or position == end:
            value, length = hash_bytes(text, piece, position - run if run >= newlines else position)
            if first_index(table, mask, turn, value, pieces) != pieces:
                duplicates += 1
                characters += length
            pieces += 1
            piece = position
            if run < newlines:
                return pieces, duplicates, characters
        while position < end and text[position] != 0x0A:
            position += 1


@inner
def repeated_ngrams(
    text: np.ndarray, words: np.ndarray, count: int, table: np.ndarray, mask: int, turn: int, out: np.ndarray
) -> None:
    """Measure repeated word n-grams, in characters.

    Args:
        text: uint8, UTF-8.
        words: int64[at least count, 5] with the columns named above.
        count: number of words.
        table: see ``first_index``; turns ``turn`` to ``turn + 8`` are used.
        mask: see ``first_index``.
        turn: see ``first_index``.
        out: float64[9], filled with three top and six duplicate measures. Top, for n = 2, 3, 4: characters
            of the most frequent n-gram (the first of several) joined by single spaces, times its count.
            Duplicate, for n = 5 to 10: from left to right, an n-gram seen before adds its characters without
            spaces and is jumped over; otherwise the scan moves by one word. n-grams seen are compared as
            published, without separators.
    """
    value = np.empty(count, np.int64)
    power = np.empty(count, np.int64)
    sequence = np.empty(count, np.int64)
    joined = np.empty(count, np.int64)
    before = np.empty(count + 1, np.int64)
    before[0] = 0
    occurrences = np.empty(count, np.int32)
    for i in range(count):
        value[i] = sequence[i] = joined[i] = hash_bytes(text, words[i, START], words[i, STOP])[0]
        power[i] = 1
        for _ in range(words[i, STOP] - words[i, START]):
            power[i] *= _BASE
        before[i + 1] = before[i] + words[i, LENGTH]

    for n in range(2, 11):
        grams = count - n + 1
        for i in range(grams):
            last = i + n - 1
            joined[i] = joined[i] * power[last] + value[last]
        measure = 0
        if n < 5:
            most = first_of_most = 0
            for i in range(grams):
                sequence[i] = sequence[i] * _SEQUENCE_BASE + value[i + n - 1]
                first = first_index(table, mask, turn, sequence[i], i)
                occurrences[first] = occurrences[first] + 1 if first != i else 1
                times = occurrences[first]
                if times > most or (times == most and first < first_of_most):
                    most = times
                    first_of_most = first
            if most:
                measure = (before[first_of_most + n] - before[first_of_most] + n - 1) * most
        else:
            i = 0
            while i < grams:
                if first_index(table, mask, turn, joined[i], i) != i:
                    measure += before[i + n] - before[i]
                    i += n
                else:
                    i += 1
        out[n - 2] = measure
        turn += 1


@inner
def sized(table: np.ndarray, keys: int) -> tuple[np.ndarray, int]:
    """Make sure a table of ``first_index`` holds that many keys at most half full; give it and its mask."""
    capacity = 16
    while capacity < 2 * keys:
        capacity *= 2
    if capacity > len(table):
        table = np.empty((capacity, 2), np.int64)
        for slot in range(capacity):
            table[slot, 1] = 0
    return table, capacity - 1
