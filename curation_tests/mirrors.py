"""Further snapshots made of the sample's WARC files, and what lies in a lake."""

import gzip
import random
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.lake.lake import Partition
from curation_assets.line import Line
from curation_assets.packing.reader import ShardReader
from curation_tests.acquisition.warc_bytes import http_block, member, record

WORDS = """the of and to in is that for with was on by this from they have which were their one there when people water
town river morning garden window letter market bridge winter summer village teacher station harbour kitchen children
music history forest weather journey evening captain library mountain island doctor company question answer picture
street machine village country reason number school paper stone field light glass horse table paint under between
during before after against without around among across every another because"""


def add_snapshot(mirror: Path, sample: Path, name: str, files: Sequence[int], pages: Sequence[str] = ()) -> None:
    """Write or replace a snapshot: copies of some of the sample's WARC files, by number, also of one file twice.

    The HTML of `pages` goes into one more file.
    """
    crawl, source = mirror / "crawl-data" / name, sample / "crawl-data" / SAMPLE_SNAPSHOT
    warcs = sorted(source.rglob("*.warc.gz"))
    paths = []
    for place, number in enumerate(files):
        path = crawl / "segments" / f"{place}" / "warc" / f"{name}-{number}-{place:05}.warc.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(warcs[number].read_bytes())
        paths.append(path)
    if pages:
        path = crawl / "segments" / "own" / "warc" / f"{name}-own.warc.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        records = (
            record(number, http_block(page.encode()), url=f"https://own.example/{number}")
            for number, page in enumerate(pages, 1)
        )
        path.write_bytes(b"".join(map(member, records)))
        paths.append(path)
    listed = "".join(f"{path.relative_to(mirror).as_posix()}\n" for path in paths)
    (crawl / "warc.paths.gz").write_bytes(gzip.compress(listed.encode(), mtime=0))


def prose(seed: int, sentences: int = 40) -> list[str]:
    """Sentences of English words that no other seed has."""
    chance, words = random.Random(seed), WORDS.split()
    return [" ".join(chance.choices(words, k=12)).capitalize() + "." for _ in range(sentences)]


def partition(line: Line, name: str, snapshot: str = SAMPLE_SNAPSHOT) -> Partition:
    return line.lake.partition(line.key(name), snapshot)


def table(line: Line, name: str, snapshot: str = SAMPLE_SNAPSHOT) -> pl.DataFrame:
    return pl.read_parquet(partition(line, name, snapshot).paths(".parquet"))


def content(line: Line) -> dict[str, bytes]:
    """Every file of a lake."""
    root = line.lake.root
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def packed_pieces(reader: ShardReader) -> dict[int, dict[int, list[int]]]:
    """The ids of each document in some shards, by where in the document they begin."""
    pieces: dict[int, dict[int, list[int]]] = {}
    for index in range(len(reader)):
        sequence = reader[index]
        for k, doc in enumerate(sequence.docs.tolist()):
            ids = sequence.tokens[sequence.boundaries[k] : sequence.boundaries[k + 1]].tolist()
            pieces.setdefault(doc, {})[int(sequence.token_starts[k])] = ids
    return pieces
