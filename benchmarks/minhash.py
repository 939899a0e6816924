"""MinHash band keys, from text, against datasketch, from ready-made shingles.

Usage: `python benchmarks/minhash.py [PARQUET]`. With a Parquet file the texts are its `text` column; without one
they are words drawn by Zipf's law. Both make 112 hashes over 5-grams of words with SHA-1. datasketch's `MinHash.bulk`
is given the shingles as lists of bytes, and 32 bits of each hash, its default; ours also simplifies the text and finds
the words, and takes 64 bits. Of its parts, SHA-1 is measured by itself against hashlib. Our rates with xxHash, with
what verification and audit need, and with RefinedWeb's 9,000 hashes follow. Times are CPU seconds.
"""

import hashlib
import time

from datasketch import MinHash
from measure import fastest, report, some_texts

from curation_assets.deduplication.hashes.sha1 import sha1_64
from curation_assets.deduplication.minhash import sign
from curation_assets.deduplication.shingles import separate, simplified_words

TEXTS = 4000
NGRAM, BANDS, ROWS = 5, 14, 8


def main() -> None:
    """Print both rates and their ratio."""
    array = some_texts(TEXTS)
    sign(array[:10], NGRAM, BANDS, ROWS)
    start = time.process_time()
    sign(array, NGRAM, BANDS, ROWS)
    ours = len(array) / (time.process_time() - start)

    some = array[: max(len(array) // 4, 1)]
    shingles = []
    for text in simplified_words(some).to_pylist():
        words = text.encode().split(b" ")
        shingles.append([b" ".join(words[i : i + NGRAM]) for i in range(len(words) - NGRAM + 1)])
    start = time.process_time()
    MinHash.bulk(shingles, num_perm=BANDS * ROWS)
    peer = len(some) / (time.process_time() - start)

    megabytes = array.nbytes / len(array) / 1e6
    print(f"{len(array):,} documents of {megabytes * 1e3:.1f} kB")
    print(f"ours, from text             {ours:10,.0f} documents/s {ours * megabytes:7.1f} MB/s")
    print(f"datasketch, from shingles   {peer:10,.0f} documents/s {peer * megabytes:7.1f} MB/s")
    print(f"ratio                       {ours / peer:10.1f}")
    words = separate(some)
    starts, stops = words.starts[: -NGRAM - 1], words.starts[NGRAM:-1] - 1
    strings = [words.text[a:b].tobytes() for a, b in zip(starts[:100_000], stops[:100_000], strict=True)]
    hashing = len(starts) / fastest(lambda: sha1_64(words.text, starts, stops), clock=time.process_time)
    hashlib_rate = len(strings) / fastest(lambda: [hashlib.sha1(s).digest() for s in strings], clock=time.process_time)
    print(f"SHA-1 alone: ours {hashing / 1e6:.1f} million strings/s, hashlib {hashlib_rate / 1e6:.1f}")
    print(f"ratio                       {hashing / hashlib_rate:10.1f}")
    few = array[:400]
    variants = {
        "xxHash": (array, lambda: sign(array, NGRAM, BANDS, ROWS, hash_function="xxhash")),
        "with all shingle sets": (array, lambda: sign(array, NGRAM, BANDS, ROWS, sample=1.0, all_shingles=True)),
        "450 x 20": (few, lambda: sign(few, NGRAM, 450, 20)),
        "450 x 20, datasketch's": (few, lambda: sign(few, NGRAM, 450, 20, family="datasketch")),
    }
    rates = {}
    for name, (measured, work) in variants.items():
        rates[name] = len(measured) / fastest(work, 2, time.process_time)
        print(f"{name:27} {rates[name]:10,.0f} documents/s {rates[name] * megabytes:7.1f} MB/s")
    report("minhash", ours, peer, **rates)


if __name__ == "__main__":
    main()
