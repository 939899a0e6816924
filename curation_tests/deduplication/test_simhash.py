"""Fingerprints against the definition and the theory of angles, block lookup against all pairs."""

import datetime as dt
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.deduplication.clusters import CLUSTERS
from curation_assets.deduplication.shingles import simplified_words
from curation_assets.deduplication.simhash import cluster, fingerprints

Row = tuple[int, int | None, int | None]  # doc, day, fingerprint


def large(texts: Sequence[str | None]) -> pa.LargeStringArray:
    return pa.array(texts, pa.large_string())


def written(folder: Path, parts: Sequence[Sequence[Row]]) -> list[Path]:
    schema = pa.schema([("doc", pa.int64()), ("date", pa.timestamp("us", "UTC")), ("fingerprint", pa.uint64())])
    paths = []
    for i, rows in enumerate(parts):
        rows = [(doc, day and dt.datetime(2025, 1, day, tzinfo=dt.UTC), value) for doc, day, value in rows]
        columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
        paths.append(folder / f"{i}.parquet")
        pq.write_table(pa.table(columns, schema=schema), paths[-1])
    return paths


def all_pairs(rows: Sequence[Row], distance: int) -> list[dict]:
    """Compare all pairs; grow components until they no longer change."""
    rows = [row for row in rows if row[2] is not None]
    label = {doc: doc for doc, _, _ in rows}
    while True:
        before = dict(label)
        for a, _, x in rows:
            for b, _, y in rows:
                if ((x or 0) ^ (y or 0)).bit_count() <= distance:
                    label[a] = label[b] = min(label[a], label[b])
        if label == before:
            break
    days = {doc: day or 99 for doc, day, _ in rows}
    out = []
    for doc in sorted(label):
        members = [other for other in label if label[other] == label[doc]]
        survivor = min(members, key=lambda other: (days[other], other))
        if len(members) > 1:
            size = len(members)
            out.append({"doc": doc, "cluster": survivor, "cluster_size": size, "survivor": doc == survivor})
    return out


@st.composite
def near_values(draw: st.DrawFn) -> list[int | None]:
    """Fingerprints a few bits from one of two others."""
    bases = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=2))
    values: list[int | None] = [None]
    for base in draw(st.lists(st.sampled_from(bases), max_size=14)):
        for bit in draw(st.lists(st.integers(0, 63), max_size=8)):
            base ^= 1 << bit
        values.append(base)
    return values


@settings(deadline=None, max_examples=200)
@given(data=st.data(), values=near_values(), distance=st.integers(1, 4), more=st.integers(1, 4))
def test_block_lookup_finds_what_all_pairs_find(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, values: list[int | None], distance: int, more: int
) -> None:
    rows: list[Row] = [(5 * i, data.draw(st.none() | st.integers(1, 3)), value) for i, value in enumerate(values)]
    parts: list[list[Row]] = [[], []]
    for row in data.draw(st.permutations(rows)):
        parts[data.draw(st.integers(0, 1))].append(row)
    table = cluster(written(tmp_path_factory.mktemp("parts"), parts), distance, distance + more)
    assert table.schema == CLUSTERS
    assert table.to_pylist() == all_pairs(rows, distance)


@pytest.mark.parametrize("blocks", [4, 5, 6])
def test_every_pair_within_three_bits_and_none_beyond(tmp_path: Path, blocks: int) -> None:
    """Pairs of random fingerprints 0 to 6 bits apart: those of 0 to 3 are found."""
    rng = np.random.default_rng(1)
    rows: list[Row] = []
    for i in range(3000):
        value = int(rng.integers(0, 2**64, dtype=np.uint64))
        flipped = sum(1 << int(bit) for bit in rng.permutation(64)[: i % 7])
        rows += [(2 * i, None, value), (2 * i + 1, None, value ^ flipped)]
    table = cluster(written(tmp_path, [rows[::3], rows[1::3], rows[2::3]]), 3, blocks)
    assert table["doc"].to_pylist() == [doc for doc in range(6000) if doc // 2 % 7 <= 3]
    assert set(table["cluster_size"].to_pylist()) == {2}


def test_equal_fingerprints_and_dates(tmp_path: Path) -> None:
    rows: list[Row] = [(1, 2, 7), (2, 1, 7), (3, 1, 7), (4, None, None), (5, None, None), (6, None, 1 << 63)]
    table = cluster(written(tmp_path, [rows[3:], rows[:3]]))
    assert table["doc"].to_pylist() == [1, 2, 3]
    assert table["cluster"].to_pylist() == [2, 2, 2]
    assert cluster(written(tmp_path, [rows]), survivor="latest")["cluster"].to_pylist() == [1, 1, 1]


def test_nothing_to_cluster(tmp_path: Path) -> None:
    assert cluster([]).equals(CLUSTERS.empty_table())
    assert cluster(written(tmp_path, [[], [(1, None, None)]])).equals(CLUSTERS.empty_table())


def test_refused(tmp_path: Path) -> None:
    for distance, blocks in ((3, 3), (0, 4), (3, 65)):
        with pytest.raises(ValueError, match=f"{blocks} blocks for a distance of {distance}"):
            cluster([], distance, blocks)
    (path,) = written(tmp_path, [[(1, None, 1)]])
    with pytest.raises(ValueError, match="doc 1 occurs more than once"):
        cluster([path, path])
    with pytest.raises(ValueError, match="features of 0 words"):
        fingerprints(large(["a"]), 0)


def bits_of(value: int) -> list[int]:
    return [1 if value >> bit & 1 else -1 for bit in range(64)]


@settings(deadline=None, max_examples=80)
@given(
    st.lists(st.none() | st.text(st.sampled_from("abc é中,1 "), max_size=30), max_size=4),
    st.integers(1, 3),
    st.sampled_from([0, 5, 2**64 - 1]),
)
def test_equals_the_definition(texts: list[str | None], ngram: int, seed: int) -> None:
    """The sum over features of weight times sign; a feature's hash is the fingerprint of its text alone."""
    found = fingerprints(large(texts), ngram, seed).to_pylist()
    for text, value in zip(texts, found, strict=True):
        words = simplified_words(large([text]))[0].as_py().split()
        weights = Counter(" ".join(words[i : i + ngram]) for i in range(len(words) - ngram + 1))
        if not weights:
            assert value is None
            continue
        hashes = fingerprints(large(list(weights)), ngram, seed).to_pylist()
        sums = np.array([bits_of(h) for h in hashes]).T @ np.array(list(weights.values()))
        assert value == sum(1 << bit for bit in range(64) if sums[bit] > 0)


def test_hashes_of_features_are_even() -> None:
    """Each bit is set in half of the words' hashes, and another seed gives others."""
    words = large(["".join(chr(97 + i // 26**k % 26) for k in range(3)) for i in range(26**3)])
    values = fingerprints(words).to_numpy()
    share = np.array([bits_of(int(value)) for value in values]).mean(axis=0)
    assert np.abs(share).max() < 4.5 / math.sqrt(26**3)
    assert len(np.unique(values)) == 26**3
    assert not (values == fingerprints(words, seed=1).to_numpy()).any()


@pytest.mark.parametrize("shared", [50, 90, 180, 260, 295])
def test_bits_differ_by_the_angle(shared: int) -> None:
    """E[Hamming] / 64 = angle / pi, for vectors of which some coordinates are shared; weights 1 to 3."""
    pairs, size = 400, 300
    weights = np.arange(size) % 3 + 1
    cosine = (weights[:shared] ** 2).sum() / (weights**2).sum()
    rng = np.random.default_rng(shared)
    texts: list[str | None] = []
    for _ in range(pairs):
        letters = rng.integers(97, 123, (2 * size - shared, 9)).astype(np.uint8)
        names = [bytes(row).decode() for row in letters]
        for own in (names[:size], names[:shared] + names[size:]):
            texts.append(" ".join(word for word, w in zip(own, weights, strict=True) for _ in range(w)))
    values = fingerprints(large(texts)).to_numpy()
    distances = np.bitwise_count(values[::2] ^ values[1::2])
    probability = math.acos(cosine) / math.pi
    # Four standard errors, and the angle is what many features tend to: ties and few features move it by a little.
    error = math.sqrt(probability * (1 - probability) / (64 * pairs))
    assert abs(distances.mean() / 64 - probability) < 4 * error + 0.003


def test_order_of_words_counts_only_in_shingles() -> None:
    a, b = "one two three four five six seven", "seven six five four three two one"
    same = fingerprints(large([a, b]))
    assert same[0] == same[1]
    shingled = fingerprints(large([a, b]), 3)
    assert shingled[0] != shingled[1]


def test_fingerprints_do_not_depend_on_batches() -> None:
    texts = large([f"number {'x' * (i % 97)} says {'y' * (i % 31)}" if i % 7 else None for i in range(700)])
    assert fingerprints(texts)[200:400].equals(fingerprints(texts[200:400]))
