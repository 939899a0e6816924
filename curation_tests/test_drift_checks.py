"""Drift in Dagster and on the command line: it warns, snapshot by snapshot, and stops nothing."""

from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner

from curation_assets.checks import drift_checks
from curation_assets.cli import app
from curation_assets.definitions import build_definitions
from curation_assets.engine.local import LocalEngine
from curation_assets.line import Line
from curation_assets.partitions import SNAPSHOTS
from curation_assets.provenance.drift import CHECKS
from curation_assets.settings import Settings
from curation_tests.conftest import RESILIPARSE
from curation_tests.mirrors import add_snapshot

FIRST, SECOND, THIRD = "CC-MAIN-2001-05", "CC-MAIN-2001-10", "CC-MAIN-2001-15"
GERMAN = "<p>Der alte Garten hinter dem Haus war im Winter von Schnee bedeckt, und die Kinder spielten dort.</p>"


@pytest.fixture(scope="module")
def settings(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Two snapshots alike, and a third that is mostly German."""
    mirror = tmp_path_factory.mktemp("mirror")
    add_snapshot(mirror, sample, FIRST, [0, 1, 2, 3])
    add_snapshot(mirror, sample, SECOND, [3, 2, 1, 0])
    add_snapshot(mirror, sample, THIRD, [0, 1, 2, 3], [GERMAN * 30] * 400)
    return Settings(
        source=str(mirror), lake=tmp_path_factory.mktemp("lake") / "lake", recipe_set=RESILIPARSE, workers=2
    )


@pytest.fixture(scope="module")
def curated(settings: Settings, engine: LocalEngine) -> Line:
    line = Line(settings)
    for snapshot in (FIRST, SECOND):
        for _ in line.run(snapshot, engine):
            pass
    return line


def test_they_never_block_and_have_partitions(settings: Settings) -> None:
    checks = drift_checks(Line(settings))
    specs = list(checks.check_specs)
    assert {spec.name for spec in specs} == set(CHECKS)
    assert all(not spec.blocking and spec.partitions_def == SNAPSHOTS for spec in specs)
    assert {tuple(spec.asset_key.path) for spec in specs} == {("fineweb", "profile")}


def test_a_run_on_a_snapshot_that_drifted_succeeds_and_warns(curated: Line, settings: Settings) -> None:
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions(str(SNAPSHOTS.name), [FIRST, SECOND, THIRD])
        job = build_definitions(settings).resolve_job_def("curate_snapshot")
        for snapshot, against, drifted in ((FIRST, "nothing", set()), (SECOND, FIRST, set()), (THIRD, None, None)):
            result = job.execute_in_process(partition_key=snapshot, instance=instance)
            assert result.success
            found = {one.check_name: one for one in result.get_asset_check_evaluations() if one.check_name in CHECKS}
            assert set(found) == set(CHECKS)
            assert {one.partition for one in found.values()} == {snapshot}
            assert not any(one.blocking for one in found.values())
            failed = {name for name, one in found.items() if not one.passed}
            if drifted is not None:
                assert failed == drifted
                assert found["languages_are_as_before"].metadata["compared_with"].value == against
                continue
            assert {"yields_are_as_before", "languages_are_as_before"} <= failed
            assert {one.severity for one in found.values()} == {dg.AssetCheckSeverity.WARN}
            languages = found["languages_are_as_before"]
            assert languages.metadata["compared_with"].value == f"{FIRST}, {SECOND}"
            assert float(languages.metadata["languages of texts"].value) > 0.25
            table = languages.metadata["drift"].records
            assert table[0].data["warning"] is True
            assert "de " in table[0].data["moved"]
            assert "dropped by language" in found["yields_are_as_before"].description
        first = found["yields_are_as_before"].metadata
        assert {type(first[name].value) for name in ("warnings", "kept, of records")} <= {int, float}


def test_a_profile_that_cannot_be_read_warns_and_stops_nothing(curated: Line, settings: Settings) -> None:
    (path,) = curated.lake.partition(curated.key("profile"), FIRST).paths(".parquet")
    sound = path.read_bytes()
    path.write_bytes(b"PAR1" + bytes(len(sound) - 8) + b"PAR1")
    try:
        with dg.instance_for_test() as instance:
            instance.add_dynamic_partitions(str(SNAPSHOTS.name), [SECOND])
            job = build_definitions(settings).resolve_job_def("curate_snapshot")
            result = job.execute_in_process(partition_key=SECOND, instance=instance)
    finally:
        path.write_bytes(sound)
    assert result.success
    found = [one for one in result.get_asset_check_evaluations() if one.check_name in CHECKS]
    assert [one.passed for one in found] == [False] * len(CHECKS)
    assert all("cannot be read" in (one.description or "") for one in found)


def test_the_command_line_warns_at_the_end(
    curated: Line, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    told = {}
    for snapshot in (SECOND, THIRD):
        options = ["--source", str(settings.source), "--lake", str(settings.lake), "--workers", "2"]
        done = CliRunner().invoke(
            app, ["run", "--snapshot", snapshot, *options, "--set", "extraction.extractor=resiliparse"]
        )
        assert done.exit_code == 0, done.output
        told[snapshot] = done.output
    assert "drift" not in told[SECOND]
    assert f"Warning: drift against {FIRST}, {SECOND}" in told[THIRD]
    assert "languages of texts: shifted by" in told[THIRD]
