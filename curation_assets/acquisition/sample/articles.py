"""Pages that pass every gate, copies of them, and pages in other languages."""

import re
from collections.abc import Iterator
from dataclasses import replace

from curation_assets.acquisition.sample.furniture import SITES, Site, page_html, text_html
from curation_assets.acquisition.sample.page import DUPLICATE, KEPT, Page, html_page, slug
from curation_assets.acquisition.sample.prose import (
    LANGUAGES,
    TOPICS,
    Draw,
    Story,
    comments,
    page_values,
    read_topic,
    story,
    tell,
)

PAGES_PER_TOPIC = 6
PAGES_PER_LANGUAGE = 5
_READERS = ("kestrel", "old_tom", "M. Farrow", "pan_and_spoon", "Ruth", "north window", "Bee", "harker61", "Ines", "J.")
_MONTHS = read_topic("names").slots["month"]


def remarks(draw: Draw, values: dict[str, str], count: int) -> tuple[tuple[str, str], ...]:
    """Comments by `count` different readers."""
    told = [tell(line, draw, values) for line in draw.sample(comments(), count)]
    return tuple(zip(draw.shuffled(_READERS)[:count], told, strict=True))


def day(draw: Draw) -> str:
    """A date of the year before the crawl, as newspapers write it."""
    return f"{1 + draw.below(28)} {draw.pick(_MONTHS)} 1999"


def site_of(style: str, draw: Draw) -> Site:
    """A site of one style."""
    return draw.pick([site for site in SITES if site.style == style])


def address(site: Site, title: str, draw: Draw) -> str:
    """The path of an article on its site."""
    name = slug(title)
    number = 1000 + draw.below(9000)
    return {
        "news": f"1999/{1 + draw.below(12):02}/{name}-{number}.html",
        "blog": f"{name}-{number}/",
        "forum": f"viewtopic.php?t={number}&title={name}",
        "shop": f"journal/{name}-{number}",
        "docs": f"en/latest/{name}-{number}.html",
    }[site.style]


def article_html(
    site: Site, told: Story, draw: Draw, language: str = "en", head: str = "", also: Story | None = None
) -> str:
    """A story as a page of `site`: with a byline, comments or posts, as its style has it, and perhaps a second item."""
    paragraphs = list(told.paragraphs)
    if site.style == "forum":
        text = text_html(told.title, paragraphs[:1])
        for name, words in zip(draw.shuffled(_READERS), paragraphs[1:], strict=False):
            text += (
                f'\n<div class="post"><div class="post-author">{name} wrote on {day(draw)}</div>\n<p>{words}</p></div>'
            )
    else:
        text = text_html(told.title, paragraphs)
        if also is not None:
            text += text_html(also.title, also.paragraphs).replace("h1>", "h2>")
    commented = site.style in ("blog", "news") and language == "en" and draw.below(2)
    return page_html(
        site,
        told.title,
        text,
        draw=draw,
        language=language,
        author=told.author if site.style in ("news", "blog") else "",
        date=day(draw),
        remarks=remarks(draw, told.values, 2 + draw.below(3)) if commented else (),
        head=head,
    )


def english() -> Iterator[Page]:
    """Articles, threads and notes in English that are worth keeping."""
    styles = ("news", "blog", "docs", "news", "forum", "blog", "shop")
    for t, topic in enumerate(TOPICS):
        for number in range(PAGES_PER_TOPIC):
            draw = Draw("english", topic, number)
            site = site_of(styles[(t + number) % len(styles)], draw)
            told = story(f"en/{topic}", draw, way=2 * number + draw.below(2))
            # Some pages are columns of two items.
            second = story(f"en/{TOPICS[(t + 5 + number) % len(TOPICS)]}", draw, 3) if number > 3 else None
            html = article_html(site, told, draw, also=second if site.style != "forum" else None)
            yield html_page(site, address(site, told.title, draw), KEPT, f"{site.style} page about {topic}", html)


def exact_copies(originals: list[Page]) -> Iterator[Page]:
    """The same bytes under other addresses: mirrors, print views, tracking parameters."""
    for number, page in enumerate(Draw("exact").sample(originals, 20)):
        host, _, path = page.url.removeprefix("https://").partition("/")
        mark = "&" if "?" in path else "?"
        url = (
            f"https://mirror{1 + number % 3}.night-ferry.example/{host}/{path}",
            f"{page.url}{mark}utm_source=letter&utm_medium=mail",
            f"http://{host}/{path}",
            f"{page.url}{mark}print=1",
        )[number % 4]
        yield replace(page, url=url, intent=DUPLICATE, kind=f"exact copy: {page.kind}", copy_of=page.url)


def near_copies(originals: list[Page]) -> Iterator[Page]:
    """Lightly edited copies: a few words swapped, as syndicated stories have them."""
    swaps = (
        (" old ", " ancient "), (" small ", " little "), (" about ", " roughly "), (" always ", " ever "),
        (" nearly ", " almost "), (" people ", " folk "), (" begin", " start"), (" whole ", " entire "),
        (" quickly", " fast"), (" three ", " several "), (" good ", " decent "), (" never ", " not once "),
    )  # fmt: skip
    for number, page in enumerate(Draw("near").sample(originals, 16)):
        html = page.body.decode()
        start, end = html.index("</h1>"), html.index("</main>")
        text, edits = html[start:end], 0
        for old, new in swaps:
            if edits < 4 and old in text:
                text, edits = text.replace(old, new, 1), edits + 1
        html = html[:start] + text + html[end:]
        host = f"www.reprint-{'abcd'[number % 4]}.example"
        path = f"stories/{number + 1}/{slug(re.sub('<.*', '', html[html.index('<title>') + 7 :]))}"
        yield replace(
            page, url=f"https://{host}/{path}", body=html.encode(), intent=DUPLICATE, kind=f"near copy: {page.kind}",
            copy_of=page.url,
        )  # fmt: skip


def templated() -> Iterator[Page]:
    """One text for every town, as directories of services have it: the first is kept."""
    site = Site("www.fix-it-directory.example", "Fix-It Directory", "shop")
    first = ""
    for number, town in enumerate(read_topic("names").slots["town"][:9]):
        draw = Draw("templated")
        told = story("en/clocks", draw, way=13)
        title = f"Clock repairs in {town}"
        text = text_html(title, [f"You live in {town} and your clock has stopped? Read on.", *told.paragraphs])
        html = page_html(site, title, text, draw=Draw("templated", town))
        page = html_page(
            site, f"clock-repairs/{slug(town)}", DUPLICATE if number else KEPT, "one text for every town", html,
            copy_of=first,
        )  # fmt: skip
        first = first or page.url
        yield page


def personal() -> Iterator[Page]:
    """Pages with invented e-mail addresses and with IP addresses, public ones and others."""
    site = Site("www.three-dales-radio.example", "Three Dales Radio Club", "blog")
    for number, topic in enumerate(("weather", "maps", "bees", "trains", "library", "choir", "chess", "jam")):
        draw = Draw("personal", topic)
        values = page_values(draw)
        told = story(f"en/{topic}", draw, way=12)
        first, last = values["person"].lower().split()
        contact = (
            f"Questions about this page go to {first}.{last}@{values['village'].split()[0].lower()}-club.example, "
            f"or to {first[0]}{last}+{topic}@mail.three-dales.example if the first one comes back."
        )
        computers = (
            "Our page is served by an old computer in the loft. It asks 8.8.8.8 or 1.1.1.1 for names, its own address "
            "in the house is 192.168.1.20, and the printer answers at 10.0.0.7 when it feels like it."
        )
        paragraphs = [*told.paragraphs, contact, *([computers] if number % 2 else [])]
        html = page_html(site, told.title, text_html(told.title, paragraphs), draw=draw)
        yield html_page(site, f"notes/{slug(told.title)}", KEPT, "addresses to mask", html)


def foreign() -> Iterator[Page]:
    """Pages in eight other languages."""
    site = Site("www.sieben-bruecken.example", "Seven Bridges", "news")
    for language in LANGUAGES:
        for number in range(PAGES_PER_LANGUAGE):
            draw = Draw("foreign", language, number)
            told = replace(story(f"other/{language}", draw, 3 + number % 3), author="")
            html = article_html(site, told, draw, language)
            yield html_page(
                site, f"{language}/{number + 1}.html", "language", f"page in {language}", html, language=language
            )
