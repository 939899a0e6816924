"""SHA-1 of many short strings at once, for hashes equal to datatrove's.

SHA-1 (FIPS 180-4) is slow for what MinHash needs of it, but it is the hash with which FineWeb was
deduplicated. Here 64 strings go through it side by side, so that each step of the algorithm is a loop over
lanes that the compiler turns into vector instructions: five times as fast as `hashlib` on shingles.
"""

import numpy as np
from numba import njit

from curation_assets.filtering.characters import inner

LANES = 64
"""Strings hashed side by side."""

_BLOCK = 64
_SHORT = 55  # the longest string that fits one block, with its 0x80 and its length


@inner
def _rotate(word: np.uint32, bits: np.uint32) -> np.uint32:
    return word << bits | word >> (np.uint32(32) - bits)


@inner
def _last(state: np.ndarray, i: int) -> tuple[np.uint32, np.uint32, np.uint32]:
    """The algorithm's b, c and d before a round."""
    thirty = np.uint32(30)
    return state[i + 3 * LANES], _rotate(state[i + 2 * LANES], thirty), _rotate(state[i + LANES], thirty)


@inner
def _next(state: np.ndarray, words: np.ndarray, i: int, choice: np.uint32, constant: np.uint32) -> np.uint32:
    a, e = state[i + 4 * LANES], _rotate(state[i], np.uint32(30))
    return _rotate(a, np.uint32(5)) + choice + e + constant + words[i]


@inner
def _compress(words: np.ndarray, state: np.ndarray) -> None:
    """Run the 80 rounds on one block of every lane.

    words: uint32[80 * LANES]; word t of lane l at [t * LANES + l], the first 16 set, the others filled here.
    state: uint32[85 * LANES]; the five rows before a round t, [t * LANES:], are the values of `a` in the last
    five rounds, oldest first. The algorithm's c, d and e are those of two to four rounds ago, rotated by 30.
    """
    for i in range(64 * LANES):
        mixed = words[i + 13 * LANES] ^ words[i + 8 * LANES] ^ words[i + 2 * LANES] ^ words[i]
        words[i + 16 * LANES] = _rotate(mixed, np.uint32(1))
    for i in range(20 * LANES):
        b, c, d = _last(state, i)
        state[i + 5 * LANES] = _next(state, words, i, d ^ (b & (c ^ d)), np.uint32(0x5A827999))
    for i in range(20 * LANES, 40 * LANES):
        b, c, d = _last(state, i)
        state[i + 5 * LANES] = _next(state, words, i, b ^ c ^ d, np.uint32(0x6ED9EBA1))
    for i in range(40 * LANES, 60 * LANES):
        b, c, d = _last(state, i)
        state[i + 5 * LANES] = _next(state, words, i, (b & c) | (d & (b | c)), np.uint32(0x8F1BBCDC))
    for i in range(60 * LANES, 80 * LANES):
        b, c, d = _last(state, i)
        state[i + 5 * LANES] = _next(state, words, i, b ^ c ^ d, np.uint32(0xCA62C1D6))


@inner
def _swap(word: np.uint32) -> np.uint32:
    """The word with its four bytes in the opposite order."""
    # Numba computes in 64 bits: the casts cut off what leaves the word.
    word = np.uint32((word & np.uint32(0x00FF00FF)) << np.uint32(8) | word >> np.uint32(8) & np.uint32(0x00FF00FF))
    return np.uint32(word << np.uint32(16) | word >> np.uint32(16))


@inner
def _fill(text: np.ndarray, start: int, stop: int, block: int, lane: int, words: np.ndarray) -> None:
    """Put one padded block of text[start:stop] into a lane, as sixteen big-endian words."""
    position = start + _BLOCK * block
    for word in range(16):
        if position + 4 <= stop:
            high = np.uint32(text[position]) << np.uint32(24) | np.uint32(text[position + 1]) << np.uint32(16)
            low = np.uint32(text[position + 2]) << np.uint32(8) | np.uint32(text[position + 3])
            words[word * LANES + lane] = high | low
        elif position > stop:
            words[word * LANES + lane] = 0
        else:
            value = np.uint32(0x80) << np.uint32(8 * (3 - (stop - position)))
            for k in range(position, stop):
                value |= np.uint32(text[k]) << np.uint32(8 * (3 - (k - position)))
            words[word * LANES + lane] = value
        position += 4
    if position >= stop + 9:
        bits = np.uint64(stop - start) << np.uint64(3)
        words[14 * LANES + lane] = np.uint32(bits >> np.uint64(32))
        words[15 * LANES + lane] = np.uint32(bits & np.uint64(0xFFFFFFFF))


@njit(cache=True, nogil=True)
def _hash(text: np.ndarray, starts: np.ndarray, stops: np.ndarray, which: np.ndarray, out: np.ndarray) -> None:
    """Hash the strings of the indices `which` (int64), as many at a time as there are lanes."""
    words = np.empty(80 * LANES, np.uint32)
    state = np.empty(85 * LANES, np.uint32)
    chain = np.empty((5, LANES), np.uint32)
    two, thirty = np.uint32(2), np.uint32(30)
    for group in range(0, which.size, LANES):
        count = min(LANES, which.size - group)
        blocks = 0
        for lane in range(LANES):
            chain[0, lane] = 0x67452301
            chain[1, lane] = 0xEFCDAB89
            chain[2, lane] = 0x98BADCFE
            chain[3, lane] = 0x10325476
            chain[4, lane] = 0xC3D2E1F0
        for lane in range(count):
            i = which[group + lane]
            blocks = max(blocks, (stops[i] - starts[i] + 8) // _BLOCK + 1)
        for block in range(blocks):
            for lane in range(count):
                i = which[group + lane]
                _fill(text, int(starts[i]), int(stops[i]), block, lane, words)
            for lane in range(LANES):
                state[4 * LANES + lane] = chain[0, lane]
                state[3 * LANES + lane] = chain[1, lane]
                state[2 * LANES + lane] = _rotate(chain[2, lane], two)
                state[LANES + lane] = _rotate(chain[3, lane], two)
                state[lane] = _rotate(chain[4, lane], two)
            _compress(words, state)
            for lane in range(count):
                i = which[group + lane]
                if block <= (stops[i] - starts[i] + 8) // _BLOCK:
                    chain[0, lane] += state[84 * LANES + lane]
                    chain[1, lane] += state[83 * LANES + lane]
                    chain[2, lane] += _rotate(state[82 * LANES + lane], thirty)
                    chain[3, lane] += _rotate(state[81 * LANES + lane], thirty)
                    chain[4, lane] += _rotate(state[80 * LANES + lane], thirty)
        for lane in range(count):
            low, high = np.uint64(_swap(chain[0, lane])), np.uint64(_swap(chain[1, lane]))
            out[which[group + lane]] = low | high << np.uint64(32)


def sha1_64(text: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """First 8 bytes, read as a little-endian uint64, of the SHA-1 of each string text[starts[i]:stops[i]].

    text: uint8; starts, stops: int64. Returns uint64 of their shape.
    """
    out = np.empty(starts.shape, np.uint64)
    short = stops - starts <= _SHORT
    # Strings of one block, which most are, do not wait in a lane next to a longer one.
    _hash(text, starts, stops, np.flatnonzero(short), out)
    _hash(text, starts, stops, np.flatnonzero(~short), out)
    return out
