"""Smallest values against Python's integers, above all where a remainder is nearly zero or nearly the prime."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.deduplication.minima import LANES, PRIME, smallest

FULL = 2**64 - 1
EDGES = sorted({value & FULL for near in range(9) for value in range((near << 61) - near - 9, (near << 61) + 10)})
"""Values before the remainder, where it is smallest and largest, and where the upper three bits change."""


def minima(hashes: list[list[int]], a: list[int], b: list[int], ngram: int, prime: bool) -> list[list[int]]:
    """Of documents whose shingles have these hashes."""
    width = len(a)
    padding = [0] * (-width % LANES)
    # The last words of a document begin no shingle: what stands there is smaller than anything.
    words = [row + [0] * (ngram - 1) for row in hashes]
    first = np.cumsum([0, *map(len, words)])
    out = np.zeros((len(hashes), width), np.uint64)
    smallest(
        np.array([value for row in words for value in row], np.uint64),
        first,
        ngram,
        np.array(a + padding, np.uint64),
        np.array(b + padding, np.uint64),
        prime,
        out,
    )
    return out.tolist()


def expected(hashes: list[list[int]], a: list[int], b: list[int], prime: bool) -> list[list[int]]:
    """The definition."""
    modulus = PRIME if prime else 2**64
    return [
        [min(((h * x + y) & FULL) % modulus for h in row) if row else 0 for x, y in zip(a, b, strict=True)]
        for row in hashes
    ]


@pytest.mark.parametrize("value", EDGES)
def test_every_remainder_near_zero_and_near_the_prime(value: int) -> None:
    others = [[], [PRIME - 1], [2 * PRIME - 1], [FULL], [12345], [7], [PRIME // 2]]
    hashes = [[value, *other] for other in others]
    # The factor one and the addend zero leave the hash as it is; odd factors can be undone.
    assert minima(hashes, [1], [0], 1, True) == expected(hashes, [1], [0], True)
    a, b = [3**k for k in range(1, 14)], list(range(13))
    undone = [[(h - b[12]) * pow(a[12], -1, 2**64) & FULL for h in row] for row in hashes]
    assert minima(undone, a, b, 5, True) == expected(undone, a, b, True)
    assert [row[12] for row in minima(undone, a, b, 5, True)] == [min(h % PRIME for h in row) for row in hashes]


NUMBERS = st.integers(0, FULL) | st.sampled_from(EDGES)


@settings(deadline=None)
@given(
    st.lists(st.lists(NUMBERS, max_size=30), min_size=1, max_size=4),
    st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=2 * LANES + 1),
    st.integers(1, 4),
    st.booleans(),
)
def test_equals_the_definition(
    hashes: list[list[int]], permutations: list[tuple[int, int]], ngram: int, prime: bool
) -> None:
    a, b = [a for a, _ in permutations], [b for _, b in permutations]
    assert minima(hashes, a, b, ngram, prime) == expected(hashes, a, b, prime)
