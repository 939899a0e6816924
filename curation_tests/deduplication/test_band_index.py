"""Clusters across snapshots against breadth-first search over all documents of all snapshots."""

import datetime as dt
import itertools
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.deduplication.band_index import DOCUMENTS, KEYS, MATCHES, match, write_segment
from curation_assets.deduplication.forest import Survivor

Row = tuple[int, int | None, list[int] | None, list[int]]
"""Doc, day, bands, shingles."""


def written(path: Path, rows: list[Row], bands: int = 2) -> Path:
    schema = pa.schema(
        [
            ("doc", pa.int64()),
            ("date", pa.timestamp("us", "UTC")),
            ("bands", pa.list_(pa.uint64(), bands)),
            ("shingles", pa.large_list(pa.uint64())),
        ]
    )
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], [], []]
    columns[1] = [None if day is None else dt.datetime(2025, 1, day, tzinfo=dt.UTC) for day in columns[1]]
    pq.write_table(pa.table(columns, schema=schema), path)
    return path


def reference(snapshots: dict[str, list[Row]], survivor: Survivor, jaccard: float = 0.0) -> dict[str, list[dict]]:
    names = sorted(snapshots, reverse=survivor == "latest")
    sign = 1 if survivor == "earliest" else -1
    documents = {
        (name, doc): (day, bands, set(shingles))
        for name, rows in snapshots.items()
        for doc, day, bands, shingles in rows
        if bands is not None
    }

    def order(key: tuple[str, int]) -> tuple[int, bool, int, int]:
        day = documents[key][0]
        return names.index(key[0]), day is None, sign * (day or 0), key[1]

    def near(a: tuple[str, int], b: tuple[str, int]) -> bool:
        if not any(x == y for x, y in zip(documents[a][1], documents[b][1], strict=True)):
            return False
        x, y = documents[a][2], documents[b][2]
        return not jaccard or len(x & y) / len(x | y) >= jaccard

    out: dict[str, list[dict]] = {name: [] for name in snapshots}
    left = set(documents)
    while left:
        component, queue = set(), [left.pop()]
        while queue:
            one = queue.pop()
            component.add(one)
            found = {other for other in left if near(one, other)}
            left -= found
            queue += found
        if len(component) > 1:
            kept = min(component, key=order)
            for name, doc in component:
                row = {"doc": doc, "cluster_snapshot": kept[0], "cluster": kept[1], "cluster_size": len(component)}
                out[name].append(row | {"survivor": (name, doc) == kept})
    return {name: sorted(rows, key=lambda row: row["doc"]) for name, rows in out.items()}


def snapshot_rows() -> st.SearchStrategy[list[Row]]:
    keys = st.none() | st.lists(st.integers(0, 9), min_size=2, max_size=2)
    shingles = st.sets(st.integers(0, 5), min_size=1).map(sorted)
    row = st.tuples(st.integers(0, 40), st.none() | st.integers(1, 3), keys, shingles)
    return st.lists(row, max_size=9, unique_by=lambda row: row[0])


@settings(deadline=None, max_examples=40)
@given(
    data=st.data(),
    snapshots=st.dictionaries(st.sampled_from(["CC-2024-51", "CC-2025-05", "CC-2025-08"]), snapshot_rows(), min_size=1),
    survivor=st.sampled_from(["earliest", "latest"]),
    jaccard=st.sampled_from([None, 0.5]),
)
def test_equals_breadth_first_search(
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    snapshots: dict[str, list[Row]],
    survivor: Survivor,
    jaccard: float | None,
) -> None:
    folder = tmp_path_factory.mktemp("index")
    parts = {}
    for name, rows in snapshots.items():
        shuffled = data.draw(st.permutations(rows))
        cut = data.draw(st.integers(0, len(rows)))
        halves = enumerate((shuffled[:cut], shuffled[cut:]))
        parts[name] = [written(folder / f"{name}-{i}.parquet", half) for i, half in halves]
        write_segment(parts[name], folder / name, folder / "scratch", jaccard=jaccard)
    segments = {name: folder / name for name in data.draw(st.permutations(list(snapshots)))}
    expected = reference(snapshots, survivor, jaccard or 0.0)
    for name in snapshots:
        table = match(segments, name, survivor, signatures=parts, scratch=folder / "scratch")
        assert table.schema == MATCHES
        assert table.to_pylist() == expected[name]
    assert not (folder / "scratch").exists()


FIRST: list[Row] = [(1, 1, [1, 1], [1]), (2, 2, [1, 2], [1]), (3, 1, [3, 3], [2]), (4, None, None, [])]
SECOND: list[Row] = [(1, 9, [9, 2], [1]), (2, 8, [3, 8], [2]), (3, 7, [5, 5], [3]), (4, 6, [5, 6], [3])]
FOURTH: list[Row] = [(7, 3, [1, 9], [])]
THIRD: list[Row] = [(1, 1, [3, 1], [4])]  # joins what the first snapshot has in two clusters


def test_verdicts_do_not_change_when_later_snapshots_arrive(tmp_path: Path) -> None:
    segments = {}
    for name, rows in (("a", FIRST), ("b", SECOND), ("c", THIRD)):
        segments[name] = tmp_path / name
        write_segment([written(tmp_path / f"{name}.parquet", rows)], segments[name])
    alone = match({"a": segments["a"]}, "a")
    assert alone.select(["doc", "survivor"]).to_pylist() == [
        {"doc": 1, "survivor": True},
        {"doc": 2, "survivor": False},
    ]
    both = match({"b": segments["b"], "a": segments["a"]}, "b").to_pylist()
    assert [(row["cluster_snapshot"], row["cluster"], row["cluster_size"], row["survivor"]) for row in both] == [
        ("a", 1, 3, False),
        ("a", 3, 2, False),
        ("b", 4, 2, False),
        ("b", 4, 2, True),
    ]
    everything = match(segments, "a")
    assert everything["cluster_size"].to_pylist() == [6, 6, 6]
    assert everything["survivor"].to_pylist() == [True, False, False]


def test_a_replaced_snapshot_leaves_no_trace(tmp_path: Path) -> None:
    a, b = written(tmp_path / "a.parquet", FIRST), written(tmp_path / "b.parquet", SECOND)
    write_segment([a], tmp_path / "a")
    write_segment([b], tmp_path / "b")
    before = {path: path.read_bytes() for path in tmp_path.glob("?/*")}
    once = match({"a": tmp_path / "a", "b": tmp_path / "b"}, "b")
    write_segment([written(tmp_path / "other.parquet", [*FIRST[:2], (9, 1, [5, 6], [3])])], tmp_path / "a")
    assert not match({"a": tmp_path / "a", "b": tmp_path / "b"}, "b").equals(once)
    write_segment([a], tmp_path / "a")
    assert {path: path.read_bytes() for path in tmp_path.glob("?/*")} == before
    assert match({"b": tmp_path / "b", "a": tmp_path / "a"}, "b").equals(once)


def test_segments_do_not_depend_on_the_order_of_parts(tmp_path: Path) -> None:
    parts = [
        written(tmp_path / f"{i}.parquet", rows) for i, rows in enumerate((FIRST[:2], FIRST[2:], FOURTH[:0], FOURTH))
    ]
    files = set()
    for number, order in enumerate(itertools.permutations(parts)):
        write_segment(order, tmp_path / str(number))
        files.add(tuple((tmp_path / str(number) / name).read_bytes() for name in (DOCUMENTS, KEYS)))
    assert len(files) == 1
    # Of documents that resemble each other, a key is kept once.
    assert pq.read_metadata(tmp_path / "0" / KEYS).num_rows == len({(0, 1), (1, 1), (1, 2), (0, 3), (1, 3), (1, 9)})


def test_empty_snapshots(tmp_path: Path) -> None:
    write_segment([], tmp_path / "a")
    write_segment([written(tmp_path / "b.parquet", SECOND)], tmp_path / "b")
    segments = {"a": tmp_path / "a", "b": tmp_path / "b"}
    assert match(segments, "a").equals(MATCHES.empty_table())
    assert match(segments, "b").num_rows == 2


def test_what_is_refused(tmp_path: Path) -> None:
    a = written(tmp_path / "a.parquet", FIRST)
    write_segment([a], tmp_path / "a")
    write_segment([written(tmp_path / "b.parquet", [(1, 1, [1, 2, 3], [1])], bands=3)], tmp_path / "b")
    write_segment([a], tmp_path / "c", jaccard=0.7)
    with pytest.raises(KeyError, match="no segment of d"):
        match({"a": tmp_path / "a"}, "d")
    for other in "bc":
        with pytest.raises(ValueError, match="segments differ"):
            match({"a": tmp_path / "a", other: tmp_path / other}, "a")
    write_segment([a], tmp_path / "seed 1", parameters={"seed": 1})
    write_segment([a], tmp_path / "seed 2", parameters={"seed": 2})
    with pytest.raises(ValueError, match='"seed": 1'):
        match({"a": tmp_path / "seed 1", "b": tmp_path / "seed 2"}, "a")
    copy = {"c": tmp_path / "c", "d": tmp_path / "c"}
    assert match(copy, "d", signatures={"c": [a], "d": [a]})["survivor"].to_pylist() == [False] * 3
    with pytest.raises(ValueError, match="segment of d was not made of these"):
        match(copy, "d", signatures={"c": [a], "d": [written(tmp_path / "d.parquet", SECOND)]})
    with pytest.raises(KeyError, match="c"):
        match({"c": tmp_path / "c", "d": tmp_path / "c"}, "c")
    with pytest.raises(ValueError, match="doc 1 occurs more than once"):
        write_segment([a, a], tmp_path / "twice")
