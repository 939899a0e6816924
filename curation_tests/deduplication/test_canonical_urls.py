"""One row a rule; then what holds for all strings, against a slow and obvious reference."""

import itertools
import re
import string
from urllib.parse import quote

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from curation_assets.deduplication.canonical_urls import TRACKING, UrlForm, canonical_urls

STRICT = UrlForm(drop_scheme=False, drop_www=False, drop_trailing_slash=False, drop_tracking=False)
FORMS = [
    UrlForm(drop_scheme=a, drop_www=b, drop_trailing_slash=c, drop_tracking=d)
    for a, b, c, d in itertools.product((True, False), repeat=4)
]

ALWAYS = [
    # url, canonical, why
    ("HTTP://a.example/x", "http://a.example/x", "the scheme has no case"),
    ("http://A.Example/X", "http://a.example/X", "the host has no case, the path has"),
    ("http://a.example", "http://a.example/", "an empty path is the root"),
    ("http://a.example?x", "http://a.example/?x", "also before a query"),
    ("http://a.example:80/", "http://a.example/", "http's default port"),
    ("https://a.example:443/", "https://a.example/", "https's default port"),
    ("https://a.example:80/", "https://a.example:80/", "the port of another scheme"),
    ("http://a.example:8080/", "http://a.example:8080/", "another port"),
    ("http://a.example:/", "http://a.example/", "an empty port"),
    ("http://a.example./", "http://a.example/", "the dot of DNS's root"),
    ("http://a.example.:8080/", "http://a.example:8080/", "also before a port"),
    ("http://[2001:DB8::1]:80/", "http://[2001:db8::1]/", "an IPv6 address is no port"),
    ("http://[::80]/", "http://[::80]/", "nor is its end"),
    ("http://Me:Pass@A.example/", "http://Me:Pass@a.example/", "user and password have case"),
    ("http://a.example/x#part", "http://a.example/x", "a fragment is a place on the page"),
    ("http://a.example/x#a?b#c", "http://a.example/x", "from the first number sign on"),
    (" \t\nhttp://a.example/x\r\n ", "http://a.example/x", "space around a link is a slip of the pen"),
    ("http://a.example/%7e%41%2d", "http://a.example/~A-", "escapes of unreserved characters"),
    ("http://a.example/%c3%a9", "http://a.example/%C3%A9", "escapes in upper case"),
    ("http://a.example/é", "http://a.example/%C3%A9", "characters outside ASCII"),
    ('http://a.example/a b"<|>', "http://a.example/a%20b%22%3C%7C%3E", "what may not stand in a URL"),
    ("http://a.example/%2F%3f", "http://a.example/%2F%3F", "an escaped delimiter is no delimiter"),
    ("http://a.example/100%", "http://a.example/100%25", "a percent sign that begins no escape"),
    ("http://a.example/%4g%", "http://a.example/%254g%25", "nor do these"),
    ("http://a.example/%25%34%31", "http://a.example/%2541", "decoded once, not twice"),
    ("http://%41.example/", "http://a.example/", "a host may be escaped too"),
    ("http://a.example/b/./c/../d", "http://a.example/b/d", "dot segments"),
    ("http://a.example/b/%2e%2E/c", "http://a.example/c", "also escaped"),
    ("http://a.example/../../b", "http://a.example/b", "none leads above the root"),
    ("http://a.example/b/c/..", "http://a.example/b/", "the last one leaves a slash"),
    ("http://a.example/b/.", "http://a.example/b/", "of either kind"),
    ("http://a.example/b//../c", "http://a.example/b/c", "an empty segment is a segment"),
    ("http://a.example/b//c", "http://a.example/b//c", "and stays"),
    ("http://a.example/...", "http://a.example/...", "three dots are a name"),
    ("http://a.example/?b=2&a=1", "http://a.example/?a=1&b=2", "parameters sorted by name"),
    ("http://a.example/?b=1&a=2&b=0", "http://a.example/?a=2&b=1&b=0", "one name's values in their order"),
    ("http://a.example/?a0=1&a=2&a", "http://a.example/?a=2&a&a0=1", "a name ends at its equals sign"),
    ("http://a.example/?&a&&b&", "http://a.example/?a&b", "empty parameters"),
    ("http://a.example/?", "http://a.example/", "an empty query"),
    ("http://a.example/?a=b c%20d+e%2B", "http://a.example/?a=b+c+d+e%2B", "a space in a query is a plus sign"),
    ("http://a.example/?a[]=1", "http://a.example/?a%5B%5D=1", "brackets belong to IPv6"),
    ("http://a.example/?u=http://b/?c", "http://a.example/?u=http://b/?c", "slashes and question marks may stay"),
    ("http://a.example/?a=../b", "http://a.example/?a=../b", "a query has no dot segments"),
    ("ftp://A.example:21/x", "ftp://a.example:21/x", "other schemes' ports are not known"),
    ("A.example:80/x", "a.example:80/x", "nor is that of a URL without a scheme"),
    ("", "/", "nothing is the root of nowhere"),
]

LOOSE = [
    ("http://a.example/x", "a.example/x", "scheme"),
    ("HTTPS://a.example:443/x", "a.example/x", "scheme, after it told the port"),
    ("http://a.example:443/x", "a.example:443/x", "that of the other scheme stays"),
    ("ftp://a.example/x", "ftp://a.example/x", "files are no pages"),
    ("httpx://a.example/x", "httpx://a.example/x", "nor is this http"),
    ("http://www.a.example/", "a.example", "www."),
    ("http://WWW.www.a.example/", "a.example", "any number of them"),
    ("http://www.example/", "www.example", "unless a top-level domain would be left"),
    ("http://www2.a.example/", "www2.a.example", "another host"),
    ("http://me@www.a.example/", "me@a.example", "after a user"),
    ("http://a.example/x/", "a.example/x", "trailing slash"),
    ("http://a.example/x//?a", "a.example/x?a", "all of them, before the query"),
    ("http://a.example/x/%2F", "a.example/x/%2F", "not an escaped one"),
    ("http://a.example/?utm_source=a&b=1&utm_=2", "a.example?b=1", "names with any ending"),
    ("http://a.example/?gclid=1&fbclid=2&ref=3", "a.example", "names as they are"),
    ("http://a.example/?REF=1&%72ef=2&ref", "a.example", "in any case and spelling, with or without a value"),
    ("http://a.example/?reference=1&xref=2", "a.example?reference=1&xref=2", "not parts of names"),
    ("http://a.example/?a=ref&a=utm_x", "a.example?a=ref&a=utm_x", "nor values"),
    ("http://a.example/x;jsessionid=1A/y", "a.example/x/y", "a session in the path"),
    ("http://a.example/x;v=1;JSESSIONID=2;w", "a.example/x;v=1;w", "only that parameter"),
    ("http://a.example/..;jsessionid=1/y", "a.example/y", "before dot segments"),
    ("", "", "nothing is nothing"),
]


def canonical(*urls: str | None, form: UrlForm | None = None) -> list[str | None]:
    return canonical_urls(pa.array(urls, pa.string()), form).to_pylist()


@pytest.mark.parametrize(("url", "expected", "why"), ALWAYS)
def test_what_is_always_so(url: str, expected: str, why: str) -> None:
    assert canonical(url, form=STRICT) == [expected], why


@pytest.mark.parametrize(("url", "expected", "why"), LOOSE)
def test_what_is_a_choice(url: str, expected: str, why: str) -> None:
    assert canonical(url) == [expected], why
    # What is always so may come first.
    assert canonical(*canonical(url, form=STRICT)) == [expected], why


def test_choices_are_independent() -> None:
    url = "http://www.a.example/x/?ref=1"
    found = {canonical(url, form=form)[0] for form in FORMS}
    assert len(found) == 16
    assert canonical(url, form=UrlForm(drop_www=False)) == ["www.a.example/x"]
    assert canonical(url, form=UrlForm(drop_tracking=False)) == ["a.example/x?ref=1"]
    assert canonical(url, form=UrlForm(drop_scheme=False)) == ["http://a.example/x"]
    assert canonical(url, form=UrlForm(drop_trailing_slash=False)) == ["a.example/x/"]
    with pytest.raises(ValidationError):
        UrlForm.model_validate({"drop_everything": True})


def test_each_tracking_parameter() -> None:
    for name, reason in TRACKING.items():
        assert name == name.lower()
        assert len(reason) > 3
        own = name.removesuffix("*")
        parameters = [own, f"{own}=1", own.upper(), own + ("more=1" if name != own else "")]
        assert canonical(*(f"http://a.example/?{p}&keep=1" for p in parameters)) == ["a.example?keep=1"] * 4
        if name == own and own + "x" not in TRACKING:
            assert canonical(f"a.example?{own}x=1") == [f"a.example?{own}x=1"]
        assert canonical(f"a.example?{own[:-1]}=1") in ([f"a.example?{own[:-1]}=1"], ["a.example"])


def reference(url: str) -> str:
    """The strict form of a URL with http or https, a plain host, and no percent sign that begins no escape."""
    unreserved = set(string.ascii_letters + string.digits + "-._~")

    def escape(text: str, safe: str) -> str:
        text = re.sub(
            "%(..)", lambda m: chr(int(m[1], 16)) if chr(int(m[1], 16)) in unreserved else f"%{m[1].upper()}", text
        )
        return "%".join(
            part if not i else part[:2] + quote(part[2:], safe=safe)
            for i, part in enumerate(("%00" + text).split("%")[1:], start=1)
        ).removeprefix("00")

    url = re.sub("#.*", "", url.strip("".join(map(chr, range(33)))), flags=re.DOTALL)
    scheme, rest = url.split("://", 1)
    match = re.fullmatch(r"([^/?]*)([^?]*)(\?(.*))?", rest, flags=re.DOTALL)
    assert match
    host, path, _, query = match.groups()
    default = {"http": ":80", "https": ":443"}[scheme.lower()]
    stack: list[str] = []
    segments = escape(path, "!$&'()*+,;=:@/").split("/")[1:]
    for i, segment in enumerate(segments):
        if segment == "..":
            stack = stack[:-1]
        elif segment != ".":
            stack.append(segment)
        if segment in (".", "..") and i == len(segments) - 1:
            stack.append("")
    parameters = [escape(p, "!$&'()*+,;=:@/? ").replace("%20", "+").replace(" ", "+") for p in (query or "").split("&")]
    joined = "&".join(sorted(filter(None, parameters), key=lambda p: p.split("=")[0]))
    path = "/" + "/".join(stack)
    return f"{scheme.lower()}://{host.lower().removesuffix(default)}{path}{'?' + joined if joined else ''}"


PIECES = [*re.split(" ", "a B 9 / . .. /./ /../ ? & = + %41 %2f %e9 %7E ; : @ é 字 [ ~ |"), " ", "\x00"]


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(["http://", "HTTPS://"]),
    st.sampled_from(["a.example", "B.example:80", "c.example:443", "d.example:8080"]),
    st.lists(st.sampled_from(PIECES), max_size=30).map("".join),
)
def test_equals_the_reference(scheme: str, host: str, rest: str) -> None:
    url = f"{scheme}{host}{'' if rest.startswith('?') else '/'}{rest}"
    assert canonical(url, form=STRICT) == [reference(url)]


HOSTILE = re.split(
    " ", "http:// https: // www. :80 :443 : . @ % %3 %2e / ? # & ; = jsessionid= ref utm_ a A 0 [ ] é + ftp"
)
HOSTILE += [" ", "\x00", "\n", "\U0010ffff"]


@settings(deadline=None, max_examples=500)
@given(st.one_of(st.text(), st.lists(st.sampled_from(HOSTILE), max_size=25).map("".join)), st.sampled_from(FORMS))
@example("http://x:80.:80:.", UrlForm())
@example("http://http:://www.www.a", UrlForm())
@example("/%2e%2e;ref/..;ref=/a", UrlForm())
def test_any_string_has_a_form_that_is_its_own(url: str, form: UrlForm) -> None:
    (once,) = canonical(url, form=form)
    assert once is not None
    assert canonical(once, form=form) == [once]
    assert once.isascii()
    assert not set(once) & set(' "<>\\^`{|}#\n\x00')


@settings(deadline=None)
@given(st.lists(st.none() | st.text(alphabet="aA/.?&=%4é:", max_size=12), max_size=20), st.data())
def test_rows_are_independent(urls: list[str | None], data: st.DataObject) -> None:
    """Of neighbours, slices and Arrow's string types."""
    whole = canonical(*urls)
    assert [form is None for form in whole] == [url is None for url in urls]
    assert whole == [canonical(url)[0] for url in urls]
    start, stop = data.draw(st.integers(0, len(urls))), data.draw(st.integers(0, len(urls)))
    sliced = canonical_urls(pa.array(urls, pa.large_string())[start:stop])
    sliced.validate(full=True)
    assert sliced.type == pa.string()
    assert sliced.to_pylist() == whole[start:stop]


@pytest.mark.parametrize(
    "url",
    [
        "http://a/?" + "b&a&" * 250_000,
        "http://a/?" + "&".join("a" * 1000 + str(i) for i in range(1000)),
        "http://a/" + "b/" * 250_000 + "../" * 160_000,
        "http://a" + ":80" * 330_000,
        "http://" + "www." * 250_000,
        "http://a/" + ";jsessionid=1" * 77_000,
        "%" * 1_000_000,
        "é" * 500_000,
        "a?utm_" * 160_000,
        "x" * 1_000_000 + "://",
    ],
    ids=range(10),
)
def test_a_megabyte(url: str) -> None:
    (once,) = canonical(url)
    assert canonical(once) == [once]
