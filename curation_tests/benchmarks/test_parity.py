"""How the parity report counts and explains differences; its tables need datatrove and pages, and are run by hand."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.parity.comparison import UNEXPLAINED, compare, table

REPOSITORY = Path(__file__).parents[2]


def test_counts_each_side() -> None:
    result = compare("gate", [True, True, False, False], [True, False, True, False])
    assert (result.pages, result.both, result.ours, result.theirs) == (4, 1, 1, 1)
    assert result.agreement == 0.5


def test_kind_is_the_first_retry_that_decides_as_we_do() -> None:
    tried = []

    def retry(kind: str, answers: list[bool]):
        def drops(page: int) -> bool:
            tried.append((kind, page))
            return answers[page]

        return drops

    ours, theirs = [True, True, True, False, True], [False, False, False, True, True]
    retries = {
        "words": retry("words", [True, False, False, True, False]),
        "sentences": retry("sentences", [True, True, False, True, False]),
    }
    result = compare("gate", ours, theirs, retries)
    assert result.kinds == {"words": 1, "sentences": 1, UNEXPLAINED: 2}
    assert result.unexplained == [2, 3]
    assert ("sentences", 0) not in tried
    assert not any(page == 4 for _, page in tried)


def test_a_difference_without_retries_is_unexplained() -> None:
    assert compare("gate", [True], [False]).unexplained == [0]


def test_both_sides_have_the_same_pages() -> None:
    with pytest.raises(ValueError):
        compare("gate", [True], [])


def test_nothing_agrees() -> None:
    assert compare("gate", [], []).agreement == 1


def test_table() -> None:
    one = compare("gate", [True, False], [False, False], {"words": lambda page: True})
    assert table([one], {"more": [7]}).splitlines() == [
        "| gate | both | only datatrove | only ours | agreement | kinds | more |",
        "|---|---:|---:|---:|---:|---:|---:|",
        "| `gate` | 0 | 0 | 1 | 50.00% | words 1 | 7 |",
    ]


def test_report_is_skipped_without_pages() -> None:
    command = [sys.executable, "-m", "benchmarks.parity"]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert run.stdout.startswith("skipped: ")
