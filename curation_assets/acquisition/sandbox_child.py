"""The child's side of the sandbox: answers requests under the limits that the kernel enforces.

A child imports this module and what its function needs, and nothing of the parent's side.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import mmap
import os
import pickle
import resource
import signal
import struct
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

Buffer = bytes | memoryview
Function = Callable[[bytes, Buffer], tuple[bytes, bytes]]
"""What runs on one record: head and body in, head and body out."""

FRAME = struct.Struct("<BIIq")
"""What precedes each message: kind, bytes of head, bytes of body, where in shared memory the body is (or -1)."""

READY, RESULT, RAISED, MEMORY = range(4)
"""Kinds of message: the child has started, a result, an exception's text, out of memory. Requests are results."""

NOISE_BYTES = 1 << 16
"""What is kept of a child's standard error."""

_PR_SET_PDEATHSIG = 1
_PLACE = struct.Struct("<q")
_LAST_PLACE = (1 << 63) - 1
_SHORT = 1 << 12  # bytes that go as well through the pipe


class Ring:
    """Shared memory in which one side leaves bytes for the other, one after the other, round and round.

    A place is a count of bytes since the beginning. The first eight bytes are the place up to which all is free again:
    the parent writes them, whichever side writes all else.
    """

    def __init__(self, descriptor: int, access: int = mmap.ACCESS_WRITE) -> None:
        self._memory = mmap.mmap(descriptor, 0, access=access)
        self._size = len(self._memory) - _PLACE.size
        self._next = 0

    def put(self, data: Buffer) -> int:
        """Copy bytes in; their place, or -1 if there is no room for them now."""
        size, count, place = self._size, len(data), self._next
        (free,) = _PLACE.unpack_from(self._memory)
        empty = free >= place
        if place % size + count > size:
            place += size - place % size  # not enough room before the end: go round
        if place + count > (place if empty else free) + size:
            return -1
        start = _PLACE.size + place % size
        self._memory[start : start + count] = data
        self._next = place + count
        return place

    def view(self, place: int, count: int) -> memoryview:
        """The bytes at a place."""
        start = _PLACE.size + place % self._size
        return memoryview(self._memory)[start : start + count]

    def free(self, place: int) -> None:
        """Everything before a place may be written over."""
        _PLACE.pack_into(self._memory, 0, place & _LAST_PLACE)

    def clear(self) -> None:
        """Free everything."""
        self.free(self._next)

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()


def serve(requests: int, results: int, bodies: int, answers: int, parent: int) -> None:
    """The child's side: answer the requests on one pipe on the other until the parent closes it. Never returns."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # the parent ended before the signal was asked for
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    with contextlib.suppress(OSError):
        # If the machine runs out of memory, the kernel should end this process and not its parent.
        Path("/proc/self/oom_score_adj").write_text("1000")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (NOISE_BYTES, NOISE_BYTES))  # of all files, only stderr is written
    questions, room = Ring(bodies, mmap.ACCESS_READ), Ring(answers)
    with open(requests, "rb", buffering=1 << 16) as source:
        head, _ = _read_frame(source, questions)
        factory, cpu_seconds, memory_bytes = pickle.loads(head)
        function = factory()
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        gc.freeze()  # what is loaded stays; the collector need not look at it again
        _write_frame(results, room, READY, b"", b"")
        while True:
            head, body = _read_frame(source, questions)
            os.ftruncate(2, 0)
            os.lseek(2, 0, os.SEEK_SET)
            signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
            try:
                kind, (head, body) = RESULT, function(head, body)
            except MemoryError:
                kind, head, body = MEMORY, b"", b""
            except BaseException as error:  # a panic in Rust is no Exception
                kind, head, body = RAISED, describe(error).encode("utf-8", "replace"), b""
            signal.setitimer(signal.ITIMER_PROF, 0)
            _write_frame(results, room, kind, head, body)


def drop_written(pieces: deque[memoryview], written: int) -> None:
    """Take the first `written` bytes off what is still to be written."""
    while pieces and written >= len(pieces[0]):
        written -= len(pieces.popleft())
    if written:
        pieces[0] = pieces[0][written:]


def describe(error: BaseException) -> str:
    """An exception's type and text, cut to 300 characters."""
    return f"{type(error).__name__}: {error}"[:300]


def _read_frame(source: BinaryIO, bodies: Ring) -> tuple[bytes, Buffer]:
    start = source.read(FRAME.size)
    if len(start) < FRAME.size:
        os._exit(0)
    _, head_bytes, body_bytes, place = FRAME.unpack(start)
    head = source.read(head_bytes)
    body = bodies.view(place, body_bytes) if place >= 0 else source.read(body_bytes)
    if len(head) < head_bytes or len(body) < body_bytes:
        os._exit(0)
    return head, body


def _write_frame(results: int, room: Ring, kind: int, head: bytes, body: bytes) -> None:
    place = room.put(body) if len(body) >= _SHORT else -1
    pieces = deque([memoryview(FRAME.pack(kind, len(head), len(body), place) + head)])
    if place < 0:
        pieces.append(memoryview(body))
    try:
        while pieces:
            drop_written(pieces, os.writev(results, list(pieces)))
    except BrokenPipeError:
        os._exit(0)
