"""What two texts may differ in and still be the same text: composition, white space and, if asked, case.

* Composition: Unicode's normal form C (UAX 15), by utf8proc in Arrow. Nearly all text on the web is in it already,
  which is seen by its characters: only the others are handed on.
* White space: a run of ``str.isspace`` is one space, and none is at the ends.
* Case: simple case folding (Unicode's CaseFolding.txt, statuses C and S), which takes no account of neighbours:
  "Σ", "σ" and "ς" are the same, "ß" and "ss" are not.
"""

import functools
import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from curation_assets.filtering.characters import SPACE, decode, inner, string_buffers

GROWTH = 2
"""A folded text has less than this many times the bytes of its source ("Ⱥ" has two bytes, "ⱥ" three)."""

# Planes 4 to 13 hold no assigned characters, 15 and 16 only private use.
_ASSIGNED = (range(0x80, 0xD800), range(0xE000, 0x40000), range(0xE0000, 0xE0200))


@functools.cache
def folded_case(fold: bool = True) -> np.ndarray:
    """The character that stands for each in a comparison, int32[0x110000]: itself where case is not folded."""
    table = np.arange(0x110000, dtype=np.int32)
    if fold:
        for block in (range(0x41, 0x5B), *_ASSIGNED):
            for code in block:
                character = chr(code)
                for other in (character.casefold(), character.lower()):
                    if len(other) == 1:
                        table[code] = ord(other)
                        break
    table.setflags(write=False)
    return table


@functools.cache
def _doubtful() -> np.ndarray:
    """Characters, bool[0x110000], with which a text may not be in normal form C.

    Those that the form replaces, those that join or change places with the one before, and those that this
    interpreter's Unicode does not know.
    """
    doubtful = np.ones(0x110000, np.bool_)
    doubtful[:0x80] = False
    joining = {*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)}  # Hangul's vowels and finals
    for block in _ASSIGNED:
        for code in block:
            character = chr(code)
            decomposition = unicodedata.decomposition(character)
            if decomposition and decomposition[0] != "<":
                joining.update(int(part, 16) for part in decomposition.split()[1:])
            doubtful[code] = (
                unicodedata.combining(character) > 0
                or (bool(decomposition) and not unicodedata.is_normalized("NFC", character))
                or unicodedata.category(character) == "Cn"
            )
    doubtful[list(joining)] = True
    doubtful.setflags(write=False)
    return doubtful


@njit(cache=True, nogil=True)
def _find_doubtful(offsets: np.ndarray, data: np.ndarray, doubtful: np.ndarray, found: np.ndarray) -> None:
    for i in range(len(found)):
        position = offsets[i]
        while position < offsets[i + 1]:
            # Below U+0300 nothing is in doubt.
            if data[position] < 0xCC:
                position += 1 if data[position] < 0x80 else 2
                continue
            code, width = decode(data, position)
            if doubtful[code]:
                found[i] = True
                break
            position += width


def composed(texts: pa.LargeStringArray) -> pa.LargeStringArray:
    """The texts in Unicode's normal form C; null for null."""
    offsets, data = string_buffers(texts.fill_null(""))
    found = np.zeros(len(texts), np.bool_)
    _find_doubtful(offsets, data, _doubtful(), found)
    if not found.any():
        return texts
    rows = pa.array(found)
    replaced = pc.call_function("utf8_normalize", [texts.filter(rows)], pc.Utf8NormalizeOptions("NFC"))
    return pc.call_function("replace_with_mask", [texts, rows, replaced])


@inner
def fold(
    text: np.ndarray, start: int, stop: int, case: np.ndarray, classes: np.ndarray, out: np.ndarray
) -> tuple[int, int]:
    """Write text[start:stop] to `out` with white space folded and, by the table `case`, letters too.

    Returns the bytes written and how many characters they are. `out` (uint8) must hold GROWTH times the source.
    """
    length, characters = 0, 0
    space = False
    while start < stop:
        byte = text[start]
        if 0x21 <= byte < 0x7F and not space:
            # Most characters, in half the time.
            out[length] = case[byte]
            length += 1
            characters += 1
            start += 1
            continue
        code, width = decode(text, start)
        start += width
        if classes[code] & SPACE:
            space = length > 0
            continue
        if space:
            out[length] = 0x20
            length += 1
            characters += 1
            space = False
        characters += 1
        code = case[code]
        if code < 0x80:
            out[length] = code
            length += 1
        elif code < 0x800:
            out[length] = 0xC0 | code >> 6
            out[length + 1] = 0x80 | (code & 0x3F)
            length += 2
        elif code < 0x10000:
            out[length] = 0xE0 | code >> 12
            out[length + 1] = 0x80 | (code >> 6 & 0x3F)
            out[length + 2] = 0x80 | (code & 0x3F)
            length += 3
        else:
            out[length] = 0xF0 | code >> 18
            out[length + 1] = 0x80 | (code >> 12 & 0x3F)
            out[length + 2] = 0x80 | (code >> 6 & 0x3F)
            out[length + 3] = 0x80 | (code & 0x3F)
            length += 4
    return length, characters
