"""SimHash: fingerprints of 64 bits that differ in few bits where documents differ in few words.

Charikar (2002), "Similarity estimation techniques from rounding algorithms". A document is a vector: each of its
features (a word, or n words in a row) weighted by how often it occurs. A bit of the fingerprint is set when the sum
over the features, of the weight where the bit of the feature's hash is set and of minus the weight where it is not,
is positive. Two documents' bits differ with probability angle / pi, for the angle between their vectors.

Manku, Jain and Das Sarma (2007), "Detecting near-duplicates for web crawling", take up to 3 differing bits as a
near-duplicate. Pairs within d bits are found without comparing all: cut the fingerprint into more than d blocks, and
a pair agrees in all but d of them. For each choice of such blocks the fingerprints are sorted with these in front,
and compared where they agree.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numba import njit

from curation_assets.deduplication.clusters import Source, members_of
from curation_assets.deduplication.forest import Survivor, microseconds, preference, unite
from curation_assets.deduplication.hashes.mix64 import hash_bytes
from curation_assets.deduplication.shingles import separate
from curation_assets.filtering.characters import inner, set_bits

BITS = 64

_BATCH = 256
_BATCH_ROWS = 1 << 15


@njit(cache=True, nogil=True)
def _fingerprints(
    text: np.ndarray, starts: np.ndarray, first: np.ndarray, ngram: int, seed: np.uint64, out: np.ndarray
) -> None:
    """Fingerprint of each document; 0 where it has fewer words than a feature."""
    counts = np.empty(64, np.int64)
    for i in range(out.size):
        features = first[i + 1] - first[i] - ngram + 1
        counts[:] = 0
        for k in range(first[i], first[i] + features):
            value = hash_bytes(text, starts[k], starts[k + ngram] - 1, seed)
            for bit in range(64):
                counts[bit] += np.int64((value >> np.uint64(bit)) & np.uint64(1))
        for bit in range(64):
            if 2 * counts[bit] > features:
                out[i] |= np.uint64(1) << np.uint64(bit)


def fingerprints(texts: pa.LargeStringArray, ngram: int = 1, seed: int = 0) -> pa.UInt64Array:
    """SimHash fingerprints of texts over the words of their simplified form (`shingles`).

    Args:
        texts: the texts, nullable.
        ngram: words of a feature. 3 makes word order count.
        seed: of the features' hashes, from 0 to 2**64 - 1.

    Returns:
        One for each text; null where it has fewer words than a feature: it is a near-duplicate of nothing.

    Raises:
        ValueError: `ngram` is less than one.
    """
    if ngram < 1:
        raise ValueError(f"features of {ngram} words")
    out = np.zeros(len(texts), np.uint64)
    none = np.zeros(len(texts), np.bool_)
    for start in range(0, len(texts), _BATCH):
        batch = slice(start, start + _BATCH)
        words = separate(texts[batch])
        _fingerprints(words.text, words.starts, words.first, ngram, np.uint64(seed), out[batch])
        none[batch] = np.diff(words.first) < ngram
    return pa.array(out, mask=none)


@njit(cache=True, nogil=True)
def _rearrange(values: np.ndarray, shifts: np.ndarray, widths: np.ndarray, out: np.ndarray) -> None:
    """Write the blocks of each value (widths[b] bits at shifts[b]) one after another, from the highest bit down."""
    for i in range(values.size):
        moved = np.uint64(0)
        for block in range(shifts.size):
            part = (values[i] >> shifts[block]) & ((np.uint64(1) << widths[block]) - np.uint64(1))
            moved = (moved << widths[block]) | part
        out[i] = moved


@inner
def _restored(value: np.uint64, shifts: np.ndarray, widths: np.ndarray) -> np.uint64:
    """The value whose blocks were rearranged."""
    restored = np.uint64(0)
    for block in range(shifts.size - 1, -1, -1):
        restored |= (value & ((np.uint64(1) << widths[block]) - np.uint64(1))) << shifts[block]
        value >>= widths[block]
    return restored


@inner
def _position(ordered: np.ndarray, value: np.uint64) -> int:
    """Where a value that is in a sorted array is."""
    low, high = 0, ordered.size
    while low < high:
        middle = (low + high) >> 1
        if ordered[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def _link(
    table: np.ndarray,
    free: np.uint64,
    distance: int,
    shifts: np.ndarray,
    widths: np.ndarray,
    ordered: np.ndarray,
    parent: np.ndarray,
) -> None:
    """Join what differs in at most `distance` bits, all of them among the last `free` ones of its row of `table`.

    table: sorted rearrangements of `ordered` (uint64, sorted, distinct); parent: a forest over `ordered`.
    """
    for i in range(table.size):
        own = -1
        for j in range(i + 1, table.size):
            difference = table[i] ^ table[j]
            if difference >> free:
                break
            if set_bits(difference) <= np.uint64(distance):
                if own < 0:
                    own = _position(ordered, _restored(table[i], shifts, widths))
                unite(parent, own, _position(ordered, _restored(table[j], shifts, widths)))


def _linked(ordered: np.ndarray, distance: int, blocks: int) -> np.ndarray:
    """Forest (int64) over sorted distinct fingerprints, in which those within `distance` bits are connected."""
    parent = np.arange(ordered.size)
    limits = [block * BITS // blocks for block in range(blocks + 1)]
    table = np.empty_like(ordered)
    for differing in combinations(range(blocks), distance):
        turn = [block for block in range(blocks) if block not in differing] + list(differing)
        shifts = np.array([limits[block] for block in turn], np.uint64)
        widths = np.array([limits[block + 1] - limits[block] for block in turn], np.uint64)
        _rearrange(ordered, shifts, widths, table)
        table.sort()
        _link(table, widths[blocks - distance :].sum(), distance, shifts, widths, ordered, parent)
    return parent


def _documents(parts: Sequence[Source]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Doc, date (int64) and fingerprint (uint64) of the documents that have one."""
    total = 0
    for part in parts:
        with pq.ParquetFile(part) as file:
            total += file.metadata.num_rows
    docs, dates, values = np.empty(total, np.int64), np.empty(total, np.int64), np.empty(total, np.uint64)
    count = 0
    for part in parts:
        with pq.ParquetFile(part) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=["doc", "date", "fingerprint"]):
                batch = batch.filter(batch.column("fingerprint").is_valid())
                own = slice(count, count + batch.num_rows)
                docs[own] = batch.column("doc").to_numpy()
                dates[own] = microseconds(batch.column("date"))
                values[own] = batch.column("fingerprint").to_numpy()
                count += batch.num_rows
    return docs[:count], dates[:count], values[:count]


@njit(cache=True, nogil=True)
def _spread(linked: np.ndarray, starts: np.ndarray, order: np.ndarray, parent: np.ndarray) -> None:
    """Make a forest over documents of one over their distinct values: the first document of a value serves for all.

    order: the documents by value; starts: where in it each distinct value starts.
    """
    for value in range(starts.size):
        stop = starts[value + 1] if value + 1 < starts.size else order.size
        for k in range(starts[value], stop):
            parent[order[k]] = order[starts[linked[value]]]


def _forest(values: list[np.ndarray], distance: int, blocks: int) -> np.ndarray:
    """Forest (int64) over documents of these fingerprints, which are taken out of their list; see `_linked`."""
    order = np.argsort(values[0], kind="stable")
    ordered = values.pop()[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)])
    ordered = ordered[starts]
    linked = _linked(ordered, distance, blocks)
    del ordered
    parent = np.empty_like(order)
    _spread(linked, starts, order, parent)
    return parent


def cluster(
    parts: Sequence[Source], distance: int = 3, blocks: int = 5, *, survivor: Survivor = "earliest"
) -> pa.Table:
    """Cluster the documents of a snapshot by their fingerprints.

    Clusters are the connected components of the pairs that differ in at most `distance` bits.

    Args:
        parts: Parquet files with the columns doc (int64, unique over all parts), date (timestamp, nullable) and
            fingerprint (uint64; a document with a null clusters with nothing). Their order does not matter.
        distance: most bits that differ; one or more.
        blocks: of the fingerprint, more than `distance` and at most 64. It does not change the result. More make
            more tables, of which (blocks over distance) are sorted one after another, and fewer comparisons in each:
            with n fingerprints about n**2 / 2**(1 + 64 * (1 - distance / blocks)). At distance 3, 4 blocks suit a
            few million documents, 5 a hundred million, 6 more.
        survivor: which member of a cluster is kept.

    Returns:
        A table of schema `clusters.CLUSTERS`. Memory: about 55 bytes for each document, none on disk. Time is
        quadratic in distinct fingerprints that agree in all but `distance` blocks.

    Raises:
        ValueError: `distance` or `blocks` is out of range, or a clustered doc occurs twice; an unknown
            survivor.
    """
    if not 1 <= distance < blocks <= BITS:
        raise ValueError(f"{blocks} blocks for a distance of {distance} bits: 1 <= distance < blocks <= {BITS}")
    docs, dates, *values = _documents(parts)
    parent = _forest(values, distance, blocks)
    return members_of(docs, preference(dates, survivor), parent)
