"""From a token to the characters that it stands for, in the corpus, in the extracted text and in the record."""

import json
import random
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.lake.lake import Partition
from curation_assets.lake.station import Staged
from curation_assets.line import Line
from curation_assets.packing.tokenizer import END_OF_DOCUMENT, Tokenizer, saved_tokenizer, train_tokenizer
from curation_assets.provenance.trace import PASSAGE_BYTES, fetch, token_span, trace

TEXT = st.text(
    st.sampled_from("water  the\n-é日\ufffd\U0001f469\u200d\u0301\x00") | st.characters(exclude_categories=["Cs"])
)


def token_bytes(tokenizer: Tokenizer) -> dict[int, bytes]:
    """The bytes of every id; GPT-2 writes a byte that cannot be printed as the character 256 + its rank."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    of = {chr(byte): byte for byte in plain} | {chr(256 + rank): byte for rank, byte in enumerate(others)}
    vocabulary = json.loads(tokenizer.definition)["model"]["vocab"]
    return {id: bytes(of[c] for c in name) for name, id in vocabulary.items() if name != END_OF_DOCUMENT}


def slow_span(known: dict[int, bytes], ids: Sequence[int], at: int, text: str) -> tuple[int, int]:
    """Characters that share a byte with a token."""
    start = sum(len(known[id]) for id in ids[:at])
    end = start + len(known[ids[at]])
    ends = np.cumsum([len(character.encode()) for character in text])
    first = int(np.searchsorted(ends, start, "right"))
    return first, int(np.searchsorted(ends, end - 1, "right")) + 1


@pytest.fixture(scope="module")
def small() -> Tokenizer:
    return Tokenizer(train_tokenizer(["the water in the weather", "日本 the water"] * 3, 270))


@settings(deadline=None)
@given(TEXT)
def test_every_token_has_its_characters(small: Tokenizer, text: str) -> None:
    ids, _ = small.spans(text)
    known, whole = token_bytes(small), np.append(ids, small.end_of_document)
    for at in range(len(ids)):
        start, end, approximate = token_span(small, whole, at, text)
        assert (start, end) == slow_span(known, ids.tolist(), at, text)
        assert not approximate
    assert token_span(small, whole, len(ids), text) == (len(text), len(text), False)


def lossy() -> Tokenizer:
    vocabulary = {name: id for id, name in enumerate(["</s>", "[UNK]", "water", "the", "grosse"])}
    definition = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
    }
    return Tokenizer(json.dumps(definition))


def test_a_tokenizer_that_loses_text_is_traced_exactly() -> None:
    tokenizer = lossy()
    text = "  The   WATER\n\ufffd\ufffd 日本 İ grosse"
    ids, _ = tokenizer.spans(text)
    assert tokenizer.decode(ids) != text
    whole = np.append(ids, tokenizer.end_of_document)
    found = [token_span(tokenizer, whole, at, text) for at in range(len(ids))]
    assert [text[start:end] for start, end, _ in found] == ["The", "WATER", "\ufffd\ufffd", "日本", "İ", "grosse"]
    assert not any(approximate for *_, approximate in found)


@settings(deadline=None)
@given(TEXT, st.data())
def test_other_ids_than_the_texts_give_an_estimate_inside_the_text(small: Tokenizer, text: str, data) -> None:
    ids, _ = small.spans(text)
    other = np.append(ids, [small.vocabulary_size - 1, small.end_of_document])
    at = data.draw(st.integers(0, len(ids)))
    start, end, approximate = token_span(small, other, at, text)
    assert 0 <= start <= end <= len(text)
    assert approximate


def rows(partition: Partition) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(path) for path in partition.paths(".parquet")])


def origins(edits: list[list[dict]], size: int) -> list[tuple[int, int]]:
    """For each byte of the final text, the bytes of the extracted text that it came from."""
    found = [(i, i + 1) for i in range(size)]
    for of_table in edits:
        made, at = [], 0
        for edit in of_table:
            made += found[at : edit["start"]]
            replaced = found[edit["start"] : edit["end"]]
            made += [(replaced[0][0], replaced[-1][1])] * len(edit["replacement"].encode())
            at = edit["end"]
        found = made + found[at:]
    return found


@pytest.fixture(scope="module")
def lake(line: Line, staged: dict[str, Staged]) -> dict[str, dict[int, dict]]:
    """Every table by document."""

    def table(name: str) -> dict[int, dict]:
        found = rows(line.lake.partition(line.key(name), SAMPLE_SNAPSHOT))
        return {row["doc"]: row for row in found.iter_rows(named=True)}

    return {name: table(name) for name in ("documents", "signals", "pii_spans", "corpus")}


def positions(line: Line, lake: dict[str, dict[int, dict]]) -> Iterator[dict]:
    """Places in the shards: anywhere, in documents that have masks, and at the ends of documents."""
    segments = rows(line.lake.partition(line.key("packed_sequences"), SAMPLE_SNAPSHOT))
    chance = random.Random(11)
    masked = segments.filter(pl.col("doc").is_in([doc for doc, row in lake["pii_spans"].items() if row["masks"]]))
    anywhere = segments.sample(25, seed=3)
    for row in chain(anywhere.iter_rows(named=True), masked.head(12).iter_rows(named=True)):
        for at in (0, chance.randrange(row["token_count"]), row["token_count"] - 1):
            yield {**row, "token": at}


def test_random_positions_round_trip(line: Line, lake: dict[str, dict[int, dict]]) -> None:
    shards = line.lake.partition(line.key("training_shards"), SAMPLE_SNAPSHOT)
    tokenizer = saved_tokenizer(shards.folder / "tokenizer.json")
    known = token_bytes(tokenizer)
    tables = (line.lake.partition(line.key("corpus"), SAMPLE_SNAPSHOT).manifest().params or {})["edits"]
    fetched = 0
    for place in positions(line, lake):
        found = trace(line, SAMPLE_SNAPSHOT, place["shard"], place["sequence"], place["position"] + place["token"])
        text = lake["corpus"][place["doc"]]["text"]
        content, extracted = text.encode(), lake["documents"][place["doc"]]["text"].encode()
        ids, _ = tokenizer.spans(text)
        assert (found.doc, found.token_of_document) == (place["doc"], place["token_start"] + place["token"])
        assert not found.approximate
        assert found.passage in text
        assert len(found.passage.encode()) <= PASSAGE_BYTES + len(found.token_text.encode())
        edits = [lake[table][place["doc"]][column] or [] for table, column in tables]
        where = origins(edits, len(extracted))
        assert len(where) == len(content)
        if found.token_of_document == len(ids):
            assert found.token_text == tokenizer.end_of_document_name
            assert (found.corpus_offset, found.shown.token, found.shown.after) == (len(content), "", "")
            continue
        start, end = slow_span(known, ids.tolist(), found.token_of_document, text)
        assert found.shown.token == found.token_text == text[start:end]
        assert content[found.corpus_offset : found.corpus_end].decode() == found.token_text
        assert content[: found.corpus_offset].decode().endswith(found.shown.before)
        last = where[found.corpus_end - 1][1]
        assert (found.extracted_offset, found.extracted_end) == (where[found.corpus_offset][0], last)
        if fetched < 12:
            fetched += 1
            again = fetch(line, found)
            assert again.unchanged
            assert again.shown.text in again.text
            assert again.shown.token.encode() == extracted[found.extracted_offset : found.extracted_end]
            if not any(edits):
                assert again.shown == found.shown


def test_the_record_is_extracted_as_it_was(line: Line, lake: dict[str, dict[int, dict]]) -> None:
    """Another extractor in today's recipe does not make another text of the record."""
    found = trace(line, SAMPLE_SNAPSHOT, 0, 0, 5)
    today = Line(line.settings.model_copy(update={"recipe_set": {"extraction.extractor": "trafilatura"}}))
    assert fetch(today, found).unchanged
