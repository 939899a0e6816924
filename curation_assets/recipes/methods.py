"""The stations of a recipe that look at what everything before them has left: deduplication and classifiers.

Each has a table with one row for each document that was left, which says whether it survives.
"""

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from curation_assets.deduplication.canonical_urls import UrlForm


class Parameters(BaseModel):
    """Base of all parameters: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Deciding(Parameters):
    """Base of the methods: what they call what they drop, and what they cost (a gate over text costs 1)."""

    verdict: ClassVar[str]
    cost: ClassVar[int]
    cuts: ClassVar[bool] = False
    """Whether its table has spans that are cut out of texts."""


class UrlDuplicates(Deciding):
    """Documents with the same canonical URL."""

    verdict: ClassVar[str] = "url_duplicate"
    cost: ClassVar[int] = 2

    name: Literal["url_duplicates"] = "url_duplicates"
    form: UrlForm = UrlForm()
    survivor: Literal["earliest", "latest", "longest"] = "earliest"


class TextDuplicates(Deciding):
    """Documents with the same text (NFC, white space folded) by a 128-bit key."""

    verdict: ClassVar[str] = "text_duplicate"
    cost: ClassVar[int] = 2

    name: Literal["text_duplicates"] = "text_duplicates"
    fold_case: bool = False
    survivor: Literal["earliest", "latest", "longest"] = "earliest"


class SegmentDuplicates(Deciding):
    """Lines or paragraphs that occurred before, in the page, in the snapshot, or in it and those that precede it in the
    lake; what is left of a document stays."""

    verdict: ClassVar[str] = "segment_duplicate"
    cost: ClassVar[int] = 2
    cuts: ClassVar[bool] = True

    name: Literal["segment_duplicates"] = "segment_duplicates"
    unit: Literal["line", "paragraph"] = "line"
    scope: Literal["page", "snapshot", "global"] = "snapshot"
    fold_case: bool = True
    min_length: int = Field(default=1, gt=0)
    """Characters below which a line or paragraph may be repeated."""
    min_left: int = Field(default=20, gt=0)
    """Bytes of text below which the rest of a document that was cut is dropped."""


class MinHash(Deciding):
    """MinHash LSH: shingle length in words, `bands` of `rows` hashes, seed of the permutations."""

    verdict: ClassVar[str] = "minhash_duplicate"
    cost: ClassVar[int] = 2

    name: Literal["minhash_duplicates"] = "minhash_duplicates"
    ngram: int = Field(default=5, gt=0)
    bands: int = Field(default=14, gt=0)
    rows: int = Field(default=8, gt=0)
    hash: Literal["sha1", "xxhash"] = "sha1"
    seed: int = 1
    survivor: Literal["earliest", "latest"] = "earliest"
    verify: float | None = Field(default=None, gt=0, le=1)
    """Least exact Jaccard index of two documents that are linked; unset, a shared band is enough."""
    across_snapshots: bool = False
    """Compare with the snapshots of the lake that precede this one, too."""
    by_language: bool = False
    """Compare documents of one language only."""
    audited_documents: int = Field(default=256, ge=0)
    """Documents of each part, about, that the audit of recall and false positives is made on."""

    @model_validator(mode="after")
    def _decides_across(self) -> Self:
        # What was decided of an earlier snapshot stays: were the latest kept, nothing would be dropped for another.
        if self.across_snapshots and self.survivor == "latest":
            raise ValueError("across snapshots the survivor is the earliest: those that precede are decided already")
        return self


class SimHash(Deciding):
    """SimHash: documents whose 64-bit fingerprints differ in at most `distance` bits."""

    verdict: ClassVar[str] = "simhash_duplicate"
    cost: ClassVar[int] = 2

    name: Literal["simhash_duplicates"] = "simhash_duplicates"
    ngram: int = Field(default=1, gt=0)
    distance: int = Field(default=3, gt=0, le=16)
    seed: int = 0
    survivor: Literal["earliest", "latest"] = "earliest"


class SubstringDuplicates(Deciding):
    """Spans of `length` bytes or words and more that occur more than once in the snapshot; they are cut."""

    verdict: ClassVar[str] = "substring_duplicate"
    cost: ClassVar[int] = 3
    cuts: ClassVar[bool] = True

    name: Literal["substring_duplicates"] = "substring_duplicates"
    unit: Literal["bytes", "words"] = "words"
    length: int = Field(default=50, gt=1)
    keep: Literal["first", "none"] = "first"
    min_left: int = Field(default=20, gt=0)
    """Bytes of text below which the rest of a document that was cut is dropped."""


class BloomDuplicates(Deciding):
    """DCLM's BFF: paragraphs and documents most of whose n-grams of words a Bloom filter has seen; they are cut."""

    verdict: ClassVar[str] = "bloom_duplicate"
    cost: ClassVar[int] = 2
    cuts: ClassVar[bool] = True

    name: Literal["bloom_duplicates"] = "bloom_duplicates"
    ngram: int = Field(default=13, gt=0)
    threshold: float = Field(default=0.8, gt=0, lt=1)
    false_positive_rate: float = Field(default=0.01, gt=0, lt=1)
    level: Literal["paragraph", "document", "both"] = "both"
    seed: int = 0


class QualityScores(Deciding):
    """A fastText classifier of the text with its lines joined: documents whose score is below the limit are dropped."""

    verdict: ClassVar[str] = "quality_score"
    cost: ClassVar[int] = 3

    name: Literal["quality_scores"] = "quality_scores"
    model: Path | None = None
    """The classifier; without one nothing is scored and nothing dropped."""
    negative_label: str = "__label__cc"
    """The label whose probability counts against a document; any other counts for it."""
    min_score: float = 0.018112


def limit_of(method: Deciding) -> float:
    """What the deciding value of a method's table is compared with: documents in a cluster, bytes left, or a score."""
    match method:
        case SegmentDuplicates() | SubstringDuplicates():
            return method.min_left
        case BloomDuplicates():
            return method.threshold
        case QualityScores():
            return method.min_score
    return 1


_Any = (
    UrlDuplicates
    | TextDuplicates
    | SegmentDuplicates
    | MinHash
    | SimHash
    | SubstringDuplicates
    | BloomDuplicates
    | QualityScores
)

Method = Annotated[_Any, Field(discriminator="name")]

METHODS: dict[str, type[Deciding]] = {model.model_fields["name"].default: model for model in get_args(_Any)}
"""All of them, by the name that a recipe calls them."""
