"""Four axes of a dataset for language models, and what we measure on each.

The axes are those of Zhou et al. 2025, "A Survey of LLM × DATA" (arXiv 2505.18458), section 2.1, which defines them in
words alone. The measures are ours: each says what it counts, and each axis what it leaves out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from curation_assets.provenance.report import Report

FORM = {
    "line_punct_ratio": ("lines that end with terminal punctuation", "share of the lines of a text, mean over texts"),
    "alpha_word_ratio": ("words with a letter", "share of the words of a text, mean over texts"),
    "dup_line_frac": ("repeated lines", "share of the lines of a text that occurred in it before, mean over texts"),
    "dup_5_gram": (
        "repeated 5-grams",
        "share of the characters of a text in 5-grams of words that occurred in it before, mean over texts",
    ),
    "language_score": ("certainty of the language", "probability that the model gives its label, mean over texts"),
}

SIGNS = {
    True: "response records with it, which the recipe drops",
    False: "response records with it; the recipe does not ask for it",
}


@dataclass(frozen=True)
class Measured:
    """One figure, before curation and after it."""

    name: str
    definition: str
    before: str
    after: str


@dataclass(frozen=True)
class Axis:
    """An axis: what it asks for, what we count, and what nobody counted."""

    name: str
    sense: str
    measures: Sequence[Measured]
    unmeasured: str


def axes(report: Report) -> list[Axis]:
    """The four axes of a snapshot's corpus. Before: all texts as extracted. After: the documents that are kept."""
    languages, kept_languages = report.languages_of_texts, report.languages_of_kept
    domains, kept_domains = report.domains_of_records, report.domains_of_kept
    return [
        Axis(
            "Inclusiveness",
            "Broad and varied coverage: domains, sources, languages, styles, tasks, modalities.",
            [
                Measured("languages", "labels with a text", f"{languages.classes:,}", f"{kept_languages.classes:,}"),
                Measured(
                    "effective languages",
                    "exp of the entropy of their shares: as many equally frequent ones would be as diverse (Hill 1973)",
                    f"{languages.effective:,.1f}",
                    f"{kept_languages.effective:,.1f}",
                ),
                Measured(
                    "sites",
                    "registered domains by the public suffix list; before: of all response records",
                    f"{domains.classes:,}",
                    f"{kept_domains.classes:,}",
                ),
                Measured(
                    "effective sites",
                    "exp of the entropy of their shares of documents",
                    f"{domains.effective:,.1f}",
                    f"{kept_domains.effective:,.1f}",
                ),
            ],
            "Topics, tasks and styles need a classifier; everything here is text.",
        ),
        Axis(
            "Abundance",
            "Enough data, in a balanced composition, so that nothing is learnt by heart.",
            [
                Measured("documents", "with text; those that are kept", f"{report.texts:,}", f"{report.kept:,}"),
                Measured(
                    "tokens", "by the tokenizer of the shards, ends of documents included", "", f"{report.tokens:,}"
                ),
                Measured(
                    "evenness of sites",
                    "Pielou's index: entropy over its maximum, 1 when all sites have as many documents",
                    f"{domains.evenness:.3f}",
                    f"{kept_domains.evenness:.3f}",
                ),
                Measured(
                    "largest site",
                    "its share of documents",
                    f"{domains.largest:.2%}",
                    f"{kept_domains.largest:.2%}",
                ),
                Measured(
                    "duplicates",
                    "documents that a deduplication dropped, of those with text",
                    share(report.duplicates, report.texts),
                    "",
                ),
            ],
            "What balance is right depends on what a model is for.",
        ),
        Axis(
            "Articulation",
            "Well-formatted, clean, self-contained and instructive text, with reasoning shown in steps.",
            [
                Measured(*FORM[one.name], mean(one.extracted), mean(one.kept))
                for one in sorted(report.form, key=lambda one: list(FORM).index(one.name))
            ],
            "How instructive a text is and whether it reasons need a model: see the recipe station quality_scores.",
        ),
        Axis(
            "Sanitization",
            "Nothing private, toxic, biased or misleading; lawful and neutral.",
            [
                *(Measured(one.name, SIGNS[one.honoured], f"{one.records:,}", f"{one.kept:,}") for one in report.signs),
                *(
                    Measured(
                        f"{one.kind.replace('_', ' ')} masked",
                        "spans, and the documents that they are in",
                        "",
                        f"{one.spans:,} in {one.documents:,}",
                    )
                    for one in report.masked
                ),
                Measured(
                    "masks",
                    "spans of personal data that were masked, per million tokens",
                    "",
                    f"{1e6 * report.masks / report.tokens:,.1f}" if report.tokens else "",
                ),
            ],
            "Names, telephone numbers and postal addresses are not looked for; nor are toxicity, bias and truth.",
        ),
    ]


def share(part: int, whole: int) -> str:
    """A share in per cent; empty of nothing."""
    return f"{part / whole:.2%}" if whole else ""


def mean(value: float | None) -> str:
    """A mean of shares; empty where there is none."""
    return "" if value is None else f"{value:.3f}"
