"""Every variant of the signals and line edits against the slow definitions, golden texts and published results."""

import json
import operator
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from curation_assets.filtering.definitions import Definitions, LineEdits
from curation_assets.filtering.edits import apply_edits
from curation_assets.filtering.signals import BOUNDARIES, SIGNALS, annotate_signals
from curation_assets.filtering.words import word_spans
from curation_tests.filtering.slow_signals import slow_signals

FILTERS = Path(__file__).parents[3] / "shared" / "data" / "filters"
published = pytest.mark.skipif(not FILTERS.exists(), reason="the published results are not here")


def array(*texts: str | None) -> pa.LargeStringArray:
    return pa.array(texts, pa.large_string())


def annotated(text: str, definitions: Any = None, edits: Any = "none") -> dict[str, Any]:
    table = annotate_signals(
        array(text), Definitions.model_validate(definitions or {}), LineEdits.model_validate(edits)
    )
    return table.to_pylist()[0]


def cleaned(text: str, edits: Any) -> str:
    spans = annotate_signals(array(text), edits=LineEdits.model_validate(edits))["line_edits"].combine_chunks()
    return apply_edits(array(text), spans)[0].as_py()


PIECES = st.sampled_from(
    ["\n"] * 8
    + ["\n\n\n", "\r\n", "\x0b", "\u2028", "\u3000", "\t"]
    + [" "] * 14
    + ["a", "b", "the", "and", "to", "The", "THE", "ABC", "Ⅰ", "²", "½", "12", "漢字", "don't", "é", "😀", "\x00"]
    + [".", "!", '"', "...", "…", ". . .", ". . . . .", "。", "؟", ",", "#", "-", "*", "•", "●", "{"]
    + ["[1]", "[edit]", "lorem ipsum", "javascript", "terms of use", "Mr. ", "a line of text here.", "x" * 200]
    + ["3 likes", "1.2k views", "(3 LIKES)", "3 likes more", "items in cart", " Items in Cart", "read more..."]
    + ["Read More...", "Sign-in", "sign-in ", "z" * 300]
)
TEXTS = st.lists(PIECES, max_size=40).map("".join) | st.text(st.characters(exclude_categories=["Cs"]))
REPEATING = st.lists(TEXTS, min_size=1, max_size=3).flatmap(
    lambda blocks: st.lists(st.sampled_from([*blocks, "\n", " a b c d e f "]), max_size=12).map("".join)
)


def values(annotation: Any) -> st.SearchStrategy[Any]:
    return st.booleans() if annotation is bool else st.sampled_from(get_args(annotation))


CHOICES: dict[str, st.SearchStrategy[Any]] = {
    "ellipses": st.lists(st.sampled_from(["...", "…", ". . ."]), unique=True).map(tuple),
    "bullets": st.lists(st.sampled_from(["•", "-", "*", "●"]), unique=True).map(tuple),
    "stop_words": st.just(("the", "to", "a", "é")),
}
DEFINITIONS = st.sampled_from(sorted(Definitions.presets)).map(Definitions.model_validate) | st.fixed_dictionaries(
    {
        name: CHOICES[name] if name in CHOICES else values(field.annotation)
        for name, field in Definitions.model_fields.items()
    }
).map(Definitions.model_validate)
EDITS = st.sampled_from(sorted(LineEdits.presets)).map(LineEdits.model_validate) | st.fixed_dictionaries(
    {
        "max_word_length": st.sampled_from([0, 5, 250]),
        "min_words": st.integers(0, 3),
        "terminal_punctuation": st.booleans(),
        "javascript": st.booleans(),
        "policy": st.booleans(),
        "max_uppercase": st.sampled_from([1.0, 0.5, 0.0]),
        "max_digits": st.sampled_from([1.0, 0.5]),
        "counters": st.sampled_from(["keep", "whole", "prefix"]),
        "stripped_text": st.booleans(),
    }
).flatmap(
    lambda rest: st.sampled_from(
        [
            {**rest, **removal, **lines}
            for removal in ({}, {"citations": True}, {"phrases": True})
            for lines in ({"stripped": True}, {}, {"newline_cap": 1}, {"newline_cap": 3, "final_newline_cap": 2})
        ]
    ).map(LineEdits.model_validate)
)


@settings(deadline=None, max_examples=400)
@given(st.lists(TEXTS | REPEATING, min_size=1, max_size=4), DEFINITIONS, EDITS)
def test_equals_slow(texts: list[str], definitions: Definitions, edits: LineEdits):
    table = annotate_signals(array(*texts), definitions, edits)
    table.validate(full=True)
    clean = apply_edits(array(*texts), table["line_edits"].combine_chunks()).to_pylist()
    for text, row, left in zip(texts, table.to_pylist(), clean, strict=True):
        del row["line_edits"]
        expected, expected_left = slow_signals(text, definitions=definitions, edits=edits)
        assert left == expected_left
        assert row == pytest.approx(expected, rel=1e-12)


@settings(deadline=None)
@given(TEXTS)
def test_no_edits_change_nothing(text: str):
    assert annotated(text)["line_edits"] == []


@settings(deadline=None)
@given(TEXTS, st.sampled_from(["dclm", "dolma3"]))
@example("THE\x0ba\r\n", "dclm")
def test_edits_settle(text: str, preset: str):
    """What is cleaned has no rule left to apply, save to phrases and line feeds that came together.

    Lines are stripped here: the white space at the ends of a text, which is cut last, counts in a line's shares.
    """
    text = "\n".join(line.strip() for line in text.split("\n"))
    edits = LineEdits.model_validate({"preset": preset, "phrases": False, "final_newline_cap": 2})
    once = cleaned(text, edits)
    assert cleaned(once, edits) == once


def test_presets():
    assert Definitions.model_validate("datatrove") == Definitions()
    assert LineEdits.model_validate("none") == LineEdits()
    assert Definitions.model_validate({"preset": "dclm", "duplicates": "later"}).duplicates == "later"
    for model in (Definitions, LineEdits):
        for name in model.presets:
            assert model.model_validate(name) == model.model_validate(model.model_validate(name).model_dump())
    for wrong in ("gopher", {"preset": "dclm", "line": "newlines"}, {"bullets": ("--",)}, {"ellipses": ("..",)}):
        with pytest.raises(ValidationError):
            Definitions.model_validate(wrong)
    for wrong in ({"citations": True, "phrases": True}, {"stripped": True, "newline_cap": 2}, {"min_words": -1}):
        with pytest.raises(ValidationError):
            LineEdits.model_validate(wrong)


@pytest.mark.parametrize(
    ("text", "signal", "by_preset"),
    [
        # One line of four is there twice; blank lines count for datatrove 0.2 and Dolma.
        ("aa\nbb\n\naa", "dup_line_frac", {"datatrove": 1 / 3, "datatrove_0_2": 1 / 4, "dclm": 2 / 3, "dolma": 2 / 4}),
        ("aa\nbb\n\naa", "dup_line_char_frac", {"datatrove": 2 / 9, "dclm": 4 / 6, "dolma": 4 / 6}),
        ("aa\n\nbb\n\naa ", "dup_para_frac", {"datatrove": 1 / 3, "dclm": 2 / 3}),
        ("one", "dup_line_frac", {"datatrove": 0, "datatrove_0_2": 0, "dclm": 0, "dolma": 0}),
        # "ab, cd" is ab , cd to us; whitespace words keep the comma. The top bigram occurs once.
        ("ab, cd", "top_2_gram", {"datatrove": 4 / 6, "dclm": 0, "dolma": 5 / 5}),
        ("a bcd a bcd x", "top_2_gram", {"datatrove": 5 * 2 / 13, "dclm": 4 * 2 / 9, "dolma": 4 * 2 / 9}),
        # Among n-grams of one count DCLM takes the longest.
        ("a b a b ccc d ccc d", "top_2_gram", {"datatrove": 6 / 19, "dclm": 8 / 12}),
        # The first five words come again; jumping counts the second, DCLM both, Dolma two of six n-grams.
        ("a b c d e a b c d e", "dup_5_gram", {"datatrove": 5 / 19, "dclm": 10 / 10, "dolma": 10 / 30}),
        ("#a b# # ...", "hash_ratio", {"datatrove": 3 / 6, "dclm": 3 / 4, "dolma": 3 / 4}),
        ("##a b . . . …", "symbol_ratio", {"datatrove": 3 / 7, "dclm": 4 / 6, "dolma": 2 / 6}),
        ("● a\n* b\n- c\n - d\n\n• e", "bullet_line_ratio", {"datatrove": 3 / 6, "dclm": 5 / 5, "dolma": 2 / 6}),
        ("a…\nb...\nc . . .\nd… ", "ellipsis_line_ratio", {"datatrove": 3 / 4, "dclm": 4 / 4, "dolma": 1 / 4}),
        ("a\x0bb\n\nc", "lines", {"datatrove": 4, "dclm": 2, "dolma": 3}),
        ("the The the, of", "stop_words", {"datatrove": 2, "datatrove_0_2": 3, "dclm": 3, "dolma": 2}),
        ("-x ½ (a) b", "words_nonsymbol", {"datatrove": 4, "dclm": 2, "dolma": 4}),
        ("abcd, a", "mean_word_length", {"datatrove": 2.5, "dclm": 3, "dolma": 3}),
        ("a bb cccc", "median_word_length", {"datatrove": 2, "dclm": 2, "dolma": 2}),
        ("؟", "words_nonsymbol", {"datatrove": 0, "datatrove_0_2": 1}),
        ('a"\n\nb。', "line_punct_ratio", {"datatrove": 1 / 2, "datatrove_0_2": 1 / 3, "dclm": 1 / 2}),
        ("a" * 31 + "\n\n", "short_line_ratio", {"datatrove": 0, "datatrove_0_2": 2 / 3}),
    ],
)
def test_golden(text: str, signal: str, by_preset: dict[str, float]):
    assert {preset: annotated(text, preset)[signal] for preset in by_preset} == pytest.approx(by_preset)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("one two\n\n\n\nthree four", "one two\n\nthree four"),
        ("One TWO\nONE TWOa\nOne two", "One two"),
        ("ab CDE\nab CDEF", "ab CDE"),
        ("12 345\n12 34 a\none", "12 345\n12 34 a"),
        ("3 likes\n 1.2K views!\n3 likes more\nlikes 3\n3likes too", "3 likes more\nlikes 3\n3likes too"),
        ("word\n\ntwo words", "two words"),
        ("see items in cart now\nITEMS in cart\nRead more...\nall of it Read More...", "see now\nall of it"),
        ("Sign-in to see\nto Sign-in now\nsign-in", "to see\nto Sign-in now"),
        ("1 2 3 4 5 6 7 items in cart", "1 2 3 4 5 6 7"),
        ("1 2 3 4 5 6 7 8 items in cart", "1 2 3 4 5 6 7 8 items in cart"),
        ("read more...ab items in cart", "read more...ab"),
        ("go on read more... items in cart", "go on"),
        ("  \n one two \n\n", "one two"),
        ("one\n\n", ""),
    ],
)
def test_dclm_edits(text: str, clean: str):
    assert cleaned(text, "dclm") == clean


def test_dolma3_edits():
    assert cleaned("a b\n3 likes more\nc d", "dolma3") == "a b\nc d"
    assert cleaned("a b\n\nword\n\nc d", "dolma3") == "a b\n\nc d"
    assert cleaned("a b\n\nword\n\nc d", "dclm") == "a b\n\n\nc d"


def test_original_c4():
    original = {"preset": "c4", "terminal_punctuation": True, "min_words": 5}
    text = "Five words are in this.\nNot four of them.\nNo end mark is in this\nThis one trails off here...\n"
    assert cleaned(text + 'She said "this is it?"', original) == 'Five words are in this.\nShe said "this is it?"'
    assert cleaned("This ends in a citation. [1]", original) == ""
    assert cleaned("This ends in a citation.[1]", original) == "This ends in a citation."


def test_edits_are_spans():
    assert annotated("one two\nWORD\nab items in cart\n", edits="dclm")["line_edits"] == [
        {"start": 7, "end": 13, "replacement": "\n"},
        {"start": 15, "end": 30, "replacement": ""},
    ]


def distinct(count: int) -> list[str]:
    return ["b" + "".join("cdfghjklmn"[int(digit)] for digit in f"{i:03}") for i in range(count)]


# DCLM's gates: signal, operator, limit, just inside, just outside.
LIMITS = {
    "few_words": ("words_nonsymbol", "<", 50, " ".join(distinct(50)), " ".join(distinct(49)) + " -x"),
    "short_words": ("mean_word_length", "<", 3, "ab abcd", "ab abc"),
    "long_words": ("mean_word_length", ">", 10, "x" * 9 + " " + "x" * 11, "x" * 9 + " " + "x" * 12),
    "symbols": ("symbol_ratio", ">", 0.1, "a " * 9 + "#", "a " * 9 + "#…"),
    "bullets": ("bullet_line_ratio", ">", 0.9, "* a\n" * 9 + "\nb", "● a\n" * 10 + "* c\n\nb"),
    "ellipses": ("ellipsis_line_ratio", ">", 0.3, "a . . .\n" * 3 + "a\n" * 7, "a . . . \n" * 4 + "\n" + "a\n" * 6),
    "letters": ("alpha_word_ratio", "<", 0.8, "a a a a1 1", "a a a 1 1"),
    "stop_words": ("stop_words", "<", 2, "the The cat", "the the, cat"),
    "lines": ("dup_line_frac", ">", 0.3, "\n".join("abcdefgxxx"), "\n".join("abcdefxxxx")),
    "line_characters": (
        "dup_line_char_frac",
        ">",
        0.2,
        "\n".join(["x" * 10, "x" * 10, "y" * 80]),
        "\n".join(["x" * 10, "x" * 10, "y" * 79]),
    ),
    "paragraphs": ("dup_para_frac", ">", 0.3, "\n\n".join("abcdefgxxx"), "\n\n".join("abcdefxxxx")),
    "top_2_gram": ("top_2_gram", ">", 0.2, "ab c ab c " + "x" * 24, "ab c ab c " + "x" * 23),
    "top_3_gram": ("top_3_gram", ">", 0.18, "a b c " * 3 + "x" * 41, "a b c " * 3 + "x" * 40),
    "top_4_gram": ("top_4_gram", ">", 0.16, "a b c d " * 2 + "x" * 42, "a b c d " * 2 + "x" * 41),
    "dup_5_gram": ("dup_5_gram", ">", 0.15, "a b c d e f " * 2 + "x" * 68, "a b c d e f " * 2 + "x" * 67),
    "removed": (
        "words_removed_share",
        ">",
        0.05,
        " ".join(distinct(19)) + "\nword",
        " ".join(distinct(18)) + "\nword",
    ),
}
OPERATORS = {">": operator.gt, "<": operator.lt}


@pytest.mark.parametrize("name", LIMITS)
def test_dclm_limits(name: str):
    signal, comparison, limit, inside, outside = LIMITS[name]
    fails = [OPERATORS[comparison](annotated(text, "dclm", "dclm")[signal], limit) for text in (inside, outside)]
    assert fails == [False, True]


def own_words(texts: list[str | None]) -> pa.ListArray:
    from numpy import frombuffer, uint8

    from curation_assets.filtering.characters import character_classes

    rows = []
    for text in texts:
        data = frombuffer((text or "").encode(), uint8).copy()
        spans = zip(*word_spans(data, 0, len(data), character_classes()), strict=True)
        rows.append(None if text is None else [{"start": int(start), "end": int(end)} for start, end in spans])
    return pa.array(rows, BOUNDARIES)


@settings(deadline=None)
@given(st.lists(st.none() | TEXTS | REPEATING, max_size=3), st.sampled_from(["none", "c4", "dclm"]))
def test_own_words_change_nothing(texts: list[str | None], preset: str):
    """Words of an edited line are found anew unless given, so edits inside lines are left out."""
    edits = LineEdits.model_validate({"preset": preset, "citations": False, "phrases": False})
    given_words = annotate_signals(array(*texts), edits=edits, boundaries=own_words(texts))
    assert given_words.equals(annotate_signals(array(*texts), edits=edits))


def test_given_words():
    text = "我們去看電影[1]。 今天 天氣"
    spans = [(0, 6), (6, 9), (9, 12), (12, 18), (18, 21), (21, 24), (25, 31), (32, 38)]
    words = pa.array([[{"start": start, "end": end} for start, end in spans], None], BOUNDARIES)
    texts = array(text, "a b")
    table = annotate_signals(
        texts,
        edits=LineEdits(citations=True),
        boundaries=words,
        stop_words={"zh": ["看", "我們", "天"], "en": ["a"]},
        languages=pa.array(["zh", "en"]),
    )
    assert table["words"].to_pylist() == [8, 2]
    assert table["mean_word_length"].to_pylist() == [(2 + 1 + 1 + 2 + 3 + 2 + 2) / 7, 1]
    assert table["stop_words"].to_pylist() == [2, 1]
    # The citation is one given word, which the edit removes; the line's other words stay as given.
    assert table["words_removed_share"].to_pylist() == [1 / 7, 0]
    assert table["c4_sentences"].to_pylist() == [2, 1]


@pytest.mark.parametrize("spans", [[(0, 2), (1, 3)], [(2, 3), (0, 1)], [(0, 9)], [(1, 1)], [(0, 4)], [(4, 5)]])
def test_impossible_words(spans: list[tuple[int, int]]):
    words = pa.array([[], [{"start": start, "end": end} for start, end in spans]], BOUNDARIES)
    with pytest.raises(ValueError, match="words of row 1"):
        annotate_signals(array("", "abcé"), boundaries=words)


def test_arguments():
    with pytest.raises(ValueError, match="language of each text"):
        annotate_signals(array("a"), stop_words={})
    with pytest.raises(ValueError, match="1 texts but 0"):
        annotate_signals(array("a"), boundaries=pa.array([], BOUNDARIES))
    empty = annotate_signals(array("the"), stop_words={}, languages=pa.array([None], pa.string()))
    assert empty["stop_words"].to_pylist() == [0] and empty.schema == SIGNALS
    many = {"en": [f"w{i}" for i in range(300)], "xx": ["the"]}
    counts = annotate_signals(
        array("w1 w299 w300 the", "the THE", "the"), stop_words=many, languages=pa.array(["en", "xx", "fr"])
    )
    assert counts["stop_words"].to_pylist() == [2, 1, 0]


def results(name: str) -> pa.Table:
    return pq.read_table(FILTERS / "data-prep-kit" / name / "expected" / "test1.parquet")


@published
def test_published_c4():
    """data-prep-kit's C4 annotator: every verdict and every cleaned text."""
    table = results("c4_annotator")
    texts = table["text"].cast(pa.large_string()).combine_chunks()
    signals = annotate_signals(texts, edits=LineEdits.model_validate({"preset": "c4", "terminal_punctuation": True}))
    clean = apply_edits(texts, signals["line_edits"].combine_chunks()).to_pylist()
    assert table.num_rows == 12
    for expected, row, text in zip(table.to_pylist(), signals.to_pylist(), clean, strict=True):
        # C4's paragraph rule is of the text before its edits.
        verdict = (
            "drop_curly_bracket"
            if row["c4_curly_bracket"]
            else "drop_lorem_ipsum"
            if row["c4_lorem_ipsum"]
            else "drop_too_few_sentences"
            if row["c4_sentences"] < 5
            else "drop_too_few_paragraphs"
            if row["lines"] < 3
            else "drop_too_short_paragraphs"
            if row["long_lines"] < 3
            else ""
        )
        assert verdict == expected["drop_reason"]
        if not verdict:
            assert text == expected["clean_contents"]


def equal(ours: list[float], theirs: list[float]) -> int:
    return sum(a == pytest.approx(b, rel=1e-9) for a, b in zip(ours, theirs, strict=True))


@published
def test_published_repetition_and_fineweb():
    """data-prep-kit's annotators: all that does not count words is equal; its words are NLTK's."""
    table = results("gopher_repetition_annotator")
    signals = annotate_signals(table["text"].cast(pa.large_string()).combine_chunks())
    for name in ("dup_line_frac", "dup_para_frac", "dup_line_char_frac", "dup_para_char_frac"):
        assert equal(signals[name].to_pylist(), table[name].to_pylist()) == 10
    pairs = [(f"top_{n}_gram", f"top_{n}_grams") for n in (2, 3, 4)]
    pairs += [(f"dup_{n}_gram", f"dup_{n}_grams") for n in range(5, 11)]
    assert sum(equal(signals[a].to_pylist(), table[b].to_pylist()) for a, b in pairs) == 68

    table = results("fineweb_quality_annotator")
    texts = table["text"].cast(pa.large_string()).combine_chunks()
    signals = annotate_signals(texts, edits=LineEdits())
    pairs = [
        ("line_punct_ratio", "frac_line_punct"),
        ("char_dup_ratio", "dup_line_char_frac"),
        ("short_line_ratio", "short_line_frac"),
    ]
    for ours, theirs in pairs:
        assert equal(signals[ours].to_pylist(), table[theirs].to_pylist()) == 10
    ratios = zip(signals["list_ratio"].to_pylist(), table["new_line_ratio"].to_pylist(), strict=True)
    assert sum(ours == pytest.approx(theirs, rel=0.1) for ours, theirs in ratios) == 9


DOLMA = {
    **{f"fraction_of_characters_in_most_common_{n}grams": f"top_{n}_gram" for n in (2, 3, 4)},
    "character_count": "characters",
    "word_count": "words",
    "median_word_length": "median_word_length",
    "symbol_to_word_ratio": "symbol_ratio",
    "fraction_of_words_with_alpha_character": "alpha_word_ratio",
    "required_word_count": "stop_words",
    "fraction_of_lines_starting_with_bullet_point": "bullet_line_ratio",
    "fraction_of_lines_ending_with_ellipsis": "ellipsis_line_ratio",
    "fraction_of_duplicate_lines": "dup_line_frac",
    "fraction_of_characters_in_duplicate_lines": "dup_line_char_frac",
}


@published
def test_published_dolma():
    """Dolma's Gopher tagger by its definitions, and what its C4 tagger says of documents."""
    cases = [json.loads(line) for line in (FILTERS / "dolma" / "cases.jsonl").read_text().splitlines()]
    documents = {"has_lorem_ipsum": "c4_lorem_ipsum", "has_curly_brace": "c4_curly_bracket"}
    seen = 0
    for case in cases:
        kind, spans = case["span_type"], case["expect_spans"]
        if case["tagger"] == "gopher":
            (score,) = {span["score"] for span in spans}
            assert annotated(case["text"], "dolma")[DOLMA[kind]] == pytest.approx(score), kind
        elif kind in documents:
            assert (annotated(case["text"])[documents[kind]] > 0) == bool(spans)
        elif kind == "has_javascript":
            assert (cleaned(case["text"], {"javascript": True}) == "") == bool(spans)
        else:
            continue
        seen += 1
    assert seen == len(DOLMA) + 6
