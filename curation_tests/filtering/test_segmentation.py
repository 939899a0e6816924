"""Words of languages without spaces, against ICU's boundaries and the words of `words.py`, put together slowly."""

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curation_assets.filtering.characters import SINGLE, character_classes
from curation_assets.filtering.segmentation import SCRIPTS, WORD_BOUNDARIES, word_boundaries
from curation_assets.filtering.words import words

breakers = pytest.importorskip("icu4py.breakers")


def segment(texts: list[str | None], languages: list[str | None]) -> list[list[str] | None]:
    result = word_boundaries(pa.array(texts, pa.large_string()), pa.array(languages, pa.string()))
    result.validate(full=True)
    assert result.type == WORD_BOUNDARIES
    return [
        None if spans is None else [(text or "").encode()[span["start"] : span["end"]].decode() for span in spans]
        for text, spans in zip(texts, result.to_pylist(), strict=True)
    ]


def slow(text: str) -> list[str]:
    boundaries = {stop for _, stop in breakers.WordBreaker(text, "en").segments()}
    found: list[tuple[int, int]] = []
    position = 0
    single = character_classes() & SINGLE > 0
    letters = False
    for word in words(text):
        start = text.index(word, position)
        position = start + len(word)
        had_letters, letters = letters, any(single[ord(c)] for c in word)
        unit = len(text[:start].encode("utf-16-le")) // 2
        if found and found[-1][1] == start and (letters or had_letters) and unit not in boundaries:
            found[-1] = found[-1][0], position
        else:
            found.append((start, position))
    return [text[start:stop] for start, stop in found]


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("cmn_Hani", "法律|保护|自由"),
        ("jpn_Jpan", "すべて|の|人間|は|、|自由|で|ある|。"),
        ("jpn_Jpan", "コンピューター|を|2024|年|に"),
        ("tha_Thai", "มนุษย์|มี|อิสรภาพ"),
        ("lao_Laoo", "ມະນຸດ|ເກີດ|ມາ"),
        ("khm_Khmr", "មនុស្ស|មាន|សេរីភាព"),
        ("mya_Mymr", "လူ|တိုင်း|သည်"),
    ],
)
def test_golden(language: str, expected: str):
    assert segment([expected.replace("|", "")], [language]) == [expected.split("|")]


def test_elsewhere_words_are_as_everywhere():
    text = "ที่ example.com ... 3.14 e-mail do n't\u200bที่"
    assert segment([text], ["tha_Thai"]) == [["ที่", "example.com", "...", "3.14", "e", "-", "mail", "do", "n't", "ที่"]]
    english = "It isn't a dictionary's job: 1,000 words (or so)…"
    assert segment([english], ["cmn_Hani"]) == [words(english)]


def test_null_where_no_dictionary_is_needed():
    languages = ["deu_Latn", "kor_Hang", "bod_Tibt", None, "x", "", "cmn_Hani"]
    assert segment([*["自由"] * 6, None], languages) == [None] * 7
    assert segment(["", "自由", " \n"], ["cmn_Hani"] * 3) == [[], ["自由"], []]
    assert segment([], []) == []
    assert segment(["自由", None], [None, "cmn_Hani"]) == [None, None]


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="1 texts but 2"):
        word_boundaries(pa.array(["a"], pa.large_string()), pa.array(["a", "b"]))


CHARACTERS = "的人自由日ひらがなカタカーーทมนุษย์่ใາມະນຸດមស្សလူတိုင်းབོད་a1.,'’-… \n\r\0\u200b\u200d\u0301𠮷😀é"

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(
        st.tuples(
            st.none()
            | st.text(CHARACTERS, max_size=30)
            | st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
            st.sampled_from([None, "eng_Latn", *(f"xyz_{script}" for script in SCRIPTS)]),
        ),
        max_size=5,
    ),
    st.integers(0, 2),
)
@example([("日\r", "x_Hani"), ("\n本", "x_Hani"), ("\u0301人", "x_Hani"), ("𠮷野家人", "x_Hani")], 0)
def test_equals_reference(rows: list[tuple[str | None, str | None]], skipped: int):
    texts = [text for text, _ in rows]
    languages = [language for _, language in rows]
    expected = [
        slow(text) if text is not None and language not in (None, "eng_Latn") else None for text, language in rows
    ]
    assert segment(texts, languages) == expected
    sliced = word_boundaries(
        pa.array(texts, pa.large_string())[skipped:], pa.array(languages, pa.string())[skipped:]
    ).to_pylist()
    whole = word_boundaries(pa.array(texts, pa.large_string()), pa.array(languages, pa.string())).to_pylist()
    assert sliced == whole[skipped:]


def test_large_texts_are_taken_in_groups():
    text = "自由" * 1_500_000  # 9 MB of UTF-8
    found = word_boundaries(pa.array([text, text, "自由", None], pa.large_string()), pa.array(["cmn_Hani"] * 4))
    counts = found.value_lengths().to_pylist()
    assert counts[0] == counts[1] > 1_000_000
    assert counts[2:] == [1, None]
    assert found[1].values[-1].as_py()["end"] == 9_000_000
