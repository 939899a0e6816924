"""Personal data with a fixed form: e-mail addresses and public IPv4 addresses, found as spans to be masked.

The patterns and the replacements are FineWeb's (datatrove's `PIIFormatter`; Penedo et al. 2024, arXiv
2406.17557). What differs, each time because the published code does not do what it is for:

- Replacements are taken in turn *within* a document, so that output does not depend on document order.
- Word boundaries are those of ASCII: an address that follows a Chinese or Japanese character is found.
- A domain ends in a label that begins with a letter, or is a dotted quad: `react@18.2.0` is a package.
- A local part does not end in "/": `https://social.example/@some.name` is a profile, not an address.
- A dotted quad is an address only if it stands alone: not after a letter, digit, "_" or ".", and not before a
  letter, digit, "_", or a "." with a letter or digit behind it. So `v1.2.3.4`, `1.2.3.4.5`, `999.1.1.1` and
  `tool-1.2.3.4.tar.gz` stay. "version 1.2.3.4" cannot be told from an address and is masked.

As published: no phone numbers, no IPv6, no international (non-ASCII) local parts or domains, no quoted local
parts, and an octet has no leading zero.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from curation_assets.filtering.characters import inner, string_buffers
from curation_assets.filtering.words import doubled

PII_SPANS = pa.list_(
    pa.struct([("start", pa.uint32()), ("end", pa.uint32()), ("kind", pa.string()), ("replacement", pa.string())])
)
"""The personal data of one text: bytes ``start`` to ``end`` (exclusive), `email` or `public_ip`, and its mask."""

EMAIL_REPLACEMENTS = ("email@example.com", "firstname.lastname@example.org")
"""What e-mail addresses become, in turn."""

IP_REPLACEMENTS = (
    "22.214.171.124",
    "126.96.36.199",
    "188.8.131.52",
    "184.108.40.206",
    "220.127.116.11",
    "18.104.22.168",
)
"""What public IPv4 addresses become, in turn."""

_KINDS = ("email", "public_ip")
_EMAIL, _IP = 0, 1

# Classes of a byte, as bits.
_DIGIT, _LETTER, _UNDERSCORE, _LOCAL_SYMBOL, _HYPHEN, _DOT, _AT = 1, 2, 4, 8, 16, 32, 64
_ALPHANUMERIC = _DIGIT | _LETTER
_WORD = _ALPHANUMERIC | _UNDERSCORE
_LOCAL = _WORD | _LOCAL_SYMBOL | _HYPHEN
_LABEL = _ALPHANUMERIC | _HYPHEN


def _byte_classes() -> npt.NDArray[np.uint8]:
    classes = np.zeros(256, dtype=np.uint8)
    classes[ord("0") : ord("9") + 1] = _DIGIT
    classes[ord("A") : ord("Z") + 1] = _LETTER
    classes[ord("a") : ord("z") + 1] = _LETTER
    classes[[ord(symbol) for symbol in "!#$%&'*+/=?^`{|}~"]] = _LOCAL_SYMBOL
    for symbol, value in (("_", _UNDERSCORE), ("-", _HYPHEN), (".", _DOT), ("@", _AT)):
        classes[ord(symbol)] = value
    return classes


_CLASSES = _byte_classes()

# IANA IPv4 Special-Purpose Address Registry, "Globally Reachable: False": first and last address. Python's
# ipaddress.is_global says the same, but its table changed between patch releases.
_NOT_GLOBAL = np.array(
    [
        [0x00000000, 0x00FFFFFF],  # 0.0.0.0/8 this network
        [0x0A000000, 0x0AFFFFFF],  # 10.0.0.0/8 private
        [0x64400000, 0x647FFFFF],  # 100.64.0.0/10 shared, carrier-grade NAT
        [0x7F000000, 0x7FFFFFFF],  # 127.0.0.0/8 loopback
        [0xA9FE0000, 0xA9FEFFFF],  # 169.254.0.0/16 link local
        [0xAC100000, 0xAC1FFFFF],  # 172.16.0.0/12 private
        [0xC0000000, 0xC0000008],  # 192.0.0.0/24 protocol assignments, but for .9 and .10 (anycast)
        [0xC000000B, 0xC00000FF],
        [0xC0000200, 0xC00002FF],  # 192.0.2.0/24 documentation
        [0xC0A80000, 0xC0A8FFFF],  # 192.168.0.0/16 private
        [0xC6120000, 0xC613FFFF],  # 198.18.0.0/15 benchmarking
        [0xC6336400, 0xC63364FF],  # 198.51.100.0/24 documentation
        [0xCB007100, 0xCB0071FF],  # 203.0.113.0/24 documentation
        [0xF0000000, 0xFFFFFFFF],  # 240.0.0.0/4 reserved, and broadcast
    ],
    dtype=np.int64,
)


def find_pii(texts: pa.LargeStringArray, email: bool = True, public_ip: bool = True) -> pa.ListArray:
    """E-mail addresses and globally routable IPv4 addresses in each text, as row-aligned `PII_SPANS`.

    `start` and `end` are UTF-8 byte offsets into the text, sorted and disjoint; `kind` is "email" or
    "public_ip"; `replacement` is what FineWeb writes instead, taken in turn per kind and document. An IP
    address inside an e-mail address belongs to it. A null text has no spans. Time is linear in the text,
    whatever it holds. Raises ValueError for a text of 4 GiB or more.
    """
    texts = texts.cast(pa.large_string())
    bounds, values = string_buffers(texts)
    if len(texts) and int(np.diff(bounds).max()) > np.iinfo(np.uint32).max:
        raise ValueError("a text of 4 GiB or more does not fit uint32 offsets")
    usable = texts.is_valid().to_numpy(zero_copy_only=False)
    offsets, spans = _find(values, bounds, usable, email, public_ip)
    starts, ends, kinds, turns = (np.ascontiguousarray(column) for column in spans.T)
    replacement = np.where(kinds == _EMAIL, 0, len(EMAIL_REPLACEMENTS)) + turns
    struct = pa.StructArray.from_arrays(
        [
            pa.array(starts.astype(np.uint32)),
            pa.array(ends.astype(np.uint32)),
            pa.array(_KINDS, pa.string()).take(pa.array(kinds)),
            pa.array(EMAIL_REPLACEMENTS + IP_REPLACEMENTS, pa.string()).take(pa.array(replacement)),
        ],
        fields=list(PII_SPANS.value_type),
    )
    return pa.ListArray.from_arrays(pa.array(offsets), struct, type=PII_SPANS)


@inner
def _local_part_start(values: np.ndarray, at: int, low: int, first: int) -> int:
    """Where the local part that ends before the "@" at `at` begins, not before `low`; `at` if there is none.

    `first` is where the text begins: the byte before it is not this text's.
    """
    if at == low or values[at - 1] == 0x2F:  # "/"
        return at
    begin = at
    left = at
    while left > low:
        kind = _CLASSES[values[left - 1]]
        if kind & _LOCAL:
            left -= 1
            begin = left
        elif kind & _DOT and begin == left and left < at:
            left -= 1
        else:
            break
    for start in range(begin, at):
        kind = _CLASSES[values[start]]
        word_before = start > first and _CLASSES[values[start - 1]] & _WORD != 0
        if kind & _LOCAL and (kind & _WORD != 0) != word_before:
            return start
    return at


@inner
def _quad(values: np.ndarray, position: int, high: int) -> tuple[int, int]:
    """End and 32-bit value of the dotted quad at `position`; end 0 if there is none."""
    address = 0
    for octet in range(4):
        value = 0
        begin = position
        while position < high and position - begin < 4 and _CLASSES[values[position]] & _DIGIT:
            value = value * 10 + (values[position] - 48)
            position += 1
        length = position - begin
        if length == 0 or value > 255 or (length > 1 and values[begin] == 48):
            return 0, 0
        address = address << 8 | value
        if octet < 3:
            if position == high or values[position] != 46:
                return 0, 0
            position += 1
    return position, address


@inner
def _goes_on(values: np.ndarray, end: int, high: int) -> bool:
    """Whether a dotted quad that ends before `end` is the beginning of a longer name, number or version."""
    if end == high:
        return False
    kind = _CLASSES[values[end]]
    if kind & _DOT:
        return end + 1 < high and _CLASSES[values[end + 1]] & _ALPHANUMERIC != 0
    return kind & _WORD != 0


@inner
def _domain_end(values: np.ndarray, position: int, high: int) -> int:
    """Where the domain or bracketed address that begins at `position` ends; 0 if there is none."""
    if position < high and values[position] == 0x5B:  # "["
        end, _ = _quad(values, position + 1, high)
        return end + 1 if end and end < high and values[end] == 0x5D else 0
    best = 0
    begin = position
    while begin < high and _CLASSES[values[begin]] & _ALPHANUMERIC:
        run = begin
        end = begin
        while run < high and _CLASSES[values[run]] & _LABEL:
            run += 1
            if values[run - 1] != 0x2D:  # a label does not end in "-"
                end = run
        if begin > position and _CLASSES[values[begin]] & _LETTER:
            best = end
        if end < run or run == high or values[run] != 46:
            break
        begin = run + 1
    if best:
        return best
    end, _ = _quad(values, position, high)
    return 0 if end == 0 or _goes_on(values, end, high) else end


@inner
def _next_candidate(values: np.ndarray, position: int, high: int) -> int:
    """The first "@" or digit from `position` on, `high` if there is none."""
    while position < high and not _CLASSES[values[position]] & (_AT | _DIGIT):
        position += 1
    return position


@inner
def _is_global(address: int) -> bool:
    special = False
    for row in range(len(_NOT_GLOBAL)):
        special |= _NOT_GLOBAL[row, 0] <= address <= _NOT_GLOBAL[row, 1]
    return not special


@njit(cache=True, nogil=True)
def _find(
    values: np.ndarray, bounds: np.ndarray, usable: np.ndarray, email: bool, public_ip: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Offsets of each text's spans, and the spans: start, end, kind, place in the replacement cycle."""
    offsets = np.zeros(len(bounds), dtype=np.int32)
    spans = np.empty((64, 4), dtype=np.int64)
    count = 0
    for text in range(len(bounds) - 1):
        first, high = bounds[text], bounds[text + 1]
        if not usable[text]:
            high = first
        emails = 0
        addresses = 0
        free = first  # where the last e-mail address ended
        position = first
        while True:
            position = _next_candidate(values, position, high)
            if position == high:
                break
            kind = _CLASSES[values[position]]
            start = position
            end = 0
            if kind & _AT and email:
                start = _local_part_start(values, position, free, first)
                if start < position:
                    end = _domain_end(values, position + 1, high)
                if end:
                    # An e-mail address takes the IP addresses that were found inside it.
                    while count > offsets[text] and spans[count - 1, 1] > start - first:
                        count -= 1
                        addresses -= 1
                    free = end
            elif (
                kind & _DIGIT
                and public_ip
                and (position == first or not _CLASSES[values[position - 1]] & (_WORD | _DOT))
            ):
                end, address = _quad(values, position, high)
                if end and (_goes_on(values, end, high) or not _is_global(address)):
                    end = 0
            if end == 0:
                position += 1
                continue
            if count == len(spans):
                spans = doubled(spans)
            spans[count, 0] = start - first
            spans[count, 1] = end - first
            if kind & _AT:
                spans[count, 2] = _EMAIL
                spans[count, 3] = emails % len(EMAIL_REPLACEMENTS)
                emails += 1
            else:
                spans[count, 2] = _IP
                spans[count, 3] = addresses % len(IP_REPLACEMENTS)
                addresses += 1
            count += 1
            position = end
        offsets[text + 1] = count
    return offsets, spans[:count]
