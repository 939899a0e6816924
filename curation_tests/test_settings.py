from pathlib import Path

import pytest

from curation_assets.settings import Settings, SettingsError


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


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("suorce: x\n", ["suorce", "did you mean source?"]),
        ("zzz: x\n", ["zzz", "there are", "workers"]),
        ("warcs: -3\n", ["warcs", "'-3' is not allowed", "greater than 0", "deterministic sample"]),
        ("warcs: many\nworkers: 0\n", ["warcs: 'many'", "workers: '0'"]),
        ("source: [\n", ["line 2", "no YAML"]),
        ("source: 2025-13-45\n", ["no YAML"]),
        ("- source\n", ["must hold", "list"]),
        ("tokenizer: no-such-file\n", ["tokenizer", "no-such-file", "does not point to a file"]),
        ("lists: no-such-folder\n", ["lists", "no-such-folder", "does not point to a directory"]),
    ],
)
def test_a_wrong_file_is_named_with_what_is_allowed(tmp_path: Path, content: str, words: list[str]) -> None:
    (tmp_path / "curation.yaml").write_text(content)
    with pytest.raises(SettingsError) as caught:
        Settings()
    for word in [str(tmp_path / "curation.yaml"), *words]:
        assert word in str(caught.value)
    assert "pydantic" not in str(caught.value)


def test_an_empty_file_sets_nothing(tmp_path: Path) -> None:
    (tmp_path / "curation.yaml").write_text("# nothing\n")
    assert Settings().source == "https://data.commoncrawl.org/"


def test_a_named_file_must_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURATION_SETTINGS", "nope.yaml")
    with pytest.raises(SettingsError, match=r"CURATION_SETTINGS .* nope\.yaml, which does not exist"):
        Settings()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("CURATION_SUORCE", "x", "CURATION_SUORCE .* did you mean CURATION_SOURCE"),
        ("CURATION_SETTING", "x", "did you mean CURATION_SETTINGS"),
        ("CURATION_WARCS", "0", "CURATION_WARCS in the environment: '0' is not allowed"),
        ("CURATION_RECIPE_SET", "{a", "CURATION_RECIPE_SET or CURATION_RECIPES in the environment is no JSON"),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=message):
        Settings()


def test_the_state_folder_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURATION_STATE", "somewhere")
    monkeypatch.setenv("curation_warcs", "2")  # names have no case
    assert Settings().warcs == 2


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"warcs": 0}, {"sauce": 1}])
def test_arguments_are_judged_too(wrong: dict) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        Settings(**wrong)
