"""Contracts as Great Expectations suites: one over the metrics frame, one over the sample of rows.

The library judges pandas frames that are small whatever the table is: it would need seconds for a million rows. It is
imported inside functions, because that takes seconds too. It reads and writes no file here, and opens no connection.
"""

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from curation_assets.lake.contracts import Rule

MARKUP = str.maketrans({"<": "‹", ">": "›", "&": "+", '"': "”", "'": "’", "`": "’", "$": "S"})
"""What pages of data docs show in the place of what could be markup or a placeholder: the library escapes no value."""

SEALED = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    "img-src 'self' file: data:; font-src 'self' file:; style-src 'self' file: 'unsafe-inline'\">"
)
"""Lets a page run no script and load nothing from elsewhere."""

STYLE = """
body { font: 15px/1.5 sans-serif; margin: 2rem auto; max-width: 70rem; color: #222; }
table { border-collapse: collapse; margin: 0.5rem 0 1.5rem; } td, th { border: 1px solid #ccc; padding: 0.2rem 0.6rem; }
.fa-check-circle::before { content: "✓"; color: #080; }
.fa-times::before, .fa-times-circle::before { content: "✗ "; color: #b00; }
.modal, .alert-dismissible, .collapse, img, .ge-breadcrumbs, #ge-cta-footer, button, .navbar { display: none; }
a[href^="http"] { display: none; }
"""


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
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnSumToBeBetween(column=rule.says, max_value=rule.limit(rows), meta={"rule": rule.says})
        for rule in rules
        if not rule.sampled
    ]


def sample_expectations(rules: Sequence[Rule], columns: Sequence[str], rows: int) -> list[Any]:
    """For each rule about the values of one column of the sample, which has `rows` rows: every value keeps it, or
    enough of them do."""
    import great_expectations.expectations as gxe

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
    context = _context()
    counted: dict[str, int] = {}
    for result in _validate(context, "metrics", metric_expectations(rules, frames.rows), frames.metrics):
        if not result.success:
            says = result.expectation_config.meta["rule"]
            counted[says] = sum(value or 0 for value in frames.metrics[says].to_pylist())
    wanted = sample_expectations(rules, frames.sample.column_names, frames.sample.num_rows)
    found: dict[str, list[int]] = {}
    if wanted and frames.sample.num_rows:
        for result in _validate(context, "sample", wanted, frames.sample):
            if not result.success:
                found[result.expectation_config.meta["rule"]] = list(result.result["unexpected_index_list"])
    return counted, found


def write_data_docs(name: str, snapshot: str, rules: Sequence[Rule], frames: Frames, folder: Path) -> Path:
    """Great Expectations' own pages about a table's two suites and what they find; the path of the first page.

    The pages are made to stand alone: the library's scripts, fonts and styles from the network are taken out, and
    what is data is shown without anything that could be markup. `folder` is replaced.

    Raises:
        FileExistsError: `folder` holds something else than data docs.
    """
    import great_expectations as gx

    if folder.exists() and any(folder.iterdir()):
        if not (folder / "index.html").is_file() or not (folder / "static").is_dir():
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
    frame = frames.sample
    for kind, expectations, table in (
        ("metrics", metric_expectations(rules, frames.rows), frames.metrics),
        ("sample", sample_expectations(rules, frame.column_names, frame.num_rows), _harmless(frame)),
    ):
        batch = context.data_sources.add_pandas(f"{name} {kind}").add_dataframe_asset(snapshot)
        suite = context.suites.add(gx.ExpectationSuite(name=f"{name} {kind}", expectations=expectations))
        definition = gx.ValidationDefinition(
            name=f"{name} {kind}", data=batch.add_batch_definition_whole_dataframe(snapshot), suite=suite
        )
        context.validation_definitions.add(definition).run(batch_parameters={"dataframe": table.to_pandas()})
    context.build_data_docs()
    for page in folder.rglob("*.html"):
        page.write_text(_stand_alone(page.read_text()))
    (folder / "static" / "styles" / "data_docs_default_styles.css").write_text(STYLE)
    return folder / "index.html"


def _context() -> Any:
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]  # a bar leaves a thread behind
    return context


def _validate(context: Any, name: str, expectations: Sequence[Any], table: pa.Table) -> list[Any]:
    import great_expectations as gx

    source = context.data_sources.add_pandas(name).add_dataframe_asset(name)
    batch = source.add_batch_definition_whole_dataframe(name).get_batch({"dataframe": table.to_pandas()})

    def validate(wanted: Sequence[Any], result_format: str) -> list[Any]:
        suite = gx.ExpectationSuite(name=name, expectations=wanted)
        results = batch.validate(suite, result_format=result_format).results
        for result in results:
            raised = [one for one in (result.exception_info or {}).values() if _is_raised(one)]
            if raised or (result.exception_info or {}).get("raised_exception") is True:
                raise RuntimeError(f"{result.expectation_config.type} could not be evaluated: {result.exception_info}")
        return results

    results = validate(expectations, "BOOLEAN_ONLY")
    broken = {result.expectation_config.meta["rule"] for result in results if not result.success}
    failed = [one for one in expectations if one.meta["rule"] in broken]
    return validate(failed, "COMPLETE") if failed else []


def _is_raised(info: Any) -> bool:
    return isinstance(info, Mapping) and bool(info.get("raised_exception"))


def _harmless(table: pa.Table) -> pa.Table:
    """The same rows with texts in which nothing can be markup."""
    for index, found in enumerate(table.schema):
        if pa.types.is_string(found.type) or pa.types.is_large_string(found.type):
            texts = [None if text is None else text.translate(MARKUP) for text in table.column(index).to_pylist()]
            table = table.set_column(index, found, pa.array(texts, found.type))
    return table


def _stand_alone(page: str) -> str:
    page = re.sub(r"<script\b.*?</script>", "", page, flags=re.DOTALL | re.IGNORECASE)
    page = re.sub(r"<(?:link|img|iframe)\b[^>]*\b(?:href|src)=\"https?:[^>]*>", "", page, flags=re.IGNORECASE)
    return re.sub(r"<head>", lambda head: head.group() + SEALED, page, count=1)
