"""From a position in a shard to the bytes of the WARC file that it came from."""

from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation_assets.acquisition.documents import read_documents
from curation_assets.filtering.edits import source_offset
from curation_assets.lake.lake import LakeError, Partition
from curation_assets.lake.parts import ROW_BITS, part_name
from curation_assets.lake.query import query, source
from curation_assets.line import Line
from curation_assets.packing.shards import SEGMENTS_FILE, TOKENIZER_FILE
from curation_assets.packing.tokenizer import Tokenizer, load_tokenizer

PASSAGE_CHARACTERS = 160


class TraceError(Exception):
    """A position does not exist, or a record is no longer what it was."""


@dataclass(frozen=True)
class Trace:
    """Where one token came from."""

    snapshot: str
    doc: int
    record_id: str
    url: str
    date: datetime | None
    warc_file: str
    warc_offset: int
    warc_length: int
    token_of_document: int
    token_text: str
    corpus_offset: int
    """Byte of the corpus text at which the token begins."""
    extracted_offset: int
    """Byte of the extracted text that it came from, before line edits and masks."""
    passage: str
    """Corpus text around the token."""


def trace(line: Line, snapshot: str, shard: int, sequence: int, token: int) -> Trace:
    """Trace a token to its record.

    Args:
        line: recipe and lake.
        snapshot: partition of the shards.
        shard: number of the shard.
        sequence: number of the sequence in its shard.
        token: position in the sequence.

    Raises:
        TraceError: there is no such position.
        LakeError: the snapshot is not materialised.
    """
    shards = line.lake.partition(line.key("training_shards"), snapshot)
    found = query(
        "provenance/segment_at",
        {"segments": source(shards.paths(SEGMENTS_FILE))},
        {"shard": shard, "sequence": sequence, "token": token},
    ).to_pylist()
    if not found:
        raise TraceError(f"{shards.name} has no token {token} in sequence {sequence} of shard {shard}")
    (segment,) = found
    doc, at = segment["doc"], segment["token_start"] + token - segment["position"]
    row = _row(line.lake.partition(line.key("corpus"), snapshot), doc)
    ids = _ids(line.lake.partition(line.key("tokens"), snapshot), doc)
    tokenizer = load_tokenizer(shards.folder / TOKENIZER_FILE)
    text = row["text"].encode()
    start = _text_bytes(tokenizer, ids[:at], row["text"])
    end = _text_bytes(tokenizer, ids[: at + 1], row["text"]) if at + 1 < len(ids) else start
    masks = _row(line.lake.partition(line.key("pii_spans"), snapshot), doc)["masks"]
    edits = _row(line.lake.partition(line.key("signals"), snapshot), doc)["line_edits"]
    margin = PASSAGE_CHARACTERS // 2
    return Trace(
        snapshot=snapshot,
        doc=doc,
        record_id=row["record_id"],
        url=row["url"],
        date=row["date"],
        warc_file=row["warc_file"],
        warc_offset=row["warc_offset"],
        warc_length=row["warc_length"],
        token_of_document=at,
        token_text=text[start:end].decode(errors="replace") if at + 1 < len(ids) else tokenizer.end_of_document_name,
        corpus_offset=start,
        extracted_offset=source_offset(edits or [], source_offset(masks or [], start)),
        passage=text[max(start - margin, 0) : end + margin].decode(errors="ignore"),
    )


@dataclass(frozen=True)
class Fetched:
    """A record that was read again from the source."""

    record: bytes
    """The gzip member as stored."""
    text: str
    """What the recipe's extractor makes of it now."""
    passage: str
    """The extracted text around the traced token."""
    unchanged: bool
    """The text is the one in the lake."""


def fetch(line: Line, traced: Trace) -> Fetched:
    """Read the record of a trace from the source again, extract it, and find the passage.

    Raises:
        ArchiveError: the source cannot be read.
        TraceError: the bytes at that place are not the record any more.
    """
    record = line.archive.read_range(traced.warc_file, traced.warc_offset, traced.warc_length)
    rows = [
        row
        for batch in read_documents(BytesIO(record), 0, traced.warc_file, line.recipe.extraction)
        for row in batch.to_pylist()
    ]
    if len(rows) != 1 or rows[0]["record_id"] != traced.record_id or rows[0]["text"] is None:
        raise TraceError(
            f"{traced.warc_file} at byte {traced.warc_offset} no longer holds {traced.record_id}: "
            "is the source another copy than the one that was read?"
        )
    text: str = rows[0]["text"]
    stored = _row(line.lake.partition(line.key("documents"), traced.snapshot), traced.doc)["text"]
    margin, at = PASSAGE_CHARACTERS // 2, traced.extracted_offset
    return Fetched(
        record=record,
        text=text,
        passage=text.encode()[max(at - margin, 0) : at + margin].decode(errors="ignore"),
        unchanged=text == stored,
    )


def _text_bytes(tokenizer: Tokenizer, ids: np.ndarray, text: str) -> int:
    """Bytes of `text` that a run of its first ids stands for; a run that ends inside a character stops before it."""
    prefix = tokenizer.decode(ids)
    while not text.startswith(prefix) and prefix.endswith("\ufffd"):
        prefix = prefix[:-1]
    return min(len(prefix.encode()), len(text.encode()))


def part_path(partition: Partition, doc: int) -> Path:
    """The file of a table that holds a document. Raises `LakeError` when there is none."""
    for suffix in ("parquet", "arrow"):
        path = partition.folder / part_name(doc >> ROW_BITS, suffix)
        if path.exists():
            return path
    raise LakeError(f"{partition.name} has no part for document {doc}")


def _row(partition: Partition, doc: int) -> dict[str, Any]:
    rows = pq.read_table(part_path(partition, doc), filters=[("doc", "=", doc)]).to_pylist()
    if not rows:
        raise LakeError(f"{partition.name} has no document {doc}")
    return rows[0]


def _ids(partition: Partition, doc: int) -> Any:
    with pa.memory_map(str(part_path(partition, doc))) as mapped, pa.ipc.open_file(mapped) as reader:
        for index in range(reader.num_record_batches):
            batch = reader.get_batch(index)
            at = pc.index(batch["doc"], doc).as_py()
            if at >= 0:
                return batch["ids"][at].values.to_numpy().copy()
    raise LakeError(f"{partition.name} has no document {doc}")
