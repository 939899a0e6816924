"""WARC files to the documents table: one row per response record and per damaged region.

Records that cannot be used are rows too; their `verdict` says why:

| verdict | detail | meaning |
|---|---|---|
| `warc_damaged`, `warc_truncated` | cause, bytes lost | a region of the file gives no record |
| `record_too_large` | sizes | a record or a body above the bound |
| `http_malformed` | first bytes | no HTTP status line |
| `http_status` | status | not 2xx |
| `body_empty` | | no byte but white space |
| `content_encoding_undecodable` | cause | compressed as declared, and corrupt |
| `mime_not_html` | media type | by identified payload type, else Content-Type, else the bytes |
| `charset_undecodable` | best guess | no charset turns the bytes into text |
| `extraction_timeout`, `extraction_memory` | the limit | the page exceeded its bound |
| `extraction_crashed`, `extraction_failed` | signal, exception | the extractor died, or raised |
| `text_empty` | | the extractor found no main text |
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import unquote

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field
from resiliparse.parse.encoding import detect_mime

from curation_assets.acquisition import http, sandbox
from curation_assets.acquisition.consent import header_signals
from curation_assets.acquisition.extraction import Extractor, clean_text, make_extractor
from curation_assets.acquisition.main_content import MainContent, TextTooLong
from curation_assets.acquisition.warc import Damage, Response, WarcError, read_responses

if TYPE_CHECKING:
    import tldextract

DOCUMENTS = pa.schema(
    [
        ("doc", pa.int64()),
        ("record_id", pa.string()),
        ("url", pa.string()),
        ("host", pa.string()),
        ("registered_domain", pa.string()),
        ("date", pa.timestamp("us", tz="UTC")),
        ("warc_file", pa.string()),
        ("warc_offset", pa.int64()),
        ("warc_length", pa.int64()),
        ("http_status", pa.int16()),
        ("mime", pa.string()),
        ("charset", pa.string()),
        ("charset_source", pa.string()),
        ("html_bytes", pa.int32()),
        ("title", pa.string()),
        ("language_declared", pa.string()),
        ("consent", pa.list_(pa.string())),
        ("text", pa.large_string()),
        ("verdict", pa.string()),
        ("detail", pa.string()),
    ]
)
"""The documents table. `doc` is part << 32 | row; `warc_offset` and `warc_length` count bytes of the WARC file as
stored; `html_bytes` those of the body without transfer and content codings; `text` is null where `verdict` is not."""

BATCH_ROWS = 1024
"""The most rows of a batch."""

BATCH_TEXT_BYTES = 32 << 20
"""Bytes of text at which a batch is closed."""

HTML = frozenset({"text/html", "application/xhtml+xml"})
"""Media types of the pages that are read."""

REASONS = (
    "warc_damaged",
    "warc_truncated",
    "record_too_large",
    "http_malformed",
    "http_status",
    "body_empty",
    "content_encoding_undecodable",
    "mime_not_html",
    "charset_undecodable",
    "extraction_timeout",
    "extraction_memory",
    "extraction_crashed",
    "extraction_failed",
    "text_empty",
)
"""The verdicts above."""

_SNIFF_BYTES = 1024
# What the bytes of a page declared as HTML may show without being called something else.
_UNDECIDED = HTML | {"text/plain", "text/xml", "application/xml", "application/octet-stream"}
_MARKUP = re.compile(
    rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body|title|meta|script|style|div|table|h1|p|a|b|br)[\s/>]",
    re.IGNORECASE | re.DOTALL,
)


class Extraction(BaseModel):
    """How pages become text, and what one page may cost."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    extractor: Extractor = "resiliparse"
    favour_precision: bool = True
    """Trafilatura's `favor_precision`, as FineWeb sets it; resiliparse has no such choice."""
    cpu_seconds: float = Field(default=5.0, gt=0)
    """CPU time of one page. Ordinary ones take resiliparse milliseconds, and trafilatura some tens of them."""
    memory_bytes: int = Field(default=1 << 30, ge=1 << 24)
    """Address space beyond that of the idle extractor."""
    wall_seconds: float = Field(default=300.0, gt=0)
    """For pages that wait instead of working; generous, since a busy machine must not decide."""
    max_record_bytes: int = Field(default=64 << 20, ge=1 << 16)
    max_html_bytes: int = Field(default=16 << 20, ge=1 << 10, lt=1 << 31)


def read_documents(
    stream: BinaryIO,
    part: int,
    warc_file: str,
    extraction: Extraction,
    sandboxed: bool = True,
    count: Callable[[str], None] = lambda name: None,
) -> Iterator[pa.RecordBatch]:
    """Read a WARC (gzip member per record, or uncompressed) into batches of `DOCUMENTS`, in file order.

    Batches have at most 1,024 rows and about 32 MiB of text. `sandboxed=False` extracts in this process, without
    bounds on time and memory: for tests and for reading single records again. `count` is called with "responses" or
    "damaged_regions" for each record as it is read, before anything is made of it, and with "refused_files" for a
    stream that is not read to its end because it is no WARC.

    Raises:
        SandboxError: the extraction process does not start.
    """
    factory = partial(make_extractor, extraction.extractor, extraction.favour_precision)
    records = _counted(read_responses(stream, extraction.max_record_bytes), count)
    rows = _examine(records, warc_file, extraction)
    finish = make_finisher(extraction.extractor)
    if sandboxed:
        limits = sandbox.Limits(extraction.cpu_seconds, extraction.memory_bytes, extraction.wall_seconds)
        with sandbox.Sandbox(factory, limits) as box:
            yield from _batches(box.map(rows), finish, part)
    else:
        yield from _batches(_in_process(factory, rows), finish, part)


def _counted(records: Iterable[Response | Damage], count: Callable[[str], None]) -> Iterator[Response | Damage]:
    try:
        for record in records:
            count("damaged_regions" if isinstance(record, Damage) else "responses")
            yield record
    except WarcError as error:
        # A file that is no WARC, or not one gzip member a record, is one damaged region: it costs only itself.
        count("damaged_regions")
        count("refused_files")
        yield Damage(0, 0, "warc_damaged", str(error))


@dataclass(slots=True)
class _Row:
    warc_file: str
    warc_offset: int
    warc_length: int
    record_id: str | None
    url: str | None
    date: datetime | None
    host: str | None = None
    registered_domain: str | None = None
    http_status: int | None = None
    mime: str | None = None
    charset: str | None = None
    charset_source: str | None = None
    html_bytes: int | None = None
    title: str | None = None
    language_declared: str | None = None
    consent: list[str] = field(default_factory=list)
    text: bytes | None = None
    verdict: str | None = None
    detail: str | None = None


_Payload = tuple[bytes, sandbox.Buffer]
_Answer = tuple[bytes, bytes] | sandbox.Failure | None
_Finisher = Callable[[bytes, bytes], tuple[dict[str, Any], bytes]]


def _examine(
    records: Iterable[Response | Damage], warc_file: str, extraction: Extraction
) -> Iterator[tuple[_Row, _Payload | None]]:
    """Each record's row so far, and what the extractor is to work on, if the record is usable so far."""
    for record in records:
        row = _Row(warc_file, record.offset, record.length, record.record_id, record.url, record.date)
        if record.url is not None:
            row.host = split_host(record.url)
            row.registered_domain = registered_domain(row.host) if row.host is not None else None
        if isinstance(record, Damage):
            row.verdict, row.detail = record.verdict, record.detail
            yield row, None
        else:
            yield row, _examine_response(row, record, extraction)


def _examine_response(row: _Row, record: Response, extraction: Extraction) -> _Payload | None:
    response = http.parse_response(record.block)
    content_type = next((value for name, value in response.fields if name == "content-type"), "")
    identified = http.media_type(record.payload_type or "") or http.media_type(content_type)
    row.http_status, row.mime = response.status, identified or None
    row.html_bytes = len(response.body)
    if response.status is None:
        return _reject(row, "http_malformed", repr(bytes(response.body[:32])))
    row.consent = sorted(header_signals(response.fields))
    if not 200 <= response.status < 300:
        return _reject(row, "http_status", str(response.status))
    try:
        body = http.decode_body(response, extraction.max_html_bytes)
    except http.CodingError as error:
        return _reject(row, "content_encoding_undecodable", str(error))
    except http.BodyTooLarge as error:
        return _reject(row, "record_too_large", str(error))
    row.html_bytes = len(body)
    start = bytes(body[:_SNIFF_BYTES])
    if len(body) <= _SNIFF_BYTES and not start.strip():
        return _reject(row, "body_empty", None)
    sniffed = _sniff(start)
    row.mime = identified or sniffed
    if row.mime not in HTML or sniffed not in _UNDECIDED:
        return _reject(row, "mime_not_html", row.mime if row.mime not in HTML else sniffed)
    if len(body) > extraction.max_html_bytes:
        return _reject(row, "record_too_large", f"{len(body)} bytes of HTML, of {extraction.max_html_bytes}")
    return (http.charset_parameter(content_type) or "").encode("latin-1", "replace"), body


def _reject(row: _Row, verdict: str, detail: str | None) -> None:
    row.verdict, row.detail = verdict, detail


def _sniff(start: bytes) -> str:
    kind = detect_mime(start)
    return "text/html" if kind == "text/plain" and _MARKUP.match(start) else kind


def _in_process(
    factory: Callable[[], sandbox.Function], rows: Iterable[tuple[_Row, _Payload | None]]
) -> Iterator[tuple[_Row, _Answer]]:
    function = factory()
    for row, payload in rows:
        yield row, sandbox.call(function, *payload) if payload is not None else None


def _batches(answers: Iterable[tuple[_Row, _Answer]], finish: _Finisher, part: int) -> Iterator[pa.RecordBatch]:
    rows: list[_Row] = []
    first, text_bytes = part << 32, 0
    for row, answer in answers:
        _complete(row, answer, finish)
        rows.append(row)
        text_bytes += len(row.text or b"")
        if len(rows) >= BATCH_ROWS or text_bytes >= BATCH_TEXT_BYTES:
            yield _batch(rows, first)
            first, text_bytes = first + len(rows), 0
            rows = []
    if rows:
        yield _batch(rows, first)


def make_finisher(extractor: Extractor) -> _Finisher:
    """What makes fields and clean text of the answers of `make_extractor`'s function. For one thread.

    The fields are those of the JSON; `verdict` is `text_empty` where there is no text and no other reason for it.
    """
    return partial(_finish, MainContent() if extractor == "resiliparse" else None)


def _finish(main_content: MainContent | None, answer: bytes, content: bytes) -> tuple[dict[str, Any], bytes]:
    fields = json.loads(answer)
    if "verdict" in fields:
        return fields, b""
    quirks = fields.pop("quirks")
    if main_content is not None:
        try:
            content = main_content(content, quirks)
        except TextTooLong as error:
            return fields | {"verdict": "extraction_memory", "detail": str(error)}, b""
    text = clean_text(content)
    return (fields, text) if text else (fields | {"verdict": "text_empty"}, b"")


def _complete(row: _Row, answer: _Answer, finish: _Finisher) -> None:
    if isinstance(answer, sandbox.Failure):
        row.verdict, row.detail = answer.verdict, answer.detail
    elif answer is not None:
        fields, text = finish(*answer)
        row.charset, row.charset_source = fields.get("charset"), fields.get("charset_source")
        row.title, row.language_declared = fields.get("title"), fields.get("language")
        row.verdict, row.detail = fields.get("verdict"), fields.get("detail")
        if fields.get("consent"):
            row.consent = sorted({*row.consent, *fields["consent"]})
        if row.verdict is None:
            row.text = text


def _batch(rows: list[_Row], first: int) -> pa.RecordBatch:
    columns = [pa.array(range(first, first + len(rows)), pa.int64())]
    columns += [pa.array([getattr(row, column.name) for row in rows], column.type) for column in list(DOCUMENTS)[1:]]
    return pa.RecordBatch.from_arrays(columns, schema=DOCUMENTS)


def split_host(url: str) -> str | None:
    """The host of an absolute URL: lower case, internationalised labels in punycode, no port, no final dot.

    Never raises; None where there is no host. An IPv6 address comes without brackets.
    """
    _, separator, rest = url.partition("://")
    if not separator:
        return None
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    host = authority.rpartition("@")[2]
    host = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if "%" in host:
        host = unquote(host)
    host = host.strip().rstrip(".")
    if not host.isascii():
        host = _punycode(host)
    return host.lower() or None


@lru_cache(maxsize=1 << 12)
def _punycode(host: str) -> str:
    import idna

    try:
        return idna.encode(host, uts46=True, transitional=False).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        # Not a valid name, but still to be told apart from others.
        labels = host.lower().replace("\u3002", ".").split(".")
        return ".".join(
            label if label.isascii() else "xn--" + label.encode("punycode", "ignore").decode("ascii")
            for label in labels
        )


@lru_cache(maxsize=1 << 16)
def registered_domain(host: str) -> str | None:
    """The part of a host that somebody registered (`example.co.uk`), by the public suffix list inside tldextract.

    None for IP addresses, bare suffixes and unknown top-level domains. Private suffixes (`github.io`) do not count.
    """
    return _suffixes().extract_str(host).top_domain_under_public_suffix or None


@lru_cache(maxsize=1)
def _suffixes() -> tldextract.TLDExtract:
    import tldextract

    # No list from the network, no cache on disk: the same host gives the same domain everywhere.
    return tldextract.TLDExtract(cache_dir=None, suffix_list_urls=())
