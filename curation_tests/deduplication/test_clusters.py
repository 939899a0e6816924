"""Clusters against breadth-first search over all pairs."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.deduplication import clusters
from curation_assets.deduplication.clusters import CLUSTERS, cluster
from curation_assets.deduplication.forest import Survivor
from curation_assets.engine.local import LocalEngine

Row = tuple[int, dt.datetime | None, list[int] | None]


def day(number: int) -> dt.datetime:
    return dt.datetime(2025, 1, number, tzinfo=dt.UTC)


def written(folder: Path, parts: Sequence[Sequence[Row]], bands: int = 2) -> list[Path]:
    schema = pa.schema(
        [("doc", pa.int64()), ("date", pa.timestamp("us", "UTC")), ("bands", pa.list_(pa.uint64(), bands))]
    )
    paths = []
    for i, rows in enumerate(parts):
        columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
        paths.append(folder / f"{i}.parquet")
        pq.write_table(pa.table(columns, schema=schema), paths[-1])
    return paths


def reference(rows: Sequence[Row], survivor: Survivor = "earliest") -> list[dict]:
    """Breadth-first search; two documents are neighbours when a band has the same key in both."""
    sign = 1 if survivor == "earliest" else -1

    def order(doc: int) -> tuple[bool, float, int]:
        date = documents[doc][0]
        return date is None, sign * date.timestamp() if date else 0, doc

    documents = {doc: (date, bands) for doc, date, bands in rows if bands is not None}
    out = []
    seen: set[int] = set()
    for first in documents:
        if first in seen:
            continue
        component, queue = {first}, [first]
        while queue:
            bands = documents[queue.pop()][1]
            for other, (_, others) in documents.items():
                if other not in component and any(x == y for x, y in zip(bands, others, strict=True)):
                    component.add(other)
                    queue.append(other)
        seen |= component
        if len(component) > 1:
            kept = min(component, key=order)
            out += [
                {"doc": doc, "cluster": kept, "cluster_size": len(component), "survivor": doc == kept}
                for doc in component
            ]
    return sorted(out, key=lambda row: row["doc"])


def row_lists(bands: int) -> st.SearchStrategy[list[Row]]:
    keys = st.none() | st.lists(st.integers(0, 12) | st.just(2**64 - 1), min_size=bands, max_size=bands)
    row = st.tuples(st.integers(0, 2**62), st.none() | st.integers(1, 3).map(day), keys)
    return st.lists(row, max_size=25, unique_by=lambda row: row[0])


@settings(deadline=None, max_examples=100)
@given(data=st.data(), bands=st.integers(1, 4), files=st.integers(1, 9), run=st.integers(1, 40))
def test_equals_breadth_first_search_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, bands: int, files: int, run: int
) -> None:
    rows = data.draw(row_lists(bands))
    parts: list[list[Row]] = [[], [], []]
    for row in data.draw(st.permutations(rows)):
        parts[data.draw(st.integers(0, 2))].append(row)
    folder = tmp_path_factory.mktemp("parts")
    survivor: Survivor = data.draw(st.sampled_from(["earliest", "latest"]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clusters, "_BUCKET_ROWS", -(-len(rows) * bands // files) or 1)
        patch.setattr(clusters, "_RUN_ROWS", run)
        table = cluster(written(folder, parts, bands), folder, survivor=survivor)
    assert table.schema == CLUSTERS
    assert table.to_pylist() == reference(rows, survivor)


def test_survivor_is_the_earliest_then_the_smallest(tmp_path: Path) -> None:
    rows: list[Row] = [
        (1, None, [7, 1]),
        (2, day(2), [7, 2]),
        (3, day(1), [7, 3]),
        (4, day(1), [7, 4]),
        (5, day(3), [8, 5]),  # a chain: 6 meets 5 in one band and 7 in the other
        (6, None, [8, 6]),
        (7, None, [9, 6]),
        (8, day(1), [10, 10]),  # alone
        (9, None, [6, 7]),  # the same numbers in other bands
        (10, day(1), None),
        (11, day(1), None),
    ]
    table = cluster(written(tmp_path, [rows[5:], rows[:5]]), tmp_path)
    assert table["doc"].to_pylist() == [1, 2, 3, 4, 5, 6, 7]
    assert table["cluster"].to_pylist() == [3, 3, 3, 3, 5, 5, 5]
    assert table["cluster_size"].to_pylist() == [4, 4, 4, 4, 3, 3, 3]
    assert table["survivor"].to_pylist() == [doc in (3, 5) for doc in range(1, 8)]


def test_survivor_is_the_latest_then_the_smallest(tmp_path: Path) -> None:
    rows: list[Row] = [(1, None, [7, 1]), (2, day(1), [7, 2]), (4, day(2), [7, 3]), (3, day(2), [7, 4])]
    assert set(cluster(written(tmp_path, [rows]), survivor="latest")["cluster"].to_pylist()) == {3}
    with pytest.raises(ValueError, match="not 'best'"):
        cluster(written(tmp_path, [rows]), survivor="best")  # pyright: ignore[reportArgumentType]


def test_the_same_key_in_another_band_is_another_key(tmp_path: Path) -> None:
    """A Latin square: every document has every key, each in a band of its own."""
    rows: list[Row] = [(i, None, [(i + band) % 64 for band in range(64)]) for i in range(64)]
    assert cluster(written(tmp_path, [rows], bands=64)).num_rows == 0


def test_null_dates_only(tmp_path: Path) -> None:
    table = cluster(written(tmp_path, [[(5, None, [1, 1])], [(4, None, [1, 2])]]))
    assert table["cluster"].to_pylist() == [4, 4]


def test_a_large_random_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several batches and files, one key that half of the documents share, against label propagation."""
    monkeypatch.setattr(clusters, "_BUCKET_ROWS", 20_000)
    rng = np.random.default_rng(1)
    n, bands = 50_000, 3
    keys = rng.integers(0, 120_000, (n, bands)).astype(np.uint64)
    keys[rng.permutation(n)[: n // 2], 1] = 5
    docs = rng.permutation(n * 10)[:n]
    label = docs.copy()
    while True:
        before = label.copy()
        for band in range(bands):
            smallest = np.full(120_000, 10 * n)
            np.minimum.at(smallest, keys[:, band], label)
            label = smallest[keys[:, band]]
        if (label == before).all():
            break
    paths = []
    for i, part in enumerate(np.array_split(np.arange(n), 3)):
        table = pa.table(
            {
                "bands": pa.FixedSizeListArray.from_arrays(pa.array(keys[part].reshape(-1)), bands),
                "date": pa.nulls(len(part), pa.timestamp("s")),
                "doc": docs[part],
            }
        )
        paths.append(tmp_path / f"{i}.parquet")
        pq.write_table(table, paths[-1])
    found = cluster(paths, tmp_path / "scratch")
    assert not (tmp_path / "scratch").exists()
    label = label[np.argsort(docs)]
    _, inverse, counts = np.unique(label, return_inverse=True, return_counts=True)
    member = counts[inverse] > 1
    assert found["doc"].to_numpy().tolist() == np.sort(docs)[member].tolist()
    assert found["cluster"].to_numpy().tolist() == label[member].tolist()
    assert found["cluster_size"].to_numpy().tolist() == counts[inverse][member].tolist()


def test_tasks_in_other_processes_find_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: LocalEngine
) -> None:
    """However the parts are grouped, and also where pairs are verified."""
    rng = np.random.default_rng(2)
    paths = []
    for i in range(9):
        docs = np.arange(400) + 400 * i
        keys = pa.FixedSizeListArray.from_arrays(pa.array(rng.integers(0, 6000, 1200).astype(np.uint64)), 3)
        shingles = pa.array([sorted({int(doc) % 2, 7 + int(doc) % 3}) for doc in docs], pa.large_list(pa.uint64()))
        table = pa.table({"doc": docs, "date": pa.nulls(400, pa.timestamp("s")), "bands": keys, "shingles": shingles})
        paths.append(tmp_path / f"{i}.parquet")
        pq.write_table(table, paths[-1])
    whole, verified = cluster(paths), cluster(paths, jaccard=0.9)
    assert 0 < verified.num_rows < whole.num_rows
    for run, bucket in ((1500, 700), (4000, 10_000)):
        monkeypatch.setattr(clusters, "_RUN_ROWS", run)
        monkeypatch.setattr(clusters, "_BUCKET_ROWS", bucket)
        assert cluster(paths, tmp_path / "scratch", tasks=engine.map).equals(whole)
        assert cluster(paths, tmp_path / "scratch", jaccard=0.9, tasks=engine.map).equals(verified)
    monkeypatch.setattr(clusters, "_RUN_ROWS", 900)
    pq.write_table(pa.table({"doc": [1], "date": pa.nulls(1, pa.timestamp("s")), "bands": [[1]]}), paths[-1])
    with pytest.raises(ValueError, match="not a fixed_size_list"):
        cluster(paths, tmp_path / "scratch", tasks=engine.map)
    assert not (tmp_path / "scratch").exists()


def test_nothing_to_cluster(tmp_path: Path) -> None:
    assert cluster([]).equals(CLUSTERS.empty_table())
    assert cluster(written(tmp_path, [[], [(1, None, None)]])).equals(CLUSTERS.empty_table())


def test_open_files(tmp_path: Path) -> None:
    (path,) = written(tmp_path, [[(1, None, [1, 2]), (2, None, [1, 3])]])
    with pa.memory_map(str(path)) as file:
        assert cluster([file])["doc"].to_pylist() == [1, 2]


def test_scratch_is_left_as_it_was(tmp_path: Path) -> None:
    paths = written(tmp_path, [[(1, None, [1, 2])]])
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (scratch / "mine").touch()
    cluster(paths, scratch)
    assert [path.name for path in scratch.iterdir()] == ["mine"]
    pq.write_table(pa.table({"doc": [1], "date": pa.nulls(1, pa.timestamp("s")), "bands": [[1]]}), paths[0])
    with pytest.raises(ValueError, match="not a fixed_size_list"):
        cluster(paths, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_parts_of_different_recipes_are_refused(tmp_path: Path) -> None:
    a = written(tmp_path, [[(1, None, [1, 2])]])
    (tmp_path / "b").mkdir()
    b = written(tmp_path / "b", [[(2, None, [1, 2, 3])]], bands=3)
    with pytest.raises(ValueError, match="2 and 3 bands"):
        cluster([*a, *b])


def test_the_same_part_twice_is_refused(tmp_path: Path) -> None:
    """Every document would be its own duplicate."""
    (path,) = written(tmp_path, [[(1, None, [1, 2]), (2, None, [3, 4])]])
    with pytest.raises(ValueError, match="doc 1 occurs more than once"):
        cluster([path, path])
