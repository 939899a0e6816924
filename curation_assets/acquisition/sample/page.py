"""A page of the sample and the verdict that it was made for."""

from dataclasses import dataclass
from typing import Any

from curation_assets.acquisition.sample.furniture import Site

KEPT = "kept"
DUPLICATE = "minhash_duplicate"

HTML_TYPE = "text/html; charset=UTF-8"


@dataclass(frozen=True, kw_only=True)
class Page:
    """One response of the sample.

    `intent` is what a run of the `fineweb` recipe with the resiliparse extractor is to say of it: `kept`,
    `minhash_duplicate`, the name of the gate that drops it first, or acquisition's reason (`http_status`,
    `warc_truncated`, ...). `kind` says in words what the page is.
    """

    url: str
    intent: str
    kind: str
    body: bytes
    content_type: str = HTML_TYPE
    """Content-Type of the response; empty for a response without one."""
    fields: tuple[tuple[str, str], ...] = ()
    """Further HTTP header fields; they replace what would be written under the same name."""
    status: str = "200 OK"
    payload_type: str = "text/html"
    charset: str = "UTF-8"
    language: str | None = "en"
    copy_of: str = ""
    """URL of the page that this one repeats; that one is captured earlier."""
    damage: str = ""
    """What befalls the record in its WARC file: `corrupt`, `truncated` or nothing."""
    record_id: str = ""


def html_page(site: Site, path: str, intent: str, kind: str, html: str, **more: Any) -> Page:
    """A page of `site` at `path`, in UTF-8."""
    return Page(url=f"https://{site.host}/{path}", intent=intent, kind=kind, body=html.encode(), **more)


def slug(title: str) -> str:
    """A title as the last part of a URL."""
    plain = "".join(c.lower() if c.isalnum() and c.isascii() else " " for c in title.replace("'", ""))
    return "-".join(plain.split())
