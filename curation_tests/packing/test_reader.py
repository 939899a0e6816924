import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.packing.reader import ShardReader
from curation_assets.packing.shards import MANIFEST_FILE, SEGMENTS_FILE, ShardError


@pytest.fixture
def copy(shards, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shards.folder, tmp_path / "copy"))


def read(sequences) -> list[tuple[list[int], list[int]]]:
    return [(sequence.tokens.tolist(), sequence.docs.tolist()) for sequence in sequences]


def test_sequences_are_the_documents_tokens(shards):
    reader = ShardReader(shards.folder)
    assert len(reader) == sum(row["position"] == 0 for row in shards.segments.to_pylist())
    covered: dict[int, int] = {}
    for index in range(len(reader)):
        sequence = reader[index]
        assert sequence.boundaries.dtype == np.int32 and sequence.position_ids.dtype == np.int32
        assert sequence.boundaries[0] == 0 and sequence.boundaries[-1] == len(sequence.tokens) <= 64
        for k, (doc, start) in enumerate(zip(sequence.docs, sequence.token_starts, strict=True)):
            piece = slice(sequence.boundaries[k], sequence.boundaries[k + 1])
            tokens = sequence.tokens[piece].tolist()
            assert tokens == shards.ids[doc][start : start + len(tokens)]
            assert sequence.position_ids[piece].tolist() == list(range(len(tokens)))
            covered[doc] = covered.get(doc, 0) + len(tokens)
    assert covered == {doc: len(ids) for doc, ids in shards.ids.items()}
    assert reader.end_of_document == shards.tokenizer.end_of_document
    assert reader.sequence_length == 64


def test_indexing(shards):
    reader = ShardReader(shards.folder)
    assert read([reader[-1]]) == read([reader[len(reader) - 1]])
    for index in (len(reader), -len(reader) - 1):
        with pytest.raises(IndexError):
            reader[index]
    assert not reader[0].tokens.flags.writeable


def test_padding(shards):
    sequence = ShardReader(shards.folder)[0]
    padded = sequence.padded(70, 3)
    assert padded.dtype == np.int64 and padded.shape == (70,)
    assert padded[: len(sequence.tokens)].tolist() == sequence.tokens.tolist()
    assert set(padded[len(sequence.tokens) :].tolist()) == {3}
    with pytest.raises(ValueError, match="does not fit"):
        sequence.padded(len(sequence.tokens) - 1, 0)


def test_an_epoch_visits_every_sequence_once_in_its_own_order(shards):
    reader = ShardReader(shards.folder)
    first, second = read(reader.iterate(7)), read(reader.iterate(7, epoch=1))
    assert first == read(reader.iterate(7)) and first != second
    assert sorted(first) == sorted(second) == sorted(read(reader[i] for i in range(len(reader))))
    assert first != read(reader.iterate(8))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 9), st.integers(0, 3))
def test_ranks_share_an_epoch_evenly(shards, world_size: int, epoch: int):
    reader = ShardReader(shards.folder)
    ranks = [read(reader.iterate(1, epoch, rank, world_size)) for rank in range(world_size)]
    share = len(reader) // world_size
    assert [len(rank) for rank in ranks] == [share] * world_size
    together = [ranks[i % world_size][i // world_size] for i in range(share * world_size)]
    assert together == read(reader.iterate(1, epoch))[: share * world_size]


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_resuming_continues_exactly(shards, data: st.DataObject):
    reader = ShardReader(shards.folder)
    world_size = data.draw(st.integers(1, 3))
    rank = data.draw(st.integers(0, world_size - 1))
    everything = read(reader.iterate(5, 2, rank, world_size))
    done = data.draw(st.integers(0, len(everything)))
    iterator = reader.iterate(5, 2, rank, world_size)
    for _ in range(done):
        next(iterator)
    state = json.loads(json.dumps(iterator.state_dict()))
    resumed = ShardReader(shards.folder).iterate(0, 0, rank, world_size)
    resumed.load_state_dict(state)
    assert len(resumed) == len(everything) - done
    assert read(resumed) == read(iterator) == everything[done:]
    assert read(reader.iterate(5, 2, rank, world_size, start=done)) == everything[done:]
    assert list(resumed) == []


def test_states_of_other_data_or_ranks_are_refused(shards, make_shards, tmp_path: Path):
    reader = ShardReader(shards.folder)
    other = ShardReader(make_shards(tmp_path / "other", shards.tokenizer, seed=2).folder)
    with pytest.raises(ShardError, match="other shards"):
        other.iterate(1).load_state_dict(reader.iterate(1).state_dict())
    with pytest.raises(ValueError, match="world_size"):
        reader.iterate(1).load_state_dict(reader.iterate(1, world_size=2).state_dict())
    for options in ({"rank": 2, "world_size": 2}, {"rank": -1}, {"start": -1}, {"start": len(reader) + 1}):
        with pytest.raises(ValueError, match=r"rank|start"):
            reader.iterate(1, **options)


def test_several_folders_read_as_one(shards, make_shards, tmp_path: Path):
    other = make_shards(tmp_path / "concat", shards.tokenizer, "concat").folder
    one, two, both = ShardReader(shards.folder), ShardReader(other), ShardReader([shards.folder, other])
    assert len(both) == len(one) + len(two)
    assert read(both[i] for i in range(len(both))) == read(r[i] for r in (one, two) for i in range(len(r)))
    assert ShardReader([other, shards.folder]).fingerprint != both.fingerprint
    both.verify()


def test_folders_of_different_tokenizers_do_not_mix(make_shards, tokenizer, wide_tokenizer, tmp_path: Path):
    folders = [make_shards(tmp_path / str(i), t).folder for i, t in enumerate((tokenizer, wide_tokenizer))]
    with pytest.raises(ShardError, match="another tokenizer"):
        ShardReader(folders)
    with pytest.raises(ShardError, match="no folder"):
        ShardReader([])


@pytest.mark.parametrize("name", ["shard-00000.bin", "shard-00001.idx", SEGMENTS_FILE, "tokenizer.json"])
def test_a_truncated_or_missing_file_is_named(copy: Path, name: str):
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[:-1])
    with pytest.raises(ShardError, match=rf"{name}: {len(content) - 1} bytes, but manifest.json says"):
        ShardReader(copy)
    (copy / name).unlink()
    with pytest.raises(ShardError, match=rf"{name}: cannot be read"):
        ShardReader(copy)


@pytest.mark.parametrize("name", ["shard-00000.bin", "tokenizer.json"])
def test_a_flipped_bit_is_found_by_verify(copy: Path, name: str):
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(ShardError, match=rf"{name}: content differs"):
        ShardReader(copy).verify()


@pytest.mark.parametrize("at", [0, 9, 17, 18, 26, 34])
def test_a_corrupt_index_is_refused(copy: Path, at: int):
    content = bytearray((copy / "shard-00000.idx").read_bytes())
    content[at] ^= 1
    (copy / "shard-00000.idx").write_bytes(content)
    with pytest.raises(ShardError, match=r"shard-00000\.idx"):
        ShardReader(copy)


def test_a_corrupt_segments_file_is_refused(copy: Path):
    size = (copy / SEGMENTS_FILE).stat().st_size
    (copy / SEGMENTS_FILE).write_bytes(bytes(size))
    with pytest.raises(ShardError, match=r"segments\.parquet: not a readable Parquet"):
        ShardReader(copy)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "not a manifest"),
        (b'{"format": "something else"}', "not a manifest"),
    ],
)
def test_a_wrong_manifest_is_refused(copy: Path, content: bytes, message: str):
    (copy / MANIFEST_FILE).write_bytes(content)
    with pytest.raises(ShardError, match=message):
        ShardReader(copy)


def test_a_manifest_of_another_version_is_refused(copy: Path):
    manifest = json.loads((copy / MANIFEST_FILE).read_text())
    (copy / MANIFEST_FILE).write_text(json.dumps({**manifest, "version": 2}))
    with pytest.raises(ShardError, match="version 2, this reader knows 1"):
        ShardReader(copy)
    (copy / MANIFEST_FILE).unlink()
    with pytest.raises(ShardError, match=r"manifest\.json: cannot be read"):
        ShardReader(copy)
