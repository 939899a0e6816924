"""The four stages of datatrove's MinHash, as far as the clusters, over a segmentation of ours or its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datatrove.data import Document  # pyright: ignore[reportMissingImports]
from datatrove.pipeline.dedup.minhash import (  # pyright: ignore[reportMissingImports]
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupSignature,
)
from datatrove.utils.hashing import HashConfig  # pyright: ignore[reportMissingImports]
from datatrove.utils.word_tokenizers import WordTokenizer  # pyright: ignore[reportMissingImports]

from curation_assets.deduplication.clusters import cluster
from curation_assets.deduplication.minhash import sign, signatures

Partition = set[frozenset[int]]
"""Clusters of two or more documents, by their numbers."""


def _config() -> MinhashConfig:
    return MinhashConfig(hash_config=HashConfig(precision=64, hash_fc="sha1"))


def equal_signatures(texts: Sequence[str], language: WordTokenizer) -> list[int]:
    """Numbers of the texts whose signature by datatrove is not ours."""
    stage = MinhashDedupSignature("unused", _config(), language)
    ours, signed = signatures(pa.array(texts, pa.large_string()))
    other = []
    for number, text in enumerate(texts):
        shingles = stage.get_shingles(text)
        theirs = np.array(stage.get_signature(shingles), np.uint64).reshape(-1) if shingles.size else None
        if (theirs is not None) != signed[number] or (theirs is not None and (theirs != ours[number]).any()):
            other.append(number)
    return other


def their_clusters(texts: Sequence[str], language: WordTokenizer, folder: Path, tasks: int = 2) -> Partition:
    """Clusters by datatrove's stages 1 to 3, the texts dealt in order to some tasks."""
    config = _config()
    size = -(-len(texts) // tasks)
    for task in range(tasks):
        documents = (Document(text=text, id="") for text in texts[task * size : (task + 1) * size])
        MinhashDedupSignature(str(folder / "signatures"), config, language).run(documents, task, tasks)
    for bucket in range(config.num_buckets):
        stage = MinhashDedupBuckets(str(folder / "signatures"), str(folder / "buckets"), config=config)
        stage.run(None, bucket, config.num_buckets)
    stage = MinhashDedupCluster(str(folder / "buckets"), str(folder / "clusters"), config, save_cluster_id=True)
    stage.run(None, 0, 1)
    members: list[tuple[int, int]] = []
    for file in sorted((folder / "clusters").glob("*.clusters")):
        pairs = np.fromfile(file, "<u4").reshape(-1, 2)
        members += [(int(of), int(file.stem) * size + int(document)) for document, of in pairs]
    return _partition(members)


def our_clusters(texts: Sequence[str], folder: Path) -> Partition:
    """Clusters by ours."""
    bands = sign(pa.array(texts, pa.large_string()))["bands"]
    dates = pa.nulls(len(texts), pa.timestamp("us", "UTC"))
    part = folder / "bands.parquet"
    pq.write_table(pa.table({"doc": np.arange(len(texts)), "date": dates, "bands": bands}), part)
    table = cluster([part], folder)
    return _partition(zip(table["cluster"].to_pylist(), table["doc"].to_pylist(), strict=True))


def _partition(members: Iterable[tuple[int, int]]) -> Partition:
    groups: dict[int, list[int]] = defaultdict(list)
    for of, document in members:
        groups[of].append(document)
    return {frozenset(group) for group in groups.values()}
