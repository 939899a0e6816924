"""The language model against one in dictionaries, and weights against what they promise."""

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.deduplication.shingles import simplified_words
from curation_assets.deduplication.soft import WEIGHTS, commonness, train, weigh, weights

Row = tuple[int, str | None]
CELLS = 1 << 12


def large(texts: Sequence[str | None]) -> pa.LargeStringArray:
    return pa.array(texts, pa.large_string())


def written(folder: Path, parts: Sequence[Sequence[Row]]) -> list[Path]:
    schema = pa.schema([("doc", pa.int64()), ("text", pa.large_string())])
    paths = []
    for i, rows in enumerate(parts):
        columns = [list(column) for column in zip(*rows, strict=True)] or [[], []]
        paths.append(folder / f"{i}.parquet")
        pq.write_table(pa.table(columns, schema=schema), paths[-1])
    return paths


def words_of(text: str | None) -> list[str]:
    return simplified_words(large([text]))[0].as_py().split()


class Reference:
    """Interpolated Kneser-Ney of order 4, from sets of n-grams."""

    def __init__(self, texts: Sequence[str | None]) -> None:
        highest: Counter[tuple[str, ...]] = Counter()
        for text in texts:
            words = ["<s>"] * 3 + words_of(text)
            highest.update(tuple(words[i : i + 4]) for i in range(len(words) - 3))
        self.counts = {4: dict(highest)}
        for order in (3, 2, 1):
            before = defaultdict(set)
            for gram in self.counts[order + 1]:
                before[gram[1:]].add(gram[0])
            self.counts[order] = {gram: len(words) for gram, words in before.items()}
        self.discount = {}
        for order, counts in self.counts.items():
            n1, n2 = (list(counts.values()).count(n) for n in (1, 2))
            self.discount[order] = n1 / (n1 + 2 * n2) if n1 and n2 else 0.5

    def probability(self, context: tuple[str, ...], word: str) -> float:
        order = len(context) + 1
        counts = self.counts[order]
        if context:
            shorter = self.probability(context[1:], word)
        else:
            shorter = 1 / (len(self.counts[1]) + 1)
        after = [count for gram, count in counts.items() if gram[:-1] == context]
        if not after:
            return shorter
        discount = self.discount[order]
        own = max(counts.get((*context, word), 0) - discount, 0)
        return (own + discount * len(after) * shorter) / sum(after)

    def commonness(self, text: str | None) -> float:
        words = ["<s>"] * 3 + words_of(text)
        logs = [math.log(self.probability(tuple(words[i - 3 : i]), words[i])) for i in range(3, len(words))]
        return math.exp(sum(logs) / len(logs)) if logs else math.nan


TEXTS = st.lists(st.none() | st.text(st.sampled_from("abc  é,1"), max_size=25), max_size=8)


@settings(deadline=None, max_examples=100)
@given(data=st.data(), texts=TEXTS, others=TEXTS, seed=st.sampled_from([0, 3, 2**64 - 1]))
def test_equals_dictionaries_in_any_order(
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    texts: list[str | None],
    others: list[str | None],
    seed: int,
) -> None:
    parts: list[list[Row]] = [[], []]
    for row in data.draw(st.permutations(list(enumerate(texts)))):
        parts[data.draw(st.integers(0, 1))].append(row)
    model = train(written(tmp_path_factory.mktemp("parts"), parts), CELLS, seed)
    assert model.dropped == 0
    found, sizes = commonness(large(texts + others), model)
    reference = Reference(texts)
    assert found.tolist() == pytest.approx([reference.commonness(text) for text in texts + others], nan_ok=True)
    assert sizes.tolist() == [len(words_of(text)) for text in texts + others]


def test_probabilities_sum_to_one() -> None:
    """Over the vocabulary and one unknown word, in any context: what makes the reference a language model."""
    texts = ["a b c d a b d", "a b c c a", "d d d b a c"]
    reference = Reference(texts)
    for context in (("a", "b", "c"), ("<s>", "<s>", "a"), ("d", "d", "d"), ("x", "y", "z"), ("x", "a", "b")):
        assert sum(reference.probability(context, word) for word in [*"abcd", "unknown"]) == pytest.approx(1)


def corpus(documents: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    names = ["".join(chr(97 + int(c)) for c in rng.integers(0, 26, 5)) for _ in range(2000)]
    return [" ".join(names[min(r, 1999)] for r in rng.zipf(1.3, int(n))) for n in rng.integers(20, 200, documents)]


def test_the_more_copies_the_lower_the_weight(tmp_path: Path) -> None:
    texts = corpus(120, 1)
    found = []
    for copies in (1, 2, 3, 5, 8, 13, 30):
        rows = list(enumerate(texts + texts[:1] * (copies - 1)))
        table = weigh(written(tmp_path, [rows[:50], rows[50:]]), 1 << 17, classes=1000, cap=1e6)
        found.append((table["commonness"][0].as_py(), table["weight"][0].as_py()))
        assert len(set(table.slice(120)["weight"].to_pylist()) | {found[-1][1]}) == 1
    assert all(before[0] < after[0] and before[1] > after[1] for before, after in itertools.pairwise(found))
    assert found[0][0] < 0.9 * found[-1][0]


def test_copies_move_to_lower_classes_by_default(tmp_path: Path) -> None:
    texts = corpus(300, 2)
    once = weigh(written(tmp_path, [list(enumerate(texts))]), 1 << 18)
    copied = weigh(written(tmp_path, [list(enumerate(texts + texts[:1] * 9))]), 1 << 18)
    assert copied["weight"][0].as_py() < 0.8 * once["weight"][0].as_py()
    assert copied["weight"][0].as_py() == min(copied["weight"].to_pylist())


@settings(deadline=None, max_examples=200)
@given(
    documents=st.lists(
        st.tuples(st.floats(1e-9, 1.0) | st.sampled_from([0.25, 0.5, math.nan]), st.integers(0, 1000)), max_size=40
    ),
    classes=st.integers(1, 30),
    cap=st.floats(1, 1000),
)
def test_weights_are_monotone_capped_and_keep_the_tokens(
    documents: list[tuple[float, int]], classes: int, cap: float
) -> None:
    common = np.array([value for value, _ in documents])
    tokens = np.array([size for _, size in documents], np.int64)
    found = weights(common, tokens, classes, cap)
    judged = ~np.isnan(common) & (tokens > 0)
    assert (found[~judged] == 1).all()
    assert (found * tokens).sum() == pytest.approx(tokens.sum())
    if judged.any():
        ordered = found[judged][np.argsort(common[judged])]
        assert (ordered[1:] <= ordered[:-1]).all()
        assert ordered[0] / ordered[-1] <= cap * (1 + 1e-9)
        assert len(set(found[judged].tolist())) <= classes
        for value in set(common[judged].tolist()):
            assert len(set(found[judged & (common == value)].tolist())) == 1


def test_weights_are_inverse_to_commonness() -> None:
    common, tokens = np.array([0.4, 0.1, 0.2, 0.8]), np.full(4, 10)
    assert weights(common, tokens, 4, 100) == pytest.approx(np.array([2, 8, 4, 1]) * 4 / 15)
    # Two classes: geometric means 0.02 ** 0.5 and 0.32 ** 0.5, a ratio of 4. A cap of 2 halves it.
    assert weights(common, tokens, 2, 100) == pytest.approx(np.array([1, 4, 4, 1]) * 4 / 10)
    assert weights(common, tokens, 2, 2) == pytest.approx(np.array([1, 2, 2, 1]) * 4 / 6)
    assert weights(common, tokens, 1, 2).tolist() == [1, 1, 1, 1]
    # A long document fills several classes: 0.1 and 0.2 are in the first, 0.4 and 0.8 in the last.
    found = weights(common, np.array([1, 1, 100, 1]), 4, 100)
    assert found[0] == found[3] < found[1] == found[2]


def test_table(tmp_path: Path) -> None:
    rows: list[Row] = [(7, "one two three"), (3, None), (5, "…"), (1, "four five one two three")]
    table = weigh(written(tmp_path, [rows[:2], [], rows[2:]]), CELLS)
    assert table.schema == WEIGHTS
    assert table["doc"].to_pylist() == [1, 3, 5, 7]
    assert [value is None for value in table["commonness"].to_pylist()] == [False, True, True, False]
    assert table["weight"][1].as_py() == table["weight"][2].as_py() == 1
    assert table.equals(weigh(written(tmp_path, [rows[2:], rows[:2]]), CELLS))
    assert weigh([], CELLS).equals(WEIGHTS.empty_table())


def test_a_full_table_bounds_memory(tmp_path: Path) -> None:
    """What is dropped is counted; probabilities stay probabilities, and parts may still come in any order."""
    texts = corpus(60, 3)
    rows = list(enumerate(texts))
    found = []
    for parts in ([rows[:20], rows[20:]], [rows[20:], rows[:20]]):
        paths = written(tmp_path, parts)
        model = train(paths, 1024)
        assert model.dropped > 0
        assert model.load <= 7 / 8
        found.append(weigh(paths, 1024))
    assert found[0].equals(found[1])
    common = found[0]["commonness"].to_numpy()
    assert ((common > 0) & (common <= 1)).all()


def test_nothing_learnt() -> None:
    model = train([], CELLS)
    found, sizes = commonness(large(["a b c", ""]), model)
    assert found[0] == 1
    assert np.isnan(found[1])
    assert sizes.tolist() == [3, 0]


def test_refused(tmp_path: Path) -> None:
    for cells in (1000, 32):
        with pytest.raises(ValueError, match=f"{cells} cells"):
            train([], cells)
    for classes, cap in ((0, 2.0), (2, 0.5)):
        with pytest.raises(ValueError, match="1 or more"):
            weights(np.ones(1), np.ones(1, np.int64), classes, cap)
    (path,) = written(tmp_path, [[(1, "a b")]])
    with pytest.raises(ValueError, match="doc 1 occurs more than once"):
        weigh([path, path], CELLS)


def test_a_huge_line(tmp_path: Path) -> None:
    paths = written(tmp_path, [[(1, "x" * 5_000_000), (2, "a b " * 500_000), (3, "\x00")]])
    common = weigh(paths, 1 << 12)["commonness"].to_pylist()
    assert common[1] > 0.9
    assert common[2] is None
