"""What resiliparse 2 takes for boilerplate, by the names in class, id and style attributes, as one automaton.

Texts by resiliparse's rules (`extract_plain_text(main_content=True)`) are what DCLM and others train on, so the names
that it looks for are followed to the letter, oddities included. It searches an attribute once for each rule; here it is
read once for all of them, by a deterministic automaton made from the names (Glushkov's construction: V. M. Glushkov,
"The abstract theory of automata", Russian Mathematical Surveys 16(5), 1961).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

# What is said of an element by its class attribute ...
HIDDEN, SIGN_IN, SOCIAL, JUNK = (1 << bit for bit in range(4))
# ... by class and id, with a space between ...
SKIP_LINK, LOGO, ADVERTISEMENT, ARTICLE, LANDMARK = (1 << bit for bit in range(4, 9))
# ... by the id, and by the style attribute.
LANDMARK_ID, HIDING_STYLE = 1 << 9, 1 << 10


class Names(NamedTuple):
    """One of the words of each part, one part after the other; a part that begins with `?` may be missing.

    In words, `^` and `$` are the ends of the attribute, `.` is a white space, `!` at most one, `,` any number;
    `=` is a hyphen or underscore, `~` at most one, `*` any number; `#` is one or more hexadecimal digits.
    """

    meaning: int
    parts: tuple[str, ...]
    cased: bool = False


_LEFT, _RIGHT = "^ .", "$ ."
_LEFT_OF_WORD, _RIGHT_OF_WORD = "^ . =", "$ . ="

NAMES = (
    Names(
        HIDDEN,
        (
            _LEFT,
            "? is= visually=",
            "display-none hidden invisible collapsed h-0 nocontent expandable",
            "? -xs -sm -lg -xl -2xl",
            _RIGHT,
        ),
    ),
    Names(
        SIGN_IN,
        (
            _LEFT_OF_WORD,
            "account log~in sign~in sign~up user=info user=profile user=settings user=actions",
            _RIGHT_OF_WORD,
        ),
    ),
    Names(
        SOCIAL,
        (
            "^ . __ -- mobile- desktop- l- m- c-",
            "social socialmedia socialsearch share sharedaddy sharing syndication newsletter follow aptf-follow email"
            " like likes feedback give~feedback engagement brand=engagement facebook twitter subscribe wa jp",
            "? ~post ~link ~links ~section ~icon ~icons ~btn ~button ~buttons ~target",
            _RIGHT_OF_WORD,
        ),
    ),
    Names(JUNK, (_LEFT, "short-view-count"), cased=True),
    Names(JUNK, ("spinner", _RIGHT_OF_WORD), cased=True),
    Names(
        SKIP_LINK,
        (
            _LEFT,
            "? link~",
            "skip skip~to skip~link skip-to-content skip-to-main-content scroll~up scroll~down next prev previous"
            " permalink pagination",
            "$ . ~post ~article",
        ),
    ),
    Names(LOGO, ("logo", _RIGHT)),
    Names(
        ADVERTISEMENT,
        (
            _LEFT,
            "google~ad google~ads wide~ad wide~ads advert advertise advertisement advertiselink ad_# sponsor sponsored"
            " promoted paid banner widebanner donate",
            _RIGHT_OF_WORD,
        ),
    ),
    Names(ADVERTISEMENT, (_LEFT, "ad$")),
    Names(
        ARTICLE,
        (
            _LEFT_OF_WORD,
            "article entry post single~post story content main=content body text page",
            _RIGHT_OF_WORD,
        ),
    ),
    Names(
        LANDMARK,
        (
            _LEFT,
            "l* m* wp* global* page* site* full* sticky*",
            "header",
            "? ~wrap ~wrapper bar",
            _RIGHT,
        ),
    ),
    Names(
        LANDMARK,
        (
            _LEFT,
            "? global~ page~ site~",
            "footer fcontainer copyright legal cookie consent",
            "? =wrap =wrapper =container =banner =notice =bar =consent",
            _RIGHT,
        ),
    ),
    *(
        Names(LANDMARK, (_LEFT, "? l* m* wp* main* site* page* sub* article* global* sticky*", *kind, _RIGHT))
        for kind in (
            ("nav navigation navbar", "? =bar =menu =container =wrapper"),
            ("menu menu=item drop~down bread~crumb bread~crumbs",),
            ("link links", "~bar ~box ~list ~container ~section ~wrapper"),
        )
    ),
    Names(
        LANDMARK,
        (
            _LEFT_OF_WORD,
            "trends trending recommended featured popular editor=picks editors=picks read-next related related~links"
            " related~articles related~posts related~guides related~stories",
            _RIGHT_OF_WORD,
        ),
    ),
    Names(LANDMARK, (_LEFT, "search", "? ~bar ~facility ~box", _RIGHT)),
    Names(
        LANDMARK,
        (
            _LEFT,
            "? l* wp* global* sticky*",
            "side~bar side~bars side~box sticky~bar sticky~bars sticky~box one-third",
            _RIGHT,
        ),
    ),
    Names(LANDMARK, (_LEFT, "? wp- p- -l", "modal popup lightbox", "? *window *pane *box", _RIGHT)),
    Names(LANDMARK, (_LEFT, "gallery carousel", _RIGHT)),
    Names(LANDMARK, (_LEFT, "print=")),
    Names(
        LANDMARK_ID,
        ("^", "? l* wp* global* page* site* full* sticky*", "head header foot footer right", "$"),
    ),
    Names(HIDING_STYLE, ("^ ;,", "display!:!none visibility!:!hidden", "$ !;")),
)
"""What each name means."""


class Automaton(NamedTuple):
    """Searches for all names at once.

    `columns[byte]` (uint8[256]) is the column of a byte in `moves` (uint16[states, columns]), which gives the next
    state; `meanings[state]` (uint16) are the bits of the names that end there. Begin with `start`; the end of the text
    is the column `END`.
    """

    columns: np.ndarray
    moves: np.ndarray
    meanings: np.ndarray
    start: int


END = 1
"""The column of the end of a text, in `Automaton.moves`. Column 0 is of bytes that are in no name."""

_BEGIN_SIGN, _END_SIGN = "begin", "end"
_SPACES = frozenset(" \t\n\v\f\r")
_HYPHENS = frozenset("-_")
# What a sign of `Names` reads, whether it may be missing and whether it may be repeated.
_SIGNS = {
    "^": (frozenset({_BEGIN_SIGN}), False, False),
    "$": (frozenset({_END_SIGN}), False, False),
    ".": (_SPACES, False, False),
    "!": (_SPACES, True, False),
    ",": (_SPACES, True, True),
    "=": (_HYPHENS, False, False),
    "~": (_HYPHENS, True, False),
    "*": (_HYPHENS, True, True),
    "#": (frozenset("0123456789abcdefABCDEF"), False, True),
}


class _Piece(NamedTuple):
    """Positions (as bits) with which a piece of a name can begin and end, and whether it can be empty."""

    first: int
    last: int
    empty: bool


_NOTHING = _Piece(0, 0, empty=True)


class _Positions:
    """Every sign of every name: the symbols that it reads, and the positions (as bits) that may come next."""

    def __init__(self) -> None:
        self.symbols: list[frozenset[str]] = []
        self.following: list[int] = []

    def sign(self, sign: str, cased: bool) -> _Piece:
        letter = frozenset({sign} if cased else {sign.lower(), sign.upper()})
        symbols, optional, repeated = _SIGNS.get(sign, (letter, False, False))
        bit = 1 << len(self.symbols)
        self.symbols.append(symbols)
        self.following.append(bit if repeated else 0)
        return _Piece(bit, bit, optional)

    def join(self, left: _Piece, right: _Piece) -> _Piece:
        for position in _bits(left.last):
            self.following[position] |= right.first
        first = left.first | right.first if left.empty else left.first
        last = left.last | right.last if right.empty else right.last
        return _Piece(first, last, left.empty and right.empty)

    def part(self, part: str, cased: bool) -> _Piece:
        whole = _NOTHING._replace(empty=part.startswith("?"))
        for word in part.removeprefix("?").split():
            piece = functools.reduce(self.join, (self.sign(sign, cased) for sign in word), _NOTHING)
            whole = _Piece(whole.first | piece.first, whole.last | piece.last, whole.empty or piece.empty)
        return whole

    def name(self, names: Names) -> _Piece:
        return functools.reduce(self.join, (self.part(part, names.cased) for part in names.parts), _NOTHING)


def _bits(number: int) -> Iterable[int]:
    while number:
        yield (number & -number).bit_length() - 1
        number &= number - 1


@functools.cache
def automaton() -> Automaton:
    """The automaton of `NAMES`, built once per process (40 ms)."""
    positions = _Positions()
    beginning, meaning_of = 0, dict[int, int]()
    for names in NAMES:
        piece = positions.name(names)
        beginning |= piece.first
        for position in _bits(piece.last):
            meaning_of[position] = names.meaning
    # Symbols that the same positions read share a column.
    readers: dict[str, int] = {}
    for position, symbols in enumerate(positions.symbols):
        for symbol in symbols:
            readers[symbol] = readers.get(symbol, 0) | 1 << position
    masks = list(dict.fromkeys([0, readers[_END_SIGN], readers[_BEGIN_SIGN], *readers.values()]))
    columns = np.zeros(256, np.uint8)
    for symbol, mask in readers.items():
        if len(symbol) == 1:
            columns[ord(symbol)] = masks.index(mask)
    states, moves = {0: 0}, list[list[int]]()
    queue = [0]
    for state in queue:
        following = functools.reduce(lambda bits, at: bits | positions.following[at], _bits(state), beginning)
        row = [following & mask for mask in masks]
        for target in row:
            if target not in states:
                states[target] = len(queue)
                queue.append(target)
        moves.append([states[target] for target in row])
    meanings = [functools.reduce(lambda bits, at: bits | meaning_of.get(at, 0), _bits(state), 0) for state in queue]
    tables = columns, np.array(moves, np.uint16), np.array(meanings, np.uint16)
    for table in tables:
        table.setflags(write=False)
    return Automaton(*tables, start=moves[0][2])
