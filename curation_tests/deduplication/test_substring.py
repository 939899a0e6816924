"""Spans that occur more than once, against all pairs of windows, and against a suffix array."""

import datetime as dt
import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.deduplication import substring
from curation_assets.deduplication.substring import SPANS, Keep, Unit, duplicate_spans
from curation_assets.filtering.characters import character_classes
from curation_assets.filtering.edits import apply_edits, as_edits
from curation_assets.filtering.words import word_spans

Row = tuple[int, dt.datetime | None, str | None]
Spans = dict[int, list[tuple[int, int]]]
SCHEMA = pa.schema([("doc", pa.int64()), ("date", pa.timestamp("us", "UTC")), ("text", pa.large_string())])


def day(number: int) -> dt.datetime:
    return dt.datetime(2025, 1, number, tzinfo=dt.UTC)


def written(folder: Path, *parts: Sequence[Row], group: int = 1024) -> list[Path]:
    paths = []
    for i, rows in enumerate(parts):
        columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
        paths.append(folder / f"{i}.parquet")
        pq.write_table(pa.table(columns, schema=SCHEMA), paths[-1], row_group_size=group)
    return paths


def found(table: pa.Table) -> Spans:
    assert table.schema == SPANS
    rows = table.to_pylist()
    assert [row["doc"] for row in rows] == sorted(row["doc"] for row in rows)
    return {row["doc"]: [(span["start"], span["end"]) for span in row["spans"]] for row in rows}


def of(folder: Path, *texts: str | None, unit: Unit = "bytes", length: int, keep: Keep = "first") -> Spans:
    """Spans of texts 0, 1, ... of ascending dates."""
    paths = written(folder, [(i, day(1) + dt.timedelta(i), text) for i, text in enumerate(texts)])
    return found(duplicate_spans(paths, unit=unit, length=length, keep=keep))


def left(texts: Sequence[str], spans: Spans) -> list[str]:
    return [
        "".join(chr(byte) for i, byte in enumerate(text.encode()) if not any(a <= i < b for a, b in spans.get(doc, [])))
        for doc, text in enumerate(texts)
    ]


def runs(flags: Sequence[bool]) -> list[tuple[int, int]]:
    """Spans of the flags that are set."""
    bounds = np.flatnonzero(np.diff([0, *map(int, flags), 0]))
    return [(int(a), int(b)) for a, b in zip(bounds[::2], bounds[1::2], strict=True)]


def symbols_of(text: str, unit: Unit) -> tuple[list[bytes], list[int], list[int]]:
    """The symbols of a text, and the bytes where each starts and ends."""
    data = text.encode()
    if unit == "bytes":
        return [data[i : i + 1] for i in range(len(data))], list(range(len(data))), list(range(1, len(data) + 1))
    starts, stops = word_spans(np.frombuffer(data, np.uint8), 0, len(data), character_classes())
    return [data[a:b] for a, b in zip(starts, stops, strict=True)], starts.tolist(), stops.tolist()


def reference(rows: Sequence[Row], unit: Unit, length: int, keep: Keep) -> Spans:
    """Compare each window with every one before it."""
    ordered = sorted(rows, key=lambda row: (row[1] or dt.datetime.max.replace(tzinfo=dt.UTC), row[0]))
    texts = [(doc, text or "", *symbols_of(text or "", unit)) for doc, _, text in ordered]
    windows = [
        (number, start, symbols[start : start + length])
        for number, (_, _, symbols, _, _) in enumerate(texts)
        for start in range(len(symbols) - length + 1)
    ]
    cut = [[False] * len(symbols) for _, _, symbols, _, _ in texts]
    for i, (number, start, window) in enumerate(windows):
        equals = [other for other in windows[:i] if other[2] == window]
        if not equals:
            continue
        first, at, _ = equals[0]
        kept = range(at, at + length) if keep == "first" and first == number else range(0)
        for j in range(start, start + length):
            cut[number][j] |= j not in kept
        if keep == "none":
            cut[first][at : at + length] = [True] * length
    spans = {}
    for (doc, text, _, starts, stops), flags in zip(texts, cut, strict=True):
        data = text.encode()
        bounds = [i for i in range(len(data) + 1) if i == len(data) or data[i] & 0xC0 != 0x80]
        snapped = [
            (min(b for b in bounds if b >= starts[a]), max(b for b in bounds if b <= stops[z - 1]))
            for a, z in runs(flags)
        ]
        if inside := [span for span in snapped if span[0] < span[1]]:
            spans[doc] = inside
    return spans


def suffix_array(symbols: Sequence[int]) -> tuple[list[int], list[int]]:
    """Suffixes in order, and the common prefix of each with the next."""
    array = sorted(range(len(symbols)), key=lambda i: list(symbols[i:]))

    def common(a: int, b: int) -> int:
        pairs = enumerate(zip(symbols[a:], symbols[b:], strict=False))
        return next((i for i, (x, y) in pairs if x != y), len(symbols) - max(a, b))

    return array, [common(a, b) for a, b in pairwise(array)]


def by_suffix_array(texts: Sequence[str], length: int) -> Spans:
    """All occurrences of what occurs twice: texts joined by separators that differ, neighbours of a common prefix."""
    joined: list[int] = []
    begins = []
    for number, text in enumerate(texts):
        begins.append(len(joined))
        joined += [*text.encode(), 256 + number]
    array, common = suffix_array(joined)
    flags = [False] * len(joined)
    for (a, b), prefix in zip(pairwise(array), common, strict=True):
        if prefix >= length:
            flags[a : a + prefix] = flags[b : b + prefix] = [True] * prefix
    spans = {
        number: runs(flags[begin : begin + len(text)])
        for number, (begin, text) in enumerate(zip(begins, texts, strict=True))
    }
    return {number: some for number, some in spans.items() if some}


def test_published_example(tmp_path: Path) -> None:
    """A tutorial's slide: the only pair of suffixes that share 5 is ABCAB and ABCABCAB."""
    assert suffix_array(b"ABCABCAB") == ([6, 3, 0, 7, 4, 1, 5, 2], [2, 5, 0, 1, 4, 0, 3])
    assert of(tmp_path, "ABCABCAB", length=5, keep="none") == {0: [(0, 8)]} == by_suffix_array(["ABCABCAB"], 5)
    assert of(tmp_path, "ABCABCAB", length=5) == {0: [(5, 8)]}
    assert of(tmp_path, "ABCABCAB", length=6, keep="none") == {}


@settings(deadline=None, max_examples=80)
@given(data=st.data(), unit=st.sampled_from(["bytes", "words"]), keep=st.sampled_from(["first", "none"]))
def test_equals_all_pairs_however_it_is_laid_out(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, unit: Unit, keep: Keep
) -> None:
    letters = data.draw(st.sampled_from(["ab", "abc", "a", "aé€😀", "é€"] if unit == "bytes" else ["ab ", "a é,"]))
    row = st.tuples(st.integers(0, 99), st.none() | st.integers(1, 3).map(day), st.none() | st.text(letters))
    rows = data.draw(st.lists(row, max_size=7, unique_by=lambda row: row[0]))
    length = data.draw(st.integers(1, 12 if unit == "bytes" else 4))
    expected = reference(rows, unit, length, keep)
    for small in (False, True):
        parts: list[list[Row]] = [[], [], []]
        for row in data.draw(st.permutations(rows)):
            parts[data.draw(st.integers(0, 2))].append(row)
        with pytest.MonkeyPatch.context() as patch:
            if small:
                patch.setattr(substring, "_LEAST_SLOTS", 4)
                patch.setattr(substring, "_MOST_SLOTS", 4)
                patch.setattr(substring, "_BUCKET_SYMBOLS", data.draw(st.integers(1, 9)))
                patch.setattr(substring, "_TABLE_WINDOWS", data.draw(st.integers(1, 4)))
                patch.setattr(substring, "_SPAN_FILE_SYMBOLS", data.draw(st.integers(1, 9)))
            paths = written(tmp_path_factory.mktemp("parts"), *parts, group=data.draw(st.integers(1, 3)))
            assert found(duplicate_spans(paths, unit=unit, length=length, keep=keep)) == expected


@settings(deadline=None, max_examples=50)
@given(texts=st.lists(st.text("ab"), max_size=6), length=st.integers(1, 8))
def test_equals_a_suffix_array(tmp_path_factory: pytest.TempPathFactory, texts: list[str], length: int) -> None:
    folder = tmp_path_factory.mktemp("parts")
    assert of(folder, *texts, length=length, keep="none") == by_suffix_array(texts, length)


@pytest.mark.parametrize("keep", ["first", "none"])
def test_longer_windows_in_longer_texts(tmp_path: Path, keep: Keep) -> None:
    """Where runs hold many windows, and minimisers leave the window one by one."""
    rng = random.Random(5)
    pieces = ["".join(rng.choices("abcdefgh é", k=rng.randint(20, 90))) for _ in range(6)]
    rows = [(i, day(1 + i % 4), "".join(rng.choices(pieces, k=5))) for i in range(6)]
    for length in (19, 40, 64):
        paths = written(tmp_path, rows[:3], rows[3:])
        assert found(duplicate_spans(paths, unit="bytes", length=length, keep=keep)) == reference(
            rows, "bytes", length, keep
        )


def test_what_is_left_holds_every_text_once(tmp_path: Path) -> None:
    texts = ["Terms apply. Our cat sleeps.", "Terms apply. Our dog barks.", "Says he: Our dog barks."]
    spans = of(tmp_path, *texts, length=12)
    assert left(texts, spans) == ["Terms apply. Our cat sleeps.", "dog barks.", "Says he:"]
    assert left(["abcabcabcabc"], of(tmp_path, "abcabcabcabc", length=3)) == ["abc"]
    assert left(["abcabcabcabc"], of(tmp_path, "abcabcabcabc", length=3, keep="none")) == [""]


def test_the_first_is_of_the_earliest_date_then_of_the_smallest_doc(tmp_path: Path) -> None:
    text = "just the same"
    paths = written(tmp_path, [(5, None, text), (9, day(2), text)], [(4, day(2), text), (7, day(1), text)])
    assert found(duplicate_spans(paths, unit="bytes", length=5)).keys() == {4, 5, 9}
    paths = written(tmp_path, [(5, None, text), (9, day(2), text)], [(4, day(2), text)])
    assert found(duplicate_spans(paths, unit="bytes", length=5)).keys() == {5, 9}


def test_limit_and_bounds_of_texts(tmp_path: Path) -> None:
    assert of(tmp_path, "xabcdey", "zabcdew", length=5) == {1: [(1, 6)]}
    assert of(tmp_path, "xabcdey", "zabcdew", length=6) == {}
    assert of(tmp_path, "xabc", "dey", "abcde", length=5, keep="none") == {}, "no window crosses into the next text"


def test_spans_are_of_whole_characters(tmp_path: Path) -> None:
    """é is C3 A9 and è is C3 A8, ê is C3 AA and Ī is C4 AA: half of each character is shared."""
    assert of(tmp_path, "1abcdé", "2abcdè", length=4) == {1: [(1, 5)]}
    assert of(tmp_path, "1êabcd", "2Īabcd", length=4) == {1: [(3, 7)]}
    assert of(tmp_path, "é", "è", length=1) == {}


def test_words_whatever_is_between_them(tmp_path: Path) -> None:
    texts = "one two  three\nfour", "zero one\ttwo three  fours"
    assert of(tmp_path, *texts, unit="words", length=3) == {1: [(5, 18)]}
    assert of(tmp_path, *texts, unit="words", length=4) == {}


def test_spans_can_be_applied(tmp_path: Path) -> None:
    texts = ["The tide is out.", "See: The tide is out. Bye"]
    table = duplicate_spans(written(tmp_path, [(0, None, texts[0]), (1, None, texts[1])]), unit="words", length=3)
    edits = as_edits(table["spans"].combine_chunks())
    assert apply_edits(pa.array(texts[1:], pa.large_string()), edits).to_pylist() == ["See:  Bye"]


@pytest.mark.parametrize("unit", ["bytes", "words"])
def test_repetitive_texts(tmp_path: Path, unit: Unit) -> None:
    """Much more text than windows that differ: a quadratic method would not end."""
    assert of(tmp_path, "a " * 200_000, unit=unit, length=50) == {
        0: [(50 if unit == "bytes" else 100, 399_999 + (unit == "bytes"))]
    }
    rng = random.Random(1)
    text = " ".join("".join(rng.choices("abcdefgh", k=4)) for _ in range(100))
    rows = [(i, None, text) for i in range(3000)]
    spans = found(duplicate_spans(written(tmp_path, rows), unit=unit, length=50))
    assert spans == {i: [(0, len(text))] for i in range(1, 3000)}


def test_windows_that_overlap_their_equal(tmp_path: Path) -> None:
    """A stretch of one period: two equal windows, mostly in one run, and nothing else that repeats."""
    rng = random.Random(3)
    texts = []
    expected = {}
    for i in range(400):
        period = rng.randint(5, 9)
        stretch = ("".join(rng.sample("abcdefghijklmnopqrstuvwxyz", period)) * 30)[: 40 + period]
        before = "".join(rng.choices("ABCDEFGH", k=rng.randint(0, 50)))
        texts.append(f"{before}{i:03d}{stretch}." + "".join(rng.choices("ABCDEFGH", k=50)))
        expected[i] = [(len(before) + 3, len(before) + 3 + len(stretch))]
    assert of(tmp_path, *texts, length=40, keep="none") == expected


def test_one_minimiser_with_more_windows_than_the_table_may_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(2)

    def noise(size: int) -> str:
        return "".join(rng.choices("bcdefgh", k=size))

    rows: list[Row] = [(i, None, noise(40) + "a" * 30 + noise(40)) for i in range(200)]
    rows.append((200, None, "x" + (rows[7][2] or "")))
    monkeypatch.setattr(substring, "_TABLE_WINDOWS", 50)
    assert found(duplicate_spans(written(tmp_path, rows), unit="bytes", length=60)) == {200: [(1, 111)]}


def test_nothing_to_find(tmp_path: Path) -> None:
    for unit in ("bytes", "words"):
        assert duplicate_spans([], unit=unit, length=50).equals(SPANS.empty_table())
        rows: list[Row] = [(1, None, None), (2, None, ""), (3, day(1), "\0"), (4, None, "\U0010ffff short")]
        assert duplicate_spans(written(tmp_path, [], rows), unit=unit, length=50).equals(SPANS.empty_table())


def test_scratch_is_left_as_it_was(tmp_path: Path) -> None:
    paths = written(tmp_path, [(1, None, "over and over and over and")])
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (scratch / "mine").touch()
    assert duplicate_spans(paths, unit="bytes", length=9, scratch=scratch).num_rows == 1
    assert [path.name for path in scratch.iterdir()] == ["mine"]
    with pytest.raises(ValueError, match="doc 1 occurs more than once"):
        duplicate_spans([*paths, *paths], unit="bytes", length=9, scratch=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_windows_of_no_length_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1, not 0"):
        duplicate_spans([], unit="bytes", length=0)
