"""SHA-1 of many short strings at once, for hashes equal to datatrove's.

SHA-1 (FIPS 180-4) is slow for what MinHash needs of it, but it is the hash with which FineWeb was
deduplicated. Here 16 strings go through it side by side. The compiler is given the rounds as operations on
vectors of 16 words, which a processor with AVX-512 has in single instructions, and others in two or four: the strings
and the working variables stay in registers.
"""

import sys
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

from curation_assets.deduplication.hashes.lanes import Lanes, pointers, spread

LANES = 16
"""Strings hashed side by side; as many as a block has words, so that the blocks of all lanes are a square."""

_BLOCK = 64
_SHORT = 55  # the most bytes of a string that its last block holds, with the 0x80 and the length
_INITIAL = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0)

# What is kept of a block of which k bytes belong to the string, and what comes after them, both from 64 - k on.
_KEPT = bytearray([0xFF] * _BLOCK + [0] * (_BLOCK + 1))
_ADDED = bytearray([0] * _BLOCK + [0x80] + [0] * _BLOCK)


@intrinsic
def _compress(
    _typing: Any,
    text: types.Array,
    starts: types.Array,
    stops: types.Array,
    group: types.Integer,
    block: types.Integer,
    chain: types.Array,
    out: types.Array,
) -> Any:
    """Run the 80 rounds on one block of every lane's string.

    text: uint8, readable for 64 bytes from where a string stops.
    starts, stops: int64; the strings are those from `group` on.
    block: which block of the strings; the first is 0. A string that has ended goes on with the others, for nothing.
    chain: uint32[5, LANES]; the five words of each lane's hash, replaced by the next ones.
    out: uint64; the hash is written where this is a string's last block.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        """Write all rounds out."""
        index = ir.IntType(64)
        text, starts, stops, chain, out = pointers(
            context, builder, [signature.args[i] for i in (0, 1, 2, 5, 6)], [arguments[i] for i in (0, 1, 2, 5, 6)]
        )
        group, block = arguments[3:5]
        kept, added = (
            builder.bitcast(cgutils.global_constant(builder, "sha1_block", cgutils.make_bytearray(table)), text.type)
            for table in (_KEPT, _ADDED)
        )
        passed = builder.mul(block, index(_BLOCK))

        # Lane by lane, as the processor has other units for this than for vectors.
        swapped = [k ^ 3 for k in range(_BLOCK)]
        words = []
        for lane in range(LANES):
            place = builder.add(group, index(lane))
            start, stop = (builder.load(builder.gep(array, [place])) for array in (starts, stops))
            start = builder.add(start, passed)
            rest = builder.sub(stop, start)
            start = builder.select(builder.icmp_signed("<", rest, index(0)), stop, start)
            # From -1, where not even the 0x80 belongs to this block, to a whole block.
            own = builder.select(builder.icmp_signed("<", rest, index(_BLOCK)), rest, index(_BLOCK))
            own = builder.select(builder.icmp_signed("<", own, index(-1)), index(-1), own)
            at = builder.sub(index(_BLOCK), own)
            row = Lanes.load(builder, text, start, _BLOCK, 8)
            row = row & Lanes.load(builder, kept, at, _BLOCK, 8) | Lanes.load(builder, added, at, _BLOCK, 8)
            words.append(row.shuffle(swapped).seen_as(32))
        # Words of lanes become lanes of words: rows are shuffled together with those half of the rows further on,
        # log2(16) times.
        orders = [[half + k // 2 + k % 2 * LANES for k in range(LANES)] for half in (0, LANES // 2)]
        for _ in range(4):
            words = [x.shuffle(order, y) for x, y in zip(words[:8], words[8:], strict=True) for order in orders]

        sizes = Lanes.load(builder, stops, group, LANES, 64) - Lanes.load(builder, starts, group, LANES, 64)
        last = (sizes + 8 >> 6).equals(spread(builder, block, LANES))
        bits = last.where(sizes << 3, sizes ^ sizes)
        words[14] |= (bits >> 32).cast(32)
        words[15] |= bits.cast(32)

        before = [Lanes.load(builder, chain, k * LANES, LANES, 32) for k in range(5)]
        a, b, c, d, e = before
        for t in range(80):
            if t >= 16:
                mixed = words[t - 3 & 15] ^ words[t - 8 & 15] ^ (words[t - 14 & 15] ^ words[t & 15])
                words[t & 15] = mixed.rotate(1)
            if t < 20:
                choice, constant = d ^ b & (c ^ d), 0x5A827999
            elif 40 <= t < 60:
                choice, constant = b & c | d & (b | c), 0x8F1BBCDC
            else:
                choice, constant = b ^ (c ^ d), 0x6ED9EBA1 if t < 40 else 0xCA62C1D6
            a, b, c, d, e = e + constant + words[t & 15] + choice + a.rotate(5), a, b.rotate(30), c, d
        after = [old + new for old, new in zip(before, (a, b, c, d, e), strict=True)]
        for k, new in enumerate(after):
            new.store(chain, k * LANES)
        lower, upper = (word.seen_as(8).shuffle(swapped).seen_as(32).cast(64) for word in after[:2])
        last.where(lower | upper << 32, Lanes.load(builder, out, group, LANES, 64)).store(out, group)
        return context.get_dummy_value()

    return types.void(text, starts, stops, types.int64, types.int64, chain, out), generate


@njit(cache=True, nogil=True)
def _hash(text: np.ndarray, starts: np.ndarray, stops: np.ndarray, most: int, out: np.ndarray) -> None:
    """Hash the strings of at most so many blocks. As many as there are lanes go together: that must divide them.

    The text must be readable for a block from where a string stops.
    """
    chain = np.empty((5, LANES), np.uint32)
    for group in range(0, out.size, LANES):
        longest = 0
        for lane in range(group, group + LANES):
            longest = max(longest, stops[lane] - starts[lane])
        for k in range(5):
            for lane in range(LANES):
                chain[k, lane] = _INITIAL[k]
        for block in range(min((longest + 8 >> 6) + 1, most)):
            _compress(text, starts, stops, group, block, chain, out)  # pyright: ignore[reportCallIssue]


@njit(cache=True, nogil=True)
def _extremes(starts: np.ndarray, stops: np.ndarray) -> tuple[int, int]:
    """How many strings do not fit one block, and where the last one stops."""
    longer = last = 0
    for i in range(stops.size):
        longer += stops[i] - starts[i] > _SHORT
        last = max(last, stops[i])
    return longer, last


def sha1_64(text: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """First 8 bytes, read as a little-endian uint64, of the SHA-1 of each string text[starts[i]:stops[i]].

    text: uint8; starts, stops: int64. Returns uint64 of their shape.
    """
    text = np.ascontiguousarray(text)
    starts, stops = np.ascontiguousarray(starts, np.int64), np.ascontiguousarray(stops, np.int64)
    longer, last = _extremes(starts, stops)
    if last + _BLOCK > text.size:
        text = np.concatenate((text, np.zeros(_BLOCK, np.uint8)))
    out = np.empty(starts.size, np.uint64)
    # Few that are longer may go with the others, for nothing, sooner than that all are put in another order.
    few = 2 * longer < out.size
    if few:
        _hash_in_groups(text, starts, stops, 1, out)
    if longer:
        # Those of as many blocks together: none waits in a lane next to a longer one.
        which = np.flatnonzero(stops - starts > _SHORT) if few else np.arange(out.size)
        blocks = np.minimum(stops[which] - starts[which] + 8 >> 6, 0xFFFF).astype(np.uint16)
        which = which[np.argsort(blocks, kind="stable")]
        others = np.empty(which.size, np.uint64)
        _hash_in_groups(text, starts[which], stops[which], sys.maxsize, others)
        out[which] = others
    return out


def _hash_in_groups(text: np.ndarray, starts: np.ndarray, stops: np.ndarray, most: int, out: np.ndarray) -> None:
    """`_hash` for any number of strings."""
    whole = out.size - out.size % LANES
    if whole:
        _hash(text, starts[:whole], stops[:whole], most, out[:whole])
    if whole < out.size:
        empty = np.zeros(LANES - out.size % LANES, np.int64)
        last = np.empty(LANES, np.uint64)
        _hash(text, np.append(starts[whole:], empty), np.append(stops[whole:], empty), most, last)
        out[whole:] = last[: out.size - whole]
