"""Any position of any shard leads to its text and back, through line edits, masks, cuts and split documents."""

from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from curation_assets.cli import app
from curation_assets.engine.local import LocalEngine
from curation_assets.line import Line
from curation_assets.packing.reader import ShardReader
from curation_assets.packing.tokenizer import Tokenizer, saved_tokenizer
from curation_assets.provenance.explain import explain
from curation_assets.provenance.trace import fetch, locate, passages, trace
from curation_assets.settings import Settings
from curation_tests.mirrors import add_snapshot, partition, prose, table

SNAPSHOT = "CC-MAIN-2000-03"
RECIPE = """
name: everything_edited
description: Line edits, masks, cuts of segments and of substrings, and sequences shorter than documents.
extraction: {extractor: resiliparse}
language: {languages: [en]}
line_edits: c4
stations:
  - language: {language: language_kept < 1}
  - segment_duplicates: {min_left: 200}
  - substring_duplicates: {length: 10, min_left: 200}
repairs: [symbol_lines, encoding]
packing: {vocabulary: 1024, sequence_length: 48, shard_tokens: 4096, strategy: best_fit}
"""


def page(seed: int) -> str:
    """Prose with lines that the edits drop, addresses, mojibake, tables of symbols, and sentences of other pages."""
    text = prose(seed)
    text[3:3] = ["The cafÃ© was naÃ¯ve about that in winter.", "| | | |", "Please enable javascript to read on."]
    text[9:9] = [f"For the people of the town, write to someone{seed}@company.example or to 8.8.4.{seed} in summer."]
    text[15:15] = prose(99)[:3]
    text[22:22] = [" ".join(prose(98)[:2]) + f" That was {seed} – 日本 – in the 1990s, they said."]
    return "".join(f"<p>{sentence}</p>" for sentence in text)


class Run(NamedTuple):
    line: Line
    reader: ShardReader
    segments: pl.DataFrame
    texts: dict[int, bytes]
    """As extracted, of the documents that were kept."""
    tokenizer: Tokenizer


@pytest.fixture(scope="module")
def run(sample: Path, tmp_path_factory: pytest.TempPathFactory, engine: LocalEngine) -> Run:
    folder = tmp_path_factory.mktemp("everything_edited")
    (folder / "recipe.yaml").write_text(RECIPE)
    add_snapshot(folder / "mirror", sample, SNAPSHOT, [0], [page(seed) for seed in range(1, 9)])
    line = Line(
        Settings(source=str(folder / "mirror"), lake=folder / "lake", recipe=str(folder / "recipe.yaml"), workers=2)
    )
    for _ in line.run(SNAPSHOT, engine):
        pass
    kept = table(line, "corpus", SNAPSHOT)["doc"].to_list()
    documents = table(line, "documents", SNAPSHOT).filter(pl.col("doc").is_in(kept))
    shards = partition(line, "training_shards", SNAPSHOT).folder
    return Run(
        line,
        ShardReader(shards),
        table(line, "packed_sequences", SNAPSHOT),
        {doc: text.encode() for doc, text in documents.select("doc", "text").iter_rows()},
        saved_tokenizer(shards / "tokenizer.json"),
    )


def position(run: Run, doc: int, token: int) -> tuple[int, int, int]:
    """Shard, sequence and place of a token of a document, by the table of segments."""
    start, end = pl.col("token_start"), pl.col("token_start") + pl.col("token_count")
    row = run.segments.row(by_predicate=(pl.col("doc") == doc) & (start <= token) & (token < end), named=True)
    return row["shard"], row["sequence"], row["position"] + token - row["token_start"]


def stored(run: Run, shard: int, sequence: int, token: int) -> int:
    """The id in the shard."""
    counts = [one["sequences"] for one in run.reader.manifests[0]["shards"]]
    return int(run.reader[sum(counts[:shard]) + sequence].tokens[token])


def test_the_lake_has_all_that_a_token_can_go_through(run: Run) -> None:
    pieces = run.segments.group_by("doc").len()["len"]
    assert pieces.max() > 3
    assert run.segments["shard"].n_unique() > 1
    for name, column in (("segment_duplicates", "spans"), ("substring_duplicates", "spans"), ("pii_spans", "masks")):
        assert table(run.line, name, SNAPSHOT)[column].list.len().sum() > 2, name
    for name in ("encoding_edits", "symbol_lines_edits"):
        assert table(run.line, name, SNAPSHOT)["edits"].list.len().sum() > 0, name
    assert table(run.line, "signals", SNAPSHOT)["line_edits"].list.len().sum() > 2


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_a_random_position_leads_to_its_text_and_back(run: Run, data: st.DataObject) -> None:
    own = run.segments.filter(
        pl.col("doc").is_in([doc for doc, text in run.texts.items() if b"@company.example" in text])
    )
    segments = data.draw(st.sampled_from([run.segments, own]), "documents")
    segment = segments.row(data.draw(st.integers(0, segments.height - 1), "segment"), named=True)
    at = segment["position"] + data.draw(st.integers(0, segment["token_count"] - 1), "token")
    shard, sequence = segment["shard"], segment["sequence"]
    found = trace(run.line, SNAPSHOT, shard, sequence, at)
    assert (found.doc, found.approximate) == (segment["doc"], False)
    assert position(run, found.doc, found.token_of_document) == (shard, sequence, at)
    extracted = run.texts[found.doc]
    id = stored(run, shard, sequence, at)
    if id == run.tokenizer.end_of_document:
        assert found.extracted_offset == found.extracted_end
        (*_, last) = locate(run.line, SNAPSHOT, found.doc).places
        assert (last.shard, last.sequence, last.last - 1) == (shard, sequence, at)
        return
    decoded = run.tokenizer.decode([id])
    assert decoded.strip("\ufffd") in found.token_text
    assert 0 <= found.extracted_offset < found.extracted_end <= len(extracted)
    located = locate(run.line, SNAPSHOT, found.doc, found.extracted_offset, found.extracted_end)
    assert (shard, sequence) in {place[:2] for place in located.places}
    assert any(place[:2] == (shard, sequence) and place.first <= at < place.last for place in located.places)
    assert found.token_text in located.text
    again = fetch(run.line, found)
    assert again.unchanged
    assert again.text.encode() == extracted


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_a_random_piece_of_a_page_is_where_its_tokens_say(run: Run, data: st.DataObject) -> None:
    """Its first and last token came from it, and their neighbours did not."""
    doc = data.draw(st.sampled_from(sorted(run.texts)), "doc")
    extracted = run.texts[doc]
    start = data.draw(st.integers(0, len(extracted)), "start")
    end = data.draw(st.integers(start, min(start + 400, len(extracted))), "end")
    located = locate(run.line, SNAPSHOT, doc, start, end)
    assert not located.approximate
    assert bool(located.places) == bool(located.text)
    assume(located.places)
    first, last = located.places[0], located.places[-1]
    inside = [(first.shard, first.sequence, first.first), (last.shard, last.sequence, last.last - 1)]
    traced = [trace(run.line, SNAPSHOT, *place) for place in inside]
    for one in traced:
        assert one.doc == doc
        assert one.extracted_offset < end and one.extracted_end > start
    count = sum(place.last - place.first for place in located.places)
    assert count == traced[1].token_of_document - traced[0].token_of_document + 1
    before, after = traced[0].token_of_document - 1, traced[1].token_of_document + 1
    if before >= 0:
        assert trace(run.line, SNAPSHOT, *position(run, doc, before)).extracted_end <= start
    neighbour = trace(run.line, SNAPSHOT, *position(run, doc, after))
    assert neighbour.extracted_offset >= end or neighbour.extracted_offset == neighbour.extracted_end


def test_a_whole_document_is_all_its_segments(run: Run) -> None:
    for doc in run.texts:
        own = run.segments.filter(pl.col("doc") == doc).sort("token_start")
        expected = own.select("shard", "sequence", "position", end=pl.col("position") + pl.col("token_count")).rows()
        assert [tuple(place) for place in locate(run.line, SNAPSHOT, doc).places] == expected


def test_explain_leads_to_the_same_segments(run: Run) -> None:
    for row in table(run.line, "corpus", SNAPSHOT).head(5).iter_rows(named=True):
        explained = explain(run.line.lake, run.line.recipe.name, row["record_id"])
        (found,) = [one for one in explained if one.verdict["doc"] == row["doc"]]
        places = locate(run.line, SNAPSHOT, row["doc"]).places
        assert [(one["shard"], one["sequence"], one["position"]) for one in found.segments] == [
            place[:3] for place in places
        ]


def test_what_was_taken_out_is_nowhere_and_a_mask_is_there_whole(run: Run) -> None:
    own = [doc for doc, text in run.texts.items() if b"@company.example" in text]
    assert own
    for doc in own:
        ((start, end),) = passages(run.line, SNAPSHOT, doc, "Please enable javascript to read on.")
        assert not locate(run.line, SNAPSHOT, doc, start, end).text.strip()
        ((start, end),) = passages(run.line, SNAPSHOT, doc, "@company")
        assert "email@example.com" in locate(run.line, SNAPSHOT, doc, start, end).text
        assert passages(run.line, SNAPSHOT, doc, "") == passages(run.line, SNAPSHOT, doc, "not in it\udcff") == []


def test_a_url_and_a_passage_lead_to_tokens_on_the_command_line(run: Run) -> None:
    corpus = table(run.line, "corpus", SNAPSHOT).filter(pl.col("url").str.contains("own.example"))
    row = corpus.row(0, named=True)
    ((start, end),) = passages(run.line, SNAPSHOT, row["doc"], "they said.")
    (place,) = locate(run.line, SNAPSHOT, row["doc"], start, end).places[:1]
    given = ["trace", "--lake", str(run.line.lake.root), "--recipe", run.line.settings.recipe, "--url", row["url"]]
    runner = CliRunner(env={"COLUMNS": "60", "TERM": "dumb"})
    done = runner.invoke(app, [*given, "--passage", "they said."])
    assert done.exit_code == 0, done.output
    assert f"shard {place.shard}, sequence {place.sequence}, tokens {place.first} to " in done.output
    assert "does not hold" in runner.invoke(app, [*given, "--passage", "no such words"]).output
    assert "taken out" in runner.invoke(app, [*given, "--passage", "Please enable javascript to read on."]).output
    neither = runner.invoke(app, given[:5])
    assert (neither.exit_code, "--url" in neither.output) == (1, True)


def test_what_is_piped_is_not_folded(run: Run) -> None:
    given = ["trace", "--lake", str(run.line.lake.root), "--recipe", run.line.settings.recipe]
    done = CliRunner(env={"COLUMNS": "40", "TERM": "dumb"}).invoke(app, [*given, "--shard", "0", "--sequence", "0"])
    assert trace(run.line, SNAPSHOT, 0, 0, 0).warc_file in done.output
