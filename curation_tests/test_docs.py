"""What the documents say is what the code does."""

import re
import runpy
from pathlib import Path

import pytest
from typer.main import get_command

from curation_assets.cli import app
from curation_assets.line import Line
from curation_assets.settings import Settings

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_column_reference_is_current() -> None:
    """Write it again with `python docs/write_columns.py > docs/columns.md`."""
    written = runpy.run_path(str(ROOT / "docs" / "write_columns.py"))["write"](Line(Settings()))
    assert (ROOT / "docs" / "columns.md").read_text() == written


def test_the_contracts_are_current() -> None:
    """Write them again with `python docs/write_contracts.py > docs/contracts.md`."""
    module = runpy.run_path(str(ROOT / "docs" / "write_contracts.py"))
    written = module["write"](Line(Settings()), Line(Settings(recipe=str(module["EVERY_METHOD"]))))
    assert (ROOT / "docs" / "contracts.md").read_text() == written


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_setting_is_documented() -> None:
    listed = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE))
    assert listed == set(Settings.model_fields)


def test_every_command_and_target_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    commands = [name for name, one in get_command(app).commands.items() if not one.hidden]
    targets = re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert len(commands) > 10
    assert len(targets) > 8
    wanted = [*(f"curation {name}" for name in commands), *(f"make {name}" for name in targets)]
    assert [one for one in wanted if not re.search(rf"{one}\b", readme)] == []


@pytest.mark.parametrize(("page", "least"), [("guarantees.md", 30), ("security.md", 12)])
def test_every_promise_has_its_test(page: str, least: int) -> None:
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", (ROOT / "docs" / page).read_text())
    assert len(named) > least
    for file, test in named:
        assert f"def {test}(" in (ROOT / "curation_tests" / file).read_text(), (file, test)
