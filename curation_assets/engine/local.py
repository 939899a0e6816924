"""The local engine: worker processes on this machine."""

import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.util import get_temp_dir
from threading import Thread, current_thread, main_thread
from types import TracebackType
from typing import Protocol, Self, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

THREAD_LIMITS = ("POLARS_MAX_THREADS", "RAYON_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""A worker is one core: these keep native thread pools from multiplying it."""

PRELOADED = ["curation_assets.preload"]


class EngineError(Exception):
    """Tasks cannot be run; the message says why, and what to do."""


class WorkerDied(EngineError):
    """A worker process was killed (out of memory, or a fault in native code)."""


class Engine(Protocol):
    """All that a station knows about parallelism."""

    @property
    def workers(self) -> int:
        """Tasks that run at a time."""
        ...

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Apply an importable function to picklable items; yield results as they are finished.

        Tasks must be idempotent: an item may run more than once, even at the same time. They read and write files
        in the lake, and read those of the source, but no others: they may run on another machine.
        """
        ...


class LocalEngine:
    """A pool of single-threaded worker processes, started at the first `map` and kept until `close`.

    Workers are started by a fork server, never forked from a process that holds threads (Polars, Arrow). They
    die with the process that made them. Leaving the context cancels what has not started and stops the workers.
    """

    def __init__(self, workers: int | None = None) -> None:
        if getattr(multiprocessing.current_process(), "_inheriting", False):
            raise RuntimeError(
                "a worker process is importing the main script, which starts an engine of its own: put what the "
                'script does under `if __name__ == "__main__":`'
            )
        self.workers = workers or os.cpu_count() or 1
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1, not {self.workers}")
        self._pool: ProcessPoolExecutor | None = None

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """See `Engine.map`. Raises the first exception of a task, and `WorkerDied` when a worker was killed.

        At most two tasks a worker are handed out ahead, so that a failure stops the rest at once.
        """
        pool = self._started()
        pending: set[Future[Result]] = set()
        remaining = iter(items)
        try:
            while True:
                while len(pending) < 2 * self.workers and (item := next(remaining, None)) is not None:
                    with _uninterrupted():
                        pending.add(pool.submit(function, item))
                if not pending:
                    return
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except BrokenProcessPool as error:
            self.close()
            raise WorkerDied(
                "a worker process was killed, most often by the system for lack of memory: finished parts are "
                "kept, so run again with fewer workers (CURATION_WORKERS or --workers)"
            ) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop the workers, waiting for nothing."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        processes = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            for name in THREAD_LIMITS:
                os.environ.setdefault(name, "1")
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(PRELOADED)
            self._pool = ProcessPoolExecutor(
                self.workers, mp_context=context, initializer=_start_worker, initargs=(os.getpid(), get_temp_dir())
            )
        return self._pool


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold back an interrupt while processes may be started.

    One that is half started outlives its maker or complains loudly. Processes that are started here never see one:
    they inherit the mask. It does not keep the interrupt from this process, whose other threads would take it.
    """
    if current_thread() is not main_thread():
        yield
        return
    held: list[int] = []
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    handler = signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
        if held:
            signal.raise_signal(signal.SIGINT)


def _start_worker(parent: int, folder: str) -> None:
    # An interrupt reaches the whole process group; the parent decides what becomes of the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Thread(target=_die_with, args=(parent, folder), daemon=True).start()


def _die_with(parent: int, folder: str) -> None:
    """End this process when `parent` has ended: the fork server, its nominal parent, outlives a killed one.

    A killed parent could not delete `folder`, which held the fork server's socket.
    """
    while _is_alive(parent):
        time.sleep(1)
    shutil.rmtree(folder, ignore_errors=True)
    os.kill(os.getpid(), signal.SIGKILL)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
