from pathlib import Path

import pytest

from curation_assets.recipes.loading import RecipeError, load_recipe


def test_fineweb_is_as_published() -> None:
    """Limits of datatrove's examples/fineweb.py and of the filters' defaults."""
    recipe = load_recipe("fineweb")
    limits = {gate.name: (gate.operator, gate.limit) for _, _, gate in recipe.gates}
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
    (minhash,) = recipe.deduplications
    assert (minhash.ngram, minhash.bands, minhash.rows, minhash.seed) == (5, 14, 8, 1)


def test_overrides_reach_parameters_and_limits() -> None:
    recipe = load_recipe(
        "fineweb",
        {"extraction.extractor": "resiliparse", "language_score": 0.7, "packing.sequence_length": 512},
    )
    assert recipe.extraction.extractor == "resiliparse"
    assert recipe.packing.sequence_length == 512
    (gate,) = [gate for _, _, gate in recipe.gates if gate.name == "language_score"]
    assert (gate.signal, gate.operator, gate.limit) == ("language_score", "<", 0.7)


def test_a_recipe_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: mine\ndescription: d\nextraction: {extractor: resiliparse}\nurl_filter: {}\n"
        "language: {languages: [de]}\nstations:\n- size:\n    too_short: words < 10\n"
    )
    assert [gate.name for _, _, gate in load_recipe(str(path)).gates] == ["consent", "too_short"]
    assert [gate.name for _, _, gate in load_recipe(str(path), {"consent": []}).gates] == ["too_short"]


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
        ({"stations": [{"a": {"x": "words << 3"}}]}, "words << 3"),
        ({"stations": [{"a": {"x": "words < 3"}}, {"b": {"x": "words < 3"}}]}, "used twice"),
        ({"stations": ["words < 3"]}, "a station is"),
        ({"stations": [{"a": {"x": "no_such_column < 3"}}]}, "no_such_column"),
        ({"stations": [{"a": {"kept": "words < 3"}}]}, "of its own"),
        ({"stations": None}, "stations"),
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
        gate for _, _, gate in load_recipe("fineweb", {"language_score": 1e-05}).gates if gate.name == "language_score"
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


OWN = """\
name: mine
description: d
extraction: {extractor: resiliparse}
language: {languages: [de]}
stations:
- size:
    too_short: words < 10
- minhash_duplicates:
    bands: 20
"""


def written(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("changed", "to", "message"),
    [
        ("words < 10", "wordz < 10", r"line 7, stations.size.too_short: .* the columns are alpha_word_ratio"),
        ("words < 10", "words ~ 10", "line 7, stations.size.too_short: .* is not `column operator limit`"),
        ("words < 10", "url_match > 1", "line 7, .*'url_match'; the columns are"),
        (
            "bands: 20",
            "bandz: 20",
            "line 9, .*minhash_duplicates.bandz: .* the keys are bands, ngram, rows, seed",
        ),
        ("bands: 20", "bands: 0", "line 9, stations.minhash_duplicates.bands: .* greater than 0"),
        ("[de]", "[de], sure: 1", "line 4, language.sure: .* the keys are characters, languages"),
        ("description: d", "descripton: d", "line 2, descripton: .* the keys are consent, description"),
        ("- size:\n    too_short: words < 10", "- size", "line 6, stations.0: a station is"),
    ],
)
def test_an_error_names_the_line_and_what_is_allowed(tmp_path: Path, changed: str, to: str, message: str) -> None:
    assert changed in OWN
    with pytest.raises(RecipeError, match=message):
        load_recipe(written(tmp_path, OWN.replace(changed, to)))


def test_stations_decide_in_the_order_of_the_file(tmp_path: Path) -> None:
    recipe = load_recipe(written(tmp_path, OWN))
    assert recipe.positions == {"consent": 0, "too_short": 1, "minhash_duplicates": 2}


def test_edits_that_leave_nothing_are_a_verdict_before_documents_are_compared(tmp_path: Path) -> None:
    recipe = load_recipe(written(tmp_path, OWN + "line_edits: c4\n"))
    assert list(recipe.positions) == ["consent", "too_short", "clean_text_empty", "minhash_duplicates"]


def test_what_is_costly_stands_last_unless_the_recipe_says_why(tmp_path: Path) -> None:
    late = OWN + "- url_filter:\n    listed: url_domain_listed > 0\n"
    with pytest.raises(RecipeError, match="url_filter costs less than size"):
        load_recipe(written(tmp_path, late.replace("- minhash_duplicates:\n    bands: 20\n", "")))
    assert load_recipe(written(tmp_path, late + "out_of_order: {url_filter: as published}\n"))


def test_a_recipe_extends_another_and_says_only_what_differs(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("extends: fineweb\nname: base\nextraction: {extractor: resiliparse}\n")
    mine = load_recipe(
        written(
            tmp_path,
            "extends: base.yaml\nname: mine\nset:\n  language_score: 0.7\n  c4_curly_bracket: null\n"
            "  minhash_duplicates.bands: 20\n",
        )
    )
    gates = {gate.name: gate.limit for _, _, gate in mine.gates}
    assert mine.name == "mine"
    assert mine.extraction.extractor == "resiliparse"
    assert mine.extraction.favour_precision
    assert gates["language_score"] == 0.7
    assert "c4_curly_bracket" not in gates
    assert mine.deduplications[0].bands == 20
    fineweb = {gate.name for _, _, gate in load_recipe("fineweb").gates}
    assert fineweb - set(gates) == {"c4_curly_bracket"}


def test_a_recipe_that_extends_itself_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="extends itself"):
        load_recipe(written(tmp_path, "extends: mine.yaml\nname: mine\n"))


def test_a_recipe_of_ones_own_has_a_name_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="give yours another `name`"):
        load_recipe(written(tmp_path, OWN.replace("name: mine", "name: fineweb")))
    with pytest.raises(RecipeError, match="name: Field required"):
        load_recipe(written(tmp_path, "extends: fineweb\n"))
