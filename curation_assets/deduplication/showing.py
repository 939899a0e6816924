"""What the stations of deduplication show of their data."""

import numpy as np
import pyarrow as pa

from curation_assets.lake.station import Staged
from curation_assets.pictures import Bars, Shown, histogram_of, sample


def show_duplicates(staged: Staged) -> Shown:
    """How large the clusters are, and what is dropped."""
    looked = sample(staged.paths(), ["survivor", "cluster_size"], parts=64, rows=1 << 16)
    survivors = looked["survivor"].to_numpy()
    sizes = looked["cluster_size"].to_numpy()[survivors]
    stats = staged.manifest.stats
    counted = {"one of a kind": sizes == 1, "clusters of 2": sizes == 2, "3 to 9": (sizes > 2) & (sizes < 10)}
    counted |= {"10 to 99": (sizes > 9) & (sizes < 100), "100 and more": sizes > 99}
    return Shown(
        {
            "clusters": Bars({name: int(chosen.sum()) for name, chosen in counted.items()}),
            "cluster_sizes": histogram_of(sizes[sizes > 1], "documents in a cluster", of="clusters"),
        },
        numbers={"clusters_per_document": stats.get("clusters", 0) / (stats.get("rows_in", 0) or 1)},
    )


def show_cuts(staged: Staged) -> Shown:
    """How much is cut out of documents."""
    looked = sample(staged.paths(), ["survivor", "spans"])
    spans = looked["spans"].combine_chunks()
    flat = spans.flatten()
    sizes = flat.field("end").to_numpy().astype(np.int64) - flat.field("start").to_numpy()
    cut = int(np.count_nonzero(spans.value_lengths().fill_null(0).to_numpy()))
    gone = looked.num_rows - int(looked["survivor"].cast(pa.int8()).to_numpy().sum())
    return Shown(
        {
            "documents": Bars({"looked at": looked.num_rows, "cut": cut, "dropped whole": gone}),
            "bytes_cut": histogram_of(sizes, "bytes of a cut", of="cuts"),
        }
    )
