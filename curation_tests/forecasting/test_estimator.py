"""Totals from samples: exact where they can be, and as often right as the interval says."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation_assets.forecasting.estimator import Estimate, Growth, Whole, growth, student, total

AMOUNTS = st.lists(st.floats(0.001, 1e6), min_size=2, max_size=20)
SIZES = st.floats(0.1, 1e3)


@given(AMOUNTS, st.data(), st.floats(1e-3, 1e3))
def test_a_forecast_scales_with_the_costs(amounts: list[float], data: st.DataObject, factor: float) -> None:
    sizes = data.draw(st.lists(SIZES, min_size=len(amounts), max_size=len(amounts)))
    whole = Whole(len(amounts) + 100, sum(sizes) * 50)
    once, scaled = total(amounts, sizes, whole), total([factor * one for one in amounts], sizes, whole)
    assert scaled == pytest.approx(once.times(factor), rel=1e-6)
    assert once.low <= once.value <= once.high


@given(st.integers(2, 20), st.integers(0, 1000), st.floats(0, 1e6), SIZES)
def test_it_is_exact_when_all_parts_are_the_same(count: int, others: int, amount: float, size: float) -> None:
    parts = count + others
    found = total([amount] * count, [size] * count, Whole(parts, parts * size))
    assert found == pytest.approx(Estimate.exact(amount * parts), rel=1e-6)


@given(st.lists(SIZES, min_size=2, max_size=20), st.floats(0.001, 1e3))
def test_it_is_exact_when_costs_are_proportional_to_sizes(sizes: list[float], rate: float) -> None:
    whole = Whole(len(sizes) + 7, sum(sizes) + 70)
    found = total([rate * size for size in sizes], sizes, whole)
    assert found == pytest.approx(Estimate.exact(rate * whole.size), rel=1e-5)


@given(AMOUNTS)
def test_the_whole_as_its_own_sample_is_exact(amounts: list[float]) -> None:
    sizes = [1.0] * len(amounts)
    assert total(amounts, sizes, Whole(len(amounts), len(amounts))) == pytest.approx(Estimate.exact(sum(amounts)))


@given(AMOUNTS, st.integers(1, 100))
def test_a_forecast_is_never_below_what_was_seen(amounts: list[float], others: int) -> None:
    parts = len(amounts) + others
    assert total(amounts, [1.0] * len(amounts), Whole(parts, parts)).low >= sum(amounts) * (1 - 1e-12)


@pytest.mark.parametrize("count", [3, 8, 20])
@pytest.mark.parametrize("sized", [True, False])
def test_the_interval_holds_the_truth_nine_times_in_ten(count: int, sized: bool) -> None:
    """A population of files whose costs follow their sizes with noise, as WARC files do; 2,000 samples of it."""
    chance = random.Random(7)
    sizes = [chance.gauss(1000, 100) for _ in range(400)]
    costs = [size * chance.lognormvariate(0, 0.2) for size in sizes]
    whole = Whole(len(sizes), sum(sizes) if sized else len(sizes))
    held = 0
    for _ in range(2000):
        drawn = chance.sample(range(len(sizes)), count)
        found = total([costs[i] for i in drawn], [sizes[i] if sized else 1.0 for i in drawn], whole)
        held += found.low <= sum(costs) <= found.high
    assert 0.86 < held / 2000 < 0.94


def test_known_sizes_narrow_the_interval() -> None:
    chance = random.Random(3)
    sizes = [chance.uniform(100, 1000) for _ in range(8)]
    costs = [size * chance.uniform(0.9, 1.1) for size in sizes]
    by_size, by_count = total(costs, sizes, Whole(100, 55_000)), total(costs, [1.0] * 8, Whole(100, 100))
    assert (by_size.high - by_size.low) < (by_count.high - by_count.low) / 2


@pytest.mark.parametrize(
    ("amounts", "sizes", "parts", "told"),
    [
        ([], [], 3, "tells nothing"),
        ([1.0, 2.0], [0.0, 0.0], 3, "tells nothing"),
        ([1.0], [1.0], 3, "sample two"),
        ([1.0, 1.0], [1.0, 1.0], 1, "cannot be a sample"),
    ],
)
def test_what_tells_nothing_is_refused(amounts: list[float], sizes: list[float], parts: int, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        total(amounts, sizes, Whole(parts, 10.0))


@pytest.mark.parametrize(("degrees", "quantile"), [(1, 6.314), (4, 2.132), (5, 2.015), (7, 1.895), (30, 1.697)])
def test_quantiles_are_those_of_the_tables(degrees: int, quantile: float) -> None:
    assert student(degrees) == pytest.approx(quantile, abs=2e-3)


SIZE = st.floats(0, 1e9)


@given(st.floats(0, 1e3), st.floats(0, 1e3), st.floats(0, 1e3), st.floats(1, 1e3))
def test_a_line_is_found_again(fixed: float, rate: float, size: float, more: float) -> None:
    line = Growth(fixed, rate)
    found = growth((size, line.at(size)), (size + more, line.at(size + more)))
    assert found.at(size + 2 * more) == pytest.approx(line.at(size + 2 * more), rel=1e-4, abs=1e-3)


@given(SIZE, SIZE, SIZE, SIZE, SIZE)
def test_a_line_neither_falls_nor_begins_below_zero(
    size: float, amount: float, larger: float, more: float, at: float
) -> None:
    found = growth((size, amount), (larger, more))
    assert found.fixed >= 0
    assert found.rate >= 0
    assert found.at(larger) == pytest.approx(more, rel=1e-6, abs=1e-6)
