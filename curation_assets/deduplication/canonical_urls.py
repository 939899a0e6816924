"""One spelling for the URLs of one page.

Always, as RFC 3986 section 6.2 and the URL standard of WHATWG have it:

* C0 controls and spaces around the URL go, and so does its fragment;
* scheme and host become lower case; a dot that ends the host, an empty port and the scheme's default port go;
* percent-encoding: escapes in upper case, letters, digits and ``-._~`` not escaped, whatever may not stand in a
  URL (spaces, quotes, characters outside ASCII, a percent sign that begins no escape) escaped;
* dot segments of the path are resolved;
* the query's parameters are sorted by name, those of one name in their order; empty ones go. A space is ``+``.

What may be true of one site and false of another is a choice: see `UrlForm`. The result is a key to compare and not
an address to fetch. Hosts with characters outside ASCII are not turned into Punycode. A string without ``://`` is
taken for a URL without its scheme. URLs are case-sensitive after the host, and stay so.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit
from pydantic import BaseModel, ConfigDict

from curation_assets.filtering.characters import inner, string_buffers

TRACKING = {
    "utm_*": "Google Analytics' campaign: source, medium, term, content, and others",
    "gclid": "Google Ads, the click",
    "gclsrc": "Google Ads, where the click came from",
    "gbraid": "Google Ads, a click on iOS without consent to be tracked",
    "wbraid": "Google Ads, the same from a browser",
    "dclid": "Google Display & Video 360, the click",
    "srsltid": "Google Merchant Center, the listing",
    "_ga": "Google Analytics, the visitor across domains",
    "_gl": "Google Analytics, the linker of domains",
    "fbclid": "Facebook, the click",
    "fb_action_ids": "Facebook, the story that was shared",
    "fb_action_types": "Facebook, the kind of that story",
    "fb_source": "Facebook, the place of the link",
    "fb_ref": "Facebook, the plugin's label",
    "igshid": "Instagram, who shared",
    "igsh": "Instagram, who shared (since 2023)",
    "msclkid": "Microsoft Advertising, the click",
    "yclid": "Yandex Direct, the click",
    "ysclid": "Yandex search, the click",
    "_openstat": "Openstat, the campaign",
    "twclid": "X, the click",
    "ttclid": "TikTok, the click",
    "li_fat_id": "LinkedIn, the member",
    "rdt_cid": "Reddit, the click",
    "epik": "Pinterest, the click",
    "mc_cid": "Mailchimp, the campaign",
    "mc_eid": "Mailchimp, the recipient",
    "mkt_tok": "Marketo, the recipient",
    "_hsenc": "HubSpot, the recipient",
    "_hsmi": "HubSpot, the message",
    "hsctatracking": "HubSpot, the button",
    "vero_id": "Vero, the recipient",
    "oly_anon_id": "Omeda, the visitor",
    "oly_enc_id": "Omeda, the recipient",
    "ml_subscriber": "MailerLite, the recipient",
    "ml_subscriber_hash": "MailerLite, the recipient",
    "pk_*": "Matomo's campaign, under its old name",
    "piwik_*": "Matomo's campaign, under its oldest name",
    "mtm_*": "Matomo's campaign",
    "wt_mc": "Webtrekk, the campaign",
    "wt.mc_id": "Webtrends, the campaign",
    "s_cid": "Adobe Analytics, the campaign",
    "s_kwcid": "Adobe Advertising, the keyword",
    "ncid": "news publishers, the campaign",
    "cmpid": "news publishers, the campaign",
    "ref": "where the link stood; removed by DCLM's C4 too (a branch on some code hosts)",
    "ref_src": "X, the embedded post",
    "ref_url": "X, the page around the embedded post",
    "referrer": "where the link stood",
    "replytocom": "WordPress, the comment form to open: the page is the same",
    "share": "WordPress and Jetpack, the button that was pressed",
    "phpsessid": "PHP, the session",
    "jsessionid": "Java servlets, the session; also a parameter of the path",
    "aspsessionid*": "ASP, the session",
    "cfid": "ColdFusion, the session",
    "cftoken": "ColdFusion, the session",
}
"""Parameters that do not choose the page, in lower case, each with who adds it for what; ``*``: any ending."""


class UrlForm(BaseModel):
    """What two URLs of one page may differ in. The defaults compare most loosely."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    drop_scheme: bool = True
    """Remove ``http://`` and ``https://`` (as DCLM's C4 does); other schemes stay."""
    drop_www: bool = True
    """Remove ``www.`` from a host of three labels or more (as DCLM's C4 does)."""
    drop_trailing_slash: bool = True
    """Remove the slashes that end the path (as DCLM's C4 does). Else an empty path becomes ``/``."""
    drop_tracking: bool = True
    """Remove the parameters of TRACKING from query and path."""


class _Names(NamedTuple):
    """Sorted names as arrays for compiled code."""

    text: np.ndarray
    """uint8: the names one after another."""
    starts: np.ndarray
    """int64[names + 1]: where each begins."""
    prefix: np.ndarray
    """bool[names]: whether the name may have any ending."""
    first: np.ndarray
    """int64[257]: the names that begin with byte b are those from first[b] up to first[b + 1]."""


def _names(patterns: list[str]) -> _Names:
    encoded = sorted(pattern.encode() for pattern in patterns)
    names = [pattern.removesuffix(b"*") for pattern in encoded]
    starts = np.cumsum([0, *map(len, names)])
    text = np.frombuffer(b"".join(names), np.uint8)
    first = np.searchsorted(text[starts[:-1]], np.arange(257))
    return _Names(text, starts, np.array([pattern.endswith(b"*") for pattern in encoded]), first)


_TRACKING = _names(list(TRACKING))
_NO_NAMES = _TRACKING._replace(first=np.zeros(257, np.int64))


def _bytes(characters: str) -> np.ndarray:
    return np.isin(np.arange(256), np.frombuffer(characters.encode(), np.uint8))


_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGITS = "0123456789"
_DELIMITERS = "!$&'()*+,;="
_UNRESERVED = _bytes(_LETTERS + _DIGITS + "-._~")
_IN_SCHEME = _bytes(_LETTERS + _DIGITS + "+-.")
_IN_AUTHORITY = _UNRESERVED | _bytes(_DELIMITERS + ":@[]")
_IN_PATH = _UNRESERVED | _bytes(_DELIMITERS + ":@/")
_IN_QUERY = _IN_PATH | _bytes("?")
_HEX = np.frombuffer(b"0123456789ABCDEF", np.uint8)
_VALUES = np.full(256, -1, np.int8)
_VALUES[_HEX] = _VALUES[_HEX | 0x20] = np.arange(16)

_GROWTH = 3  # an escape has three times the bytes of what it stands for


@inner
def _lower(byte: int) -> int:
    return byte | 0x20 if 0x41 <= byte <= 0x5A else byte


@inner
def _escaped(
    data: np.ndarray, start: int, stop: int, allowed: np.ndarray, plus: bool, out: np.ndarray, end: int
) -> int:
    """Append data[start:stop] to `out`, which has `end` bytes, in percent-encoding's normal form; the new end.

    allowed: bool[256], what stands unescaped. plus: a space becomes a plus sign.
    """
    while start < stop:
        byte = data[start]
        start += 1
        kept = allowed[byte]
        if byte == 0x25 and start + 1 < stop and _VALUES[data[start]] >= 0 and _VALUES[data[start + 1]] >= 0:
            byte = np.uint8(_VALUES[data[start]] << 4 | _VALUES[data[start + 1]])
            start += 2
            kept = _UNRESERVED[byte]
        if kept:
            out[end] = byte
            end += 1
        elif plus and byte == 0x20:
            out[end] = 0x2B
            end += 1
        else:
            out[end] = 0x25
            out[end + 1] = _HEX[byte >> 4]
            out[end + 2] = _HEX[byte & 15]
            end += 3
    return end


@inner
def _named(data: np.ndarray, start: int, stop: int, names: _Names) -> bool:
    """Whether the parameter data[start:stop] has one of the names."""
    if start == stop:
        return False
    first = _lower(data[start])
    for name in range(names.first[first], names.first[first + 1]):
        size = names.starts[name + 1] - names.starts[name]
        if start + size > stop:
            continue
        if start + size < stop and data[start + size] != 0x3D and not names.prefix[name]:
            continue
        same = True
        for i in range(size):
            if _lower(data[start + i]) != names.text[names.starts[name] + i]:
                same = False
                break
        if same:
            return True
    return False


@inner
def _scheme(data: np.ndarray, start: int, stop: int) -> int:
    """End of the scheme, where its ``://`` begins; `start` without one."""
    if start == stop or not 0x41 <= data[start] & 0xDF <= 0x5A:
        return start
    position = start
    while position < stop and _IN_SCHEME[data[position]]:
        position += 1
    if position + 2 < stop and data[position] == 0x3A and data[position + 1] == 0x2F and data[position + 2] == 0x2F:
        return position
    return start


@inner
def _web(data: np.ndarray, start: int, stop: int) -> int:
    """The default port of ``http`` or ``https``, and 0 for another scheme."""
    size = stop - start
    if not 4 <= size <= 5 or (size == 5 and _lower(data[start + 4]) != 0x73):
        return 0
    if _lower(data[start]) != 0x68 or _lower(data[start + 3]) != 0x70:
        return 0
    if _lower(data[start + 1]) != 0x74 or _lower(data[start + 2]) != 0x74:
        return 0
    return 443 if size == 5 else 80


@inner
def _ends_with_port(out: np.ndarray, start: int, end: int, port: int) -> int:
    """Bytes of the port, with its colon, at the end of out[start:end], if it is this one; else 0."""
    size = 0
    while port > 0:
        size += 1
        if end - size < start or out[end - size] != 0x30 + port % 10:
            return 0
        port //= 10
    if size == 0 or end - size - 1 < start or out[end - size - 1] != 0x3A:
        return 0
    return size + 1


@inner
def _authority(out: np.ndarray, start: int, end: int, port: int, drop_www: bool) -> int:
    """Normalise out[start:end], an escaped authority, in place: lower case, ports, final dots, ``www.``; its end."""
    host = start
    for i in range(start, end):
        if out[i] == 0x40:
            host = i + 1
    i = host
    while i < end:
        if out[i] == 0x25:
            i += 3
        else:
            out[i] = _lower(out[i])
            i += 1
    while end > host:
        drop = 1 if out[end - 1] == 0x3A or out[end - 1] == 0x2E else _ends_with_port(out, host, end, port)
        if drop == 0:
            break
        end -= drop
    # Dots before another port.
    colon = end
    while colon > host and 0x30 <= out[colon - 1] <= 0x39:
        colon -= 1
    colon -= 1
    if colon > host and out[colon] == 0x3A and out[colon - 1] == 0x2E:
        last = colon
        while last > host and (out[last - 1] == 0x2E or out[last - 1] == 0x3A):
            last -= 1
        for i in range(colon, end):
            out[last + i - colon] = out[i]
        end -= colon - last
    if drop_www:
        bare = host
        while end - bare > 4 and out[bare] == out[bare + 1] == out[bare + 2] == 0x77 and out[bare + 3] == 0x2E:
            bare += 4
        dots = 0
        for i in range(bare, end):
            dots += out[i] == 0x2E
        if bare > host and dots == 0:
            bare -= 4
        for i in range(bare, end):
            out[host + i - bare] = out[i]
        end -= bare - host
    return end


@inner
def _path(source: np.ndarray, size: int, out: np.ndarray, start: int, drop_slash: bool, names: _Names) -> int:
    """Append source[:size], an escaped path, to `out` from `start` on: RFC 3986's dot segments, no named parameters."""
    end = start
    position = 0
    while position < size:
        # A slash, then a segment.
        out[end] = 0x2F
        end += 1
        segment = end
        position += 1
        while position < size and source[position] != 0x2F:
            if source[position] == 0x3B:
                after = position + 1
                while after < size and source[after] != 0x2F and source[after] != 0x3B:
                    after += 1
                if _named(source, position + 1, after, names):
                    position = after
                    continue
            out[end] = source[position]
            end += 1
            position += 1
        dots = end - segment
        if (dots == 1 or dots == 2) and out[segment] == 0x2E and out[end - 1] == 0x2E:
            end = segment - 1
            if dots == 2:
                while end > start:
                    end -= 1
                    if out[end] == 0x2F:
                        break
            if position == size:
                out[end] = 0x2F
                end += 1
    if drop_slash:
        while end > start and out[end - 1] == 0x2F:
            end -= 1
    elif end == start:
        out[end] = 0x2F
        end += 1
    return end


@inner
def _after(source: np.ndarray, bounds: np.ndarray, a: int, b: int) -> bool:
    """Whether the name of parameter a sorts after that of b; bounds: int64[n, 2]."""
    i, j = bounds[a, 0], bounds[b, 0]
    while True:
        x = int(source[i]) if i < bounds[a, 1] else 0x3D
        y = int(source[j]) if j < bounds[b, 1] else 0x3D
        if x == 0x3D or y == 0x3D:
            # The name that ends first is the smaller one, though an equals sign sorts after a digit.
            return x != 0x3D
        if x != y:
            return x > y
        i += 1
        j += 1


@inner
def _sorted(source: np.ndarray, bounds: np.ndarray, order: np.ndarray, count: int) -> int:
    """Stable merge sort of parameters by name. order: int64[2, n]; the row of it that holds the result."""
    for i in range(count):
        order[0, i] = i
    row = 0
    width = 1
    while width < count:
        for low in range(0, count, 2 * width):
            middle, high = min(low + width, count), min(low + 2 * width, count)
            a, b = low, middle
            for i in range(low, high):
                if b == high or (a < middle and not _after(source, bounds, order[row, a], order[row, b])):
                    order[1 - row, i] = order[row, a]
                    a += 1
                else:
                    order[1 - row, i] = order[row, b]
                    b += 1
        row = 1 - row
        width *= 2
    return row


@njit(cache=True, nogil=True)
def _canonical_all(
    offsets: np.ndarray,
    data: np.ndarray,
    drop_scheme: bool,
    drop_www: bool,
    drop_slash: bool,
    names: _Names,
    out: np.ndarray,
    ends: np.ndarray,
) -> None:
    """Write the canonical form of each URL to `out`; that of URL i ends at ends[i + 1]."""
    longest = 0
    for i in range(len(offsets) - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    scratch = np.empty(_GROWTH * longest, np.uint8)
    bounds = np.empty((longest + 1, 2), np.int64)
    order = np.empty((2, longest + 1), np.int64)
    end = 0
    for row in range(len(offsets) - 1):
        start, stop = offsets[row], offsets[row + 1]
        while start < stop and data[start] <= 0x20:
            start += 1
        while start < stop and data[stop - 1] <= 0x20:
            stop -= 1
        authority = start
        while authority < stop and data[authority] != 0x23:
            authority += 1
        stop = authority

        authority = _scheme(data, start, stop)
        port = 0
        if authority > start:
            port = _web(data, start, authority)
            authority += 3
            if port == 0 or not drop_scheme:
                for i in range(start, authority):
                    out[end] = _lower(data[i])
                    end += 1
        path = authority
        while path < stop and data[path] != 0x2F and data[path] != 0x3F:
            path += 1
        query = path
        while query < stop and data[query] != 0x3F:
            query += 1
        host = end
        end = _escaped(data, authority, path, _IN_AUTHORITY, False, out, end)
        end = _authority(out, host, end, port, drop_www)
        size = _escaped(data, path, query, _IN_PATH, False, scratch, 0)
        end = _path(scratch, size, out, end, drop_slash, names)

        count = 0
        size = 0
        while query < stop:
            query += 1
            start = query
            while query < stop and data[query] != 0x26:
                query += 1
            bounds[count, 0] = size
            bounds[count, 1] = _escaped(data, start, query, _IN_QUERY, True, scratch, size)
            if bounds[count, 1] > size and not _named(scratch, size, bounds[count, 1], names):
                size = bounds[count, 1]
                count += 1
        chosen = _sorted(scratch, bounds, order, count)
        for i in range(count):
            out[end] = 0x26 if i else 0x3F
            end += 1
            for k in range(bounds[order[chosen, i], 0], bounds[order[chosen, i], 1]):
                out[end] = scratch[k]
                end += 1
        ends[row + 1] = end


def canonical_urls(urls: pa.Array, form: UrlForm | None = None) -> pa.StringArray:
    """The canonical form of each URL; see above. Null for null; no string is an error.

    The form of a form is itself. Time and memory grow with the bytes (times the logarithm of the parameters).

    Args:
        urls: strings of any Arrow string type.
        form: what URLs may differ in; by default `UrlForm()`.
    """
    form = form or UrlForm()
    strings = urls.cast(pa.large_string())
    offsets, data = string_buffers(strings.fill_null(""))
    # One byte more a URL: the slash of an empty path.
    out = np.empty(_GROWTH * int(offsets[-1] - offsets[0]) + len(urls), np.uint8)
    ends = np.zeros(len(urls) + 1, np.int64)
    names = _TRACKING if form.drop_tracking else _NO_NAMES
    _canonical_all(offsets, data, form.drop_scheme, form.drop_www, form.drop_trailing_slash, names, out, ends)
    bitmap = strings.is_valid().buffers()[1] if strings.null_count else None
    buffers = [bitmap, pa.py_buffer(ends), pa.py_buffer(out[: ends[-1]].copy())]
    return pa.Array.from_buffers(pa.large_string(), len(urls), buffers).cast(pa.string())
