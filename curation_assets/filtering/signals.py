"""Quality signals: the numbers behind the rules of Gopher, C4, FineWeb and DCLM, for every document, in one pass.

The rules and their limits belong to the recipe; here are only their left-hand sides, as `definitions.Definitions` says,
by default as datatrove 0.10 computes them, with the words of ``words.py``. A document that one rule would drop is
measured for all others too.

Gopher's signals (Rae et al. 2021) are of the extracted text. The line edits (`definitions.LineEdits`, by default C4's,
Raffel et al. 2020) give the cleaned text, recorded as ``line_edits``; FineWeb's signals (Penedo et al. 2024) are of
that. All lengths are in characters.

Differences from the published filters, which stop early: lines with "lorem ipsum" or "{" are counted and then treated
like any other, and a share of nothing is 0.
"""

from collections.abc import Collection, Mapping

import numpy as np
import pyarrow as pa
from numba import njit

from curation_assets.filtering.characters import character_classes, character_classes_without_terminal, string_buffers
from curation_assets.filtering.definitions import (
    NEWLINE_RUNS,
    NONBLANK,
    OF_PIECES,
    OF_WORDS,
    SPLITLINES,
    Definitions,
    LineEdits,
    Rules,
    rules,
)
from curation_assets.filtering.edits import EDITS
from curation_assets.filtering.line_edits import edit_lines
from curation_assets.filtering.lines import split_lines, stripped
from curation_assets.filtering.quality import (
    StopWords,
    measure_bytes,
    measure_cleaned,
    measure_lines,
    measure_words,
    stop_word_table,
)
from curation_assets.filtering.repetition import (
    PIECE_CHARACTERS,
    PIECES,
    REPEATED,
    REPEATED_CHARACTERS,
    repeated_lines,
    repeated_ngrams,
    repeated_pieces,
    share,
    sized,
)
from curation_assets.filtering.words import given_words, segment, widened

BOUNDARIES = pa.list_(pa.struct([("start", pa.uint32()), ("end", pa.uint32())]))
"""The words of one text: bytes ``start`` to ``end`` (exclusive), sorted and disjoint."""

DATATROVE = Definitions()
C4 = LineEdits.model_validate("c4")

SIGNALS = pa.schema(
    [
        # Gopher repetition: shares of the extracted text's paragraphs, lines and characters
        ("dup_para_frac", pa.float64()),
        ("dup_para_char_frac", pa.float64()),
        ("dup_line_frac", pa.float64()),
        ("dup_line_char_frac", pa.float64()),
        *((f"top_{n}_gram", pa.float64()) for n in (2, 3, 4)),
        *((f"dup_{n}_gram", pa.float64()) for n in (5, 6, 7, 8, 9, 10)),
        # Gopher quality, of the extracted text
        ("words", pa.int64()),
        ("words_nonsymbol", pa.int64()),
        ("mean_word_length", pa.float64()),
        ("median_word_length", pa.float64()),
        ("hash_ratio", pa.float64()),
        ("ellipsis_ratio", pa.float64()),
        ("symbol_ratio", pa.float64()),
        ("alpha_word_ratio", pa.float64()),
        ("stop_words", pa.int64()),
        ("bullet_line_ratio", pa.float64()),
        ("ellipsis_line_ratio", pa.float64()),
        ("long_lines", pa.int64()),
        # Line edits: counts of lines with the words or the bracket, sentences in the lines kept, what was removed
        ("c4_lorem_ipsum", pa.int64()),
        ("c4_curly_bracket", pa.int64()),
        ("c4_sentences", pa.int64()),
        ("words_removed_share", pa.float64()),
        # FineWeb, of the cleaned text
        ("clean_lines", pa.int64()),
        ("line_punct_ratio", pa.float64()),
        ("short_line_ratio", pa.float64()),
        ("char_dup_ratio", pa.float64()),
        ("list_ratio", pa.float64()),
        # Size of the extracted text
        ("characters", pa.int64()),
        ("lines", pa.int64()),
        ("line_edits", EDITS),
    ]
)
"""Columns of the signals table; all are null where the text is."""

_COUNT = len(SIGNALS) - 1
(_DUP_PARA_FRAC, _DUP_LINE_FRAC, _TOP_2_GRAM, _WORDS, _BULLETS, _C4, _CLEAN_LINES, _CHARACTERS) = (
    SIGNALS.get_field_index(name)
    for name in (
        "dup_para_frac",
        "dup_line_frac",
        "top_2_gram",
        "words",
        "bullet_line_ratio",
        "c4_lorem_ipsum",
        "clean_lines",
        "characters",
    )
)


@njit(cache=True, nogil=True)
def _annotate(
    offsets: np.ndarray,
    data: np.ndarray,
    valid: np.ndarray,
    classes: np.ndarray,
    rules: Rules,
    stop_words: StopWords,
    stop_sets: np.ndarray,
    given: np.ndarray,
    given_firsts: np.ndarray,
    given_starts: np.ndarray,
    given_ends: np.ndarray,
    values: np.ndarray,
    edit_offsets: np.ndarray,
) -> tuple[np.ndarray, int]:
    """Measure every valid text.

    ``stop_sets``, int64[n], is the set of stop words of each row, or -1. ``given``, bool[n], says which rows have
    given words, spans ``given_firsts[row]`` to ``given_firsts[row + 1]`` of the two arrays behind it.

    Fills ``values``, float64[n, columns], and ``edit_offsets``, int64[n + 1], the number of edits before each
    row and in all; gives the edits, int64[3 * edits], and the first row whose given words cannot be, or -1.
    """
    # Not literals: Numba compiles a function once for a literal argument and once more for its type.
    zero, one = int(np.int64(0)), int(np.int64(1))
    rows = len(valid)
    edit_offsets[0] = 0
    edits = np.empty(3 * 1024, np.int64)
    edit = zero
    longest = 0
    for row in range(rows):
        longest = max(longest, offsets[row + 1] - offsets[row])
    text = np.empty(longest + 8, np.uint8)
    clean = np.empty(longest + 1 + 8, np.uint8)
    words = np.empty((1024, 5), np.int64)
    spaced_words = np.empty((1024, 5), np.int64)
    line_words = np.empty((64, 5), np.int64)
    table, mask = sized(np.empty(0, np.int64), 1024)
    marks = np.empty(0, np.int64)
    split = np.empty((256, 2), np.int64)
    newlines = np.empty((256, 2), np.int64)
    kept_lines = np.empty((256, 7), np.int64)
    removed = np.empty((64, 2), np.int64)
    seen = np.zeros(len(stop_words.keys), np.int64)
    lengths = np.empty(256, np.int64)
    found = np.empty(4, np.int64)
    needs_split = rules.lines == SPLITLINES or rules.repeated_lines == SPLITLINES or rules.stripped
    turn = one
    for row in range(rows):
        edit_offsets[row + 1] = edit
        if not valid[row]:
            continue
        out = values[row]
        # One writable copy, so that the kernels are compiled for one type of array only.
        end = offsets[row + 1] - offsets[row]
        for i in range(end):
            text[i] = data[offsets[row] + i]

        characters, hashes, ellipses, breaks, brackets = measure_bytes(text, end, rules.ellipses)
        out[_CHARACTERS] = characters
        if given[row]:
            words, count = given_words(
                text, end, given_starts, given_ends, given_firsts[row], given_firsts[row + 1], classes, words
            )
            if count < 0:
                return edits, row
        else:
            words, count = segment(text, zero, end, classes, zero, words)
        spaced_count = 0
        if rules.whitespace_words or rules.ngram_whitespace:
            spaced_words, spaced_count = segment(text, zero, end, classes, one, spaced_words)
        table, mask = sized(table, max(count, spaced_count, breaks + 1))
        if breaks + 1 > len(split):
            split = np.empty((2 * breaks + 2, 2), np.int64)
            newlines = np.empty((2 * breaks + 2, 2), np.int64)
            kept_lines = np.empty((2 * breaks + 2, 7), np.int64)
        if brackets + 8 > len(removed):
            removed = np.empty((2 * brackets + 16, 2), np.int64)
        newline_count = split_lines(text, end, one, newlines)
        split_count = zero
        if needs_split and breaks == newline_count - 1:
            split_count = newline_count - (newlines[newline_count - 1, 0] == end)
            for line in range(split_count):
                split[line, 0] = newlines[line, 0]
                split[line, 1] = newlines[line, 1]
        elif needs_split:
            split_count = split_lines(text, end, zero, split)

        word_characters = measure_words(
            text,
            spaced_words if rules.whitespace_words else words,
            spaced_count if rules.whitespace_words else count,
            hashes,
            ellipses,
            classes,
            rules,
            stop_words,
            stop_sets[row],
            seen,
            turn,
            lengths,
            out[_WORDS:],
        )
        if rules.lines == SPLITLINES:
            out[_CHARACTERS + 1] = measure_lines(text, split, split_count, classes, rules, out[_BULLETS:])
        else:
            out[_CHARACTERS + 1] = measure_lines(text, newlines, newline_count, classes, rules, out[_BULLETS:])

        if rules.all_duplicates and len(marks) < breaks + 1:
            marks = np.zeros(2 * breaks + 2, np.int64)
        first, last = stripped(text, zero, end, classes)
        for level, column in ((2, _DUP_PARA_FRAC), (1, _DUP_LINE_FRAC)):
            if level == 1:
                first, last = zero, end
            nonblank = rules.repeated_lines == NONBLANK
            if level == 2 or nonblank or rules.repeated_lines == NEWLINE_RUNS:
                repeated_pieces(text, first, last, level, nonblank, classes, table, mask, turn, marks, found)
            elif rules.repeated_lines == SPLITLINES:
                repeated_lines(text, split, split_count, table, mask, turn, marks, found)
            else:
                repeated_lines(text, newlines, newline_count, table, mask, turn, marks, found)
            turn += 1
            whole = characters
            if rules.piece_denominator == OF_PIECES:
                whole = found[PIECE_CHARACTERS]
            elif rules.piece_denominator == OF_WORDS:
                whole = word_characters
            out[column] = share(found[REPEATED], found[PIECES])
            out[column + 1] = share(found[REPEATED_CHARACTERS], whole)
        repeated_ngrams(
            text,
            spaced_words if rules.ngram_whitespace else words,
            spaced_count if rules.ngram_whitespace else count,
            characters,
            classes,
            rules,
            table,
            mask,
            turn,
            out[_TOP_2_GRAM:],
        )
        turn += 9

        room = 3 * (edit + breaks + brackets + 2)
        if rules.phrases:
            room += end
        if room > len(edits):
            edits = widened(edits, 2 * room)
        kept, edit, lorem_ipsum, curly_bracket = edit_lines(
            text,
            end,
            split if rules.stripped else newlines,
            split_count if rules.stripped else newline_count,
            classes,
            rules,
            clean,
            kept_lines,
            removed,
            edits,
            edit,
        )
        edit_offsets[row + 1] = edit
        line_words, sentences, counted = measure_cleaned(
            text,
            clean,
            kept_lines,
            kept,
            edits,
            words,
            count,
            given[row],
            classes,
            rules,
            line_words,
            table,
            mask,
            turn,
            out[_CLEAN_LINES:],
        )
        turn += 1
        out[_C4] = lorem_ipsum
        out[_C4 + 1] = curly_bracket
        out[_C4 + 2] = sentences
        out[_C4 + 3] = share(out[_WORDS + 1] - counted, out[_WORDS + 1])
    return edits[: 3 * edit], -1


def annotate_signals(
    texts: pa.LargeStringArray,
    definitions: Definitions = DATATROVE,
    edits: LineEdits = C4,
    boundaries: pa.ListArray | None = None,
    stop_words: Mapping[str, Collection[str]] | None = None,
    languages: pa.StringArray | None = None,
) -> pa.Table:
    """Measure texts.

    Args:
        texts: extracted texts.
        definitions: how the statistics are defined.
        edits: the line edits that give the cleaned text.
        boundaries: the Unicode words of each text, of type ``BOUNDARIES`` and of the same length, from another
            segmentation; null, for a row or for all: those of words.py.
        stop_words: stop words by language, instead of those of the definitions.
        languages: the language of each text, for ``stop_words``; a text whose language has no stop words has none.

    Returns:
        A table row-aligned with the texts, with the columns of ``SIGNALS``. A null text has only nulls, an
        empty text zeros and no edits. Shares are between 0 and 1, save ``top_*_gram``, ``hash_ratio``,
        ``ellipsis_ratio`` and ``symbol_ratio`` on odd texts, ``list_ratio``, and ``words_removed_share`` where edits
        join words so that there are more.

    Raises:
        ValueError: if lengths differ, stop words come without languages, or words of a row are unsorted, overlap,
            leave the text or cut a character.
    """
    offsets, data = string_buffers(texts)
    null = texts.is_null().to_numpy(zero_copy_only=False)
    values = np.zeros((len(texts), _COUNT))
    edit_offsets = np.empty(len(texts) + 1, np.int64)
    spans, wrong = _annotate(
        offsets,
        data,
        ~null,
        character_classes() if definitions.terminal_is_punctuation else character_classes_without_terminal(),
        rules(definitions, edits),
        *_stop_words(len(texts), definitions, stop_words, languages),
        *_given_words(len(texts), boundaries),
        values,
        edit_offsets,
    )
    if wrong >= 0:
        raise ValueError(f"the words of row {wrong} are unsorted, overlap, leave the text or cut a character")
    columns: list[pa.Array] = [
        pa.array(values[:, i], mask=null).cast(field.type) for i, field in enumerate(SIGNALS) if field.type != EDITS
    ]
    columns.append(_line_edits(edit_offsets, spans.reshape(-1, 3), null))
    return pa.table(columns, schema=SIGNALS)


def _stop_words(
    rows: int, definitions: Definitions, sets: Mapping[str, Collection[str]] | None, languages: pa.StringArray | None
) -> tuple[StopWords, np.ndarray]:
    """All stop words, and the set of each row."""
    if sets is None:
        return stop_word_table([definitions.stop_words]), np.zeros(rows, np.int64)
    if languages is None or len(languages) != rows:
        raise ValueError("stop words by language need the language of each text")
    names = sorted(sets)
    encoded = languages.dictionary_encode()
    numbers = {name: number for number, name in enumerate(names)}
    # A null is the last of all, which -1 names too.
    chosen = np.array([*(numbers.get(name, -1) for name in encoded.dictionary.to_pylist()), -1], np.int64)
    return stop_word_table([sets[name] for name in names]), chosen[encoded.indices.fill_null(-1).to_numpy()]


def _given_words(rows: int, boundaries: pa.ListArray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Which rows have given words, where those of each start, and their first bytes and bytes after the last."""
    nothing = np.empty(0, np.int64)
    if boundaries is None:
        return np.zeros(rows, np.bool_), nothing, nothing, nothing
    if len(boundaries) != rows:
        raise ValueError(f"{rows} texts but {len(boundaries)} lists of words")
    firsts = np.zeros(rows + 1, np.int64)
    np.cumsum(boundaries.value_lengths().fill_null(0).to_numpy(), out=firsts[1:])
    starts, ends = (spans.to_numpy().astype(np.int64) for spans in boundaries.flatten().flatten())
    return np.array(boundaries.is_valid()), firsts, starts, ends


def _line_edits(offsets: np.ndarray, edits: np.ndarray, null: np.ndarray) -> pa.ListArray:
    """Spans (start, end, 1 if a line feed replaces them) as ``EDITS``."""
    inserts = np.concatenate([[0], np.cumsum(edits[:, 2])]).astype(np.int32)
    replacements = pa.StringArray.from_buffers(
        len(edits), pa.py_buffer(inserts), pa.py_buffer(b"\n" * int(inserts[-1]))
    )
    starts, ends = (pa.array(edits[:, i].astype(np.uint32)) for i in (0, 1))
    spans = pa.StructArray.from_arrays([starts, ends, replacements], fields=list(EDITS.value_type))
    return pa.ListArray.from_arrays(
        pa.array(offsets.astype(np.int32)), spans, type=EDITS, mask=pa.array(null) if null.any() else None
    )
