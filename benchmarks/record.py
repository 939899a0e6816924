"""Run the benchmarks and keep their ratios in `benchmarks/record.json`, which `docs/performance.md` is written from.

    python -m benchmarks.record [--source FOLDER --snapshot NAME] [BENCHMARK...]

Without names all of them run. Only what has run is refreshed; the other entries stay as they are. Some want real pages:
a folder in Common Crawl's layout and a snapshot of it. Without them they invent pages or, where that would say nothing,
are skipped. To be run in the environment of the published tools (`make bench`).
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
RECORD = Path(__file__).with_name("record.json")


class Row(NamedTuple):
    """A ratio of the record."""

    benchmark: str
    work: str
    peer: str
    target: float | None = None
    ratio: str = ""
    """Its name among the further ratios of the benchmark's last line; empty for the one called `ratio`."""
    note: str = ""
    """What is to be said of it, with the benchmark's `facts` in braces."""


ARGUMENTS: dict[str, tuple[str, ...]] = {
    "documents": ("{warc}",),
    "language": ("{texts}",),
    "fineweb": ("{source}", "{snapshot}"),
}
"""What benchmarks are given of a snapshot."""

NEEDS_PAGES = {"fineweb"}
"""Benchmarks that do not invent pages."""

ROWS = (
    Row("documents", "WARC → records", "bare fastwarc loop", 0.9, "reading"),
    Row("documents", "decode and extract", "bare resiliparse on bytes", 0.95, "extraction"),
    Row("documents", "the same in the sandbox, as a station does", "the same", 0.95, "sandboxed"),
    Row("documents", "WARC → documents table, sandboxed", "bare fastwarc and resiliparse", None, "documents"),
    Row("signals", "all signals of Gopher, C4 and FineWeb", "datatrove's four filters", 100),
    Row("signals", "", "Dolma's Gopher and C4 taggers", 40, "dolma"),
    Row(
        "language",
        "language",
        "bare fastText on the same truncated text",
        0.9,
        "",
        "{agreement:.1%} get the label of the full text",
    ),
    Row("minhash", "MinHash, 112 × 64 bit, with words", "Daft's native minhash, SHA-1, 32 bit", 1.5, "daft_sha1"),
    Row("minhash", "the same with xxHash", "Daft's native minhash, xxHash, 32 bit", 1.5, "daft_xxhash"),
    Row("minhash", "MinHash, 112 × 64 bit, with words", "datatrove's stage 1", 200, "datatrove"),
    Row("minhash", "", "datasketch bulk from ready-made shingles, 32 bit", 10),
    Row("clusters", "near-duplicates of 1 M documents", "datatrove's stages 2 and 3", 20, "datatrove"),
    Row("clusters", "", "datasketch's LSH", 20, "datasketch"),
    Row("clusters", "", "Polars `min().over` and a Python union-find", None, "", "{peak_mb:.0f} MB at most"),
    Row("substring", "exact substrings of 100 bytes", "pydivsufsort, building the suffix array only", 0.5),
    Row("tokenizing", "tokenising", "`tokenizers` batch, all cores", 10, "", "identical ids"),
    Row("tokenizing", "", "the same, CPU of all threads", None, "cpu"),
    Row("tokenizing", "", "`tokenizers`, one thread", None, "one_thread"),
    Row(
        "packing",
        "best-fit packing of 1 M documents",
        "a sorted-list best fit in Python",
        5,
        "",
        "fill {best_fit_fill:.4f}; {best_fit_cut:.0%} of documents are cut, {best_fit_needlessly_cut:.0%} needlessly "
        "(concat and cut: {concat_cut:.0%}, {concat_needlessly_cut:.0%})",
    ),
    Row(
        "fineweb",
        "the FineWeb recipe, WARC → shards, with resiliparse",
        "datatrove 0.10's pipeline as published, with trafilatura",
        25,
        "resiliparse against trafilatura",
    ),
    Row("fineweb", "all of it but reading and extracting", "the same steps of datatrove", 40, "rest"),
    Row("fineweb", "the whole, both with resiliparse", "datatrove's pipeline", None, "whole, resiliparse"),
    Row("fineweb", "the whole, both with trafilatura", "datatrove's pipeline", None, "whole, trafilatura"),
    Row("urls", "URL rules with 640,000 domains", "Python sets and `re`"),
    Row("exact", "canonical URLs", "courlan", None, "urls"),
    Row("words", "words", "`re` with NLTK's wordpunct pattern"),
    Row("pii", "PII spans", "Python `re` with the published patterns"),
    Row("edits", "applying edits", "Python slices and join"),
    Row("exact", "exact groups of 1 M keys", "Python dictionary"),
    Row("bloom", "BFF (Bloom filter over 13-grams)", "Python set, given ready-made words"),
    Row("simhash", "SimHash fingerprints", "NumPy and MD5"),
    Row("soft", "SoftDeDup (4-gram Kneser-Ney)", "Python dictionaries"),
    Row("dictionaries", "words of Thai, Lao, Khmer and Chinese", "PyThaiNLP, LaoNLP, khmer-nltk, jieba"),
    Row("whatif", "other limits over 1 M documents, both funnels, who is gained and lost", "Polars expressions"),
    Row("formats", "packed sequences as Parquet", "`datasets` (`Dataset.from_generator`, `to_parquet`)"),
    Row("shards", "gathering a shard", "NumPy slices"),
)
"""The table, in the order in which it is shown. A row without its own words goes on with those of the row before."""


def read_record() -> dict[str, Any]:
    """By benchmark: when it was refreshed, on which pages, its ratios by name, and its facts."""
    return json.loads(RECORD.read_text())


def entry(answer: Mapping[str, Any], real_pages: bool) -> dict[str, Any]:
    """What is kept of a benchmark's last line: ratios with their targets and facts, no rates."""
    benchmark_rows = {row.ratio: row for row in ROWS if row.benchmark == answer["benchmark"]}
    given = {"": answer["ratio"], **answer.get("ratios", {})}
    return {
        "refreshed": datetime.now(UTC).date().isoformat(),
        "pages": "real" if real_pages else "invented",
        "ratios": {
            name: {"ratio": _rounded(given[name]), "target": row.target}
            for name, row in benchmark_rows.items()
            if name in given
        },
        "facts": {name: _rounded(value) for name, value in answer.get("facts", {}).items()},
    }


def _rounded(value: float) -> float:
    return float(f"{value:.4g}" if abs(value) < 1 else f"{value:.3g}")


def _texts_of(warc: Path, folder: Path) -> Path:
    """The texts of a WARC's pages as Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from curation_assets.acquisition.documents import Extraction, read_documents

    with warc.open("rb") as stream:
        batches = list(read_documents(stream, 0, warc.name, Extraction()))
    file = folder / "texts.parquet"
    pq.write_table(pa.Table.from_batches(batches).select(["text"]), file)
    return file


def run(benchmark: str, arguments: list[str]) -> dict[str, Any] | None:
    """The last line of a benchmark, whose other lines are printed; None where it says that it was skipped."""
    command = [sys.executable, "-m", f"benchmarks.{benchmark}", *arguments]
    if benchmark != "fineweb":
        command[1:3] = [str(Path("benchmarks", f"{benchmark}.py"))]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        raise SystemExit(f"{benchmark} failed")
    return {**json.loads(lines[-1]), "benchmark": benchmark} if lines[-1].startswith("{") else None


def main() -> None:
    """Run and record."""
    known = list(dict.fromkeys(row.benchmark for row in ROWS))
    parser = argparse.ArgumentParser(description="Run benchmarks and keep their ratios.")
    parser.add_argument("benchmarks", nargs="*", help=", ".join(known))
    parser.add_argument("--source", type=Path)
    parser.add_argument("--snapshot")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.benchmarks if name not in known]:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(known)}")
    with tempfile.TemporaryDirectory() as folder:
        given: dict[str, str] = {}
        if arguments.source and arguments.snapshot:
            listed = sorted((arguments.source / "crawl-data" / arguments.snapshot).rglob("*.warc.gz"))
            given = {"source": str(arguments.source), "snapshot": arguments.snapshot, "warc": str(listed[0])}
            given["texts"] = str(_texts_of(listed[0], Path(folder)))
        for benchmark in arguments.benchmarks or known:
            print(f"== {benchmark}", flush=True)
            if benchmark in NEEDS_PAGES and not given:
                print("skipped: needs real pages (--source, --snapshot)")
                continue
            wanted = ARGUMENTS.get(benchmark, ())
            answer = run(benchmark, [text.format(**given) for text in wanted] if given else [])
            if answer is None:
                continue
            record = read_record() | {benchmark: entry(answer, bool(given and wanted))}
            RECORD.write_text(json.dumps(dict(sorted(record.items())), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
