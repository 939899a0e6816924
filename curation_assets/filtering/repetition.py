"""Repeated paragraphs, lines and word n-grams: the kernels beneath Gopher's repetition signals.

Rae et al. 2021 (arXiv 2112.11446, table A1), by the definitions of datatrove 0.10, DCLM or Dolma. Pieces of text are
compared by 64-bit hashes of their bytes: among m different pieces of one document the chance of any false
match is about m**2 / 2**65 (3e-8 for a million).
"""

import numpy as np

from curation_assets.filtering.characters import (
    ALNUM,
    EACH,
    allocating,
    character_count,
    decode,
    first_bytes,
    inner,
    read_word,
)
from curation_assets.filtering.definitions import JUMPS, OVERLAPPING, Rules
from curation_assets.filtering.lines import next_byte, stripped
from curation_assets.filtering.words import LENGTH, START, STOP

_SEQUENCE_BASE = 3935559000370003845
_MARK, _NEXT = np.uint64(1), np.uint64(2)
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
HASH_BASE = 6364136223846793005
_POWERS = np.array([pow(HASH_BASE, k, 1 << 64) for k in range(65)], np.uint64).astype(np.int64)
_PREFIX = 15
"""Bytes by which n-grams of five words are told apart before they are compared: five Han characters have as many."""


@inner
def share(part: float, whole: float) -> float:
    """Part of a whole, 0 of nothing."""
    return part / whole if whole else 0.0


@inner
def hash_bytes(text: np.ndarray, start: int, stop: int) -> int:
    """Hash the bytes ``start`` to ``stop``, eight at a time; the array must have seven more.

    Of strings of one length, up to eight bytes, no two hashes are equal.
    """
    value = np.uint64(stop - start) * _FACTOR
    while start + 8 <= stop:
        value = (value ^ read_word(text, start, 8)) * _FACTOR
        value ^= value >> np.uint64(29)
        start += 8
    if start < stop:
        value = (value ^ first_bytes(read_word(text, start, 8), stop - start)) * _FACTOR
        value ^= value >> np.uint64(29)
    return int(np.int64(value))


@inner
def _slot(key: int, mask: int) -> np.uint64:
    value = (np.uint64(key) ^ (np.uint64(key) >> np.uint64(29))) * _FACTOR
    return value >> np.uint64(32) & np.uint64(mask)


@inner
def first_index(table: np.ndarray, mask: int, turn: int, key: int, index: int) -> int:
    """Index under which a key was first seen in this turn; ``index`` itself, now remembered, if it was not.

    Args:
        table: int64[2 * capacity], keys and behind each (turn << 32 | index), from ``sized``; turns make clearing
        needless.
        mask: a power of two below or equal to the capacity, and above the keys of the turn, less one.
        turn: positive, larger than in every earlier use of the table for another set of keys.
        key: hash of the piece.
        index: below 2**32.
    """
    at = 2 * _slot(key, mask)
    last = 2 * np.uint64(mask)
    while table[at + _MARK] >> 32 == turn:
        if table[at] == key:
            return table[at + _MARK] & 0xFFFFFFFF
        at = (at + _NEXT) & last
    table[at] = key
    table[at + _MARK] = turn << 32 | index
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
    key = hash_bytes(text, start, stop)
    length = character_count(text, start, stop)
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
        position = next_byte(text, position, end, 0x0A)


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


@allocating
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
        text: uint8, UTF-8, and seven bytes more.
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
    by_jumps = rules.repeated_ngrams == JUMPS
    values = np.empty(count, np.int64)
    keys = np.empty(count, np.int64)
    powers = np.empty(count, np.int64)
    before = np.empty(count + 1, np.int64)
    places = np.empty(count + 1, np.int64)
    joined = np.empty(words[count - 1, STOP] - words[0, START] + 2 * 8 if count and by_jumps else 0, np.uint8)
    slots = 1024
    while slots < 8 * count:
        slots *= 2
    sieve = np.empty(slots, np.uint8)
    candidates = np.empty((3, count), np.int32)
    count = _word_values(text, words, count, classes, rules.ngram_alphanumeric, values, before, places, joined)
    whole = before[count] if rules.ngram_of_words else characters
    _ngrams_of_words(values, before, count, whole, rules, keys, sieve, candidates, table, mask, turn, out)
    if by_jumps:
        turn += 3
        _joined_ngrams(
            joined, values, before, places, count, whole, keys, powers, sieve, candidates[0], table, mask, turn, out
        )


@inner
def _word_values(
    text: np.ndarray,
    words: np.ndarray,
    count: int,
    classes: np.ndarray,
    only_alphanumeric: int,
    values: np.ndarray,
    before: np.ndarray,
    places: np.ndarray,
    joined: np.ndarray,
) -> int:
    """Give the number of words that n-grams are made of, and of each its hash, ``values``, and the characters
    ``before`` it; with room in ``joined`` also their bytes one after the other, and the ``places`` where they begin.
    """
    before[0] = places[0] = 0
    chosen = 0
    for i in range(count):
        start = words[i, START]
        if only_alphanumeric and not classes[decode(text, start)[0]] & ALNUM:
            continue
        stop = words[i, STOP]
        copied = places[chosen]
        before[chosen + 1] = before[chosen] + words[i, LENGTH]
        places[chosen + 1] = copied + stop - start
        value = int(np.int64(0))
        power = int(np.int64(1))
        while start < stop:
            word = read_word(text, start, 8)
            if len(joined):
                for k in range(8):
                    joined[np.uint64(copied + k)] = np.uint8(word >> np.uint64(8 * k))
            value += power * _digits(word, stop - start)
            power *= _POWERS[8]
            start += 8
            copied += 8
        values[chosen] = value
        chosen += 1
    return chosen


@inner
def _sift(keys: np.ndarray, count: int, sieve: np.ndarray, candidates: np.ndarray) -> int:
    """Fill ``candidates`` with the places of keys that may occur again, and of those that are 0; count them.

    What is in a slot of the ``sieve``, uint8[a power of two], by itself occurs once.
    """
    for slot in range(len(sieve)):
        sieve[slot] = 0
    for i in range(count):
        slot = _slot(keys[i], len(sieve) - 1)
        sieve[slot] = sieve[slot] << 1 | 1  # up to 255
    found = 0
    for i in range(count):
        candidates[found] = i
        found += (sieve[_slot(keys[i], len(sieve) - 1)] > 1) | (keys[i] == 0)
    return found


@inner
def _ngrams_of_words(
    values: np.ndarray,
    before: np.ndarray,
    count: int,
    whole: int,
    rules: Rules,
    keys: np.ndarray,
    sieve: np.ndarray,
    candidates: np.ndarray,
    table: np.ndarray,
    mask: int,
    turn: int,
    out: np.ndarray,
) -> None:
    """The shares of n-grams that are compared word by word: the top ones, and the repeated ones if not by jumps.

    Only those are looked up that begin with an (n - 1)-gram that occurs again.
    """
    at = candidates[0]
    first_of = candidates[1]
    occurrences = candidates[2]
    for i in range(count - 1):
        keys[i] = values[i] * _SEQUENCE_BASE + values[i + 1]
    left = _sift(keys, count - 1, sieve, at)
    for n in range(2, 5 if rules.repeated_ngrams == JUMPS else 11):
        while left and at[left - 1] + n > count:
            left -= 1
        most = 1 if count >= n else 0
        first_of_most = longest = 0
        for k in range(left):
            i = int(at[k])
            if n > 2:
                keys[i] = keys[i] * _SEQUENCE_BASE + values[i + n - 1]
            first = first_index(table, mask, turn, keys[i], i)
            times = occurrences[first] + 1 if first != i else 1
            occurrences[first] = times
            first_of[k] = first
            if times < 2 or n > 4:
                continue
            length = before[first + n] - before[first]
            if rules.longest_top:
                better = times > most or (times == most and length > longest)
            else:
                better = times > most or (times == most and first < first_of_most)
            if better:
                most = times
                longest = length
                first_of_most = first
        found = covered = measure = 0
        for k in range(left):
            i = int(at[k])
            if occurrences[first_of[k]] < 2:
                continue
            at[found] = i
            found += 1
            if rules.repeated_ngrams == OVERLAPPING:
                measure += before[i + n] - before[i]
            else:
                measure += before[i + n] - before[max(i, covered)]
                covered = i + n
        left = found
        of = whole
        if n < 5:
            spaces = 0 if rules.ngram_of_words else n - 1
            measure = 0
            if most > rules.longest_top:
                measure = (before[first_of_most + n] - before[first_of_most] + spaces) * most
        elif rules.repeated_ngrams == OVERLAPPING:
            of = 0
            for i in range(count - n + 1):
                of += before[i + n] - before[i]
        out[n - 2] = share(measure, of)
        turn += 1


@inner
def _joined_ngrams(
    joined: np.ndarray,
    values: np.ndarray,
    before: np.ndarray,
    places: np.ndarray,
    count: int,
    whole: int,
    keys: np.ndarray,
    powers: np.ndarray,
    sieve: np.ndarray,
    candidates: np.ndarray,
    table: np.ndarray,
    mask: int,
    turn: int,
    out: np.ndarray,
) -> None:
    """The shares of repeated n-grams by jumps. Those that are equal begin with the same bytes."""
    for i in range(count - 4):
        keys[i] = 0
        if places[i + 5] - places[i] >= _PREFIX:
            keys[i] = np.int64(
                read_word(joined, places[i], 8) * _FACTOR ^ read_word(joined, places[i] + _PREFIX - 8, 8)
            )
    left = _sift(keys, count - 4, sieve, candidates)
    for k in range(left):
        i = int(candidates[k])
        keys[k] = 0
        powers[k] = 1
        for word in range(i, i + 4):
            keys[k] += powers[k] * values[word]
            powers[k] = _raised(powers[k], places[word + 1] - places[word])
    for n in range(5, 11):
        while left and candidates[left - 1] + n > count:
            left -= 1
        measure = after = 0
        for k in range(left):
            i = int(candidates[k])
            last = i + n - 1
            keys[k] += powers[k] * values[last]
            powers[k] = _raised(powers[k], places[last + 1] - places[last])
            if i >= after and first_index(table, mask, turn, keys[k], i) != i:
                measure += before[i + n] - before[i]
                after = i + n
        out[n - 2] = share(measure, whole)
        turn += 1


@inner
def _raised(power: int, size: int) -> int:
    """A power of the base, multiplied by that of a word's size."""
    while size >= len(_POWERS):
        power *= _POWERS[len(_POWERS) - 1]
        size -= len(_POWERS) - 1
    return power * _POWERS[size]


@inner
def _digits(word: np.uint64, size: int) -> int:
    """The bytes of a word, at most ``size``, each and one, as digits of a number in base HASH_BASE."""
    word = first_bytes(word + EACH, min(size, 8))
    value = int(np.int64(0))
    for k in range(8):
        value += np.int64(word >> np.uint64(8 * k) & np.uint64(0xFF)) * _POWERS[k]
    return value


@allocating
def sized(table: np.ndarray, keys: int) -> tuple[np.ndarray, int]:
    """Make sure a table of ``first_index`` holds that many keys at most half full; give it and its mask."""
    capacity = 16
    while capacity < 2 * keys:
        capacity *= 2
    if 2 * capacity > len(table):
        table = np.zeros(2 * capacity, np.int64)
    return table, capacity - 1
