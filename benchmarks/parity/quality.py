"""The quality filters of datatrove, one condition at a time.

A filter names the first condition that a page fails. Here each condition stands alone in a filter of its own, whose
other conditions are switched off, with the limits that datatrove publishes as defaults.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from datatrove.data import Document  # pyright: ignore[reportMissingImports]
from datatrove.pipeline.filters import (  # pyright: ignore[reportMissingImports]
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.utils.word_tokenizers import (  # pyright: ignore[reportMissingImports]
    SpaCyTokenizer,
    WordTokenizer,
    load_word_tokenizer,
)

from curation_assets.filtering.words import words
from curation_tests.filtering.slow_signals import slow_sentences

_REPETITION = {
    "dup_para_frac": None,
    "dup_para_char_frac": None,
    "dup_line_frac": None,
    "dup_line_char_frac": None,
    "top_n_grams": (),
    "dup_n_grams": (),
}
_GOPHER = {
    "min_doc_words": None,
    "max_doc_words": None,
    "min_avg_word_length": None,
    "max_avg_word_length": None,
    "max_symbol_word_ratio": None,
    "max_bullet_lines_ratio": None,
    "max_ellipsis_lines_ratio": None,
    "max_non_alpha_words_ratio": None,
    "min_stop_words": None,
}
_C4 = {"filter_lorem_ipsum": False, "filter_curly_bracket": False, "min_num_sentences": -1}
_FINEWEB = {
    "line_punct_thr": -math.inf,
    "short_line_threshold": math.inf,
    "char_duplicates_ratio": math.inf,
    "new_line_ratio": math.inf,
}


class _WithoutHashes(str):
    """A text with less than no number signs: their limit is that of ellipses too, and they are looked at first."""

    def count(self, *arguments: Any) -> int:
        return -1 if arguments == ("#",) else super().count(*arguments)


class Segmentation(WordTokenizer):
    """Words and numbers of sentences from two functions, as datatrove takes them in the place of a language."""

    def __init__(self, split: Callable[[str], list[str]], count: Callable[[str], int]) -> None:
        super().__init__()
        self.split, self.count = split, count

    def word_tokenize(self, text: str) -> list[str]:
        """The words of a text."""
        return self.split(text)

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        """As many spans as the text has sentences; only their number is read."""
        return [(0, 0)] * self.count(text)

    def sent_tokenize(self, text: str) -> list[str]:
        """Never asked for."""
        raise NotImplementedError


def segmentations() -> dict[str, WordTokenizer]:
    """By name: datatrove's own, ours, one of each, and one of another published tool.

    That is NLTK's Treebank words of spaCy's sentences: close to datatrove 0.2, which made FineWeb.
    """
    import nltk  # pyright: ignore[reportMissingImports]

    spacy = load_word_tokenizer("en")
    assert isinstance(spacy, SpaCyTokenizer)
    # Remembered, since the others use them on the same page.
    spacy_words = functools.lru_cache(8)(spacy.word_tokenize)
    treebank = nltk.tokenize.NLTKWordTokenizer()

    @functools.lru_cache(1 << 14)
    def spacy_count(line: str) -> int:
        return len(spacy.span_tokenize(line))

    def nltk_words(text: str) -> list[str]:
        return [word for sentence in spacy.sent_tokenize(text) for word in treebank.tokenize(sentence)]

    return {
        "datatrove": Segmentation(spacy_words, spacy_count),
        "ours": Segmentation(words, slow_sentences),
        "words": Segmentation(words, spacy_count),
        "sentences": Segmentation(spacy_words, slow_sentences),
        "NLTK": Segmentation(nltk_words, spacy_count),
    }


@dataclass
class Condition:
    """One condition of a filter of datatrove."""

    step: Any
    reason: str
    """What the filter answers when the condition drops a page."""
    parameter: str
    """The attribute that holds its limit; empty where it has none."""
    ngram: int = 0
    """The length of the n-grams whose limit it is, where there are several."""
    cleaned: bool = False
    """Whether it is of the text that C4's rules leave."""
    hashes: bool = True
    """Whether number signs count."""

    def measures(self, text: str, value: float, drops_below: bool) -> bool:
        """Whether the condition's own value of a text is this one, to the last bit.

        With it as the limit a page is kept, and with the next floating point number it is dropped: the one above if
        the condition drops what lies below its limit, else the one below.
        """
        beyond = math.nextafter(value, math.inf if drops_below else -math.inf)
        # A limit of 0 switches a condition off.
        limits = value if value or drops_below else math.nextafter(0, 1), beyond
        published = getattr(self.step, self.parameter)
        dropped = []
        for limit in limits:
            setattr(self.step, self.parameter, ((self.ngram, limit),) if self.ngram else limit)
            dropped.append(self.drops(text))
        setattr(self.step, self.parameter, published)
        return dropped == [False, True]

    def drops(self, text: str) -> bool:
        """Whether a text is dropped by it. A share of nothing, at which datatrove stops with an error, drops none."""
        document = Document(text=text if self.hashes else _WithoutHashes(text), id="")
        try:
            return self.step.filter(document) == (False, self.reason)
        except ZeroDivisionError:
            return False


def _alone(step: Any, off: dict[str, Any], kept: str = "") -> Any:
    for name, value in off.items():
        getattr(step, name)  # a condition of another name would stay on unseen
        if name != kept:
            setattr(step, name, value)
    return step


class Filters:
    """The quality filters of FineWeb (datatrove's `examples/fineweb.py`) over a segmentation."""

    def __init__(self, language: WordTokenizer) -> None:
        """Make the filters."""
        self.conditions: dict[str, Condition] = {}
        for name in _REPETITION:
            if not name.endswith("grams"):
                step = _alone(GopherRepetitionFilter(language=language), _REPETITION, name)
                self.conditions[name] = Condition(step, name, name)
        for parameter, reason in (("top_n_grams", "top_{}_gram"), ("dup_n_grams", "duplicated_{}_n_grams")):
            for pair in getattr(GopherRepetitionFilter(), parameter):
                step = _alone(GopherRepetitionFilter(language=language), _REPETITION, parameter)
                setattr(step, parameter, (pair,))
                name = reason.format(pair[0])
                self.conditions[name] = Condition(step, name, parameter, ngram=pair[0])
        for reason, name in (
            ("gopher_short_doc", "min_doc_words"),
            ("gopher_long_doc", "max_doc_words"),
            ("gopher_below_avg_threshold", "min_avg_word_length"),
            ("gopher_above_avg_threshold", "max_avg_word_length"),
            ("gopher_too_many_hashes", "max_symbol_word_ratio"),
            ("gopher_too_many_ellipsis", "max_symbol_word_ratio"),
            ("gopher_too_many_bullets", "max_bullet_lines_ratio"),
            ("gopher_too_many_end_ellipsis", "max_ellipsis_lines_ratio"),
            ("gopher_below_alpha_threshold", "max_non_alpha_words_ratio"),
            ("gopher_enough_stop_words", "min_stop_words"),
        ):
            step = _alone(GopherQualityFilter(language=language), _GOPHER, name)
            self.conditions[reason] = Condition(step, reason, name)
        self.conditions["gopher_too_many_ellipsis"].hashes = False
        for reason, name in (
            ("lorem_ipsum", "filter_lorem_ipsum"),
            ("curly_bracket", "filter_curly_bracket"),
            ("too_few_sentences", "min_num_sentences"),
        ):
            step = _alone(C4QualityFilter(filter_no_terminal_punct=False, language=language), _C4, name)
            self.conditions[f"c4_{reason}"] = Condition(step, reason, name if name.startswith("min") else "")
        for reason, name in (
            ("empty", ""),
            ("line_punct_ratio", "line_punct_thr"),
            ("short_line_ratio", "short_line_threshold"),
            ("char_dup_ratio", "char_duplicates_ratio"),
            ("list_ratio", "new_line_ratio"),
        ):
            step = _alone(FineWebQualityFilter(language=language), _FINEWEB, name)
            gate = reason if name else "fineweb_empty"
            self.conditions[gate] = Condition(step, reason, name, cleaned=True)
        self._cleaner = _alone(C4QualityFilter(filter_no_terminal_punct=False, language=language), _C4)

    def clean(self, text: str) -> str:
        """What C4's rules leave of a text."""
        document = Document(text=text, id="")
        self._cleaner.filter(document)
        return document.text

    def failures(self, text: str) -> dict[str, bool]:
        """Whether each condition drops a text, by the names that the gates of our recipe have."""
        cleaned = self.clean(text)
        return {
            gate: condition.drops(cleaned if condition.cleaned else text) for gate, condition in self.conditions.items()
        }

    def mismeasured(self, text: str, values: dict[str, tuple[float, bool]]) -> list[str]:
        """The gates whose value is not the one given, with whether they drop what lies below the limit.

        Those of the cleaned text are left out where nothing is left of it.
        """
        cleaned = self.clean(text)
        return [
            gate
            for gate, condition in self.conditions.items()
            if condition.parameter
            and (cleaned or not condition.cleaned)
            and not condition.measures(cleaned if condition.cleaned else text, *values[gate])
        ]


@functools.cache
def _filters() -> dict[str, Filters]:
    return {name: Filters(segmentation) for name, segmentation in segmentations().items()}


@dataclass
class Judgement:
    """What datatrove's filters say of a page."""

    verdicts: dict[str, dict[str, bool]]
    """By the name of the segmentation, and by the gate: whether the page is dropped. Those with our words or our
    sentences alone are there only where datatrove's and ours together differ."""
    cleaned: str
    """What C4's rules leave."""
    mismeasured: list[str]
    """The gates whose value, given our words and sentences, is not ours; empty if not asked."""


def judge(text: str, values: dict[str, tuple[float, bool]] | None) -> Judgement:
    """Give a page to datatrove's filters; `values` are our signals by gate, and whether it drops what lies below."""
    filters = _filters()
    verdicts = {name: filters[name].failures(text) for name in ("datatrove", "ours", "NLTK")}
    if verdicts["datatrove"] != verdicts["ours"]:
        verdicts |= {name: filters[name].failures(text) for name in ("words", "sentences")}
    mismeasured = filters["ours"].mismeasured(text, values) if values else []
    return Judgement(verdicts, filters["datatrove"].clean(text), mismeasured)
