"""Reading a remote file as a stream that survives broken connections, and how patient and how polite to be.

Common Crawl asks for few requests at a time and for slowing down on any 4xx or 5xx; its front answers 403 and
503 when it wants less (https://status.commoncrawl.org).
"""

import importlib.metadata
import io
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Protocol, TypeVar

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import InvalidHeader, MaxRetryError, ProtocolError
from urllib3.util import Retry

from curation_assets.acquisition.archive_layout import BrokenTransferError, MissingFileError, too_short

CHUNK = 256 << 10
"""Bytes read at a time."""

RENEWAL = 8 << 20
"""Bytes that must arrive before earlier breaks of the same transfer are forgiven."""

SLOW_DOWN = frozenset({403, 408, 425, 429, 500, 502, 503, 504})
"""Answers that mean "later": Common Crawl uses 403 and 503 for its rate limits."""

_CONTENT_RANGE = re.compile(r"bytes (?:([0-9]{1,18})-[0-9]{1,18}|\*)/([0-9]{1,18}|\*)")

try:
    VERSION = importlib.metadata.version("curation-assets")
except importlib.metadata.PackageNotFoundError:  # run from a source tree that was never installed
    VERSION = "0"
USER_AGENT = f"curation-assets/{VERSION}"

_T = TypeVar("_T")


class _Waits(Retry):
    """urllib3's policy, but the first repeat waits too and an unreadable ``Retry-After`` counts as none."""

    def get_backoff_time(self) -> float:
        if not self.history or self.history[-1].redirect_location is not None:
            return 0.0
        first = self.backoff_factor + random.uniform(0, self.backoff_jitter)
        return super().get_backoff_time() or min(first, self.backoff_max)

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        try:
            return super().get_retry_after(response)
        except (InvalidHeader, ValueError, OverflowError):
            return None


@dataclass(frozen=True)
class Manners:
    """How an archive over the network is spoken to. Times are in seconds.

    Attributes:
        connections: at most so many at once, per process and host. A stream holds one until it is read or
            closed, so a job of ``p`` processes holds at most ``p * connections``. Common Crawl serves a few
            thousand requests a second to the whole world: keep the product in the tens.
        retries: repeats after a request that failed, or after breaks of one transfer within `RENEWAL` bytes.
        backoff: wait before the first repeat; it doubles with each, plus up to ``backoff`` at random.
        longest_wait: cap on each wait, ``Retry-After`` included.
        timeout: silence after which a connection counts as broken.
    """

    connections: int = 4
    retries: int = 8
    backoff: float = 1.0
    longest_wait: float = 120.0
    timeout: float = 60.0

    def policy(self) -> Retry:
        """The same as urllib3's `Retry`. Hosts that cannot be connected to are given up sooner."""
        return _Waits(
            total=self.retries,
            connect=min(self.retries, 3),
            redirect=5,
            allowed_methods=None,
            status_forcelist=SLOW_DOWN,
            backoff_factor=self.backoff,
            backoff_jitter=self.backoff,
            backoff_max=self.longest_wait,
            retry_after_max=int(self.longest_wait),
            raise_on_status=False,
        )


class Body(Protocol):
    """What is left of a file, on its way."""

    def read(self, amt: int, /) -> bytes:
        """At most ``amt`` bytes; empty at the end."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


@dataclass(frozen=True)
class Answer:
    """A file from some offset on: its body, the size of the *whole* file in bytes, and a mark of its version.

    ``size`` is None where the server does not say; then the body must know its own end. ``retries`` is how many
    requests failed before the one that was answered so.
    """

    body: Body
    size: int | None
    version: str | None
    retries: int = 0


Connect = Callable[[int, int | None, Retry], Answer]
"""Asks for bytes ``start`` to before ``stop`` (None: the end) with what is left of the patience."""


class ResumingReader(io.RawIOBase):
    """A remote file as a raw stream; a broken connection is replaced by one that starts where it broke.

    A file that was there and is missed when it is asked for again counts as broken: a cache may lag.

    Args:
        connect: opens the file at an offset; raises `ArchiveError` for what no repeat will mend.
        breaks: the exceptions that a body raises when its connection breaks.
        where: the file's name for messages.
        manners: how often and how long to wait.
        start: offset of the first byte, in bytes.
        stop: offset after the last byte; None reads to the end.

    Raises:
        BrokenTransferError: when reading, if the connection keeps breaking, if the file ends before it
            should, or if it became another file between two connections.
    """

    def __init__(
        self,
        connect: Connect,
        breaks: tuple[type[Exception], ...],
        where: str,
        manners: Manners,
        start: int = 0,
        stop: int | None = None,
    ) -> None:
        super().__init__()
        self._connect = connect
        self._breaks = breaks
        self.where = where
        self.retries = 0
        self._manners = manners
        self._patience = manners.policy()
        self._position = self._mark = start
        self._wanted = stop
        self._stop = stop
        self._size: int | None = None
        self._version: str | None = None
        self._body: Body | None = None
        self._repeat(self._ask)

    def readable(self) -> bool:
        """True until closed."""
        return not self.closed

    def tell(self) -> int:
        """Offset of the next byte in the file."""
        return self._position

    def readinto(self, buffer, /) -> int:
        """Fill at most `CHUNK` bytes of ``buffer``; 0 at the end of the file."""
        if self.closed:
            raise ValueError("I/O operation on closed file")
        room = memoryview(buffer).cast("B")
        want = min(len(room), CHUNK)
        if self._stop is not None:
            want = min(want, self._stop - self._position)
        if want <= 0:
            return 0
        data = self._repeat(lambda: self._some(want))
        room[: len(data)] = data
        self._position += len(data)
        if self._position == self._stop:
            self._drop()
        return len(data)

    def close(self) -> None:
        """Let go of the connection."""
        if not self.closed:
            self._drop()
        super().close()

    def _some(self, want: int) -> bytes:
        if self._body is None:
            self._ask()
        assert self._body is not None
        data = self._body.read(want)
        if not data and self._stop is not None:
            raise ProtocolError(f"the body ended at byte {self._position} of {self._stop}")
        return data

    def _ask(self) -> None:
        answer = self._connect(self._position, self._wanted, self._patience)
        self._body = answer.body
        self.retries += answer.retries
        if self._size is not None and answer.size is not None and answer.size != self._size:
            self._changed(f"{self._size} bytes, then {answer.size}")
        if self._version is not None and answer.version is not None and answer.version != self._version:
            self._changed(f"version {self._version}, then {answer.version}")
        self._size = answer.size if answer.size is not None else self._size
        self._version = answer.version or self._version
        if self._wanted is None:
            self._stop = self._size
        elif self._size is not None and self._size < self._wanted:
            self._drop()
            raise too_short(self.where, self._size, self._wanted)

    def _changed(self, how: str) -> None:
        self._drop()
        raise BrokenTransferError(f"{self.where} changed while it was read ({how}): read it again from its start")

    def _repeat(self, action: Callable[[], _T]) -> _T:
        while True:
            try:
                return action()
            except (*self._breaks, ProtocolError, MissingFileError) as error:
                if isinstance(error, MissingFileError) and self._version is None and self._size is None:
                    raise
                self._drop()
                self.retries += 1
                if self._position - self._mark >= RENEWAL:
                    self._patience = self._manners.policy()
                self._mark = self._position
                try:
                    broken = ProtocolError(type(error).__name__)
                    self._patience = self._patience.increment("GET", self.where, error=broken)
                except MaxRetryError:
                    of = "" if self._stop is None else f" of {self._stop}"
                    raise BrokenTransferError(
                        f"{self.where} broke off at byte {self._position}{of}, the last of "
                        f"{self._manners.retries + 1} attempts ({type(error).__name__})"
                    ) from error
                self._patience.sleep()

    def _drop(self) -> None:
        if self._body is not None:
            body, self._body = self._body, None
            body.close()


def range_header(start: int, stop: int | None) -> dict[str, str]:
    """The ``Range`` field that asks for bytes ``start`` to before ``stop`` (None: the end); none for all bytes."""
    if not start and stop is None:
        return {}
    return {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"}


def match_range(content_range: str, start: int) -> re.Match[str] | None:
    """A ``Content-Range`` that begins at byte ``start``, or None; group 2 is the size of the whole file, or ``*``."""
    found = _CONTENT_RANGE.fullmatch(content_range)
    return found if found is not None and found[1] is not None and int(found[1]) == start else None


def exactly(raw: ResumingReader, length: int) -> bytes:
    """The ``length`` bytes that ``raw`` was opened for; closes it.

    Raises:
        BrokenTransferError: there are fewer.
    """
    with raw:
        data = b"".join(iter(lambda: raw.read(CHUNK) or b"", b""))
    if len(data) != length:
        raise BrokenTransferError(f"{raw.where} gave {len(data)} of the {length} bytes that were asked for")
    return data


def stream(raw: ResumingReader) -> BinaryIO:
    """A buffered file object over ``raw``."""
    return io.BufferedReader(raw, CHUNK)
