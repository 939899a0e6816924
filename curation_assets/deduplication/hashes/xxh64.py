"""xxHash, 64 bits, of many short strings at once: the shingle hash of FineWeb2 and of datatrove's default.

Collet, "xxHash fast digest algorithm" (specification 0.2.0), XXH64 with seed 0. Not cryptographic. Eight shingles go
through it side by side, in vectors of 64-bit numbers. What they do not have in common, being of different lengths,
is done for all of them and kept for some: that costs less than branches that no processor foresees.
"""

from typing import Any

import numpy as np
from numba import njit
from numba.core import types
from numba.extending import intrinsic

from curation_assets.deduplication.hashes.lanes import Lanes, pointers
from curation_assets.deduplication.hashes.mix64 import rotate
from curation_assets.filtering.characters import inner, read_word

LANES = 8
"""Strings hashed side by side."""

_WIDTH = 64  # bytes read of each string; those of as many or more are hashed by themselves

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


@intrinsic
def _digest(
    _typing: Any, text: types.Array, starts: types.Array, stops: types.Array, group: types.Integer, out: types.Array
) -> Any:
    """Hash the strings from `group` on.

    text: uint8, readable for _WIDTH bytes from each start.
    starts, stops: int64; strings of _WIDTH bytes and more get a wrong hash.
    out: uint64.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        group, kinds = arguments[3], signature.args
        text, starts, stops, out = pointers(
            context, builder, [kinds[i] for i in (0, 1, 2, 4)], [arguments[i] for i in (0, 1, 2, 4)]
        )
        p1, p2, p3, p4, p5 = (int(prime) for prime in (_P1, _P2, _P3, _P4, _P5))

        def mixed(lane: Lanes, value: Lanes) -> Lanes:
            return (lane + value * p2).rotate(31) * p1

        def number(value: int) -> Lanes:
            return Lanes.of(builder, [value % 2**64] * LANES, 64)

        places = [builder.add(group, group.type(lane)) for lane in range(LANES)]
        words = [
            Lanes.load(builder, text, builder.load(builder.gep(starts, [place])), _WIDTH // 8, 64) for place in places
        ]
        # As in `sha1`: words of lanes become lanes of words.
        orders = [[half + k // 2 + k % 2 * LANES for k in range(LANES)] for half in (0, LANES // 2)]
        for _ in range(3):
            words = [x.shuffle(order, y) for x, y in zip(words[:4], words[4:], strict=True) for order in orders]

        sizes = Lanes.load(builder, stops, group, LANES, 64) - Lanes.load(builder, starts, group, LANES, 64)
        short = sizes < 32
        lanes = [mixed(number(seed), word) for seed, word in zip((p1 + p2, p2, 0, -p1), words[:4], strict=True)]
        value = lanes[0].rotate(1) + lanes[1].rotate(7) + lanes[2].rotate(12) + lanes[3].rotate(18)
        for lane in lanes:
            value = (value ^ mixed(number(0), lane)) * p1 + p4
        value = short.where(number(p5), value) + sizes

        left = [short.where(word, later) for word, later in zip(words[:4], words[4:], strict=True)]
        size = sizes & 31
        last = left[3]
        for k in (2, 1, 0):
            last = (size < 8 * k + 8).where(left[k], last)
        for k in range(3):
            next_value = (value ^ mixed(number(0), left[k])).rotate(27) * p1 + p4
            value = (size < 8 * k + 8).where(value, next_value)
        no_half = (size & 4).equals(0)
        value = no_half.where(value, (value ^ (last & 0xFFFFFFFF) * p1).rotate(23) * p2 + p3)
        last = no_half.where(last, last >> 32)
        for k in range(3):
            next_value = (value ^ (last >> 8 * k & 0xFF) * p5).rotate(11) * p1
            value = ((size & 3) < k + 1).where(value, next_value)
        value = (value ^ value >> 33) * p2
        value = (value ^ value >> 29) * p3
        (value ^ value >> 32).store(out, group)
        return context.get_dummy_value()

    return types.void(text, starts, stops, types.int64, out), generate


@njit(cache=True, nogil=True)
def _hash(text: np.ndarray, starts: np.ndarray, stops: np.ndarray, out: np.ndarray) -> None:
    for group in range(0, out.size, LANES):
        end = min(group + LANES, out.size)
        longest = last = 0
        for i in range(group, end):
            longest = max(longest, stops[i] - starts[i])
            last = max(last, starts[i])
        together = end - group == LANES and last + _WIDTH <= text.size
        if together:
            _digest(text, starts, stops, group, out)  # pyright: ignore[reportCallIssue]
        if not together or longest >= _WIDTH:
            for i in range(group, end):
                if not together or stops[i] - starts[i] >= _WIDTH:
                    out[i] = xxh64_of(text, starts[i], stops[i])


def xxh64(text: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """XXH64, seed 0, of each string text[starts[i]:stops[i]].

    text: uint8; starts, stops: int64. Returns uint64 of their shape.
    """
    text = np.ascontiguousarray(text)
    starts, stops = np.ascontiguousarray(starts, np.int64), np.ascontiguousarray(stops, np.int64)
    out = np.empty(starts.shape, np.uint64)
    _hash(text, starts, stops, out)
    return out
