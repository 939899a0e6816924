"""How far a station is: what it has counted, how fast it is now, and when it will be done."""

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from curation_assets.lake.lake import Stats

TOP_REASONS = 3


class Progress(Protocol):
    """Called by a station as it gets on."""

    def __call__(self, done: int, total: int, stats: Stats, phase: str = "") -> None:
        """Take note.

        Args:
            done: parts (or, in a phase, steps) that are finished; at the first call, those that were there before.
            total: parts or steps in all; 0 when nobody knows.
            stats: the counters of what is finished.
            phase: what a station without parts is at; empty for parts.
        """
        ...


@dataclass(frozen=True)
class Told:
    """One look at a station at work."""

    done: int
    total: int
    reused: int
    """Of `done`, those that were there before."""
    stats: Stats
    phase: str
    elapsed: float
    """Seconds since the parts, or the phase, began."""
    rate: float | None
    """Rows read a second; None until parts are made whose rows are counted."""
    left: float | None
    """Seconds to go; None until it can be told."""


class Pace:
    """Looks at a station from call to call of `Progress`.

    The pace is that of the later half of the parts made now: neither what was there before nor the first parts, which
    wait for workers to start and kernels to compile, make it wrong for long. As parts are finished in waves of as many
    as there are workers, a half is only taken once it is a wave.
    """

    def __init__(self, workers: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self._workers = workers
        self._clock = clock
        self._phase: str | None = None

    def told(self, done: int, total: int, stats: Stats, phase: str = "") -> Told:
        """What a call of `Progress` says, in view of those before it."""
        now = self._clock()
        if phase != self._phase:
            self._phase, self._reused = phase, done
            self._times, self._rows = array("d", [now]), array("q", [stats.get("rows_in", 0)])
        made = done - self._reused
        # Several may have been finished since the last call: evenly, for all that is known.
        last, rows_before, new = self._times[-1], self._rows[-1], made + 1 - len(self._times)
        for step in range(1, new + 1):
            self._times.append(last + (now - last) * step / new)
            self._rows.append(rows_before + (stats.get("rows_in", 0) - rows_before) * step // new)
        half = made // 2 if made // 2 >= self._workers else 0
        seconds = now - self._times[half]
        rows = stats.get("rows_in", 0) - self._rows[half]
        return Told(
            done=done,
            total=total,
            reused=self._reused,
            stats=stats,
            phase=phase,
            elapsed=now - self._times[0],
            rate=rows / seconds if rows and seconds else None,
            left=seconds / (made - half) * (total - done) if made else None,
        )


def unit(schema: pa.Schema | None) -> str:
    """What the rows of a station's table are, for people."""
    names = set(schema.names) if schema is not None else set()
    if "sequence" in names:
        return "segments"
    if "doc" in names:
        return "documents"
    return "WARC files" if "warc_file" in names else "rows"


def counted(stats: Stats, schema: pa.Schema | None) -> str:
    """How many rows are left of those read: `1,020 of 2,040 documents left`, or `2,040 documents` if all stay."""
    rows_in, rows_out = stats.get("rows_in", 0), stats.get("rows_out", 0)
    if any(name.startswith("dropped.") for name in stats):
        return f"{rows_out:,} of {rows_in:,} {unit(schema)} left"
    return f"{rows_out:,} {unit(schema)}"


def reasons(stats: Stats, most: int = TOP_REASONS) -> list[tuple[str, int]]:
    """What dropped most so far, with how many."""
    dropped = [(name.removeprefix("dropped."), count) for name, count in stats.items() if name.startswith("dropped.")]
    return sorted(dropped, key=lambda one: (-one[1], one[0]))[:most]


def duration(seconds: float) -> str:
    """Two units at most: `8 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    whole = max(round(seconds), 0)
    for size, name, smaller, lesser in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {name}" + (f" {rest} {lesser}" if rest else "")
    return f"{whole} s"


def sentence(told: Told, schema: pa.Schema | None) -> str:
    """Everything but the expected end, in a line of a log."""
    if told.phase:
        steps = f", {told.done:,} of {told.total:,}" if told.total else ""
        return f"{told.phase}{steps}; {duration(told.elapsed)} so far"
    said = [f"part {told.done:,} of {told.total:,}" + (f" ({told.reused:,} from before)" if told.reused else "")]
    said.append(counted(told.stats, schema))
    if told.rate is not None:
        said.append(f"{told.rate:,.0f} {unit(schema)} read/s")
    said.append(f"{duration(told.elapsed)} so far")
    if told.left is not None and told.done < told.total:
        said.append(f"{duration(told.left)} to go")
    if dropped := ", ".join(f"{name} {count:,}" for name, count in reasons(told.stats)):
        said.append(f"dropped most by {dropped}")
    return "; ".join(said)
