"""The station of the report: the page, the dataset card and its Croissant metadata, and the funnel as a picture."""

import json
from collections.abc import Sequence
from functools import partial

from curation_assets.lake.lake import TAKEDOWN_LIST, Stats, write_atomically
from curation_assets.lake.station import Check, SnapshotJob, SnapshotStation, Station
from curation_assets.plots import funnel, svg
from curation_assets.provenance.dataset_card import croissant, dataset_card
from curation_assets.provenance.measuring import measure
from curation_assets.provenance.report import ReportParameters
from curation_assets.provenance.report_page import page, steps
from curation_assets.recipes.recipe import Recipe

REPORT_FILE = "report.html"
CARD_FILE = "README.md"
CROISSANT_FILE = "croissant.json"
FUNNEL_FILE = "funnel.svg"


def snapshot_report(recipe: Recipe, stations: Sequence[Station]) -> SnapshotStation:
    """What a person wants to know of a snapshot, from every table of the line before it.

    Args:
        recipe: whose line it ends.
        stations: of the line, in order.
    """
    key = (recipe.name, "snapshot_report")
    return SnapshotStation(
        key=key,
        group="provenance",
        description=f"`{REPORT_FILE}`: one page about the snapshot (funnel, yields beside the published one, "
        "languages, sites, lengths, duplicates, packing, checks, samples of each verdict, and four axes of a dataset's "
        "quality), "
        f"and what catalogues ask for: `{CARD_FILE}`, a dataset card for the Hugging Face Hub, and `{CROISSANT_FILE}`.",
        version="2",
        libraries=("matplotlib", "jinja2"),
        params=ReportParameters(
            recipe=recipe.name,
            description=recipe.description,
            published_yield=recipe.published_yield,
        ),
        inputs={station.name: station.key for station in stations},
        external=(TAKEDOWN_LIST,),
        preceding={name: (recipe.name, name) for name in ("verdicts", "training_shards")},
        step=partial(write_report, stations=stations),
        conservation=(
            Check(
                "report_tells_what_was_counted",
                "Records = kept + dropped as the report shows them; what is kept is the corpus, and the tokens are "
                "those of the shards; every file is there.",
            ),
        ),
    )


def write_report(job: SnapshotJob, stations: Sequence[Station]) -> Stats:
    """Measure, and write all files."""
    report = measure(job.params, job.inputs, job.preceding)
    corpus = next(station for station in stations if station.name == "corpus")
    assert corpus.schema is not None
    meanings = {
        column: next((one.columns[column] for one in [corpus, *stations] if column in one.columns), "")
        for column in corpus.schema.names
    }
    picture = svg(funnel(steps(report), report.about.published_yield), "Documents left after each station")
    described = croissant(report, corpus.schema, meanings)
    for name, content in {
        REPORT_FILE: page(report),
        CARD_FILE: dataset_card(report, corpus.schema, meanings),
        CROISSANT_FILE: json.dumps(described, indent=1, ensure_ascii=False) + "\n",
        FUNNEL_FILE: picture,
    }.items():
        write_atomically(job.folder / name, content.encode())
    return {
        "records": report.records,
        "dropped": sum(gate.dropped for gate in report.gates),
        "kept": report.kept,
        "tokens": report.tokens,
        "checks_passed": sum(check.passed for table in report.tables for check in table.checks),
        "checks": sum(len(table.checks) for table in report.tables),
        "parts": report.parts,
        "measured_parts": report.measured_parts,
        "measured_kept": report.kept_words.total,
    }
