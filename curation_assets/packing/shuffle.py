"""Seeded permutations that no library version can change."""

import numpy as np


def _mix(values: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser (Steele, Lea and Flood 2014), a bijection of 64-bit integers."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def permutation(count: int, seed: int, *salts: int) -> np.ndarray:
    """Order in which to visit 0 … `count` - 1: int64 [count], the same for the same seed and salts for ever.

    The indices are sorted by a 64-bit key made from the seed, the salts (an epoch, a stage) and the index.
    """
    key = np.zeros(1, np.uint64)
    for value in (seed, *salts):
        key = _mix((key ^ np.uint64(value % 2**64)) + np.uint64(0x9E3779B97F4A7C15))
    return np.argsort(_mix(np.arange(count, dtype=np.uint64) + key), kind="stable")
