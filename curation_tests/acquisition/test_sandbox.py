"""The sandbox's bounds hold in native code, cost one record each, and leave nothing behind."""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation_assets.acquisition.sandbox import Failure, Limits, Sandbox, SandboxError, call
from curation_assets.acquisition.sandbox_child import Ring
from curation_tests.acquisition.hostile_functions import make, make_broken, run

LIMITS = Limits(cpu_seconds=30, memory_bytes=200 << 20, wall_seconds=30)


def results(commands: list[str], limits: Limits = LIMITS, body: bytes = b"body") -> list[object]:
    with Sandbox(make, limits) as box:
        found = list(box.map((i, (command.encode(), body)) for i, command in enumerate(commands)))
    assert [item for item, _ in found] == list(range(len(commands)))
    return [result for _, result in found]


OK = (b"ok", b"body")


@pytest.mark.parametrize(
    ("command", "verdict", "detail"),
    [
        ("regex", "extraction_timeout", "0.3 s of CPU time"),
        ("sum", "extraction_timeout", "0.3 s of CPU time"),
        ("bytecode", "extraction_timeout", "0.3 s of CPU time"),
        ("grow", "extraction_memory", "209715200 bytes of memory"),
        ("huge", "extraction_memory", "209715200 bytes of memory"),
        ("rust", "extraction_memory", "209715200 bytes of memory"),
        ("killed", "extraction_memory", "SIGKILL"),
        ("segfault", "extraction_crashed", "SIGSEGV"),
        ("abort", "extraction_crashed", "SIGABRT"),
        ("exit", "extraction_crashed", "exit status 7"),
        ("raise", "extraction_failed", "ValueError: no good"),
        ("sysexit", "extraction_failed", "SystemExit: 3"),
        ("recurse", "extraction_failed", "RecursionError: maximum recursion depth exceeded"),
    ],
)
def test_a_hostile_record_costs_itself_only(command: str, verdict: str, detail: str) -> None:
    limits = LIMITS._replace(cpu_seconds=0.3) if verdict == "extraction_timeout" else LIMITS
    assert results(["ok", command, "ok"], limits) == [OK, Failure(verdict, detail), OK]


def test_wall_clock() -> None:
    found = results(["ok", "sleep", "ok"], LIMITS._replace(wall_seconds=0.5))
    assert found == [OK, Failure("extraction_timeout", "0.5 s of wall-clock time"), OK]


def test_noise_is_silent_and_bounded(capfd: pytest.CaptureFixture[str]) -> None:
    assert results(["noise", "ok"]) == [(b"noise", b"body"), OK]
    assert capfd.readouterr() == ("", "")


def test_memory_that_others_leaked_is_not_held_against_a_record() -> None:
    # Each keeps 160 MB: two of them pass the limit only together.
    assert results(["leak", "leak", "leak"]) == [(b"leak", b"body")] * 3


@pytest.mark.parametrize("size", [0, 1, 70_000, 3 << 20, 9 << 20])
def test_bodies_of_all_sizes_come_back(size: int) -> None:
    body = bytes(range(256)) * (size // 256) + bytes(size % 256)
    assert results(["ok"] * 9, body=body) == [(b"ok", body)] * 9


def test_many_sizes_through_the_shared_memory() -> None:
    bodies = [bytes([i % 251]) * ((i * 7919) % 900_000) for i in range(120)]
    with Sandbox(make, LIMITS) as box:
        found = list(box.map((i, (b"ok", body)) for i, body in enumerate(bodies)))
    assert [answer[1] for _, answer in found] == bodies  # type: ignore[index]


def test_results_much_larger_than_requests() -> None:
    found = results(["inflate"] * 40, body=bytes(40_000))
    assert found == [(b"inflate", bytes(2_000_000))] * 40


def test_items_without_payload_keep_their_place() -> None:
    items = [(i, (b"ok", b"body") if i % 5 == 0 else None) for i in range(2000)]
    with Sandbox(make, LIMITS) as box:
        found = list(box.map(items))
    assert found == [(i, OK if i % 5 == 0 else None) for i in range(2000)]


def test_no_child_for_no_payload() -> None:
    with Sandbox(make_broken, LIMITS) as box:
        assert list(box.map([(1, None), (2, None)])) == [(1, None), (2, None)]


def test_items_are_taken_a_bounded_way_ahead() -> None:
    taken = 0

    def items() -> Iterator[tuple[int, tuple[bytes, bytes]]]:
        nonlocal taken
        for taken in range(1, 1000):
            yield taken, (b"ok", b"")

    with Sandbox(make, LIMITS) as box:
        for item, _ in box.map(items()):
            assert taken - item <= Sandbox.max_in_flight + 1


def test_leaving_early_leaves_no_stale_answers() -> None:
    with Sandbox(make, LIMITS) as box:
        for _ in box.map((i, (b"ok", b"first")) for i in range(100)):
            break
        assert list(box.map([(1, (b"ok", b"second"))])) == [(1, (b"ok", b"second"))]


def test_errors_of_the_source_come_through() -> None:
    def items() -> Iterator[tuple[int, tuple[bytes, bytes]]]:
        yield 1, (b"ok", b"")
        raise OSError("the archive is gone")

    with Sandbox(make, LIMITS) as box, pytest.raises(OSError, match="the archive is gone"):
        list(box.map(items()))


def test_a_factory_that_raises_is_an_error() -> None:
    with Sandbox(make_broken, LIMITS) as box, pytest.raises(SandboxError, match="no such model"):
        list(box.map([(1, (b"ok", b""))]))


def test_no_descriptor_is_left_open() -> None:
    results(["ok", "segfault", "ok"])
    before = len(list(Path("/proc/self/fd").iterdir()))
    results(["ok", "segfault", "ok"])
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_without_a_child() -> None:
    assert call(run, b"ok", b"body") == OK
    assert call(run, b"raise", b"") == Failure("extraction_failed", "ValueError: no good")
    assert call(run, b"huge", b"").verdict == "extraction_memory"  # type: ignore[union-attr]


def in_a_worker(commands: list[str]) -> list[object]:
    return results(commands)


def test_inside_a_forkserver_worker() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("forkserver")) as pool:
        found = pool.submit(in_a_worker, ["ok", "segfault", "ok"]).result()
    assert found == [OK, Failure("extraction_crashed", "SIGSEGV"), OK]


ORPHANS = """
import os, sys
sys.path[:] = {path!r}
from curation_assets.acquisition.sandbox import Limits, Sandbox
from curation_tests.acquisition.hostile_functions import make
box = Sandbox(make, Limits(60, 1 << 28, 60)).__enter__()
answers = box.map(iter([(0, (b"pid", b""))] + [(i, (b"sleep", b"")) for i in range(40)]))
print(next(answers)[1][0].decode(), flush=True)
next(answers)
"""


def test_no_child_outlives_a_killed_parent() -> None:
    code = ORPHANS.format(path=sys.path)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert Path(f"/proc/{child}").exists()
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(child)


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_child_loads_no_more_than_extraction_needs() -> None:
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from curation_assets.acquisition import sandbox_child\n"
        "from curation_assets.acquisition.extraction import make_extractor\n"
        "make_extractor('trafilatura', True)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"resiliparse", "trafilatura"} <= set(loaded)
    assert not {"dagster", "duckdb", "numba", "numpy", "polars", "pyarrow", "pydantic", "tldextract"} & set(loaded)


@given(st.lists(st.one_of(st.integers(0, 64), st.none()), max_size=60))
def test_what_lies_in_a_ring_stays_until_it_is_freed(steps: list[int | None]) -> None:
    """Numbers put so many bytes in; None frees the oldest. Whatever the ring could hold is taken when it is empty."""
    size = 64
    descriptor = os.memfd_create("ring")
    os.ftruncate(descriptor, 8 + size)
    writer, reader = Ring(descriptor), Ring(descriptor)
    os.close(descriptor)
    inside: deque[tuple[int, bytes]] = deque()
    for number, count in enumerate(steps):
        if count is None:
            if inside:
                place, data = inside.popleft()
                reader.free(place + len(data))
            continue
        data = bytes([number]) * count
        place = writer.put(data)
        if place >= 0:
            inside.append((place, data))
        else:
            assert inside
        assert all(reader.view(place, len(data)) == data for place, data in inside)
        assert sum(len(data) for _, data in inside) <= size
