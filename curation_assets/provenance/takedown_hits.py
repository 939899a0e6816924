"""What a takedown hits in everything that a lake holds, and its addition to the list."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation_assets.lake.lake import Lake, Partition, fingerprint, write_atomically
from curation_assets.lake.parts import read_table
from curation_assets.packing.shards import SEGMENTS_FILE, TOKENIZER_FILE, shard_name
from curation_assets.provenance.takedowns import HITS, TAKEDOWNS, Entry, Found, Kind, Rule, TakedownList, match
from curation_assets.recipes.recipe import KEPT

Progress = Callable[[int, int], None]
"""Called with parts searched and parts in all."""


@dataclass(frozen=True)
class Curated:
    """What a recipe made of a snapshot."""

    recipe: str
    snapshot: str
    documents: Partition
    """The documents that it judged."""
    lake: Lake

    def table(self, name: str) -> Partition:
        """A table of the recipe, committed or not."""
        return self.lake.partition((self.recipe, name), self.snapshot)

    @property
    def plan(self) -> pa.Table | None:
        """The packing that the shards were made by, with the room of what was taken down; None without shards."""
        shards = self.table("training_shards")
        if shards.committed() is None:
            return None
        plan = self.lake.origin(shards, "packed_sequences")
        return None if plan.committed() is None else read_table(plan.folder / SEGMENTS_FILE)


def curated(lake: Lake) -> Iterator[Curated]:
    """Everything that has verdicts or a corpus, by recipe and snapshot."""
    folders = sorted(path.name for path in lake.root.iterdir() if path.is_dir()) if lake.root.is_dir() else []
    for recipe in folders:
        tables = {name: lake.snapshots((recipe, name)) for name in ("verdicts", "corpus")}
        for snapshot in sorted({one for found in tables.values() for one in found}):
            judged = next(name for name, found in tables.items() if snapshot in found)
            documents = lake.origin(lake.partition((recipe, judged), snapshot), "documents")
            if documents.committed() is not None:
                yield Curated(recipe, snapshot, documents, lake)


def matched(documents: Partition, rules: list[Rule], progress: Progress | None = None) -> dict[str, pa.Table]:
    """What rules hit in a snapshot's documents: rows of `TAKEDOWNS` by the file name of the part; no empty ones."""
    found = {}
    paths = documents.paths(".parquet")
    for done, path in enumerate(paths, 1):
        hits = match(path, rules)
        if hits.num_rows:
            found[path.name] = hits
        if progress:
            progress(done, len(paths))
    return found


def look(lake: Lake, rule: Rule, progress: Progress | None = None) -> tuple[list[Found], pa.Table]:
    """What a rule hits in every recipe's tables of every snapshot, and the documents: rows of `HITS`."""
    found, tables = [], [HITS.empty_table()]
    of_documents: dict[Partition, dict[str, pa.Table]] = {}
    for one in curated(lake):
        if one.documents not in of_documents:
            of_documents[one.documents] = matched(one.documents, [rule], progress)
        hits = _hits(one, of_documents[one.documents])
        tables.append(hits)
        found.append(_found(one, hits))
    return found, pa.concat_tables(tables)


def _hits(one: Curated, by_part: dict[str, pa.Table]) -> pa.Table:
    docs = pa.concat_tables([TAKEDOWNS.empty_table(), *by_part.values()]).select(["doc", "record_id"])
    plan, verdicts = one.plan, one.table("verdicts")
    packed = {"doc": pa.array([], pa.int64()), "token_count_sum": pa.array([], pa.int64())}
    if plan is not None and docs.num_rows:
        packed = plan.filter(pc.field("doc").isin(docs["doc"])).group_by("doc").aggregate([("token_count", "sum")])
    judged = [
        read_table(verdicts.folder / name, ["doc", "url", "verdict", "duplicate_of", "cluster_size"]).filter(
            pc.field("doc").isin(hits["doc"])
        )
        for name, hits in by_part.items()
        if verdicts.committed() is not None
    ]
    rows = docs.to_pylist()
    tokens = dict(zip(packed["doc"].to_pylist(), packed["token_count_sum"].to_pylist(), strict=True))
    fates = {row["doc"]: row for table in judged for row in table.to_pylist()}
    return pa.Table.from_pylist(
        [
            {
                "recipe": one.recipe,
                "snapshot": one.snapshot,
                **row,
                **fates.get(row["doc"], {}),
                "token_count": tokens.get(row["doc"]),
            }
            for row in rows
        ],
        HITS,
    )


def _found(one: Curated, hits: pa.Table) -> Found:
    manifest, plan = one.table("training_shards").committed(), one.plan
    values = {
        "recipe": one.recipe,
        "snapshot": one.snapshot,
        "documents": hits.num_rows,
        "kept": hits["verdict"].to_pylist().count(KEPT),
        "packed": len(hits) - hits["token_count"].null_count,
        "tokens": int(hits["token_count"].fill_null(0).to_numpy().sum()),
    }
    if manifest is None or plan is None or not values["packed"]:
        return Found(**values, sequences=0, shards=())
    segments = plan.filter(pc.field("doc").isin(hits["doc"]))
    places = segments.group_by(["shard", "sequence"]).aggregate([])
    return Found(
        **values,
        sequences=places.num_rows,
        shards=tuple(shard_name(shard) for shard in np.unique(segments["shard"].to_numpy()).tolist()),
        files={file.name: file.sha256 for file in manifest.files},
        recipe_fingerprint=(manifest.params or {}).get("recipe_fingerprint"),
        tokenizer=next(file.sha256 for file in manifest.files if file.name == TOKENIZER_FILE),
        trained=not one.table("tokenizer").manifest().stats.get("given"),
    )


def add(
    lake: Lake, kind: Kind, value: str, reason: str, date: datetime, progress: Progress | None = None
) -> tuple[Entry, pa.Table]:
    """Append a takedown to the lake's list, with all that it hits; rows of `HITS`.

    Raises:
        ValueError: nothing can be matched by it, or it is in force already.
        LakeError: the list was changed.
    """
    listed = TakedownList(lake.root)
    with listed.changing() as listed:
        rule = listed.next_rule(kind, value, reason)
        found, hits = look(lake, rule, progress)
        for one in found:
            if one.tokenizer is not None and one.trained:
                shards = lake.partition((one.recipe, "training_shards"), one.snapshot)
                definition = (shards.folder / TOKENIZER_FILE).read_bytes()
                write_atomically(listed.tokenizer_path(sha256(definition).hexdigest()), definition)
        return listed.add(rule, found, hits, date), hits


def data_versions(listed: TakedownList, snapshots: set[str]) -> dict[str, str]:
    """What the list means for some snapshots: the same exactly while the same takedowns that hit them are in force."""
    hit = {
        snapshot: [
            entry.id
            for entry in listed.in_force
            if any(one.snapshot == snapshot and one.documents for one in entry.found)
        ]
        for snapshot in sorted(snapshots)
    }
    return {snapshot: fingerprint(names) for snapshot, names in hit.items()}
