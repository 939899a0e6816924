"""The stations of filtering: annotations of every document, and the gates over them."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from curation_assets.acquisition.documents import REASONS
from curation_assets.filtering.definitions import Definitions, LineEdits
from curation_assets.filtering.fasttext_model import LID_176
from curation_assets.filtering.fineweb2_languages import findable_stop_words
from curation_assets.filtering.gates import FILTER_VERDICTS, GateParameters, decisions, gate_parameters
from curation_assets.filtering.language import LANGUAGE_ANNOTATIONS, identify_language
from curation_assets.filtering.language_scripts import language_scripts
from curation_assets.filtering.segmentation import word_boundaries
from curation_assets.filtering.showing import show_languages, show_signals, show_url_matches
from curation_assets.filtering.signals import C4, SIGNALS, annotate_signals
from curation_assets.filtering.urls import URL_ANNOTATIONS, UrlRules, annotate_urls
from curation_assets.lake.contracts import Column, Contract, each, spans
from curation_assets.lake.lake import Key, file_sha256, shared_key
from curation_assets.lake.parts import PartWriter, read_batches, read_table
from curation_assets.lake.station import Check, Inputs, PartStation, Station
from curation_assets.provenance.showing import show_verdicts
from curation_assets.recipes.recipe import Language, Recipe, UrlFilter

DOC = pa.field("doc", pa.int64())
BESIDE = ("documents",)
ALIGNED = Check("every_document_has_one_row", "The table has exactly one row for each document.", by_parts=BESIDE)
LABELLED = Check("only_texts_have_a_language", "What has no text has no language and the score 0.", by_parts=BESIDE)
MEASURED = Check(
    "all_texts_are_measured", "Every document with text, and no other, has its statistics.", by_parts=BESIDE
)

OF_DOCUMENTS = Column(references="documents.doc")

SIGNAL_COLUMNS = {
    "dup_para_frac": "paragraphs that occurred before, share of all paragraphs",
    "dup_para_char_frac": "their characters, share of the text",
    "dup_line_frac": "lines that occurred before, share of all lines",
    "dup_line_char_frac": "their characters, share of the text",
    **{f"top_{n}_gram": f"characters of the most frequent {n}-gram of words, times its count" for n in (2, 3, 4)},
    **{f"dup_{n}_gram": f"characters in {n}-grams of words that occurred before, share" for n in range(5, 11)},
    "words": "words of the text; see filtering/words.py for what a word is",
    "words_nonsymbol": "words with a character that is not punctuation",
    "mean_word_length": "mean length of these, in characters",
    "median_word_length": "median length of these; lengths above 255 count as 255",
    "hash_ratio": "number signs per word",
    "ellipsis_ratio": "ellipses per word",
    "symbol_ratio": "number signs and ellipses per word",
    "alpha_word_ratio": "share of words with a letter",
    "stop_words": "how many of the, be, to, of, and, that, have, with occur",
    "bullet_line_ratio": "share of lines that begin with a bullet",
    "ellipsis_line_ratio": "share of lines that end with an ellipsis",
    "long_lines": "lines with at least 200 characters",
    "c4_lorem_ipsum": "lines with lorem ipsum",
    "c4_curly_bracket": "lines with an opening curly bracket",
    "c4_sentences": "sentences in the lines that the line edits keep",
    "words_removed_share": "share of words_nonsymbol that the line edits removed",
    "clean_lines": "lines of the cleaned text that are not blank",
    "line_punct_ratio": "share of them that end with terminal punctuation",
    "short_line_ratio": "share of them with at most 30 characters",
    "char_dup_ratio": "characters in lines that occurred before, share of the cleaned text",
    "list_ratio": "line breaks per word of the cleaned text",
    "characters": "characters of the text",
    "lines": "lines of the text",
    "line_edits": "spans (bytes of the extracted text) that make it the cleaned text: C4's dropped lines and citations",
}


SHARES = (
    "dup_para_frac",
    "dup_para_char_frac",
    "dup_line_frac",
    "dup_line_char_frac",
    *(f"dup_{n}_gram" for n in range(5, 11)),
    "alpha_word_ratio",
    "bullet_line_ratio",
    "ellipsis_line_ratio",
    "line_punct_ratio",
    "short_line_ratio",
    "char_dup_ratio",
)
"""Statistics that cannot be above 1. Some ratios can: a word may hold many number signs, n-grams may overlap."""

SIGNALS_CONTRACT = Contract(
    {
        **each(SIGNALS.names, Column(null=True, least=0)),
        **each(SHARES, Column(null=True, least=0, most=1)),
        "doc": OF_DOCUMENTS,
        "words_removed_share": Column(null=True, most=1),
        "median_word_length": Column(null=True, least=0, most=255),
        "line_edits": Column(null=True),
    },
    conditions={
        "all statistics are missing, or none": " + ".join(f"({name} IS NULL)::INTEGER" for name in SIGNALS.names)
        + f" IN (0, {len(SIGNALS)})",
        **spans("line_edits"),
        "line_edits lie in the text": 'line_edits[-1]."end" <= 4 * characters',
    },
)


class UrlParameters(BaseModel):
    """The lists that are consulted, and a hash of what they hold."""

    model_config = ConfigDict(frozen=True)

    url_filter: UrlFilter
    lists: str


class LanguageParameters(BaseModel):
    """How much of a text decides its language, with which model, and what the labels are."""

    model_config = ConfigDict(frozen=True)

    characters: int = 1000
    model: Path | None = None
    sha256: str | None = None
    """Of the model."""
    multilingual: bool = False


class SignalParameters(BaseModel):
    """How statistics are defined and lines are edited, and whether words and stop words depend on the language."""

    model_config = ConfigDict(frozen=True)

    definitions: Definitions = Definitions()
    line_edits: LineEdits = C4
    multilingual: bool = False


def url_matches(documents: Key, rules: UrlFilter, lists: Path | None) -> PartStation:
    """What the block lists say of each document's URL. Raises `ValueError` for a category that no list knows."""
    loaded = UrlRules.load(lists, rules.categories)
    if unknown := set(loaded.absent) - set(UrlFilter().categories):
        usual = ", ".join(UrlFilter().categories)
        raise ValueError(
            f"url_filter.categories: the lists have no {', '.join(sorted(unknown))}. A category is a folder of "
            f"{lists or 'the lists that the settings name'}, or one of the usual ones: {usual}"
        )
    return PartStation(
        key=shared_key(documents[:-1], "url_matches", rules, UrlFilter()),
        group="filtering",
        description="What the block lists of domains, URLs and words say of each document's URL "
        "(FineWeb's rules, datatrove's `URLFilter`, Penedo et al. 2024, arXiv 2406.17557, with words compared whatever "
        "their case; domains of the UT1 lists).",
        version="1",
        params=UrlParameters(url_filter=rules, lists=loaded.fingerprint),
        inputs={"documents": documents},
        schema=pa.schema([DOC, *URL_ANNOTATIONS]),
        step=partial(match_urls, lists=lists),
        show=show_url_matches,
        columns={
            "url_domain_listed": "1 when the host, its registered domain or the URL is on a list",
            "url_domain_category": "the category of the list",
            "url_hard_words": "distinct words of the URL that decide alone",
            "url_soft_words": "distinct words of the URL that decide together",
            "url_subwords": "distinct words found inside the URL without its separators",
            "url_match": "what matched first",
        },
        origins=dict.fromkeys(
            URL_ANNOTATIONS.names, (("documents", "url"), ("documents", "host"), ("documents", "registered_domain"))
        ),
        contract=Contract(
            {
                "doc": OF_DOCUMENTS,
                "url_domain_listed": Column(among=(0, 1)),
                "url_domain_category": Column(null=True, among=rules.categories),
                **each(("url_hard_words", "url_soft_words", "url_subwords"), Column(least=0)),
                "url_match": Column(null=True),
            },
            conditions={"what is listed has a category": "(url_domain_listed = 1) = (url_domain_category IS NOT NULL)"},
        ),
        conservation=(ALIGNED,),
    )


def match_urls(inputs: Inputs, writer: PartWriter, params: UrlParameters, lists: Path | None) -> None:
    """Annotate the URLs of one part."""
    rules = UrlRules.load(lists, params.url_filter.categories)
    for batch in read_batches(inputs["documents"], ["doc", "url", "host", "registered_domain"], 16384):
        matches = annotate_urls(batch["url"], batch["host"], batch["registered_domain"], rules)
        writer.write(matches.add_column(0, DOC, batch["doc"]))
        writer.count("rows_in", batch.num_rows)
        writer.count("rows_out", batch.num_rows)


def languages(documents: Key, language: Language) -> PartStation:
    """The language of each document by fastText. Raises `FileNotFoundError` when the model is not there."""
    if language.model is not None and not language.model.is_file():
        raise FileNotFoundError(f"language.model: {language.model} is no file; give a fastText model's path")
    params = LanguageParameters(
        characters=language.characters,
        model=language.model,
        sha256=file_sha256(language.model) if language.model else None,
        multilingual=language.multilingual,
    )
    model = language.model.name if language.model else "lid.176"
    script = ", and the script that most of its letters have" if language.multilingual else ""
    return PartStation(
        key=shared_key(documents[:-1], "languages", params, LanguageParameters()),
        group="filtering",
        description=f"Language by fastText {model} (Joulin et al. 2016) on the first {language.characters:,} "
        f"characters of the text{script}.",
        version="2",
        params=params,
        inputs={"documents": documents},
        schema=pa.schema([DOC, *LANGUAGE_ANNOTATIONS]),
        step=identify_languages,
        show=show_languages,
        columns={
            "language": "the model's label (ISO 639), or language and script (`deu_Latn`); null where nothing is "
            "recognised",
            "language_score": "probability of the label, 0 to 1",
        },
        origins=dict.fromkeys(LANGUAGE_ANNOTATIONS.names, (("documents", "text"),)),
        contract=Contract(
            {
                "doc": OF_DOCUMENTS,
                # A model of the user's own has labels of its own.
                "language": Column(null=True, regex=None if language.model else "[a-z]{2,3}(?:_[A-Z][a-z]{3})?"),
                "language_score": Column(least=0, most=1),
            }
        ),
        conservation=(ALIGNED, LABELLED),
    )


def identify_languages(inputs: Inputs, writer: PartWriter, params: LanguageParameters) -> None:
    """Identify the languages of one part."""
    for batch in read_batches(inputs["documents"], ["doc", "text"]):
        found = identify_language(batch["text"], params.characters, params.model or LID_176)
        if params.multilingual:
            labels = language_scripts(batch["text"].cast(pa.large_string()), found["language"].combine_chunks())
            found = found.set_column(0, LANGUAGE_ANNOTATIONS.field(0), labels)
        writer.write(found.add_column(0, DOC, batch["doc"]))
        writer.count("rows_in", batch.num_rows)
        writer.count("rows_out", batch.num_rows)


def signals(documents: Key, languages: Key, recipe: Recipe) -> PartStation:
    """All statistics that the quality gates read, and the line edits."""
    multilingual = recipe.language.multilingual
    params = SignalParameters(definitions=recipe.signals, line_edits=recipe.line_edits, multilingual=multilingual)
    return PartStation(
        key=shared_key((languages if multilingual else documents)[:-1], "signals", params, SignalParameters()),
        group="filtering",
        description="Every statistic of the rules of Gopher (Rae et al. 2021, arXiv 2112.11446, table A1), C4 (Raffel "
        "et "
        "al. 2020, section 2.2), RefinedWeb (Penedo et al. 2023, arXiv 2306.01116), FineWeb (Penedo et al. 2024, arXiv "
        "2406.17557, section 3.6) and DCLM (Li et al. 2024) as a column, in one pass over the text, and the line edits "
        "as byte spans.",
        version="2",
        libraries=("icu4py",) if multilingual else (),
        params=params,
        inputs={"documents": documents, **({"languages": languages} if multilingual else {})},
        schema=pa.schema([DOC, *SIGNALS]),
        step=measure_signals,
        show=partial(show_signals, gates=[gate for _, _, gate in recipe.gates]),
        columns=SIGNAL_COLUMNS,
        origins=dict.fromkeys(SIGNALS.names, (("documents", "text"),)),
        contract=SIGNALS_CONTRACT,
        conservation=(ALIGNED, MEASURED),
    )


def measure_signals(inputs: Inputs, writer: PartWriter, params: SignalParameters) -> None:
    """Measure the texts of one part."""
    labels = read_table(inputs["languages"], ["language"])["language"] if params.multilingual else None
    row = 0
    for batch in read_batches(inputs["documents"], ["doc", "text"]):
        texts = batch["text"].cast(pa.large_string())
        by_language: dict[str, Any] = {}
        if labels is not None:
            own = labels[row : row + batch.num_rows].combine_chunks()
            stop_words = {label: findable_stop_words(label) for label in own.unique().drop_null().to_pylist()}
            by_language = {"boundaries": word_boundaries(texts, own), "stop_words": stop_words, "languages": own}
        row += batch.num_rows
        measured = annotate_signals(texts, params.definitions, params.line_edits, **by_language)
        writer.write(measured.add_column(0, DOC, batch["doc"]))
        writer.count("rows_in", batch.num_rows)
        writer.count("rows_out", batch.num_rows)


def filter_verdicts(recipe: Recipe, documents: Key, annotations: Sequence[Station]) -> PartStation:
    """The first gate that each document fails, and all that it fails."""
    return PartStation(
        key=(recipe.name, "filter_verdicts"),
        group="filtering",
        description=f"The gates of `{recipe.name}` over the annotations: for each document the first, in recipe "
        f"order, that it fails, with value and limit, and the names of all that it fails. Null: it passes. The recipe: "
        f"{recipe.description} Its file names the source of each limit.",
        version="1",
        params=gate_parameters(recipe),
        inputs={
            "documents": documents,
            **{station.name: station.key for station in annotations},
        },
        schema=FILTER_VERDICTS,
        step=decide,
        show=partial(show_verdicts, names=[gate.name for _, _, gate in recipe.gates]),
        columns={
            "verdict": "the gate, or the reason of acquisition; null when the document passes",
            "station": "the group of gates that it belongs to",
            "position": "place of the gate in the recipe; -1 for acquisition",
            "value": "what was measured",
            "limit": "what it was compared with",
            "detail": "what matched, in words",
            "failed_gates": "all gates that the document fails, in order",
        },
        contract=filter_contract(recipe),
        conservation=(
            ALIGNED,
            Check("verdicts_are_counted", "The counters of the manifest are those of the table."),
        ),
    )


def filter_contract(recipe: Recipe) -> Contract:
    """What holds of the first gate that a document fails."""
    gates = [gate.name for _, _, gate in recipe.gates]
    stations = dict.fromkeys(station for _, station, _ in recipe.gates)
    return Contract(
        {
            "doc": OF_DOCUMENTS,
            "verdict": Column(null=True, among=(*REASONS, *gates)),
            "station": Column(null=True, among=("acquisition", *stations)),
            "position": Column(null=True, least=-1, most=max(recipe.positions.values(), default=-1)),
            **each(("value", "limit", "detail"), Column(null=True)),
        },
        conditions={
            "what is dropped has a station and a position": "(verdict IS NULL) = (station IS NULL) "
            "AND (verdict IS NULL) = (position IS NULL)",
            "what a gate drops has a value and a limit": "position IS NULL OR position < 0 "
            'OR (value IS NOT NULL AND "limit" IS NOT NULL)',
            "the verdict is the first of the failed gates": "position IS NULL OR position < 0 "
            "OR failed_gates[1] = verdict",
        },
    )


def decide(inputs: Inputs, writer: PartWriter, params: GateParameters) -> None:
    """Evaluate the gates over one part."""
    decided = decisions(inputs, params)
    writer.write(decided)
    writer.count("rows_in", decided.num_rows)
    writer.count("rows_out", decided["verdict"].null_count)
    for count in decided["verdict"].drop_null().value_counts().to_pylist():
        writer.count(f"dropped.{count['values']}", count["counts"])
