"""Gathering packed tokens into a shard, and reading it back, against plain NumPy slices.

The tokens of 100,000 invented documents lie in Arrow files on disk. Gathering: `TokenStore.gather` against a loop over
segments that copies slices of the mapped tokens. Reading: a shuffled epoch of `ShardReader` against indexing a
`numpy.memmap` of the same sequences, which knows no documents.
"""

import json
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measure import fastest, report

from curation_assets.packing.reader import ShardReader
from curation_assets.packing.sequences import pack
from curation_assets.packing.shards import (
    MANIFEST_FILE,
    SEGMENTS_FILE,
    TOKENIZER_FILE,
    TokenStore,
    describe_file,
    shard_manifest,
    write_shard,
)
from curation_assets.packing.tokenizer import Tokenizer, train_tokenizer

DOCUMENTS, PARTS, LENGTH = 100_000, 4, 2048


def write_tokens(folder: Path) -> tuple[dict[int, Path], np.ndarray, np.ndarray]:
    """Token parts of invented documents: the files by part, and all documents with their numbers of tokens."""
    random = np.random.default_rng(1)
    paths, docs, counts = {}, [], []
    for part in range(PARTS):
        count = np.maximum(30, random.lognormal(5.5, 1, DOCUMENTS // PARTS)).astype(np.int32)
        doc = (part << 32) + np.arange(len(count))
        ids = pa.array(random.integers(1, 257, int(count.sum()), np.uint16))
        lists = pa.LargeListArray.from_arrays(pa.array(np.concatenate([[0], np.cumsum(count, dtype=np.int64)])), ids)
        paths[part] = folder / f"{part}.arrow"
        table = pa.record_batch({"doc": pa.array(doc), "ids": lists})
        with pa.ipc.new_file(str(paths[part]), table.schema) as writer:
            writer.write(table)
        docs.append(doc)
        counts.append(count)
    return paths, np.concatenate(docs), np.concatenate(counts)


def plain_gather(paths: dict[int, Path], segments: pa.Table, out: np.ndarray) -> None:
    """Copy the ids of the segments end to end into `out`, slice by slice."""
    mapped = []
    for path in paths.values():
        ids = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)["ids"]
        mapped.append((ids.offsets.to_numpy(), ids.values.to_numpy()))
    columns = (segments[name].to_pylist() for name in ("doc", "token_start", "token_count"))
    at = 0
    for doc, start, count in zip(*columns, strict=True):
        offsets, ids = mapped[doc >> 32]
        first = offsets[doc & 0xFFFFFFFF] + start
        out[at : at + count] = ids[first : first + count]
        at += count


def main() -> None:
    """Print both rates of both steps; the last line is about gathering."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths, docs, counts = write_tokens(folder)
        segments = pack(docs, counts, sequence_length=LENGTH, shard_tokens=1 << 40)
        store, tokens = TokenStore(paths), int(counts.sum())
        doc, start, count = (segments[column].to_numpy() for column in ("doc", "token_start", "token_count"))
        gathered, expected = np.empty(tokens, np.uint16), np.empty(tokens, np.uint16)
        store.gather(doc, start, count, gathered)
        ours = tokens / 1e6 / fastest(lambda: store.gather(doc, start, count, gathered))
        peer = tokens / 1e6 / fastest(lambda: plain_gather(paths, segments, expected))
        assert np.array_equal(gathered, expected)
        began = time.perf_counter()
        info = write_shard(folder, "shard", segments, store, np.uint16, LENGTH)
        writing = tokens / 1e6 / (time.perf_counter() - began)
        print(f"{tokens:,} tokens of {len(docs):,} documents in {info.sequences:,} sequences")
        print(f"gathering: TokenStore {ours:,.0f} million tokens/s; NumPy slices {peer:,.0f}; ratio {ours / peer:.1f}")
        print(f"writing, with the hash of every byte: {writing:,.0f} million tokens/s")
        pq.write_table(segments, folder / SEGMENTS_FILE)
        tokenizer = Tokenizer(train_tokenizer(["some text"], 257))
        (folder / TOKENIZER_FILE).write_text(tokenizer.definition)
        manifest = shard_manifest(
            snapshot="invented",
            recipe="invented",
            recipe_fingerprint="",
            tokenizer=tokenizer,
            sequence_length=LENGTH,
            strategy="best_fit",
            seed=1,
            shards=[info],
            segments=segments,
            files={file: describe_file(folder / file) for file in (SEGMENTS_FILE, TOKENIZER_FILE)},
        )
        (folder / MANIFEST_FILE).write_text(json.dumps(manifest))
        reader = ShardReader(folder)
        ends = np.cumsum([len(reader[i].tokens) for i in range(len(reader))])
        mapped = np.memmap(folder / "shard.bin", np.uint16, "r")
        order = np.random.default_rng(1).permutation(len(reader)).tolist()
        reading = fastest(lambda: sum(len(sequence.tokens) for sequence in reader.iterate(seed=1)))
        plain = fastest(lambda: sum(len(mapped[ends[i - 1] if i else 0 : ends[i]]) for i in order))
        print(
            f"reading: ShardReader {len(reader) / reading:,.0f} sequences/s, documents and positions included; "
            f"bare numpy.memmap {len(reader) / plain:,.0f}"
        )
    report("shards", ours, peer)


if __name__ == "__main__":
    main()
