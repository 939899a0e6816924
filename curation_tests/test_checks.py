"""Every check is shown to fail: the fault that it is there for is put into the table, and it says so."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.lake.checks import Check, stats_view
from curation_assets.lake.lake import Partition
from curation_assets.lake.query import Source, query, source
from curation_assets.lake.station import Staged, Station
from curation_assets.line import Line
from curation_tests.conftest import Curated

Fault = Callable[[pa.Table], pa.Table]


def without_first(table: pa.Table) -> pa.Table:
    return table.slice(1)


def first_instead_of_last(table: pa.Table) -> pa.Table:
    return pa.concat_tables([table.slice(0, table.num_rows - 1), table.slice(0, 1)])


def swapped(one: str, other: str) -> Fault:
    def swap(table: pa.Table) -> pa.Table:
        a, b = table.column_names.index(one), table.column_names.index(other)
        return table.set_column(a, one, table[other]).set_column(b, other, table[one])

    return swap


def replaced(column: str, change: Callable[[np.ndarray], None]) -> Fault:
    def replace(table: pa.Table) -> pa.Table:
        values = table[column].to_numpy().copy()
        change(values)
        field = table.schema.field(column)
        return table.set_column(table.column_names.index(column), field, pa.array(values, field.type))

    return replace


def kept_after_all(table: pa.Table) -> pa.Table:
    verdicts = table["verdict"].to_pylist()
    verdicts[next(i for i, verdict in enumerate(verdicts) if verdict != "kept")] = "kept"
    return table.set_column(table.column_names.index("verdict"), "verdict", pa.array(verdicts))


def emptied(column: str) -> Fault:
    def empty(table: pa.Table) -> pa.Table:
        values = table[column].to_pylist()
        values[values.index(next(value for value in values if value))] = ""
        field = table.schema.field(column)
        return table.set_column(table.column_names.index(column), field, pa.array(values, field.type))

    return empty


def shortened(column: str) -> Fault:
    def shorten(table: pa.Table) -> pa.Table:
        field = table.schema.field(column)
        values = [value[:20] for value in table[column].to_pylist()]
        return table.set_column(table.column_names.index(column), field, pa.array(values, field.type))

    return shorten


def one_row(table: pa.Table, **values: Any) -> pa.Table:
    return pa.Table.from_pylist([values], table.schema)


def moved(values: np.ndarray) -> None:
    values[np.argmax(values > 0)] += 1


def one_more(values: np.ndarray) -> None:
    values[0] += 1


def other_ids(change: Callable[[list[int]], list[int]]) -> Fault:
    """The first document's ids changed, and its count with them."""

    def replace(table: pa.Table) -> pa.Table:
        ids, counts = table["ids"].to_pylist(), table["token_count"].to_pylist()
        ids[0] = change(ids[0])
        counts[0] = len(ids[0])
        return table.set_column(1, "token_count", pa.array(counts, pa.int32())).set_column(
            2, "ids", pa.array(ids, table.schema.field("ids").type)
        )

    return replace


def exchanged(values: np.ndarray) -> None:
    other = np.argmax(values != values[0])
    values[0], values[other] = values[other], values[0]


FAULTS: list[tuple[str, str, Fault]] = [
    ("warc_files", "warc_files_are_listed_once", first_instead_of_last),
    ("documents", "records_are_conserved", without_first),
    ("documents", "records_are_conserved", first_instead_of_last),
    ("documents", "records_are_conserved", emptied("text")),
    ("url_matches", "every_document_has_one_row", without_first),
    ("languages", "every_document_has_one_row", first_instead_of_last),
    ("signals", "every_document_has_one_row", replaced("doc", one_more)),
    ("filter_verdicts", "every_document_has_one_row", without_first),
    ("pii_spans", "kept_documents_have_one_row", without_first),
    ("minhash_signatures", "survivors_have_one_row", first_instead_of_last),
    ("minhash_duplicates", "clusters_have_one_survivor", without_first),
    ("minhash_duplicates", "clusters_have_one_survivor", replaced("cluster_size", one_more)),
    ("verdicts", "verdicts_are_conserved", without_first),
    ("verdicts", "verdicts_are_conserved", kept_after_all),
    ("verdicts", "verdicts_are_conserved", swapped("record_id", "url")),
    ("verdicts", "verdicts_are_conserved", first_instead_of_last),
    ("verdicts", "verdicts_are_conserved", lambda table: of_first("verdict", always(True), always("takedown"))(table)),
    ("verdicts", "kept_documents_survived", kept_after_all),
    (
        "takedowns",
        "takedowns_are_documents",
        lambda table: one_row(table, doc=1 << 60, takedowns=["T1"], detail="T1: x"),
    ),
    ("tombstones", "tombstones_are_taken_down", lambda table: one_row(table, doc=0, token_count=3)),
    ("corpus", "corpus_is_what_was_kept", without_first),
    ("corpus", "corpus_is_what_was_kept", emptied("text")),
    ("corpus", "corpus_is_what_was_kept", swapped("record_id", "url")),
    ("corpus", "corpus_is_what_was_kept", shortened("text")),
    ("tokens", "documents_are_tokenised", without_first),
    ("tokens", "documents_are_tokenised", replaced("token_count", one_more)),
    ("tokens", "documents_are_tokenised", other_ids(lambda ids: [60_000, *ids[1:]])),
    ("tokens", "documents_are_tokenised", other_ids(lambda ids: ids[:-1])),
    ("tokens", "documents_are_tokenised", other_ids(lambda ids: [ids[-1], *ids])),
    ("tokens", "documents_are_tokenised", other_ids(lambda ids: [])),
    ("packed_sequences", "tokens_are_conserved", without_first),
    ("packed_sequences", "tokens_are_conserved", first_instead_of_last),
    ("packed_sequences", "tokens_are_conserved", replaced("token_count", one_more)),
    ("packed_sequences", "tokens_are_conserved", replaced("position", moved)),
    ("packed_sequences", "tokens_are_conserved", replaced("token_start", one_more)),
    ("training_shards", "shards_hold_all_tokens", without_first),
    ("training_shards", "shards_hold_all_tokens", replaced("doc", exchanged)),
]


def station_of(line: Line, name: str) -> Station:
    return next(station for station in line.stations if station.name == name)


def table_of(partition: Partition) -> pa.Table:
    arrow = partition.paths(".arrow")
    if arrow:
        return ds.dataset(arrow, format="ipc").to_table()
    return ds.dataset(partition.paths(".parquet"), format="parquet").to_table()


def verdict(
    line: Line,
    station: Station,
    check: Check,
    this: pa.Table,
    files: dict[str, int],
    snapshot: str = SAMPLE_SNAPSHOT,
    **stats: dict[str, int],
) -> bool:
    """What a check says of a table, of files, and of counters that replace those of `stats` or `<input>_stats`."""
    inputs = {name: line.lake.partition(key, snapshot) for name, key in station.sources.items()}
    counters = {f"{name}_stats": partition.manifest().stats for name, partition in inputs.items()}
    counters["stats"] = line.lake.partition(station.key, snapshot).manifest().stats
    views: dict[str, Source] = {name: source(inputs[name].paths()) for name in station.inputs}
    views |= {name: stats_view({**found, **stats.get(name, {})}) for name, found in counters.items()}
    views["this"] = this
    views["files"] = pa.table({"name": list(files), "bytes": list(files.values())})
    (row,) = query(check.sql, views, check.parameters).to_pylist()
    return row["passed"]


def files_of(partition: Partition) -> dict[str, int]:
    return {file.name: file.bytes for file in partition.manifest().files}


@pytest.mark.parametrize(("name", "check", "fault"), FAULTS, ids=[f"{n}-{i}" for i, (n, *_) in enumerate(FAULTS)])
def test_a_fault_is_found(line: Line, staged: dict[str, Staged], name: str, check: str, fault: Fault) -> None:
    station = station_of(line, name)
    partition = line.lake.partition(station.key, SAMPLE_SNAPSHOT)
    (judged,) = [one for one in station.checks if one.name == check]
    sound = table_of(partition)
    assert verdict(line, station, judged, sound, files_of(partition))
    assert not verdict(line, station, judged, fault(sound), files_of(partition))


@pytest.mark.parametrize("suffix", [".bin", ".idx"])
def test_a_shard_file_that_is_short_or_gone_is_found(line: Line, staged: dict[str, Staged], suffix: str) -> None:
    station = station_of(line, "training_shards")
    partition = line.lake.partition(station.key, SAMPLE_SNAPSHOT)
    (judged,) = station.conservation
    sound, files = table_of(partition), files_of(partition)
    name = next(name for name in files if name.endswith(suffix))
    for size in (0, files[name] - 2):
        assert not verdict(line, station, judged, sound, {**files, name: size})


def test_ids_that_are_not_those_that_were_tokenised_are_found(line: Line, staged: dict[str, Staged]) -> None:
    """A shard file of the right size with other ids in it."""
    station = station_of(line, "training_shards")
    partition = line.lake.partition(station.key, SAMPLE_SNAPSHOT)
    (judged,) = station.conservation
    sound, files = table_of(partition), files_of(partition)
    read_again = partition.manifest().stats["id_sum"]
    assert not verdict(line, station, judged, sound, files, stats={"id_sum": read_again + 1})


def test_tokens_that_do_not_decode_to_their_text_are_found_unless_the_tokenizer_was_given(
    line: Line, staged: dict[str, Staged]
) -> None:
    station = station_of(line, "tokens")
    partition = line.lake.partition(station.key, SAMPLE_SNAPSHOT)
    (judged,) = [one for one in station.checks if one.name == "documents_are_tokenised"]
    sound, files, lost = table_of(partition), files_of(partition), {"irreversible_documents": 1}
    assert partition.manifest().stats["sampled_documents"] > 0
    assert not verdict(line, station, judged, sound, files, stats=lost)
    assert verdict(line, station, judged, sound, files, stats=lost, tokenizer_stats={"given": 1})


def of_first(column: str, which: Callable[[Any], bool], change: Callable[[Any], Any]) -> Fault:
    """The first value of a column for which something holds, changed."""

    def replace(table: pa.Table) -> pa.Table:
        values, field = table[column].to_pylist(), table.schema.field(column)
        row = next(row for row, value in enumerate(values) if which(value))
        values[row] = change(values[row])
        return table.set_column(table.column_names.index(column), field, pa.array(values, field.type))

    return replace


def always(value: Any) -> Callable[[Any], Any]:
    return lambda _: value


def moved_span(spans: list[dict[str, int]]) -> list[dict[str, int]]:
    return [{"start": spans[0]["start"] + 1, "end": spans[0]["end"] + 1}, *spans]


def empty_span(spans: list[dict[str, int]]) -> list[dict[str, int]]:
    return [*spans, {"start": spans[-1]["end"], "end": spans[-1]["end"]}]


FAULTS_OF_METHODS: list[tuple[str, str, str, Fault]] = [
    ("every_method", "text_keys", "survivors_of_deduplication_have_one_row", without_first),
    ("every_method", "quality_scores", "survivors_of_deduplication_have_one_row", replaced("doc", one_more)),
    ("every_method", "substring_duplicates", "survivors_of_deduplication_have_one_row", first_instead_of_last),
    *(
        ("every_method", method, "cuts_cover_the_compared", fault)
        for method in ("segment_duplicates", "bloom_duplicates")
        for fault in (
            without_first,
            first_instead_of_last,
            of_first("survivor", bool, always(None)),
            of_first("value", always(True), always(None)),
            of_first("spans", bool, moved_span),
            of_first("spans", bool, empty_span),
        )
    ),
    *(
        (recipe, method, "clusters_have_one_survivor", fault)
        for recipe, method in (("every_method", "simhash_duplicates"), ("fineweb2", "minhash_duplicates"))
        for fault in (
            without_first,
            of_first("survivor", lambda survivor: not survivor, always(True)),
            of_first("survivor", bool, always(False)),
            of_first("cluster", always(True), lambda cluster: cluster + 1),
            of_first("doc", always(True), lambda doc: doc + (1 << 40)),
        )
    ),
    # A survivor that is said to be elsewhere: nothing here may survive, and only where snapshots are compared at all.
    (
        "fineweb2",
        "minhash_duplicates",
        "clusters_have_one_survivor",
        of_first("cluster_snapshot", always(True), always("CC-MAIN-1999-01")),
    ),
    (
        "every_method",
        "minhash_duplicates",
        "clusters_have_one_survivor",
        of_first("cluster_snapshot", always(True), always("CC-MAIN-1999-01")),
    ),
    ("every_method", "pii_spans", "masks_are_conserved", of_first("masks", bool, always([]))),
    ("every_method", "corpus", "corpus_is_masked", of_first("text", lambda text: "@" in text, always("nobody"))),
    ("every_method", "verdicts", "kept_documents_survived", kept_after_all),
    (
        "every_method",
        "verdicts",
        "kept_documents_survived",
        of_first("verdict", lambda verdict: verdict == "kept", always("substring_duplicate")),
    ),
    *(
        ("every_method", weights, "corpus_documents_have_one_row", fault)
        for weights in ("rehydration_weights", "soft_weights")
        for fault in (without_first, first_instead_of_last, replaced("doc", one_more))
    ),
    *(
        ("every_method", "parquet_shards", "parquet_holds_the_shards", fault)
        for fault in (
            without_first,
            first_instead_of_last,
            of_first("input_ids", bool, lambda ids: [ids[0] + 1, *ids[1:]]),
            of_first("input_ids", bool, lambda ids: ids[:-1]),
            of_first("seq_lengths", lambda pieces: len(pieces) > 1, lambda pieces: [pieces[0] + 1, pieces[1] - 1]),
            of_first("docs", bool, lambda docs: [docs[0] + 1, *docs[1:]]),
            of_first("token_starts", bool, lambda starts: [starts[0] + 1, *starts[1:]]),
            replaced("sequence", one_more),
            replaced("shard", one_more),
        )
    ),
    *(
        ("every_method", edits, "kept_documents_have_one_row", without_first)
        for edits in ("encoding_edits", "pii_spans", "symbol_lines_edits")
    ),
]


@pytest.mark.parametrize(
    ("recipe", "name", "check", "fault"),
    FAULTS_OF_METHODS,
    ids=[f"{name}-{i}" for i, (_, name, *_) in enumerate(FAULTS_OF_METHODS)],
)
def test_a_fault_of_a_method_is_found(
    curated: dict[str, Curated], recipe: str, name: str, check: str, fault: Fault
) -> None:
    line, snapshot, _ = curated[recipe]
    station = station_of(line, name)
    partition = line.lake.partition(station.key, snapshot)
    (judged,) = [one for one in station.checks if one.name == check]
    sound, files = table_of(partition), files_of(partition)
    assert verdict(line, station, judged, sound, files, snapshot)
    assert not verdict(line, station, judged, fault(sound), files, snapshot)


def test_every_station_of_every_recipe_misses_a_row(curated: dict[str, Curated]) -> None:
    """Whatever a table is, its checks find that a row is gone; each kind of station once."""
    seen: set[str] = set()
    for line, snapshot, staged in curated.values():
        for station in line.stations:
            partition = line.lake.partition(station.key, snapshot)
            if station.name in seen or not staged[station.name].manifest.rows or not station.schema:
                continue
            seen.add(station.name)
            sound, files = table_of(partition), files_of(partition)
            found = [verdict(line, station, check, sound.slice(1), files, snapshot) for check in station.conservation]
            assert station.name == "warc_files" or not all(found), station.name
    assert len(seen) > 25


def test_mds_files_that_do_not_hold_the_shards_are_found(curated: dict[str, Curated]) -> None:
    line, snapshot, _ = curated["every_method"]
    station = station_of(line, "mds_shards")
    partition = line.lake.partition(station.key, snapshot)
    (judged,) = station.checks
    found, files, none = partition.manifest().stats, files_of(partition), pa.table({"unused": []})
    assert found["shards"] > 1

    def passed(files: dict[str, int], **stats: int) -> bool:
        return verdict(line, station, judged, none, files, snapshot, stats=stats)

    assert passed(files)
    for name, size in files.items():
        assert not passed({other: bytes for other, bytes in files.items() if other != name}), name
        assert name == "index.json" or not passed({**files, name: size - 1})
    for name in ("sequences", "tokens", "id_sum", "sequences_changed", "mds_bytes"):
        assert not passed(files, **{name: found[name] + 1}), name


def test_a_tokenizer_that_loses_text_is_found_unless_it_was_given() -> None:
    def passed(**stats: int) -> bool:
        views: dict[str, Source] = {"stats": pa.table({"name": list(stats), "value": list(stats.values())})}
        return query("checks/tokenizer_is_reversible", views).to_pylist()[0]["passed"]

    assert passed(vocabulary=300, given=0, sampled_documents=3, irreversible_documents=0)
    assert not passed(vocabulary=300, given=0, sampled_documents=3, irreversible_documents=1)
    assert passed(vocabulary=300, given=1, sampled_documents=3, irreversible_documents=1)
