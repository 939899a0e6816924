"""Quality signals: the numbers behind the rules of Gopher, C4 and FineWeb, for every document, in one pass.

The rules and their limits belong to the recipe; here are only their left-hand sides, computed as datatrove
0.10 computes them, with the words of ``words.py``. A document that one rule would drop is measured for all
others too.

Gopher's signals (Rae et al. 2021) are of the extracted text. C4's line rules (Raffel et al. 2020) give the
cleaned text, recorded as ``line_edits``; FineWeb's signals (Penedo et al. 2024) are of that. All lengths are
in characters.

Differences from datatrove, where it stops early: lines with "lorem ipsum" or "{" are counted and then
treated like any other, and a share of nothing is 0 where datatrove divides by zero.
"""

import numpy as np
import pyarrow as pa
from numba import njit

from curation_assets.filtering.characters import (
    ALPHA,
    PUNCT,
    TERMINAL,
    character_classes,
    decode,
    inner,
    string_buffers,
)
from curation_assets.filtering.edits import EDITS
from curation_assets.filtering.lines import (
    CURLY_BRACKET,
    JAVASCRIPT,
    LOREM_IPSUM,
    POLICY,
    forbidden,
    last_character,
    line_end,
    next_citation,
    packed,
    sentences,
    spaced_words,
    stripped,
)
from curation_assets.filtering.repetition import (
    INTERSECTION,
    LENGTH,
    START,
    STOP,
    UNION,
    duplicate_pieces,
    first_index,
    hash_bytes,
    repeated_ngrams,
    sized,
)
from curation_assets.filtering.words import doubled, next_word, widened

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
        ("hash_ratio", pa.float64()),
        ("ellipsis_ratio", pa.float64()),
        ("bullet_line_ratio", pa.float64()),
        ("ellipsis_line_ratio", pa.float64()),
        ("alpha_word_ratio", pa.float64()),
        ("stop_words", pa.int64()),
        # C4: counts of lines with the words or the bracket, and of sentences in the lines kept
        ("c4_lorem_ipsum", pa.int64()),
        ("c4_curly_bracket", pa.int64()),
        ("c4_sentences", pa.int64()),
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
(_DUP_PARA_FRAC, _DUP_LINE_FRAC, _TOP_2_GRAM, _WORDS, _BULLETS, _ALPHA, _C4, _CLEAN_LINES, _CHARACTERS) = (
    SIGNALS.get_field_index(name)
    for name in (
        "dup_para_frac",
        "dup_line_frac",
        "top_2_gram",
        "words",
        "bullet_line_ratio",
        "alpha_word_ratio",
        "c4_lorem_ipsum",
        "clean_lines",
        "characters",
    )
)
_STOP_WORDS = np.array(
    [int.from_bytes(w, "little") for w in (b"the", b"be", b"to", b"of", b"and", b"that", b"have", b"with")]
)
_SHORT_LINE = 30
_MAX_WORD_LENGTH = 1000
_MIN_LINE_WORDS = 3


@inner
def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


@inner
def _segment(text: np.ndarray, start: int, end: int, classes: np.ndarray, words: np.ndarray) -> tuple[np.ndarray, int]:
    """Fill the words array (see repetition.py), lengthened where needed; give it and the number of words."""
    count = 0
    while True:
        first, start, length, union, intersection = next_word(text, start, end, classes)
        if first == end:
            return words, count
        if count == len(words):
            words = doubled(words)
        words[count, START] = first
        words[count, STOP] = start
        words[count, LENGTH] = length
        words[count, UNION] = union
        words[count, INTERSECTION] = intersection
        count += 1


@inner
def _measure_bytes(text: np.ndarray, end: int) -> tuple[int, int, int, int, int]:
    """Characters, number signs, ellipses, and upper limits of line breaks and of citation marks."""
    characters = hashes = ellipses = breaks = brackets = dots = 0
    for i in range(end):
        byte = text[i]
        characters += byte & 0xC0 != 0x80
        hashes += byte == 0x23
        brackets += byte == 0x5B
        breaks += byte < 0x20 or byte == 0x85 or byte == 0xA8 or byte == 0xA9
        ellipses += byte == 0xA6 and text[i - 1] == 0x80 and text[i - 2] == 0xE2
        dots = dots + 1 if byte == 0x2E else 0
        if dots == 3:
            ellipses += 1
            dots = 0
    return characters, hashes, ellipses, breaks, brackets


@inner
def _measure_words(
    text: np.ndarray, words: np.ndarray, count: int, hashes: int, ellipses: int, out: np.ndarray
) -> None:
    """Gopher's word signals: ``words`` to ``ellipsis_ratio``, ``alpha_word_ratio`` and ``stop_words``."""
    nonsymbol = length = alphabetic = stop_words = 0
    for i in range(count):
        if not words[i, INTERSECTION] & PUNCT:
            nonsymbol += 1
            length += words[i, LENGTH]
        if words[i, UNION] & ALPHA:
            alphabetic += 1
            start = words[i, START]
            size = words[i, STOP] - start
            if 2 <= size <= 4:
                word = packed(text, start, start + size)
                for j in range(len(_STOP_WORDS)):
                    if word == _STOP_WORDS[j]:
                        stop_words |= 1 << j
    out[_WORDS] = count
    out[_WORDS + 1] = nonsymbol
    out[_WORDS + 2] = _share(length, nonsymbol)
    out[_WORDS + 3] = _share(hashes, count)
    out[_WORDS + 4] = _share(ellipses, count)
    out[_ALPHA] = _share(alphabetic, count)
    distinct = 0
    while stop_words:
        distinct += stop_words & 1
        stop_words >>= 1
    out[_ALPHA + 1] = distinct


@inner
def _is_kept(text: np.ndarray, first: int, last: int, classes: np.ndarray) -> bool:
    words, longest = spaced_words(text, first, last, classes)
    return words >= _MIN_LINE_WORDS and longest <= _MAX_WORD_LENGTH


@inner
def _set_edit(edits: np.ndarray, edit: int, start: int, end: int, newline: int) -> None:
    edits[3 * edit] = start
    edits[3 * edit + 1] = end
    edits[3 * edit + 2] = newline


@inner
def _clean(
    text: np.ndarray,
    end: int,
    clean: np.ndarray,
    classes: np.ndarray,
    words: np.ndarray,
    count: int,
    line_words: np.ndarray,
    table: np.ndarray,
    mask: int,
    turn: int,
    edits: np.ndarray,
    edit: int,
    out: np.ndarray,
) -> tuple[np.ndarray, int]:
    """Clean one text line by line: Gopher's line signals, C4's rules and edits, FineWeb's signals of what is left.

    ``clean`` is room for the cleaned text, ``line_words`` for the words of a line, and ``edits`` for (start,
    end, 1 if replaced by a line feed) of all edits, of which there are ``edit`` so far. Gives
    ``line_words``, which may have moved, and the number of edits.
    """
    lines = bullets = ellipses = lorem_ipsum = curly_bracket = total_sentences = 0
    kept = nonblank = punctuated = short = repeated = clean_characters = clean_words = 0
    position = kept_end = size = word = 0
    while position < end:
        start = position
        stop, position = line_end(text, position, end)
        lines += 1
        first, last = stripped(text, start, stop, classes)
        if first == last:
            continue
        bullets += text[first] == 0x2D or (text[first] == 0xE2 and text[first + 1] == 0x80 and text[first + 2] == 0xA2)
        if last - first >= 3:
            final = text[last - 1]
            ellipses += (final == 0x2E and text[last - 2] == 0x2E and text[last - 3] == 0x2E) or (
                final == 0xA6 and text[last - 2] == 0x80 and text[last - 3] == 0xE2
            )
        if not _is_kept(text, first, last, classes):
            continue

        edits_before = edit
        if kept:
            if first - kept_end != 1 or text[kept_end] != 0x0A:
                _set_edit(edits, edit, kept_end, first, 1)
                edit += 1
            clean[size] = 0x0A
        elif first:
            _set_edit(edits, edit, 0, first, 0)
            edit += 1
        begin = size + 1 if kept else 0
        after = begin
        copied = first
        while copied < last:
            citation, citation_end = next_citation(text, copied, last, classes)
            for i in range(copied, citation):
                clean[after] = text[i]
                after += 1
            if citation < last:
                _set_edit(edits, edit, citation, citation_end, 0)
                edit += 1
            copied = citation_end
        found = forbidden(clean, begin, after)
        if found & LOREM_IPSUM:
            lorem_ipsum += 1
        if found & CURLY_BRACKET and not found & JAVASCRIPT:
            curly_bracket += 1
        if found & (JAVASCRIPT | POLICY):
            edit = edits_before
            continue

        if after - begin == last - first:
            while word < count and words[word, START] < first:
                word += 1
            first_word = word
            while word < count and words[word, START] < last:
                word += 1
            clean_words += word - first_word
            total_sentences += sentences(text, words, first_word, word)
        else:
            line_words, line_count = _segment(clean, begin, after, classes, line_words)
            clean_words += line_count
            total_sentences += sentences(clean, line_words, 0, line_count)
        key, length = hash_bytes(clean, begin, after)
        clean_characters += length
        # Removed citations can leave white space.
        bare, bare_end = stripped(clean, begin, after, classes)
        if bare < bare_end:
            final, _ = decode(clean, last_character(clean, begin, after))
            punctuated += classes[final] & TERMINAL != 0
            short += length <= _SHORT_LINE
            if first_index(table, mask, turn, key, nonblank) != nonblank:
                repeated += length
            nonblank += 1
        kept += 1
        kept_end = last
        size = after
    if kept_end < end:
        _set_edit(edits, edit, kept_end, end, 0)
        edit += 1

    out[_BULLETS] = _share(bullets, lines)
    out[_BULLETS + 1] = _share(ellipses, lines)
    out[_C4] = lorem_ipsum
    out[_C4 + 1] = curly_bracket
    out[_C4 + 2] = total_sentences
    out[_CLEAN_LINES] = nonblank
    out[_CLEAN_LINES + 1] = _share(punctuated, nonblank)
    out[_CLEAN_LINES + 2] = _share(short, nonblank)
    out[_CLEAN_LINES + 3] = _share(repeated, clean_characters)
    out[_CLEAN_LINES + 4] = _share(max(kept - 1, 0), clean_words)
    out[_CHARACTERS + 1] = lines
    return line_words, edit


@njit(cache=True, nogil=True)
def _annotate(
    offsets: np.ndarray,
    data: np.ndarray,
    valid: np.ndarray,
    classes: np.ndarray,
    values: np.ndarray,
    edit_offsets: np.ndarray,
) -> np.ndarray:
    """Measure every valid text.

    Fills ``values``, float64[n, columns], and ``edit_offsets``, int64[n + 1], the number of edits before each
    row and in all; gives the edits, int64[3 * edits].
    """
    rows = len(valid)
    edit_offsets[0] = 0
    edits = np.empty(3 * 1024, np.int64)
    edit = 0
    longest = 0
    for row in range(rows):
        longest = max(longest, offsets[row + 1] - offsets[row])
    text = np.empty(longest, np.uint8)
    clean = np.empty(longest + 1, np.uint8)
    words = np.empty((1024, 5), np.int64)
    line_words = np.empty((64, 5), np.int64)
    table, mask = sized(np.empty((0, 2), np.int64), 1024)
    turn = 1
    for row in range(rows):
        edit_offsets[row + 1] = edit
        if not valid[row]:
            continue
        out = values[row]
        # One writable copy, so that the kernels are compiled for one type of array only.
        end = offsets[row + 1] - offsets[row]
        for i in range(end):
            text[i] = data[offsets[row] + i]

        characters, hashes, ellipses, breaks, brackets = _measure_bytes(text, end)
        out[_CHARACTERS] = characters
        words, count = _segment(text, 0, end, classes, words)
        _measure_words(text, words, count, hashes, ellipses, out)

        table, mask = sized(table, max(count, breaks + 1))
        first, last = stripped(text, 0, end, classes)
        for newlines, column in ((2, _DUP_PARA_FRAC), (1, _DUP_LINE_FRAC)):
            if newlines == 1:
                first, last = 0, end
            pieces, repeated, length = duplicate_pieces(text, first, last, newlines, table, mask, turn)
            turn += 1
            out[column] = repeated / pieces
            out[column + 1] = _share(length, characters)
        repeated_ngrams(text, words, count, table, mask, turn, out[_TOP_2_GRAM:])
        turn += 9
        for i in range(9):
            out[_TOP_2_GRAM + i] = _share(out[_TOP_2_GRAM + i], characters)

        room = 3 * (edit + breaks + brackets + 2)
        if room > len(edits):
            edits = widened(edits, 2 * room)
        line_words, edit = _clean(
            text, end, clean, classes, words, count, line_words, table, mask, turn, edits, edit, out
        )
        turn += 1
        edit_offsets[row + 1] = edit
    return edits[: 3 * edit]


def annotate_signals(texts: pa.LargeStringArray) -> pa.Table:
    """Measure texts.

    Args:
        texts: extracted texts.

    Returns:
        A table row-aligned with the texts, with the columns of ``SIGNALS``. A null text has only nulls, an
        empty text zeros and no edits. Shares are between 0 and 1, save ``top_*_gram``, ``hash_ratio`` and
        ``ellipsis_ratio`` on odd texts, and ``list_ratio``.
    """
    offsets, data = string_buffers(texts)
    null = texts.is_null().to_numpy(zero_copy_only=False)
    values = np.zeros((len(texts), _COUNT))
    edit_offsets = np.empty(len(texts) + 1, np.int64)
    edits = _annotate(offsets, data, ~null, character_classes(), values, edit_offsets)
    columns: list[pa.Array] = [
        pa.array(values[:, i], mask=null).cast(field.type) for i, field in enumerate(SIGNALS) if field.type != EDITS
    ]
    columns.append(_line_edits(edit_offsets, edits.reshape(-1, 3), null))
    return pa.table(columns, schema=SIGNALS)


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
