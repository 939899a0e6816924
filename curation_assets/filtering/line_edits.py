"""Line edits: `definitions.LineEdits` applied to a text, giving the cleaned text and the edits as byte spans."""

import numpy as np

from curation_assets.filtering.characters import inner
from curation_assets.filtering.definitions import Rules
from curation_assets.filtering.line_rules import (
    CURLY_BRACKET,
    JAVASCRIPT,
    LOREM_IPSUM,
    PHRASE_WORDS,
    POLICY,
    citations,
    forbidden,
    is_kept,
    is_unfinished,
    phrases,
    space_after,
)
from curation_assets.filtering.lines import spaced_words, stripped

BEGIN, AFTER, SOURCE, SOURCE_END, FIRST_EDIT, AFTER_EDIT, CUT = range(7)
"""Columns of the kept lines: bounds in the cleaned text, bounds in the text, the edits inside the line, and whether
anything but white space was removed from it."""


@inner
def _set_edit(edits: np.ndarray, edit: int, start: int, end: int, newline: int) -> int:
    edits[3 * edit] = start
    edits[3 * edit + 1] = end
    edits[3 * edit + 2] = newline
    return edit + 1


@inner
def edit_lines(
    text: np.ndarray,
    end: int,
    lines: np.ndarray,
    count: int,
    classes: np.ndarray,
    rules: Rules,
    clean: np.ndarray,
    kept_lines: np.ndarray,
    removed: np.ndarray,
    edits: np.ndarray,
    edit: int,
) -> tuple[int, int, int, int]:
    """Apply the rules to one text, line by line.

    Args:
        text: uint8, UTF-8.
        end: its length.
        lines: int64[count, 2], from ``split_lines``, as the rules want them.
        count: number of lines.
        classes: of characters.
        rules: which rules are on.
        clean: uint8, room for the cleaned text: one byte more than the text.
        kept_lines: int64[count, 7] with the columns named above, filled.
        removed: int64[spans, 2], room for the spans removed from one line.
        edits: int64[3 * edits], room for (start, end, 1 if replaced by a line feed) of all edits.
        edit: number of edits so far.

    Returns:
        Kept lines, edits, and lines with "lorem ipsum" and with "{" among those that come to these rules.
    """
    zero, one = int(np.int64(0)), int(np.int64(1))
    lorem_ipsum = curly_bracket = kept = kept_end = size = before = after_break = full = zero
    full_edit = edit
    for line in range(count):
        first = lines[line, 0]
        last = lines[line, 1]
        if rules.stripped:
            first, last = stripped(text, first, last, classes)
            if first == last:
                continue
        empty = first == last
        # Line feeds in a row before this line; an empty one adds the line feed behind it.
        if not empty:
            before = 0
            if not is_kept(text, first, last, classes, rules):
                continue
        elif rules.newline_cap:
            if before + (line > 0) + (line < count - 1) > rules.newline_cap:
                continue
            before += line > 0
        joined = kept > 0 and rules.final_newline_cap > 0 and after_break == rules.final_newline_cap
        if empty and (joined or (rules.stripped_text and kept == 0)):
            continue

        spans = zero
        if rules.citations:
            spans = citations(text, first, last, classes, removed)
        elif rules.phrases and spaced_words(text, first, last, classes)[0] <= PHRASE_WORDS:
            spans = phrases(text, first, last, classes, removed)
        span = 0
        while rules.stripped_text and kept == 0 and first < last:
            if span < spans and removed[span, 0] == first:
                first = removed[span, 1]
                span += 1
            else:
                after = space_after(text, first, last, classes)
                if after == first:
                    break
                first = after
        if not empty and first == last and rules.stripped_text:
            continue

        edits_before = edit
        begin = size
        if kept == 0:
            if first:
                edit = _set_edit(edits, edit, zero, first, zero)
        elif joined:
            edit = _set_edit(edits, edit, kept_end, first, zero)
        else:
            if first - kept_end != 1 or text[kept_end] != 0x0A:
                edit = _set_edit(edits, edit, kept_end, first, one)
            clean[size] = 0x0A
            begin = size + 1
        first_edit = edit
        after = begin
        copied = first
        while copied < last:
            stop = removed[span, 0] if span < spans else last
            shift = np.uint64(after) - np.uint64(copied)
            for i in range(np.uint64(copied), np.uint64(stop)):
                clean[i + shift] = text[i]
            after += stop - copied
            copied = last
            if span < spans:
                copied = removed[span, 1]
                edit = _set_edit(edits, edit, stop, copied, zero)
                span += 1
        solid = False
        if rules.phrases or rules.stripped_text:
            bare, bare_end = stripped(clean, begin, after, classes)
            solid = bare < bare_end
        if (begin == after and joined) or (spans and rules.phrases and not solid):
            edit = edits_before
            continue
        found = forbidden(clean, begin, after)
        if rules.terminal_punctuation and is_unfinished(clean, begin, after):
            edit = edits_before
            continue
        if found & LOREM_IPSUM:
            lorem_ipsum += 1
        if found & JAVASCRIPT and rules.javascript:
            edit = edits_before
            continue
        if found & CURLY_BRACKET:
            curly_bracket += 1
        if found & POLICY and rules.policy:
            edit = edits_before
            continue
        if joined:
            kept -= 1
        after_break = after_break + 1 if begin == after and kept else 0
        kept_lines[kept, BEGIN] = begin
        kept_lines[kept, AFTER] = after
        kept_lines[kept, SOURCE] = first
        kept_lines[kept, SOURCE_END] = last
        kept_lines[kept, FIRST_EDIT] = first_edit
        kept_lines[kept, AFTER_EDIT] = edit
        kept_lines[kept, CUT] = spans > 0
        kept += 1
        kept_end = last
        size = after
        if solid:
            full = kept
            full_edit = edit

    if rules.stripped_text:
        kept = full
        edit = full_edit
        kept_end = zero
        if kept:
            begin = kept_lines[kept - 1, BEGIN]
            after = kept_lines[kept - 1, AFTER]
            kept_end = kept_lines[kept - 1, SOURCE_END]
            bare, bare_end = stripped(clean, begin, after, classes)
            while True:
                if edit > kept_lines[kept - 1, FIRST_EDIT] and edits[3 * edit - 2] == kept_end:
                    kept_end = edits[3 * edit - 3]
                    edit -= 1
                elif after > bare_end:
                    kept_end -= 1
                    after -= 1
                else:
                    break
            kept_lines[kept - 1, AFTER] = after
            kept_lines[kept - 1, SOURCE_END] = kept_end
            kept_lines[kept - 1, AFTER_EDIT] = edit
    if kept_end < end:
        edit = _set_edit(edits, edit, kept_end, end, zero)
    return kept, edit, lorem_ipsum, curly_bracket
