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
        start: offset of the first byte that may still be read.
        position: everything before it has been accounted for.
        exhausted: whether the stream has ended.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._held = b""
        self._base = 0  # offset of the first byte held
        self.start = self.position = 0
        self.exhausted = False

    def take(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`, which is not before `start`; fewer only at the end of the stream."""
        first = offset - self._base
        if first + size > len(self._held) and not self.exhausted:
            self._load(offset + size)
            first = offset - self._base
        return self._held[first : first + size]

    def _load(self, end: int) -> None:
        """Hold the stream up to `end` at least, and as much again as is kept, so that the cost stays linear."""
        kept = self._held[self.start - self._base :]
        self._base = self.start
        pieces, end = [kept], max(end, self._base + max(2 * len(kept), _LOAD))
        held = len(kept)
        while self._base + held < end and not self.exhausted:
            pieces.append(self._stream.read(end - self._base - held))
            held += len(pieces[-1])
            self.exhausted = not pieces[-1]
        self._held = b"".join(pieces)

    def forget(self, offset: int) -> None:
        """Give up the bytes before `offset`."""
        self.start = max(offset, self.start)

    def advance(self, offset: int) -> None:
        """Set `position`, and forget what lies before it."""
        self.position = self.start = offset

    @property
    def ended(self) -> bool:
        """Whether nothing comes after `position`."""
        return not self.take(self.position, 1)

    @property
    def end(self) -> int:
        """The offset after the last byte loaded: the size of the file once `exhausted`."""
        return self._base + len(self._held)
