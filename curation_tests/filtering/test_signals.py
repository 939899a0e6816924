"""Every signal against a slow implementation of its definition, and texts just inside and outside each limit."""

import json
import operator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.filtering.edits import EDITS, apply_edits
from curation_assets.filtering.signals import SIGNALS, annotate_signals
from curation_assets.recipes.loading import load_recipe
from curation_tests.filtering.slow_signals import slow_sentences, slow_signals

REPOSITORY = Path(__file__).parents[2]
PUBLISHED_CASES = REPOSITORY.parent / "shared" / "data" / "filters" / "datatrove" / "cases.jsonl"


def annotated(text: str) -> dict:
    return annotate_signals(pa.array([text], pa.large_string())).to_pylist()[0]


PIECES = st.sampled_from(
    ["\n"] * 8
    + ["\n\n", "\r\n", "\r", "\x0b", "\x85", "\u2028", "\x1c"]
    + [" "] * 12
    + ["a", "b", "the", "and", "to", "be", "that", "have", "with", "of", "The", "ab", "bc", "abc"]
    + [".", ".", "!", "?", "...", "…", "。", ",", "#", "-", "•", "“", "”", "\u3000", "\u200b", "'", "₂"]
    + ["[1]", "[12]", "[]", "[edit]", "[citation needed]", "[٣]", "[²]", "[x]", "[[1]", "java[1]script"]
    + ["lorem ipsum", "Lorem Ipsum", "{", "}", "javascript", "JavaScript", "terms of use", "Privacy Policy"]
    + ["cookie policy", "uses cookies", "use of cookies", "USE COOKIES", "uses\x00cookies"]
    + ["Mr. ", "J. ", "U.S. ", "e.g. ", "I say so. ", "a line of text here.", "x" * 29, "y" * 500, "z" * 1001]
    + ["neighbour", "NEIGHBOUR", "Neighbourhood, ", "A. ", "w" * 70, "line", "line)", "\x7f", "a\x00b"]
    + ["漢字", "かな", "ไทย", "é", "😀", "don't", "1,000"]
)
TEXTS = st.lists(PIECES, max_size=40).map("".join) | st.text(st.characters(exclude_categories=["Cs"]))
# Texts made of a few repeated blocks, so that n-grams, lines and paragraphs repeat.
REPEATING = st.lists(TEXTS, min_size=1, max_size=3).flatmap(
    lambda blocks: st.lists(st.sampled_from([*blocks, "\n", " a b c d e f "]), max_size=12).map("".join)
)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.none() | TEXTS | REPEATING, max_size=4), st.integers(0, 2))
def test_equals_slow(texts: list[str | None], skipped: int):
    array = pa.array(texts, pa.large_string())[skipped:]
    table = annotate_signals(array)
    table.validate(full=True)
    assert table.schema == SIGNALS
    cleaned = apply_edits(array, table["line_edits"].combine_chunks()).to_pylist()
    for text, row, clean in zip(texts[skipped:], table.to_pylist(), cleaned, strict=True):
        edits = row.pop("line_edits")
        if text is None:
            assert set(row.values()) == {None} and edits is None and clean is None
        else:
            expected, expected_clean = slow_signals(text)
            assert row == pytest.approx(expected, rel=1e-12)
            assert clean == expected_clean


def test_null_and_empty():
    table = annotate_signals(pa.array([None, ""], pa.large_string()))
    null, empty = table.to_pylist()
    assert set(null.values()) == {None}
    assert empty.pop("line_edits") == [] and set(empty.values()) == {0}
    assert annotate_signals(pa.array([], pa.large_string())).schema == SIGNALS


def test_line_edits_are_few():
    clean = "One line of text.\nAnother line of text."
    assert annotated(clean)["line_edits"] == []
    edits = annotated(f"  {clean}[1]\n\nshort\n")["line_edits"]
    assert edits == [
        {"start": 0, "end": 2, "replacement": ""},
        {"start": 41, "end": 44, "replacement": ""},
        {"start": 44, "end": 52, "replacement": ""},
    ]
    assert SIGNALS.field("line_edits").type == EDITS


def test_hostile_texts():
    long_line = "word " * 200_000
    nothing = "\x00\x01\u200b" * 10_000
    brackets = "[1" * 50_000
    rows = annotate_signals(pa.array([long_line, nothing, brackets, "\n" * 100_000], pa.large_string()))
    assert rows["words"].to_pylist()[:2] == [200_000, 0]
    assert rows["lines"].to_pylist() == [1, 1, 1, 100_000]
    assert rows["dup_10_gram"][0].as_py() == pytest.approx(0.8, abs=1e-3)


def test_many_documents_keep_apart():
    """Hash tables and word arrays are reused; no document sees another's."""
    texts = [f"some words number {i} and more words {i}.\n" * (i % 37) for i in range(300)]
    together = annotate_signals(pa.array(texts, pa.large_string())).to_pylist()
    assert together[::50] == [annotated(text) for text in texts[::50]]


GATES = {gate.name: gate for _, _, gate in load_recipe("fineweb").gates if gate.signal in SIGNALS.names}
STATIONS = {gate.name: station for _, station, gate in load_recipe("fineweb").gates}
OPERATORS = {">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le}


def fails(text: str, name: str) -> bool:
    gate = GATES[name]
    return OPERATORS[gate.operator](annotated(text)[gate.signal], gate.limit)


def test_every_gate_of_the_recipe_has_its_column():
    assert len(GATES) == 13 + 10 + 3 + 5


def distinct(count: int, length: int = 5) -> list[str]:
    """Different words of one length."""
    letters = "bcdfghjklmnpqrstvwxz"
    names = []
    for i in range(count):
        name = ""
        for _ in range(length):
            name += letters[i % 20]
            i //= 20
        names.append(name)
    return names


def filled(text: str, size: int) -> str:
    """The text with words found nowhere else, up to a number of characters."""
    return (text + " " + " ".join(distinct(400, 6)))[:size]


SENTENCE = "It has {} words."
LIMITS = {
    # gate: (just inside, just outside)
    "dup_para_frac": ("\n\n".join([*"abcdefg", "g", "g", "g"]), "\n\n".join([*"abcdef", *"ffff"])),
    "dup_para_char_frac": (
        "\n\n".join(["x" * 20, "x" * 20, "y" * 56]),
        "\n\n".join(["x" * 20, "x" * 20, "y" * 55]),
    ),
    "dup_line_frac": ("\n".join("abcdefgggg"), "\n".join("abcdefffff")),
    "dup_line_char_frac": ("\n".join(["x" * 20, "x" * 20, "y" * 58]), "\n".join(["x" * 20, "x" * 20, "y" * 57])),
    "top_2_gram": (filled("no go, " * 4, 100), filled("no go, " * 4 + "no go", 100)),
    "top_3_gram": (filled("a b c " * 3 + "d, " * 2, 84), filled("a b c " * 3 + "d, " * 2, 83)),
    "top_4_gram": (filled("a b c d " * 2, 88), filled("a b c d " * 2, 87)),
    **{
        f"duplicated_{n}_n_grams": (
            filled(" ".join(distinct(n) * 2), limit),
            filled(" ".join(distinct(n) * 2), limit - 1),
        )
        for n, limit in ((5, 167), (6, 215), (7, 270), (8, 334), (9, 410), (10, 500))
    },
    "gopher_short_doc": (" ".join(distinct(50)), " ".join(distinct(49)) + " . . ."),
    "gopher_long_doc": ("a " * 100_000 + "...", "a " * 100_001),
    "gopher_below_avg_threshold": ("ab abcd !", "ab abc !"),
    "gopher_above_avg_threshold": ("x" * 9 + " " + "x" * 11, "x" * 9 + " " + "x" * 12),
    "gopher_too_many_hashes": ("a b c d e f g h i #", "a b c d e f g h ##"),
    "gopher_too_many_ellipsis": ("a b c d e f g h i ...", "a b c d e f g … ..."),
    "gopher_too_many_bullets": ("- a\n" * 9 + "b", "- a\n" * 9 + " • b"),
    "gopher_too_many_end_ellipsis": ("a...\n" * 3 + "a\n" * 7, "a…  \n" * 4 + "a\n" * 6),
    "gopher_below_alpha_threshold": ("a a a 1a 1", "a a a 1 1"),
    "gopher_enough_stop_words": ("the cat with a hat", "the cat the hat The With"),
    "c4_lorem_ipsum": ("Lorem ipsum!\na lorem  ipsum text", "a LOREM Ipsum text"),
    "c4_curly_bracket": ("a {b}\nwhat a javascript { it is\nall is }", "a { b"),
    "c4_too_few_sentences": ("One is one. " * 4 + "And one", "One is... one. " * 4 + "”"),
    "fineweb_empty": ("One two three", "One two\nthree four"),
    "line_punct_ratio": ("a b c。\n" * 3 + "a b c\n" * 22, "a b c.\n" * 2 + "a b c\n" * 15),
    "short_line_ratio": (
        ("a b " + "c" * 26 + "\n") * 67 + ("a b " + "c" * 27 + "\n") * 33,
        ("a b " + "c" * 26 + "\n") * 68 + ("a b " + "c" * 27 + "\n") * 32,
    ),
    "char_dup_ratio": ("a b cd\n" * 2 + "a b " + "c" * 584, "a b cd\n" * 2 + "a b " + "c" * 583),
    "list_ratio": ("a b c\n" * 9 + "a b c d", "a b c\n" * 10 + "a b c"),
}


@pytest.mark.parametrize("gate", LIMITS)
def test_limits(gate: str):
    inside, outside = LIMITS[gate]
    assert (fails(inside, gate), fails(outside, gate)) == (False, True)


def test_every_gate_has_limits():
    assert set(LIMITS) == set(GATES)


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("One sentence without an end", 1),
        ("One. Two! Three? Four", 4),
        ("Wait... what?! Really!!! Yes.", 3),
        ('He said "Stop." Then (he left.) And so on.', 3),
        ("Dr. Smith met J. R. Jones vs. the U.S. team, e.g. here. It is 3.14 now.", 2),
        ("一句话。 第二句！ 第三句？", 3),
        ("一句话。第二句！第三句？ 完 了", 4),
        ("यह एक वाक्य है। यह दूसरा है।", 2),
        ("a . . . b", 2),
    ],
)
def test_sentences(line: str, count: int):
    assert annotated(f"{line} \nnot three")["c4_sentences"] == (count if len(line.split()) > 2 else 0)
    assert slow_sentences(line) == count


PARAMETERS = {
    "min_doc_words": "gopher_short_doc",
    "max_doc_words": "gopher_long_doc",
    "min_num_sentences": "c4_too_few_sentences",
    "line_punct_thr": "line_punct_ratio",
    "short_line_thr": "short_line_ratio",
    "new_line_ratio": "list_ratio",
}
"""The gates whose limits the parameters of the published cases set."""


def first_failure(text: str, station: str, limits: dict[str, float]) -> str:
    row = annotated(text)
    for name, gate in GATES.items():
        limit = limits.get(name, gate.limit)
        if STATIONS[name] == station and OPERATORS[gate.operator](row[gate.signal], limit):
            return name
    return "keep"


@pytest.mark.skipif(not PUBLISHED_CASES.exists(), reason="the published cases are not here")
def test_published_cases():
    cases = [json.loads(line) for line in PUBLISHED_CASES.read_text().splitlines()]
    groups = ("gopher_repetition", "gopher_quality", "c4_quality", "fineweb_quality")
    cases = [case for case in cases if case["filter"] in groups]
    assert len(cases) == 22
    for case in cases:
        text, expected = case["text"], case["expect"]
        limits = {PARAMETERS[name]: x for name, x in case["params"].items() if name in PARAMETERS}
        got = first_failure(text, case["filter"], limits).removeprefix("c4_").removeprefix("fineweb_")
        if expected == "text_without_line":
            edits = pa.array([annotated(text)["line_edits"]], EDITS)
            cleaned = apply_edits(pa.array([text], pa.large_string()), edits)[0].as_py()
            assert cleaned == "Another valid line here today."
        elif case["filter"] == "fineweb_quality" and all(len(line.split()) < 3 for line in text.split("\n")):
            # Published for the filter alone; here C4's rules come first and leave nothing of such short lines.
            assert expected != "keep" and got == "empty"
        else:
            assert got == expected
