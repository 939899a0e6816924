"""HTML to main text, title, declared language and opt-out signals.

Two extractors: resiliparse's `extract_plain_text(main_content=True)` (used by DCLM), for which resiliparse parses the
page and `main_content` finds the text; and trafilatura (used by RefinedWeb and FineWeb, which names `favour_precision`,
no comments, `deduplicate`). Trafilatura's deduplication uses a memory of earlier pages by default, so that its output
depends on their order; here each page has a memory of its own.

All this runs in the sandbox. `documents.make_finisher` does what is left to do with its answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

from resiliparse.parse.html import ElementNode, HTMLTree

from curation_assets.acquisition.consent import META_NAMES, meta_signals
from curation_assets.acquisition.decoding import CharsetError, decode_html
from curation_assets.acquisition.sandbox_child import Buffer, Function

Extractor = Literal["trafilatura", "resiliparse"]
"""The library that finds the main text."""

TITLE_CHARACTERS = 1000
"""At which titles are cut."""

MAX_PARSED_BYTES = 1 << 26
"""The longest body as the parser writes it. What repairs a page can make it many times longer."""

_LANGUAGE_CHARACTERS = 35  # BCP 47, section 4.4.1: what a buffer for a language tag must hold
_BODY_META_CHARACTERS = 8 << 10
_META_SELECTOR = ", ".join(f'meta[name="{name}" i]' for name in sorted(META_NAMES))
_META_ELEMENT = re.compile(rf"<meta\b[^>]{{0,1000}}?\b(?:{'|'.join(sorted(META_NAMES))})\b", re.IGNORECASE)
_CONTROLS = bytes([*range(9), *range(11, 32), 127])


class Page(NamedTuple):
    """What a page gives: `content` is its main text, or the body that it is in; titles are one line."""

    content: bytes
    title: str | None
    language: str | None
    consent: list[str]
    quirks: bool


def read_page(html: str, find_text: Callable[[str], str | None] | None = None) -> Page:
    """Parse a page and read title, `lang` and meta elements. Its content is what `find_text` finds, or its body."""
    tree = HTMLTree.parse(html)
    root = tree.document.document_element if tree.document is not None else None
    language = None
    if root is not None:
        language = _line(root.get_attribute("lang") or root.get_attribute("xml:lang"), _LANGUAGE_CHARACTERS)
    if find_text is not None:
        content = find_text(html) or ""
    else:
        content = tree.body.html if tree.body is not None else ""
    return Page(
        content.encode("utf-8", "ignore"),
        _line(tree.title, TITLE_CHARACTERS),
        language,
        sorted(meta_signals(_meta_elements(html, tree))),
        _has_quirks(tree),
    )


def _has_quirks(tree: HTMLTree) -> bool:
    """Whether the page has no document type or an old one, so that names of classes are compared without case."""
    kind = tree.document.doctype if tree.document is not None else None
    if kind is None or kind.name != "html":
        return True
    if not kind.public_id and not kind.system_id:
        return False
    probe = tree.create_element("p")
    assert isinstance(probe, ElementNode)
    probe.class_name = "A"
    return probe.matches(".a")


def load_trafilatura(favour_precision: bool) -> Callable[[str], str | None]:
    """Trafilatura as FineWeb calls it, except that duplicates are looked for within the page only."""
    import trafilatura
    from trafilatura.deduplication import LRUCache
    from trafilatura.settings import LRU_SIZE

    def find_text(html: str) -> str | None:
        return trafilatura.extract(
            html,
            favor_precision=favour_precision,
            include_comments=False,
            deduplicate=LRUCache(maxsize=LRU_SIZE),
        )

    return find_text


def make_extractor(extractor: Extractor, favour_precision: bool) -> Function:
    """A function for the sandbox: (HTTP charset label, body) to (JSON of the fields, content).

    The JSON has `charset`, `charset_source`, `title`, `language`, `consent` and `quirks`, or, where the page is not
    usable, `verdict` and `detail` (`charset_undecodable`, `extraction_memory`).
    """
    return partial(_answer, load_trafilatura(favour_precision) if extractor == "trafilatura" else None)


def _answer(find_text: Callable[[str], str | None] | None, charset: bytes, body: Buffer) -> tuple[bytes, bytes]:
    try:
        decoded = decode_html(body, charset.decode("latin-1") or None)
    except CharsetError as error:
        return _unusable("charset_undecodable", str(error))
    page = read_page(decoded.text, find_text)
    if len(page.content) > MAX_PARSED_BYTES:
        return _unusable("extraction_memory", f"{len(page.content)} bytes of parsed HTML, of {MAX_PARSED_BYTES}")
    fields = {
        "charset": decoded.charset,
        "charset_source": decoded.source,
        "title": page.title,
        "language": page.language,
        "consent": page.consent,
        "quirks": page.quirks,
    }
    return json.dumps(fields).encode(), page.content


def _unusable(verdict: str, detail: str) -> tuple[bytes, bytes]:
    return json.dumps({"verdict": verdict, "detail": detail}).encode(), b""


def clean_text(text: bytes) -> bytes:
    """UTF-8 without control characters except newline and tab, stripped."""
    return text.translate(None, _CONTROLS).strip()


def _line(text: str | None, characters: int) -> str | None:
    if not text:
        return None
    # Cut first: a title may be megabytes.
    words = " ".join(text[: 4 * characters].split())
    line = clean_text(words.encode("utf-8", "ignore")).decode()[:characters].strip()
    return line or None


def _meta_elements(html: str, tree: HTMLTree) -> list[tuple[str | None, str | None]]:
    head, document = tree.head, tree.document
    elements = head.query_selector_all(_META_SELECTOR) if head is not None else []
    # Broken heads spill their meta elements into the body. A search of the whole tree costs as much as parsing a
    # tenth of it, so it is done where the source shows more of these elements than the head has.
    if document is not None and len(_META_ELEMENT.findall(html, 0, _BODY_META_CHARACTERS)) > len(elements):
        elements = document.query_selector_all(_META_SELECTOR)
    return [(element.get_attribute("name"), element.get_attribute("content")) for element in elements]
