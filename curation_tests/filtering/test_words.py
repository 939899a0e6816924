"""The word kernel against a slow one written from its docstring, and the words of many scripts."""

import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.filtering.characters import ALPHA, SINGLE, WORD, character_classes
from curation_assets.filtering.words import next_word, word_spans, words

CLITIC = re.compile(r"(?:s|m|d|re|ve|ll)", re.I)
PIECES = st.sampled_from(
    [*"ab AnNtTsSdD1 2٣_.,:/'’-…!?\"#²½\n\t\r\x00\x85é漢字かなカไทยកម່་\u200b\u200d\u00ad\u0301\u2028\ufeff😀♥️"]
    + ["n't", "'re", "’ll", "don't", "...", "1,000", "e.g."]
    + [" "] * 3
)
TEXTS = st.lists(PIECES, max_size=40).map("".join) | st.text(st.characters(exclude_categories=["Cs"]))


def has(character: str, flag: int) -> bool:
    return bool(character) and bool(character_classes()[ord(character)] & flag)


def is_separator(c: str) -> bool:
    invisible = unicodedata.category(c) == "Cc" or c in "\u061c\u180e\u0f0b\u0f0c\ufeff\ufff9\ufffa\ufffb"
    ranges = ((0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F), (0xE0000, 0xE007F))
    return c.isspace() or (not has(c, WORD) and (invisible or any(a <= ord(c) <= b for a, b in ranges)))


def is_mark(c: str) -> bool:
    return has(c, WORD) and not c.isalpha() and not c.isdecimal() and c != "_"


def clitic_at(text: str, i: int) -> str:
    """The clitic after the apostrophe before ``i``, if the word ends there."""
    found = re.compile(r"t|s|m|d|re|ve|ll", re.I | re.A).match(text, i)
    return found.group() if found and not has(text[found.end() : found.end() + 1], WORD) else ""


def slow_words(text: str) -> list[str]:
    found, i = [], 0
    while i < len(text):
        start, c = i, text[i]
        i += 1
        if is_separator(c):
            continue
        if has(c, WORD) and not has(c, SINGLE):
            while i < len(text):
                before, c, after = text[i - 1], text[i], text[i + 1 : i + 2]
                if has(c, SINGLE):
                    break
                if not has(c, WORD):
                    if c in "'’":
                        clitic = clitic_at(text, i + 1).lower()
                        if clitic == "t" and before in "nN" and i - 1 > start:
                            i -= 1
                            break
                        if clitic and clitic != "t":
                            break
                    joined = (
                        (c in ".'’" and has(after, WORD))
                        or (c in ",:/" and before.isdecimal() and after.isdecimal())
                        or (c == "-" and before.isalpha() and after.isdecimal())
                    )
                    if not joined:
                        if c == "." and re.fullmatch(r"[A-Z]|.*\.[A-Za-z]", text[start:i], re.S):
                            i += 1
                        break
                i += 1
        elif c in "'’" and clitic_at(text, i).lower() not in ("", "t"):
            i += len(clitic_at(text, i))
        else:
            while text[i : i + 1] == c and not has(c, SINGLE):
                i += 1
            while i < len(text) and is_mark(text[i]):
                i += 1
        found.append(text[start:i])
    return found


@settings(deadline=None, max_examples=500)
@given(TEXTS)
def test_equals_slow(text: str):
    assert words(text) == slow_words(text)


@settings(deadline=None)
@given(TEXTS, TEXTS, st.sampled_from([" ", "\n", "\u3000", "\u200b", "\x00"]))
def test_separator_joins_texts(one: str, other: str, separator: str):
    assert words(one + separator + other) == words(one) + words(other)


@settings(deadline=None)
@given(TEXTS)
def test_words_are_the_text_without_separators(text: str):
    assert "".join(words(text)) == "".join(c for c in text if not is_separator(c))


@settings(deadline=None)
@given(TEXTS)
def test_measures(text: str):
    data = np.array(bytearray(text.encode()), np.uint8)
    position = 0
    for word in words(text):
        start, position, length, union, intersection = next_word(data, position, len(data), character_classes())
        kinds = [character_classes()[ord(c)] for c in word]
        assert bytes(data[start:position]).decode() == word
        assert length == len(word)
        assert union == np.bitwise_or.reduce(kinds)
        assert intersection == np.bitwise_and.reduce(kinds)
    start, stop, length, union, intersection = next_word(data, position, len(data), character_classes())
    assert (start, stop, length, union, intersection) == (len(data), len(data), 0, 0, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I don't, it's; they'll.", "I do n't , it 's ; they 'll ."),
        ("DON’T we’ve o'clock n't", "DO N’T we ’ve o'clock n't"),
        ("rock 'n' roll, dogs' 'quoted'", "rock ' n ' roll , dogs ' ' quoted '"),
        ("e-mail x--y Hello... wait?! =====", "e - mail x -- y Hello ... wait ? ! ====="),
        ("U.S. 3.14 1,234.56 12:30 24/7 a/b a,b", "U.S. 3.14 1,234.56 12:30 24/7 a / b a , b"),
        ("J. R. A.. e.g., b. 3.x. x. é.", "J. R. A. . e.g. , b . 3.x. x . é ."),
        ("COVID-19 3-bed 10-12 a-b a--1 é-1 _-1", "COVID-19 3 - bed 10 - 12 a - b a -- 1 é-1 _ - 1"),
        ("#tag $100 50% snake_case C++ a@b.com", "# tag $ 100 50 % snake_case C ++ a @ b.com"),
        ("漢字とカタカナ。ภาษาไทย", "漢 字 と カタカナ 。 ภ า ษ า ไ ท ย"),
        ("น้ำ བོད་ཡིག한국어 x² ❤️❤️", "น้ ำ བོད ཡིག한국어 x ² ❤️ ❤️"),
        ("zero\u200bwidth soft\u00adhyphen na\u0308ive", "zero width soft\u00adhyphen na\u0308ive"),
        ("\x00 \ufeff\t\u2003", ""),
        ("", ""),
    ],
)
def test_golden(text: str, expected: str):
    assert words(text) == expected.split(" ") if expected else words(text) == []


def test_spans_inside_a_buffer():
    data = np.array(bytearray(b"one two three four"), np.uint8)
    starts, stops = word_spans(data, 4, 13, character_classes())
    assert starts.tolist() == [4, 8] and stops.tolist() == [7, 13]


def test_bounded_by_end():
    data = np.array(bytearray(b"don't"), np.uint8)
    assert word_spans(data, 0, 4, character_classes())[1].tolist() == [3, 4]


def test_long_texts():
    assert len(words("a " * 1_000_000)) == 1_000_000
    assert len(words("don't" * 200_000)) == 2
    assert words("'" * 1_000_000) == ["'" * 1_000_000]


def test_alpha_of_contraction():
    data = np.array(bytearray(b"5n't"), np.uint8)
    assert not next_word(data, 0, 4, character_classes())[3] & ALPHA
