"""What the benchmarks share: their texts, the clock, and the last line."""

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def given_texts() -> pa.LargeStringArray | None:
    """The `text` column of the Parquet file that the command line names, without nulls; None if it names none."""
    if len(sys.argv) < 2:
        return None
    return pq.read_table(sys.argv[1], columns=["text"])["text"].cast(pa.large_string()).combine_chunks().drop_null()


def invented_phrases(random: np.random.Generator, log_words: float, spread: float) -> Iterator[str]:
    """Phrases without end, of words drawn by Zipf's law; the logarithm of their number is normally distributed."""
    letters = np.array(list("etaoinshrdlucmfwypvbgk"))
    vocabulary = ["".join(random.choice(letters, size)) for size in random.integers(1, 10, 30_000)]
    while True:
        ranks = np.minimum(random.zipf(1.2, int(random.lognormal(log_words, spread)) + 5), len(vocabulary)) - 1
        yield " ".join(vocabulary[rank] for rank in ranks)


def some_texts(count: int) -> pa.LargeStringArray:
    """The given texts; without them, `count` invented ones of about 550 words."""
    given = given_texts()
    if given is not None:
        return given
    phrases = islice(invented_phrases(np.random.default_rng(1), 6, 0.8), count)
    return pa.array([phrase.capitalize() + "." for phrase in phrases], pa.large_string())


def fastest(work: Callable[[], object], repeats: int = 3, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of the fastest of some calls."""
    seconds = []
    for _ in range(repeats):
        began = clock()
        work()
        seconds.append(clock() - began)
    return min(seconds)


def cpu_seconds() -> float:
    """CPU seconds of this process, all its threads, and the child processes that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def in_turns(
    works: Mapping[str, Callable[[], object]], rounds: int = 3, clock: Callable[[], float] = cpu_seconds
) -> dict[str, float]:
    """Seconds of each work's fastest call, by name. They are called in turns, so that a busy machine treats them alike.

    Nothing is called to warm up: do that before, or take two rounds at least.
    """
    best = dict.fromkeys(works, float("inf"))
    for _ in range(rounds):
        for name, work in works.items():
            best[name] = min(best[name], fastest(work, 1, clock))
    return best


def report(name: str, ours: float, peer: float, ratios: Mapping[str, float] | None = None, **more: object) -> None:
    """Print the last line: JSON with both rates, of one unit, and the ratio; `ratios` are those to further peers."""
    answer = {"name": name, "ours": ours, "peer": peer, "ratio": ours / peer, "ratios": dict(ratios or {}), **more}
    print(json.dumps(answer))
