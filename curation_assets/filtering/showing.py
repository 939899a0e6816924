"""What the stations of filtering show of their data."""

import operator
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from curation_assets.filtering.pii import EMAIL_REPLACEMENTS, IP_REPLACEMENTS, find_pii
from curation_assets.filtering.survivors import Edits, read_texts
from curation_assets.lake.parts import ROW_BITS, read_table
from curation_assets.lake.station import Inputs, Staged
from curation_assets.pictures import (
    Bars,
    Histogram,
    Multiples,
    Shown,
    compared_texts,
    counts_of,
    histogram_of,
    sample,
)
from curation_assets.recipes.recipe import Gate

EXAMPLES = 3
"""Texts shown before and after."""
EXAMPLE_PARTS, EXAMPLE_ROWS = 16, 4096
"""Parts, and the rows of each, that examples are looked for in."""
REPLACEMENTS = frozenset({*EMAIL_REPLACEMENTS, *IP_REPLACEMENTS})
PANELS = 30
OPERATORS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
COUNTS = frozenset({"words", "words_nonsymbol", "characters", "lines", "long_lines", "c4_sentences", "clean_lines"})
"""Signals without an upper bound, shown on a logarithmic axis."""


def show_url_matches(staged: Staged) -> Shown:
    """How many URLs each kind of list matched."""
    columns = ["url_domain_listed", "url_hard_words", "url_soft_words", "url_subwords"]
    looked = sample(staged.paths(), [*columns, "url_domain_category"])
    matched = {name: int(np.count_nonzero(looked[name].fill_null(0).to_numpy())) for name in columns}
    categories = counts_of(looked["url_domain_category"].drop_null())
    return Shown({"matches": Bars({"URLs looked at": looked.num_rows, **matched}), "listed_domains": categories})


def show_languages(staged: Staged) -> Shown:
    """Shares of the languages, and how sure the model is."""
    looked = sample(staged.paths(), ["language", "language_score"])
    scores = looked["language_score"].drop_null().to_numpy()
    return Shown(
        {
            "languages": counts_of(looked["language"].cast(pa.string())),
            "scores": histogram_of(scores, "language score", log=False),
        }
    )


def show_signals(staged: Staged, gates: Sequence[Gate]) -> Shown:
    """The signals that the recipe has gates for, with their limits, then others."""
    limits: dict[str, list[float]] = {}
    for gate in gates:
        limits.setdefault(gate.signal, []).extend([gate.limit] if isinstance(gate.limit, float) else [])
    assert staged.station.schema is not None
    measured = [f.name for f in staged.station.schema if pa.types.is_floating(f.type) or pa.types.is_integer(f.type)]
    named = [name for name in limits if name in measured]
    shown = (named + [name for name in measured if name not in named and name != "doc"])[:PANELS]
    looked = sample(staged.paths(), shown)
    panels: dict[str, Histogram] = {}
    for name in shown:
        values = looked[name].drop_null().to_numpy().astype(np.float64)
        panels[name] = histogram_of(values, name, log=name in COUNTS, limits=tuple(limits.get(name, ())))
    beyond = {gate.name: _share_beyond(looked, gate) for gate in gates if gate.signal in shown}
    failing = dict(sorted(beyond.items(), key=lambda one: (-one[1], one[0])))
    return Shown({"share_beyond_limit": Bars(failing, "{:.2%}"), "signals": Multiples(panels)})


def _share_beyond(looked: pa.Table, gate: Gate) -> float:
    """Share of the documents that a gate would drop if it were the only one; 0 for a limit that depends on more."""
    if not isinstance(gate.limit, float) or not looked.num_rows:
        return 0.0
    failed = OPERATORS[gate.operator](looked[gate.signal].drop_null().to_numpy(), gate.limit)
    return float(np.count_nonzero(failed) / looked.num_rows)


def show_edits(staged: Staged, edits: Edits) -> Shown:
    """Bytes that the edits touch, and texts before and after.

    Args:
        staged: a station whose table has `doc` and, in its second column, edits.
        edits: those before it, as its parameters have them.
    """
    assert staged.station.schema is not None
    column = staged.station.schema.names[1]
    looked = sample(staged.paths(), ["doc", column])
    spans = looked[column].combine_chunks()
    flat = spans.flatten()
    sizes = flat.field("end").to_numpy().astype(np.int64) - flat.field("start").to_numpy()
    touched = int(np.count_nonzero(spans.value_lengths().fill_null(0).to_numpy()))
    plots = {
        "documents": Bars({"looked at": looked.num_rows, "edited": touched}),
        "bytes_replaced": histogram_of(sizes, "bytes that are replaced", of="edits"),
    }
    if "kind" in [field.name for field in flat.type]:
        plots["kinds"] = counts_of(flat.field("kind"))
    return Shown(plots, texts=_examples(staged, edits, ((staged.station.name, column),)))


def _examples(staged: Staged, before: Edits, own: Edits) -> str:
    """The first edited texts of the first part that has any near its beginning, before and after its own edits."""
    for path in staged.paths()[:EXAMPLE_PARTS]:
        table = read_table(path, ["doc", own[0][1]])
        docs, edited = table["doc"].to_numpy(), table[own[0][1]].combine_chunks().value_lengths().fill_null(0)
        docs = docs[(edited.to_numpy() > 0) & (rows_of_part(docs) < EXAMPLE_ROWS)][:EXAMPLES]
        if len(docs):
            return before_and_after(staged, path.name, docs, before, (*before, *own))
    return ""


def rows_of_part(docs: np.ndarray) -> np.ndarray:
    """Row numbers inside their part."""
    return docs & ((1 << ROW_BITS) - 1)


def before_and_after(staged: Staged, part: str, docs: np.ndarray, before: Edits, after: Edits) -> str:
    """Some documents of a part as they are with some edits and with others, as Markdown."""
    inputs: Inputs = {
        **{name: partition.folder / part for name, partition in staged.inputs.items()},
        staged.station.name: next(path for path in staged.paths() if path.name == part),
    }
    last = int(rows_of_part(docs).max())
    pair = [
        {
            doc: (url, text)
            for batch in read_texts(inputs, edits, docs, ("url",), rows=last + 1)
            for doc, url, text in zip(*(batch[name].to_pylist() for name in ("doc", "url", "text")), strict=True)
        }
        for edits in (before, after)
    ]
    old, new = pair
    return compared_texts(
        [(url or str(doc), blacked_out(text), blacked_out(new[doc][1])) for doc, (url, text) in old.items()]
    )


def blacked_out(text: str) -> str:
    """A text with its personal data made unreadable, but for what stands for masked ones.

    Dagster's event log keeps what it is told, also when the lake forgets a document.
    """
    data = text.encode()
    parts, end = [], 0
    for span in find_pii(pa.array([text], pa.large_string()), email=True, public_ip=True)[0].as_py():
        found = data[span["start"] : span["end"]].decode()
        parts += [data[end : span["start"]].decode(), found if found in REPLACEMENTS else "█" * len(found)]
        end = span["end"]
    return "".join([*parts, data[end:].decode()])
