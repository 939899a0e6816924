"""What MinHash found against what it should have found: exact Jaccard indices of sampled pairs, with every run.

The sample is made while a part is signed, from the document alone (`minhash.sign`): a permutation that no band uses
gives each document a value, and documents whose value falls below a limit are taken. Two documents of Jaccard index s
have the same value with probability s, so near-duplicates enter together, and they do so independently of whether they
share a band: of the pairs with one value in a bin of Jaccard indices, the share that are candidates estimates the curve
1 - (1 - s**rows)**bands without bias. (Adding the members of sampled documents' clusters instead would only add pairs
that MinHash has found.) A pair stands for 1 / s pairs of the sampled share of the snapshot.

Pairs of one template are not independent of each other: a bin of few large clusters strays further from the curve than
as many separate pairs would.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numba import njit

from curation_assets.deduplication.minhash import candidate_probability
from curation_assets.deduplication.verification import Source, jaccard_index

EDGES = (0.0, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
"""Lower ends of the bins; a bin ends where the next begins, and the last holds pairs of equal sets only."""

CURVE = pa.schema(
    [
        pa.field("jaccard", pa.float64(), nullable=False),
        pa.field("pairs", pa.int64(), nullable=False),
        pa.field("expected", pa.float64()),
        pa.field("observed", pa.float64()),
    ]
)
"""One row for each bin of EDGES: its lower end, its sampled pairs, the mean of their probability of sharing a band, and
the share that do; both null without pairs."""

_GROUP = 64  # documents of one sample value that are paired
_BATCH_ROWS = 256


class Audit(NamedTuple):
    """Result of `audit`."""

    curve: pa.Table
    """Of schema CURVE."""
    documents: int
    """Documents that were compared with another."""
    pairs: int
    """Pairs of them."""
    recall: float | None
    """Share of the pairs of Jaccard index `target` or more that share a band, each of weight 1 / s; None: no pairs."""
    expected_recall: float | None
    """The same by theory, for the same pairs."""
    false_positives: float | None
    """Share of the pairs that share a band whose Jaccard index is below `target`, in the same weights."""


@njit(cache=True, nogil=True)
def _pairs(
    starts: np.ndarray, keys: np.ndarray, values: np.ndarray, offsets: np.ndarray, jaccard: np.ndarray, met: np.ndarray
) -> None:
    """All pairs inside each group of documents [starts[g], starts[g + 1]): Jaccard index, and whether they share a
    band. keys: uint64[n, bands]; the set of document i is values[offsets[i] : offsets[i + 1]]."""
    n = 0
    for g in range(starts.size - 1):
        for i in range(starts[g], starts[g + 1]):
            for j in range(starts[g], i):
                jaccard[n] = jaccard_index(values, offsets[j], offsets[j + 1], offsets[i], offsets[i + 1], 0.0)
                for band in range(keys.shape[1]):
                    if keys[i, band] == keys[j, band]:
                        met[n] = True
                        break
                n += 1


def _groups(parts: Sequence[Source], most: int) -> tuple[np.ndarray, np.ndarray]:
    """Sample value and doc of the documents to compare, in that order: uint64[n], int64[n].

    Those that have their value in common with another; at most _GROUP of each value, and about `most` in all, those
    of the smallest values.
    """
    values, docs = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for part in parts:
        with pq.ParquetFile(part) as file:
            table = file.read(["doc", "sample"], use_threads=False)
            table = table.filter(table["sample"].is_valid())
            values.append(table["sample"].to_numpy())
            docs.append(table["doc"].to_numpy())
    value, doc = np.concatenate(values), np.concatenate(docs)
    order = np.lexsort((doc, value))
    value, doc = value[order], doc[order]
    _, first, count = np.unique(value, return_index=True, return_counts=True)
    place = np.arange(len(value)) - np.repeat(first, count)
    chosen = np.flatnonzero((np.repeat(count, count) > 1) & (place < _GROUP))
    if len(chosen) > most:
        # A whole value, or none of it.
        chosen = chosen[value[chosen] < value[chosen[most]]]
    return value[chosen], doc[chosen]


def audit(parts: Sequence[Source], bands: int, rows: int, target: float = 0.8, most: int = 20_000) -> Audit:
    """Measure recall and false positives of the candidate pairs on the sample in some signed parts.

    Memory: 16 bytes per sampled document, and the shingles of the compared ones (about 4 kB each).

    Args:
        parts: Parquet files with the columns doc (int64, unique over all parts), and bands, sample and shingles as
            `minhash.sign` makes them. Their order does not matter.
        bands: as they were signed with.
        rows: as they were signed with.
        target: the Jaccard index from which on two documents should meet.
        most: documents to compare, about.

    Raises:
        ValueError: the parts have another number of bands.
    """
    value, doc = _groups(parts, most)
    keys = np.zeros((doc.size, bands), np.uint64)
    sets: list[np.ndarray] = [np.empty(0, np.uint64)] * doc.size
    by_doc = np.argsort(doc)
    for part in parts if doc.size else ():
        with pq.ParquetFile(part) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=["doc", "bands", "shingles"], use_threads=False):
                wanted = np.isin(batch.column("doc").to_numpy(), doc)
                if not wanted.any():
                    continue
                chosen = batch.filter(pa.array(wanted))
                places = by_doc[np.searchsorted(doc, chosen.column("doc").to_numpy(), sorter=by_doc)]
                kind = chosen.schema.field("bands").type
                if kind.list_size != bands:
                    raise ValueError(f"{part} has {kind.list_size} bands, not {bands}")
                keys[places] = chosen.column("bands").flatten().to_numpy().reshape(-1, bands)
                for place, shingles in zip(places, chosen.column("shingles"), strict=True):
                    sets[place] = shingles.values.to_numpy()
    offsets = np.cumsum([0, *map(len, sets)], dtype=np.int64)
    _, first, count = np.unique(value, return_index=True, return_counts=True)
    total = int((count * (count - 1) // 2).sum())
    jaccard, met = np.empty(total), np.zeros(total, np.bool_)
    joined = np.concatenate([np.empty(0, np.uint64), *sets])
    _pairs(np.append(first, doc.size), keys, joined, offsets, jaccard, met)
    # Two values that are equal by accident, once in 2**64, say nothing.
    jaccard, met = jaccard[jaccard > 0], met[jaccard > 0]
    return _summary(jaccard, met, bands, rows, target, doc.size)


def _summary(jaccard: np.ndarray, met: np.ndarray, bands: int, rows: int, target: float, documents: int) -> Audit:
    probability = candidate_probability(jaccard, bands, rows)
    weight = 1 / jaccard

    def share(of: np.ndarray, within: np.ndarray) -> float | None:
        whole = (weight * within).sum()
        return float((weight * of * within).sum() / whole) if whole else None

    bins = np.searchsorted(EDGES, jaccard, side="right") - 1
    pairs = np.bincount(bins, minlength=len(EDGES))
    some = np.maximum(pairs, 1)
    curve = pa.table(
        [
            pa.array(EDGES),
            pa.array(pairs),
            pa.array(np.bincount(bins, probability, len(EDGES)) / some, mask=pairs == 0),
            pa.array(np.bincount(bins, met, len(EDGES)) / some, mask=pairs == 0),
        ],
        schema=CURVE,
    )
    similar = jaccard >= target
    return Audit(curve, documents, len(jaccard), share(met, similar), share(probability, similar), share(~similar, met))
