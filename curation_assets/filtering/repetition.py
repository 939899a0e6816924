"""Repeated paragraphs, lines and word n-grams: the kernels beneath Gopher's repetition signals.

Rae et al. 2021 (arXiv 2112.11446, table A1), by the definitions of datatrove 0.10, DCLM or Dolma. Pieces of text are
compared by 64-bit polynomial hashes of their bytes: among m different pieces of one document the chance of any false
match is about m**2 / 2**65 (3e-8 for a million).
"""

import numpy as np

from curation_assets.filtering.characters import ALNUM, decode, inner
from curation_assets.filtering.definitions import JUMPS, OVERLAPPING, Rules
from curation_assets.filtering.lines import stripped
from curation_assets.filtering.words import LENGTH, START, STOP

HASH_BASE = 6364136223846793005
_SEQUENCE_BASE = 3935559000370003845
_SCRAMBLE = 2862933555777941757


@inner
def hash_bytes(text: np.ndarray, start: int, stop: int) -> tuple[int, int]:
    """Hash the bytes ``start`` to ``stop`` of UTF-8 and count their characters."""
    value = 0
    length = 0
    for i in range(start, stop):
        byte = int(np.int64(text[i]))
        value = value * HASH_BASE + byte + 1
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


PIECES, REPEATED, REPEATED_CHARACTERS, PIECE_CHARACTERS = range(4)
"""What is counted of pieces: all, those that repeat another, the characters of those and of all."""


@inner
def _add_piece(
    text: np.ndarray,
    start: int,
    stop: int,
    table: np.ndarray,
    mask: int,
    turn: int,
    marks: np.ndarray,
    found: np.ndarray,
) -> None:
    """Compare one piece with those before it. With ``marks``, int64[pieces], the first occurrence counts too."""
    key, length = hash_bytes(text, start, stop)
    first = first_index(table, mask, turn, key, found[PIECES])
    if first != found[PIECES]:
        times = 1
        if len(marks) and marks[first] != turn:
            marks[first] = turn
            times = 2
        found[REPEATED] += times
        found[REPEATED_CHARACTERS] += times * length
    found[PIECES] += 1
    found[PIECE_CHARACTERS] += length


@inner
def repeated_pieces(
    text: np.ndarray,
    start: int,
    end: int,
    newlines: int,
    nonblank: int,
    classes: np.ndarray,
    table: np.ndarray,
    mask: int,
    turn: int,
    marks: np.ndarray,
    found: np.ndarray,
) -> None:
    """Split at every run of at least ``newlines`` line feeds and compare the pieces, empty ones included.

    With ``nonblank`` they are stripped, and blank ones left out. ``found``, int64[4], is filled with the counts
    named above.
    """
    for i in range(4):
        found[i] = 0
    piece = position = start
    while True:
        run = 0
        while position < end and text[position] == 0x0A:
            position += 1
            run += 1
        if run >= newlines or position == end:
            first, last = piece, position - run if run >= newlines else position
            if nonblank:
                first, last = stripped(text, first, last, classes)
            if first < last or not nonblank:
                _add_piece(text, first, last, table, mask, turn, marks, found)
            piece = position
            if run < newlines:
                return
        while position < end and text[position] != 0x0A:
            position += 1


@inner
def repeated_lines(
    text: np.ndarray,
    lines: np.ndarray,
    count: int,
    table: np.ndarray,
    mask: int,
    turn: int,
    marks: np.ndarray,
    found: np.ndarray,
) -> None:
    """The same of lines, int64[count, 2], from ``split_lines``."""
    for i in range(4):
        found[i] = 0
    for line in range(count):
        _add_piece(text, lines[line, 0], lines[line, 1], table, mask, turn, marks, found)


@inner
def repeated_ngrams(
    text: np.ndarray,
    words: np.ndarray,
    count: int,
    characters: int,
    classes: np.ndarray,
    rules: Rules,
    table: np.ndarray,
    mask: int,
    turn: int,
    out: np.ndarray,
) -> None:
    """Measure repeated word n-grams, as shares of characters.

    Args:
        text: uint8, UTF-8.
        words: int64[at least count, 5], a words array.
        count: number of words.
        characters: characters of the text.
        classes: of characters.
        rules: the definitions.
        table: see ``first_index``; turns ``turn`` to ``turn + 8`` are used.
        mask: see ``first_index``.
        turn: see ``first_index``.
        out: float64[9], filled with three top and six repeated shares. Top, for n = 2, 3, 4: characters of the
            most frequent n-gram times its count. Repeated, for n = 5 to 10, by jumps: from left to right, an
            n-gram seen before adds its characters without spaces and is jumped over; otherwise the scan moves by
            one word. These n-grams are compared as published, without separators. By the other two rules n-grams
            are compared word by word.
    """
    value = np.empty(count, np.int64)
    power = np.empty(count, np.int64)
    sequence = np.empty(count, np.int64)
    joined = np.empty(count, np.int64)
    before = np.empty(count + 1, np.int64)
    before[0] = 0
    occurrences = np.empty(count, np.int32)
    first_of = np.empty(count if rules.repeated_ngrams != JUMPS else 0, np.int32)
    chosen = 0
    for i in range(count):
        start = words[i, START]
        if rules.ngram_alphanumeric and not classes[decode(text, start)[0]] & ALNUM:
            continue
        key = hash_bytes(text, start, words[i, STOP])[0]
        value[chosen] = sequence[chosen] = joined[chosen] = key
        power[chosen] = 1
        for _ in range(words[i, STOP] - start):
            power[chosen] *= HASH_BASE
        before[chosen + 1] = before[chosen] + words[i, LENGTH]
        chosen += 1

    for n in range(2, 11):
        grams = chosen - n + 1
        whole = before[chosen] if rules.ngram_of_words else characters
        measure = 0
        for i in range(grams):
            last = i + n - 1
            joined[i] = joined[i] * power[last] + value[last]
        if n < 5 or rules.repeated_ngrams != JUMPS:
            most = first_of_most = longest = 0
            for i in range(grams):
                sequence[i] = sequence[i] * _SEQUENCE_BASE + value[i + n - 1]
                first = first_index(table, mask, turn, sequence[i], i)
                times = occurrences[first] + 1 if first != i else 1
                occurrences[first] = times
                if n >= 5:
                    first_of[i] = first
                elif rules.longest_top:
                    length = before[first + n] - before[first]
                    if times > most or (times == most and length > longest):
                        most = times
                        longest = length
                        first_of_most = first
                elif times > most or (times == most and first < first_of_most):
                    most = times
                    first_of_most = first
            if n < 5 and most > rules.longest_top:
                spaces = 0 if rules.ngram_of_words else n - 1
                measure = (before[first_of_most + n] - before[first_of_most] + spaces) * most
        if n >= 5 and rules.repeated_ngrams == JUMPS:
            i = 0
            while i < grams:
                if first_index(table, mask, turn, joined[i], i) != i:
                    measure += before[i + n] - before[i]
                    i += n
                else:
                    i += 1
        elif n >= 5:
            covered = whole_ngrams = 0
            for i in range(grams):
                length = before[i + n] - before[i]
                whole_ngrams += length
                if occurrences[first_of[i]] < 2:
                    continue
                if rules.repeated_ngrams == OVERLAPPING:
                    measure += length
                else:
                    measure += before[i + n] - before[max(i, covered)]
                    covered = i + n
            if rules.repeated_ngrams == OVERLAPPING:
                whole = whole_ngrams
        out[n - 2] = measure / whole if whole else 0.0
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
