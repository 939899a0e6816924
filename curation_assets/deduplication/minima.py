"""Smallest values of permutations over the shingles of documents: what a MinHash signature is made of.

Eight permutations at a time stay in vector registers, with the smallest values so far, while the hashes of a document's
shingles pass by one after another. The remainder by 2**61 - 1 is put off where nothing depends on it.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

from curation_assets.deduplication.hashes.lanes import Lanes, pointers, spread
from curation_assets.filtering.characters import inner

LANES = 8
"""Permutations that are computed side by side."""

PRIME = (1 << 61) - 1
"""The modulus of datatrove's permutations."""

_PRIME = np.uint64(PRIME)
_DOUBTFUL = np.uint64(7)
_LARGEST = np.uint64(0xFFFFFFFFFFFFFFFF)


def _least(prime: bool) -> Any:
    """Make the intrinsic for one family of permutations; see `smallest` for what is exact in it."""

    @intrinsic
    def least(
        _typing: Any,
        hashes: types.Array,
        start: types.Integer,
        stop: types.Integer,
        a: types.Array,
        b: types.Array,
        out: types.Array,
        first: types.Integer,
    ) -> Any:
        """Write the smallest values over hashes[start:stop] of the permutations from the `first` on to `out`."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kinds, (_, begin, end, *_, place) = signature.args, arguments
            data, a, b, out = pointers(
                context, builder, [kinds[i] for i in (0, 3, 4, 5)], [arguments[i] for i in (0, 3, 4, 5)]
            )
            factor = Lanes.load(builder, a, place, LANES, 64)
            addend = Lanes.load(builder, b, place, LANES, 64)
            if prime:
                addend += 1
            # LLVM turns this memory into a register.
            smallest = cgutils.alloca_once_value(builder, Lanes.of(builder, [2**64 - 1] * LANES, 64).value)
            with cgutils.for_range_slice(builder, begin, end, ir.IntType(64)(1), inc=True) as (k, _):
                value = spread(builder, builder.load(builder.gep(data, [k])), LANES) * factor + addend
                if prime:
                    value = value + (value >> 61) & PRIME
                builder.store(value.least(Lanes(builder, builder.load(smallest))).value, smallest)
            Lanes(builder, builder.load(smallest)).store(out, place)
            return context.get_dummy_value()

        return types.void(hashes, types.int64, types.int64, a, b, out, types.int64), generate

    return least


_least_of_prime = _least(True)
_least_of_power = _least(False)


@inner
def _remainder(hashes: np.ndarray, start: int, stop: int, a: np.uint64, b: np.uint64) -> np.uint64:
    """The smallest value of one permutation modulo the prime, by its definition."""
    least = _LARGEST
    for k in range(start, stop):
        least = min(least, (hashes[k] * a + b) % _PRIME)
    return least


@njit(cache=True, nogil=True)
def smallest(
    hashes: np.ndarray, first: np.ndarray, ngram: int, a: np.ndarray, b: np.ndarray, prime: bool, out: np.ndarray
) -> None:
    """Smallest value of each permutation over the shingles that start at the words of each document.

    With x = (h * a + b + 1) mod 2**64, of which the upper three bits are q and the others l, a value is l + q - 1
    modulo the prime, as 2**61 is 1 there. Searched is the smallest t = (l + q) mod 2**61: from 7 on it is one more than
    its value. A smaller one may come of a sum that wrapped, or of one that is the prime's; only then, for one value in
    2**58, the smallest is searched again by the definition.

    Args:
        hashes: uint64; of the n-gram that starts at each word.
        first: int64[n + 1]; where the words of each document start.
        ngram: words of a shingle; the last ngram - 1 words of a document begin none.
        a: uint64; multipliers, a multiple of LANES of them. Those beyond the width of `out` are for nothing.
        b: uint64; as many addends.
        prime: whether values are taken modulo the prime after 2**64 (datatrove), or not (datasketch).
        out: uint64[n, permutations]; rows of documents without shingles stay as they are.
    """
    row = np.empty(a.size, np.uint64)
    for i in range(out.shape[0]):
        start, stop = first[i], first[i + 1] - ngram + 1
        if start >= stop:
            continue
        if prime:
            for p in range(0, a.size, LANES):
                _least_of_prime(hashes, start, stop, a, b, row, p)  # pyright: ignore[reportCallIssue]
            for p in range(out.shape[1]):
                if row[p] < _DOUBTFUL:
                    out[i, p] = _remainder(hashes, start, stop, a[p], b[p])
                else:
                    out[i, p] = row[p] - np.uint64(1)
        else:
            for p in range(0, a.size, LANES):
                _least_of_power(hashes, start, stop, a, b, row, p)  # pyright: ignore[reportCallIssue]
            for p in range(out.shape[1]):
                out[i, p] = row[p]
