"""E-mail and IP spans against Python's `re` with FineWeb's published patterns.

Usage: `python benchmarks/pii.py [PARQUET]`. With a Parquet file the texts are its `text` column; without one
they are invented: words, numbers, versions, and an address in every fifth text.
"""

import ipaddress
import re
import time

import numpy as np
import pyarrow as pa
from measure import fastest, given_texts, report

from curation_assets.filtering.pii import find_pii

TEXTS = 4000
TEXT = "the river runs past 1,200 mills at 3.5 km and v2.4.1 or section 4.2 of that e-mail (see page 12)"
ADDRESSES = ["someone@mail.example", "first.last+tag@shop.example.org", "8.8.8.8", "10.0.0.7", "1.2.3.4.5"]
OCTET = r"(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)"
LOCAL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
EMAIL = re.compile(rf"\b{LOCAL}(?:\.{LOCAL})*@(?:(?:{LABEL}\.)+{LABEL}|\[(?:{OCTET}\.){{3}}{OCTET}\])")
IP = re.compile(rf"(?:{OCTET}\.){{3}}{OCTET}")


def texts() -> pa.LargeStringArray:
    """The texts to measure on."""
    given = given_texts()
    if given is not None:
        return given
    random = np.random.default_rng(1)
    vocabulary = TEXT.split()
    made = []
    for number in range(TEXTS):
        words = random.choice(vocabulary, int(random.lognormal(6, 0.8)) + 1).tolist()
        if number % 5 == 0:
            words.insert(len(words) // 2, ADDRESSES[number // 5 % len(ADDRESSES)])
        made.append(" ".join(words))
    return pa.array(made, pa.large_string())


def regular_expressions(rows: list[str]) -> int:
    """Number of spans by the published patterns, which also take versions and package names."""
    spans = 0
    for text in rows:
        spans += sum(1 for _ in EMAIL.finditer(text))
        for match in IP.finditer(text):
            try:
                spans += ipaddress.ip_address(match.group()).is_global
            except ValueError:
                continue
    return spans


def main() -> None:
    """Print both rates in MB of UTF-8 a second and their ratio."""
    array = texts()
    rows = array.to_pylist()
    size = sum(len(text.encode()) for text in rows) / 1e6
    began = time.perf_counter()
    spans = find_pii(array, True, True)
    print(f"first call, compilation or cache included: {time.perf_counter() - began:.2f} s")
    ours = size / fastest(lambda: find_pii(array, True, True))
    began = time.perf_counter()
    published = regular_expressions(rows)
    peer = size / (time.perf_counter() - began)
    print(f"{len(rows):,} texts, {size:.1f} MB: {len(spans.flatten()):,} spans; published patterns {published:,}")
    print(f"curation_assets {ours:,.0f} MB/s; Python re {peer:,.1f} MB/s")
    report("pii", ours, peer)


if __name__ == "__main__":
    main()
