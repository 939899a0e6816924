"""Bytes of a page to text: byte-order mark, then HTTP charset, then meta charset, then detection.

The order is that of the HTML standard ("determining the character encoding"), and labels mean what the WHATWG
Encoding standard says they mean (ISO-8859-1 is windows-1252, gb2312 is gb18030, ...). But a declaration is a claim: it
is dropped where the bytes disprove it, which browsers do not do and a corpus must.
"""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple

from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

PRESCAN_BYTES = 16 << 10
"""Bytes in which a meta element's charset is looked for."""

DETECTION_BYTES = 128 << 10
"""Bytes from which a charset is guessed."""

# A legacy charset is believed while at most this share of its non-ASCII characters are malformed.
_MALFORMED = 0.02
# Text of which more than this share could not be decoded is no text.
_UNDECODABLE = 0.05

# resiliparse's name of a WHATWG encoding -> its WHATWG name and the Python codec that decodes it most completely.
_CODECS = {
    "gbk": ("gbk", "gb18030"),
    "gb18030": ("gb18030", "gb18030"),
    "big5": ("big5", "big5hkscs"),
    "shift_jis": ("shift_jis", "cp932"),
    "euc_jp": ("euc-jp", "euc_jp"),
    "iso2022_jp": ("iso-2022-jp", "iso2022_jp_ext"),
    "euc_kr": ("euc-kr", "cp949"),
    "iso8859-11": ("windows-874", "cp874"),
    "mac-roman": ("macintosh", "mac-roman"),
    "utf-16-le": ("utf-16le", "utf-16-le"),
    "utf-16-be": ("utf-16be", "utf-16-be"),
    "cp866": ("ibm866", "cp866"),
}
_MAC_CYRILLIC = {"x-mac-cyrillic", "x-mac-ukrainian"}
"""Labels of the standard that resiliparse does not know."""
# What the detector says for text that is in practice in another encoding of the same language.
_DETECTED = {"mac-cyrillic": "cp1251", "mac-centraleurope": "cp1250", "cp949": "euc_kr", "johab": "euc_kr"}
# Where ISO 8859 has controls, the Windows encoding of the same languages has letters and quotation marks.
_WINDOWS = {"iso8859-2": "cp1250", "iso8859-7": "cp1253", "iso8859-8": "cp1255", "iso8859-13": "cp1257"}
_C1 = bytes(range(0x80, 0xA0))
# Encodings in which one byte above 0x7F is never a whole character, so that short text can be valid UTF-8 by chance.
_MULTIBYTE = {"gbk", "gb18030", "big5", "shift_jis", "euc-jp", "euc-kr"}

_COMMENT = re.compile(rb"<!--.*?(?:-->|\Z)", re.DOTALL)
_META = re.compile(
    rb"""<meta[\s/][^>]{0,1024}?charset\s*=\s*["']?\s*([^\s"'/>;]{1,40})"""
    rb"""|\A\s*<\?xml[^>]{0,256}?encoding\s*=\s*["']([^"']{1,40})""",
    re.IGNORECASE,
)


class Decoded(NamedTuple):
    """Text with the charset used (WHATWG name) and where it came from: `bom`, `http`, `meta` or `detected`."""

    text: str
    charset: str
    source: str


class CharsetError(ValueError):
    """No charset turns the bytes into text."""


def decode_html(body: bytes | memoryview, http_charset: str | None = None) -> Decoded:
    """Decode a page; malformed sequences become U+FFFD.

    `http_charset` is the label of the Content-Type field, as written. UTF-8 that is valid beats any other
    declaration; a declared charset that does not fit the bytes gives way to the next source.

    Raises:
        CharsetError: more than a twentieth of the characters of the best reading cannot be decoded or are controls.
    """
    start = bytes(body[:4])
    if start.startswith(codecs.BOM_UTF8):
        return Decoded(str(body[3:], "utf-8", "replace"), "utf-8", "bom")
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        name, codec = _CODECS["utf-16-le" if start[0] == 0xFF else "utf-16-be"]
        return Decoded(str(body[2:], codec, "replace"), name, "bom")
    http = find_encoding(http_charset)
    wide = _wide_encoding(bytes(body[:256]))
    if wide is None and http is not None and http[0].startswith("utf-16"):
        wide = _byte_order(bytes(body[:4096]))
    if wide is not None:
        name, codec = wide
        return Decoded(str(body, codec, "replace"), name, "http" if http and http[0] == name else "detected")
    try:
        text = str(body, "utf-8")
    except UnicodeDecodeError:
        return _decode_legacy(body, http)
    if http is not None and http[0] == "utf-8":
        return Decoded(text, "utf-8", "http")
    source = "http" if http else "meta"
    declared = http or meta_encoding(body)
    if declared is None:
        return Decoded(text, "utf-8", "detected")
    if declared[0] == "utf-8":
        return Decoded(text, "utf-8", source)
    if declared[0].startswith("utf-16"):
        declared = None  # disproved: there are no zero bytes
    elif text.isascii() or (declared[0] in _MULTIBYTE and len(body) - len(text) < 8):
        reading = _strictly(body, declared[1])
        if reading is not None:
            return Decoded(reading, declared[0], source)
    # Valid UTF-8 with several multi-byte characters is UTF-8, whatever was declared.
    second = meta_encoding(body) if http else None
    return Decoded(text, "utf-8", "meta" if second and second[0] == "utf-8" else "detected")


def find_encoding(label: str | None) -> tuple[str, str] | None:
    """WHATWG name and Python codec of a charset label; None for a missing or unknown label."""
    if not label:
        return None
    label = label.strip(" \t\r\n\"';,").lower()
    if label in _MAC_CYRILLIC:
        return "x-mac-cyrillic", "mac-cyrillic"
    mapped = map_encoding_to_html5(label, fallback_utf8=False)
    return _named(mapped) if mapped else None


def meta_encoding(body: bytes | memoryview) -> tuple[str, str] | None:
    """The encoding declared by the first meta element or XML declaration of the first 16 KiB, outside comments."""
    start = bytes(body[:PRESCAN_BYTES])
    if b"<!--" in start:
        start = _COMMENT.sub(b"", start)
    for match in _META.finditer(start):
        found = find_encoding((match[1] or match[2]).decode("latin-1"))
        if found is not None:
            # A meta element that could be read as ASCII does not stand in UTF-16 (the standard says the same).
            return ("utf-8", "utf-8") if found[0].startswith("utf-16") else found
    return None


def _detect(body: bytes | memoryview) -> tuple[str, str]:
    start = bytes(body[:DETECTION_BYTES])
    guess = (detect_encoding(start, html5_compatible=False) or "cp1252").lower()
    guess = _DETECTED.get(guess, guess)
    if guess in _WINDOWS and len(start.translate(None, _C1)) < len(start):
        guess = _WINDOWS[guess]
    mapped = map_encoding_to_html5(guess, fallback_utf8=False)
    return _named(mapped) if mapped else ("windows-1252", "cp1252")


def _named(mapped: str) -> tuple[str, str]:
    mapped = mapped.lower()
    if mapped in _CODECS:
        return _CODECS[mapped]
    name = re.sub(r"^cp(?=125\d$)", "windows-", mapped).replace("iso8859", "iso-8859").replace("_", "-")
    try:
        codecs.lookup(mapped)
    except LookupError:
        return ("utf-8", "utf-8")
    return name, mapped


def _wide_encoding(start: bytes) -> tuple[str, str] | None:
    """UTF-16 without a byte-order mark shows as markup with every other byte zero."""
    even, odd = start[0::2].count(0), start[1::2].count(0)
    if even + odd < len(start) // 4 or not start:
        return None
    if even > 4 * odd:
        return _CODECS["utf-16-be"]
    return _CODECS["utf-16-le"] if odd > 4 * even else None


def _byte_order(start: bytes) -> tuple[str, str] | None:
    """Of text that is declared as UTF-16: the order in which it has more spaces, line breaks and tags; None for none.

    A label is often wrong about the order, and about all of it.
    """
    found = {codec: sum(map(start.decode(codec, "replace").count, " \n<")) for codec in ("utf-16-le", "utf-16-be")}
    codec = max(found, key=lambda codec: found[codec])
    return _CODECS[codec] if found[codec] else None


def _strictly(body: bytes | memoryview, codec: str) -> str | None:
    try:
        return str(body, codec)
    except (UnicodeDecodeError, ValueError):
        return None


def _decode_legacy(body: bytes | memoryview, http: tuple[str, str] | None) -> Decoded:
    """Decode bytes that are not valid UTF-8."""
    meta = meta_encoding(body)
    claims = [(encoding, source) for encoding, source in ((http, "http"), (meta, "meta")) if encoding]
    for (name, codec), source in claims:
        if name != "utf-8" and not name.startswith("utf-16"):
            text = _strictly(body, codec)
            if text is None:
                text = str(body, codec, "replace")
                malformed = text.count("\ufffd")
                if malformed > max(1.0, _MALFORMED * _non_ascii(text)):
                    continue
            return Decoded(text, name, source)
    source = next((source for (name, _), source in claims if name == "utf-8"), "detected")
    try:
        # CESU-8: surrogates written as three bytes each. Pairs are characters, lone ones are malformed.
        pairs = str(body, "utf-8", "surrogatepass").encode("utf-16-le", "surrogatepass")
        return Decoded(pairs.decode("utf-16-le", "replace"), "utf-8", source)
    except UnicodeDecodeError:
        text = str(body, "utf-8", "replace")
    malformed = text.count("\ufffd")
    if _non_ascii(text) - malformed >= malformed:
        # Mostly valid: UTF-8 with spoiled or foreign passages.
        return Decoded(text, "utf-8", source)
    detected = _detect(body)
    if detected[0] != "utf-8":
        text, source = str(body, detected[1], "replace"), "detected"
    controls = len(text) - len(text.translate(_CONTROLS))
    if (text.count("\ufffd") + controls) > _UNDECODABLE * len(text):
        raise CharsetError(f"best guess {detected[0]}: {text.count(chr(0xFFFD))} of {len(text)} characters malformed")
    return Decoded(text, detected[0], source)


_CONTROLS = dict.fromkeys([*range(9), 11, *range(14, 32), *range(127, 160)])


def _non_ascii(text: str) -> int:
    return len(text) - len(text.encode("ascii", "ignore"))
