"""The one segmentation of text into words, for every language, as a Numba kernel over UTF-8.

It is table driven and close to what spaCy's blank English tokenizer and NLTK's ``word_tokenize`` give on
ordinary English, so that published limits on word statistics hold (``make parity`` measures
how well). The classes are those of ``characters.py``. From left to right:

1. White space, control characters, invisible format characters (zero-width space, directional marks,
   byte-order mark) and the Tibetan tsheg separate words and belong to none.
2. A run of WORD characters is a word: ``snake_case``, ``naïve``, ``2024``, ``5km``. A joint inside it does
   not end it: a full stop or apostrophe (U+0027, U+2019) between two WORD characters (``example.com``,
   ``3.14``, ``o'clock``), a comma, colon or slash between two digits (``1,000``, ``12:30``, ``24/7``), a
   hyphen between a letter and a digit (``COVID-19``; but ``e - mail``, ``30 - day``). The full
   stop of an initial A to Z or of dotted ASCII letters belongs to it: ``J.``, ``U.S.``, ``e.g.``.
3. English contractions come apart before the apostrophe of 's, 'm, 'd, 're, 've and 'll and before n't, in
   either case, where the word ends there: ``do n't``, ``it 's``, ``we 'll``. Such an ending is a word
   wherever it starts.
4. A SINGLE letter (Han, Hiragana, Thai, ...) is a word, together with the marks that follow it.
5. Anything else is a symbol. A run of one symbol is a word, with the marks that follow it: ``...``, ``--``,
   ``#``, ``"``. So ``e-mail`` is ``e - mail``, ``#tag`` is ``# tag`` and ``?!`` is ``? !``.

Two texts joined by a separator have the words of the one followed by the words of the other.
"""

import numpy as np
from numba import njit

from curation_assets.filtering.characters import (
    ALPHA,
    DIGIT,
    EACH,
    HIGH,
    SINGLE,
    SPACE,
    WORD,
    allocating,
    character_classes,
    decode,
    first_bytes,
    inner,
    marked_byte,
    read_word,
)

START, STOP, LENGTH, UNION, INTERSECTION = range(5)
"""Columns of a words array, int64[words, 5]: first byte, byte after the last, characters, union and intersection of
the classes of its characters."""


@inner
def _is_apostrophe(code: int) -> bool:
    return code == 0x27 or code == 0x2019


@inner
def _is_invisible(code: int) -> bool:
    """Control and format characters that separate words; the tsheg too, which ends a Tibetan syllable."""
    if code < 0x2000:
        return code < 0x20 or 0x7F <= code <= 0x9F or code == 0x61C or code == 0x180E or 0xF0B <= code <= 0xF0C
    return (
        0x200B <= code <= 0x200F
        or 0x2028 <= code <= 0x202E
        or 0x2060 <= code <= 0x206F
        or code == 0xFEFF
        or 0xFFF9 <= code <= 0xFFFB
        or 0xE0000 <= code <= 0xE007F
    )


@inner
def _class_at(buffer: np.ndarray, position: int, end: int, classes: np.ndarray) -> int:
    if position >= end:
        return 0
    return int(np.int64(classes[decode(buffer, position)[0]]))


@inner
def _is_mark(code: int, kind: int) -> bool:
    return kind & (WORD | ALPHA | DIGIT) == WORD and code != 0x5F


@inner
def _clitic(buffer: np.ndarray, position: int, end: int, classes: np.ndarray) -> int:
    """End of the s, m, d, t, re, ve or ll that starts at ``position`` and ends its word there; 0 if none does."""
    if position >= end:
        return 0
    stop = position + 1
    first = buffer[position] | 0x20
    if first == 0x72 or first == 0x76 or first == 0x6C:
        stop += 1
        if stop > end or buffer[position + 1] | 0x20 != (0x6C if first == 0x6C else 0x65):
            return 0
    elif first != 0x73 and first != 0x6D and first != 0x64 and first != 0x74:
        return 0
    return 0 if _class_at(buffer, stop, end, classes) & WORD else stop


@inner
def _is_abbreviated(buffer: np.ndarray, start: int, stop: int) -> bool:
    """Whether a word is one letter from A to Z, or ends in a full stop and an ASCII letter."""
    if stop - start == 1:
        return 0x41 <= buffer[start] <= 0x5A
    return buffer[stop - 2] == 0x2E and 0x61 <= buffer[stop - 1] | 0x20 <= 0x7A


@inner
def measured(buffer: np.ndarray, start: int, stop: int, classes: np.ndarray) -> tuple[int, int, int, int, int]:
    """A word of given bounds, as ``next_word`` gives it."""
    length = 0
    union = 0
    intersection = -1
    position = start
    while position < stop:
        code, width = decode(buffer, position)
        kind = int(np.int64(classes[code]))
        position += width
        length += 1
        union |= kind
        intersection &= kind
    return start, stop, length, union, intersection


@njit(cache=True, nogil=True, _nrt=False)  # pyright: ignore[reportCallIssue]  # see `inner`
def next_word(buffer: np.ndarray, position: int, end: int, classes: np.ndarray) -> tuple[int, int, int, int, int]:
    """Find the first word at or after a byte.

    Args:
        buffer: uint8, valid UTF-8.
        position: byte at which a character starts, or ``end``.
        end: byte at which the text ends.
        classes: ``character_classes()``.

    Returns:
        Its first byte, the byte after its last, its length in characters, and the union and the intersection
        of the classes of its characters. Without a further word the first byte is ``end``.
    """
    while True:
        if position >= end:
            return end, end, 0, 0, 0
        code, width = decode(buffer, position)
        kind = int(np.int64(classes[code]))
        if kind & WORD or not (kind & SPACE or _is_invisible(code)):
            break
        position += width
    start = position
    position += width
    length = 1
    union = kind
    intersection = kind

    if kind & (WORD | SINGLE) == WORD:
        while position < end:
            before = kind
            code, width = decode(buffer, position)
            kind = int(np.int64(classes[code]))
            if not kind & WORD:
                if _is_apostrophe(code):
                    stop = _clitic(buffer, position + width, end, classes)
                    if stop and buffer[position + width] | 0x20 == 0x74:
                        # n't: the word ends before the n, unless the n begins it.
                        if buffer[position - 1] | 0x20 == 0x6E and position - 1 > start:
                            return measured(buffer, start, position - 1, classes)
                    elif stop:
                        break
                    joint = _class_at(buffer, position + width, end, classes) & WORD
                elif code == 0x2E:
                    joint = _class_at(buffer, position + 1, end, classes) & WORD
                elif code == 0x2C or code == 0x3A or code == 0x2F:
                    joint = before & _class_at(buffer, position + 1, end, classes) & DIGIT
                elif code == 0x2D:
                    joint = before & ALPHA and _class_at(buffer, position + 1, end, classes) & DIGIT
                else:
                    break
                if not joint:
                    if code == 0x2E and _is_abbreviated(buffer, start, position):
                        return start, position + 1, length + 1, union | kind, intersection & kind
                    break
            elif kind & SINGLE:
                break
            position += width
            length += 1
            union |= kind
            intersection &= kind
        return start, position, length, union, intersection

    if _is_apostrophe(code):
        stop = _clitic(buffer, position, end, classes)
        if stop and buffer[position] | 0x20 != 0x74:
            return measured(buffer, start, stop, classes)

    first = code
    repeats = not kind & SINGLE
    while position < end:
        code, width = decode(buffer, position)
        kind = int(np.int64(classes[code]))
        if _is_mark(code, kind):
            repeats = False
        elif not (repeats and code == first):
            break
        position += width
        length += 1
        union |= kind
        intersection &= kind
    return start, position, length, union, intersection


@inner
def next_spaced_word(
    buffer: np.ndarray, position: int, end: int, classes: np.ndarray
) -> tuple[int, int, int, int, int]:
    """The same for words that white space separates, as ``str.split`` has them."""
    start = position
    length = union = int(np.int64(0))
    intersection = int(np.int64(-1))
    while position < end:
        code, width = decode(buffer, position)
        kind = int(np.int64(classes[code]))
        if not kind & SPACE:
            if length == 0:
                start = position
            length += 1
            union |= kind
            intersection &= kind
        elif length:
            return start, position, length, union, intersection
        position += width
    return (start if length else end), end, length, union, intersection


@allocating
def widened(array: np.ndarray, size: int) -> np.ndarray:
    """Copy an array into a longer one of ``size`` items, the rest of which is undefined."""
    wider = np.empty(size, array.dtype)
    for i in range(len(array)):  # a loop, because slice assignment takes Numba a second to compile
        wider[i] = array[i]
    return wider


@allocating
def doubled(rows: np.ndarray) -> np.ndarray:
    """Copy the rows of a matrix into one of twice as many, the rest of which is undefined."""
    longer = np.empty((2 * len(rows), rows.shape[1]), rows.dtype)
    for i in range(len(rows)):
        for j in range(rows.shape[1]):
            longer[i, j] = rows[i, j]
    return longer


_CASE = np.uint64(0x2020202020202020)


@inner
def _letters(word: np.uint64) -> int:
    """How many of eight bytes, from the first one, are ASCII letters."""
    low = (word | _CASE) & ~HIGH
    from_a = low + (np.uint64(0x80) - np.uint64(0x61)) * EACH
    after_z = low + (np.uint64(0x80) - np.uint64(0x7B)) * EACH
    others = ~(from_a & ~after_z & ~word) & HIGH
    return marked_byte(others)


@allocating
def segment(
    text: np.ndarray, start: int, end: int, classes: np.ndarray, whitespace: int, words: np.ndarray
) -> tuple[np.ndarray, int]:
    """Fill a words array, lengthened where needed, with the words between two bytes; give it and their number.

    With ``whitespace`` they are those of ``str.split``. The text must have eight bytes more.
    """
    count, start = _segment(text, start, end, classes, whitespace, words, int(np.int64(0)))
    while start < end:
        words = doubled(words)
        count, start = _segment(text, start, end, classes, whitespace, words, count)
    return words, count


@inner
def _segment(
    text: np.ndarray, start: int, end: int, classes: np.ndarray, whitespace: int, words: np.ndarray, count: int
) -> tuple[int, int]:
    """Add words to the first ``count`` of an array, until there is no room for two; give how many and where they end.

    Most words are ASCII letters, and behind them a space, or one mark and a space: these are looked at eight at a time.
    """
    lower = int(np.int64(classes[0x61]))
    upper = int(np.int64(classes[0x41]))
    while count + 2 <= len(words):
        if whitespace:
            first, start, length, union, intersection = next_spaced_word(text, start, end, classes)
        else:
            while start < end and text[start] <= 0x20:
                start += 1
            stop = start
            capitals = smalls = np.uint64(0)
            run = 8
            while run == 8 and stop < end:
                word = read_word(text, stop, 8)
                run = min(_letters(word), end - stop)
                if run:
                    smalls |= first_bytes(word & _CASE, run)
                    capitals |= first_bytes(~word & _CASE, run)
                    stop += run
            mark = np.int64(text[stop])
            is_last = stop >= end or mark <= 0x20
            is_marked = (
                not is_last
                and mark < 0x7F
                and mark != 0x27
                and (stop + 1 >= end or text[stop + 1] <= 0x20)
                and not classes[mark] & WORD
                and not (mark == 0x2E and stop == start + 1 and capitals)
            )
            if stop > start and (is_last or is_marked):
                words[count, START] = start
                words[count, STOP] = stop
                words[count, LENGTH] = stop - start
                words[count, UNION] = (lower if smalls else 0) | (upper if capitals else 0)
                words[count, INTERSECTION] = (lower if smalls else -1) & (upper if capitals else -1)
                count += 1
                start = stop
                if is_marked:
                    words[count, START] = start
                    words[count, STOP] = start + 1
                    words[count, LENGTH] = 1
                    words[count, UNION] = words[count, INTERSECTION] = classes[mark]
                    count += 1
                    start += 1
                continue
            first, start, length, union, intersection = next_word(text, start, end, classes)
        if first == end:
            return count, end
        words[count, START] = first
        words[count, STOP] = start
        words[count, LENGTH] = length
        words[count, UNION] = union
        words[count, INTERSECTION] = intersection
        count += 1
    return count, start


@allocating
def given_words(
    text: np.ndarray,
    end: int,
    starts: np.ndarray,
    ends: np.ndarray,
    first: int,
    after: int,
    classes: np.ndarray,
    words: np.ndarray,
) -> tuple[np.ndarray, int]:
    """The same with spans ``first`` to ``after`` of bytes as words; -1 if they overlap or cut a character."""
    position = 0
    while len(words) < after - first:
        words = doubled(words)
    for span in range(first, after):
        start = starts[span]
        stop = ends[span]
        if start < position or stop <= start or stop > end or text[start] & 0xC0 == 0x80:
            return words, -1
        if stop < end and text[stop] & 0xC0 == 0x80:
            return words, -1
        position = stop
        _, _, length, union, intersection = measured(text, start, stop, classes)
        words[span - first, START] = start
        words[span - first, STOP] = stop
        words[span - first, LENGTH] = length
        words[span - first, UNION] = union
        words[span - first, INTERSECTION] = intersection
    return words, after - first


@njit(cache=True, nogil=True)
def word_spans(buffer: np.ndarray, start: int, end: int, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find all words between two bytes of valid UTF-8 (uint8), given ``character_classes()``.

    Returns their first bytes and the bytes after their last, as two int64 arrays.
    """
    capacity = (end - start) // 4 + 8
    starts = np.empty(capacity, np.int64)
    stops = np.empty(capacity, np.int64)
    count = 0
    position = start
    while True:
        first, position, _, _, _ = next_word(buffer, position, end, classes)
        if first == end:
            return starts[:count], stops[:count]
        if count == capacity:
            capacity *= 2
            starts = widened(starts, capacity)
            stops = widened(stops, capacity)
        starts[count] = first
        stops[count] = position
        count += 1


def words(text: str) -> list[str]:
    """Split a text into its words; for people and tests, kernels use ``next_word`` or ``word_spans``."""
    encoded = text.encode()
    starts, stops = word_spans(np.array(bytearray(encoded), np.uint8), 0, len(encoded), character_classes())
    return [encoded[start:stop].decode() for start, stop in zip(starts, stops, strict=True)]
