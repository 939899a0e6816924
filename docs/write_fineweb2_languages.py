"""Write the language table of FineWeb2: `python docs/write_fineweb2_languages.py THRESHOLDS.jsonl > TABLE`.

TABLE is `curation_assets/filtering/fineweb2_languages.tsv`. THRESHOLDS.jsonl has the values of one file of the
`configs` folder of huggingface/fineweb-2 a line, and the file's name as `language_script`.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

HEAD = """\
# Filter thresholds and stop words of FineWeb2 by language and script: facts taken from the `configs` folder of
# huggingface/fineweb-2 (Copyright the FineWeb2 authors, Apache License 2.0; Penedo et al. 2025, arXiv 2506.20920),
# rearranged as one table by docs/write_fineweb2_languages.py. Stop words are in their order, separated by "|".
"""


def columns(row: dict[str, Any]) -> dict[str, Any]:
    """One language's values by the names of the table's columns."""
    return {
        "language": row["language_script"],
        "language_score": row["language_score"],
        "dup_line_frac": row["dup_line_frac"],
        **{f"top_{n}_gram": limit for n, limit in row["top_n_grams"]},
        **{f"dup_{n}_gram": limit for n, limit in row["dup_n_grams"]},
        "line_punct_thr": row["line_punct_thr"],
        "new_line_ratio": row["new_line_ratio"],
        "min_avg_word_length": row["min_avg_word_length"],
        "max_avg_word_length": row["max_avg_word_length"],
        "max_non_alpha_words_ratio": row["max_non_alpha_words_ratio"],
        "stop_words": "|".join(row["stopwords"]),
    }


def write(lines: Iterable[str]) -> Iterator[str]:
    """The table as lines of tab-separated text, sorted by language."""
    rows = sorted((columns(json.loads(line)) for line in lines), key=lambda row: row["language"])
    yield HEAD
    yield "\t".join(rows[0]) + "\n"
    for row in rows:
        if row.keys() != rows[0].keys() or any(c in str(value) for value in row.values() for c in '\t\n\r"'):
            raise ValueError(f"{row['language']} does not fit the table")
        yield "\t".join(map(str, row.values())) + "\n"


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # pyright: ignore[reportAttributeAccessIssue]
    sys.stdout.writelines(write(Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()))
