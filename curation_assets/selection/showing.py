"""What the stations of selection show of their data."""

from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa

from curation_assets.filtering.showing import EXAMPLE_PARTS, EXAMPLE_ROWS, EXAMPLES, before_and_after, rows_of_part
from curation_assets.filtering.survivors import Edits
from curation_assets.lake.parts import read_table
from curation_assets.lake.station import Staged
from curation_assets.pictures import Bars, Shown, counts_of, histogram_of, sample


def show_corpus(staged: Staged, edits: Edits) -> Shown:
    """Lengths, languages and hosts of what is kept, and texts as they were extracted and as they are."""
    looked = sample(staged.paths(), ["url", "language", "text"])
    lengths = np.array([len(text) for text in looked["text"].to_pylist()])
    stats = staged.manifest.stats
    return Shown(
        {
            "text_lengths": histogram_of(lengths, "characters of text"),
            "languages": counts_of(looked["language"].cast(pa.string())),
            "hosts": counts_of(pa.array([_host(url) for url in looked["url"].to_pylist()], pa.string())),
        },
        texts=_examples(staged, edits),
        numbers={"bytes_per_document": stats.get("text_bytes", 0) / (stats.get("rows_out", 0) or 1)},
    )


def _host(url: str | None) -> str:
    try:
        return urlsplit(url or "").hostname or "(none)"
    except ValueError:
        return "(none)"


def _examples(staged: Staged, edits: Edits) -> str:
    """The first documents of the first part with any that the edits change, as extracted and as they are now."""
    for path in staged.paths()[:EXAMPLE_PARTS]:
        docs = read_table(path, ["doc"])["doc"].to_numpy()
        docs = docs[rows_of_part(docs) < EXAMPLE_ROWS]
        edited = np.zeros(len(docs), bool)
        for name, column in edits:
            table = read_table(staged.inputs[name].folder / path.name, ["doc", column])
            has = table[column].combine_chunks().value_lengths().fill_null(0).to_numpy() > 0
            edited |= np.isin(docs, table["doc"].to_numpy()[has])
        if edited.any():
            return before_and_after(staged, path.name, docs[edited][:EXAMPLES], (), edits)
    return ""


def show_scores(staged: Staged, limit: float) -> Shown:
    """The classifier's scores, and the limit."""
    scores = sample(staged.paths(), ["value"])["value"].to_numpy()
    return Shown({"scores": histogram_of(scores, "quality score", log=False, limits=(limit,))})


def show_repetitions(staged: Staged) -> Shown:
    """How many documents are repeated how often."""
    times = sample(staged.paths(), ["repetitions"])["repetitions"].to_numpy()
    found, counts = np.unique(times, return_counts=True)
    return Shown({"repetitions": Bars({f"{int(n)} times": int(c) for n, c in zip(found, counts, strict=True)})})


def show_weights(staged: Staged) -> Shown:
    """How the sampling weights are distributed."""
    weights = sample(staged.paths(), ["weight"])["weight"].drop_null().to_numpy()
    return Shown({"weights": histogram_of(weights, "sampling weight", log=False)})
