"""What stations show: plots at a glance and large, texts before and after, and nothing that a page could smuggle in."""

import base64
import re
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.filtering.showing import blacked_out
from curation_assets.lake.station import Staged
from curation_assets.pictures import (
    INLINE,
    Bars,
    Funnel,
    Glanced,
    Histogram,
    Plot,
    compared_texts,
    counts_of,
    histogram_of,
    inline,
    large,
    sample,
    show_files,
)
from curation_assets.plots import Step
from curation_tests.conftest import Curated

HOSTILE = [
    "<script>alert(1)</script>",
    "```\n# out of the block\n[link](javascript:alert(1))",
    " ```\n~~~\n![x](https://tracker.example/x.png)",
    "\x00\x1b[31m\u202ereversed\ud7ff",
    "|pipes|`ticks`|<img src=x onerror=alert(1)>|",
    "x" * 3_000_000,
]


def drawn(markdown: str) -> ElementTree.Element:
    """The SVG in a Markdown image; fails when there is anything else."""
    match = re.fullmatch(r"!\[\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", markdown)
    assert match, markdown[:200]
    svg = ElementTree.fromstring(base64.b64decode(match[1]))
    assert svg.tag == "{http://www.w3.org/2000/svg}svg"
    assert not [one for one in svg.iter() if one.tag.rpartition("}")[2] in ("script", "foreignObject", "image", "a")]
    return svg


@pytest.mark.parametrize("recipe", ["fineweb", "fineweb2", "refinedweb", "dclm_baseline", "every_method"])
def test_every_station_shows_a_plot_that_can_be_seen(curated: dict[str, Curated], recipe: str) -> None:
    for staged in curated[recipe].staged.values():
        shown = (staged.station.show or show_files)(staged)
        assert [name for name, plot in shown.plots.items() if isinstance(plot, Glanced)], staged.station.name
        for name, plot in shown.plots.items():
            assert len(list(drawn(large(name, plot)).iter())) > 5
            if isinstance(plot, Glanced):
                assert len(inline(plot.glance())) <= INLINE
                drawn(inline(plot.glance()))


def test_the_funnel_ends_with_what_is_kept_and_drops_what_the_counters_say(staged: dict[str, Staged]) -> None:
    station = staged["verdicts"].station
    assert station.show is not None
    funnel = station.show(staged["verdicts"]).plots["funnel"]
    assert isinstance(funnel, Funnel)
    stats = staged["verdicts"].manifest.stats
    assert funnel.steps[-1].left == stats["rows_out"]
    assert {step.name: step.dropped for step in funnel.steps if step.dropped} == {
        name.removeprefix("dropped."): count for name, count in stats.items() if name.startswith("dropped.")
    }
    names = [step.name for step in funnel.steps]
    assert names.index("mime_not_html") < names.index("language") < names.index("minhash_duplicate")


def test_dropped_documents_are_shown_with_value_and_limit(staged: dict[str, Staged]) -> None:
    show = staged["verdicts"].station.show
    assert show is not None
    rows = show(staged["verdicts"]).dropped
    scored = [row for row in rows if row["verdict"] == "language"]
    assert scored and all(row["document"].startswith("http") for row in rows)
    assert any(row["value"] and row["limit"] for row in rows)


def test_texts_before_and_after_show_the_edit_and_no_personal_data(curated: dict[str, Curated]) -> None:
    staged = curated["every_method"].staged["pii_spans"]
    assert staged.station.show is not None
    texts = staged.station.show(staged).texts
    before = [line for line in texts.split("\n") if line.startswith("-")]
    after = [line for line in texts.split("\n") if line.startswith("+")]
    assert before and all("█████" in line for line in before)
    assert after and all("email@example.com" in line for line in after)
    assert set(re.findall(r"\S+@\S+?\.\w+", texts)) <= {"email@example.com", "firstname.lastname@example.org"}
    mended = curated["every_method"].staged["encoding_edits"]
    assert mended.station.show is not None
    assert "+The café was naïve" in mended.station.show(mended).texts


def test_what_is_shown_does_not_depend_on_who_asks_twice(staged: dict[str, Staged]) -> None:
    for one in staged.values():
        shown = [(one.station.show or show_files)(one) for _ in range(2)]
        assert shown[0] == shown[1]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_text_stays_inside_its_block_of_code(text: str) -> None:
    shown = compared_texts([(text, text, f"{text}\nmore"), (text, "", text)])
    lines = shown.split("\n")
    fence = re.match("`+", shown)
    assert fence and lines[0] == f"{fence[0]}diff" and lines[-1] == fence[0]
    inside = "\n".join(lines[1:-1])
    assert not re.search(f"`{{{len(fence[0])},}}", inside)
    assert len(shown) < 20_000
    assert all(one.isprintable() or one == "\n" for one in inside)


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_texts_make_one_closed_block(before: str, after: str) -> None:
    shown = compared_texts([(before, before, after)])
    fence = re.match("`+", shown)
    assert fence is not None
    closing = [line for line in shown.split("\n")[1:] if re.fullmatch(rf" {{0,3}}`{{{len(fence[0])},}}\s*", line)]
    assert len(closing) == 1


@settings(max_examples=30)
@given(st.dictionaries(st.text(max_size=60), st.integers(0, 10**12), max_size=40))
def test_bars_with_any_labels_are_a_well_formed_glance(values: dict[str, int]) -> None:
    svg = drawn(inline(Bars(values).glance()))
    texts = [one.text or "" for one in svg.iter() if one.tag.endswith("text")]
    assert all(text.isprintable() for text in texts)


@pytest.mark.parametrize("values", [[], [0], [1, 1, 1], [np.nan, np.inf], [1e300, 1], [-5, 5], [7]])
@pytest.mark.parametrize("log", [False, True])
def test_any_numbers_have_a_histogram(values: list[float], log: bool) -> None:
    histogram = histogram_of(np.array(values), "x", log=log, limits=(3.0, 1e9))
    assert len(histogram.edges) == len(histogram.counts) + 1
    assert all(np.diff(histogram.edges) > 0)
    drawn(inline(histogram.glance()))
    drawn(large("x", histogram))


@pytest.mark.parametrize(
    "plot",
    [Bars({}), Funnel([]), Funnel([Step("a", 0, 0)]), Histogram([1, 2], [0], "x"), counts_of(pa.array(["a", None]))],
)
def test_plots_of_nothing_are_drawn(plot: Plot) -> None:
    drawn(large("x", plot))
    assert isinstance(plot, Glanced)
    drawn(inline(plot.glance()))


def test_an_outline_of_a_long_funnel_is_short() -> None:
    steps = [Step(f"gate {n}", 10**9, 10**12 - n * 10**9) for n in range(1, 400)]
    assert len(inline(Funnel(steps).glance())) <= INLINE


def test_personal_data_is_blacked_out_and_what_stands_for_it_is_not() -> None:
    text = "ä me@site.example, email@example.com and 8.8.8.8"
    assert blacked_out(text) == "ä ███████████████, email@example.com and ███████"


def test_a_sample_of_many_files_reads_few(staged: dict[str, Staged]) -> None:
    paths = staged["languages"].paths()
    assert sample(paths * 50, ["doc"], parts=8, rows=5).num_rows == 40
    assert sample([], ["doc"]).num_rows == 0
