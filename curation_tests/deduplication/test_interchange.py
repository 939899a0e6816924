"""Signatures inside datasketch, and its choice of bands."""

import numpy as np
import pyarrow as pa
import pytest
from datasketch import LeanMinHash, MinHash, MinHashLSH

from curation_assets.deduplication.interchange import optimal_bands, to_datasketch
from curation_assets.deduplication.minhash import Family, signatures

WORDS = [f"{letter}word" for letter in "abcdefghijklmnop"]


@pytest.mark.parametrize("family", ["datatrove", "datasketch"])
def test_signatures_are_read_into_datasketch(family: Family) -> None:
    texts = pa.array([" ".join(WORDS), " ".join([*WORDS[:-3], "x", "y", "z"]), "a b c d e f"], pa.large_string())
    values, _ = signatures(texts, 2, 16, 8, family=family)
    ours = [to_datasketch(row) for row in values]
    assert ours[0].jaccard(ours[1]) == pytest.approx((values[0] == values[1]).mean())
    assert ours[0].jaccard(ours[1]) == pytest.approx(12 / 18, abs=0.15)
    buffer = bytearray(ours[0].bytesize())
    ours[0].serialize(buffer)
    assert LeanMinHash.deserialize(buffer) == ours[0]
    index = MinHashLSH(0.5, 128)
    for name, signature in enumerate(ours):
        index.insert(name, signature)
    assert set(index.query(ours[0])) == {0, 1}


def test_signatures_compare_with_datasketchs_own() -> None:
    values, _ = signatures(pa.array([" ".join(WORDS)], pa.large_string()), 1, 64, 2, 3, "sha1", "datasketch")
    theirs = MinHash(128, 3, scheme="affine64")
    theirs.update_batch([word.encode() for word in WORDS])
    ours = to_datasketch(values[0], 3)
    assert ours.jaccard(theirs) == 1
    theirs.merge(MinHash(128, 3, hashvalues=np.array(ours.hashvalues), scheme="affine64"))
    assert theirs.hashvalues.tolist() == values[0].tolist()
    with pytest.raises(ValueError, match="seed"):
        to_datasketch(values[0], 4).jaccard(theirs)


@pytest.mark.parametrize(("threshold", "expected"), [(0.7, (14, 9)), (0.8, (9, 13)), (0.9, (5, 25))])
def test_the_optimiser_chooses_redpajamas_bands(threshold: float, expected: tuple[int, int]) -> None:
    assert optimal_bands(threshold) == expected


def test_the_optimiser_refuses_nonsense() -> None:
    for threshold, permutations, weights in ((1.1, 128, (0.5, 0.5)), (0.5, 1, (0.5, 0.5)), (0.5, 9, (0.5, 0.6))):
        with pytest.raises(ValueError, match=r"no bands|weights"):
            optimal_bands(threshold, permutations, weights)
    assert optimal_bands(0.5, 64, (0.1, 0.9))[0] > optimal_bands(0.5, 64, (0.9, 0.1))[0]
