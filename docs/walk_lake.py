"""What the walk through the UI (`screenshots.mjs`) cannot do in a browser: make a mirror, and put a fault into a lake.

`python docs/walk_lake.py mirror FOLDER` writes the package's sample under two names, so that there is something to
backfill. `python docs/walk_lake.py fault LAKE SNAPSHOT` does what a careless program would: it writes the language
scores of kept documents as percentages, with a manifest that says so, and deletes the corpus, so that it is made again
from them. `python docs/walk_lake.py mend LAKE SNAPSHOT` deletes that table of languages.
"""

import gzip
import json
import shutil
import sys
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT, write_sample
from curation_assets.lake.lake import MANIFEST, Manifest
from curation_assets.lake.parts import PartWriter, describe

SECOND = "CC-MAIN-2000-02"


def mirror(folder: Path) -> None:
    """Write the sample twice: the second time under another name and without its last WARC file."""
    write_sample(folder)
    crawl = folder / "crawl-data"
    shutil.copytree(crawl / SAMPLE_SNAPSHOT, crawl / SECOND, dirs_exist_ok=True)
    listed = gzip.decompress((crawl / SAMPLE_SNAPSHOT / "warc.paths.gz").read_bytes()).decode()
    fewer = listed.replace(SAMPLE_SNAPSHOT, SECOND).splitlines(keepends=True)[:-1]
    (crawl / SECOND / "warc.paths.gz").write_bytes(gzip.compress("".join(fewer).encode(), mtime=0))
    crawls = json.loads((folder / "collinfo.json").read_text())
    crawls = [{**crawls[0], "id": SECOND}, *(one for one in crawls if one["id"] != SECOND)]
    (folder / "collinfo.json").write_text(json.dumps(crawls))


def fault(lake: Path, snapshot: str) -> None:
    """Write the first part of the languages below `lake` anew, wrong, and delete what was made of them last.

    The manifest agrees with the part: against that no hash helps, but the contract does.
    """
    (languages,) = lake.glob(f"*/languages/{snapshot}/part-00000.parquet")
    (corpus,) = lake.glob(f"*/corpus/{snapshot}")
    kept = pl.read_parquet(corpus / "part-00000.parquet", columns=["doc"])["doc"].head(3)
    spoilt = pl.read_parquet(languages).with_columns(
        pl.when(pl.col("doc").is_in(kept.implode()))
        .then(pl.col("language_score") * 100)
        .otherwise(pl.col("language_score"))
        .alias("language_score")
    )
    was, schema = describe(languages), pq.read_schema(languages).remove_metadata()
    with PartWriter(languages, schema, was.fingerprint) as writer:
        writer.stats = was.stats
        writer.write(spoilt.to_arrow())
    path = languages.with_name(MANIFEST)
    manifest = Manifest.model_validate_json(path.read_text())
    files = [describe(languages), *manifest.files[1:]]
    path.write_text(manifest.model_copy(update={"files": files}).model_dump_json(indent=1) + "\n")
    shutil.rmtree(corpus)


def mend(lake: Path, snapshot: str) -> None:
    """Delete the languages: the next run makes them again, and the corpus from them."""
    (languages,) = lake.glob(f"*/languages/{snapshot}")
    shutil.rmtree(languages)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["mirror", folder]:
            mirror(Path(folder))
        case ["fault", lake, snapshot]:
            fault(Path(lake), snapshot)
        case ["mend", lake, snapshot]:
            mend(Path(lake), snapshot)
        case _:
            sys.exit(__doc__)
