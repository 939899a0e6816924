"""Simplified text against the published order of steps, written with Python's own string functions."""

import re
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.deduplication.shingles import GROWTH, separate, simplified_words, simplify_text
from curation_assets.filtering.characters import PUNCTUATION
from curation_assets.filtering.words import words

NUMBER = re.compile(r"\d+([.,\u060c\u066b\u2396\u2397\u2398]\d+)?")
# Spacing marks that NFD may move past each other.
REORDERED = [c for c in map(chr, range(0x20000)) if unicodedata.combining(c) and unicodedata.category(c) != "Mn"]


def reference(text: str) -> str:
    text = "".join(c.lower() for c in text)  # one at a time: no final sigma
    text = NUMBER.sub("0", text)
    text = "".join(" " if c in PUNCTUATION else c for c in text)
    text = " ".join(text.split())
    text = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
    return text.strip()


def simplified(texts: list[str]) -> list[str]:
    return simplify_text(pa.array(texts, pa.large_string())).to_pylist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,234.56", "0 0"),  # datatrove 0.10 gives these
        ("It's", "it s"),
        ("12.a", "0 a"),
        ("1..2", "0 0"),
        ("12, 13", "0 0"),
        ("１２３ ٣٫٤", "0 0"),
        ("x 3\u23964\u23965", "x 0\u23960"),
        ("a \u0300 b", "a  b"),
        (" \u0300 a", "a"),
        ("a \u0300 \u0300", "a"),
        ("\u0130X \u2260 Å", "ix = a"),
        ("a\u037eb", "a;b"),
        ("  tabs\tand\r\nlines\u2028\x00 ", "tabs and lines"),
        ("", ""),
        ("...", ""),
    ],
)
def test_golden(text: str, expected: str) -> None:
    assert simplified([text]) == [expected] == [reference(text)]


def test_final_sigma_is_an_ordinary_one() -> None:
    assert simplified(["ΟΔΟΣ"]) == ["οδοσ"]


def test_every_character() -> None:
    texts = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    assert simplified(texts) == [reference(text) for text in texts]
    # What the size of the buffers relies on.
    words = separate(pa.array(texts, pa.large_string()))
    sizes = np.array([len(text.encode()) for text in texts])
    assert (np.diff(words.first) <= sizes).all()
    assert all(len(s.encode()) <= GROWTH * size for s, size in zip(simplified(texts), sizes, strict=True))


HARD = st.sampled_from("aZ09.,' \n\u00a0\u0300\u0301éÅ한中ก\u0e34の\u3099İΣß①²½\u0663\u066b\u2396\uff11ﬁ𝟘\U0001d15e")
UNICODE = st.characters(exclude_categories=["Cs"], exclude_characters=REORDERED)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.text(HARD | UNICODE, max_size=60), max_size=5))
def test_equals_the_reference(texts: list[str]) -> None:
    assert simplified(texts) == [reference(text) for text in texts]


@settings(deadline=None, max_examples=300)
@given(st.lists(st.text(HARD | UNICODE, max_size=60), max_size=5))
def test_words_are_those_of_the_segmentation(texts: list[str]) -> None:
    expected = [" ".join(words(reference(text))) for text in texts]
    assert simplified_words(pa.array(texts, pa.large_string())).to_pylist() == expected


def test_words() -> None:
    texts = pa.array(["東京 Tokyo's", "naïve – e-mail", "한국어", "€5 a€", None], pa.large_string())
    assert simplified_words(texts).to_pylist() == [
        "東 京 tokyo s",
        "naive e mail",
        unicodedata.normalize("NFD", "한국어"),
        "€ 0 a €",
        "",
    ]


@settings(deadline=None, max_examples=300)
@given(st.lists(st.text(st.sampled_from("abZß ж  €•中\u0300\u200b\u00ad0"), max_size=40), max_size=4))
def test_letters_beside_symbols_of_other_scripts(texts: list[str]) -> None:
    expected = [" ".join(words(reference(text))) for text in texts]
    found = separate(pa.array(texts, pa.large_string()))
    assert simplified_words(pa.array(texts, pa.large_string())).to_pylist() == expected
    assert np.diff(found.first).tolist() == [len(text.split()) for text in expected]
    each = [found.text[a : b - 1].tobytes().decode() for a, b in zip(found.starts[:-1], found.starts[1:], strict=True)]
    assert each == " ".join(expected).split()


def test_slices_and_nulls() -> None:
    texts = pa.array(["A", None, "B b", "", "C"], pa.large_string())
    assert simplify_text(texts[1:4]).to_pylist() == ["", "b b", ""]
    assert simplify_text(texts[:0]).to_pylist() == []
    assert simplify_text(pa.array([None, None], pa.large_string())).to_pylist() == ["", ""]


def test_long_lines() -> None:
    text = "한국x1,2." * 400_000
    assert simplified([text]) == [reference(text)]
