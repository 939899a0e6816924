"""MinHash band keys, from text, against datasketch, datatrove and Daft, on the same texts.

Usage: `python benchmarks/minhash.py [PARQUET]`. With a Parquet file the texts are its `text` column; without one
they are words drawn by Zipf's law. All make 112 hashes over 5-grams of words. Ours simplifies the text, finds the
words, hashes with SHA-1 and takes 64 bits. Of the others

- datatrove's stage 1 does the same work, to the same 64 bits, without writing anything;
- datasketch's `MinHash.bulk` is given the shingles as lists of bytes, and takes 32 bits of each SHA-1, its default;
- Daft's native `minhash` takes 32 bits of words between spaces, of texts as they are. It has SHA-1 too, and xxHash,
  beside which ours with xxHash stands. It runs in an environment of its own, on all cores.

Of the parts, SHA-1 is measured by itself against hashlib. Our rates with what verification and audit need, and with
RefinedWeb's 9,000 hashes follow. Times are CPU seconds of all threads.
"""

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasketch import MinHash
from measure import cpu_seconds, fastest, in_turns, report, some_texts
from measure.elsewhere import ask

from curation_assets.deduplication.hashes.sha1 import sha1_64
from curation_assets.deduplication.minhash import sign
from curation_assets.deduplication.shingles import separate, simplified_words

TEXTS = 4000
PEER_TEXTS = 400
NGRAM, BANDS, ROWS = 5, 14, 8
HASHES = BANDS * ROWS
DAFT = """
import json, resource, sys
import daft
from daft.functions import minhash
frame = daft.read_parquet(sys.argv[1]).collect()
def used():
    now = resource.getrusage(resource.RUSAGE_SELF)
    return now.ru_utime + now.ru_stime
seconds = {}
for _ in range(4):
    for name in ("sha1", "xxhash64", "murmurhash3"):
        began = used()
        frame.select(minhash(daft.col("text"), num_hashes=112, ngram_size=5, hash_function=name)).collect()
        seconds[name] = min(used() - began, seconds.get(name, 1e9))
print(json.dumps(seconds))
"""


def datatrove(texts: list[str]) -> Callable[[], object] | None:
    """datatrove's signatures of texts; None where it is not installed."""
    try:
        from datatrove.pipeline.dedup.minhash import (  # pyright: ignore[reportMissingImports]
            MinhashConfig,
            MinhashDedupSignature,
        )
        from datatrove.utils.hashing import HashConfig  # pyright: ignore[reportMissingImports]
    except ImportError:
        print("skipped: datatrove is not installed; `make bench` installs it")
        return None
    stage = MinhashDedupSignature("unused", MinhashConfig(hash_config=HashConfig(precision=64, hash_fc="sha1")))
    stage.get_signature(stage.get_shingles(texts[0]))
    return lambda: [stage.get_signature(stage.get_shingles(text)) for text in texts]


def daft(texts: pa.LargeStringArray) -> dict[str, float]:
    """CPU seconds of Daft by hash function; empty where it is not installed."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "texts.parquet")
        pq.write_table(pa.table({"text": texts}), file)
        return ask("daft", DAFT, file) or {}


def main() -> None:
    """Print the rates and their ratios."""
    array = some_texts(TEXTS)
    some = array[: max(len(array) // 4, 1)]
    few = array[:PEER_TEXTS]
    shingles = []
    for text in simplified_words(some).to_pylist():
        words = text.encode().split(b" ")
        shingles.append([b" ".join(words[i : i + NGRAM]) for i in range(len(words) - NGRAM + 1)])
    megabytes = array.nbytes / len(array) / 1e6

    works: dict[str, tuple[int, Callable[[], object]]] = {
        "ours": (len(array), lambda: sign(array, NGRAM, BANDS, ROWS)),
        "ours, xxHash": (len(array), lambda: sign(array, NGRAM, BANDS, ROWS, hash_function="xxhash")),
        "datasketch": (len(some), lambda: MinHash.bulk(shingles, num_perm=HASHES)),
    }
    theirs = datatrove(few.to_pylist())
    if theirs is not None:
        works["datatrove"] = (len(few), theirs)
    for name in ("sha1", "xxhash"):
        sign(array[:10], NGRAM, BANDS, ROWS, hash_function=name)
    seconds = in_turns({name: work for name, (_, work) in works.items()})
    rates = {name: count / seconds[name] for name, (count, _) in works.items()}
    rates |= {f"Daft, {name}": len(array) / used for name, used in daft(array).items()}

    print(f"{len(array):,} documents of {megabytes * 1e3:.1f} kB")
    for name, rate in rates.items():
        print(f"{name:27} {rate:10,.0f} documents/s {rate * megabytes:7.1f} MB/s")
    ours = rates["ours"]
    ratios = {}
    if "datatrove" in rates:
        ratios["datatrove"] = ours / rates["datatrove"]
    if "Daft, sha1" in rates:
        ratios["daft_sha1"] = ours / rates["Daft, sha1"]
        ratios["daft_xxhash"] = rates["ours, xxHash"] / rates["Daft, xxhash64"]
    for name, ratio in {"datasketch": ours / rates["datasketch"], **ratios}.items():
        print(f"ratio, {name:20} {ratio:10.1f}")

    words = separate(some)
    starts, stops = words.starts[: -NGRAM - 1], words.starts[NGRAM:-1] - 1
    strings = [words.text[a:b].tobytes() for a, b in zip(starts[:100_000], stops[:100_000], strict=True)]
    hashing = len(starts) / fastest(lambda: sha1_64(words.text, starts, stops), clock=cpu_seconds)
    hashlib_rate = len(strings) / fastest(lambda: [hashlib.sha1(s).digest() for s in strings], clock=cpu_seconds)
    print(f"SHA-1 alone: ours {hashing / 1e6:.1f} million strings/s, hashlib {hashlib_rate / 1e6:.1f}")
    print(f"ratio                       {hashing / hashlib_rate:10.1f}")
    variants = {
        "with all shingle sets": (array, lambda: sign(array, NGRAM, BANDS, ROWS, sample=1.0, all_shingles=True)),
        "450 x 20": (few, lambda: sign(few, NGRAM, 450, 20)),
        "450 x 20, datasketch's": (few, lambda: sign(few, NGRAM, 450, 20, family="datasketch")),
    }
    others = {}
    for name, (measured, work) in variants.items():
        others[name] = len(measured) / fastest(work, 2, cpu_seconds)
        print(f"{name:27} {others[name]:10,.0f} documents/s {others[name] * megabytes:7.1f} MB/s")
    report("minhash", ours, rates["datasketch"], ratios, **others)


if __name__ == "__main__":
    main()
