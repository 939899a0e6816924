"""Main texts are resiliparse's own, page for page, and no page harms or slows the search for them."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from curation_assets.acquisition import main_content
from curation_assets.acquisition.body_tree import TAGS
from curation_assets.acquisition.boilerplate import END, NAMES, automaton
from curation_assets.acquisition.extraction import read_page
from curation_assets.acquisition.main_content import MainContent, TextTooLong

OURS = MainContent()


def theirs(html: str) -> str:
    """The library's own text, which is what ours is to be."""
    tree = HTMLTree.parse(html)
    return extract_plain_text(tree, True, main_content=True, alt_texts=False, links=False, form_fields=False)


def ours(html: str) -> str:
    page = read_page(html)
    return OURS(page.content, page.quirks).decode()


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>The ferry   sails\n at nine.</p><p>Bring <b>bread</b>.", "The ferry sails at nine.\n\nBring bread."),
        ("<main>Tides<ul><li>nine<li>ten</ul>and<ol><li>a<ol><li>b</ol><li>c</ol>", None),
        ("<main><ol><li>flood<li>ebb</ol>", "  1. flood\n  2. ebb"),
        ("<table><tr><th>ebb<th>flood<tr><td>nine<td>ten</table>", "ebb\t\tflood\nnine\t\tten"),
        ("<pre>  a\n   b</pre>c<br><br>d", "  a\n   b\nc\n\nd"),
        ("<nav>Home</nav><p>Tide</p><footer>Imprint</footer>", "Tide"),
        ("<div class='site-header'>Lindow</div><div class=header-image>Tide</div>", "Tide"),
        ("<div class='Spinner'>a</div><div class=spinner>b</div>", "a"),
        ("<div id=right>a</div><div id=left style='color: red; display : none'>b</div>c", "c"),
        ("before<div class=main-content>Tide</div>after", "Tide"),
        ("<!DOCTYPE html>before<div class=Main-Content>Tide</div>after", "before\nTide\nafter"),
        ("before<div class=Main-Content>Tide</div>after", "Tide"),
        ("<p>&lt;b&gt; &amp;amp; &quot;q&quot; x&nbsp;y", '<b> &amp; "q" x\u00a0y'),
        ("a<script>if (a < b) '</p>'</script><style>p > b {}</style><textarea>t</textarea>b", "ab"),
        ("<script><!-- <script> x </script> y --></script>b", "b"),
        ("a<svg><title>s</title><source>t</source></svg><template><p>u</template>b", "ab"),
        ("a<?php echo '<p>' ?>b<!-- c --><!-->d", None),
        ("<plaintext><p>a</plaintext>", "<p>a</plaintext>"),
        ("<frameset><frame></frameset>", ""),
        ("", ""),
    ],
)
def test_examples(html: str, text: str | None) -> None:
    assert ours(html) == theirs(html)
    assert text is None or ours(html) == text


def spelled(word: str) -> str:
    """A word of `NAMES` as a page might have it."""
    signs = {"^": "", "$": "", ".": " ", "!": " ", ",": "  ", "=": "-", "~": "_", "*": "--", "#": "1f"}
    return "".join(signs.get(sign, sign) for sign in word)


WORDS = sorted({spelled(word) for names in NAMES for part in names.parts for word in part.split()})
VALUES = st.lists(st.sampled_from([*WORDS, "main-content", "articleBody", "Post-Content", "x", "é"]), max_size=3).map(
    lambda words: " ".join(words)
)
ATTRIBUTES = st.one_of(
    st.builds("{0}='{1}'".format, st.sampled_from(["class", "id"]), st.one_of(VALUES, VALUES.map(str.upper))),
    st.sampled_from(
        [
            "role=main",
            "role=tab",
            "rel=tag",
            "rel=main",
            "itemprop=url",
            "hidden",
            "aria-hidden=true",
            "aria-expanded=false",
            "data-ad",
            "href=/",
            "style='display:none'",
            "title='a&quot;>b'",
            'b"c=1',
            "=d",
            "<e",
        ]
    ),
)
LEAVES = st.sampled_from(
    [
        "tide",
        " ",
        "\n",
        "x",
        "潮",
        "潮汐",
        "\u00b6",
        "&lt;",
        "&nbsp;",
        "The ferry sails at nine. " * 9,
        "The ferry sails at nine. " * 70,
        "<!-- c -->",
        "<?php ?>",
        "<br>",
        "<hr>",
        "</div>",
        "</p>",
        "<script>a<b</script>",
        "<svg><path></path><title>t</title></svg>",
        "<noscript>n</noscript>",
    ]
)
ELEMENTS = st.sampled_from(
    [
        "div",
        "p",
        "a",
        "ul",
        "ol",
        "li",
        "table",
        "tr",
        "td",
        "th",
        "pre",
        "section",
        "article",
        "footer",
        "header",
        "main",
        "h1",
        "h3",
        "span",
        "b",
        "font",
        "aside",
        "figure",
    ]
)


def elements(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    inside = st.lists(children, max_size=5).map("".join)
    attributes = st.lists(ATTRIBUTES, max_size=2).map(" ".join)
    closed = st.builds("<{0} {1}>{2}</{0}>".format, ELEMENTS, attributes, inside)
    unclosed = st.builds("<{0} {1}>{2}".format, st.sampled_from(sorted(TAGS)), attributes, inside)
    return st.one_of(closed, closed, unclosed)


PAGES = st.builds(
    "{0}<body>{1}{2}".format,
    st.sampled_from(["", "<!DOCTYPE html>"]),
    st.sampled_from(["", "<div>", "<div>" * 6]),
    st.lists(st.recursive(LEAVES, elements, max_leaves=30), max_size=6).map("".join),
)


@settings(max_examples=400, deadline=None)
@given(PAGES)
def test_any_page_has_the_text_of_the_library(html: str) -> None:
    # What scripts and styles of SVG and MathML hold is written so that it cannot be told from elements.
    if not re.search(r"<(svg|math)\b(?!>?<path).*<(script|style)\b", html, re.DOTALL):
        assert ours(html) == theirs(html)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=12), LEAVES.map(str.encode), PAGES.map(str.encode)), max_size=8))
def test_no_bytes_do_harm(pieces: list[bytes]) -> None:
    html = b"".join(pieces)
    for end in (len(html), len(html) // 2, len(html) // 3):
        assert len(OURS(html[:end], quirks=False)) <= 64 * len(html) + 64


def test_a_page_does_not_depend_on_the_one_before() -> None:
    long = "<body>" + "<div><a>tide</a> the ferry sails</div>" * 60_000 + "</body>"
    search = MainContent()
    first = search(b"<body><p>tide</p></body>", False)
    text = search(long.encode(), False)
    assert text.count(b"ferry") == 60_000
    assert search(b"<body><p>tide</p></body>", False) == first == b"tide"
    assert search(long.encode(), False) == text


def test_deep_and_linked_pages_take_no_longer_than_others() -> None:
    # The library looks at all text below each of these again, which takes minutes.
    html = "<body>" + "<div><a>tide</a>" * 40_000 + "the ferry sails"
    assert ours(html).count("tide") == 40_000 - 196  # those with 800 characters or less are link clusters
    html = "<body>" + "<div>" * 40_000 + "the ferry sails" + "<footer>" * 40_000
    assert ours(html) == "the ferry sails"


def test_indentation_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_content, "MAX_BYTES", 1 << 22)
    html = "<body><div><div><div>" + "<ul><li>tide" * 4000 + "</li></ul>" * 4000 + "</div></div></div></body>"
    with pytest.raises(TextTooLong, match="4194304 bytes"):
        MainContent()(html.encode(), False)


def test_elements_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_content, "MAX_BYTES", 1 << 22)
    monkeypatch.setattr(main_content, "MAX_NODES", 1000)
    search = MainContent()
    assert search(b"<body>" + b"<hr>" * 990 + b"tide</body>", False) == b"tide"
    with pytest.raises(TextTooLong, match="1000 elements"):
        search(b"<body>" + b"<hr>" * 1000 + b"tide</body>", False)
    assert search(b"<body>tide</body>", False) == b"tide"


def pattern(names: tuple[str, ...], cased: bool) -> re.Pattern[str]:
    """The names as a regular expression: the obvious way to search for them."""
    signs = {"^": r"\A", "$": r"\Z", ".": r"[ \t\n\v\f\r]", "!": r"[ \t\n\v\f\r]?", ",": r"[ \t\n\v\f\r]*"}
    signs |= {"=": "[-_]", "~": "[-_]?", "*": "[-_]*", "#": "[0-9a-f]+"}
    whole = ""
    for part in names:
        words = ("".join(signs.get(sign, re.escape(sign)) for sign in word) for word in part.strip("? ").split())
        whole += f"(?:{'|'.join(words)}){'?' if part.startswith('?') else ''}"
    return re.compile(whole, re.ASCII if cased else re.ASCII | re.IGNORECASE)


PATTERNS = [(names.meaning, pattern(names.parts, names.cased)) for names in NAMES]


@settings(max_examples=500)
@given(
    st.lists(
        st.one_of(st.sampled_from([*WORDS, "_", "-", " ", ";", "\n", "Ads"]), st.text(max_size=3)), max_size=5
    ).map("".join)
)
def test_the_automaton_finds_what_the_patterns_find(value: str) -> None:
    tables = automaton()
    state, found = tables.start, 0
    for byte in value.encode("utf-8", "surrogatepass"):
        state = tables.moves[state, tables.columns[byte]]
        found |= int(tables.meanings[state])
    found |= int(tables.meanings[tables.moves[state, END]])
    expected = 0
    for meaning, searched in PATTERNS:
        expected |= meaning if searched.search(value) else 0
    assert found == expected
