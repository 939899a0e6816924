"""The sampling of a real line, and the command, on the embedded snapshot. No test asserts a time."""

import json
import re
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.cli import app
from curation_assets.engine.local import LocalEngine
from curation_assets.forecasting import sampling
from curation_assets.forecasting.estimator import Whole
from curation_assets.forecasting.forecast import as_json, forecast, price, schedule
from curation_assets.forecasting.metering import LOOK_SECONDS, MeteredEngine, spending
from curation_assets.forecasting.sampling import Sampled
from curation_assets.lake.lake import LakeError
from curation_assets.lake.station import Staged
from curation_assets.line import Line
from curation_assets.settings import Settings
from curation_tests.conftest import RESILIPARSE

ROOT = Path(__file__).parents[2]
RUNNER = CliRunner(env={"COLUMNS": "120", "TERM": "dumb"})


@pytest.fixture(scope="module")
def told() -> list[tuple[str, int, int, str]]:
    return []


@pytest.fixture(scope="module")
def sampled(sample: Path, told: list[tuple[str, int, int, str]], tmp_path_factory: pytest.TempPathFactory) -> Sampled:
    settings = Settings(source=str(sample), recipe_set=RESILIPARSE, workers=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))
        found = sampling.sample(settings, SAMPLE_SNAPSHOT, 4, lambda *step: told.append(step))
        assert not list(Path(tempfile.gettempdir()).glob("curation-*"))
    return found


def test_a_sample_that_is_the_snapshot_foresees_what_a_run_makes(sampled: Sampled, staged: dict[str, Staged]) -> None:
    found = forecast(sampled, 2)
    for name, estimate in (("documents", found.documents), ("corpus", found.kept)):
        assert estimate.value == estimate.low == estimate.high == staged[name].manifest.rows
    assert found.tokens.value == staged["tokens"].manifest.stats["tokens"]
    tables = {one.name: one.bytes.value for one in found.stations}
    assert set(tables) == set(staged)
    for name in ("documents", "signals", "corpus", "tokens", "training_shards", "tokenizer"):
        assert tables[name] == pytest.approx(staged[name].manifest.bytes, rel=0.01), name


def test_every_part_and_the_driver_are_measured(sampled: Sampled) -> None:
    costs = {one.name: one for one in sampled.costs}
    assert set(costs["documents"].parts) == set(sampled.parts)
    assert set(costs["tokens"].parts) == set(sampled.parts)
    assert not costs["packed_sequences"].parts
    assert all(seconds > 0 for seconds in costs["documents"].parts.values())
    assert (costs["documents"].unit, costs["tokens"].unit, costs["warc_files"].unit) == ("documents", "kept", "bytes")
    assert costs["tokenizer"].ceiling > 1
    assert costs["packed_sequences"].held > 0
    assert sampled.worker_memory > 1e8
    assert len(sampled.deduplicated) == 2


def test_who_watches_is_told_of_each_pass(sampled: Sampled, told: list[tuple[str, int, int, str]]) -> None:
    titles = list(dict.fromkeys(title for title, *_ in told))
    assert titles == ["start-up", "fixed costs", "2 WARC files", "4 WARC files"]
    for title in titles:
        _, done, total, _ = [step for step in told if step[0] == title][-1]
        assert done == total == len(sampled.costs)


def test_fields_of_the_json_are_documented(sampled: Sampled) -> None:
    found = forecast(sampled, 2)
    planned = schedule(found, 2)
    answer = as_json(found, planned, price(found, planned, 1.0, 1.0))
    json.dumps(answer)
    documented = set(re.findall(r"^\| `([\w.]+)` \|", (ROOT / "docs" / "forecast.md").read_text(), re.MULTILINE))
    assert documented == set(_names(answer))


def _names(answer: dict[str, Any], before: str = "") -> list[str]:
    """Dotted names of the fields; those of estimates are not gone into, of lists the first entry speaks for all."""
    found = []
    for name, value in answer.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            value = value[0]
        if isinstance(value, dict) and set(value) != {"value", "low", "high"}:
            found += _names(value, f"{before}{name}.")
        else:
            found.append(f"{before}{name}")
    return found


def test_the_command_tells_a_person(sample: Path, sampled: Sampled, monkeypatch: pytest.MonkeyPatch) -> None:
    of_more = replace(sampled, whole=Whole(100, 25 * sampled.whole.size))
    monkeypatch.setattr(sampling, "sample", lambda *_: of_more)
    options = ["--source", str(sample), "--set", "extraction.extractor=resiliparse", "--workers", "2"]
    prices = ["--cores", "4", "--core-hour", "0.05", "--gb-month", "0.02"]
    command = ["forecast", "--snapshot", SAMPLE_SNAPSHOT, *options]
    done = RUNNER.invoke(app, [*command, *prices])
    assert done.exit_code == 0, done.output
    for said in ("Sampled 4 of 100 WARC files", "start-up", "1 machine of 4 cores", "a month for the lake"):
        assert said in done.stdout
    assert re.search(r"tokens +at most [\d,]+ \[[\d,]+ to [\d,]+\]", done.stdout)
    (next_one,) = [line for line in done.stdout.splitlines() if " run --snapshot" in line]
    assert f"--source {sample} --set extraction.extractor=resiliparse" in next_one
    answer = json.loads(RUNNER.invoke(app, [*command, "--json"]).stdout)
    assert answer["files"] == 100
    assert answer["tokens"]["low"] < answer["tokens"]["value"] < answer["tokens"]["high"]
    assert answer["price"] is None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--snapshot", "CC-MAIN-2000-02"], "there is no snapshot CC-MAIN-2000-02"),
        (["--snapshot", SAMPLE_SNAPSHOT, "--source", "/no/such/folder"], "/no/such/folder does not exist"),
        (["--snapshot", SAMPLE_SNAPSHOT, "--files", "1"], "sample two at least"),
        (["--snapshot", SAMPLE_SNAPSHOT, "--recipe", "no_such"], "no_such"),
    ],
)
def test_errors_say_what_to_do(sample: Path, arguments: list[str], told: str) -> None:
    done = RUNNER.invoke(app, ["forecast", "--source", str(sample), *arguments])
    assert done.exit_code == 1
    assert told in done.stderr


@pytest.mark.parametrize("must_pass", [True, False])
def test_data_that_breaks_a_check_ends_the_sampling_as_it_would_a_run(
    sample: Path, tmp_path: Path, engine: LocalEngine, must_pass: bool
) -> None:
    """But the embedded snapshot, which is damaged on purpose, may break the checks of a strict recipe."""
    strict = RESILIPARSE | {"loss.records": 0}
    line = Line(Settings(source=str(sample), lake=tmp_path, recipe_set=strict, workers=2))
    line.stations[2:] = []
    measured = sampling.Pass(line, SAMPLE_SNAPSHOT, "strict", MeteredEngine(engine), None, must_pass)
    if must_pass:
        with pytest.raises(LakeError, match=r"(?s)losses_are_bounded.*A run would end there, too"):
            measured.run()
    else:
        measured.run()
        assert measured.seen["documents"].manifest.rows


def _square(number: int) -> int:
    return sum(number for _ in range(number))


def test_a_metered_engine_changes_no_result(engine: LocalEngine) -> None:
    metered = MeteredEngine(engine)
    assert sorted(metered.map(_square, [3, 4, 5])) == [9, 16, 25]
    usages = metered.taken()
    assert len(usages) == 3
    assert all(usage.part is None and usage.memory > 0 for usage in usages)
    assert metered.taken() == []


def test_spending_sees_the_driver_and_a_folder(tmp_path: Path) -> None:
    with spending(tmp_path) as spent:
        (tmp_path / "below").mkdir()
        (tmp_path / "below" / "file").write_bytes(b"x" * 5000)
        held = bytearray(64 << 20)
        held[::4096] = b"x" * len(held[::4096])
        time.sleep(3 * LOOK_SECONDS)
    assert spent.scratch == 5000
    assert spent.memory > 60 << 20
    assert spent.driver > 0
