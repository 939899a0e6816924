"""What work costs: CPU seconds and memory of worker processes by item, and of the process that drives them.

CPU time is measured and not time on the clock, which other programs and a slow source lengthen.
"""

import os
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any, NamedTuple, TypeVar

from curation_assets.engine.local import Engine
from curation_assets.lake.station import PartJob

Item = TypeVar("Item")
Result = TypeVar("Result")

TICKS = os.sysconf("SC_CLK_TCK")
LOOK_SECONDS = 0.1
"""How often the scratch space of a station is looked at."""


class Usage(NamedTuple):
    """What one item cost in the worker that it ran in."""

    part: str | None
    """Name of the part, without suffix; None for other work."""
    process: int
    cpu: float
    """Seconds, those of ended child processes (the extraction sandbox) included."""
    wall: float
    memory: int
    """Bytes that the process and its largest child have held at most so far."""


@dataclass
class MeteredEngine:
    """An engine that notes what each item costs where it runs."""

    engine: Engine
    usages: list[Usage] = field(default_factory=list)

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """As of the engine beneath."""
        for result, usage in self.engine.map(partial(_metered, function=function), items):
            self.usages.append(usage)
            yield result

    def taken(self) -> list[Usage]:
        """What was noted since the last call."""
        taken, self.usages = self.usages, []
        return taken


def _metered(item: Any, function: Callable[[Any], Any]) -> tuple[Any, Usage]:
    """The result of one item and what it cost; runs in worker processes."""
    began, cpu = time.perf_counter(), _cpu()
    result = function(item)
    part = item.target.stem if isinstance(item, PartJob) else None
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    memory = 1024 * (own.ru_maxrss + children.ru_maxrss)
    return result, Usage(part, os.getpid(), _cpu() - cpu, time.perf_counter() - began, memory)


def _cpu() -> float:
    """CPU seconds of this process, all its threads, and its ended children."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def below(pid: int) -> float:
    """CPU seconds of all live descendants of a process and of what those have waited for, to a hundredth."""
    children: dict[int, list[int]] = {}
    seconds: dict[int, float] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                stat = (folder / "stat").read_bytes()
            except OSError:
                continue
            fields = stat.rpartition(b")")[2].split()  # the name before may hold anything; field 3 is the state
            child = int(folder.name)
            children.setdefault(int(fields[1]), []).append(child)
            seconds[child] = sum(map(int, fields[11:15])) / TICKS
    found, total = list(children.get(pid, [])), 0.0
    while found:
        child = found.pop()
        total += seconds[child]
        found += children.get(child, [])
    return total


@dataclass
class Spent:
    """What happened between the beginning and the end of `spending`."""

    driver: float = 0.0
    """CPU seconds of this process and of the children that it waited for."""
    workers: float = 0.0
    """CPU seconds of its other descendants."""
    memory: int = 0
    """Bytes that this process held at most, beyond what it held before."""
    peak: int = 0
    """Bytes that it held at most."""
    scratch: int = 0
    """Bytes that lay in the watched folder at most."""


@contextmanager
def spending(folder: Path | None = None) -> Iterator[Spent]:
    """Measure this process and its descendants, and how full a folder gets, until the context is left."""
    spent = Spent()
    _forget_peak()
    held, own, others = _status("VmRSS"), _cpu(), below(os.getpid())
    with _watched(folder, spent):
        yield spent
    spent.driver = _cpu() - own
    spent.workers = max(below(os.getpid()) - others, 0.0)
    spent.peak = _status("VmHWM")
    spent.memory = max(spent.peak - held, 0)


def _forget_peak() -> None:
    """Let VmHWM begin anew; where that is not allowed it stays that of the whole process, which is no less."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass


def _status(name: str) -> int:
    """A line of this process's status, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    return 0


@contextmanager
def _watched(folder: Path | None, spent: Spent) -> Iterator[None]:
    """Look at a folder now and then from another thread; what lies there between two looks is not seen."""
    if folder is None:
        yield
        return
    ended = Event()

    def watch() -> None:
        while not ended.wait(LOOK_SECONDS):
            spent.scratch = max(spent.scratch, _size(folder))

    thread = Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _size(folder: Path) -> int:
    """Bytes of all files below a folder, whatever disappears meanwhile."""
    total, folders = 0, [folder]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue
    return total
