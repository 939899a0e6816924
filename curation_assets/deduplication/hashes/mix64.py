"""64-bit hashes inside kernels: of bytes, and a mixer. The same on every machine, chosen by a seed.

Not for an adversary: whoever knows the seed can make strings that collide.
"""

from typing import TypeVar

import numpy as np

from curation_assets.filtering.characters import inner

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2**64 over the golden ratio: odd, and its multiples are spread evenly."""

_FACTOR = np.uint64(0xD6E8FEB86659FD93)


Hashes = TypeVar("Hashes", np.uint64, np.ndarray)
"""One value, or an array of uint64."""


def mixed(value: Hashes) -> Hashes:
    """SplitMix64's finaliser (Steele et al. 2014): a bijection whose output bits each depend on every input bit."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def finished(value: Hashes) -> Hashes:
    """MurmurHash3's 64-bit finaliser (Appleby 2011), such a bijection too."""
    value = (value ^ (value >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    value = (value ^ (value >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return value ^ (value >> np.uint64(33))


mix = inner(mixed)
"""`mixed` inside kernels."""

finish = inner(finished)
"""`finished` inside kernels."""


@inner
def rotate(value: np.uint64, bits: int) -> np.uint64:
    """The bits of a value, shifted to the left, those that leave it on the other side again."""
    return value << np.uint64(bits) | value >> np.uint64(64 - bits)


@inner
def hash_bytes(text: np.ndarray, start: int, stop: int, seed: np.uint64) -> np.uint64:
    """Hash of the bytes text[start:stop] (uint8): a multiplication for each, and the mixer at both ends."""
    value = mix(seed + GOLDEN)
    for i in range(start, stop):
        value = (value ^ np.uint64(text[i])) * _FACTOR
    return mix(value)
