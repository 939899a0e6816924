"""Opt-out signals: in any spelling, and only when they speak to us."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation_assets.acquisition.consent import OPT_OUT, header_signals, meta_signals


@pytest.mark.parametrize(
    ("values", "signals"),
    [
        (["noai, noimageai"], {"noai", "noimageai"}),
        (["NoAI"], {"noai"}),
        (["noindex", "noai"], {"noai", "noindex"}),
        (["none"], {"noindex", "nofollow"}),
        (["examplebot: noindex"], set()),
        (["examplebot: noindex, noai"], set()),
        (["examplebot: noindex, ccbot: noai"], {"noai"}),
        (["CCBot: noai"], {"noai"}),
        (["curation-assets: noai, noarchive"], {"noai", "noarchive"}),
        (["examplebot: noai", "noimageai"], {"noimageai"}),
        (["max-snippet: 20, noai"], {"noai"}),
        (["unavailable_after: 25 Jun 2030 15:00:00 PST, noai"], {"noai"}),
        (["noairline", "ai", "", ",,:,"], set()),
    ],
)
def test_x_robots_tag(values: list[str], signals: set[str]) -> None:
    assert header_signals([("x-robots-tag", value) for value in values]) == signals


@pytest.mark.parametrize(("value", "found"), [("1", True), (" 1 ", True), ("0", False), ("", False), ("10", False)])
def test_tdm_reservation(value: str, found: bool) -> None:
    expected = {"tdm-reservation"} if found else set()
    assert header_signals([("tdm-reservation", value)]) == expected
    assert meta_signals([("TDM-Reservation", value)]) == expected


@pytest.mark.parametrize(
    ("name", "content", "signals"),
    [
        ("robots", "noai, noimageai", {"noai", "noimageai"}),
        (" ROBOTS ", "  NOINDEX ,NoFollow  ", {"noindex", "nofollow"}),
        ("robots", "noai;noimageai", {"noai", "noimageai"}),
        ("ccbot", "noai", {"noai"}),
        ("examplebot", "noai", set()),
        ("description", "noai", set()),
        ("robots", None, set()),
        (None, "noai", set()),
    ],
)
def test_meta(name: str | None, content: str | None, signals: set[str]) -> None:
    assert meta_signals([(name, content)]) == signals


def test_other_fields_say_nothing() -> None:
    assert header_signals([("x-robots", "noai"), ("server", "noai")]) == set()


@given(st.lists(st.tuples(st.sampled_from(["x-robots-tag", "tdm-reservation"]), st.text())))
def test_any_values(fields: list[tuple[str, str]]) -> None:
    assert header_signals(fields) | meta_signals(fields) <= OPT_OUT | {"noindex", "nofollow", "noarchive"}
