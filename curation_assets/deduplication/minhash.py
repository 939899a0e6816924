"""MinHash signatures and the band keys under which near-duplicates meet.

Broder (1997), "On the resemblance and containment of documents"; banding after Indyk and Motwani (1998). A
shingle's hash h is of 64 bits, of its UTF-8 text:

* ``sha1``, FineWeb's: the first 8 bytes, little-endian, of its SHA-1;
* ``xxhash``, FineWeb2's and datatrove's default: XXH64 with seed 0.

A signature value is the smallest of one permutation over the document's shingles. Permutation p of h is

* family ``datatrove``: ``((h * a[p] + b[p]) mod 2**64) mod (2**61 - 1)``, as in datatrove 0.10
  (``pipeline/dedup/minhash.py``; the product wraps, as there);
* family ``datasketch``: ``(m * a[p] + b[p]) mod 2**64`` for odd a[p], where m is h through MurmurHash3's finaliser,
  as in datasketch 2's scheme ``affine64``. See `interchange`.

Published parameters, as bands x rows (recall is one half near Jaccard (1/bands)**(1/rows)): FineWeb and FineWeb2
14 x 8, RefinedWeb 450 x 20, RedPajama-V2 14 x 9, 9 x 13, 5 x 25 and 1 x 128, Dolma 3's duplodocus 20 x 5 and
26 x 11. A stored document takes 8 bytes a band: 112 bytes with 14 bands, 3.6 kB with 450; and the time of a
signature is proportional to bands * rows.

Texts whose words are those of datatrove's tokenizer get datatrove's signatures. Ours are those of
``filtering.words``; spaCy's English tokenizer also splits "cannot", units ("0 kg") and what has lost its
apostrophe ("do nt"), and keeps runs of Chinese and Japanese whole.
"""

import functools
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
from numba import njit

from curation_assets.deduplication.hashes.mix64 import GOLDEN, finished, mix, mixed
from curation_assets.deduplication.hashes.sha1 import sha1_64
from curation_assets.deduplication.hashes.xxh64 import xxh64
from curation_assets.deduplication.minima import LANES, PRIME, smallest
from curation_assets.deduplication.shingles import separate
from curation_assets.filtering.characters import string_buffers

HashFunction = Literal["sha1", "xxhash"]
Family = Literal["datatrove", "datasketch"]

SAMPLE_SEED = 0x5A3B1E
"""Added to the seed of the permutations: the permutation that chooses the audit's sample is none of the bands'."""

_HASHES = {"sha1": sha1_64, "xxhash": xxh64}
_BATCH = 128


Index = TypeVar("Index", float, np.ndarray)


def candidate_probability(jaccard: Index, bands: int, rows: int) -> Index:
    """Probability that two documents share at least one band: 1 - (1 - s**rows)**bands at Jaccard index s.

    FineWeb's 14 bands of 8 rows give 0.5645 at 0.70, 0.9235 at 0.80 and 0.9996 at 0.90.
    """
    return 1 - (1 - jaccard**rows) ** bands


@functools.cache
def permutations(count: int, seed: int, family: Family = "datatrove") -> tuple[np.ndarray, np.ndarray]:
    """Multipliers and addends, uint64[count] each, as the two libraries draw them.

    datatrove's are in [1, 2**61 - 1) and [0, 2**61 - 1); datasketch's are odd, and any number.
    """
    # The legacy generator is theirs, and NumPy has frozen its stream.
    generator = np.random.RandomState(seed)
    if family == "datasketch":
        odd = generator.randint(0, 1 << 63, count, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        return odd, generator.randint(0, 1 << 64, count, dtype=np.uint64)
    a = generator.randint(1, PRIME, dtype=np.uint64, size=count)
    b = generator.randint(0, PRIME, dtype=np.uint64, size=count)
    return a, b


class Shingles(NamedTuple):
    """Hashes of the shingles of some texts."""

    hashes: np.ndarray
    """uint64: of the n-gram that starts at each word; the last n - 1 of a text are not shingles of it."""
    first: np.ndarray
    """int64[texts + 1]: where the words of each text start."""
    ngram: int
    """Words in a shingle."""


def hash_shingles(texts: pa.LargeStringArray, ngram: int = 5, hash_function: HashFunction = "sha1") -> Shingles:
    """Hashes of the n-grams of words of the simplified texts. A text of fewer words, or a null, has none."""
    words = separate(texts)
    # Those across two documents are hashed too, a few in a thousand, and not used.
    count = max(words.starts.size - ngram, 0)
    hashes = _HASHES[hash_function](words.text, words.starts[:count], words.starts[ngram:] - 1)
    return Shingles(hashes, words.first, ngram)


def _minima(shingles: Shingles, count: int, seed: int, family: Family) -> np.ndarray:
    """Signatures of `count` permutations: uint64[n, count], zero for a document without shingles."""
    padding = np.zeros(-count % LANES, np.uint64)
    a, b = (np.append(numbers, padding) for numbers in permutations(count, seed, family))
    out = np.zeros((shingles.first.size - 1, count), np.uint64)
    prime = family == "datatrove"
    hashes = shingles.hashes if prime else finished(shingles.hashes)
    smallest(hashes, shingles.first, shingles.ngram, a, b, prime, out)
    return out


def signatures(
    texts: pa.LargeStringArray,
    ngram: int = 5,
    bands: int = 14,
    rows: int = 8,
    seed: int = 1,
    hash_function: HashFunction = "sha1",
    family: Family = "datatrove",
) -> tuple[np.ndarray, np.ndarray]:
    """MinHash signatures of texts over n-grams of words; FineWeb's parameters by default.

    Returns uint64[n, bands * rows] and a bool[n] mask of the documents that have one. A document of fewer
    words than a shingle has none (its row is zero): it is never a near-duplicate of anything.
    """
    shingles = hash_shingles(texts, ngram, hash_function)
    return _minima(shingles, bands * rows, seed, family), np.diff(shingles.first) >= ngram


@njit(cache=True, nogil=True)
def _band_hashes(values: np.ndarray, rows: int, out: np.ndarray) -> None:
    for i in range(out.shape[0]):
        for band in range(out.shape[1]):
            key = np.uint64(0)
            for p in range(band * rows, (band + 1) * rows):
                key = mix((key ^ values[i, p]) + GOLDEN)
            out[i, band] = key


def band_hashes(values: np.ndarray, bands: int, rows: int) -> np.ndarray:
    """One 64-bit key for each band of each signature: uint64[n, bands * rows] to uint64[n, bands].

    Equal bands have equal keys. Two different ones share a key with probability 2**-64, so of n documents
    about bands * n**2 / 2**65 pairs meet by accident: 4e-3 pairs in a snapshot of 10**8 documents with 14
    bands. The signature itself, eight times the size, need not be kept.

    Raises ValueError if the signatures do not have bands * rows values.
    """
    if values.shape[1] != bands * rows:
        raise ValueError(f"signatures have {values.shape[1]} values, not {bands} * {rows}")
    out = np.empty((values.shape[0], bands), np.uint64)
    _band_hashes(values, rows, out)
    return out


@njit(cache=True, nogil=True)
def _sets(hashes: np.ndarray, first: np.ndarray, ngram: int, wanted: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Distinct shingle hashes of the wanted documents, ascending, one document after another; fills `offsets`."""
    size = 0
    for i in range(wanted.size):
        if wanted[i]:
            size += first[i + 1] - first[i] - ngram + 1
    out = np.empty(size, np.uint64)
    end = 0
    for i in range(wanted.size):
        if wanted[i]:
            own = np.sort(hashes[first[i] : first[i + 1] - ngram + 1])
            for k in range(own.size):
                if k == 0 or own[k] != own[k - 1]:
                    out[end] = own[k]
                    end += 1
        offsets[i + 1] = end
    return out[:end]


def shingle_sets(shingles: Shingles, wanted: np.ndarray | None = None) -> pa.LargeListArray:
    """Each document's distinct shingle hashes, ascending: large_list<uint64>.

    Null for a document without shingles, and for those that the mask `wanted` (bool[n]) leaves out. About the size
    of the text (one word, one hash); what `verification` and `audit` compute exact Jaccard indices from.
    """
    has = np.diff(shingles.first) >= shingles.ngram
    wanted = has if wanted is None else has & wanted
    offsets = np.zeros(wanted.size + 1, np.int64)
    values = _sets(shingles.hashes, shingles.first, shingles.ngram, wanted, offsets)
    return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values), mask=pa.array(~wanted))


def _group_hashes(groups: pa.Array) -> np.ndarray:
    offsets, data = string_buffers(groups.cast(pa.large_string()).fill_null(""))
    # Copies are writable, as words are: one kernel is enough.
    return xxh64(data.copy(), offsets[:-1].copy(), offsets[1:].copy())


SIGNED = ("bands", "sample", "shingles")
"""Columns of `sign`."""


def sign(
    texts: pa.LargeStringArray,
    ngram: int = 5,
    bands: int = 14,
    rows: int = 8,
    seed: int = 1,
    hash_function: HashFunction = "sha1",
    family: Family = "datatrove",
    *,
    groups: pa.Array | None = None,
    sample: float = 0.0,
    all_shingles: bool = False,
) -> pa.RecordBatch:
    """All that a part stores of its texts for near-duplicate detection, in rows as the texts.

    Signatures are held for 128 documents at a time: 9 MB with RefinedWeb's 9,000 permutations.

    Args:
        texts: the cleaned texts.
        ngram: words in a shingle.
        bands: band keys a document.
        rows: signature values a band.
        seed: of the permutations.
        hash_function: of the shingles.
        family: of the permutations.
        groups: a string for each text, such as its language. Documents of different groups never meet: the
            group is mixed into the keys. A null is the group "". Without groups, all documents may meet.
        sample: share of the documents, 0 to 1, that `audit` may use. They are chosen by one more permutation: two
            documents are chosen together with probability `sample` times their Jaccard index, whatever the bands do.
        all_shingles: keep the shingle hashes of every document, for `verification`, and not of the sample only.

    Returns:
        `bands`: fixed_size_list<uint64>[bands], null where the document has no signature; what `clusters` joins.
        `sample`: uint64, what the document was sampled by, equal for documents chosen together; null for others.
        `shingles`: large_list<uint64>, ascending and distinct; null where they are not kept.

    Raises:
        ValueError: the sample is not a share.
    """
    if not 0 <= sample <= 1:
        raise ValueError(f"the sample is a share from 0 to 1, not {sample}")
    keys = np.zeros((len(texts), bands), np.uint64)
    valid = np.zeros(len(texts), np.bool_)
    chosen = np.zeros(len(texts), np.uint64)
    sampled = np.zeros(len(texts), np.bool_)
    limit = np.uint64(min(int(sample * 2.0**64), 2**64 - 1))
    sets = []
    for start in range(0, len(texts), _BATCH):
        batch = slice(start, start + _BATCH)
        shingles = hash_shingles(texts[batch], ngram, hash_function)
        valid[batch] = np.diff(shingles.first) >= ngram
        keys[batch] = band_hashes(_minima(shingles, bands * rows, seed, family), bands, rows)
        if limit:
            chosen[batch] = mixed(_minima(shingles, 1, (seed + SAMPLE_SEED) % 2**32, family)[:, 0])
        if groups is not None:
            group = _group_hashes(groups[batch])
            keys[batch] = mixed(keys[batch] ^ group[:, None])
            chosen[batch] = mixed(chosen[batch] ^ group)
        if limit:
            sampled[batch] = valid[batch] & (chosen[batch] <= limit)
        wanted = valid[batch] if all_shingles else sampled[batch]
        sets.append(shingle_sets(shingles, wanted))
    return pa.RecordBatch.from_arrays(
        [
            pa.FixedSizeListArray.from_arrays(pa.array(keys.reshape(-1)), bands, mask=pa.array(~valid)),
            pa.array(chosen, mask=~sampled),
            pa.concat_arrays(sets) if sets else pa.array([], pa.large_list(pa.uint64())),
        ],
        SIGNED,
    )
