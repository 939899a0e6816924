"""The kernels take their fast path: nothing is compiled at run time, nothing is done in Python for each row.

These fail where a change makes the line slow without making it wrong.
"""

import dis
import itertools
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tokenizers

from curation_assets.deduplication.exact import text_keys, url_keys
from curation_assets.deduplication.minhash import sign
from curation_assets.deduplication.simhash import fingerprints
from curation_assets.filtering.characters import string_buffers
from curation_assets.filtering.edits import apply_edits
from curation_assets.filtering.language import identify_language
from curation_assets.filtering.pii import find_pii
from curation_assets.filtering.signals import annotate_signals
from curation_assets.filtering.urls import UrlRules, annotate_urls
from curation_assets.lake.query import connection
from curation_assets.packing.sequences import pack
from curation_assets.packing.tokenizer import Tokenizer, train_tokenizer
from curation_assets.packing.tokens import tokenize
from curation_tests.mirrors import prose

ROOT = Path(__file__).parents[1]

# In a new process: every kernel that the line calls, how it was compiled, and whether it was found compiled.
RUN = """
import json, sys
from pathlib import Path
from numba.core.dispatcher import Dispatcher
from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.line import Line
from curation_assets.settings import Settings

class Here:
    def map(self, function, items):
        return map(function, items)

chosen = {"source": sys.argv[1], "lake": Path(sys.argv[2]), "workers": 1}
line = Line(Settings(**chosen, recipe_set={"extraction.extractor": "resiliparse"}))
for staged in line.run(SAMPLE_SNAPSHOT, Here()):
    if staged.station.name == "training_shards":
        break
modules = [module for name, module in list(sys.modules.items()) if name.startswith("curation_assets")]
kernels = {id(it): it for module in modules for it in vars(module).values() if isinstance(it, Dispatcher)}
print(json.dumps([
    {
        "name": f"{kernel.__module__}.{kernel.__name__}",
        "signatures": len(kernel.signatures),
        "nopython": len(kernel.nopython_signatures),
        "hits": sum(kernel.stats.cache_hits.values()),
        "misses": sum(kernel.stats.cache_misses.values()),
    }
    for kernel in kernels.values() if kernel.signatures
]))
"""


@pytest.fixture(scope="module")
def kernels(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The kernels that a new process called when it took the sample through the line, once they are installed."""
    subprocess.run([sys.executable, "-m", "curation_assets.kernels"], cwd=ROOT, check=True)
    command = [sys.executable, "-c", RUN, str(sample), str(tmp_path_factory.mktemp("lake"))]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_a_new_process_compiles_nothing(kernels: list[dict[str, Any]]) -> None:
    """What `curation_assets.kernels` compiles when the package is installed is all that the line asks for."""
    names = {kernel["name"].removeprefix("curation_assets.") for kernel in kernels}
    assert names >= {"filtering.signals._annotate", "deduplication.minima.smallest", "packing.sequences._best_fit"}
    assert [kernel["name"] for kernel in kernels if kernel["misses"] or kernel["hits"] != kernel["signatures"]] == []


def test_kernels_are_compiled_without_python_objects_and_for_one_type_each(kernels: list[dict[str, Any]]) -> None:
    assert [kernel["name"] for kernel in kernels if kernel["nopython"] != kernel["signatures"]] == []
    assert [kernel["name"] for kernel in kernels if kernel["signatures"] > 1] == []


def texts(rows: int) -> pa.LargeStringArray:
    """As many different texts."""
    pages = (f"{' '.join(prose(row))}\nWrite to a{row}@mail.test.\n" for row in range(rows))
    return pa.array(list(pages), pa.large_string())


@pytest.mark.parametrize("offset", [0, 3])
def test_texts_are_read_where_they_lie(offset: int) -> None:
    array = texts(8)[offset:]
    offsets, data = string_buffers(array)
    lying = array.buffers()
    assert offsets.ctypes.data == lying[1].address + 8 * offset
    assert data.ctypes.data == lying[2].address


TraceFunction = Callable[[FrameType, str, Any], Any]
CONVERSIONS = {"as_py", "to_pylist", "tolist", "to_pandas", "to_pydict", "iter_rows", "to_list", "rows"}
FEW, MANY = 16, 128
"""MANY is within one batch of every kernel."""


@cache
def names_of(code: CodeType) -> dict[int, str]:
    """By place in the byte code: the attributes that are looked up."""
    return {
        step.offset: step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_METHOD", "LOAD_ATTR")
    }


def python_work(work: Callable[[], object]) -> tuple[int, Counter[str]]:
    """How many byte codes the interpreter executes, and which conversions to Python objects are among them."""
    steps, conversions = 0, Counter[str]()

    def trace(frame: FrameType, event: str, _: object) -> TraceFunction:
        nonlocal steps
        frame.f_trace_opcodes = True
        if event == "opcode":
            steps += 1
            name = names_of(frame.f_code).get(frame.f_lasti)
            if name in CONVERSIONS:
                conversions[name] += 1
        return trace

    work()  # tables made once per process
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)
    return steps, conversions


@pytest.fixture(scope="module")
def trained() -> str:
    return train_tokenizer(texts(FEW).to_pylist(), 400)


def works(array: pa.LargeStringArray, definition: str) -> dict[str, Callable[[], object]]:
    """A step of the line each, on all the texts."""
    rows = len(array)
    numbers = np.arange(rows)
    urls = pa.array([f"https://host{row}.example/a/b?c={row}" for row in range(rows)])
    hosts = pa.array([f"host{row}.example" for row in range(rows)])
    rules, tokenizer = UrlRules.load(None, ["adult"]), Tokenizer(definition)
    edits = annotate_signals(array)["line_edits"].combine_chunks()
    docs = pa.array(numbers)
    return {
        "languages": lambda: identify_language(array),
        "signals": lambda: annotate_signals(array),
        "edits": lambda: apply_edits(array, edits),
        "minhash": lambda: sign(array),
        "pii": lambda: find_pii(array),
        "exact texts": lambda: text_keys(array),
        "exact URLs": lambda: url_keys(urls.cast(pa.large_string())),
        "simhash": lambda: fingerprints(array),
        "URL rules": lambda: annotate_urls(urls, hosts, hosts, rules),
        "tokens": lambda: tokenize(array, docs, tokenizer),
        "packing": lambda: pack(numbers, numbers.astype(np.int32) + 1, sequence_length=64),
    }


STEPS = list(works(texts(1), train_tokenizer(["a"], 257)))


@pytest.mark.parametrize("step", STEPS)
def test_more_rows_are_not_more_python(step: str, trained: str) -> None:
    few, _ = python_work(works(texts(FEW), trained)[step])
    many, conversions = python_work(works(texts(MANY), trained)[step])
    assert many < few + (MANY - FEW), f"{few} byte codes for {FEW} rows, {many} for {MANY}"
    assert not conversions


def test_trained_tokenizers_are_fast_and_never_ask_the_slow_library(
    trained: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = texts(MANY)
    reference = tokenizers.Tokenizer.from_str(trained)
    expected = [encoding.ids for encoding in reference.encode_batch(array.to_pylist(), add_special_tokens=False)]
    tokenizer = Tokenizer(trained)
    assert tokenizer.backend == "gigatoken"

    def refuse(*_: object) -> None:
        raise AssertionError("asked the slow library")

    monkeypatch.setattr(Tokenizer, "_encode_reference", refuse)
    offsets, ids = tokenizer.encode_batch(array)
    assert [ids[a:b].tolist() for a, b in itertools.pairwise(offsets)] == expected


def test_no_statement_calls_back_into_python() -> None:
    with connection({}) as con:
        own = con.execute(
            "SELECT function_name FROM duckdb_functions() WHERE NOT internal AND function_type = 'scalar'"
        )
        assert own.fetchall() == []
    callbacks = re.compile(r"\.(create_function|map_elements|map_rows|iter_rows|iterrows|applymap)\(")
    found = [
        f"{path.relative_to(ROOT)}: {match[1]}"
        for path in sorted((ROOT / "curation_assets").rglob("*.py"))
        for match in callbacks.finditer(path.read_text())
    ]
    assert found == []
