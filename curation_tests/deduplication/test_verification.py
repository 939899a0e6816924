"""Verified clusters against exact Jaccard indices of all candidate pairs."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.deduplication import clusters, verification
from curation_assets.deduplication.clusters import cluster
from curation_assets.deduplication.minhash import sign

Row = tuple[int, list[int] | None, list[int] | None]
"""Doc, bands, shingles."""


def written(path: Path, rows: Sequence[Row], bands: int = 2) -> Path:
    schema = pa.schema(
        [
            ("doc", pa.int64()),
            ("date", pa.timestamp("us", "UTC")),
            ("bands", pa.list_(pa.uint64(), bands)),
            ("shingles", pa.large_list(pa.uint64())),
        ]
    )
    columns = [
        [doc for doc, _, _ in rows],
        [None] * len(rows),
        [keys for _, keys, _ in rows],
        [shingles for _, _, shingles in rows],
    ]
    pq.write_table(pa.table(columns, schema=schema), path)
    return path


def jaccard(a: list[int], b: list[int]) -> float:
    return len(set(a) & set(b)) / len(set(a) | set(b))


def reference(rows: Sequence[Row], least: float, leaders: int) -> dict[int, int]:
    """The cluster of each member, by label propagation over the verified pairs."""
    documents = {doc: (keys, shingles) for doc, keys, shingles in sorted(rows) if keys is not None}
    groups: dict[tuple[int, int], list[int]] = {}
    for doc, (keys, _) in documents.items():
        for band, key in enumerate(keys):
            groups.setdefault((band, key), []).append(doc)
    pairs = [
        (a, b)
        for group in groups.values()
        for i, b in enumerate(group)
        for a in group[: min(i, leaders)]
        if jaccard(documents[a][1] or [], documents[b][1] or []) >= least
    ]
    label = {doc: doc for doc in documents}
    for _ in documents:
        for a, b in pairs:
            label[a] = label[b] = min(label[a], label[b])
    members = {doc: name for doc, name in label.items() if list(label.values()).count(name) > 1}
    return dict(sorted(members.items()))


@settings(deadline=None, max_examples=100)
@given(data=st.data(), files=st.integers(1, 5), leaders=st.sampled_from([1, 2, 32]))
def test_equals_all_pairs_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, files: int, leaders: int
) -> None:
    keys = st.lists(st.integers(0, 3), min_size=2, max_size=2)
    shingles = st.sets(st.integers(0, 6), min_size=1).map(sorted)
    row = st.tuples(st.integers(0, 2**62), keys, shingles) | st.tuples(st.integers(0, 2**62), st.none(), st.none())
    rows = data.draw(st.lists(row, max_size=14, unique_by=lambda row: row[0]))
    least = data.draw(st.sampled_from([0.3, 0.5, 0.75, 1.0]))
    parts: list[list[Row]] = [[], [], []]
    for row in data.draw(st.permutations(rows)):
        parts[data.draw(st.integers(0, 2))].append(row)
    folder = tmp_path_factory.mktemp("parts")
    paths = [written(folder / f"{i}.parquet", part) for i, part in enumerate(parts)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clusters, "_BUCKET_ROWS", -(-len(rows) * 2 // files) or 1)
        patch.setattr(verification, "LEADERS", leaders)
        table = cluster(paths, folder / "scratch", jaccard=least)
    assert not (folder / "scratch").exists()
    assert dict(zip(table["doc"].to_pylist(), table["cluster"].to_pylist(), strict=True)) == reference(
        rows, least, leaders
    )


def test_the_limit_itself_is_enough(tmp_path: Path) -> None:
    rows: list[Row] = [(1, [1, 1], [1, 2, 3]), (2, [1, 2], [2, 3, 4, 2**64 - 1]), (3, [2, 2], [2, 3, 4])]
    path = written(tmp_path / "part.parquet", rows)
    assert cluster([path])["doc"].to_pylist() == [1, 2, 3]
    # 1 and 2 share two of five shingles, 2 and 3 three of four; 1 and 3 share no band.
    assert cluster([path], jaccard=0.4)["doc"].to_pylist() == [1, 2, 3]
    assert cluster([path], jaccard=0.41)["doc"].to_pylist() == [2, 3]
    assert cluster([path], jaccard=0.75)["doc"].to_pylist() == [2, 3]
    assert cluster([path], jaccard=0.76).num_rows == 0


def test_from_text(tmp_path: Path) -> None:
    words = "".join(map(chr, range(97, 123)))
    texts = [" ".join(words), " ".join(words[:-1] + "0"), " ".join(words[:13]), None]
    signed = sign(pa.array(texts, pa.large_string()), 2, 30, 1, all_shingles=True)
    table = pa.table(
        {
            "doc": [4, 3, 2, 1],
            "date": pa.nulls(4, pa.timestamp("us")),
            **dict(zip(signed.schema.names, signed, strict=True)),
        }
    )
    pq.write_table(table, tmp_path / "part.parquet")
    assert cluster([tmp_path / "part.parquet"])["doc"].to_pylist() == [2, 3, 4]
    assert cluster([tmp_path / "part.parquet"], jaccard=0.9)["doc"].to_pylist() == [3, 4]


def test_a_large_bucket_of_copies(tmp_path: Path) -> None:
    """5,000 copies of one document and 5,000 others of its key: every document is compared with few."""
    rows = [(i, [7, i], [1, 2, 3] if i % 2 else [10 + i]) for i in range(10_000)]
    path = written(tmp_path / "part.parquet", rows)
    assert cluster([path], jaccard=0.5)["doc"].to_pylist() == list(range(1, 10_000, 2))


def test_missing_shingles_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "part.parquet", [(1, [1, 1], [1]), (2, [1, 2], None)])
    with pytest.raises(ValueError, match="a candidate has no shingles"):
        cluster([path], jaccard=0.5)
    pq.write_table(pq.read_table(path).drop_columns("shingles"), path)
    with pytest.raises(ValueError, match="no shingles to verify"):
        cluster([path], jaccard=0.5)
    for wrong in (0.0, 1.1, float("nan")):
        with pytest.raises(ValueError, match="above 0 and at most 1"):
            cluster([path], jaccard=wrong)


def test_documents_that_nothing_resembles_need_no_shingles(tmp_path: Path) -> None:
    path = written(tmp_path / "part.parquet", [(1, [1, 1], None), (2, [2, 2], None), (3, None, None)])
    assert cluster([path], jaccard=0.5).num_rows == 0
    assert cluster([], jaccard=0.5).num_rows == 0
