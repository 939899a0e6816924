"""Opt-out signals: what a page's owner says about its use, in HTTP fields and in meta elements.

Sources: `X-Robots-Tag` and meta robots (Google's robots meta tag specification), the `noai` and `noimageai` values
(DeviantArt, 2022), and the TDM Reservation Protocol (W3C community group, 2024; `tdm-reservation: 1`). Which signals
are enforced is the recipe's choice; `OPT_OUT` are those that speak of training.
"""

from __future__ import annotations

from collections.abc import Iterable

OPT_OUT = frozenset({"noai", "noimageai", "tdm-reservation"})
"""The signals that reserve a page from use in training."""

# A directive for a named robot concerns us if the robot is ours or the one that fetched the page.
ROBOTS = frozenset({"curation-assets", "ccbot"})
META_NAMES = ROBOTS | {"robots", "tdm-reservation"}
"""Names (lower case) of the meta elements that `meta_signals` understands."""

_RECORDED = {"noai", "noimageai", "noindex", "nofollow", "noarchive"}
# Directives that have a value of their own, so that the word before the colon is no robot's name.
_VALUED = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})


def header_signals(fields: Iterable[tuple[str, str]]) -> set[str]:
    """The signals in HTTP header fields (names in lower case).

    `X-Robots-Tag` may come several times; `name: directive, directive` speaks to that robot only.
    """
    found: set[str] = set()
    for name, value in fields:
        if name == "x-robots-tag":
            found |= _robots_tag(value)
        elif name == "tdm-reservation" and value.strip() == "1":
            found.add("tdm-reservation")
    return found


def meta_signals(elements: Iterable[tuple[str | None, str | None]]) -> set[str]:
    """The signals in meta elements, given as (name, content)."""
    found: set[str] = set()
    for name, content in elements:
        name = (name or "").strip().lower()
        if name == "tdm-reservation":
            if (content or "").strip() == "1":
                found.add("tdm-reservation")
        elif name == "robots" or name in ROBOTS:
            for token in (content or "").split(","):
                found |= _directive(token)
    return found


def _robots_tag(value: str) -> set[str]:
    found: set[str] = set()
    ours = True
    for token in value.split(","):
        before, colon, after = token.partition(":")
        robot = before.strip().lower()
        if colon and robot not in _VALUED:
            ours = robot in ROBOTS or robot in ("*", "robots")
            token = after
        if ours:
            found |= _directive(token)
    return found


def _directive(token: str) -> set[str]:
    word = token.strip().lower()
    if word == "none":
        return {"noindex", "nofollow"}
    # Some pages separate directives by spaces or semicolons.
    return _RECORDED & set(word.replace(";", " ").split())
