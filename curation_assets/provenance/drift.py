"""Drift: how a snapshot differs from those before it, and its yield from the published one.

What is expected of a class is the median of what earlier snapshots of the same recipe had. A difference is worth a
warning when it passes the recipe's threshold and cannot be the noise of small numbers:

- a share: a two-proportion z-test with Yates's correction, at `Z` standard errors (1 in 30,000 by chance);
- a distribution: the population stability index (Siddiqi 2006, Credit Risk Scorecards, who calls 0.1 to 0.25 some
  and more a major shift), whose chance value is distributed as chi-squared with one less than the number of classes,
  times 1/n + 1/m (Yurdakul 2018, Statistical Properties of Population Stability Index); the same `Z`.

Documents count as independent. They are not quite: pages of one site resemble each other.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

import numpy as np
import pyarrow as pa

from curation_assets.lake.lake import Lake
from curation_assets.lake.parts import read_table
from curation_assets.provenance.profile import LENGTHS
from curation_assets.recipes.methods import QualityScores
from curation_assets.recipes.recipe import Drift, Recipe

Z = 4.0
"""Standard errors that a difference must exceed."""

LEAST_POINTS = 0.5
"""Percentage points below which a share's change by a factor is not told."""

LEAST_DOCUMENTS = 5.0
"""Expected documents that a class of a distribution needs to stand by itself (Cochran 1954); others are joined."""

YIELDS, PUBLISHED, LANGUAGES, LENGTHS_CHECK, SCORES = (
    "yields_are_as_before",
    "yield_is_as_published",
    "languages_are_as_before",
    "lengths_are_as_before",
    "scores_are_as_before",
)
CHECKS = {
    YIELDS: "Records, losses and what each gate and method drops are as in earlier snapshots.",
    PUBLISHED: "The share of records that is kept is near the recipe's published yield.",
    LANGUAGES: "Languages have the shares that they had in earlier snapshots, among all texts and those kept.",
    LENGTHS_CHECK: "Texts, and kept documents in tokens, are as long as in earlier snapshots.",
    SCORES: "Language scores, and the signals that gates read, are distributed as in earlier snapshots.",
}
"""What is compared, by the name of the check that tells of it."""

Unit = Literal["share", "PSI", "records"]


@dataclass(frozen=True)
class Finding:
    """One comparison: what was measured, what was expected, and how much may lie between them."""

    check: str
    what: str
    unit: Unit
    measured: float
    expected: float
    low: float
    """Less than this passes the threshold; of a share or a number."""
    high: float
    """More than this passes the threshold."""
    noise: float
    """Differences up to this can be chance: the bound of a share's difference, or of the index."""
    moved: str = ""
    """The classes of a distribution that changed most."""

    @property
    def exceeded(self) -> bool:
        """Whether it is worth a warning."""
        outside = self.measured < self.low or self.measured > self.high
        return outside and abs(self.measured - self.expected) > self.noise

    @property
    def change(self) -> float:
        """By how much it passes what is allowed; 1 is the threshold."""
        room = (self.high if self.measured > self.expected else self.low) - self.expected
        return (self.measured - self.expected) / room if room else 0.0

    @property
    def told(self) -> str:
        """A sentence for a person."""
        if self.unit == "PSI":
            return f"{self.what}: shifted by {self.measured:.2f} (PSI), more than {self.high:g}: {self.moved}"
        measured, expected = self.shown(self.measured), self.shown(self.expected)
        return f"{self.what}: {measured}, expected {expected} ({self.shown(self.low)} to {self.shown(self.high)})"

    def shown(self, value: float) -> str:
        """A value in its unit."""
        if self.unit == "share":
            return f"{100 * value:.3g} %"
        return f"{value:.3f}" if self.unit == "PSI" else f"{value:,.0f}"


@dataclass(frozen=True)
class Report:
    """All findings about a snapshot, and what it was compared with."""

    recipe: str
    snapshot: str
    against: tuple[str, ...]
    """Earlier snapshots, by name."""
    findings: tuple[Finding, ...]
    notes: Mapping[str, str]
    """For a check that compared nothing, why."""
    medians: Mapping[str, float]
    """Of each distribution, from its classes."""

    def of(self, check: str) -> list[Finding]:
        """What one check found, the largest changes first."""
        found = [finding for finding in self.findings if finding.check == check]
        return sorted(found, key=lambda finding: (not finding.exceeded, -finding.change, finding.what))

    def medians_of(self, check: str) -> dict[str, float]:
        """Medians of the distributions that a check compares."""
        return {name: value for name, value in self.medians.items() if check_of(name) == check}

    @property
    def warnings(self) -> list[Finding]:
        """What is worth a warning, in order of the checks."""
        return [finding for check in CHECKS for finding in self.of(check) if finding.exceeded]


def drift(recipe: Recipe, lake: Lake, snapshot: str) -> Report:
    """Compare a snapshot's profile with those of earlier snapshots (by name) of the same recipe in the lake.

    Profiles that another version of the recipe made are left out. Raises `LakeError` when the snapshot has none.
    """
    key = (recipe.name, "profile")
    own = lake.partition(key, snapshot)
    version = (own.manifest().params or {}).get("recipe")
    before = sorted((name for name in lake.snapshots(key) if name < snapshot), reverse=True)
    alike = [name for name in before if (lake.partition(key, name).manifest().params or {}).get("recipe") == version]
    chosen = sorted(alike[: recipe.drift.earlier])
    (path,) = own.paths(".parquet")
    earlier = {name: read_table(lake.partition(key, name).paths(".parquet")[0]) for name in chosen}
    report = compare(recipe, snapshot, read_table(path), earlier)
    if not chosen and before:
        note = f"nothing to compare with yet: another version of the recipe made {', '.join(sorted(before))}"
        return replace(report, notes=dict.fromkeys(report.notes, note) | _published_note(recipe))
    return report


def compare(recipe: Recipe, snapshot: str, own: pa.Table, earlier: Mapping[str, pa.Table]) -> Report:
    """What differs between a profile and earlier ones, and between its yield and the published one.

    Args:
        recipe: names, thresholds and published yield.
        snapshot: whose profile it is.
        own: as `PROFILE`.
        earlier: profiles of the snapshots to compare with.
    """
    now, then = _by_measure(own), [_by_measure(table) for _, table in sorted(earlier.items())]
    notes = {} if then else dict.fromkeys([name for name in CHECKS if name != PUBLISHED], "nothing to compare with yet")
    notes |= _published_note(recipe)
    found: list[Finding] = []
    if then:
        found += _records(recipe.drift, now, then)
        found += _shares(recipe.drift, now, then)
        found += _distributions(recipe.drift, now, then)
    if PUBLISHED not in notes and recipe.published_yield is not None:
        found.append(_published(recipe.drift, now, recipe.published_yield))
    medians = {name: _median(classes) for name, classes in now.items() if check_of(name) in (LENGTHS_CHECK, SCORES)}
    return Report(recipe.name, snapshot, tuple(sorted(earlier)), tuple(found), notes, medians)


def _published_note(recipe: Recipe) -> dict[str, str]:
    if recipe.published_yield is None:
        return {PUBLISHED: "the recipe states no published yield"}
    if any(isinstance(method, QualityScores) and method.model is None for method in recipe.methods):
        return {PUBLISHED: "not comparable: no classifier is given, which the published yield is with"}
    return {}


Classes = dict[str, tuple[int, int]]
"""Documents and population of each class of a measure, in order."""


def _by_measure(table: pa.Table) -> dict[str, Classes]:
    measures: dict[str, Classes] = {}
    for row in table.to_pylist():
        measures.setdefault(row["measure"], {})[row["class"]] = (row["documents"], row["of"])
    return measures


def _total(classes: Classes) -> int:
    return sum(documents for documents, _ in classes.values())


def check_of(measure: str) -> str:
    """The check that a measure of a profile belongs to."""
    if measure in ("records", "kept", "lost", "taken_down", "dropped"):
        return YIELDS
    if measure in ("languages", "languages_kept"):
        return LANGUAGES
    return LENGTHS_CHECK if measure in LENGTHS else SCORES


def _records(limits: Drift, now: dict[str, Classes], then: Sequence[dict[str, Classes]]) -> Iterator[Finding]:
    """Response records in a WARC file, where the noise is that of a count (Poisson)."""
    ((records, files),) = now["records"].values()
    before = [next(iter(one["records"].values())) for one in then]
    expected, counted = median(n / m for n, m in before), median(m for _, m in before)
    measured = records / files
    noise = Z * (measured / files + expected / counted) ** 0.5
    low, high = expected / limits.factor, expected * limits.factor
    yield Finding(YIELDS, "records in a WARC file", "records", measured, expected, low, high, noise)


def _shares(limits: Drift, now: dict[str, Classes], then: Sequence[dict[str, Classes]]) -> Iterator[Finding]:
    for measure, told in (("kept", "kept, {}"), ("lost", "lost: {}"), ("dropped", "dropped by {}")):
        classes = dict.fromkeys(name for one in (now, *then) for name in one.get(measure, {}))
        for name in classes:
            documents, of = _share(now, measure, name)
            before = [_share(one, measure, name) for one in then]
            if not of or not any(m for _, m in before):
                continue
            measured = documents / of
            expected = median(n / m for n, m in before if m)
            low, high = _limits(expected, limits)
            noise = _noise(measured, of, expected, median(m for _, m in before if m))
            yield Finding(YIELDS, told.format(name), "share", measured, expected, low, high, noise)


def _share(measures: dict[str, Classes], measure: str, name: str) -> tuple[int, int]:
    """Documents of a class and of all; a loss that did not occur is none of all records."""
    records = next(iter(measures["records"].values()))[0] if measure == "lost" else 0
    return measures.get(measure, {}).get(name, (0, records))


def _limits(expected: float, limits: Drift) -> tuple[float, float]:
    """What a share may be: within so many points, and within a factor unless that is less than `LEAST_POINTS`."""
    points, least = limits.points / 100, LEAST_POINTS / 100
    above = min(points, max(expected * (limits.factor - 1), least))
    below = min(points, max(expected * (1 - 1 / limits.factor), least))
    return max(0.0, expected - below), min(1.0, expected + above)


def _noise(one: float, n: float, other: float, m: float) -> float:
    """The largest difference of two shares, of n and m documents, that may be chance."""
    pooled = (one * n + other * m) / (n + m)
    return Z * (pooled * (1 - pooled) * (1 / n + 1 / m)) ** 0.5 + (1 / n + 1 / m) / 2


def _published(limits: Drift, now: dict[str, Classes], published: float) -> Finding:
    """The share kept beside the published one, which is taken for exact: a one-proportion test."""
    kept, records = now["kept"]["of records"]
    noise = Z * (published * (1 - published) / records) ** 0.5 + 1 / (2 * records) if records else 1.0
    low, high = published / limits.published_factor, published * limits.published_factor
    return Finding(PUBLISHED, "kept, of records", "share", kept / max(records, 1), published, low, high, noise)


def _distributions(limits: Drift, now: dict[str, Classes], then: Sequence[dict[str, Classes]]) -> Iterator[Finding]:
    names = {"languages": "languages of texts", "languages_kept": "languages of what is kept"}
    for measure, classes in now.items():
        before = [one[measure] for one in then if _total(one.get(measure, {}))]
        if check_of(measure) == YIELDS or not before or not _total(classes):
            continue
        labels = list(dict.fromkeys(name for one in (classes, *before) for name in one))
        counts = np.array([classes.get(name, (0, 0))[0] for name in labels], np.float64)
        shares = np.array([[one.get(name, (0, 0))[0] for name in labels] for one in before], np.float64)
        shares /= shares.sum(1, keepdims=True)
        expected = np.median(shares, 0)
        expected = expected / expected.sum() if expected.sum() else shares.mean(0)
        m = median(_total(one) for one in before)
        index, noise = stability(counts, expected * m)
        moved = counts / counts.sum() - expected
        largest = [place for place in np.argsort(-abs(moved), kind="stable")[:3] if abs(moved[place]) >= 0.0005]
        told = ", ".join(
            f"{labels[place]} {100 * (expected[place] + moved[place]):.3g} % (was {100 * expected[place]:.3g} %)"
            for place in largest
        )
        what = names.get(measure, measure)
        yield Finding(check_of(measure), what, "PSI", index, 0.0, -1.0, limits.psi, noise, told)


def stability(measured: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """The population stability index of two histograms over the same classes, and the largest that may be chance.

    Classes of which either side would have fewer than `LEAST_DOCUMENTS` if they were alike are joined into one; half
    a document is added to each class, so that an empty one has a logarithm.

    Args:
        measured: documents in each class, float64.
        expected: documents expected in each class; the sums may differ.
    """
    n, m = measured.sum(), expected.sum()
    pooled = (measured + expected) / (n + m)
    alone = pooled * min(n, m) >= LEAST_DOCUMENTS
    sides = [np.append(side[alone], side[~alone].sum()) for side in (measured, expected)]
    if alone.all():
        sides = [side[:-1] for side in sides]
    p, q = [(side + 0.5) / (side.sum() + 0.5 * len(side)) for side in sides]
    index = float(((p - q) * np.log(p / q)).sum())
    freedom = len(p) - 1
    return index, float(_chi_squared(freedom) * (1 / n + 1 / m)) if freedom else 0.0


def _chi_squared(freedom: int) -> float:
    """The value that chi-squared passes as rarely as a normal variable passes `Z` (Wilson and Hilferty 1931)."""
    spread = 2 / (9 * freedom)
    return freedom * (1 - spread + Z * spread**0.5) ** 3


def _median(classes: Classes) -> float:
    """Of a distribution, from the classes it is kept in, evenly filled."""
    half, seen = _total(classes) / 2, 0
    for name, (documents, _) in classes.items():
        if documents and seen + documents >= half:
            low, _, high = name.partition("-")
            start = 0.0 if low.startswith("<") else float(low)
            return start + (float(high or start) - start) * (half - seen) / documents
        seen += documents
    return 0.0
