"""How the statistics of a text are defined, and how its lines are edited: the published variants as data.

A limit means something only with the definition of what it limits, and the published recipes share names and limits
but not definitions. `Definitions` holds every choice on which they differ; `LineEdits` the rules by which they drop
lines and phrases. Both know the published sets by name (``Definitions.presets``, ``LineEdits.presets``):
``Definitions.model_validate("dclm")`` or ``{"preset": "dclm", "duplicates": "later"}``, as recipes write it.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

GOPHER_STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")

CountedWords = Literal["all", "nonpunctuation", "alphanumeric"]
"""Every word; those with a character that is no punctuation; those whose first character is alphanumeric."""


class _Preset(BaseModel):
    """A frozen model that may be given as the name of a preset, or as `preset` and what differs from it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, data: Any) -> Any:
        if isinstance(data, str):
            data = {"preset": data}
        if isinstance(data, dict) and "preset" in data:
            name = data["preset"]
            if name not in cls.presets:
                raise ValueError(f"no preset {name!r}: the published ones are {', '.join(cls.presets)}")
            data = {**cls.presets[name], **{key: value for key, value in data.items() if key != "preset"}}
        return data


class Definitions(_Preset):
    """How statistics are defined. The defaults are those of datatrove 0.10, which are FineWeb's at HEAD.

    "Unicode words" are those of words.py, or those given to ``annotate_signals``; "whitespace words" those of
    ``str.split``. Sentences are always counted in Unicode words.
    """

    words: Literal["unicode", "whitespace"] = "unicode"
    """Words of `words`, of all averages and shares, of stop words and `list_ratio`."""
    counted_words: CountedWords = "nonpunctuation"
    """Which of them `words_nonsymbol` and `words_removed_share` count."""
    averaged_words: CountedWords = "nonpunctuation"
    """Of which of them `mean_word_length` and `median_word_length` are taken."""
    terminal_is_punctuation: bool = True
    """Whether punctuation is PUNCTUATION_SET, with the sentence marks of all scripts, or the 129 marks alone."""

    symbols: Literal["occurrences", "words"] = "occurrences"
    """Whether symbol ratios count number signs and ellipses, or the words that hold one."""
    ellipses: tuple[Literal["...", "…", ". . ."], ...] = ("...", "…")
    """What is an ellipsis, as a symbol and at the end of a line."""
    bullets: tuple[str, ...] = ("•", "-")
    """Characters that make a line a bullet point when it starts with one."""
    lines: Literal["splitlines", "newlines", "nonblank"] = "splitlines"
    """Lines of `lines` and of the shares of bullets and ellipses: as ``str.splitlines`` has them; between line feeds;
    or the latter stripped, without blank ones."""
    stripped_lines: bool = True
    """Whether white space before a bullet and after an ellipsis is ignored."""
    stop_words: tuple[str, ...] = GOPHER_STOP_WORDS
    """Stop words, where ``annotate_signals`` is given none by language."""
    stop_word_count: Literal["distinct", "occurrences"] = "distinct"
    """Whether `stop_words` counts different stop words or all occurrences."""
    stop_word_case: bool = True
    """Whether ASCII upper case makes a word another word."""

    repeated_lines: Literal["newline_runs", "splitlines", "newlines", "nonblank"] = "newline_runs"
    """Lines that are compared with each other: the pieces between runs of line feeds; or as `lines` has them.
    ``nonblank`` lines are stripped, and so are paragraphs then; these are between runs of two or more line feeds."""
    duplicates: Literal["later", "all"] = "later"
    """Whether a repeated line counts from its second occurrence on, or with all."""
    piece_denominator: Literal["text", "pieces", "words"] = "text"
    """Of what characters are a share in `dup_para_char_frac` and `dup_line_char_frac`."""

    ngram_words: Literal["unicode", "alphanumeric", "whitespace"] = "unicode"
    """Words of the n-grams: Unicode words; those that start with an alphanumeric character; whitespace words."""
    ngram_denominator: Literal["text", "words"] = "text"
    """Of what n-grams are a share: of the text, a top n-gram with the spaces between its words; of their words."""
    top_ngram: Literal["first", "longest_repeated"] = "first"
    """Which of the most frequent n-grams is taken: the first; the longest, and none if it occurs once only."""
    repeated_ngrams: Literal["jumps", "union", "overlapping"] = "jumps"
    """What repeated n-grams cover: from left to right, each n-gram seen before, which is jumped over; the words in any
    n-gram that occurs twice; all such n-grams, of the characters of all n-grams whatever `ngram_denominator`."""

    line_end_marks: Literal["unicode", "ascii"] = "unicode"
    """Which characters punctuate a line's end in `line_punct_ratio`: TERMINAL_PUNCTUATION, or . ' " ! ?"""
    blank_lines: bool = False
    """Whether blank lines count in `line_punct_ratio` and `short_line_ratio`."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "datatrove": {},
        "datatrove_0_2": {
            "terminal_is_punctuation": False,
            "repeated_lines": "splitlines",
            "stop_word_count": "occurrences",
            "line_end_marks": "ascii",
            "blank_lines": True,
        },
        "dclm": {
            "words": "whitespace",
            "counted_words": "alphanumeric",
            "averaged_words": "all",
            "ellipses": ("...", "…", ". . ."),
            "bullets": ("●", "•", "*", "-"),
            "lines": "nonblank",
            "stop_word_count": "occurrences",
            "stop_word_case": False,
            "repeated_lines": "nonblank",
            "duplicates": "all",
            "piece_denominator": "pieces",
            "ngram_words": "alphanumeric",
            "ngram_denominator": "words",
            "top_ngram": "longest_repeated",
            "repeated_ngrams": "union",
        },
        "dolma": {
            "words": "whitespace",
            "counted_words": "all",
            "averaged_words": "all",
            "symbols": "words",
            "ellipses": ("…",),
            "bullets": ("*", "-"),
            "lines": "newlines",
            "stripped_lines": False,
            "stop_word_count": "occurrences",
            "repeated_lines": "newlines",
            "duplicates": "all",
            "piece_denominator": "words",
            "ngram_words": "whitespace",
            "ngram_denominator": "words",
            "repeated_ngrams": "overlapping",
        },
    }

    @model_validator(mode="after")
    def _is_usable(self) -> Self:
        if any(len(bullet) != 1 for bullet in self.bullets):
            raise ValueError(f"each bullet is one character, not {self.bullets!r}")
        if not self.stop_word_case and any(word != word.lower() for word in self.stop_words):
            raise ValueError("stop words are in lower case where case does not matter")
        return self


class LineEdits(_Preset):
    """Rules by which lines, or parts of them, are dropped; by default none. C4's come first, then DCLM's."""

    stripped: bool = False
    """Lines as ``str.splitlines`` has them, each stripped, blank ones dropped (C4); else between line feeds, as is."""
    max_word_length: int = Field(default=0, ge=0)
    """A line with a longer word, in characters, is dropped; 0 turns this off."""
    min_words: int = Field(default=0, ge=0)
    """A line with fewer whitespace words is dropped, unless it is empty."""
    citations: bool = False
    """[digits], [edit] and [citation needed] are removed."""
    terminal_punctuation: bool = False
    """A line that does not end in . ? ! " or ', or ends in three full stops, is dropped."""
    javascript: bool = False
    """A line with the word is dropped."""
    policy: bool = False
    """A line with one of six phrases about terms of use, privacy and cookies is dropped."""

    newline_cap: int = Field(default=0, ge=0)
    """More consecutive line feeds become this many, before all else; 0 turns this off."""
    final_newline_cap: int = Field(default=0, ge=0)
    """The same with what the other rules leave."""
    max_uppercase: float = Field(default=1.0, ge=0)
    """A line with a larger share of upper-case characters is dropped."""
    max_digits: float = Field(default=1.0, ge=0)
    """The same for decimal digits."""
    counters: Literal["keep", "whole", "prefix"] = "keep"
    """Whether a line that is, or starts with, the counter of a social network is dropped: 3 likes, 1.2k views."""
    phrases: bool = False
    """In lines of at most ten words "items in cart", a final "read more..." and an initial "sign-in" are removed."""
    stripped_text: bool = False
    """Whether white space around the whole text is removed."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "none": {},
        "c4": {
            "stripped": True,
            "max_word_length": 1000,
            "min_words": 3,
            "citations": True,
            "javascript": True,
            "policy": True,
        },
        "dclm": {
            "min_words": 2,
            "newline_cap": 2,
            "max_uppercase": 0.5,
            "max_digits": 0.999999,
            "counters": "whole",
            "phrases": True,
            "stripped_text": True,
        },
        "dolma3": {
            "min_words": 2,
            "newline_cap": 2,
            "final_newline_cap": 2,
            "max_uppercase": 0.5,
            "max_digits": 0.999999,
            "counters": "prefix",
            "phrases": True,
            "stripped_text": True,
        },
    }

    @model_validator(mode="after")
    def _is_usable(self) -> Self:
        if self.citations and self.phrases:
            raise ValueError("citations and phrases cannot both be removed")
        if self.stripped and (self.newline_cap or self.final_newline_cap):
            raise ValueError("stripped lines leave no consecutive line feeds to cap")
        return self


ALL, NONPUNCTUATION, ALPHANUMERIC = range(3)
THREE_DOTS, ELLIPSIS_CHARACTER, SPACED_DOTS = 1, 2, 4
SPLITLINES, NEWLINES, NONBLANK, NEWLINE_RUNS = range(4)
OF_TEXT, OF_PIECES, OF_WORDS = range(3)
JUMPS, UNION_OF_WORDS, OVERLAPPING = range(3)
WHOLE, PREFIX = 1, 2

_CODES = {
    "all": ALL,
    "nonpunctuation": NONPUNCTUATION,
    "alphanumeric": ALPHANUMERIC,
    "splitlines": SPLITLINES,
    "newlines": NEWLINES,
    "nonblank": NONBLANK,
    "newline_runs": NEWLINE_RUNS,
    "text": OF_TEXT,
    "pieces": OF_PIECES,
    "words": OF_WORDS,
    "jumps": JUMPS,
    "union": UNION_OF_WORDS,
    "overlapping": OVERLAPPING,
    "keep": 0,
    "whole": WHOLE,
    "prefix": PREFIX,
}
_ELLIPSES = {"...": THREE_DOTS, "…": ELLIPSIS_CHARACTER, ". . .": SPACED_DOTS}


class Rules(NamedTuple):
    """Definitions and line edits as compiled code takes them: the codes above, 0 or 1, limits; see `rules`."""

    whitespace_words: int
    counted_words: int
    averaged_words: int
    symbol_words: int
    ellipses: int
    bullets: np.ndarray
    """int64: code points."""
    lines: int
    stripped_lines: int
    stop_word_occurrences: int
    stop_word_fold: int
    repeated_lines: int
    all_duplicates: int
    piece_denominator: int
    ngram_whitespace: int
    ngram_alphanumeric: int
    ngram_of_words: int
    longest_top: int
    repeated_ngrams: int
    ascii_line_ends: int
    blank_lines: int
    stripped: int
    max_word_length: int
    min_words: int
    citations: int
    terminal_punctuation: int
    javascript: int
    policy: int
    newline_cap: int
    final_newline_cap: int
    max_uppercase: float
    max_digits: float
    counters: int
    phrases: int
    stripped_text: int


def rules(definitions: Definitions, edits: LineEdits) -> Rules:
    """What the kernels read of both."""
    return Rules(
        whitespace_words=int(definitions.words == "whitespace"),
        counted_words=_CODES[definitions.counted_words],
        averaged_words=_CODES[definitions.averaged_words],
        symbol_words=int(definitions.symbols == "words"),
        ellipses=sum(_ELLIPSES[form] for form in set(definitions.ellipses)),
        bullets=np.array([ord(bullet) for bullet in definitions.bullets], np.int64),
        lines=_CODES[definitions.lines],
        stripped_lines=int(definitions.stripped_lines),
        stop_word_occurrences=int(definitions.stop_word_count == "occurrences"),
        stop_word_fold=int(not definitions.stop_word_case),
        repeated_lines=_CODES[definitions.repeated_lines],
        all_duplicates=int(definitions.duplicates == "all"),
        piece_denominator=_CODES[definitions.piece_denominator],
        ngram_whitespace=int(definitions.ngram_words == "whitespace"),
        ngram_alphanumeric=int(definitions.ngram_words == "alphanumeric"),
        ngram_of_words=int(definitions.ngram_denominator == "words"),
        longest_top=int(definitions.top_ngram == "longest_repeated"),
        repeated_ngrams=_CODES[definitions.repeated_ngrams],
        ascii_line_ends=int(definitions.line_end_marks == "ascii"),
        blank_lines=int(definitions.blank_lines),
        stripped=int(edits.stripped),
        max_word_length=edits.max_word_length,
        min_words=edits.min_words,
        citations=int(edits.citations),
        terminal_punctuation=int(edits.terminal_punctuation),
        javascript=int(edits.javascript),
        policy=int(edits.policy),
        newline_cap=edits.newline_cap,
        final_newline_cap=edits.final_newline_cap,
        max_uppercase=float(edits.max_uppercase),
        max_digits=float(edits.max_digits),
        counters=_CODES[edits.counters],
        phrases=int(edits.phrases),
        stripped_text=int(edits.stripped_text),
    )
