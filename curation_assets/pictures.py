"""What a station shows of its data to people: plots as plain data, and texts before and after.

A plot is drawn twice: large by `plots`, and as a glance, an SVG so small that Dagster's UI shows it at once: it puts
Markdown of 1,000 characters or more behind a link. Everything here may come from the web, so nothing is trusted.

What is shown costs about the same for ten documents as for a billion: distributions are those of a sample, the first
rows of some parts, evenly spread.
"""

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import unified_diff
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation_assets import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from curation_assets.lake.station import Staged

SAMPLED_PARTS, SAMPLED_ROWS = 8, 1024
INLINE = 999
"""Characters of Markdown that Dagster 1.13's UI shows without a click."""
LARGEST = 1e18
"""Values beyond it are not drawn: axes overflow."""
BARS = 24
"""Bars that are drawn at most; the rest are one bar."""
GLANCE_LABEL, STAIRS = 20, 36
"""Characters of a label of a glance, and steps of an outline, at most."""
DIFF_LINES, DIFF_CHARACTERS, AROUND = 24, 160, 40
"""Of each text before and after: lines shown, characters of each, and characters before a difference."""
COMPARED_LINES, LINE = 400, 4000
"""Lines of a text that are compared, and characters of each."""


class Plot(Protocol):
    """Plain data that can be drawn."""

    def figure(self) -> "Figure":
        """The large drawing."""
        ...


@runtime_checkable
class Glanced(Plot, Protocol):
    """A plot that can be seen at a glance too."""

    def glance(self) -> str:
        """An SVG of at most so many characters that `inline` can show it."""
        ...


@dataclass(frozen=True)
class Bars:
    """A length for each label, the first on top."""

    values: Mapping[str, float]
    form: str = "{:,.0f}"

    def figure(self) -> "Figure":
        """See `Plot`."""
        first = dict(islice(self.values.items(), BARS))
        if rest := sum(islice(self.values.values(), BARS, None)):
            first[f"{len(self.values) - BARS} others"] = rest
        return plots.bars(list(first), list(first.values()), form=self.form)

    def glance(self) -> str:
        """See `Plot`."""
        longest = max(self.values.values(), default=0) or 1
        for rows in range(min(len(self.values), 8), -1, -1):
            shown = list(self.values.items())[:rows]
            bars = "".join(
                f"M130 {15 * row + 3}h{round(150 * value / longest)}v10H130z" for row, (_, value) in enumerate(shown)
            )
            texts = "".join(
                f'<text y="{15 * row + 12}">{_short(label)}</text>'
                f'<text x="286" y="{15 * row + 12}">{self.form.format(value)}</text>'
                for row, (label, value) in enumerate(shown)
            )
            svg = _small(15 * max(rows, 1), bars + '"/>' + texts)
            if len(inline(svg)) <= INLINE:
                return svg
        raise AssertionError("an empty glance is short")


@dataclass(frozen=True)
class Histogram:
    """Counts of documents between edges."""

    edges: Sequence[float]
    counts: Sequence[int]
    label: str
    of: str = "documents"
    """What is counted."""
    log: bool = True
    limits: tuple[float, ...] = ()
    """Drawn as lines."""

    def figure(self) -> "Figure":
        """See `Plot`."""
        figure = plots.histogram(self.edges, {"": self.counts}, self.label, self.log)
        figure.axes[0].set_ylabel(self.of)
        for limit in self.limits:
            figure.axes[0].axvline(limit, color=plots.MARK, linewidth=1.4)
        return figure

    def glance(self) -> str:
        """See `Plot`."""
        told = f"{self.label}: {sum(self.counts):,} {self.of}"
        return _outline(self.counts, [_number(self.edges[0]), _short(told, 44), _number(self.edges[-1])])


@dataclass(frozen=True)
class Funnel:
    """What is left after each step; those that dropped nothing are left out."""

    steps: Sequence[plots.Step]

    def figure(self) -> "Figure":
        """See `Plot`."""
        return plots.funnel(self._shown)

    def glance(self) -> str:
        """See `Plot`."""
        begun = [step.left + step.dropped for step in self.steps[:1]]
        left = [step.left for step in self.steps]
        course = begun + left
        places = np.linspace(0, len(course) - 1, min(len(course), STAIRS)).round().astype(int)
        told = [f"{sum(begun):,}", "left after each step", f"{sum(left[-1:]):,}"]
        return _outline([course[place] for place in places], told)

    @property
    def _shown(self) -> list[plots.Step]:
        return [step for step in self.steps if step.dropped] or list(self.steps[-1:])


@dataclass(frozen=True)
class Multiples:
    """Many histograms side by side, by name."""

    panels: Mapping[str, Histogram]

    def figure(self) -> "Figure":
        """See `Plot`."""
        return plots.multiples(
            {name: plots.Panel(one.edges, one.counts, one.limits, one.log) for name, one in self.panels.items()}
        )


@dataclass(frozen=True)
class Shown:
    """What a station shows besides its counters."""

    plots: Mapping[str, Plot] = field(default_factory=dict)
    """By what each is of, in words."""
    texts: str = ""
    """Some texts before and after, as Markdown."""
    dropped: Sequence[Mapping[str, str]] = ()
    """Some documents that were dropped, with what was measured and the limit."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """What is compared from snapshot to snapshot, besides the counters."""


def histogram_of(
    values: np.ndarray, label: str, *, of: str = "documents", log: bool = True, limits: tuple[float, ...] = ()
) -> Histogram:
    """Thirty-two bins over the values that are finite; on a logarithmic axis those from 1 on."""
    finite = values[np.isfinite(values) & (np.abs(values) <= LARGEST)].astype(np.float64)
    if log:
        finite = finite[finite >= 1]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (1.0, 10.0)
    # Limits that nothing comes near would squeeze the data.
    near = [limit for limit in limits if low - (high - low) <= limit <= high + (high - low)]
    low, high = min([low, *near]), max([high, *near])
    if log:
        edges = np.geomspace(max(low, 1.0), max(high, low * 1.1, 1.1) * (1 + 1e-9), 33)
    else:
        edges = np.linspace(low, high if high > low else low + 1, 33)
    counts, _ = np.histogram(finite, edges)
    return Histogram(edges.tolist(), counts.tolist(), label, of, log, tuple(near))


def show_files(staged: "Staged") -> Shown:
    """How the rows are spread over the files, or their bytes where there are no rows."""
    files = [(file.rows, file.bytes) for file in staged.manifest.files]
    if any(rows for rows, _ in files):
        return Shown({"rows_of_files": _of_files([rows for rows, _ in files], "rows of a file")})
    return Shown({"sizes_of_files": _of_files([size for _, size in files], "bytes of a file")})


def _of_files(values: Sequence[int], label: str) -> Plot:
    return histogram_of(np.array(values), label, of="files")


def counts_of(values: pa.Array | pa.ChunkedArray) -> Bars:
    """How often each value occurs, the most frequent first; a null is the value `none`."""
    found = [(str(row["values"] or "none"), row["counts"]) for row in values.value_counts().to_pylist()]
    return Bars(dict(sorted(found, key=lambda one: (-one[1], one[0]))))


def sample(paths: Sequence[Path], columns: list[str], parts: int = SAMPLED_PARTS, rows: int = SAMPLED_ROWS) -> pa.Table:
    """The first `rows` rows of `parts` files, evenly spread; of a file without rows, none."""
    tables = [_first_rows(path, columns, rows) for path in paths[:: max(1, -(-len(paths) // parts))]]
    return pa.concat_tables(tables) if tables else pa.table({name: pa.nulls(0) for name in columns})


def _first_rows(path: Path, columns: list[str], rows: int) -> pa.Table:
    if path.suffix == ".arrow":
        with pa.memory_map(str(path)) as mapped, pa.ipc.open_file(mapped) as reader:
            batches, found = [], 0
            for index in range(reader.num_record_batches):
                if found >= rows:
                    break
                batches.append(reader.get_batch(index).select(columns))
                found += batches[-1].num_rows
            return pa.Table.from_batches(batches, pa.schema([reader.schema.field(name) for name in columns]))[:rows]
    with pq.ParquetFile(path) as file:
        batches = list(islice(file.iter_batches(rows, columns=columns, use_threads=False), 1))
        schema = pa.schema([file.schema_arrow.field(name) for name in columns])
    return pa.Table.from_batches(batches, schema)


def inline(svg: str) -> str:
    """An SVG as a Markdown image. An image runs no script and fetches nothing, whatever its text says."""
    return f"![](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def large(name: str, plot: Plot) -> str:
    """A plot's large drawing as a Markdown image. SVG, for it takes a third of the time and of the bytes of a PNG."""
    figure = plot.figure()
    width, height = (round(plots.POINTS * inches) for inches in figure.get_size_inches())
    # Without a size of its own an image has none in the UI.
    return inline(plots.svg(figure, name).replace("<svg ", f'<svg width="{width}" height="{height}" ', 1))


def _small(height: int, content: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="360" height="{height}" font-family="sans-serif" '
        f'font-size="11" fill="#7b8794"><path fill="#4a90b0" d="{content}</svg>'
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _outline(counts: Sequence[float], labels: Sequence[str]) -> str:
    """Counts as one area above three labels: left, middle, right."""
    highest = max(counts, default=0) or 1
    width = 360 // max(len(counts), 1)
    area = "".join(f"V{46 - round(44 * count / highest)}h{width}" for count in counts)
    left, middle, right = labels
    texts = (
        f'<text y="58">{left}</text><text x="180" y="58" text-anchor="middle">{middle}</text>'
        f'<text x="360" y="58" text-anchor="end">{right}</text>'
    )
    return _small(60, f'M0 46{area}V46z"/>{texts}')


def _short(label: str, most: int = GLANCE_LABEL) -> str:
    """A label for an SVG: short, printable, escaped."""
    cut = label if len(label) <= most else f"{label[: most - 1]}…"
    return plots.escaped(cut)


def compared_texts(texts: Sequence[tuple[str, str, str]]) -> str:
    """Texts before and after as Markdown: (name, before, after), with the lines that differ and those around them.

    It is one block of code, which the UI colours and in which nothing is a link, markup or the end of the block.
    """
    lines: list[str] = []
    for name, before, after in texts:
        lines += [f"@@ {_line(name)} @@", *islice(_differences(before, after), DIFF_LINES), ""]
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", "\n".join(lines))), default=2))
    return "\n".join([f"{fence}diff", *lines, fence]) if lines else ""


def _differences(before: str, after: str) -> Iterator[str]:
    old, new = ([_line(line, LINE) for line in islice(_lines(text), COMPARED_LINES)] for text in (before, after))
    pending: list[str] = []
    for line in islice(unified_diff(old, new, n=1, lineterm=""), 2, None):
        if line.startswith("-") or (line.startswith("+") and pending):
            pending.append(line)
            continue
        yield from _windows(pending)
        pending = []
        yield "  …" if line.startswith("@@") else _line(line)
    yield from _windows(pending)


def _windows(lines: Sequence[str]) -> Iterator[str]:
    """Lines that are taken out, then those that come in: of long ones, the place where they differ."""
    # That blank lines go is of no interest.
    out = [line for line in lines if line.startswith("-") and line[1:].strip()]
    into = [line for line in lines if line.startswith("+")]
    same = [_alike(one[1:], other[1:]) for one, other in zip(out, into, strict=False)]
    for side in (out, into):
        for place, line in enumerate(side):
            alike = same[place] if place < len(same) else 0
            start = alike - AROUND if alike > 2 * AROUND else 0
            yield _line(f"{line[0]}{'…' * bool(start)}{line[1 + start :]}")


def _alike(one: str, other: str) -> int:
    """Characters with which both begin."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def _lines(text: str) -> Iterator[str]:
    start = 0
    while start <= len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield text[start:end]
        start = end + 1


def _line(text: str, most: int = DIFF_CHARACTERS) -> str:
    """Printable and short."""
    cut = text if len(text) <= most else f"{text[:most]}…"
    return "".join(one if one.isprintable() else " " if one.isspace() else "\ufffd" for one in cut)
