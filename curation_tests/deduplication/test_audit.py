"""The audit against all pairs of small corpora, and against theory on pairs of known Jaccard index."""

import itertools
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation_assets.deduplication import audit as module
from curation_assets.deduplication.audit import CURVE, EDGES, audit
from curation_assets.deduplication.minhash import candidate_probability, sign


def made_texts(pairs: int, words: int, seed: int) -> list[str]:
    """Pairs that share a prefix of unique words, of every Jaccard index."""
    rng = np.random.default_rng(seed)
    texts = []
    for _ in range(pairs):
        names = ["".join(map(chr, 97 + rng.integers(0, 26, 8))) for _ in range(2 * words)]
        shared = int(rng.integers(0, words + 1))
        texts += [" ".join(names[:words]), " ".join(names[:shared] + names[words : 2 * words - shared])]
    return texts


def written(path: Path, texts: list[str], first: int, bands: int, rows: int, sample: float, ngram: int = 1) -> Path:
    signed = sign(pa.array(texts, pa.large_string()), ngram, bands, rows, sample=sample)
    docs = pa.array(range(first, first + len(texts)), pa.int64())
    columns = dict(zip(signed.schema.names, signed.columns, strict=True))
    pq.write_table(pa.table({"doc": docs, **columns}), path)
    return path


def test_equals_all_pairs_of_the_sample(tmp_path: Path) -> None:
    texts = made_texts(300, 30, 1)
    paths = [written(tmp_path / f"{i}.parquet", texts[200 * i : 200 * i + 200], 200 * i, 4, 3, 1.0) for i in range(3)]
    result = audit(paths, 4, 3, 0.7)
    samples = sign(pa.array(texts, pa.large_string()), 1, 4, 3, sample=1.0)
    value, bands = samples["sample"].to_pylist(), samples["bands"].to_pylist()
    sets = [set(text.split()) for text in texts]
    pairs = []
    for i, j in itertools.combinations(range(len(texts)), 2):
        if value[i] == value[j]:
            jaccard = len(sets[i] & sets[j]) / len(sets[i] | sets[j])
            pairs.append((jaccard, any(x == y for x, y in zip(bands[i], bands[j], strict=True))))
    assert len(pairs) > 100
    assert result.pairs == len(pairs)
    assert result.documents == 2 * len(pairs)
    assert result.curve.schema == CURVE
    for row, low, high in zip(result.curve.to_pylist(), EDGES, (*EDGES[1:], 2), strict=True):
        own = [(jaccard, met) for jaccard, met in pairs if low <= jaccard < high]
        assert (row["jaccard"], row["pairs"]) == (low, len(own))
        if own:
            assert row["observed"] == pytest.approx(np.mean([met for _, met in own]))
            assert row["expected"] == pytest.approx(np.mean([candidate_probability(s, 4, 3) for s, _ in own]))
        else:
            assert row["observed"] is row["expected"] is None
    true = sum(1 / s for s, _ in pairs if s >= 0.7)
    assert result.recall == pytest.approx(sum(1 / s for s, met in pairs if s >= 0.7 and met) / true)
    met = sum(1 / s for s, met in pairs if met)
    assert result.false_positives == pytest.approx(sum(1 / s for s, met in pairs if met and s < 0.7) / met)
    assert audit(paths[::-1], 4, 3, 0.7) == result


def test_the_sample_is_fair(tmp_path: Path) -> None:
    """Near-duplicates enter by their Jaccard index, and share a band as often as others do."""
    texts = made_texts(3000, 40, 2)
    path = written(tmp_path / "part.parquet", texts, 0, 14, 8, 1.0)
    result = audit([path], 14, 8, 0.8, most=10_000)
    sizes = [len(set(a.split()) & set(b.split())) for a, b in zip(texts[::2], texts[1::2], strict=True)]
    jaccards = [size / (80 - size) for size in sizes]
    deviation = math.sqrt(sum(s * (1 - s) for s in jaccards))
    assert abs(result.pairs - sum(jaccards)) < 4 * deviation
    for row in result.curve.to_pylist():
        if row["pairs"]:
            variance = row["expected"] * (1 - row["expected"]) / row["pairs"]
            assert abs(row["observed"] - row["expected"]) <= 4 * math.sqrt(variance) + 1e-9
    assert result.recall is not None and result.expected_recall is not None
    assert result.recall == pytest.approx(result.expected_recall, abs=0.02)
    assert result.false_positives == pytest.approx(0.35, abs=0.15)


def test_the_sample_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = made_texts(200, 20, 3)
    path = written(tmp_path / "part.parquet", texts, 0, 4, 3, 1.0)
    whole, some = audit([path], 4, 3), audit([path], 4, 3, most=50)
    assert whole.documents > 100
    assert 48 <= some.documents <= 50
    copies = written(tmp_path / "copies.parquet", ["a b c d"] * 500, 1000, 4, 3, 1.0)
    monkeypatch.setattr(module, "_GROUP", 10)
    assert audit([copies], 4, 3).pairs == 45
    assert audit([copies], 4, 3).curve["pairs"].to_pylist()[-1] == 45


def test_a_share_of_the_documents(tmp_path: Path) -> None:
    texts = ["the same words"] * 4 + ["others, never the same"]
    counts = {audit([written(tmp_path / "part.parquet", texts, 0, 2, 2, s)], 2, 2).pairs for s in (0.0, 1.0)}
    assert counts == {0, 6}


def test_nothing_to_audit(tmp_path: Path) -> None:
    for paths in ([], [written(tmp_path / "part.parquet", ["a b", "c d"], 0, 2, 2, 1.0)]):
        result = audit(paths, 2, 2)
        assert result.pairs == result.documents == 0
        assert result.recall is result.expected_recall is result.false_positives is None
        assert result.curve["observed"].null_count == len(EDGES)


def test_other_parameters_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "part.parquet", ["a b", "a b"], 0, 2, 2, 1.0)
    with pytest.raises(ValueError, match="has 2 bands, not 3"):
        audit([path], 3, 2)
