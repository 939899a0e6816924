from pathlib import Path

import pytest
from pydantic import ValidationError

from curation_assets.settings import Settings


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CURATION_SETTINGS")


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "curation.yaml").write_text("source: from-file\nwarcs: 3\n")
    monkeypatch.setenv("CURATION_SOURCE", "from-environment")
    settings = Settings()
    assert (settings.source, settings.warcs) == ("from-environment", 3)
    assert Settings(source="given").source == "given"


def test_another_file_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text('recipe_set: {"extraction.extractor": resiliparse}\n')
    monkeypatch.setenv("CURATION_SETTINGS", str(tmp_path / "other.yaml"))
    assert Settings().recipe_set == {"extraction.extractor": "resiliparse"}


def test_overrides_come_from_the_environment_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURATION_RECIPE_SET", '{"language_score": 0.7}')
    assert Settings().recipe_set == {"language_score": 0.7}


def test_an_unknown_setting_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "curation.yaml").write_text("sauce: x\n")
    with pytest.raises(ValidationError, match="sauce"):
        Settings()


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"warcs": 0}])
def test_sizes_are_positive(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        Settings(**wrong)
