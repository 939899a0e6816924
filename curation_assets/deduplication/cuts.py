"""Stations that cut what is repeated out of documents: lines and paragraphs, substrings, BFF's paragraphs.

Their tables have one row for each document that was left: the spans to cut and whether the document survives.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from curation_assets.deduplication import bloom
from curation_assets.deduplication.places import SURVIVORS_ARE_COUNTED, MethodParameters, Surroundings
from curation_assets.deduplication.segments import SEGMENTS, repeated_segments, segments
from curation_assets.deduplication.showing import show_cuts
from curation_assets.deduplication.substring import duplicate_spans
from curation_assets.filtering.characters import text_bytes
from curation_assets.filtering.survivors import read_texts, survivors
from curation_assets.lake.contracts import Column, Contract, spans
from curation_assets.lake.lake import LakeError, Partition, Stats
from curation_assets.lake.parts import ROW_BITS, PartWriter, part_number, read_table, split_by_part, values_of
from curation_assets.lake.station import Check, Inputs, PartStation, SnapshotJob, SnapshotStation, Station
from curation_assets.recipes.methods import BloomDuplicates, Method, SegmentDuplicates, SubstringDuplicates

DOC, DATE = pa.field("doc", pa.int64()), pa.field("date", pa.timestamp("us", "UTC"))
BYTES = pa.field("bytes", pa.int64())
CUTS = pa.schema([DOC, ("survivor", pa.bool_()), ("value", pa.float64()), ("spans", bloom.SPANS)])
"""One row for each document that was left, sorted by doc."""
CUT_BYTES, CUT_BYTES_BY_SHARE = (
    Check(
        "cut_bytes_are_conserved",
        "Bytes compared = bytes cut + bytes left; no span overlaps another.",
        {"value_is_bytes": value_is_bytes},
    )
    for value_is_bytes in (True, False)
)

BLOOM_WINDOWS = pa.schema([*bloom.WINDOWS, BYTES])
SEGMENT_KEYS = pa.schema([DOC, DATE, BYTES, ("segments", SEGMENTS)])
TEXTS = pa.schema([DOC, DATE, BYTES, ("text", pa.large_string())])


def cuts_contract(compared: str, most: float | None = None) -> Contract:
    """What holds of CUTS, whose documents are those of the table `compared`."""
    return Contract(
        {"doc": Column(references=f"{compared}.doc"), "value": Column(least=0, most=most)}, conditions=spans("spans")
    )


def cut(method: Method, around: Surroundings) -> list[Station]:
    """The stations of a method that cuts."""
    match method:
        case SegmentDuplicates():
            return _segment_stations(method, around)
        case SubstringDuplicates():
            return [_substring_station(method, around)]
        case BloomDuplicates():
            return _bloom_stations(method, around)
    raise TypeError(f"{method.name} cuts nothing")


def _columns(value: str) -> dict[str, str]:
    return {
        "survivor": "false for the documents that are dropped whole",
        "value": value,
        "spans": "start and end (bytes of the text before) of what is cut",
    }


def _segment_stations(method: SegmentDuplicates, around: Surroundings) -> list[Station]:
    name = around.recipe.name
    keys = PartStation(
        key=(name, "segment_keys"),
        group="deduplication",
        description=f"64-bit keys of the {method.unit}s of the documents that are left, for what C4 (Raffel et al. "
        "2020) "
        "and CCNet (Wenzek et al. 2020) do.",
        version="1",
        params=around.parameters(method),
        inputs=around.inputs,
        schema=SEGMENT_KEYS,
        step=write_segments,
        columns={"segments": f"where each {method.unit} is (bytes), and its key", "bytes": "size of the text"},
        contract=Contract(
            {"doc": Column(references="documents.doc"), "date": Column(null=True), "bytes": Column(least=0)},
            conditions={
                **spans("segments", "start", "stop", least=0),
                "segments lie in the text": 'segments[-1]."end" <= bytes',
            },
        ),
        conservation=(around.all_have_one_row(method),),
    )
    duplicates = SnapshotStation(
        key=(name, method.name),
        group="deduplication",
        description=f"{method.unit.capitalize()}s that occurred before in the "
        f"{'snapshot or in one before it' if method.scope == 'global' else method.scope} are cut, where the first "
        "is that of the earliest document, then of the smallest `doc` and position (after C4, Raffel et al. 2020, and "
        "CCNet, Wenzek et al. 2020). A document with fewer than "
        f"{method.min_left} bytes left is dropped.",
        version="2",
        params=method,
        inputs={"keys": keys.key},
        preceding={"keys": keys.key} if method.scope == "global" else {},
        schema=CUTS,
        step=cut_segments,
        contract=cuts_contract("keys"),
        show=show_cuts,
        columns=_columns("bytes of text that are left"),
        conservation=(
            Check("cuts_cover_the_compared", "Every compared document has one row; spans lie in its text."),
            SURVIVORS_ARE_COUNTED,
            CUT_BYTES,
        ),
    )
    return [keys, duplicates]


def write_segments(inputs: Inputs, writer: PartWriter, params: MethodParameters) -> None:
    """Write the keys of the lines or paragraphs of one part's documents."""
    method = params.method
    assert isinstance(method, SegmentDuplicates)
    for batch in read_texts(inputs, params.place.edits, survivors(inputs, params.place), ("date",)):
        found = segments(batch["text"], method.unit, fold_case=method.fold_case, min_length=method.min_length)
        writer.write(pa.table([batch["doc"], batch["date"], text_bytes(batch["text"]), found], schema=SEGMENT_KEYS))
        writer.count("rows_in", batch.num_rows)
        writer.count("rows_out", batch.num_rows)


def cut_segments(job: SnapshotJob) -> Stats:
    """Cut what occurred before; a table beside each part's others."""
    method: SegmentDuplicates = job.params
    paths = job.inputs["keys"].paths(".parquet")
    preceding = [path for one in job.preceding.get("keys", {}).values() for path in _keys_alike(one, method)]
    job.say(f"finding {method.unit}s that occurred before")
    found = repeated_segments(paths, "page" if method.scope == "page" else "snapshot", preceding)
    return _write_cuts(job.folder, paths, ((table["doc"].to_numpy(), table["removed"]) for table in found), method)


def _keys_alike(earlier: Partition, method: SegmentDuplicates) -> list[Path]:
    """The files of an earlier snapshot's keys; raises `LakeError` unless they are keys of the same segments."""
    made_with = (earlier.manifest().params or {})["method"]
    now = method.model_dump(mode="json")
    differing = [
        f"{name} {made_with[name]}" for name in ("unit", "fold_case", "min_length") if made_with[name] != now[name]
    ]
    if differing:
        raise LakeError(
            f"{earlier.name} was made with {', '.join(differing)}, which this recipe does not say: "
            f"run {earlier.snapshot} again, or give the recipe another `name`"
        )
    return earlier.paths(".parquet")


def _substring_station(method: SubstringDuplicates, around: Surroundings) -> SnapshotStation:
    return SnapshotStation(
        key=(around.recipe.name, method.name),
        group="deduplication",
        description=f"Spans of {method.length} {method.unit} or more that occur more than once in the snapshot are cut"
        f"{', but for the first' if method.keep == 'first' else ''} (after ExactSubstr, Lee et al. 2022). A document "
        f"with fewer than {method.min_left} bytes left is dropped.",
        version="2",
        params=around.parameters(method),
        inputs=around.inputs,
        schema=CUTS,
        step=cut_substrings,
        contract=cuts_contract("documents"),
        show=show_cuts,
        columns=_columns("bytes of text that are left"),
        origins={"spans": (("documents", "text"), ("documents", "date"))},
        conservation=(around.all_have_one_row(method), SURVIVORS_ARE_COUNTED, CUT_BYTES),
    )


@dataclass(frozen=True)
class TextJob:
    """The documents of one part that are left, to be written as they are now; picklable."""

    inputs: dict[str, Path]
    params: MethodParameters
    target: Path


def cut_substrings(job: SnapshotJob) -> Stats:
    """Find and cut the spans; the texts are written for it to a scratch folder, which is read three times."""
    params: MethodParameters = job.params
    method = params.method
    assert isinstance(method, SubstringDuplicates)
    scratch = job.folder / "scratch"
    scratch.mkdir()
    jobs = [
        TextJob(
            {name: partition.folder / path.name for name, partition in job.inputs.items()}, params, scratch / path.name
        )
        for path in job.inputs["documents"].paths(".parquet")
    ]
    paths: list[Path] = []
    for path in job.engine.map(write_texts, jobs):
        paths.append(path)
        job.say("writing texts", len(paths), len(jobs))
    paths.sort()
    job.say("finding repeated substrings")
    found = duplicate_spans(paths, unit=method.unit, length=method.length, keep=method.keep, scratch=scratch)
    stats = _write_cuts(job.folder, paths, [(found["doc"].to_numpy(), found["spans"])], method)
    shutil.rmtree(scratch)  # with what killed tasks left there
    return stats


def write_texts(job: TextJob) -> Path:
    """Write the texts of one part; the function that worker processes run."""
    with PartWriter(job.target, TEXTS, "") as writer:
        left = survivors(job.inputs, job.params.place)
        for batch in read_texts(job.inputs, job.params.place.edits, left, ("date",)):
            size = text_bytes(batch["text"])
            writer.write(pa.table([batch["doc"], batch["date"], size, batch["text"]], schema=TEXTS))
    return job.target


def _bloom_stations(method: BloomDuplicates, around: Surroundings) -> list[Station]:
    name = around.recipe.name
    windows = PartStation(
        key=(name, "bloom_windows"),
        group="deduplication",
        description=f"Hashes of the {method.ngram}-grams of words of the documents that are left, in the order of a "
        "hash of their record ids, as Arrow files that are memory-mapped: what DCLM's BFF (Li et al. 2024) compares.",
        version="1",
        params=around.parameters(method),
        inputs=around.inputs,
        schema=BLOOM_WINDOWS,
        suffix="arrow",
        step=write_windows,
        columns={
            "order": "hash of the record id: the order in which documents meet the filter",
            "paragraphs": "start and end (bytes) of each paragraph that has windows, and how many",
            "hashes": "hashes of all windows",
            "bytes": "size of the text",
        },
        contract=Contract(
            {"doc": Column(references="documents.doc"), "bytes": Column(least=0)},
            conditions={
                **spans("paragraphs"),
                "paragraphs lie in the text": 'paragraphs[-1]."end" <= bytes',
                "hashes are the windows of the paragraphs": "len(hashes) = coalesce("
                "list_sum(list_transform(paragraphs, lambda one: one.windows)), 0)",
            },
        ),
        conservation=(around.all_have_one_row(method),),
    )
    duplicates = SnapshotStation(
        key=(name, method.name),
        group="deduplication",
        description="DCLM's BFF (Li et al. 2024): documents pass a Bloom filter one by one; paragraphs of whose "
        f"{method.ngram}-grams more than {method.threshold} were seen are cut, and documents of which as many were. "
        "Which copy stays depends on the order, a hash of the record id, by design.",
        version="2",
        params=method,
        inputs={"keys": windows.key},
        schema=CUTS,
        step=cut_paragraphs,
        contract=cuts_contract("keys", most=1),
        show=show_cuts,
        columns=_columns("share of the document's n-grams that were seen before; 0 without any"),
        conservation=(
            Check("cuts_cover_the_compared", "Every compared document has one row; spans lie in its text."),
            SURVIVORS_ARE_COUNTED,
            CUT_BYTES_BY_SHARE,
        ),
    )
    return [windows, duplicates]


def write_windows(inputs: Inputs, writer: PartWriter, params: MethodParameters) -> None:
    """Hash the windows of one part's documents."""
    method = params.method
    assert isinstance(method, BloomDuplicates)
    sizes = []

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in read_texts(inputs, params.place.edits, survivors(inputs, params.place), ("record_id",)):
            sizes.append(pa.table({"doc": batch["doc"], "bytes": text_bytes(batch["text"])}))
            yield batch

    table = bloom.windows(batches(), method.ngram, method.seed, "record_id")
    known = pa.concat_tables([pa.schema([DOC, BYTES]).empty_table(), *sizes])
    rows = np.searchsorted(known["doc"].to_numpy(), table["doc"].to_numpy())
    writer.write(table.append_column(BYTES, known["bytes"].take(pa.array(rows))))
    writer.count("rows_in", table.num_rows)
    writer.count("rows_out", table.num_rows)


def cut_paragraphs(job: SnapshotJob) -> Stats:
    """Pass all documents through a filter that holds all their windows."""
    method: BloomDuplicates = job.params
    paths = job.inputs["keys"].paths(".arrow")
    job.say("passing documents through the filter")
    seen = bloom.BloomFilter.sized(bloom.count_windows(paths), method.false_positive_rate)
    found = bloom.deduplicate(paths, seen, method.threshold, method.level)
    value = found["contained"].fill_null(0).to_numpy().copy()
    survivor = ~found["removed"].to_numpy()
    # Paragraphs alone can leave nothing of a document: then all of it was seen before.
    sizes = _bytes_of(paths, found["doc"].to_numpy())
    gone = survivor & (sizes <= _cut_bytes(found["paragraphs"].combine_chunks()))
    survivor[gone], value[gone] = False, 1.0
    table = pa.table([found["doc"], pa.array(survivor), pa.array(value), found["paragraphs"]], schema=CUTS)
    for path, own in split_by_part(table, paths):
        with PartWriter((job.folder / path.name).with_suffix(".parquet"), CUTS, "") as writer:
            writer.write(own)
    return _counted(method, len(survivor), int((~survivor).sum()), int(sizes.sum()), found["paragraphs"])


def _bytes_of(paths: Sequence[Path], docs: np.ndarray) -> np.ndarray:
    """Bytes of the text of each of all documents of some parts of BLOOM_WINDOWS, in order of doc."""
    sizes = np.empty(len(docs), np.int64)
    for path in paths:
        with pa.memory_map(str(path)) as mapped, pa.ipc.open_file(mapped) as reader:
            own = reader.read_all().select(["doc", "bytes"])
            sizes[np.searchsorted(docs, own["doc"].to_numpy())] = own["bytes"].to_numpy()
    return sizes


def _write_cuts(
    folder: Path,
    paths: Sequence[Path],
    cuts: Iterator[tuple[np.ndarray, pa.ChunkedArray]] | list[tuple[np.ndarray, pa.ChunkedArray]],
    method: SegmentDuplicates | SubstringDuplicates,
) -> Stats:
    """One row for each document of `paths` (doc and bytes), from the spans to cut, in ascending order of doc."""
    pending = iter(cuts)
    docs, spans = next(pending, (np.empty(0, np.int64), pa.chunked_array([], bloom.SPANS)))
    rows = dropped = compared = 0
    cut: list[pa.Array] = []
    for path in paths:
        table = read_table(path, ["doc", "bytes"])
        own = table["doc"].to_numpy()
        while len(docs) and docs[-1] < part_number(path) << ROW_BITS:
            docs, spans = next(pending, (np.empty(0, np.int64), spans))
        found = values_of(own, docs, spans).cast(bloom.SPANS).fill_null([])
        left = table["bytes"].to_numpy() - _cut_bytes(found)
        survivor = (left >= method.min_left) | (found.value_lengths().to_numpy() == 0)
        with PartWriter(folder / path.name, CUTS, "") as writer:
            writer.write(pa.table([own, survivor, left.astype(np.float64), found], schema=CUTS))
        rows += len(own)
        dropped += int((~survivor).sum())
        compared += int(table["bytes"].to_numpy().sum())
        cut.append(found)
    return _counted(method, rows, dropped, compared, pa.chunked_array(cut, bloom.SPANS))


def _counted(method: Method, rows: int, dropped: int, compared: int, spans: pa.ChunkedArray) -> Stats:
    chunks = [chunk for chunk in spans.chunks if len(chunk)]
    return {
        "rows_in": rows,
        "rows_out": rows - dropped,
        f"dropped.{method.verdict}": dropped,
        "bytes_in": compared,
        "documents_cut": sum(int((chunk.value_lengths().to_numpy() > 0).sum()) for chunk in chunks),
        "bytes_cut": sum(int(_cut_bytes(chunk).sum()) for chunk in chunks),
    }


def _cut_bytes(spans: pa.ListArray) -> np.ndarray:
    """Bytes in the spans of each row, int64."""
    flat = spans.flatten()
    sizes = flat.field("end").to_numpy().astype(np.int64) - flat.field("start").to_numpy()
    ends = np.cumsum(spans.value_lengths().to_numpy())
    return np.diff(np.concatenate(([0], sizes)).cumsum()[np.concatenate(([0], ends))])
