"""What the rules about lines find: citations, phrases, counters, shouting, unfinished lines; kernels over UTF-8.

C4's rules (Raffel et al. 2020, section 2.2) are as datatrove 0.10's ``C4QualityFilter`` applies them for FineWeb;
RefinedWeb's (Penedo et al. 2023, appendix G.2) as DCLM's ``baselines/mappers/modifiers.py`` does. Letters are compared
in ASCII's two cases.
"""

import numpy as np

from curation_assets.filtering.characters import ALNUM, DIGIT, SPACE, UPPER, decode, inner
from curation_assets.filtering.definitions import PREFIX, Rules
from curation_assets.filtering.lines import has_spaces, last_character, next_byte, spaced_words

LOREM_IPSUM, JAVASCRIPT, CURLY_BRACKET, POLICY = 1, 2, 4, 8
"""What ``forbidden`` finds in a line, as bit flags."""

_PHRASES = (
    (LOREM_IPSUM, b"lorem ipsum"),
    (JAVASCRIPT, b"javascript"),
    (POLICY, b"terms of use"),
    (POLICY, b"privacy policy"),
    (POLICY, b"cookie policy"),
    (POLICY, b"uses cookies"),
    (POLICY, b"use of cookies"),
    (POLICY, b"use cookies"),
)
_PHRASE_BYTES = np.frombuffer(b"".join(phrase for _, phrase in _PHRASES), np.uint8)
_PHRASE_ENDS = np.cumsum([len(phrase) for _, phrase in _PHRASES])
_PHRASE_FLAGS = np.array([flag for flag, _ in _PHRASES])
_BEGINS = np.array(
    [
        [sum((phrase[at] == byte) << n for n, (_, phrase) in enumerate(_PHRASES)) for byte in range(256)]
        for at in range(4)
    ],
    np.uint8,
)
"""Which phrases, as bits, have a byte as their first, second, third or fourth."""
_MARKS = np.frombuffer(b"edit]citation needed]", np.uint8)
_MARK_ENDS = np.array([5, 21])


@inner
def _citation_end(text: np.ndarray, position: int, end: int, classes: np.ndarray) -> int:
    """End of the citation mark, [digits], [edit] or [citation needed], whose bracket is at a byte; 0 without one."""
    position += 1
    start = 0
    for stop in _MARK_ENDS:
        if position + stop - start <= end:
            same = True
            for i in range(start, stop):
                if text[position + i - start] != _MARKS[i]:
                    same = False
                    break
            if same:
                return position + stop - start
        start = stop
    while position < end:
        if text[position] == 0x5D:
            return position + 1
        code, width = decode(text, position)
        if not classes[code] & DIGIT:
            return 0
        position += width
    return 0


@inner
def next_citation(text: np.ndarray, position: int, end: int, classes: np.ndarray) -> tuple[int, int]:
    """Bounds of the next citation mark; (end, end) without one."""
    while True:
        position = next_byte(text, position, end, 0x5B)
        if position == end:
            return end, end
        stop = _citation_end(text, position, end, classes)
        if stop:
            return position, stop
        position += 1


@inner
def forbidden(text: np.ndarray, start: int, end: int) -> int:
    """The flags of the phrases and brackets that a line holds."""
    found = 0
    if next_byte(text, start, end, 0x7B) < end:
        found |= CURLY_BRACKET
    for position in range(start, end - 3):
        phrases = np.uint8(255)
        for at in range(4):
            phrases &= _BEGINS[at, text[np.uint64(position + at)] | 0x20]
        if not phrases:
            continue
        first = 0
        for phrase in range(len(_PHRASE_ENDS)):
            size = _PHRASE_ENDS[phrase] - first
            same = position + size <= end
            i = 0
            while same and i < size:
                byte = text[position + i]
                same = (byte | 0x20 if byte > 0x40 else byte) == _PHRASE_BYTES[first + i]
                i += 1
            if same:
                found |= _PHRASE_FLAGS[phrase]
            first = _PHRASE_ENDS[phrase]
    return found


_CART = np.frombuffer(b"items in cart", np.uint8)
_READ_MORE = np.frombuffer(b"read more...", np.uint8)
_SIGN_IN = np.frombuffer(b"sign-in", np.uint8)
PHRASE_WORDS = 10
_COUNTED = (
    b"likes",
    b"shares",
    b"comments",
    b"retweets",
    b"reposts",
    b"quotes",
    b"bookmarks",
    b"upvotes",
    b"downvotes",
    b"downloads",
    b"views",
    b"followers",
)
_COUNTED_BYTES = np.frombuffer(b"".join(_COUNTED), np.uint8)
_COUNTED_ENDS = np.cumsum([len(word) for word in _COUNTED])


@inner
def _matches(text: np.ndarray, position: int, end: int, phrase: np.ndarray, first: int, after: int) -> bool:
    """Whether bytes ``first`` to ``after`` of a phrase in lower case stand at a byte."""
    if position + after - first > end:
        return False
    for i in range(first, after):
        byte = text[position + i - first]
        if (byte | 0x20 if byte > 0x40 else byte) != phrase[i]:
            return False
    return True


@inner
def _space_before(text: np.ndarray, start: int, position: int, classes: np.ndarray) -> int:
    """Where the white-space character before ``position`` starts, not before ``start``; else ``position``."""
    if position > start:
        before = last_character(text, start, position)
        if classes[decode(text, before)[0]] & SPACE:
            return before
    return position


@inner
def space_after(text: np.ndarray, position: int, end: int, classes: np.ndarray) -> int:
    """The same behind it."""
    if position < end:
        code, width = decode(text, position)
        if classes[code] & SPACE:
            return position + width
    return position


@inner
def _insert(spans: np.ndarray, count: int, index: int, start: int, end: int) -> int:
    for i in range(count, index, -1):
        spans[i, 0] = spans[i - 1, 0]
        spans[i, 1] = spans[i - 1, 1]
    spans[index, 0] = start
    spans[index, 1] = end
    return count + 1


@inner
def phrases(text: np.ndarray, first: int, last: int, classes: np.ndarray, removed: np.ndarray) -> int:
    """Fill ``removed`` with the phrases of a line, each with one white-space character beside it; count them."""
    count = int(np.int64(0))
    lower = position = first
    while position < last:
        if _matches(text, position, last, _CART, 0, len(_CART)):
            start = _space_before(text, lower, position, classes)
            position += len(_CART)
            lower = position
            count = _insert(removed, count, count, start, position)
        else:
            position += 1
    # The end and the start of the line are those of what is left of it, without white space.
    index = count
    stop = last
    while True:
        if index and removed[index - 1, 1] == stop:
            index -= 1
            stop = removed[index, 0]
        else:
            before = _space_before(text, first, stop, classes)
            if before == stop:
                break
            stop = before
    lower = removed[index - 1, 1] if index else first
    start = stop - len(_READ_MORE)
    if start >= lower and _matches(text, start, stop, _READ_MORE, 0, len(_READ_MORE)):
        count = _insert(removed, count, index, _space_before(text, lower, start, classes), stop)
    index = 0
    start = first
    while True:
        if index < count and removed[index, 0] == start:
            start = removed[index, 1]
            index += 1
        else:
            after = space_after(text, start, last, classes)
            if after == start:
                break
            start = after
    upper = removed[index, 0] if index < count else last
    if _matches(text, start, upper, _SIGN_IN, 0, len(_SIGN_IN)):
        stop = space_after(text, start + len(_SIGN_IN), upper, classes)
        count = _insert(removed, count, index, start, stop)
    return count


@inner
def citations(text: np.ndarray, first: int, last: int, classes: np.ndarray, removed: np.ndarray) -> int:
    """Fill ``removed`` with the citation marks of a line; count them."""
    count = 0
    while True:
        start, first = next_citation(text, first, last, classes)
        if start == last:
            return count
        removed[count, 0] = start
        removed[count, 1] = first
        count += 1


@inner
def _after_nonwords(text: np.ndarray, position: int, end: int, classes: np.ndarray) -> int:
    """The first byte that starts a letter, a number or an underscore: what is not ``\\W``."""
    while position < end:
        code, width = decode(text, position)
        if classes[code] & ALNUM or code == 0x5F:
            break
        position += width
    return position


@inner
def _is_counter(text: np.ndarray, position: int, end: int, classes: np.ndarray, kind: int) -> bool:
    """Whether a line is the counter of a social network (3 likes, 1.2k views), or with PREFIX starts with one."""
    position = _after_nonwords(text, position, end, classes)
    digits = 0
    while position < end:
        code, width = decode(text, position)
        if not classes[code] & DIGIT and not (digits and (code == 0x2C or code == 0x2E)):
            break
        digits += 1
        position += width
    if not digits or position == end:
        return False
    byte = text[position] | 0x20
    if byte == 0x6B or byte == 0x6D or byte == 0x62:
        position += 1
    after = space_after(text, position, end, classes)
    if after == position:
        return False
    while after > position:
        position = after
        after = space_after(text, position, end, classes)
    first = 0
    for stop in _COUNTED_ENDS:
        if _matches(text, position, end, _COUNTED_BYTES, first, stop):
            position += stop - first
            return kind == PREFIX or _after_nonwords(text, position, end, classes) == end
        first = stop
    return False


@inner
def is_kept(text: np.ndarray, first: int, last: int, classes: np.ndarray, rules: Rules) -> bool:
    """Whether a line that is not empty passes the rules about its words and characters."""
    longest_allowed = rules.max_word_length
    if rules.min_words or (longest_allowed > 0 and not has_spaces(text, first, last, longest_allowed, classes)):
        words, longest = spaced_words(text, first, last, classes)
        if words < rules.min_words or (longest_allowed and longest > longest_allowed):
            return False
    if rules.max_uppercase < 1 or rules.max_digits < 1:
        length = upper = digits = 0
        position = first
        while position < last:
            code, width = decode(text, position)
            position += width
            length += 1
            upper += classes[code] & UPPER != 0
            digits += classes[code] & DIGIT != 0
        if upper / length > rules.max_uppercase or digits / length > rules.max_digits:
            return False
    return not (rules.counters and _is_counter(text, first, last, classes, rules.counters))


@inner
def is_unfinished(text: np.ndarray, start: int, end: int) -> bool:
    """Whether a line ends in none of . ? ! " ', or in three full stops."""
    if start == end:
        return True
    final = text[end - 1]
    if final != 0x2E:
        return final != 0x3F and final != 0x21 and final != 0x22 and final != 0x27
    return end - start >= 3 and text[end - 2] == 0x2E and text[end - 3] == 0x2E
