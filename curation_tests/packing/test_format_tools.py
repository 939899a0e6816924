"""The tools that people use read what a run made: `docs/check_formats.py` over the sample, with what is installed."""

import re
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from curation_assets.packing.reader import ShardReader
from curation_tests.conftest import Curated

SCRIPT = Path(__file__).parents[2] / "docs" / "check_formats.py"
CHECKS = runpy.run_path(str(SCRIPT))
SNIPPETS = re.findall(r"```python\n(.*?)```", (SCRIPT.parent / "formats.md").read_text(), re.DOTALL)
ALWAYS = ("pyarrow", "polars", "duckdb")


@pytest.fixture
def arguments(curated: dict[str, Curated]) -> tuple[str, str, str]:
    line, snapshot, _ = curated["every_method"]
    return str(line.lake.root), line.recipe.name, snapshot


@pytest.mark.parametrize("tool", ALWAYS)
def test_a_tool_that_is_always_here_reads_the_same(arguments: tuple[str, str, str], tool: str, capsys: Any) -> None:
    assert CHECKS["main"](*arguments, tool) == 0, capsys.readouterr().out
    assert "tokens equal" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("tool", [tool for tool in CHECKS["TOOLS"] if tool not in ALWAYS])
def test_a_tool_that_may_be_here_reads_the_same(arguments: tuple[str, str, str], tool: str, capsys: Any) -> None:
    """`python docs/check_formats.py` was run with every one of them: see docs/formats.md."""
    pytest.importorskip(tool, exc_type=ImportError)
    assert CHECKS["main"](*arguments, tool) == 0, capsys.readouterr().out


def other_id(table: pa.Table) -> pa.Table:
    ids = table["input_ids"].to_pylist()
    ids[-1][0] += 1
    return table.set_column(table.column_names.index("input_ids"), "input_ids", pa.array(ids, pa.list_(pa.int32())))


def other_piece(table: pa.Table) -> pa.Table:
    docs = table["docs"].to_pylist()
    docs[0][0] += 1
    return table.set_column(table.column_names.index("docs"), "docs", pa.array(docs, pa.list_(pa.int64())))


@pytest.mark.parametrize("change", [other_id, other_piece, lambda table: table.slice(1)])
@pytest.mark.parametrize("tool", ALWAYS)
def test_a_difference_is_told(
    arguments: tuple[str, str, str], tmp_path: Path, tool: str, change: Callable[[pa.Table], pa.Table], capsys: Any
) -> None:
    lake, recipe, snapshot = arguments
    for table in ("corpus", "training_shards", "parquet_shards"):
        shutil.copytree(Path(lake, recipe, table), tmp_path / recipe / table)
    path = tmp_path / recipe / "parquet_shards" / snapshot / "shard-00000.parquet"
    pq.write_table(change(pq.read_table(path)), path)
    assert CHECKS["main"](str(tmp_path), recipe, snapshot, tool) == 1
    assert "FAILED: AssertionError" in capsys.readouterr().out


def test_a_named_tool_that_is_missing_is_a_failure(
    arguments: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setitem(CHECKS["TOOLS"], "no_such_module", ("no-such-tool", None))
    assert CHECKS["main"](*arguments, "no-such-tool") == 1
    assert "not installed" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("snippet", SNIPPETS, ids=[snippet.split()[1] for snippet in SNIPPETS])
def test_the_documents_snippets_run(arguments: tuple[str, str, str], snippet: str) -> None:
    pytest.importorskip(snippet.split()[1], exc_type=ImportError)
    lake, recipe, snapshot = arguments
    exec(snippet.replace("lake/fineweb", f"{lake}/{recipe}").replace("CC-MAIN-2025-05", snapshot), {})


def test_the_token_that_ends_documents_tells_the_same_boundaries(arguments: tuple[str, str, str]) -> None:
    lake, recipe, snapshot = arguments
    end = ShardReader(Path(lake, recipe, "training_shards", snapshot)).end_of_document
    files = sorted(Path(lake, recipe, "parquet_shards", snapshot).glob("*.parquet"))
    for row in ds.dataset(files).to_table().to_pylist():
        ids = np.array(row["input_ids"])
        after = np.flatnonzero(ids == end) + 1
        assert np.union1d(after, len(ids)).tolist() == np.cumsum(row["seq_lengths"]).tolist()
