"""What work costs: CPU seconds and memory of worker processes by item, and of the process that drives them.

CPU time is measured and not time on the clock, which other programs and a slow source lengthen.
"""

import os
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
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
LOOK_SECONDS = 0.5
"""How often sandboxes and temporary files are looked at."""


class Usage(NamedTuple):
    """What one item cost in the worker that it ran in."""

    part: str | None
    """Name of the part, without suffix; None for other work."""
    process: int
    cpu: float
    """Seconds, those of ended child processes (the extraction sandbox) included."""
    wall: float
    memory: int
    """Bytes that the process has held at most so far, without its children."""


@dataclass
class MeteredEngine:
    """An engine that notes what each item costs where it runs."""

    engine: Engine
    usages: list[Usage] = field(default_factory=list)

    @property
    def workers(self) -> int:
        """Of the engine beneath."""
        return self.engine.workers

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
    memory = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return result, Usage(part, os.getpid(), _cpu() - cpu, time.perf_counter() - began, memory)


def _cpu() -> float:
    """CPU seconds of this process, all its threads, and its ended children."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


class Process(NamedTuple):
    """A live descendant of a process."""

    pid: int
    depth: int
    """1 for a child."""
    cpu: float
    """CPU seconds, those of children that it waited for included, to a hundredth."""


def descendants(pid: int) -> list[Process]:
    """All live ones, as `/proc` shows them now."""
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
    found: list[Process] = []
    reached = [(child, 1) for child in children.get(pid, [])]
    while reached:
        child, depth = reached.pop()
        found.append(Process(child, depth, seconds[child]))
        reached += [(below, depth + 1) for below in children.get(child, [])]
    return found


def status(pid: int | str, name: str) -> int:
    """A line of a process's status in bytes, such as VmRSS or VmHWM; 0 where it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return 1024 * int(line.split()[1])
    return 0


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
    sandbox: int = 0
    """Bytes that the largest child of a worker held at most."""
    scratch: int = 0
    """Bytes that lay in the watched folder at most."""


WORKER_DEPTH = 2
"""Workers are children of the fork server."""


@contextmanager
def spending(folder: Path | None = None) -> Iterator[Spent]:
    """Measure this process and its descendants, and how full a folder gets, until the context is left."""
    spent = Spent()
    with suppress(OSError):  # where VmHWM cannot be begun anew it stays that of the whole process, which is no less
        Path("/proc/self/clear_refs").write_text("5")
    held, own, others = status("self", "VmRSS"), _cpu(), _below()
    with _watched(folder, spent) as watching:
        yield spent
    spent.driver = _cpu() - own - watching.seconds
    spent.workers = max(_below() - others, 0.0)
    spent.peak = status("self", "VmHWM")
    spent.memory = max(spent.peak - held, 0)


def _below() -> float:
    return sum(process.cpu for process in descendants(os.getpid()))


@dataclass
class _Watching:
    """CPU seconds that it took to watch."""

    seconds: float = 0.0


@contextmanager
def _watched(folder: Path | None, spent: Spent) -> Iterator[_Watching]:
    """Look at sandboxes and a folder now and then, from another thread; what is there between two looks is not seen."""
    ended, watching = Event(), _Watching()

    def watch() -> None:
        while not ended.wait(LOOK_SECONDS):
            for process in descendants(os.getpid()):
                if process.depth > WORKER_DEPTH:
                    spent.sandbox = max(spent.sandbox, status(process.pid, "VmHWM"))
            if folder is not None:
                spent.scratch = max(spent.scratch, _size(folder))
            watching.seconds = time.thread_time()

    thread = Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield watching
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
