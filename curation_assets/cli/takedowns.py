"""Commands that take pages out of what was made, and prove that they are gone."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from curation_assets.cli.making import command_line, next_command
from curation_assets.cli.program import (
    LakeFolder,
    Overrides,
    Source,
    app,
    console,
    errors,
    plain_errors,
    settings_of,
)
from curation_assets.lake.lake import Lake
from curation_assets.settings import Settings
from curation_assets.terminal import printable

takedown = typer.Typer(
    no_args_is_help=True,
    help="Take pages out of the shards, in every snapshot and recipe of the lake, and prove that they are gone.",
)
app.add_typer(takedown, name="takedown")

Reason = Annotated[str, typer.Option(help="Why: kept in the list, and shown by `curation explain`.")]
SHOWN = 10
"""Documents that `add` lists; all of them are in the file of hits."""


@takedown.command()
def add(
    reason: Reason,
    url: Annotated[
        str | None, typer.Option(help="A page, in any spelling: scheme, www., final slash, fragment do not count.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="A host and all below it.")] = None,
    pattern: Annotated[
        str | None,
        typer.Option(help="A glob over the whole URL, 'example.org/private/*', or a regular expression: 're:[?&]id=7'"),
    ] = None,
    record: Annotated[str | None, typer.Option(help="A WARC record id.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what it hits and record nothing.")] = False,
    lake: LakeFolder = None,
    source: Source = None,
    set: Overrides = None,
) -> None:
    """Record a takedown, and show what it hits in everything that was materialised."""
    from curation_assets.provenance import takedown_hits
    from curation_assets.provenance.takedowns import Kind, TakedownList

    with plain_errors():
        options: list[tuple[Kind, str | None]]
        options = [("url", url), ("host", host), ("pattern", pattern), ("record", record)]
        given: list[tuple[Kind, str]] = [(kind, value) for kind, value in options if value is not None]
        if len(given) != 1:
            raise ValueError("a takedown is of one thing: give --url, --host, --pattern or --record")
        ((kind, value),) = given
        settings = settings_of(lake=lake, source=source, set=set)
        root = Lake(settings.lake.resolve())
        with errors.status("searching the documents") as status:

            def progress(done: int, parts: int) -> None:
                status.update(f"searching the documents: part {done:,} of {parts:,}")

            if dry_run:
                rule = TakedownList(root.root).next_rule(kind, value, reason)
                found, hits = takedown_hits.look(root, rule, progress)
            else:
                entry, hits = takedown_hits.add(root, kind, value, reason, datetime.now(UTC), progress)
                rule, found = entry.rule, entry.found
        verb = "would take" if dry_run else "takes"
        console.print(f"{rule.id} {verb} down the {kind} {escape(printable(rule.value))}", soft_wrap=True)
        if not found:
            console.print("The lake holds nothing yet: what is made from now on leaves it out.")
            return
        table = Table(box=None, padding=(0, 2, 0, 0))
        for heading in ("recipe", "snapshot"):
            table.add_column(heading, no_wrap=True)
        for heading in ("documents", "kept", "tokens", "sequences", "shards"):
            table.add_column(heading, justify="right", no_wrap=True)
        for one in found:
            counts = (one.documents, one.kept, one.tokens, one.sequences, len(one.shards))
            table.add_row(one.recipe, one.snapshot, *(f"{count:,}" for count in counts))
        console.print(table)
        pages = dict.fromkeys((row["url"], row["record_id"]) for row in hits.slice(0, 100).to_pylist())
        for address, name in list(pages)[:SHOWN]:
            console.print(f"  {escape(printable(address or name or '?'))}", soft_wrap=True, highlight=False)
        if len(pages) > SHOWN:
            console.print("  …")
        hit = [one for one in found if one.documents]
        if not hit:
            console.print("Nothing that was made has it: nothing needs to be run.")
        elif not dry_run:
            _report(settings, root, {one.snapshot for one in hit})
            console.print("To take it out, and then to prove it:")
            _show_next(settings, [(one.recipe, one.snapshot) for one in hit], f"takedown audit {rule.id}")


@takedown.command(name="list")
def list_takedowns(lake: LakeFolder = None) -> None:
    """Show every version of the list."""
    from curation_assets.provenance.takedowns import TakedownList

    with plain_errors():
        listed = TakedownList(settings_of(lake=lake).lake.resolve())
        if not listed.entries:
            console.print("No takedown was ever recorded in this lake.")
            return
        standing = {entry.id for entry in listed.in_force}
        table = Table(box=None, padding=(0, 2, 0, 0))
        for heading in ("version", "", "id", "date"):
            table.add_column(heading, no_wrap=True)
        table.add_column("what", overflow="fold")
        table.add_column("reason", overflow="fold")
        table.add_column("documents", justify="right")
        table.add_column("", no_wrap=True)
        for entry in listed.entries:
            added = entry.action == "add"
            # Recipes that read the same documents hit the same ones.
            hit = {one.snapshot: one.documents for one in entry.found}
            table.add_row(
                str(entry.version),
                entry.action,
                entry.id,
                f"{entry.date:%Y-%m-%d}",
                escape(printable(f"{entry.kind} {entry.value}")) if added else "",
                escape(printable(entry.reason)),
                f"{sum(hit.values()):,}" if added else "",
                ("in force" if entry.id in standing else "revoked") if added else "",
            )
        console.print(table)


@takedown.command()
def revoke(
    id: Annotated[str, typer.Argument(help="Such as T1.")],
    reason: Reason,
    lake: LakeFolder = None,
    source: Source = None,
    set: Overrides = None,
) -> None:
    """Record that a takedown holds no longer; what it took out comes back with the next run."""
    from curation_assets.provenance.takedowns import TakedownList

    with plain_errors():
        settings = settings_of(lake=lake, source=source, set=set)
        root = Lake(settings.lake.resolve())
        with TakedownList(root.root).changing() as listed:
            taken = listed.get(id)
            listed.revoke(id, reason, datetime.now(UTC))
        console.print(f"{taken.id} is revoked")
        hit = [one for one in taken.found if one.documents]
        if hit:
            _report(settings, root, {one.snapshot for one in hit})
            console.print("To bring back what it took out:")
            _show_next(settings, [(one.recipe, one.snapshot) for one in hit])


@takedown.command()
def audit(
    id: Annotated[str | None, typer.Argument(help="Such as T1; all that are in force by default.")] = None,
    snapshot: Annotated[str | None, typer.Option(help="The only one to look at; all of the lake by default.")] = None,
    lake: LakeFolder = None,
    source: Source = None,
    set: Overrides = None,
) -> None:
    """Prove that what is taken down is gone from verdicts, corpus, tokens and shards, and record it.

    Ends with 1 when something is still there, and says what to run.
    """
    from curation_assets.provenance.takedown_audit import audit as audit_takedowns

    with plain_errors():
        settings = settings_of(lake=lake, source=source, set=set)
        root = Lake(settings.lake.resolve())
        with errors.status("looking for what is taken down"):
            record, path = audit_takedowns(root, id, snapshot, datetime.now(UTC))
        console.print(f"Takedowns {', '.join(record.takedowns)}; version {record.version} of the list", soft_wrap=True)
        for one in record.results:
            state = "[red]still there[/red]" if one.faults else "[green]gone[/green]"
            console.print(
                f"[bold]{one.recipe} {one.snapshot}[/bold]: {one.documents:,} documents {state}"
                if one.documents
                else f"[bold]{one.recipe} {one.snapshot}[/bold]: nothing of it",
                highlight=False,
            )
            for fault in one.faults:
                console.print(f"  [red]{escape(fault)}[/red]", soft_wrap=True, highlight=False)
            if one.packed:
                console.print(
                    f"  {one.packed:,} had been packed; the ids of {one.recomputed:,} of them, made again from their "
                    "texts, " + ("were looked for." if one.faults else "are not where they were."),
                    soft_wrap=True,
                    highlight=False,
                )
            if one.shards_changed:
                console.print(
                    f"  files of the shards: {len(one.shards_changed)} changed since it was added, "
                    f"{one.shards_unchanged} are the same bytes",
                    soft_wrap=True,
                    highlight=False,
                )
                for name, hashes in one.shards_changed.items():
                    before, now = ((hashes[when] or "no file")[:12] for when in ("before", "now"))
                    console.print(f"    {name}: {before} → {now}", highlight=False)
            for url in one.near_copies_kept[:SHOWN]:
                console.print(
                    f"  kept, and nearly the same text: {escape(printable(url))}", soft_wrap=True, highlight=False
                )
        places = dict.fromkeys(
            f"{place['table']} ({place['holds']})"
            for one in record.results
            for place in one.remains
            if "table" in place
        )
        if places:
            console.print(f"Not in the shards, but still in the lake: {'; '.join(places)}; and in the WARC files.")
        console.print(f"Recorded in {escape(str(path))}", soft_wrap=True, highlight=False)
        if not record.passed:
            errors.print("[red]Something is still there.[/red] To take it out, and then to prove it:")
            again = f"takedown audit {id}" if id else "takedown audit"
            _show_next(settings, [(one.recipe, one.snapshot) for one in record.results if one.faults], again)
            raise typer.Exit(1)


def _report(settings: Settings, lake: Lake, snapshots: set[str]) -> None:
    """Let Dagster know which partitions are out of date."""
    from curation_assets.provenance.takedown_hits import data_versions
    from curation_assets.provenance.takedowns import TakedownList
    from curation_assets.runs import observe

    observe(settings, data_versions(TakedownList(lake.root), snapshots), errors)


def _show_next(settings: Settings, made: list[tuple[str, str]], audit: str | None = None) -> None:
    """Print what runs each recipe and snapshot again, and then the audit."""
    commands = []
    for recipe, snapshot in made:
        chosen = settings.recipe if Path(settings.recipe).stem == recipe else recipe
        commands.append(next_command(settings.model_copy(update={"recipe": chosen}), snapshot))
    if audit is not None:
        commands.append(command_line(settings.model_copy(update={"recipe_set": Settings().recipe_set}), audit, "lake"))
    for command in commands:
        console.print(f"  {command}", soft_wrap=True, markup=False, highlight=False)
