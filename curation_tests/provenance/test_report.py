"""The report: its figures against SQL by hand, hostile pages on it, the same bytes again; what describes the corpus."""

import json
import math
import re
import shutil
from collections import Counter
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.cli import app
from curation_assets.engine.local import LocalEngine
from curation_assets.lake.checks import outcomes, stats_view
from curation_assets.lake.finished import Finished
from curation_assets.lake.lake import Partition
from curation_assets.lake.query import query
from curation_assets.lake.station import SnapshotJob, Staged, run
from curation_assets.line import Line
from curation_assets.provenance.dataset_card import size_category
from curation_assets.provenance.measuring import chosen, measure
from curation_assets.provenance.report import Counts, Report, spread
from curation_assets.provenance.report_page import page, shown, steps
from curation_assets.provenance.report_station import CARD_FILE, CROISSANT_FILE, FUNNEL_FILE, REPORT_FILE, write_report
from curation_assets.settings import Settings
from curation_tests.conftest import RESILIPARSE, Curated
from curation_tests.mirrors import add_snapshot, partition, prose

FILES = {REPORT_FILE, CARD_FILE, CROISSANT_FILE, FUNNEL_FILE}
MARKUP = "<script>alert('title')</script><img src=x onerror=alert(1)>"
ESCAPED = "&lt;script&gt;alert(&#39;title&#39;)&lt;/script&gt;"


class Page(HTMLParser):
    """What a browser would make of a page: elements with their attributes, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def station_of(line: Line) -> Any:
    return next(station for station in line.stations if station.name == "snapshot_report")


def inputs_of(line: Line, snapshot: str) -> dict[str, Any]:
    return {name: line.lake.partition(key, snapshot) for name, key in station_of(line).sources.items()}


def report_of(line: Line, snapshot: str, **options: Any) -> Report:
    return measure(station_of(line).params, inputs_of(line, snapshot), {}, **options)


@pytest.fixture(scope="module")
def report(line: Line, staged: dict[str, Staged]) -> Report:
    return report_of(line, SAMPLE_SNAPSHOT)


@pytest.fixture(scope="module")
def hostile(sample: Path, tmp_path_factory: pytest.TempPathFactory, engine: LocalEngine) -> Curated:
    """Pages that attack whoever looks at them, of which some are kept and some are not."""
    mirror = tmp_path_factory.mktemp("hostile")
    name = "CC-MAIN-2000-03"
    attack = "&lt;/p&gt;&lt;/details&gt;&lt;script&gt;alert('text')&lt;/script&gt; {{ 7 * 7 }} \u202egnp.exe"
    title = MARKUP.replace("<", "&lt;")
    pages = [
        f"<title>{title}</title><p>{attack} was on the river. {' '.join(prose(7))}</p>",
        f"<title>{title}</title><p>{attack}</p>",
        f"<title>\u202e\u0007 {'x' * 5000}</title><p>{attack} {'y' * 100_000}</p>",
    ]
    add_snapshot(mirror, sample, name, [0], pages)
    line = Line(Settings(source=str(mirror), lake=tmp_path_factory.mktemp("lake"), recipe_set=RESILIPARSE, workers=2))
    return Curated(line, name, {one.station.name: one for one in line.run(name, engine)})


def counted(line: Line, statement: str) -> list[tuple[Any, ...]]:
    """What a statement written by hand says of the sample's tables."""
    tables = {
        name: partition(line, name).folder / "*.parquet"
        for name in ("verdicts", "documents", "languages", "signals", "pii_spans", "corpus")
    }
    shards = partition(line, "training_shards").folder / "segments.parquet"
    with duckdb.connect() as con:
        for name, path in {**tables, "segments": shards}.items():
            con.execute(f"CREATE VIEW {name} AS FROM read_parquet('{path}')")
        return con.execute(statement).fetchall()


def test_the_funnel_is_that_of_the_verdicts(line: Line, report: Report) -> None:
    dropped = dict(counted(line, "SELECT verdict, count(*) FROM verdicts WHERE verdict <> 'kept' GROUP BY 1"))
    assert {gate.name: gate.dropped for gate in report.gates if gate.dropped} == dropped
    assert report.records == sum(dropped.values()) + report.kept
    assert report.gates[-1].left == report.kept == counted(line, "SELECT count(*) FROM corpus")[0][0]
    failed = dict(counted(line, "SELECT unnest(failed_gates) AS gate, count(*) FROM verdicts GROUP BY 1"))
    assert {gate.name: gate.failed for gate in report.gates if gate.failed} == failed
    assert [step.left for step in steps(report)][-1] == report.kept
    rules = {gate.name: gate.rule for gate in report.gates}
    assert rules["language_score"] == "language_score < 0.65"
    named = [gate.name for _, _, gate in line.recipe.gates] + ["minhash_duplicate"]
    assert [gate.name for gate in report.gates if gate.station != "acquisition"] == named


def test_totals_are_those_of_the_shards(line: Line, report: Report) -> None:
    manifest = json.loads((partition(line, "training_shards").folder / "manifest.json").read_text())["counts"]
    assert (report.tokens, report.sequences, report.fill) == (
        manifest["tokens"],
        manifest["sequences"],
        manifest["fill"],
    )
    assert report.fills.sum == report.document_tokens.sum == report.tokens
    assert report.fills.total == report.sequences
    assert report.segments == counted(line, "SELECT count(*) FROM segments")[0][0]
    assert report.text_bytes == counted(line, "SELECT sum(strlen(text)) FROM corpus")[0][0]
    assert report.complete


def test_languages_sites_and_lengths_are_those_of_the_rows(line: Line, report: Report) -> None:
    languages = dict(counted(line, "SELECT language, count(*) FROM corpus GROUP BY 1"))
    assert {one.name: one.kept for one in report.languages if one.kept} == languages
    assert sum(one.tokens for one in report.languages) == report.tokens
    assert sum(one.texts for one in report.languages) == report.texts
    sites = counted(
        line,
        "SELECT coalesce(registered_domain, host) AS site, count(*) FILTER (WHERE v.verdict = 'kept') AS kept "
        "FROM documents JOIN verdicts AS v USING (doc) GROUP BY 1",
    )
    assert {one.name: one.kept for one in report.domains}.items() <= dict(sites).items()
    kept = [count for _, count in sites if count]
    entropy = -sum(count / report.kept * math.log(count / report.kept) for count in kept)
    assert report.domains_of_kept.effective == pytest.approx(math.exp(entropy))
    assert (report.domains_of_kept.classes, report.domains_of_records.classes) == (len(kept), len(sites))
    median = counted(line, "SELECT quantile_disc(words, 0.5) FROM signals SEMI JOIN corpus USING (doc)")[0][0]
    assert report.kept_words.quantile(0.5) == median
    masks = dict(counted(line, "SELECT unnest(masks).kind AS kind, count(*) FROM pii_spans GROUP BY 1"))
    assert {one.kind: one.spans for one in report.masked} == masks
    (ratio,) = counted(line, "SELECT avg(line_punct_ratio) FROM signals SEMI JOIN corpus USING (doc)")[0]
    assert next(one.kept for one in report.form if one.name == "line_punct_ratio") == pytest.approx(ratio, abs=1e-6)


def test_clusters_hold_what_came_to_the_comparison(line: Line, report: Report) -> None:
    compared = next(gate for gate in report.gates if gate.name == "minhash_duplicate")
    assert report.clusters.total == compared.left == report.kept
    assert report.clusters.sum == compared.came
    assert report.duplicates == compared.dropped > 0


def test_every_verdict_has_samples_and_what_is_kept_its_final_text(line: Line, report: Report) -> None:
    verdicts = dict(counted(line, "SELECT verdict, count(*) FROM verdicts GROUP BY 1"))
    listed = Counter(sample.verdict for sample in report.samples)
    assert listed == {verdict: min(count, 3) for verdict, count in verdicts.items()}
    texts = dict(counted(line, "SELECT doc, text FROM corpus"))
    for sample in report.samples:
        if sample.verdict == "kept":
            assert sample.text == texts[sample.doc][:300]
            assert sample.characters == len(texts[sample.doc])
    assert report.samples[-1].verdict == "kept"


def test_of_many_parts_some_are_looked_at_and_totals_stay(line: Line, report: Report) -> None:
    some = report_of(line, SAMPLE_SNAPSHOT, parts_at_most=1)
    assert (some.measured_parts, some.parts) == (1, report.parts)
    assert (some.records, some.kept, some.tokens) == (report.records, report.kept, report.tokens)
    assert [gate.dropped for gate in some.gates] == [gate.dropped for gate in report.gates]
    assert 0 < some.words.total < report.words.total
    assert f"counted in 1 of {report.parts} parts" in Page(page(some)).words
    assert "counted in" not in Page(page(report)).words


def test_every_recipe_is_told_about(curated: dict[str, Curated]) -> None:
    for line, snapshot, staged in curated.values():
        folder = line.lake.partition(station_of(line).key, snapshot).folder
        assert {path.name for path in folder.iterdir() if path.name[0] not in "._"} == FILES
        words = Page((folder / REPORT_FILE).read_text()).words
        assert words.count("✓ passed") == sum(len(one.station.checks) for one in staged.values()) - 1
        assert "✗" not in words
        assert f"{staged['packed_sequences'].manifest.stats['tokens']:,}" in words


def test_what_checks_found_is_on_record(staged: dict[str, Staged]) -> None:
    for one in staged.values():
        found = outcomes(one.partition)
        assert [check.name for check in found] == [check.name for check in one.station.checks]
        assert all(check.passed and check.evidence and check.description for check in found)


def test_hostile_pages_are_text(hostile: Curated) -> None:
    line, snapshot, _ = hostile
    text = (line.lake.partition(station_of(line).key, snapshot).folder / REPORT_FILE).read_text()
    read = Page(text)
    tags = {tag for tag, _ in read.elements}
    assert not tags & {"script", "img", "iframe", "object", "embed", "link", "base", "form", "input", "foreignobject"}
    attributes = [(name, value or "") for _, held in read.elements for name, value in held.items()]
    assert not [name for name, _ in attributes if name.startswith("on") or name in ("src", "action", "srcset")]
    assert all(value.startswith("#") for name, value in attributes if name.endswith("href"))
    assert all("url(" not in value or "url(#" in value for _, value in attributes)
    assert ESCAPED in text
    assert "{{ 7 * 7 }}" in read.words
    assert "alert('text')" in read.words
    assert not set(text) & {"\u202e", "\u0007", "\x00"}
    assert "x" * 300 not in text


def test_the_page_forbids_itself_scripts_and_requests(report: Report) -> None:
    read = Page(page(report))
    metas = [held for tag, held in read.elements if tag == "meta"]
    (policy,) = [held["content"] for held in metas if held.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    rules = dict(rule.split(maxsplit=1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    assert "script-src" not in rules
    # It stands before anything that it is to hold for.
    assert [tag for tag, _ in read.elements][:4] == ["html", "head", "meta", "meta"]
    targets = {held["href"] for tag, held in read.elements if tag == "a"}
    assert targets <= {f"#{held['id']}" for _, held in read.elements if "id" in held}


def test_nothing_of_a_page_is_in_what_describes_the_corpus(hostile: Curated) -> None:
    line, snapshot, _ = hostile
    folder = line.lake.partition(station_of(line).key, snapshot).folder
    for name in (CARD_FILE, CROISSANT_FILE, FUNNEL_FILE):
        assert "alert(" not in (folder / name).read_text()


def test_the_same_tables_are_the_same_bytes(
    line: Line, staged: dict[str, Staged], tmp_path: Path, engine: LocalEngine
) -> None:
    station = station_of(line)
    committed = line.lake.partition(station.key, SAMPLE_SNAPSHOT)
    inputs = inputs_of(line, SAMPLE_SNAPSHOT)
    finished = Finished(Partition(tmp_path.with_name("other"), station.key, SAMPLE_SNAPSHOT), None)
    job = SnapshotJob(SAMPLE_SNAPSHOT, inputs, tmp_path, station.params, engine, {}, finished=finished)
    assert write_report(job, [one for one in line.stations if one is not station]) == committed.manifest().stats
    assert {path.name for path in tmp_path.iterdir()} == FILES
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (committed.folder / name).read_bytes()
    assert not run(station, line.lake, SAMPLE_SNAPSHOT, engine).fresh


def test_earlier_snapshots_are_shown_beside(line: Line, staged: dict[str, Staged]) -> None:
    inputs = inputs_of(line, SAMPLE_SNAPSHOT)
    earlier = {name: {"CC-MAIN-1999-50": inputs[name]} for name in ("verdicts", "training_shards")}
    found = measure(station_of(line).params, inputs, earlier)
    assert [one.tokens for one in found.history] == [found.tokens] * 2
    assert "Over snapshots" in page(found)
    assert "Over snapshots" not in page(report_of(line, SAMPLE_SNAPSHOT))


def test_a_recipe_that_keeps_nothing_has_a_report(
    line: Line, staged: dict[str, Staged], engine: LocalEngine, tmp_path: Path
) -> None:
    shutil.copytree(line.lake.root, tmp_path / "lake")
    changes = {**RESILIPARSE, "name": "keeps_nothing", "language_score": 2}
    nothing = Line(line.settings.model_copy(update={"lake": tmp_path / "lake", "recipe_set": changes}))
    made = {one.station.name: one for one in nothing.run(SAMPLE_SNAPSHOT, engine)}
    folder = made["snapshot_report"].partition.folder
    assert "Nothing was kept." in Page((folder / REPORT_FILE).read_text()).words
    head = yaml.safe_load((folder / CARD_FILE).read_text().split("---\n")[1])
    assert head["size_categories"] == ["n<1K"]
    assert "language" not in head
    assert report_of(nothing, SAMPLE_SNAPSHOT).kept == 0


def test_the_dataset_card_leads_to_the_files(line: Line, staged: dict[str, Staged], report: Report) -> None:
    text = (partition(line, "snapshot_report").folder / CARD_FILE).read_text()
    _, head, body = text.split("---\n", 2)
    card = yaml.safe_load(head)
    root = line.lake.root / line.recipe.name
    for config in card["configs"]:
        assert list(root.glob(config["data_files"][0]["path"]))
    assert card["language"] == sorted({one.name for one in report.languages if one.kept})
    assert card["license"] == "other"
    for path in re.findall(r"^\| `([^`]+)`", body.split("### Columns")[0], re.MULTILINE):
        assert list(root.glob(path)), path
    assert f"| minhash duplicates | {report.duplicates} | {report.kept} |" in body


def test_croissant_names_every_file_by_its_hash(line: Line, staged: dict[str, Staged]) -> None:
    described = json.loads((partition(line, "snapshot_report").folder / CROISSANT_FILE).read_text())
    root = line.lake.root / line.recipe.name
    assert described["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    files = [one for one in described["distribution"] if one["@type"] == "cr:FileObject"]
    assert {one["name"] for one in files} == {file.name for file in staged["training_shards"].manifest.files}
    for one in files:
        content = (root / one["contentUrl"]).read_bytes()
        assert one["sha256"] == sha256(content).hexdigest()
        assert one["contentSize"] == f"{len(content)} B"
    (parts,) = [one for one in described["distribution"] if one["@type"] == "cr:FileSet"]
    assert len(list(root.glob(parts["includes"]))) == len(staged["corpus"].manifest.files)
    identifiers = {one["@id"] for one in described["distribution"]}
    for records, name in zip(described["recordSet"], ("corpus", "training_shards"), strict=True):
        schema = staged[name].station.schema
        assert schema is not None
        assert [field["source"]["extract"]["column"] for field in records["field"]] == schema.names
        assert all(field["description"] for field in records["field"])
        sources = [field["source"].get("fileSet") or field["source"]["fileObject"] for field in records["field"]]
        assert {one["@id"] for one in sources} <= identifiers


def test_croissants_own_library_reads_it(line: Line, staged: dict[str, Staged], tmp_path: Path) -> None:
    """Runs where `mlcroissant` is installed, which the tests do not need otherwise."""
    mlcroissant = pytest.importorskip("mlcroissant")
    for folder in (line.lake.root / line.recipe.name).iterdir():
        (tmp_path / folder.name).symlink_to(folder)
    (tmp_path / CROISSANT_FILE).write_bytes((partition(line, "snapshot_report").folder / CROISSANT_FILE).read_bytes())
    dataset = mlcroissant.Dataset(tmp_path / CROISSANT_FILE)
    assert len(list(dataset.records("corpus"))) == staged["corpus"].manifest.rows


@pytest.mark.parametrize("counter", ["records", "dropped", "kept", "tokens", "measured_kept"])
def test_a_report_that_disagrees_with_the_tables_is_not_published(
    line: Line, staged: dict[str, Staged], counter: str
) -> None:
    made = staged["snapshot_report"]
    (check,) = made.station.checks

    def passed(stats: dict[str, int], files: dict[str, int]) -> bool:
        views = {f"{name}_stats": stats_view(one.manifest().stats) for name, one in made.inputs.items()}
        views["stats"] = stats_view(stats)
        views["files"] = stats_view(files).rename_columns(["name", "bytes"])
        return query(check.sql, views).to_pylist()[0]["passed"]

    stats, files = made.manifest.stats, {file.name: file.bytes for file in made.manifest.files}
    assert passed(stats, files)
    assert not passed({**stats, counter: stats[counter] + 1}, files)
    assert not passed(stats, {**files, REPORT_FILE: 0})
    assert not passed(stats, dict(list(files.items())[1:]))


def test_the_command_says_where_it_is_and_writes_it_once(line: Line, staged: dict[str, Staged]) -> None:
    runner = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"})
    command = ["report", "--lake", str(line.lake.root), "--set", "extraction.extractor=resiliparse"]
    path = partition(line, "snapshot_report").folder / REPORT_FILE
    before = path.stat()
    done = runner.invoke(app, command)
    assert (done.exit_code, done.stdout) == (0, f"{path}\n"), done.output
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    content = path.read_bytes()
    path.unlink()
    assert runner.invoke(app, command).stdout == f"{path}\n"
    assert path.read_bytes() == content


def test_the_command_says_what_is_missing(line: Line, staged: dict[str, Staged]) -> None:
    done = CliRunner().invoke(app, ["report", "--lake", str(line.lake.root)])
    assert done.exit_code == 1
    told = " ".join(done.stderr.split())
    assert "is not materialised" in told
    assert "give the --recipe and the --set that it had" in told


def test_it_is_opened_when_asked(line: Line, staged: dict[str, Staged], monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("curation_assets.cli.report.webbrowser", SimpleNamespace(open=opened.append))
    command = ["report", "--open", "--lake", str(line.lake.root), "--set", "extraction.extractor=resiliparse"]
    assert CliRunner().invoke(app, command).exit_code == 0
    assert opened == [(partition(line, "snapshot_report").folder / REPORT_FILE).as_uri()]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40), st.floats(0.01, 1))
def test_quantiles_are_those_of_the_numbers_one_by_one(numbers: list[int], share: float) -> None:
    values, counts = np.unique(numbers, return_counts=True)
    found = Counts(values.tolist(), counts.tolist())
    at = max(math.ceil(share * len(numbers)), 1) - 1
    assert found.quantile(share) == sorted(numbers)[at]
    assert (found.total, found.sum) == (len(numbers), sum(numbers))
    edges = [1, 2, 7, 30, 61]
    assert found.bins(edges) == np.histogram(numbers, edges)[0].tolist()


@given(st.integers(1, 50), st.integers(1, 1000))
def test_equal_classes_are_as_many_as_they_are(classes: int, size: int) -> None:
    found = spread([(size, classes)])
    assert found.effective == pytest.approx(classes)
    assert found.largest == pytest.approx(1 / classes)
    assert found.evenness == pytest.approx(1.0 if classes > 1 else 0.0)


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(1, 5)), max_size=10))
def test_no_spread_is_wider_than_its_classes(sizes: list[tuple[int, int]]) -> None:
    found = spread(sizes)
    assert found == spread(reversed(sizes))
    assert found.effective <= found.classes + 1e-9
    assert found.documents == sum(size * classes for size, classes in sizes)


def test_of_nothing_there_is_nothing() -> None:
    assert Counts([], []).quantile(0.5) is None
    assert spread([]).effective == spread([]).largest == 0


@given(st.sets(st.text("part-0123456789", min_size=1), max_size=30), st.integers(0, 40))
def test_parts_are_chosen_by_their_names_alone(names: set[str], most: int) -> None:
    listed = sorted(names)
    found = chosen(listed, most)
    assert len(found) == min(most, len(names))
    assert set(chosen(listed[::-1], most)) == set(found)
    assert found == sorted(found)
    assert set(chosen(listed, max(most - 1, 0))) <= set(found)


@given(st.text())
def test_what_is_shown_neither_controls_nor_grows(text: str) -> None:
    found = shown(text, 50)
    assert len(found) <= 51
    assert all(one.isprintable() or one in "\n\u200c\u200d" for one in found)


@pytest.mark.parametrize(
    ("documents", "category"),
    [
        (0, "n<1K"),
        (999, "n<1K"),
        (1000, "1K<n<10K"),
        (123_456, "100K<n<1M"),
        (10**6, "1M<n<10M"),
        (10**9, "1B<n<10B"),
        (10**12, "n>1T"),
    ],
)
def test_sizes_are_the_hubs(documents: int, category: str) -> None:
    assert size_category(documents) == category
