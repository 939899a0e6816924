"""The Ray engine: tasks on the cores of a cluster, one for each item.

Only jobs and what they say of what they made pass through Ray; data passes through the lake, a folder that every node
sees. A task whose worker or node died is run again somewhere else. Two runs of one task at once (the first on a node
that lost its network) do no harm: parts are written under names of their own and renamed, and their bytes are the same.
"""

import logging
import os
import pickle
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from threading import current_thread, main_thread
from types import TracebackType
from typing import Any, Self

from curation_assets.engine.local import THREAD_LIMITS, EngineError, Item, Result, WorkerDied

AUTO = "auto"
ADDRESS = re.compile(r"(ray://)?(\[[^\]\s]+\]|[^\s/:]+):(\d{1,5})")
ANSWER_SECONDS = 60.0
"""How long a cluster may take to let a driver in."""
CONNECT_SECONDS = 5.0
ATTEMPTS = 4
"""How often a task is run whose worker died each time."""
TASK_MEMORY = 1 << 30
"""Bytes that a node must have for each task that it runs at a time."""
LOOK_SECONDS = 30.0
"""How often somebody looks why nothing is finished."""
COUNT_SECONDS = 5.0
"""How often the cluster's cores are counted: nodes come and go."""
CANCEL_SECONDS = 10.0
PACKAGE = "curation-assets"
PROBE = ".cluster-"
"""Begins the name of the file in the lake's folder by which nodes know that they see the same one."""

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
}
"""Environment in which Ray reports nothing to its makers, and does not look for `uv`."""

WATCHFUL = {
    "RAY_grpc_client_keepalive_time_ms": "30000",
    "RAY_grpc_client_keepalive_timeout_ms": "30000",
}
"""Environment in which a driver gives up a node that fell silent within a minute; by itself it waits for seven."""

KNOCK = "import sys, ray; ray.init(address=sys.argv[1], log_to_driver=False, logging_level='ERROR')"

log = logging.getLogger(__name__)


class ClusterError(EngineError):
    """The cluster cannot be used; the message names it, and says what to do."""


def checked_address(address: str) -> str:
    """The address of a cluster as it was given; raises `ValueError` for what is none."""
    found = ADDRESS.fullmatch(address)
    if address != AUTO and (found is None or not 0 < int(found[3]) < 1 << 16):
        raise ValueError("write ray://host:10001, host:6379, or auto on a machine that is one of the cluster's nodes")
    return address


@dataclass(frozen=True)
class Terms:
    """What a node must have so that what it makes is what this machine would make."""

    versions: tuple[tuple[str, str], ...]
    """Distributions that decide the bytes of parts."""
    places: tuple[Path, ...]
    """Files and folders that it must see."""


class RayEngine:
    """Tasks of one core each on a Ray cluster, connected to at the first `map` and left with `close`.

    Args:
        address: `ray://host:10001`, `host:6379` where this machine is one of the nodes, or `auto` there.
        lake: the folder that parts are written to; every node must see it under this path.
        places: files and folders that every node must see besides.
        workers: most tasks at a time; as many as the cluster has cores when None, now and later.
    """

    def __init__(self, address: str, lake: Path, places: Sequence[Path] = (), workers: int | None = None) -> None:
        if workers is not None and workers < 1:
            raise ValueError(f"workers must be at least 1, not {workers}")
        self.address = checked_address(address)
        self._lake = lake
        self._places = tuple(places)
        self._limit = workers
        self._cores = 0
        self._counted = 0.0
        self._ray: Any = None
        self._own = False
        self._probe: Path | None = None
        self._terms: Any = None
        self._task: Any = None

    @property
    def workers(self) -> int:
        """Tasks that run at a time, as far as it is known: the cluster's cores are once it is connected."""
        return self._limit or max(1, self._cores)

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """See `Engine.map`. Raises the first exception of a task, `WorkerDied` when one lost its worker again and
        again, and `ClusterError` when the cluster cannot be used.

        At most two tasks a core are handed out ahead. Where one fails, or nobody wants the rest, they are cancelled.
        """
        remaining = iter(items)
        item = next(remaining, _NO_MORE)
        if item is _NO_MORE:
            return
        ray = self._connected()
        pending: dict[Any, tuple[bytes, int]] = {}
        try:
            while True:
                while item is not _NO_MORE and len(pending) < self._most():
                    work = pickle.dumps((function, item))
                    pending[self._task.remote(self._terms, work)] = work, 1
                    item = next(remaining, _NO_MORE)
                if not pending:
                    return
                done, _ = ray.wait(list(pending), timeout=LOOK_SECONDS)
                if not done:
                    self._explain_waiting()
                for ref in done:
                    work, attempt = pending.pop(ref)
                    try:
                        told = ray.get(ref)
                    except ray.exceptions.RayTaskError as error:
                        raise ClusterError(
                            f"a node of the cluster {self.address} (setting cluster) cannot run tasks of {PACKAGE}: "
                            f"{_last_line(str(error))}. Install the same version on every node"
                        ) from error
                    except ray.exceptions.RayError as error:
                        told = _last_line(str(error))
                        if attempt == ATTEMPTS:
                            raise WorkerDied(
                                f"a task lost its worker {ATTEMPTS} times on the cluster {self.address}, most often to "
                                f"the system for lack of memory ({told}): finished parts are kept, so run again with "
                                "more memory for each core, or fewer cores a node (`ray start --num-cpus`)"
                            ) from error
                        log.warning("a worker died: its task is run again (%s of %s): %s", attempt + 1, ATTEMPTS, told)
                        pending[self._task.remote(self._terms, work)] = work, attempt + 1
                        continue
                    result, failure = pickle.loads(told)
                    if failure is not None:
                        raise failure
                    yield result
        finally:
            self._cancel(list(pending))

    def close(self) -> None:
        """Leave the cluster, which ends what still runs."""
        ray, self._ray = self._ray, None
        if self._probe is not None:
            with suppress(OSError):
                self._probe.unlink(missing_ok=True)
            self._probe = None
        if ray is not None and self._own:
            with _handlers_kept(), suppress(Exception):
                ray.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _connected(self) -> Any:
        """The module `ray`, connected to the cluster."""
        if self._ray is not None:
            return self._ray
        for name, value in (QUIET | WATCHFUL).items():
            os.environ.setdefault(name, value)
        try:
            import ray
        except ImportError as error:
            raise ClusterError(
                f"the setting cluster names {self.address}, and Ray is not installed: "
                "pip install 'curation-assets[ray]'"
            ) from error
        self._own = not ray.is_initialized()
        if self._own:
            self._knock()
            _silence()
            try:
                with _handlers_kept():
                    ray.init(address=self.address, log_to_driver=False, configure_logging=False)
            except Exception as error:
                raise self._unreachable(_last_line(str(error))) from error
        self._ray = ray
        self._probe = self._lake / f"{PROBE}{secrets.token_hex(8)}"
        self._lake.mkdir(parents=True, exist_ok=True)
        self._probe.touch()
        self._terms = Terms(_versions(), (self._probe, *self._places))
        # One for all stations, so that workers that one has leased serve the next.
        self._task = ray.remote(num_cpus=1, memory=TASK_MEMORY, max_retries=0)(_perform)
        return ray

    def _knock(self) -> None:
        """Try to connect in a process of its own: Ray waits for minutes, and writes to the terminal meanwhile."""
        if found := ADDRESS.fullmatch(self.address):
            try:
                socket.create_connection((found[2].strip("[]"), int(found[3])), CONNECT_SECONDS).close()
            except OSError as error:
                raise self._unreachable(str(error)) from error
        command = [sys.executable, "-c", KNOCK, self.address]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise self._unreachable(f"nothing of Ray answers within {ANSWER_SECONDS:.0f} seconds") from error
        if done.returncode:
            raise self._unreachable(_last_line(done.stderr))

    def _unreachable(self, reason: str) -> ClusterError:
        hint = "" if "://" in self.address else ". This machine must be one of its nodes (`ray start`), or use ray://"
        return ClusterError(
            f"the cluster {self.address} (setting cluster: CURATION_CLUSTER or --cluster) cannot be reached: "
            f"{reason}{hint}"
        )

    def _most(self) -> int:
        """Tasks to hand out now. More than there are cores, so that a cluster that can grow does."""
        now = time.monotonic()
        if self._counted == 0 or now - self._counted >= COUNT_SECONDS:
            self._cores, self._counted = int(self._ray.cluster_resources().get("CPU", 0)), now
        return self._limit or 2 * max(1, self._cores)

    def _explain_waiting(self) -> None:
        """Say so when no node could run a task."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if not any(node.get("CPU", 0) >= 1 and node.get("memory", 0) >= TASK_MEMORY for node in nodes):
            log.warning(
                "the cluster %s has no node with a core and %s GiB of memory: waiting for one",
                self.address,
                TASK_MEMORY >> 30,
            )

    def _cancel(self, pending: list[Any]) -> None:
        """Kill what runs, and wait until it is dead: a run that follows must not meet it."""
        if pending and self._ray is not None:
            with suppress(Exception):
                for ref in pending:
                    self._ray.cancel(ref, force=True)
                self._ray.wait(pending, num_returns=len(pending), timeout=CANCEL_SECONDS)


_NO_MORE: Any = object()


def _perform(terms: Terms, work: bytes) -> bytes:
    """Run one task in a worker: gives back the pickled result and exception, of which one is None.

    An exception is a value here, so that it arrives as itself and Ray neither wraps nor prints it.
    """
    # Before anything is imported that reads them; Ray starts a worker with a limit of its own for OpenMP only.
    for name in THREAD_LIMITS:
        os.environ.setdefault(name, "1")
    try:
        _agree(terms)
        function, item = pickle.loads(work)
        return pickle.dumps((function(item), None))
    except Exception as error:
        told = traceback.format_exc()
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            error = RuntimeError(f"{type(error).__qualname__}: {error}")
        error.add_note(f"on {socket.gethostname()}:\n{told}")
        return pickle.dumps((None, error))


@lru_cache
def _agree(terms: Terms) -> None:
    """Raise `ClusterError` unless this node has what it must have; what it has is looked at once."""
    host, here = socket.gethostname(), dict(_versions())
    differ = [f"{name} {here.get(name)}, not {wanted}" for name, wanted in terms.versions if here.get(name) != wanted]
    if differ:
        raise ClusterError(
            f"the cluster's node {host} would make other bytes: it has {', '.join(differ)}. Install the same versions "
            "on every node"
        )
    for place in terms.places:
        if not place.exists():
            seen = place.parent if place.name.startswith(PROBE) else place
            raise ClusterError(
                f"the cluster's node {host} does not see {seen}: put it on a disk that every node has at that path"
            )


@lru_cache
def _versions() -> tuple[tuple[str, str], ...]:
    """This package and those that it depends on, with their versions."""
    names = [found[0] for text in requires(PACKAGE) or () if "extra ==" not in text and (found := NAME.match(text))]
    return tuple((name, _version(name)) for name in sorted({PACKAGE, *names}))


NAME = re.compile(r"[A-Za-z0-9._-]+")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:500].rstrip(".") if lines else "it says nothing"


def _silence() -> None:
    """Keep off the terminal what Ray has to say of dead workers: the engine says it."""
    import ray._private.worker

    logging.getLogger("ray").setLevel(logging.CRITICAL)
    # There is no public switch; where a later Ray has another one, it prints again, which a test would see.
    ray._private.worker._worker_logs_enabled = False


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Ray replaces the handler of SIGTERM by its own; Dagster's ends a run in good order."""
    if current_thread() is not main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is not None:
                signal.signal(number, handler)
