"""128-bit keys of strings: MurmurHash3 over Arrow buffers.

MurmurHash3_x64_128 (Appleby 2011, public domain), seed 0. Every byte and its place enter the key: "ab" and "ba",
which a sum of characters takes for the same, differ. It is no cryptographic hash: who wants two texts of one key
can make them. By chance, two of 10 billion strings share a key with a probability of 10^-19, and two of a
billion share its first 64 bits with 0.03.
"""

import numpy as np
import pyarrow as pa
from numba import njit

from curation_assets.deduplication.hashes.mix64 import finish, rotate
from curation_assets.filtering.characters import inner, read_word, string_buffers

KEY = pa.binary(16)
"""Type of a 128-bit key."""

_C1 = np.uint64(0x87C37B91114253D5)
_C2 = np.uint64(0x4CF5AD432745937F)


@inner
def murmur3_128(data: np.ndarray, start: int, stop: int) -> tuple[np.uint64, np.uint64]:
    """The two halves of the hash of data[start:stop] (uint8)."""
    first, second = np.uint64(0), np.uint64(0)
    position = start
    while position + 16 <= stop:
        first ^= rotate(read_word(data, position, 8) * _C1, 31) * _C2
        first = (rotate(first, 27) + second) * np.uint64(5) + np.uint64(0x52DCE729)
        second ^= rotate(read_word(data, position + 8, 8) * _C2, 33) * _C1
        second = (rotate(second, 31) + first) * np.uint64(5) + np.uint64(0x38495AB5)
        position += 16
    # A missing byte is a zero, and a zero word leaves its half as it is.
    middle = min(position + 8, stop)
    first ^= rotate(read_word(data, position, middle - position) * _C1, 31) * _C2
    second ^= rotate(read_word(data, middle, stop - middle) * _C2, 33) * _C1
    size = np.uint64(stop - start)
    first ^= size
    second ^= size
    first += second
    second += first
    first = finish(first)
    second = finish(second)
    first += second
    return first, second + first


@njit(cache=True, nogil=True)
def _hash_all(offsets: np.ndarray, data: np.ndarray, out: np.ndarray) -> None:
    for i in range(len(out)):
        out[i, 0], out[i, 1] = murmur3_128(data, offsets[i], offsets[i + 1])


def hash_strings(strings: pa.LargeStringArray) -> pa.FixedSizeBinaryArray:
    """The 128-bit key of the UTF-8 of each string, of type KEY; null for null."""
    offsets, data = string_buffers(strings)
    out = np.empty((len(strings), 2), np.uint64)
    _hash_all(offsets, data, out)
    return key_array(out, strings)


def key_array(halves: np.ndarray, like: pa.Array) -> pa.FixedSizeBinaryArray:
    """Halves of hashes, uint64[n, 2], as an array of type KEY that is null where `like` is."""
    bitmap = like.is_valid().buffers()[1] if like.null_count else None
    return pa.FixedSizeBinaryArray.from_buffers(KEY, len(halves), [bitmap, pa.py_buffer(halves)])
