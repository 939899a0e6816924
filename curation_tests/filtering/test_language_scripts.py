"""Scripts found by the kernel against the names of Unicode's characters, and labels of every kind."""

import unicodedata
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.filtering.fineweb2_languages import language_table
from curation_assets.filtering.language_scripts import ISO_639_3, language_scripts, written_in

NAMES = {
    "LATIN": "Latn",
    "CYRILLIC": "Cyrl",
    "GREEK": "Grek",
    "ARABIC": "Arab",
    "HEBREW": "Hebr",
    "DEVANAGARI": "Deva",
    "THAI": "Thai",
    "LAO": "Laoo",
    "KHMER": "Khmr",
    "MYANMAR": "Mymr",
    "TIBETAN": "Tibt",
    "HANGUL": "Hang",
    "HIRAGANA": "Hira",
    "CJK": "Hani",
    "ETHIOPIC": "Ethi",
    "GEORGIAN": "Geor",
    "ARMENIAN": "Armn",
}


def labels(texts: list[str | None], languages: list[str | None]) -> list[str | None]:
    result = language_scripts(pa.array(texts, pa.large_string()), pa.array(languages, pa.string()))
    result.validate(full=True)
    return result.to_pylist()


def test_letters_have_the_scripts_of_their_names():
    letters = [
        (chr(code), NAMES[word])
        for code in range(0x110000)
        if unicodedata.category(chr(code)) in ("Lu", "Ll", "Lo")
        and (word := unicodedata.name(chr(code), "?").split()[0]) in NAMES
    ]
    found = labels([letter for letter, _ in letters], ["xyz"] * len(letters))
    wrong = [letter for (letter, script), label in zip(letters, found, strict=True) if label != f"xyz_{script}"]
    # By name Greek or Cyrillic, by script Coptic or Latin, or shared by two scripts.
    assert len(letters) > 100_000
    assert {unicodedata.name(letter).split()[0] for letter in wrong} <= {"GREEK", "CYRILLIC", "ARABIC"}
    assert len(wrong) < 10


@pytest.mark.parametrize(
    ("text", "language", "label"),
    [
        ("The cat sat.", "en", "eng_Latn"),
        ("Мачка седи.", "sr", "srp_Cyrl"),
        ("Mačka sedi.", "sr", "srp_Latn"),
        ("猫坐着 and much more English text", "zh", "cmn_Hani"),
        ("ねこ", "ja", "jpn_Jpan"),
        ("猫", "ja", "jpn_Jpan"),
        ("カメラ ABCDEFG", "ja", "jpn_Jpan"),
        ("고양이", "ko", "kor_Hang"),
        ("แมว", "th", "tha_Thai"),
        ("قطة", "ar", "arb_Arab"),
        ("Katten", "no", "nob_Latn"),
        ("Katten", "nn", "nno_Latn"),
        ("Кошка", "en", "eng_Cyrl"),
        ("১২ 3", "bn", "ben_Zyyy"),
        ("", "de", "deu_Zyyy"),
        ("Katze", "deu_Latn", "deu_Latn"),
        ("Katze", "srp_Cyrl", "srp_Cyrl"),
        ("Katze", "nds", "nds_Latn"),
        ("Katze", None, None),
        (None, "de", None),
    ],
)
def test_labels(text: str | None, language: str | None, label: str | None):
    assert labels([text], [language]) == [label]


def test_nothing_to_do():
    assert labels([], []) == []
    assert labels([None, None], [None, None]) == [None, None]


def test_bytes_beneath_a_null_do_not_count():
    texts = pa.LargeStringArray.from_buffers(
        2,
        pa.py_buffer(bytes([0] * 8 + [2] + [0] * 7 + [3] + [0] * 7)),
        pa.py_buffer("яa".encode()),
        pa.py_buffer(b"\2"),
    )
    assert texts.to_pylist() == [None, "a"]
    assert language_scripts(texts, pa.array(["ru", "ru"])).to_pylist() == [None, "rus_Latn"]


ALPHABETS = {"Latn": "abcé", "Cyrl": "абв", "Deva": "कखग", "Hani": "中文", "Zyyy": "1 .-\u0301"}


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.none() | st.text("".join(ALPHABETS.values()), max_size=12),
            st.sampled_from([None, "en", "sr", "hi", "zh", "qq", "deu_Latn"]),
        ),
        max_size=6,
    ),
    st.integers(0, 3),
)
def test_equals_counting(rows: list[tuple[str | None, str | None]], skipped: int):
    def expected(text: str | None, language: str | None) -> str | None:
        if text is None or language is None or "_" in language:
            return None if text is None else language
        code = ISO_639_3.get(language, language)
        letters = Counter(s for c in text for s, alphabet in ALPHABETS.items() if c in alphabet and s != "Zyyy")
        counted = {s: n for s, n in letters.items() if s in written_in().get(code, ())} or letters
        return f"{code}_{min(counted, key=lambda s: (-counted[s], s), default='Zyyy')}"

    texts = pa.array([text for text, _ in rows], pa.large_string())[skipped:]
    languages = pa.array([language for _, language in rows], pa.string())[skipped:]
    assert language_scripts(texts, languages).to_pylist() == [expected(*row) for row in rows[skipped:]]


def test_codes_are_those_of_the_table():
    in_table = {label.split("_")[0] for label in language_table()["language"].to_pylist()}
    assert {code for code in ISO_639_3.values() if code not in in_table} == {"eng", "hbs"}
    assert len(set(ISO_639_3.values())) == len(ISO_639_3)


def test_every_label_of_lid_176_has_a_row():
    from curation_assets.filtering.fasttext_model import LID_176

    if not LID_176.is_file():
        pytest.skip("the language model is not here")
    import fasttext

    models = [label.removeprefix("__label__") for label in fasttext.load_model(str(LID_176)).get_labels()]
    codes = {ISO_639_3.get(label, label) for label in models}
    assert all(len(code) == 3 for code in codes)
    assert {code for code in codes if code not in written_in()} == {"hbs"}
