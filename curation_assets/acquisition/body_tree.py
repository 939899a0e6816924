"""The tree of a page's body, read from what resiliparse's parser writes, in one pass over the bytes.

lexbor (through resiliparse) parses HTML as browsers do, with all that authors get wrong. What it then writes is regular
(HTML standard, "serializing HTML fragments"): every element is closed, every attribute has a value in double quotes,
and the only references are `&amp; &lt; &gt; &quot; &nbsp;`. A tree of that needs no rules about what may stand where.

Nodes are rows of int32, in document order; the constants below name their columns. Any bytes can be read without harm:
what is not regular gives some tree.
"""

from __future__ import annotations

import numpy as np

from curation_assets.filtering.characters import EACH, HIGH, inner, marked_byte, read_word
from curation_assets.filtering.lines import next_byte

TEXT, COMMENT, UNKNOWN = -2, -1, 0
"""What stands in the column `TAG` of nodes that are not elements known by name; those have a number in `TAGS`."""


def _names(text: str) -> list[str]:
    return text.split()


_BLOCKS = _names(
    "address article aside blockquote br center dd details div dl dt fieldset figcaption figure footer form h1 h2 h3"
    " h4 h5 h6 header hgroup hr li main nav ol p pre section table tr ul"
)
_EMPTY = _names("area base basefont bgsound br col embed frame hr img input keygen link meta param source track wbr")
_LITERAL = _names("script style xmp iframe noembed noframes plaintext")
_UNREAD = _names(
    "script style iframe frame template object video audio embed img area svg figcaption figure noscript textarea"
    " input button select option label"
)
_INTEGRATING = _names("annotation-xml desc foreignobject mi mn mo ms mtext title")
_NAMES = sorted({*_BLOCKS, *_EMPTY, *_LITERAL, *_UNREAD, *_INTEGRATING, *_names("a body math td th time")})

TAGS = {name: number for number, name in enumerate(_NAMES, 1)}
"""The elements that some rule knows by name."""

BLOCK, EMPTY, LITERAL, UNREAD, INTEGRATING = (1 << bit for bit in range(5))
"""Kinds of elements: set apart from what is around them; never with content; with text that is written as it is,
without references; without text that anyone reads (controls, figures, scripts); with HTML inside SVG or MathML."""

KINDS = np.array(
    [0]
    + [
        BLOCK * (name in _BLOCKS)
        | EMPTY * (name in _EMPTY)
        | LITERAL * (name in _LITERAL)
        | UNREAD * (name in _UNREAD)
        | INTEGRATING * (name in _INTEGRATING)
        for name in _NAMES
    ],
    np.int32,
)
"""The kinds of each number of `TAGS`."""

(
    TAG,
    PARENT,
    AFTER,
    TEXT_START,
    TEXT_END,
    SIZE_START,
    SIZE_END,
    LINKS_START,
    LINKS_END,
    CLASS_START,
    CLASS_END,
    ID_START,
    ID_END,
    STYLE_START,
    STYLE_END,
    FLAGS,
) = range(16)
"""Columns of a node. `PARENT` and `AFTER`, the first node behind the element and all in it, are rows. Texts are bytes
of the text of all nodes one after the other, `SIZE_*` the bytes before them with each run of white space as one;
`LINKS_*` count links. Attributes are bytes of the page."""

NODE_COLUMNS = 16

DISMISSED, ADVERTISED, REL_MAIN, ROLE_DISMISSED, FOREIGN, LAST = (1 << bit for bit in range(6))
"""Flags of a node. By its attributes it is hidden or about the page; an advertisement; `rel="main"`; or has a role
that no main content has. It is of SVG or MathML. It ends the child of the body that it is in."""

WRITTEN, COLLAPSED, FOOTERS = range(3)
"""What is counted while a tree is read: bytes of text, the same with each run of white space as one, footers."""


def _bytes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


def _words(text: str) -> np.ndarray:
    """Words as rows, each its length and then its bytes."""
    words = _names(text)
    table = np.zeros((len(words), 16), np.uint8)
    for row, word in zip(table, words, strict=True):
        row[: len(word) + 1] = len(word), *_bytes(word)
    return table


_LT, _GT, _SLASH, _BANG, _QUERY, _AMPERSAND, _QUOTE, _EQUALS, _DASH, _SPACE = b'<>/!?&"=- '
_A, _FOOTER, _MATH, _PLAINTEXT, _SCRIPT, _SVG, _TEMPLATE = map(
    TAGS.__getitem__, _names("a footer math plaintext script svg template")
)
_HIDDEN, _REL, _ROLE, _CLASS, _STYLE, _ID, _ITEMPROP, _ARIA_HIDDEN, _ARIA_EXPANDED = map(
    _bytes, _names("hidden rel role class style id itemprop aria-hidden aria-expanded")
)
_DATA_AD, _DATA_TEXT_AD, _DATA_ADVERTISEMENT = map(_bytes, _names("data-ad data-text-ad data-advertisement"))
_MAIN = _bytes("main")
_TRUE, _FALSE, _MAIN_RELS = map(_words, _names("true false main"))
_DISMISSED_RELS = _words("author icon search prev next tag")
_DISMISSED_PROPERTIES = _words("datePublished author url")
_DISMISSED_ROLES = _words(
    "alert banner checkbox comment complementary contentinfo dialog img menu menubar menuitem navigation presentation"
    " radio search searchbox separator tab toolbar tooltip"
)
_CONTENT_CLASSES = _words(
    "article-body articleBody contentBody article-text main-content postcontent post-content single-post"
)


def _slot_of(low: np.uint64, high: np.uint64) -> np.int64:
    return np.int64(((low ^ (high << np.uint64(7))) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(55))


_slot = inner(_slot_of)


def _name_table() -> tuple[np.ndarray, np.ndarray]:
    """A hash table of names: their first eight bytes and the rest as numbers, uint64[512, 2], and their tags."""
    keys, tags = np.zeros((512, 2), np.uint64), np.zeros(512, np.int32)
    for name, tag in TAGS.items():
        low, high = np.frombuffer(name.encode().ljust(16, b"\0"), np.uint64)
        with np.errstate(over="ignore"):
            slot = _slot_of(low, high)
        while tags[slot]:
            slot = (slot + 1) % 512
        keys[slot], tags[slot] = (low, high), tag
    return keys, tags


_KEYS, _TAG_OF_KEY = _name_table()


@inner
def is_space(byte: np.uint8 | np.ndarray) -> bool:
    """Whether a byte is white space of ASCII."""
    return (byte == _SPACE) | (np.uint8(byte - 9) < 5)


@inner
def _equals(html: np.ndarray, start: int, end: int, word: np.ndarray) -> bool:
    """Whether html[start:end] is the word."""
    if end - start != len(word):
        return False
    different = False
    for at in range(len(word)):
        different |= html[start + at] != word[at]
    return not different


@inner
def _which(html: np.ndarray, start: int, end: int, words: np.ndarray, fold: bool) -> int:
    """The number of the word that html[start:end] is, with `fold` in any case; -1 for none."""
    for number in range(len(words)):
        if words[number, 0] != end - start:
            continue
        same = True
        for at in range(end - start):
            byte, other = html[start + at], words[number, 1 + at]
            if fold and 65 <= byte <= 90:
                byte |= 32
            if fold and 65 <= other <= 90:
                other |= 32
            if byte != other:
                same = False
                break
        if same:
            return number
    return -1


@inner
def trimmed(text: np.ndarray, start: int, end: int) -> tuple[int, int]:
    """Where a text starts and ends without the white space around it."""
    while start < end and is_space(text[start]):
        start += 1
    while end > start and is_space(text[end - 1]):
        end -= 1
    return start, end


@inner
def _is_one_of(html: np.ndarray, start: int, end: int, words: np.ndarray) -> bool:
    """Whether html[start:end] without white space around it is one of the words."""
    first, last = trimmed(html, start, end)
    return _which(html, first, last, words, False) >= 0


@inner
def _separates(byte: np.uint8 | np.ndarray) -> bool:
    return is_space(byte) and byte != 11


@inner
def _content_classes(html: np.ndarray, start: int, end: int, quirks: bool) -> int:
    """How many of the classes that mark a main content stand in a class attribute."""
    seen, at = 0, start
    while at < end:
        while at < end and _separates(html[at]):
            at += 1
        begin = at
        while at < end and not _separates(html[at]):
            at += 1
        if 11 <= at - begin <= 12:
            number = _which(html, begin, at, _CONTENT_CLASSES, quirks)
            if number >= 0:
                seen |= 1 << number
    count = 0
    while seen:
        seen &= seen - 1
        count += 1
    return count


@inner
def _attributes(html: np.ndarray, at: int, node: np.ndarray, quirks: bool) -> tuple[int, int]:
    """Read the attributes from `at` on, behind the element's name, into the node.

    Returns where they end, and how many of the signs of a main content the element bears.
    """
    size, matches = len(html), 0
    while at < size and html[at] == _SPACE:
        name = at + 1
        at = name + 1
        while at < size and html[at] != _EQUALS:
            at += 1
        end = at
        start = at + 2  # ="
        at = _find(html, start, _QUOTE)
        if _equals(html, name, end, _CLASS):
            node[CLASS_START], node[CLASS_END] = start, at
            if at - start >= 11:
                matches += _content_classes(html, start, at, quirks)
        elif _equals(html, name, end, _STYLE):
            node[STYLE_START], node[STYLE_END] = start, at
        elif _equals(html, name, end, _ID):
            node[ID_START], node[ID_END] = start, at
        elif _equals(html, name, end, _ROLE):
            matches += _equals(html, start, at, _MAIN)
            if _is_one_of(html, start, at, _DISMISSED_ROLES):
                node[FLAGS] |= ROLE_DISMISSED
        elif _equals(html, name, end, _REL):
            if _is_one_of(html, start, at, _DISMISSED_RELS):
                node[FLAGS] |= DISMISSED
            elif _is_one_of(html, start, at, _MAIN_RELS):
                node[FLAGS] |= REL_MAIN
        elif (
            _equals(html, name, end, _HIDDEN)
            or (_equals(html, name, end, _ITEMPROP) and _is_one_of(html, start, at, _DISMISSED_PROPERTIES))
            or (_equals(html, name, end, _ARIA_HIDDEN) and _is_one_of(html, start, at, _TRUE))
            or (_equals(html, name, end, _ARIA_EXPANDED) and _is_one_of(html, start, at, _FALSE))
        ):
            node[FLAGS] |= DISMISSED
        elif (
            _equals(html, name, end, _DATA_AD)
            or _equals(html, name, end, _DATA_TEXT_AD)
            or _equals(html, name, end, _DATA_ADVERTISEMENT)
        ):
            node[FLAGS] |= ADVERTISED
        at += 1
    return at, matches


@inner
def _tag_of(html: np.ndarray, start: int, end: int) -> int:
    """The number in `TAGS` of the name html[start:end], or `UNKNOWN`."""
    length = end - start
    if length < 0 or length > 16:
        return UNKNOWN
    low, high = read_word(html, start, min(8, length)), read_word(html, start + 8, max(0, length - 8))
    slot = _slot(low, high)
    while _TAG_OF_KEY[slot]:
        if _KEYS[slot, 0] == low and _KEYS[slot, 1] == high:
            return int(_TAG_OF_KEY[slot])
        slot = (slot + 1) & 511
    return UNKNOWN


@inner
def reference(html: np.ndarray, at: int) -> tuple[int, int]:
    """The character that a reference stands for and the bytes it takes; the `&` itself if it begins none."""
    size = len(html)
    if at + 3 < size and html[at + 2] == 116 and html[at + 3] == 59:  # t;
        if html[at + 1] == 108:
            return _LT, 4
        if html[at + 1] == 103:
            return _GT, 4
    if at + 4 < size and html[at + 1] == 97 and html[at + 2] == 109 and html[at + 3] == 112 and html[at + 4] == 59:
        return _AMPERSAND, 5
    if at + 5 < size and html[at + 5] == 59:
        if html[at + 1] == 110 and html[at + 2] == 98 and html[at + 3] == 115 and html[at + 4] == 112:
            return 160, 6
        if html[at + 1] == 113 and html[at + 2] == 117 and html[at + 3] == 111 and html[at + 4] == 116:
            return _QUOTE, 6
    return _AMPERSAND, 1


@inner
def _closes(html: np.ndarray, at: int, start: int, end: int) -> bool:
    """Whether an end tag with the name html[start:end] stands at `at`."""
    return (
        at + 1 < len(html) and html[at] == _LT and html[at + 1] == _SLASH and _named(html, at + 2, start, end - start)
    )


@inner
def _named(html: np.ndarray, at: int, start: int, length: int) -> bool:
    """Whether at `at` the name from `start` on stands again, in any case, and ends."""
    if at + length >= len(html):
        return False
    for index in range(length):
        byte = html[at + index]
        if 65 <= byte <= 90:
            byte |= 32
        if byte != html[start + index]:
            return False
    after = html[at + length]
    return after in (_GT, _SLASH) or is_space(after)


@inner
def _literal_end(html: np.ndarray, at: int, start: int, end: int, tag: int, foreign: bool) -> int:
    """Where the text without references ends that begins at `at`, in an element whose name is html[start:end].

    What is written there may look like tags. In SVG and MathML (`foreign`) it may also be tags; nobody reads those.
    """
    size, length = len(html), end - start
    if tag == _PLAINTEXT:
        for back in range(size - 1, at - 1, -1):
            if html[back] == _LT and _closes(html, back, start, end):
                return back
        return size
    at = _find(html, at, _LT)
    comment, double = False, False  # a script may write <!-- and then whole scripts
    while at < size:
        if html[at] == _LT:
            if _closes(html, at, start, end):
                if not double:
                    return at
                double = False
            elif tag == _SCRIPT and not foreign and at + 3 < size:
                if html[at + 1] == _BANG and html[at + 2] == _DASH and html[at + 3] == _DASH:
                    comment = True
                    at += 2  # its dashes may also end it: <!-->
                    continue
                double = double or (comment and _named(html, at + 1, start, length))
        elif html[at] == _DASH and comment and at + 2 < size and html[at + 1] == _DASH and html[at + 2] == _GT:
            comment = double = False
        at = at + 1 if comment else _find(html, at + 1, _LT)
    return size


@inner
def _find(html: np.ndarray, at: int, byte: int) -> int:
    """The first place from `at` on with a byte; the end of the page if there is none."""
    end = len(html)
    at = next_byte(html, at, max(at, end - 7), byte)
    while at < end and html[at] != byte:
        at += 1
    return at


@inner
def _find_markup(html: np.ndarray, at: int) -> int:
    """The first `<` or `&` from `at` on; the end of the page if there is none."""
    size, tag, ampersand = len(html), EACH * np.uint64(_LT), EACH * np.uint64(_AMPERSAND)
    while at + 8 <= size:
        word = read_word(html, at, 8)
        other = word ^ ampersand
        word ^= tag
        marks = (((word - EACH) & ~word) | ((other - EACH) & ~other)) & HIGH
        if marks:
            return at + marked_byte(marks)
        at += 8
    while at < size and html[at] != _LT and html[at] != _AMPERSAND:
        at += 1
    return at


@inner
def _copy(html: np.ndarray, start: int, end: int, text: np.ndarray, state: np.ndarray) -> None:
    """Add bytes to the text, and count them with each run of white space as one."""
    written, size = state[WRITTEN], end - start
    for at in range(np.uint64(size)):
        text[np.uint64(written) + at] = html[np.uint64(start) + at]
    spaces = 0
    for at in range(np.uint64(written), np.uint64(written + size)):
        # The byte before the first text is no space.
        spaces += is_space(text[at]) & is_space(text[at - np.uint64(1)])
    state[WRITTEN] = written + size
    state[COLLAPSED] += size - spaces


@inner
def _add_text(html: np.ndarray, at: int, end: int, node: np.ndarray, text: np.ndarray, state: np.ndarray) -> int:
    """Make a text node of the bytes up to `end`, or up to the next element where `end` is negative; where it ends."""
    node[TAG] = TEXT
    node[TEXT_START], node[SIZE_START] = state[WRITTEN], state[COLLAPSED]
    if end >= 0:
        _copy(html, at, end, text, state)
        at = end
    else:
        size = len(html)
        while True:
            stop = _find_markup(html, at)
            _copy(html, at, stop, text, state)
            at = stop
            if at >= size or html[at] == _LT:
                break
            character, length = reference(html, at)
            written = state[WRITTEN]
            if character == 160:
                text[written], text[written + 1] = 0xC2, 0xA0
                written += 2
            else:
                text[written] = character
                written += 1
            state[COLLAPSED] += written - state[WRITTEN]
            state[WRITTEN] = written
            at += length
    node[TEXT_END], node[SIZE_END] = state[WRITTEN], state[COLLAPSED]
    return at


@inner
def collapsed_size(node: np.ndarray, text: np.ndarray) -> int:
    """Bytes of a node's text with each run of white space as one character."""
    start, size = node[TEXT_START], node[SIZE_END] - node[SIZE_START]
    # A run that begins before the node was counted there.
    if start < node[TEXT_END] and is_space(text[start]) and is_space(text[start - 1]):
        size += 1
    return size


@inner
def _begin(node: np.ndarray, parent: int, number: int) -> None:
    node[:] = 0
    node[PARENT] = parent
    node[AFTER] = number + 1


@inner
def _close(node: np.ndarray, count: int, opened: int, state: np.ndarray) -> None:
    node[AFTER] = count
    node[LINKS_END] = opened
    node[TEXT_END] = state[WRITTEN]
    node[SIZE_END] = state[COLLAPSED]


@inner
def read_tree(
    html: np.ndarray, quirks: bool, nodes: np.ndarray, text: np.ndarray, links: np.ndarray, state: np.ndarray
) -> tuple[int, int]:
    """Read the tree of a body.

    Args:
        html: uint8, the body element.
        quirks: whether names of classes are compared without case.
        nodes: int32[at least one, NODE_COLUMNS], filled.
        text: uint8[bytes of html + 1], filled with the text, from its second byte on.
        links: int64[as many as nodes + 1], filled with the collapsed sizes of the texts of all links before one.
        state: int64, zero, filled with `WRITTEN`, `COLLAPSED` and `FOOTERS`.

    Returns:
        How many nodes there are, -1 if there is no room for all. And which element holds the main content: the one
        with a class or role that says so, if there is one only; else the body.
    """
    size, at, count, opened = len(html), 0, 0, 0
    text[0] = links[0] = 0
    state[WRITTEN] = 1
    top, template, matches, root = -1, -1, 0, 0
    while at < size:
        markup = html[at] == _LT
        following = html[at + 1] if markup and at + 1 < size else 0
        if following == _SLASH:
            start = at + 2
            at = _find(html, at, _GT)
            tag = _tag_of(html, start, at)
            at += 1
            if top >= 0 and nodes[top, TAG] == tag:
                _close(nodes[top], count, opened, state)
                if tag == _A and template < 0:
                    links[nodes[top, LINKS_START]] = collapsed_size(nodes[top], text)
                if top == template:
                    template = -1
                top = nodes[top, PARENT]
            continue
        if count + 2 > len(nodes):
            return -1, 0
        node = nodes[count]
        _begin(node, top, count)
        count += 1
        if following == _BANG:
            node[TAG] = COMMENT
            at += 6
            while at < size and not (html[at] == _GT and html[at - 1] == _DASH and html[at - 2] == _DASH):
                at += 1
            at += 1
        elif following == _QUERY:  # <?...>, as some servers leave it in their pages
            node[TAG] = COMMENT
            at = _find(html, at, _GT) + 1
        elif markup:
            start = at + 1
            at = start
            while at < size and html[at] != _SPACE and html[at] != _GT:
                at += 1
            end = at
            tag = _tag_of(html, start, end)
            at, found = _attributes(html, at, node, quirks)
            at += 1
            if template < 0:
                if found and count > 1:
                    matches += found
                    root = count - 1
                if tag == _A:
                    opened += 1
                    links[opened] = 0
            state[FOOTERS] += tag == _FOOTER
            node[TAG] = tag
            node[LINKS_START] = node[LINKS_END] = opened
            node[TEXT_START] = node[TEXT_END] = state[WRITTEN]
            node[SIZE_START] = node[SIZE_END] = state[COLLAPSED]
            within = top >= 0 and nodes[top, FLAGS] & FOREIGN and not KINDS[nodes[top, TAG]] & INTEGRATING
            foreign = bool(within) or tag in (_SVG, _MATH)
            if foreign:
                node[FLAGS] |= FOREIGN
            if foreign or not KINDS[tag] & EMPTY:
                top = count - 1
                if tag == _TEMPLATE and template < 0:
                    template = top
                if KINDS[tag] & LITERAL:
                    end = _literal_end(html, at, start, end, tag, foreign)
                    if end > at:
                        node = nodes[count]
                        _begin(node, top, count)
                        count += 1
                        if template < 0:
                            _add_text(html, at, end, node, text, state)
                        at = end
        elif template < 0:
            at = _add_text(html, at, -1, node, text, state)
        else:
            at = _find(html, at, _LT)
    while top >= 0:
        _close(nodes[top], count, opened, state)
        top = nodes[top, PARENT]
    for number in range(1, opened + 1):
        links[number] += links[number - 1]
    return count, (root if matches == 1 else 0)


@inner
def mark_last(nodes: np.ndarray, count: int) -> None:
    """Flag the elements that end the child of the body that they are in."""
    for number in range(1, count):
        parent = nodes[number, PARENT]
        if parent == 0 or (nodes[parent, FLAGS] & LAST and not _is_followed(nodes, number)):
            nodes[number, FLAGS] |= LAST


@inner
def _is_followed(nodes: np.ndarray, number: int) -> bool:
    """Whether a node has a next sibling other than one text at the end."""
    end = nodes[nodes[number, PARENT], AFTER]
    following = nodes[number, AFTER]
    return following < end and (nodes[following, TAG] != TEXT or nodes[following, AFTER] < end)
