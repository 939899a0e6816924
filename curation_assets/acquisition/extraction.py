"""HTML to main text, title, declared language and opt-out signals.

Two extractors: resiliparse's `extract_plain_text(main_content=True)` (used by DCLM) and trafilatura (used by RefinedWeb
and FineWeb, which names `favour_precision`, no comments, `deduplicate`). Trafilatura's deduplication uses a memory of
earlier pages by default, so that its output depends on their order; here each page has a memory of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from curation_assets.acquisition.consent import META_NAMES, meta_signals
from curation_assets.acquisition.decoding import CharsetError, decode_html
from curation_assets.acquisition.sandbox_child import Buffer, Function

Extractor = Literal["trafilatura", "resiliparse"]
"""The library that finds the main text."""

TITLE_CHARACTERS = 1000
"""At which titles are cut."""

_LANGUAGE_CHARACTERS = 35  # BCP 47, section 4.4.1: what a buffer for a language tag must hold
_BODY_META_CHARACTERS = 8 << 10
_META_SELECTOR = ", ".join(f'meta[name="{name}" i]' for name in sorted(META_NAMES))
_META_ELEMENT = re.compile(rf"<meta\b[^>]{{0,1000}}?\b(?:{'|'.join(sorted(META_NAMES))})\b", re.IGNORECASE)
_CONTROLS = bytes([*range(9), *range(11, 32), 127])


class Page(NamedTuple):
    """What a page gives: `text` and `title` are valid UTF-8 without control characters but newline and tab."""

    text: bytes
    title: str | None
    language: str | None
    consent: list[str]


def extract_page(html: str, extract: Callable[[str, HTMLTree], str | None]) -> Page:
    """Parse once, read title, `lang` and meta elements from the tree, and have `extract` find the main text."""
    tree = HTMLTree.parse(html)
    root = tree.document.document_element if tree.document is not None else None
    language = None
    if root is not None:
        language = _line(root.get_attribute("lang") or root.get_attribute("xml:lang"), _LANGUAGE_CHARACTERS)
    return Page(
        clean_text(extract(html, tree) or ""),
        _line(tree.title, TITLE_CHARACTERS),
        language,
        sorted(meta_signals(_meta_elements(html, tree))),
    )


def extract_resiliparse(html: str, tree: HTMLTree) -> str:
    """The main text by resiliparse's rules, paragraphs separated by empty lines."""
    return extract_plain_text(
        tree, main_content=True, preserve_formatting=True, alt_texts=False, links=False, form_fields=False
    )


def load_trafilatura(favour_precision: bool) -> Callable[[str, HTMLTree], str | None]:
    """Trafilatura as FineWeb calls it, except that duplicates are looked for within the page only."""
    import trafilatura
    from trafilatura.deduplication import LRUCache
    from trafilatura.settings import LRU_SIZE

    def extract(html: str, tree: HTMLTree) -> str | None:
        return trafilatura.extract(
            html,
            favor_precision=favour_precision,
            include_comments=False,
            deduplicate=LRUCache(maxsize=LRU_SIZE),
        )

    return extract


def make_extractor(extractor: Extractor, favour_precision: bool) -> Function:
    """A function for the sandbox: (HTTP charset label, body) to (JSON of the fields, text).

    The JSON has `charset`, `charset_source`, `title`, `language`, `consent`, and `verdict` and `detail` where the page
    is not usable (`charset_undecodable`, `text_empty`).
    """
    extract = extract_resiliparse if extractor == "resiliparse" else load_trafilatura(favour_precision)
    return partial(_answer, extract)


def _answer(extract: Callable[[str, HTMLTree], str | None], charset: bytes, body: Buffer) -> tuple[bytes, bytes]:
    try:
        decoded = decode_html(body, charset.decode("latin-1") or None)
    except CharsetError as error:
        return json.dumps({"verdict": "charset_undecodable", "detail": str(error)}).encode(), b""
    page = extract_page(decoded.text, extract)
    fields: dict[str, Any] = {
        "charset": decoded.charset,
        "charset_source": decoded.source,
        "title": page.title,
        "language": page.language,
        "consent": page.consent,
    }
    if not page.text:
        fields["verdict"] = "text_empty"
    return json.dumps(fields).encode(), page.text


def clean_text(text: str) -> bytes:
    """UTF-8 without lone surrogates and without control characters except newline and tab, stripped."""
    return text.encode("utf-8", "ignore").translate(None, _CONTROLS).strip()


def _line(text: str | None, characters: int) -> str | None:
    if not text:
        return None
    # Cut first: a title may be megabytes.
    line = clean_text(" ".join(text[: 4 * characters].split())).decode()[:characters].strip()
    return line or None


def _meta_elements(html: str, tree: HTMLTree) -> list[tuple[str | None, str | None]]:
    head, document = tree.head, tree.document
    elements = head.query_selector_all(_META_SELECTOR) if head is not None else []
    # Broken heads spill their meta elements into the body. A search of the whole tree costs as much as parsing a
    # tenth of it, so it is done where the source shows more of these elements than the head has.
    if document is not None and len(_META_ELEMENT.findall(html, 0, _BODY_META_CHARACTERS)) > len(elements):
        elements = document.query_selector_all(_META_SELECTOR)
    return [(element.get_attribute("name"), element.get_attribute("content")) for element in elements]
