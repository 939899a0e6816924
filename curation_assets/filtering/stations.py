"""The stations of filtering: annotations of every document, and the gates over them."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from curation_assets.filtering.language import LANGUAGE_ANNOTATIONS, identify_language
from curation_assets.filtering.pii import PII_SPANS, find_pii
from curation_assets.filtering.signals import SIGNALS, annotate_signals
from curation_assets.filtering.survivors import Edits, read_texts
from curation_assets.filtering.urls import URL_ANNOTATIONS, UrlRules, annotate_urls
from curation_assets.lake.lake import Key, shared_key
from curation_assets.lake.parts import PartWriter, read_batches, read_table
from curation_assets.lake.query import query
from curation_assets.lake.station import Check, Inputs, PartStation, Station
from curation_assets.recipes.recipe import KEPT, Gate, Language, Pii, Recipe, UrlFilter

DOC = pa.field("doc", pa.int64())
ALIGNED = Check("every_document_has_one_row", "The table has exactly one row for each document.")

FILTER_VERDICTS = pa.schema(
    [
        DOC,
        ("verdict", pa.string()),
        ("station", pa.string()),
        ("position", pa.int32()),
        ("value", pa.float64()),
        ("limit", pa.float64()),
        ("detail", pa.string()),
        ("failed_gates", pa.list_(pa.string())),
    ]
)
GATES = pa.schema(
    [
        ("position", pa.int32()),
        ("station", pa.string()),
        ("name", pa.string()),
        ("signal", pa.string()),
        ("operator", pa.string()),
        ("limit", pa.float64()),
    ]
)

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
    "hash_ratio": "number signs per word",
    "ellipsis_ratio": "ellipses per word",
    "bullet_line_ratio": "share of lines that begin with a bullet",
    "ellipsis_line_ratio": "share of lines that end with an ellipsis",
    "alpha_word_ratio": "share of words with a letter",
    "stop_words": "how many of the, be, to, of, and, that, have, with occur",
    "c4_lorem_ipsum": "lines with lorem ipsum",
    "c4_curly_bracket": "lines with an opening curly bracket",
    "c4_sentences": "sentences in the lines that C4 keeps",
    "clean_lines": "lines of the cleaned text that are not blank",
    "line_punct_ratio": "share of them that end with terminal punctuation",
    "short_line_ratio": "share of them with at most 30 characters",
    "char_dup_ratio": "characters in lines that occurred before, share of the cleaned text",
    "list_ratio": "line breaks per word of the cleaned text",
    "characters": "characters of the text",
    "lines": "lines of the text",
    "line_edits": "spans (bytes of the extracted text) that make it the cleaned text: C4's dropped lines and citations",
}


class UrlParameters(BaseModel):
    """The lists that are consulted, and a hash of what they hold."""

    model_config = ConfigDict(frozen=True)

    url_filter: UrlFilter
    lists: str


class LanguageParameters(BaseModel):
    """How much of a text decides its language."""

    model_config = ConfigDict(frozen=True)

    characters: int = 1000


class PlacedGate(Gate):
    """A gate with its station and its place in the order of decisions."""

    station: str
    position: int


class GateParameters(BaseModel):
    """The gates in order, and what the computed signals compare with."""

    model_config = ConfigDict(frozen=True)

    consent: tuple[str, ...]
    languages: tuple[str, ...]
    gates: tuple[PlacedGate, ...]


def url_matches(documents: Key, rules: UrlFilter, lists: Path | None) -> PartStation:
    """What the block lists say of each document's URL."""
    return PartStation(
        key=shared_key(documents[:-1], "url_matches", rules, UrlFilter()),
        group="filtering",
        description="What the block lists of domains, URLs and words say of each document's URL "
        "(FineWeb's rules, with words compared whatever their case).",
        version="1",
        params=UrlParameters(url_filter=rules, lists=UrlRules.load(lists, rules.categories).fingerprint),
        inputs={"documents": documents},
        schema=pa.schema([DOC, *URL_ANNOTATIONS]),
        step=partial(match_urls, lists=lists),
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
    """The language of each document by fastText lid.176."""
    params = LanguageParameters(characters=language.characters)
    return PartStation(
        key=shared_key(documents[:-1], "languages", params, LanguageParameters()),
        group="filtering",
        description=f"Language by fastText lid.176 (Joulin et al. 2016) on the first {language.characters:,} "
        "characters of the text.",
        version="1",
        libraries=("fasttext-community",),
        params=params,
        inputs={"documents": documents},
        schema=pa.schema([DOC, *LANGUAGE_ANNOTATIONS]),
        step=identify_languages,
        columns={
            "language": "ISO 639 code; null where nothing is recognised",
            "language_score": "probability of the label, 0 to 1",
        },
        origins=dict.fromkeys(LANGUAGE_ANNOTATIONS.names, (("documents", "text"),)),
        conservation=(ALIGNED,),
    )


def identify_languages(inputs: Inputs, writer: PartWriter, params: LanguageParameters) -> None:
    """Identify the languages of one part."""
    for batch in read_batches(inputs["documents"], ["doc", "text"]):
        found = identify_language(batch["text"], params.characters)
        writer.write(found.add_column(0, DOC, batch["doc"]))
        writer.count("rows_in", batch.num_rows)
        writer.count("rows_out", batch.num_rows)


def signals(documents: Key) -> PartStation:
    """All statistics that the quality gates read, and the line edits."""
    return PartStation(
        key=(documents[0], "signals"),
        group="filtering",
        description="Every statistic of the Gopher, C4 and FineWeb rules as a column, in one pass over the text, "
        "and C4's line edits as byte spans.",
        version="1",
        inputs={"documents": documents},
        schema=pa.schema([DOC, *SIGNALS]),
        step=measure_signals,
        columns=SIGNAL_COLUMNS,
        origins=dict.fromkeys(SIGNALS.names, (("documents", "text"),)),
        conservation=(ALIGNED,),
    )


def measure_signals(inputs: Inputs, writer: PartWriter, params: None) -> None:
    """Measure the texts of one part."""
    for batch in read_batches(inputs["documents"], ["doc", "text"]):
        writer.write(annotate_signals(batch["text"]).add_column(0, DOC, batch["doc"]))
        writer.count("rows_in", batch.num_rows)
        writer.count("rows_out", batch.num_rows)


def filter_verdicts(recipe: Recipe, documents: Key, annotations: Sequence[Station]) -> PartStation:
    """The first gate that each document fails, and all that it fails."""
    return PartStation(
        key=(recipe.name, "filter_verdicts"),
        group="filtering",
        description=f"The gates of `{recipe.name}` over the annotations: for each document the first, in recipe "
        "order, that it fails, with value and limit, and the names of all that it fails. Null: it passes.",
        version="1",
        params=GateParameters(
            consent=recipe.consent,
            languages=recipe.language.languages,
            gates=tuple(
                PlacedGate(station=station, position=position, **gate.model_dump())
                for position, station, gate in recipe.gates
            ),
        ),
        inputs={
            "documents": documents,
            **{station.name: station.key for station in annotations},
        },
        schema=FILTER_VERDICTS,
        step=decide,
        columns={
            "verdict": "the gate, or the reason of acquisition; null when the document passes",
            "station": "the group of gates that it belongs to",
            "position": "place of the gate in the recipe; -1 for acquisition",
            "value": "what was measured",
            "limit": "what it was compared with",
            "detail": "what matched, in words",
            "failed_gates": "all gates that the document fails, in order",
        },
        conservation=(ALIGNED,),
    )


def decide(inputs: Inputs, writer: PartWriter, params: GateParameters) -> None:
    """Evaluate the gates over one part; filter_verdicts.sql."""
    gates = pa.Table.from_pylist([gate.model_dump() for gate in params.gates], schema=GATES)
    decided = query(
        "filtering/filter_verdicts",
        {name: [str(path)] for name, path in inputs.items()} | {"gates": gates},
        {
            "honoured": list(params.consent),
            "languages": list(params.languages),
            "signals": sorted({gate.signal for gate in params.gates}),
        },
        threads=1,
    )
    writer.write(decided)
    writer.count("rows_in", decided.num_rows)
    writer.count("rows_out", decided["verdict"].null_count)
    for count in decided["verdict"].drop_null().value_counts().to_pylist():
        writer.count(f"dropped.{count['values']}", count["counts"])


class PiiParameters(BaseModel):
    """What is masked, and the edits before it."""

    model_config = ConfigDict(frozen=True)

    pii: Pii
    edits: Edits


def pii_spans(recipe: Recipe, documents: Key, edits: Mapping[Key, str]) -> PartStation:
    """Where personal data stands in the text of the documents that are kept."""
    return PartStation(
        key=(recipe.name, "pii_spans"),
        group="filtering",
        description="E-mail addresses and public IP addresses in the text of the documents that are kept, as byte "
        "spans with their replacements (FineWeb's PII formatter, restarted in each document).",
        version="2",
        params=PiiParameters(pii=recipe.pii, edits=tuple((key[-1], column) for key, column in edits.items())),
        inputs={
            "documents": documents,
            **{key[-1]: key for key in edits},
            "verdicts": (recipe.name, "verdicts"),
        },
        schema=pa.schema([DOC, ("masks", PII_SPANS)]),
        step=find_spans,
        columns={"masks": "start, end (bytes of the text before masking), kind and replacement of each span"},
        origins={"masks": (("documents", "text"), *((key[-1], column) for key, column in edits.items()))},
        conservation=(Check("kept_documents_have_one_row", "The table has exactly one row for each kept document."),),
    )


def find_spans(inputs: Inputs, writer: PartWriter, params: PiiParameters) -> None:
    """Find the personal data of one part."""
    verdicts = read_table(inputs["verdicts"], ["doc", "verdict"])
    kept = verdicts.filter(pc.field("verdict") == KEPT)["doc"].to_numpy()
    for batch in read_texts(inputs, params.edits, kept):
        masks = find_pii(batch["text"], params.pii.email, params.pii.public_ip)
        writer.write(pa.table({"doc": batch["doc"], "masks": masks}))
        writer.count("rows_in", batch.num_rows)
        writer.count("rows_out", batch.num_rows)
        writer.count("spans", len(masks.flatten()))
