"""MinHash signatures as datasketch's objects, and datasketch's choice of bands for a threshold.

datasketch is imported by the functions that need it: no station of the line does.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from datasketch import LeanMinHash


def to_datasketch(signature: np.ndarray, seed: int = 1) -> "LeanMinHash":
    """One signature (uint64[permutations]) as a datasketch 2 `LeanMinHash` of scheme `affine64`.

    Its `jaccard`, LSH indices and serialisation work on signatures of either family among themselves. Those of the
    family ``datasketch`` with hash function ``sha1`` equal, value for value, what
    ``datasketch.MinHash(len(signature), seed, scheme="affine64")`` makes of the same shingles, and may be compared
    and merged with them; with ``xxhash``, of a MinHash whose `hashfunc` is ``xxhash.xxh64_intdigest``. Signatures of
    the family ``datatrove`` have other permutations: never compare them with datasketch's own.

    `seed` is that of the signature; datasketch refuses to compare signatures of two seeds.
    """
    from datasketch import LeanMinHash

    return LeanMinHash(seed=seed, hashvalues=np.asarray(signature, np.uint64), scheme="affine64")


def optimal_bands(
    threshold: float, permutations: int = 128, weights: tuple[float, float] = (0.5, 0.5)
) -> tuple[int, int]:
    """Bands and rows, of at most so many permutations, that suit a Jaccard threshold best.

    datasketch's optimiser: it weighs the area under the curve of `candidate_probability` below the threshold (false
    positives) against the area above the curve from there on (false negatives), with weights that sum to one. 128
    permutations give RedPajama-V2's 14 x 9 for 0.7, 9 x 13 for 0.8 and 5 x 25 for 0.9. It tries every pair: 10 ms
    for 128 permutations, 13 s for 9,000.

    Raises ValueError for a threshold outside of 0 to 1 or so high that one band were best, and for weights that are
    not positive with sum one.
    """
    from datasketch import MinHashLSH

    if permutations < 2 or not 0 <= threshold <= 1:
        raise ValueError(f"no bands of {permutations} permutations for the threshold {threshold}")
    if min(weights) < 0 or abs(sum(weights) - 1) > 1e-9:
        raise ValueError(f"weights {weights} are not positive with sum one")
    index = MinHashLSH(threshold, permutations, weights)
    return index.b, index.r
