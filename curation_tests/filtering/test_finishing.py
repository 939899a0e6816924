"""Edits that mend encodings against ftfy itself, and bars of tables taken out against a loop over lines."""

import itertools
import random
from collections.abc import Sequence

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.filtering.edits import EDITS, apply_edits
from curation_assets.filtering.finishing import encoding_edits, symbol_line_edits

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def finished(find, texts: Sequence[str | None], skipped: int = 0) -> list[str | None]:
    arrow = pa.array(texts, pa.large_string())[skipped:]
    edits = find(arrow)
    edits.validate(full=True)
    assert edits.type == EDITS
    assert edits.null_count == 0
    return apply_edits(arrow, edits).to_pylist()


@pytest.fixture(scope="module")
def fix():
    """datatrove's FTFYFormatter."""
    ftfy = pytest.importorskip("ftfy")
    config = ftfy.TextFixerConfig(
        unescape_html="auto",
        remove_terminal_escapes=True,
        fix_encoding=True,
        restore_byte_a0=True,
        replace_lossy_sequences=True,
        decode_inconsistent_utf8=True,
        fix_c1_controls=True,
        fix_latin_ligatures=False,
        fix_character_width=False,
        uncurl_quotes=False,
        fix_line_breaks=False,
        fix_surrogates=True,
        remove_control_chars=True,
        normalization=None,
    )
    return lambda text: None if text is None else ftfy.fix_text(text, config)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("schÃ¶n", "schön"),
        ("â€œyesâ€\x9d", "“yes”"),
        ("ÐŸÑ€Ð¸Ð²ÐµÑ‚", "Привет"),
        ("&lt;a&gt; &amp;amp;", "<a> &"),
        ("&quot;\n<b>\n&quot;", '"\n<b>\n&quot;'),
        ("\x1b[31mred\x1b[0m\0\ufeff", "red"),
        ("“curly” ﬁ ＡＢ e\u0301 a\r\nb\u2028c", "“curly” ﬁ ＡＢ e\u0301 a\r\nb\u2028c"),
        ("Ãœber", "Über"),
        ("", ""),
        (None, None),
    ],
)
def test_golden_encodings(fix, text: str | None, expected: str | None):
    assert fix(text) == expected
    assert finished(encoding_edits, [text]) == [expected]


def test_an_edit_is_of_what_differs():
    pytest.importorskip("ftfy")
    arrow = pa.array(["é no\nmy cafÃ© is Ã la mode\nno", "fine", None], pa.large_string())
    edit = {"start": 12, "end": 22, "replacement": "é is à"}
    assert encoding_edits(arrow).to_pylist() == [[edit], [], []]


ENCODINGS = ["latin-1", "cp1252", "cp1251", "cp1250", "cp1253", "cp1254", "cp1257", "iso-8859-2", "mac-roman"]
WORDS = [
    "schön",
    "“q”",
    "日本",
    "Привет",
    "é",
    "voilà",
    "à",
    "½",
    "…",
    "—",
    "×",
    "²",
    "Œ",
    "😀",
    "x",
    "a b",
    " ",
    "\xa0",
]
PIECES = ["&amp;", "&lt;", "<", "\n", "\x1b[1m", "\0", "\x85", "\ufeff", "?", "&#x80;", "Â", "Ã", "\ufffd", "\x1a", "“"]


def mojibake(rng: random.Random) -> str:
    if rng.random() < 0.3:
        return rng.choice(PIECES)
    word = rng.choice(WORDS)
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
        word = word.encode().decode(rng.choice(ENCODINGS), errors=rng.choice(["replace", "ignore"]))
    return word


@pytest.mark.parametrize("seed", range(4))
def test_mends_as_ftfy_does(fix, seed: int):
    rng = random.Random(seed)
    texts = ["".join(mojibake(rng) for _ in range(rng.randint(1, 9))) for _ in range(2000)]
    assert sum(fix(text) != text for text in texts) > 1000
    assert finished(encoding_edits, texts) == [fix(text) for text in texts]


@settings(deadline=None)
@given(st.lists(st.none() | TEXTS | st.text("ÃÂâ€œ\x80\x9d&amp;<\n à", max_size=30)), st.integers(0, 3))
def test_any_text_as_ftfy_does(fix, texts: list[str | None], skipped: int):
    assert finished(encoding_edits, texts, skipped) == [fix(text) for text in texts[skipped:]]


def test_deep_nesting_takes_no_quadratic_time(fix):
    depth = 10_000
    texts = ["Â" * depth + "\x80", "&" + "amp;" * depth, "x中" + "Ã\x82" * depth + "Â\x80"]
    result = finished(encoding_edits, texts)
    assert all(len(after) < len(before) for before, after in zip(texts, result, strict=True))
    long = "a" * 999_999 + "é" + "schÃ¶n"
    assert finished(encoding_edits, [long]) == [fix(long)] == ["a" * 999_999 + "éschön"]


def slow_symbol_lines(text: str | None) -> str | None:
    if text is None:
        return None
    lines = []
    groups = itertools.groupby(text.split("\n"), key=lambda line: set(line) <= {"|", " "} and "|" in line)
    for is_debris, group in groups:
        lines += ["\n"] if is_debris else group
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\n|\nb", "a\n\n\nb"),
        ("a\n| |\n |\n||\nb", "a\n\n\nb"),
        ("|\n \n|\n", "\n\n \n\n\n"),
        ("|", "\n"),
        ("a |\n| b\n| c |", "a |\n| b\n| c |"),
        ("|\t|\n|\u3000", "|\t|\n|\u3000"),
        (" \n\n", " \n\n"),
        (None, None),
    ],
)
def test_golden_symbol_lines(text: str | None, expected: str | None):
    assert slow_symbol_lines(text) == expected
    assert finished(symbol_line_edits, [text]) == [expected]


@settings(deadline=None)
@given(st.lists(st.none() | TEXTS | st.text("||  \n\nxé", max_size=30)), st.integers(0, 3))
def test_symbol_lines_equal_a_loop(texts: list[str | None], skipped: int):
    assert finished(symbol_line_edits, texts, skipped) == [slow_symbol_lines(text) for text in texts[skipped:]]


def test_long_debris():
    texts = ["| " * 1_000_000 + "x", "|\n" * 500_000 + "x", " " * 1_000_000 + "x"]
    result = finished(symbol_line_edits, texts)
    assert result == [texts[0], "\n\nx", texts[2]]


@pytest.mark.parametrize("find", [encoding_edits, symbol_line_edits])
def test_nothing_to_do(fix, find):
    assert finished(find, []) == []
    assert finished(find, [None, ""]) == [None, ""]
