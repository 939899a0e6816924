"""A report as one HTML page: no script, nothing fetched, and whatever the web says is text.

Everything is escaped by the template engine; the page forbids itself scripts and requests by a content security policy,
should that ever fail; no address of a page is a link.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

from curation_assets.plots import Step, bars, curve, funnel, histogram, history, svg
from curation_assets.provenance.axes import axes, share
from curation_assets.provenance.report import ACQUISITION, Counts, Gate, Report
from curation_assets.recipes.recipe import KEPT

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

SHOWN_LANGUAGES = 15
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
JOINERS = "\u200c\u200d"
"""Characters without a width that Persian and Indic scripts are written with."""


def page(report: Report) -> str:
    """The whole page. The same report gives the same text."""
    return (
        environment()
        .get_template("report.html")
        .render(
            report=report,
            funnel=_drawn(funnel(steps(report), report.about.published_yield), "Documents left after each station"),
            stations=[(name, list(gates)) for name, gates in groupby(report.gates, lambda gate: gate.station)],
            languages=_languages(report),
            hosts=_hosts(report),
            lengths=_lengths(report),
            sizes=_sizes(report),
            clusters=_clusters(report.clusters),
            fill=_fill(report),
            past=_past(report),
            quantiles=[
                (f"{quantile:.0%}", *(counts.quantile(quantile) for counts in _measured(report)))
                for quantile in QUANTILES
            ],
            samples=[
                (gate_of(report, name), name, list(rows))
                for name, rows in groupby(report.samples, lambda one: one.verdict)
            ],
            axes=axes(report),
        )
    )


@cache
def environment() -> "Environment":
    """The templates, which escape what they are given unless they make Markdown."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("curation_assets.provenance"),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"number": number, "size": size, "shown": shown, "value": value, "evidence": evidence}
    made.globals |= {"share": share}
    return made


def steps(report: Report) -> list[Step]:
    """The funnel by stations, from all response records."""
    found = [Step("response records", 0, report.records)]
    for station, gates in groupby(report.gates, lambda gate: gate.station):
        listed = list(gates)
        label = "no text extracted" if station == ACQUISITION else station.replace("_", " ")
        found.append(Step(label, sum(gate.dropped for gate in listed), listed[-1].left))
    return found


def gate_of(report: Report, name: str) -> Gate | None:
    """The gate that gives a verdict; None for what is kept."""
    return next((gate for gate in report.gates if gate.name == name), None) if name != KEPT else None


def shown(text: str, characters: int = 300) -> str:
    """Text from the web, cut, without characters that control or that reorder what stands beside them."""
    cut = text if len(text) <= characters else f"{text[:characters]}…"
    return "".join(map(_shown, cut))


def _shown(one: str) -> str:
    if one.isprintable() or one == "\n" or one in JOINERS:
        return one
    return " " if one.isspace() else "\ufffd"


def number(count: int | None) -> str:
    """A count with its thousands apart; a dash where there is none."""
    return "–" if count is None else f"{count:,}"


def size(count: int) -> str:
    """Bytes in decimal units."""
    power = min(int(math.log10(count)) // 3, 5) if count else 0
    return f"{count / 1000**power:,.{1 if power else 0}f} {['B', 'kB', 'MB', 'GB', 'TB', 'PB'][power]}"


def value(measured: float | None) -> str:
    """What a gate measured, or its limit."""
    return "–" if measured is None else f"{measured:.4g}"


def evidence(found: Mapping[str, Any]) -> str:
    """What a check found, on a line."""
    said = {name.replace("_", " "): one for name, one in found.items() if one not in ("", None)}
    return "; ".join(f"{name}: {f'{one:,}' if isinstance(one, int) else one}" for name, one in said.items())


def _drawn(figure: Any, title: str) -> "Markup":
    from markupsafe import Markup

    return Markup(svg(figure, title, themed=True))


def _languages(report: Report) -> "Markup":
    listed = sorted(report.languages, key=lambda one: (-one.texts, one.name))[:SHOWN_LANGUAGES]
    names = [one.name or "none recognised" for one in listed]
    figure = bars(names, [one.kept for one in listed], [one.texts for one in listed])
    return _drawn(figure, "Texts of each language, and how many of them are kept")


def _hosts(report: Report) -> "Markup":
    figure = bars(
        [one.name or "none" for one in report.domains],
        [one.kept for one in report.domains],
        [one.records for one in report.domains],
    )
    return _drawn(figure, "Response records of the sites that most is kept of, and how many are kept")


def _measured(report: Report) -> Sequence[Counts]:
    return report.words, report.kept_words, report.document_tokens


def _lengths(report: Report) -> "Markup":
    longest = max((counts.values[-1] for counts in (report.words, report.kept_words) if counts.values), default=1)
    edges = [2 ** (half / 2) for half in range(2 * max(longest, 2).bit_length() + 1)]
    series = {"as extracted": report.words.bins(edges), "of documents that are kept": report.kept_words.bins(edges)}
    return _drawn(histogram(edges, series, "words of the extracted text"), "Lengths of texts")


def _sizes(report: Report) -> "Markup":
    classes = _clusters(report.clusters)
    figure = bars([label for label, _, _ in classes], [documents for _, _, documents in classes])
    return _drawn(figure, "Documents by the size of their cluster")


def _clusters(clusters: Counts) -> Sequence[tuple[str, int, int]]:
    """Sizes in classes that double: (class, clusters, documents that they had)."""
    largest = clusters.values[-1] if clusters.values else 1
    found = []
    for power in range(max(largest, 1).bit_length()):
        first, last = 2**power, 2 ** (power + 1) - 1
        inside = [
            (size, count) for size, count in zip(clusters.values, clusters.counts, strict=True) if first <= size <= last
        ]
        label = f"{first:,}" if first == last else f"{first:,} to {last:,}"
        found.append((label, sum(count for _, count in inside), sum(size * count for size, count in inside)))
    return found


def _fill(report: Report) -> "Markup":
    seen, xs, ys = 0, [0.0], [0.0]
    for tokens, count in zip(report.fills.values, report.fills.counts, strict=True):
        seen += count
        xs.append(tokens / report.sequence_length)
        ys.append(seen / report.fills.total)
    return _drawn(curve(xs, ys, "fill at most", "sequences"), "Sequences by how full they are")


def _past(report: Report) -> "Markup | None":
    if len(report.history) < 2:
        return None
    panels: dict[str, list[tuple[str, float]]] = {
        "kept, % of records": [(one.snapshot, 100 * one.kept / (one.records or 1)) for one in report.history],
        "documents kept": [(one.snapshot, one.kept) for one in report.history],
        "tokens": [(one.snapshot, one.tokens) for one in report.history],
    }
    return _drawn(history(panels, "{:,.6g}"), "Yields of this snapshot and those before it")
