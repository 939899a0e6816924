"""A forward-only stream of which a bounded part can be read again."""

from typing import BinaryIO

CHUNK = 16 << 10
"""Bytes loaded at a time, at least."""

_FORGET_BYTES = 256 << 10


class Window:
    """The part of a stream that may still be read again; looks like a file to fastwarc.

    All offsets count bytes from the stream's beginning.

    Args:
        stream: needs `read` only.
        limit: bytes held beyond which `read` refuses to load more.

    Attributes:
        buffer: the bytes held.
        start: offset of the first of them.
        pointer: offset of the next `read`.
        position: everything before it has been accounted for.
        exhausted: whether the stream has ended.
        error: what the stream raised, since fastwarc turns it into an error of its own.
    """

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self._stream, self._limit = stream, limit
        self.buffer = bytearray()
        self.start = self.pointer = self.position = 0
        self.exhausted = False
        self.error: BaseException | None = None

    def tell(self) -> int:
        """Offset of the next `read`."""
        return self.pointer

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes from `pointer` on, empty at the end of the stream.

        Raises:
            OSError: more is held than the limit, or `size` is negative.
        """
        if size < 0 or len(self.buffer) > self._limit:
            raise OSError("one record needs more of the file than the record bound")
        if self.pointer == self.end:
            chunk = self._load(size)
        else:
            chunk = bytes(self.buffer[self.pointer - self.start : self.pointer - self.start + size])
        self.pointer += len(chunk)
        return chunk

    def _load(self, size: int) -> bytes:
        if self.exhausted:
            return b""
        try:
            chunk = self._stream.read(size)
        except BaseException as error:
            self.error = error
            raise
        self.exhausted = not chunk
        self.buffer += chunk
        return chunk

    def take(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end of the stream."""
        end = offset - self.start + size
        while len(self.buffer) < end and self._load(max(CHUNK, end - len(self.buffer))):
            pass
        return bytes(self.buffer[offset - self.start : end])

    def forget(self, offset: int) -> None:
        """Give up the bytes before `offset` (in steps, so that the cost stays linear)."""
        if offset - self.start > _FORGET_BYTES:
            del self.buffer[: offset - self.start]
            self.start = offset

    def advance(self, offset: int) -> None:
        """Set `position`, and forget what lies before it."""
        self.position = offset
        self.forget(offset)

    @property
    def ended(self) -> bool:
        """Whether nothing comes after `position`."""
        return not self.take(self.position, 1)

    @property
    def end(self) -> int:
        """The offset after the last byte loaded: the size of the file once `exhausted`."""
        return self.start + len(self.buffer)
