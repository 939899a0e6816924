"""Rehydration: how often a document is repeated in training, by the number of its duplicates.

Penedo et al. 2025 (FineWeb2, arXiv 2506.20920; ``misc/rehydration`` of huggingface/fineweb-2). Documents with few
or very many duplicates are removed by the quality gates more often than those in between, so the share removed
of a cluster size tells how good documents of that size are. The better, the more often they are repeated.
"""

import numpy as np
import pyarrow as pa

REMOVAL_RATES = pa.schema(
    [
        pa.field("size", pa.int64(), nullable=False),
        pa.field("documents", pa.int64(), nullable=False),
        pa.field("rate", pa.float64(), nullable=False),
    ]
)
"""Of a class of clusters, from its least size up to the next class: survivors, and the share of them removed."""

WEIGHTS = pa.schema([pa.field("size", pa.int64(), nullable=False), pa.field("weight", pa.int64(), nullable=False)])
"""A step function: the weight of a cluster size is that of the largest ``size`` not above it; ascending."""


def removal_rates(cluster_sizes: pa.Array, removed: pa.Array, least: int = 1000) -> pa.Table:
    """Share of the survivors of deduplication that the later gates remove, by cluster size.

    Args:
        cluster_sizes: for each survivor the number of documents in its cluster, itself included; integers >= 1.
        removed: booleans, row-aligned: whether a gate after deduplication removed it.
        least: from the first size with fewer documents on, all sizes are one class, which joins the one before
            when it has fewer still. FineWeb2 has such a tail
            too (173 and above for Italian), but does not say how its beginning is chosen. At 1,000 documents the
            standard error of a rate is at most 0.016.

    Returns:
        A ``REMOVAL_RATES`` table, ascending; empty for no documents.

    Raises:
        ValueError: if the lengths differ.
    """
    if len(cluster_sizes) != len(removed):
        raise ValueError(f"{len(cluster_sizes)} cluster sizes but {len(removed)} verdicts")
    columns = [cluster_sizes.cast(pa.int64()), removed.cast(pa.int64())]
    counted = pa.table(columns, names=["size", "removed"]).group_by("size")
    table = counted.aggregate([("removed", "count"), ("removed", "sum")]).sort_by("size")
    size, documents, gone = (
        table[name].to_numpy().astype(np.int64) for name in ("size", "removed_count", "removed_sum")
    )
    rare = np.flatnonzero(documents < least)
    classes = np.arange(rare[0] + 1 if len(rare) else len(size))
    if len(classes) > 1 and documents[classes[-1] :].sum() < least:
        # Too few for a rate of their own: a share of two documents would say that they are the best or the worst.
        classes = classes[:-1]
    documents, gone = (np.add.reduceat(column, classes) if len(size) else column for column in (documents, gone))
    return pa.table([size[classes], documents, gone / documents], schema=REMOVAL_RATES)


def weights(rates: pa.Table, max_weight: int = 10, window: int = 5) -> pa.Table:
    """How often documents of each cluster size are repeated.

    A class whose rate is not below the rate of all documents has weight 1, the class with the least rate
    ``max_weight``, and others lie on the straight line between. Then each weight becomes the mean of the
    ``window`` weights around it, save the ``window // 2`` first and last, and is rounded (half to even).

    Args:
        rates: a ``REMOVAL_RATES`` table.
        max_weight: published are 3 to 10.
        window: odd number of classes; 1 smooths nothing.

    Returns:
        A ``WEIGHTS`` table with one row for every class at which the weight changes.

    Raises:
        ValueError: if ``window`` is not odd and positive.
    """
    if window < 1 or window % 2 == 0:
        raise ValueError(f"a window is an odd number of classes, not {window}")
    size, documents, rate = (rates[name].to_numpy() for name in REMOVAL_RATES.names)
    if not len(size):
        return WEIGHTS.empty_table()
    # From whole numbers, so that a class whose rate is that of all documents is not below it by rounding.
    overall = np.rint(rate * documents).sum() / documents.sum()
    exact = np.ones(len(rate))
    better = rate < overall
    exact[better] += (max_weight - 1) * ((rate[better] - overall) / (rate.min() - overall))
    if len(exact) >= window:
        half = window // 2
        exact[half : len(exact) - half] = np.convolve(exact, np.ones(window) / window, mode="valid")
    weight = np.round(exact).astype(np.int64)
    changes = np.flatnonzero(np.diff(weight, prepend=0))
    return pa.table([size[changes], weight[changes]], schema=WEIGHTS)


def repetitions(cluster_sizes: pa.Array, table: pa.Table) -> pa.Int64Array:
    """How often each kept document is repeated, by its cluster size; null where that is null.

    ``table`` is a ``WEIGHTS`` table, one of ``weights`` or a published one. Below its first size the weight is 1.
    """
    size, weight = (table[name].to_numpy() for name in WEIGHTS.names)
    missing = cluster_sizes.is_null().to_numpy(zero_copy_only=False)
    sizes = cluster_sizes.fill_null(0).to_numpy(zero_copy_only=False)
    steps = np.concatenate([[1], weight]).astype(np.int64)
    return pa.array(steps[np.searchsorted(size, sizes, side="right")], mask=missing)
