from pathlib import Path

import pytest

from curation_assets.recipes.recipe import RecipeError, load_recipe


def test_fineweb_is_as_published() -> None:
    """Limits of datatrove's examples/fineweb.py and of the filters' defaults."""
    recipe = load_recipe("fineweb")
    limits = {gate.name: (gate.operator, gate.limit) for gate in recipe.gates}
    assert limits == {
        "consent": (">", 0),
        "url_domain": (">", 0),
        "url_hard_word": (">", 0),
        "url_soft_words": (">=", 2),
        "url_subword": (">", 0),
        "language": ("<", 1),
        "language_score": ("<", 0.65),
        "dup_para_frac": (">", 0.30),
        "dup_para_char_frac": (">", 0.20),
        "dup_line_frac": (">", 0.30),
        "dup_line_char_frac": (">", 0.20),
        "top_2_gram": (">", 0.20),
        "top_3_gram": (">", 0.18),
        "top_4_gram": (">", 0.16),
        "duplicated_5_n_grams": (">", 0.15),
        "duplicated_6_n_grams": (">", 0.14),
        "duplicated_7_n_grams": (">", 0.13),
        "duplicated_8_n_grams": (">", 0.12),
        "duplicated_9_n_grams": (">", 0.11),
        "duplicated_10_n_grams": (">", 0.10),
        "gopher_short_doc": ("<", 50),
        "gopher_long_doc": (">", 100000),
        "gopher_below_avg_threshold": ("<", 3),
        "gopher_above_avg_threshold": (">", 10),
        "gopher_too_many_hashes": (">", 0.1),
        "gopher_too_many_ellipsis": (">", 0.1),
        "gopher_too_many_bullets": (">", 0.9),
        "gopher_too_many_end_ellipsis": (">", 0.3),
        "gopher_below_alpha_threshold": ("<", 0.8),
        "gopher_enough_stop_words": ("<", 2),
        "c4_lorem_ipsum": (">", 0),
        "c4_curly_bracket": (">", 0),
        "c4_too_few_sentences": ("<", 5),
        "fineweb_empty": ("<", 1),
        "line_punct_ratio": ("<", 0.12),
        "short_line_ratio": (">", 0.67),
        "char_dup_ratio": (">", 0.01),
        "list_ratio": (">", 0.3),
    }
    assert recipe.extraction.extractor == "trafilatura"
    assert recipe.language.languages == ("en",)
    assert (recipe.minhash.ngram, recipe.minhash.bands, recipe.minhash.rows, recipe.minhash.seed) == (5, 14, 8, 1)


def test_overrides_reach_parameters_and_limits() -> None:
    recipe = load_recipe(
        "fineweb",
        {"extraction.extractor": "resiliparse", "language_score": 0.7, "packing.sequence_length": 512},
    )
    assert recipe.extraction.extractor == "resiliparse"
    assert recipe.packing.sequence_length == 512
    (gate,) = [gate for gate in recipe.gates if gate.name == "language_score"]
    assert (gate.signal, gate.operator, gate.limit) == ("language_score", "<", 0.7)


def test_a_recipe_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: mine\ndescription: d\nextraction: {extractor: resiliparse}\nurl_filter: {}\n"
        "language: {languages: [de]}\ngates:\n- size:\n    too_short: words < 10\n"
    )
    assert [gate.name for gate in load_recipe(str(path)).gates] == ["consent", "too_short"]
    assert [gate.name for gate in load_recipe(str(path), {"consent": []}).gates] == ["too_short"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"nonsense": 1}, "nonsense"),
        ({"packing.nonsense": 1}, "packing.nonsense"),
        ({"packing.strategy": "worst_fit"}, "packing.strategy"),
        ({"packing.sequence_length": 1}, "sequence_length"),
        ({"language_score": "high"}, "language_score"),
        ({"extraction.extractor": "magic"}, "extraction.extractor"),
        ({"name.deeper": 1}, "name.deeper"),
        ({"gates": [{"a": {"x": "words << 3"}}]}, "words << 3"),
        ({"gates": [{"a": {"x": "words < 3"}}, {"b": {"x": "words < 3"}}]}, "used twice"),
        ({"gates": ["words < 3"]}, "a group of gates"),
        ({"gates": [{"a": {"x": "no_such_column < 3"}}]}, "no_such_column"),
        ({"gates": [{"a": {"kept": "words < 3"}}]}, "verdict of its own"),
        ({"gates": None}, "gates"),
        ({"packing.shard_tokens": 100}, "cannot hold a sequence"),
    ],
)
def test_what_cannot_be_used_is_named(overrides: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe("fineweb", overrides)


def test_a_field_wins_over_a_gate_of_the_same_name() -> None:
    assert load_recipe("fineweb", {"consent": ["noai"]}).consent == ("noai",)


def test_a_limit_may_be_written_with_an_exponent() -> None:
    (gate,) = [
        gate for gate in load_recipe("fineweb", {"language_score": 1e-05}).gates if gate.name == "language_score"
    ]
    assert gate.limit == 1e-05


@pytest.mark.parametrize("content", ["", "- a", "text"])
def test_a_file_that_holds_no_mapping_is_an_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text(content)
    with pytest.raises(RecipeError, match="holds no recipe"):
        load_recipe(str(path), {"packing.seed": 2})


def test_an_unknown_recipe_names_the_known_ones() -> None:
    with pytest.raises(RecipeError, match="published ones are fineweb"):
        load_recipe("coarseweb")


def test_broken_yaml_is_an_error_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("name: [\n")
    with pytest.raises(RecipeError, match="line 2"):
        load_recipe(str(path))
