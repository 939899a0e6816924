"""A WARC file to the documents table, in CPU time (all processes), against the shortest scripts that could do it.

    python benchmarks/documents.py [WARC_FILE]

Without a file, a WARC of invented pages is made in memory. Two ratios:

- reading: our reader against a loop over fastwarc that reads every response and survives no damage;
- documents: the whole step with its sandbox against fastwarc, `bytes.decode` and resiliparse's `extract_plain_text`
  in one process, and against decoding and extraction alone, on pages that are in memory already.
"""

import gzip
import io
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from fastwarc.warc import ArchiveIterator, WarcRecordType
from measure import report
from resiliparse.extract.html2text import extract_plain_text

from curation_assets.acquisition.documents import Extraction, read_documents
from curation_assets.acquisition.warc import read_responses

PAGES = 800
REPEATS = 3


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


def cpu_seconds(work: Callable[[], object]) -> float:
    """The CPU time of `work` in this process and in the child processes that it ends."""
    before = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    work()
    after = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(b.ru_utime + b.ru_stime - a.ru_utime - a.ru_stime for a, b in zip(before, after, strict=True))


def main() -> None:
    """Print both ratios; the last line is JSON."""
    data = Path(sys.argv[1]).read_bytes() if len(sys.argv) > 1 else invented_warc(PAGES)
    pages = [record.reader.read() for record in ArchiveIterator(io.BytesIO(data), record_types=WarcRecordType.response)]

    def bare_read() -> None:
        for record in ArchiveIterator(io.BytesIO(data), record_types=WarcRecordType.response):
            record.reader.read()

    def our_read() -> None:
        for _ in read_responses(io.BytesIO(data)):
            pass

    def extract(page: bytes) -> str:
        return extract_plain_text(
            page.decode("utf-8", "replace"), main_content=True, preserve_formatting=True, alt_texts=False, links=False
        )

    def bare_extract() -> None:
        for page in pages:
            extract(page)

    def bare_documents() -> None:
        for record in ArchiveIterator(io.BytesIO(data), record_types=WarcRecordType.response):
            extract(record.reader.read())

    def our_documents() -> None:
        for _ in read_documents(io.BytesIO(data), 0, "benchmark.warc.gz", Extraction()):
            pass

    candidates = [bare_read, our_read, bare_extract, bare_documents, our_documents]
    # Interleaved, so that a busy machine treats them alike; the first round warms up.
    rounds = [[cpu_seconds(work) for work in candidates] for _ in range(REPEATS + 1)][1:]
    best = {work: min(times) for work, times in zip(candidates, zip(*rounds, strict=True), strict=True)}
    megabytes = sum(map(len, pages)) / 1e6
    print(f"{len(pages)} responses, {len(data) / 1e6:.1f} MB compressed, {megabytes:.1f} MB of HTML; best of {REPEATS}")
    read_ratio = best[bare_read] / best[our_read]
    print(
        f"reading:   ours {megabytes / best[our_read]:.0f} MB/s, bare fastwarc {megabytes / best[bare_read]:.0f} MB/s"
    )
    print(f"           ratio {read_ratio:.2f}")
    ours, peer = len(pages) / best[our_documents], len(pages) / best[bare_documents]
    print(f"documents: ours {ours:.0f} pages/s, bare fastwarc and resiliparse {peer:.0f} pages/s, one core")
    print(f"           {best[our_documents] / best[bare_documents]:.2f} times its CPU time")
    print(f"           {best[our_documents] / best[bare_extract]:.2f} times the CPU time of extraction alone")
    report("documents", ours, peer, reading=read_ratio)


if __name__ == "__main__":
    main()
