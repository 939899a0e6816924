"""The command line as a person uses it."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.cli import app
from curation_assets.cli.making import DEMO_SETTINGS, show_summary
from curation_assets.lake.station import Staged
from curation_assets.line import Line
from curation_assets.settings import Settings
from curation_assets.terminal import printable

RUNNER = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"})


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without an instance or settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)


def options(line: Line) -> list[str]:
    return ["--lake", str(line.lake.root), "--set", "extraction.extractor=resiliparse"]


def test_run_makes_shards_and_says_where(sample: Path, tmp_path: Path) -> None:
    command = ["run", "--snapshot", SAMPLE_SNAPSHOT, "--source", str(sample), "--lake", str(tmp_path / "lake")]
    command += ["--workers", "2", "--warcs", "1", "--set", "extraction.extractor=resiliparse"]
    done = RUNNER.invoke(app, command)
    assert done.exit_code == 0, done.output
    shards = tmp_path / "lake" / "fineweb" / "training_shards" / SAMPLE_SNAPSHOT
    assert str(shards) in done.output.replace("\n", "")
    assert json.loads((shards / "manifest.json").read_text())["counts"]["tokens"] > 0
    again = RUNNER.invoke(app, command)
    assert again.exit_code == 0, again.output
    assert "nothing was redone" in again.output
    empty = [line.split()[0] for line in again.output.splitlines() if " 0 documents, up to date" in line]
    assert empty == ["takedowns", "tombstones"]


def test_a_cluster_that_is_not_there_is_an_error_of_one_line(sample: Path, tmp_path: Path) -> None:
    command = ["run", "--snapshot", SAMPLE_SNAPSHOT, "--source", str(sample), "--lake", str(tmp_path / "lake")]
    done = RUNNER.invoke(app, [*command, "--cluster", "ray://127.0.0.1:1"])
    assert done.exit_code == 1
    assert "error: the cluster ray://127.0.0.1:1 (setting cluster" in done.output
    assert "Traceback" not in done.output
    wrong = RUNNER.invoke(app, [*command, "--cluster", "head"])
    assert wrong.exit_code == 1
    assert "cluster: 'head' is not allowed" in wrong.output


def test_what_is_printed_next_can_be_typed(
    line: Line,
    staged: dict[str, Staged],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With a blank in every path, and neither Makefile nor settings in the folder."""
    (tmp_path / "a crawl").symlink_to(line.settings.source)
    (tmp_path / "my lake").symlink_to(line.lake.root)
    monkeypatch.setattr("sys.argv", ["/else where/bin/curation"])
    settings = Settings(source="a crawl", lake=Path("my lake"), recipe_set=line.settings.recipe_set)
    show_summary(Line(settings), SAMPLE_SNAPSHOT, list(staged.values()))
    *begin, ui, trace, explain = capsys.readouterr().out.partition("Next:")[2].strip().splitlines()
    assert any("DAGSTER_HOME" in line for line in begin)
    assert "python -W ignore -m dagster dev -m curation_assets.definitions" in ui
    for typed in (trace, explain):
        program, *arguments = shlex.split(typed)
        assert program == "/else where/bin/curation"
        again = RUNNER.invoke(app, arguments)
        assert again.exit_code == 0, again.output
    assert "a crawl" in trace


def test_the_demo_signs_the_settings_that_it_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By this line `make clean` knows that it may delete them."""
    monkeypatch.delenv("CURATION_SETTINGS")
    monkeypatch.setattr("curation_assets.runs.materialise", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    done = RUNNER.invoke(app, ["demo"])
    assert (done.exit_code, "run again to go on" in done.output) == (130, True)
    assert (tmp_path / "curation.yaml").read_text().splitlines()[0] == DEMO_SETTINGS
    assert DEMO_SETTINGS.startswith("# Written by `curation demo`")
    makefile = (Path(__file__).parents[1] / "Makefile").read_text()
    assert "grep -qs '^# Written by `curation demo`' curation.yaml" in makefile


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_builds_the_environment_anew_for_another_python(tmp_path: Path) -> None:
    """But an environment that is there is used as it is when PYTHON is not given."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "build_hook.py"):
        shutil.copy(Path(__file__).parents[1] / name, tmp_path)
    here = "python{}.{}".format(*sys.version_info)
    for folder in ("bin", f"lib/{here}"):
        (tmp_path / ".venv" / folder).mkdir(parents=True)
    (tmp_path / ".venv/bin/python").symlink_to(sys.executable)
    (tmp_path / ".venv/.ready").touch()
    other = tmp_path / "other"
    other.write_text("#!/bin/sh\necho python3.99\n")
    other.chmod(0o755)

    def makes_it(*arguments: str) -> bool:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHON"}
        command = ["make", "-n", "demo", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        return "-m venv --clear" in done.stdout

    assert not makes_it()
    assert not makes_it(f"PYTHON={sys.executable}")
    assert makes_it(f"PYTHON={other}")
    (tmp_path / ".venv/lib" / here).rename(tmp_path / ".venv/lib/python3.10")  # upgraded beneath it
    assert makes_it()


def test_prepare_refuses_wrong_settings_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURATION_WARCS", "many")
    done = RUNNER.invoke(app, ["prepare"])
    assert done.exit_code == 1
    assert "CURATION_WARCS in the environment: 'many' is not allowed" in done.output.replace("\n", " ")
    assert "pydantic" not in done.output


def test_trace_prints_the_record_and_fetches_it(line: Line, staged: dict[str, Staged]) -> None:
    done = RUNNER.invoke(
        app,
        [
            "trace",
            "--shard",
            "0",
            "--sequence",
            "0",
            "--token",
            "3",
            "--fetch",
            "--source",
            line.settings.source,
            *options(line),
        ],
    )
    assert done.exit_code == 0, done.output
    for word in ("<urn:uuid:", "WARC file", "offset", "length", "the same text as in the lake"):
        assert word in done.output


def test_explain_tells_the_gate_and_its_value(line: Line, staged: dict[str, Staged]) -> None:
    verdicts = pl.read_parquet(line.lake.partition(line.key("verdicts"), SAMPLE_SNAPSHOT).paths(".parquet"))
    url = verdicts.filter(pl.col("verdict") == "gopher_short_doc")["url"][0]
    done = RUNNER.invoke(app, ["explain", url, *options(line)])
    assert done.exit_code == 0, done.output
    assert "dropped by gopher_quality: gopher_short_doc" in done.output
    assert "limit 50" in done.output


def test_funnel_counts_down_to_what_is_kept(line: Line, staged: dict[str, Staged]) -> None:
    done = RUNNER.invoke(app, ["funnel", *options(line)])
    assert done.exit_code == 0, done.output
    kept = line.lake.partition(line.key("corpus"), SAMPLE_SNAPSHOT).manifest().rows
    rows = [text for text in done.output.splitlines() if "minhash_duplicate" in text]
    assert f" {kept} " in rows[0]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["trace", "--shard", "0", "--sequence", "0", "--lake", "empty"], "holds no shards"),
        (["explain", "https://a.example/", "--lake", "empty"], "holds no verdicts"),
        (["funnel", "--recipe", "nonsense"], "published ones are"),
        (["funnel", "--set", "nonsense"], "name=value"),
        (["snapshots", "--source", "no-such-folder"], "no-such-folder"),
        (["run", "--snapshot", "CC-MAIN-2099-01", "--source", "no-such-folder"], "no-such-folder"),
        (["run", "--snapshot", "2099-01", "--source", "no-such-folder"], "expected CC-MAIN-YYYY-WW"),
    ],
)
def test_errors_say_what_to_do_without_a_traceback(command: list[str], message: str) -> None:
    done = RUNNER.invoke(app, command)
    assert done.exit_code == 1
    assert message in done.output.replace("\n", "")
    assert "Traceback" not in done.output


def test_help_teaches() -> None:
    done = RUNNER.invoke(app, ["--help"])
    for command in ("run", "trace", "explain", "funnel", "demo", "snapshots"):
        assert command in done.output


def test_a_page_cannot_command_the_terminal() -> None:
    assert printable("a\x1b[2Jb\x07c\u202ed") == "a\ufffd[2Jb\ufffdc\ufffdd"


def test_an_interrupt_while_the_program_loads_prints_no_traceback() -> None:
    code = "print('ready', flush=True); from curation_assets.__main__ import main; main()"
    slow = "import sys, time\nclass Slow:\n def find_spec(self, name, *_):\n  name == 'typer' and time.sleep(60)\n"
    command = [sys.executable, "-c", f"{slow}sys.meta_path.insert(0, Slow())\n{code}", "funnel"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        running.stdout.readline()
        for _ in range(600):
            time.sleep(0.05)
            if signal.SIGINT not in _caught(running.pid):
                break
        running.send_signal(signal.SIGINT)
        _, told = running.communicate(timeout=30)
    assert running.returncode == -signal.SIGINT
    assert told == ""


def _caught(process: int) -> set[signal.Signals]:
    """Signals that a process has handlers for."""
    (mask,) = re.findall(r"^SigCgt:\s*(\w+)", Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
    return {one for one in (signal.SIGINT,) if int(mask, 16) >> (one - 1) & 1}
