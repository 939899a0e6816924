"""From a URL or a record id to what became of it, in every snapshot of the lake.

What decided is read from what was made and from its manifests, not from the recipe as it stands today. Nothing heavy is
imported: an answer takes a scan of two columns and the row group of one document in each table.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from curation_assets.lake.lake import Lake, LakeError, Partition
from curation_assets.lake.query import query, source
from curation_assets.provenance.rows import part_path, row_of_document, rows_of_document

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
HOST = re.compile(r"[^\s/:?#@<>]+\.[^\s/:?#@<>]+(:\d*)?/?")
SCHEMES = ("https", "http")
ACQUIRED = ("date", "warc_file", "warc_offset", "warc_length", "http_status", "html_bytes", "title", "text")


class JudgedGate(NamedTuple):
    """What one gate saw in a document."""

    station: str
    gate: str
    value: float | None
    """None where nothing was measured; then the gate does not fail."""
    operator: str
    limit: float
    failed: bool


class Compared(NamedTuple):
    """What a method that looks at several documents, or at what a model says, made of one."""

    station: str
    survivor: bool
    value: float | None
    limit: float
    cluster_size: int
    """Documents that are alike, itself included; 1 where nothing was."""
    kept_doc: int | None
    """The one that was kept of them; None where it is this one, or where nothing is."""
    kept_snapshot: str | None
    kept_url: str | None
    similarity: str | None
    """How alike the two are, where that was recorded."""
    kept_taken_down: bool = False
    """Whether the one that was kept was taken down since."""


class Edit(NamedTuple):
    """A piece of text that a station took out or replaced."""

    station: str
    kind: str | None
    """What a mask hides."""
    removed: bytes
    replacement: str


@dataclass(frozen=True)
class Explanation:
    """The life of one document."""

    snapshot: str
    verdict: dict[str, Any]
    """Its row of `verdicts`, with where it lies in its WARC file."""
    gates: list[JudgedGate] = field(default_factory=list)
    """Every gate that it met, in order, with the limits that decided; none when acquisition found no text."""
    language: dict[str, Any] = field(default_factory=dict)
    """`language` and `language_score`; empty when there was no text."""
    compared: list[Compared] = field(default_factory=list)
    """Methods that looked at it, in order."""
    edits: list[Edit] = field(default_factory=list)
    """What was taken out of its text or masked, in order."""
    corpus_bytes: int | None = None
    """Its text in the corpus, when it was kept."""
    segments: list[dict[str, Any]] = field(default_factory=list)
    """Where it lies in the shards, when it was kept."""
    pending: str | None = None
    """Id and reason of a takedown that hits it and came after its verdict."""

    @property
    def without_text(self) -> bool:
        """Acquisition gave it its verdict: there was no text, so nothing was measured."""
        return self.verdict["station"] == "acquisition"

    @property
    def masks(self) -> Counter[str]:
        """How many pieces of personal data were masked, by kind."""
        return Counter(edit.kind for edit in self.edits if edit.kind is not None)


def explain(lake: Lake, recipe: str, name: str, snapshots: Sequence[str] | None = None) -> list[Explanation]:
    """What became of every record that has a URL or a record id. Empty when no snapshot of the lake has one.

    Where no record has the URL as it is given, those of its other spellings are explained (`spellings`).

    Args:
        lake: the lake.
        recipe: name of the recipe.
        name: a URL, or a record id: `<urn:uuid:...>`, with or without brackets and prefix, in any case.
        snapshots: where to look; everywhere by default.

    Raises:
        LakeError: nothing is materialised, or it was by a version that recorded less.
    """
    return [_explain(lake, recipe, verdicts, doc) for verdicts, doc in find(lake, recipe, name, snapshots)]


def find(lake: Lake, recipe: str, name: str, snapshots: Sequence[str] | None = None) -> list[tuple[Partition, int]]:
    """The verdicts and the `doc` of every record that `explain` explains."""
    urls = spellings(name)
    parameters = {"urls": urls, "records": record_names(name)}
    found = [
        (verdicts, row["doc"], row["url"])
        for verdicts in judged(lake, recipe, snapshots)
        for row in query("provenance/explain", {"verdicts": source(verdicts.paths(".parquet"))}, parameters).to_pylist()
    ]
    exact = [one for one in found if one[2] == name.strip() or one[2] not in urls]
    return [(verdicts, doc) for verdicts, doc, _ in exact or found]


def judged(lake: Lake, recipe: str, snapshots: Sequence[str] | None = None) -> list[Partition]:
    """The verdicts of some snapshots, or of all. Raises `LakeError` when there are none."""
    key = (recipe, "verdicts")
    known = snapshots or lake.snapshots(key)
    if not known:
        raise LakeError(f"the lake {lake.root} holds no verdicts of recipe {recipe} yet")
    return [lake.partition(key, snapshot) for snapshot in known]


def record_names(name: str) -> list[str]:
    """How a record id may be written: with and without brackets, as given and in lower and upper case.

    A bare UUID is given its prefix.
    """
    bare = name.strip().removeprefix("<").removesuffix(">")
    number = bare.lower().removeprefix("urn:uuid:")
    if UUID.fullmatch(number):
        made = [f"urn:uuid:{number}", f"urn:uuid:{number.upper()}", f"URN:UUID:{number.upper()}"]
    else:
        made = [bare, bare.lower()]
    return list(dict.fromkeys(form for one in made for form in (f"<{one}>", one)))


def host_name(name: str) -> str | None:
    """The host that is asked for, in lower case and without a port; None when it is a URL or a record id."""
    bare = name.strip().lower()
    return bare.partition(":")[0].rstrip("./") if HOST.fullmatch(bare) else None


def spellings(url: str) -> list[str]:
    """A URL, and how else it is written: http or https, with or without `www.`, a closing slash and a fragment.

    The host is taken in lower case too. A name without a scheme is taken for a URL that lacks it.
    """
    bare = url.strip()
    try:
        parts = urlsplit(bare if "://" in bare else f"https://{bare}")
    except ValueError:
        return [url]
    host = parts.netloc.lower().removeprefix("www.")
    paths = dict.fromkeys((parts.path, parts.path.rstrip("/"), parts.path.rstrip("/") + "/"))
    query = f"?{parts.query}" if parts.query else ""
    made = [
        f"{scheme}://{prefix}{host}{path}{query}" for scheme in SCHEMES for prefix in ("", "www.") for path in paths
    ]
    return list(dict.fromkeys([url, bare, *made]))


def alike_urls(lake: Lake, recipe: str, url: str, snapshots: Sequence[str] | None = None, count: int = 5) -> list[str]:
    """The URLs of the same host in the lake that resemble one most (Jaro-Winkler). None for what is no URL."""
    prefixes = [f"{one.split('://')[0]}://{urlsplit(one).netloc}/" for one in spellings(url) if "://" in one]
    if not prefixes or not urlsplit(prefixes[0]).netloc:
        return []
    paths = [path for verdicts in judged(lake, recipe, snapshots) for path in verdicts.paths(".parquet")]
    parameters = {"name": url, "prefixes": list(dict.fromkeys(prefixes)), "count": count}
    return query("provenance/alike_urls", {"verdicts": source(paths)}, parameters)["url"].to_pylist()


def _explain(lake: Lake, recipe: str, verdicts: Partition, doc: int) -> Explanation:
    documents = lake.origin(verdicts, "documents")
    verdict = row_of_document(verdicts, doc)
    acquired = row_of_document(documents, doc, ACQUIRED)
    text = (acquired.pop("text") or "").encode()
    verdict |= acquired
    if "gate_values" not in verdict:
        raise LakeError(
            f"{verdicts.name} was made by an earlier version, which did not record what gates measured: "
            f"run {verdicts.snapshot} again"
        )
    compared = list(_compared(lake, verdicts, doc))
    verdict["duplicate_of_url"] = next((one.kept_url for one in compared if not one.survivor), None)
    if verdict["station"] == "acquisition":
        return Explanation(verdicts.snapshot, verdict)
    languages = lake.origin(verdicts, "languages")
    corpus = lake.partition((recipe, "corpus"), verdicts.snapshot)
    explanation = Explanation(
        verdicts.snapshot,
        verdict,
        gates=list(_judged(verdicts, verdict.pop("gate_values"))),
        language=row_of_document(languages, doc, ["language", "language_score"]),
        compared=compared,
        edits=list(_edits(lake, corpus, doc, text)),
        corpus_bytes=_corpus_bytes(corpus, doc),
        segments=_segments(lake, recipe, verdicts, doc),
        pending=_pending(lake, documents, verdict),
    )
    return explanation


def _pending(lake: Lake, documents: Partition, verdict: dict[str, Any]) -> str | None:
    """Id and reason of a takedown that hits a document which its verdict does not know of yet."""
    if verdict["station"] == "takedowns" or not (lake.root / "takedowns").exists():
        return None
    from curation_assets.provenance.takedowns import TakedownList, match

    rules = TakedownList(lake.root).rules
    if not rules:
        return None
    hits = match(part_path(documents, verdict["doc"]), rules)
    return dict(zip(hits["doc"].to_pylist(), hits["detail"].to_pylist(), strict=True)).get(verdict["doc"])


def _judged(verdicts: Partition, measured: list[dict[str, Any]]) -> Iterator[JudgedGate]:
    """Every gate in order, whatever was measured: one whose column was empty has no value."""
    gates = (verdicts.manifest().params or {})["gates"]["gates"]
    values = {one["gate"]: one for one in measured}
    for gate in gates:
        seen = values.get(gate["name"], {"value": None, "limit": gate["limit"], "failed": False})
        yield JudgedGate(
            gate["station"], gate["name"], seen["value"], gate["operator"], seen["limit"], bool(seen["failed"])
        )


def _compared(lake: Lake, verdicts: Partition, doc: int) -> Iterator[Compared]:
    for method in (verdicts.manifest().params or {})["methods"]:
        table = lake.origin(verdicts, method["station"])
        for row in rows_of_document(table, doc):
            kept, size = row.get("cluster"), row.get("cluster_size") or 1
            elsewhere = row.get("cluster_snapshot")
            url = similarity = None
            taken_down = False
            if kept is not None and (kept != doc or elsewhere is not None):
                home = lake.partition(verdicts.key, elsewhere or verdicts.snapshot)
                survivor = next(iter(_rows_if_there(home, kept, ["url", "station"])), {})
                url, taken_down = survivor.get("url"), survivor.get("station") == "takedowns"
                similarity = _similarity(lake, table, doc, kept) if elsewhere is None else None
            else:
                kept = None
            yield Compared(
                method["station"],
                row["survivor"],
                row["value"],
                method["limit"],
                size,
                kept,
                elsewhere,
                url,
                similarity,
                taken_down,
            )


def _rows_if_there(partition: Partition, doc: int, columns: list[str]) -> list[dict[str, Any]]:
    return rows_of_document(partition, doc, columns) if partition.committed() is not None else []


def _similarity(lake: Lake, table: Partition, doc: int, kept: int) -> str | None:
    """How alike two documents are, by what was recorded to compare them with."""
    if "keys" not in table.manifest().inputs:
        return None
    one, other = (next(iter(rows_of_document(lake.origin(table, "keys"), each)), {}) for each in (doc, kept))
    if one.get("shingles") and other.get("shingles"):
        mine, theirs = set(one["shingles"]), set(other["shingles"])
        return f"Jaccard index of their shingles {len(mine & theirs) / len(mine | theirs):.3f}"
    if one.get("bands") and other.get("bands"):
        same = sum(a == b for a, b in zip(one["bands"], other["bands"], strict=True))
        return f"{same} of {len(one['bands'])} bands in common"
    if one.get("fingerprint") is not None and other.get("fingerprint") is not None:
        return f"fingerprints differ in {(one['fingerprint'] ^ other['fingerprint']).bit_count()} of 64 bits"
    return None


def _edits(lake: Lake, corpus: Partition, doc: int, text: bytes) -> Iterator[Edit]:
    """What was taken out or replaced, table by table, each in the text that those before it left."""
    manifest = corpus.committed()
    for table, column in (manifest.params or {}).get("edits", ()) if manifest else ():
        pieces, at = [], 0
        for row in rows_of_document(lake.origin(corpus, table), doc, [column]):
            for edit in row[column] or ():
                start, end, replacement = edit["start"], edit["end"], edit.get("replacement", "")
                pieces += [text[at:start], replacement.encode()]
                at = end
                yield Edit(column if table == "signals" else table, edit.get("kind"), text[start:end], replacement)
        text = b"".join([*pieces, text[at:]])


def _corpus_bytes(corpus: Partition, doc: int) -> int | None:
    rows = _rows_if_there(corpus, doc, ["text"])
    return len(rows[0]["text"].encode()) if rows else None


def _segments(lake: Lake, recipe: str, verdicts: Partition, doc: int) -> list[dict[str, Any]]:
    shards = lake.partition((recipe, "training_shards"), verdicts.snapshot)
    if shards.committed() is None:
        return []
    views = {"segments": source(shards.paths(".parquet"))}
    return query("provenance/segments_of_document", views, {"doc": doc}).to_pylist()
