"""Normal forms against `unicodedata` and `str`."""

import unicodedata
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.deduplication.normal_form import GROWTH, composed, folded_case

ASSIGNED = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cs", "Cn", "Co")]
MARKS = "\u0300\u0301\u0323\u0338\u0345\u05b0\u0655\u09be\u0b3e\u0dcf\u1161\u11a8\u3099\U000110ba\U0001d16e"
BASES = "aeE=\u00e9\u0627\u09c7\u0b47\u0dd9\u1100\uac00\u304b\u212b\ufb1d\U00011099\U0001d158"


def normal(values: Sequence[str | None]) -> list[str | None]:
    return composed(pa.array(values, pa.large_string())).to_pylist()


def test_every_character_alone_and_with_marks() -> None:
    """What is not handed to Arrow is in normal form C already."""
    for mark in ("", *MARKS):
        texts = ["x" + character + mark for character in ASSIGNED]
        assert normal(texts) == [unicodedata.normalize("NFC", text) for text in texts]


@settings(deadline=None)
@given(st.lists(st.none() | st.text(st.sampled_from(BASES + MARKS) | st.sampled_from(ASSIGNED)), max_size=5))
def test_any_text(values: list[str | None]) -> None:
    expected = [value and unicodedata.normalize("NFC", value) for value in values]
    assert normal(values) == expected
    assert normal(expected) == expected


def test_case_is_folded_character_by_character() -> None:
    table = folded_case(True)
    changed = np.flatnonzero(table != np.arange(0x110000))
    for code in changed:
        assert len(chr(table[code]).encode()) <= GROWTH * len(chr(code).encode())
        assert table[table[code]] == table[code]
    assert {chr(c) for c in changed if c < 0x80} == set("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert table[ord("ς")] == table[ord("Σ")] == ord("σ")
    assert table[ord("ẞ")] == table[ord("ß")] == ord("ß")
    assert table[ord("İ")] == ord("İ")
    assert not (folded_case(False) != np.arange(0x110000)).any()
    with pytest.raises(ValueError, match="read-only"):
        table[0] = 1
