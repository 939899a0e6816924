"""A corpus as others catalogue it: Hugging Face's dataset card, and MLCommons' Croissant 1.0.

Both describe the recipe's folder of the lake, from where their paths begin. Neither holds a word of the crawled pages.
"""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pyarrow as pa
import yaml

from curation_assets.packing.sequences import SEGMENTS
from curation_assets.packing.shards import SEGMENTS_FILE
from curation_assets.packing.stations import SEGMENT_COLUMNS
from curation_assets.provenance.report import Language, Report
from curation_assets.provenance.report_page import environment, steps

TERMS = "https://commoncrawl.org/terms-of-use"
SIZES = (10**3, 10**4, 10**5, 10**6, 10**7, 10**8, 10**9, 10**10, 10**11, 10**12)
LISTED_LANGUAGES = 40

CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{
        name: f"cr:{name}"
        for name in (
            *("citeAs", "column", "extract", "field", "fileProperty", "fileObject", "fileSet", "format", "includes"),
            *("isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex"),
            *("repeated", "replace", "samplingRate", "separator", "source", "subField", "transform"),
        )
    },
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "sc": "https://schema.org/",
}
FORMATS = {
    ".parquet": "application/x-parquet",
    ".json": "application/json",
    ".bin": "application/octet-stream",
    ".idx": "application/octet-stream",
}


def dataset_card(report: Report, schema: pa.Schema, meanings: Mapping[str, str]) -> str:
    """`README.md` for a dataset repository of the Hugging Face Hub.

    Args:
        report: of the snapshot.
        schema: of the corpus.
        meanings: of its columns.
    """
    listed = kept_languages(report)
    snapshot = report.snapshot
    codes = sorted({one.name.partition("_")[0] for one in listed if re.fullmatch(r"[a-z]{2,3}(_[A-Za-z]+)?", one.name)})
    front_matter: dict[str, Any] = {
        "pretty_name": f"{report.about.recipe} on {snapshot}",
        "license": "other",
        "license_name": "common-crawl-terms-of-use",
        "license_link": TERMS,
        "task_categories": ["text-generation"],
        **({"language": codes} if codes else {}),
        "size_categories": [size_category(report.kept)],
        "configs": [
            {
                "config_name": snapshot,
                "default": True,
                "data_files": [{"split": "train", "path": f"corpus/{snapshot}/part-*.parquet"}],
            },
            {
                "config_name": f"{snapshot}-segments",
                "data_files": [{"split": "train", "path": f"training_shards/{snapshot}/{SEGMENTS_FILE}"}],
            },
        ],
    }
    return (
        environment()
        .get_template("dataset_card.md")
        .render(
            report=report,
            front_matter=yaml.safe_dump(front_matter, sort_keys=False, allow_unicode=True),
            columns=[(field.name, str(field.type), meanings.get(field.name, "")) for field in schema],
            steps=steps(report),
            languages=listed[:LISTED_LANGUAGES],
            deduplication=_deduplication(report),
        )
    )


def kept_languages(report: Report) -> list[Language]:
    """Languages of which something is kept, the most frequent first."""
    return [one for one in report.languages if one.kept and one.name]


def size_category(documents: int) -> str:
    """The Hub's class of a number of rows: `n<1K`, `1K<n<10K`, ..., `n>1T`."""

    def told(size: int) -> str:
        power = (len(str(size)) - 1) // 3
        return f"{size // 1000**power}{'_KMBT'[power]}"

    if documents < SIZES[0]:
        return f"n<{told(SIZES[0])}"
    for low, high in pairwise(SIZES):
        if documents < high:
            return f"{told(low)}<n<{told(high)}"
    return f"n>{told(SIZES[-1])}"


def _deduplication(report: Report) -> str:
    methods = list(dict.fromkeys(gate.station for gate in report.gates if gate.station.endswith("_duplicates")))
    if not methods:
        return "Nothing was deduplicated."
    told = ", ".join(f"`{name}`" for name in methods)
    return f"Duplicates were looked for by {told}: what those do not find is there more than once."


def croissant(report: Report, schema: pa.Schema, meanings: Mapping[str, str]) -> dict[str, Any]:
    """Croissant metadata (MLCommons, version 1.0, JSON-LD): files with their hashes, columns with their meanings.

    Args:
        report: of the snapshot.
        schema: of the corpus.
        meanings: of its columns.
    """
    snapshot, recipe = report.snapshot, report.about.recipe
    corpus = next(table for table in report.tables if table.name == "corpus")
    pattern = f"corpus/{snapshot}/part-*.parquet"
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": f"{recipe}-{snapshot}",
        "description": f"{report.about.description} Made from {report.parts:,} WARC files of Common Crawl's "
        f"{snapshot}: {report.kept:,} documents, {report.tokens:,} tokens.",
        "license": TERMS,
        "citeAs": f"Common Crawl Foundation, {snapshot}, https://commoncrawl.org; recipe {recipe} of curation-assets.",
        "version": f"1.0.0+{corpus.digest[:12]}",
        "inLanguage": [one.name for one in kept_languages(report)],
        "distribution": [
            *(
                {
                    "@type": "cr:FileObject",
                    "@id": file.name,
                    "name": file.name,
                    "contentUrl": f"training_shards/{snapshot}/{file.name}",
                    "contentSize": f"{file.bytes} B",
                    "encodingFormat": FORMATS["." + file.name.rpartition(".")[2]],
                    "sha256": file.sha256,
                }
                for file in report.shard_files
            ),
            {
                "@type": "cr:FileSet",
                "@id": "corpus-files",
                "name": "corpus-files",
                "description": "The documents, one file for each WARC file.",
                "encodingFormat": FORMATS[".parquet"],
                "includes": pattern,
            },
        ],
        "recordSet": [
            _record_set("corpus", "Documents that are kept.", {"fileSet": {"@id": "corpus-files"}}, schema, meanings),
            _record_set(
                "segments",
                "Which tokens of which document lie where in which sequence.",
                {"fileObject": {"@id": SEGMENTS_FILE}},
                SEGMENTS,
                SEGMENT_COLUMNS,
            ),
        ],
    }


def _record_set(
    name: str, description: str, source: Mapping[str, Any], schema: pa.Schema, meanings: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": description,
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{name}/{field.name}",
                "name": field.name,
                "description": meanings.get(field.name, ""),
                "dataType": _data_type(field.type),
                "source": {**source, "extract": {"column": field.name}},
            }
            for field in schema
        ],
    }


def _data_type(kind: pa.DataType) -> str:
    if pa.types.is_integer(kind):
        return "sc:Integer"
    if pa.types.is_floating(kind):
        return "sc:Float"
    if pa.types.is_timestamp(kind):
        return "sc:DateTime"
    return "sc:Text"
