"""A bound on CPU time and memory for each record that really holds, in native code too.

The function runs in a child process. Before each record the child arms a CPU-time timer whose signal it does not
handle, so that the kernel ends it; its address space is limited; its parent watches the wall clock. A record that ends
the child becomes a `Failure`, and a new child goes on with the next one. Linux only.

The child is a fresh interpreter, not a fork: it is safe to start from a process with threads. It ends with its parent,
by the parent-death signal and by the end of its input.

Bodies go through shared memory, which the child can only read, and long answers through shared memory of its own;
everything else goes through pipes.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, NamedTuple, Self, TypeVar

from curation_assets.acquisition import sandbox_child
from curation_assets.acquisition.sandbox_child import (
    FRAME,
    NOISE_BYTES,
    RAISED,
    READY,
    RESULT,
    Buffer,
    Function,
    Ring,
    describe,
    drop_written,
)

T = TypeVar("T")
_READ_BYTES = 1 << 18
_SHARED_BYTES = 4 << 20
_START_SECONDS = 120.0
# By default glibc gives a page's memory back to the kernel when the page is done, and asks for it again, zeroed, for
# the next one: several percent of extraction.
_KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(64 << 20), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)}
_STARVED = ("memory allocation", "bad_alloc", "out of memory", "MemoryError")


class Limits(NamedTuple):
    """What one record may use: CPU seconds, bytes of address space beyond the idle child's, wall-clock seconds."""

    cpu_seconds: float
    memory_bytes: int
    wall_seconds: float


class Failure(NamedTuple):
    """Why a record has no result: `extraction_{timeout,memory,crashed,failed}`, and the limit or error."""

    verdict: str
    detail: str


class SandboxError(RuntimeError):
    """The child process does not start."""


def call(function: Function, head: bytes, body: Buffer) -> tuple[bytes, bytes] | Failure:
    """What `Sandbox.map` gives for one record, without the child: exceptions are failures, nothing is bounded."""
    try:
        return function(head, body)
    except MemoryError:
        return Failure("extraction_memory", "MemoryError")
    except Exception as error:
        return Failure("extraction_failed", describe(error))


class Sandbox:
    """Runs a function on records in a child process: several in flight, results in order.

    `factory` is called once in each child, outside the limits, and returns the function. It must be picklable by
    reference: a module-level function, or a `functools.partial` of one. A sandbox is used by one thread, as a context
    manager (the child receives the parent-death signal when the thread that started it ends).

    A record that exceeds its CPU or wall-clock time fails at once. One that runs out of memory or crashes is tried
    once more in a fresh child, so that its verdict does not depend on the records before it.
    """

    max_in_flight = 32

    def __init__(self, factory: Callable[[], Function], limits: Limits) -> None:
        self.factory, self.limits = factory, limits
        self.restarts = 0
        self._child: _Child | None = None
        self._shared: int
        self._bodies: Ring

    def __enter__(self) -> Self:
        self._shared = _shared_memory("sandbox-bodies")
        self._bodies = Ring(self._shared)
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._bodies.close()
        os.close(self._shared)

    def _end(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None

    def map(
        self, items: Iterable[tuple[T, tuple[bytes, Buffer] | None]]
    ) -> Iterator[tuple[T, tuple[bytes, bytes] | Failure | None]]:
        """Yield each item with the function's result for its payload, in order; without a payload, with None.

        Items are taken ahead of results, up to `max_in_flight` payloads or 4 MiB of them.

        Raises:
            SandboxError: a child does not start (the factory raises, for example).
        """
        entries: deque[_Entry[T]] = deque()  # taken, not yet yielded
        waiting: deque[_Entry[T]] = deque()  # those of them that are with the child
        try:
            for item, payload in items:
                entry = _Entry(item)
                entries.append(entry)
                if payload is not None:
                    entry.head, body = payload
                    while not self._place(entry, body, last=not waiting):
                        self._receive(waiting)
                    waiting.append(entry)
                    self._send(waiting)
                # Items without payload must not pile up behind a slow record.
                while waiting and (len(waiting) > self.max_in_flight or len(entries) > 16 * self.max_in_flight):
                    self._receive(waiting)
                while entries and entries[0].done:
                    entry = entries.popleft()
                    yield entry.item, entry.result
            while entries:
                while not entries[0].done:
                    self._receive(waiting)
                entry = entries.popleft()
                yield entry.item, entry.result
        finally:
            if waiting:
                # Left early: this child's answers are to questions nobody asks any more.
                self._end()
                self._bodies.clear()

    def _place(self, entry: _Entry[Any], body: Buffer, last: bool) -> bool:
        """Put a body where the child finds it; False if there is no room while others wait."""
        entry.done = False
        entry.size = len(body)
        entry.place = self._bodies.put(body)
        if entry.place < 0 and last:
            entry.body = body  # larger than the shared memory: it goes through the pipe
        return entry.place >= 0 or last

    def _send(self, waiting: deque[_Entry[Any]]) -> None:
        """Give the newest entry to the child; all of them to a new child."""
        if self._child is None:
            self._child = _Child(self.factory, self.limits, self._shared)
            news = list(waiting)
        else:
            news = [waiting[-1]]
        for entry in news:
            self._child.queue(entry.head, entry.size, entry.place, entry.body)
        self._child.write()

    def _receive(self, waiting: deque[_Entry[Any]]) -> None:
        """Wait for word of the first entry, which then is done or tried again."""
        if self._child is None:
            self._send(waiting)
        child = self._child
        assert child is not None
        frame = child.read(self.limits.wall_seconds)
        entry = waiting[0]
        if frame is not None and frame[0] == RESULT:
            entry.result = frame[1:]
        elif frame is not None and frame[0] == RAISED:
            entry.result = Failure("extraction_failed", frame[1].decode("utf-8", "replace"))
        else:
            code = child.end(wait=0 if child.late or frame is not None else 5)
            self._child = None
            self.restarts += 1
            entry.attempts += 1
            failure = self._verdict(code, child.late, child.noise if frame is None else "MemoryError")
            if failure.verdict != "extraction_timeout" and entry.attempts < 2:
                return
            entry.result = failure
        waiting.popleft()
        entry.done, entry.body = True, b""
        if entry.place >= 0:
            self._bodies.free(entry.place + entry.size)

    def _verdict(self, code: int, late: bool, noise: str) -> Failure:
        if late:
            return Failure("extraction_timeout", f"{self.limits.wall_seconds:g} s of wall-clock time")
        if code == -signal.SIGPROF:
            return Failure("extraction_timeout", f"{self.limits.cpu_seconds:g} s of CPU time")
        if any(word in noise for word in _STARVED):
            return Failure("extraction_memory", f"{self.limits.memory_bytes} bytes of memory")
        name = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        # The kernel's out-of-memory killer; the address-space limit is reached in other ways.
        verdict = "extraction_memory" if code == -signal.SIGKILL else "extraction_crashed"
        return Failure(verdict, name)


class _Entry(Generic[T]):
    """An item on its way through `Sandbox.map`."""

    __slots__ = ("attempts", "body", "done", "head", "item", "place", "result", "size")

    def __init__(self, item: T) -> None:
        self.item = item
        self.head = b""
        self.body: Buffer = b""  # unless it is in shared memory
        self.place = -1
        self.size = 0
        self.result: Any = None
        self.done = True  # without a payload
        self.attempts = 0


def _shared_memory(name: str) -> int:
    """A descriptor of new memory that processes can share."""
    descriptor = os.memfd_create(name)
    os.ftruncate(descriptor, _SHARED_BYTES)
    return descriptor


class _Child:
    """The parent's end of a child process: frames out and in, without ever blocking on writing."""

    def __init__(self, factory: Callable[[], Function], limits: Limits, shared: int) -> None:
        self.late = False
        self.noise = ""
        self._outgoing: deque[memoryview] = deque()
        self._incoming = bytearray()
        child_reads, self._requests = os.pipe()
        self._results, child_writes = os.pipe()
        self._stderr = os.memfd_create("sandbox-stderr")
        answers = _shared_memory("sandbox-answers")
        self._answers = Ring(answers)
        os.set_blocking(self._requests, False)
        os.set_blocking(self._results, False)
        code = (
            f"import sys; sys.path[:] = {sys.path!r}\n"
            f"from {sandbox_child.__name__} import serve; "
            f"serve({child_reads}, {child_writes}, {shared}, {answers}, {os.getpid()})"
        )
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                env=os.environ | _KEEP_MEMORY,
                pass_fds=(child_reads, child_writes, shared, answers),
            )
        except BaseException:
            for descriptor in (self._requests, self._results, self._stderr):
                os.close(descriptor)
            self._answers.close()
            raise
        finally:
            os.close(child_reads)
            os.close(child_writes)
            os.close(answers)
        self.queue(pickle.dumps((factory, limits.cpu_seconds, limits.memory_bytes)), 0, -1, b"")
        try:
            frame = self.read(_START_SECONDS)
        except BaseException:
            self.end()
            raise
        if frame is None or frame[0] != READY:
            status = self.end(wait=5)
            raise SandboxError(f"the sandbox does not start (status {status}): {self.noise.strip()[-2000:]}")

    def queue(self, head: bytes, size: int, place: int, body: Buffer) -> None:
        """Have a request written when the pipe takes it: its body is in shared memory, or is `body`."""
        self._outgoing.append(memoryview(FRAME.pack(RESULT, len(head), size, place) + head))
        if len(body):
            self._outgoing.append(memoryview(body))

    def write(self) -> None:
        """Write as much as the pipe takes."""
        outgoing = self._outgoing
        try:
            while outgoing:
                written = os.writev(self._requests, [outgoing[at] for at in range(min(len(outgoing), 64))])
                drop_written(outgoing, written)
        except BlockingIOError:
            pass
        except BrokenPipeError:
            outgoing.clear()  # the child is dead; reading will tell

    def read(self, wall_seconds: float) -> tuple[int, bytes, bytes] | None:
        """The next frame; None if the child died, or (`late`) said nothing for so long."""
        deadline = None
        while True:
            frame = self._next_frame()
            if frame is not None:
                return frame
            try:
                chunk = os.read(self._results, _READ_BYTES)
            except BlockingIOError:
                pass
            else:
                if not chunk:
                    return None
                self._incoming += chunk
                continue
            self.write()
            now = time.monotonic()
            deadline = deadline or now + wall_seconds
            if now >= deadline:
                self.late = True
                return None
            poll = select.poll()
            poll.register(self._results, select.POLLIN)
            if self._outgoing:
                poll.register(self._requests, select.POLLOUT)
            poll.poll(1000 * (deadline - now))

    def _next_frame(self) -> tuple[int, bytes, bytes] | None:
        incoming = self._incoming
        if len(incoming) < FRAME.size:
            return None
        kind, head, body, place = FRAME.unpack_from(incoming)
        middle = FRAME.size + head
        end = middle + (body if place < 0 else 0)
        if len(incoming) < end:
            return None
        if place < 0:
            answer = bytes(incoming[middle:end])
        else:
            answer = bytes(self._answers.view(place, body))
            self._answers.free(place + body)
        frame = kind, bytes(incoming[FRAME.size : middle]), answer
        del incoming[:end]
        return frame

    def end(self, wait: float = 0) -> int:
        """End the process (after `wait` seconds for it to end by itself); its status, its last words in `noise`."""
        try:
            status = self._process.wait(wait) if wait else self._process.poll()
        except subprocess.TimeoutExpired:
            status = None
        if status is None:
            self._process.kill()
            status = self._process.wait()
        self.noise = os.pread(self._stderr, NOISE_BYTES, 0).decode("utf-8", "replace")
        self._answers.close()
        for descriptor in (self._requests, self._results, self._stderr):
            os.close(descriptor)
        return status
