"""Soft deduplication: common documents get a lower sampling weight, none is removed.

He et al. (2024), "SoftDeDup: an Efficient Data Reweighting Method for Speeding Up Language Model Pre-training". An
n-gram language model is trained on the corpus itself. A document's commonness is the geometric mean of the
probabilities of its words. Its weight falls with it, in classes.

The model is interpolated Kneser-Ney (Kneser and Ney 1995; Chen and Goodman 1999, equation 16) of order 4 with one
absolute discount for each order, over the words of simplified text (`shingles`). Every document begins after three
marks of its beginning. With c an n-gram's count in the highest order, and in lower ones the number of different words
before it, C the sum of c over all words after the context, and N the number of those with c > 0:

    p(w | context) = (max(c(context w) - D, 0) + D * N * p(w | shorter context)) / C

D = n1 / (n1 + 2 n2), where n1 and n2 n-grams of that order have c = 1 and 2; one half where either is none. Below the
single words is the uniform distribution over them and one unknown. A context never seen leaves its probability to the
shorter one.

All orders share one hash table of fixed size. An n-gram is known by 64 bits of hash, of which 32 are stored: two are
taken for one about once in 2**32 look-ups. A word of new text makes about 1.7 new n-grams of 16 bytes each. When the
table is 7/8 full no new n-gram enters: those known go on being counted, and the words of others are judged by
shorter contexts. Only then does the order of documents matter, so parts are read in the order of their docs.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit

from curation_assets.deduplication.hashes.mix64 import GOLDEN, hash_bytes, mix
from curation_assets.deduplication.shingles import separate
from curation_assets.filtering.characters import inner
from curation_assets.lake.parts import read_batches

ORDER = 4

WEIGHTS = pa.schema(
    [
        pa.field("doc", pa.int64(), nullable=False),
        pa.field("commonness", pa.float64()),
        pa.field("weight", pa.float64(), nullable=False),
    ]
)
"""One row for each document, sorted by doc. `commonness` is from 0 to 1, null without words; such a `weight` is 1."""

_BATCH = 256
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_ONE = np.uint64(1)


class LanguageModel(NamedTuple):
    """An n-gram model; see above."""

    table: np.ndarray
    """uint64[cells, 2]: hash << 32 | c of an n-gram, and C << 32 | N of it as a context. The n-gram of no words is
    the empty context. A cell is free where its first number is 0."""
    discounts: np.ndarray
    """float64[ORDER]: D of each order, single words first."""
    seed: int
    """Of the hashes."""
    load: float
    """Share of the cells that are taken."""
    dropped: int
    """Occurrences of words that were not counted because the table was full."""


@inner
def _find(table: np.ndarray, gram: np.uint64) -> int:
    """Cell of an n-gram; if it has none, -1 - the free one that it would get."""
    mask = table.shape[0] - 1
    check = max(gram >> _HALF, _ONE)
    cell = int(np.int64(gram & np.uint64(mask)))
    while table[cell, 0] != np.uint64(0):
        if table[cell, 0] >> _HALF == check:
            return cell
        cell = (cell + 1) & mask
    return -1 - cell


@inner
def _place(table: np.ndarray, gram: np.uint64, state: np.ndarray) -> int:
    """Cell of an n-gram, which gets one if need be."""
    cell = _find(table, gram)
    if cell < 0:
        cell = -1 - cell
        table[cell, 0] = max(gram >> _HALF, _ONE) << _HALF
        state[0] += 1
    return cell


@inner
def _add(table: np.ndarray, cell: int, context: int, counts: np.ndarray) -> bool:
    """Count an n-gram once more after its context; whether that is the first time.

    counts: int64[2], the n-grams of this order with c = 1 and with c = 2.
    """
    count = table[cell, 0] & _LOW
    if count < _LOW and table[context, 1] >> _HALF < _LOW:
        table[cell, 0] += _ONE
        table[context, 1] += _ONE << _HALF
    if count == 0:
        table[context, 1] += _ONE
        counts[0] += 1
    elif count == 1:
        counts[0] -= 1
        counts[1] += 1
    elif count == 2:
        counts[1] -= 1
    return count == 0


@inner
def _longer(gram: np.uint64, word: np.uint64) -> np.uint64:
    """Hash of an n-gram and one more word."""
    return mix((gram ^ GOLDEN) * GOLDEN + word)


@inner
def _beginning(seed: np.uint64) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Hashes of the n-gram of no words, and of one, two and three marks of a document's beginning."""
    empty = mix(seed)
    one = _longer(empty, empty)
    two = _longer(one, one)
    return empty, one, two, _longer(two, one)


@njit(cache=True, nogil=True)
def _count(
    text: np.ndarray,
    starts: np.ndarray,
    first: np.ndarray,
    seed: np.uint64,
    table: np.ndarray,
    state: np.ndarray,
    counts: np.ndarray,
) -> None:
    """Count the n-grams of documents. state: int64[2], cells taken and words dropped; counts: int64[ORDER, 2].

    c of a shorter n-gram grows only when the one that is a word longer is new: that is a new word before it. All
    four have cells or none has, and a context has one wherever an n-gram after it has.
    """
    most = table.shape[0] - (table.shape[0] >> 3) - ORDER
    empty, mark1, mark2, mark3 = _beginning(seed)
    root = _place(table, empty, state)
    for mark in (mark1, mark2, mark3):
        _place(table, mark, state)
    for i in range(first.size - 1):
        one, two, three = mark1, mark2, mark3  # the last one, two and three words
        context1, context2, context3 = _find(table, one), _find(table, two), _find(table, three)
        for k in range(first[i], first[i + 1]):
            word = hash_bytes(text, starts[k], starts[k + 1] - 1, seed)
            new2, new3, new4 = _longer(one, word), _longer(two, word), _longer(three, word)
            # Memory answers four questions at once in little more time than one.
            cell1, cell2 = _find(table, word), _find(table, new2)
            cell3, cell4 = _find(table, new3), _find(table, new4)
            if cell4 < 0 and state[0] > most:
                state[1] += 1
            elif _add(table, _place(table, new4, state), context3, counts[3]):
                cell3 = _place(table, new3, state)
                if _add(table, cell3, context2, counts[2]):
                    cell2 = _place(table, new2, state)
                    if _add(table, cell2, context1, counts[1]):
                        cell1 = _place(table, word, state)
                        _add(table, cell1, root, counts[0])
            one, two, three = word, new2, new3
            context1, context2, context3 = cell1, cell2, cell3


@inner
def _probability(table: np.ndarray, cell: int, context: int, discount: float, shorter: float) -> float:
    """p(w | context), from the cells of the n-gram and its context and from p(w | shorter context)."""
    if context < 0 or table[context, 1] == np.uint64(0):
        return shorter
    count = np.float64(table[cell, 0] & _LOW) if cell >= 0 else 0.0
    follow = np.float64(table[context, 1] & _LOW)
    return (max(count - discount, 0.0) + discount * follow * shorter) / np.float64(table[context, 1] >> _HALF)


@njit(cache=True, nogil=True)
def _score(
    text: np.ndarray,
    starts: np.ndarray,
    first: np.ndarray,
    seed: np.uint64,
    table: np.ndarray,
    discounts: np.ndarray,
    out: np.ndarray,
) -> None:
    """Sum of the logarithms of the probabilities of each document's words."""
    empty, mark1, mark2, mark3 = _beginning(seed)
    root = _find(table, empty)
    uniform = 1.0 / (np.float64(table[root, 1] & _LOW) + 1.0) if root >= 0 else 1.0
    for i in range(first.size - 1):
        one, two, three = mark1, mark2, mark3
        context1, context2, context3 = _find(table, one), _find(table, two), _find(table, three)
        for k in range(first[i], first[i + 1]):
            word = hash_bytes(text, starts[k], starts[k + 1] - 1, seed)
            new2, new3 = _longer(one, word), _longer(two, word)
            cell1, cell2, cell3 = _find(table, word), _find(table, new2), _find(table, new3)
            p = _probability(table, cell1, root, discounts[0], uniform)
            p = _probability(table, cell2, context1, discounts[1], p)
            p = _probability(table, cell3, context2, discounts[2], p)
            p = _probability(table, _find(table, _longer(three, word)), context3, discounts[3], p)
            out[i] += np.log(p)
            one, two, three = word, new2, new3
            context1, context2, context3 = cell1, cell2, cell3


def train(parts: Sequence[Path], cells: int = 1 << 26, seed: int = 0) -> LanguageModel:
    """Train the language model of a corpus.

    Args:
        parts: Parquet files with the columns doc (int64) and text (string, nullable). Their order does not matter.
        cells: of the table, a power of two; 16 bytes of memory each, of which the system gives only what is used.
            2**26 cells, 1 GiB, take about 35 million words of text.
        seed: of the hashes, from 0 to 2**64 - 1.

    Raises:
        ValueError: `cells` is not a power of two, or less than 64.
    """
    if cells < 64 or cells & (cells - 1):
        raise ValueError(f"{cells} cells are not a power of two from 64 on")
    table = np.zeros((cells, 2), np.uint64)
    state = np.zeros(2, np.int64)
    counts = np.zeros((ORDER, 2), np.int64)
    for part in _in_order(parts):
        for batch in read_batches(part, ["text"], _BATCH):
            words = separate(batch.column("text").cast(pa.large_string()))
            _count(words.text, words.starts, words.first, np.uint64(seed), table, state, counts)
    n1, n2 = counts.T
    discounts = np.where((n1 > 0) & (n2 > 0), n1 / np.maximum(n1 + 2 * n2, 1), 0.5)
    return LanguageModel(table, discounts, seed, float(state[0]) / cells, int(state[1]))


def _in_order(parts: Sequence[Path]) -> list[Path]:
    """Parts that have rows, by their first doc."""
    found = [(batch.column("doc")[0].as_py(), part) for part in parts for batch in _first_batch(part)]
    return [part for _, part in sorted(found)]


def _first_batch(part: Path) -> list[pa.RecordBatch]:
    return [batch for _, batch in zip(range(1), read_batches(part, ["doc"], 1), strict=False) if batch.num_rows]


def commonness(texts: pa.LargeStringArray, model: LanguageModel) -> tuple[np.ndarray, np.ndarray]:
    """How common texts are in a model's corpus.

    Returns the geometric mean of the probabilities of each text's words (float64[n], NaN without any), and their
    number (int64[n]).
    """
    words = separate(texts)
    logs = np.zeros(len(texts))
    _score(words.text, words.starts, words.first, np.uint64(model.seed), model.table, model.discounts, logs)
    sizes = np.diff(words.first)
    return np.exp(np.divide(logs, sizes, out=np.full(len(texts), np.nan), where=sizes > 0)), sizes


def weights(common: np.ndarray, tokens: np.ndarray, classes: int = 20, cap: float = 10.0) -> np.ndarray:
    """Sampling weights (float64[n]) that fall with commonness and keep the number of tokens.

    Documents are put in classes of about equally many tokens by commonness, equal ones in the same class. The weight
    of a class is inverse to the geometric mean of its commonness, by tokens; weights below 1/cap of the largest are
    raised to that. All are then multiplied so that sum(weights * tokens) is sum(tokens).

    Args:
        common: float64[n], above 0; NaN for documents that have no commonness and get weight 1.
        tokens: int64[n], the size of each document in any unit; 0 or more.
        classes: how many; the ends of one may meet, so that there can be fewer.
        cap: largest ratio of two weights, 1 or more.

    Raises:
        ValueError: `classes` or `cap` is less than 1.
    """
    if classes < 1 or cap < 1:
        raise ValueError(f"{classes} classes with a cap of {cap}: both are 1 or more")
    out = np.ones(common.size)
    valid = ~np.isnan(common) & (tokens > 0)
    sizes = tokens[valid]
    if not sizes.size:
        return out
    values, number = np.unique(common[valid], return_inverse=True)
    below = np.concatenate(([0.0], np.cumsum(np.bincount(number, sizes))))
    _, of_value = np.unique(np.floor(below[:-1] * classes / below[-1]), return_inverse=True)
    own = of_value[number]
    mean = np.bincount(own, np.log(values)[number] * sizes) / np.bincount(own, sizes)
    raw = np.exp(mean.min() - mean)
    raw = np.maximum(raw, 1 / cap)[own]
    out[valid] = raw * (sizes.sum() / (raw * sizes).sum())
    return out


def weigh(parts: Sequence[Path], cells: int = 1 << 26, seed: int = 0, classes: int = 20, cap: float = 10.0) -> pa.Table:
    """Weigh the documents of a corpus by how common they are in it.

    Trains on `parts` (see `train`, and there for what they hold), scores them, and turns scores into `weights`, with
    words as tokens. Texts are read twice. Memory besides the model: 24 bytes for each document, and one batch.

    Returns:
        A table of schema WEIGHTS.

    Raises:
        ValueError: see `train` and `weights`; or a doc occurs twice.
    """
    model = train(parts, cells, seed)
    docs, common, sizes = [np.empty(0, np.int64)], [np.empty(0)], [np.empty(0, np.int64)]
    for part in parts:
        for batch in read_batches(part, ["doc", "text"], _BATCH):
            scored = commonness(batch.column("text").cast(pa.large_string()), model)
            for column, values in zip((docs, common, sizes), (batch.column("doc").to_numpy(), *scored), strict=True):
                column.append(values)
    doc, score, words = (np.concatenate(column) for column in (docs, common, sizes))
    order = np.argsort(doc, kind="stable")
    doc, score, words = doc[order], score[order], words[order]
    if np.any(doc[1:] == doc[:-1]):
        raise ValueError(f"doc {doc[:-1][doc[1:] == doc[:-1]][0]} occurs more than once in the parts")
    columns = [doc, pa.array(score, mask=np.isnan(score)), weights(score, words, classes, cap)]
    return pa.table(columns, schema=WEIGHTS)
