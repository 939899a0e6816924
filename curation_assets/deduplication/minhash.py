"""MinHash signatures and the band keys under which near-duplicates meet.

Broder (1997), "On the resemblance and containment of documents"; banding after Indyk and Motwani (1998). The
hash values are those of datatrove 0.10 (``pipeline/dedup/minhash.py`` with ``HashConfig(precision=64,
hash_fc="sha1")``), which FineWeb used with 14 bands of 8 rows over 5-grams of words:

* a shingle's hash h is the first 8 bytes, little-endian, of the SHA-1 of its UTF-8 text;
* permutation p of it is ``((h * a[p] + b[p]) mod 2**64) mod (2**61 - 1)``: the product wraps, as there;
* signature value p is the smallest over the document's shingles.

Texts whose words are those of datatrove's tokenizer get datatrove's signatures. Ours are those of
``filtering.words``; spaCy's English tokenizer also splits "cannot", units ("0 kg") and what has lost its
apostrophe ("do nt"), and keeps runs of Chinese and Japanese whole.
"""

import functools

import numpy as np
import pyarrow as pa
from numba import njit

from curation_assets.deduplication.sha1 import sha1_64
from curation_assets.deduplication.shingles import separate
from curation_assets.filtering.characters import inner

_PRIME = np.uint64((1 << 61) - 1)
_BATCH = 256


def candidate_probability(jaccard: float, bands: int, rows: int) -> float:
    """Probability that two documents share at least one band: 1 - (1 - s**rows)**bands at Jaccard index s.

    FineWeb's 14 bands of 8 rows give 0.5645 at 0.70, 0.9235 at 0.80 and 0.9996 at 0.90.
    """
    return 1 - (1 - jaccard**rows) ** bands


@functools.cache
def permutations(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Multipliers in [1, 2**61 - 1) and addends in [0, 2**61 - 1), uint64[count] each."""
    # The legacy generator is datatrove's, and NumPy has frozen its stream.
    generator = np.random.RandomState(seed)
    a = generator.randint(1, int(_PRIME), dtype=np.uint64, size=count)
    b = generator.randint(0, int(_PRIME), dtype=np.uint64, size=count)
    return a, b


@njit(cache=True, nogil=True)
def _smallest(hashes: np.ndarray, first: np.ndarray, ngram: int, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Smallest value of each permutation over the shingles that start at the words of each document."""
    for i in range(out.shape[0]):
        if first[i + 1] - first[i] < ngram:
            continue
        own = hashes[first[i] : first[i + 1] - ngram + 1]
        for p in range(out.shape[1]):
            smallest = np.uint64(0xFFFFFFFFFFFFFFFF)
            for k in range(own.size):
                value = own[k] * a[p] + b[p]
                # 2**61 = 1 modulo the prime. The sum is less than twice the prime, and where it is less than
                # the prime itself the difference wraps to a large number: the smaller one is the remainder.
                value = (value & _PRIME) + (value >> np.uint64(61))
                smallest = min(smallest, min(value, value - _PRIME))
            out[i, p] = smallest


def signatures(
    texts: pa.LargeStringArray, ngram: int = 5, bands: int = 14, rows: int = 8, seed: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """MinHash signatures of texts over n-grams of words; FineWeb's parameters by default.

    Returns uint64[n, bands * rows] and a bool[n] mask of the documents that have one. A document of fewer
    words than a shingle has none (its row is zero): it is never a near-duplicate of anything.
    """
    a, b = permutations(bands * rows, seed)
    out = np.zeros((len(texts), a.size), np.uint64)
    words = separate(texts)
    # Those across two documents are hashed too, a few in a thousand, and not used.
    shingles = max(words.starts.size - ngram, 0)
    hashes = sha1_64(words.text, words.starts[:shingles], words.starts[ngram:] - 1)
    _smallest(hashes, words.first, ngram, a, b, out)
    return out, np.diff(words.first) >= ngram


@inner
def _mix(value: np.uint64) -> np.uint64:
    """SplitMix64's finaliser: a bijection whose output bits each depend on every input bit."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@njit(cache=True, nogil=True)
def _band_hashes(values: np.ndarray, rows: int, out: np.ndarray) -> None:
    for i in range(out.shape[0]):
        for band in range(out.shape[1]):
            key = np.uint64(0)
            for p in range(band * rows, (band + 1) * rows):
                key = _mix((key ^ values[i, p]) + np.uint64(0x9E3779B97F4A7C15))
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


def band_keys(
    texts: pa.LargeStringArray, ngram: int = 5, bands: int = 14, rows: int = 8, seed: int = 1
) -> pa.FixedSizeListArray:
    """Band keys of texts: fixed_size_list<uint64>[bands], null where the document has no signature.

    What a part stores and `clusters.cluster` joins. Signatures are held for 256 documents at a time.
    """
    keys = np.zeros((len(texts), bands), np.uint64)
    valid = np.zeros(len(texts), np.bool_)
    for start in range(0, len(texts), _BATCH):
        batch = slice(start, start + _BATCH)
        values, valid[batch] = signatures(texts[batch], ngram, bands, rows, seed)
        keys[batch] = band_hashes(values, bands, rows)
    return pa.FixedSizeListArray.from_arrays(pa.array(keys.reshape(-1)), bands, mask=pa.array(~valid))
