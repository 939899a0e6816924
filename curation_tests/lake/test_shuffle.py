"""Rows through files and back: every bucket has its rows, in the order in which they were written."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.lake.shuffle import buckets, groups_of, in_turn, read_bucket, scatter, temporary_folder

NUMBER = 5
Runs = list[list[int]]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.lists(st.integers(0, 2**64 - 1), max_size=9), max_size=3), max_size=4))
def test_rows_come_back_by_bucket_in_order(tmp_path_factory: pytest.TempPathFactory, files: list[Runs]) -> None:
    folder = tmp_path_factory.mktemp("shuffle")
    written = []
    expected: list[list[int]] = [[] for _ in range(NUMBER)]
    for i, runs in enumerate(files):
        ordered = []
        for run in runs:
            for value in run:
                expected[value % NUMBER].append(value)
            values = sorted(run, key=lambda value: value % NUMBER)
            ends = np.searchsorted([value % NUMBER for value in values], np.arange(NUMBER), "right")
            ordered.append((np.array(values, np.uint64).reshape(-1, 1), ends))
        written.append(scatter(folder / str(i), ordered))
    found = buckets(written)
    assert [read_bucket(bucket, np.uint64, 1)[:, 0].tolist() for bucket in found] == expected[: len(found)]
    assert [bucket.size() for bucket in found] == [len(values) for values in expected][: len(found)]
    assert found or not any(expected)


def test_a_file_that_was_cut_short_is_an_error(tmp_path: Path) -> None:
    file = scatter(tmp_path / "rows", [(np.zeros((4, 2), np.uint64), np.array([1, 4]))])
    file.path.write_bytes(file.path.read_bytes()[:-1])
    first, second = buckets([file])
    assert read_bucket(first, np.uint64, 2).tolist() == [[0, 0]]
    with pytest.raises(EOFError, match="rows was cut short"):
        read_bucket(second, np.uint64, 2)


def test_in_turn() -> None:
    assert list(in_turn(["ab", "c", "", "defg"], len, 3)) == [["ab", "c"], ["", "defg"]]
    assert groups_of("abcdef", [1, 1, 1, 5, 0, 2], 2) == [["a", "b"], ["c", "d"], ["e", "f"]]
    assert groups_of("abc", [0, 0, 0], 1) == [["a", "b", "c"]]
    assert groups_of("", [], 1) == []


def test_a_temporary_folder_goes_also_after_an_error(tmp_path: Path) -> None:
    with temporary_folder(tmp_path / "made") as folder:
        (folder / "file").touch()
    with pytest.raises(OSError, match="broken"), temporary_folder(tmp_path / "made") as folder:
        (folder / "file").touch()
        raise OSError("broken")
    with temporary_folder(tmp_path) as folder:
        assert folder.parent == tmp_path
    assert not list(tmp_path.iterdir())
