"""Recipes side by side: what each of their stations drops, and which documents they agree on.

A document has the same `doc` under every recipe, whatever extracted its text; so what survives can be compared.
"""

from collections.abc import Mapping, Sequence

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from curation_assets.lake.contracts import Column, Contract, each
from curation_assets.lake.lake import Lake, LakeError, Partition, Stats
from curation_assets.lake.parts import PartWriter, part_name
from curation_assets.lake.query import query
from curation_assets.lake.station import Check, SnapshotJob, SnapshotStation
from curation_assets.provenance.showing import show_overlaps, show_stages
from curation_assets.recipes.loading import RecipeError
from curation_assets.recipes.recipe import Recipe

ACQUISITION, TAKEDOWNS = BEFORE_RECIPES = ("acquisition", "takedowns")
"""The stations of records without text and of those taken down, which come before those of every recipe."""

STAGES = pa.schema(
    [
        ("recipe", pa.string()),
        ("position", pa.int32()),
        ("station", pa.string()),
        ("documents", pa.int64()),
        ("dropped", pa.int64()),
        ("left", pa.int64()),
        ("share_of_records", pa.float64()),
        ("share_of_texts", pa.float64()),
        ("text_bytes", pa.int64()),
        ("tokens", pa.int64()),
        ("published_share", pa.float64()),
    ]
)
OVERLAPS = pa.schema(
    [
        ("recipe", pa.string()),
        ("other", pa.string()),
        ("kept", pa.int64()),
        ("other_kept", pa.int64()),
        ("shared", pa.int64()),
        ("jaccard", pa.float64()),
    ]
)


class Compared(BaseModel):
    """What a comparison knows of a recipe: its stations in order, and the yield that its source states."""

    model_config = ConfigDict(frozen=True)

    name: str
    stations: tuple[str, ...]
    published_yield: float | None


class ComparisonParameters(BaseModel):
    """The recipes, in the order in which they are shown."""

    model_config = ConfigDict(frozen=True)

    recipes: tuple[Compared, ...]


def compared(recipes: Sequence[Recipe]) -> tuple[Compared, ...]:
    """What is compared of some recipes, each name once.

    Raises `RecipeError` when two that differ have one name, for each would replace the tables of the other.
    """
    by_name: dict[str, Recipe] = {}
    for recipe in recipes:
        if by_name.setdefault(recipe.name, recipe) != recipe:
            raise RecipeError(f"two recipes are called {recipe.name!r}: give one of them another `name`")
    return tuple(
        Compared(
            name=recipe.name,
            stations=(*BEFORE_RECIPES, *(station.name for station in recipe.stations)),
            published_yield=recipe.published_yield,
        )
        for recipe in by_name.values()
    )


def comparison_stations(recipes: Sequence[Recipe]) -> list[SnapshotStation]:
    """The tables that set the recipes side by side; none for fewer than two recipes."""
    params = ComparisonParameters(recipes=compared(recipes))
    if len(params.recipes) < 2:
        return []
    names = [one.name for one in params.recipes]
    told = ", ".join(names)

    def inputs(*tables: str) -> dict[str, tuple[str, ...]]:
        return {f"{name}_{table}": (name, table) for name in names for table in tables}

    def origins(table: str, column: str) -> tuple[tuple[str, str], ...]:
        return tuple((f"{name}_{table}", column) for name in names)

    counted = {column: origins("verdicts", "station") for column in ("documents", "dropped", "left")}
    shares = {column: origins("verdicts", "station") for column in ("share_of_records", "share_of_texts")}
    survived = {column: origins("verdicts", "verdict") for column in ("kept", "other_kept", "shared", "jaccard")}
    return [
        SnapshotStation(
            key=("recipe_comparison",),
            group="provenance",
            description=f"Documents that each station of {told} drops and leaves, and the tokens of what they keep, "
            "beside the published yields.",
            version="1",
            params=params,
            inputs=inputs("verdicts", "corpus", "tokens"),
            schema=STAGES,
            step=write_stages,
            show=show_stages,
            columns={
                "position": "place of the station in its recipe; 0 for acquisition, 1 for takedowns",
                "documents": "documents that came to the station",
                "dropped": "those that it dropped",
                "left": "those that it left",
                "share_of_records": "what is left, of all response records",
                "share_of_texts": "what is left, of the records that a text was extracted from",
                "text_bytes": "UTF-8 bytes of what the recipe keeps, edited; at its last station",
                "tokens": "tokens of what the recipe keeps, by its own tokenizer; at its last station",
                "published_share": "share of documents that the recipe's source says it keeps; at its last station",
            },
            origins={
                **dict.fromkeys(("recipe", "position", "station", "published_share"), ()),
                **counted,
                **shares,
                "text_bytes": origins("corpus", "text"),
                "tokens": origins("tokens", "token_count"),
            },
            contract=Contract(
                {
                    "recipe": Column(among=tuple(names)),
                    **each(("position", "documents", "dropped", "left"), Column(least=0)),
                    **each(("share_of_records", "share_of_texts"), Column(null=True, least=0, most=1)),
                    **each(("text_bytes", "tokens"), Column(null=True, least=0)),
                    "published_share": Column(null=True, least=0, most=1),
                },
                key=("recipe", "position"),
                conditions={"what comes is dropped or left": 'documents = dropped + "left"'},
                least_rows=1,
            ),
            conservation=(
                Check(
                    "recipes_are_conserved",
                    "Documents = dropped + left everywhere; the last one leaves the corpus.",
                ),
            ),
        ),
        SnapshotStation(
            key=("recipe_overlaps",),
            group="provenance",
            description=f"How many documents every two of {told} both keep, and the Jaccard index of what they keep.",
            version="1",
            params=params,
            inputs=inputs("verdicts", "corpus"),
            schema=OVERLAPS,
            step=write_overlaps,
            show=show_overlaps,
            columns={
                "kept": "documents that `recipe` keeps",
                "other_kept": "documents that `other` keeps",
                "shared": "documents that both keep",
                "jaccard": "of the documents that either keeps, the share that both keep; null when there are none",
            },
            origins={"recipe": (), "other": (), **survived},
            contract=Contract(
                {
                    **each(("recipe", "other"), Column(among=tuple(names))),
                    **each(("kept", "other_kept", "shared"), Column(least=0)),
                    "jaccard": Column(null=True, least=0, most=1),
                },
                key=("recipe", "other"),
                conditions={"no more is shared than either keeps": "shared <= least(kept, other_kept)"},
                least_rows=1,
            ),
            conservation=(
                Check("overlaps_are_symmetric", "Every two recipes have one row in each order, and they agree."),
            ),
        ),
    ]


def write_stages(job: SnapshotJob) -> Stats:
    """Write the table of `stages`."""
    return _write(job, stages(job.params.recipes, job.inputs))


def write_overlaps(job: SnapshotJob) -> Stats:
    """Write the table of `overlaps`."""
    return _write(job, overlaps(job.params.recipes, job.inputs))


def _write(job: SnapshotJob, table: pa.Table) -> Stats:
    with PartWriter(job.folder / part_name(0), table.schema, "") as writer:
        writer.write(table)
    stats = {"rows_out": table.num_rows}
    for one in job.params.recipes:
        stats[f"documents.{one.name}"] = job.inputs[f"{one.name}_verdicts"].manifest().rows
        stats[f"corpus.{one.name}"] = job.inputs[f"{one.name}_corpus"].manifest().rows
    return stats


def comparison_inputs(lake: Lake, snapshot: str | None, recipes: Sequence[Compared]) -> dict[str, Partition]:
    """What `stages` and `overlaps` read, for recipes that have been run.

    Args:
        lake: where they are.
        snapshot: which to compare; the newest that all recipes have verdicts for when None.
        recipes: two or more.

    Raises:
        LakeError: a recipe has no verdicts for the snapshot, there is none that all have, or they judged different
            numbers of records.
    """
    if snapshot is None:
        known = {one.name: lake.snapshots((one.name, "verdicts")) for one in recipes}
        shared = set.intersection(*(set(names) for names in known.values()))
        if not shared:
            told = "; ".join(f"{name}: {', '.join(names) or 'none'}" for name, names in known.items())
            raise LakeError(f"the lake {lake.root} holds no snapshot with verdicts of all recipes ({told})")
        snapshot = str(max(shared))
    found = {
        f"{one.name}_{table}": lake.partition((one.name, table), snapshot)
        for one in recipes
        for table in ("verdicts", "corpus", "tokens")
    }
    rows = {}
    for one in recipes:
        manifest = found[f"{one.name}_verdicts"].committed()
        if manifest is None:
            raise LakeError(
                f"the lake {lake.root} holds no verdicts of recipe {one.name} for {snapshot}: "
                f"`curation run --snapshot {snapshot} --recipe {one.name}` makes them"
            )
        rows[one.name] = manifest.rows
    if len(set(rows.values())) > 1:
        told = ", ".join(f"{name} {count:,}" for name, count in rows.items())
        raise LakeError(f"the recipes judged different records of {snapshot} ({told}): run them over the same ones")
    return found


def stages(recipes: Sequence[Compared], inputs: Mapping[str, Partition]) -> pa.Table:
    """What each station of each recipe drops and leaves: `STAGES`, in order of recipes and stations.

    Tokens, bytes and the published share stand in the row of a recipe's last station; null where they are not known.

    Args:
        recipes: what is compared, in this order.
        inputs: `<recipe>_verdicts`, `<recipe>_corpus` and `<recipe>_tokens`; of the latter two only the counters are
            read, if they are committed.
    """
    order = pa.table(
        {
            "recipe": [one.name for one in recipes for _ in one.stations],
            "position": [position for one in recipes for position in range(len(one.stations))],
            "station": [station for one in recipes for station in one.stations],
        }
    )
    last = {(one.name, len(one.stations) - 1): one for one in recipes}
    rows = _query("recipe_stages", {"stages": order}, recipes, inputs).to_pylist()
    for row in rows:
        one = last.get((row["recipe"], row["position"]))
        row["text_bytes"] = _counter(inputs, one, "corpus", "text_bytes")
        row["tokens"] = _counter(inputs, one, "tokens", "tokens")
        row["published_share"] = one.published_yield if one else None
    return pa.Table.from_pylist(rows, schema=STAGES)


def overlaps(recipes: Sequence[Compared], inputs: Mapping[str, Partition]) -> pa.Table:
    """For every ordered pair of recipes, each with itself too, the documents that both keep: `OVERLAPS`.

    Args:
        recipes: what is compared, at most 62, in this order.
        inputs: `<recipe>_verdicts` of each.
    """
    bits = pa.array([1 << number for number, _ in enumerate(recipes)], pa.int64())
    named = pa.table({"recipe": [one.name for one in recipes], "bit": bits})
    return _query("recipe_overlaps", {"recipes": named}, recipes, inputs).cast(OVERLAPS)


def _query(
    name: str, views: Mapping[str, pa.Table], recipes: Sequence[Compared], inputs: Mapping[str, Partition]
) -> pa.Table:
    """Run a statement over the verdicts of all recipes at once."""
    owners = {str(path): one.name for one in recipes for path in inputs[f"{one.name}_verdicts"].paths(".parquet")}
    files = pa.table({"filename": list(owners), "recipe": list(owners.values())})
    parameters = {"paths": list(owners), "recipes": [one.name for one in recipes]}
    return query(f"provenance/{name}", {"files": files, **views}, parameters)


def _counter(inputs: Mapping[str, Partition], one: Compared | None, table: str, counter: str) -> int | None:
    manifest = inputs[f"{one.name}_{table}"].committed() if one else None
    return manifest.stats.get(counter) if manifest else None
