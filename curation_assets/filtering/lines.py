"""Lines of text and C4's rules about them, as Numba kernels over UTF-8.

The rules are those of C4 (Raffel et al. 2020, section 2.2) as datatrove 0.10's ``C4QualityFilter`` applies
them for FineWeb. Letters are compared in ASCII's two cases.
"""

import numpy as np

from curation_assets.filtering.characters import DIGIT, PUNCT, SPACE, TERMINAL, decode, inner
from curation_assets.filtering.repetition import INTERSECTION, LENGTH, START, STOP

LOREM_IPSUM, JAVASCRIPT, CURLY_BRACKET, POLICY = 1, 2, 4, 8
"""What ``forbidden`` finds in a line, as bit flags."""

_PHRASES = (
    (LOREM_IPSUM, b"lorem ipsum"),
    (JAVASCRIPT, b"javascript"),
    (POLICY, b"terms of use"),
    (POLICY, b"privacy policy"),
    (POLICY, b"cookie policy"),
    (POLICY, b"uses cookies"),
    (POLICY, b"use of cookies"),
    (POLICY, b"use cookies"),
)
_PHRASE_BYTES = np.frombuffer(b"".join(phrase for _, phrase in _PHRASES), np.uint8)
_PHRASE_ENDS = np.cumsum([len(phrase) for _, phrase in _PHRASES])
_PHRASE_FLAGS = np.array([flag for flag, _ in _PHRASES])
_BEGINS_PHRASE = np.isin(np.arange(256), [phrase[0] for _, phrase in _PHRASES])
_MARKS = np.frombuffer(b"edit]citation needed]", np.uint8)
_MARK_ENDS = np.array([5, 21])

_TITLES = np.array([int.from_bytes(title, "little") for title in (b"Mr", b"Mrs", b"Ms", b"Dr", b"St", b"vs")])


@inner
def line_end(text: np.ndarray, position: int, end: int) -> tuple[int, int]:
    """End of the line at a byte and start of the next one, as ``str.splitlines`` has them."""
    while position < end:
        byte = text[position]
        if byte < 0x20:
            if byte == 0x0D and position + 1 < end and text[position + 1] == 0x0A:
                return position, position + 2
            if 0x0A <= byte <= 0x0D or 0x1C <= byte <= 0x1E:
                return position, position + 1
        elif byte == 0xC2 and text[position + 1] == 0x85:
            return position, position + 2
        elif byte == 0xE2 and text[position + 1] == 0x80 and text[position + 2] | 1 == 0xA9:
            return position, position + 3
        position += 1
    return end, end


@inner
def last_character(text: np.ndarray, start: int, end: int) -> int:
    """Byte at which the last character before ``end`` starts; ``end`` must be above ``start``."""
    end -= 1
    while end > start and text[end] & 0xC0 == 0x80:
        end -= 1
    return end


@inner
def stripped(text: np.ndarray, start: int, end: int, classes: np.ndarray) -> tuple[int, int]:
    """Bounds of a text without the white space around it, as ``str.strip`` has them; (end, end) without any."""
    while start < end:
        code, width = decode(text, start)
        if not classes[code] & SPACE:
            break
        start += width
    while end > start:
        last = last_character(text, start, end)
        if not classes[decode(text, last)[0]] & SPACE:
            break
        end = last
    return start, end


@inner
def spaced_words(text: np.ndarray, start: int, end: int, classes: np.ndarray) -> tuple[int, int]:
    """Number of words that white space separates, as in ``str.split``, and characters of the longest."""
    count = longest = length = 0
    while start < end:
        code, width = decode(text, start)
        start += width
        if classes[code] & SPACE:
            length = 0
        else:
            count += length == 0
            length += 1
            longest = max(longest, length)
    return count, longest


@inner
def _citation_end(text: np.ndarray, position: int, end: int, classes: np.ndarray) -> int:
    """End of the citation mark, [digits], [edit] or [citation needed], whose bracket is at a byte; 0 without one."""
    position += 1
    start = 0
    for stop in _MARK_ENDS:
        if position + stop - start <= end:
            same = True
            for i in range(start, stop):
                if text[position + i - start] != _MARKS[i]:
                    same = False
                    break
            if same:
                return position + stop - start
        start = stop
    while position < end:
        if text[position] == 0x5D:
            return position + 1
        code, width = decode(text, position)
        if not classes[code] & DIGIT:
            return 0
        position += width
    return 0


@inner
def next_citation(text: np.ndarray, position: int, end: int, classes: np.ndarray) -> tuple[int, int]:
    """Bounds of the next citation mark; (end, end) without one."""
    while position < end:
        if text[position] == 0x5B:
            stop = _citation_end(text, position, end, classes)
            if stop:
                return position, stop
        position += 1
    return end, end


@inner
def forbidden(text: np.ndarray, start: int, end: int) -> int:
    """The flags of the phrases and brackets that a line holds."""
    found = 0
    for position in range(start, end):
        byte = text[position]
        if byte == 0x7B:
            found |= CURLY_BRACKET
        if not _BEGINS_PHRASE[byte | 0x20]:
            continue
        first = 0
        for phrase in range(len(_PHRASE_ENDS)):
            size = _PHRASE_ENDS[phrase] - first
            same = position + size <= end
            i = 0
            while same and i < size:
                byte = text[position + i]
                same = (byte | 0x20 if byte > 0x40 else byte) == _PHRASE_BYTES[first + i]
                i += 1
            if same:
                found |= _PHRASE_FLAGS[phrase]
            first = _PHRASE_ENDS[phrase]
    return found


@inner
def packed(text: np.ndarray, start: int, stop: int) -> int:
    """At most eight bytes as one little-endian number, so that words are compared at once."""
    value = 0
    for i in range(start, stop):
        value |= int(np.int64(text[i])) << 8 * (i - start)
    return value


@inner
def _is_title(text: np.ndarray, start: int, stop: int) -> bool:
    if stop - start > 3:
        return False
    word = packed(text, start, stop)
    found = False
    for title in _TITLES:
        found |= word == title
    return found


@inner
def sentences(text: np.ndarray, words: np.ndarray, first: int, after: int) -> int:
    """Count the sentences of a line, words ``first`` to ``after``, by rule, close to spaCy's sentencizer.

    A sentence ends at a word of TERMINAL_PUNCTUATION; the next begins at the next word that is not all
    punctuation, so that closing quotes and brackets stay with it. ``...`` ends none, nor does the full stop
    of an initial (J. Smith), of dotted letters (U.S., e.g.) or of Mr, Mrs, Ms, Dr, St and vs. A line with
    any word is at least one sentence.
    """
    total = 1 if first < after else 0
    ended = False
    for i in range(first, after):
        start = words[i, START]
        if words[i, INTERSECTION] & TERMINAL:
            if text[start] != 0x2E:
                ended = True
            elif words[i, LENGTH] == 1:
                ended = i == 0 or words[i - 1, STOP] < start or not _is_title(text, words[i - 1, START], start)
        elif ended and not words[i, INTERSECTION] & PUNCT:
            total += 1
            ended = False
    return total
