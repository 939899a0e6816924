"""How the life of a document, and what became of a host, are told in a terminal."""

import unicodedata
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from curation_assets.terminal import printable

if TYPE_CHECKING:
    from curation_assets.provenance.explain import Compared, Explanation
    from curation_assets.provenance.hosts import Counted, HostSummary

SHOWN_EDITS = 5
"""Pieces of text shown of what one station took out."""

SHOWN_CHARACTERS = 90
SHOWN_COUNTS = 10
SHOWN_SAMPLES = 4
"""Verdicts of which URLs are shown: what is kept, and the most frequent."""


def story(found: "Explanation") -> Iterator[RenderableType]:
    """What became of one document, in the order of the line; texts and names of the web are harmless to print."""
    verdict = found.verdict
    yield Text.assemble((_web(verdict["url"] or verdict["record_id"] or "?"), "bold"), f" in {found.snapshot}")
    yield _outcome(verdict)
    if found.pending:
        told = f" by {_web(found.pending)}; it is gone when {found.snapshot} is run again"
        yield Text.assemble("  ", ("taken down", "yellow"), told)
    status = "" if verdict.get("http_status") is None else f", HTTP {verdict['http_status']}"
    size = "" if verdict.get("html_bytes") is None else f", {verdict['html_bytes']:,} bytes of HTML"
    yield _step("acquired", f"{_web(verdict['record_id'] or '?')}, captured {verdict['date']}{status}{size}")
    place = f"{_web(verdict['warc_file'])} at {verdict['warc_offset']}, {verdict['warc_length']} bytes"
    yield _step("", place)
    if found.without_text:
        yield _step("", "no annotations: acquisition got no text from this record, so nothing was measured or compared")
    if found.language:
        score = found.language["language_score"]
        shown = f"{found.language['language'] or 'not recognised'}{'' if score is None else f', score {score:.4g}'}"
        yield _step("language", shown)
    if found.gates:
        yield _gates(found)
    for one in found.compared:
        yield _step("compared", f"{one.station}: {_comparison(one)}")
    for station, group in groupby((edit for edit in found.edits if edit.kind is None), lambda edit: edit.station):
        edits = list(group)
        removed = sum(len(edit.removed) for edit in edits)
        yield _step("edited", f"{station}: {len(edits):,} place{'s' * (len(edits) != 1)}, {removed:,} bytes taken out")
        told = [edit for edit in edits if _seen(edit.removed.decode(errors="replace"))]
        told.sort(key=lambda edit: -len(edit.removed))
        for edit in told[:SHOWN_EDITS]:
            instead = f" → {short(edit.replacement)}" if _seen(edit.replacement) else ""
            yield _step("", f"− {short(edit.removed.decode(errors='replace'))}{instead}")
        if len(edits) > len(told[:SHOWN_EDITS]):
            yield _step("", f"and {len(edits) - len(told[:SHOWN_EDITS]):,} shorter ones or white space")
    if found.masks:
        yield _step("masked", ", ".join(f"{count:,} × {kind}" for kind, count in sorted(found.masks.items())))
    if found.corpus_bytes is not None:
        yield _step("corpus", f"{found.corpus_bytes:,} bytes of text")
    if found.segments:
        tokens = sum(segment["token_count"] for segment in found.segments)
        yield _step("tokens", f"{tokens:,} in {len(found.segments)} piece{'s' * (len(found.segments) != 1)}")
    for segment in found.segments:
        yield _step(
            "",
            f"in shard {segment['shard']}, sequence {segment['sequence']} at {segment['position']}: "
            f"{segment['token_count']} tokens from its {segment['token_start']}.",
        )


def _seen(text: str) -> bool:
    """Whether anything of `short(text)` can be seen: a no-break space cannot."""
    return any(not character.isspace() and unicodedata.category(character) != "Mn" for character in short(text))


def short(text: str) -> str:
    """A piece of a page on one line, without control characters, cut to `SHOWN_CHARACTERS`."""
    # Cut first: what was taken out can be megabytes.
    words = " ".join(text[: 4 * SHOWN_CHARACTERS].split())
    cut = words[:SHOWN_CHARACTERS] + "…" * (len(words) > SHOWN_CHARACTERS or len(text) > 4 * SHOWN_CHARACTERS)
    return _web(cut)


def host_story(found: "HostSummary") -> Iterator[RenderableType]:
    """What became of a host's records: counts by verdict, the gates that most fail, hosts below it, and samples."""
    yield Text.assemble((_web(found.host), "bold"), f" in {found.snapshot}: {found.documents:,} records")
    yield _counts("verdict", found.verdicts, found.documents)
    if found.gates:
        yield _counts("fails, whether it decides or not", found.gates[:SHOWN_COUNTS], found.documents)
    if [one.name for one in found.hosts] != [found.host]:
        yield _counts(f"{len(found.hosts):,} hosts", found.hosts[:SHOWN_COUNTS], found.documents)
    most = sorted(found.verdicts, key=lambda one: (one.station is not None, -one.documents))
    for one in most[:SHOWN_SAMPLES]:
        yield Text(f"  {_web(one.name)}, such as")
        for url in one.samples:
            yield Text(f"    {_web(url)}")


def _counts(heading: str, rows: "Sequence[Counted]", total: int) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column(f"  {heading}", overflow="fold")
    for name in ("records", "share"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in rows:
        station = f"{_web(one.station)}: " if one.station else ""
        table.add_row(f"  {escape(station + _web(one.name))}", f"{one.documents:,}", f"{one.documents / total:.1%}")
    return table


def _web(text: str) -> str:
    return printable(text).replace("\n", "\ufffd")


def _step(name: str, told: str) -> Text:
    return Text.assemble(f"  {name:<10}", told)


def _outcome(verdict: dict[str, Any]) -> Text:
    if verdict["station"] is None:
        return Text.assemble("  ", ("kept", "green"))
    measured = "" if verdict["value"] is None else f", value {verdict['value']:g}, limit {verdict['limit']:g}"
    detail = f" ({_web(verdict['detail'])})" if verdict["detail"] else ""
    return Text.assemble("  ", ("dropped", "red"), f" by {verdict['station']}: {verdict['verdict']}{measured}{detail}")


def _comparison(one: "Compared") -> str:
    measured = "" if one.value is None else f", value {one.value:g}, limit {one.limit:g}"
    if one.kept_doc is not None:
        which = _web(one.kept_url) if one.kept_url else f"document {one.kept_doc}"
        there = f" in {one.kept_snapshot}" if one.kept_snapshot else ""
        gone = ", which was taken down since" if one.kept_taken_down else ""
        alike = f"; {one.similarity}" if one.similarity else ""
        return f"one of {one.cluster_size:,} near-duplicates; kept instead: {which}{there}{gone}{alike}"
    if not one.survivor:
        return f"dropped{measured}"
    return f"passes; it stands for {one.cluster_size:,} near-duplicates" if one.cluster_size > 1 else "passes"


def _gates(found: "Explanation") -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("  gate", "value", "dropped when", ""):
        table.add_column(heading, no_wrap=heading.strip() == "gate", overflow="fold")
    for station, gates in groupby(found.gates, lambda gate: gate.station):
        table.add_row(f"  {station}")
        for gate in gates:
            decides = (gate.station, gate.gate) == (found.verdict["station"], found.verdict["verdict"])
            mark = "[red]fails, decides[/red]" if decides else "[red]fails[/red]" if gate.failed else "passes"
            value = "not measured" if gate.value is None else f"{gate.value:.4g}"
            table.add_row(f"    {gate.gate}", value, escape(f"{gate.operator} {gate.limit:g}"), mark)
    return table
