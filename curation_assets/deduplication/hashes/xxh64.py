"""xxHash, 64 bits, of many short strings at once: the shingle hash of FineWeb2 and of datatrove's default.

Collet, "xxHash fast digest algorithm" (specification 0.2.0), XXH64 with seed 0. Not cryptographic. On
shingles it takes about the time of our SHA-1, which has vector instructions to itself.
"""

import numpy as np
from numba import njit

from curation_assets.deduplication.hashes.mix64 import read_word, rotate
from curation_assets.filtering.characters import inner

_P1 = np.uint64(0x9E3779B185EBCA87)
_P2 = np.uint64(0xC2B2AE3D27D4EB4F)
_P3 = np.uint64(0x165667B19E3779F9)
_P4 = np.uint64(0x85EBCA77C2B2AE63)
_P5 = np.uint64(0x27D4EB2F165667C5)


@inner
def _round(lane: np.uint64, value: np.uint64) -> np.uint64:
    return rotate(lane + value * _P2, 31) * _P1


@inner
def _merge(value: np.uint64, lane: np.uint64) -> np.uint64:
    return (value ^ _round(np.uint64(0), lane)) * _P1 + _P4


@njit(inline="always")  # a call would count references to the text
def xxh64_of(text: np.ndarray, start: int, stop: int) -> np.uint64:
    """XXH64 of the bytes text[start:stop]."""
    position = start
    if stop - start >= 32:
        lane1, lane2, lane3, lane4 = _P1 + _P2, _P2, np.uint64(0), np.uint64(0) - _P1
        while position + 32 <= stop:
            lane1 = _round(lane1, read_word(text, position, 8))
            lane2 = _round(lane2, read_word(text, position + 8, 8))
            lane3 = _round(lane3, read_word(text, position + 16, 8))
            lane4 = _round(lane4, read_word(text, position + 24, 8))
            position += 32
        value = rotate(lane1, 1) + rotate(lane2, 7) + rotate(lane3, 12) + rotate(lane4, 18)
        value = _merge(_merge(_merge(_merge(value, lane1), lane2), lane3), lane4)
    else:
        value = _P5
    value += np.uint64(stop - start)
    while position + 8 <= stop:
        value = rotate(value ^ _round(np.uint64(0), read_word(text, position, 8)), 27) * _P1 + _P4
        position += 8
    if position + 4 <= stop:
        value = rotate(value ^ (read_word(text, position, 4) * _P1), 23) * _P2 + _P3
        position += 4
    while position < stop:
        value = rotate(value ^ (np.uint64(text[position]) * _P5), 11) * _P1
        position += 1
    value = (value ^ (value >> np.uint64(33))) * _P2
    value = (value ^ (value >> np.uint64(29))) * _P3
    return value ^ (value >> np.uint64(32))


@njit(cache=True, nogil=True)
def _hash(text: np.ndarray, starts: np.ndarray, stops: np.ndarray, out: np.ndarray) -> None:
    for i in range(out.size):
        out[i] = xxh64_of(text, starts[i], stops[i])


def xxh64(text: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """XXH64, seed 0, of each string text[starts[i]:stops[i]].

    text: uint8; starts, stops: int64. Returns uint64 of their shape.
    """
    out = np.empty(starts.shape, np.uint64)
    _hash(text, starts, stops, out)
    return out
