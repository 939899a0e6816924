"""The stations of acquisition: the list of WARC files, and one row per response record."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from curation_assets.acquisition.archive import (
    Archive,
    ArchiveError,
    LocalArchive,
    MissingFileError,
    open_listed,
    retries_of,
    sample_files,
)
from curation_assets.acquisition.documents import DOCUMENTS, REASONS, Extraction, read_documents
from curation_assets.acquisition.loss import CAUSES, MISSING, Loss
from curation_assets.acquisition.showing import show_documents, show_warc_files
from curation_assets.filtering.characters import text_bytes
from curation_assets.lake.contracts import Column, Contract, each
from curation_assets.lake.lake import UNSETTLED, Key, Partition, Stats, fingerprint, shared_key
from curation_assets.lake.parts import PartWriter, part_name, read_table
from curation_assets.lake.station import Check, Inputs, PartJob, PartStation, SnapshotJob, SnapshotStation

RECORD_ID = Column(null=True, regex="<[a-z][a-z0-9+.-]*:[^<> ]+>", mostly=0.9)
URL = Column(null=True, regex="[a-zA-Z][a-zA-Z0-9+.-]*:.+", mostly=0.9)
"""Names as the archive gives them: a record may be called anything, and most are not."""

WARC_FILES = pa.schema(
    [("part", pa.int32()), ("warc_file", pa.string()), ("bytes", pa.int64()), ("sha256", pa.string())]
)


class WarcList(BaseModel):
    """Where the list comes from and how much of it is taken."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    warcs: int | None
    """Size of the deterministic sample of files; None takes all."""
    seed: int
    exclude: tuple[str, ...] = ()
    """Paths that are left out."""


class WarcTask(BaseModel):
    """What reading one WARC file needs."""

    model_config = ConfigDict(frozen=True)

    part: int
    warc_file: str
    bytes: int | None
    extraction: Extraction


def warc_files(archive: Archive, warcs: int | None, seed: int, exclude: tuple[str, ...] = ()) -> SnapshotStation:
    """The snapshot's WARC files, numbered in the order of its list: the parts of everything downstream."""
    params = WarcList(source=archive.source, warcs=warcs, seed=seed, exclude=exclude)
    return SnapshotStation(
        key=("warc_files",),
        group="acquisition",
        description="The WARC files of the snapshot from its `warc.paths.gz`: all of them, or a deterministic "
        "sample. A file's number is its part number in every table downstream. Every run reads the list again; of "
        "local files it looks at sizes and times, and hashes those of a source that changed, so that a replaced file "
        "is curated anew. A file replaced under its name on a server is not noticed: asking for each would cost a "
        "request a file, and Common Crawl replaces none. A source that is out of reach leaves what is committed as "
        "it is, and the run says so.",
        version="3",
        params=params,
        schema=WARC_FILES,
        step=partial(list_warc_files, archive=archive),
        show=show_warc_files,
        survey=partial(survey_source, archive=archive, params=params),
        columns={
            "part": "place in the snapshot's full list, from 0",
            "warc_file": "path below the source's root",
            "bytes": "compressed size of a local file; null where the source is a server, or has not the file",
            "sha256": "SHA-256 of a local file, hexadecimal; null where the source is a server, or has not the file",
        },
        contract=Contract(
            {
                "part": Column(least=0),
                "warc_file": Column(unique=True),
                "bytes": Column(null=True, least=0),
                "sha256": Column(null=True, regex="[0-9a-f]{64}"),
            },
            key=("part",),
            conditions={"size and hash are both known or both unknown": "(bytes IS NULL) = (sha256 IS NULL)"},
            least_rows=1,
        ),
        conservation=(
            Check("warc_files_are_listed_once", "There is at least one WARC file and none is listed twice."),
        ),
    )


def survey_source(snapshot: str, archive: Archive, params: WarcList) -> list[Any] | None:
    """What shows cheaply that the source changed: its list, and sizes and times of local files.

    A file whose content changed in place has another modification time, one that was swapped for a copy with the
    same time has another change time. None when the source cannot be read.
    """
    try:
        listed = archive.warc_files(snapshot)
        if not isinstance(archive, LocalArchive):
            return listed
        looks = [Path(archive.place(path)).stat() for path in chosen_files(listed, params)]
    except (ArchiveError, OSError):
        return None
    return [listed, [[look.st_size, look.st_mtime_ns, look.st_ctime_ns] for look in looks]]


def list_warc_files(job: SnapshotJob, archive: Archive) -> Stats:
    """Write the table of WARC files; a local file that is not there is listed without size and hash.

    Raises `ArchiveError` when the list, or a local file that is there, cannot be read.
    """
    listed = archive.warc_files(job.snapshot)
    number = {path: part for part, path in enumerate(listed)}
    chosen = chosen_files(listed, job.params)
    size: dict[str, int | None] = {}
    hashes: dict[str, str] = {}
    if isinstance(archive, LocalArchive):
        for path in chosen:
            with suppress(MissingFileError):
                size[path] = archive.size(path)
        for path, digest in job.engine.map(partial(_hash, archive=archive), list(size)):
            hashes[path] = digest
            job.say("hashing files", len(hashes), len(size))
    table = pa.table(
        {
            "part": [number[path] for path in chosen],
            "warc_file": chosen,
            "bytes": [size.get(path) for path in chosen],
            "sha256": [hashes.get(path) for path in chosen],
        },
        schema=WARC_FILES,
    )
    with PartWriter(job.folder / part_name(0), WARC_FILES, "") as writer:
        writer.write(table)
    missing = len(chosen) - len(size) if isinstance(archive, LocalArchive) else 0
    return {"rows_in": len(listed), "rows_out": len(chosen)} | ({f"lost_files.{MISSING}": missing} if missing else {})


def chosen_files(listed: list[str], params: WarcList) -> list[str]:
    """Those of a snapshot's files that are taken. Raises `ArchiveError` when one that is left out is not listed."""
    excluded = set(params.exclude)
    if unknown := excluded - set(listed):
        raise ArchiveError(f"the snapshot lists no {min(unknown)}: see the setting exclude_warcs")
    left = [path for path in listed if path not in excluded]
    return left if params.warcs is None else sample_files(left, params.warcs, params.seed)


def _hash(path: str, archive: LocalArchive) -> tuple[str, str]:
    """A local file's path and the hash of its content; runs in worker processes."""
    digest = sha256()
    with archive.open(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return path, digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class WarcStation(PartStation):
    """A station whose parts are the rows of `warc_files`."""

    extraction: Extraction

    def jobs(self, inputs: Mapping[str, Partition], shared: Mapping[str, Partition], staging: Path) -> list[PartJob]:
        """One job a WARC file; it depends on the file's path, size and hash, not on the rest of the list."""
        (path,) = inputs["warc_files"].paths(".parquet")
        return [
            PartJob(
                step=self.step,
                schema=self.schema,
                target=staging / part_name(row["part"]),
                inputs={},
                params=WarcTask(
                    part=row["part"], warc_file=row["warc_file"], bytes=row["bytes"], extraction=self.extraction
                ),
                fingerprint=fingerprint([*self.identity(), row]),
            )
            for row in read_table(path).to_pylist()
        ]


def documents(archive: Archive, warc_list: Key, extraction: Extraction, loss: Loss | None = None) -> WarcStation:
    """One row per response record of the snapshot, with its text or the reason why it has none.

    Recipes with the same extraction share it, whatever loss they bear: each judges by its own limits.
    """
    source = {"resiliparse": "Bevendorff et al. 2018, as in DCLM", "trafilatura": "Barbaresi 2021, as in FineWeb"}
    parsers = ("resiliparse",) if extraction.extractor == "resiliparse" else ("resiliparse", "trafilatura", "lxml")
    return WarcStation(
        key=shared_key((extraction.extractor,), "documents", extraction, Extraction(extractor=extraction.extractor)),
        group="acquisition",
        description=f"One row per response record: where it lies in its WARC file, what its headers say, its "
        f"text as extracted by {extraction.extractor} ({source[extraction.extractor]}). A record that cannot be used "
        "is a row with a verdict.",
        version="5",
        libraries=("isal", "fastwarc", *parsers, "tldextract"),
        params=extraction,
        extraction=extraction,
        inputs={"warc_files": warc_list},
        schema=DOCUMENTS,
        step=partial(read_warc, archive=archive),
        show=show_documents,
        columns={
            "doc": "key inside the snapshot: part number << 32 | row",
            "record_id": "WARC-Record-ID, the record's name in the world",
            "url": "WARC-Target-URI",
            "host": "host name in lower case and punycode",
            "registered_domain": "by the public suffix list",
            "date": "WARC-Date, UTC",
            "warc_file": "path below the source's root",
            "warc_offset": "byte offset of the record's gzip member",
            "warc_length": "bytes of the record's gzip member",
            "http_status": "status code of the response",
            "mime": "payload type as identified",
            "charset": "encoding that the body was decoded with",
            "charset_source": "what decided it: bom, http, meta or detected",
            "html_bytes": "bytes of the body after transfer and content decoding",
            "title": "content of the title element",
            "language_declared": "lang attribute of the page",
            "consent": "opt-out signals of the response and the page",
            "text": "text as extracted; null where there is a verdict",
            "verdict": "why the record cannot be used; null when it can",
            "detail": "the value that decided the verdict",
        },
        contract=Contract(
            {
                "doc": Column(least=0),
                "record_id": RECORD_ID,
                "url": URL,
                **each(("host", "registered_domain", "date", "mime", "charset", "title"), Column(null=True)),
                **each(("language_declared", "text", "detail"), Column(null=True)),
                "warc_file": Column(references="warc_files.warc_file"),
                **each(("warc_offset", "warc_length"), Column(least=0)),
                "http_status": Column(null=True, least=0, most=999),
                "charset_source": Column(null=True, among=("bom", "http", "meta", "detected")),
                "html_bytes": Column(null=True, least=0),
                "verdict": Column(null=True, among=REASONS),
            },
            conditions={"doc is of a part of warc_files": "(doc >> 32) IN (SELECT part FROM warc_files)"},
        ),
        conservation=(
            Check(
                "records_are_conserved",
                "Response records read = rows written; each has text or a verdict.",
                by_parts=(),
            ),
            Check("warc_bytes_are_conserved", "Every listed file was read to its end; no byte of it is two records'."),
            Check("verdicts_are_counted", "The counters of the manifest are those of the table."),
            Check(
                "losses_are_bounded",
                "Lost bytes, records and files are within the recipe's limits.",
                (loss or Loss()).check_parameters,
            ),
        ),
    )


def read_warc(inputs: Inputs, writer: PartWriter, task: WarcTask, archive: Archive) -> None:
    """Write the documents of one WARC file, streaming it from the archive, and count what is lost by cause.

    A file that the archive lists and has not is a part without rows, which is asked for again at the next run.
    """
    opened = open_listed(archive, task.warc_file)
    if opened is None:
        _count_lost_file(writer, MISSING, task.bytes)
        writer.count(UNSETTLED)
        return
    with opened:
        counted = CountedStream(opened)
        stream = cast(BinaryIO, counted)
        for batch in read_documents(stream, task.part, task.warc_file, task.extraction, count=writer.count):
            writer.write(batch)
            writer.count("text_bytes", text_bytes(batch["text"]).sum())
            writer.count("record_bytes", batch["warc_length"].to_numpy().sum())
            writer.count("rows_in", batch.num_rows)
            writer.count("rows_out", batch["verdict"].null_count)
            reasons = pa.table({"verdict": batch["verdict"], "bytes": batch["warc_length"]}).drop_null()
            for reason in reasons.group_by("verdict").aggregate([("bytes", "count"), ("bytes", "sum")]).to_pylist():
                writer.count(f"dropped.{reason['verdict']}", reason["bytes_count"])
                if reason["verdict"] in CAUSES:
                    writer.count(f"lost_bytes.{reason['verdict']}", reason["bytes_sum"])
        if retries := retries_of(opened):
            writer.observe("retries", retries)
            writer.observe("files_retried")
        if "refused_files" in writer.stats:
            _count_lost_file(
                writer, "warc_damaged", task.bytes if task.bytes is not None else archive.size(task.warc_file)
            )
        else:
            writer.count("warc_bytes", counted.bytes)
            if not counted.bytes:
                _count_lost_file(writer, "warc_truncated", 0)


def _count_lost_file(writer: PartWriter, cause: str, size: int | None) -> None:
    """Count a file of which nothing was read; one of unknown size is a lost file without lost bytes."""
    writer.count(f"lost_files.{cause}")
    writer.count(f"lost_bytes.{cause}", size or 0)
    writer.count("unread_bytes", size or 0)


class CountedStream:
    """A stream that knows how many bytes it gave; has `read` only."""

    def __init__(self, stream: BinaryIO) -> None:
        self.bytes = 0
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        """As of the stream."""
        data = self._stream.read(size)
        self.bytes += len(data)
        return data
