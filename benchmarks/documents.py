"""A WARC file to the documents table, in CPU time (all processes), against the shortest scripts that could do it.

    python benchmarks/documents.py [WARC_FILE]

Without a file, a WARC of invented pages is made in memory. The ratios:

- reading: our reader against a loop over fastwarc that reads every response and survives no damage;
- extraction: decoding and extraction of pages that are in memory already, with title, language and opt-out signals,
  against resiliparse from bytes to text (`detect_encoding`, `bytes_to_str`, `extract_plain_text`), in this process;
- sandboxed: the same pages through the sandbox that the station uses, against the same: what isolation costs is the
  difference. Its process is started each time, which is some 50 ms of the figure;
- documents: the whole step with its sandbox, from WARC bytes to Arrow batches, against fastwarc and resiliparse in one
  process.
"""

import gzip
import io
import sys
from functools import partial
from pathlib import Path

import numpy as np
from fastwarc.warc import ArchiveIterator, WarcRecordType
from measure import in_turns, report
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import bytes_to_str, detect_encoding

from curation_assets.acquisition import http, sandbox
from curation_assets.acquisition.documents import HTML, Extraction, make_finisher, read_documents
from curation_assets.acquisition.extraction import make_extractor
from curation_assets.acquisition.warc import Response, read_responses

PAGES = 800
REPEATS = 9


def invented_warc(pages: int) -> bytes:
    """A WARC of pages with head, navigation, prose and comments, about 60 kB each, in Common Crawl's shape."""
    random = np.random.default_rng(1)
    syllables = ["ta", "ri", "men", "sol", "ke", "dor", "vi", "lan", "pe", "stu", "gra", "no", "bel", "ham", "ing"]
    words = ["".join(random.choice(syllables, random.integers(1, 5))) for _ in range(5000)]
    members = []
    for number in range(pages):
        text = iter(random.choice(words, 9000).tolist())

        def take(count: int, text=text) -> str:
            return " ".join(next(text) for _ in range(count))

        head = "".join(f'<meta property="og:{take(1)}" content="{take(8)}">' for _ in range(25))
        style = "".join(f".{take(1)} {{ margin: 0 auto; padding: 4px 8px; color: #333 }}\n" for _ in range(150))
        menu = "".join(f'<li class="menu-item"><a href="/{take(1)}/{take(1)}">{take(2)}</a></li>' for _ in range(120))
        prose = "".join(f"<p>{take(60)}. <a href='/{take(1)}'>{take(3)}</a> {take(20)}.</p>\n" for _ in range(18))
        cards = "".join(
            f'<div class="card"><img src="/{take(1)}.jpg" alt="{take(3)}"><h3>{take(5)}</h3>'
            f'<div class="meta"><span>{take(2)}</span></div></div>'
            for _ in range(120)
        )
        html = (
            f'<!DOCTYPE html><html lang="en"><head><title>{take(6)}</title>{head}<style>{style}</style></head><body>'
            f"<nav><ul>{menu}</ul></nav><main><article><h1>{take(6)}</h1>{prose}</article>{cards}</main>"
            f'<footer>{take(30)}</footer><script>var data = "{take(500)}"</script></body></html>'
        ).encode()
        block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + html
        for kind, content in (("request", b"GET / HTTP/1.1\r\n\r\n"), ("response", block), ("metadata", b"a: 1\r\n")):
            header = (
                f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <urn:uuid:{kind}-{number}>\r\n"
                f"WARC-Date: 2025-01-24T10:53:30Z\r\nWARC-Target-URI: https://example.com/{number}\r\n"
                f"WARC-Identified-Payload-Type: text/html\r\nContent-Length: {len(content)}\r\n\r\n"
            )
            members.append(gzip.compress(header.encode() + content + b"\r\n\r\n", 6, mtime=0))
    return b"".join(members)


def our_payloads(data: bytes) -> list[tuple[bytes, bytes]]:
    """HTTP charset label and body of the responses that are pages, as the extractor gets them."""
    payloads = []
    for record in read_responses(io.BytesIO(data)):
        if isinstance(record, Response):
            response = http.parse_response(record.block)
            content_type = next((value for name, value in response.fields if name == "content-type"), "")
            if response.status == 200 and http.media_type(record.payload_type or content_type) in HTML:
                body = bytes(http.decode_body(response, Extraction().max_html_bytes))
                payloads.append(((http.charset_parameter(content_type) or "").encode(), body))
    return payloads


def main() -> None:
    """Print the ratios; the last line is JSON."""
    data = Path(sys.argv[1]).read_bytes() if len(sys.argv) > 1 else invented_warc(PAGES)
    pages, settings = our_payloads(data), Extraction()
    limits = sandbox.Limits(settings.cpu_seconds, settings.memory_bytes, settings.wall_seconds)
    extractor = partial(make_extractor, settings.extractor, settings.favour_precision)
    function, finish = extractor(), make_finisher(settings.extractor)

    def bare_read() -> None:
        for record in ArchiveIterator(io.BytesIO(data), record_types=WarcRecordType.response):
            record.reader.read()

    def our_read() -> None:
        for _ in read_responses(io.BytesIO(data)):
            pass

    def extract(page: bytes) -> str:
        html = bytes_to_str(page, detect_encoding(page) or "utf-8")
        return extract_plain_text(html, main_content=True, preserve_formatting=True, alt_texts=False, links=False)

    def bare_extract() -> None:
        for _, page in pages:
            extract(page)

    def our_extract() -> None:
        for charset, page in pages:
            finish(*function(charset, page))

    def sandboxed() -> None:
        with sandbox.Sandbox(extractor, limits) as box:
            for _, answer in box.map((None, page) for page in pages):
                assert answer is not None and not isinstance(answer, sandbox.Failure)
                finish(*answer)

    def bare_documents() -> None:
        for record in ArchiveIterator(io.BytesIO(data), record_types=WarcRecordType.response):
            extract(record.reader.read())

    def our_documents() -> None:
        for _ in read_documents(io.BytesIO(data), 0, "benchmark.warc.gz", settings):
            pass

    # The first round warms up.
    works = [bare_read, our_read, bare_extract, our_extract, sandboxed, bare_documents, our_documents]
    best = in_turns({work.__name__: work for work in works}, REPEATS + 1)
    megabytes = sum(len(page) for _, page in pages) / 1e6
    print(f"{len(pages)} pages, {len(data) / 1e6:.1f} MB compressed, {megabytes:.1f} MB of HTML; best of {REPEATS + 1}")
    ratios = {}
    for title, ours, peer in (
        ("reading", "our_read", "bare_read"),
        ("extraction", "our_extract", "bare_extract"),
        ("sandboxed", "sandboxed", "bare_extract"),
        ("documents", "our_documents", "bare_documents"),
    ):
        ratios[title] = best[peer] / best[ours]
        rates = [len(pages) / best[name] for name in (ours, peer)]
        print(f"{title + ':':<12} ours {rates[0]:7,.0f} pages/s, peer {rates[1]:7,.0f}; ratio {ratios[title]:.2f}")
    report("documents", len(pages) / best["our_documents"], len(pages) / best["bare_documents"], ratios)


if __name__ == "__main__":
    main()
