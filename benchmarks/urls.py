"""URL rules against a per-row Python filter that does the same with sets, a split and substring tests.

Invented URLs, 640,000 listed domains (about the public part of the UT1 lists), the shipped words. No input needed.
"""

import re
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from measure import fastest, report

from curation_assets.filtering.urls import UrlRules, annotate_urls

DOMAINS = 640_000
URLS = 200_000
PEER_URLS = 20_000
PATHS = ["blog/2024/05/a-walk-in-the-hills", "wiki/History_of_glass", "product?id=4711&colour=red", "index.html"]
BAD_PATHS = ["tag/poker-bonus", "gallery/free-porn/page/2", "on-line/casino", "betting/jackpot?x=1"]


def python_filter(rows: list[tuple[str, str, str]], domains: set[str], rules: UrlRules) -> list[tuple]:
    """The same tests one URL at a time, as datatrove's filter makes them (here with every rule evaluated)."""
    hard, soft = set(rules.hard_words), set(rules.soft_words)
    result = []
    for url, host, domain in rows:
        listed = domain in domains or host in domains or host.removeprefix("www.") in domains
        text = url.split("://", 1)[-1].lower()
        parts = set(re.split(r"[^a-z0-9]+", text))
        squeezed = re.sub(r"[^a-z0-9]+", "", text)
        subwords = sum(word in squeezed for word in rules.subwords)
        result.append((int(listed), len(parts & hard), len(parts & soft), subwords))
    return result


def main() -> None:
    """Print both rates and their ratio."""
    random = np.random.default_rng(1)
    rows = []
    for number in random.integers(0, 10 * DOMAINS, URLS).tolist():
        domain = f"site-{number}.example"
        paths = BAD_PATHS if number % 50 == 0 else PATHS
        rows.append((f"https://www.{domain}/{paths[number % 4]}/{number}", f"www.{domain}", domain))
    columns = [pa.array([row[column] for row in rows]) for column in range(3)]
    domains = [f"site-{number}.example" for number in range(DOMAINS)]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "adult").mkdir()
        (Path(folder) / "adult" / "domains").write_text("\n".join(domains))
        began = time.perf_counter()
        rules = UrlRules.load(Path(folder), ["adult"])
        print(f"load {DOMAINS:,} domains: {time.perf_counter() - began:.2f} s, {rules.domains.keys.nbytes:,} bytes")

    table = annotate_urls(columns[0], columns[1], columns[2], rules)
    ours = URLS / fastest(lambda: annotate_urls(columns[0], columns[1], columns[2], rules))
    began = time.perf_counter()
    expected = python_filter(rows[:PEER_URLS], set(domains), rules)
    peer = PEER_URLS / (time.perf_counter() - began)
    counts = ["url_domain_listed", "url_hard_words", "url_soft_words", "url_subwords"]
    assert [tuple(row.values()) for row in table.select(counts)[:PEER_URLS].to_pylist()] == expected
    print(f"curation_assets {ours:,.0f} URLs/s; Python sets and regular expressions {peer:,.0f} URLs/s")
    report("urls", ours, peer)


if __name__ == "__main__":
    main()
