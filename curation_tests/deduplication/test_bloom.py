"""The Bloom filter against its theory, and deduplication against a Python set."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.deduplication import bloom as module
from curation_assets.deduplication.bloom import (
    REMOVALS,
    WINDOWS,
    BloomFilter,
    Level,
    count_windows,
    deduplicate,
    windows,
)
from curation_assets.filtering.edits import apply_edits, as_edits
from curation_assets.filtering.words import words
from curation_assets.lake.parts import PartWriter, read_batches

Row = tuple[int, str | None]


def hashed(folder: Path, parts: Sequence[Sequence[Row]], ngram: int, seed: int = 0) -> list[Path]:
    """Arrow files of the windows of parts, as a station writes them."""
    schema = pa.schema([("doc", pa.int64()), ("text", pa.large_string())])
    paths = []
    for i, rows in enumerate(parts):
        source = folder / f"{i}.parquet"
        columns = [list(column) for column in zip(*rows, strict=True)] or [[], []]
        pq.write_table(pa.table(columns, schema=schema), source)
        paths.append(source.with_suffix(".arrow"))
        with PartWriter(paths[-1], WINDOWS, "") as writer:
            writer.write(windows(read_batches(source, ["doc", "text"]), ngram, seed))
    return paths


def paragraphs_of(text: str) -> list[tuple[int, int]]:
    """Slices of bytes between line feeds; each but the first begins with its line feed."""
    data = text.encode()
    limits = [0, *(i for i, byte in enumerate(data) if byte == 10), len(data)]
    return list(itertools.pairwise(limits))


def reference(ordered: Sequence[Row], ngram: int, threshold: float, level: Level, seen: set) -> list[dict]:
    """BFF's old-both with a set, which has no false positives."""
    out = []
    for doc, text in ordered:
        total = contained = 0
        spans, own = [], []
        for start, end in paragraphs_of(text or ""):
            tokens = words((text or "").encode()[start:end].decode())
            grams = [tuple(tokens[i : i + ngram]) for i in range(len(tokens) - ngram + 1)]
            own += grams
            matched = sum(gram in seen for gram in grams)
            total += len(grams)
            contained += matched
            if level == "document" or not grams:
                continue
            if matched / len(grams) > threshold:
                spans.append({"start": start, "end": end})
            else:
                seen |= set(grams)
        share = contained / total if total else None
        removed = share is not None and share > threshold
        if level == "document" and not removed:
            seen |= set(own)
        removed &= level != "paragraph"
        out.append({"doc": doc, "removed": removed, "contained": share, "paragraphs": spans})
    return sorted(out, key=lambda row: row["doc"])


def in_order(paths: Sequence[Path], rows: Sequence[Row]) -> list[Row]:
    """The rows in the order in which they are deduplicated."""
    texts = dict(rows)
    tables = pa.concat_tables(pa.ipc.open_file(path).read_all() for path in paths)
    keys = sorted(zip(tables["order"].to_pylist(), tables["doc"].to_pylist(), strict=True))
    return [(doc, texts[doc]) for _, doc in keys]


TEXTS = st.none() | st.text(st.sampled_from("anT\n\r '-.é中"), max_size=30)


@settings(deadline=None, max_examples=150)
@given(
    data=st.data(),
    rows=st.lists(st.tuples(st.integers(0, 2**62), TEXTS), max_size=12, unique_by=lambda row: row[0]),
    ngram=st.integers(1, 4),
    threshold=st.sampled_from([0.0, 0.5, 0.8, 1.0]),
    level=st.sampled_from(["paragraph", "document", "both"]),
    seed=st.sampled_from([0, 7, 2**64 - 1]),
    range_windows=st.integers(1, 50),
)
def test_equals_a_set_in_any_order_of_parts(
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    rows: list[Row],
    ngram: int,
    threshold: float,
    level: Level,
    seed: int,
    range_windows: int,
) -> None:
    parts: list[list[Row]] = [[], [], []]
    for row in data.draw(st.permutations(rows)):
        parts[data.draw(st.integers(0, 2))].append(row)
    paths = hashed(tmp_path_factory.mktemp("parts"), parts, ngram, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_RANGE_WINDOWS", range_windows)
        table = deduplicate(paths, BloomFilter.sized(1000, 1e-9), threshold, level)
    assert table.schema == REMOVALS
    assert table.to_pylist() == reference(in_order(paths, rows), ngram, threshold, level, set())


def random_words(count: int, seed: int) -> list[str]:
    letters = np.random.default_rng(seed).integers(97, 123, (count, 7)).astype(np.uint8)
    return [bytes(row).decode() for row in letters]


def test_thirteen_words_and_more_than_eight_in_ten(tmp_path: Path) -> None:
    """A paragraph of 22 words has 10 windows: 9 in the filter remove it, 8 do not. One of 12 words always stays."""
    base = random_words(22, 1)
    new = random_words(2, 2)
    texts = [
        " ".join(base),
        " ".join([*base[:21], new[0]]),  # its last window is new: 9 of 10 are not
        " ".join([*base[:20], *new]),
        " ".join(base[:12]),
    ]
    bloom = BloomFilter.sized(100, 1e-9)
    (first,) = hashed(tmp_path, [[(0, texts[0])]], 13)
    deduplicate([first], bloom)
    copy = BloomFilter(bloom.words.copy(), bloom.hashes)
    (rest,) = hashed(tmp_path, [[(1, texts[1])]], 13)
    assert deduplicate([rest], copy).to_pylist() == [
        {"doc": 1, "removed": True, "contained": 0.9, "paragraphs": [{"start": 0, "end": len(texts[1])}]}
    ]
    for text, share in zip(texts[2:], (0.8, None), strict=True):
        copy = BloomFilter(bloom.words.copy(), bloom.hashes)
        (rest,) = hashed(tmp_path, [[(1, text)]], 13)
        assert deduplicate([rest], copy).to_pylist() == [
            {"doc": 1, "removed": False, "contained": share, "paragraphs": []}
        ]


def test_windows_of_a_removed_paragraph_are_not_inserted(tmp_path: Path) -> None:
    base, new = random_words(22, 1), random_words(1, 2)
    bloom = BloomFilter.sized(100, 1e-9)
    for doc, text, share in (
        (1, base, 0.0),
        (2, base[:21] + new, 0.9),
        (3, base[9:21] + new, 0.0),  # the one window that was new
        (4, base[9:21] + new, 1.0),
    ):
        (row,) = deduplicate(hashed(tmp_path, [[(doc, " ".join(text))]], 13), bloom).to_pylist()
        assert row["contained"] == share


def test_a_later_paragraph_matches_an_earlier_one_of_its_document(tmp_path: Path) -> None:
    a, b = " ".join(random_words(20, 1)), " ".join(random_words(20, 2))
    text = f"{a}\n{b}\n\n{a}\nshort"
    paths = hashed(tmp_path, [[(3, text)]], 13)
    table = deduplicate(paths, BloomFilter.sized(count_windows(paths), 1e-9))
    (row,) = table.to_pylist()
    assert not row["removed"]
    assert row["contained"] == pytest.approx(1 / 3)
    edits = as_edits(table["paragraphs"].combine_chunks())
    assert apply_edits(pa.array([text], pa.large_string()), edits).to_pylist() == [f"{a}\n{b}\n\nshort"]
    # One paragraph by itself never matches itself, however much it repeats.
    paths = hashed(tmp_path, [[(3, "same " * 100)]], 13)
    assert deduplicate(paths, BloomFilter.sized(100)).to_pylist()[0]["contained"] == 0


def test_windows_of_survivors_of_a_removed_document_stay(tmp_path: Path) -> None:
    a, b = " ".join(random_words(212, 1)), " ".join(random_words(22, 2))
    bloom = BloomFilter.sized(1000, 1e-9)
    for doc, text, removed in ((1, a, False), (2, f"{b}\n{a}", True), (3, b, True)):
        (row,) = deduplicate(hashed(tmp_path, [[(doc, text)]], 13), bloom).to_pylist()
        assert row["removed"] == removed


def test_an_identical_second_pass_removes_everything(tmp_path: Path) -> None:
    rows = [(i, "\n".join(" ".join(random_words(30, 100 * i + k)) for k in range(3))) for i in range(100)]
    paths = hashed(tmp_path, [rows[:60], rows[60:]], 13)
    bloom = BloomFilter.sized(count_windows(paths))
    assert not any(deduplicate(paths, bloom)["removed"].to_pylist())
    before = bloom.words.copy()
    again = deduplicate(paths, bloom)
    assert all(again["removed"].to_pylist())
    assert again["contained"].to_pylist() == [1.0] * 100
    assert again["paragraphs"].combine_chunks().value_lengths().to_pylist() == [3] * 100
    assert (bloom.words == before).all()


def test_the_order_is_that_of_the_named_column(tmp_path: Path) -> None:
    """The first of two copies stays: which one it is follows from the record's name, not from its number."""
    text = " ".join(random_words(20, 1))
    kept = []
    for docs in ([0, 1, 2, 3], [3, 1, 0, 2]):
        table = pa.table({"doc": docs, "text": [text] * 4, "record_id": ["a", "b", "c", "d"]})
        pq.write_table(table, tmp_path / "part.parquet")
        with PartWriter(tmp_path / "part.arrow", WINDOWS, "") as writer:
            batches = read_batches(tmp_path / "part.parquet", ["doc", "text", "record_id"])
            writer.write(windows(batches, order="record_id"))
        found = deduplicate([tmp_path / "part.arrow"], BloomFilter.sized(8)).filter(~pc.field("removed"))
        kept += [table["record_id"][docs.index(doc)].as_py() for doc in found["doc"].to_pylist()]
    assert len(kept) == 2
    assert kept[0] == kept[1]


@pytest.mark.parametrize("rate", [0.1, 0.01, 0.001])
def test_false_positives(tmp_path: Path, rate: float) -> None:
    """Random strings at the filter's full load: at most 1.2 times the target, and nearly what its fill predicts."""
    count = 200_000
    member, other = (" ".join(random_words(count, seed)) for seed in (1, 2))
    bloom = BloomFilter.sized(count, rate)
    deduplicate(hashed(tmp_path, [[(1, member)]], 1), bloom)
    assert bloom.false_positive_rate() == pytest.approx(rate, rel=0.05)
    # Inserting starts after a paragraph was looked up, so the share counts members of the first text only.
    measured = deduplicate(hashed(tmp_path, [[(2, other)]], 1), bloom)["contained"][0].as_py()
    assert measured <= 1.2 * rate
    assert measured == pytest.approx(rate, abs=4 * math.sqrt(rate / count) + 0.05 * rate)
    assert BloomFilter.sized(count, rate).false_positive_rate() == 0


def test_size() -> None:
    """-n ln(p) / ln(2)**2 bits and ceil(bits / n ln 2) probes; every word of the filter can be reached."""
    bloom = BloomFilter.sized(1_000_000, 0.01)
    assert 64 * bloom.words.size == pytest.approx(9_585_059, abs=64)
    assert bloom.hashes == 7
    assert BloomFilter.sized(0).words.size == 1
    with pytest.raises(ValueError, match="between 0 and 1"):
        BloomFilter.sized(10, 1.0)
    with pytest.raises(ValueError, match="GiB"):
        BloomFilter.sized(10**12)


def test_every_word_of_the_filter_is_used(tmp_path: Path) -> None:
    bloom = BloomFilter.sized(20_000, 0.01)
    deduplicate(hashed(tmp_path, [[(1, " ".join(random_words(20_000, 1)))]], 1), bloom)
    assert bloom.words.all()


def test_nothing(tmp_path: Path) -> None:
    assert deduplicate([], BloomFilter.sized(0)).equals(REMOVALS.empty_table())
    paths = hashed(tmp_path, [[], [(1, None), (2, ""), (3, "\n\n\n")]], 13)
    assert count_windows(paths) == 0
    assert deduplicate(paths, BloomFilter.sized(0)).to_pylist() == [
        {"doc": doc, "removed": False, "contained": None, "paragraphs": []} for doc in (1, 2, 3)
    ]


def test_refused(tmp_path: Path) -> None:
    (path,) = hashed(tmp_path, [[(1, "a b c")]], 2)
    with pytest.raises(ValueError, match="doc 1 occurs more than once"):
        deduplicate([path, path], BloomFilter.sized(10))
    with pytest.raises(ValueError, match="windows of 0 words"):
        windows([], 0)


def test_a_huge_line(tmp_path: Path) -> None:
    rows: list[Row] = [(1, "x" * 5_000_000), (2, ". " * 500_000), (3, "\x00" * 1000), (4, "a\n" * 500_000)]
    paths = hashed(tmp_path, [rows], 13)
    assert count_windows(paths) == 500_000 - 12
    assert not any(deduplicate(paths, BloomFilter.sized(count_windows(paths)))["removed"].to_pylist())
