"""Signatures against hashlib and NumPy, and the banding curve against theory."""

import hashlib
import math
from collections.abc import Sequence

import datasketch
import numpy as np
import pyarrow as pa
import pytest
from datasketch.hashfunc import sha1_hash64
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.deduplication.hashes.xxh64 import xxh64
from curation_assets.deduplication.minhash import (
    SIGNED,
    Family,
    HashFunction,
    band_hashes,
    candidate_probability,
    hash_shingles,
    permutations,
    shingle_sets,
    sign,
    signatures,
)
from curation_assets.deduplication.shingles import simplified_words

GOLDEN_TEXT = "The quick brown fox jumps over the lazy dog, twice in 2024; nobody saw the 1,234.56 dogs again."
GOLDEN_A = [775169054918279404, 1758426461858698313]
GOLDEN_B = [1062448801025099917, 1324811268927594100]
GOLDEN_FIRST = [
    162165078569829853,
    284080765670708113,
    16367689443122890,
    57741837197883927,
    42312182183823545,
    63107320277035893,
    77922726200631406,
    149533486620015489,
]
GOLDEN_LAST = [
    164139703210280404,
    29074511532028102,
    126148420424728747,
    48112762861862810,
    126167845672318228,
    142915033641670220,
    110786717492292473,
    272635480352497312,
]


def large(texts: Sequence[str | None]) -> pa.LargeStringArray:
    return pa.array(texts, pa.large_string())


def shingles_of(text: str | None, ngram: int) -> list[str]:
    words = simplified_words(large([text]))[0].as_py().split()
    return [" ".join(words[i : i + ngram]) for i in range(len(words) - ngram + 1)]


def reference(text: str, ngram: int, count: int, seed: int) -> list[int] | None:
    """The published definition, slowly, from the words of the text."""
    shingles = shingles_of(text, ngram)
    if not shingles:
        return None
    hashes = [int.from_bytes(hashlib.sha1(s.encode()).digest()[:8], "little") for s in shingles]
    a, b = permutations(count, seed)
    values = [[(h * int(x) + int(y)) % 2**64 % (2**61 - 1) for h in hashes] for x, y in zip(a, b, strict=True)]
    return [min(column) for column in values]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.text(st.sampled_from("ab é中.1 "), max_size=40), max_size=5),
    st.integers(1, 6),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(0, 9),
)
def test_equals_the_definition(texts: list[str], ngram: int, bands: int, rows: int, seed: int) -> None:
    values, valid = signatures(large(texts), ngram, bands, rows, seed)
    assert values.shape == (len(texts), bands * rows)
    for text, row, has in zip(texts, values.tolist(), valid, strict=True):
        expected = reference(text, ngram, bands * rows, seed)
        assert has == (expected is not None)
        assert row == (expected or [0] * (bands * rows))


def test_permutations_are_datatroves() -> None:
    a, b = permutations(112, 1)
    assert a[:2].tolist() == GOLDEN_A
    assert b[:2].tolist() == GOLDEN_B


def test_signature_is_datatroves() -> None:
    # From datatrove 0.10.1: MinhashDedupSignature(HashConfig("sha1", 64), 5-grams, 14 bands of 8, seed 1).
    values, _ = signatures(large([GOLDEN_TEXT]))
    assert values[0, :8].tolist() == GOLDEN_FIRST
    assert values[0, 104:].tolist() == GOLDEN_LAST


def test_long_documents_are_hashed_in_blocks() -> None:
    text = " ".join("".join(map(chr, 97 + row)) for row in np.random.default_rng(3).integers(0, 26, (2500, 4)))
    values, _ = signatures(large([text, "a b c d e", text]), 5, 2, 2)
    assert values[0].tolist() == values[2].tolist() == reference(text, 5, 4, 1)


@pytest.mark.parametrize(("hash_function", "count"), [("sha1", 112), ("xxhash", 30)])
def test_the_datasketch_family_is_datasketchs(hash_function: HashFunction, count: int) -> None:
    def xxhash(shingle: bytes) -> int:
        return int(xxh64(np.frombuffer(shingle, np.uint8), np.array([0]), np.array([len(shingle)]))[0])

    values, _ = signatures(large([GOLDEN_TEXT]), 5, count, 1, 7, hash_function, "datasketch")
    theirs = datasketch.MinHash(
        count, 7, scheme="affine64", hashfunc=xxhash if hash_function == "xxhash" else sha1_hash64
    )
    theirs.update_batch([shingle.encode() for shingle in shingles_of(GOLDEN_TEXT, 5)])
    assert values[0].tolist() == theirs.hashvalues.tolist()


def test_xxhash_signature() -> None:
    values, _ = signatures(large([GOLDEN_TEXT]), hash_function="xxhash")
    hashes = hash_shingles(large([GOLDEN_TEXT]), 5, "xxhash").hashes
    a, b = permutations(112, 1)
    expected = [
        min((int(h) * int(x) + int(y)) % 2**64 % (2**61 - 1) for h in hashes) for x, y in zip(a, b, strict=True)
    ]
    assert values[0].tolist() == expected
    assert values[0].tolist() != signatures(large([GOLDEN_TEXT]))[0][0].tolist()


@pytest.mark.parametrize("family", ["datatrove", "datasketch"])
def test_parameters_of_every_recipe(family: Family) -> None:
    texts = large([GOLDEN_TEXT, GOLDEN_TEXT.upper(), "Something else, of only so many words."])
    published = [(14, 8, 5), (450, 20, 5), (14, 9, 13), (9, 13, 13), (5, 25, 13), (1, 128, 13), (20, 5, 5), (26, 11, 5)]
    for bands, rows, ngram in published:
        keys = sign(texts, ngram, bands, rows, family=family)["bands"]
        assert keys.type == pa.list_(pa.uint64(), bands)
        assert keys[0] == keys[1] != keys[2]
        assert keys[2].is_valid == (ngram == 5)


def test_shingle_sets() -> None:
    texts = large(["a b c a b c a b c", None, "a b", "a b c"])
    sets = shingle_sets(hash_shingles(texts, 3))
    hashes = {
        shingle: int.from_bytes(hashlib.sha1(shingle.encode()).digest()[:8], "little")
        for shingle in ("a b c", "b c a", "c a b")
    }
    assert sets.to_pylist() == [sorted(hashes.values()), None, None, [hashes["a b c"]]]
    masked = shingle_sets(hash_shingles(texts, 3), np.array([False, True, True, True]))
    assert masked.to_pylist() == [None, None, None, [hashes["a b c"]]]


def test_documents_of_two_groups_never_meet() -> None:
    texts = large([GOLDEN_TEXT] * 5)
    signed = sign(texts, groups=pa.array(["en", "de", "en", None, ""]), sample=1.0)
    keys, samples = signed["bands"].to_pylist(), signed["sample"].to_pylist()
    assert keys[0] == keys[2] and keys[3] == keys[4]
    assert samples[0] == samples[2] and samples[3] == samples[4]
    for a, b in ((0, 1), (0, 3), (1, 3)):
        assert not set(keys[a]) & set(keys[b])
        assert samples[a] != samples[b]
    assert not set(keys[0]) & set(sign(texts)["bands"].to_pylist()[0])


def test_what_a_part_stores() -> None:
    texts = large([f"this is document {'y' * (i % 300)} of them" if i % 9 else None for i in range(600)])
    signed = sign(texts)
    assert tuple(signed.schema.names) == SIGNED
    assert signed["sample"].null_count == signed["shingles"].null_count == 600
    everything = sign(texts, sample=1.0)
    assert everything["sample"].null_count == everything["bands"].null_count == 67
    sampled = sign(texts, sample=0.25)
    chosen = sampled["sample"].is_valid().to_numpy(zero_copy_only=False)
    assert 60 < chosen.sum() < 220
    assert sampled["shingles"].is_valid().to_pylist() == chosen.tolist()
    assert sampled["sample"].filter(pa.array(chosen)).equals(everything["sample"].filter(pa.array(chosen)))
    verified = sign(texts, sample=0.25, all_shingles=True)
    assert verified["sample"].equals(sampled["sample"])
    assert verified["shingles"].equals(everything["shingles"])
    assert sign(texts[:0]).num_rows == 0
    with pytest.raises(ValueError, match="share from 0 to 1"):
        sign(texts, sample=2)


def test_documents_of_fewer_words_than_a_shingle_have_no_keys() -> None:
    texts = large(["one two three four", "one two three four five", None, "", "1 - 2 - 3 - 4", "一二三四五"])
    assert signatures(texts)[1].tolist() == [False, True, False, False, False, True]
    assert sign(texts)["bands"].is_valid().to_pylist() == [False, True, False, False, False, True]


def test_punctuation_case_and_marks_do_not_matter() -> None:
    keys = sign(large(["Éa, B! c (d) 17 f", "ea b c d 4.2 F"]))["bands"].to_pylist()
    assert keys[0] == keys[1]


def test_band_keys_do_not_depend_on_batches() -> None:
    texts = large([f"document number {'x' * (i % 97)} says {i % 1000} a thing" if i % 7 else None for i in range(2100)])
    keys = sign(texts)["bands"]
    assert keys.type == pa.list_(pa.uint64(), 14)
    assert keys[1000:1100].to_pylist() == sign(texts[1000:1100])["bands"].to_pylist()
    values, valid = signatures(texts)
    hashes = band_hashes(values, 14, 8)
    assert keys.to_pylist() == [row if has else None for row, has in zip(hashes.tolist(), valid, strict=True)]


def test_band_hashes_are_equal_exactly_where_bands_are() -> None:
    values = np.random.default_rng(1).integers(0, 2**61, (200, 12), np.uint64)
    values[1::2] = values[::2]
    values[1::2, 5] += 1  # in the second of three bands
    keys = band_hashes(values, 3, 4)
    assert (keys[::2] == keys[1::2]).all(axis=0).tolist() == [True, False, True]
    assert not (keys[::2] == keys[1::2])[:, 1].any()
    assert len(np.unique(keys[:, [0, 1]])) == 300
    # The order of the values in a band matters.
    assert (band_hashes(values[:, [1, 0, 2, 3]], 1, 4) != band_hashes(values[:, :4], 1, 4)).all()


def test_signatures_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="12 values, not 4"):
        band_hashes(np.zeros((1, 12), np.uint64), 4, 4)


@pytest.mark.parametrize(
    ("jaccard", "expected"),
    [(0.70, 0.5645), (0.75, 0.7716), (0.80, 0.9235), (0.85, 0.9884), (0.90, 0.9996), (0, 0), (1, 1)],
)
def test_candidate_probability(jaccard: float, expected: float) -> None:
    assert candidate_probability(jaccard, 14, 8) == pytest.approx(expected, abs=5e-5)


def test_knees() -> None:
    # The knee (1/b)^(1/r) is where the curve crosses 1 - 1/e, nearly.
    for bands, rows, knee in ((14, 8, 0.719), (450, 20, 0.7368)):
        assert (1 / bands) ** (1 / rows) == pytest.approx(knee, abs=5e-4)
        assert candidate_probability(knee, bands, rows) == pytest.approx(1 - 1 / math.e, abs=0.02)


@pytest.mark.parametrize("target", [0.5, 0.7, 0.8, 0.9])
def test_candidates_and_estimates_follow_theory(target: float) -> None:
    """Pairs that share a prefix of unique words: their Jaccard index is known exactly."""
    pairs, shingles = 1000, 90
    shared = round(2 * shingles * target / (1 + target))
    jaccard = shared / (2 * shingles - shared)
    rng = np.random.default_rng(7)
    texts: list[str | None] = []
    for _ in range(pairs):
        # Letters only: numbers would all become 0.
        names = ["".join(map(chr, 97 + rng.integers(0, 26, 9))) for _ in range(2 * shingles + 4 - shared)]
        common, rest = names[: shared + 4], names[shared + 4 :]
        half = shingles - shared
        texts += [" ".join(common + rest[:half]), " ".join(common + rest[half:])]
    values, _ = signatures(large(texts))
    keys = band_hashes(values, 14, 8)
    candidates = (keys[::2] == keys[1::2]).any(axis=1).mean()
    probability = candidate_probability(jaccard, 14, 8)
    assert abs(candidates - probability) < 4 * math.sqrt(probability * (1 - probability) / pairs)
    # Signature agreement estimates the Jaccard index, with variance s (1 - s) / m for each pair.
    agreement = (values[::2] == values[1::2]).mean()
    assert abs(agreement - jaccard) < 4 * math.sqrt(jaccard * (1 - jaccard) / 112 / pairs)
