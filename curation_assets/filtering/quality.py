"""Gopher's quality signals of a text, and FineWeb's of a cleaned one: kernels over words and lines.

Rae et al. 2021 (arXiv 2112.11446, table A1) and Penedo et al. 2024 (arXiv 2406.17557, section 3.6), by the definitions
that `definitions.Rules` holds.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from curation_assets.filtering.characters import (
    ALNUM,
    ALPHA,
    PUNCT,
    TERMINAL,
    allocating,
    character_count,
    decode,
    inner,
)
from curation_assets.filtering.definitions import (
    ALPHANUMERIC,
    ELLIPSIS_CHARACTER,
    NONBLANK,
    NONPUNCTUATION,
    SPACED_DOTS,
    THREE_DOTS,
    Rules,
)
from curation_assets.filtering.line_edits import AFTER, AFTER_EDIT, BEGIN, CUT, FIRST_EDIT, SOURCE, SOURCE_END
from curation_assets.filtering.lines import last_character, sentences, stripped
from curation_assets.filtering.repetition import HASH_BASE, first_index, hash_bytes, share
from curation_assets.filtering.words import INTERSECTION, LENGTH, START, STOP, UNION, doubled, segment

SHORT_LINE = 30
LONG_LINE = 200
_LONGEST_LENGTH = 255


@inner
def measure_bytes(text: np.ndarray, end: int, ellipsis_forms: int) -> tuple[int, int, int, int, int]:
    """Characters, number signs, ellipses, and upper limits of line breaks and of citation marks."""
    characters = hashes = breaks = brackets = full_stops = ends = 0
    for first in range(0, end, 255):
        # Counted in bytes, 64 of which fit a vector register.
        some_continued = some_hashes = some_breaks = some_brackets = some_full_stops = some_ends = np.uint8(0)
        for i in range(np.uint64(first), np.uint64(min(first + 255, end))):
            byte = text[i]
            some_continued = np.uint8(some_continued + (byte & 0xC0 == 0x80))
            some_hashes = np.uint8(some_hashes + (byte == 0x23))
            some_brackets = np.uint8(some_brackets + (byte == 0x5B))
            some_breaks = np.uint8(some_breaks + ((byte < 0x20) | (byte == 0x85) | (byte == 0xA8) | (byte == 0xA9)))
            some_full_stops = np.uint8(some_full_stops + (byte == 0x2E))
            some_ends = np.uint8(some_ends + (byte == 0xA6))
        characters += min(255, end - first) - int(np.int64(some_continued))
        hashes += int(np.int64(some_hashes))
        breaks += int(np.int64(some_breaks))
        brackets += int(np.int64(some_brackets))
        full_stops += int(np.int64(some_full_stops))
        ends += int(np.int64(some_ends))
    ellipses = dots = after_spaced = 0
    if ellipsis_forms & THREE_DOTS and full_stops > 2:
        for i in range(np.uint64(end)):
            dots = dots + 1 if text[i] == 0x2E else 0
            if dots == 3:
                ellipses += 1
                dots = 0
    if ellipsis_forms & ELLIPSIS_CHARACTER and ends:
        for i in range(2, end):
            ellipses += text[i] == 0xA6 and text[i - 1] == 0x80 and text[i - 2] == 0xE2
    if ellipsis_forms & SPACED_DOTS and full_stops > 2:
        for i in range(4, end):
            if i >= after_spaced + 4 and _is_spaced_dots(text, i):
                ellipses += 1
                after_spaced = i + 1
    return characters, hashes, ellipses, breaks, brackets


@inner
def _is_spaced_dots(text: np.ndarray, last: int) -> bool:
    """Whether ``. . .`` ends with a byte, the fifth or a later one."""
    return (
        text[last] == 0x2E
        and text[last - 1] == 0x20
        and text[last - 2] == 0x2E
        and text[last - 3] == 0x20
        and text[last - 4] == 0x2E
    )


@inner
def _ends_in_ellipsis(text: np.ndarray, start: int, end: int, forms: int) -> bool:
    if end - start < 3:
        return False
    final = text[end - 1]
    if final == 0x2E:
        if forms & THREE_DOTS and text[end - 2] == 0x2E and text[end - 3] == 0x2E:
            return True
        return forms & SPACED_DOTS != 0 and end - start >= 5 and _is_spaced_dots(text, end - 1)
    return forms & ELLIPSIS_CHARACTER != 0 and final == 0xA6 and text[end - 2] == 0x80 and text[end - 3] == 0xE2


@inner
def _count(text: np.ndarray, words: np.ndarray, first: int, after: int, classes: np.ndarray, kind: int) -> int:
    """How many of the words ``first`` to ``after`` are counted."""
    if kind == ALPHANUMERIC:
        counted = 0
        for word in range(first, after):
            counted += classes[decode(text, words[word, START])[0]] & ALNUM != 0
        return counted
    counted = after - first
    if kind == NONPUNCTUATION:
        for word in range(first, after):
            counted -= words[word, INTERSECTION] & PUNCT != 0
    return counted


@inner
def _median(lengths: np.ndarray, count: int) -> float:
    """Median of ``count`` lengths, of which there are ``lengths[x]`` of x."""
    lower = upper = -1
    below = 0
    for length in range(len(lengths)):
        below += lengths[length]
        if lower < 0 and 2 * below >= count:
            lower = length
        if 2 * below > count:
            upper = length
            break
    return (lower + upper) / 2 if count else 0.0


@inner
def _hash(text: np.ndarray, start: int, stop: int, fold: int) -> int:
    """Hash of a word, in ASCII lower case if ``fold``."""
    value = 0
    for i in range(start, stop):
        byte = int(np.int64(text[i]))
        if fold and 0x41 <= byte <= 0x5A:
            byte |= 0x20
        value = value * HASH_BASE + byte + 1
    return value


class StopWords(NamedTuple):
    """Sets of stop words as compiled code takes them; see ``stop_word_table``."""

    keys: np.ndarray
    """int64: a hash table of word hashes for each set, all of one size, a power of two; 0 is an empty slot."""
    size: int
    shortest: int
    longest: int
    """Bytes of the shortest and the longest word."""


def stop_word_table(sets: Sequence[Collection[str]]) -> StopWords:
    """Make hash tables of sets of stop words."""
    size = 4 << max((len(words) for words in sets), default=0).bit_length()
    keys = np.zeros(size * len(sets), np.int64)
    for first, words in enumerate(sets):
        for word in sorted(words):
            value = 0
            for byte in word.encode():
                value = (value * HASH_BASE + byte + 1) & 0xFFFFFFFFFFFFFFFF
            value -= value >> 63 << 64
            slot = (value ^ (value >> 32)) & (size - 1)
            while keys[size * first + slot] not in (0, value):
                slot = (slot + 1) & (size - 1)
            keys[size * first + slot] = value
    sizes = [len(word.encode()) for words in sets for word in words]
    return StopWords(keys, size, min(sizes, default=0), max(sizes, default=-1))


@inner
def measure_words(
    text: np.ndarray,
    words: np.ndarray,
    count: int,
    hashes: int,
    ellipses: int,
    classes: np.ndarray,
    rules: Rules,
    stop_words: StopWords,
    stop_set: int,
    seen: np.ndarray,
    turn: int,
    lengths: np.ndarray,
    out: np.ndarray,
) -> int:
    """Gopher's signals of words; gives the characters in all words.

    ``stop_set`` is the set of stop words of this text, or -1. ``seen``, int64[slots], holds turns; ``lengths`` is
    int64[256].

    ``out``, float64[9]: words, counted words, mean and median length, number signs, ellipses and both per word, words
    with a letter of all, stop words.
    """
    averaged = total = alphabetic = found = characters = 0
    keys = stop_words.keys
    mask = stop_words.size - 1
    shortest = stop_words.shortest
    longest = stop_words.longest if stop_set >= 0 else -1
    fold = rules.stop_word_fold
    kind = rules.averaged_words
    counted = _count(text, words, int(np.int64(0)), count, classes, rules.counted_words)
    for i in range(len(lengths)):
        lengths[i] = 0
    for i in range(count):
        length = words[i, LENGTH]
        characters += length
        if kind == ALPHANUMERIC:
            is_averaged = classes[decode(text, words[i, START])[0]] & ALNUM != 0
        else:
            is_averaged = kind != NONPUNCTUATION or not words[i, INTERSECTION] & PUNCT
        if is_averaged:
            averaged += 1
            total += length
            lengths[min(length, _LONGEST_LENGTH)] += 1
        alphabetic += words[i, UNION] & ALPHA != 0
        size = words[i, STOP] - words[i, START]
        if shortest <= size <= longest:
            start = words[i, START]
            key = _hash(text, start, start + size, fold)
            slot = (key ^ (key >> 32)) & mask
            while keys[stop_set * (mask + 1) + slot] != 0 and keys[stop_set * (mask + 1) + slot] != key:
                slot = (slot + 1) & mask
            slot += stop_set * (mask + 1)
            if keys[slot] == key and (rules.stop_word_occurrences or seen[slot] != turn):
                seen[slot] = turn
                found += 1
    symbols = hashes + ellipses
    if rules.symbol_words:
        hashes = ellipses = symbols = 0
        for i in range(count):
            start = words[i, START]
            has_hash = has_ellipsis = False
            for position in range(start, words[i, STOP]):
                has_hash |= text[position] == 0x23
                has_ellipsis |= _ends_in_ellipsis(text, start, position + 1, rules.ellipses)
            hashes += has_hash
            ellipses += has_ellipsis
            symbols += has_hash or has_ellipsis
    out[0] = count
    out[1] = counted
    out[2] = share(total, averaged)
    out[3] = _median(lengths, averaged)
    out[4] = share(hashes, count)
    out[5] = share(ellipses, count)
    out[6] = share(symbols, count)
    out[7] = share(alphabetic, count)
    out[8] = found
    return characters


@inner
def measure_lines(
    text: np.ndarray, lines: np.ndarray, count: int, classes: np.ndarray, rules: Rules, out: np.ndarray
) -> int:
    """Measure the lines of a text; gives their number.

    ``out``, float64[3]: shares of lines with a bullet and with an ellipsis, and lines of at least LONG_LINE characters.
    """
    total = bullets = ellipses = long = 0
    for line in range(count):
        start = lines[line, 0]
        stop = lines[line, 1]
        first, last = stripped(text, start, stop, classes)
        if first == last and rules.lines == NONBLANK:
            continue
        total += 1
        if first == last:
            continue
        if not rules.stripped_lines and rules.lines != NONBLANK:
            first, last = start, stop
        code, _ = decode(text, first)
        length = 0
        if last - first >= LONG_LINE:
            for i in range(first, last):
                length += text[i] & 0xC0 != 0x80
        long += length >= LONG_LINE
        for bullet in rules.bullets:
            bullets += code == bullet
        ellipses += _ends_in_ellipsis(text, first, last, rules.ellipses)
    out[0] = share(bullets, total)
    out[1] = share(ellipses, total)
    out[2] = long
    return total


@allocating
def _moved_words(
    words: np.ndarray, first: int, after: int, line: np.ndarray, edits: np.ndarray, moved: np.ndarray
) -> tuple[np.ndarray, int]:
    """Words ``first`` to ``after`` of a kept line where they are in the cleaned text, without those that were cut."""
    shift = line[BEGIN] - line[SOURCE]
    edit = line[FIRST_EDIT]
    count = 0
    for word in range(first, after):
        start = words[word, START]
        stop = words[word, STOP]
        while edit < line[AFTER_EDIT] and edits[3 * edit + 1] <= start:
            shift -= edits[3 * edit + 1] - edits[3 * edit]
            edit += 1
        if stop > line[SOURCE_END] or (edit < line[AFTER_EDIT] and edits[3 * edit] < stop):
            continue
        if count == len(moved):
            moved = doubled(moved)
        for column in range(5):
            moved[count, column] = words[word, column]
        moved[count, START] = start + shift
        moved[count, STOP] = stop + shift
        count += 1
    return moved, count


@allocating
def measure_cleaned(
    text: np.ndarray,
    clean: np.ndarray,
    kept_lines: np.ndarray,
    kept: int,
    edits: np.ndarray,
    words: np.ndarray,
    count: int,
    given: bool,
    classes: np.ndarray,
    rules: Rules,
    line_words: np.ndarray,
    table: np.ndarray,
    mask: int,
    turn: int,
    out: np.ndarray,
) -> tuple[np.ndarray, int, int]:
    """FineWeb's signals of the cleaned text, from the lines that ``edit_lines`` kept.

    ``words`` are the Unicode words of the text before the edits; with ``given`` they are not to be found anew in
    lines that were edited. ``line_words`` is room for the words of a line; it may move.

    ``out``, float64[5]: nonblank lines, shares of punctuated and of short lines, of characters in repeated lines, and
    line feeds per word. Gives ``line_words``, the sentences, and the
    counted words.
    """
    zero, one = int(np.int64(0)), int(np.int64(1))
    total_sentences = clean_words = counted = characters = repeated = zero
    measured = nonblank = punctuated = short = word = zero
    for line in range(kept):
        begin = kept_lines[line, BEGIN]
        after = kept_lines[line, AFTER]
        source = kept_lines[line, SOURCE]
        while word < count and words[word, START] < source:
            word += 1
        first = word
        while word < count and words[word, START] < kept_lines[line, SOURCE_END]:
            word += 1
        last = word
        if not kept_lines[line, CUT]:
            total_sentences += sentences(text, words, first, last)
            if not rules.whitespace_words:
                counted += _count(text, words, first, last, classes, rules.counted_words)
        else:
            if given:
                line_words, last = _moved_words(words, first, last, kept_lines[line], edits, line_words)
            else:
                line_words, last = segment(clean, begin, after, classes, zero, line_words)
            first = zero
            total_sentences += sentences(clean, line_words, first, last)
            if not rules.whitespace_words:
                counted += _count(clean, line_words, first, last, classes, rules.counted_words)
        if rules.whitespace_words:
            line_words, last = segment(clean, begin, after, classes, one, line_words)
            first = zero
            counted += _count(clean, line_words, first, last, classes, rules.counted_words)
        clean_words += last - first

        key = hash_bytes(clean, begin, after)
        length = character_count(clean, begin, after)
        characters += length
        bare, bare_end = stripped(clean, begin, after, classes)
        nonblank += bare < bare_end
        if bare == bare_end and not rules.blank_lines:
            continue
        if begin < after:
            final, _ = decode(clean, last_character(clean, begin, after))
            if rules.ascii_line_ends:
                punctuated += final == 0x2E or final == 0x27 or final == 0x22 or final == 0x21 or final == 0x3F
            else:
                punctuated += classes[final] & TERMINAL != 0
        short += length <= SHORT_LINE
        if first_index(table, mask, turn, key, measured) != measured:
            repeated += length
        measured += 1
    if rules.blank_lines and kept == 0:
        # An empty text has one line, which is blank.
        short = measured = 1
    out[0] = nonblank
    out[1] = share(punctuated, measured)
    out[2] = share(short, measured)
    out[3] = share(repeated, characters)
    out[4] = share(max(kept - 1, 0), clean_words)
    return line_words, total_sentences, counted
