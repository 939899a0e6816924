"""Ids gathered shard by shard: the bytes that looking them up one by one gives."""

from pathlib import Path

import pyarrow as pa
import pytest

from curation_assets.engine.local import LocalEngine
from curation_assets.packing import gathering
from curation_assets.packing.gathering import gathered
from curation_assets.packing.sequences import SEGMENTS
from curation_assets.packing.shards import ShardError, stored_dtype, write_shard


def tokens_of(shards) -> dict[int, tuple[Path, int]]:
    return {part: (path, path.stat().st_size) for part, path in shards.parts.items()}


@pytest.mark.parametrize("size", [1, 6000, 1 << 27])
@pytest.mark.parametrize("rows", [3, 1000])
def test_shards_are_the_same_bytes(
    shards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: LocalEngine, size: int, rows: int
) -> None:
    """However the parts are grouped, and whichever shards are wanted."""
    monkeypatch.setattr(gathering, "_GROUP_BYTES", size)
    monkeypatch.setattr(gathering, "_BLOCK_ROWS", rows)
    dtype, numbers = shards.tokenizer.dtype, shards.segments["shard"].unique().to_pylist()
    for wanted in (numbers, numbers[1:], numbers[-1:]):
        scratch = tmp_path / "scratch"
        with gathered(shards.segments, wanted, tokens_of(shards), stored_dtype(dtype), scratch, engine.map) as found:
            for number, ids in zip(wanted, found, strict=True):
                own = shards.segments.filter(pa.compute.field("shard") == number)
                for name in write_shard(tmp_path, f"shard-{number:05d}", own, ids, dtype, 64).files:
                    assert (tmp_path / name).read_bytes() == (shards.folder / name).read_bytes()
        assert not scratch.exists()


def test_nothing_to_gather(shards, tmp_path: Path) -> None:
    for segments, wanted in ((SEGMENTS.empty_table(), []), (shards.segments, []), (SEGMENTS.empty_table(), [0])):
        with gathered(segments, wanted, tokens_of(shards), stored_dtype(shards.tokenizer.dtype), tmp_path) as found:
            assert len(found) == len(wanted)
            for ids in found:
                assert (
                    write_shard(tmp_path, "none", SEGMENTS.empty_table(), ids, shards.tokenizer.dtype, 64).tokens == 0
                )


def test_what_does_not_belong_together_is_refused(shards, tmp_path: Path) -> None:
    dtype, scratch = stored_dtype(shards.tokenizer.dtype), tmp_path / "scratch"
    tokens = tokens_of(shards)
    for part in (0, 5):
        others = {number: file for number, file in tokens.items() if number != part}
        with (
            pytest.raises(ShardError, match=f"no tokens for part {part}"),
            gathered(shards.segments, [0], others, dtype, scratch),
        ):
            pass
        assert not scratch.exists()
    with gathered(shards.segments, [0, 1], tokens, dtype, scratch) as (first, second):
        own = shards.segments.filter(pa.compute.field("shard") == 0)
        with pytest.raises(ShardError, match="were gathered"):
            write_shard(tmp_path, "shard", own, second, shards.tokenizer.dtype, 64)
        write_shard(tmp_path, "shard", own, first, shards.tokenizer.dtype, 64)
