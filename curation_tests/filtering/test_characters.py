"""Character classes against Python's own methods, and the decoder against Python's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.filtering.characters import (
    ALNUM,
    ALPHA,
    DIGIT,
    LINE_BREAK,
    PUNCT,
    PUNCTUATION,
    PUNCTUATION_SET,
    SINGLE,
    SPACE,
    TERMINAL,
    TERMINAL_PUNCTUATION,
    UPPER,
    WORD,
    character_classes,
    decode,
)

CHARACTERS = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def members(flag: int) -> set[str]:
    return {chr(c) for c in np.flatnonzero(character_classes() & flag) if not 0xD800 <= c < 0xE000}


def test_published_sizes():
    assert (len(PUNCTUATION), len(TERMINAL_PUNCTUATION), len(PUNCTUATION_SET)) == (129, 159, 281)


def test_punctuation_members():
    assert "\r" in PUNCTUATION and not {"\n", "\t", " "} & PUNCTUATION_SET
    assert set("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") <= PUNCTUATION
    assert {"…", "。", "１", "\x00", "\x9f", "«", "►"} <= PUNCTUATION
    assert {".", "!", "?", "。", "؟", "।", "។"} <= TERMINAL_PUNCTUATION
    assert not set("\"':;…,") & TERMINAL_PUNCTUATION


def test_terminal_punctuation_is_the_unicode_property():
    regex = pytest.importorskip("regex")
    sentence_terminal = set(regex.findall(r"\p{Sentence_Terminal}", "".join(CHARACTERS)))
    assert TERMINAL_PUNCTUATION - sentence_terminal == {"\u17d6", "\u17d9", "\u17da"}


def test_classes_are_pythons():
    assert members(SPACE) == {c for c in CHARACTERS if c.isspace()}
    assert members(LINE_BREAK) == {c for c in CHARACTERS if len(f"a{c}b".splitlines()) == 2}
    assert members(ALPHA) == {c for c in CHARACTERS if c.isalpha()}
    assert members(DIGIT) == {c for c in CHARACTERS if c.isdecimal()}
    assert members(UPPER) == {c for c in CHARACTERS if c.isupper()}
    assert members(ALNUM) == {c for c in CHARACTERS if c.isalnum()}
    assert members(PUNCT) == PUNCTUATION_SET
    assert members(TERMINAL) == TERMINAL_PUNCTUATION
    assert members(ALPHA) | members(DIGIT) <= members(WORD)
    assert members(SINGLE) <= members(ALPHA)
    assert not members(WORD) & members(SPACE)
    assert character_classes().dtype == np.uint16 and not character_classes().flags.writeable


def test_scripts_without_spaces():
    assert set("漢字々ひらがなกຂខက") <= members(SINGLE)
    assert not set("カタカナーｶ한글བོaж1๑") & members(SINGLE)


@settings(deadline=None)
@given(st.characters())
def test_decode(character: str):
    if "\ud800" <= character <= "\udfff":
        return
    encoded = character.encode()
    assert decode(np.frombuffer(b"a" + encoded, np.uint8), 1) == (ord(character), len(encoded))
