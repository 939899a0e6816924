"""Stations that edit the text of the documents that are kept: mending, and masking of personal data.

Each records what it changes as byte spans of the text before it.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from curation_assets.filtering.edits import EDITS
from curation_assets.filtering.finishing import encoding_edits, symbol_line_edits
from curation_assets.filtering.pii import PII_SPANS, find_pii
from curation_assets.filtering.showing import show_edits
from curation_assets.filtering.survivors import Edits, edit_inputs, named, read_texts
from curation_assets.lake.contracts import Column, Contract, spans
from curation_assets.lake.lake import Key
from curation_assets.lake.parts import PartWriter, read_table
from curation_assets.lake.station import Check, Inputs, PartStation
from curation_assets.recipes.recipe import KEPT, Pii, Recipe

DOC = pa.field("doc", pa.int64())
CHECKS = (
    Check(
        "kept_documents_have_one_row",
        "The table has exactly one row for each kept document.",
        by_parts=("verdicts",),
    ),
)

OF_VERDICTS = Column(references="verdicts.doc")

Repair = Literal["encoding", "symbol_lines"]
Find = Callable[[pa.LargeStringArray], pa.ListArray]
REPAIRS: dict[Repair, tuple[Find, str]] = {
    "encoding": (
        encoding_edits,
        "Mojibake and control characters mended by ftfy (Speer 2019), as FineWeb2 sets it (Penedo et al. 2025, arXiv "
        "2506.20920).",
    ),
    "symbol_lines": (
        symbol_line_edits,
        "Lines of nothing but table symbols, removed as FineWeb2 does (datatrove's `SymbolLinesFormatter`; Penedo et "
        "al. 2025).",
    ),
}


class PiiParameters(BaseModel):
    """What is masked, and the edits before it."""

    model_config = ConfigDict(frozen=True)

    pii: Pii
    edits: Edits


class RepairParameters(BaseModel):
    """What is mended, and the edits before it."""

    model_config = ConfigDict(frozen=True)

    repair: Repair
    edits: Edits


def edit_stations(recipe: Recipe, documents: Key, edits: Mapping[Key, str]) -> tuple[list[PartStation], dict[Key, str]]:
    """All of a recipe, in order (encoding, masks, symbol lines), and the edits with theirs."""
    edits = dict(edits)
    made: list[PartStation] = []
    for name in ("encoding", "masks", "symbol_lines"):
        if name != "masks" and name not in recipe.repairs:
            continue
        station = pii_spans(recipe, documents, edits) if name == "masks" else repairs(recipe, documents, edits, name)
        made.append(station)
        edits[station.key] = station.schema.names[1]
    return made, edits


def _inputs(recipe: Recipe, documents: Key, edits: Mapping[Key, str]) -> dict[str, Key]:
    return {
        "documents": documents,
        **edit_inputs(edits),
        "verdicts": (recipe.name, "verdicts"),
    }


def repairs(recipe: Recipe, documents: Key, edits: Mapping[Key, str], repair: Repair) -> PartStation:
    """What is mended in the text of the documents that are kept."""
    return PartStation(
        key=(recipe.name, f"{repair}_edits"),
        group="filtering",
        description=f"{REPAIRS[repair][1]} As byte spans of the text so far, with what replaces them.",
        version="1",
        show=partial(show_edits, edits=named(edits)),
        libraries=("ftfy",) if repair == "encoding" else (),
        params=RepairParameters(repair=repair, edits=named(edits)),
        inputs=_inputs(recipe, documents, edits),
        schema=pa.schema([DOC, ("edits", EDITS)]),
        step=find_repairs,
        columns={"edits": "start, end (bytes of the text before) and replacement of each span"},
        origins={"edits": (("documents", "text"), *named(edits))},
        contract=Contract({"doc": OF_VERDICTS}, conditions=spans("edits", least=0)),
        conservation=CHECKS,
    )


def find_repairs(inputs: Inputs, writer: PartWriter, params: RepairParameters) -> None:
    """Find what is to be mended in one part."""
    _find(inputs, writer, params.edits, REPAIRS[params.repair][0])


def pii_spans(recipe: Recipe, documents: Key, edits: Mapping[Key, str]) -> PartStation:
    """Where personal data stands in the text of the documents that are kept."""
    return PartStation(
        key=(recipe.name, "pii_spans"),
        group="filtering",
        description="E-mail addresses and public IP addresses in the text of the documents that are kept, as byte "
        "spans with their replacements (FineWeb's, datatrove's `PIIFormatter`, restarted in each document; Penedo et "
        "al. "
        "2024, arXiv 2406.17557).",
        version="2",
        params=PiiParameters(pii=recipe.pii, edits=named(edits)),
        inputs=_inputs(recipe, documents, edits),
        schema=pa.schema([DOC, ("masks", PII_SPANS)]),
        step=find_spans,
        show=partial(show_edits, edits=named(edits)),
        columns={"masks": "start, end (bytes of the text before masking), kind and replacement of each span"},
        origins={"masks": (("documents", "text"), *named(edits))},
        contract=Contract(
            {"doc": OF_VERDICTS},
            conditions={
                **spans("masks"),
                "masks are of email or public_ip": "list_bool_and(list_transform(masks, lambda one: "
                "one.kind IN ('email', 'public_ip') AND one.replacement <> ''))",
            },
        ),
        conservation=(*CHECKS, Check("masks_are_conserved", "The masks that were found are those of the table.")),
    )


def find_spans(inputs: Inputs, writer: PartWriter, params: PiiParameters) -> None:
    """Find the personal data of one part."""
    _find(inputs, writer, params.edits, lambda texts: find_pii(texts, params.pii.email, params.pii.public_ip))


def _find(inputs: Inputs, writer: PartWriter, edits: Edits, find: Find) -> None:
    """Write what is found in the texts, after some edits, of the documents of one part that are kept."""
    verdicts = read_table(inputs["verdicts"], ["doc", "verdict"])
    kept = verdicts.filter(pc.field("verdict") == KEPT)["doc"].to_numpy()
    for batch in read_texts(inputs, edits, kept):
        spans = find(batch["text"])
        writer.write(pa.table([batch["doc"], spans], names=writer.schema.names))
        writer.count("rows_in", batch.num_rows)
        writer.count("rows_out", batch.num_rows)
        writer.count("spans", len(spans.flatten()))
