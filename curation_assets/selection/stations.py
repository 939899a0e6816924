"""The station of selection: the corpus."""

from collections.abc import Mapping
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from curation_assets.acquisition.stations import RECORD_ID, URL
from curation_assets.filtering.characters import text_bytes
from curation_assets.filtering.survivors import Edits, edit_inputs, named, read_texts
from curation_assets.lake.contracts import Column, Contract, each
from curation_assets.lake.lake import TAKEDOWN_LIST, Key
from curation_assets.lake.parts import PartWriter, read_table, with_docs
from curation_assets.lake.station import Check, Inputs, PartStation
from curation_assets.recipes.recipe import KEPT, Recipe
from curation_assets.selection.showing import show_corpus

COPIED = ("record_id", "url", "date", "warc_file", "warc_offset", "warc_length", "title")
CUTTING_COLUMNS = frozenset({"spans"})
"""Columns of edits that put nothing in the place of what they cut."""
CORPUS = pa.schema(
    [
        ("doc", pa.int64()),
        ("record_id", pa.string()),
        ("url", pa.string()),
        ("date", pa.timestamp("us", "UTC")),
        ("warc_file", pa.string()),
        ("warc_offset", pa.int64()),
        ("warc_length", pa.int64()),
        ("title", pa.string()),
        ("language", pa.string()),
        ("language_score", pa.float32()),
        ("cluster_size", pa.int32()),
        ("text", pa.large_string()),
    ]
)


class CorpusParameters(BaseModel):
    """The edits that make the final text."""

    model_config = ConfigDict(frozen=True)

    edits: Edits


def corpus(recipe: Recipe, documents: Key, languages: Key, edits: Mapping[Key, str]) -> PartStation:
    """The documents that are kept, with their final text."""
    return PartStation(
        key=(recipe.name, "corpus"),
        group="selection",
        description="The documents that are kept: text after all edits and masks, with where it came from. "
        "Plain Parquet for DuckDB, Polars, Spark or Hugging Face `datasets`.",
        version="3",
        params=CorpusParameters(edits=named(edits)),
        inputs={
            "verdicts": (recipe.name, "verdicts"),
            "documents": documents,
            "languages": languages,
            **edit_inputs(edits),
        },
        external=(TAKEDOWN_LIST,),
        schema=CORPUS,
        step=assemble,
        show=partial(show_corpus, edits=named(edits)),
        columns={
            "text": "as extracted, after all edits and masks",
            "cluster_size": "near-duplicates it stands for",
        },
        origins={"text": (("documents", "text"), *named(edits))},
        contract=Contract(
            {
                "doc": Column(references="verdicts.doc"),
                "record_id": RECORD_ID,
                "url": URL,
                **each(("date", "title", "language"), Column(null=True)),
                "warc_offset": Column(least=0),
                "warc_length": Column(least=1),
                "language_score": Column(least=0, most=1),
                "cluster_size": Column(least=1),
            }
        ),
        conservation=(
            Check(
                "corpus_is_what_was_kept",
                "Exactly the documents with the verdict `kept`, each with text.",
                by_parts=("verdicts",),
            ),
            Check(
                "text_bytes_are_conserved",
                "Bytes of text = those extracted - those that the recorded edits take out + those they put in.",
                {
                    "tables": [key[-1] for key in edits],
                    "columns": list(edits.values()),
                    "replacing": [column for column in edits.values() if column not in CUTTING_COLUMNS],
                },
                by_parts=("verdicts", *(key[-1] for key in edits)),
            ),
            Check(
                "corpus_is_masked",
                "Where personal data was found, its replacement stands in the text.",
                by_parts=("pii_spans",),
            ),
        ),
    )


def assemble(inputs: Inputs, writer: PartWriter, params: CorpusParameters) -> None:
    """Write the kept documents of one part."""
    verdicts = read_table(inputs["verdicts"], ["doc", "verdict", "cluster_size"])
    kept = verdicts.filter(pc.field("verdict") == KEPT)
    docs = kept["doc"].to_numpy()
    languages = with_docs(read_table(inputs["languages"]), docs)
    row = 0
    for batch in read_texts(inputs, params.edits, docs, COPIED, writer.count):
        rows = slice(row, row + batch.num_rows)
        row = rows.stop
        table = pa.Table.from_batches([batch])
        for name in ("language", "language_score"):
            table = table.append_column(name, languages[name][rows])
        writer.write(table.append_column("cluster_size", kept["cluster_size"][rows]))
        writer.count("rows_out", table.num_rows)
        writer.count("text_bytes", text_bytes(batch["text"]).sum())
    writer.count("rows_in", verdicts.num_rows)
