"""A record's life as it was decided, whatever the recipe says by now."""

import operator
from datetime import UTC, datetime

import polars as pl
import pyarrow as pa
import pytest

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.lake.lake import Lake, LakeError
from curation_assets.lake.query import query
from curation_assets.lake.station import Staged
from curation_assets.line import Line
from curation_assets.provenance.explain import explain, record_name

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
        (found,) = explain(line, row["record_id"])
        assert found.without_text == (row["station"] == "acquisition")
        if found.without_text:
            assert (found.gates, found.annotations) == ([], {})
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
    assert explain(today, kept) == explain(line, kept)
    limits = {gate.gate: gate.limit for gate in explain(today, kept)[0].gates}
    assert (limits["gopher_short_doc"], limits["language_score"]) == (50, 0.65)


@pytest.mark.parametrize("form", ["<urn:uuid:{}>", "urn:uuid:{}", "{}", "<{}>", " {} "])
@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_a_record_id_in_any_form(line: Line, verdicts: pl.DataFrame, form: str, case) -> None:
    record = verdicts["record_id"][3]
    bare = record.removeprefix("<urn:uuid:").removesuffix(">")
    (found,) = explain(line, case(form.format(bare)))
    assert found.verdict["record_id"] == record


def test_what_is_no_uuid_is_left_as_it_is() -> None:
    assert record_name("<urn:sha1:ABC>") == "urn:sha1:abc"
    assert record_name("https://a.example/") == "https://a.example/"


def test_all_records_of_a_url_are_found() -> None:
    verdicts = pa.table(
        {
            "doc": [1, 2, 3],
            "url": ["https://a.example/", "https://b.example/", "https://a.example/"],
            "record_id": ["<urn:uuid:1>", "<urn:uuid:2>", "urn:uuid:3"],
            "verdict": ["kept", "kept", "minhash_duplicate"],
            "detail": pa.nulls(3, pa.string()),
            "duplicate_of": pa.array([None, None, 1], pa.int64()),
        }
    )
    copied = ("warc_file", "warc_offset", "warc_length", "http_status", "html_bytes", "title", "consent")
    documents = pa.table(
        {"doc": [1, 2, 3], "date": [datetime(2000, 1, 3, tzinfo=UTC)] * 3} | dict.fromkeys(copied, [None] * 3)
    )
    views = {"verdicts": verdicts, "documents": documents}

    def docs(name: str) -> list[int]:
        return query("provenance/explain", views, {"name": name, "record": record_name(name)})["doc"].to_pylist()

    assert docs("https://a.example/") == [1, 3]
    assert docs("<urn:uuid:3>") == [3]
    assert docs("URN:UUID:1") == [1]


def test_a_partition_of_an_earlier_version_is_told(line: Line, staged: dict[str, Staged], tmp_path) -> None:
    partition = line.lake.partition(line.key("verdicts"), SAMPLE_SNAPSHOT)
    old = Lake(tmp_path).partition(partition.key, SAMPLE_SNAPSHOT)
    old.folder.mkdir(parents=True)
    old.commit(partition.manifest().model_copy(update={"inputs": {}}))
    with pytest.raises(LakeError, match="earlier version"):
        Lake(tmp_path).origin(old, "documents")
