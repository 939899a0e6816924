"""Two verdicts on the same pages: how often they differ, and what makes each difference go away."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

UNEXPLAINED = "unexplained"

Retry = Callable[[int], bool]
"""What datatrove decides on the page of a number when one thing is made as it is here: whether it drops it."""


@dataclass
class Comparison:
    """One gate on some pages: the number that only one side or both drop, and why."""

    name: str
    pages: int = 0
    both: int = 0
    theirs: int = 0
    ours: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    unexplained: list[int] = field(default_factory=list)
    """Numbers of the pages of which no retry explains the difference."""

    @property
    def agreement(self) -> float:
        """Share of the pages on which both decide alike; 1 of none."""
        return 1 - (self.ours + self.theirs) / self.pages if self.pages else 1.0


def compare(
    name: str, ours: Sequence[bool], theirs: Sequence[bool], retries: Mapping[str, Retry] | None = None
) -> Comparison:
    """Count the pages that each side drops, and explain each difference.

    Args:
        name: of the gate.
        ours: whether we drop each page.
        theirs: whether datatrove does.
        retries: by the name of the kind, tried in order: the kind of a difference is the first after which
            datatrove decides as we do.

    Raises:
        ValueError: the two sides have other numbers of pages.
    """
    result = Comparison(name)
    for page, (our, their) in enumerate(zip(ours, theirs, strict=True)):
        result.pages += 1
        result.both += our and their
        result.ours += our and not their
        result.theirs += their and not our
        if our != their:
            explained = (kind for kind, retry in (retries or {}).items() if retry(page) == our)
            kind = next(explained, UNEXPLAINED)
            result.kinds[kind] += 1
            if kind == UNEXPLAINED:
                result.unexplained.append(page)
    return result


def markdown(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table, the first column left and the others right."""
    lines = ["| " + " | ".join(header) + " |", "|---|" + "---:|" * (len(header) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def table(comparisons: Sequence[Comparison], more: Mapping[str, Sequence[object]] | None = None) -> str:
    """Markdown of comparisons, one a row, with further columns of as many values."""
    more = more or {}
    header = ["gate", "both", "only datatrove", "only ours", "agreement", "kinds", *more]
    return markdown(
        header,
        (
            (
                f"`{one.name}`",
                one.both,
                one.theirs,
                one.ours,
                f"{one.agreement:.2%}",
                ", ".join(f"{kind} {count}" for kind, count in one.kinds.most_common()),
                *(values[row] for values in more.values()),
            )
            for row, one in enumerate(comparisons)
        ),
    )
