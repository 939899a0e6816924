"""Lines and paragraphs against `str`; removals against a dictionary and the joining of what stays."""

import datetime as dt
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curation_assets.deduplication import segments as module
from curation_assets.deduplication.hashes.murmur3 import hash_strings
from curation_assets.deduplication.segments import REMOVALS, SEGMENTS, Scope, Unit, repeated_segments, segments
from curation_assets.filtering.edits import apply_edits, as_edits
from curation_assets.lake.query import spilling_into

Row = tuple[int, dt.datetime | None, str | None]
Piece = tuple[int, int, str]
"""Start and stop, in characters, and the form that two pieces must share."""

TEXTS = st.text(st.sampled_from("aAbé  \n\n\n\r\u2028\x1c\x85字"), max_size=25)


def pieces(text: str, unit: Unit) -> list[Piece]:
    """The segments of a text, those of paragraphs as runs of lines."""
    found = []
    position = 0
    for line in text.splitlines(keepends=True):
        stop = position + len((line + "|").splitlines()[0].removesuffix("|"))
        found.append((position, stop, " ".join(text[position:stop].split())))
        position += len(line)
    if unit == "paragraph":
        runs = [list(run) for blank, run in itertools.groupby(found, key=lambda piece: not piece[2]) if not blank]
        found = [(run[0][0], run[-1][1], " ".join(piece[2] for piece in run)) for run in runs]
    return [(start, stop, form.lower()) for start, stop, form in found]


def large(*values: str | None) -> pa.LargeStringArray:
    return pa.array(values, pa.large_string())


@settings(deadline=None, max_examples=200)
@given(TEXTS, st.sampled_from(get_args(Unit)), st.integers(1, 4))
@example("\n \na\nb\n\n \nc\n", "paragraph", 1)
@example(" \r\n", "line", 1)
def test_segments_are_those_of_python(text: str, unit: Unit, min_length: int) -> None:
    (found,) = segments(large(text), unit, min_length=min_length).to_pylist()
    expected = [piece for piece in pieces(text, unit) if len(piece[2]) >= min_length]
    forms = hash_strings(large(*(form for _, _, form in expected))).to_pylist()
    assert [segment["key"] for segment in found] == [int.from_bytes(form[:8], "little") for form in forms]
    assert [segment["start"] for segment in found] == [len(text[:start].encode()) for start, _, _ in expected]
    last = max((start for start, _, _ in pieces(text, unit)), default=0)
    for segment, (start, stop, _) in zip(found, expected, strict=True):
        if start == last:
            assert segment["stop"] == segment["end"] == len(text.encode())
        else:
            assert segment["stop"] == len(text[:stop].encode()) < segment["end"]


def test_what_lies_between() -> None:
    text = "\n\né\nb\n \n\nc\n"
    first, second = segments(large(text), "paragraph").to_pylist()[0]
    assert [first[name] for name in ("before", "start", "stop", "end")] == [0, 2, 6, 10]
    assert [second[name] for name in ("before", "start", "stop", "end")] == [6, 10, 12, 12]
    lines = segments(large(text), "line").to_pylist()[0]
    assert [(line["before"], line["start"], line["stop"], line["end"]) for line in lines] == [
        (1, 2, 4, 5),
        (4, 5, 6, 7),
        (9, 10, 12, 12),
    ]


def test_case_and_length() -> None:
    def keys(*texts: str, **how: bool | int) -> list[list[int]]:
        return [[s["key"] for s in row] for row in segments(large(*texts), "line", **how).to_pylist()]  # type: ignore[arg-type]

    first, second = keys("Home\n \nab", "  hOME\nba")
    assert first[0] == second[0]
    assert first[1] != second[1]
    first, second = keys("Home", "home", fold_case=False)
    assert first != second
    assert [len(row) for row in keys("éé é", "ééé", "  ééé  ", min_length=4)] == [1, 0, 0]
    with pytest.raises(ValueError, match="not 0"):
        keys("", min_length=0)


def test_nulls_slices_and_hostile_texts() -> None:
    texts = large(None, "a\nb", "", None, "\x00\n\x00", "\n" * 1_000_000, "x" * 5_000_000, "a\n" * 300_000)
    found = segments(texts, "paragraph")
    found.validate(full=True)
    assert found.type == SEGMENTS
    assert found.value_lengths().to_pylist() == [None, 1, 0, None, 1, 0, 1, 1]
    assert segments(texts[1:5], "paragraph").to_pylist() == found[1:5].to_pylist()
    assert segments(texts, "line").value_lengths().to_pylist() == [None, 2, 0, None, 2, 0, 1, 300_000]
    assert segments(texts[:0], "line").to_pylist() == []


def day(number: int) -> dt.datetime:
    return dt.datetime(2025, 1, number, tzinfo=dt.UTC)


def written(folder: Path, parts: Sequence[Sequence[Row]], unit: Unit) -> list[Path]:
    paths = []
    for i, rows in enumerate(parts):
        table = pa.table(
            {
                "doc": pa.array([doc for doc, _, _ in rows], pa.int64()),
                "date": pa.array([date for _, date, _ in rows], pa.timestamp("us", "UTC")),
                "segments": segments(large(*(text for _, _, text in rows)), unit),
            }
        )
        paths.append(folder / f"{i}.parquet")
        pq.write_table(table, paths[-1])
    return paths


def removed_by(paths: Sequence[Path], scope: Scope) -> dict[int, list[dict[str, int]]]:
    found: dict[int, list[dict[str, int]]] = {}
    parts = []
    for table in repeated_segments(paths, scope):
        assert table.schema == REMOVALS
        parts.append({doc >> 32 for doc in table["doc"].to_pylist()})
        for row in table.to_pylist():
            assert row["doc"] not in found
            found[row["doc"]] = row["removed"]
    assert all(len(part) == 1 for part in parts)
    assert list(found) == sorted(found)
    assert len(parts) == len(set().union(*parts))
    return found


def after(text: str | None, spans: list[dict[str, int]] | None) -> str | None:
    removed = pa.array([spans or []], REMOVALS.field("removed").type)
    return apply_edits(large(text), as_edits(removed)).to_pylist()[0]


def reference(rows: Sequence[Row], unit: Unit, scope: Scope) -> dict[int, str | None]:
    """Every text without the pieces seen before, with the breaks of those that stay."""
    seen: set[tuple] = set()
    out = {}
    for doc, _, text in sorted(rows, key=lambda row: (row[1] or day(31), row[0])):
        if text is None:
            out[doc] = None
            continue
        own = pieces(text, unit)
        starts = [start for start, _, _ in own]
        kept = text[: starts[0]] if own else text
        break_of_last = ""
        gone = False
        for i, (start, stop, form) in enumerate(own):
            key = (form, doc if scope == "page" else None)
            gone = bool(form) and key in seen
            seen.add(key)
            if not gone:
                break_of_last = text[stop : starts[i + 1]] if i + 1 < len(own) else text[stop:]
                kept += text[start:stop] + break_of_last
        if gone:
            # The text ended with a segment that is not there any more; nor is the break before it.
            stays = kept[: len(kept) - len(break_of_last)]
            kept = stays if break_of_last else ""
        out[doc] = kept
    return out


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([part << 32 | row for part in range(3) for row in range(4)]),
            st.none() | st.integers(1, 3).map(day),
            st.none() | st.text(st.sampled_from("aAb \n\n"), max_size=12),
        ),
        max_size=8,
        unique_by=lambda row: row[0],
    ),
    st.sampled_from(get_args(Unit)),
    st.sampled_from(get_args(Scope)),
    st.integers(1, 5),
    st.data(),
)
def test_what_stays_is_the_first_of_each_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], unit: Unit, scope: Scope, size: int, data: st.DataObject
) -> None:
    parts: list[list[Row]] = [[], [], []]
    for row in data.draw(st.permutations(rows)):
        parts[data.draw(st.integers(0, 2))].append(row)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BATCH_ROWS", size)
        removed = removed_by(written(tmp_path_factory.mktemp("parts"), parts, unit), scope)
    kept = {doc: after(text, removed.get(doc)) for doc, _, text in rows}
    assert kept == reference(rows, unit, scope)
    # Again on what stays: nothing is left to remove.
    again: list[Row] = [(doc, date, kept[doc]) for doc, date, _ in rows]
    assert removed_by(written(tmp_path_factory.mktemp("again"), [again], unit), scope) == {}


def test_no_empty_line_is_left(tmp_path: Path) -> None:
    rows: list[Row] = [
        (1, day(1), "menu\nabout"),
        (2, day(2), "Menu\nfirst"),
        (3, day(2), "second\nmenu\nthird\n"),
        (4, day(2), "fourth\nabout\nmenu"),
        (5, day(2), "fifth\nMENU\n"),
        (6, day(2), "menu\n"),
        (7, day(2), "menu\r\nsixth\r\nabout"),
        (8, None, "a\n\nmenu\n\nb"),
        (9, None, "c\nc\nc"),
    ]
    removed = removed_by(written(tmp_path, [rows], "line"), "snapshot")
    assert [after(text, removed.get(doc)) for doc, _, text in rows] == [
        "menu\nabout",
        "first",
        "second\nthird\n",
        "fourth",
        "fifth",
        "",
        "sixth",
        "a\n\n\nb",  # blank lines are no segments
        "c",
    ]


def test_paragraphs_stay_apart(tmp_path: Path) -> None:
    rows: list[Row] = [(1, day(1), "Legal\nnotice"), (2, None, "a\n\nlegal notice\n \n\nb\n\nLEGAL\nNOTICE\n\n")]
    removed = removed_by(written(tmp_path, [rows], "paragraph"), "snapshot")
    assert after(rows[1][2], removed[2]) == "a\n\nb"
    assert removed_by(written(tmp_path, [rows], "paragraph"), "page").keys() == {2}


def test_snapshots_are_compared_by_giving_the_parts_of_both(tmp_path: Path) -> None:
    first, second = [(1, day(1), "x\ny")], [(1 << 32, day(2), "y\nz")]
    paths = written(tmp_path, [second, first], "line")
    assert removed_by(paths[:1], "snapshot") == removed_by(paths[1:], "snapshot") == {}
    assert after("y\nz", removed_by(paths, "snapshot")[1 << 32]) == "z"


def test_nothing_to_remove(tmp_path: Path) -> None:
    assert list(repeated_segments([])) == []
    (path,) = written(tmp_path, [[(1, None, None), (2, None, ""), (3, None, "a")]], "line")
    assert list(repeated_segments([path])) == []
    with pytest.raises(ValueError, match="a part is given twice"):
        list(repeated_segments([path, path]))


def test_many_segments_beyond_the_memory_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line in half of the places, in documents of several parts."""
    monkeypatch.setattr("curation_assets.lake.query.MEMORY_LIMIT", "64MB")
    random = np.random.default_rng(1)
    numbers = random.integers(0, 100_000, (20_000, 20))
    numbers[random.random(numbers.shape) < 0.5] = 0
    texts = ["\n".join(map(str, row)) for row in numbers]
    docs = [i % 4 << 32 | i for i in range(len(texts))]
    rows: list[Row] = [(doc, None, text) for doc, text in zip(docs, texts, strict=True)]
    paths = written(tmp_path, [rows[:9000], rows[9000:]], "line")
    with spilling_into(tmp_path / "spill"):
        tables = list(repeated_segments(paths))
    assert not (tmp_path / "spill").exists()
    assert [table["doc"][0].as_py() >> 32 for table in tables] == [0, 1, 2, 3]
    removed = {row["doc"]: row["removed"] for table in tables for row in table.to_pylist()}
    seen: set[int] = set()
    for doc, line in sorted(zip(docs, numbers.tolist(), strict=True)):
        kept = []
        for number in line:
            if number not in seen:
                kept.append(str(number))
                seen.add(number)
        text = "\n".join(map(str, line))
        size = len(text) - sum(span["end"] - span["start"] for span in removed.get(doc, []))
        assert size == len("\n".join(kept))
