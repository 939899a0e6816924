"""FineWeb2's last touches to a text, as recorded edits: mended encodings, and table debris taken out.

Both follow ``fineweb-2-pipeline.py`` (Penedo et al. 2025, arXiv 2506.20920): first datatrove's ``FTFYFormatter``,
then ``PIIFormatter`` (``pii.py``), then ``SymbolLinesFormatter``. Each is of the text that the one before leaves.
"""

import contextlib
import functools
import re
from collections.abc import Iterator

import numpy as np
import polars as pl
import pyarrow as pa

from curation_assets.filtering.edits import EDITS

_Edit = tuple[int, int, str]

_ROUNDS = 8
"""How often a line is mended over again. Text that was wrongly decoded three times needs three."""

_LONGEST = 1_000_000
"""Longer lines are mended in parts of so many characters, as by ``ftfy.fix_text``."""


@functools.cache
def _suspicion() -> str:
    """A regular expression (Rust's) that matches wherever ftfy would change anything, and little else.

    It is what ftfy itself searches for (an entity, a control character, a sequence of its ``BADNESS_RE``),
    loosened where Rust's dialect or the division into lines makes a difference. Searching with Python's ``re``
    takes eighty times as long, and most of the time that ftfy takes.
    """
    from ftfy.badness import BADNESS_RE
    from ftfy.chardata import CONTROL_CHARS, HTML_ENTITY_RE

    spaced = re.sub(r"\[[^]]*\]", lambda part: part[0].replace(" ", r"\x20"), BADNESS_RE.pattern)
    loosened = spaced.replace(r"\s", "(?s:.)").replace(r"\w", "(?s:.)").replace("^[ÃÂ]", "[ÃÂ]")
    controls = "".join(rf"\x{{{code:x}}}" for code in CONTROL_CHARS)
    return rf"{HTML_ENTITY_RE.pattern}|[{controls}]|(?x:{loosened})"


def encoding_edits(texts: pa.LargeStringArray) -> pa.ListArray:
    """What ftfy 6 mends (Speer 2019), as row-aligned ``EDITS``; none (an empty list) for a null text.

    With datatrove's choices: mojibake is decoded, HTML entities are unescaped down to the first line with a "<",
    control characters and terminal escapes are removed; quotes, ligatures, character widths, line breaks and
    Unicode normal forms stay as people wrote them. ``apply_edits`` with these edits gives what ``ftfy.fix_text``
    gives, but for what is nested more than eight deep: there ftfy takes time quadratic in the line (half a minute
    for 8,000 times "Â" and a control character), and this stops. A line that changes has one edit, from the first
    to the last character that differs.
    """
    suspects = pl.Series(texts).str.contains(_suspicion()).fill_null(False).arg_true().to_list()
    return _edits(len(texts), {row: list(_mended_lines(texts[row].as_py())) for row in suspects})


def _mended_lines(text: str) -> Iterator[_Edit]:
    position = offset = 0
    unescape = True
    while position < len(text):
        stop = text.find("\n", position) + 1 or len(text)
        line = text[position : min(stop, position + _LONGEST)]
        unescape = unescape and "<" not in line
        mended = _mended(line, unescape)
        if mended != line:
            first = _alike(line, mended)
            last = _alike(line[first:][::-1], mended[first:][::-1])
            start = offset + len(line[:first].encode())
            end = start + len(line[first : len(line) - last].encode())
            yield start, end, mended[first : len(mended) - last]
        position += len(line)
        offset += len(line.encode())


def _mended(line: str, unescape: bool) -> str:
    """What ``ftfy.fix_text_segment`` makes of a line in ``_ROUNDS`` rounds at most."""
    from ftfy import fixes

    for _ in range(_ROUNDS):
        before = line
        if unescape:
            line = fixes.unescape_html(line)
        line = _decoded(line, _ROUNDS)
        for fix in (
            fixes.fix_c1_controls,
            fixes.fix_surrogates,
            fixes.remove_terminal_escapes,
            fixes.remove_control_chars,
        ):
            line = fix(line)
        if line == before:
            break
    return line


def _decoded(text: str, rounds: int) -> str:
    """What ``ftfy.fix_encoding`` makes of a text: mojibake decoded again, while it looks like mojibake."""
    from ftfy.badness import is_bad

    for left in range(rounds - 1, -1, -1):
        if text.isascii() or not is_bad(text):
            break
        before = text
        text = _decoded_once(text, left)
        if text == before:
            break
    return text


def _decoded_once(text: str, rounds: int) -> str:
    """The first that works of: all of it was UTF-8, parts of it were, Latin-1 was Windows-1252."""
    from ftfy import chardata, fixes
    from ftfy.badness import is_bad

    encodings = [name for name in chardata.CHARMAP_ENCODINGS if chardata.possible_encoding(text, name)]
    for encoding in encodings:
        raw = text.encode(encoding)
        if encoding != "macroman":  # where it would take an en dash and a space for a letter
            raw = fixes.restore_byte_a0(raw)
        if encoding.startswith("sloppy"):
            raw = fixes.replace_lossy_sequences(raw)
        with contextlib.suppress(UnicodeDecodeError):
            return raw.decode("utf-8-variants" if b"\xed" in raw or b"\xc0" in raw else "utf-8")

    def decoded_part(part: re.Match[str]) -> str:
        return _decoded(part[0], rounds) if len(part[0]) < len(text) and is_bad(part[0]) else part[0]

    parts = chardata.UTF8_DETECTOR_RE.sub(decoded_part, text)
    if parts != text:
        return parts
    if "latin-1" in encodings:
        with contextlib.suppress(UnicodeDecodeError):
            return text.encode("latin-1").decode("windows-1252")
    return fixes.fix_c1_controls(text)


def _alike(one: str, other: str) -> int:
    """Number of characters with which both begin."""
    size = min(len(one), len(other))
    if one[:size] == other[:size]:
        return size
    codes = [np.frombuffer(text[:size].encode("utf-32-le"), np.uint32) for text in (one, other)]
    return int(np.argmax(codes[0] != codes[1]))


def symbol_line_edits(texts: pa.LargeStringArray) -> pa.ListArray:
    """Debris of tables that extraction leaves, as row-aligned ``EDITS``; none (an empty list) for a null text.

    Consecutive lines of nothing but "|" and spaces, with at least one "|", become what datatrove's
    ``SymbolLinesFormatter(symbols_to_remove=["|"], replace_char="\\n")`` makes of them: together, one line feed
    (between those of the lines around them). Here only line feeds end a line, and the rest of the text stays as
    it is.
    """
    suspects = pl.Series(texts).str.contains(r"(?m)^ *\|[ |]*$").fill_null(False).arg_true().to_list()
    return _edits(len(texts), {row: _runs_of_bars(texts[row].as_py().encode()) for row in suspects})


def _runs_of_bars(text: bytes) -> list[_Edit]:
    runs: list[_Edit] = []
    start = 0
    for line in text.split(b"\n"):
        end = start + len(line)
        if b"|" in line and not line.strip(b" |"):
            # A line that follows another of them belongs to its run.
            first = runs.pop()[0] if runs and runs[-1][1] == start - 1 else start
            runs.append((first, end, "\n"))
        start = end + 1
    return runs


def _edits(rows: int, edits: dict[int, list[_Edit]]) -> pa.ListArray:
    """``EDITS`` of a table of that many rows from those of the rows that have any."""
    counts = np.zeros(rows + 1, np.int32)
    for row, spans in edits.items():
        counts[row + 1] = len(spans)
    columns = zip(*(span for row in sorted(edits) for span in edits[row]), strict=True)
    fields = list(EDITS.value_type)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, fields, strict=False)]
    spans = pa.StructArray.from_arrays(arrays or [pa.array([], field.type) for field in fields], fields=fields)
    return pa.ListArray.from_arrays(pa.array(np.cumsum(counts, dtype=np.int32)), spans, type=EDITS)
