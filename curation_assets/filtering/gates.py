"""Gates: comparisons of columns with limits, a whole column at a time; no text is read.

The tables that gates read are row-aligned, so a gate is arithmetic on one row, and all gates of a part are a matrix:
documents by gates.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from curation_assets.filtering.fineweb2_languages import language_table, median_limits
from curation_assets.filtering.signals import SIGNALS
from curation_assets.filtering.urls import URL_ANNOTATIONS
from curation_assets.lake.parts import read_table
from curation_assets.recipes.recipe import Gate, Recipe

FILTER_VERDICTS = pa.schema(
    [
        ("doc", pa.int64()),
        ("verdict", pa.string()),
        ("station", pa.string()),
        ("position", pa.int32()),
        ("value", pa.float64()),
        ("limit", pa.float64()),
        ("detail", pa.string()),
        ("failed_gates", pa.list_(pa.string())),
    ]
)
GATE_VALUES = pa.list_(
    pa.struct([("gate", pa.string()), ("value", pa.float64()), ("limit", pa.float64()), ("failed", pa.bool_())])
)
"""What every gate measured in a document, in recipe order, with the limit that it was compared with."""

READ_BY_GATES = ("documents", "url_matches", "languages", "signals")
"""Inputs of whoever decides the gates."""

COMPARISONS = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}


class PlacedGate(Gate):
    """A gate with its station and its place in the order of decisions."""

    station: str
    position: int


class GateParameters(BaseModel):
    """The gates in order, and what the computed signals compare with."""

    model_config = ConfigDict(frozen=True)

    consent: tuple[str, ...]
    languages: tuple[str, ...]
    excluded: tuple[str, ...]
    gates: tuple[PlacedGate, ...]


def gate_parameters(recipe: Recipe) -> GateParameters:
    """A recipe's gates in order."""
    return GateParameters(
        consent=recipe.consent,
        languages=recipe.language.languages,
        excluded=recipe.language.excluded,
        gates=tuple(
            PlacedGate(station=station, position=position, **gate.model_dump())
            for position, station, gate in recipe.gates
        ),
    )


class Measured(NamedTuple):
    """What gates compare in the documents of a part: matrices of a row for each document, a column for each gate."""

    values: np.ndarray
    """float64."""
    limits: np.ndarray
    """float64."""
    there: np.ndarray
    """bool: the document has text, and what the gate reads has a value."""
    failed: np.ndarray
    """bool."""


def decisions(inputs: Mapping[str, Path], params: GateParameters) -> pa.Table:
    """What the gates say of one part's documents: one row each, in order, `FILTER_VERDICTS` and `gate_values`.

    The first gate, in recipe order, that a document fails is its verdict; of a document without text, what acquisition
    said is. `gate_values` has every gate with what it measured, those after the first included.

    Raises:
        ValueError: the tables of `READ_BY_GATES` are not those of the same documents in the same order.
    """
    rows = _read(inputs, {gate.signal for gate in params.gates})
    gates = sorted(params.gates, key=lambda gate: gate.position)
    measured = _measure(rows, gates, params)
    failed, there = measured.failed, measured.there
    names = pa.array([gate.name for gate in gates], pa.string())
    # One column more than gates is always true: the first true one is then that of who fails none.
    first = np.column_stack([failed, np.ones(len(failed), np.bool_)]).argmax(axis=1)
    passed = first == len(gates)
    at = (~passed).nonzero()[0], first[~passed]
    # Acquisition has the place after all gates, which its documents, having no text, do not fail.
    decides = pa.array(first, mask=passed & _mask(rows["verdict"].is_null()))
    stations = pa.array([*(gate.station for gate in gates), "acquisition"])
    positions = pa.array([*(gate.position for gate in gates), -1], pa.int32())
    values = [
        names.take(pa.array(there.nonzero()[1])),
        pa.array(measured.values[there]),
        pa.array(measured.limits[there]),
        pa.array(failed[there]),
    ]
    return pa.table(
        [
            rows["doc"],
            pc.call_function("coalesce", [rows["verdict"], names.take(pa.array(first, mask=passed))]),
            stations.take(decides),
            positions.take(decides),
            _placed(measured.values[at], passed),
            _placed(measured.limits[at], passed),
            _detail(rows, stations.take(decides)),
            pa.ListArray.from_arrays(_offsets(failed), names.take(pa.array(failed.nonzero()[1]))),
            pa.ListArray.from_arrays(
                _offsets(there), pa.StructArray.from_arrays(values, fields=list(GATE_VALUES.value_type))
            ),
        ],
        schema=FILTER_VERDICTS.append(pa.field("gate_values", GATE_VALUES)),
    )


def _read(inputs: Mapping[str, Path], signals: set[str]) -> dict[str, pa.Array]:
    """The columns that gates read and that verdicts tell, by name."""
    wanted = {
        "documents": ["verdict", "detail", "consent"],
        "url_matches": ["url_match", *(name for name in URL_ANNOTATIONS.names if name in signals)],
        "languages": ["language", "language_score"],
        "signals": [name for name in SIGNALS.names if name in signals],
    }
    found: dict[str, pa.Array] = {}
    for name, columns in wanted.items():
        table = read_table(inputs[name], ["doc", *columns]).combine_chunks()
        if "doc" in found and not table["doc"].equals(pa.chunked_array([found["doc"]])):
            raise ValueError(f"{inputs[name]} does not hold the documents of {inputs['documents']} in their order")
        found |= {column: table[column].combine_chunks() for column in table.column_names}
    return found


def _measure(rows: Mapping[str, pa.Array], gates: Sequence[PlacedGate], params: GateParameters) -> Measured:
    """Compare what every gate reads with its limit."""
    columns = {
        **rows,
        "opted_out": _opted_out(rows["consent"], params.consent),
        "language_kept": _language_kept(rows["language"], params),
        # A text with no recognisable language has the lowest score there is.
        "language_score": rows["language_score"].fill_null(0),
    }
    shape = len(rows["doc"]), len(gates)
    measured = Measured(np.zeros(shape), np.zeros(shape), np.zeros(shape, np.bool_), np.zeros(shape, np.bool_))
    text = _mask(rows["verdict"].is_null())
    for place, gate in enumerate(gates):
        column = columns[gate.signal]
        there = text & _mask(column.is_valid())
        value = column.cast(pa.float64()).fill_null(0).to_numpy()
        limit = _limit(gate, rows["language"])
        # No number is above NaN, as in SQL.
        failed = COMPARISONS[gate.operator](value, limit) | (np.isnan(value) & gate.operator.startswith(">"))
        for matrix, of_gate in zip(measured, (value, limit, there, failed & there), strict=True):
            matrix[:, place] = of_gate
    return measured


def _limit(gate: PlacedGate, language: pa.Array) -> float | np.ndarray:
    """What a gate compares with: one number, or for each document that of its language, or the usual one."""
    if not isinstance(gate.limit, str):
        return gate.limit
    assert gate.limit_of is not None
    table = language_table()
    row = pc.call_function("index_in", [language], pc.SetLookupOptions(table["language"].combine_chunks()))
    own = table[gate.limit_of].combine_chunks().take(row)
    return own.fill_null(median_limits()[gate.limit_of]).to_numpy()


def _opted_out(consent: pa.ListArray, honoured: Sequence[str]) -> pa.Array:
    """How many of the opt-out signals that are honoured each document has, float64."""
    given = consent.flatten()
    of = pc.call_function("list_parent_indices", [consent]).to_numpy()
    count = np.zeros(len(consent))
    for signal in set(honoured):
        count[of[_among(given, [signal])]] += 1
    return pa.array(count)


def _language_kept(language: pa.Array, params: GateParameters) -> pa.Array:
    """Whether a document's language is one that is kept, float64."""
    kept = _among(language, params.languages) if params.languages else _mask(language.is_valid())
    return pa.array((kept & ~_among(language, params.excluded)).astype(np.float64))


def _detail(rows: Mapping[str, pa.Array], station: pa.Array) -> pa.Array:
    """What matched, in words, by the station that decides."""
    told = {
        "acquisition": rows["detail"],
        "consent": pc.call_function("binary_join", [rows["consent"], ", "]),
        "url_filter": rows["url_match"],
        "language": rows["language"],
    }
    which = pc.call_function("index_in", [station], pc.SetLookupOptions(pa.array(list(told))))
    place = which.fill_null(0).to_numpy() * len(station) + np.arange(len(station))
    return pa.concat_arrays(list(told.values())).take(pa.array(place, mask=_mask(which.is_null())))


def _among(values: pa.Array, names: Sequence[str]) -> np.ndarray:
    """Which of the values, strings, are among the names; null is not."""
    return _mask(pc.call_function("is_in", [values], pc.SetLookupOptions(pa.array(names, pa.string()))))


def _mask(values: pa.Array) -> np.ndarray:
    return values.to_numpy(zero_copy_only=False)


def _placed(values: np.ndarray, missing: np.ndarray) -> pa.Array:
    """The values, float64, with nulls between them where `missing`."""
    placed = np.zeros(len(missing))
    placed[~missing] = values
    return pa.array(placed, mask=missing)


def _offsets(members: np.ndarray) -> pa.Array:
    """Where the list of each row begins and ends that has the true columns of the row."""
    return pa.array(np.concatenate([[0], members.sum(axis=1).cumsum()]), pa.int32())
