"""Rehydration: FineWeb2's own figures for Italian, and its formula written as a loop."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation_assets.selection.rehydration import REMOVAL_RATES, WEIGHTS, removal_rates, repetitions, weights

# Of the clusters of 1 to 172 documents and of 173 and more: survivors of deduplication, and those kept by the
# filters after it. From misc/rehydration/distributions/ita_Latn.json of huggingface/fineweb-2.
ITALIAN = """
    249251472 82085748 44472991 32145006 23380169 17977689 12963908 10920402 8788056 7232510 6026963 5287148
    4230990 3772401 3272914 2796505 2394177 2139951 1841653 1665609 1462050 1297773 1147610 1058798 918513
    817098 730715 665363 592795 550599 485820 451704 412881 389138 372744 357755 320921 291988 261304 240951
    218479 210198 191213 178855 164346 148748 137355 132565 120389 113434 106206 99773 93060 91098 83434 79494
    74272 69593 67086 65554 60237 57521 55463 53395 50477 48828 45809 44364 42428 41787 39735 38841 36570
    35205 34121 32431 30980 29920 28872 27906 26828 25665 24996 24467 23470 22603 22230 21245 20444 20262
    19137 18714 17876 17066 16840 16582 15788 15644 15235 15106 14227 13873 13737 13360 12772 12711 12173
    12197 11750 11685 11233 11001 10635 10513 10089 9964 9739 9490 9433 9244 8889 8609 8267 8429 8067 8109
    8016 7507 7473 7385 7182 6948 6926 6650 6725 6562 6253 6312 6072 5968 5945 5767 5925 5718 5716 5452 5414
    5425 5242 5113 5189 5073 4846 4704 4736 4740 4548 4444 4301 4354 4308 4216 4078 4106 4009 4050 3950 3781
    3810 3819 3665 3584 541659
"""
ITALIAN_KEPT = """
    83685785 38990855 22645230 16874401 12825892 9906232 7464859 6353500 5217491 4294271 3640857 3159502
    2601141 2284482 1987350 1719405 1497998 1327496 1158960 1035913 913573 810682 722060 651090 572351 506891
    450125 404259 360902 327325 291380 266340 243489 228276 218152 206130 187871 170418 152315 139306 127999
    121473 111641 103555 94744 85966 79018 74164 68145 63432 59484 55471 51787 48623 45883 43130 40962 37938
    36615 35138 32783 30914 29466 28426 26655 25739 24139 23514 22394 22034 20893 20079 19011 18267 17449
    16646 15882 15315 14962 14109 13958 13228 12893 12286 12042 11460 11245 10733 10379 10130 9603 9347 9012
    8490 8330 8220 7755 7605 7504 7194 6998 6808 6739 6598 6119 6281 5891 5755 5604 5642 5462 5401 5106 4943
    4891 4764 4660 4517 4430 4258 4269 4058 3957 4022 3880 3767 3728 3574 3482 3431 3442 3216 3234 3062 3114
    3082 2844 2871 2746 2773 2722 2644 2715 2529 2614 2457 2402 2409 2332 2270 2331 2264 2137 2129 2047 2097
    2000 2071 1909 1911 1891 1906 1837 1799 1791 1781 1774 1668 1730 1687 1648 1580 218122
"""

ITALIAN_WEIGHTS = {
    1: 1, 2: 3, 3: 4, 4: 5, 5: 6, 7: 7, 8: 8, 11: 9, 17: 10, 26: 9, 31: 8, 46: 7, 52: 6, 63: 5, 75: 4, 96: 3,
    118: 2, 123: 3, 125: 2, 145: 1,
}  # fmt: skip
"""As its README has them; two edges, 75 and 123, are 76 and 122 by its own formula."""

SIMPLE_WEIGHTS = {1: 1, 2: 2, 3: 3, 5: 5, 100: 8, 1000: 1}


def weight_table(steps: dict[int, int]) -> pa.Table:
    return pa.table([list(steps), list(steps.values())], schema=WEIGHTS)


def steps(table: pa.Table) -> dict[int, int]:
    assert table.schema == WEIGHTS
    return dict(zip(table["size"].to_pylist(), table["weight"].to_pylist(), strict=True))


def test_golden_italian():
    documents = np.array(ITALIAN.split(), np.int64)
    kept = np.array(ITALIAN_KEPT.split(), np.int64)
    sizes = np.arange(1, 174)
    assert 1 - kept.sum() / documents.sum() == pytest.approx(0.55761718201179356, abs=1e-12)
    rates = pa.table([sizes, documents, 1 - kept / documents], schema=REMOVAL_RATES)
    table = weights(rates, max_weight=10, window=5)
    edges = {75: 76, 123: 122}
    assert steps(table) == {edges.get(size, size): weight for size, weight in ITALIAN_WEIGHTS.items()}
    assert kept.sum() == 238_984_437
    assert (kept * repetitions(pa.array(sizes), table).to_numpy()).sum() == 965_462_863


@pytest.mark.parametrize(
    ("table", "size", "weight"),
    [
        (ITALIAN_WEIGHTS, 1, 1),
        (ITALIAN_WEIGHTS, 2, 3),
        (ITALIAN_WEIGHTS, 6, 6),
        (ITALIAN_WEIGHTS, 16, 9),
        (ITALIAN_WEIGHTS, 17, 10),
        (ITALIAN_WEIGHTS, 25, 10),
        (ITALIAN_WEIGHTS, 144, 2),
        (ITALIAN_WEIGHTS, 145, 1),
        (ITALIAN_WEIGHTS, 10**12, 1),
        (SIMPLE_WEIGHTS, 4, 3),
        (SIMPLE_WEIGHTS, 99, 5),
        (SIMPLE_WEIGHTS, 100, 8),
        (SIMPLE_WEIGHTS, 999, 8),
        (SIMPLE_WEIGHTS, 1000, 1),
        (SIMPLE_WEIGHTS, 0, 1),
        ({5: 3}, 4, 1),
        ({}, 4, 1),
    ],
)
def test_a_weight_holds_up_to_the_next_size(table: dict[int, int], size: int, weight: int):
    found = repetitions(pa.array([size, None, size], pa.int64()), weight_table(table))
    assert found.to_pylist() == [weight, None, weight]


def test_published_french_rates():
    # Singletons 70.44 %, the best class about 44.5 %, all 62.38 %: so few in 10,000 are not singletons.
    rates = pa.table([[1, 2], [6892, 3108], [0.7044, 0.445]], schema=REMOVAL_RATES)
    assert steps(weights(rates)) == {1: 1, 2: 10}
    rates = pa.table([[1, 2, 3], [6892, 3108, 1000], [0.7044, 0.445, 0.6238]], schema=REMOVAL_RATES)
    assert steps(weights(rates, window=1)) == {1: 1, 2: 10, 3: 1}


def test_weights_lie_between():
    rates = pa.table([[1, 2, 3, 9], [60, 20, 10, 10], [0.7, 0.5, 0.4, 0.4]], schema=REMOVAL_RATES)  # 0.6 of all
    assert steps(weights(rates, max_weight=9)) == {1: 1, 2: 5, 3: 9}
    assert steps(weights(rates, max_weight=9, window=3)) == {1: 1, 2: 5, 3: 8, 9: 9}


def test_rates_are_counted():
    sizes = pa.array([1, 1, 2, 2, 2, 2, 7, 3, 3, 9], pa.uint32())
    removed = pa.array([True, False, False, False, False, True, True, False, False, False])
    assert removal_rates(sizes, removed, least=2).to_pydict() == {
        "size": [1, 2, 3, 7],
        "documents": [2, 4, 2, 2],
        "rate": [0.5, 0.25, 0, 0.5],
    }
    assert removal_rates(sizes, removed, least=1)["size"].to_pylist() == [1, 2, 3, 7, 9]
    assert removal_rates(sizes, removed).to_pydict() == {"size": [1], "documents": [10], "rate": [0.3]}
    assert removal_rates(sizes[:0], removed[:0]).num_rows == 0


def test_a_rare_size_ends_the_classes():
    sizes = pa.array([1] * 5 + [2] + [3] * 5)
    rates = removal_rates(sizes, pa.array([False] * 11), least=2)
    assert rates.to_pydict() == {"size": [1, 2], "documents": [5, 6], "rate": [0, 0]}
    assert steps(weights(rates)) == {1: 1}


def test_wrong_arguments_are_refused():
    rates = removal_rates(pa.array([1]), pa.array([True]))
    with pytest.raises(ValueError, match="1 cluster sizes but 2"):
        removal_rates(pa.array([1]), pa.array([True, False]))
    for window in (0, 4, -1):
        with pytest.raises(ValueError, match="odd number"):
            weights(rates, window=window)


def test_no_documents_no_weights():
    table = weights(REMOVAL_RATES.empty_table())
    assert steps(table) == {}
    assert repetitions(pa.array([], pa.int64()), table).to_pylist() == []


def slow_weights(rates: dict, top: int, window: int) -> list[float]:
    removed = [round(rate * n) for rate, n in zip(rates["rate"], rates["documents"], strict=True)]
    overall = Fraction(sum(removed), sum(rates["documents"]))
    exactly = [Fraction(gone, n) for gone, n in zip(removed, rates["documents"], strict=True)]
    best = min(exactly)
    exact = [1 + (top - 1) * (overall - rate) / (overall - best) if rate < overall else 1 for rate in exactly]
    half = window // 2
    return [
        float(sum(exact[i - half : i + half + 1]) / window if half <= i < len(exact) - half else value)
        for i, value in enumerate(exact)
    ]


@given(
    st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=1, max_size=80),
    st.integers(2, 12),
    st.sampled_from([1, 3, 5]),
    st.integers(1, 5),
)
def test_equals_reference(documents: list[tuple[int, bool]], top: int, window: int, least: int):
    sizes = pa.array([size for size, _ in documents])
    rates = removal_rates(sizes, pa.array([removed for _, removed in documents]), least)
    assert rates.schema == REMOVAL_RATES
    assert sum(rates["documents"].to_pylist()) == len(documents)
    counts = Counter(size for size, _ in documents)
    first_rare = min((size for size, n in counts.items() if n < least), default=99)
    classes = sorted(size for size in counts if size <= first_rare)
    if len(classes) > 1 and sum(n for size, n in counts.items() if size >= classes[-1]) < least:
        classes.pop()
    assert rates["size"].to_pylist() == classes

    found = repetitions(rates["size"].combine_chunks(), weights(rates, top, window)).to_pylist()
    for weight, exact in zip(found, slow_weights(rates.to_pydict(), top, window), strict=True):
        assert 1 <= weight <= top
        assert abs(weight - exact) <= 0.5 + 1e-9
