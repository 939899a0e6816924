"""Takedowns end to end: what is hit, what is made again, what stays the same bytes, and what an audit finds."""

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest
from rich.console import Console
from typer.testing import CliRunner

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.cli import app
from curation_assets.definitions import build_definitions
from curation_assets.engine.local import LocalEngine
from curation_assets.lake.checks import ContractCheck
from curation_assets.lake.finished import Finished
from curation_assets.lake.lake import MANIFEST, File, LakeError
from curation_assets.lake.standing import standings
from curation_assets.lake.station import Staged
from curation_assets.lake.station import run as run_station
from curation_assets.line import Line
from curation_assets.packing.reader import ShardReader
from curation_assets.packing.tokenizer import load_tokenizer
from curation_assets.provenance.explain import explain
from curation_assets.provenance.takedown_audit import audit
from curation_assets.provenance.takedown_hits import add, data_versions, look
from curation_assets.provenance.takedowns import Entry, Kind, TakedownList
from curation_assets.runs import materialise, open_instance
from curation_assets.settings import Settings
from curation_tests.conftest import RESILIPARSE
from curation_tests.mirrors import add_snapshot, content, packed_pieces, partition, prose, table
from curation_tests.test_checks import Fault, always, files_of, of_first, station_of, table_of, verdict, without_first
from curation_tests.test_contracts import broken, judged, with_faults

DATE = datetime(2026, 1, 2, tzinfo=UTC)
SMALL = {
    **RESILIPARSE,
    "packing.sequence_length": 256,
    "packing.shard_tokens": 4096,
    "packing.formats": ["megatron", "parquet", "mds"],
}
"""Short sequences, so that documents are cut, and many shards, in every format."""

runner = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"})
Run = dict[str, Staged]


def run(line: Line, engine: LocalEngine, until: str = "snapshot_report") -> Run:
    """Run the line up to a station, and what each did; the last ones draw plots, which take as long as all the rest."""
    runs: Run = {}
    for one in line.run(SAMPLE_SNAPSHOT, engine):
        runs[one.station.name] = one
        if one.station.name == until:
            break
    return runs


def run_shards(line: Line, engine: LocalEngine) -> Staged:
    station = next(station for station in line.stations if station.name == "training_shards")
    return run_station(station, line.lake, SAMPLE_SNAPSHOT, engine)


def copied(line: Line, folder: Path) -> Line:
    shutil.copytree(line.lake.root, folder)
    return Line(line.settings.model_copy(update={"lake": folder}))


def shard_files(line: Line) -> dict[str, Path]:
    return {path.name: path for path in partition(line, "training_shards").paths() if path.name.startswith("shard-")}


def same_bytes(one: Line, other: Line, names: tuple[str, ...]) -> bool:
    return all(partition(one, name).manifest().digest == partition(other, name).manifest().digest for name in names)


@dataclass
class Taken:
    """A lake that four takedowns were added to, and then run."""

    line: Line
    before: Line
    entries: list[Entry]
    docs: set[int]
    """All documents that they hit."""
    kept: set[int]
    """Of these, documents that were kept."""
    old: dict[str, tuple[int, int]]
    """Inode and modification time of each shard file before."""
    runs: Run


@pytest.fixture(scope="module")
def base(line: Line, staged: Run, engine: LocalEngine, tmp_path_factory: pytest.TempPathFactory) -> Line:
    folder = tmp_path_factory.mktemp("base") / "lake"
    shutil.copytree(line.lake.root, folder)
    made = Line(Settings(source=line.settings.source, lake=folder, recipe_set=SMALL, workers=2))
    run(made, engine)
    return made


@pytest.fixture(scope="module")
def chosen(base: Line) -> dict[Kind, str]:
    """One takedown of each kind. The URL is of the longest document, which fills whole sequences."""
    kept = table(base, "verdicts").filter(pl.col("verdict") == "kept").sort("doc")
    segments = pl.read_parquet(partition(base, "training_shards").folder / "segments.parquet")
    longest = segments.group_by("doc").agg(pl.col("token_count").sum()).sort("token_count")["doc"][-1]
    part = kept.filter(pl.col("doc") < 1 << 32)  # all in the first part, so that others need not be touched
    (url,) = kept.filter(pl.col("doc") == longest)["url"]
    others = part.filter(pl.col("doc") != longest)
    return {
        "url": url.replace("https://", "http://").replace("http://", "http://www.", 1).replace("www.www.", "www.")
        + "#x",
        "record": others["record_id"][1].strip("<>").upper().removeprefix("URN:UUID:"),
        "pattern": others["url"][3][:-3] + "*",
        "host": "no-such-host.example",
    }


@pytest.fixture(scope="module")
def taken(base: Line, chosen: dict[Kind, str], engine: LocalEngine, tmp_path_factory: pytest.TempPathFactory) -> Taken:
    line = copied(base, tmp_path_factory.mktemp("taken") / "lake")
    entries, hits = zip(
        *(add(line.lake, kind, value, f"because of {kind}", DATE) for kind, value in chosen.items()), strict=True
    )
    rows = [row for found in hits for row in found.to_pylist()]
    old = {name: (path.stat().st_ino, path.stat().st_mtime_ns) for name, path in shard_files(line).items()}
    runs = run(line, engine)
    kept = {row["doc"] for row in rows if row["verdict"] == "kept"}
    return Taken(line, base, list(entries), {row["doc"] for row in rows}, kept, old, runs)


def written(shards: Staged) -> int:
    """Shards of two files that were written, beside the four files that describe all."""
    return (shards.parts_done - 4) // 2


def shards_of(line: Line, docs: set[int]) -> set[str]:
    plan = pl.read_parquet(partition(line, "packed_sequences").paths(".parquet"))
    return {f"shard-{shard:05d}" for shard in plan.filter(pl.col("doc").is_in(list(docs)))["shard"]}


def test_what_it_hits_is_shown_for_every_recipe_and_snapshot(taken: Taken) -> None:
    plan = pl.read_parquet(partition(taken.before, "packed_sequences").paths(".parquet"))
    for entry in taken.entries:
        (found,) = entry.found
        hits = pl.from_arrow(TakedownList(taken.line.lake.root).hits(entry))
        packed = plan.filter(pl.col("doc").is_in(hits["doc"].to_list()))
        assert (found.recipe, found.snapshot) == ("fineweb", SAMPLE_SNAPSHOT)
        assert found.documents == hits.height
        assert found.tokens == packed["token_count"].sum() == (hits["token_count"].sum() or 0)
        assert found.sequences == packed.select("shard", "sequence").n_unique()
        assert set(found.shards) == {f"shard-{shard:05d}" for shard in packed["shard"]}
    assert [entry.found[0].kept > 0 for entry in taken.entries] == [True, True, True, False]


def test_only_what_is_hit_is_made_again(taken: Taken) -> None:
    hit_parts = {doc >> 32 for doc in taken.docs}
    parts = len(taken.runs["verdicts"].manifest.files)
    assert len(hit_parts) < parts
    for name in ("verdicts", "pii_spans", "corpus", "tokens"):
        one = taken.runs[name]
        assert (one.parts_done, one.parts_reused) == (len(hit_parts), parts - len(hit_parts)), name
    for name in ("documents", "signals", "filter_verdicts", "minhash_signatures", "minhash_duplicates"):
        assert not taken.runs[name].fresh
    assert all(not one.failed for one in taken.runs.values())


def test_all_other_shards_are_the_same_files(taken: Taken) -> None:
    hit = shards_of(taken.before, taken.kept)
    now = shard_files(taken.line)
    assert now.keys() == taken.old.keys()
    for name, path in now.items():
        same = path.read_bytes() == shard_files(taken.before)[name].read_bytes()
        untouched = (path.stat().st_ino, path.stat().st_mtime_ns) == taken.old[name]
        assert same == untouched == (name.split(".")[0] not in hit), name
    assert 0 < len(hit) < len(now) / 2
    assert written(taken.runs["training_shards"]) == len(hit)
    assert same_bytes(taken.line, taken.before, ("packed_sequences", "tokenizer"))


def test_the_shards_hold_all_other_documents_and_nothing_else(taken: Taken) -> None:
    folder = partition(taken.line, "training_shards").folder
    reader = ShardReader(folder)
    reader.verify()
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    pieces = packed_pieces(reader)
    before = dict(table(taken.before, "corpus").select("doc", "text").iter_rows())
    assert set(pieces) == before.keys() - taken.kept
    for doc, found in pieces.items():
        assert tokenizer.decode([token for start in sorted(found) for token in found[start]][:-1]) == before[doc]


def test_sequences_get_shorter_and_those_of_nothing_else_go(taken: Taken) -> None:
    folder = partition(taken.line, "training_shards").folder
    stated = json.loads((folder / "manifest.json").read_bytes())["taken_down"]
    plan = pl.read_parquet(partition(taken.before, "packed_sequences").paths(".parquet"))
    gone = plan.filter(pl.col("doc").is_in(list(taken.kept)))
    alone = gone.filter(pl.col("token_count") == 256).height
    assert alone > 0
    assert gone.group_by("doc").len()["len"].max() > 2, "a document that is cut"
    assert stated["documents"] == len(taken.kept)
    assert stated["segments"] == gone.height
    assert stated["tokens"] == gone["token_count"].sum()
    assert stated["sequences"] >= alone
    assert sum(one["tokens"] for one in stated["shards"].values()) == stated["tokens"]
    lengths = [len(ShardReader(one)) for one in (partition(taken.before, "training_shards").folder, folder)]
    assert lengths[0] - lengths[1] == stated["sequences"]


def test_a_new_lake_with_the_same_list_has_the_same_bytes(taken: Taken, engine: LocalEngine, tmp_path: Path) -> None:
    shutil.copytree(taken.line.lake.root / "takedowns", tmp_path / "lake" / "takedowns")
    fresh = Line(taken.line.settings.model_copy(update={"lake": tmp_path / "lake"}))
    run(fresh, engine)
    assert content(fresh) == content(taken.line)


def test_running_again_redoes_nothing(taken: Taken, engine: LocalEngine) -> None:
    assert not any(one.fresh for one in run(taken.line, engine).values())


def test_what_was_a_duplicate_does_not_come_back(taken: Taken) -> None:
    before, now = (
        {row["doc"]: row for row in table(line, "verdicts").iter_rows(named=True)}
        for line in (taken.before, taken.line)
    )
    assert {doc for doc in now if now[doc] != before[doc]} == {
        doc for doc in taken.docs if before[doc]["station"] != "acquisition"
    }
    for doc in taken.kept:
        assert (now[doc]["verdict"], now[doc]["station"]) == ("takedown", "takedowns")
        assert now[doc]["detail"].split(": ")[1].startswith("because of ")


@pytest.mark.parametrize(
    ("name", "check", "fault"),
    [
        ("takedowns", "takedowns_are_documents", of_first("record_id", always(True), always("<urn:uuid:other>"))),
        ("takedowns", "takedowns_are_documents", of_first("takedowns", always(True), always(["T9"]))),
        ("takedowns", "takedowns_are_documents", without_first),
        ("tombstones", "tombstones_are_taken_down", of_first("token_count", always(True), always(0))),
        ("tombstones", "tombstones_are_taken_down", of_first("doc", always(True), lambda doc: doc + (1 << 40))),
        ("tombstones", "tombstones_are_taken_down", without_first),
        ("verdicts", "verdicts_are_conserved", of_first("verdict", lambda it: it == "takedown", always("kept"))),
        ("verdicts", "verdicts_are_conserved", of_first("verdict", lambda it: it == "kept", always("takedown"))),
        ("verdicts", "kept_documents_survived", of_first("verdict", lambda it: it == "takedown", always("kept"))),
        ("tokens", "documents_are_tokenised", of_first("ids", lambda ids: ids is None, always([0]))),
        ("tokens", "documents_are_tokenised", of_first("ids_hash", lambda ids: ids is None, always(7))),
        ("tokens", "documents_are_tokenised", of_first("ids_hash", bool, always(None))),
        ("tokens", "corpus_and_tombstones_have_one_row", of_first("ids", lambda ids: ids is None, always([0]))),
        ("profile", "profile_adds_up", of_first("measure", lambda it: it == "taken_down", always("lost"))),
    ],
)
def test_checks_find_what_is_wrong_with_a_takedown(taken: Taken, name: str, check: str, fault: Fault) -> None:
    station = station_of(taken.line, name)
    place = taken.line.lake.partition(station.key, SAMPLE_SNAPSHOT)
    (chosen,) = [one for one in station.checks if one.name == check]
    assert verdict(taken.line, station, chosen, table_of(place), files_of(place))
    assert not verdict(taken.line, station, chosen, fault(table_of(place)), files_of(place))


@pytest.mark.parametrize("name", ["takedowns", "tombstones", "tokens"])
def test_contracts_find_what_is_wrong_with_a_takedown(taken: Taken, name: str, tmp_path: Path) -> None:
    station, lake = station_of(taken.line, name), taken.line.lake
    check, *_ = station.checks
    assert isinstance(check, ContractCheck)
    for rule in check.rules:
        if rule.kind not in ("columns", "rows"):
            fault = partial(with_faults, rules=[rule])
            assert rule.says in broken(judged(lake, station, SAMPLE_SNAPSHOT, fault, tmp_path / name)), rule.says


def test_copies_of_the_shards_follow(taken: Taken) -> None:
    """Parquet is written anew for the shards that changed alone; nothing of the pages is in either format."""
    hit = shards_of(taken.before, taken.kept)
    copies = taken.runs["parquet_shards"]
    assert (copies.parts_done, copies.parts_reused) == (len(hit), len(shard_files(taken.line)) // 2 - len(hit))
    rows = pl.read_parquet(partition(taken.line, "parquet_shards").paths(".parquet"))
    assert set(rows["docs"].explode()) == set(table(taken.line, "corpus")["doc"])
    shards = taken.runs["training_shards"].manifest.stats
    for name in ("parquet_shards", "mds_shards"):
        assert taken.runs[name].manifest.stats["tokens"] == shards["tokens"]


def test_a_takedown_is_no_loss(taken: Taken) -> None:
    """Of the documents that are not taken down the same share is kept, so that nothing seems to drift."""
    before, now = (
        {(row["measure"], row["class"]): row for row in table(line, "profile").iter_rows(named=True)}
        for line in (taken.before, taken.line)
    )
    gone = now.pop(("taken_down", "takedown"))
    texts = {
        doc
        for doc, station in table(taken.before, "verdicts").select("doc", "station").iter_rows()
        if station != "acquisition"
    }
    assert gone["documents"] == len(taken.docs & texts) >= len(taken.kept)
    assert before.keys() >= now.keys()
    for name in (("records", "per WARC file"), *(key for key in now if key[0] in ("lost", "languages"))):
        assert now[name] == before[name]
    for name in ("of records", "of texts"):
        was, left = before["kept", name], now["kept", name]
        assert was["documents"] - left["documents"] == len(taken.kept)
        assert was["of"] - left["of"] == gone["documents"]
    flow = [row for (measure, _), row in now.items() if measure == "dropped"]
    assert flow[-1]["of"] - flow[-1]["documents"] == now["kept", "of texts"]["documents"]
    assert sum(row["documents"] for (measure, _), row in now.items() if measure == "tokens") == len(
        table(taken.line, "corpus")
    )


def test_the_report_counts_takedowns_and_shows_none(taken: Taken) -> None:
    (page,) = partition(taken.line, "snapshot_report").paths(".html")
    words = page.read_text()
    assert f"{taken.runs['training_shards'].manifest.stats['tokens']:,}" in words
    assert "takedowns" in words
    gone = table(taken.line, "verdicts").filter(pl.col("verdict") == "takedown")
    for value in (*gone["url"], *gone["record_id"], *gone["detail"]):
        assert value not in words
    shown = taken.runs["verdicts"].station.show
    assert shown is not None
    told = str(shown(taken.runs["verdicts"]).dropped)
    assert not any(url in told for url in gone["url"])


def test_the_status_is_stale_until_it_is_run(taken: Taken, tmp_path: Path) -> None:
    line = copied(taken.before, tmp_path / "lake")
    assert {one.state for one in standings(line.stations, line.lake, SAMPLE_SNAPSHOT)} == {"current"}
    add(line.lake, "url", table(line, "corpus")["url"][0], "asked", DATE)
    stale = {one.station.name for one in standings(line.stations, line.lake, SAMPLE_SNAPSHOT) if one.state == "stale"}
    assert {"takedowns", "tombstones", "verdicts", "training_shards"} <= stale
    assert not stale & {"warc_files", "documents", "signals", "minhash_duplicates"}


@pytest.mark.parametrize("name", ["parquet_shards", "mds_shards"])
def test_an_audit_finds_a_copy_that_was_not_made_again(taken: Taken, name: str, tmp_path: Path) -> None:
    line = copied(taken.line, tmp_path / "lake")
    shutil.rmtree(partition(line, name).folder)
    shutil.copytree(partition(taken.before, name).folder, partition(line, name).folder)
    (result,) = audit(line.lake, None, None, DATE)[0].results
    assert result.faults == [f"{name} holds tokens of {len(taken.kept)} documents"]


def test_checks_find_the_segments_of_what_is_gone(taken: Taken) -> None:
    """Shards that were not written again: the segments of before, and the files of before."""
    station = station_of(taken.line, "training_shards")
    (check,) = station.conservation
    old, new = (line.lake.partition(station.key, SAMPLE_SNAPSHOT) for line in (taken.before, taken.line))
    assert not verdict(taken.line, station, check, table_of(old), files_of(old))
    assert not verdict(taken.line, station, check, table_of(old), files_of(new))
    assert not verdict(taken.line, station, check, table_of(new), files_of(old))


def test_it_is_explained_before_and_after(taken: Taken, chosen: dict[Kind, str], tmp_path: Path) -> None:
    name = chosen["record"]
    (after,) = explain(taken.line.lake, "fineweb", name)
    assert after.verdict["verdict"] == "takedown"
    assert after.pending is None
    assert after.segments == []
    waiting = copied(taken.before, tmp_path / "lake")
    add(waiting.lake, "record", name, "asked", DATE)
    (before,) = explain(waiting.lake, "fineweb", name)
    assert (before.verdict["verdict"], before.pending) == ("kept", "T1: asked")
    (other,) = explain(waiting.lake, "fineweb", table(waiting, "corpus")["record_id"][-1])
    assert other.pending is None


def test_an_audit_fails_before_the_run_and_passes_after_it(
    taken: Taken, chosen: dict[Kind, str], tmp_path: Path
) -> None:
    waiting = copied(taken.before, tmp_path / "lake")
    with pytest.raises(ValueError, match="nothing to audit"):
        audit(waiting.lake, None, None, DATE)
    for kind, value in chosen.items():
        add(waiting.lake, kind, value, "asked", DATE)
    record, path = audit(waiting.lake, None, None, DATE)
    (result,) = record.results
    assert not record.passed
    told = " ".join(result.faults)
    assert all(f"{name} h" in told for name in ("verdicts", "corpus", "tokens"))
    assert "training_shards: " in told
    assert json.loads(path.read_bytes())["passed"] is False

    record, path = audit(taken.line.lake, None, None, DATE)
    (result,) = record.results
    assert (record.passed, result.faults) == (True, [])
    assert result.packed == result.recomputed == len(taken.kept)
    changed = {name.split(".")[0] for name in result.shards_changed if name.startswith("shard-")}
    assert changed == shards_of(taken.before, taken.kept)
    assert result.shards_unchanged > 0
    assert any("documents" in place.get("table", "") for place in result.remains)
    assert sum("warc_offset" in place for place in result.remains) == result.documents
    assert audit(taken.line.lake, "T1", SAMPLE_SNAPSHOT, DATE)[0].passed
    assert audit(taken.line.lake, "T1", "CC-MAIN-1999-01", DATE)[0].results == []


def test_an_audit_finds_ids_that_were_left_in_a_shard(taken: Taken, tmp_path: Path) -> None:
    """The old shard under the name of the new one, and a manifest that believes it."""
    line = copied(taken.line, tmp_path / "lake")
    place, old = partition(line, "training_shards"), partition(taken.before, "training_shards")
    name = f"{min(shards_of(taken.before, taken.kept))}.bin"
    shutil.copyfile(old.folder / name, place.folder / name)
    (result,) = audit(line.lake, None, None, DATE)[0].results
    assert f"training_shards: {name} is not the file that was committed" in result.faults
    assert any("holds other ids than those of its documents" in fault for fault in result.faults)
    assert any("where they were" in fault for fault in result.faults)


def test_an_audit_finds_what_a_killed_run_left(taken: Taken, tmp_path: Path) -> None:
    line = copied(taken.line, tmp_path / "lake")
    partition(line, "corpus").staging.mkdir()
    (result,) = audit(line.lake, None, None, DATE)[0].results
    assert result.faults == ["corpus holds what an unfinished run wrote"]


def test_revoking_brings_the_original_bytes_back(taken: Taken, engine: LocalEngine, tmp_path: Path) -> None:
    line = copied(taken.line, tmp_path / "lake")
    for number, entry in enumerate(taken.entries, 1):
        if number > 1:  # one takedown less, and what the others take down is still gone
            assert same_bytes(line, taken.line, ("tokens",)) is (number == 1)
        with TakedownList(line.lake.root).changing() as listed:
            listed.revoke(entry.id, "agreed", DATE)
        if number in (1, len(taken.entries)):
            run(line, engine, "tokens" if number == 1 else "snapshot_report")
    names = tuple(station.name for station in line.stations)
    assert same_bytes(line, taken.before, names)
    with pytest.raises(ValueError, match="no takedown T1 is in force"):
        audit(line.lake, "T1", None, DATE)


def test_the_data_version_changes_for_what_is_hit_and_comes_back(taken: Taken, tmp_path: Path) -> None:
    line = copied(taken.line, tmp_path / "lake")
    snapshots = {SAMPLE_SNAPSHOT, "CC-MAIN-1999-01"}
    versions = [data_versions(TakedownList(line.lake.root), snapshots)]
    page = table(line, "corpus")["url"][-1]
    entry, _ = add(line.lake, "url", page, "asked", DATE)
    versions.append(data_versions(TakedownList(line.lake.root), snapshots))
    with TakedownList(line.lake.root).changing() as listed:
        listed.revoke(entry.id, "agreed", DATE)
    versions.append(data_versions(TakedownList(line.lake.root), snapshots))
    assert versions[0] == versions[2]
    assert {name for name in snapshots if versions[0][name] != versions[1][name]} == {SAMPLE_SNAPSHOT}


def test_a_second_takedown_of_the_same_page_keeps_its_place(taken: Taken, engine: LocalEngine, tmp_path: Path) -> None:
    """The first one is revoked; the page stays out, and everything else where it is."""
    line = copied(taken.line, tmp_path / "lake")
    (url,) = table(line, "verdicts").filter(pl.col("detail") == "T1: because of url")["url"]
    entry, _ = add(line.lake, "pattern", url, "again", DATE)
    assert entry.found[0].packed == 1
    with TakedownList(line.lake.root).changing() as listed:
        listed.revoke("T1", "agreed", DATE)
    run(line, engine, "training_shards")
    assert same_bytes(line, taken.line, ("packed_sequences", "training_shards", "tokenizer"))


def test_another_recipe_packs_as_if_it_had_never_been_there(taken: Taken, engine: LocalEngine, tmp_path: Path) -> None:
    line = copied(taken.line, tmp_path / "lake")
    other = Line(line.settings.model_copy(update={"recipe_set": {**SMALL, "packing.seed": 2}}))
    runs = run(other, engine, "mds_shards")
    assert runs["tombstones"].manifest.stats["rows_out"] == 0
    shards = partition(other, "training_shards")
    assert json.loads((shards.folder / "manifest.json").read_bytes())["taken_down"]["documents"] == 0
    held = set(pl.read_parquet(shards.folder / "segments.parquet")["doc"])
    assert held == set(table(taken.before, "corpus")["doc"]) - taken.kept
    assert audit(other.lake, None, None, DATE)[0].passed


class Killed(BaseException):
    """What stands for a kill."""


@pytest.fixture
def waiting(taken: Taken, tmp_path: Path, engine: LocalEngine) -> Line:
    """A lake where everything but the shards is made again already."""
    line = copied(taken.line, tmp_path / "lake")
    shutil.rmtree(partition(line, "training_shards").folder)
    shutil.copytree(partition(taken.before, "training_shards").folder, partition(line, "training_shards").folder)
    return line


@pytest.mark.parametrize("place", ["shards", "renaming", "manifest"])
def test_shards_that_were_finished_outlive_a_kill(
    waiting: Line, taken: Taken, engine: LocalEngine, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    added: list[str] = []
    real_add, real_replace = Finished.add, Path.replace

    def add_one(self: Finished, file: File) -> None:
        real_add(self, file)
        added.append(file.name)
        if place == "shards" and len(added) == 2:
            raise Killed

    def replace(self: Path, target: Path) -> Path:
        last = {"renaming": added[-1:], "manifest": [MANIFEST]}.get(place, [])
        if target in [partition(waiting, "training_shards").folder / name for name in last]:
            raise Killed
        return real_replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Finished, "add", add_one)
        patch.setattr(Path, "replace", replace)
        with pytest.raises(Killed):
            run_shards(waiting, engine)
    made = len(shards_of(taken.before, taken.kept))
    finished = 1 if place == "shards" else made
    again = run_shards(waiting, engine)
    assert written(again) == made - finished
    assert content(waiting) == content(taken.line)


def test_a_shard_that_was_damaged_by_the_kill_is_written_again(
    waiting: Line, taken: Taken, engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_add = Finished.add
    added: list[str] = []

    def add_one(self: Finished, file: File) -> None:
        real_add(self, file)
        added.append(file.name)
        if len(added) == 2:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Finished, "add", add_one)
        with pytest.raises(Killed):
            run_shards(waiting, engine)
    staged = partition(waiting, "training_shards").staging / added[0]
    staged.write_bytes(bytes(staged.stat().st_size))
    run_shards(waiting, engine)
    assert content(waiting) == content(taken.line)


def test_a_shard_that_is_gone_is_the_only_one_written(taken: Taken, engine: LocalEngine, tmp_path: Path) -> None:
    line = copied(taken.line, tmp_path / "lake")
    shard_files(line)["shard-00001.bin"].unlink()
    assert written(run_shards(line, engine)) == 1
    assert content(line) == content(taken.line)


def test_dagster_shows_the_partitions_that_are_hit_as_stale(
    taken: Taken, sample: Path, engine: LocalEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two snapshots, a takedown that hits one of them: there the tables are stale until they are made again."""
    copied(taken.before, tmp_path / "lake")
    shutil.copytree(sample, tmp_path / "mirror")
    other = "CC-MAIN-2000-02"
    add_snapshot(tmp_path / "mirror", sample, other, [], ["<p>" + "</p><p>".join(prose(7)) + "</p>"])
    chosen = {"source": str(tmp_path / "mirror"), "lake": str(tmp_path / "lake"), "recipe_set": SMALL, "workers": 2}
    (tmp_path / "settings.yaml").write_text(json.dumps(chosen))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("CURATION_SETTINGS", str(tmp_path / "settings.yaml"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CURATION_STATE", raising=False)
    silent = Console(quiet=True)
    for snapshot in (SAMPLE_SNAPSHOT, other):
        materialise(Settings(), snapshot, silent)

    def stale() -> set[tuple[str, str]]:
        graph = build_definitions(Settings()).resolve_asset_graph()
        with open_instance(Settings(), silent) as instance:
            resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
            return {
                (key.path[-1], snapshot)
                for key in graph.materializable_asset_keys
                for snapshot in (SAMPLE_SNAPSHOT, other)
                if resolver.get_status(key, snapshot) == StaleStatus.STALE
            }

    assert stale() == set()
    url = table(taken.before, "corpus")["url"][0]
    assert runner.invoke(app, ["takedown", "add", "--url", url, "--reason", "asked"]).exit_code == 0
    shards = ("training_shards", "parquet_shards", "mds_shards")
    told = ("takedowns", "tombstones", "verdicts", "corpus", "tokens", *shards, "snapshot_report")
    assert stale() == {(name, SAMPLE_SNAPSHOT) for name in told}
    materialise(Settings(), SAMPLE_SNAPSHOT, silent)
    assert stale() == set()
    assert runner.invoke(app, ["takedown", "audit"]).exit_code == 0
    assert runner.invoke(app, ["takedown", "revoke", "T1", "--reason", "agreed"]).exit_code == 0
    assert stale() == {(name, SAMPLE_SNAPSHOT) for name in told}


def test_the_commands_say_what_is_hit_what_to_run_and_when_it_is_gone(
    taken: Taken, engine: LocalEngine, tmp_path: Path
) -> None:
    line = copied(taken.before, tmp_path / "lake")
    lake = ["--lake", str(line.lake.root)]

    def command(*arguments: str) -> tuple[int, str]:
        result = runner.invoke(app, ["takedown", *arguments, *lake])
        return result.exit_code, result.output

    assert command("list") == (0, "No takedown was ever recorded in this lake.\n")
    assert command("audit")[0] == 1
    assert command("add", "--reason", "x")[0] == 1
    assert command("add", "--reason", "x", "--url", "a", "--host", "b")[0] == 1
    assert command("add", "--reason", " ", "--host", "b.example")[0] == 1
    url = table(line, "corpus")["url"][0]
    code, told = command("add", "--url", url, "--reason", "[bold]asked\x1b[31m", "--dry-run")
    assert (code, "would take" in told) == (0, True)
    assert command("list")[1].startswith("No takedown")
    code, told = command(
        "add", "--url", url, "--reason", "[bold]asked\x1b[31m", "--source", "s3://a/", "--set", "a=b c"
    )
    assert code == 0
    assert "fineweb  CC-MAIN-2000-01          1     1" in told
    assert f" run --snapshot {SAMPLE_SNAPSHOT} --source s3://a/ --lake {line.lake.root} --set 'a=b c'" in told
    assert f" takedown audit T1 --lake {line.lake.root}\n" in told
    code, told = command("audit")
    assert (code, "still there" in told, f" run --snapshot {SAMPLE_SNAPSHOT} --lake" in told) == (1, True, True)
    run(line, engine, "mds_shards")
    code, told = command("audit", "T1")
    assert (code, "gone" in told, "→" in told) == (0, True, True)
    code, told = command("list")
    assert "\x1b" not in told
    assert "[bold]asked" in told
    assert "in force" in told
    assert command("add", "--host", "nowhere.example", "--reason", "x")[1].endswith("nothing needs to be run.\n")
    assert command("revoke", "T1", "--reason", "agreed")[0] == 0
    assert command("revoke", "T1", "--reason", "agreed")[0] == 1


def test_looking_changes_nothing(taken: Taken) -> None:
    before = content(taken.line)
    rule = TakedownList(taken.line.lake.root).next_rule("host", "example", "all of them")
    found, hits = look(taken.line.lake, rule)
    assert found[0].documents == hits.num_rows > 100
    assert content(taken.line) == before


def test_a_list_that_was_changed_stops_a_run(taken: Taken, engine: LocalEngine, tmp_path: Path) -> None:
    line = copied(taken.line, tmp_path / "lake")
    path = TakedownList(line.lake.root).path
    path.write_bytes(path.read_bytes().replace(b"because of url", b"because of fun"))
    with pytest.raises(LakeError, match=r"list\.jsonl, line 2, does not follow"):
        run(line, engine)


def test_hits_that_were_changed_are_refused(taken: Taken, engine: LocalEngine, tmp_path: Path) -> None:
    line = copied(taken.line, tmp_path / "lake")
    listed = TakedownList(line.lake.root)
    listed.hits_path("T2").write_bytes(listed.hits_path("T1").read_bytes())
    add(line.lake, "host", "www.harbour-gazette.example", "asked", DATE)
    with pytest.raises(LakeError, match="changed since T2 was added"):
        run(line, engine)


def test_tombstones_of_whole_shards_leave_empty_ones(taken: Taken, engine: LocalEngine, tmp_path: Path) -> None:
    line = copied(taken.before, tmp_path / "lake")
    add(line.lake, "pattern", "re:.", "everything", DATE)
    runs = run(line, engine)
    assert runs["training_shards"].manifest.stats["tokens"] == 0
    reader = ShardReader(partition(line, "training_shards").folder)
    assert len(reader) == 0
    assert len(reader.manifests[0]["shards"]) == len(shard_files(line)) / 2
    assert audit(line.lake, None, None, DATE)[0].passed
    assert set(table(line, "verdicts").filter(pl.col("station") != "acquisition")["verdict"]) == {"takedown"}
