"""Words of languages written without spaces: ``words.py``, and a dictionary where that has single letters.

For Chinese, Japanese, Thai, Lao, Khmer and Burmese ``words.py`` takes every letter for a word, while FineWeb2's
limits were found with the words of jieba, Sudachi, PyThaiNLP, LaoNLP, khmer-nltk and the like. ICU's word break
iterator (Unicode Standard Annex 29, with dictionaries for these scripts) stands for all of them;
``benchmarks/dictionaries.py`` measures how well. It decides only what ``words.py`` cannot: two of its words that
touch, of which one is such a letter, are one word if ICU has no boundary between them. All else (numbers,
symbols, Latin words, the zero-width space that Khmer and Burmese put between words) is as everywhere.

ICU has no dictionary for Tibetan, where a word is a syllable here, and Korean is written with spaces.
"""

import itertools
from operator import itemgetter

import numpy as np
import pyarrow as pa
from numba import njit

from curation_assets.filtering.characters import SINGLE, character_classes, string_buffers
from curation_assets.filtering.words import next_word, widened

WORD_BOUNDARIES = pa.list_(pa.struct([("start", pa.uint32()), ("end", pa.uint32())]))
"""The words of one text: bytes ``start`` to ``end`` (exclusive) of its UTF-8; sorted and disjoint."""

SCRIPTS = ("Hani", "Hans", "Hant", "Hira", "Jpan", "Kana", "Khmr", "Laoo", "Mymr", "Thai")
"""ISO 15924 codes of the scripts for which ICU has a dictionary."""

_AT_ONCE = 1 << 24
_MOST = 1 << 30


@njit(cache=True, nogil=True)
def _merge(
    offsets: np.ndarray, data: np.ndarray, boundaries: np.ndarray, classes: np.ndarray, lists: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """First bytes of all words, and the bytes after their last, counted from the start of their text.

    ``boundaries`` (int64) has, in ascending order, the offsets of ICU's boundaries in UTF-16 code units, in all
    texts joined by single line feeds. Fills ``lists``, int32[n + 1], the number of words before each text.
    """
    starts = np.empty(len(boundaries) + 16, np.int64)
    stops = np.empty(len(boundaries) + 16, np.int64)
    count = 0
    units = boundary = 0
    for row in range(len(offsets) - 1):
        first = position = counted = offsets[row]
        end = offsets[row + 1]
        lists[row] = count
        stop = -1
        is_letter = False
        while True:
            start, position, _, union, _ = next_word(data, position, end, classes)
            was_letter, is_letter = is_letter, union & SINGLE != 0
            for i in range(counted, start):
                units += (data[i] & 0xC0 != 0x80) + (data[i] >= 0xF0)
            counted = start
            if start == end:
                break
            joined = False
            if start == stop and (is_letter or was_letter):
                while boundary < len(boundaries) and boundaries[boundary] < units:
                    boundary += 1
                joined = boundary == len(boundaries) or boundaries[boundary] != units
            stop = position
            if joined:
                stops[count - 1] = stop - first
                continue
            if count == len(starts):
                starts = widened(starts, 2 * count)
                stops = widened(stops, 2 * count)
            starts[count] = start - first
            stops[count] = stop - first
            count += 1
        units += 1
    lists[len(offsets) - 1] = count
    return starts[:count], stops[:count]


def _icu_boundaries(text: str) -> np.ndarray:
    """Offsets of the ends of what ICU takes a text apart into, in UTF-16 code units, ascending, int64."""
    from icu4py.breakers import WordBreaker

    # The dictionaries go by script, so the locale does not matter.
    return np.fromiter(map(itemgetter(1), WordBreaker(text, "root").segments()), np.int64)


def word_boundaries(texts: pa.LargeStringArray, languages: pa.StringArray) -> pa.ListArray:
    """Words of the texts for which a dictionary is needed.

    Args:
        texts: texts.
        languages: label of language and script of each, such as ``tha_Thai``.

    Returns:
        ``WORD_BOUNDARIES``, row-aligned; null where the text or the label is null, or the script is none of
        ``SCRIPTS``: there ``words.py`` is all that is needed. Time is linear in the text.

    Raises:
        ValueError: if the lengths differ, or such a text is longer than a gibibyte.
    """
    if len(texts) != len(languages):
        raise ValueError(f"{len(texts)} texts but {len(languages)} languages")
    # A label occurs many times: each is looked at once.
    labels = languages.dictionary_encode()
    in_script = np.array([*((label or "")[-4:] in SCRIPTS for label in labels.dictionary.to_pylist()), False])
    wanted = in_script[labels.indices.fill_null(-1).to_numpy()] & texts.is_valid().to_numpy(zero_copy_only=False)
    chosen = texts.filter(pa.array(wanted))
    if not len(chosen):
        return pa.nulls(len(texts), WORD_BOUNDARIES)
    sizes = np.diff(string_buffers(chosen)[0])
    if sizes.max() > _MOST:
        raise ValueError("a text of more than a gibibyte cannot be segmented")
    before = np.cumsum(sizes) - sizes
    cuts = [0, *(np.flatnonzero(np.diff(before // _AT_ONCE)) + 1).tolist(), len(chosen)]
    pieces = [_segmented(chosen[first:last]) for first, last in itertools.pairwise(cuts)]
    counts = np.zeros(len(texts) + 1, np.int64)
    counts[1:][wanted] = np.concatenate([lengths for lengths, _ in pieces])
    spans = pa.concat_arrays([spans for _, spans in pieces])
    return pa.ListArray.from_arrays(
        pa.array(np.cumsum(counts).astype(np.int32)), spans, type=WORD_BOUNDARIES, mask=pa.array(~wanted)
    )


def _segmented(texts: pa.LargeStringArray) -> tuple[np.ndarray, pa.StructArray]:
    """Number of words of each text, and all words as structs of ``WORD_BOUNDARIES``; the texts have no nulls."""
    offsets, data = string_buffers(texts)
    lists = np.zeros(len(texts) + 1, np.int32)
    # A line feed is a boundary on either side, whatever is next to it.
    boundaries = _icu_boundaries("\n".join(texts.to_pylist()))
    starts, stops = _merge(offsets, data, boundaries, character_classes(), lists)
    columns = [pa.array(column.astype(np.uint32)) for column in (starts, stops)]
    return np.diff(lists), pa.StructArray.from_arrays(columns, fields=list(WORD_BOUNDARIES.value_type))
