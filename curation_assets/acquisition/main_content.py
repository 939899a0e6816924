"""The main text of a page by resiliparse's rules, from its parsed body.

What this computes is resiliparse 2's `extract_plain_text(tree, main_content=True, preserve_formatting=True,
alt_texts=False, links=False, form_fields=False)`, which takes two thirds of the time of parsing and extracting
together, and on some pages minutes: it looks at the text below an element again for every element around it. Here the
time is linear in the page. The sizes of all texts and links are known when the tree has been read, and class and id are
read once for all rules.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from curation_assets.acquisition.body_tree import (
    ADVERTISED,
    AFTER,
    BLOCK,
    CLASS_END,
    CLASS_START,
    DISMISSED,
    FLAGS,
    FOOTERS,
    ID_END,
    ID_START,
    KINDS,
    LAST,
    LINKS_END,
    LINKS_START,
    NODE_COLUMNS,
    PARENT,
    REL_MAIN,
    ROLE_DISMISSED,
    STYLE_END,
    STYLE_START,
    TAG,
    TAGS,
    TEXT,
    TEXT_END,
    TEXT_START,
    UNREAD,
    collapsed_size,
    is_space,
    mark_last,
    read_tree,
    reference,
    trimmed,
)
from curation_assets.acquisition.boilerplate import (
    ADVERTISEMENT,
    ARTICLE,
    END,
    HIDDEN,
    HIDING_STYLE,
    JUNK,
    LANDMARK,
    LANDMARK_ID,
    LOGO,
    SIGN_IN,
    SKIP_LINK,
    SOCIAL,
    automaton,
)
from curation_assets.filtering.characters import inner

_A, _ARTICLE, _ASIDE, _AUDIO, _BODY, _BR, _DIV, _FOOTER = map(
    TAGS.__getitem__, ("a", "article", "aside", "audio", "body", "br", "div", "footer")
)
_LI, _MAIN, _NAV, _OL, _PRE, _TD, _TEMPLATE, _TEXTAREA = map(
    TAGS.__getitem__, ("li", "main", "nav", "ol", "pre", "td", "template", "textarea")
)
_TH, _TIME, _TR, _UL, _VIDEO, _H1, _H2, _H3, _H4, _P = map(
    TAGS.__getitem__, ("th", "time", "tr", "ul", "video", "h1", "h2", "h3", "h4", "p")
)

# What is known while text is written: of the output, ...
_LENGTH, _MARGIN, _LISTS, _ROWS, _BULLET, _PREFIX = range(6)
# ... and of what is gathered since the last block, cell or return from an element.
_PENDING, _HAS_TEXT, _TAG, _DEPTH, _PRE_DEPTH, _ENDED, _IS_BLOCK, _BREAKS = range(6, 14)
_STATES = 14

_AMPERSAND = ord("&")
_SPACE = np.frombuffer(b" ", np.uint8)
_Tables = tuple[np.ndarray, np.ndarray, np.ndarray, int]
"""Columns, moves, meanings and start of `boilerplate.Automaton`."""

_START_BYTES = 1 << 20
_KEPT_BYTES = 8 << 20
MAX_NODES = 1 << 22
"""The most elements and texts of a page."""

MAX_BYTES = 1 << 27
"""The most text of a page. Lists in lists are indented, so that a page of some megabytes can stand for terabytes."""


class TextTooLong(ValueError):
    """A page has more than `MAX_NODES` nodes, or its main text would be longer than `MAX_BYTES`."""


class MainContent:
    """Finds main texts; keeps its memory from page to page. For one thread."""

    def __init__(self) -> None:
        self._make_room(_START_BYTES)

    def _make_room(self, size: int) -> None:
        """Memory for a page and a text of so many bytes. What is not touched costs nothing."""
        self._room = size
        nodes = min(size // 4, MAX_NODES)
        self._nodes = np.empty((nodes, NODE_COLUMNS), np.int32)
        self._links = np.empty(nodes + 1, np.int64)
        self._stacks = np.empty((2, nodes), np.int64)
        self._texts = np.empty((3, size), np.uint8)

    def __call__(self, html: bytes, quirks: bool) -> bytes:
        """The main text of a page (UTF-8, no white space at its end).

        `html` is the body element as resiliparse writes it, `HTMLTree.body.html`; `quirks` is whether the page has no
        document type or an old one, in which case names of classes are compared without case.

        Raises:
            TextTooLong: there is more than `MAX_BYTES` of it, or of `MAX_NODES` elements and texts.
        """
        tables = automaton()
        page = np.frombuffer(html, np.uint8)
        if self._room > _KEPT_BYTES or len(html) >= self._room:
            self._make_room(max(_START_BYTES, len(html) + 1))
        while True:
            text, pending, out = self._texts
            length = _main_content(
                page,
                quirks,
                tables.columns,
                tables.moves,
                tables.meanings,
                tables.start,
                self._nodes,
                self._links,
                self._stacks,
                text,
                pending,
                out,
            )
            if length >= 0:
                return out[:length].tobytes()
            if self._room >= MAX_BYTES:
                raise TextTooLong(f"{MAX_BYTES} bytes of text, or {MAX_NODES} elements")
            self._make_room(2 * self._room)


@njit(cache=True, nogil=True)
def _main_content(
    html: np.ndarray,
    quirks: bool,
    columns: np.ndarray,
    moves: np.ndarray,
    meanings: np.ndarray,
    start: int,
    nodes: np.ndarray,
    links: np.ndarray,
    stacks: np.ndarray,
    text: np.ndarray,
    pending: np.ndarray,
    out: np.ndarray,
) -> int:
    """Bytes of main text written to `out`; -1 if there is not room enough."""
    state = np.zeros(_STATES, np.int64)
    count, root = read_tree(html, quirks, nodes, text, links, state)
    if count <= 0:
        return count
    if state[FOOTERS]:
        mark_last(nodes, count)
    state[:] = 0
    state[_PREFIX] = -1
    names = (columns, moves, meanings, start)
    if not _write(html, nodes, root, text, links, names, state, pending, stacks, out):
        return -1
    return _without_space(out, int(np.int64(state[_LENGTH])))


@inner
def _without_space(out: np.ndarray, length: int) -> int:
    """The length of a text without the white space at its end."""
    while length and is_space(out[length - 1]):
        length -= 1
    return length


@inner
def _is_link_cluster(node: np.ndarray, text: np.ndarray, links: np.ndarray, share: float, longest: int) -> bool:
    """Whether more than a share of an element's text is links, and the text not longer than `longest` (0 for any)."""
    size = collapsed_size(node, text)
    if size == 0 or (longest and size > longest):
        return False
    linked = links[node[LINKS_END]] - links[node[LINKS_START]]
    return bool(linked > 0 and linked / size > share)


@inner
def _search(html: np.ndarray, start: int, end: int, state: int, found: int, names: _Tables) -> tuple[int, int]:
    """Go on from a state of the automaton with an attribute's value: the next state, and the meanings found so far."""
    columns, moves, meanings, _ = names
    at = start
    while at < end:
        byte = html[at]
        length = 1
        if byte == _AMPERSAND:
            character, length = reference(html, at)
            byte = np.uint8(character)
        state = moves[state, columns[byte]]
        found |= meanings[state]
        at += length
    return state, found


@inner
def _at_end(state: int, found: int, names: _Tables) -> int:
    """The meanings found in a text that ends in a state."""
    _, moves, meanings, _ = names
    return int(np.int64(found | meanings[moves[state, END]]))


@inner
def _is_main(
    html: np.ndarray,
    node: np.ndarray,
    depth: int,
    text: np.ndarray,
    links: np.ndarray,
    names: _Tables,
) -> bool:
    """resiliparse's judgement of an element so many elements below the body."""
    tag = node[TAG]
    if tag in (_BODY, _MAIN, _H1):
        return True
    if tag == _FOOTER:
        return depth >= 3 and not _is_link_cluster(node, text, links, 0.2, 0) and not node[FLAGS] & LAST
    if tag in (_NAV, _ASIDE, _AUDIO, _VIDEO, _TIME) or node[FLAGS] & DISMISSED:
        return False
    if tag == _UL and (depth < 4 or _is_link_cluster(node, text, links, 0.2, 0)):
        return False
    if tag == _ARTICLE and depth > 2 and _is_link_cluster(node, text, links, 0.2, 500):
        return False
    start = names[3]
    if node[STYLE_END] > node[STYLE_START]:
        state, found = _search(html, node[STYLE_START], node[STYLE_END], start, 0, names)
        if _at_end(state, found, names) & HIDING_STYLE:
            return False
    has_class, has_id = node[CLASS_END] > node[CLASS_START], node[ID_END] > node[ID_START]
    if not has_class and not has_id:
        return tag != _DIV or depth <= 5 or not _is_link_cluster(node, text, links, 0.6, 800)
    state, found = start, 0
    if has_class:
        state, found = _search(html, node[CLASS_START], node[CLASS_END], state, 0, names)
        of_class = _at_end(state, found, names)
        if of_class & (HIDDEN | JUNK) or (depth > 2 and of_class & (SIGN_IN | SOCIAL)):
            return False
        state, found = _search(_SPACE, 0, 1, state, found, names)
    state, found = _search(html, node[ID_START], node[ID_END], state, found, names)
    found = _at_end(state, found, names)
    if found & (LOGO | ADVERTISEMENT) or node[FLAGS] & ADVERTISED:
        return False
    if found & SKIP_LINK and (tag in (_A, _DIV, _LI)):
        return False
    if (not KINDS[tag] & BLOCK and tag != _TD) or node[FLAGS] & REL_MAIN:
        return True
    if node[FLAGS] & ROLE_DISMISSED:
        return False
    if tag == _ARTICLE or found & ARTICLE:
        return True
    if found & LANDMARK:
        return False
    if has_id:
        state, found = _search(html, node[ID_START], node[ID_END], start, 0, names)
        if _at_end(state, found, names) & LANDMARK_ID:
            return False
    return not (tag == _DIV and depth > 2 and _is_link_cluster(node, text, links, 0.6, 1500))


@inner
def _is_icon(text: np.ndarray, start: int, end: int) -> bool:
    """Whether a text is a pilcrow, or one sign of the private use area as resiliparse sees it: nearly any of three
    bytes, so that a text of one Chinese character is taken for an icon too.
    """
    start, end = trimmed(text, start, end)
    if end - start == 2:
        return text[start] == 0xC2 and text[start + 1] == 0xB6
    if end - start == 3:
        sign = np.int64(text[start]) | np.int64(text[start + 1]) << 8 | np.int64(text[start + 2]) << 16
        return bool(0x8080EE <= sign <= 0xBFA3EF)
    return False


@inner
def _write_margin(state: np.ndarray, out: np.ndarray) -> None:
    """End the line or paragraph, if a block has begun or ended since the last text."""
    if not state[_MARGIN]:
        return
    length = state[_LENGTH]
    if not state[_PRE_DEPTH]:
        length = _without_space(out, length)
    if length:
        for _ in range(state[_MARGIN]):
            out[length] = 10
            length += 1
    state[_LENGTH], state[_MARGIN] = length, 0


@inner
def _flush(state: np.ndarray, pending: np.ndarray, stacks: np.ndarray, out: np.ndarray) -> bool:
    """Write what has been gathered. False if there is no room for it."""
    tag, ended = state[_TAG], state[_ENDED] > 0
    if state[_LENGTH] + state[_MARGIN] + 2 * state[_LISTS] + state[_PENDING] + 64 > len(out):
        return False
    if tag == _TR:
        if not ended:
            stacks[0, state[_ROWS]] = 0
            state[_ROWS] += 1
        elif state[_ROWS]:
            state[_ROWS] -= 1
    elif tag in (_TD, _TH):
        if ended:
            return True
        _write_margin(state, out)
        if state[_ROWS]:
            row = state[_ROWS] - 1
            if stacks[0, row]:
                out[state[_LENGTH]] = out[state[_LENGTH] + 1] = 9
                state[_LENGTH] += 2
            stacks[0, row] = 1
    if tag in (_UL, _OL) or (tag == _LI and not state[_LISTS]):
        if not ended:
            stacks[1, state[_LISTS]] = tag == _OL
            state[_LISTS] += 1
        else:
            state[_LISTS] = max(0, state[_LISTS] - 1)
            state[_BULLET] = 0
            state[_PREFIX] = -1
    if tag == _LI and state[_LISTS]:
        ordinal = stacks[1, state[_LISTS] - 1]
        state[_PREFIX] = ordinal
        state[_BULLET] = not ended
        if ordinal and not ended:
            stacks[1, state[_LISTS] - 1] += 1
    if state[_IS_BLOCK]:
        apart = tag in (_P, _H1, _H2, _H3, _H4)
        if state[_BREAKS]:
            state[_MARGIN] += 2 if apart else 1
        else:
            state[_MARGIN] = max(state[_MARGIN], 2 if apart and not state[_PRE_DEPTH] else 1)
    if state[_HAS_TEXT]:
        _write_pending(state, pending, out)
    return True


@inner
def _write_pending(state: np.ndarray, pending: np.ndarray, out: np.ndarray) -> None:
    start, size, length = 0, state[_PENDING], state[_LENGTH]
    if not state[_PRE_DEPTH]:
        size = _collapse(pending, size)
        if size and pending[0] == 32 and (state[_IS_BLOCK] or (length and is_space(out[length - 1]))):
            start = 1
    if start == size:
        return
    _write_margin(state, out)
    length = state[_LENGTH]
    if state[_LISTS]:
        for _ in range(2 * (state[_LISTS] + 1 - state[_BULLET])):
            out[length] = 32
            length += 1
        state[_BULLET] = 0
    if state[_PREFIX] == 0:
        out[length], out[length + 1], out[length + 2], out[length + 3] = 0xE2, 0x80, 0xA2, 32
        length += 4
    elif state[_PREFIX] > 0:
        length = _write_number(state[_PREFIX], out, length)
    state[_PREFIX] = -1
    for at in range(np.uint64(start), np.uint64(size)):
        out[np.uint64(length)] = pending[at]
        length += 1
    state[_LENGTH] = length


@inner
def _write_number(number: int, out: np.ndarray, length: int) -> int:
    """Write the number of a list item; the new length."""
    digits, rest = 1, number
    while rest >= 10:
        rest //= 10
        digits += 1
    for at in range(length + digits - 1, length - 1, -1):
        out[at] = 48 + number % 10
        number //= 10
    out[length + digits], out[length + digits + 1] = 46, 32
    return length + digits + 2


@inner
def _collapse(pending: np.ndarray, size: int) -> int:
    """Make each run of white space one space, in place; the new size."""
    length, space = 0, False
    for at in range(size):
        byte = pending[at]
        now = byte <= 32 and is_space(byte)
        if now:
            byte = np.uint8(32)
        if not (now and space):
            pending[length] = byte
            length += 1
        space = now
    return length


@inner
def _write(
    html: np.ndarray,
    nodes: np.ndarray,
    root: int,
    text: np.ndarray,
    links: np.ndarray,
    names: _Tables,
    state: np.ndarray,
    pending: np.ndarray,
    stacks: np.ndarray,
    out: np.ndarray,
) -> bool:
    """Walk over all that is main content below the root and write its text. False if there is no room for it."""
    below_body, at = 0, root
    while at > 0:
        below_body += 1
        at = nodes[at, PARENT]
    number, depth, ended, begun = root, 0, False, False
    while True:
        node = nodes[number]
        tag = node[TAG]
        kept = ended
        if tag == TEXT:
            kept = not _is_icon(text, node[TEXT_START], node[TEXT_END])
        elif not ended and tag >= 0 and (number == root or not KINDS[tag] & UNREAD):
            kept = _is_main(html, node, depth + below_body, text, links, names)
        if kept:
            block = tag >= 0 and KINDS[tag] & BLOCK > 0
            if not begun or block or depth < state[_DEPTH] or tag in (_TD, _TH):
                if begun and not _flush(state, pending, stacks, out):
                    return False
                begun = True
                state[_TAG], state[_DEPTH], state[_ENDED], state[_IS_BLOCK] = tag, depth, ended, block
                if tag in (_PRE, _TEXTAREA):
                    state[_PRE_DEPTH] = max(0, state[_PRE_DEPTH] + (-1 if ended else 1))
                state[_PENDING] = state[_HAS_TEXT] = state[_BREAKS] = 0
            if tag == TEXT:
                size = state[_PENDING]
                for at in range(np.uint64(node[TEXT_START]), np.uint64(node[TEXT_END])):
                    pending[np.uint64(size)] = text[at]
                    size += 1
                state[_PENDING], state[_HAS_TEXT] = size, 1
            elif tag == _BR:
                state[_BREAKS] = state[_HAS_TEXT] = 1
            elif not ended and node[AFTER] > number + 1 and tag != _TEMPLATE:
                number += 1
                depth += 1
                continue
        if number == root:
            return not begun or _flush(state, pending, stacks, out)
        if node[AFTER] < nodes[node[PARENT], AFTER]:
            number, ended = node[AFTER], False
        else:
            number, depth, ended = node[PARENT], depth - 1, True
