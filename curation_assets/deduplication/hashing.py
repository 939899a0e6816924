"""64-bit hashes inside kernels: of bytes, and a mixer. The same on every machine, chosen by a seed.

Not for an adversary: whoever knows the seed can make strings that collide.
"""

import numpy as np

from curation_assets.filtering.characters import inner

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2**64 over the golden ratio: odd, and its multiples are spread evenly."""

_FACTOR = np.uint64(0xD6E8FEB86659FD93)


@inner
def mix(value: np.uint64) -> np.uint64:
    """SplitMix64's finaliser (Steele et al. 2014): a bijection whose output bits each depend on every input bit."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@inner
def hash_bytes(text: np.ndarray, start: int, stop: int, seed: np.uint64) -> np.uint64:
    """Hash of the bytes text[start:stop] (uint8): a multiplication for each, and the mixer at both ends."""
    value = mix(seed + GOLDEN)
    for i in range(start, stop):
        value = (value ^ np.uint64(text[i])) * _FACTOR
    return mix(value)
