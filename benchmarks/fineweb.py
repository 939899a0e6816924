"""The whole FineWeb recipe, WARC to shards, against datatrove's own pipeline for the same steps on the same pages.

    python -m benchmarks.fineweb [--pages N] [--extractors resiliparse,trafilatura] SOURCE SNAPSHOT

SOURCE is a local folder in Common Crawl's layout; its WARC files are cut so that they hold N pages together. datatrove
does what its `examples/fineweb.py` publishes, step by step, with the same exclusion writers and the JSON lines between
its parts, and then tokenises and merges into one shard. What is different: the compressed lid.176 (there is no other
without the network); "en" is named, as FineWeb meant; a page may take a minute, so that a busy machine drops none; and
for resiliparse a step that calls it stands in the place of trafilatura's. Ours gets the same URL lists and the same
tokenizer, and ends with shards.

CPU seconds of single threads and of the extraction's own process. Both go through 20 pages twice and then through all
(the second extractor through a third of them): what the faster of the two times took is taken off each step, since it
is what a step costs that sees next to nothing (contracts, manifests, reports; loaded lists and models). What is left is
what further pages cost, which is all that counts for a snapshot. `whole` is WARC to shards; `rest` is all but reading
and extracting (datatrove's reader and extractor, our `documents`), of the run with the first extractor.
"""

import argparse
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fastwarc.warc import ArchiveIterator, WarcRecordType

from benchmarks.measure import cpu_seconds, report
from benchmarks.measure.lakes import make_tokenizer
from curation_assets.acquisition.archive import open_archive
from curation_assets.line import Line
from curation_assets.settings import Settings

FIRST_PAGES = 20
WORKERS = 1
Seconds = dict[str, float]


class Here:
    """An engine without workers, whose CPU time is this process's."""

    workers = 1

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        """Apply the function to each item."""
        return map(function, items)


def cut_snapshot(source: Path, snapshot: str, pages: int, folder: Path) -> int:
    """Write a source whose WARC files hold that many responses together, the first ones of each; how many they hold."""
    archive, written = open_archive(str(source)), 0
    for name in source.glob("*.json"):
        shutil.copy(name, folder)
    names = archive.warc_files(snapshot)
    listing = Path("crawl-data", snapshot, "warc.paths.gz")
    (folder / listing).parent.mkdir(parents=True)
    shutil.copy(source / listing, folder / listing)
    for number, name in enumerate(names):
        wanted = pages * (number + 1) // len(names) - pages * number // len(names)
        data, found, end = (source / name).read_bytes(), 0, None
        with (source / name).open("rb") as stream:
            for record in ArchiveIterator(stream, parse_http=False):
                if found == wanted and record.record_type in (WarcRecordType.request, WarcRecordType.response):
                    end = record.stream_pos
                    break
                found += record.record_type == WarcRecordType.response
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data[:end])
        written += found
    return written


def ours(source: Path, snapshot: str, lake: Path, lists: Path, tokenizer: Path, extractor: str) -> Seconds:
    """CPU seconds of each station up to the shards."""
    from benchmarks.parity.metadata import PUBLISHED

    chosen = {"extraction.extractor": extractor, "url_filter.categories": [PUBLISHED], "extraction.wall_seconds": 600}
    settings = Settings(
        source=str(source), lake=lake, lists=lists, tokenizer=tokenizer, recipe_set=chosen, workers=WORKERS
    )
    seconds: Seconds = {}
    began = cpu_seconds()
    for staged in Line(settings).run(snapshot, Here()):
        seconds[staged.station.name] = cpu_seconds() - began
        if staged.station.name == "training_shards":
            break
        began = cpu_seconds()
    return seconds


class Theirs:
    """datatrove's pipeline, whose lists and models are loaded once."""

    def __init__(self, extractor: str, tokenizer: Path) -> None:
        import loguru  # pyright: ignore[reportMissingImports]
        from datatrove.pipeline.extractors import Trafilatura  # pyright: ignore[reportMissingImports]
        from datatrove.pipeline.extractors.base import BaseExtractor  # pyright: ignore[reportMissingImports]
        from resiliparse.extract.html2text import extract_plain_text

        from benchmarks.parity.metadata import language_filter, url_filter

        class Resiliparse(BaseExtractor):
            name = "resiliparse"

            def __init__(self) -> None:
                super().__init__(timeout=60)

            def extract(self, text: str) -> str:
                return extract_plain_text(
                    text, main_content=True, preserve_formatting=True, alt_texts=False, links=False
                )

        loguru.logger.remove()
        self.extractor = Resiliparse() if extractor == "resiliparse" else Trafilatura(favour_precision=True, timeout=60)
        self.tokenizer = tokenizer
        self.urls, self.languages = url_filter(use_integrated_lists=True), language_filter("en")
        self.urls.download_data()

    def run(self, source: Path, snapshot: str, folder: Path) -> Seconds:
        """CPU seconds of each step."""
        from datatrove.pipeline import filters  # pyright: ignore[reportMissingImports]
        from datatrove.pipeline.dedup import minhash  # pyright: ignore[reportMissingImports]
        from datatrove.pipeline.formatters import PIIFormatter  # pyright: ignore[reportMissingImports]
        from datatrove.pipeline.readers import JsonlReader, WarcReader  # pyright: ignore[reportMissingImports]
        from datatrove.pipeline.tokens import (  # pyright: ignore[reportMissingImports]
            DocumentTokenizer,
            DocumentTokenizerMerger,
            TokensCounter,
        )
        from datatrove.pipeline.writers.jsonl import JsonlWriter  # pyright: ignore[reportMissingImports]
        from datatrove.utils.hashing import HashConfig  # pyright: ignore[reportMissingImports]

        def at(*names: str) -> str:
            return str(folder.joinpath(*names))

        def removed(name: str) -> dict[str, Any]:
            return {"exclusion_writer": JsonlWriter(at("removed", name, snapshot))}

        self.urls.exclusion_writer = JsonlWriter(at("removed", "1_url", snapshot))
        self.languages.exclusion_writer = JsonlWriter(
            at("2_non_english"), output_filename="${language}/" + snapshot + "/${rank}.jsonl.gz"
        )
        config = minhash.MinhashConfig(hash_config=HashConfig(precision=64, hash_fc="sha1"))
        warcs = f"{source}/crawl-data/{snapshot}/segments/"
        parts: list[list[tuple[str, Any]]] = [
            [
                ("WarcReader", WarcReader(warcs, glob_pattern="*/warc/*", default_metadata={"dump": snapshot})),
                ("URLFilter", self.urls),
                ("extractor", self.extractor),
                ("LanguageFilter", self.languages),
                ("GopherRepetitionFilter", filters.GopherRepetitionFilter(**removed("3_gopher_rep"))),
                ("GopherQualityFilter", filters.GopherQualityFilter(**removed("4_gopher_qual"))),
                ("C4QualityFilter", filters.C4QualityFilter(filter_no_terminal_punct=False, **removed("5_c4"))),
                ("FineWebQualityFilter", filters.FineWebQualityFilter(**removed("6_fineweb_qual"))),
                ("JsonlWriter", JsonlWriter(at("filtered"))),
            ],
            [
                ("JsonlReader", JsonlReader(at("filtered"))),
                ("MinHash 1", minhash.MinhashDedupSignature(at("signatures"), config)),
            ],
            *(
                [("MinHash 2", minhash.MinhashDedupBuckets(at("signatures"), at("buckets"), config=config))]
                for _ in range(config.num_buckets)
            ),
            [("MinHash 3", minhash.MinhashDedupCluster(at("buckets"), at("duplicates"), config))],
            [
                ("JsonlReader", JsonlReader(at("filtered"))),
                ("TokensCounter", TokensCounter(str(self.tokenizer))),
                ("MinHash 4", minhash.MinhashDedupFilter(at("duplicates"))),
                ("PIIFormatter", PIIFormatter()),
                ("JsonlWriter", JsonlWriter(at("output"))),
            ],
            [
                ("JsonlReader", JsonlReader(at("output"))),
                ("DocumentTokenizer", DocumentTokenizer(at("tokens"), str(self.tokenizer))),
            ],
            [("DocumentTokenizerMerger", DocumentTokenizerMerger(at("tokens"), at("shards"), "shard", progress=False))],
        ]
        seconds: Seconds = {}
        buckets = itertools.count()
        for steps in parts:
            documents: Iterable[Any] | None = None
            for name, step in steps:
                rank, tasks = (next(buckets), config.num_buckets) if name == "MinHash 2" else (0, 1)
                began = cpu_seconds()
                made = step.run(documents, rank, tasks)
                documents = list(made) if made is not None else None
                seconds[name] = seconds.get(name, 0.0) + cpu_seconds() - began
        return seconds


def compared(
    few: Path, source: Path, snapshot: str, folder: Path, lists: Path, extractor: str, tokenizer: Path
) -> tuple[Seconds, Seconds]:
    """CPU seconds of ours and of datatrove with one extractor, for what all pages are more than a few."""
    theirs = Theirs(extractor, tokenizer)
    found = []
    for name, given in (("warm", few), ("few", few), ("all", source)):
        mine = ours(given, snapshot, folder / extractor / name / "ours", lists, tokenizer, extractor)
        found.append((mine, theirs.run(given, snapshot, folder / extractor / name / "theirs")))
    mine_few, theirs_few = (
        {step: min(one[side][step] for one in found[:2]) for step in found[0][side]} for side in (0, 1)
    )
    mine, of_theirs = found[-1]
    print(
        f"{extractor}: {FIRST_PAGES} pages take ours {sum(mine_few.values()):.2f} CPU s, "
        f"datatrove {sum(theirs_few.values()):.2f}"
    )
    return (
        {step: spent - mine_few[step] for step, spent in mine.items()},
        {step: spent - theirs_few[step] for step, spent in of_theirs.items()},
    )


def main() -> None:
    """Print what each step takes, and the ratios; the last line is JSON."""
    parser = argparse.ArgumentParser(description="The FineWeb recipe against datatrove's pipeline.")
    parser.add_argument("source", type=Path)
    parser.add_argument("snapshot")
    parser.add_argument("--pages", type=int, default=3000)
    parser.add_argument("--extractors", default="resiliparse,trafilatura")
    arguments = parser.parse_args()
    os.environ["TQDM_DISABLE"] = "1"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["HF_ASSETS_CACHE"] = str(folder / "assets")  # read when the hub's library is imported
        from benchmarks.parity.metadata import write_lists

        for one in ("few", "lists"):
            (folder / one).mkdir()
        write_lists(folder / "lists")
        cut_snapshot(arguments.source, arguments.snapshot, FIRST_PAGES, folder / "few")
        tokenizer = make_tokenizer(folder)
        found: dict[str, tuple[Seconds, Seconds]] = {}
        for number, one in enumerate(arguments.extractors.split(",")):
            source = folder / f"source_{one}"
            source.mkdir()
            wanted = arguments.pages // (3 if number else 1)
            pages = cut_snapshot(arguments.source, arguments.snapshot, wanted, source) - FIRST_PAGES
            mine, theirs = (
                {step: spent / pages for step, spent in seconds.items()}
                for seconds in compared(
                    folder / "few", source, arguments.snapshot, folder, folder / "lists", one, tokenizer
                )
            )
            found[one] = mine, theirs
    ratios = {}
    for extractor, both in found.items():
        for title, seconds in zip(("ours", "datatrove"), both, strict=True):
            print(f"\n{title} with {extractor}: {1e3 * sum(seconds.values()):.2f} CPU ms a page")
            for step, spent in seconds.items():
                print(f"  {step:<26}{1e3 * spent:8.3f}")
        ratios[f"whole, {extractor}"] = sum(both[1].values()) / sum(both[0].values())
    mine, theirs = next(iter(found.values()))
    ratios["rest"] = (sum(theirs.values()) - theirs["WarcReader"] - theirs["extractor"]) / (
        sum(mine.values()) - mine["documents"]
    )
    if {"resiliparse", "trafilatura"} <= found.keys():
        published = sum(found["trafilatura"][1].values())
        ratios["resiliparse against trafilatura"] = published / sum(found["resiliparse"][0].values())
    for title, ratio in ratios.items():
        print(f"{title:<32} {ratio:6.1f}")
    report("fineweb", 1 / sum(mine.values()), 1 / sum(theirs.values()), ratios)


if __name__ == "__main__":
    main()
