"""Commands that answer: what became of a document, where a token came from, what other limits would do."""

from pathlib import Path
from typing import Annotated, Any

import duckdb
import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from curation_assets.cli.program import (
    LakeFolder,
    Overrides,
    RecipeName,
    Snapshot,
    Source,
    app,
    console,
    errors,
    newest,
    plain_errors,
    settings_of,
)
from curation_assets.lake.lake import LakeError
from curation_assets.lake.query import query, source
from curation_assets.line import Line
from curation_assets.provenance.explain import Explanation
from curation_assets.provenance.trace import Passage
from curation_assets.provenance.whatif import WhatIf
from curation_assets.terminal import answer_table, change, funnels_table, printable, samples_table, view_tables


@app.command()
def funnel(
    snapshot: Snapshot = None, lake: LakeFolder = None, recipe: RecipeName = None, set: Overrides = None
) -> None:
    """Show how many documents each gate dropped, and how many were left."""
    with plain_errors():
        line = Line(settings_of(lake=lake, recipe=recipe, set=set))
        show_funnel(line, snapshot or newest(line))


@app.command()
def compare(
    recipe: Annotated[
        list[str] | None, typer.Option(help="A recipe of several: give two or more. Those of the settings by default.")
    ] = None,
    snapshot: Snapshot = None,
    lake: LakeFolder = None,
    set: Overrides = None,
) -> None:
    """Compare recipes: what each station drops and leaves, and how much of what survives is the same."""
    from curation_assets.provenance.comparison import compared, comparison_inputs, overlaps, stages

    with plain_errors():
        settings = settings_of(lake=lake, set=set)
        named = recipe or [settings.recipe, *settings.recipes]
        lines = [Line(settings.model_copy(update={"recipe": one})) for one in named]
        recipes = compared([line.recipe for line in lines])
        if len(recipes) < 2:
            raise ValueError("a comparison takes two recipes or more: --recipe refinedweb --recipe fineweb")
        inputs = comparison_inputs(lines[0].lake, snapshot, recipes)
        at = inputs[f"{recipes[0].name}_verdicts"].snapshot
        show_stages(stages(recipes, inputs).to_pylist(), at)
        console.print()
        show_overlaps(overlaps(recipes, inputs).to_pylist(), at)


@app.command()
def explain(
    name: Annotated[str, typer.Argument(help="A URL or a WARC record id.")],
    snapshot: Snapshot = None,
    lake: LakeFolder = None,
    recipe: RecipeName = None,
    set: Overrides = None,
) -> None:
    """Tell what became of a URL: its verdict, every gate's value against its limit, or where it lies in the shards."""
    from curation_assets.provenance.explain import explain as explain_document

    with plain_errors():
        line = Line(settings_of(lake=lake, recipe=recipe, set=set))
        found = explain_document(line, name, [snapshot] if snapshot else None)
        if not found:
            errors.print(f"no snapshot in {line.lake.root} has a record for {escape(printable(name))}")
            raise typer.Exit(1)
        if len(found) > 1:
            console.print(f"{len(found)} records:\n")
        for explanation in found:
            show_explanation(explanation)


@app.command()
def trace(
    shard: Annotated[int, typer.Option(help="Number of the shard.")],
    sequence: Annotated[int, typer.Option(help="Number of the sequence in the shard.")],
    token: Annotated[int, typer.Option(help="Position in the sequence.")] = 0,
    fetch: Annotated[bool, typer.Option("--fetch", help="Read the record again from the source.")] = False,
    snapshot: Snapshot = None,
    source: Source = None,
    lake: LakeFolder = None,
    recipe: RecipeName = None,
    set: Overrides = None,
) -> None:
    """Trace a token of a shard to its document, WARC file, offset and length."""
    from curation_assets.provenance.trace import fetch as fetch_record
    from curation_assets.provenance.trace import trace as trace_token

    with plain_errors():
        line = Line(settings_of(source=source, lake=lake, recipe=recipe, set=set))
        found = trace_token(line, snapshot or newest(line), shard, sequence, token)
        table = Table(show_header=False, box=None)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in {
            "record id": found.record_id,
            "url": found.url,
            "date": found.date,
            "WARC file": found.warc_file,
            "offset": found.warc_offset,
            "length": found.warc_length,
            "document": f"{found.doc} (part {found.doc >> 32}, row {found.doc & 0xFFFFFFFF})",
            "token": f"{found.token_of_document} of the document: {found.token_text!r}",
        }.items():
            table.add_row(f"[bold]{name}[/bold]", escape(printable(str(value))))
        if found.approximate:
            table.add_row("", "approximate: the tokenizer encodes this text otherwise now")
        table.add_row("[bold]passage[/bold]", marked(found.shown))
        console.print(table)
        if fetch:
            again = fetch_record(line, found)
            state = "the same text as in the lake" if again.unchanged else "another text than in the lake"
            console.print(f"\nRead again from {escape(line.archive.source)}: {len(again.record):,} bytes, {state}.")
            console.print(Text.assemble(("in the record: ", "bold"), marked(again.shown)))


@app.command()
def whatif(
    recipe: RecipeName = None,
    set: Overrides = None,
    snapshot: Snapshot = None,
    samples: Annotated[int, typer.Option(min=0, help="Documents shown of those gained and of those lost.")] = 5,
    lake: LakeFolder = None,
    workers: Annotated[int | None, typer.Option(help="Parts decided at a time; all cores by default.")] = None,
) -> None:
    """Show what other limits would do: --set language_score=0.7. Nothing is run and no text is read.

    What gates would drop is exact. Documents that pass newly were never compared with others: they are counted as
    such, and known duplicates stay as they are.
    """
    from curation_assets.provenance.whatif import what_if

    with plain_errors():
        line = Line(settings_of(lake=lake, recipe=recipe, set=set, workers=workers))
        known = line.lake.snapshots((line.recipe.name, "verdicts"))
        if not (snapshot or known):
            raise LakeError(f"the lake {line.lake.root} holds no verdicts of recipe {line.recipe.name} yet")
        with errors.status("deciding the gates again") as status:
            found = what_if(
                line,
                snapshot or known[-1],
                samples,
                lambda done, parts: status.update(f"deciding the gates again: part {done:,} of {parts:,}"),
            )
        show_what_if(found)


@app.command()
def sql(
    statement: Annotated[str | None, typer.Argument(help="A SELECT; without one, the views are listed.")] = None,
    snapshot: Annotated[str | None, typer.Option(help="The only one to look at; all of the lake by default.")] = None,
    recipe: RecipeName = None,
    lake: LakeFolder = None,
    limit: Annotated[int, typer.Option(min=0, help="Rows at most; 0 for all.")] = 1000,
    format: Annotated[
        str | None, typer.Option(help="csv, json or parquet, where the file's name does not say.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="A file to write instead of the terminal.")] = None,
    set: Overrides = None,
) -> None:
    """Ask the lake in SQL (DuckDB): "SELECT verdict, count(*) FROM verdicts GROUP BY ALL". At most 1,000 rows.

    Every table is a view over all snapshots with a column `snapshot`; those of other recipes are called
    `refinedweb.verdicts`. Statements only read, and only the lake.
    """
    from curation_assets.provenance.catalog import catalog, columns, save, select, unqualified, views

    with plain_errors():
        line = Line(settings_of(lake=lake, recipe=recipe, set=set))
        if format and not output:
            raise ValueError("--format is of a file: say which with --output")
        with catalog(line, snapshot) as con:
            if statement is None:
                found = views(line, snapshot)
                for table in view_tables(unqualified(line, found), columns(line, con)):
                    console.print(table)
                others = dict.fromkeys(view.recipe for view in found if view.recipe not in (None, line.recipe.name))
                if others:
                    console.print(f"The same of {', '.join(map(str, others))}: {next(iter(others))}.verdicts, ...")
                return
            try:
                relation = select(con, statement, limit or None)
                if output:
                    rows = save(line, relation, output, format)
                    console.print(f"{rows:,} rows in {escape(str(output))}", soft_wrap=True)
                else:
                    table = answer_table(relation)
                    rows = table.row_count
                    console.print(table)
            except duckdb.Error as error:
                raise ValueError(str(error)) from error
        if limit and rows == limit:
            errors.print(f"{limit:,} rows, the limit: there may be more (--limit 0 for all)")


def show_funnel(line: Line, snapshot: str) -> None:
    """Print what each gate dropped."""
    verdicts = line.lake.partition(line.key("verdicts"), snapshot)
    rows = query("provenance/funnel", {"verdicts": source(verdicts.paths())}).to_pylist()
    total = verdicts.manifest().rows
    table = Table(title=f"{line.recipe.name} on {snapshot}: {total:,} response records", box=None, padding=(0, 2, 0, 0))
    table.add_column("station", no_wrap=True)
    table.add_column("gate", no_wrap=True)
    table.add_column("dropped", justify="right", no_wrap=True)
    table.add_column("left", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    station = ""
    for row in rows:
        bar = "█" * round(10 * row["left"] / max(total, 1))
        shown = row["station"] if row["station"] != station else ""
        station = row["station"]
        table.add_row(shown, row["gate"], f"{row['dropped']:,}", f"{row['left']:,}", f"[green]{bar}[/green]")
    console.print(table)


def show_stages(rows: list[dict[str, Any]], snapshot: str) -> None:
    """Print what each station of each recipe drops, and leaves of all records and of those with text.

    Takes the rows of `recipe_comparison`.
    """
    table = Table(title=f"Recipes on {snapshot}", box=None, padding=(0, 2, 0, 0))
    table.add_column("station", overflow="fold")
    for heading in ("dropped", "left", "records", "texts", "published", "tokens"):
        table.add_column(heading, justify="right", overflow="fold")
    for row in rows:
        if row["position"] == 0:
            table.add_row(f"[bold]{row['recipe']}[/bold]")
        table.add_row(
            f"  {row['station']}",
            f"{row['dropped']:,}",
            f"{row['left']:,}",
            _percent(row["share_of_records"]),
            _percent(row["share_of_texts"]),
            _percent(row["published_share"]),
            "" if row["tokens"] is None else f"{row['tokens']:,}",
        )
    console.print(table)


def show_overlaps(rows: list[dict[str, Any]], snapshot: str) -> None:
    """Print how many documents every two recipes both keep, and the Jaccard index; rows of `recipe_overlaps`."""
    names = list(dict.fromkeys(row["recipe"] for row in rows))
    console.print(f"Documents that both keep on {snapshot}, and their Jaccard index:", soft_wrap=True)
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("", overflow="fold")
    for name in names:
        table.add_column(name, justify="right", overflow="fold")
    for name in names:
        cells = [
            f"{row['shared']:,}" + ("" if row["jaccard"] is None or row["other"] == name else f" {row['jaccard']:.3f}")
            for row in rows
            if row["recipe"] == name
        ]
        table.add_row(name, *cells)
    console.print(table)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.2%}"


def show_what_if(found: WhatIf) -> None:
    """Print what changed, both funnels, and documents that are gained and lost."""
    if not found.changed:
        console.print(f"No gate differs from those that decided {found.snapshot}; --set language_score=0.7 tries one.")
        return
    for step in found.changed:
        console.print(escape(change(step)), highlight=False)
    console.print(funnels_table(found))
    compared = f", and up to {found.unknown:,} more that would be compared first" if found.unknown else ""
    console.print(
        f"Kept: {found.kept_was:,} documents were, {found.kept:,} would be{compared}. "
        f"Gained {found.gained:,}, lost {found.lost:,}, dropped elsewhere {found.moved:,}.",
        soft_wrap=True,
    )
    if found.unknown:
        console.print(
            "What gates drop is exact. Documents that pass newly were never compared with others, so how many of them "
            "are duplicates is not known; `curation run` with the same --set tells.",
            soft_wrap=True,
        )
    if found.duplicates:
        console.print(
            f"{found.clusters:,} of the lost documents stood for {found.duplicates:,} duplicates, which are counted as "
            "dropped here; a run would keep some of these instead.",
            soft_wrap=True,
        )
    for name, samples in (("Gained", found.gained_samples), ("Lost", found.lost_samples)):
        if samples:
            console.print(f"\n{name}, for example:")
            console.print(samples_table(samples))


def show_explanation(found: Explanation) -> None:
    """Print the life of one document."""
    verdict = found.verdict
    name = verdict["url"] or verdict["record_id"] or "?"
    console.print(f"[bold]{escape(printable(name))}[/bold] in {found.snapshot}", soft_wrap=True, highlight=False)
    console.print(
        f"  {escape(printable(verdict['record_id'] or '?'))}, captured {verdict['date']}, "
        f"{escape(printable(verdict['warc_file']))} "
        f"at {verdict['warc_offset']}, {verdict['warc_length']} bytes",
        soft_wrap=True,
    )
    if verdict["verdict"] == "kept":
        console.print("  [green]kept[/green]")
        for segment in found.segments:
            console.print(
                f"  in shard {segment['shard']}, sequence {segment['sequence']} at {segment['position']}: "
                f"{segment['token_count']} tokens from its {segment['token_start']}."
            )
    else:
        reason = verdict["verdict"]
        measured = "" if verdict["value"] is None else f", value {verdict['value']:g}, limit {verdict['limit']:g}"
        detail = f" ({escape(printable(verdict['detail']))})" if verdict["detail"] else ""
        console.print(f"  [red]dropped[/red] by {verdict['station']}: {reason}{measured}{detail}", soft_wrap=True)
        if verdict["duplicate_of"] is not None:
            console.print(
                f"  one of {verdict['cluster_size']} near-duplicates; kept instead: "
                f"{escape(printable(verdict['duplicate_of_url'] or str(verdict['duplicate_of'])))}"
                f"{', which was taken down since' if verdict['duplicate_of_verdict'] == 'takedown' else ''}",
                soft_wrap=True,
            )
    if found.pending:
        console.print(
            f"  [yellow]taken down[/yellow] by {escape(printable(found.pending))}; "
            f"it is gone when {found.snapshot} is run again",
            soft_wrap=True,
        )
    if found.without_text:
        console.print("  no annotations: acquisition got no text from this record, so nothing was measured or compared")
    if found.gates:
        table = Table(box=None, padding=(0, 1, 0, 0))
        for heading in ("station", "gate", "value", "dropped when", ""):
            table.add_column(heading, no_wrap=heading == "gate", overflow="fold")
        for gate in found.gates:
            mark = "[red]fails[/red]" if gate.failed else "passes"
            value = "not measured" if gate.value is None else f"{gate.value:.4g}"
            table.add_row(gate.station, gate.gate, value, escape(f"{gate.operator} {gate.limit:g}"), mark)
        console.print(table)


def marked(passage: Passage) -> Text:
    """A passage with its token in reverse video, or in brackets where that cannot be seen."""
    token = printable(passage.token)
    shown = (token, "reverse") if console.is_terminal and console.color_system else f"⟦{token}⟧"
    return Text.assemble(printable(passage.before), shown, printable(passage.after))
