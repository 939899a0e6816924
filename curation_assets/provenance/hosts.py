"""What became of the pages of a host and of the hosts below it, in every snapshot of the lake."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from curation_assets.lake.lake import Lake
from curation_assets.lake.query import query, source
from curation_assets.provenance.explain import judged


class Counted(NamedTuple):
    """How many records have a verdict, fail a gate or are of a host, with the first of their URLs."""

    name: str
    station: str | None
    """Of a verdict; None for `kept`."""
    documents: int
    samples: list[str]


@dataclass(frozen=True)
class HostSummary:
    """The records of a host in one snapshot."""

    snapshot: str
    host: str
    verdicts: list[Counted]
    """In the order of decisions, `kept` last."""
    gates: list[Counted]
    """Every gate that some fail, whether it decided or not; the most frequent first."""
    hosts: list[Counted]
    """The host and those below it, the most frequent first."""

    @property
    def documents(self) -> int:
        """Records in all."""
        return sum(one.documents for one in self.verdicts)


def explain_host(
    lake: Lake, recipe: str, host: str, snapshots: Sequence[str] | None = None, samples: int = 3
) -> list[HostSummary]:
    """Count what became of a host's records, those of its subdomains included; snapshots without any are left out.

    Args:
        lake: the lake.
        recipe: name of the recipe.
        host: in lower case, as in `documents.host`.
        snapshots: where to look; everywhere by default.
        samples: URLs of each count, the first by name.

    Raises:
        LakeError: nothing is materialised.
    """
    found = []
    for verdicts in judged(lake, recipe, snapshots):
        documents = lake.origin(verdicts, "documents")
        views = {"verdicts": source(verdicts.paths(".parquet")), "documents": source(documents.paths(".parquet"))}
        rows = query("provenance/host", views, {"host": host, "samples": samples}).to_pylist()
        of_kind = {
            kind: [Counted(r["name"], r["station"], r["documents"], r["samples"]) for r in rows if r["kind"] == kind]
            for kind in ("verdict", "gate", "host")
        }
        if rows:
            found.append(HostSummary(verdicts.snapshot, host, of_kind["verdict"], of_kind["gate"], of_kind["host"]))
    return found
