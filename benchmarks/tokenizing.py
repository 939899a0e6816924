"""Tokenising: our Arrow-in, Arrow-out path against Hugging Face `tokenizers`, on the same texts and to the same ids.

On all cores, both with new caches, by the wall clock and in CPU seconds; and on one thread, as a station runs. The text
is invented: pseudo-words with Zipf's frequencies, so that pre-token caches work as they do on prose.
"""

import os
import time
from typing import Any

import numpy as np
import pyarrow as pa
import tokenizers
from measure import in_turns, report

from curation_assets.packing.tokenizer import Tokenizer, train_tokenizer
from curation_assets.packing.tokens import tokenize

SYLLABLES = [*("ka", "lo", "mi", "ra", "tes", "on", "ur", "bel"), *("sha", "nor", "qui", "ed", "ing", "st", "ä", "中")]


TEXTS = 2000


def invent(documents: int, words: int = 60_000) -> list[str]:
    """Documents of about 500 words drawn from `words` pseudo-words, the k-th with frequency 1 / k."""
    rng = np.random.default_rng(0)
    lexicon = ["".join(rng.choice(SYLLABLES, rng.integers(1, 6))) for _ in range(words)]
    frequencies = 1 / np.arange(1, words + 1)
    drawn = rng.choice(words, (documents, 500), p=frequencies / frequencies.sum())
    return [" ".join([lexicon[k] for k in row]) + ".\n" for row in drawn]


def main() -> None:
    """Print rates in MB/s of UTF-8 text."""
    texts = invent(TEXTS)
    size = sum(len(text.encode()) for text in texts) / 1e6
    definition = train_tokenizer(texts[:400])
    docs, column = pa.array(range(len(texts)), pa.int64()), pa.array(texts, pa.large_string())
    tokenizer = Tokenizer(definition)

    def peer(parallel: str) -> list[Any]:
        os.environ["TOKENIZERS_PARALLELISM"] = parallel
        reference = tokenizers.Tokenizer.from_str(definition)
        return reference.encode_batch_fast(texts, add_special_tokens=False)

    batch = tokenize(column, docs, tokenizer)
    for encoding, ids in zip(peer("true"), batch["ids"].to_pylist(), strict=True):
        assert [*encoding.ids, tokenizer.end_of_document] == ids, "ids must be the peer's"
    both = {
        "ours": lambda: Tokenizer(definition).encode_batch(column, parallel=True),
        "peer": lambda: peer("true"),
    }
    wall, used = in_turns(both, 3, time.perf_counter), in_turns(both, 2)
    alone = in_turns({"ours": lambda: tokenize(column, docs, Tokenizer(definition)), "peer": lambda: peer("false")}, 2)
    titles = {f"all {os.cpu_count()} cores, wall clock": wall, "all cores, CPU": used, "one thread": alone}
    for title, seconds in titles.items():
        print(
            f"{title:<26} ours ({tokenizer.backend}) {size / seconds['ours']:6.1f} MB/s, tokenizers "
            f"{size / seconds['peer']:5.1f}, ratio {seconds['peer'] / seconds['ours']:.1f}"
        )
    ratios = {"cpu": used["peer"] / used["ours"], "one_thread": alone["peer"] / alone["ours"]}
    report("tokenizing", size / wall["ours"], size / wall["peer"], ratios)


if __name__ == "__main__":
    main()
