"""From a sample to the snapshot, with costs made up so that the answer is known."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation_assets.forecasting.estimator import Estimate, Growth, Whole
from curation_assets.forecasting.forecast import DUCKDB, forecast, price, schedule
from curation_assets.forecasting.sampling import Cost, Part, Sampled, Start

NONE = Growth(0.0, 0.0)


def cost(name: str, parts: dict[str, float], files: dict[str, int], **other: object) -> Cost:
    made = Cost(name, "documents", parts, NONE, NONE, files, NONE, NONE, 0.0, NONE)
    return replace(made, **other)  # type: ignore[arg-type]


def sampled(files: int = 4, of: int = 100) -> Sampled:
    """Files of 1,000 bytes and 10 documents: 2 s to read, 1 s for each to compare and a fixed 3, 5 to train on 20."""
    stems = [f"part-{number:05}" for number in range(files)]
    documents = 10 * files
    return Sampled(
        snapshot="CC-MAIN-2025-05",
        recipe="some",
        whole=Whole(of, 1000.0 * of),
        sized=True,
        parts={stem: Part(1000, 10, 5, 700) for stem in stems},
        costs=[
            cost("documents", dict.fromkeys(stems, 2.0), dict.fromkeys(stems, 300)),
            cost("duplicates", {}, {}, driver=Growth(3.0, 1.0), rest=Growth(7.0, 2.0), memory=Growth(50.0, 1e9)),
            cost("tokenizer", {}, {}, driver=Growth(0.0, 5 / 20), ceiling=20 / documents, rest=Growth(11.0, 0.0)),
            cost("plan", {}, {}, pool=Growth(0.0, 0.5), unit="kept", scratch=Growth(0.0, 4.0), held=64.0),
        ],
        start=Start(driver=6.0, worker=1.5),
        worker_memory=100,
        driver_memory=1000,
        driver_peak=2000,
        busy=1.0,
        deduplicated=(0.1, 0.2),
    )


def test_what_is_known_is_found() -> None:
    found = forecast(sampled(), workers=10)
    seconds = {one.name: one.seconds for one in found.stations}
    assert seconds == pytest.approx({"documents": 200.0, "duplicates": 1003.0, "tokenizer": 5.0, "plan": 250.0})
    assert found.cpu_seconds == pytest.approx(Estimate.exact(1458.0 + 6.0 + 10 * 1.5))
    assert found.lake_bytes == pytest.approx(Estimate.exact(100 * 300 + 7 + 2 * 1000 + 11))
    assert (found.documents.value, found.kept.value, found.tokens.value) == pytest.approx((1000, 500, 70_000))
    assert found.scratch_bytes == pytest.approx(4.0 * 500)
    assert (found.sampled_files, found.files, found.sampled_share) == (4, 100, 0.04)


def test_a_query_holds_no_more_than_it_may_and_what_holds_documents_grows() -> None:
    stations = {one.name: one for one in forecast(sampled(), 1).stations}
    assert stations["duplicates"].memory_bytes == pytest.approx(max(DUCKDB, 50.0 + 1e9 * 40))
    assert stations["plan"].memory_bytes == pytest.approx(64.0 * 500)


@given(st.floats(0.01, 100), st.integers(2, 8))
def test_all_costs_scaled_scale_the_forecast(factor: float, files: int) -> None:
    def scaled(line: Growth) -> Growth:
        return Growth(factor * line.fixed, factor * line.rate)

    once = sampled(files)
    costs = [
        replace(
            one,
            parts={stem: factor * seconds for stem, seconds in one.parts.items()},
            pool=scaled(one.pool),
            driver=scaled(one.driver),
        )
        for one in once.costs
    ]
    start = Start(factor * once.start.driver, factor * once.start.worker)
    before, after = forecast(once, 3), forecast(replace(once, costs=costs, start=start), 3)
    assert after.cpu_seconds == pytest.approx(before.cpu_seconds.times(factor))
    assert schedule(after, 3).wall_seconds == pytest.approx(schedule(before, 3).wall_seconds.times(factor))
    assert after.lake_bytes == before.lake_bytes


def test_files_that_differ_give_an_interval_and_stations_add_up() -> None:
    uneven = sampled()
    seconds = dict(zip(uneven.parts, (1.0, 2.0, 2.5, 4.0), strict=True))
    found = forecast(replace(uneven, costs=[replace(uneven.costs[0], parts=seconds), *uneven.costs[1:]]), 1)
    assert found.cpu_seconds.low < found.cpu_seconds.value < found.cpu_seconds.high
    start = found.start_driver_seconds + found.start_worker_seconds
    assert math.fsum(one.seconds for one in found.stations) + start == pytest.approx(found.cpu_seconds.value)
    assert found.documents.low == found.documents.high


def test_sizes_that_nobody_knows_leave_the_number_of_files() -> None:
    parts = dict(
        zip(sampled().parts, (Part(size, size // 100, 5, 700) for size in (500, 900, 1100, 1500)), strict=True)
    )
    found = forecast(replace(sampled(), whole=Whole(100, 100.0), sized=False, parts=parts), 1)
    assert found.warc_bytes.value == pytest.approx(100 * 1000)
    assert found.warc_bytes.low < found.warc_bytes.value


def test_parts_run_side_by_side_in_waves_and_the_driver_alone() -> None:
    found = forecast(sampled(), workers=8)
    once = schedule(found, cores=8)
    waves = math.ceil(100 / 8)
    assert once.wall_seconds.value == pytest.approx(6.0 + 1.5 + 2.0 * waves + 1003.0 + 5.0 + 250.0 / 8)
    assert once.paid_core_hours.value == pytest.approx(8 * once.wall_seconds.value / 3600)
    assert once.machine_memory_bytes == pytest.approx(8 * 100 + found.driver_memory_bytes)
    assert once.source_bytes_per_second == pytest.approx(100_000 / (2.0 * waves))
    two = schedule(forecast(sampled(), workers=16), cores=8, machines=2)
    assert 1008.0 < two.wall_seconds.value < once.wall_seconds.value
    assert two.paid_core_hours.value > once.paid_core_hours.value


def test_a_price_is_of_cores_that_wait_too() -> None:
    found = forecast(sampled(), workers=8)
    planned = schedule(found, 8)
    priced = price(found, planned, core_hour=2.0, gigabyte_month=0.5)
    assert priced.compute == pytest.approx(planned.paid_core_hours.times(2.0))
    assert priced.compute.value > 2.0 * planned.used_core_hours.value
    assert priced.storage_a_month.value == pytest.approx(found.lake_bytes.value / 1e9 * 0.5)
