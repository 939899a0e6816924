"""The line: a recipe's stations in the order in which data flows, over one lake and one source."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

from curation_assets.acquisition import stations as acquisition
from curation_assets.acquisition.archive import Archive, open_archive
from curation_assets.deduplication.cuts import cut
from curation_assets.deduplication.places import Surroundings
from curation_assets.deduplication.stations import compare
from curation_assets.engine.local import Engine, LocalEngine
from curation_assets.engine.ray import RayEngine
from curation_assets.filtering import stations as filtering
from curation_assets.filtering.definitions import LineEdits
from curation_assets.filtering.edit_stations import edit_stations
from curation_assets.lake.lake import Key, Lake
from curation_assets.lake.progress import Progress
from curation_assets.lake.station import Staged, Station, run
from curation_assets.packing import stations as packing
from curation_assets.packing.formats import format_stations
from curation_assets.provenance import stations as provenance
from curation_assets.provenance.profile import profile
from curation_assets.provenance.report_station import snapshot_report
from curation_assets.provenance.takedown_stations import takedowns, tombstones
from curation_assets.recipes.loading import load_recipe
from curation_assets.recipes.methods import QualityScores
from curation_assets.recipes.recipe import Recipe
from curation_assets.selection import stations as selection
from curation_assets.selection.quality import quality_scores
from curation_assets.selection.weights import weight_stations
from curation_assets.settings import Settings


class Line:
    """Everything that a run needs, made from `Settings`.

    >>> line = Line(Settings(source="crawl", lake="lake", recipe_set={"extraction.extractor": "resiliparse"}))
    >>> for staged in line.run("CC-MAIN-2025-05"):
    ...     print(staged.partition.name, staged.manifest.rows)
    """

    def __init__(self, settings: Settings, archive: Archive | None = None) -> None:
        self.settings = settings
        self.archive = archive or open_archive(
            settings.source, signed=settings.s3_signed, endpoint_url=settings.s3_endpoint_url
        )
        self.lake = Lake(settings.lake.resolve(), settings.verify)
        self.recipe: Recipe = load_recipe(settings.recipe, settings.recipe_set)

    @cached_property
    def stations(self) -> list[Station]:
        """All stations of the recipe, each after its inputs."""
        settings, recipe = self.settings, self.recipe
        lists = settings.lists and settings.lists.absolute()
        warc_files = acquisition.warc_files(self.archive, settings.warcs, settings.sample_seed, settings.exclude_warcs)
        documents = acquisition.documents(self.archive, warc_files.key, recipe.extraction, recipe.loss)
        url_matches = filtering.url_matches(documents.key, recipe.url_filter, lists)
        languages = filtering.languages(documents.key, recipe.language)
        signals = filtering.signals(documents.key, languages.key, recipe)
        taken_down = takedowns(self.lake, documents.key)
        annotations = [url_matches, languages, signals]
        edits = {signals.key: "line_edits"} if recipe.line_edits != LineEdits() else {}
        looked: list[Station] = []
        for method in recipe.methods:
            around = Surroundings(recipe, documents.key, languages.key, dict(edits), looked[-1].key if looked else None)
            if isinstance(method, QualityScores):
                looked.append(quality_scores(method, around))
            else:
                looked += cut(method, around) if method.cuts else compare(method, around)
            if method.cuts:
                edits[looked[-1].key] = "spans"
        edited, edits = edit_stations(recipe, documents.key, edits)
        stations: list[Station] = [
            warc_files,
            documents,
            taken_down,
            *annotations,
            filtering.filter_verdicts(recipe, documents.key, annotations),
            *looked,
            provenance.verdicts(recipe, documents.key, taken_down.key, annotations),
            *edited,
            selection.corpus(recipe, documents.key, languages.key, edits),
            *weight_stations(recipe),
            tombstones(recipe, self.lake, taken_down.key, settings.tokenizer),
            packing.tokenizer(recipe, settings.tokenizer),
            packing.tokens(recipe),
            packing.packed_sequences(recipe),
            packing.training_shards(recipe),
            *format_stations(recipe),
            profile(recipe, warc_files.key, languages.key, signals.key),
        ]
        return [*stations, snapshot_report(recipe, stations)]

    def meaning(self, station: Station, column: str) -> str:
        """What a column of a station's table means, there or where it first came from; empty when nobody says."""
        tables = [station, *self.stations]
        return next((table.columns[column] for table in tables if column in table.columns), "")

    def key(self, name: str) -> Key:
        """The key of the table called `name`. Raises `KeyError` when the recipe has no such table."""
        for station in self.stations:
            if station.name == name:
                return station.key
        raise KeyError(f"recipe {self.recipe.name} has no table {name}")

    def engine(self, **instead: Any) -> LocalEngine | RayEngine:
        """A new engine: workers on this machine, or on the cluster of the settings, as many as they say.

        Args:
            instead: `workers` and `cluster` in place of the settings'.
        """
        settings = self.settings.model_copy(update=instead)
        if settings.cluster is None:
            return LocalEngine(settings.workers)
        places = [] if "://" in settings.source else [Path(settings.source).expanduser().absolute()]
        if settings.lists:
            places.append(settings.lists.absolute())
        workers = settings.workers if "workers" in settings.model_fields_set else None
        return RayEngine(settings.cluster, self.lake.root, places, workers)

    def run(
        self,
        snapshot: str,
        engine: Engine | None = None,
        progress: Callable[[Station], Progress | None] | None = None,
    ) -> Iterator[Staged]:
        """Run every station for one snapshot, yielding each as it is published.

        Raises `CheckFailed` when data broke a check, and `ArchiveError` when the source cannot be read.
        """
        with nullcontext(engine) if engine else self.engine() as running:
            for station in self.stations:
                yield run(station, self.lake, snapshot, running, progress(station) if progress else None)
