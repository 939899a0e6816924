"""Drift is told when it is there, and not when nothing but chance is."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation_assets.lake.lake import Lake
from curation_assets.lake.parts import PartWriter
from curation_assets.provenance.drift import (
    CHECKS,
    LANGUAGES,
    LENGTHS_CHECK,
    PUBLISHED,
    SCORES,
    YIELDS,
    Report,
    compare,
    drift,
    stability,
)
from curation_assets.provenance.profile import PROFILE
from curation_assets.recipes.loading import RecipeError, load_recipe
from curation_assets.recipes.recipe import Recipe

TEXT = """\
name: small
description: Two gates.
extraction: {extractor: resiliparse}
consent: []
language: {languages: [en]}
published_yield: 0.5
stations:
- language: {language: language_kept < 1}
- size: {too_short: words < 50}
drift:
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    path = tmp_path_factory.mktemp("recipe") / "small.yaml"
    path.write_text(TEXT + "  earlier: 3\n")
    return load_recipe(str(path))


def with_limits(recipe: Recipe, **limits: float) -> Recipe:
    return recipe.model_copy(update={"drift": recipe.drift.model_copy(update=limits)})


def profile_of(
    size: int = 10_000,
    files: int = 10,
    lost: float = 0.1,
    language: float = 0.3,
    too_short: float = 0.2,
    languages: Mapping[str, float] | None = None,
    lengths: Mapping[str, float] | None = None,
    scores: Mapping[str, float] | None = None,
) -> pa.Table:
    """The profile of a snapshot of `size` records in which shares are as given."""
    texts = round(size * (1 - lost))
    dropped = round(texts * language)
    short = round((texts - dropped) * too_short)
    kept = texts - dropped - short
    rows: list[tuple[str, str, int, int]] = [
        ("records", "per WARC file", size, files),
        ("kept", "of records", kept, size),
        ("kept", "of texts", kept, texts),
        ("lost", "text_empty", size - texts, size),
        ("dropped", "language", dropped, texts),
        ("dropped", "too_short", short, texts - dropped),
    ]
    for measure, shares, of in (
        ("languages", languages or {"en": 0.7, "de": 0.2, "fr": 0.1}, texts),
        ("characters", lengths or {"512-608.9": 0.25, "608.9-724.1": 0.5, "724.1-861.1": 0.25}, texts),
        ("language_score", scores or {"0.6-0.65": 0.1, "0.9-0.95": 0.3, "0.95-1": 0.6}, texts),
    ):
        counts = {name: round(of * share) for name, share in shares.items()}
        rows += [(measure, name, count, sum(counts.values())) for name, count in counts.items()]
    table = pa.table(list(zip(*rows, strict=True)), names=PROFILE.names[:4])
    share = pa.array([count / of if of else None for _, _, count, of in rows])
    return table.append_column("share", share).cast(PROFILE)


def told(report: Report) -> dict[str, list[str]]:
    """What is warned of, by check."""
    found = {check: [one.what for one in report.of(check) if one.exceeded] for check in CHECKS}
    return {check: whats for check, whats in found.items() if whats}


def against(recipe: Recipe, own: pa.Table, *earlier: pa.Table) -> Report:
    return compare(recipe, "CC-9", own, {f"CC-{place}": table for place, table in enumerate(earlier)})


def test_a_snapshot_like_those_before_it_is_no_news(recipe: Recipe) -> None:
    report = against(recipe, profile_of(), profile_of(language=0.31), profile_of(too_short=0.19))
    assert told(report) == {}
    assert report.warnings == []
    assert {finding.check for finding in report.findings} == set(CHECKS)


def test_half_of_the_rows_gone_is_told(recipe: Recipe) -> None:
    report = against(recipe, profile_of(5_000), profile_of(), profile_of())
    assert told(report) == {YIELDS: ["records in a WARC file"]}
    assert report.warnings[0].told == "records in a WARC file: 500, expected 1,000 (667 to 1,500)"


def test_half_of_the_texts_lost_is_told(recipe: Recipe) -> None:
    found = told(against(recipe, profile_of(lost=0.5), profile_of(), profile_of()))
    assert "lost: text_empty" in found[YIELDS]
    assert "kept, of records" in found[YIELDS]
    assert "kept, of texts" not in found[YIELDS]


def test_a_loss_that_never_occurred_before_is_told(recipe: Recipe) -> None:
    own = profile_of().to_pylist()
    own.append({"measure": "lost", "class": "warc_damaged", "documents": 400, "of": 10_000, "share": 0.04})
    found = told(against(recipe, pa.Table.from_pylist(own, PROFILE), profile_of()))
    assert found == {YIELDS: ["lost: warc_damaged"]}


def test_languages_that_changed_places_are_told(recipe: Recipe) -> None:
    own = profile_of(languages={"en": 0.2, "de": 0.7, "fr": 0.1})
    report = against(recipe, own, profile_of(), profile_of())
    assert told(report) == {LANGUAGES: ["languages of texts"]}
    assert "en 20 % (was 70 %), de 70 % (was 20 %)" in report.warnings[0].told


def test_a_language_that_is_new_is_told(recipe: Recipe) -> None:
    own = profile_of(languages={"en": 0.5, "de": 0.1, "xx": 0.4})
    assert LANGUAGES in told(against(recipe, own, profile_of()))


@pytest.mark.parametrize(("was", "now"), [(0.2, 0.4), (0.4, 0.2), (0.01, 0.02), (0.02, 0.01)])
def test_a_gate_that_drops_twice_or_half_as_much_is_told(recipe: Recipe, was: float, now: float) -> None:
    report = against(recipe, profile_of(100_000, too_short=now), profile_of(100_000, too_short=was))
    assert "dropped by too_short" in told(report)[YIELDS]


def test_lengths_and_scores_are_told_by_their_own_checks(recipe: Recipe) -> None:
    longer = profile_of(lengths={"512-608.9": 0.05, "608.9-724.1": 0.15, "724.1-861.1": 0.8})
    unsure = profile_of(scores={"0.6-0.65": 0.6, "0.9-0.95": 0.3, "0.95-1": 0.1})
    assert told(against(recipe, longer, profile_of())) == {LENGTHS_CHECK: ["characters"]}
    assert told(against(recipe, unsure, profile_of())) == {SCORES: ["language_score"]}


def test_the_median_of_a_distribution_is_told(recipe: Recipe) -> None:
    report = against(recipe, profile_of(), profile_of())
    assert report.medians_of(LENGTHS_CHECK) == {"characters": pytest.approx(666.5, abs=0.1)}
    assert report.medians_of(SCORES) == {"language_score": pytest.approx(0.9583, abs=1e-3)}


def test_a_yield_far_from_the_published_one_is_told_without_earlier_snapshots(recipe: Recipe) -> None:
    for published, wrong in ((0.5, False), (0.3, False), (0.05, True), (0.99, False), (0.2, True)):
        report = against(recipe.model_copy(update={"published_yield": published}), profile_of())
        assert told(report) == ({PUBLISHED: ["kept, of records"]} if wrong else {}), published


def test_what_a_recipe_without_published_yield_or_classifier_says(recipe: Recipe) -> None:
    report = against(recipe.model_copy(update={"published_yield": None}), profile_of())
    assert report.notes[PUBLISHED] == "the recipe states no published yield"
    report = compare(load_recipe("dclm_baseline"), "CC-9", profile_of(lost=0.99), {})
    assert report.notes[PUBLISHED].startswith("not comparable: no classifier")
    assert told(report) == {}


def test_thresholds_are_the_recipe_s(recipe: Recipe) -> None:
    strict = with_limits(recipe, factor=1.1, points=1.0, psi=0.01, published_factor=1.001)
    own = profile_of(100_000, too_short=0.23, languages={"en": 0.6, "de": 0.3, "fr": 0.1})
    assert told(against(recipe, own, profile_of(100_000))) == {}
    assert set(told(against(strict, own, profile_of(100_000)))) == {YIELDS, LANGUAGES, PUBLISHED}
    loose = with_limits(recipe, factor=10.0, points=100.0, psi=10.0, published_factor=100.0)
    other = profile_of(2_000, lost=0.5, too_short=0.6, languages={"en": 0.2, "de": 0.7, "fr": 0.1})
    assert told(against(recipe, other, profile_of()))
    assert told(against(loose, other, profile_of())) == {}


@pytest.mark.parametrize(("size", "warned"), [(60, False), (6_000, True)])
def test_what_small_numbers_can_do_by_chance_is_not_told(recipe: Recipe, size: int, warned: bool) -> None:
    own = profile_of(size, size // 10, too_short=0.45, languages={"en": 0.4, "de": 0.4, "fr": 0.2})
    report = against(recipe, own, profile_of(size, size // 10))
    assert bool(told(report)) == warned
    beyond = [one for one in report.findings if not one.low <= one.measured <= one.high]
    assert {one.check for one in beyond} >= {YIELDS, LANGUAGES}


def test_what_is_expected_is_the_median_of_those_before(recipe: Recipe) -> None:
    """One odd snapshot among three neither hides a change nor makes one."""
    odd = profile_of(100_000, too_short=0.9, languages={"en": 0.1, "de": 0.1, "fr": 0.8})
    usual = profile_of(100_000)
    assert told(against(recipe, usual, usual, odd, usual)) == {}
    assert set(told(against(recipe, odd, usual, odd, usual))) == {YIELDS, LANGUAGES, PUBLISHED}


def test_the_first_snapshot_has_nothing_to_be_compared_with(recipe: Recipe) -> None:
    report = against(recipe, profile_of())
    assert told(report) == {}
    assert report.against == ()
    assert {report.notes[check] for check in CHECKS if check != PUBLISHED} == {"nothing to compare with yet"}


@pytest.mark.parametrize("own", [profile_of(0, 1), profile_of(1, 1), profile_of(3, 1, lost=1.0)])
def test_a_snapshot_of_next_to_nothing_is_compared_without_an_error(recipe: Recipe, own: pa.Table) -> None:
    for other in (profile_of(), own):
        against(recipe, own, other)
        against(recipe, other, own)


def test_a_snapshot_that_gave_nothing_is_told(recipe: Recipe) -> None:
    assert told(against(recipe, profile_of(0, 1), profile_of()))[YIELDS] == ["records in a WARC file"]


def put(lake: Lake, recipe: Recipe, snapshot: str, table: pa.Table, version: str = "1") -> None:
    from curation_assets.lake.lake import Manifest
    from curation_assets.lake.parts import describe

    partition = lake.partition((recipe.name, "profile"), snapshot)
    partition.staging.mkdir(parents=True)
    path = partition.staging / "part-00000.parquet"
    with PartWriter(path, PROFILE, "") as writer:
        writer.write(table)
    partition.commit(
        Manifest(
            station="profile",
            snapshot=snapshot,
            fingerprint="f",
            code_version="1",
            params={"recipe": version},
            inputs={},
            files=[describe(path)],
            stats={},
        )
    )


def test_the_latest_before_a_snapshot_are_compared_by_name_whenever_they_were_made(
    recipe: Recipe, tmp_path: Path
) -> None:
    lake = Lake(tmp_path)
    for week in ("26", "05", "13", "08", "18", "51"):
        put(lake, recipe, f"CC-MAIN-2025-{week}", profile_of(language=0.6 if week == "51" else 0.3))
    report = drift(recipe, lake, "CC-MAIN-2025-26")
    assert report.against == ("CC-MAIN-2025-08", "CC-MAIN-2025-13", "CC-MAIN-2025-18")
    assert told(report) == {}
    assert drift(recipe, lake, "CC-MAIN-2025-05").against == ()
    assert YIELDS in told(drift(recipe, lake, "CC-MAIN-2025-51"))


def test_what_another_version_of_the_recipe_made_is_not_compared(recipe: Recipe, tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    put(lake, recipe, "CC-MAIN-2025-05", profile_of(language=0.9), version="0")
    put(lake, recipe, "CC-MAIN-2025-08", profile_of())
    report = drift(recipe, lake, "CC-MAIN-2025-08")
    assert told(report) == {}
    assert report.notes[YIELDS].endswith("another version of the recipe made CC-MAIN-2025-05")


counts = st.lists(st.integers(0, 100_000), min_size=2, max_size=30).filter(sum)


@given(counts, st.integers(2, 1000))
def test_equal_shares_are_stable(measured: list[int], times: int) -> None:
    index, noise = stability(np.array(measured, float), np.array(measured, float))
    assert index == pytest.approx(0, abs=1e-9)
    assert noise >= 0


@given(st.data(), st.integers(2, 20))
def test_an_index_is_finite_and_not_negative(data: st.DataObject, classes: int) -> None:
    sides = [
        np.array(data.draw(st.lists(st.integers(0, 1000), min_size=classes, max_size=classes).filter(sum)), float)
        for _ in range(2)
    ]
    index, noise = stability(*sides)
    assert 0 <= index < np.inf
    assert 0 <= noise < np.inf


@pytest.mark.parametrize("size", [50, 1000, 20_000])
def test_chance_alone_hardly_ever_passes_its_bound(recipe: Recipe, size: int) -> None:
    """Two thousand pairs of samples from one distribution: no warning even with thresholds of nothing."""
    random = np.random.default_rng(7)
    shares = np.array([0.4, 0.3, 0.15, 0.1, 0.03, 0.01, 0.005, 0.005])
    passed = 0
    for _ in range(2000):
        one, other = random.multinomial(size, shares), random.multinomial(3 * size, shares)
        index, noise = stability(one.astype(float), other.astype(float))
        passed += index > noise
    assert passed <= 1
    strict = with_limits(recipe, points=1e-9, factor=1 + 1e-9, psi=1e-9, published_factor=1 + 1e-9)
    for _ in range(100):
        profiles = [
            profile_of(
                size,
                size,
                lost=0.0,
                language=random.binomial(size, 0.3) / size,
                languages=dict(zip("abcdefgh", random.multinomial(size, shares) / size, strict=True)),
            )
            for _ in range(2)
        ]
        found = told(against(strict, *profiles))
        assert LANGUAGES not in found
        assert "dropped by language" not in found.get(YIELDS, [])


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ("  psy: 1\n", "line 11, drift.psy: .* the keys are earlier, factor, points, psi, published_factor"),
        ("  factor: 1\n", "line 11, drift.factor: .* greater than 1"),
        ("  earlier: 0\n", "line 11, drift.earlier: .* greater than or equal to 1"),
        ("  psi: 0.1\n  points: 200\n", "line 12, drift.points: .* less than or equal to 100"),
    ],
)
def test_a_wrong_threshold_is_an_error_with_its_line(tmp_path: Path, limits: str, message: str) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(TEXT + limits)
    with pytest.raises(RecipeError, match=message):
        load_recipe(str(path))


def test_thresholds_change_nothing_that_was_made(recipe: Recipe) -> None:
    from curation_assets.packing.stations import training_shards
    from curation_assets.provenance.profile import profile_parameters

    other = with_limits(recipe, psi=1.0)
    assert training_shards(other).recorded_params == training_shards(recipe).recorded_params
    assert profile_parameters(other) == profile_parameters(recipe)
