import bisect
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.packing.sequences import SEGMENTS, Cuts, count_sequences, cuts, fill, pack
from curation_assets.packing.shuffle import permutation

COUNTS = st.lists(st.integers(0, 60), max_size=60)
LENGTHS = st.integers(1, 24)
STRATEGIES = st.sampled_from(["best_fit", "concat"])


def run(counts: list[int], length: int, strategy: str = "best_fit", seed: int = 1, shard_tokens: int = 10**6):
    doc = np.arange(len(counts), dtype=np.int64) * 3
    return pack(
        doc,
        np.array(counts, np.int64),
        sequence_length=length,
        strategy=strategy,  # type: ignore[arg-type]
        seed=seed,
        shard_tokens=shard_tokens,
    )


def contents(segments: pa.Table) -> list[list[tuple[int, int, int]]]:
    """Each sequence as [(document number, token_start, token_count)], in order."""
    sequences: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    for row in segments.to_pylist():
        sequences.setdefault((row["shard"], row["sequence"]), []).append(
            (row["doc"] // 3, row["token_start"], row["token_count"])
        )
    return list(sequences.values())


def best_fit_reference(counts: list[int], length: int) -> list[int]:
    """Best-fit decreasing with a sorted list of rooms: sorted tokens of each sequence.

    Which of several bins with the same room is taken changes what lies beside what, but not these.
    """
    remainders = sorted((c % length for c in counts if c % length), reverse=True)
    rooms: list[int] = []
    for size in remainders:
        at = bisect.bisect_left(rooms, size)
        room = rooms.pop(at) if at < len(rooms) else length
        bisect.insort(rooms, room - size)
    return sorted([length - room for room in rooms] + [length] * sum(c // length for c in counts))


def sizes(segments: pa.Table) -> list[list[int]]:
    return [[count for _, _, count in sequence] for sequence in contents(segments)]


@settings(deadline=None)
@given(COUNTS, LENGTHS, STRATEGIES, st.integers(-(2**63), 2**64), st.integers(1, 5))
def test_every_token_lies_in_exactly_one_place(counts, length, strategy, seed, per_shard):
    segments = run(counts, length, strategy, seed, per_shard * length)
    assert segments.schema.equals(SEGMENTS)
    rows = segments.to_pylist()
    keys = [(row["shard"], row["sequence"], row["position"]) for row in rows]
    assert keys == sorted(set(keys))
    covered: dict[int, list[int]] = {}
    for row in rows:
        assert row["token_count"] > 0
        tokens = range(row["token_start"], row["token_start"] + row["token_count"])
        covered.setdefault(row["doc"], []).extend(tokens)
    assert {doc: sorted(tokens) for doc, tokens in covered.items()} == {
        3 * i: list(range(count)) for i, count in enumerate(counts) if count
    }
    # Sequences are numbered without gaps, filled without holes, and not too long; so are shards.
    by_shard: dict[int, dict[int, int]] = {}
    for row in rows:
        filled = by_shard.setdefault(row["shard"], {})
        assert row["position"] == filled.get(row["sequence"], 0)
        filled[row["sequence"]] = row["position"] + row["token_count"]
    assert list(by_shard) == list(range(len(by_shard)))
    for shard, filled in by_shard.items():
        assert list(filled) == list(range(len(filled)))
        assert max(filled.values()) <= length
        assert len(filled) == per_shard or shard == len(by_shard) - 1


@settings(deadline=None)
@given(COUNTS, LENGTHS)
def test_best_fit_is_the_slow_best_fit(counts, length):
    found = sizes(run(counts, length))
    assert sorted(sum(sequence) for sequence in found) == best_fit_reference(counts, length)
    assert all(sequence == sorted(sequence, reverse=True) for sequence in found)


@settings(deadline=None)
@given(COUNTS, LENGTHS)
def test_best_fit_cuts_no_document_that_fits(counts, length):
    found = cuts(run(counts, length), length)
    assert found == Cuts(
        cut_documents=sum(count > length for count in counts),
        avoidable=0,
        cuts=sum(-(-count // length) - 1 for count in counts if count),
    )


@settings(deadline=None)
@given(COUNTS, LENGTHS)
def test_concat_fills_all_but_the_last_sequence(counts, length):
    segments = run(counts, length, "concat")
    lengths = Counter(sum(sequence) for sequence in sizes(segments))
    total = sum(counts)
    expected = Counter({length: total // length})
    if total % length:
        expected[total % length] += 1
    assert lengths == +expected
    assert count_sequences(segments) == -(-total // length)


@settings(deadline=None)
@given(COUNTS, LENGTHS, STRATEGIES, st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(counts, length, strategy, random):
    order = list(range(len(counts)))
    random.shuffle(order)
    doc = np.array(order, np.int64) * 3
    shuffled = np.array([counts[i] for i in order], np.int32)
    assert pack(doc, shuffled, sequence_length=length, strategy=strategy, shard_tokens=10**6).equals(
        run(counts, length, strategy)
    )


@pytest.mark.parametrize(
    ("counts", "length", "expected"),
    [
        # TRL's best-fit-decreasing cases without truncation (`bfd`, `bfd-requeue`), as document numbers and lengths.
        ([3, 4, 1], 4, [[(1, 4)], [(0, 3), (2, 1)]]),
        ([5, 2, 4, 1], 4, [[(0, 4)], [(2, 4)], [(1, 2), (0, 1), (3, 1)]]),
        ([5, 1, 4, 3], 5, [[(0, 5)], [(2, 4), (1, 1)], [(3, 3)]]),
        ([6, 3, 3, 4], 4, [[(0, 4)], [(3, 4)], [(1, 3)], [(2, 3)], [(0, 2)]]),
        # Ding et al., figure 1: 14 = 8 + 6; 31 tokens in the fewest sequences possible.
        ([14, 7, 5, 2, 3], 8, [[(0, 8)], [(1, 7)], [(0, 6), (3, 2)], [(2, 5), (4, 3)]]),
        # The example of the package seqpacker.
        (
            [1000, 800, 600, 500, 400, 300, 200, 100],
            1024,
            [[(0, 1000)], [(1, 800), (7, 100)], [(2, 600), (4, 400)], [(3, 500), (5, 300), (6, 200)]],
        ),
    ],
)
def test_published_examples(counts, length, expected):
    found = [[(doc, count) for doc, _, count in sequence] for sequence in contents(run(counts, length))]
    assert sorted(found) == sorted(expected)


def test_concat_cuts_where_the_published_example_does():
    # TRL's `wrapped` case: 3, 4 and 1 tokens in sequences of 3, here in whatever order the documents come.
    segments = run([3, 4, 1], 3, "concat")
    order = permutation(3, 1, 1).tolist()
    stream = [(doc, token) for doc in order for token in range([3, 4, 1][doc])]
    expected = [stream[i : i + 3] for i in range(0, 8, 3)]
    found = [
        [(doc, start + k) for doc, start, count in sequence for k in range(count)] for sequence in contents(segments)
    ]
    assert sorted(found) == sorted(expected)


def test_seeds_change_the_order_and_nothing_else():
    counts = np.random.default_rng(3).integers(1, 400, 300).tolist()
    one, two = run(counts, 128, seed=1), run(counts, 128, seed=2)
    assert contents(one) != contents(two)
    assert sorted(contents(one)) == sorted(contents(two))
    assert run(counts, 128, seed=1).equals(one)


def test_realistic_lengths_fill_sequences():
    counts = np.maximum(30, np.random.default_rng(1).lognormal(6.3, 1.1, 20_000)).astype(np.int32)
    segments = run(counts.tolist(), 2048)
    assert fill(segments, 2048) >= 0.999
    assert pc.sum(segments["token_count"]).as_py() == counts.sum()  # type: ignore[attr-defined]
    concat = run(counts.tolist(), 2048, "concat")
    assert fill(concat, 2048) > fill(segments, 2048)
    assert cuts(concat, 2048).avoidable > 0.2 * len(counts)


def test_nothing_to_pack():
    for strategy in ("best_fit", "concat"):
        for counts in ([], [0, 0]):
            segments = run(counts, 8, strategy)
            assert segments.num_rows == 0 and segments.schema.equals(SEGMENTS)
    assert fill(segments, 8) == 1.0
    assert cuts(segments, 8) == Cuts(0, 0, 0)


def test_very_long_documents():
    length = 2**24
    segments = run([2**31 - 1, 5], length, shard_tokens=2**26)
    assert sum(map(sum, sizes(segments))) == 2**31 + 4
    assert sorted(segments["token_start"].to_pylist()) == [0, *range(0, 2**31, length)]


@pytest.mark.parametrize(
    ("doc", "counts", "options", "message"),
    [
        ([1, 1], [2, 3], {}, "more than once"),
        ([2, 1, 2], [2, 3, 1], {}, "more than once"),
        ([1, 2], [2], {}, "token counts"),
        ([1], [-1], {}, "between 0"),
        ([1], [2**31], {}, "between 0"),
        ([1], [1], {"sequence_length": 0}, "sequence_length"),
        ([1], [1], {"sequence_length": 2**24 + 1}, "sequence_length"),
        ([1], [1], {"sequence_length": 8, "shard_tokens": 7}, "cannot hold"),
        ([1], [1], {"strategy": "worst_fit"}, "worst_fit"),
    ],
)
def test_wrong_arguments_are_refused(doc, counts, options, message):
    with pytest.raises(ValueError, match=message):
        pack(np.array(doc), np.array(counts), **options)


def test_permutations_are_for_ever():
    assert permutation(8, 1).tolist() == [3, 4, 2, 7, 6, 5, 0, 1]
    assert permutation(8, 1, 0).tolist() != permutation(8, 1, 1).tolist()
    assert permutation(0, 1).tolist() == []


@given(st.integers(0, 300), st.integers(-(2**63), 2**64))
def test_permutations_permute(count, seed):
    assert sorted(permutation(count, seed).tolist()) == list(range(count))


def test_permutations_are_even():
    # First places of 6,000 permutations of 6: each of 36 cells near 1,000 (six standard deviations are 173).
    found = np.zeros((6, 6))
    for seed in range(6000):
        found[np.arange(6), permutation(6, seed)] += 1
    assert np.abs(found - 1000).max() < 173
