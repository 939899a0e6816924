"""Lines, white space, the words between it and sentences, as Numba kernels over UTF-8."""

import numpy as np

from curation_assets.filtering.characters import (
    EACH,
    HIGH,
    PUNCT,
    SPACE,
    TERMINAL,
    decode,
    inner,
    marked_byte,
    read_word,
)
from curation_assets.filtering.words import INTERSECTION, LENGTH, START, STOP

_TITLES = np.array(
    [int.from_bytes(title, "little") for title in (b"Mr", b"Mrs", b"Ms", b"Dr", b"St", b"vs")], np.uint64
)


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
def split_lines(text: np.ndarray, end: int, newlines: int, lines: np.ndarray) -> int:
    """Fill ``lines``, int64[at least the lines, 2], with first byte and byte after the last of each; count them.

    Lines are those of ``str.splitlines``, or with ``newlines`` those of ``str.split("\\n")``.
    """
    count = position = 0
    while newlines:
        lines[count, 0] = position
        position = next_byte(text, position, end, 0x0A)
        lines[count, 1] = position
        count += 1
        if position == end:
            return count
        position += 1
    while position < end:
        lines[count, 0] = position
        lines[count, 1], position = line_end(text, position, end)
        count += 1
    return count


@inner
def next_byte(text: np.ndarray, position: int, end: int, byte: int) -> int:
    """Where a byte is next; ``end`` without one. The text must have seven bytes more."""
    pattern = np.uint64(byte) * EACH
    while position < end:
        word = read_word(text, position, 8) ^ pattern
        zeros = (word - EACH) & ~word & HIGH  # above the first zero byte there may be others that are none
        if zeros:
            return min(position + marked_byte(zeros), end)
        position += 8
    return end


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
def has_spaces(text: np.ndarray, start: int, end: int, size: int, classes: np.ndarray) -> bool:
    """Whether there is ASCII white space among any ``size`` bytes and one, so that no word has more characters."""
    while end - start > size:
        position = start + size
        while position >= start and (text[position] >= 0x80 or not classes[text[position]] & SPACE):
            position -= 1
        if position < start:
            return False
        start = position + 1
    return True


@inner
def _is_title(text: np.ndarray, start: int, stop: int) -> bool:
    if stop - start > 3:
        return False
    word = read_word(text, start, stop - start)
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
