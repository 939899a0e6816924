"""The stations of takedowns: which documents are hit, and which of them leave a tombstone in the packing.

Both read the lake's list of takedowns, which is outside of its tables. They write a file for each part with nothing in
it but what the list says of that part, so that what comes after them is made again only where something is hit.
"""

from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from curation_assets.acquisition.stations import RECORD_ID
from curation_assets.lake.contracts import Column, Contract
from curation_assets.lake.lake import TAKEDOWN_LIST, Key, Lake, Stats, file_sha256, fingerprint, write_atomically
from curation_assets.lake.parts import PartWriter, read_table
from curation_assets.lake.query import query
from curation_assets.lake.station import Check, SnapshotJob, SnapshotStation
from curation_assets.packing.shards import TOKENIZER_FILE
from curation_assets.provenance.takedowns import HITS, TAKEDOWNS, Entry, Rule, TakedownList, match
from curation_assets.recipes.recipe import Recipe

TOMBSTONES = pa.schema([("doc", pa.int64()), ("token_count", pa.int32())])


class TombstoneParameters(BaseModel):
    """What the shards must have been made by."""

    model_config = ConfigDict(frozen=True)

    recipe: str
    recipe_fingerprint: str
    tokenizer: str | None
    """SHA-256 of the given tokenizer; None where one is trained."""


def takedowns(lake: Lake, documents: Key) -> SnapshotStation:
    """The documents that a takedown in force hits."""
    return SnapshotStation(
        key=(*documents[:-1], "takedowns"),
        group="provenance",
        description="The documents that takedowns hit (`curation takedown`): they are not kept, whatever else is true "
        "of them. Every run reads the lake's list of takedowns again; matching reads URLs, hosts and record ids.",
        version="1",
        inputs={"documents": documents},
        external=(TAKEDOWN_LIST,),
        schema=TAKEDOWNS,
        step=partial(find_documents, root=lake.root),
        survey=partial(survey_rules, root=lake.root),
        columns={
            "takedowns": "ids of the takedowns that hit the document, in order",
            "detail": "the first one's id and reason",
        },
        contract=Contract(
            {"doc": Column(references="documents.doc"), "record_id": RECORD_ID},
            conditions={
                "detail is of the first takedown": "len(takedowns) > 0 AND starts_with(detail, takedowns[1] || ':')",
            },
        ),
        origins={"takedowns": (("documents", "url"), ("documents", "host"), ("documents", "record_id")), "detail": ()},
        conservation=(
            Check("takedowns_are_documents", "What is hit is a document, under its own name, and is hit once."),
        ),
    )


def survey_rules(snapshot: str, root: Path) -> list[dict[str, Any]]:
    """The rules in force."""
    return [rule.model_dump() for rule in TakedownList(root).rules]


def find_documents(job: SnapshotJob, root: Path) -> Stats:
    """Write, for each part of the documents, those that are hit."""
    rules = TakedownList(root).rules
    paths = job.inputs["documents"].paths(".parquet")
    find = partial(_write_hits, folder=job.folder, rules=rules)
    hit = sum(job.engine.map(find, paths) if rules else map(find, paths))
    return {"rows_in": job.inputs["documents"].manifest().rows, "rows_out": hit, "takedowns": len(rules)}


def _write_hits(path: Path, folder: Path, rules: list[Rule]) -> int:
    hits = match(path, rules)
    with PartWriter(folder / path.name, TAKEDOWNS, "") as writer:
        writer.write(hits)
    return hits.num_rows


def tombstones(recipe: Recipe, lake: Lake, hit: Key, given: Path | None) -> SnapshotStation:
    """The documents that were packed before they were taken down, with the room that they took.

    Args:
        recipe: whose shards.
        lake: whose list.
        hit: the table `takedowns`.
        given: the tokenizer that the settings name, if they do.
    """
    params = TombstoneParameters(
        recipe=recipe.name,
        recipe_fingerprint=fingerprint(recipe.model_dump(mode="json", exclude={"drift"})),
        tokenizer=file_sha256(given) if given else None,
    )
    return SnapshotStation(
        key=(recipe.name, "tombstones"),
        group="provenance",
        description="Documents that lay in the shards when they were taken down, with their number of tokens: it keeps "
        "their place in the packing, so that every other document stays where it is, and the tokenizer of those "
        "shards, if it was trained on the corpus. They hold while recipe and tokenizer are what they were; under "
        "others everything is packed anew, as if these documents had never been there.",
        version="1",
        params=params,
        inputs={"takedowns": hit},
        external=(TAKEDOWN_LIST,),
        schema=TOMBSTONES,
        step=partial(set_tombstones, root=lake.root),
        survey=partial(survey_hits, root=lake.root, params=params),
        columns={"token_count": "tokens of the document when it was packed, the end-of-document token included"},
        contract=Contract({"doc": Column(references="takedowns.doc"), "token_count": Column(least=1)}),
        origins={"token_count": ()},
        conservation=(
            Check("tombstones_are_taken_down", "Every tombstone is of a document that is taken down, and has tokens."),
        ),
    )


def packed_hits(entries: list[Entry], snapshot: str, params: TombstoneParameters) -> tuple[list[Entry], str | None]:
    """Takedowns from the shards that a recipe still makes, and the tokenizer of those shards."""
    found = [
        (entry, one)
        for entry in entries
        for one in entry.found
        if (one.recipe, one.snapshot, one.recipe_fingerprint) == (params.recipe, snapshot, params.recipe_fingerprint)
        and one.packed
        and (one.trained if params.tokenizer is None else one.tokenizer == params.tokenizer)
    ]
    tokenizer = found[-1][1].tokenizer if found else None
    return [entry for entry, one in found if one.tokenizer == tokenizer], tokenizer


def survey_hits(snapshot: str, root: Path, params: TombstoneParameters) -> list[Any]:
    """The hits in force of a recipe's shards."""
    entries, tokenizer = packed_hits(TakedownList(root).in_force, snapshot, params)
    return [tokenizer, [[entry.id, entry.hits] for entry in entries]]


def set_tombstones(job: SnapshotJob, root: Path) -> Stats:
    """Write the tombstones of each part, and the tokenizer; tombstones.sql."""
    params: TombstoneParameters = job.params
    listed = TakedownList(root)
    entries, tokenizer = packed_hits(listed.in_force, job.snapshot, params)
    of_shards = (pc.field("recipe") == params.recipe) & (pc.field("snapshot") == job.snapshot)
    hits = pa.concat_tables([HITS.empty_table(), *(listed.hits(entry).filter(of_shards) for entry in entries)])
    rows = tokens = 0
    for path in job.inputs["takedowns"].paths(".parquet"):
        table = TOMBSTONES.empty_table()
        if hits.num_rows:
            table = query("provenance/tombstones", {"takedowns": read_table(path), "hits": hits}, threads=1)
        with PartWriter(job.folder / path.name, TOMBSTONES, "") as writer:
            writer.write(table)
        rows += table.num_rows
        tokens += int(table["token_count"].to_numpy().sum(dtype="int64"))
    if tokenizer is not None and params.tokenizer is None:
        write_atomically(job.folder / TOKENIZER_FILE, listed.tokenizer(tokenizer))
    return {"rows_in": job.inputs["takedowns"].manifest().rows, "rows_out": rows, "tokens": tokens}
