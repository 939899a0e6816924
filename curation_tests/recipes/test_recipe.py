from pathlib import Path

import pytest

from curation_assets.filtering.definitions import Definitions, LineEdits
from curation_assets.filtering.fineweb2_languages import language_table
from curation_assets.recipes.loading import RecipeError, load_recipe, published_recipes
from curation_assets.recipes.methods import BloomDuplicates, MinHash, QualityScores, SubstringDuplicates


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
    (minhash,) = recipe.methods
    assert (minhash.ngram, minhash.bands, minhash.rows, minhash.seed) == (5, 14, 8, 1)


GOPHER_NGRAMS = {
    **{f"top_{n}_gram": (">", limit) for n, limit in ((2, 0.20), (3, 0.18), (4, 0.16))},
    **{
        f"dup_{n}_gram": (">", limit)
        for n, limit in zip(range(5, 11), (0.15, 0.14, 0.13, 0.12, 0.11, 0.10), strict=True)
    },
}
URL_LIMITS = {"url_domain": (">", 0), "url_hard_word": (">", 0), "url_soft_words": (">=", 2), "url_subword": (">", 0)}
REFINEDWEB = {
    "consent": (">", 0),
    **URL_LIMITS,
    "language": ("<", 1),
    "language_score": ("<=", 0.65),
    "too_few_words": ("<", 50),
    "too_many_words": (">", 100000),
    "words_too_short": ("<", 3),
    "words_too_long": (">", 10),
    "too_many_symbols": (">", 0.1),
    "too_many_bullets": (">", 0.9),
    "too_many_ellipses": (">", 0.3),
    "too_few_alphabetic_words": ("<", 0.8),
    "too_few_stop_words": ("<", 2),
    "dup_line_frac": (">", 0.3),
    "dup_para_frac": (">", 0.3),
    "dup_line_char_frac": (">", 0.2),
    "dup_para_char_frac": (">", 0.2),
    **GOPHER_NGRAMS,
    "too_many_words_removed": (">", 0.05),
    "clean_text_empty": ("<", 1),
}


def test_refinedweb_is_as_published() -> None:
    """Steps of DCLM's reproduction, and what the paper says of deduplication."""
    recipe = load_recipe("refinedweb")
    assert {gate.name: (gate.operator, gate.limit) for _, _, gate in recipe.gates} == REFINEDWEB
    assert list(recipe.positions)[: len(REFINEDWEB)] == list(REFINEDWEB)
    assert recipe.signals == Definitions.model_validate("dclm")
    assert recipe.line_edits == LineEdits.model_validate("dclm")
    minhash, substrings, urls = recipe.methods
    assert isinstance(minhash, MinHash)
    assert (minhash.ngram, minhash.bands, minhash.rows, minhash.bands * minhash.rows) == (5, 450, 20, 9000)
    assert isinstance(substrings, SubstringDuplicates)
    assert (substrings.length, substrings.name, urls.name) == (50, "substring_duplicates", "url_duplicates")
    assert (recipe.extraction.extractor, recipe.language.languages) == ("trafilatura", ("en",))
    assert (recipe.pii.email, recipe.pii.public_ip) == (False, False)


def test_dclm_baseline_is_as_published() -> None:
    recipe = load_recipe("dclm_baseline")
    assert {gate.name: (gate.operator, gate.limit) for _, _, gate in recipe.gates} == REFINEDWEB
    assert (recipe.signals, recipe.line_edits) == (
        load_recipe("refinedweb").signals,
        load_recipe("refinedweb").line_edits,
    )
    bloom, quality = recipe.methods
    assert isinstance(bloom, BloomDuplicates)
    assert (bloom.ngram, bloom.threshold, bloom.false_positive_rate, bloom.level) == (13, 0.8, 0.01, "both")
    assert isinstance(quality, QualityScores)
    assert (quality.model, quality.negative_label, quality.min_score) == (None, "__label__cc", 0.018112)
    assert recipe.extraction.extractor == "resiliparse"


def test_fineweb2_is_as_published() -> None:
    recipe = load_recipe("fineweb2")
    assert {gate.name: (gate.operator, gate.limit) for _, _, gate in recipe.gates} == {
        "consent": (">", 0),
        **URL_LIMITS,
        "language": ("<", 1),
        "language_score": ("<", "language.language_score"),
        "dup_line_frac": (">", "language.dup_line_frac"),
        **{f"top_{n}_gram": (">", f"language.top_{n}_gram") for n in (2, 3, 4)},
        **{f"duplicated_{n}_n_grams": (">", f"language.dup_{n}_gram") for n in range(5, 11)},
        "fineweb_empty": ("<", 1),
        "line_punct_ratio": ("<", "language.line_punct_thr"),
        "char_dup_ratio": (">", 0.1),
        "list_ratio": (">", "language.new_line_ratio"),
        "gopher_short_doc": ("<", 50),
        "gopher_long_doc": (">", 100000),
        "gopher_below_avg_threshold": ("<", "language.min_avg_word_length"),
        "gopher_above_avg_threshold": (">", "language.max_avg_word_length"),
        "gopher_too_many_hashes": (">", 0.1),
        "gopher_too_many_ellipsis": (">", 0.1),
        "gopher_too_many_bullets": (">", 0.9),
        "gopher_too_many_end_ellipsis": (">", 0.3),
        "gopher_below_alpha_threshold": ("<", "language.max_non_alpha_words_ratio"),
        "gopher_enough_stop_words": ("<", 2),
    }
    positions = list(recipe.positions)
    assert positions.index("language_score") < positions.index("minhash_duplicates") < positions.index("dup_line_frac")
    (minhash,) = recipe.methods
    assert isinstance(minhash, MinHash)
    assert (minhash.ngram, minhash.bands, minhash.rows, minhash.hash) == (5, 14, 8, "xxhash")
    assert (minhash.by_language, minhash.across_snapshots) == (True, True)
    assert recipe.line_edits == LineEdits()
    assert recipe.repairs == ("encoding", "symbol_lines")
    assert (recipe.rehydration.max_weight, recipe.rehydration.window) == (10, 5) if recipe.rehydration else False
    assert (recipe.language.multilingual, recipe.language.excluded) == (True, ("eng_Latn",))
    assert (recipe.pii.email, recipe.pii.public_ip) == (True, True)


@pytest.mark.parametrize(
    ("language", "limits"),
    [
        ("deu_Latn", (0.821, 0, 0.152, 0.263, 0, 15, 0.774)),
        ("fra_Latn", (0.824, 0.1, 0.185, 0.264, 2, 11, 0.812)),
        ("arb_Arab", (0.711, 0.143, 0.189, 0.304, 2, 9, 0.787)),
        ("cmn_Hani", (0.692, 0.106, 0.178, 0.287, 1, 5, 0.735)),
    ],
)
def test_limits_of_fineweb2_for_a_language(language: str, limits: tuple[float, ...]) -> None:
    columns = (
        "language_score",
        "line_punct_thr",
        "new_line_ratio",
        "dup_line_frac",
        "min_avg_word_length",
        "max_avg_word_length",
        "max_non_alpha_words_ratio",
    )
    (found,) = (row for row in language_table().to_pylist() if row["language"] == language)
    assert [found[column] for column in columns] == pytest.approx(limits, abs=5e-4)


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
    with pytest.raises(RecipeError, match="published ones are c4, dclm_baseline, fineweb, fineweb2"):
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
            "line 9, .*minhash_duplicates.bandz: .* the keys are across_snapshots, audited_documents, bands,",
        ),
        ("bands: 20", "bands: 0", "line 9, stations.minhash_duplicates.bands: .* greater than 0"),
        ("[de]", "[de], sure: 1", "line 4, language.sure: .* the keys are characters, excluded, languages"),
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
    assert mine.methods[0].bands == 20
    fineweb = {gate.name for _, _, gate in load_recipe("fineweb").gates}
    assert fineweb - set(gates) == {"c4_curly_bracket"}


def test_a_limit_may_be_replaced_by_a_whole_rule(tmp_path: Path) -> None:
    extending = (
        "extends: fineweb\nname: mine\nset:\n  list_ratio: list_ratio >= 0.4\n  char_dup_ratio: clean_lines < 3\n"
    )
    gates = {gate.name: gate for _, _, gate in load_recipe(written(tmp_path, extending)).gates}
    assert (gates["list_ratio"].operator, gates["list_ratio"].limit) == (">=", 0.4)
    assert (gates["char_dup_ratio"].signal, gates["char_dup_ratio"].operator) == ("clean_lines", "<")
    with pytest.raises(RecipeError, match="no_such"):
        load_recipe("fineweb", {"list_ratio": "no_such > 1"})


def test_a_bare_station_is_that_of_the_recipe_extended(tmp_path: Path) -> None:
    mine = load_recipe(
        written(
            tmp_path,
            "extends: fineweb\nname: mine\nstations:\n- url_filter\n- gopher_quality\n"
            "- size: {tiny: words < 10}\n- minhash_duplicates\n",
        )
    )
    names = ["consent", "url_filter", "gopher_quality", "size", "cleaning", "minhash_duplicates"]
    assert [station.name for station in mine.stations] == names
    published = {station.name: station for station in load_recipe("fineweb").stations}
    assert all(mine.stations[at] == published[names[at]] for at in (1, 2, 5))
    with pytest.raises(RecipeError, match="line 3: fineweb has no station 'no_such_station'; its stations are consent"):
        load_recipe(written(tmp_path, "extends: fineweb\nname: mine\nstations: [url_filter, no_such_station]\n"))


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ("set:\n  language_score: 0.7\n  packing.seed: much\n", "line 5, packing.seed: .* valid integer"),
        ("set: {minhash_duplicates.bandz: 3}\n", "line 3, stations.minhash_duplicates.bandz: there is no such key"),
        ("packing:\n  seed: much\n", "line 4, packing.seed: "),
        ("stations: url_filter\n", "line 3, stations: a list is needed, such as .* not 'url_filter'"),
        ("language: {languages: en}\n", "line 3, language.languages: a list is needed"),
        ("out_of_order: {sizes: because}\n", "line 3, out_of_order.sizes: there is no station of that name"),
        (
            "stations:\n- url_filter\n- a: {x: words < 1}\n- b: {x: words < 2}\n",
            "line 6, stations.b.x: names of gates are used twice: x",
        ),
        (
            "stations:\n- url_filter\n- a: {x: words < 1}\n- a: {y: words < 2}\n",
            "stations.a: names of stations are used twice: a",
        ),
        (
            "stations:\n- substring_duplicates:\n- a: {x: words < 1}\n",
            "line 5, stations.a: .*stands after it.* its gates read the text as it was before the cuts",
        ),
    ],
)
def test_the_line_is_told_for_what_is_set_and_what_does_not_fit_together(
    tmp_path: Path, own: str, message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(written(tmp_path, "extends: fineweb\nname: mine\n" + own))


def test_a_fault_in_the_recipe_extended_is_told_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("extends: fineweb\nname: base\n\npacking: {seed: much}\n")
    with pytest.raises(RecipeError, match=r"line 4 of .*base.yaml, packing.seed"):
        load_recipe(written(tmp_path, "extends: base.yaml\nname: mine\n"))


def test_what_the_caller_sets_has_no_line() -> None:
    with pytest.raises(RecipeError, match=r"\n  stations.language.language_score: "):
        load_recipe("fineweb", {"language_score": "high"})


def test_a_name_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="line 1, name: 'MINE' is no name: lower-case letters"):
        load_recipe(written(tmp_path, OWN.replace("name: mine", "name: MINE")))


def test_order_of_a_station_that_is_left_out_is_not_inherited(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        OWN.replace("- size", "- early: {first: words < 1}\n- size") + "out_of_order: {early: why not}\n"
    )
    own = "extends: base.yaml\nname: own\nstations: [size]\n"
    assert load_recipe(written(tmp_path, own)).out_of_order == {}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"language.multilingual": False}, "limited by language need .*: language_score, dup_line_frac"),
        ({"language_score": "language_score < language.no_such"}, "limited by 'language.no_such'; the columns are"),
        ({"language_score": "language_score < language.stop_words"}, "the columns are"),
    ],
)
def test_limits_by_language_need_its_table(overrides: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe("fineweb2", overrides)


def test_rehydration_needs_clusters(tmp_path: Path) -> None:
    assert load_recipe(written(tmp_path, OWN + "rehydration: {}\n")).rehydration is not None
    without = OWN.replace("- minhash_duplicates:\n    bands: 20\n", "")
    with pytest.raises(RecipeError, match="clusters of minhash_duplicates"):
        load_recipe(written(tmp_path, without + "rehydration: {}\n"))


def test_every_published_recipe_is_whole() -> None:
    for name in published_recipes():
        recipe = load_recipe(name)
        assert recipe.name == name
        assert recipe.stations[0].name == "consent"


def test_a_recipe_that_extends_itself_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="extends itself"):
        load_recipe(written(tmp_path, "extends: mine.yaml\nname: mine\n"))


def test_a_recipe_of_ones_own_has_a_name_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="give yours another `name`"):
        load_recipe(written(tmp_path, OWN.replace("name: mine", "name: fineweb")))
    with pytest.raises(RecipeError, match="name: Field required"):
        load_recipe(written(tmp_path, "extends: fineweb\n"))


def test_an_override_takes_no_published_name_and_a_misspelt_gate_is_told_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="give yours another `name`"):
        load_recipe("fineweb", {"name": "fineweb2"})
    with pytest.raises(RecipeError, match="did you mean the gate language_score"):
        load_recipe("fineweb", {"langage_score": 0.7})
    with pytest.raises(RecipeError, match="there is no such file"):
        load_recipe(str(tmp_path / "gone.yaml"))


def test_across_snapshots_the_latest_cannot_survive() -> None:
    with pytest.raises(RecipeError, match="across snapshots the survivor is the earliest"):
        load_recipe("fineweb2", {"minhash_duplicates.survivor": "latest"})


def test_what_is_changed_of_a_preset_leaves_the_rest_of_it(tmp_path: Path) -> None:
    own = "extends: dclm_baseline\nname: mine\nsignals: {duplicates: later}\nline_edits: {min_words: 5}\n"
    expected = Definitions.model_validate({"preset": "dclm", "duplicates": "later"})
    recipe = load_recipe(written(tmp_path, own))
    assert recipe.signals == expected
    assert recipe.line_edits == LineEdits.model_validate({"preset": "dclm", "min_words": 5})
    assert load_recipe("refinedweb", {"signals.duplicates": "later"}).signals == expected
    assert load_recipe("refinedweb", {"line_edits.preset": "c4"}).line_edits == LineEdits.model_validate("c4")
    named = "extends: dclm_baseline\nname: mine\nline_edits: {preset: c4, min_words: 5}\n"
    assert load_recipe(written(tmp_path, named)).line_edits == LineEdits.model_validate(
        {"preset": "c4", "min_words": 5}
    )


def test_a_key_that_is_there_twice_is_an_error(tmp_path: Path) -> None:
    own = "extends: fineweb\nname: mine\nstations:\n  - size: {limit: words > 5,\n           limit: words < 3}\n"
    with pytest.raises(RecipeError, match=r"(?s)'limit' is there twice.*line 5"):
        load_recipe(written(tmp_path, own))


def test_a_file_that_is_no_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(b"name: \xff")
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(str(tmp_path / "mine.yaml"))
