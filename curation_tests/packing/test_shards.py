import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from curation_assets.packing.sequences import SEGMENTS
from curation_assets.packing.shards import (
    MANIFEST_FILE,
    SEGMENTS_FILE,
    TOKENIZER_FILE,
    FileInfo,
    ShardError,
    TokenStore,
    shard_manifest,
    write_shard,
)


def parse_megatron(prefix: Path) -> tuple[list[list[int]], list[int]]:
    """Sequences and document indices of a shard, read field by field as Megatron-LM's loader does."""
    content = prefix.with_suffix(".idx").read_bytes()
    data = prefix.with_suffix(".bin").read_bytes()
    assert content[:9] == b"MMIDIDX\x00\x00"
    assert struct.unpack_from("<Q", content, 9) == (1,)
    (code,) = struct.unpack_from("<B", content, 17)
    dtype = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 6: "<f8", 7: "<f4", 8: "<u2"}[code]
    sequences, documents = struct.unpack_from("<QQ", content, 18)
    lengths = struct.unpack_from(f"<{sequences}i", content, 34)
    pointers = struct.unpack_from(f"<{sequences}q", content, 34 + 4 * sequences)
    indices = struct.unpack_from(f"<{documents}q", content, 34 + 12 * sequences)
    assert len(content) == 34 + 12 * sequences + 8 * documents
    rows = [np.frombuffer(data, dtype, n, p).tolist() for n, p in zip(lengths, pointers, strict=True)]
    assert sum(map(len, rows)) * np.dtype(dtype).itemsize == len(data)
    return rows, list(indices)


def of_shard(segments: pa.Table, number: int = 0) -> pa.Table:
    return segments.filter(pc.field("shard") == number)


def test_shards_hold_what_the_segments_say(shards):
    for number in range(shards.segments["shard"][-1].as_py() + 1):
        rows, indices = parse_megatron(shards.folder / f"shard-{number:05d}")
        expected: dict[int, list[int]] = {}
        for segment in of_shard(shards.segments, number).to_pylist():
            start = segment["token_start"]
            ids = shards.ids[segment["doc"]][start : start + segment["token_count"]]
            expected.setdefault(segment["sequence"], []).extend(ids)
        assert rows == list(expected.values())
        assert indices == list(range(len(rows) + 1))


def test_all_segments_together_are_the_documents(shards):
    rebuilt: dict[int, list[int]] = {doc: [] for doc in shards.ids}
    shard_rows = [parse_megatron(path)[0] for path in sorted(shards.folder.glob("shard-*.idx"))]
    for segment in sorted(shards.segments.to_pylist(), key=lambda s: s["token_start"]):
        row = shard_rows[segment["shard"]][segment["sequence"]]
        assert len(rebuilt[segment["doc"]]) == segment["token_start"]
        rebuilt[segment["doc"]] += row[segment["position"] : segment["position"] + segment["token_count"]]
    assert rebuilt == shards.ids


def test_manifest_counts_and_checksums(shards):
    manifest = json.loads((shards.folder / MANIFEST_FILE).read_text())
    assert manifest["counts"]["documents"] == len(shards.ids)
    assert manifest["counts"]["tokens"] == sum(map(len, shards.ids.values()))
    assert manifest["counts"]["sequences"] == sum(shard["sequences"] for shard in manifest["shards"])
    assert 0.9 < manifest["counts"]["fill"] <= 1
    assert manifest["counts"]["avoidable"] == 0 < manifest["counts"]["cut_documents"]
    assert manifest["packing"] == {
        "sequence_length": 64,
        "strategy": "best_fit",
        "seed": 1,
        "dtype": "uint16" if shards.tokenizer.vocabulary_size < 2**16 else "int32",
    }
    assert manifest["tokenizer"]["fingerprint"] == shards.tokenizer.fingerprint
    files = manifest["files"] | {n: f for shard in manifest["shards"] for n, f in shard["files"].items()}
    assert set(files) | {MANIFEST_FILE} == {path.name for path in shards.folder.iterdir()}
    for name, info in files.items():
        content = (shards.folder / name).read_bytes()
        assert info == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_the_same_segments_give_the_same_bytes(shards, tmp_path: Path):
    store = TokenStore(shards.parts, open_parts=1)
    info = write_shard(tmp_path, "shard-00000", of_shard(shards.segments), store, shards.tokenizer.dtype, 64)
    for name in info.files:
        assert (tmp_path / name).read_bytes() == (shards.folder / name).read_bytes()


def test_an_empty_shard(tmp_path: Path):
    info = write_shard(tmp_path, "none", SEGMENTS.empty_table(), TokenStore({}), np.uint16, 64)
    assert (info.sequences, info.tokens) == (0, 0)
    assert parse_megatron(tmp_path / "none") == ([], [0])


def changed(segments: pa.Table, column: str, row: int, value: int) -> pa.Table:
    values = segments[column].to_pylist()
    values[row] = value
    index = segments.schema.get_field_index(column)
    field = segments.schema.field(column)
    return segments.set_column(index, field, pa.array(values, field.type))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.slice(1), "without holes"),
        (lambda s: s.take(list(range(s.num_rows))[::-1]), "without holes"),
        (lambda s: changed(s, "sequence", 0, 1), "without holes"),
        (lambda s: changed(s, "position", s["position"].to_pylist().index(0, 1) - 1, 1), "without holes"),
        (lambda s: changed(s, "token_count", 0, 65), "without holes|more than 64"),
        (lambda s: changed(s, "token_start", 0, 10**6), r"0\.arrow.*beyond|5\.arrow.*beyond"),
        (lambda s: changed(s, "token_start", 0, -1), "beyond"),
        (lambda s: changed(s, "doc", 0, 5 << 32 | 1), r"document 21474836481 is not in this part"),
        (lambda s: changed(s, "doc", 0, 9 << 32), "not in this part"),
        (lambda s: changed(s, "doc", 0, 3 << 32), "no tokens for part 3"),
    ],
)
def test_segments_that_do_not_fit_are_refused(shards, tmp_path: Path, change: Any, message: str):
    segments = change(of_shard(shards.segments))
    store = TokenStore(shards.parts)
    with pytest.raises(ShardError, match=message):
        write_shard(tmp_path, "shard", segments, store, shards.tokenizer.dtype, 64)


def test_damaged_or_wrong_token_parts_are_refused(shards, tmp_path: Path):
    segments, dtype = of_shard(shards.segments), shards.tokenizer.dtype
    damaged = tmp_path / "damaged.arrow"
    damaged.write_bytes(shards.parts[0].read_bytes()[:100])
    for path in (damaged, tmp_path / "missing.arrow"):
        with pytest.raises(ShardError, match=path.name):
            write_shard(tmp_path, "shard", segments, TokenStore({**shards.parts, 0: path}), dtype, 64)

    with pa.ipc.open_file(shards.parts[0]) as reader:
        batch = reader.get_batch(0)
    with pa.ipc.new_file(damaged, batch.schema) as writer:
        writer.write(batch.take(pa.array(range(batch.num_rows))[::-1]))
    with pytest.raises(ShardError, match="ascending"):
        write_shard(tmp_path, "shard", segments, TokenStore({**shards.parts, 0: damaged}), dtype, 64)

    other = np.uint32 if dtype == np.uint16 else np.uint16
    with pytest.raises(ShardError, match="wanted"):
        write_shard(tmp_path, "shard", segments, TokenStore(shards.parts), other, 64)
    with pytest.raises(ValueError, match="uint16 or uint32"):
        write_shard(tmp_path, "shard", segments, TokenStore(shards.parts), np.dtype(np.int64), 64)


def test_a_manifest_of_things_that_do_not_belong_together_is_refused(shards):
    options: dict[str, Any] = {
        "snapshot": "s",
        "recipe": "r",
        "recipe_fingerprint": "f",
        "tokenizer": shards.tokenizer,
        "sequence_length": 64,
        "strategy": "best_fit",
        "seed": 1,
        "shards": [],
        "segments": shards.segments,
    }
    tokenizer_file = FileInfo(1, shards.tokenizer.fingerprint)
    files = {SEGMENTS_FILE: FileInfo(1, "a"), TOKENIZER_FILE: tokenizer_file}
    with pytest.raises(ShardError, match="shards hold 0 tokens in 0 sequences"):
        shard_manifest(**options, files=files)
    with pytest.raises(ShardError, match=r"tokenizer\.json is not"):
        shard_manifest(**options, files={**files, TOKENIZER_FILE: FileInfo(1, "a")})
