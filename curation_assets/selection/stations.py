"""The station of selection: the corpus."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from curation_assets.filtering.survivors import Edits, read_texts
from curation_assets.lake.lake import Key
from curation_assets.lake.parts import PartWriter, read_table
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
        params=CorpusParameters(edits=tuple((key[-1], column) for key, column in edits.items())),
        inputs={
            "verdicts": (recipe.name, "verdicts"),
            "documents": documents,
            "languages": languages,
            **{key[-1]: key for key in edits},
        },
        schema=CORPUS,
        step=assemble,
        columns={
            "text": "as extracted, after all edits and masks",
            "cluster_size": "near-duplicates it stands for",
        },
        origins={"text": (("documents", "text"), *((key[-1], column) for key, column in edits.items()))},
        conservation=(
            Check("corpus_is_what_was_kept", "Exactly the documents with the verdict `kept`, each with text."),
        ),
    )


def assemble(inputs: Inputs, writer: PartWriter, params: CorpusParameters) -> None:
    """Write the kept documents of one part."""
    verdicts = read_table(inputs["verdicts"], ["doc", "verdict", "cluster_size"])
    kept = verdicts.filter(pc.field("verdict") == KEPT)
    docs = kept["doc"].to_numpy()
    languages = _rows(read_table(inputs["languages"]), docs)
    row = 0
    for batch in read_texts(inputs, params.edits, docs, COPIED):
        rows = slice(row, row + batch.num_rows)
        row = rows.stop
        table = pa.Table.from_batches([batch])
        for name in ("language", "language_score"):
            table = table.append_column(name, languages[name][rows])
        writer.write(table.append_column("cluster_size", kept["cluster_size"][rows]))
        writer.count("rows_out", table.num_rows)
        writer.count("text_bytes", _bytes(batch["text"]))
    writer.count("rows_in", verdicts.num_rows)


def _rows(table: pa.Table, docs: np.ndarray) -> pa.Table:
    return table.filter(pa.array(np.isin(table["doc"].to_numpy(), docs)))


def _bytes(texts: pa.LargeStringArray) -> int:
    offsets = np.frombuffer(texts.buffers()[1], np.int64)
    return int(offsets[texts.offset + len(texts)] - offsets[texts.offset])
