"""What the stations of packing show of their data."""

import json
from pathlib import Path

import numpy as np

from curation_assets.lake.station import Staged
from curation_assets.packing.shards import MANIFEST_FILE, TOKENIZER_FILE
from curation_assets.pictures import Bars, Shown, histogram_of, sample

SEGMENTS_LOOKED_AT = 1 << 20


def show_tokenizer(staged: Staged) -> Shown:
    """How long the tokens of the vocabulary are."""
    (path,) = [path for path in staged.paths() if path.name == TOKENIZER_FILE]
    vocabulary = json.loads(path.read_bytes())["model"].get("vocab", {})
    lengths = np.array([len(token) for token in vocabulary])  # one that is a list of pairs has no lengths to show
    counts = np.bincount(np.minimum(lengths, 16)) if isinstance(vocabulary, dict) and len(lengths) else []
    names = {length: f"{length} character{'s' * (length > 1)}" for length in range(17)} | {16: "16 and more"}
    return Shown({"vocabulary": Bars({names[length]: int(count) for length, count in enumerate(counts) if count})})


def show_tokens(staged: Staged) -> Shown:
    """Tokens of the documents."""
    rows = sample(staged.paths(), ["token_count", "ids_hash"])
    counts = rows.filter(rows["ids_hash"].is_valid())["token_count"].to_numpy()
    stats = staged.manifest.stats
    return Shown(
        {"tokens": histogram_of(counts, "tokens of a document")},
        numbers={"tokens_per_document": stats.get("tokens", 0) / (stats.get("rows_out", 0) or 1)},
    )


def show_sequences(staged: Staged, length: int) -> Shown:
    """How full the sequences are, and how many documents are cut."""
    segments = sample(staged.paths(), ["shard", "sequence", "token_count"], rows=SEGMENTS_LOOKED_AT)
    places = np.stack([segments["shard"].to_numpy(), segments["sequence"].to_numpy()])
    _, numbers = np.unique(places, axis=1, return_inverse=True) if places.size else (None, np.empty(0, np.int64))
    filled = np.bincount(numbers.ravel(), segments["token_count"].to_numpy().astype(np.float64)) / length
    stats = staged.manifest.stats
    cut = stats.get("documents_cut", 0)
    return Shown(
        {
            "documents": Bars({"whole": stats.get("rows_in", 0) - cut, "cut": cut}),
            "fill": histogram_of(filled, "share of a sequence filled", of="sequences", log=False),
        }
    )


def show_shards(staged: Staged) -> Shown:
    """Tokens of each shard."""
    described = json.loads(_path(staged, MANIFEST_FILE).read_bytes())
    return Shown({"tokens": Bars({shard["name"]: shard["tokens"] for shard in described["shards"]})})


def _path(staged: Staged, name: str) -> Path:
    return next(path for path in staged.paths() if path.name == name)
