"""From a position in a shard to the bytes of the WARC file that it came from, and from a text to its positions."""

from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation_assets.acquisition.documents import Extraction, read_documents
from curation_assets.filtering.edits import output_offset, source_offset
from curation_assets.lake.lake import LakeError, Partition
from curation_assets.lake.query import query, source
from curation_assets.line import Line
from curation_assets.packing.shards import SEGMENTS_FILE, TOKENIZER_FILE
from curation_assets.packing.tokenizer import Tokenizer, saved_tokenizer
from curation_assets.provenance.rows import part_path, row_of_document, rows_of_document

PASSAGE_BYTES = 160
"""Of text that is shown around a token."""


class TraceError(Exception):
    """A position does not exist, or a record is no longer what it was."""


@dataclass(frozen=True)
class Passage:
    """A piece of text with one token in it."""

    before: str
    token: str
    """Empty for the token that ends a document."""
    after: str

    @property
    def text(self) -> str:
        """The whole piece."""
        return self.before + self.token + self.after


@dataclass(frozen=True)
class Trace:
    """Where one token came from. Offsets are UTF-8 bytes."""

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
    """The characters that the token stands for, all of one that it shares; the name of an end-of-document token."""
    corpus_offset: int
    """Where they begin in the corpus text."""
    corpus_end: int
    """Where they end there, exclusive."""
    extracted_offset: int
    """Where they begin in the extracted text, before edits and masks."""
    extracted_end: int
    """Where they end there; a token of a mask came from all that was masked."""
    approximate: bool
    """The stored ids are not what the tokenizer makes of the stored text now, so that offsets are estimates."""
    shown: Passage
    """Corpus text around the token."""

    @property
    def passage(self) -> str:
        """Corpus text around the token, as one piece."""
        return self.shown.text


def trace(line: Line, snapshot: str, shard: int, sequence: int, token: int) -> Trace:
    """Trace a token to its record.

    Its place in the text is what the tokenizer itself says: the text is encoded again, and where that gives the
    stored ids the offsets are exact, also for tokenizers that do not give a text back.

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
    tokens = line.lake.origin(shards, "tokens")
    row = row_of_document(line.lake.origin(tokens, "corpus"), doc)
    tokenizer = saved_tokenizer(shards.folder / TOKENIZER_FILE)
    text: str = row["text"]
    ids = _ids(tokens, doc)
    start, end, approximate = token_span(tokenizer, ids, at, text)
    content = text.encode()
    span = len(text[:start].encode()), len(text[:end].encode())
    extracted = _extracted_span(_edits(line, snapshot, doc), *span)
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
        token_text=text[start:end] if at < len(ids) - 1 else tokenizer.end_of_document_name,
        corpus_offset=span[0],
        corpus_end=span[1],
        extracted_offset=extracted[0],
        extracted_end=extracted[1],
        approximate=approximate,
        shown=_passage(content, *_window(content, *span), *span),
    )


def token_span(tokenizer: Tokenizer, ids: np.ndarray, at: int, text: str) -> tuple[int, int, bool]:
    """The characters that one token of a document stands for.

    Args:
        tokenizer: what the document was encoded with.
        ids: all of the document, the end-of-document token included.
        at: which of them.
        text: the document.

    Returns:
        Start and end in `text`, and whether they are estimates, because `text` is not encoded as `ids` now.
    """
    if at == len(ids) - 1:
        return len(text), len(text), False
    again, spans = tokenizer.spans(text)
    if np.array_equal(again, ids[:-1]):
        start, end = spans[at].tolist()
        return start, end, False
    start, end = (min(len(tokenizer.decode(ids[:stop])), len(text)) for stop in (at, at + 1))
    return start, max(start, end), True


@dataclass(frozen=True)
class Fetched:
    """A record that was read again from the source."""

    record: bytes
    """The gzip member as stored."""
    text: str
    """What the extractor makes of it now."""
    shown: Passage
    """What the trace shows, as it stands in the extracted text."""
    unchanged: bool
    """The text is the one in the lake."""

    @property
    def passage(self) -> str:
        """Extracted text around the token, as one piece."""
        return self.shown.text


def fetch(line: Line, traced: Trace) -> Fetched:
    """Read the record of a trace from the source again, extract it as it was extracted, and find the passage.

    Raises:
        ArchiveError: the source cannot be read.
        TraceError: the bytes at that place are not the record any more.
    """
    record = line.archive.read_range(traced.warc_file, traced.warc_offset, traced.warc_length)
    corpus = _corpus(line, traced.snapshot)
    documents = line.lake.origin(corpus, "documents")
    extraction = Extraction.model_validate(documents.manifest().params)
    rows = [
        row for batch in read_documents(BytesIO(record), 0, traced.warc_file, extraction) for row in batch.to_pylist()
    ]
    if len(rows) != 1 or rows[0]["record_id"] != traced.record_id or rows[0]["text"] is None:
        raise TraceError(
            f"{traced.warc_file} at byte {traced.warc_offset} no longer holds {traced.record_id}: "
            "is the source another copy than the one that was read?"
        )
    text: str = rows[0]["text"]
    content = row_of_document(corpus, traced.doc)["text"].encode()
    edits = _edits(line, traced.snapshot, traced.doc)
    start, end = traced.extracted_offset, traced.extracted_end
    first, last = _extracted_span(edits, *_window(content, traced.corpus_offset, traced.corpus_end))
    # Where much was cut out beside the token, the passage would be as long as what was cut.
    window = max(first, start - 2 * PASSAGE_BYTES), min(last, end + 2 * PASSAGE_BYTES)
    return Fetched(
        record=record,
        text=text,
        shown=_passage(text.encode(), *window, start, end),
        unchanged=text == row_of_document(documents, traced.doc)["text"],
    )


class Place(NamedTuple):
    """Neighbouring tokens of one sequence."""

    shard: int
    sequence: int
    first: int
    """The first of them in the sequence."""
    last: int
    """The token after the last of them."""


@dataclass(frozen=True)
class Located:
    """Where a piece of a document's extracted text lies in the shards."""

    places: list[Place]
    """In the order of the text, one for each sequence; none when nothing is left of the piece."""
    text: str
    """What the piece is in the corpus: less than it was, or a mask, or the line break that stands for what was cut."""
    approximate: bool
    """The stored ids are not what the tokenizer makes of the stored text now: the places are the whole document's."""


def locate(line: Line, snapshot: str, doc: int, start: int = 0, end: int | None = None) -> Located:
    """Where a piece of a document's extracted text lies in the shards: the inverse of `trace`.

    A token that stands for a part of the piece belongs to it, and so do all tokens of a mask that hides a part of it.

    Args:
        line: recipe and lake.
        snapshot: partition of the shards.
        doc: a document of the corpus.
        start: of the piece, in UTF-8 bytes of the extracted text.
        end: of the piece, exclusive; the end of the text by default, and then the token that ends the document belongs
            to it.

    Raises:
        LakeError: the snapshot is not materialised, or the document is not in its corpus.
    """
    shards = line.lake.partition(line.key("training_shards"), snapshot)
    tokens = line.lake.origin(shards, "tokens")
    text: str = row_of_document(line.lake.origin(tokens, "corpus"), doc, ["text"])["text"]
    ids, content = _ids(tokens, doc), text.encode()
    again, spans = saved_tokenizer(shards.folder / TOKENIZER_FILE).spans(text)
    approximate = not np.array_equal(again, ids[:-1])
    whole = end is None
    end = len(_extracted(line, snapshot, doc)) if end is None else end
    for edits in _edits(line, snapshot, doc):
        start, end = _edited_span(edits, start, end)
    piece = len(content[:start].decode(errors="ignore")), len(content[:end].decode(errors="replace"))
    touched = np.flatnonzero((spans[:, 0] < piece[1]) & (spans[:, 1] > piece[0])) if start < end else np.array([], int)
    if approximate:
        touched = np.arange(len(ids) - 1)
    first = int(touched[0]) if len(touched) else len(ids) - 1
    last = len(ids) if whole else int(touched[-1]) + 1 if len(touched) else first
    found = query("provenance/segments_of_document", {"segments": source(shards.paths(SEGMENTS_FILE))}, {"doc": doc})
    places = []
    for segment in found.to_pylist():
        begin, stop = segment["token_start"], segment["token_start"] + segment["token_count"]
        if max(first, begin) < min(last, stop):
            shift = segment["position"] - begin
            places.append(
                Place(segment["shard"], segment["sequence"], max(first, begin) + shift, min(last, stop) + shift)
            )
    return Located(places, text[piece[0] : piece[1]] if start < end else "", approximate)


def passages(line: Line, snapshot: str, doc: int, passage: str) -> list[tuple[int, int]]:
    """Where a passage stands in the extracted text of a document: bytes, start and end of each, none overlapping."""
    text, wanted = _extracted(line, snapshot, doc), passage.encode(errors="surrogateescape")
    found, at = [], text.find(wanted) if wanted else -1
    while at >= 0:
        found.append((at, at + len(wanted)))
        at = text.find(wanted, at + len(wanted))
    return found


def _extracted(line: Line, snapshot: str, doc: int) -> bytes:
    documents = line.lake.origin(_corpus(line, snapshot), "documents")
    return row_of_document(documents, doc, ["text"])["text"].encode()


def _edited_span(edits: list[dict[str, Any]], start: int, end: int) -> tuple[int, int]:
    """Where bytes `start` to `end` are after some edits; all of what stands for an edit, if they touch it."""
    first = output_offset(edits, start)
    if start >= end:
        return first, first
    last = output_offset(edits, end - 1)
    replaced = (edit["replacement"] for edit in edits if edit["start"] < end <= edit["end"])
    replacement = next(replaced, None)
    return first, last + (1 if replacement is None else len(replacement.encode()))


def _window(content: bytes, start: int, end: int) -> tuple[int, int]:
    return max(start - PASSAGE_BYTES // 2, 0), min(end + PASSAGE_BYTES // 2, len(content))


def _passage(content: bytes, first: int, last: int, start: int, end: int) -> Passage:
    parts = content[first:start], content[start:end], content[end:last]
    return Passage(*(part.decode(errors="ignore") for part in parts))


def _corpus(line: Line, snapshot: str) -> Partition:
    shards = line.lake.partition(line.key("training_shards"), snapshot)
    return line.lake.origin(line.lake.origin(shards, "tokens"), "corpus")


def _edits(line: Line, snapshot: str, doc: int) -> list[list[dict[str, Any]]]:
    """The edits that made a document's corpus text, in the order in which they were applied."""
    corpus = _corpus(line, snapshot)
    found = []
    for table, column in (corpus.manifest().params or {}).get("edits", ()):
        rows = rows_of_document(line.lake.origin(corpus, table), doc)
        found.append([{"replacement": "", **edit} for row in rows for edit in row[column] or ()])
    return found


def _extracted_span(edits: list[list[dict[str, Any]]], start: int, end: int) -> tuple[int, int]:
    """Where bytes `start` to `end` of the corpus text came from; all of what an edit replaced, if they touch it."""
    for of_table in reversed(edits):
        last = source_offset(of_table, max(end - 1, start))
        replaced = (edit["end"] for edit in of_table if edit["start"] == last and edit["replacement"])
        end = source_offset(of_table, end) if start == end else next(replaced, last + 1)
        start = source_offset(of_table, start)
    return start, end


def _ids(partition: Partition, doc: int) -> Any:
    with pa.memory_map(str(part_path(partition, doc))) as mapped, pa.ipc.open_file(mapped) as reader:
        for index in range(reader.num_record_batches):
            batch = reader.get_batch(index)
            at = pc.index(batch["doc"], doc).as_py()
            if at >= 0:
                return batch["ids"][at].values.to_numpy().copy()
    raise LakeError(f"{partition.name} has no document {doc}")
