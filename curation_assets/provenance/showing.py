"""What the stations that give verdicts show: the funnel, and some of the documents that were dropped."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from curation_assets.lake.parts import BATCH_ROWS
from curation_assets.lake.progress import reasons
from curation_assets.lake.station import Staged
from curation_assets.pictures import Bars, Funnel, Shown, sample
from curation_assets.plots import Step
from curation_assets.recipes.recipe import TAKEDOWN

REASONS, OF_EACH = 6, 3
"""Reasons that dropped documents are shown of, and how many of each."""


def show_verdicts(staged: Staged, names: Sequence[str]) -> Shown:
    """The funnel in the order of decisions, what dropped most, and dropped documents.

    Args:
        staged: a station that counts `dropped.<verdict>`.
        names: verdicts in recipe order; those that it does not name were given by acquisition, or are
            takedowns, of which no documents are shown.
    """
    stats = staged.manifest.stats
    dropped = {name.removeprefix("dropped."): count for name, count in stats.items() if name.startswith("dropped.")}
    left = stats.get("rows_in", 0)
    acquisition = sorted(set(dropped) - set(names))
    steps = []
    for name in [*acquisition, *names]:
        left -= dropped.get(name, 0)
        steps.append(Step(name, dropped.get(name, 0), left))
    return Shown(
        {"funnel": Funnel(steps), "top_reasons": Bars(dict(reasons(stats, 8)))},
        dropped=_dropped(staged, [name for name, _ in reasons(stats, REASONS) if name != TAKEDOWN]),
    )


def _dropped(staged: Staged, verdicts: Sequence[str]) -> list[dict[str, str]]:
    """The first documents that each of some verdicts dropped, among those that are looked at."""
    assert staged.station.schema is not None
    columns = ["doc", "verdict", "value", "limit", "detail"] + ["url"] * ("url" in staged.station.schema.names)
    rows = sample(staged.paths(), columns, parts=4, rows=4 * BATCH_ROWS)
    found: dict[str, list[dict[str, str]]] = {name: [] for name in verdicts}
    for row in rows.filter(_is_of(rows["verdict"], verdicts)).to_pylist():
        if len(found[row["verdict"]]) < OF_EACH:
            found[row["verdict"]].append(_told(row))
    return [row for name in verdicts for row in found[name]]


def _is_of(column: pa.ChunkedArray, names: Sequence[str]) -> pa.Array:
    wanted = set(names)
    return pa.array([one in wanted for one in column.to_pylist()], pa.bool_())


def _told(row: Mapping[str, Any]) -> dict[str, str]:
    number = {name: "" if row[name] is None else f"{row[name]:.6g}" for name in ("value", "limit")}
    return {
        "verdict": row["verdict"],
        **number,
        "detail": row["detail"] or "",
        "document": row.get("url") or str(row["doc"]),
    }


def show_stages(staged: Staged) -> Shown:
    """What each recipe keeps of the texts."""
    rows = sample(staged.paths(), ["recipe", "share_of_texts", "tokens"]).to_pylist()
    last = {row["recipe"]: row for row in rows}
    shares = {name: row["share_of_texts"] or 0.0 for name, row in last.items()}
    return Shown(
        {
            "kept_share_of_texts": Bars(shares, "{:.2%}"),
            "tokens": Bars({name: row["tokens"] or 0 for name, row in last.items()}),
        },
        numbers={f"kept_{name}": share for name, share in shares.items()},
    )


def show_overlaps(staged: Staged) -> Shown:
    """How alike every two recipes are."""
    rows = sample(staged.paths(), ["recipe", "other", "jaccard"]).to_pylist()
    pairs = {f"{row['recipe']}, {row['other']}": row["jaccard"] or 0.0 for row in rows if row["recipe"] < row["other"]}
    return Shown({"jaccard": Bars(pairs, "{:.3f}")})
