"""Keys against normal forms written down plainly; groups against dictionaries."""

import datetime as dt
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.deduplication import exact
from curation_assets.deduplication.canonical_urls import UrlForm
from curation_assets.deduplication.clusters import CLUSTERS
from curation_assets.deduplication.exact import Survivor, groups, text_keys, url_keys
from curation_assets.deduplication.hashes.murmur3 import KEY, hash_strings
from curation_assets.engine.local import LocalEngine

Row = tuple[int, dt.datetime | None, int | None, bytes | None]
LETTERS = "aAbé\u0301e \n\u2003\u0000ßẞΣςİ字\U0001d400"


def large(values: Sequence[str | None]) -> pa.LargeStringArray:
    return pa.array(values, pa.large_string())


def simple_fold(text: str) -> str:
    def fold(character: str) -> str:
        forms = [f for f in (character.casefold(), character.lower(), character) if len(f) == 1]
        return forms[0]

    return "".join(map(fold, text))


@settings(deadline=None)
@given(st.lists(st.none() | st.text(st.sampled_from(LETTERS) | st.characters(codec="utf-8"), max_size=12), max_size=8))
def test_the_key_is_that_of_the_normal_form(texts: list[str | None]) -> None:
    plain = [None if t is None else " ".join(unicodedata.normalize("NFC", t).split()) for t in texts]
    folded = [None if t is None else simple_fold(t) for t in plain]
    assert text_keys(large(texts)).equals(hash_strings(large(plain)))
    assert text_keys(large(texts), fold_case=True).equals(hash_strings(large(folded)))
    assert text_keys(large(plain)).equals(hash_strings(large(plain)))


def test_what_is_the_same_text_and_what_is_not() -> None:
    def same(a: str, b: str, *, fold_case: bool = False) -> bool:
        first, second = text_keys(large([a, b]), fold_case=fold_case).to_pylist()
        return first == second

    assert same("caf\u00e9  au\n\nlait ", "cafe\u0301 au\u00a0lait")
    assert same("ΟΔΟΣ", "οδος", fold_case=True)
    assert not same("A", "a")
    assert not same("ab", "ba")
    assert not same("a b", "ab")
    assert not same("a\x00", "a")


def test_nulls_slices_and_long_texts() -> None:
    texts = large([None, "x" * 5_000_000, "", None, "e\u0301" * 1_000_000, "b"])
    keys = text_keys(texts)
    assert keys.type == KEY
    assert [key is None for key in keys.to_pylist()] == [True, False, False, True, False, False]
    assert text_keys(texts[2:]).equals(keys[2:])
    assert text_keys(texts[:0]).to_pylist() == []


def test_url_keys() -> None:
    urls = pa.array(["http://www.a.example/", "https://a.example?utm_source=b", None, "http://a.example/b"])
    first, second, third, fourth = url_keys(urls).to_pylist()
    assert first == second != fourth
    assert third is None
    assert len(set(url_keys(urls, UrlForm(drop_tracking=False)).to_pylist())) == 4


def day(number: int) -> dt.datetime:
    return (
        dt.datetime(1969, 12, 30 + number, tzinfo=dt.UTC) if number < 2 else dt.datetime(1970, 1, number, tzinfo=dt.UTC)
    )


SCHEMA = pa.schema(
    [("doc", pa.int64()), ("date", pa.timestamp("us", "UTC")), ("length", pa.uint32()), ("key", pa.binary(16))]
)


def written(folder: Path, parts: Sequence[Sequence[Row]], schema: pa.Schema = SCHEMA) -> list[Path]:
    paths = []
    for i, rows in enumerate(parts):
        columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], [], []]
        paths.append(folder / f"{i}.parquet")
        pq.write_table(pa.table(columns, schema=SCHEMA).select(schema.names).cast(schema), paths[-1])
    return paths


def reference(rows: Sequence[Row], survivor: Survivor) -> list[dict]:
    never = day(30)

    def rank(row: Row) -> tuple:
        doc, date, length, _ = row
        if survivor == "earliest":
            return date or never, doc
        if survivor == "latest":
            return date is None, never - (date or never), doc
        return length is None, -(length or 0), doc

    by_key: dict[bytes, list[Row]] = {}
    for row in rows:
        if row[3] is not None:
            by_key.setdefault(row[3], []).append(row)
    out = []
    for members in by_key.values():
        if len(members) > 1:
            best = min(members, key=rank)[0]
            out += [
                {"doc": row[0], "cluster": best, "cluster_size": len(members), "survivor": row[0] == best}
                for row in members
            ]
    return sorted(out, key=lambda row: row["doc"])


ROWS = st.lists(
    st.tuples(
        st.integers(0, 2**63 - 1),
        st.none() | st.integers(0, 4).map(day),
        st.none() | st.sampled_from([0, 1, 2**32 - 1]),
        st.none() | st.sampled_from([bytes(16), b"\xff" * 16, b"0123456789abcdef", b"0123456789abcdeg"]),
    ),
    max_size=20,
    unique_by=lambda row: row[0],
)


@settings(deadline=None, max_examples=60)
@given(ROWS, st.sampled_from(get_args(Survivor)), st.data())
def test_groups_equal_the_reference_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], survivor: Survivor, data: st.DataObject
) -> None:
    """The kept set depends neither on the order of parts nor on that of rows."""
    parts: list[list[Row]] = [[], [], []]
    for row in data.draw(st.permutations(rows)):
        parts[data.draw(st.integers(0, 2))].append(row)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "_BUCKET_ROWS", data.draw(st.integers(1, 20)))
        patch.setattr(exact, "_RUN_ROWS", data.draw(st.integers(1, 20)))
        table = groups(written(tmp_path_factory.mktemp("parts"), parts), survivor)
    assert table.schema == CLUSTERS
    assert table.to_pylist() == reference(rows, survivor)


def test_survivors(tmp_path: Path) -> None:
    key, other = b"k" * 16, b"o" * 16
    rows: list[Row] = [
        (4, day(2), 7, key),
        (1, None, None, key),
        (2, day(3), 9, key),
        (3, day(2), 9, key),
        (6, day(3), 2, key),
        (7, day(0), 99, other),  # alone
        (8, day(0), 99, None),
        (9, day(0), 99, None),
    ]
    paths = written(tmp_path, [rows[4:], rows[:4]])
    expected: dict[Survivor, int] = {"earliest": 3, "latest": 2, "longest": 2}
    for rule, survivor in expected.items():
        table = groups(paths, rule)
        assert table["doc"].to_pylist() == [1, 2, 3, 4, 6]
        assert set(table["cluster"].to_pylist()) == {survivor}
        assert set(table["cluster_size"].to_pylist()) == {5}
        assert table["survivor"].to_pylist() == [doc == survivor for doc in (1, 2, 3, 4, 6)]


def test_what_is_not_known_comes_last(tmp_path: Path) -> None:
    """Also after the least that is known."""
    key = bytes(16)
    paths = written(tmp_path, [[(1, None, None, key), (2, dt.datetime(1, 1, 1, tzinfo=dt.UTC), 0, key)]])
    for rule in get_args(Survivor):
        assert groups(paths, rule)["survivor"].to_pylist() == [False, True]


def test_what_is_kept_has_no_groups(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    rows: list[Row] = [
        (int(doc), day(int(random.integers(0, 9))), None, int(random.integers(0, 300)).to_bytes(16, "big"))
        for doc in random.permutation(1000)
    ]
    table = groups(written(tmp_path, [rows[:300], rows[300:]]))
    dropped = set(table.filter(~pc.field("survivor"))["doc"].to_pylist())
    kept = [row for row in rows if row[0] not in dropped]
    assert len(kept) == len({row[3] for row in rows})
    assert groups(written(tmp_path, [kept])).num_rows == 0


def test_a_million_documents_by_tasks(tmp_path: Path, engine: LocalEngine) -> None:
    random = np.random.default_rng(1)
    count = 1_000_000
    ids = random.integers(0, count, count).astype(np.uint64)
    ids[::4] = 7
    halves = np.stack([ids * np.uint64(0x9E3779B97F4A7C15), ids], axis=1)
    keys = pa.FixedSizeBinaryArray.from_buffers(KEY, count, [None, pa.py_buffer(halves)])
    docs = random.permutation(count)
    paths = []
    for i, part in enumerate(np.array_split(np.arange(count), 4)):
        rows = pa.table({"doc": docs, "date": pa.nulls(count, pa.timestamp("us", "UTC")), "key": keys}).take(part)
        paths.append(tmp_path / f"{i}.parquet")
        pq.write_table(rows, paths[-1])
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    table = groups(paths, scratch=scratch, tasks=engine.map)
    assert not list(scratch.iterdir())
    smallest = np.full(count, count)
    np.minimum.at(smallest, ids.astype(np.int64), docs)
    size = np.bincount(ids.astype(np.int64), minlength=count)
    of = np.empty(count, np.int64)
    of[docs] = ids.astype(np.int64)
    member = size[of] > 1
    assert (table["doc"].to_numpy() == np.flatnonzero(member)).all()
    assert (table["cluster"].to_numpy() == smallest[of[member]]).all()
    assert (table["cluster_size"].to_numpy() == size[of[member]]).all()


def test_nothing_to_group(tmp_path: Path) -> None:
    assert groups([]).equals(CLUSTERS.empty_table())
    assert groups(written(tmp_path, [[], [(1, None, None, None)]])).equals(CLUSTERS.empty_table())


def test_what_cannot_be_grouped(tmp_path: Path) -> None:
    key = bytes(16)
    (path,) = written(tmp_path, [[(1, None, 1, key), (2, None, 1, key)]])
    with pytest.raises(ValueError, match="a part is given twice"):
        groups([path, path])
    copy = tmp_path / "copy.parquet"
    copy.write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match="doc 1 occurs more than once"):
        groups([path, copy])
    bare = written(tmp_path, [[(1, None, 1, key)]], pa.schema([SCHEMA.field(name) for name in ("doc", "date", "key")]))
    with pytest.raises(ValueError, match="no longest document"):
        groups(bare, "longest")
    assert exact.groups(bare).num_rows == 0
    pq.write_table(pa.table({"doc": [1], "date": pa.nulls(1, pa.timestamp("s")), "key": [1]}), path)
    with pytest.raises(ValueError, match=r"are int64, not fixed_size_binary\[16\]"):
        groups([path])
