"""Every published recipe on the embedded sample, and one of all methods: what holds for `fineweb` holds for them."""

import random
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.deduplication import bloom
from curation_assets.deduplication.cuts import BLOOM_WINDOWS, cut_paragraphs
from curation_assets.engine.local import LocalEngine
from curation_assets.filtering.definitions import LineEdits
from curation_assets.filtering.fineweb2_languages import language_table, median_limits
from curation_assets.lake.finished import Finished
from curation_assets.lake.lake import Partition
from curation_assets.lake.parts import PartWriter, read_table
from curation_assets.lake.station import SnapshotJob
from curation_assets.line import Line
from curation_assets.packing.reader import ShardReader
from curation_assets.provenance.explain import explain
from curation_assets.provenance.trace import fetch, trace
from curation_assets.recipes.loading import published_recipes
from curation_assets.recipes.methods import METHODS, BloomDuplicates
from curation_assets.selection.rehydration import removal_rates, repetitions, weights
from curation_tests import mirrors
from curation_tests.conftest import Curated

RECIPES = [*published_recipes(), "every_method"]


def table(run: Curated, name: str) -> pl.DataFrame:
    return mirrors.table(run.line, name, run.snapshot)


@pytest.fixture(params=RECIPES)
def run(request: pytest.FixtureRequest, curated: dict[str, Curated]) -> Curated:
    return curated[request.param]


def test_every_check_passed_and_every_station_has_one(run: Curated) -> None:
    for one in run.staged.values():
        assert [result.check.name for result in one.failed] == []
        assert one.results


def test_what_depends_on_the_pages_alone_is_made_once(curated: dict[str, Curated]) -> None:
    fresh = Counter(one.partition.name for run in curated.values() for one in run.staged.values() if one.fresh)
    assert set(fresh.values()) == {1}
    assert not any(curated["refinedweb"].staged[name].fresh for name in ("documents", "url_matches", "signals"))


def test_documents_are_kept_or_dropped_and_what_is_kept_is_packed(run: Curated) -> None:
    verdicts, corpus = table(run, "verdicts"), table(run, "corpus")
    counts = Counter(verdicts["verdict"])
    assert verdicts["doc"].equals(table(run, "documents")["doc"])
    assert corpus["doc"].equals(verdicts.filter(pl.col("verdict") == "kept")["doc"])
    stats = mirrors.partition(run.line, "verdicts", run.snapshot).manifest().stats
    assert stats.get("rows_out", 0) == counts.pop("kept", 0)
    assert {name.removeprefix("dropped."): n for name, n in stats.items() if name.startswith("dropped.")} == counts
    assert set(counts) <= {
        *(gate.name for _, _, gate in run.line.recipe.gates),
        *(method.verdict for method in run.line.recipe.methods),
        *verdicts.filter(pl.col("station") == "acquisition")["verdict"],
    }
    reader = ShardReader(mirrors.partition(run.line, "training_shards", run.snapshot).folder)
    reader.verify()
    packed: dict[int, int] = Counter()
    for index in range(len(reader)):
        sequence = reader[index]
        for k, doc in enumerate(sequence.docs.tolist()):
            packed[doc] += int(sequence.boundaries[k + 1] - sequence.boundaries[k])
    tokens = [
        pl.read_ipc(path, columns=["doc", "token_count"])
        for path in mirrors.partition(run.line, "tokens", run.snapshot).paths(".arrow")
    ]
    assert packed == dict(pl.concat(tokens).iter_rows())
    assert set(packed) == set(corpus["doc"])


def test_each_method_looks_at_what_those_before_it_left(run: Curated) -> None:
    """Reckoned from the verdicts: of the documents that some method met, all that nothing earlier dropped."""
    verdicts = table(run, "verdicts").with_columns(pl.col("position").fill_null(1000))
    for method in run.line.recipe.methods:
        place = run.line.recipe.positions[method.name]
        met = table(run, method.name)
        assert set(met["doc"]) == set(verdicts.filter(pl.col("position") >= place)["doc"])
        dropped = verdicts.filter(pl.col("verdict") == method.verdict)
        assert set(met.filter(~pl.col("survivor"))["doc"]) == set(dropped["doc"])
        assert dropped["station"].unique().to_list() in ([], [method.name])


def test_every_method_drops_and_every_edit_changes_something(curated: dict[str, Curated]) -> None:
    run = curated["every_method"]
    recipe, verdicts = run.line.recipe, set(table(run, "verdicts")["verdict"])
    assert {method.name for method in recipe.methods} == set(METHODS)
    assert {method.verdict for method in recipe.methods} - verdicts == {"quality_score"}
    kept = table(run, "corpus")["doc"]
    for name, column in chain_of(run.line):
        assert table(run, name).filter(pl.col("doc").is_in(kept.implode()))[column].list.len().max() > 0, name


def chain_of(line: Line) -> list[tuple[str, str]]:
    """Tables and columns of a recipe's edits, in order."""
    recipe = line.recipe
    return [
        *([("signals", "line_edits")] if recipe.line_edits != LineEdits() else []),
        *((method.name, "spans") for method in recipe.methods if method.cuts),
        *([("encoding_edits", "edits")] if "encoding" in recipe.repairs else []),
        ("pii_spans", "masks"),
        *([("symbol_lines_edits", "edits")] if "symbol_lines" in recipe.repairs else []),
    ]


class Origins:
    """For each document of the corpus its text, and for each byte of it where it came from; made slowly."""

    def __init__(self, run: Curated) -> None:
        self.edits: list[dict[int, list[dict[str, Any]]]] = []
        for name, column in chain_of(run.line):
            edits = table(run, name)
            self.edits.append(dict(zip(edits["doc"], edits[column].to_list(), strict=True)))
        self.texts = dict(table(run, "documents").select("doc", "text").iter_rows())

    def __call__(self, doc: int) -> tuple[bytes, list[tuple[int, int]]]:
        text: bytes = self.texts[doc].encode()
        origins = [(i, i + 1) for i in range(len(text))]
        for by_doc in self.edits:
            made, of, at = bytearray(), [], 0
            for edit in by_doc.get(doc) or ():
                start, end, replacement = edit["start"], edit["end"], edit.get("replacement", "").encode()
                assert at <= start <= end <= len(text)
                made += text[at:start] + replacement
                whole = (origins[start][0], origins[end - 1][1]) if end > start else (0, 0)
                of += origins[at:start] + [whole] * len(replacement)
                at = end
            text, origins = bytes(made + text[at:]), of + origins[at:]
        return text, origins


def test_the_corpus_is_the_extracted_text_with_all_edits_in_order(run: Curated) -> None:
    origins = Origins(run)
    for doc, text in table(run, "corpus").select("doc", "text").iter_rows():
        assert origins(doc)[0].decode() == text


def test_running_again_redoes_nothing(curated: dict[str, Curated], engine: LocalEngine) -> None:
    line = curated["fineweb"].line
    before = mirrors.content(line)
    for run in curated.values():
        assert not any(again.fresh for again in run.line.run(run.snapshot, engine))
    assert mirrors.content(line) == before


@pytest.fixture(scope="module")
def alone(curated: dict[str, Curated], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one worker makes of recipes of every kind, in a lake of its own."""
    lake = tmp_path_factory.mktemp("alone")
    found: dict[str, bytes] = {}
    with LocalEngine(1) as engine:
        for recipe in ("dclm_baseline", "fineweb2", "refinedweb", "every_method"):
            run = curated[recipe]
            line = Line(run.line.settings.model_copy(update={"lake": lake, "workers": 1}))
            for _ in line.run(run.snapshot, engine):
                pass
            found |= mirrors.content(line)
    return found


def test_one_worker_gives_the_same_bytes_as_two(alone: dict[str, bytes], curated: dict[str, Curated]) -> None:
    together = mirrors.content(curated["fineweb"].line)
    assert {name: together.get(name) for name in alone} == alone
    assert {Path(name).parts[0] for name in alone} >= {"dclm_baseline", "fineweb2", "refinedweb", "every_method"}


@pytest.mark.parametrize("recipe", ["dclm_baseline", "refinedweb", "c4", "fineweb2", "every_method"])
def test_any_position_leads_back_to_its_record_through_all_edits(curated: dict[str, Curated], recipe: str) -> None:
    run = curated[recipe]
    segments, corpus, origins = table(run, "packed_sequences"), table(run, "corpus"), Origins(run)
    edited = [doc for doc in corpus["doc"] if any(by_doc.get(doc) for by_doc in origins.edits)]
    chance = random.Random(11)
    docs = chance.sample(edited, min(5, len(edited))) + chance.sample(corpus["doc"].to_list(), 2)
    for doc in docs:
        document = corpus.row(by_predicate=pl.col("doc") == doc, named=True)
        text, places = origins(doc)
        for segment in segments.filter(pl.col("doc") == doc).head(2).iter_rows(named=True):
            token = segment["position"] + chance.randrange(segment["token_count"])
            found = trace(run.line, run.snapshot, segment["shard"], segment["sequence"], token)
            assert (found.doc, found.record_id, found.url) == (doc, document["record_id"], document["url"])
            assert not found.approximate
            assert found.passage in document["text"]
            if found.corpus_offset == len(text):
                continue  # the token that ends a document
            covered = places[found.corpus_offset : found.corpus_end]
            assert text[found.corpus_offset : found.corpus_end].decode() == found.token_text
            assert (found.extracted_offset, found.extracted_end) == (covered[0][0], covered[-1][1])
    again = fetch(run.line, found)
    assert again.unchanged
    assert again.text == origins.texts[found.doc]


@pytest.mark.parametrize("method", [name for name in METHODS if name != "quality_scores"])
def test_a_duplicate_of_each_method_is_explained(curated: dict[str, Curated], method: str) -> None:
    run = curated["every_method"]
    verdicts = table(run, "verdicts")
    for row in verdicts.filter(pl.col("station") == method).head(3).iter_rows(named=True):
        explanations = explain(run.line.lake, run.line.recipe.name, row["record_id"], [run.snapshot])
        (found,) = [one for one in explanations if one.verdict["doc"] == row["doc"]]
        assert found.verdict["verdict"] == METHODS[method].verdict
        assert (found.verdict["value"], found.verdict["limit"]) == (row["value"], row["limit"])
        assert found.segments == []
        assert not any(gate.failed for gate in found.gates)
        if row["duplicate_of"] is not None:
            survivor = verdicts.row(by_predicate=pl.col("doc") == row["duplicate_of"], named=True)
            assert found.verdict["duplicate_of_url"] == survivor["url"]
            # What survived one comparison may fall to the next.
            assert survivor["position"] is None or survivor["position"] > row["position"]
            assert row["value"] > row["limit"] == 1
        elif method == "bloom_duplicates":
            assert row["value"] > row["limit"]
        else:
            assert row["value"] < row["limit"]


def test_limits_of_a_language_are_explained_as_they_decided(curated: dict[str, Curated], engine: LocalEngine) -> None:
    """With English let in, gates after deduplication have something to drop."""
    own = curated["fineweb2"].line
    overrides = {**own.settings.recipe_set, "language.excluded": [], "name": "fineweb2_and_english"}
    line = Line(own.settings.model_copy(update={"recipe_set": overrides}))
    for _ in takewhile(lambda staged: staged.station.name != "encoding_edits", line.run(SAMPLE_SNAPSHOT, engine)):
        pass
    verdicts = mirrors.table(line, "verdicts")
    columns = {gate.name: gate.limit_of for _, _, gate in line.recipe.gates if gate.limit_of}
    listed = {row["language"]: row for row in language_table().to_pylist()}
    languages = dict(mirrors.table(line, "languages").select("doc", "language").iter_rows())
    dropped = verdicts.filter(pl.col("verdict").is_in(list(columns)))
    assert dropped["station"].n_unique() >= 2
    kept = verdicts.filter(pl.col("verdict") == "kept").unique("url").sort("doc")
    german = [doc for doc in kept["doc"] if languages[doc] == "deu_Latn"][:1]
    rows = pl.concat([dropped.unique("verdict", maintain_order=True), kept.filter(pl.col("doc").is_in(german))])
    for row in rows.iter_rows(named=True):
        limits = listed.get(languages[row["doc"]], median_limits())
        (found,) = explain(line.lake, line.recipe.name, row["record_id"])
        shown = {gate.gate: gate.limit for gate in found.gates}
        assert {name: shown[name] for name in columns} == {name: limits[of] for name, of in columns.items()}
        assert [gate.gate for gate in found.gates if gate.failed] == row["failed_gates"]
        if row["verdict"] in columns:
            assert row["limit"] == limits[columns[row["verdict"]]]


def test_documents_are_repeated_by_how_often_their_like_were_removed(curated: dict[str, Curated]) -> None:
    run = curated["every_method"]
    rehydration = run.line.recipe.rehydration
    assert rehydration is not None
    corpus, repeated = table(run, "corpus"), table(run, "rehydration_weights")
    assert repeated.select("doc", "cluster_size").equals(corpus.select("doc", "cluster_size"))
    deduplicated = table(run, "minhash_duplicates").filter(pl.col("survivor")).join(table(run, "verdicts"), "doc")
    removed = pl.Series(deduplicated["verdict"] != "kept").to_arrow()
    rates = removal_rates(deduplicated["cluster_size"].to_arrow(), removed, rehydration.least)
    steps = weights(rates, rehydration.max_weight, rehydration.window)
    assert repeated["repetitions"].to_list() == repetitions(corpus["cluster_size"].to_arrow(), steps).to_pylist()
    assert set(repeated["repetitions"]) > {1}


def test_common_documents_weigh_less_and_words_are_conserved(curated: dict[str, Curated]) -> None:
    run = curated["every_method"]
    params = run.line.recipe.soft_weights
    assert params is not None
    corpus, soft = table(run, "corpus"), table(run, "soft_weights").drop_nulls()
    assert table(run, "soft_weights")["doc"].equals(corpus["doc"])
    found = soft.sort("commonness")["weight"].to_list()
    assert all(one >= other for one, other in pairwise(found))
    assert 1 < found[0] / found[-1] <= params.cap + 1e-9
    assert 1 < len(set(found)) <= params.classes
    assert not any(name.endswith("_weights") for name in curated["refinedweb"].staged)


@pytest.mark.parametrize(
    ("overrides", "keeps"),
    [
        ({"name": "nothing", "language.languages": ["tlh"]}, False),
        ({"name": "ungated", "stations": [], "consent": [], "line_edits": "none", "rehydration": None}, True),
    ],
)
def test_a_recipe_may_keep_nothing_or_have_no_gate(
    curated: dict[str, Curated], engine: LocalEngine, overrides: dict[str, Any], keeps: bool
) -> None:
    own, snapshot, _ = curated["every_method"]
    line = Line(own.settings.model_copy(update={"recipe_set": overrides}))
    for _ in line.run(snapshot, engine):
        pass
    texts = mirrors.table(line, "documents", snapshot)["verdict"].null_count()
    assert mirrors.table(line, "corpus", snapshot).height == (texts if keeps else 0)


def test_a_page_whose_paragraphs_all_occurred_before_is_dropped(tmp_path: Path, engine: LocalEngine) -> None:
    paragraph = " ".join(f"word{number}" for number in range(30)) + "."
    batch = pa.record_batch(
        {
            "doc": pa.array([0, 1], pa.int64()),
            "record_id": ["a", "b"],
            "text": pa.array([paragraph, paragraph], pa.large_string()),
        }
    )
    path = tmp_path / "part-00000.arrow"
    windows = bloom.windows([batch], order="record_id")
    sizes = pa.array([len(paragraph)] * 2, pa.int64())
    with PartWriter(path, BLOOM_WINDOWS, "") as writer:
        writer.write(windows.append_column("bytes", sizes))
    keys = Fixed(tmp_path, ("keys",), "CC-MAIN-2000-01", path)
    folder = tmp_path / "made"
    folder.mkdir()
    method = BloomDuplicates(level="paragraph")
    finished = Finished(keys, None)
    stats = cut_paragraphs(SnapshotJob("CC-MAIN-2000-01", {"keys": keys}, folder, method, engine, finished=finished))
    assert stats["dropped.bloom_duplicate"] == 1
    assert sorted(read_table(folder / "part-00000.parquet")["survivor"].to_pylist()) == [False, True]


@dataclass(frozen=True)
class Fixed(Partition):
    """A partition of one file that needs no manifest."""

    file: Path

    def paths(self, suffix: str = "") -> list[Path]:
        return [self.file]
