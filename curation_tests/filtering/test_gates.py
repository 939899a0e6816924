"""Gates: against the same rules written out for one document and one gate after the other."""

import math
import operator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation_assets.filtering.fineweb2_languages import language_table, median_limits
from curation_assets.filtering.gates import FILTER_VERDICTS, GATE_VALUES, GateParameters, PlacedGate, decisions

HELD = {
    "documents": {
        "verdict": pa.string(),
        "detail": pa.string(),
        "consent": pa.list_(pa.string()),
    },
    "url_matches": {"url_match": pa.string(), "url_soft_words": pa.int32()},
    "languages": {"language": pa.string(), "language_score": pa.float32()},
    "signals": {"words": pa.int64(), "dup_line_frac": pa.float64(), "list_ratio": pa.float64()},
}
COMPARED = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}

SIGNS = ("noai", "noimageai", "tdm-reservation")
numbers = st.one_of(st.none(), st.sampled_from([0.0, 0.25, 0.5, 1.0, math.inf, math.nan]), st.floats(width=32))
counts = st.integers(0, 3)
documents = st.fixed_dictionaries(
    {
        "verdict": st.sampled_from([None, None, None, "empty_text"]),
        "detail": st.sampled_from([None, "why"]),
        "consent": st.one_of(st.none(), st.lists(st.sampled_from(SIGNS), max_size=4)),
        "url_match": st.sampled_from([None, "word"]),
        "url_soft_words": counts,
        "language": st.sampled_from([None, "fra_Latn", "xxx_Latn", "en"]),
        "language_score": st.sampled_from([0.0, 0.25, 1.0]),
        "words": st.one_of(st.none(), counts),
        "dup_line_frac": numbers,
        "list_ratio": numbers,
    }
)
gates = st.builds(
    dict,
    station=st.sampled_from(["consent", "url_filter", "language", "quality"]),
    signal=st.sampled_from(
        ["opted_out", "url_soft_words", "language_kept", "language_score", "words", "dup_line_frac", "list_ratio"]
    ),
    operator=st.sampled_from(list(COMPARED)),
    limit=st.one_of(
        st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0]),
        st.sampled_from(["language.dup_line_frac", "language.new_line_ratio"]),
    ),
)
some = st.sets(st.sampled_from(["en", "fra_Latn", "xxx_Latn"])).map(lambda names: tuple(sorted(names)))


def parts(folder: Path, rows: list[dict[str, Any]]) -> dict[str, Path]:
    """The tables that gates read, of some documents."""
    inputs = {}
    for name, columns in HELD.items():
        doc = pa.array([3 << 32 | row for row in range(len(rows))], pa.int64())
        table = {"doc": doc, **{one: pa.array([row[one] for row in rows], kind) for one, kind in columns.items()}}
        inputs[name] = folder / f"{name}.parquet"
        pq.write_table(pa.table(table), inputs[name], row_group_size=3)
    return inputs


def parameters(rules: list[dict[str, Any]], languages: tuple[str, ...], excluded: tuple[str, ...]) -> GateParameters:
    # Positions of methods lie between those of gates.
    placed = [PlacedGate(name=f"gate_{at}", position=2 * at, **rule) for at, rule in enumerate(rules)]
    return GateParameters(
        consent=("noai", "tdm-reservation"), languages=languages, excluded=excluded, gates=tuple(placed)
    )


def measured(gate: PlacedGate, row: dict[str, Any], params: GateParameters) -> float | None:
    match gate.signal:
        case "opted_out":
            return float(len(set(row["consent"] or ()) & set(params.consent)))
        case "language_kept":
            language = row["language"]
            named = not params.languages or language in params.languages
            return float(language is not None and named and language not in params.excluded)
    value = row[gate.signal]
    return None if value is None else float(value)


def limit(gate: PlacedGate, language: str | None) -> float:
    if gate.limit_of is None:
        return float(gate.limit)
    own = dict(zip(*(language_table()[name].to_pylist() for name in ("language", gate.limit_of)), strict=True))
    return own.get(language, median_limits()[gate.limit_of])


def fails(gate: PlacedGate, value: float, bound: float) -> bool:
    """No number is above NaN."""
    return gate.operator.startswith(">") if math.isnan(value) else COMPARED[gate.operator](value, bound)


def expected(row: dict[str, Any], doc: int, params: GateParameters) -> dict[str, Any]:
    values = []
    for gate in params.gates:
        value = measured(gate, row, params)
        if row["verdict"] is None and value is not None:
            bound = limit(gate, row["language"])
            values.append({"gate": gate.name, "value": value, "limit": bound, "failed": fails(gate, value, bound)})
    failed = [one for one in values if one["failed"]]
    decided = {"doc": doc, **dict.fromkeys(("verdict", "station", "position", "value", "limit", "detail"))}
    if row["verdict"] is not None:
        decided |= {"verdict": row["verdict"], "station": "acquisition", "position": -1, "detail": row["detail"]}
    elif failed:
        (gate,) = [gate for gate in params.gates if gate.name == failed[0]["gate"]]
        told = {
            "consent": None if row["consent"] is None else ", ".join(row["consent"]),
            "url_filter": row["url_match"],
            "language": row["language"],
        }
        decided |= {"verdict": gate.name, "station": gate.station, "position": gate.position}
        decided |= {"value": failed[0]["value"], "limit": failed[0]["limit"], "detail": told.get(gate.station)}
    return {**decided, "failed_gates": [one["gate"] for one in failed], "gate_values": values}


@given(st.lists(documents, max_size=8), st.lists(gates, max_size=6), some, some)
def test_gates_decide_as_written_out(
    rows: list[dict[str, Any]], rules: list[dict[str, Any]], languages: tuple[str, ...], excluded: tuple[str, ...]
) -> None:
    params = parameters(rules, languages, excluded)
    with TemporaryDirectory() as folder:
        found = decisions(parts(Path(folder), rows), params)
    assert found.schema == FILTER_VERDICTS.append(pa.field("gate_values", GATE_VALUES))
    found.validate(full=True)
    # As text, because NaN is unlike itself.
    assert repr(found.to_pylist()) == repr([expected(row, 3 << 32 | at, params) for at, row in enumerate(rows)])


ROW = {
    "verdict": None,
    "detail": None,
    "consent": ["noai"],
    "url_match": None,
    "url_soft_words": 0,
    "language": "fra_Latn",
    "language_score": 0.5,
    "words": 2,
    "dup_line_frac": 0.0,
    "list_ratio": 0.0,
}


@pytest.mark.parametrize("name", ["url_matches", "languages", "signals"])
def test_tables_of_other_documents_are_an_error(tmp_path: Path, name: str) -> None:
    inputs = parts(tmp_path, [ROW, ROW])
    table = pq.read_table(inputs[name])
    params = parameters([], (), ())
    for wrong in (table.slice(1), table.take([1, 0]), pa.concat_tables([table, table])):
        pq.write_table(wrong, inputs[name])
        with pytest.raises(ValueError, match=rf"{name}.parquet does not hold the documents of .*documents.parquet"):
            decisions(inputs, params)


def test_the_order_of_gates_is_that_of_their_positions(tmp_path: Path) -> None:
    params = parameters(
        [{"station": "s", "signal": "words", "operator": ">", "limit": at} for at in (0.0, 1.0)], (), ()
    )
    turned = params.model_copy(update={"gates": params.gates[::-1]})
    inputs = parts(tmp_path, [ROW])
    assert decisions(inputs, turned).equals(decisions(inputs, params))
    assert decisions(inputs, turned)["verdict"].to_pylist() == ["gate_0"]
