"""Plots: the one place that draws. Plain data in, a Matplotlib figure out, and that as SVG or PNG.

Same data, same bytes: no clock, no random ids, no layout that depends on measured text. What is drawn may come from the
web, so labels are cut, lose what no font can draw, and are never read as mathematics.

The figures know nothing of `pyplot`, whose state is global; Matplotlib is imported when something is drawn.
"""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABEL = 40
"""Characters of a label that are drawn."""

INK, MUTED, GRID = "#1b2733", "#5b6875", "#d5dbe1"
KEPT, DROPPED, MARK = "#2f6f8f", "#e3a68c", "#8f2f4f"
THEME = {INK: "--ink", MUTED: "--muted", GRID: "--grid", KEPT: "--kept", DROPPED: "--dropped", MARK: "--mark"}
"""The CSS custom property that stands for each colour in a themed SVG."""

WIDTH = 7.2
"""Of every figure, inches of 100 points."""
ROW = 0.26
"""Height of a bar and the space around it, inches."""
POINTS = 100
"""Points (SVG user units, PNG pixels at scale 1) an inch."""

STYLE: Any = {
    "figure.dpi": POINTS,
    "savefig.dpi": POINTS,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "axes.formatter.use_mathtext": False,
    "axes.unicode_minus": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "curation-assets",
}


@dataclass(frozen=True)
class Step:
    """A row of a funnel: what came to it is `left` and `dropped` together."""

    name: str
    dropped: int
    left: int


def funnel(steps: Sequence[Step], published: float | None = None) -> "Figure":
    """Bars of what each step leaves, with what it dropped as their pale ends.

    Args:
        steps: in order; the whole of the first is the full width.
        published: share of the first that a source says is left at the end, drawn as a line.
    """
    total = max((step.dropped + step.left for step in steps[:1]), default=0) or 1
    with _style():
        figure, axes = _rows([step.name for step in steps], 0.05 if published is None else 0.25)
        places = range(len(steps))
        axes.barh(places, [step.left / total for step in steps], 0.72, color=KEPT)
        axes.barh(
            places, [step.dropped / total for step in steps], 0.72, [step.left / total for step in steps], color=DROPPED
        )
        for place, step in zip(places, steps, strict=True):
            told = f"{step.left:,}" + (f"  −{step.dropped:,}" if step.dropped else "")
            axes.text((step.left + step.dropped) / total + 0.012, place, told, va="center")
        if published is not None:
            axes.axvline(published, color=MARK, linewidth=1.4)
            axes.text(published, len(steps) - 0.42, f" published {published:.2%}", color=MARK, va="top")
        axes.set_xlim(0, 1)
    return figure


def bars(
    labels: Sequence[str], values: Sequence[float], of: Sequence[float] | None = None, form: str = "{:,.0f}"
) -> "Figure":
    """Horizontal bars, the first on top, each with its value.

    Args:
        labels: what each bar stands for.
        values: lengths, none negative.
        of: the wholes that the values are parts of, drawn pale behind them.
        form: how a value is written.
    """
    wholes = of or values
    longest = max(wholes, default=0) or 1
    with _style():
        figure, axes = _rows(labels)
        places = range(len(labels))
        if of is not None:
            axes.barh(places, [whole / longest for whole in of], 0.72, color=DROPPED)
        axes.barh(places, [value / longest for value in values], 0.72, color=KEPT)
        for place, value, whole in zip(places, values, wholes, strict=True):
            told = form.format(value) + (f" of {form.format(whole)}" if of is not None else "")
            axes.text(max(value, whole) / longest + 0.012, place, told, va="center")
        axes.set_xlim(0, 1)
    return figure


def histogram(edges: Sequence[float], series: Mapping[str, Sequence[int]], label: str, log: bool = True) -> "Figure":
    """Counts in bins, the first series pale behind the others.

    Args:
        edges: of the bins, ascending, above 0 on a logarithmic axis; one more than there are counts.
        series: counts of each bin, by name; the first is drawn pale when there are several.
        label: of the horizontal axis.
        log: whether that is logarithmic.
    """
    with _style():
        figure, axes = _plane(2.6, above=0.35 if len(series) > 1 else 0.1)
        for number, (name, counts) in enumerate(series.items()):
            pale = number == 0 and len(series) > 1
            axes.stairs(counts, edges, fill=True, color=DROPPED if pale else KEPT, label=_label(name))
        if log:
            axes.set_xscale("log")
        _ticks(axes, label, "documents")
        if len(series) > 1:
            axes.legend(loc="lower right", bbox_to_anchor=(1, 0.97), ncols=len(series), borderaxespad=0)
    return figure


def curve(x: Sequence[float], y: Sequence[float], label: str, of: str) -> "Figure":
    """A line of shares from 0 to 1, such as a cumulative distribution, with the area below it.

    Args:
        x: ascending.
        y: as many shares.
        label: of the horizontal axis.
        of: what the shares are of: the label of the vertical axis.
    """
    with _style():
        figure, axes = _plane(2.3)
        axes.fill_between(x, y, step="post", color=DROPPED, alpha=0.4, linewidth=0)
        axes.step(x, y, where="post", color=KEPT, linewidth=1.6)
        axes.set_ylim(0, 1.04)
        _ticks(axes, label, of)
    return figure


def lines(x: Sequence[float], series: Mapping[str, Sequence[float]], label: str, of: str) -> "Figure":
    """Lines on logarithmic axes, each named at its end; one of slope 1, dashed, is what grows as `x` does.

    Args:
        x: ascending, above 0.
        series: as many values of each line, above 0.
        label: of the horizontal axis.
        of: of the vertical axis.
    """
    with _style():
        figure, axes = _plane(3.6)
        axes.set_xscale("log")
        axes.set_yscale("log")
        ends = sorted((values[-1], name) for name, values in series.items())
        place = 0.0
        for number, (last, name) in enumerate(ends):
            colour = (KEPT, MARK, MUTED)[number % 3]
            axes.plot(x, series[name], color=colour, linewidth=1.4, marker="o", markersize=3)
            place = max(last, place * 1.25)
            axes.annotate(f"  {_label(name)}", (x[-1], place), color=colour, va="center", annotation_clip=False)
        if ends:
            top = ends[-1][0]
            axes.plot([x[0], x[-1]], [top * x[0] / x[-1], top], color=GRID, linewidth=1, linestyle="--", zorder=0)
        axes.set_xlim(x[0] * 0.9, x[-1] * 4)
        _ticks(axes, label, of)
        axes.set_xticks(list(x), [f"{value:,.0f}" for value in x])
    return figure


def history(panels: Mapping[str, Sequence[tuple[str, float]]], form: str = "{:,.4g}") -> "Figure":
    """Small multiples over snapshots: one line for each figure, its last value written at its end.

    Args:
        panels: (snapshot, value) in order of snapshots, by the figure's name.
        form: how a value is written.
    """
    from matplotlib.figure import Figure

    snapshots = sorted({snapshot for points in panels.values() for snapshot, _ in points})
    left, right, panel, foot = 2.2, 1.0, 0.62, 0.3
    height = panel * max(len(panels), 1) + foot
    with _style():
        figure = Figure((WIDTH, height))
        for number, (name, points) in enumerate(panels.items()):
            bottom = (height - panel * (number + 1) + 0.1) / height
            axes = figure.add_axes((left / WIDTH, bottom, (WIDTH - left - right) / WIDTH, (panel - 0.2) / height))
            places = [snapshots.index(snapshot) for snapshot, _ in points]
            values = [value for _, value in points]
            axes.plot(places, values, color=KEPT, linewidth=1.6, marker="o", markersize=3)
            axes.text(-0.02, 0.5, _label(name), transform=axes.transAxes, ha="right", va="center")
            for last in list(zip(places, values, strict=True))[-1:]:
                axes.annotate(f"  {form.format(last[1])}", last, va="center", annotation_clip=False)
            axes.set_xlim(-0.3, max(len(snapshots) - 0.7, 0.3))
            axes.margins(y=0.25)
            axes.set_axis_off()
        for place, side, snapshot in ((left, "left", snapshots[:1]), (WIDTH - right, "right", snapshots[1:][-1:])):
            figure.text(place / WIDTH, 0.06 / height, _label("".join(snapshot)), ha=side, color=MUTED)
    return figure


@dataclass(frozen=True)
class Panel:
    """A small histogram."""

    edges: Sequence[float]
    counts: Sequence[int]
    limits: Sequence[float] = ()
    """Drawn as lines."""
    log: bool = False


def multiples(panels: Mapping[str, Panel], columns: int = 3) -> "Figure":
    """Small histograms in rows of so many, each under its name."""
    from matplotlib.figure import Figure

    rows = max(-(-len(panels) // columns), 1)
    height, across = 1.15, (WIDTH - 0.2) / columns
    with _style():
        figure = Figure((WIDTH, height * rows))
        for number, (name, panel) in enumerate(panels.items()):
            row, column = divmod(number, columns)
            left, bottom = 0.15 + column * across, height * (rows - 1 - row) + 0.28
            place = (left / WIDTH, bottom / (height * rows), (across - 0.2) / WIDTH, 0.6 / (height * rows))
            axes = figure.add_axes(place)
            axes.stairs(panel.counts, panel.edges, fill=True, color=KEPT)
            for limit in panel.limits:
                axes.axvline(limit, color=MARK, linewidth=1.2)
            if panel.log:
                axes.set_xscale("log")
            axes.minorticks_off()
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
            ends = [panel.edges[0], *panel.limits[:1], panel.edges[-1]]
            axes.set_xticks(ends, [f"{end:.3g}" for end in ends], fontsize=7)
            axes.tick_params(length=0)
            axes.set_title(_label(name), fontsize=8, color=INK, loc="left", pad=3)
    return figure


def svg(figure: "Figure", title: str, themed: bool = False) -> str:
    """An `<svg>` element whose text is text.

    Args:
        figure: as the functions above make it.
        title: what it shows, for those who do not see it.
        themed: whether it goes into a page with the custom properties of `THEME`, and has no background of its own.
    """
    content = io.BytesIO()
    with _style():
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(content, format="svg", facecolor="none" if themed else "#ffffff", metadata=nothing)
    text = content.getvalue().decode()
    head, _, body = text[text.index("<svg") :].partition(">")
    box = re.search(r'viewBox="[0-9. ]+"', head)
    # Ids of groups mean nothing and would occur twice in a page; those that are referred to are hashes of content.
    body = re.sub(r'<g id="[a-z0-9_.]+"', "<g", body)
    # Matplotlib's style sheet would be that of the whole page: its rules stand on the element instead.
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", body, count=1, flags=re.DOTALL)
    if themed:
        for colour, name in THEME.items():
            body = body.replace(colour, f"var({name})")
    told = escaped(title)
    assert box is not None
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {box[0]} '
        f'stroke-linejoin="round" role="img" aria-label="{told}"><title>{told}</title>{body}'
    )


def png(figure: "Figure", scale: float = 2) -> bytes:
    """A PNG of `scale` pixels a point, on white."""
    content = io.BytesIO()
    with _style():
        figure.savefig(content, format="png", dpi=scale * POINTS, facecolor="#ffffff", metadata={"Software": None})
    return content.getvalue()


@contextmanager
def _style() -> Iterator[None]:
    """Our settings and the library's own, whatever this machine's are."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def _rows(labels: Sequence[str], below: float = 0.05) -> tuple["Figure", "Axes"]:
    """Axes for horizontal bars, the first on top, with room beside them for values, and `below` inches under them."""
    from matplotlib.figure import Figure

    drawn = [_label(label) for label in labels]
    left = min(0.3 + 0.072 * max(map(len, drawn), default=0), 0.45 * WIDTH)
    right = 1.75
    height = ROW * max(len(labels), 1) + below + 0.05
    figure = Figure((WIDTH, height))
    axes = figure.add_axes((left / WIDTH, below / height, (WIDTH - left - right) / WIDTH, 1 - (below + 0.05) / height))
    axes.set_ylim(max(len(labels), 1) - 0.5, -0.5)
    axes.set_yticks(range(len(labels)), drawn, color=INK)
    axes.tick_params(length=0)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    return figure, axes


def _plane(height: float, above: float = 0.1) -> tuple["Figure", "Axes"]:
    """Axes for a curve or a histogram, with `above` inches over them."""
    from matplotlib.figure import Figure

    figure = Figure((WIDTH, height))
    return figure, figure.add_axes((0.8 / WIDTH, 0.5 / height, (WIDTH - 1) / WIDTH, 1 - (0.5 + above) / height))


def _ticks(axes: "Axes", label: str, vertical: str) -> None:
    from matplotlib.ticker import FuncFormatter

    short = FuncFormatter(lambda value, _: f"{value:,.12g}")
    axes.set_xlabel(_label(label))
    axes.set_ylabel(_label(vertical))
    axes.grid(True, axis="y")
    axes.tick_params(length=0)
    axes.yaxis.set_major_formatter(short)
    axes.xaxis.set_major_formatter(short)
    axes.minorticks_off()


@cache
def _font() -> Any:
    """The face that every label is drawn with."""
    from matplotlib.font_manager import findfont, get_font

    return get_font(findfont("DejaVu Sans"))


def _label(text: str) -> str:
    """Text as it can be drawn: on one line, cut to `LABEL` characters, U+FFFD for what the font has not."""
    cut = text if len(text) <= LABEL else f"{text[: LABEL - 1]}…"
    return "".join(one if one.isprintable() and _font().get_char_index(ord(one)) else "\ufffd" for one in cut)


def escaped(text: str) -> str:
    """A text for SVG and HTML; what cannot be printed becomes a replacement character."""
    from html import escape

    return escape("".join(one if one.isprintable() else "\ufffd" for one in text))
