"""The list of takedowns by itself: what rules hit, and what happens to a list that was changed."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.acquisition.documents import split_host
from curation_assets.lake.lake import Lake, LakeError
from curation_assets.provenance import takedowns
from curation_assets.provenance.takedown_audit import audit
from curation_assets.provenance.takedown_hits import add
from curation_assets.provenance.takedowns import Kind, Rule, TakedownList, match

DATE = datetime(2026, 1, 2, tzinfo=UTC)
URLS = [
    "https://www.example.org/news/a?x=1&y=2",
    "http://example.org/news/a/?y=2&x=1&utm_source=mail#top",
    "https://example.org/news/ab?x=1&y=2",
    "https://EXAMPLE.org:443/News/a?x=1&y=2",
    "https://sub.example.org/%7Ejane/",
    "https://notexample.org/~jane",
    "https://example.org.evil.example/",
    "https://xn--bcher-kva.example/",
    None,
    "not a url at all",
]


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("documents") / "part-00000.parquet", URLS)


def write(path: Path, urls: list[str | None]) -> Path:
    columns = {
        "doc": pa.array(range(len(urls)), pa.int64()),
        "record_id": [f"<urn:uuid:00000000-0000-0000-0000-{row:012}>" for row in range(len(urls))],
        "url": pa.array(urls, pa.string()),
        "host": pa.array([None if url is None else split_host(url) for url in urls], pa.string()),
    }
    pq.write_table(pa.table(columns), path)
    return path


def rule(kind: Kind, value: str, name: str = "T1") -> Rule:
    listed = TakedownList(Path("nowhere"))
    return listed.next_rule(kind, value, "reason").model_copy(update={"id": name})


def hit(part: Path, kind: Kind, value: str) -> list[int]:
    return match(part, [rule(kind, value)])["doc"].to_pylist()


@pytest.mark.parametrize(
    ("kind", "value", "docs"),
    [
        ("url", "example.org/news/a?y=2&x=1", [0, 1]),
        ("url", "http://www.example.org/news/a/?x=1&y=2#bottom", [0, 1]),
        ("url", "https://example.org/News/a?x=1&y=2", [3]),
        ("url", "http://sub.example.org/~jane", [4]),
        ("url", "https://example.org/news", []),
        ("host", "example.org", [0, 1, 2, 3, 4]),
        ("host", "EXAMPLE.org.", [0, 1, 2, 3, 4]),
        ("host", "www.example.org", [0]),
        ("host", "org", [0, 1, 2, 3, 4, 5]),
        ("host", "bücher.example", [7]),
        ("pattern", "example.org/news/*", [1, 2]),
        ("pattern", "https://*example.org/news/a?x=1*", [0]),
        ("pattern", "*/%7Ejane/", [4]),
        ("pattern", "https://example.org/news/a?", []),
        ("pattern", r"re:^https?://[^/]*\.org/news/a\?", [0]),
        ("pattern", "re:(?i)/NEWS/a", [0, 1, 2, 3]),
        ("record", "00000000-0000-0000-0000-000000000003", [3]),
        ("record", "<URN:UUID:00000000-0000-0000-0000-000000000008>", [8]),
    ],
)
def test_a_rule_hits_what_it_says(part: Path, kind: Kind, value: str, docs: list[int]) -> None:
    assert hit(part, kind, value) == docs


def test_a_document_that_several_rules_hit_names_all_in_order(part: Path) -> None:
    rules = [rule("host", "sub.example.org", "T2"), rule("pattern", "re:.", "T7"), rule("host", "example.org", "T9")]
    rows = {row["doc"]: row for row in match(part, rules).to_pylist()}
    assert rows[4]["takedowns"] == ["T2", "T7", "T9"]
    assert rows[4]["detail"] == "T2: reason"
    assert rows[5]["takedowns"] == ["T7"]
    assert 8 not in rows, "without a URL"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("pattern", "re:(a"),
        ("pattern", "re:(?=a)b"),
        ("pattern", "re:" + "(" * 2000),
        ("pattern", "re:((a{1000}){1000}){1000}"),
        ("pattern", "*"),
        ("pattern", "re:"),
        ("pattern", "  "),
        ("host", "https://example.org/"),
        ("host", "example.org/path"),
        ("host", "a b"),
        ("host", "."),
        ("url", ""),
        ("url", "https://example.org/\ud800"),
        ("record", ""),
    ],
)
def test_what_cannot_be_matched_is_refused(kind: Kind, value: str) -> None:
    with pytest.raises(ValueError, match=r"pattern|host|empty|Unicode"):
        rule(kind, value)


@pytest.mark.parametrize("reason", ["", " \n", "\ud800"])
def test_a_takedown_has_a_reason(reason: str) -> None:
    with pytest.raises(ValueError, match=r"reason|Unicode"):
        TakedownList(Path("nowhere")).next_rule("host", "example.org", reason)


@pytest.mark.parametrize("value", ["re:(a*)*b", "re:(a|aa)+$", "*a" * 500, "re:(.*){20}x", "re:a{1000}"])
def test_a_hostile_pattern_takes_linear_time(tmp_path: Path, value: str) -> None:
    part = write(tmp_path / "part-00000.parquet", ["https://example.org/" + "a" * 100_000 + "!"] * 4)
    assert hit(part, "pattern", value) in ([], [0, 1, 2, 3])


@settings(deadline=None, max_examples=40)
@given(st.lists(st.none() | st.text(alphabet=st.characters(codec="utf-8")), max_size=4), st.text(max_size=20))
def test_no_url_and_no_rule_breaks_it(
    tmp_path_factory: pytest.TempPathFactory, urls: list[str | None], value: str
) -> None:
    part = write(tmp_path_factory.mktemp("any") / "part-00000.parquet", [*urls, value])
    for kind in ("url", "host", "pattern", "record"):
        try:
            asked = rule(kind, value)
        except ValueError:
            continue
        docs = match(part, [asked])["doc"].to_pylist()
        assert docs == sorted(set(docs))
        # White space around a value is not part of it.
        if value == value.strip() and (kind == "url" or (kind == "pattern" and not value.startswith("re:"))):
            assert len(urls) in docs, "a value is a spelling of itself"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake(tmp_path / "lake")
    for number in range(3):
        add(made, "host", f"{number}.example", "asked", DATE)
    with TakedownList(made.root).changing() as listed:
        listed.revoke("T2", "agreed", DATE)
    return made


def test_versions_are_appended(lake: Lake) -> None:
    listed = TakedownList(lake.root)
    assert [(entry.version, entry.action, entry.id) for entry in listed.entries] == [
        (1, "add", "T1"),
        (2, "add", "T2"),
        (3, "add", "T3"),
        (4, "revoke", "T2"),
    ]
    assert [entry.id for entry in listed.in_force] == ["T1", "T3"]
    entry, _ = add(lake, "host", "1.example", "asked again", DATE)
    assert (entry.id, entry.version) == ("T5", 5)
    with pytest.raises(ValueError, match=r"T1 already takes down the host 0\.example"):
        add(lake, "host", "0.EXAMPLE", "asked", DATE)
    with pytest.raises(ValueError, match="no takedown T2 is in force; in force are: T1, T3, T5"):
        TakedownList(lake.root).get("T2")


def test_a_reason_is_one_line_of_the_list(lake: Lake) -> None:
    add(lake, "host", "x.example", 'a "quoted"\nreason\u2028 of\x85 lines\x1b[31m', DATE)
    assert TakedownList(lake.root).entries[-1].reason == 'a "quoted"\nreason\u2028 of\x85 lines\x1b[31m'


def test_takedowns_at_once_follow_one_another(lake: Lake) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda n: add(lake, "host", f"at-once-{n}.example", "asked", DATE)[0].id, range(12)))
    assert len(set(made)) == 12
    assert TakedownList(lake.root).version == 16


Change = Callable[[Path], object]
TAMPERINGS: dict[str, Change] = {
    "a reason": lambda path: path.write_bytes(
        path.read_bytes().replace(b"agreed", b"never!").replace(b"asked", b"lied!")
    ),
    "the first line": lambda path: path.write_bytes(path.read_bytes().split(b"\n", 1)[1]),
    "a line between": lambda path: path.write_bytes(b"".join(path.read_bytes().splitlines(True)[::2])),
    "two lines": lambda path: path.write_bytes(b"".join(path.read_bytes().splitlines(True)[::-1])),
    "the end": lambda path: path.write_bytes(b"".join(path.read_bytes().splitlines(True)[:-1])),
    "the last line": lambda path: path.write_bytes(path.read_bytes().replace(b"agreed", b"never!")),
    "all of it": lambda path: path.unlink(),
    "no JSON": lambda path: path.write_bytes(path.read_bytes() + b"{}\n"),
    "no text": lambda path: path.write_bytes(path.read_bytes() + b"\xff\x00\n"),
}


@pytest.mark.parametrize("change", TAMPERINGS.values(), ids=TAMPERINGS)
def test_a_list_that_was_changed_is_refused(lake: Lake, change: Change) -> None:
    audit(lake, None, None, DATE)  # it knows how many lines there were, and the last one
    assert TakedownList(lake.root).version == 4
    change(TakedownList(lake.root).path)
    with pytest.raises(LakeError, match=r"list\.jsonl, line \d"):
        _ = TakedownList(lake.root).rules
    with pytest.raises(LakeError, match="bring back"):
        add(lake, "host", "x.example", "asked", DATE)


def test_a_kill_before_the_line_is_written_leaves_the_list(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(path: Path, data: bytes) -> None:
        raise KeyboardInterrupt

    before = TakedownList(lake.root).path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(takedowns, "write_atomically", killed)
        with pytest.raises(KeyboardInterrupt):
            add(lake, "host", "x.example", "asked", DATE)
    assert TakedownList(lake.root).path.read_bytes() == before
    assert add(lake, "host", "x.example", "asked", DATE)[0].id == "T5"


def test_a_lake_without_a_list_has_no_takedowns(tmp_path: Path) -> None:
    listed = TakedownList(tmp_path / "none")
    assert (listed.version, listed.rules, listed.in_force) == (0, [], [])
