"""What is told of a station at work, by a clock that the tests turn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation_assets.acquisition.stations import WARC_FILES
from curation_assets.filtering.gates import FILTER_VERDICTS
from curation_assets.lake.progress import Pace, counted, duration, reasons, sentence
from curation_assets.packing.sequences import SEGMENTS


class Clock:
    """Stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def paced(workers: int, finished: list[float], total: int, reused: int = 0) -> list[float | None]:
    """What was expected to be left at each finished part; `finished` are times, in order."""
    clock = Clock()
    pace = Pace(workers, clock)
    pace.told(reused, total, {})
    left = []
    for made, clock.now in enumerate(finished, 1):
        left.append(pace.told(reused + made, total, {}).left)
    return left


def test_parts_of_one_length_take_what_is_left_of_them() -> None:
    assert paced(1, [10, 20, 30, 40], 5) == [40, 30, 20, 10]


def test_a_first_part_that_compiled_for_long_is_soon_forgotten() -> None:
    left = paced(1, [100, 101, 102, 103, 104, 105], 1000)
    assert left[0] == 100 * 999
    assert left[1:] == [998, 997, 996, 995, 994]


def test_parts_finished_in_waves_are_not_taken_for_fast() -> None:
    times = [100 * wave for wave in (1, 2, 3) for _ in range(4)]
    left = paced(4, times, 40)
    # Within a wave parts seem to come for nothing: only then is too little expected, never less than half of it.
    assert left[3] == 900 and left[7] == 800 and left[11] == pytest.approx(700, rel=0.5)
    assert all(expected is not None and expected >= 350 for expected in left)


def test_what_was_there_before_makes_nothing_seem_fast() -> None:
    assert paced(1, [10, 20], 1002, reused=1000) == [10, 0]


def test_nothing_is_expected_before_a_part_is_made() -> None:
    pace = Pace(2, Clock())
    told = pace.told(3, 10, {"rows_in": 5})
    assert told.left is None and told.rate is None and told.reused == 3


def test_rows_read_now_count_for_the_rate_and_those_of_before_do_not() -> None:
    clock = Clock()
    pace = Pace(1, clock)
    pace.told(1, 3, {"rows_in": 1_000_000, "rows_out": 1})
    clock.now = 2.0
    assert pace.told(2, 3, {"rows_in": 1_000_500, "rows_out": 2}).rate == 250


def test_a_new_phase_begins_anew() -> None:
    clock = Clock()
    pace = Pace(1, clock)
    pace.told(0, 0, {}, "training")
    clock.now = 50.0
    assert pace.told(0, 4, {}, "writing shards").elapsed == 0
    clock.now = 60.0
    told = pace.told(1, 4, {}, "writing shards")
    assert told.left == 30
    assert sentence(told, SEGMENTS) == "writing shards, 1 of 4; 10 s so far"


@given(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=60), st.integers(1, 9), st.integers(0, 5), st.integers(0, 100_000)
)
def test_whatever_the_times_are_what_is_left_is_not_negative(
    gaps: list[float], workers: int, reused: int, more: int
) -> None:
    times = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    left = paced(workers, times, reused + len(times) + more, reused)
    assert all(expected is not None and expected >= 0 for expected in left)
    assert more or left[-1] == 0


def test_the_line_says_what_is_counted() -> None:
    clock = Clock()
    pace = Pace(1, clock)
    pace.told(10, 90_000, {"rows_in": 40})
    clock.now = 100.0
    stats = {"rows_in": 2040, "rows_out": 1020, "dropped.b": 20, "dropped.a": 20, "dropped.mime": 900, "dropped.c": 1}
    assert sentence(pace.told(20, 90_000, stats), FILTER_VERDICTS) == (
        "part 20 of 90,000 (10 from before); 1,020 of 2,040 documents left; 20 documents read/s; 1 min 40 s so far; "
        "10 d 9 h to go; dropped most by mime 900, a 20, b 20"
    )
    assert reasons(stats, 1) == [("mime", 900)]


@pytest.mark.parametrize(
    "schema, said", [(SEGMENTS, "3 segments"), (FILTER_VERDICTS, "3 documents"), (WARC_FILES, "3 WARC files")]
)
def test_rows_are_called_what_they_are(schema: object, said: str) -> None:
    assert counted({"rows_in": 3, "rows_out": 3}, schema) == said  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "seconds, said",
    [(0, "0 s"), (59.6, "1 min"), (61, "1 min 1 s"), (3600, "1 h"), (7300, "2 h 1 min"), (90_000 * 30, "31 d 6 h")],
)
def test_durations_have_two_units_at_most(seconds: float, said: str) -> None:
    assert duration(seconds) == said
