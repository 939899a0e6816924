"""Whether everything that is taken down is gone: from verdicts, corpus, tokens and shards, by key and by content.

Keys: the documents that rules hit are looked up anew in the documents table, not in the list. Content, for each shard
that such a document was packed in: its files have the recorded hashes, they hold exactly the ids of the documents that
the segments name, and where the document's ids were there are other ones. For that its ids are made again: extracted
text, edits, tokenizer.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation_assets.filtering.edit_stations import REPAIRS, PiiParameters
from curation_assets.filtering.edits import apply_edits, as_edits
from curation_assets.filtering.pii import find_pii
from curation_assets.filtering.survivors import edits_of
from curation_assets.lake.lake import STAGING, Lake, file_sha256, fingerprint, write_atomically
from curation_assets.lake.parts import part_number, read_table
from curation_assets.packing.mds import MdsShard
from curation_assets.packing.reuse import tokenised
from curation_assets.packing.shards import SEGMENTS_FILE, TOKENIZER_FILE, TokenStore, shard_name, stored_dtype
from curation_assets.packing.tokenizer import saved_tokenizer
from curation_assets.packing.tokens import tokenize
from curation_assets.provenance.takedown_hits import Curated, curated, matched
from curation_assets.provenance.takedowns import Entry, Found, TakedownList
from curation_assets.recipes.recipe import KEPT, TAKEDOWN

AFTER_VERDICTS = {"pii_spans", *(f"{repair}_edits" for repair in REPAIRS)}
"""Tables of edits that have rows for kept documents only; of others they are made again."""

SHORTEST = 8
"""Tokens of a piece whose absence says something: a shorter one may be anybody's."""

LISTED = 1000
"""Documents that a record names; it counts all."""


@dataclass
class Audited:
    """What was found of all audited takedowns in one recipe's tables of one snapshot."""

    recipe: str
    snapshot: str
    documents: int = 0
    """Documents hit that have a text."""
    packed: int = 0
    """Of these, documents that lay in the shards when they were taken down."""
    recomputed: int = 0
    """Of these, documents whose ids were made again, as many as there were."""
    faults: list[str] = field(default_factory=list)
    """What is still there, in words."""
    shards_changed: dict[str, dict[str, str | None]] = field(default_factory=dict)
    """Files that are not what they were when the earliest of these takedowns was added: their hashes before and now."""
    shards_unchanged: int = 0
    near_copies_kept: list[str] = field(default_factory=list)
    """URLs of kept documents that were found to be nearly the same as one taken down, when it was added."""
    remains: list[dict[str, Any]] = field(default_factory=list)
    """Where the text still lies: tables, and records of WARC files."""
    digests: dict[str, str] = field(default_factory=dict)
    """Data versions of the tables that were looked at."""


@dataclass
class Audit:
    """A record of an audit."""

    version: int
    """Of the list."""
    head: str
    """Hash of the list's last line."""
    takedowns: list[str]
    date: str
    passed: bool
    results: list[Audited]


def audit(lake: Lake, only: str | None, snapshot: str | None, date: datetime) -> tuple[Audit, Path]:
    """Look for everything that is taken down, and write what was found to the lake's folder of audits.

    Args:
        lake: whose takedowns.
        only: the id of one; all that are in force by default.
        snapshot: the only one to look at.
        date: of the audit.

    Raises:
        ValueError: no takedown is in force, or none of that id.
        LakeError: the list was changed.
    """
    listed = TakedownList(lake.root)
    entries = [listed.get(only)] if only else listed.in_force
    if not entries:
        raise ValueError("no takedown is in force: there is nothing to audit")
    results = [_audited(one, entries, listed) for one in curated(lake) if snapshot is None or one.snapshot == snapshot]
    record = Audit(
        version=listed.version,
        head=listed.head(),
        takedowns=[entry.id for entry in entries],
        date=date.isoformat(timespec="seconds"),
        passed=not any(result.faults for result in results),
        results=results,
    )
    content = asdict(record)
    name = f"{record.version:05d}-{record.head[:12]}-{fingerprint(content)[:12]}.json"
    path = listed.folder / "audits" / name
    write_atomically(path, json.dumps(content, indent=1).encode() + b"\n")
    return record, path


def _audited(one: Curated, entries: Sequence[Entry], listed: TakedownList) -> Audited:
    found = Audited(one.recipe, one.snapshot)
    by_part = _with_text(one, matched(one.documents, [entry.rule for entry in entries]))
    docs = np.concatenate([np.empty(0, np.int64), *(hits["doc"].to_numpy() for hits in by_part.values())])
    found.documents = len(docs)
    tables = {name: one.table(name) for name in ("verdicts", "corpus", "tokens", "training_shards")}
    manifests = {name: table.committed() for name, table in tables.items()}
    found.digests = {name: manifest.digest for name, manifest in manifests.items() if manifest is not None}
    if not len(docs):
        return found
    left: Counter[str] = Counter()
    for name, hits in by_part.items():
        left.update(_look_up(one, name, hits["doc"]))
    found.faults += [f"{what} of {count:,} documents" for what, count in left.items() if count]
    # What was cut off while it was written is in no table, and is text all the same.
    for path in sorted((one.lake.root / one.recipe).glob(f"*/{one.snapshot}/{STAGING}")):
        found.faults.append(f"{path.parent.parent.name} holds what an unfinished run wrote")
    recorded = [
        (entry, known)
        for entry in entries
        for known in entry.found
        if (known.recipe, known.snapshot) == (one.recipe, one.snapshot)
    ]
    if manifests["training_shards"] is not None:
        _look_into_shards(one, by_part, docs, found)
    _look_into_formats(one, docs, found)
    _compare_files(one, [known for _, known in recorded], found)
    _find_copies(one, [entry for entry, _ in recorded], listed, docs, found)
    found.remains = list(_remains(one, by_part, docs, any(known.trained for _, known in recorded)))
    return found


def _with_text(one: Curated, by_part: dict[str, pa.Table]) -> dict[str, pa.Table]:
    """Hits on records that a text was extracted from: of others there is nothing to be found."""
    kept = {}
    for name, hits in by_part.items():
        documents = read_table(one.documents.folder / name, ["doc", "verdict"])
        texts = documents.filter(pc.field("verdict").is_null())["doc"]
        if (left := hits.filter(pc.field("doc").isin(texts))).num_rows:
            kept[name] = left
    return kept


def _look_up(one: Curated, name: str, docs: pa.ChunkedArray) -> dict[str, int]:
    """How much of what is hit verdicts, corpus and tokens of one part still have."""

    def rows(table: str, columns: list[str]) -> pa.Table:
        path = one.table(table).folder / Path(name).with_suffix(".arrow" if table == "tokens" else ".parquet")
        if one.table(table).committed() is None or not path.exists():
            return pa.table({"doc": pa.array([], pa.int64()), **{column: pa.nulls(0) for column in columns[1:]}})
        if table == "tokens":
            with pa.memory_map(str(path)) as mapped, pa.ipc.open_file(mapped) as reader:
                return reader.read_all().select(columns).filter(pc.field("doc").isin(docs))
        return pq.read_table(path, columns=columns, filters=pc.field("doc").isin(docs))

    verdicts = rows("verdicts", ["doc", "verdict"])["verdict"].to_pylist()
    return {
        "verdicts has another verdict than `takedown`": sum(verdict != TAKEDOWN for verdict in verdicts),
        "corpus has the text": len(rows("corpus", ["doc"])),
        "tokens has the ids": len(rows("tokens", ["doc", "ids_hash"])["ids_hash"].drop_null()),
    }


def _look_into_shards(one: Curated, by_part: dict[str, pa.Table], docs: np.ndarray, found: Audited) -> None:
    """Whether the shards have segments of what is hit, and what lies where they were."""
    shards = one.table("training_shards")
    segments = read_table(shards.folder / SEGMENTS_FILE)
    still = segments.filter(pc.field("doc").isin(pa.array(docs)))
    if still.num_rows:
        found.faults.append(f"training_shards: {still.num_rows:,} segments of {len(still['doc'].unique()):,} documents")
    plan = one.plan
    if plan is None:
        found.faults.append("packed_sequences is not materialised: what was packed where is not known")
        return
    counts = plan["token_count"].to_numpy()
    starts = np.cumsum(counts, dtype=np.int64) - counts
    plan_shard = plan["shard"].to_numpy()
    starts -= starts[np.searchsorted(plan_shard, plan_shard)]
    was = plan.append_column("at", pa.array(starts)).filter(pc.field("doc").isin(pa.array(docs)))
    ids, found.packed, found.recomputed = _ids_again(one, by_part, was)
    tokenizer = saved_tokenizer(shards.folder / TOKENIZER_FILE)
    dtype = stored_dtype(tokenizer.dtype)
    recorded = {file.name: file.sha256 for file in shards.manifest().files}
    parts = {part_number(path): path for path in one.table("tokens").paths(".arrow")}
    there = tokenised(list(parts.values()))
    for shard in was["shard"].unique().to_pylist():
        name = shard_name(shard)
        for file in (f"{name}.bin", f"{name}.idx"):
            if not (shards.folder / file).exists() or file_sha256(shards.folder / file) != recorded.get(file):
                found.faults.append(f"training_shards: {file} is not the file that was committed")
        content = np.fromfile(shards.folder / f"{name}.bin", dtype)
        own = segments.filter(pc.field("shard") == shard)
        if not np.isin(own["doc"].to_numpy(), there.doc[there.ids_hash != 0]).all():
            found.faults.append(f"training_shards: {name} holds documents that have no tokens")
            continue
        expected = np.empty(int(own["token_count"].to_numpy().sum(dtype=np.int64)), dtype)
        doc, start, count = (own[column].to_numpy() for column in ("doc", "token_start", "token_count"))
        TokenStore(parts).gather(doc, start, count, expected)
        if not np.array_equal(content, expected):
            found.faults.append(f"training_shards: {name} holds other ids than those of its documents")
        for row in was.filter(pc.field("shard") == shard).to_pylist():
            piece = ids.get(row["doc"])
            if piece is None or row["doc"] in still["doc"].to_pylist():
                continue
            piece = piece[row["token_start"] : row["token_start"] + row["token_count"]].astype(dtype)
            if len(piece) >= SHORTEST and np.array_equal(content[row["at"] : row["at"] + len(piece)], piece):
                found.faults.append(f"training_shards: {name} holds the ids of document {row['doc']} where they were")


def _look_into_formats(one: Curated, docs: np.ndarray, found: Audited) -> None:
    """Whether a copy of the shards in another format still has what is hit, be it one that no recipe asks for now."""
    for table, suffix, read in (
        ("parquet_shards", ".parquet", _docs_of_parquet),
        ("mds_shards", ".mds", _docs_of_mds),
    ):
        copy = one.table(table)
        if copy.committed() is None:
            continue
        held = [np.intersect1d(docs, read(path)) for path in copy.paths(suffix)]
        if still := len(np.unique(np.concatenate([np.empty(0, np.int64), *held]))):
            found.faults.append(f"{table} holds tokens of {still:,} documents")


def _docs_of_parquet(path: Path) -> np.ndarray:
    return pq.read_table(path, columns=["docs"])["docs"].combine_chunks().flatten().to_numpy()


def _docs_of_mds(path: Path) -> np.ndarray:
    shard = MdsShard(path)
    batches = (shard.rows(start, min(start + 1024, len(shard))) for start in range(0, len(shard), 1024))
    return np.concatenate([np.empty(0, np.int64), *(batch["docs"].values.to_numpy() for batch in batches)])


def _ids_again(one: Curated, by_part: dict[str, pa.Table], was: pa.Table) -> tuple[dict[int, np.ndarray], int, int]:
    """Ids of documents that were packed, made from their texts again; how many were packed, and made as long again."""
    summed = was.group_by("doc").aggregate([("token_count", "sum")])
    packed = dict(zip(summed["doc"].to_pylist(), summed["token_count_sum"].to_pylist(), strict=True))
    tokenizer = saved_tokenizer(one.table("training_shards").folder / TOKENIZER_FILE)
    made: dict[int, np.ndarray] = {}
    for name in by_part:
        docs = np.sort([doc for doc in by_part[name]["doc"].to_pylist() if doc in packed]).astype(np.int64)
        if len(docs):
            encoded = tokenize(final_texts(one, name, docs), pa.array(docs), tokenizer)
            made |= {
                doc: ids.values.to_numpy()
                for doc, ids in zip(docs.tolist(), encoded["ids"], strict=True)
                if len(ids) == packed[doc]
            }
    return made, len(packed), len(made)


def final_texts(one: Curated, part: str, docs: np.ndarray) -> pa.LargeStringArray:
    """The texts that some documents of a part had in the corpus, or would have: as extracted, after all edits.

    Args:
        one: whose edits.
        part: file name of the part.
        docs: int64, sorted.
    """
    chosen = pc.field("doc").isin(pa.array(docs))
    text = pq.read_table(one.documents.folder / part, columns=["doc", "text"], filters=chosen)["text"]
    text = text.combine_chunks().cast(pa.large_string())
    corpus = one.table("corpus")
    for table, column in (corpus.manifest().params or {}).get("edits", ()):
        source = one.lake.origin(corpus, table)
        if table not in AFTER_VERDICTS:
            edits = edits_of(read_table(source.folder / part, ["doc", column]), column, docs)
        elif table == "pii_spans":
            pii = PiiParameters.model_validate(source.manifest().params).pii
            edits = as_edits(find_pii(text, pii.email, pii.public_ip))
        else:
            edits = REPAIRS[table.removesuffix("_edits")][0](text)
        text = apply_edits(text, edits)
    return text


def _compare_files(one: Curated, known: Sequence[Found], found: Audited) -> None:
    """Which files of shards are not what they were."""
    manifest = one.table("training_shards").committed()
    before = next((one_found.files for one_found in known if one_found.files), {})
    now = {file.name: file.sha256 for file in manifest.files} if manifest is not None else {}
    if before:
        changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
        found.shards_changed = {name: {"before": before.get(name), "now": now.get(name)} for name in changed}
        found.shards_unchanged = sum(before[name] == now.get(name) for name in before)


def _find_copies(
    one: Curated, entries: Sequence[Entry], listed: TakedownList, docs: np.ndarray, found: Audited
) -> None:
    """Kept documents of the clusters that documents taken down were duplicates in."""
    verdicts = one.table("verdicts")
    if verdicts.committed() is None:
        return
    of_table = (pc.field("recipe") == one.recipe) & (pc.field("snapshot") == one.snapshot)
    survivors = {
        doc
        for entry in entries
        for doc in listed.hits(entry).filter(of_table)["duplicate_of"].drop_null().to_pylist()
        if doc not in docs
    }
    if survivors:
        kept = pq.read_table(
            verdicts.paths(".parquet"),
            columns=["doc", "url", "verdict"],
            filters=(pc.field("doc").isin(pa.array(sorted(survivors), pa.int64())) & (pc.field("verdict") == KEPT)),
        )
        found.near_copies_kept = [row["url"] or str(row["doc"]) for row in kept.to_pylist()][:LISTED]


def _remains(one: Curated, by_part: dict[str, pa.Table], docs: np.ndarray, trained: bool) -> Iterator[dict[str, Any]]:
    yield {"table": one.documents.name, "holds": "the text as extracted, and the title", "documents": len(docs)}
    yield {"table": one.table("verdicts").name, "holds": "URL and record id, and that it was taken down"}
    if trained:
        yield {
            "table": one.table("tokenizer").name,
            "holds": "merges learned from a sample of the corpus that the text may have been in",
        }
    listed = 0
    for name in by_part:
        rows = pq.read_table(
            one.documents.folder / name,
            columns=["record_id", "warc_file", "warc_offset", "warc_length"],
            filters=pc.field("doc").isin(pa.array(docs)),
        ).to_pylist()
        yield from rows[: max(LISTED - listed, 0)]
        listed += len(rows)
