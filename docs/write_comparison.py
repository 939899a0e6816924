"""Write the comparison of recipes from a lake that they were run into, and its plot.

python docs/write_comparison.py RESILIPARSE_LAKE PUBLISHED_LAKE > docs/comparison.md
python docs/write_comparison.py --svg RESILIPARSE_LAKE PUBLISHED_LAKE > docs/comparison.svg

The first lake holds the recipes with resiliparse text (`--set extraction.extractor=resiliparse`), the second one as
published. All snapshots that all the recipes have there are shown.
"""

import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import polars as pl

from curation_assets.lake.lake import Lake
from curation_assets.provenance.comparison import ACQUISITION, Compared, compared, comparison_inputs, overlaps, stages
from curation_assets.recipes.loading import load_recipe
from curation_assets.recipes.methods import QualityScores
from curation_assets.recipes.recipe import Recipe

RECIPES = [load_recipe(name) for name in ("refinedweb", "dclm_baseline", "fineweb", "fineweb2")]
DOCUMENTATION = r"^https?://[^/]*-(docs|manual)\.example\.org/"
"""Hosts that the local crawl gave to its documentation pages; all others are those of pages of the web."""

KINDS = {
    "no text": "#9aa5b1",
    "URL and consent": "#7a6f9b",
    "language": "#e3b23c",
    "gates on the text": "#d98c6a",
    "duplicates": "#b4532a",
    "quality": "#8f2f4f",
    "kept": "#2f6f8f",
}
WIDTH, ROW, LEFT, RIGHT = 860, 26, 130, 110


@dataclass(frozen=True)
class Comparison:
    """One snapshot of one lake."""

    snapshot: str
    stages: list[dict[str, Any]]
    overlaps: list[dict[str, Any]]
    web: dict[str, tuple[int, int]]
    """Of each recipe, pages of the web that it kept, and that there are."""
    documentation: dict[str, tuple[int, int]]
    """The same of documentation pages."""
    extractors: dict[str, str]
    partings: dict[tuple[str, str], list[tuple[str, int]]]
    """For recipes (one, other): the gates of the other that drop what the one keeps, most first."""

    def last(self, recipe: str) -> dict[str, Any]:
        """The row of a recipe's last station."""
        return [row for row in self.stages if row["recipe"] == recipe][-1]

    def dropped(self, recipe: str, station: str) -> int:
        """How many documents a station dropped."""
        return next(row["dropped"] for row in self.stages if (row["recipe"], row["station"]) == (recipe, station))

    def jaccard(self, one: str, other: str) -> float:
        """How much two recipes agree."""
        return next(row["jaccard"] for row in self.overlaps if (row["recipe"], row["other"]) == (one, other))


def read(root: Path) -> list[Comparison]:
    """All snapshots of a lake that every recipe was run on, in order of name."""
    lake, recipes = Lake(root), compared(RECIPES)
    shared = set.intersection(*(set(lake.snapshots((one.name, "verdicts"))) for one in recipes))
    return [read_snapshot(lake, snapshot, recipes) for snapshot in sorted(shared)]


def read_snapshot(lake: Lake, snapshot: str, recipes: tuple[Compared, ...]) -> Comparison:
    """Everything that is shown of one snapshot."""
    inputs = comparison_inputs(lake, snapshot, recipes)
    web, documentation, extractors = {}, {}, {}
    decided: dict[str, pl.DataFrame] = {}
    for one in recipes:
        verdicts = inputs[f"{one.name}_verdicts"]
        extractors[one.name] = verdicts.manifest().inputs["documents"][0]
        decided[one.name] = pl.read_parquet(verdicts.paths(".parquet"), columns=["doc", "url", "verdict"])
        pages = decided[one.name].select(
            pl.col("url").str.contains(DOCUMENTATION).fill_null(False).alias("documentation"),
            (pl.col("verdict") == "kept").alias("kept"),
        )
        for group, found in ((web, False), (documentation, True)):
            kept = pages.filter(documentation=found)["kept"]
            group[one.name] = (int(kept.sum()), kept.len())
    return Comparison(
        snapshot,
        stages(recipes, inputs).to_pylist(),
        overlaps(recipes, inputs).to_pylist(),
        web,
        documentation,
        extractors,
        {(a, b): parting(decided[a], decided[b]) for a in decided for b in decided if a != b},
    )


def parting(one: pl.DataFrame, other: pl.DataFrame) -> list[tuple[str, int]]:
    """The gates of a recipe that drop what another keeps, and how many, most first."""
    kept = one.filter(verdict="kept").select("doc")
    dropped = other.filter(pl.col("verdict") != "kept").join(kept, on="doc")["verdict"]
    return dropped.value_counts().sort(["count", "verdict"], descending=[True, False]).rows()


def kind_of(recipe: Recipe, station: str) -> str:
    """What sort of station drops: a key of `KINDS`."""
    found = next((one for one in recipe.stations if one.name == station), None)
    if found is None:
        return "no text"
    if isinstance(found, QualityScores):
        return "quality"
    if found in recipe.methods:
        return "duplicates"
    if found.cost == 0:
        return "URL and consent"
    return "language" if station == "language" else "gates on the text"


def yields(comparisons: list[Comparison]) -> list[str]:
    """A row for each snapshot and recipe: what is left at the end, beside what is published."""
    lines = [
        "| snapshot | recipe | text by | records | kept | yield | of texts | published | web pages | documentation "
        "| MB of text | tokens |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for one in comparisons:
        for recipe in RECIPES:
            first = next(row for row in one.stages if row["recipe"] == recipe.name)
            last = one.last(recipe.name)
            lines.append(
                f"| {one.snapshot} | `{recipe.name}` | {one.extractors[recipe.name]} | {first['documents']:,} "
                f"| {last['left']:,} | {last['share_of_records']:.2%} | {last['share_of_texts']:.2%} "
                f"| {percent(last['published_share'])} | {ratio(one.web[recipe.name])} "
                f"| {ratio(one.documentation[recipe.name])} | {last['text_bytes'] / 1e6:.1f} | {last['tokens']:,} |"
            )
    return lines


def station_tables(comparisons: list[Comparison]) -> list[str]:
    """For each recipe, its stations as rows, with what was dropped and left in each snapshot."""
    lines = []
    for recipe in RECIPES:
        heads = "".join(f" {one.snapshot}, {one.extractors[recipe.name]}: dropped | left | |" for one in comparisons)
        lines += [f"### {recipe.name}", "", f"| station |{heads}", "|---|" + "--:|--:|--:|" * len(comparisons)]
        rows = [[row for row in one.stages if row["recipe"] == recipe.name] for one in comparisons]
        for at in zip(*rows, strict=True):
            cells = "".join(f" {row['dropped']:,} | {row['left']:,} | {row['share_of_records']:.2%} |" for row in at)
            lines.append(f"| {at[0]['station']} |{cells}")
        lines.append("")
    return lines


def overlap_table(one: Comparison) -> list[str]:
    """Documents kept by both, and the Jaccard index, as a matrix."""
    names = [recipe.name for recipe in RECIPES]
    text = ", ".join(dict.fromkeys(one.extractors.values()))
    lines = [f"| {one.snapshot}, {text} | {' | '.join(f'`{name}`' for name in names)} |", "|---|" + "--:|" * len(names)]
    for name in names:
        cells = [
            f"{row['shared']:,}" if row["other"] == name else f"{row['shared']:,} ({row['jaccard']:.3f})"
            for row in one.overlaps
            if row["recipe"] == name
        ]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return [*lines, ""]


def told(gates: list[tuple[str, int]]) -> str:
    """The two gates that decide most, in words."""
    return " and ".join(f"`{gate}`, {count:,}" for gate, count in gates[:2])


def percent(share: float | None) -> str:
    """A share as a table shows it."""
    return "not stated" if share is None else f"{share:.2%}"


def ratio(counts: tuple[int, int]) -> str:
    """Kept of all, as a percentage."""
    kept, total = counts
    return f"{kept / total:.1%}" if total else "none"


def write(resiliparse: list[Comparison], published: list[Comparison]) -> str:
    """The page."""
    everything = [*resiliparse, *published]
    first, traf = resiliparse[0], published[0]
    web, pages = first.web["refinedweb"][1], first.documentation["refinedweb"][1]
    low, high = (f(one.jaccard("refinedweb", "fineweb") for one in everything) for f in (min, max))
    far, near = (f(one.jaccard("refinedweb", "dclm_baseline") for one in resiliparse) for f in (min, max))
    copies = sum(first.dropped("refinedweb", method.name) for method in RECIPES[0].methods)
    only = {
        (one, other): sum(count for _, count in first.partings[one, other])
        for one, other in (("refinedweb", "fineweb"), ("fineweb", "refinedweb"))
    }
    language = next(row for row in first.stages if (row["recipe"], row["station"]) == ("fineweb2", "language"))

    def moved(recipe: str) -> str:
        then, now = (one.last(recipe)["share_of_records"] for one in (first, traf))
        return f"`{recipe}` from {then:.2%} to {now:.2%}"

    return "\n".join(
        [
            "# Recipes compared",
            "",
            "Four published recipes on a small local crawl. Written by `docs/write_comparison.py` from two lakes: one "
            "where all recipes read the same text (resiliparse), one where each reads that of its published extractor. "
            "`curation compare --recipe a --recipe b` prints the same for any lake; with several recipes in the "
            "settings (`recipes:`) the tables are the assets `recipe_comparison` and `recipe_overlaps`.",
            "",
            "![What each kind of station takes from each recipe](comparison.svg)",
            "",
            "## Yields",
            "",
            *yields(everything),
            "",
            "*Yield* is documents kept of all response records, *of texts* of those that a text was extracted from; "
            "*web pages* and *documentation* are the yields of these two parts of the crawl. *Published* is the share "
            "of all documents that the recipe's source says it keeps: RefinedWeb's paper (arXiv 2306.01116) and "
            "DCLM's (arXiv 2406.11794). FineWeb and FineWeb2 state tokens and gigabytes, no share of documents that "
            "could stand here; FineWeb2 gives removal by its filters for some languages alone (62.38 % of "
            "deduplicated French). Each recipe trains its own tokenizer on its corpus, so tokens compare sizes only "
            "roughly; megabytes are UTF-8 bytes.",
            "",
            "## Overlap",
            "",
            "Documents that both recipes keep, and in brackets the Jaccard index of the two sets. A document is the "
            "same whatever extracted its text.",
            "",
            *(line for one in everything for line in overlap_table(one)),
            "## Conclusions",
            "",
            f"- **These yields are not the published ones, and cannot be.** {pages:,} of the {pages + web:,} records "
            f"of {first.snapshot} are documentation, in many languages; the other {web:,} are pages of public sets for "
            "the evaluation of extractors. Neither part is a sample of the web, so no share here estimates a published "
            f"one. A small crawl also has few copies: RefinedWeb's three deduplications take {copies} of its "
            "documents. What remains comparable is the recipes with each other, on equal pages.",
            f"- **The URL filter takes {first.dropped('refinedweb', 'url_filter')} records.** The package's word lists "
            "are short and our own, not the published lists of millions of domains; `CURATION_LISTS` names a folder "
            "of real ones.",
            "- **DCLM's yield lacks its decisive step.** The published classifier is not in the package, so "
            f"`quality_scores` drops {first.dropped('dclm_baseline', 'quality_scores')}; the published one leaves the "
            "best tenth of its authors' pool. Without it, `dclm_baseline` is `refinedweb` with another deduplication: "
            f"on the same text the two keep almost the same documents (Jaccard {far:.3f} to {near:.3f}).",
            f"- **FineWeb is not just a stricter RefinedWeb** (Jaccard {low:.3f} to {high:.3f}). In {first.snapshot} "
            f"it drops {only['refinedweb', 'fineweb']:,} documents that RefinedWeb keeps (most by "
            f"{told(first.partings['refinedweb', 'fineweb'])}) and keeps {only['fineweb', 'refinedweb']:,} that "
            f"RefinedWeb drops (most by {told(first.partings['fineweb', 'refinedweb'])}). The share of words "
            "with letters and repeated 5-grams have the same limits in both recipes: what differs is how words are "
            "split and how repetition is counted. A limit means something only with its definitions.",
            "- **FineWeb2 shares nothing with the English three,** by construction: it leaves English out. Its limits "
            f"vary with the language; {language['share_of_records']:.1%} of the records of {first.snapshot} are left "
            "by its language gate, with lid.176 in the place of GlotLID.",
            f"- **Extraction moves yields as much as a gate does.** On the same records of {traf.snapshot}, "
            f"trafilatura instead of resiliparse moves {moved('refinedweb')}, {moved('fineweb')} and "
            f"{moved('fineweb2')}: it finds no text on more pages ({traf.dropped('refinedweb', ACQUISITION)} instead "
            f"of {first.dropped('refinedweb', ACQUISITION)}), but fewer of the others repeat themselves "
            f"(`massive_repetition` drops {traf.dropped('refinedweb', 'massive_repetition')} instead of "
            f"{first.dropped('refinedweb', 'massive_repetition')}). By that alone the overlap of `refinedweb` and "
            f"`dclm_baseline` falls to {traf.jaccard('refinedweb', 'dclm_baseline'):.3f}: a comparison of recipes that "
            "read different text is one of extractors too.",
            "- **What this comparison is good for:** seeing which gate decides on the same pages, finding stations "
            "that never fire, and telling whether a change of a recipe moves its corpus. Whether a dataset is better "
            "can only be told by training on it.",
            "",
            "## Station by station",
            "",
            *station_tables(everything),
        ]
    )


def draw(comparisons: list[Comparison]) -> str:
    """A bar for each snapshot and recipe: what each kind of station takes, what is kept, and the published yield."""
    scale = WIDTH - LEFT - RIGHT
    height = 46 + len(comparisons) * (ROW * (len(RECIPES) + 1) + 6)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"',
        ' font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    x = 12
    for kind, colour in KINDS.items():
        parts += [
            f'<rect x="{x}" y="10" width="12" height="12" fill="{colour}"/>',
            f'<text x="{x + 17}" y="21" fill="#1b2733">{kind}</text>',
        ]
        x += 34 + 7 * len(kind)
    parts.append(f'<text x="{x}" y="21" fill="#1b2733">▏published</text>')
    y = 38
    for one in comparisons:
        extractors = " and ".join(dict.fromkeys(one.extractors.values()))
        title = escape(f"{one.snapshot}, text by {extractors}")
        parts.append(f'<text x="12" y="{y + 17}" font-weight="bold" fill="#1b2733">{title}</text>')
        y += ROW
        for recipe in RECIPES:
            rows = [row for row in one.stages if row["recipe"] == recipe.name]
            total = max(rows[0]["documents"], 1)
            taken = dict.fromkeys(KINDS, 0)
            for row in rows:
                taken[kind_of(recipe, row["station"])] += row["dropped"]
            taken["kept"] = rows[-1]["left"]
            parts.append(f'<text x="{LEFT - 10}" y="{y + 16}" text-anchor="end" fill="#1b2733">{recipe.name}</text>')
            x = float(LEFT)
            # What is kept comes first, so that the bars can be compared.
            for kind in reversed(KINDS):
                width = taken[kind] / total * scale
                if width:
                    parts.append(
                        f'<rect x="{x:.1f}" y="{y + 2}" width="{width:.1f}" height="20" fill="{KINDS[kind]}"/>'
                    )
                x += width
            if recipe.published_yield is not None:
                mark = LEFT + recipe.published_yield * scale
                parts.append(f'<rect x="{mark - 1:.1f}" y="{y}" width="2" height="24" fill="#111111"/>')
            share = rows[-1]["share_of_records"]
            parts.append(f'<text x="{WIDTH - RIGHT + 8}" y="{y + 17}" fill="#1b2733">{share:.2%} kept</text>')
            y += ROW
        y += 6
    return "\n".join([*parts, "</svg>\n"])


if __name__ == "__main__":
    roots = [Path(argument) for argument in sys.argv[1:] if argument != "--svg"]
    same_text, as_published = (read(root) for root in roots)
    show_plot = "--svg" in sys.argv
    sys.stdout.write(draw([*same_text, *as_published]) if show_plot else write(same_text, as_published))
