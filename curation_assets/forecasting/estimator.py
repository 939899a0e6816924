"""Totals of a whole from a sample of its parts.

The parts of a snapshot are its WARC files: clusters of documents, drawn at random without replacement. A total is
estimated by the ratio of the sample (Cochran, *Sampling Techniques*, 3rd edition 1977, chapter 6): y a unit of size
times the size of the whole, where size is compressed bytes if those of all files are known and the number of files
otherwise. Its variance is that of the residuals, corrected for what of the whole was sampled; the interval takes
Student's t for so few parts.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple, Self

CONFIDENCE = 0.9
"""Of every interval: it holds the truth nine times in ten, as far as sampling is concerned."""

_STUDENT = (6.314, 2.920, 2.353, 2.132)
"""The 0.95 quantile of Student's t with 1 to 4 degrees of freedom."""


class Estimate(NamedTuple):
    """A value with its interval."""

    value: float
    low: float
    high: float

    @classmethod
    def exact(cls, value: float) -> Self:
        """A value that is known."""
        return cls(value, value, value)

    def plus(self, known: float) -> "Estimate":
        """With something added that is known."""
        return Estimate(*(one + known for one in self))

    def times(self, factor: float) -> "Estimate":
        """In another unit."""
        return Estimate(*(one * factor for one in self))


class Whole(NamedTuple):
    """What the sample is of."""

    parts: int
    size: float
    """In the unit in which the sizes of sampled parts are given."""


def total(amounts: Sequence[float], sizes: Sequence[float], whole: Whole) -> Estimate:
    """The total of `amounts` over all parts of `whole`, of which these are a simple random sample.

    It scales with the amounts, is exact where amounts are proportional to sizes or the sample is all there is, and is
    never below what was seen.

    Raises `ValueError` where nothing was sampled, sizes are missing, or one part is to speak for several.
    """
    count = len(amounts)
    if count == 0 or count != len(sizes) or sum(sizes) <= 0:
        raise ValueError(f"a sample of {count} parts with sizes {sum(sizes):g} in all tells nothing")
    if count > whole.parts:
        raise ValueError(f"{count} parts cannot be a sample of {whole.parts}")
    seen = math.fsum(amounts)
    if count == whole.parts:
        return Estimate.exact(seen)
    if count == 1:
        raise ValueError("one part says nothing of how parts differ: sample two at least")
    ratio, scale = seen / math.fsum(sizes), whole.size / math.fsum(sizes)
    squares = math.fsum((amount - ratio * size) ** 2 for amount, size in zip(amounts, sizes, strict=True))
    # (X / x̄)² (1 - f) s² / n, with the sample's own mean size: it follows the sizes that were drawn.
    error = scale * math.sqrt(count * (1 - count / whole.parts) * squares / (count - 1))
    value = max(ratio * whole.size, seen)
    reach = student(count - 1) * error
    return Estimate(value, max(value - reach, seen), value + reach)


def student(degrees: int) -> float:
    """The 0.95 quantile of Student's t distribution, to three digits.

    Beyond four degrees of freedom by the expansion of Fisher and Cornish (Abramowitz and Stegun, 26.7.5).
    """
    if degrees <= len(_STUDENT):
        return _STUDENT[degrees - 1]
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / degrees + second / degrees**2 + third / degrees**3


class Growth(NamedTuple):
    """What grows by a straight line from something fixed."""

    fixed: float
    rate: float
    """For each unit of size."""

    def at(self, size: float) -> float:
        """At a size."""
        return self.fixed + self.rate * size


def growth(small: tuple[float, float], large: tuple[float, float]) -> Growth:
    """The line through two measurements (size, amount) that neither falls nor begins below zero.

    It always goes through the second. What is no more at the larger size is fixed at what the second says.
    """
    (size, amount), (other, there) = small, large
    rate = (there - amount) / (other - size) if other != size else 0.0
    if rate <= 0:
        return Growth(there, 0.0)
    return Growth(there - rate * other, rate) if rate * other <= there else Growth(0.0, there / other)
