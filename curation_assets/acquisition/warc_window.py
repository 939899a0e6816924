"""A forward-only stream of which a part can be read again."""

from typing import BinaryIO

CHUNK = 16 << 10
"""Bytes to look at at a time."""

_LOAD = 1 << 18


class Window:
    """The part of a stream that may still be read again. All offsets count bytes from the stream's beginning.

    Args:
        stream: needs `read` only; what it raises is passed on.

    Attributes:
        start: offset of the first byte held.
        position: everything before it has been accounted for.
        exhausted: whether the stream has ended.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._held = b""
        self._wanted = 0
        self.start = self.position = 0
        self.exhausted = False

    def take(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end of the stream."""
        first = offset - self.start
        if first + size > len(self._held) and not self.exhausted:
            self._load(offset + size)
            first = offset - self.start
        return self._held[first : first + size]

    def _load(self, end: int) -> None:
        """Hold the stream up to `end` at least, and as much again as is kept, so that the cost stays linear."""
        kept = self._held[self._wanted - self.start :]
        self.start = self._wanted
        pieces, end = [kept], max(end, self.start + max(2 * len(kept), _LOAD))
        held = len(kept)
        while self.start + held < end and not self.exhausted:
            pieces.append(self._stream.read(end - self.start - held))
            held += len(pieces[-1])
            self.exhausted = not pieces[-1]
        self._held = b"".join(pieces)

    def forget(self, offset: int) -> None:
        """Give up the bytes before `offset`."""
        self._wanted = max(offset, self._wanted)

    def advance(self, offset: int) -> None:
        """Set `position`, and forget what lies before it."""
        self.position = self._wanted = offset

    @property
    def ended(self) -> bool:
        """Whether nothing comes after `position`."""
        return not self.take(self.position, 1)

    @property
    def end(self) -> int:
        """The offset after the last byte loaded: the size of the file once `exhausted`."""
        return self.start + len(self._held)
