"""SQL over the lake: the statements of `sql/`, run by DuckDB over Parquet and Arrow files."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import duckdb
import pyarrow as pa

if TYPE_CHECKING:
    import pyarrow.dataset as ds

Source = Union[pa.Table, "ds.Dataset", Sequence[str]]
"""What a view stands for: a table in memory, Arrow files, or the paths of Parquet files."""

MEMORY_LIMIT = "1GB"
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
    """An in-memory DuckDB with a view for each source, bounded in memory, that can reach no network."""
    config: dict[str, Any] = {
        "memory_limit": MEMORY_LIMIT,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "preserve_insertion_order": True,
    }
    if threads:
        config["threads"] = threads
    with duckdb.connect(config=config) as con:
        con.execute("SET TimeZone = 'UTC'")
        for name, origin in views.items():
            if not IDENTIFIER.match(name):
                raise ValueError(f"{name!r} is not a view name")
            if not isinstance(origin, Sequence):
                con.register(name, origin)
            elif origin:
                con.read_parquet(list(origin)).create_view(name)
        yield con


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
