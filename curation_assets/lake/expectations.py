"""Contracts as Great Expectations suites: one over the metrics frame, one over the sample of rows.

The library judges pandas frames that are small whatever the table is: it would need seconds for a million rows. It is
imported inside functions, because that takes seconds too. It reads and writes no file here, and opens no connection.
"""

import atexit
import gc
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from curation_assets.lake.contracts import Rule

SEALED = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    "<style>body { font: 15px/1.5 sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #222; }"
    "table { border-collapse: collapse; margin: 0.5rem 0 1.5rem; }"
    "td, th { border: 1px solid #ccc; padding: 0.2rem 0.6rem; text-align: left; vertical-align: top; }"
    ".fa-check-circle::before { content: '\u2713'; } .fa-times::before { content: '\u2717'; }"
    "footer, button, .modal, .btn-group, .card, .sticky .mb-3, .alert-dismissible { display: none; }</style>"
)
"""Lets a page run no script and load nothing, and gives it the style that it would have loaded."""


@dataclass(frozen=True)
class Frames:
    """What is judged."""

    metrics: pa.Table
    """One row a pass; see `metrics.metrics`."""
    sample: pa.Table
    """Rows of the table."""

    @property
    def rows(self) -> int:
        """Rows of the whole table."""
        return sum(self.metrics["rows"].to_pylist())


def metric_expectations(rules: Sequence[Rule], rows: int) -> list[Any]:
    """For each rule that is counted: no row breaks it, or of `rows` rows few enough."""
    gxe = _library().expectations
    return [
        gxe.ExpectColumnSumToBeBetween(column=rule.says, max_value=rule.limit(rows), meta={"rule": rule.says})
        for rule in rules
        if not rule.sampled
    ]


def sample_expectations(rules: Sequence[Rule], columns: Sequence[str], rows: int) -> list[Any]:
    """For each rule about the values of one column of the sample, which has `rows` rows: every value keeps it, or
    enough of them do."""
    gxe = _library().expectations
    made: list[Any] = []
    for rule in rules:
        if len(rule.columns) != 1 or rule.columns[0] not in columns:
            continue
        given: dict[str, Any] = {"column": rule.columns[0], "meta": {"rule": rule.says}}
        match rule.kind:
            case "null":
                made.append(gxe.ExpectColumnValuesToNotBeNull(**given))
            case "range":
                made.append(gxe.ExpectColumnValuesToBeBetween(min_value=rule.of.least, max_value=rule.of.most, **given))
            case "set":
                made.append(gxe.ExpectColumnValuesToBeInSet(value_set=list(rule.of.among), **given))
            case "regex":
                mostly = 1 - min(rule.limit(rows) / max(rows, 1), 1)
                pattern = f"(?s)^(?:{rule.of.regex})$"
                made.append(gxe.ExpectColumnValuesToMatchRegex(regex=pattern, mostly=mostly, **given))
    return made


def broken(rules: Sequence[Rule], frames: Frames) -> tuple[dict[str, int], dict[str, list[int]]]:
    """What Great Expectations finds broken.

    Returns:
        Of the rules that the metrics frame breaks, how many rows do; and of those that the sample breaks, the places
        of the rows in it.

    Raises:
        RuntimeError: an expectation could not be evaluated, which says nothing of the data.
    """
    strict = [rule for rule in rules if not rule.sampled and rule.limit(frames.rows) == 0]
    lenient = [rule for rule in rules if not rule.sampled and rule.limit(frames.rows) > 0]
    # Counts are not negative: where all add up to nothing each rule is kept, and need not be asked for by itself.
    columns = [rule.says for rule in strict]
    none = _library().expectations.ExpectMulticolumnSumToEqual(column_list=columns, sum_total=0, meta={"rule": None})
    failed = {_rule(one) for one in _failures(frames.metrics, [none, *metric_expectations(lenient, frames.rows)])}
    if None in failed:
        failed |= {_rule(one) for one in _failures(frames.metrics, metric_expectations(strict, frames.rows))}
    counted = {
        rule.says: sum(value or 0 for value in frames.metrics[rule.says].to_pylist())
        for rule in rules
        if rule.says in failed
    }
    wanted = sample_expectations(rules, frames.sample.column_names, frames.sample.num_rows)
    found: dict[str, list[int]] = {}
    if wanted and frames.sample.num_rows:
        names = {_rule(result) for result in _failures(frames.sample, wanted)}
        named = [one for one in wanted if one.meta["rule"] in names]
        for result in _failures(frames.sample, named, "COMPLETE") if named else ():
            found[_rule(result)] = list(result.result["unexpected_index_list"])
    return counted, found


def write_data_docs(name: str, snapshot: str, rules: Sequence[Rule], frames: Frames, folder: Path) -> Path:
    """Great Expectations' own pages about a table's two suites and what they find; the path of the first page.

    They stand alone: the library's scripts, fonts and styles from the network are taken out, and nothing else may run
    or be loaded. The library writes values as they are, markup or not, so these pages show none of the sample: that a
    rule is broken, not by what. `folder` is replaced.

    Raises:
        FileExistsError: `folder` holds something else than such pages.
    """
    gx = _library()
    index = folder / "index.html"
    if folder.exists() and any(folder.iterdir()):
        if not index.is_file() or not (folder / "validations").is_dir():
            raise FileExistsError(f"{folder} is not empty, and holds no data docs: give another folder")
        shutil.rmtree(folder)
    context = _context()
    for site in list(context.get_site_names()):
        context.delete_data_docs_site(site)
    context.add_data_docs_site(
        "contract",
        {
            "class_name": "SiteBuilder",
            "show_how_to_buttons": False,
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder.resolve())},
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        },
    )
    sampled = sample_expectations(rules, frames.sample.column_names, frames.sample.num_rows)
    lines = []
    for kind, expectations, table, values in (
        ("metrics", metric_expectations(rules, frames.rows), frames.metrics, "BASIC"),
        ("sample", sampled, frames.sample, "BOOLEAN_ONLY"),
    ):
        title = f"{name} {kind}"
        asset = context.data_sources.add_pandas(title).add_dataframe_asset(snapshot)
        suite = context.suites.add(gx.ExpectationSuite(name=title, expectations=expectations))
        batch = asset.add_batch_definition_whole_dataframe(snapshot)
        definition = context.validation_definitions.add(gx.ValidationDefinition(name=title, data=batch, suite=suite))
        result = definition.run(batch_parameters={"dataframe": table.to_pandas()}, result_format=values)  # type: ignore[arg-type]
        lines.append((kind, f"{'kept' if result.success else 'broken'}, {len(expectations)} expectations"))
    context.build_data_docs()
    shutil.rmtree(folder / "static")
    for page in folder.rglob("*.html"):
        page.write_text(_stand_alone(page.read_text()))
    # The library's own first page fills its tables by script.
    index.write_text(_index(name, snapshot, lines, folder))
    return index


UNUSED = ("altair", "scipy.stats")
"""What Great Expectations imports for expectations about distributions, of which there are none here: with all that
these import in turn, 40 % of its time and 80 MB."""


@cache
def _library() -> Any:
    """Great Expectations, imported without the collector of cycles: a quarter of a million objects that stay are not
    looked through again and again, now or later."""
    gc.disable()
    later = {name: _later(name) for name in UNUSED if name not in sys.modules}
    sys.modules.update(later)
    try:
        import great_expectations
    finally:
        for name, module in later.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
        gc.freeze()
        atexit.register(gc.unfreeze)
        gc.enable()
    return great_expectations


def _later(name: str) -> ModuleType:
    """What stands for a module until something of it is asked for."""
    module = ModuleType(name)

    def found(attribute: str) -> Any:
        if sys.modules.get(name) is module:
            del sys.modules[name]
        return getattr(import_module(name), attribute)

    module.__dict__["__getattr__"] = found
    return module


def _context() -> Any:
    gx = _library()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]  # a bar leaves a thread behind
    return context


@cache
def _frames() -> Any:
    """What any frame is a batch of: set up once, which takes as long as to judge one."""
    asset = _context().data_sources.add_pandas("frames").add_dataframe_asset("frames")
    return asset.add_batch_definition_whole_dataframe("frames")


def _failures(table: pa.Table, expectations: Sequence[Any], result_format: str = "BOOLEAN_ONLY") -> list[Any]:
    """Results of those expectations that a table does not meet."""
    batch = _frames().get_batch({"dataframe": table.to_pandas()})
    suite = _library().ExpectationSuite(name="frames", expectations=expectations)
    results = batch.validate(suite, result_format=result_format).results
    for result in results:
        raised = [one for one in (result.exception_info or {}).values() if _is_raised(one)]
        if raised or (result.exception_info or {}).get("raised_exception") is True:
            raise RuntimeError(f"{result.expectation_config.type} could not be evaluated: {result.exception_info}")
    return [result for result in results if not result.success]


def _rule(result: Any) -> Any:
    return result.expectation_config.meta["rule"]


def _is_raised(info: Any) -> bool:
    return isinstance(info, Mapping) and bool(info.get("raised_exception"))


def _stand_alone(page: str) -> str:
    page = re.sub(r"<script\b.*?</script>", "", page, flags=re.DOTALL | re.IGNORECASE)
    page = re.sub(r"<(?:link|img|iframe)\b[^>]*>", "", page, flags=re.IGNORECASE)
    page = re.sub(r"<[a-z][^>]*>", lambda tag: _ACTS.sub("", tag[0]), page, flags=re.IGNORECASE)
    page = re.sub(r"url\([^)]*\)", "none", page, flags=re.IGNORECASE)
    return page.replace("<head>", f"<head>{SEALED}", 1)


_ACTS = re.compile(r"""\s(?:on\w+|href=(?=["']https?:))=?("[^"]*"|'[^']*')""", re.IGNORECASE)
"""Of a tag: what calls the scripts that are gone, and the library's links to its maker."""


def _index(name: str, snapshot: str, lines: Sequence[tuple[str, str]], folder: Path) -> str:
    rows = ""
    for kind, told in lines:
        pages = [next((folder / place).rglob(f"*{name} {kind}*.html")) for place in ("expectations", "validations")]
        links = [
            f'<a href="{quote(page.relative_to(folder).as_posix())}">{place}</a>'
            for page, place in zip(pages, ("expectations", "what was found"), strict=True)
        ]
        rows += f"<tr><td>{escape(kind)}</td><td>{escape(told)}</td><td>{' · '.join(links)}</td></tr>"
    title = f"{escape(name)}, {escape(snapshot)}"
    head = f'<head>{SEALED}<meta charset="utf-8"><title>{title}</title></head>'
    return f"<!doctype html><html>{head}<body><h1>{title}</h1><table>{rows}</table></body></html>\n"
