"""The station of selection: the corpus."""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from curation_assets.filtering.characters import text_bytes
from curation_assets.filtering.survivors import Edits, edit_inputs, named, read_texts
from curation_assets.lake.lake import TAKEDOWN_LIST, Key
from curation_assets.lake.parts import PartWriter, read_table, with_docs
from curation_assets.lake.station import Check, Inputs, PartStation
from curation_assets.recipes.recipe import KEPT, Recipe

COPIED = ("record_id", "url", "date", "warc_file", "warc_offset", "warc_length", "title")
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
        version="2",
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
        columns={
            "text": "as extracted, after all edits and masks",
            "cluster_size": "near-duplicates it stands for",
        },
        origins={"text": (("documents", "text"), *named(edits))},
        conservation=(
            Check("corpus_is_what_was_kept", "Exactly the documents with the verdict `kept`, each with text."),
        ),
    )


def assemble(inputs: Inputs, writer: PartWriter, params: CorpusParameters) -> None:
    """Write the kept documents of one part."""
    verdicts = read_table(inputs["verdicts"], ["doc", "verdict", "cluster_size"])
    kept = verdicts.filter(pc.field("verdict") == KEPT)
    docs = kept["doc"].to_numpy()
    languages = with_docs(read_table(inputs["languages"]), docs)
    row = 0
    for batch in read_texts(inputs, params.edits, docs, COPIED):
        rows = slice(row, row + batch.num_rows)
        row = rows.stop
        table = pa.Table.from_batches([batch])
        for name in ("language", "language_score"):
            table = table.append_column(name, languages[name][rows])
        writer.write(table.append_column("cluster_size", kept["cluster_size"][rows]))
        writer.count("rows_out", table.num_rows)
        writer.count("text_bytes", text_bytes(batch["text"]).sum())
    writer.count("rows_in", verdicts.num_rows)
