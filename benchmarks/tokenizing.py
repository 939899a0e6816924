"""Tokenising: our Arrow-in, Arrow-out path against Hugging Face `tokenizers`.

The text is invented: pseudo-words with Zipf's frequencies, so that pre-token caches work as they do on prose.
"""

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import tokenizers
from measure import report

from curation_assets.packing.tokenizer import Tokenizer, train_tokenizer
from curation_assets.packing.tokens import tokenize

SYLLABLES = [*("ka", "lo", "mi", "ra", "tes", "on", "ur", "bel"), *("sha", "nor", "qui", "ed", "ing", "st", "ä", "中")]


def invent(documents: int, words: int = 60_000) -> list[str]:
    """Documents of about 500 words drawn from `words` pseudo-words, the k-th with frequency 1 / k."""
    rng = np.random.default_rng(0)
    lexicon = ["".join(rng.choice(SYLLABLES, rng.integers(1, 6))) for _ in range(words)]
    frequencies = 1 / np.arange(1, words + 1)
    drawn = rng.choice(words, (documents, 500), p=frequencies / frequencies.sum())
    return [" ".join([lexicon[k] for k in row]) + ".\n" for row in drawn]


def timed(step: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that a step takes, and what it returns."""
    start = time.perf_counter()
    result = step()
    return time.perf_counter() - start, result


def main() -> None:
    """Print rates in MB/s of UTF-8 text."""
    texts = invent(4000)
    size = sum(len(text.encode()) for text in texts) / 1e6
    few = texts[:400]
    few_size = sum(len(text.encode()) for text in few) / 1e6
    definition = train_tokenizer(few)
    tokenizer = Tokenizer(definition)
    reference = tokenizers.Tokenizer.from_str(definition)
    docs, column = pa.array(range(len(texts)), pa.int64()), pa.array(texts, pa.large_string())
    seconds, batch = timed(lambda: tokenize(column, docs, tokenizer))
    one_thread = size / seconds
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    seconds, encodings = timed(lambda: reference.encode_batch_fast(few, add_special_tokens=False))
    peer_one_thread = few_size / seconds
    for encoding, ids in zip(encodings, batch["ids"].slice(0, len(few)).to_pylist(), strict=True):
        assert [*encoding.ids, tokenizer.end_of_document] == ids, "ids must be the peer's"
    print(f"one thread ({tokenizer.backend})        : {one_thread:7.1f} MB/s")
    print(f"  tokenizers' encode_batch_fast  : {peer_one_thread:7.1f} MB/s, ratio {one_thread / peer_one_thread:.1f}")

    cold = Tokenizer(definition)
    seconds, _ = timed(lambda: cold.encode_batch(column, parallel=True))
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    peer_seconds, _ = timed(lambda: reference.encode_batch_fast(few, add_special_tokens=False))
    all_cores, peer_all_cores = size / seconds, few_size / peer_seconds
    print(f"all {os.cpu_count()} cores                      : {all_cores:7.1f} MB/s")
    print(f"  tokenizers' encode_batch_fast  : {peer_all_cores:7.1f} MB/s, ratio {all_cores / peer_all_cores:.1f}")
    report("tokenize_mb_per_s", one_thread, peer_one_thread)


if __name__ == "__main__":
    main()
