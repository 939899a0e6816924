"""What is drawn, from whatever data: well-formed, inert, the same every time."""

import struct
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.plots import (
    DROPPED,
    INK,
    KEPT,
    THEME,
    Step,
    bars,
    curve,
    funnel,
    histogram,
    history,
    lines,
    png,
    svg,
)

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert(1)</script>\x00$x_{1}$\n\"' onload=alert(1)"

FIGURES: dict[str, Callable[[], Any]] = {
    "funnel": lambda: funnel([Step("records", 0, 100), Step("gate", 60, 40)], published=0.1),
    "funnel of nothing": lambda: funnel([Step("records", 0, 0), Step("gate", 0, 0)]),
    "empty funnel": lambda: funnel([]),
    "bars": lambda: bars(["a", "b"], [3, 1], of=[4, 2]),
    "no bars": lambda: bars([], []),
    "zero bars": lambda: bars(["a"], [0]),
    "histogram": lambda: histogram([1, 10, 100, 1000], {"all": [5, 6, 1], "kept": [0, 2, 1]}, "words"),
    "empty histogram": lambda: histogram([1, 10], {"all": [0]}, "words"),
    "curve": lambda: curve([0, 0.5, 1], [0, 0.2, 1], "fill", "sequences"),
    "empty curve": lambda: curve([], [], "fill", "sequences"),
    "lines": lambda: lines([1, 4, 16], {"tokens": [1, 3, 9.5], HOSTILE: [1, 3, 10]}, "pages", "seconds"),
    "no lines": lambda: lines([1, 4], {}, "pages", "seconds"),
    "history": lambda: history({"kept": [("2024", 0.1), ("2025", 0.2)], "tokens": [("2025", 3e9)]}),
    "no history": lambda: history({}),
}


def texts(drawn: str) -> list[str]:
    return ["".join(element.itertext()) for element in ElementTree.fromstring(drawn).iter(f"{SVG}text")]


@pytest.mark.parametrize("name", FIGURES)
def test_the_same_data_is_the_same_picture(name: str):
    one, other = FIGURES[name](), FIGURES[name]()
    assert svg(one, name) == svg(other, name) == svg(one, name)
    assert png(one) == png(other)


@pytest.mark.parametrize("name", FIGURES)
def test_a_picture_is_one_element_that_says_what_it_shows(name: str):
    root = ElementTree.fromstring(svg(FIGURES[name](), name))
    assert root.tag == f"{SVG}svg"
    assert root.findtext(f"{SVG}title") == root.get("aria-label") == name
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        *("svg", "title", "defs", "g", "path", "use", "text", "tspan", "clipPath", "rect")
    }


def test_bars_are_as_long_as_the_shares():
    def ends(colour: str) -> list[tuple[float, float]]:
        root = ElementTree.fromstring(svg(FIGURES["funnel"](), "x"))
        found = [path for path in root.iter(f"{SVG}path") if path.get("style", "") == f"fill: {colour}"]
        corners = [[float(word) for word in path.get("d", "").split()[1::3]] for path in found]
        return [(min(xs), max(xs)) for xs in corners]

    whole, left = ends(KEPT)
    nothing, dropped = ends(DROPPED)
    width = whole[1] - whole[0]
    assert (left[1] - left[0]) / width == pytest.approx(0.4, abs=1e-4)
    assert (dropped[1] - dropped[0]) / width == pytest.approx(0.6, abs=1e-4)
    assert nothing[0] == nothing[1]


def test_figures_stand_beside_the_bars():
    told = texts(svg(funnel([Step("records", 0, 1234), Step("gate", 234, 1000)], 0.5), "x"))
    assert {"records", "gate", "1,234", "1,000  −234"} <= set(told)
    assert any("published 50.00%" in one for one in told)


def test_a_theme_replaces_every_colour_and_the_background():
    drawn = svg(FIGURES["funnel"](), "x", themed=True)
    assert not any(colour in drawn for colour in [*THEME, "#ffffff"])
    assert f"var({THEME[INK]})" in drawn


def test_hostile_labels_are_text():
    drawn = svg(bars([HOSTILE, "$\\frac{1}{2}$"], [2, 1]), HOSTILE)
    root = ElementTree.fromstring(drawn)
    assert not list(root.iter(f"{SVG}script"))
    assert not [name for element in root.iter() for name in element.keys() if name.startswith("on")]  # noqa: SIM118
    assert any(text.startswith("<script>alert(1)</script>") for text in texts(drawn))
    assert "$\\frac{1}{2}$" in texts(drawn)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=3), st.text(max_size=60))
def test_any_text_can_be_drawn(labels: list[str], title: str):
    figure = bars(labels, [1.0] * len(labels))
    drawn = texts(svg(figure, title))
    assert all(len(text) <= 40 for text in drawn)
    assert struct.unpack(">II", png(figure, scale=1)[16:24])[0] == 720


def test_settings_of_this_machine_decide_nothing():
    import matplotlib

    expected = svg(FIGURES["bars"](), "x")
    with matplotlib.rc_context({"font.size": 30, "text.usetex": True, "svg.fonttype": "path"}):
        assert svg(FIGURES["bars"](), "x") == expected
