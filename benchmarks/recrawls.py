"""Near-duplicates across two snapshots: recall by kind and by Jaccard index, against the theoretical curve.

Usage: `python benchmarks/recrawls.py [PAIRS_CSV FIRST_DOCUMENTS SECOND_DOCUMENTS]`. The CSV names known re-crawls by
`record_id_a`, `record_id_b` and `kind`; the folders hold the documents tables of both snapshots in a lake (Parquet with
doc, record_id, date, text). Without them, re-crawls of invented pages are made: copies and edits.

Each snapshot is signed and becomes a segment of a band index; the second is matched against the first. Jaccard indices
are exact, of the shingles that MinHash sees. `met` is the share of pairs with a band in common, of which theory speaks;
`joined` the share in one cluster, which can also come about over a third page; `dropped` that of re-crawls that do not
survive. Then follows what the audit finds in each snapshot by itself. The last line's rates are the shares of all known
pairs that met, and that should have.
"""

import csv
import itertools
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measure import report

from curation_assets.deduplication.audit import audit
from curation_assets.deduplication.band_index import match, write_segment
from curation_assets.deduplication.minhash import candidate_probability, sign

NGRAM = 5
PARAMETERS = {"FineWeb": (14, 8), "RefinedWeb": (450, 20), "RedPajama 0.8": (9, 13), "duplodocus": (20, 5)}
BINS = (0.0, 0.5, 0.7, 0.8, 0.9, 1.0)
TARGET = 0.8

Pair = tuple[str, str, str]
"""Record of the first snapshot, of the second, kind."""


def invented(folder: Path) -> tuple[list[Pair], Path, Path]:
    """Two snapshots of 1,000 pages, of which 400 of the second are copies or edits of pages of the first."""
    random = np.random.default_rng(1)
    vocabulary = np.array(
        ["".join(map(chr, 97 + random.integers(0, 26, size))) for size in random.integers(2, 9, 5000)]
    )
    first = [list(random.choice(vocabulary, int(random.integers(80, 600)))) for _ in range(1000)]
    second, pairs = [], []
    for number, words in enumerate(first):
        kind = "copy" if number < 200 else "edited" if number < 400 else "other"
        again = list(words)
        changes = {"copy": 0, "edited": int(len(words) * random.choice([0.005, 0.01, 0.03, 0.05])), "other": len(words)}
        for place in random.permutation(len(words))[: changes[kind]]:
            again[place] = str(random.choice(vocabulary))
        second.append(again)
        if kind != "other":
            pairs.append((f"a{number}", f"b{number}", kind))
    for name, texts in (("a", first), ("b", second)):
        (folder / f"documents-{name}").mkdir()
        table = {
            "doc": range(len(texts)),
            "record_id": [f"{name}{number}" for number in range(len(texts))],
            "date": pa.nulls(len(texts), pa.timestamp("us", "UTC")),
            "text": [" ".join(words) for words in texts],
        }
        pq.write_table(pa.table(table), folder / f"documents-{name}" / "part-00000.parquet")
    return pairs, folder / "documents-a", folder / "documents-b"


def signed(documents: Path, out: Path, bands: int, rows: int) -> list[Path]:
    """Sign the parts of a snapshot, with the shingles of all documents."""
    out.mkdir()
    paths = []
    for path in sorted(documents.glob("*.parquet")):
        table = pq.read_table(path, columns=["doc", "record_id", "date", "text"])
        texts = table["text"].cast(pa.large_string()).combine_chunks()
        batch = sign(texts, NGRAM, bands, rows, sample=1.0, all_shingles=True)
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        paths.append(out / path.name)
        pq.write_table(pa.table({name: table[name] for name in ("doc", "record_id", "date")} | columns), paths[-1])
    return paths


def by_record(parts: list[Path], clusters: pa.Table) -> dict[str, dict]:
    """Bands, shingles, cluster and survival of each signed record."""
    found = {row["doc"]: row for row in clusters.to_pylist()}
    out = {}
    for part in parts:
        for row in pq.read_table(part).to_pylist():
            if row["bands"] is not None:
                member = found.get(row["doc"])
                row["cluster"] = member and (member["cluster_snapshot"], member["cluster"])
                row["dropped"] = member is not None and not member["survivor"]
                out[row["record_id"]] = row
    return out


def table(rows: list[tuple[str, float, float, bool, bool, bool]], groups: list[str]) -> None:
    """Print a line for each group: pairs, expected and met, joined, dropped."""
    print(f"  {'':22}{'pairs':>6}{'expected':>10}{'met':>8}{'joined':>8}{'dropped':>8}")
    for group in groups:
        own = np.array([row[1:] for row in rows if row[0] == group], float)
        if len(own):
            _, expected, met, joined, dropped = own.mean(axis=0)
            print(f"  {group:22}{len(own):6}{expected:10.3f}{met:8.3f}{joined:8.3f}{dropped:8.3f}")


def measure(name: str, pairs: list[Pair], documents: dict[str, Path], folder: Path) -> tuple[float, float]:
    """Print one set of parameters' recall and audit; return the share of known pairs that met, and expected."""
    bands, rows = PARAMETERS[name]
    start = time.process_time()
    parts = {
        snapshot: signed(path, folder / f"{bands}x{rows}-{snapshot}", bands, rows)
        for snapshot, path in documents.items()
    }
    seconds = time.process_time() - start
    segments = {snapshot: folder / f"segment-{bands}x{rows}-{snapshot}" for snapshot in parts}
    for snapshot, folder_of in segments.items():
        write_segment(parts[snapshot], folder_of)
    a, b = (by_record(parts[snapshot], match(segments, snapshot)) for snapshot in ("a", "b"))
    results = []
    for first, second, kind in pairs:
        if first in a and second in b:
            x, y = a[first], b[second]
            both = len(set(x["shingles"]) & set(y["shingles"]))
            jaccard = both / (len(x["shingles"]) + len(y["shingles"]) - both)
            met = any(p == q for p, q in zip(x["bands"], y["bands"], strict=True))
            joined = x["cluster"] is not None and x["cluster"] == y["cluster"]
            results.append((kind, jaccard, candidate_probability(jaccard, bands, rows), met, joined, y["dropped"]))
    total = len(a) + len(b)
    print(f"{name}: {bands} x {rows}, {total:,} documents signed at {total / seconds:,.0f} documents/s")
    print(f"  {len(results)} of {len(pairs)} known pairs are of documents with shingles")
    table(results, sorted({row[0] for row in results}))
    names = [f"Jaccard {low:.2f}-{high:.2f}" for low, high in itertools.pairwise(BINS)] + ["Jaccard 1"]
    table([(names[int(np.searchsorted(BINS, row[1], "right")) - 1], *row[1:]) for row in results], names)
    for snapshot in parts:
        found = audit(parts[snapshot], bands, rows, TARGET)
        print(
            f"  audit of {snapshot}: {found.pairs:,} pairs; at Jaccard {TARGET} and above recall {found.recall}, "
            f"expected {found.expected_recall}; share below of what met {found.false_positives}"
        )
        for row in found.curve.to_pylist():
            if row["pairs"]:
                print(f"    from {row['jaccard']:.2f}{row['pairs']:9,}{row['expected']:10.3f}{row['observed']:8.3f}")
    means = np.array([row[1:] for row in results], float).mean(axis=0)
    return float(means[2]), float(means[1])


def main() -> None:
    """Print all sets of parameters."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if len(sys.argv) == 4:
            with Path(sys.argv[1]).open() as file:
                pairs = [(row["record_id_a"], row["record_id_b"], row["kind"]) for row in csv.DictReader(file)]
            first, second = Path(sys.argv[2]), Path(sys.argv[3])
        else:
            pairs, first, second = invented(folder)
        shares = [measure(name, pairs, {"a": first, "b": second}, folder) for name in PARAMETERS]
    report(
        "recrawls",
        shares[0][0],
        shares[0][1],
        facts={f"{name} met": met for name, (met, _) in zip(PARAMETERS, shares, strict=True)},
    )


if __name__ == "__main__":
    main()
