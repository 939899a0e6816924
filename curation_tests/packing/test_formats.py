"""The copies of the shards in other formats: every format read back is the shard, id by id and piece by piece."""

import json
import struct
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from curation_assets.engine.local import LocalEngine
from curation_assets.lake.lake import Lake, Manifest, Partition
from curation_assets.lake.parts import PartWriter
from curation_assets.lake.query import connection
from curation_assets.lake.station import CheckFailed, Staged, describe, run
from curation_assets.line import Line
from curation_assets.packing import formats
from curation_assets.packing.formats import format_stations, found_in_mds, segment_digests
from curation_assets.packing.mds import INDEX_FILE, MdsShard, columns_of, mds_index, write_mds
from curation_assets.packing.reader import ShardReader
from curation_assets.packing.rows import SEQUENCES, sequence_rows, shard_ids, shard_segments
from curation_assets.packing.sequences import count_sequences, pack
from curation_assets.packing.shards import SEGMENTS_FILE, ShardError
from curation_assets.provenance.trace import trace
from curation_assets.recipes.loading import RecipeError, load_recipe
from curation_assets.recipes.recipe import Recipe
from curation_tests.conftest import Curated
from curation_tests.packing.conftest import Shards

SNAPSHOT = "CC-MAIN-2025-05"


def expected_rows(ids: np.ndarray, segments: pa.Table) -> list[dict[str, Any]]:
    """What the rows must be, piece by piece."""
    rows: list[dict[str, Any]] = []
    at = 0
    for piece in segments.to_pylist():
        if not rows or rows[-1]["sequence"] != piece["sequence"]:
            rows.append({"shard": piece["shard"], "sequence": piece["sequence"], "input_ids": []})
            rows[-1] |= {"seq_lengths": [], "docs": [], "token_starts": []}
        assert len(rows[-1]["input_ids"]) == piece["position"]
        rows[-1]["input_ids"] += ids[at : at + piece["token_count"]].tolist()
        rows[-1]["seq_lengths"].append(piece["token_count"])
        rows[-1]["docs"].append(piece["doc"])
        rows[-1]["token_starts"].append(piece["token_start"])
        at += piece["token_count"]
    return rows


def parse_mds(path: Path) -> list[dict[str, Any]]:
    """Samples of an MDS file, read field by field as `MDSReader` does."""
    content = path.read_bytes()
    (count,) = struct.unpack_from("<I", content)
    offsets = struct.unpack_from(f"<{count + 1}I", content, 4)
    config = json.loads(content[4 * (count + 2) : offsets[0]])
    samples = []
    for begin, end in pairwise(offsets):
        sizes = []
        at = begin
        for size in config["column_sizes"]:
            sizes.append(size or struct.unpack_from("<I", content, at)[0])
            at += 0 if size else 4
        sample: dict[str, Any] = {}
        for name, encoding, size in zip(config["column_names"], config["column_encodings"], sizes, strict=True):
            data = content[at : at + size]
            at += size
            if encoding == "int32":
                (sample[name],) = struct.unpack("<i", data)
                continue
            assert data[0] >> 2 == 1
            width = 1 << data[0] % 4
            values = np.frombuffer(data[1 + width :], encoding.removeprefix("ndarray:"))
            assert int.from_bytes(data[1 : 1 + width], "little") == len(values)
            sample[name] = values.tolist()
        assert at == end
        sample["input_ids"] = sample.pop("tokens")
        samples.append(sample)
    assert offsets[-1] == len(content)
    return samples


@st.composite
def packed(draw: st.DrawFn) -> tuple[np.ndarray, pa.Table]:
    """Ids and segments of one shard, also one that sequences were taken out of."""
    lengths = draw(st.lists(st.integers(1, 600), max_size=30))
    strategy = draw(st.sampled_from(["best_fit", "concat"]))
    docs = np.array(draw(st.permutations(range(len(lengths)))), np.int64) + (3 << 32)
    segments = pack(docs, np.array(lengths, np.int32), sequence_length=draw(st.integers(2, 300)), strategy=strategy)
    gone = draw(st.sets(st.integers(0, 10)))
    segments = segments.filter(pc.invert(pc.is_in(segments["sequence"], pa.array(list(gone), pa.int32()))))
    dtype = draw(st.sampled_from(["uint16", "int32"]))
    random = np.random.default_rng(draw(st.integers(0, 9)))
    return random.integers(0, np.iinfo(dtype).max, pc.sum(segments["token_count"]).as_py() or 0, dtype), segments


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shard=packed(), batch_tokens=st.integers(1, 5000))
def test_every_format_read_back_is_the_shard(
    tmp_path: Path, shard: tuple[np.ndarray, pa.Table], batch_tokens: int
) -> None:
    ids, segments = shard
    expected = expected_rows(ids, segments)
    batches = list(sequence_rows(ids, segments, batch_tokens))
    assert all(batch.schema.equals(SEQUENCES) and batch.num_rows for batch in batches)
    assert all(len(batch["input_ids"].values) < batch_tokens + 600 for batch in batches)

    with PartWriter(tmp_path / "shard.parquet", SEQUENCES, "") as writer:
        for batch in batches:
            writer.write(batch)
    assert pq.read_table(tmp_path / "shard.parquet").to_pylist() == expected
    assert pl.read_parquet(tmp_path / "shard.parquet").to_dicts() == expected
    assert pq.read_metadata(tmp_path / "shard.parquet").num_row_groups == len(batches)
    with connection({"shard": [str(tmp_path / "shard.parquet")]}) as con:
        assert con.sql("FROM shard").to_arrow_table().to_pylist() == expected

    entry = write_mds(tmp_path / "shard.mds", batches, len(expected), ids.dtype)
    assert parse_mds(tmp_path / "shard.mds") == expected
    assert (entry["samples"], entry["raw_data"]["bytes"]) == (len(expected), (tmp_path / "shard.mds").stat().st_size)
    again = MdsShard(tmp_path / "shard.mds")
    assert again.rows(0, len(again)).to_pylist() == expected
    middle = len(expected) // 2
    assert again.rows(middle, len(expected)).to_pylist() == expected[middle:]
    found = found_in_mds(tmp_path / "shard.mds", ids, segments)
    assert (found["sequences"], found["tokens"], found["sequences_changed"]) == (len(expected), len(ids), 0)
    assert found["id_sum"] == ids.sum(dtype=np.int64)


@pytest.mark.parametrize("length", [1, 255, 256, 65_535, 65_536, 70_000])
def test_lengths_of_all_widths(tmp_path: Path, length: int) -> None:
    """MDS writes lengths in one, two or four bytes."""
    segments = pack(np.array([7]), np.array([length], np.int32), sequence_length=length + 1, shard_tokens=1 << 24)
    ids = np.arange(length, dtype=np.int32)
    write_mds(tmp_path / "shard.mds", sequence_rows(ids, segments), 1, "int32")
    assert parse_mds(tmp_path / "shard.mds") == expected_rows(ids, segments)
    assert found_in_mds(tmp_path / "shard.mds", ids, segments)["sequences_changed"] == 0


def test_rows_of_the_shards_are_what_the_reader_reads(shards: Shards) -> None:
    reader = ShardReader(shards.folder)
    dtype = reader.manifests[0]["packing"]["dtype"]
    at = 0
    for number, info in enumerate(reader.manifests[0]["shards"]):
        segments = shard_segments(shards.folder, number)
        for batch in sequence_rows(shard_ids(shards.folder, info["name"], dtype), segments, 200):
            for row in batch.to_pylist():
                sequence = reader[at]
                assert row["input_ids"] == sequence.tokens.tolist()
                assert np.cumsum([0, *row["seq_lengths"]]).tolist() == sequence.boundaries.tolist()
                assert (row["docs"], row["token_starts"]) == (sequence.docs.tolist(), sequence.token_starts.tolist())
                assert row["shard"] == number
                at += 1
    assert at == len(reader)


def test_ids_of_another_shard_are_refused(shards: Shards) -> None:
    segments = shard_segments(shards.folder, 0)
    with pytest.raises(ShardError, match="the shard 5"):
        list(sequence_rows(np.zeros(5, np.uint16), segments))


def test_an_mds_shard_of_another_number_of_rows_or_of_4_gib_is_refused(
    tmp_path: Path, shards: Shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments = shard_segments(shards.folder, 0)
    ids = np.zeros(pc.sum(segments["token_count"]).as_py(), np.uint16)
    with pytest.raises(ShardError, match="but 3 sequences"):
        write_mds(tmp_path / "shard.mds", sequence_rows(ids, segments), 3, "uint16")
    monkeypatch.setattr("curation_assets.packing.mds.LARGEST", 1000)
    with pytest.raises(ShardError, match=r"packing\.shard_tokens"):
        write_mds(tmp_path / "shard.mds", sequence_rows(ids, segments), count_sequences(segments), "uint16")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0), value=st.integers(1, 255), cut=st.none() | st.integers(0, 2000))
@example(at=0, value=255, cut=None)
@example(at=3, value=255, cut=None)
@example(at=0, value=1, cut=0)
def test_a_damaged_mds_shard_is_found(tmp_path: Path, shards: Shards, at: int, value: int, cut: int | None) -> None:
    """Whatever byte is changed, the file is refused or a sequence is found to be another."""
    segments = shard_segments(shards.folder, 0)
    ids = shard_ids(shards.folder, "shard-00000", ShardReader(shards.folder).manifests[0]["packing"]["dtype"])
    path = tmp_path / "shard.mds"
    write_mds(path, sequence_rows(ids, segments), count_sequences(segments), ids.dtype)
    content = bytearray(path.read_bytes())
    content[at % len(content)] ^= value
    path.write_bytes(content[:cut])
    try:
        found = found_in_mds(path, ids, segments)
    except ShardError as error:
        assert "shard.mds" in str(error)
    else:
        assert found["sequences_changed"] > 0


def test_digests_of_segments_depend_on_the_shards_alone(shards: Shards, tmp_path: Path) -> None:
    whole = segment_digests(shards.folder / SEGMENTS_FILE)
    pq.write_table(shards.segments, tmp_path / "small.parquet", row_group_size=3)
    assert segment_digests(tmp_path / "small.parquet") == whole
    pq.write_table(shards.segments.filter(pc.field("shard") > 0), tmp_path / "fewer.parquet")
    assert segment_digests(tmp_path / "fewer.parquet") == {n: digest for n, digest in whole.items() if n > 0}
    pq.write_table(shards.segments.slice(1), tmp_path / "changed.parquet")
    changed = segment_digests(tmp_path / "changed.parquet")
    assert [n for n in whole if whole[n] != changed[n]] == [0]


# The stations, over shards that are committed by hand.


def recipe_of(*names: str) -> Recipe:
    return load_recipe("fineweb", {"packing.formats": ["megatron", *names]})


def commit_shards(
    lake: Lake, shards: Shards, segments: pa.Table, left_out: str | None = None, **stats: int
) -> Partition:
    """The folder of `shards`, without files of one suffix, as a partition of the lake; other segments and counters."""
    partition = lake.partition(("fineweb", "training_shards"), SNAPSHOT)
    partition.staging.mkdir(parents=True, exist_ok=True)
    for path in shards.folder.iterdir():
        if path.suffix != left_out:
            (partition.staging / path.name).write_bytes(path.read_bytes())
    pq.write_table(segments, partition.staging / SEGMENTS_FILE)
    files = [describe(path) for path in sorted(partition.staging.iterdir())]
    reader = ShardReader(shards.folder)
    counts = {
        "sequences": len(reader),
        "tokens": sum(len(sequence.tokens) for sequence in reader.iterate(seed=1)),
        "id_sum": sum(int(sequence.tokens.sum(dtype=np.int64)) for sequence in reader.iterate(seed=1)),
    }
    made = Manifest(
        station="training_shards", snapshot=SNAPSHOT, fingerprint="", files=files, stats={**counts, **stats}
    )
    partition.commit(made)
    return partition


def moved_inside_its_document(segments: pa.Table) -> pa.Table:
    """The last piece said to begin elsewhere in its document."""
    values = segments["token_start"].to_numpy().copy()
    values[-1] += 1
    return segments.set_column(segments.schema.get_field_index("token_start"), "token_start", pa.array(values))


@pytest.fixture
def copied(tmp_path: Path, shards: Shards, engine: LocalEngine) -> Callable[..., dict[str, Staged]]:
    lake = Lake(tmp_path / "lake")

    def copy(segments: pa.Table = shards.segments, **stats: int) -> dict[str, Staged]:
        commit_shards(lake, shards, segments, **stats)
        return {s.name: run(s, lake, SNAPSHOT, engine) for s in format_stations(recipe_of("parquet", "mds"))}

    return copy


def test_stations_copy_every_shard(copied: Callable[..., dict[str, Staged]], shards: Shards) -> None:
    staged = copied()
    expected = [
        row
        for number in range(shards.segments["shard"][-1].as_py() + 1)
        for row in expected_rows(
            shard_ids(
                shards.folder, f"shard-{number:05d}", ShardReader(shards.folder).manifests[0]["packing"]["dtype"]
            ),
            shard_segments(shards.folder, number),
        )
    ]
    parquet, mds = staged["parquet_shards"], staged["mds_shards"]
    assert ds.dataset(parquet.paths()).to_table().to_pylist() == expected
    index = json.loads((mds.partition.folder / INDEX_FILE).read_bytes())
    read = [row for entry in index["shards"] for row in parse_mds(mds.partition.folder / entry["raw_data"]["basename"])]
    assert read == expected
    assert [entry["samples"] for entry in index["shards"]] == pl.read_parquet(parquet.paths()).group_by(
        "shard", maintain_order=True
    ).len()["len"].to_list()
    again = copied()
    assert not any(one.fresh for one in again.values())


def test_only_a_shard_that_changed_is_copied_again(copied: Callable[..., dict[str, Staged]], shards: Shards) -> None:
    first = copied()["parquet_shards"]
    assert first.parts_done == shards.segments["shard"][-1].as_py() + 1
    second = copied(moved_inside_its_document(shards.segments))["parquet_shards"]
    assert (second.parts_done, second.parts_reused) == (1, first.parts_done - 1)


def test_nothing_is_published_when_ids_were_lost(
    tmp_path: Path, shards: Shards, engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(tmp_path / "lake")
    commit_shards(lake, shards, shards.segments, id_sum=1)
    for station in format_stations(recipe_of("parquet", "mds")):
        with pytest.raises(CheckFailed, match="holds_the_shards"):
            run(station, lake, SNAPSHOT, engine)
        assert lake.partition(station.key, SNAPSHOT).committed() is None


def test_an_mds_file_that_was_written_wrong_is_not_published(
    tmp_path: Path, shards: Shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two ids exchanged: no sum changes, but the sequence does."""
    lake = Lake(tmp_path / "lake")
    commit_shards(lake, shards, shards.segments)

    def exchanged(path: Path, batches: Any, samples: int, dtype: Any) -> dict[str, Any]:
        entry = write_mds(path, batches, samples, dtype)
        size = np.dtype(dtype).itemsize
        content = path.read_bytes()
        path.write_bytes(content[: -2 * size] + content[-size:] + content[-2 * size : -size])
        return entry

    monkeypatch.setattr(formats, "write_mds", exchanged)
    (station,) = format_stations(recipe_of("mds"))
    with pytest.raises(CheckFailed, match="sequences_changed"), InProcess() as engine:
        run(station, lake, SNAPSHOT, engine)


class InProcess:
    """An engine without processes, so that a fault can be put into a function."""

    def __enter__(self) -> "InProcess":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map(self, function: Callable[[Any], Any], items: Any) -> Any:
        return map(function, items)


def test_shards_without_a_document_are_copied_too(tmp_path: Path, shards: Shards, engine: LocalEngine) -> None:
    lake = Lake(tmp_path / "lake")
    commit_shards(lake, shards, shards.segments.slice(0, 0), left_out=".bin", sequences=0, tokens=0, id_sum=0)
    staged = {s.name: run(s, lake, SNAPSHOT, engine) for s in format_stations(recipe_of("parquet", "mds"))}
    (path,) = staged["parquet_shards"].paths()
    assert pq.read_table(path).equals(SEQUENCES.empty_table())
    assert (staged["mds_shards"].partition.folder / INDEX_FILE).read_bytes() == mds_index([])


# The recipe.


def test_formats_decide_no_table_but_their_own() -> None:
    plain, more = load_recipe("fineweb"), recipe_of("parquet", "mds")
    assert format_stations(plain) == []
    assert [station.name for station in format_stations(more)] == ["parquet_shards", "mds_shards"]
    assert plain.model_dump() == more.model_dump()


@pytest.mark.parametrize(
    ("names", "message"),
    [(["parquet"], "must hold megatron"), (["megatron", "csv"], "packing.formats.1: Input should be")],
)
def test_formats_that_cannot_be_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe("fineweb", {"packing.formats": names})


def test_a_position_is_the_same_in_every_format(curated: dict[str, Curated]) -> None:
    """What `trace` says of a shard, a sequence and a token is true of the copies."""
    line, snapshot, _ = curated["every_method"]
    rows = ds.dataset(parquet_paths(line, snapshot)).to_table().to_pylist()
    mds = line.lake.partition(line.key("mds_shards"), snapshot).folder
    assert {row["shard"] for row in rows} >= {0, 1}
    for row in rows[:: max(len(rows) // 5, 1)]:
        sample = parse_mds(mds / f"shard.{row['shard']:05d}.mds")[row["sequence"]]
        assert sample == row
        ends = np.cumsum(row["seq_lengths"])
        for token in {0, len(row["input_ids"]) // 2, len(row["input_ids"]) - 1}:
            piece = int(np.searchsorted(ends, token, "right"))
            traced = trace(line, snapshot, row["shard"], row["sequence"], token)
            begin = ends[piece] - row["seq_lengths"][piece]
            assert (traced.doc, traced.token_of_document) == (
                row["docs"][piece],
                row["token_starts"][piece] + token - begin,
            )


def parquet_paths(line: Line, snapshot: str) -> list[Path]:
    return line.lake.partition(line.key("parquet_shards"), snapshot).paths(".parquet")


def test_encodings_are_those_of_the_library() -> None:
    assert columns_of("uint16") == {
        "docs": "ndarray:int64",
        "seq_lengths": "ndarray:int32",
        "sequence": "int32",
        "shard": "int32",
        "token_starts": "ndarray:int64",
        "tokens": "ndarray:uint16",
    }
