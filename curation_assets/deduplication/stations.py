"""The stations of deduplication: for each method keys a part, then groups and their survivors for the snapshot.

Every method compares the documents that nothing before it has dropped. Its last table has one row for each of them and
says which survive; the next method, the verdicts and the corpus read that table. The methods that compare whole
documents are here, those that cut parts of them in `cuts`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation_assets.deduplication import band_index, clusters, minhash, simhash
from curation_assets.deduplication.audit import audit
from curation_assets.deduplication.exact import groups, text_keys, url_keys
from curation_assets.deduplication.places import SURVIVORS_ARE_COUNTED, MethodParameters, Surroundings
from curation_assets.deduplication.showing import show_duplicates
from curation_assets.filtering.characters import text_bytes
from curation_assets.filtering.survivors import read_texts, survivors
from curation_assets.lake.contracts import Column, Contract, each
from curation_assets.lake.lake import Stats
from curation_assets.lake.parts import PartWriter, read_table, split_by_part, with_docs
from curation_assets.lake.shuffle import temporary_folder
from curation_assets.lake.station import Check, Inputs, PartStation, SnapshotJob, SnapshotStation, Station
from curation_assets.recipes.methods import Method, MinHash, SimHash, TextDuplicates, UrlDuplicates

DOC, DATE = pa.field("doc", pa.int64()), pa.field("date", pa.timestamp("us", "UTC"))
DUPLICATES = pa.schema(
    [
        DOC,
        ("survivor", pa.bool_()),
        ("value", pa.float64()),
        ("cluster", pa.int64()),
        ("cluster_size", pa.int32()),
        ("cluster_snapshot", pa.string()),
    ]
)
"""One row for each document that was compared, sorted by doc."""

DUPLICATE_COLUMNS = {
    "survivor": "false for the documents that are dropped",
    "value": "documents in the cluster; more than one and not the survivor: dropped",
    "cluster": "doc of the survivor of its cluster, which may be itself",
    "cluster_size": "documents in the cluster, the survivor included",
    "cluster_snapshot": "the survivor's snapshot, where it is an earlier one; else null",
}
DUPLICATES_CONTRACT = Contract(
    {
        "doc": Column(references="keys.doc"),
        **each(("value", "cluster_size"), Column(least=1)),
        "cluster": Column(least=0),
        "cluster_snapshot": Column(null=True, regex=r"CC-MAIN-[0-9]{4}-[0-9]{2}"),
    },
    conditions={
        "a survivor names its cluster": "NOT survivor OR (cluster = doc AND cluster_snapshot IS NULL)",
        "what does not survive is in another's cluster": "survivor OR cluster <> doc OR cluster_snapshot IS NOT NULL",
        "value is cluster_size": "value = cluster_size",
    },
)

RULES = {"earliest": "the earliest capture", "latest": "the latest capture", "longest": "the longest text"}

Columns = Mapping[str, pa.Array]


@dataclass(frozen=True)
class Comparison:
    """How one method compares whole documents."""

    keys: str
    """Name of the table of keys."""
    fields: Callable[[Any], list[pa.Field]]
    """Its columns besides doc and date, for given parameters."""
    columns: Mapping[str, str]
    """What they mean."""
    contract: Mapping[str, Column]
    """What holds of those that may be null, or are bounded."""
    read: Callable[[pa.RecordBatch, Any, int], Columns]
    """The columns for a batch of documents with `url`, `text` and, by language, `language`; and how many documents of
    the part are left."""
    group: Callable[[SnapshotJob, Any, Sequence[Path]], pa.Table]
    """Members of clusters, as `clusters.CLUSTERS` or `band_index.MATCHES`, from the files of keys."""
    described: Callable[[Any], tuple[str, str]]
    """What the keys and the groups are, in words."""


def compare(method: Method, around: Surroundings) -> list[Station]:
    """Keys of the documents that are left, and the groups that they form."""
    comparison = COMPARISONS[method.name]
    keys_are, groups_are = comparison.described(method)
    params = around.parameters(method)
    across = isinstance(method, MinHash) and method.across_snapshots
    by_language = isinstance(method, MinHash) and method.by_language
    name = around.recipe.name
    keys = PartStation(
        key=(name, comparison.keys),
        group="deduplication",
        description=f"{keys_are} Only of the documents that are left.",
        version="1",
        params=params,
        inputs={**around.inputs, **({"languages": around.languages} if by_language else {})},
        schema=pa.schema([DOC, DATE, *comparison.fields(method)]),
        step=write_keys,
        columns=comparison.columns,
        origins=dict.fromkeys(comparison.columns, (("documents", "url"), ("documents", "text"))),
        contract=Contract(
            {"doc": Column(references="documents.doc"), "date": Column(null=True), **comparison.contract}
        ),
        conservation=(around.all_have_one_row(method),),
    )
    segments = SnapshotStation(
        key=(name, "band_index"),
        group="deduplication",
        description="The snapshot's segment of the band index: its distinct band keys by hash, and its documents with "
        "the component that they form (by `minhash_signatures`; Broder 1997). Snapshots that follow are matched "
        "against it; to replace or delete a "
        "partition is to replace or delete its segment.",
        version="3",
        params=params.method,
        inputs={"keys": keys.key},
        step=write_segment,
        conservation=(Check("band_index_holds_the_compared", "The index has every compared document and band key."),),
    )
    duplicates = SnapshotStation(
        key=(name, method.name),
        group="deduplication",
        description=groups_are,
        version="3",
        params=params.method,
        inputs={"keys": keys.key, **({"segment": segments.key} if across else {})},
        preceding={"segment": segments.key, "keys": keys.key} if across else {},
        schema=DUPLICATES,
        step=group_snapshot,
        show=show_duplicates,
        columns=DUPLICATE_COLUMNS,
        origins=dict.fromkeys(DUPLICATE_COLUMNS, tuple(("keys", column) for column in ("date", *comparison.columns))),
        contract=DUPLICATES_CONTRACT,
        conservation=(
            Check(
                "clusters_have_one_survivor",
                "Every compared document has one row; every cluster has one survivor, which names it.",
                {"across": across},
            ),
            SURVIVORS_ARE_COUNTED,
        ),
    )
    return [keys, segments, duplicates] if across else [keys, duplicates]


def write_keys(inputs: Inputs, writer: PartWriter, params: MethodParameters) -> None:
    """Write the keys of the documents of one part that are left."""
    method = params.method
    comparison = COMPARISONS[method.name]
    left = survivors(inputs, params.place)
    languages = None
    if "languages" in inputs:
        languages = with_docs(read_table(inputs["languages"], ["doc", "language"]), left)["language"]
    row = 0
    for batch in read_texts(inputs, params.place.edits, left, ("date", "url")):
        if languages is not None:
            batch = batch.append_column("language", languages[row : row + batch.num_rows].combine_chunks())
        row += batch.num_rows
        writer.write(
            pa.table({"doc": batch["doc"], "date": batch["date"], **comparison.read(batch, method, len(left))})
        )
        writer.count("rows_in", batch.num_rows)
        writer.count("rows_out", batch.num_rows)


def write_segment(job: SnapshotJob) -> Stats:
    """Write the snapshot's segment of the band index."""
    method: MinHash = job.params
    paths = job.inputs["keys"].paths(".parquet")
    parameters = method.model_dump(mode="json", include={"ngram", "bands", "rows", "hash", "seed", "by_language"})
    scratch = job.folder / "scratch"
    band_index.write_segment(
        paths, job.folder, scratch, jaccard=method.verify, parameters=parameters, tasks=job.engine.map
    )
    return {
        "rows_in": job.inputs["keys"].manifest().rows,
        "rows_out": pq.read_metadata(job.folder / band_index.DOCUMENTS).num_rows,
        "keys": pq.read_metadata(job.folder / band_index.KEYS).num_rows,
    }


def group_snapshot(job: SnapshotJob) -> Stats:
    """Group all documents by their keys; write each part's rows beside its other tables."""
    method: Method = job.params
    paths = job.inputs["keys"].paths(".parquet")
    job.say("finding clusters")
    members = COMPARISONS[method.name].group(job, method, paths)
    stats = {"rows_in": 0, "rows_out": 0, f"dropped.{method.verdict}": 0}
    with temporary_folder(job.folder / "scratch") as scratch:
        file = scratch / "members.arrow"
        with PartWriter(file, members.schema, "") as writer:
            writer.write(members.combine_chunks())
        jobs = [SurvivorJob(file, path, job.folder / path.name) for path in paths]
        for done, (rows, left) in enumerate(job.engine.map(write_survivors, jobs), 1):
            job.say("writing who survives", done, len(paths))
            stats["rows_in"] += rows
            stats["rows_out"] += left
    stats[f"dropped.{method.verdict}"] = stats["rows_in"] - stats["rows_out"]
    stats["clusters"] = len(np.unique(members["cluster"].to_numpy()))
    if isinstance(method, MinHash):
        job.say("auditing a sample of pairs")
        stats |= _audited(paths, method)
    return stats


@dataclass(frozen=True)
class SurvivorJob:
    """One part's rows of DUPLICATES, to be written; picklable."""

    members: Path
    keys: Path
    target: Path


def write_survivors(job: SurvivorJob) -> tuple[int, int]:
    """Write who survives of a part; returns documents before and after. The function that worker processes run."""
    docs = read_table(job.keys, ["doc"])["doc"].to_numpy()
    with pa.memory_map(str(job.members)) as mapped, pa.ipc.open_file(mapped) as members:
        ((_, own),) = split_by_part(pa.Table.from_batches([members.get_batch(0)]), [job.keys])
        table = _rows(docs, own)
    with PartWriter(job.target, DUPLICATES, "") as writer:
        writer.write(table)
    return len(docs), int(table["survivor"].to_numpy().sum())


def _rows(docs: np.ndarray, members: pa.Table) -> pa.Table:
    """One row for each of `docs`, from those that are members of clusters."""
    at = np.searchsorted(docs, members["doc"].to_numpy())
    cluster, size, survivor = docs.copy(), np.ones(len(docs), np.int32), np.ones(len(docs), np.bool_)
    cluster[at], size[at] = members["cluster"].to_numpy(), members["cluster_size"].to_numpy()
    survivor[at] = members["survivor"].to_numpy()
    where = np.full(len(docs), -1)
    snapshots = pa.nulls(len(docs), pa.string())
    if "cluster_snapshot" in members.column_names:
        where[at] = np.arange(len(at))
        other = (where >= 0) & ~survivor
        taken = members["cluster_snapshot"].take(pa.array(where, mask=~other))
        snapshots = taken.combine_chunks() if isinstance(taken, pa.ChunkedArray) else taken
    return pa.table([docs, survivor, size.astype(np.float64), cluster, size, snapshots], schema=DUPLICATES)


def _audited(paths: Sequence[Path], method: MinHash) -> Stats:
    """What the audit measured: shares in parts per million, overall and for each bin of Jaccard indices with pairs."""
    found = audit(paths, method.bands, method.rows)
    stats = {"audit_pairs": found.pairs}
    measured = {
        "audit_recall": found.recall,
        "audit_expected_recall": found.expected_recall,
        "audit_false_positives": found.false_positives,
    }
    for row in found.curve.filter(pc.field("pairs") > 0).to_pylist():
        place = f"audit.{row['jaccard']:.2f}"
        stats[f"{place}.pairs"] = row["pairs"]
        measured |= {f"{place}.expected": row["expected"], f"{place}.observed": row["observed"]}
    return stats | {f"{name}_ppm": round(1e6 * share) for name, share in measured.items() if share is not None}


def _url_columns(batch: pa.RecordBatch, method: UrlDuplicates, left: int) -> Columns:
    return {"key": url_keys(batch["url"], method.form), "length": pa.array(text_bytes(batch["text"]))}


def _text_columns(batch: pa.RecordBatch, method: TextDuplicates, left: int) -> Columns:
    return {"key": text_keys(batch["text"], fold_case=method.fold_case), "length": pa.array(text_bytes(batch["text"]))}


def _signed_columns(batch: pa.RecordBatch, method: MinHash, left: int) -> Columns:
    signed = minhash.sign(
        batch["text"],
        method.ngram,
        method.bands,
        method.rows,
        method.seed,
        method.hash,
        groups=batch["language"] if method.by_language else None,
        sample=min(method.audited_documents / left, 1.0),
        all_shingles=method.verify is not None,
    )
    return {name: signed[name] for name in minhash.SIGNED}


def _fingerprint_columns(batch: pa.RecordBatch, method: SimHash, left: int) -> Columns:
    return {"fingerprint": simhash.fingerprints(batch["text"], method.ngram, method.seed)}


def _group_keys(job: SnapshotJob, method: UrlDuplicates | TextDuplicates, paths: Sequence[Path]) -> pa.Table:
    return groups(paths, method.survivor, job.folder / "scratch", job.engine.map)


def _group_bands(job: SnapshotJob, method: MinHash, paths: Sequence[Path]) -> pa.Table:
    scratch = job.folder / "scratch"
    if not method.across_snapshots:
        return clusters.cluster(paths, scratch, survivor=method.survivor, jaccard=method.verify, tasks=job.engine.map)
    own = {"segment": job.inputs["segment"], "keys": job.inputs["keys"]}
    partitions = {name: {**job.preceding[name], job.snapshot: own[name]} for name in own}
    matches = band_index.match(
        {snapshot: partition.folder for snapshot, partition in partitions["segment"].items()},
        job.snapshot,
        method.survivor,
        signatures={snapshot: partition.paths(".parquet") for snapshot, partition in partitions["keys"].items()},
        scratch=scratch,
    )
    there = matches["cluster_snapshot"]
    place = matches.column_names.index("cluster_snapshot")
    elsewhere = pc.call_function("if_else", [pc.call_function("not_equal", [there, job.snapshot]), there, None])
    return matches.set_column(place, "cluster_snapshot", elsewhere)


def _group_fingerprints(job: SnapshotJob, method: SimHash, paths: Sequence[Path]) -> pa.Table:
    return simhash.cluster(paths, method.distance, method.distance + 2, survivor=method.survivor)


EXACT_FIELDS = [pa.field("key", pa.binary(16)), pa.field("length", pa.int64())]

COMPARISONS = {
    "url_duplicates": Comparison(
        keys="url_keys",
        fields=lambda method: EXACT_FIELDS,
        columns={"key": "128-bit hash of the canonical URL", "length": "bytes of the text"},
        contract={"key": Column(null=True), "length": Column(least=0)},
        read=_url_columns,
        group=_group_keys,
        described=lambda method: (
            "128-bit keys of canonical URLs (RFC 3986, section 6.2).",
            "Documents with one canonical URL, as RefinedWeb drops them (Penedo et al. 2023, arXiv 2306.01116). The "
            f"survivor is {RULES[method.survivor]}, then the smallest `doc`.",
        ),
    ),
    "text_duplicates": Comparison(
        keys="text_keys",
        fields=lambda method: EXACT_FIELDS,
        columns={"key": "128-bit hash of the text (NFC, white space folded)", "length": "bytes of the text"},
        contract={"key": Column(null=True), "length": Column(least=0)},
        read=_text_columns,
        group=_group_keys,
        described=lambda method: (
            "128-bit keys of the texts so far (Unicode's NFC), whatever their white space.",
            f"Documents with one text, as in Dolma 3's exact deduplication. The survivor is {RULES[method.survivor]}, "
            "then the smallest `doc`.",
        ),
    ),
    "minhash_duplicates": Comparison(
        keys="minhash_signatures",
        fields=lambda method: [
            pa.field("bands", pa.list_(pa.uint64(), method.bands)),
            pa.field("sample", pa.uint64()),
            pa.field("shingles", pa.large_list(pa.uint64())),
        ],
        columns={
            "bands": "one key a band; null for a text of fewer words than a shingle, never a duplicate",
            "sample": "what a document was sampled by for the audit; null for others",
            "shingles": "distinct shingle hashes, kept of the sample, or of all where pairs are verified",
        },
        contract=each(("bands", "sample", "shingles"), Column(null=True)),
        read=_signed_columns,
        group=_group_bands,
        described=lambda method: (
            f"MinHash (Broder 1997) of word {method.ngram}-grams of the text so far, {method.bands} bands of "
            f"{method.rows} hashes; "
            "of a signature one 64-bit key a band is kept.",
            f"Connected components of documents that share a band (Broder et al. 1997; half of the pairs at Jaccard "
            f"{(1 / method.bands) ** (1 / method.rows):.2f} do)"
            + (f" and whose exact Jaccard index is {method.verify} or more" if method.verify else "")
            + (", in this snapshot and those before it" if method.across_snapshots else "")
            + f". The survivor is {RULES[method.survivor]}, then the smallest `doc`. `audit_*`: recall and false "
            "positives on a sample of pairs, beside what theory expects for the same pairs.",
        ),
    ),
    "simhash_duplicates": Comparison(
        keys="simhash_fingerprints",
        fields=lambda method: [pa.field("fingerprint", pa.uint64())],
        columns={"fingerprint": "64-bit SimHash of the words; null for a text without any"},
        contract={"fingerprint": Column(null=True)},
        read=_fingerprint_columns,
        group=_group_fingerprints,
        described=lambda method: (
            f"64-bit SimHash (Charikar 2002) of word {method.ngram}-grams.",
            f"Connected components of documents whose fingerprints differ in at most {method.distance} bits (Manku et "
            "al. "
            "2007). The "
            f"survivor is {RULES[method.survivor]}, then the smallest `doc`.",
        ),
    ),
}
