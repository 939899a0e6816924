"""Pages made to fail one gate of the `fineweb` recipe and none before it."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from html import escape
from itertools import pairwise

from curation_assets.acquisition.sample.articles import address, article_html
from curation_assets.acquisition.sample.furniture import SITES, Site, page_html, text_html
from curation_assets.acquisition.sample.page import Page, html_page, slug
from curation_assets.acquisition.sample.prose import TOPICS, Draw, page_values, pieces, story, tell

ENGLISH_SHARE = 0.7

Content = tuple[str, list[str]]
"""A title and paragraphs, whose line breaks count."""


def _prose(draw: Draw, length: int, topic: str = "") -> list[str]:
    return list(story(f"en/{topic or draw.pick(TOPICS)}", draw, length).paragraphs)


def _sentences(paragraphs: Sequence[str]) -> list[str]:
    return [s if s.endswith((".", '"', "。")) else f"{s}." for p in paragraphs for s in p.split(". ")]


def _chunks(items: list[str], size: int, glue: str) -> list[str]:
    return [glue.join(items[i : i + size]) for i in range(0, len(items), size)]


# -- the URL and the owner's wish ---------------------------------------------------------------------------------


def consent() -> Iterator[Page]:
    """Pages whose owners have opted out, by header or in the page."""
    ways: tuple[tuple[str, tuple[tuple[str, str], ...], str], ...] = (
        ("X-Robots-Tag noai", (("X-Robots-Tag", "noai, noimageai"),), ""),
        ("X-Robots-Tag for this crawler", (("X-Robots-Tag", "ccbot: noai"),), ""),
        ("meta robots noai", (), '<meta name="robots" content="index, noai, noimageai">\n'),
        ("header tdm-reservation", (("tdm-reservation", "1"), ("tdm-policy", "https://studio.example/tdm.json")), ""),
        ("meta tdm-reservation", (), '<meta name="tdm-reservation" content="1">\n'),
        ("meta robots in capitals", (), '<META NAME="ROBOTS" CONTENT="NOAI">\n'),
    )
    site = Site("www.studio-north.example", "Studio North", "blog")
    for kind, fields, head in ways:
        draw = Draw("consent", kind)
        told = story(f"en/{draw.pick(TOPICS)}", draw, 5)
        html = article_html(site, told, draw, head=head)
        yield html_page(site, slug(f"{kind} {told.title}"), "consent", kind, html, fields=fields)


def addresses() -> Iterator[Page]:
    """Harmless pages at addresses that the URL lists refuse."""
    found = (
        ("url_domain", "www.casino-royale.example/news/welcome"),
        ("url_domain", "adult-videos.example/about"),
        ("url_domain", "lucky-slots.example/"),
        ("url_hard_word", "www.harbour-film-club.example/essays/porn-and-its-critics"),
        ("url_hard_word", "www.harbour-film-club.example/essays/PORN-in-the-dock"),
        ("url_soft_words", "www.coast-hotels.example/offers/casino-bonus-weekend"),
        ("url_soft_words", "www.coast-hotels.example/games/poker/roulette"),
        ("url_subword", "www.fan-pages.example/freepornlinks"),
        ("url_subword", "www.fan-pages.example/best-online-casino-guide"),
    )
    for intent, where in found:
        host, _, path = where.partition("/")
        draw = Draw("addresses", where)
        site = Site(host, "Evening Pages", "blog")
        told = story(f"en/{draw.pick(TOPICS)}", draw, 5)
        yield html_page(site, path, intent, f"refused address: {intent}", article_html(site, told, draw))


# -- language -------------------------------------------------------------------------------------------------------


def uncertain_language(draw: Draw) -> Content:
    """English, and every other sentence in Spanish, French or Chinese: the identifier says English and is not sure."""
    english, *others = (
        _sentences(paragraphs)
        for paragraphs in (
            _prose(draw, 8),
            *(story(f"other/{code}", draw, 4).paragraphs for code in ("es", "fr", "zh")),
        )
    )
    told: list[str] = []
    said, foreign = 0, 0
    while english and all(others):
        if said <= ENGLISH_SHARE * (said + foreign):
            told.append(english.pop(0))
            said += len(told[-1])
        else:
            others.append(others.pop(0))
            told.append(others[-1].pop(0))
            foreign += len(told[-1])
    return "Phrase book, lesson nine", _chunks(told, 4, " ")


# -- repetition -----------------------------------------------------------------------------------------------------


def repeated_paragraphs(draw: Draw) -> Content:
    """A notice between all the paragraphs."""
    notice = "Please shut the gate behind you, whatever the sheep say."
    return "House rules and other matters", [p for text in _prose(draw, 4) for p in (text, notice)]


def repeated_long_paragraph(draw: Draw) -> Content:
    """A few short paragraphs, and one long one that stands there twice."""
    long, *_, end = _prose(draw, 5)
    short = ["It was a wet day.", "Nobody came.", "We read the letter again.", "Here is what it said.", "That was all."]
    return "A letter, twice", [*short[:4], long, end, *short[4:], long]


def refrain(draw: Draw) -> Content:
    """A song whose refrain is every other line."""
    verses = draw.shuffled(_chunks(list(pieces("refrain verses")), 2, "\n"))
    lines = [
        part
        for verse in verses
        for part in (*verse.split("\n"), "And the tide goes out, and the tide comes in,", "Oh.")
    ]
    return "Song of the outgoing tide", _chunks(lines, 8, "\n")


def long_refrain(draw: Draw) -> Content:
    """A song with a short verse and a very long refrain."""
    refrain_line = (
        "So bring me the rope and the lamp and the bell, and I will go down to the harbour and tell them that nobody "
        "waits for the boat any more, but the dog and the wind and the chair by the door."
    )
    verses = draw.shuffled(_chunks(list(pieces("short verses")), 4, "\n"))
    return "The chair by the door", [f"{verse}\n{refrain_line}" for verse in verses]


def keyword_spam(draw: Draw, phrase: str, count: int, filler: int) -> Content:
    """A page that says one phrase far too often."""
    values = page_values(draw)
    said = [tell(line, draw, values).replace("%", phrase) for line in draw.sample(pieces("spam"), count)]
    spread = draw.shuffled([*said, *draw.sample(pieces("spam filler"), filler)])
    return f"{phrase.capitalize()} in {values['town']}", _chunks(spread, 4, " ")


FORMULAS = {
    5: ("Coastal bulletin", "weather", 0.165),
    6: ("Minutes of the hall committee", "markethall", 0.152),
    7: ("Sale of contents", "clocks", 0.140),
    8: ("Results of the season", "chess", 0.130),
    9: ("From the parish register", "dictionary", 0.119),
    10: ("Notices of the council", "bridges", 0.107),
}
"""By the length of a phrase: what the page is, its topic, and the share of its characters that repeat a phrase.

Each share is just above the limit for n-grams of that length; as n - 1 words of a phrase of n are then below the
limit for n - 1, no shorter n-gram fails first, and phrases of exactly n words repeat no longer one.
"""


def formulas(draw: Draw, words: int) -> Content:
    """Prose with set phrases, three of them four times each."""
    phrases, leads, tails = (
        pieces(f"formula {words}"),
        draw.shuffled(pieces(f"leads {words}")),
        draw.shuffled(pieces("tails")),
    )
    said = [f"{leads[i]} {phrases[i % 3]} {tails[i]}" for i in range(12)]
    title, topic, share = FORMULAS[words]
    repeated = sum(3 * len(phrase.replace(" ", "")) for phrase in phrases)
    length = sum(len(sentence) + 1 for sentence in said) + len(title) + 12
    for sentence in _sentences(_prose(draw, 8, topic)):
        if repeated >= share * (length + len(sentence) + 1):
            said.append(sentence)
            length += len(sentence) + 1
    return f"{title}, {draw.pick(('January', 'June', 'October'))} {1960 + draw.below(39)}", _chunks(
        draw.shuffled(said), 4, " "
    )


# -- Gopher's quality rules -----------------------------------------------------------------------------------------


def notice(draw: Draw, number: int) -> Content:
    """A few lines of a notice board."""
    return f"Board {number + 1}", [tell(pieces("notices")[number], draw, page_values(draw))]


def endless(draw: Draw) -> Content:
    """Machine-made text of over 100,000 words."""
    # Each word has followed the one before it somewhere in the prose; a leap now and then keeps long phrases rare.
    source = [
        word for topic in TOPICS for paragraph in story(f"en/{topic}", draw, 7).paragraphs for word in paragraph.split()
    ]
    followers: dict[str, list[str]] = {}
    for word, follower in pairwise([*source, source[0]]):
        followers.setdefault(word, []).append(follower)
    walked = [source[0]]
    for _ in range(104_000):
        walked.append(draw.pick(followers[walked[-1]] if draw.below(5) else source))
    return "The endless page", _chunks(walked, 120, " ")


def short_words(draw: Draw) -> Content:
    """A primer of words of two letters."""
    return "A first reader", _chunks(draw.shuffled(pieces("two-letter words")), 5, " ")


def long_words(draw: Draw) -> Content:
    """Sentences of words that are far too long."""
    adjectives, nouns, verbs = (draw.shuffled(pieces(f"long {kind}")) for kind in ("adjectives", "nouns", "verbs"))
    said = [
        f"{adjectives[i].capitalize()} {nouns[i]} of {adjectives[-i - 1]} {nouns[-i - 1]} "
        f"{('and', 'with', 'to')[i % 3]} {verbs[i % 10]} {adjectives[(i + 7) % 20]} {nouns[(i + 5) % 20]}."
        for i in range(16)
    ]
    return "Sesquipedalian recommendations", _chunks(said, 4, " ")


def hashtags(draw: Draw) -> Content:
    """Captions with more tags than words."""
    tags = pieces("hashtags")[0].split(" | ")
    told = [
        f"{caption}. {' '.join('#' + tag for tag in draw.shuffled(tags)[:4])}"
        for caption in draw.shuffled(pieces("captions"))
    ]
    return "Pictures of the week", told


def trailing_off(draw: Draw) -> Content:
    """Somebody who finishes no sentence."""
    said = [f"{piece}..." for piece in pieces("ellipses")]
    return "Night thoughts", _chunks(said, 7, " ")


def bullets(draw: Draw) -> Content:
    """A list of things to do, with dashes."""
    mark = draw.pick(("-", "•"))
    return "", ["\n".join(f"{mark} {line}" for line in draw.shuffled(pieces("bullets")))]


def teasers(draw: Draw) -> Content:
    """Beginnings of stories."""
    return "In this issue", [f"{line}…" for line in draw.shuffled(pieces("teasers"))]


def numbers(draw: Draw) -> Content:
    """A tide table, after some words about it."""
    rows = [
        f"{day} {draw.below(24):02}:{draw.below(60):02} {draw.below(9)}.{draw.below(10)} "
        f"{draw.below(24):02}:{draw.below(60):02} {draw.below(9)}.{draw.below(10)}"
        for day in range(1, 61)
    ]
    return "Tide tables for the outer harbour", [*_prose(draw, 2, "harbour"), "\n".join(rows)]


def telegrams(draw: Draw) -> Content:
    """A shop's description that does without the commonest words."""
    return "Oak table, natural finish", _chunks(draw.shuffled(pieces("no stop words")), 4, " ")


# -- C4's rules -----------------------------------------------------------------------------------------------------


def placeholder(draw: Draw) -> Content:
    """A page that was published before it was finished."""
    return "Our story", [*_prose(draw, 4), pieces("lorem")[0]]


def program_text(draw: Draw) -> Content:
    """A manual with braces in it."""
    prose = _prose(draw, 3, "paper")
    return "Configuring the printer", [prose[0], *pieces("code"), *prose[1:]]


def two_sentences(draw: Draw) -> Content:
    """A page of two very long sentences."""
    first, second = pieces("one sentence")
    return "From the committee", [f"{first}.", f"{second}."] if draw.below(2) else [f"{second}.", f"{first}."]


# -- FineWeb's rules ------------------------------------------------------------------------------------------------


def unstopped_lines(draw: Draw) -> Content:
    """Lines of a leaflet, without full stops at their ends."""
    return "The water garden", draw.shuffled(pieces("unstopped lines"))


def short_lines(draw: Draw) -> Content:
    """A poem."""
    verses = draw.shuffled(_chunks(list(pieces("short verses")), 4, "\n"))
    return "Ten small songs", verses


def pull_quote(draw: Draw) -> Content:
    """An article that prints a sentence of its own a second time, in large letters."""
    prose = _prose(draw, 6)
    quote = "It is not the rope that holds the boat, but the habit of looking at the knot."
    return "What the old hands say", [prose[0], quote, *prose[1:4], quote, *prose[4:]]


def course_list(draw: Draw) -> Content:
    """Courses, three words each."""
    named, ended = draw.shuffled(pieces("three words")), pieces("three words ended")
    lines = [line for i, name in enumerate(named) for line in ([name, ended[i // 6]] if i % 6 == 5 else [name])]
    return "Spring evening courses", ["\n".join(lines)]


MAKERS: tuple[tuple[str, int, Callable[[Draw], Content]], ...] = (
    ("language_score", 3, uncertain_language),
    ("dup_para_frac", 2, repeated_paragraphs),
    ("dup_para_char_frac", 2, repeated_long_paragraph),
    ("dup_line_frac", 2, refrain),
    ("dup_line_char_frac", 2, long_refrain),
    ("top_2_gram", 2, partial(keyword_spam, phrase="emergency plumbing", count=28, filler=2)),
    ("top_3_gram", 2, partial(keyword_spam, phrase="vintage garden furniture", count=24, filler=6)),
    ("top_4_gram", 2, partial(keyword_spam, phrase="wholesale organic coffee beans", count=16, filler=10)),
    *((f"duplicated_{n}_n_grams", 2, partial(formulas, words=n)) for n in range(5, 11)),
    *(("gopher_short_doc", 1, partial(notice, number=i)) for i in range(6)),
    ("gopher_long_doc", 1, endless),
    ("gopher_below_avg_threshold", 2, short_words),
    ("gopher_above_avg_threshold", 2, long_words),
    ("gopher_too_many_hashes", 2, hashtags),
    ("gopher_too_many_ellipsis", 2, trailing_off),
    ("gopher_too_many_bullets", 2, bullets),
    ("gopher_too_many_end_ellipsis", 2, teasers),
    ("gopher_below_alpha_threshold", 2, numbers),
    ("gopher_enough_stop_words", 2, telegrams),
    ("c4_lorem_ipsum", 2, placeholder),
    ("c4_curly_bracket", 2, program_text),
    ("c4_too_few_sentences", 2, two_sentences),
    ("line_punct_ratio", 2, unstopped_lines),
    ("short_line_ratio", 2, short_lines),
    ("char_dup_ratio", 2, pull_quote),
    ("list_ratio", 2, course_list),
)
"""Gate, number of pages, and what writes their text."""

UNREACHABLE = frozenset({"fineweb_empty"})
"""Gates that no document can fail first: a text without lines has no sentences, so `c4_too_few_sentences` takes it."""


def gate_pages() -> Iterator[Page]:
    """For each gate that looks at text, pages that fail it first."""
    sites = [site for site in SITES if site.style != "forum"]
    for gate, count, make in MAKERS:
        for number in range(count):
            draw = Draw("gates", gate, number)
            title, paragraphs = make(draw)
            site = draw.pick(sites)
            text = text_html(title, paragraphs) if title else _bare(paragraphs)
            html = page_html(site, title or "To do", text, draw=draw)
            yield html_page(site, address(site, title or "To do", draw), gate, _about(make), html)


def _bare(paragraphs: list[str]) -> str:
    return "\n".join(f"<p>{escape(p, quote=False).replace(chr(10), '<br>')}</p>" for p in paragraphs)


def _about(make: Callable[[Draw], Content]) -> str:
    written = make.func if isinstance(make, partial) else make
    return (written.__doc__ or "").split("\n")[0].rstrip(".")
