"""Normalised text and its words, of which near-duplicate detection makes shingles.

Simplification follows datatrove 0.10 (``datatrove.utils.text.simplify_text``, defaults), in this order:

1. lower-case;
2. a number (decimal digits of any script, optionally one separator and further digits) becomes ``0``;
3. a character of PUNCTUATION becomes a space (the sentence marks of other scripts stay, as in datatrove 0.10);
4. runs of white space become one space, none at the ends;
5. canonical decomposition (NFD), without non-spacing marks (category Mn); strip.

All but the numbers and the spaces is a function of one character, looked up in a table made from
``unicodedata`` once per process. Two rules of Unicode look at neighbours and are left out: the final sigma
("ΟΔΟΣ" gives "οδοσ", whatever follows), and the canonical order of adjacent spacing marks.

The words of simplified text are those of ``filtering.words``: a run of letters and digits, one letter of a
script written without spaces, or a run of one of the few symbols that are not punctuation. A shingle is n
consecutive words joined by single spaces.
"""

import functools
import unicodedata
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from curation_assets.filtering.characters import (
    DIGIT,
    PUNCT,
    SINGLE,
    SPACE,
    WORD,
    character_classes,
    character_classes_without_terminal,
    decode,
    inner,
    string_buffers,
)
from curation_assets.filtering.words import next_word

NUMBER_SEPARATORS = ".,\u060c\u066b\u2396\u2397\u2398"
"""Characters that may stand once between the digits of a number."""

GROWTH = 3
"""Simplified text has at most this many times the bytes of its source (a Hangul syllable: 3 letters)."""

_REPLACE, _BREAK, _DIGIT, _SEPARATOR = 1, 2, 4, 8


class Characters(NamedTuple):
    """What simplification does with each code point, as arrays for compiled code; see `characters`."""

    action: np.ndarray
    """uint8[0x110000]: flags; 0 means the character stays as it is."""
    ascii: np.ndarray
    """uint8[256]: what an ASCII character becomes; 0 for digits, and for bytes that are no ASCII character."""
    plain: np.ndarray
    """bool[256]: the bytes of most words, which need no classes: small ASCII letters and zero; and the space."""
    offset: np.ndarray
    """int32[0x110001]: where the replacement of each code point starts in `replacement`."""
    replacement: np.ndarray
    """uint8: UTF-8 of all replacements, one after another."""
    classes: np.ndarray
    """uint16[0x110000]: `character_classes`."""


@functools.cache
def characters() -> Characters:
    """Build the table of simplification for every code point; once per process (about 0.3 s)."""
    action = np.zeros(0x110000, np.uint8)
    lengths = np.zeros(0x110001, np.int32)
    replacements = []
    # U+001F and below are spaces or punctuation; planes 3 to 13 hold ideographs without case or parts.
    for block in (range(0x20, 0xD800), range(0xE000, 0x30000), range(0xE0000, 0xE0200)):
        # One call for a whole block: the line feeds keep the characters from acting on each other.
        lines = unicodedata.normalize("NFD", "\n".join(map(chr, block)).lower()).split("\n")
        for code, text in zip(block, lines, strict=True):
            kept = "".join(c for c in text if unicodedata.category(c) != "Mn")
            if kept != chr(code):
                action[code] = _REPLACE
                encoded = kept.encode()
                lengths[code + 1] = len(encoded)
                replacements.append(encoded)
            elif unicodedata.category(text) == "Nd":
                action[code] = _DIGIT
    classes = character_classes_without_terminal()
    action[(classes & SPACE > 0) | (classes & (PUNCT | DIGIT) == PUNCT)] = _BREAK
    action[[ord(c) for c in NUMBER_SEPARATORS]] |= _SEPARATOR
    single = np.arange(256, dtype=np.uint8) | np.uint8(0x20)  # the letters, of which only capitals are replaced
    single[action[:256] & _BREAK > 0] = 32
    single[(action[:256] & _DIGIT > 0) | (np.arange(256) >= 128)] = 0
    return Characters(
        action,
        single,
        np.isin(np.arange(256), list(b"abcdefghijklmnopqrstuvwxyz0 ")),
        np.cumsum(lengths, dtype=np.int32),
        np.frombuffer(b"".join(replacements), np.uint8),
        character_classes(),
    )


@inner
def _after_digits(text: np.ndarray, start: int, stop: int, action: np.ndarray) -> int:
    """Position after the decimal digits that begin at `start`, if any."""
    while start < stop:
        code, size = decode(text, start)
        if not action[code] & _DIGIT:
            break
        start += size
    return start


@inner
def _simplify(text: np.ndarray, start: int, stop: int, out: np.ndarray, table: Characters) -> int:
    """Write the simplified form of the UTF-8 bytes text[start:stop] to `out`; return its length in bytes.

    `out` (uint8) must hold GROWTH times the bytes of the source.
    """
    length = 0
    space = 1  # whether a break would add nothing: after a space, and at the start
    while start < stop:
        byte = table.ascii[text[start]]
        if byte:  # without a branch for spaces, which no processor foresees
            out[length] = byte
            length += 1 - ((byte == 32) & space)
            space = int(byte == 32)
            start += 1
            continue
        code, size = decode(text, start)
        action = table.action[code]
        if action & _BREAK:
            out[length] = 32
            length += 1 - space
            space = 1
            start += size
            continue
        if action & _DIGIT:
            start = _after_digits(text, start, stop, table.action)
            if start < stop:
                code, size = decode(text, start)
                if table.action[code] & _SEPARATOR:
                    end = _after_digits(text, start + size, stop, table.action)
                    if end > start + size:
                        start = end
            out[length] = 48
            length += 1
        else:
            # Two loops: to name one of two arrays would count references.
            if action & _REPLACE:
                for i in range(table.offset[code], table.offset[code + 1]):
                    out[length] = table.replacement[i]
                    length += 1
            else:
                for i in range(start, start + size):
                    out[length] = text[i]
                    length += 1
            start += size
        space = int(length == 0)
    while length > 0 and out[length - 1] == 32:
        length -= 1
    return length


@njit(cache=True, nogil=True)
def _simplify_all(data: np.ndarray, offsets: np.ndarray, table: Characters, out: np.ndarray, ends: np.ndarray) -> None:
    for i in range(offsets.size - 1):
        start = ends[i]
        ends[i + 1] = start + _simplify(data, offsets[i], offsets[i + 1], out[start:], table)


@njit(cache=True, nogil=True)
def _separate(
    data: np.ndarray,
    offsets: np.ndarray,
    table: Characters,
    words: np.ndarray,
    starts: np.ndarray,
    first_words: np.ndarray,
) -> None:
    """Fill the arrays of `Words`."""
    longest = 0
    for i in range(offsets.size - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    text = np.empty(GROWTH * longest, np.uint8)
    plain, classes = table.plain, table.classes
    # Unsigned, because negative indices count from the end of an array, which costs a comparison each.
    one = np.uint64(1)
    count = end = np.uint64(0)
    starts[0] = 0
    first_words[0] = 0
    for i in range(offsets.size - 1):
        length = np.uint64(_simplify(data, offsets[i], offsets[i + 1], text, table))
        position = np.uint64(0)
        space = one
        while True:
            # Most words are letters up to a space, and what they are is no matter.
            while position < length:
                byte = text[position]
                if plain[byte]:
                    # Without a branch for spaces, which no processor foresees: the start of the next word is written
                    # at every byte, and stays where there is a first space.
                    words[end] = byte
                    is_space = np.uint64(byte == 32)
                    longer = one - (is_space & space)
                    space = is_space
                    end += longer
                    starts[count + one] = end
                    count += is_space & longer
                    position += one
                elif byte < 0x80:
                    break
                else:
                    code, size = decode(text, int(np.int64(position)))
                    if classes[code] & (WORD | SINGLE) != WORD:
                        break
                    for _ in range(size):
                        words[end] = text[position]
                        end += one
                        position += one
                    space = np.uint64(0)
            if position < length:
                # Here is something else. The word before it, if any, is read again together with it.
                position -= end - np.uint64(starts[count])
                end = np.uint64(starts[count])
                start, stop, _, _, _ = next_word(text, int(np.int64(position)), int(np.int64(length)), classes)
                position = np.uint64(stop)
                for k in range(start, stop):
                    words[end] = text[k]
                    end += one
            if end == np.uint64(starts[count]):
                break
            words[end] = 32
            end += one
            count += one
            starts[count] = end
            space = one
        first_words[i + 1] = count


class Words(NamedTuple):
    """The words of some simplified texts, one after another."""

    text: np.ndarray
    """uint8: the words as UTF-8, one space after each."""
    starts: np.ndarray
    """int64[words + 1]: where each word starts in `text`. The n words from i on, joined by single spaces, are
    ``text[starts[i] : starts[i + n] - 1]``."""
    first: np.ndarray
    """int64[texts + 1]: the words of text i are those from first[i] up to first[i + 1]."""


def separate(texts: pa.LargeStringArray) -> Words:
    """Simplify texts and find their words; a null has none."""
    offsets, data = string_buffers(texts.fill_null(""))
    size = int(offsets[-1] - offsets[0])
    # A character makes no more words than it has bytes.
    words = np.empty((GROWTH + 1) * size, np.uint8)
    starts = np.empty(size + 1, np.int64)
    first = np.empty(offsets.size, np.int64)
    _separate(data, offsets, characters(), words, starts, first)
    return Words(words, starts[: first[-1] + 1], first)


def simplify_text(texts: pa.LargeStringArray) -> pa.LargeStringArray:
    """Simplify texts as datatrove does (see above): "It's 1,234.56" gives "it s 0 0", null gives ""."""
    offsets, data = string_buffers(texts.fill_null(""))
    ends = np.zeros(offsets.size, np.int64)
    out = np.empty(GROWTH * int(offsets[-1] - offsets[0]), np.uint8)
    _simplify_all(data, offsets, characters(), out, ends)
    exact = pa.py_buffer(out[: ends[-1]].copy())
    return pa.LargeStringArray.from_buffers(len(texts), pa.py_buffer(ends), exact)


def simplified_words(texts: pa.LargeStringArray) -> pa.LargeStringArray:
    """Words of the simplified texts, joined by single spaces: "東京 Tokyo's" gives "東 京 tokyo s"."""
    words = separate(texts)
    offsets = pa.py_buffer(words.starts[words.first])
    spaced = pa.LargeStringArray.from_buffers(len(texts), offsets, pa.py_buffer(words.text))
    return pc.call_function("utf8_rtrim", [spaced], pc.TrimOptions(" "))
