"""The embedded sample: the same everywhere, Common Crawl's shape, and every page meets the fate it was made for."""

import ast
import base64
import gzip
import hashlib
import io
import ipaddress
import json
import operator
import os
import subprocess
import sys
import zlib
from collections import Counter
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import polars as pl
import pyarrow as pa
import pytest
from fastwarc.warc import ArchiveIterator
from hypothesis import given
from hypothesis import strategies as st

from curation_assets.acquisition.archive_layout import snapshot_name
from curation_assets.acquisition.documents import Extraction, read_documents
from curation_assets.acquisition.sample import prose
from curation_assets.acquisition.sample.archive import gzip_member, gzip_stored
from curation_assets.acquisition.sample.gates import UNREACHABLE
from curation_assets.acquisition.sample.page import DUPLICATE, KEPT
from curation_assets.acquisition.sample.snapshot import (
    SAMPLE_SNAPSHOT,
    expected_outcomes,
    pages,
    sample_files,
    write_sample,
)
from curation_assets.deduplication.minhash import sign
from curation_assets.filtering.edits import apply_edits
from curation_assets.filtering.language import identify_language
from curation_assets.filtering.pii import find_pii
from curation_assets.filtering.signals import annotate_signals
from curation_assets.filtering.urls import UrlRules, annotate_urls
from curation_assets.recipes.loading import load_recipe

MEMBER = gzip_member(b"")[:10]
RECIPE = load_recipe("fineweb")
# name, column, operator, limit
GATES = [(gate.name, gate.signal, gate.operator, gate.limit) for _, _, gate in RECIPE.gates]
OPERATORS = {">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le}


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def warc_files(folder: Path) -> list[str]:
    listed = gzip.decompress((folder / "crawl-data" / SAMPLE_SNAPSHOT / "warc.paths.gz").read_bytes()).decode()
    return listed.splitlines()


def members(content: bytes) -> list[tuple[bytes, bool]]:
    """Gzip members of a WARC file, and whether each is whole."""
    found, at = [], 0
    while at < len(content):
        following = content.find(MEMBER, at + 1)
        end = following if following >= 0 else len(content)
        member = content[at:end]
        try:
            inflater = zlib.decompressobj(31)
            inflater.decompress(member)
            whole = inflater.eof and not inflater.unused_data
        except zlib.error:
            whole = False
        found.append((member, whole))
        at = end
    return found


def read_record(member: bytes) -> tuple[dict[str, str], bytes, bool]:
    """Headers and block of the one record of a member, as fastwarc reads them, and whether its digest agrees."""
    found = []
    for record in ArchiveIterator(io.BytesIO(member), parse_http=False):
        # A record is valid until the next one is asked for.
        agrees = record.verify_block_digest()
        found.append((dict(record.headers), record.reader.read(), agrees))
    (one,) = found
    return one


# -- the same everywhere --------------------------------------------------------------------------------------------


def test_two_writes_give_the_same_bytes(mirror: Path, tmp_path: Path) -> None:
    write_sample(tmp_path)
    assert contents(tmp_path) == contents(mirror)


def test_another_process_gives_the_same_bytes(mirror: Path) -> None:
    code = (
        "import hashlib\n"
        "from curation_assets.acquisition.sample.snapshot import sample_files\n"
        "print({p: hashlib.sha256(c).hexdigest() for p, c in sample_files()})"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "TZ": "Pacific/Auckland", "LC_ALL": "C"}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    here = {path: hashlib.sha256(content).hexdigest() for path, content in contents(mirror).items()}
    assert ast.literal_eval(told.stdout) == here


def test_records_are_the_same_on_every_machine() -> None:
    """What does not depend on the zlib at hand. A change of the sample changes this on purpose."""
    digest = hashlib.sha256()
    for page in pages():
        facts = (page.url, page.record_id, page.intent, page.status, page.content_type, repr(page.fields))
        digest.update("\0".join(facts).encode() + b"\0" + page.body)
    assert digest.hexdigest() == GOLDEN


def test_a_second_write_touches_nothing(mirror: Path) -> None:
    def stamps() -> dict[Path, tuple[int, int]]:
        return {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in mirror.rglob("*")}

    before = stamps()
    write_sample(mirror)
    assert stamps() == before


def test_a_damaged_copy_is_written_again(tmp_path: Path) -> None:
    write_sample(tmp_path)
    whole = contents(tmp_path)
    (tmp_path / "collinfo.json").write_bytes(b"[]")
    (tmp_path / warc_files(tmp_path)[1]).write_bytes(b"cut")
    (tmp_path / warc_files(tmp_path)[2]).unlink()
    write_sample(tmp_path)
    assert contents(tmp_path) == whole


def test_it_is_small(mirror: Path) -> None:
    assert sum(map(len, contents(mirror).values())) < 3_000_000
    assert 350 <= len(pages()) <= 450


def test_gzip_headers_tell_nothing_of_time_or_machine(mirror: Path) -> None:
    for path, content in contents(mirror).items():
        if path.endswith(".gz"):
            assert content[:10] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


# -- Common Crawl's shape -------------------------------------------------------------------------------------------


def test_layout(mirror: Path) -> None:
    listed = warc_files(mirror)
    assert set(contents(mirror)) == {"collinfo.json", f"crawl-data/{SAMPLE_SNAPSHOT}/warc.paths.gz", *listed}
    assert len(listed) == 4
    assert len({path.split("/")[3] for path in listed}) == 2  # segments
    for path in listed:
        crawl_data, snapshot, segments, segment, warc, name = path.split("/")
        assert (crawl_data, snapshot, segments, warc) == ("crawl-data", SAMPLE_SNAPSHOT, "segments", "warc")
        assert name.startswith("CC-MAIN-2000") and name.endswith(".warc.gz")
        assert segment.replace(".", "").isdigit()
    (collection,) = json.loads((mirror / "collinfo.json").read_text())
    assert list(collection) == ["id", "name", "timegate", "cdx-api", "from", "to"]
    assert snapshot_name(collection["id"]) == SAMPLE_SNAPSHOT


def test_files_come_in_the_order_of_the_list() -> None:
    paths = [path for path, _ in sample_files()]
    assert paths[-1] == "collinfo.json"  # a snapshot is announced when it is there
    assert paths[:-2] == sorted(paths[:-2])


def test_records(mirror: Path) -> None:
    """Each member holds one record that fastwarc reads, and captures are request, response, metadata."""
    kinds, damaged, ids = Counter(), 0, []
    for path in warc_files(mirror):
        expected = iter(["warcinfo"])
        last_date = ""
        for member, whole in members((mirror / path).read_bytes()):
            wanted = next(expected, None)
            if wanted is None:
                expected = iter(["response", "metadata"])
                wanted = "request"
            if not whole:
                assert wanted == "response"
                damaged += 1
                continue
            headers, block, _ = read_record(member)
            assert headers["WARC-Type"] == wanted
            kinds[wanted] += 1
            ids.append(headers["WARC-Record-ID"])
            assert headers["WARC-Date"] >= last_date
            last_date = headers["WARC-Date"]
            assert len(block) == int(headers["Content-Length"])
            if wanted == "warcinfo":
                assert headers["WARC-Filename"] == Path(path).name
                assert f"isPartOf: {SAMPLE_SNAPSHOT}".encode() in block
            elif wanted == "metadata":
                fields = dict(line.split(": ", 1) for line in block.decode().split("\r\n") if line)
                assert int(fields["fetchTimeMs"]) > 0
                assert "charset-detected" in fields
                assert json.loads(fields.get("languages-cld2", "{}")).get("reliable", True)
            if "WARC-IP-Address" in headers:
                assert any(
                    ipaddress.ip_address(headers["WARC-IP-Address"]) in ipaddress.ip_network(network)
                    for network in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")
                )
    assert damaged == 2
    assert len(ids) == len(set(ids))
    assert kinds["warcinfo"] == 4
    assert kinds["request"] == len(pages())
    assert kinds["response"] == len(pages()) - 2
    assert kinds["metadata"] == len(pages()) - 1  # the truncated capture has none


def test_whole_files_are_read_by_fastwarc(mirror: Path) -> None:
    read = 0
    for path in warc_files(mirror):
        content = (mirror / path).read_bytes()
        parts = members(content)
        if all(whole for _, whole in parts):
            read += 1
            assert sum(1 for _ in ArchiveIterator(io.BytesIO(content))) == len(parts)
    assert read >= 2


def test_digests(mirror: Path) -> None:
    def sha1(content: bytes) -> str:
        return "sha1:" + base64.b32encode(hashlib.sha1(content).digest()).decode()

    seen = 0
    bodies = {page.record_id: page.body for page in pages()}
    for path in warc_files(mirror):
        for member, whole in members((mirror / path).read_bytes()):
            if not whole:
                continue
            headers, block, agrees = read_record(member)
            if headers["WARC-Type"] == "response":
                assert agrees and headers["WARC-Block-Digest"] == sha1(block)
                body = bodies[headers["WARC-Record-ID"]]
                assert block.endswith(body)
                assert headers["WARC-Payload-Digest"] == sha1(body)
                seen += 1
    assert seen == len(pages()) - 2


def test_hosts_are_reserved_names() -> None:
    for page in pages():
        host = urlsplit(page.url).hostname
        assert host is not None and host.rpartition(".")[2] in {"example", "test", "invalid"}


# -- what becomes of the pages --------------------------------------------------------------------------------------


def test_every_gate_is_somebodys_intent() -> None:
    names = {name for name, *_ in GATES}
    intents = {page.intent for page in pages()}
    assert names >= UNREACHABLE
    assert names - UNREACHABLE <= intents
    assert {KEPT, DUPLICATE, "warc_damaged", "warc_truncated", "http_status", "mime_not_html"} <= intents
    assert Counter(page.intent for page in pages())[KEPT] >= 150
    assert expected_outcomes() == {page.record_id: page.intent for page in pages()}


def test_copies_come_after_their_originals() -> None:
    place = {page.url: i for i, page in enumerate(pages())}
    copies = [page for page in pages() if page.copy_of]
    assert len(copies) >= 40
    assert all(place[page.copy_of] < place[page.url] for page in copies)


@cache
def _documents() -> pl.DataFrame:
    batches = []
    for part, (path, content) in enumerate(sample_files()):
        if path.endswith(".warc.gz"):
            batches += read_documents(io.BytesIO(content), part, path, Extraction.model_validate({}), sandboxed=False)
    return pl.DataFrame(pl.from_arrow(pa.Table.from_batches(batches)))


@cache
def _outcomes() -> tuple[dict[str, str], dict[str, str]]:
    """By record id: what became of it, and the cleaned texts of those that passed the gates. Slow and obvious."""
    documents = _documents().to_arrow()
    texts = documents["text"].combine_chunks().cast(pa.large_string())
    signals = annotate_signals(texts)
    languages = identify_language(texts, RECIPE.language.characters)
    rules = UrlRules.load(None, RECIPE.url_filter.categories)
    url, host, domain = (
        documents[name].combine_chunks().cast(pa.string()) for name in ("url", "host", "registered_domain")
    )
    urls = annotate_urls(url, host, domain, rules)
    columns = {name: table[name].to_pylist() for table in (signals, languages, urls) for name in table.column_names}
    columns["language_kept"] = [int(code in RECIPE.language.languages) for code in columns["language"]]
    refused = {"noai", "noimageai", "tdm-reservation"}
    columns["opted_out"] = [len(refused & set(found or [])) for found in documents["consent"].to_pylist()]
    cleaned = apply_edits(texts, signals["line_edits"].combine_chunks()).to_pylist()

    outcomes: dict[str, str] = {}
    passed: list[tuple[object, int, str, str]] = []
    for i, row in enumerate(documents.select(["record_id", "verdict", "date", "doc"]).to_pylist()):
        record_id = row["record_id"] or ""
        outcomes[record_id] = row["verdict"] or next(
            (gate for gate, column, sign, limit in GATES if OPERATORS[sign](columns[column][i], limit)), KEPT
        )
        if outcomes[record_id] == KEPT:
            passed.append((row["date"], row["doc"], record_id, cleaned[i]))
    passed.sort()
    kept: dict[str, str] = {}
    clusters: list[set[tuple[int, int]]] = []
    signed = sign(pa.array([text for *_, text in passed], pa.large_string()))
    for (_, _, record_id, text), bands in zip(passed, signed["bands"].to_pylist(), strict=True):
        keys = set(enumerate(bands or []))
        joined = [cluster for cluster in clusters if cluster & keys]
        for cluster in joined:
            cluster |= keys
        if joined:
            outcomes[record_id] = DUPLICATE
        else:
            clusters.append(keys)
            kept[record_id] = text
    return outcomes, kept


def test_every_record_is_a_row() -> None:
    assert _documents().height == len(pages())


def test_every_page_meets_its_intent() -> None:
    outcomes, _ = _outcomes()
    by_id = {page.record_id: page for page in pages()}
    # Of a corrupt record the name may be lost.
    named = {record_id: page for record_id, page in by_id.items() if page.damage != "corrupt" or record_id in outcomes}
    wrong = {p.url: (p.intent, outcomes[i]) for i, p in named.items() if outcomes[i] != p.intent}
    assert wrong == {}
    assert Counter(outcomes.values()) == Counter(expected_outcomes().values())


def test_kept_pages_are_distinct_prose() -> None:
    _, kept = _outcomes()
    assert len(kept) >= 150
    shingles = []
    for text in kept.values():
        words = text.lower().split()
        assert 300 <= len(words) <= 900
        shingles.append({tuple(words[i : i + 5]) for i in range(len(words) - 4)})
    closest = max(len(a & b) / len(a | b) for i, a in enumerate(shingles) for b in shingles[:i])
    assert closest < 0.4


def test_no_notation_is_left_in_the_prose() -> None:
    _, kept = _outcomes()
    for text in kept.values():
        assert not set(text) & set("$<>[]|{}~"), text


def test_wrongly_labelled_pages_are_read_right() -> None:
    texts = dict(_documents().select("url", "text").iter_rows())
    site = "https://www.leaky-roof.example/"
    assert "The café by the pier is naïve" in texts[f"{site}wrong-charset-label"]
    assert "“Don’t hurry”" in texts[f"{site}windows-1252-punctuation"]
    assert "夕方になると町は静かになります" in texts[f"{site}shift_jis-in-the-header"]
    assert "Вечером становится тихо" in texts[f"{site}windows-1251-called-utf-8"]


def test_personal_data_is_there_to_be_masked() -> None:
    _, kept = _outcomes()
    by_id = {page.record_id: page for page in pages()}
    texts = [text for record_id, text in kept.items() if by_id[record_id].kind == "addresses to mask"]
    assert len(texts) == 8
    found = find_pii(pa.array(texts, pa.large_string())).to_pylist()
    kinds = [Counter(span["kind"] for span in spans) for spans in found]
    assert all(count["email"] == 2 for count in kinds)
    # 192.168.1.20 and 10.0.0.7 stand beside the two public ones and are nobody's address.
    assert [count["public_ip"] for count in kinds].count(2) == 4
    assert sum("192.168.1.20" in text for text in texts) == 4


# -- the parts ------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=200_000))
def test_gzip(content: bytes) -> None:
    assert gzip.decompress(gzip_member(content)) == content
    assert gzip.decompress(gzip_stored(content)) == content


def test_quartets_share_none_or_two() -> None:
    ways = [set(prose.quartet(way)) for way in range(14)]
    assert all(len(way) == 4 for way in ways)
    assert {len(a & b) for i, a in enumerate(ways) for b in ways[:i]} == {0, 2}


@pytest.mark.parametrize("topic", prose.TOPICS)
def test_topics_are_complete(topic: str) -> None:
    read = prose.read_topic(f"en/{topic}")
    assert len(read.titles) == 3
    assert {name: len(section) for name, section in read.sections.items()} == {"intro": 2, "body": 8, "end": 2}
    known = {*prose.read_topic("names").slots, *read.slots, "person", "other"}
    draw = prose.Draw("complete", topic)
    values = dict.fromkeys(known, "word")
    for section in read.sections.values():
        for lines in section:
            assert len(prose.paragraph(lines, draw, values).split()) > 25


@given(st.text(), st.integers(1, 1000))
def test_draws_are_within_bounds(key: str, limit: int) -> None:
    draw = prose.Draw(key)
    assert all(0 <= draw.below(limit) < limit for _ in range(10))
    assert sorted(draw.shuffled(range(10))) == list(range(10))
    chosen = draw.sample("abcdef", 3)
    assert chosen == sorted(chosen) and len(set(chosen)) == 3
    assert prose.Draw(key).below(10**9) == prose.Draw(key).below(10**9)


GOLDEN = "4b96c45e32c996c0842f15d33615a26e78356af58b2030bdc090f27e35f8d2f6"
