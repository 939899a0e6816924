"""The station of selection: the corpus."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation_assets.filtering.cleaning import read_cleaned
from curation_assets.filtering.edits import apply_edits
from curation_assets.filtering.pii import pii_edits
from curation_assets.lake.lake import Key
from curation_assets.lake.parts import PartWriter, read_table
from curation_assets.lake.station import Check, Inputs, PartStation
from curation_assets.provenance.stations import KEPT
from curation_assets.recipes.recipe import Recipe

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


def corpus(recipe: Recipe, documents: Key) -> PartStation:
    """The documents that are kept, with their final text."""
    return PartStation(
        key=(recipe.name, "corpus"),
        group="selection",
        description="The documents that are kept: text after line edits and masks, with where it came from. "
        "Plain Parquet for DuckDB, Polars, Spark or Hugging Face `datasets`.",
        version="1",
        inputs={
            "verdicts": (recipe.name, "verdicts"),
            "documents": documents,
            "signals": (documents[0], "signals"),
            "languages": (documents[0], "languages"),
            "pii_spans": (recipe.name, "pii_spans"),
        },
        schema=CORPUS,
        step=assemble,
        columns={
            "text": "as extracted, after line edits and masks",
            "cluster_size": "near-duplicates it stands for",
        },
        origins={"text": (("documents", "text"), ("signals", "line_edits"), ("pii_spans", "masks"))},
        conservation=(
            Check("corpus_is_what_was_kept", "Exactly the documents with the verdict `kept`, each with text."),
        ),
    )


def assemble(inputs: Inputs, writer: PartWriter, params: None) -> None:
    """Write the kept documents of one part."""
    verdicts = read_table(inputs["verdicts"], ["doc", "verdict", "cluster_size"])
    kept = verdicts.filter(pc.field("verdict") == KEPT)
    docs = kept["doc"].to_numpy()
    languages = _rows(read_table(inputs["languages"]), docs)
    masks = _rows(read_table(inputs["pii_spans"]), docs)
    row = 0
    for batch in read_cleaned(inputs["documents"], inputs["signals"], docs, COPIED):
        rows = slice(row, row + batch.num_rows)
        row = rows.stop
        masked = apply_edits(batch["text"], pii_edits(masks["masks"][rows].combine_chunks()))
        table = pa.Table.from_batches([batch]).set_column(batch.schema.get_field_index("text"), "text", masked)
        for name in ("language", "language_score"):
            table = table.append_column(name, languages[name][rows])
        writer.write(table.append_column("cluster_size", kept["cluster_size"][rows]))
        writer.count("rows_out", table.num_rows)
        writer.count("text_bytes", _bytes(masked))
    writer.count("rows_in", verdicts.num_rows)


def _rows(table: pa.Table, docs: np.ndarray) -> pa.Table:
    return table.filter(pa.array(np.isin(table["doc"].to_numpy(), docs)))


def _bytes(texts: pa.LargeStringArray) -> int:
    offsets = np.frombuffer(texts.buffers()[1], np.int64)
    return int(offsets[texts.offset + len(texts)] - offsets[texts.offset])
