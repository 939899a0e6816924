"""What every text kernel shares: an Arrow text's bytes, the UTF-8 decoder, and the classes of characters.

The punctuation sets are those of datatrove 0.10 (``datatrove.utils.text``), on which the published Gopher
and FineWeb limits rest. The other classes are Python's own (``str.isspace``, ``str.splitlines``,
``str.isalpha``), so they follow the Unicode version of the interpreter (``unicodedata.unidata_version``).
"""

import functools
import unicodedata

import numpy as np
import pyarrow as pa
from numba import njit
from numba.cpython.unsafe.numbers import trailing_zeros

SPACE = 1
"""``str.isspace``."""
LINE_BREAK = 2
"""The characters at which ``str.splitlines`` ends a line; every one is also SPACE."""
WORD = 4
"""Letters, marks, decimal digits, the underscore, and the joiners inside words (soft hyphen, ZWNJ, ZWJ)."""
ALPHA = 8
"""``str.isalpha``: the letters."""
DIGIT = 16
"""``str.isdecimal``, the ``\\d`` of regular expressions: decimal digits of every script."""
SINGLE = 32
"""Letters of scripts written without spaces, where a letter stands for a word: Han, Hiragana, Bopomofo, Thai,
Lao, Khmer, Myanmar and the other South-East Asian scripts of line-breaking class SA. Not Katakana (its runs
are mostly one loan word each), Hangul (written with spaces) or Tibetan (its tsheg separates syllables)."""
PUNCT = 64
"""PUNCTUATION_SET."""
TERMINAL = 128
"""TERMINAL_PUNCTUATION."""
UPPER = 256
"""``str.isupper`` of one character."""
ALNUM = 512
"""``str.isalnum`` of one character: letters, and digits and numbers of every kind."""


def _characters(ranges: str) -> frozenset[str]:
    """Characters of a list of hexadecimal code points and inclusive ranges, such as ``21 3F-40``."""
    characters = set()
    for item in ranges.split():
        first, _, last = item.partition("-")
        characters.update(map(chr, range(int(first, 16), int(last or first, 16) + 1)))
    return frozenset(characters)


PUNCTUATION = _characters(
    "0-8 B-1F 21-2F 3A-40 5B-60 7B-9F AB B4 BB 2013-2014 2019 201C-201E 2026 2236 2501 25BA 3001-3002"
    " 3008-300D 3010-3011 FF01 FF05 FF08-FF09 FF0C FF0E FF11 FF1A-FF1B FF1F FF5E"
)
"""datatrove's 129 punctuation marks and control characters (U+FF11, a digit, comes from CCNet's table)."""

TERMINAL_PUNCTUATION = _characters(
    "21 2E 3F 589 61D-61F 6D4 700-702 7F9 837 839 83D-83E 964-965 104A-104B 1362 1367-1368 166E 1735-1736"
    " 17D4-17D6 17D9-17DA 1803 1809 1944-1945 1AA8-1AAB 1B5A-1B5B 1B5E-1B5F 1B7D-1B7E 1C3B-1C3C 1C7E-1C7F"
    " 203C-203D 2047-2049 2E2E 2E3C 2E53-2E54 3002 A4FF A60E-A60F A6F3 A6F7 A876-A877 A8CE-A8CF A92F"
    " A9C8-A9C9 AA5D-AA5F AAF0-AAF1 ABEB FE52 FE56-FE57 FF01 FF0E FF1F FF61 10A56-10A57 10F55-10F59"
    " 10F86-10F89 11047-11048 110BE-110C1 11141-11143 111C5-111C6 111CD 111DE-111DF 11238-11239"
    " 1123B-1123C 112A9 1144B-1144C 115C2-115C3 115C9-115D7 11641-11642 1173C-1173E 11944 11946"
    " 11A42-11A43 11A9B-11A9C 11C41-11C42 11EF7-11EF8 11F43-11F44 16A6E-16A6F 16AF5 16B37-16B38 16B44"
    " 16E98 1BC9F 1DA88"
)
"""datatrove's 159 sentence-ending marks: an earlier Unicode's Sentence_Terminal and three Khmer signs."""

PUNCTUATION_SET = PUNCTUATION | TERMINAL_PUNCTUATION
"""The 281 characters of which a "symbol" word consists, and that text simplification turns into spaces."""

_LINE_BREAKS = _characters("A-D 1C-1E 85 2028-2029")
_OTHER_UPPER = _characters("2160-216F 24B6-24CF 1F130-1F149 1F150-1F169 1F170-1F189")
_JOINERS = _characters("AD 200C-200D")
_SINGLE = _characters(
    "E00-EFF 1000-109F 1780-17FF 1950-19DF 1A20-1AAF 3005-3007 3021-3029 3038-303B 3041-309F 3105-312F"
    " 31A0-31BF 3400-4DBF 4E00-9FFF A9E0-A9FF AA60-AADF F900-FAFF 11700-1174F 1B001-1B11F 1B150-1B152"
    " 20000-323AF"
)
# Planes 4 to 13 hold no assigned characters, 15 and 16 only private use; both belong to no class.
_ASSIGNED = (range(0x40000), range(0xE0000, 0xE0200))


@functools.cache
def character_classes() -> np.ndarray:
    """Classes of every code point as bit flags: uint16[0x110000], read-only, built once per process."""
    by_category = {"Nd": WORD | DIGIT | ALNUM, "Nl": ALNUM, "No": ALNUM}
    by_category |= dict.fromkeys(("Mn", "Mc", "Me"), WORD)
    by_category |= dict.fromkeys(("Lu", "Ll", "Lt", "Lm", "Lo"), WORD | ALPHA | ALNUM)
    by_category["Lu"] |= UPPER
    classes = np.zeros(0x110000, np.uint16)
    category = unicodedata.category
    for assigned in _ASSIGNED:
        classes[assigned.start : assigned.stop] = [by_category.get(category(chr(c)), 0) for c in assigned]

    def add(flag: int, characters: frozenset[str]) -> None:
        classes[[ord(character) for character in characters]] |= flag

    # Every space is in the Basic Multilingual Plane.
    add(SPACE, frozenset(character for character in map(chr, range(0x10000)) if character.isspace()))
    add(LINE_BREAK, _LINE_BREAKS)
    add(WORD, _JOINERS | {"_"})
    add(UPPER, _OTHER_UPPER)
    add(PUNCT, PUNCTUATION_SET)
    add(TERMINAL, TERMINAL_PUNCTUATION)
    single = np.array([ord(character) for character in _SINGLE])
    classes[single[classes[single] & ALPHA > 0]] |= SINGLE
    classes.setflags(write=False)
    return classes


@functools.cache
def character_classes_without_terminal() -> np.ndarray:
    """The same table where PUNCT is PUNCTUATION alone, as it was before datatrove 0.3."""
    classes = character_classes().copy()
    classes[[ord(character) for character in PUNCTUATION_SET - PUNCTUATION]] &= 0xFFFF ^ PUNCT
    classes.setflags(write=False)
    return classes


def string_buffers(texts: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
    """The int64[n + 1] offsets and the uint8 bytes of n texts, read-only and not copied.

    A null has offsets too, and they may enclose bytes.
    """
    _, offsets, data = texts.buffers()
    if len(texts) == 0 or offsets is None:
        return np.frombuffer(bytes(8), np.int64), np.frombuffer(b"", np.uint8)
    view = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    characters = np.frombuffer(data if data is not None else b"", np.uint8)
    # Arrow's own buffers come back writable, and kernels would be compiled for both kinds.
    view.setflags(write=False)
    characters.setflags(write=False)
    return view, characters


def text_bytes(texts: pa.LargeStringArray) -> np.ndarray:
    """Bytes of each text, int64[n]."""
    return np.diff(string_buffers(texts)[0])


# Numba's type stubs do not know these options.
allocating = njit(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)  # pyright: ignore[reportCallIssue]
"""Compile a function that only other kernels call, without the costly entry points for Python and C."""

inner = njit(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, _nrt=False)  # pyright: ignore[reportCallIssue]
"""The same for a function that makes no arrays (nor gives back others than it was given): it counts no references to
its arguments. Counting is atomic, and where a function is called for each word it took two fifths of the time."""


@njit(cache=True, nogil=True)
def decode(buffer: np.ndarray, position: int) -> tuple[int, int]:
    """Decode the character that starts at a byte of valid UTF-8: its code point and its length in bytes.

    The bytes (uint8) must be valid UTF-8, as those of an Arrow string array are; on others the result is
    undefined.
    """
    # A signed index may count from the end, which costs a comparison each.
    first = int(np.int64(buffer[np.uint64(position)]))
    if first < 0x80:
        return first, 1
    second = int(np.int64(buffer[np.uint64(position + 1)]) & 0x3F)
    if first < 0xE0:
        return (first & 0x1F) << 6 | second, 2
    third = int(np.int64(buffer[np.uint64(position + 2)]) & 0x3F)
    if first < 0xF0:
        return (first & 0x0F) << 12 | second << 6 | third, 3
    fourth = int(np.int64(buffer[np.uint64(position + 3)]) & 0x3F)
    return (first & 0x07) << 18 | second << 12 | third << 6 | fourth, 4


EACH = np.uint64(0x0101010101010101)
HIGH = np.uint64(0x8080808080808080)
"""The lowest and the highest bit of each byte of a word."""


@inner
def read_word(buffer: np.ndarray, position: int, size: int) -> np.uint64:
    """Up to eight bytes (uint8) from a position as a little-endian number."""
    value = np.uint64(0)
    for k in range(size):
        # With a signed index eight bytes would not be one load.
        value |= np.uint64(buffer[np.uint64(position + k)]) << np.uint64(8 * k)
    return value


@inner
def first_bytes(word: np.uint64, count: int) -> np.uint64:
    """A word with zeros behind its first bytes, one to eight of them."""
    return word & (np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - 8 * count))


@inner
def marked_byte(marks: np.uint64) -> int:
    """Which byte of a word is the first of those whose highest bit is set; 8 if none is."""
    return int(np.int64(trailing_zeros(marks) >> np.uint64(3)))  # pyright: ignore[reportCallIssue]


@inner
def set_bits(value: np.uint64) -> np.uint64:
    """How many bits are set; the compiler knows the idiom."""
    value -= (value >> np.uint64(1)) & np.uint64(0x5555555555555555)
    value = (value & np.uint64(0x3333333333333333)) + ((value >> np.uint64(2)) & np.uint64(0x3333333333333333))
    value = (value + (value >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (value * np.uint64(0x0101010101010101)) >> np.uint64(56)


@inner
def character_count(buffer: np.ndarray, start: int, stop: int) -> int:
    """Characters between two bytes of UTF-8."""
    continued = 0
    for position in range(np.uint64(start), np.uint64(stop)):
        continued += buffer[position] & 0xC0 == 0x80
    return stop - start - continued
