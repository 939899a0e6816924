"""The profile of a snapshot: a few hundred numbers that say what it is like, for comparison with other snapshots."""

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from curation_assets.filtering.signals import SIGNALS
from curation_assets.lake.contracts import Column, Contract
from curation_assets.lake.lake import Key, Stats, fingerprint
from curation_assets.lake.parts import PartWriter, part_name
from curation_assets.lake.query import Source, query, source
from curation_assets.lake.station import Check, SnapshotJob, SnapshotStation
from curation_assets.recipes.methods import QualityScores
from curation_assets.recipes.recipe import TEXT_COLUMNS, Recipe

PROFILE = pa.schema(
    [
        ("measure", pa.string()),
        ("class", pa.string()),
        ("documents", pa.int64()),
        ("of", pa.int64()),
        ("share", pa.float64()),
    ]
)
DECISIONS = pa.schema([("position", pa.int32()), ("name", pa.string())])
SCORES = pa.schema([("doc", pa.int64()), ("value", pa.float64())])
LENGTHS = ("characters", "tokens")
"""Measures of length: of each text as extracted, and of each document that is kept."""


class ProfileParameters(BaseModel):
    """What is told of a snapshot, and which recipe made it."""

    model_config = ConfigDict(frozen=True)

    recipe: str
    """Fingerprint of all that decides which documents are kept. Snapshots are compared where it is the same."""
    decisions: tuple[str, ...]
    """Gates and methods by their place in the order of decisions."""
    signals: tuple[str, ...]
    scored: bool
    """Whether a classifier scores the documents."""


def profile_parameters(recipe: Recipe) -> ProfileParameters:
    """What a recipe's profile holds: the signals are those that its gates read, and the length."""
    read = {gate.signal for _, _, gate in recipe.gates} & (set(SIGNALS.names) - TEXT_COLUMNS)
    decides = {"extraction", "consent", "url_filter", "language", "signals", "line_edits", "stations"}
    return ProfileParameters(
        recipe=fingerprint(recipe.model_dump(mode="json", include=decides)),
        decisions=tuple(sorted(recipe.positions, key=recipe.positions.__getitem__)),
        signals=tuple(sorted(read | {"characters"})),
        scored=any(isinstance(method, QualityScores) and method.model is not None for method in recipe.methods),
    )


def profile(recipe: Recipe, warc_files: Key, languages: Key, signals: Key) -> SnapshotStation:
    """Yields, languages, lengths and scores of a snapshot."""
    params = profile_parameters(recipe)
    return SnapshotStation(
        key=(recipe.name, "profile"),
        group="provenance",
        description="What the snapshot is like under this recipe: losses by cause, the share that each gate and "
        "method drops of what reaches it, languages, and distributions of lengths, scores and the signals that gates "
        "read. Drift checks compare it with those of earlier snapshots.",
        version="2",
        params=params,
        inputs={
            "verdicts": (recipe.name, "verdicts"),
            "warc_files": warc_files,
            "languages": languages,
            "signals": signals,
            "tokens": (recipe.name, "tokens"),
            **({"scores": (recipe.name, "quality_scores")} if params.scored else {}),
        },
        schema=PROFILE,
        step=write_profile,
        columns={
            "measure": "`records`, `kept`, `lost`, `taken_down`, `dropped`, `languages` (of all texts), "
            "`languages_kept`, or what is distributed",
            "class": "verdict of acquisition, gate or method, language, or the range of values, from and below",
            "documents": "documents in the class",
            "of": "those that could be, without what was taken down: response records, those that reached the gate, "
            "all that were measured; of `records` the WARC files",
            "share": "documents / of",
        },
        origins={
            **dict.fromkeys(PROFILE.names, (("verdicts", "verdict"), ("verdicts", "position"))),
            "class": (
                ("verdicts", "verdict"),
                ("languages", "language"),
                ("languages", "language_score"),
                ("tokens", "token_count"),
                *(("signals", name) for name in params.signals),
            ),
        },
        contract=Contract(
            {
                "documents": Column(least=0),
                "of": Column(least=0),
                # Of nothing there is no share.
                "share": Column(null=True, least=0),
            },
            key=("measure", "class"),
            conditions={"a class is no more than all": "(documents <= \"of\" AND share <= 1) OR measure = 'records'"},
        ),
        conservation=(Check("profile_adds_up", "Lost + taken down + dropped + kept = records; shares are whole."),),
    )


def write_profile(job: SnapshotJob) -> Stats:
    """Count; profile.sql."""
    params: ProfileParameters = job.params
    views: dict[str, Source] = {name: source(job.inputs[name].paths()) for name in job.inputs if name != "warc_files"}
    names = list(params.decisions)
    table = query(
        "provenance/profile",
        {
            "scores": SCORES.empty_table(),
            **views,
            "decisions": pa.table({"position": range(len(names)), "name": names}, schema=DECISIONS),
        },
        {"warc_files": job.inputs["warc_files"].manifest().rows, "signals": list(params.signals)},
    ).cast(PROFILE)
    with PartWriter(job.folder / part_name(0), PROFILE, "") as writer:
        writer.write(table)
    return {"rows_in": job.inputs["verdicts"].manifest().rows, "rows_out": table.num_rows}
