"""Writing packed sequences as Parquet and MDS: our columnar copies against the usual writers, fed row by row.

Peers: the rows as Python objects into PyArrow, with the same row groups and compression; and, where they are installed,
Hugging Face `datasets` (`Dataset.from_generator(...).to_parquet`) and MosaicML's `MDSWriter`. What the peers write is
compared with what we write. The last line is about Parquet, against `datasets` if it is there and else PyArrow.
"""

import importlib
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measure import fastest, report

from curation_assets.lake.parts import PartWriter
from curation_assets.packing.mds import columns_of, write_mds
from curation_assets.packing.rows import BATCH_TOKENS, SEQUENCES, sequence_rows
from curation_assets.packing.sequences import count_sequences, pack

DOCUMENTS, LENGTH, VOCABULARY = 25_000, 2048, 32_768


def shard() -> tuple[np.ndarray, pa.Table]:
    """Ids (of Zipf's frequencies) and segments of an invented shard."""
    random = np.random.default_rng(1)
    counts = np.maximum(30, random.lognormal(6.2, 1.1, DOCUMENTS)).astype(np.int32)
    segments = pack(np.arange(DOCUMENTS), counts, sequence_length=LENGTH, shard_tokens=1 << 40)
    ids = np.minimum(random.zipf(1.3, int(counts.sum())), VOCABULARY) - 1
    return ids.astype(np.uint16), segments


def by_row(ids: np.ndarray, segments: pa.Table) -> Iterator[dict[str, Any]]:
    """The sequences one by one, as a generator gives them to a writer."""
    position = segments["position"].to_numpy()
    first = np.append(np.flatnonzero(position == 0), len(position)).tolist()
    columns = {name: segments[name].to_numpy() for name in segments.column_names}
    ends = np.append(0, np.cumsum(columns["token_count"], dtype=np.int64)).tolist()
    for start, stop in pairwise(first):
        yield {
            "shard": int(columns["shard"][start]),
            "sequence": int(columns["sequence"][start]),
            "input_ids": ids[ends[start] : ends[stop]],
            "seq_lengths": columns["token_count"][start:stop],
            "docs": columns["doc"][start:stop],
            "token_starts": columns["token_start"][start:stop],
        }


def main() -> None:
    """Print the rates in million tokens a second."""
    ids, segments = shard()
    rows, batch = count_sequences(segments), BATCH_TOKENS // LENGTH
    print(f"{len(ids):,} tokens of {DOCUMENTS:,} documents in {rows:,} sequences")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def ours() -> None:
            with PartWriter(folder / "ours.parquet", SEQUENCES, "") as writer:
                for found in sequence_rows(ids, segments):
                    writer.write(found)

        def with_pyarrow() -> None:
            path = folder / "pyarrow.parquet"
            with pq.ParquetWriter(path, SEQUENCES, compression="zstd", compression_level=3) as writer:
                pending = []
                for row in by_row(ids, segments):
                    pending.append(row)
                    if len(pending) == batch:
                        writer.write_table(pa.Table.from_pylist(pending, SEQUENCES))
                        pending = []
                writer.write_table(pa.Table.from_pylist(pending, SEQUENCES))

        def ours_as_mds() -> None:
            write_mds(folder / "ours.mds", sequence_rows(ids, segments), rows, ids.dtype)

        def rate(work: Any, repeats: int = 3) -> float:
            return len(ids) / 1e6 / fastest(work, repeats)

        ours_as_mds()
        mine, peer, peer_name = rate(ours), rate(with_pyarrow, 1), "pyarrow, row by row"
        written = pq.read_table(folder / "ours.parquet")
        assert pq.read_table(folder / "pyarrow.parquet").equals(written)
        size = (folder / "ours.parquet").stat().st_size / len(ids)
        print(f"Parquet: ours {mine:.1f} million tokens/s, {size:.2f} bytes a token; {peer_name} {peer:.1f}")
        try:
            datasets: Any = importlib.import_module("datasets")
        except ModuleNotFoundError:
            print("datasets is not installed")
        else:
            features = datasets.Features.from_arrow_schema(SEQUENCES.remove_metadata())
            datasets.disable_progress_bars()

            def with_datasets() -> None:
                with tempfile.TemporaryDirectory() as cache:
                    made = datasets.Dataset.from_generator(
                        by_row, gen_kwargs={"ids": ids, "segments": segments}, features=features, cache_dir=cache
                    )
                    made.to_parquet(folder / "datasets.parquet", batch_size=batch)

            peer, peer_name = rate(with_datasets, 1), "datasets"
            assert pq.read_table(folder / "datasets.parquet").to_pylist() == written.to_pylist()
            print(f"Parquet: datasets, from_generator and to_parquet {peer:.1f}")
        as_mds = rate(ours_as_mds)
        print(f"MDS: ours {as_mds:.1f} million tokens/s")
        try:
            streaming: Any = importlib.import_module("streaming")
        except ModuleNotFoundError:
            print("mosaicml-streaming is not installed")
        else:

            def with_streaming() -> None:
                options: dict[str, Any] = {"size_limit": None, "exist_ok": True}
                with streaming.MDSWriter(
                    out=str(folder / "theirs"), columns=columns_of(ids.dtype), **options
                ) as writer:
                    for row in by_row(ids, segments):
                        writer.write({**row, "tokens": row["input_ids"]})

            theirs = rate(with_streaming, 1)
            assert (folder / "theirs" / "shard.00000.mds").read_bytes() == (folder / "ours.mds").read_bytes()
            print(f"MDS: MDSWriter {theirs:.1f}; the same bytes; ratio {as_mds / theirs:.1f}")
    print(f"the last line's peer is {peer_name}")
    report("formats_parquet_tokens_per_s", mine * 1e6, peer * 1e6)


if __name__ == "__main__":
    main()
