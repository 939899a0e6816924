"""A record's life as it was decided, whatever the recipe says by now."""

import operator

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.lake.lake import Lake, LakeError
from curation_assets.lake.query import query
from curation_assets.lake.station import Staged
from curation_assets.line import Line
from curation_assets.provenance.explain import alike_urls, explain, host_name, record_names, spellings
from curation_assets.provenance.hosts import explain_host

COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@pytest.fixture(scope="module")
def verdicts(line: Line, staged: dict[str, Staged]) -> pl.DataFrame:
    return pl.read_parquet(line.lake.partition(line.key("verdicts"), SAMPLE_SNAPSHOT).paths(".parquet"))


def test_every_gate_is_shown_with_what_it_saw_and_the_outcome_follows(line: Line, verdicts: pl.DataFrame) -> None:
    """Values that SQL makes are made again for the explanation: they must be those that decided."""
    names = [gate.name for _, _, gate in line.recipe.gates]
    assert {"consent", "language", "language_score"} <= set(names)
    shown = pl.concat([verdicts.gather_every(9), verdicts.unique("verdict", maintain_order=True)]).unique("doc")
    for row in shown.iter_rows(named=True):
        (found,) = explain(line.lake, line.recipe.name, row["record_id"])
        assert found.without_text == (row["station"] == "acquisition")
        if found.without_text:
            assert (found.gates, found.language, found.compared) == ([], {}, [])
            continue
        assert [gate.gate for gate in found.gates] == names
        assert [gate.gate for gate in found.gates if gate.failed] == row["failed_gates"]
        for gate in found.gates:
            assert gate.failed == (gate.value is not None and COMPARE[gate.operator](gate.value, gate.limit))
            if gate.gate == row["verdict"]:
                assert (gate.value, gate.limit) == (pytest.approx(row["value"]), row["limit"])


def test_limits_are_those_that_decided_and_not_todays(line: Line, verdicts: pl.DataFrame) -> None:
    kept = verdicts.filter(pl.col("verdict") == "kept")["record_id"][0]
    overrides = {"extraction.extractor": "trafilatura", "gopher_short_doc": 9999, "language_score": 0.999}
    today = Line(line.settings.model_copy(update={"recipe_set": overrides}))
    assert explain(today.lake, today.recipe.name, kept) == explain(line.lake, line.recipe.name, kept)
    limits = {gate.gate: gate.limit for gate in explain(today.lake, today.recipe.name, kept)[0].gates}
    assert (limits["gopher_short_doc"], limits["language_score"]) == (50, 0.65)


@pytest.mark.parametrize("form", ["<urn:uuid:{}>", "urn:uuid:{}", "{}", "<{}>", " {} "])
@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_a_record_id_in_any_form(line: Line, verdicts: pl.DataFrame, form: str, case) -> None:
    record = verdicts["record_id"][3]
    bare = record.removeprefix("<urn:uuid:").removesuffix(">")
    (found,) = explain(line.lake, line.recipe.name, case(form.format(bare)))
    assert found.verdict["record_id"] == record


def test_what_is_no_uuid_is_left_as_it_is() -> None:
    assert set(record_names("<urn:sha1:ABC>")) == {"<urn:sha1:ABC>", "urn:sha1:ABC", "<urn:sha1:abc>", "urn:sha1:abc"}
    assert "https://a.example/" in record_names("https://a.example/")


def test_all_records_of_a_url_are_found() -> None:
    verdicts = pa.table(
        {
            "doc": [1, 2, 3],
            "url": ["https://a.example/", "https://b.example/", "https://a.example/"],
            "record_id": ["<urn:uuid:1>", "<urn:uuid:2>", "urn:uuid:3"],
        }
    )

    def docs(name: str) -> list[int]:
        parameters = {"urls": spellings(name), "records": record_names(name)}
        return query("provenance/explain", {"verdicts": verdicts}, parameters)["doc"].to_pylist()

    assert docs("https://a.example/") == [1, 3]
    assert docs("<urn:uuid:3>") == [3]
    assert docs("URN:UUID:1") == [1]


@pytest.mark.parametrize(
    "asked",
    ["http://A.example/page/", "https://www.a.example/page", "a.example/page", " https://a.example/page#top "],
)
def test_another_spelling_is_tried(asked: str) -> None:
    assert "https://a.example/page" in spellings(asked)
    assert spellings(asked)[0] == asked


@given(st.text(st.sampled_from("htps:/w.aé[]@?#%\x00<> ") | st.characters(), max_size=40))
def test_any_text_may_be_asked_for(asked: str) -> None:
    for name in (asked, f"https://{asked}"):
        assert spellings(name)[0] == name
        assert record_names(name)
        assert host_name(name) is None or "." in (host_name(name) or "")


@pytest.mark.parametrize(
    ("asked", "host"),
    [
        ("Example.ORG", "example.org"),
        ("example.org:8080", "example.org"),
        ("www.example.org/", "www.example.org"),
        ("example.org/page", None),
        ("https://example.org", None),
        ("0b0e0e0a-3c6e-4f0e-8d0b-000000000000", None),
        ("<urn:uuid:0b0e0e0a-3c6e-4f0e-8d0b-000000000000>", None),
    ],
)
def test_a_host_is_told_from_a_url(asked: str, host: str | None) -> None:
    assert host_name(asked) == host


def test_the_exact_url_wins_over_other_spellings(line: Line, verdicts: pl.DataFrame) -> None:
    url = next(url for url in verdicts.filter(pl.col("verdict") == "kept")["url"] if url.startswith("https://"))
    exact = explain(line.lake, line.recipe.name, url)
    assert {one.verdict["url"] for one in exact} == {url}
    assert explain(line.lake, line.recipe.name, url.replace("https://", "http://") + "#part") == exact
    assert url in alike_urls(line.lake, line.recipe.name, url + "x")


def test_verdicts_hold_what_every_gate_measured(line: Line, verdicts: pl.DataFrame) -> None:
    """Against the columns that the gates read, for every document and gate."""
    gates = {gate.name: gate for _, _, gate in line.recipe.gates}
    frames = [
        pl.read_parquet(line.lake.partition(line.key(name), SAMPLE_SNAPSHOT).paths(".parquet"))
        for name in ("url_matches", "languages", "signals")
    ]
    columns = frames[0].join(frames[1], on="doc").join(frames[2], on="doc")
    measured = {row["doc"]: row for row in columns.iter_rows(named=True)}
    for row in verdicts.iter_rows(named=True):
        if row["station"] == "acquisition":
            assert row["gate_values"] == []
            continue
        assert [one["gate"] for one in row["gate_values"]] == list(gates)
        assert [one["gate"] for one in row["gate_values"] if one["failed"]] == row["failed_gates"]
        for one in row["gate_values"]:
            gate = gates[one["gate"]]
            assert one["limit"] == gate.limit
            assert one["failed"] == COMPARE[gate.operator](one["value"], one["limit"])
            if gate.signal in columns.columns and gate.signal != "language_score":
                assert one["value"] == measured[row["doc"]][gate.signal]


def test_what_was_taken_out_is_what_is_missing(line: Line, verdicts: pl.DataFrame) -> None:
    corpus = pl.read_parquet(line.lake.partition(line.key("corpus"), SAMPLE_SNAPSHOT).paths(".parquet"))
    documents = pl.read_parquet(line.lake.partition(line.key("documents"), SAMPLE_SNAPSHOT).paths(".parquet"))
    edited = 0
    for row in corpus.join(documents.select("doc", extracted="text"), on="doc").head(40).iter_rows(named=True):
        (found,) = [
            one for one in explain(line.lake, line.recipe.name, row["record_id"]) if one.verdict["doc"] == row["doc"]
        ]
        edited += bool(found.edits)
        assert found.corpus_bytes == len(row["text"].encode())
        left = len(row["extracted"].encode()) - sum(
            len(edit.removed) - len(edit.replacement.encode()) for edit in found.edits
        )
        assert left == found.corpus_bytes
        assert found.masks.total() == sum(edit.kind is not None for edit in found.edits)
    assert edited > 5


def test_the_counts_of_a_host_are_those_of_its_records(line: Line, verdicts: pl.DataFrame) -> None:
    documents = pl.read_parquet(line.lake.partition(line.key("documents"), SAMPLE_SNAPSHOT).paths(".parquet"))
    joined = verdicts.join(documents.select("doc", "host"), on="doc")
    parent = pl.col("host").str.extract(r"([^.]+\.[^.]+)$").alias("parent")
    domains = joined.group_by(parent).agg(pl.col("verdict").n_unique(), pl.len()).sort("verdict", "len", "parent")
    domain = domains["parent"][-1]
    below = pl.col("host").str.ends_with(f".{domain}") | (pl.col("host") == domain)
    (found,) = explain_host(line.lake, line.recipe.name, domain)
    own = joined.filter(below)
    assert {one.name: one.documents for one in found.verdicts} == dict(own["verdict"].value_counts().iter_rows())
    assert {one.name: one.documents for one in found.hosts} == dict(own["host"].value_counts().iter_rows())
    failed = own["failed_gates"].explode().drop_nulls().value_counts()
    assert {one.name: one.documents for one in found.gates} == dict(failed.iter_rows())
    assert found.documents == own.height
    for one in found.verdicts:
        assert set(one.samples) <= set(own.filter(pl.col("verdict") == one.name)["url"])
    assert explain_host(line.lake, line.recipe.name, "nobody.example") == []


def test_a_partition_of_an_earlier_version_is_told(line: Line, staged: dict[str, Staged], tmp_path) -> None:
    partition = line.lake.partition(line.key("verdicts"), SAMPLE_SNAPSHOT)
    old = Lake(tmp_path).partition(partition.key, SAMPLE_SNAPSHOT)
    old.folder.mkdir(parents=True)
    old.commit(partition.manifest().model_copy(update={"inputs": {}, "files": []}))
    with pytest.raises(LakeError, match="earlier version"):
        Lake(tmp_path).origin(old, "documents")
