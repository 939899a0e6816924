"""What stands around the text of a page: five kinds of site, each with its own navigation, notices and scripts."""

import json
from dataclasses import dataclass
from html import escape

from curation_assets.acquisition.sample.prose import Draw


@dataclass(frozen=True)
class Site:
    """A host and how its pages look: `news`, `blog`, `forum`, `shop` or `docs`."""

    host: str
    name: str
    style: str


SITES = (
    Site("www.harbour-gazette.example", "The Harbour Gazette", "news"),
    Site("www.valley-courier.example", "Valley Courier", "news"),
    Site("news.three-dales.example", "Three Dales News", "news"),
    Site("www.westmarch-herald.example", "Westmarch Herald", "news"),
    Site("slow-loaf.example", "Slow Loaf", "blog"),
    Site("tin-and-timber.example", "Tin and Timber", "blog"),
    Site("blog.night-ferry.example", "The Night Ferry", "blog"),
    Site("salt-and-ink.example", "Salt and Ink", "blog"),
    Site("ordinary-sundays.example", "Ordinary Sundays", "blog"),
    Site("forum.bench-talk.example", "Bench Talk", "forum"),
    Site("boards.allotment-society.example", "Allotment Society", "forum"),
    Site("www.pell-and-daughters.example", "Pell & Daughters", "shop"),
    Site("shop.north-light.example", "North Light Supplies", "shop"),
    Site("handbook.open-workshop.example", "Open Workshop Handbook", "docs"),
    Site("guides.county-museum.test", "County Museum Guides", "docs"),
    Site("archive.memory-project.invalid", "The Memory Project", "docs"),
)

MENU = ("Home", "News", "Places", "People", "Workshops", "Letters", "Archive", "About", "Contact")
TEASERS = (
    "Ferry times change in spring", "Swimming pool to close for repairs", "Letters: in praise of the slow bus",
    "Your photographs of the frost", "Ten walks under five miles", "What we got wrong in December",
    "Road works on the bridge", "A poem for the new year", "Obituary: the man who drew maps", "Quiz of the week",
    "Where to hear owls", "Choir seeks tenors", "Recipe: leek and potato soup", "Half-price seed potatoes",
)  # fmt: skip
STYLE = (
    "body{margin:0;font:16px/1.5 Georgia,serif}.wrap{max-width:64em;margin:auto}.nav li{display:inline;margin:0 .5em}"
    ".cookie-banner{position:fixed;bottom:0;background:#ffd}.sidebar{float:right;width:16em}footer{color:#666}"
)
SCRIPT = (
    "window.dataLayer=window.dataLayer||[];function track(){dataLayer.push(arguments)}"
    'track("page",{path:location.pathname});'
    'document.addEventListener("click",function(e){if(e.target.id=="agree"){document.cookie="agreed=1";}});'
)
COOKIES = (
    "We use cookies to make this site work and to count visits. By going on you accept our cookie policy.",
    "This website uses cookies. Read about the use of cookies in our privacy policy.",
)


def text_html(title: str, paragraphs: tuple[str, ...] | list[str]) -> str:
    """A heading and paragraphs; line breaks inside a paragraph become `<br>`."""
    told = "\n".join(f"<p>{escape(p, quote=False).replace(chr(10), '<br>' + chr(10))}</p>" for p in paragraphs)
    return f"<h1>{escape(title, quote=False)}</h1>\n{told}"


def _links(items: list[str], css: str) -> str:
    rows = "".join(
        f'<li><a href="/{item.lower().replace(" ", "-").replace(":", "")}">{item}</a></li>' for item in items
    )
    return f'<ul class="{css}">{rows}</ul>'


def _sidebar(draw: Draw) -> str:
    return (
        f'<aside class="sidebar"><h3>Most read</h3>{_links(draw.sample(TEASERS, 5), "most-read")}'
        '<form class="newsletter" action="/subscribe"><label>Our letter, every Friday <input type="email"></label>'
        "<button>Subscribe</button></form></aside>"
    )


def _comments(remarks: list[tuple[str, str]]) -> str:
    if not remarks:
        return ""
    rows = "\n".join(
        f'<div class="comment"><span class="comment-author">{escape(name)}</span><p>{escape(text, quote=False)}</p>'
        '<a class="reply" href="#reply">Reply</a></div>'
        for name, text in remarks
    )
    return f'<section id="comments" class="comments"><h2>{len(remarks)} comments</h2>\n{rows}\n</section>'


def _article(site: Site, text: str, author: str, date: str) -> str:
    by = f'<p class="byline">By {escape(author)}, {date}</p>' if author else ""
    heading, newline, rest = text.partition("</h1>\n")
    body = f"{heading}{newline}{by}\n{rest}" if newline else by + text
    if site.style == "blog":
        return f'<article class="post hentry"><div class="entry-content">\n{body}\n</div></article>'
    if site.style == "shop":
        return f'<article class="journal">\n{body}\n</article>'
    return f'<article itemscope itemtype="https://schema.org/Article">\n{body}\n</article>'


def page_html(
    site: Site,
    title: str,
    text: str,
    *,
    draw: Draw,
    language: str = "en",
    author: str = "",
    date: str = "",
    remarks: tuple[tuple[str, str], ...] = (),
    head: str = "",
    after: str = "",
) -> str:
    """A whole page of `site` around `text` (HTML, as from `text_html`).

    `remarks` are comments beneath it (name and words), `head` goes into the head element, and `after` is HTML that
    follows the text inside the main element.
    """
    structured = {"@context": "https://schema.org", "@type": "WebPage", "name": title, "publisher": {"name": site.name}}
    crumbs = f'<div class="breadcrumbs"><a href="/">Home</a> &rsaquo; <a href="/{site.style}">{site.style}</a></div>'
    shared = (
        '<div class="share-buttons"><a href="#">Share</a> <a href="#">Print</a> <a href="#">Send to a friend</a></div>'
    )
    menu = f'<nav class="nav">{_links(draw.sample(MENU, 6), "menu")}</nav>'
    side = "" if site.style == "forum" else _sidebar(draw)
    if site.style == "docs":
        side = f'<nav class="toc sidebar">{_links(draw.sample(TEASERS, 6), "toc")}</nav>'
    if site.style == "shop":
        side += '<div class="basket sidebar"><a href="/basket">0 items in your basket</a></div>'
    related = f'<section class="related"><h2>Related</h2>{_links(draw.sample(TEASERS, 4), "related-links")}</section>'
    return f"""<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<title>{escape(title, quote=False)} | {escape(site.name, quote=False)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="Tern 2.1">
{head}<link rel="canonical" href="https://{site.host}/">
<link rel="stylesheet" href="/assets/{site.style}.css">
<style>{STYLE}</style>
<script type="application/ld+json">{json.dumps(structured)}</script>
<script>{SCRIPT}</script>
</head>
<body class="{site.style}">
<div id="cookie-banner" class="cookie-banner"><p>{draw.pick(COOKIES)}</p><button id="agree">Agree</button></div>
<header class="site-header"><a class="logo" href="/">{escape(site.name)}</a>{menu}
<form class="search" action="/search"><input type="search" name="q" placeholder="Search"></form></header>
<div class="wrap">
{crumbs}
<main id="content">
{_article(site, text, author, date)}
{after}{shared}
{_comments(list(remarks))}
</main>
{side}
{related}
</div>
<footer class="site-footer"><p>&copy; 2000 {escape(site.name)}. All rights reserved.
By using this site you accept the <a href="/terms">terms of use</a> and the <a href="/privacy">privacy policy</a>.</p>
{_links(["Imprint", "Terms", "Privacy", "Sitemap"], "footer-links")}
<noscript>Please switch on JavaScript to see the comments.</noscript></footer>
<script src="/assets/site.js" async></script>
</body>
</html>
"""
