"""SQL over the lake: the statements of `sql/`, run by DuckDB over Parquet and Arrow files."""

import atexit
import os
import re
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Union

import duckdb
import pyarrow as pa

if TYPE_CHECKING:
    import pyarrow.dataset as ds

Source = Union[pa.Table, "ds.Dataset", Sequence[str]]
"""What a view stands for: a table in memory, Arrow files, or the paths of Parquet files."""

MEMORY_LIMIT = "1GB"
_SPILL: ContextVar[Path | None] = ContextVar("spill", default=None)
_RANDOM = secrets.token_hex(8)
IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*\Z")


@cache
def statement(name: str) -> str:
    """The text of `sql/<name>.sql`, from the installed package or from the source tree."""
    package = Path(__file__).parents[1]
    for root in (package / "sql", package.parent / "sql"):
        path = root / f"{name}.sql"
        if path.is_file():
            return path.read_text()
    raise FileNotFoundError(f"no statement {name}.sql in sql/")


def source(paths: Sequence[Path]) -> Source:
    """The data files among `paths` as one source: Arrow files when there are any, else Parquet files."""
    arrow = [str(path) for path in paths if path.suffix == ".arrow"]
    if arrow:
        # It takes as long to load as all the rest, and most tables are Parquet.
        import pyarrow.dataset as ds

        return ds.dataset(arrow, format="ipc")
    return [str(path) for path in paths if path.suffix == ".parquet"]


@contextmanager
def connection(views: Mapping[str, Source], threads: int | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with views of its own, one for each source, to the DuckDB that this process has.

    That is in memory, bounded, and can reach no network. What does not fit into memory it spills to disk, see
    `spilling_into`. Opening one takes a hundred times as long as connecting to it. What its queries needed goes back to
    the system when the context is left.
    """
    with _databases.get(threads, MEMORY_LIMIT, _spill_folder()).cursor() as con:
        try:
            yield _viewing(con, views)
        finally:
            # DuckDB's allocator keeps what is freed for as long as nobody asks it for more; a new limit empties it.
            with suppress(duckdb.Error):
                con.execute(f"SET memory_limit = {literal(MEMORY_LIMIT)}")


@contextmanager
def database(views: Mapping[str, Source]) -> Iterator[duckdb.DuckDBPyConnection]:
    """The same for who changes settings: a DuckDB of its own."""
    with closing(_opened(None, MEMORY_LIMIT, _spill_folder())) as con:
        yield _viewing(con, views)


def named(views: Mapping[str, Source], texts: Iterable[str]) -> dict[str, Source]:
    """Those of some views whose names occur in SQL, in comments too: to view 90,000 files takes a second."""
    words = set(re.findall(r"\w+", " ".join(texts)))
    return {name: origin for name, origin in views.items() if name in words}


def quoted(name: str) -> str:
    """The name of a column, table or schema in SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: float | str) -> str:
    """A value in SQL."""
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


def parquet_files(paths: Sequence[str]) -> str:
    """The rows of Parquet files, in SQL; names of folders are no columns."""
    return f"read_parquet([{', '.join(map(literal, paths))}], hive_partitioning = false)"


@contextmanager
def spilling_into(folder: Path) -> Iterator[None]:
    """Let queries of this thread spill into a folder meanwhile; the folder that it is in must be there.

    A station spills beside the files that it makes, on the lake's disk; a question, such as `curation sql`, into a
    folder of its own in the system's temporary one; nothing into the working folder. DuckDB makes the folder when it
    first needs it, and it is gone when the context is left, or the process has ended. A DuckDB that spilled nothing
    stays for the next part: opening and closing one takes as long as many a query.
    """
    before = _SPILL.get()
    _SPILL.set(folder)
    try:
        yield
    finally:
        _SPILL.set(before)
        _databases.leave(folder)


def _spill_folder() -> Path:
    return _SPILL.get() or Path(tempfile.gettempdir()) / f"curation-{os.getpid()}-{_RANDOM}"


class _Databases:
    """The DuckDBs of this process: one for each folder to spill into and each limit, opened as rarely as may be."""

    def __init__(self) -> None:
        self._open: dict[tuple[int | None, str, Path], duckdb.DuckDBPyConnection] = {}
        self._idle: dict[tuple[int | None, str], duckdb.DuckDBPyConnection] = {}
        self._lock = Lock()
        atexit.register(self.close)  # DuckDB complains of what outlives it

    def get(self, threads: int | None, memory: str, spill: Path) -> duckdb.DuckDBPyConnection:
        """The one that spills into a folder: one that is open, one that spilled nowhere, or a new one."""
        with self._lock:
            found = self._open.get((threads, memory, spill))
            if found is None:
                found = self._idle.pop((threads, memory), None)
                if found is None:
                    found = _opened(threads, memory, spill)
                else:
                    found.execute(f"SET temp_directory = {literal(str(spill))}")
                self._open[threads, memory, spill] = found
            return found

    def leave(self, spill: Path) -> None:
        """Keep those for other folders that did not spill into this one; the others end, and the folder with them."""
        with self._lock:
            for threads, memory, folder in [key for key in self._open if key[2] == spill]:
                left = self._open.pop((threads, memory, folder))
                if folder.exists() or (threads, memory) in self._idle:
                    left.close()
                else:
                    self._idle[threads, memory] = left

    def close(self) -> None:
        """End all."""
        with self._lock:
            for one in (*self._open.values(), *self._idle.values()):
                one.close()
            self._open.clear()
            self._idle.clear()


_databases = _Databases()


def _opened(threads: int | None, memory: str, spill: Path) -> duckdb.DuckDBPyConnection:
    config: dict[str, Any] = {
        "memory_limit": memory,
        "temp_directory": str(spill),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "preserve_insertion_order": True,
    }
    if threads:
        config["threads"] = threads
    return duckdb.connect(config=config)


def _viewing(con: duckdb.DuckDBPyConnection, views: Mapping[str, Source]) -> duckdb.DuckDBPyConnection:
    con.execute("SET TimeZone = 'UTC'")
    for name, origin in views.items():
        if not IDENTIFIER.match(name):
            raise ValueError(f"{name!r} is not a view name")
        if not isinstance(origin, Sequence):
            con.register(name, origin)
        elif origin:
            con.execute(f"CREATE TEMP VIEW {name} AS FROM {parquet_files(origin)}")
    return con


def query(
    name: str,
    views: Mapping[str, Source],
    parameters: Mapping[str, Any] | None = None,
    *,
    threads: int | None = None,
) -> pa.Table:
    """Run `sql/<name>.sql` over some views and return its rows."""
    with connection(views, threads) as con:
        return execute(con, name, parameters)


def execute(con: duckdb.DuckDBPyConnection, name: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
    """Run `sql/<name>.sql` on a connection. Only the parameters that the statement names are passed."""
    text = statement(name)
    used = {key: value for key, value in (parameters or {}).items() if re.search(rf"\${key}\b", text)}
    return con.sql(text, params=used).to_arrow_table()
