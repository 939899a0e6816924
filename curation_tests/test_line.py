"""The whole line on the embedded sample: conservation, determinism, resume, lineage."""

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from curation_assets.acquisition.sample.gates import UNREACHABLE
from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT, expected_outcomes
from curation_assets.engine.local import LocalEngine
from curation_assets.filtering.edits import apply_edits
from curation_assets.filtering.pii import EMAIL_REPLACEMENTS
from curation_assets.lake.lake import Partition
from curation_assets.lake.parts import read_table
from curation_assets.lake.station import Staged
from curation_assets.line import Line
from curation_assets.packing.reader import ShardReader
from curation_assets.packing.tokenizer import load_tokenizer
from curation_assets.provenance.explain import explain
from curation_assets.provenance.trace import TraceError, fetch, trace
from curation_tests.mirrors import packed_pieces


def partition(line: Line, name: str) -> Partition:
    return line.lake.partition(line.key(name), SAMPLE_SNAPSHOT)


def table(line: Line, name: str) -> pl.DataFrame:
    return pl.read_parquet(partition(line, name).paths(".parquet"))


def content(line: Line) -> dict[str, bytes]:
    root = line.lake.root
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def verdicts(line: Line, staged: dict[str, Staged]) -> pl.DataFrame:
    return table(line, "verdicts")


def test_every_check_passed_and_every_station_has_one(staged: dict[str, Staged]) -> None:
    for one in staged.values():
        assert [result.check.name for result in one.failed] == []
        assert one.results


def test_response_records_are_documents_are_survivors_and_verdicts(line: Line, verdicts: pl.DataFrame) -> None:
    documents = table(line, "documents")
    stats = partition(line, "documents").manifest().stats
    assert documents.height == stats["responses"] + stats["damaged_regions"]
    assert verdicts["doc"].equals(documents["doc"])
    kept = verdicts.filter(pl.col("verdict") == "kept")
    assert table(line, "corpus")["doc"].equals(kept["doc"])
    counts = Counter(verdicts["verdict"])
    by_station = partition(line, "verdicts").manifest().stats
    assert by_station["rows_out"] == counts.pop("kept")
    assert {name.removeprefix("dropped."): n for name, n in by_station.items() if name.startswith("dropped.")} == counts


def test_every_gate_of_the_recipe_decides_at_least_one_page(line: Line, verdicts: pl.DataFrame) -> None:
    gates = {gate.name for _, _, gate in line.recipe.gates} | {"minhash_duplicate"}
    assert gates - set(verdicts["verdict"]) == UNREACHABLE


def test_every_page_meets_the_fate_it_was_made_for(verdicts: pl.DataFrame) -> None:
    found = dict(zip(verdicts["record_id"], verdicts["verdict"], strict=True))
    expected = expected_outcomes()
    assert {record: found.get(record) for record in expected} == expected


def test_a_verdict_has_the_value_and_the_limit_that_decided_it(line: Line, verdicts: pl.DataFrame) -> None:
    limits = {gate.name: gate for _, _, gate in line.recipe.gates}
    for row in verdicts.filter(pl.col("verdict").is_in(list(limits))).iter_rows(named=True):
        gate = limits[row["verdict"]]
        assert row["limit"] == gate.limit
        assert {"<": row["value"] < gate.limit, ">": row["value"] > gate.limit, ">=": row["value"] >= gate.limit}[
            gate.operator
        ]
        assert row["failed_gates"][0] == row["verdict"]


def test_the_corpus_is_a_function_of_the_extracted_text_and_its_edits(line: Line, staged: dict[str, Staged]) -> None:
    for documents, signals, spans, corpus in zip(
        *(partition(line, name).paths(".parquet") for name in ("documents", "signals", "pii_spans", "corpus")),
        strict=True,
    ):
        kept = pl.read_parquet(corpus)
        extracted = pl.read_parquet(documents).join(kept.select("doc"), "doc").sort("doc")
        cleaned = apply_edits(extracted["text"].to_arrow(), _edits(read_table(signals), "line_edits", kept["doc"]))
        final = apply_edits(cleaned, _edits(read_table(spans), "masks", kept["doc"]))
        assert final.to_pylist() == kept["text"].to_list()


def _edits(rows, column: str, docs: pl.Series):
    import pyarrow as pa

    from curation_assets.filtering.edits import EDITS

    by_doc = dict(zip(rows["doc"].to_pylist(), rows[column].to_pylist(), strict=True))
    keys = ("start", "end", "replacement")
    return pa.array([[{key: edit[key] for key in keys} for edit in by_doc[doc]] for doc in docs], EDITS)


def test_personal_data_is_masked(line: Line, staged: dict[str, Staged]) -> None:
    masked = table(line, "pii_spans").filter(pl.col("masks").list.len() > 0)
    assert set(masked["masks"].explode().struct.field("kind")) == {"email", "public_ip"}
    texts = table(line, "corpus").join(masked.select("doc"), "doc")["text"]
    assert texts.str.contains("email@example.com", literal=True).any()
    assert set(texts.str.extract_all(r"[\w.]+@[\w.]+\w").explode().drop_nulls()) <= set(EMAIL_REPLACEMENTS)


def test_shards_hold_every_token_of_the_corpus_once(line: Line, staged: dict[str, Staged]) -> None:
    folder = partition(line, "training_shards").folder
    reader = ShardReader(folder)
    reader.verify()
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    assert all(len(reader[index].tokens) <= line.recipe.packing.sequence_length for index in range(len(reader)))
    pieces = packed_pieces(reader)
    corpus = table(line, "corpus")
    assert set(pieces) == set(corpus["doc"])
    for doc, text in corpus.select("doc", "text").iter_rows():
        ids = [token for start in sorted(pieces[doc]) for token in pieces[doc][start]]
        assert ids.pop() == tokenizer.end_of_document
        assert tokenizer.decode(ids) == text


def test_running_again_redoes_nothing(line: Line, staged: dict[str, Staged], engine: LocalEngine) -> None:
    before = content(line)
    assert not any(again.fresh for again in line.run(SAMPLE_SNAPSHOT, engine))
    assert content(line) == before


def test_a_changed_threshold_reads_no_text_again(
    line: Line, staged: dict[str, Staged], engine: LocalEngine, tmp_path: Path
) -> None:
    import shutil

    shutil.copytree(line.lake.root, tmp_path / "lake")
    overrides = {**line.settings.recipe_set, "language_score": 0.7}
    other = Line(line.settings.model_copy(update={"lake": tmp_path / "lake", "recipe_set": overrides}))
    fresh = {one.station.name: one.fresh for one in other.run(SAMPLE_SNAPSHOT, engine)}
    assert fresh["filter_verdicts"]
    assert not any(fresh[name] for name in ("warc_files", "documents", "url_matches", "languages", "signals"))


def test_one_worker_gives_the_same_bytes_as_two(line: Line, staged: dict[str, Staged], tmp_path: Path) -> None:
    alone = Line(line.settings.model_copy(update={"lake": tmp_path / "lake", "workers": 1}))
    for _ in alone.run(SAMPLE_SNAPSHOT):
        pass
    assert content(alone) == content(line)


def test_any_position_leads_back_to_its_record(line: Line, staged: dict[str, Staged]) -> None:
    reader = ShardReader(partition(line, "training_shards").folder)
    segments = table(line, "packed_sequences")
    corpus = table(line, "corpus")
    chance = random.Random(7)
    for row in chance.sample(range(segments.height), 12):
        segment = segments.row(row, named=True)
        token = segment["position"] + chance.randrange(segment["token_count"])
        found = trace(line, SAMPLE_SNAPSHOT, segment["shard"], segment["sequence"], token)
        document = corpus.row(by_predicate=pl.col("doc") == segment["doc"], named=True)
        assert (found.doc, found.record_id, found.url) == (document["doc"], document["record_id"], document["url"])
        assert found.passage in document["text"]
        assert found.token_of_document == segment["token_start"] + token - segment["position"]
        text = document["text"].encode()
        assert text[found.corpus_offset :].decode(errors="replace").startswith(found.token_text[:1]) or (
            found.corpus_offset == len(text)
        )
        again = fetch(line, found)
        assert again.unchanged
        assert again.passage in again.text
    assert len(reader)


def test_a_position_that_does_not_exist_is_an_error(line: Line, staged: dict[str, Staged]) -> None:
    with pytest.raises(TraceError, match="no token 999999"):
        trace(line, SAMPLE_SNAPSHOT, 0, 0, 999999)


def test_a_url_leads_to_its_shards(line: Line, verdicts: pl.DataFrame) -> None:
    kept = verdicts.filter(pl.col("verdict") == "kept").row(0, named=True)
    (found,) = explain(line.lake, line.recipe.name, kept["url"])
    assert found.verdict["verdict"] == "kept"
    assert found.segments
    assert not any(failed for *_, failed in found.gates)


def test_a_url_leads_to_the_gate_that_dropped_it(line: Line, verdicts: pl.DataFrame) -> None:
    dropped = verdicts.filter(pl.col("verdict") == "gopher_short_doc").row(0, named=True)
    (found,) = explain(line.lake, line.recipe.name, dropped["record_id"])
    assert found.verdict["url"] == dropped["url"]
    assert "gopher_short_doc" in [gate for _, gate, *_, failed in found.gates if failed]
    assert found.segments == []


def test_a_duplicate_names_the_one_that_was_kept(line: Line, verdicts: pl.DataFrame) -> None:
    duplicate = verdicts.filter(pl.col("verdict") == "minhash_duplicate").row(0, named=True)
    survivor = verdicts.row(by_predicate=pl.col("doc") == duplicate["duplicate_of"], named=True)
    assert survivor["verdict"] == "kept"
    assert survivor["cluster_size"] == duplicate["cluster_size"] == duplicate["value"]
    found = explain(line.lake, line.recipe.name, duplicate["url"])
    assert survivor["url"] in [one.verdict["duplicate_of_url"] for one in found]


def test_a_url_that_was_never_seen_has_no_story(line: Line, staged: dict[str, Staged]) -> None:
    assert explain(line.lake, line.recipe.name, "https://nobody.example/") == []


def test_settings_and_line_know_no_dagster() -> None:
    code = "import sys, curation_assets.line; sys.exit('dagster' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_column_of_every_table_is_described(line: Line) -> None:
    for station in line.stations:
        for column in station.schema.names if station.schema is not None else []:
            assert line.meaning(station, column), (station.name, column)


def test_a_recipe_without_gates_honours_consent_and_drops_what_cleaning_empties(
    line: Line, staged: dict[str, Staged], engine: LocalEngine, tmp_path: Path
) -> None:
    import shutil

    shutil.copytree(line.lake.root, tmp_path / "lake")
    overrides = {**line.settings.recipe_set, "stations": []}
    other = Line(line.settings.model_copy(update={"lake": tmp_path / "lake", "recipe_set": overrides}))
    for _ in other.run(SAMPLE_SNAPSHOT, engine):
        pass
    counts = Counter(table(other, "verdicts")["verdict"])
    assert counts["consent"] == 6
    assert counts["clean_text_empty"] > 0
    assert counts["kept"] > 182
