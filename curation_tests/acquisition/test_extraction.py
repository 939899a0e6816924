"""Main text, title, language and signals of a page, by either extractor."""

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.acquisition import extraction
from curation_assets.acquisition.documents import make_finisher
from curation_assets.acquisition.extraction import TITLE_CHARACTERS, Extractor, clean_text, make_extractor

PROSE = (
    "The harbour town of Lindow keeps its market on the second Saturday of the month. Farmers bring apples, honey and "
    "wool, and the ferry runs twice as often as on other days. Visitors leave their cars at the old brickworks."
)
SECOND = (
    "The council repaired the footpath last spring and planted forty lime trees between the lock and the mill, so that "
    "the walk from the station takes a quarter of an hour in the shade, even with a basket of pears under each arm."
)


def page(head: str = "", body: str = "", lang: str = 'lang="en"') -> str:
    return (
        f"<!DOCTYPE html><html {lang}><head><title> Market\n day </title>{head}</head><body>{body}"
        f'<nav><a href="/">Home</a> <a href="/news">News</a></nav><main><h1>Market day</h1><p>{PROSE}</p>'
        f"<p>{SECOND}</p></main><footer><a href='/imprint'>Imprint</a></footer></body></html>"
    )


def read(html: str, extractor: Extractor = "resiliparse") -> tuple[dict[str, object], str]:
    answer = make_extractor(extractor, True)(b"utf-8", html.encode("utf-8", "surrogatepass"))
    fields, text = make_finisher(extractor)(*answer)
    return fields, text.decode()


@pytest.mark.parametrize("extractor", ["resiliparse", "trafilatura"])
def test_main_text_title_and_language(extractor: Extractor) -> None:
    fields, text = read(page(), extractor)
    assert fields == {
        "charset": "utf-8",
        "charset_source": "http",
        "title": "Market day",
        "language": "en",
        "consent": [],
    }
    assert PROSE in text
    assert SECOND in text
    assert "Imprint" not in text


@pytest.mark.parametrize("extractor", ["resiliparse", "trafilatura"])
def test_controls_and_lone_surrogates_are_removed(extractor: Extractor) -> None:
    body = (
        "<p>Tide\x00 table\x01 of the\x0b harbour &#xD800;and\x7f its ferry, printed &#1;for visitors of the town.</p>"
    )
    fields, text = read(page(body=body), extractor)
    assert not {c for c in text if unicodedata.category(c) in ("Cc", "Cs")} - {"\n", "\t"}
    assert PROSE in text
    assert fields["title"] == "Market day"


@pytest.mark.parametrize(
    ("head", "body", "signals"),
    [
        ('<meta name="robots" content="noai, noimageai">', "", ["noai", "noimageai"]),
        ('<META NAME=" Robots" CONTENT="NOINDEX">', "", []),
        ('<META NAME="RoBots" CONTENT=" NOAI ">', "", ["noai"]),
        ('<meta content="1" name="tdm-reservation">', "", ["tdm-reservation"]),
        ('<meta name="tdm-reservation" content="0">', "", []),
        ('<meta name="examplebot" content="noai">', "", []),
        ('<meta name="CCBot" content="noai">', "", ["noai"]),
        ("", '<meta name="robots" content="noai">', ["noai"]),
        ("<div>broken head</div><meta name='robots' content='noai'>", "", ["noai"]),
        ("<!-- <meta name='robots' content='noai'> -->", "", []),
        ('<script>\'<meta name="robots" content="noai">\'</script>', "", []),
    ],
)
def test_meta_signals(head: str, body: str, signals: list[str]) -> None:
    assert read(page(head, body))[0]["consent"] == signals


@pytest.mark.parametrize(
    ("lang", "language"),
    [
        ('lang="de-AT"', "de-AT"),
        ('xml:lang="fr"', "fr"),
        ('lang=""', None),
        ("", None),
        (f'lang="{"x" * 99}"', "x" * 35),
    ],
)
def test_declared_language(lang: str, language: str | None) -> None:
    assert read(page(lang=lang))[0]["language"] == language


def test_long_titles_are_cut() -> None:
    fields, _ = read(page().replace("Market\n day", "ü" * 3_000_000))
    assert fields["title"] == "ü" * TITLE_CHARACTERS


@pytest.mark.parametrize("extractor", ["resiliparse", "trafilatura"])
@pytest.mark.parametrize(
    "html", ["", "<html></html>", "<body><script>x()</script></body>", "\x00", "<!--", "<p>  </p>"]
)
def test_no_text(extractor: Extractor, html: str) -> None:
    fields, text = read(html, extractor)
    assert (fields["verdict"], text) == ("text_empty", "")


def test_undecodable() -> None:
    fields, text = make_extractor("resiliparse", True)(b"", bytes(range(128, 256)) * 2 + bytes(range(1, 32)) * 20)
    assert (json.loads(fields)["verdict"], text) == ("charset_undecodable", b"")


def test_trafilatura_does_not_remember_earlier_pages() -> None:
    first = [read(page(), "trafilatura") for _ in range(6)]
    assert first == [first[0]] * 6


@pytest.mark.parametrize("tag", ["b", "table", "span"])
def test_deep_nesting(tag: str) -> None:
    assert "the lantern is still lit" in read(f"<body>{f'<{tag}>' * 20_000}the lantern is still lit")[1]


def test_a_page_that_the_parser_makes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    # Elements that nobody closes are opened again in every paragraph.
    html = "<p>" + "".join(f"<font size={number}>" for number in range(100)) + "</p><p>tide" * 100
    monkeypatch.setattr(extraction, "MAX_PARSED_BYTES", 100_000)
    fields, text = read(html)
    assert (fields["verdict"], text) == ("extraction_memory", "")
    assert "of parsed HTML, of 100000" in str(fields["detail"])


@given(st.text())
def test_clean_text(text: str) -> None:
    cleaned = clean_text((text + "\x00\x1f tail").encode("utf-8", "ignore"))
    kept = [c for c in text if unicodedata.category(c) != "Cs" and (ord(c) >= 32 or c in "\n\t") and c != "\x7f"]
    assert cleaned == ("".join(kept) + " tail").encode().strip()


TAGS = [
    "<p>",
    "</p>",
    "<div",
    ">",
    "<meta name=robots content=",
    "noai",
    '"',
    "<title>",
    "<svg>",
    "<template>",
    "&#x",
    ";",
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(TAGS), st.text(max_size=20)), max_size=30))
def test_any_page(pieces: list[str]) -> None:
    fields, _ = read("".join(pieces))
    title = fields.get("title")
    assert title is None or str(title).strip()
