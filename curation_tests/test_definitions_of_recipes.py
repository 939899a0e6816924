"""Several recipes in one Dagster: what they share is one asset, and each has a job of its own."""

from pathlib import Path

import dagster as dg
import pytest

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.definitions import build_definitions
from curation_assets.line import Line
from curation_assets.partitions import SNAPSHOTS
from curation_assets.provenance.comparison import comparison_stations
from curation_assets.settings import Settings
from curation_tests.conftest import RESILIPARSE

RECIPES = ("refinedweb", "dclm_baseline", "fineweb2")


def settings(sample: Path, lake: Path, **values) -> Settings:
    return Settings(source=str(sample), lake=lake, recipe_set=RESILIPARSE, workers=2, warcs=1, **values)


def keys(line: Line) -> set[dg.AssetKey]:
    return {dg.AssetKey(station.key) for station in line.stations}


@pytest.fixture(scope="module")
def definitions(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    return build_definitions(settings(sample, tmp_path_factory.mktemp("lake"), recipes=RECIPES))


def test_definitions_of_several_recipes_load(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)
    dg.Definitions.validate_loadable(build_definitions(Settings(recipes=RECIPES)))


def test_what_recipes_share_is_one_asset(definitions: dg.Definitions, sample: Path, tmp_path: Path) -> None:
    found = [spec.key for spec in definitions.resolve_all_asset_specs()]
    lines = [Line(settings(sample, tmp_path, recipe=recipe)) for recipe in ("fineweb", *RECIPES)]
    assert len(found) == len(set(found))
    compared = {dg.AssetKey(station.key) for station in comparison_stations([line.recipe for line in lines])}
    assert set(found) - {dg.AssetKey("takedown_list")} == compared.union(*map(keys, lines))
    shared = set.intersection(*map(keys, lines))
    assert {key.path[-1] for key in shared} == {"warc_files", "documents", "takedowns", "url_matches"}
    refinedweb, dclm = lines[1:3]
    assert {key.path[-1] for key in keys(refinedweb) & keys(dclm) - shared} == {"languages", "signals"}


def test_a_recipe_that_is_named_twice_is_there_once(sample: Path, tmp_path: Path) -> None:
    twice = build_definitions(settings(sample, tmp_path, recipes=("fineweb", "gopher", "gopher")))
    dg.Definitions.validate_loadable(twice)


def test_each_recipe_has_a_job_of_its_own(definitions: dg.Definitions, tmp_path: Path) -> None:
    for recipe in ("fineweb", *RECIPES):
        job = definitions.resolve_job_def(f"curate_{recipe}")
        line = Line(settings(tmp_path, tmp_path, recipe=recipe))
        assert set(job.asset_layer.executable_asset_keys) == keys(line)


def test_the_job_of_a_recipe_makes_its_tables_and_no_others(definitions: dg.Definitions) -> None:
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions(str(SNAPSHOTS.name), [SAMPLE_SNAPSHOT])
        job = definitions.resolve_job_def("curate_dclm_baseline")
        result = job.execute_in_process(partition_key=SAMPLE_SNAPSHOT, instance=instance)
        assert result.success
        assert all(check.passed for check in result.get_asset_check_evaluations())
        made = {event.asset_key for event in result.get_asset_materialization_events()}
        assert made == set(job.asset_layer.executable_asset_keys)
        assert {key.path[0] for key in made} & {"fineweb", "refinedweb", "fineweb2"} == set()
        event = instance.get_latest_materialization_event(dg.AssetKey(["dclm_baseline", "bloom_duplicates"]))
        assert event is not None
        assert event.asset_materialization is not None
        assert event.asset_materialization.metadata["rows_in"].value > 0


def test_the_weights_and_repairs_of_a_recipe_have_lineage(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()

    def upstream(name: str) -> set[str]:
        return {key.path[-1] for key in graph.get(dg.AssetKey(["fineweb2", name])).parent_keys}

    assert upstream("rehydration_weights") == {"corpus", "verdicts", "minhash_duplicates"}
    assert upstream("symbol_lines_edits") == {"documents", "encoding_edits", "pii_spans", "verdicts"}
    assert upstream("minhash_duplicates") == {"minhash_signatures", "band_index"}
