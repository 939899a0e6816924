import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.filtering.stations import url_matches
from curation_assets.filtering.urls import (
    SHIPPED_LISTS,
    URL_ANNOTATIONS,
    HashedNames,
    UrlRules,
    annotate_urls,
)
from curation_assets.recipes.recipe import UrlFilter

SHARED = Path(__file__).parents[3] / "shared" / "data"
Row = tuple[str | None, str | None, str | None]

LISTS = {
    "adult/domains": "# comment\nlisted.example\r\nDeep.Sub.Example \n\n192.0.2.9\nshared.example\n",
    "adult/urls": "fine.example/bad\nhttp://www.fine.example/area/?board=7\n",
    "spam/domains": "shared.example\nspam.example\n",
    "empty/domains": "",
    "hard_words.txt": "# comment\nporn\nTwo Words\nporn\n",
    "soft_words.txt": "casino\nbonus\nbet\n",
    "subwords.txt": "badcasino\ncasinoba\nxyzzy\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "lists", LISTS)


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def row(url: str) -> Row:
    """A URL with its host and, as these tests have it, the last two labels as its registered domain."""
    host = urlsplit(url).hostname
    is_name = host is not None and not host.replace(".", "").isdigit()
    return url, host, ".".join(host.split(".")[-2:]) if host is not None and is_name else None


def annotate(rows: Sequence[Row], rules: UrlRules) -> list[dict]:
    arrays = [pa.array([row[column] for row in rows], pa.string()) for column in range(3)]
    table = annotate_urls(*arrays, rules)
    assert table.schema == URL_ANNOTATIONS and table.num_rows == len(rows)
    table.validate(full=True)
    return table.to_pylist()


def one(url: str, rules: UrlRules) -> dict:
    return annotate([row(url)], rules)[0]


def reference(url: str | None, host: str | None, domain: str | None, lists: Mapping[str, str]) -> dict:
    def entries(name: str) -> list[str]:
        lines = [line.strip().lower() for line in lists.get(name, "").split("\n")]
        return [line for line in lines if line and not line.startswith("#")]

    def words(name: str) -> set[str]:
        return {re.sub("[^a-z0-9]", "", line) for line in entries(f"{name}.txt")}

    url, host, domain = url or "", (host or "").lower().rstrip("."), (domain or "").lower()
    category = next(
        (
            (category, name)
            for name in (domain, host, host.removeprefix("www."))
            for category in ("adult", "spam")
            if name and name in entries(f"{category}/domains")
        ),
        None,
    )
    text = re.sub(r"^[A-Za-z][A-Za-z0-9+.\-]*://", "", url)
    parts = [part.lower() for part in re.split(r"[^a-zA-Z0-9]+", text)]
    squeezed = re.sub(r"[^a-zA-Z0-9]+", "", text).lower()
    return {
        "url_domain_listed": int(category is not None),
        "url_domain_category": category[0] if category else None,
        "url_hard_words": len(words("hard_words") & set(parts)),
        "url_soft_words": len(words("soft_words") & set(parts)),
        "url_subwords": sum(word in squeezed for word in words("subwords")),
    }


def test_domains_hosts_and_addresses(folder: Path) -> None:
    rules = UrlRules.load(folder, ["adult", "spam"])
    cases = {
        "https://listed.example/": ("adult", "listed.example"),
        "https://any.where.LISTED.example/x": ("adult", "listed.example"),
        "https://deep.sub.example/x": ("adult", "deep.sub.example"),
        "https://www.deep.sub.example./x": ("adult", "deep.sub.example"),
        "https://a.deep.sub.example/x": None,
        "http://192.0.2.9:8080/x": ("adult", "192.0.2.9"),
        "http://192.0.2.10/x": None,
        "https://shared.example/": ("adult", "shared.example"),
        "https://spam.example/": ("spam", "spam.example"),
        "https://fine.example/": None,
        "https://u:p@WWW.fine.example:443/Bad/#part": ("adult", "fine.example/bad"),
        "http://fine.example/bad?x=1": ("adult", "fine.example/bad"),
        "http://fine.example/bad/more": None,
        "http://fine.example/area/?board=7": ("adult", "fine.example/area/?board=7"),
        "http://fine.example/area/?board=8": None,
    }
    for url, expected in cases.items():
        found = one(url, rules)
        listed = (found["url_domain_category"], found["url_match"])
        assert (found["url_domain_listed"], listed) == (expected is not None, expected or (None, None)), url


def test_the_order_of_categories_decides_which_one_is_named(folder: Path) -> None:
    rules = UrlRules.load(folder, ["spam", "adult"])
    assert one("https://shared.example/", rules)["url_domain_category"] == "spam"


def test_words(folder: Path) -> None:
    rules = UrlRules.load(folder, [])
    cases = {
        "https://x.example/PORN/Porn": (1, 0, 0, "porn"),
        "https://porn.example/twowords": (2, 0, 0, "porn"),
        "https://x.example/pornography": (0, 0, 0, None),
        "https://x.example/two-words": (0, 0, 0, None),
        "https://x.example/bonus?bonus#bonus": (0, 1, 0, "bonus"),
        "https://x.example/bet_bonus": (0, 2, 0, "bet"),
        "https://x.example/bonus/xyzzy": (0, 1, 1, "xyzzy"),
        "https://x.example/bonus/bet/xyzzy": (0, 2, 1, "bonus"),
        "https://x.example/ba-d.ca/Sino/BA": (0, 0, 2, "badcasino"),
        "https://x.example/casino-ba": (0, 1, 1, "casinoba"),
        "porn": (1, 0, 0, "porn"),
        "porn://x.example/": (0, 0, 0, None),
    }
    for url, expected in cases.items():
        assert tuple(one(url, rules).values())[2:] == expected, url


def test_null_and_empty_strings_match_nothing(folder: Path) -> None:
    rules = UrlRules.load(folder, ["adult"])
    nothing = dict.fromkeys(URL_ANNOTATIONS.names, 0) | {"url_domain_category": None, "url_match": None}
    assert annotate([(None, None, None), ("", "", "")], rules) == [nothing, nothing]
    assert annotate([], rules) == []
    with pytest.raises(ValueError, match="length"):
        annotate_urls(pa.array(["a"]), pa.array([], pa.string()), pa.array(["a"]), rules)


def test_slices_and_string_types(folder: Path) -> None:
    rules = UrlRules.load(folder, ["adult"])
    urls = ["https://é.example/porn", None, "https://listed.example/bet", "https://x.example/bonus-bet"]
    rows = [row(url) if url else (None, None, None) for url in urls]
    expected = annotate(rows, rules)
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        arrays = [pa.array([row[column] for row in rows], kind)[1:] for column in range(3)]
        assert annotate_urls(*arrays, rules).to_pylist() == expected[1:]


PIECES = st.sampled_from(
    ["http://", "porn", "PORN", "casino", "ba", "bad", "bonus", "bet", "two", "words", "/", "-", ".", "?", "é",
     "\0", " ", "xyzzy", "xy", "zzy", "www.", "\u212a", "İ"]
)  # fmt: skip
NAMES = st.sampled_from(
    ["listed.example", "www.spam.example", "SPAM.example.", "192.0.2.9", "shared.example", "www.", "", None, "x"]
)


@given(st.lists(st.tuples(st.lists(PIECES, max_size=12).map("".join) | st.none(), NAMES, NAMES), max_size=6))
@settings(deadline=None, max_examples=200)
def test_equals_the_row_by_row_reference(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> None:
    folder = tmp_path_factory.getbasetemp() / "reference"
    if not folder.exists():
        write(folder, {name: text for name, text in LISTS.items() if not name.endswith("urls")})
    found = annotate(rows, UrlRules.load(folder, ["adult", "spam"]))
    for given_row, annotations in zip(rows, found, strict=True):
        expected = reference(*given_row, LISTS)
        assert {name: annotations[name] for name in expected} == expected
        counted = [value for name, value in expected.items() if name != "url_domain_category"]
        assert (annotations["url_match"] is not None) == any(counted)


def test_loaded_and_absent_categories(folder: Path) -> None:
    rules = UrlRules.load(folder, ["phishing", "spam", "empty", "spam"])
    assert (rules.categories, rules.absent) == (("spam", "empty"), ("phishing",))
    assert one("https://listed.example/", rules)["url_domain_listed"] == 0
    with pytest.raises(ValueError, match=r"none of the categories phishing, \.\.; it has: adult, empty, spam"):
        UrlRules.load(folder, ["phishing", ".."])
    with pytest.raises(FileNotFoundError, match="nowhere"):
        UrlRules.load(folder / "nowhere", ["adult"])


def test_fingerprint_and_cache_follow_the_content(folder: Path) -> None:
    rules = UrlRules.load(folder, ["adult", "spam"])
    assert UrlRules.load(folder, ["adult", "spam"]) is rules
    assert UrlRules.load(folder, ["spam", "adult"]).fingerprint != rules.fingerprint
    assert UrlRules.load(folder, ["adult"]).fingerprint != rules.fingerprint
    domains = folder / "adult" / "domains"
    content = domains.read_bytes()
    domains.write_bytes(content + b"new.example\n")
    changed = UrlRules.load(folder, ["adult", "spam"])
    assert changed.fingerprint != rules.fingerprint
    assert one("https://new.example/", changed)["url_domain_listed"] == 1
    domains.write_bytes(content)
    os.utime(domains, (1, 1))
    assert UrlRules.load(folder, ["adult", "spam"]).fingerprint == rules.fingerprint


def test_word_files_fall_back_to_the_shipped_ones(tmp_path: Path) -> None:
    folder = write(tmp_path, {"adult/domains": "x.example", "hard_words.txt": ""})
    rules = UrlRules.load(folder, ["adult"])
    shipped = UrlRules.load(None, ["adult"])
    assert rules.hard_words == ()
    assert (rules.soft_words, rules.subwords) == (shipped.soft_words, shipped.subwords)
    assert one("https://y.example/porn", rules)["url_hard_words"] == 0


def test_bytes_that_are_no_utf8_do_not_stop_the_load(tmp_path: Path) -> None:
    (tmp_path / "adult").mkdir()
    (tmp_path / "adult" / "domains").write_bytes(b"\xff\xfe.example\nx.example\n\xc3")
    rules = UrlRules.load(tmp_path, ["adult"])
    assert one("https://x.example/", rules)["url_domain_listed"] == 1


def test_shipped_lists() -> None:
    rules = UrlRules.load(None, ["adult", "gambling", "phishing"])
    assert (rules.categories, rules.absent) == (("adult", "gambling"), ("phishing",))
    assert one("https://www.casino-royale.example/", rules)["url_domain_category"] == "gambling"
    for name in ("hard_words", "soft_words", "subwords"):
        words = getattr(rules, name)
        assert 20 < len(words) == len(set(words)) and all(len(word) > 2 for word in words)
    for file in SHIPPED_LISTS.glob("*/domains"):
        names = [line for line in file.read_text().splitlines() if not line.startswith("#")]
        assert all(name.endswith((".example", ".invalid")) or name.startswith("192.0.2.") for name in names)


@pytest.mark.parametrize(
    "url",
    [
        "https://essex-video.example/essex-cam/sussex-chat",
        "https://news.example/when-taiwan-votes",
        "https://shop.example/phones-explained?cat=laptop-specialist",
        "https://school.example/adult-education/middlesex",
        "https://film.example/casino-royale-2006-review",
        "https://cars.example/ford-escort-mk2",
    ],
)
def test_shipped_words_leave_ordinary_urls_alone(url: str) -> None:
    found = one(url, UrlRules.load(None, []))
    assert (found["url_hard_words"], found["url_subwords"]) == (0, 0)
    assert found["url_soft_words"] < 2


def test_hashes_of_many_names_do_not_collide() -> None:
    names = pl.Series([f"host-{number}.example" for number in range(300_000)])
    hashed = HashedNames.build([names[:200_000], names[100_000:]])
    assert len(hashed.keys) == 300_000
    assert np.array_equal(hashed.find(names), np.repeat(np.array([0, 1], np.int16), [200_000, 100_000]))
    assert (hashed.find(names + "x") == -1).all()


@pytest.mark.skipif(not SHARED.exists(), reason="shared test data is not here")
def test_datatrove_cases(tmp_path: Path) -> None:
    lines = (SHARED / "filters" / "datatrove" / "cases.jsonl").read_text().splitlines()
    cases = [case for case in map(json.loads, lines) if case["filter"] == "url"]
    assert len(cases) == 8
    folder = write(tmp_path, {"extra/domains": "\n".join(cases[0]["params"]["extra_domains"])})
    found = annotate([row(case["url"]) for case in cases], UrlRules.load(folder, ["extra"]))
    assert ["keep" if not f["url_domain_listed"] else "drop" for f in found] == [
        "keep" if case["expect"] == "keep" else "drop" for case in cases
    ]


@pytest.mark.skipif(not SHARED.exists(), reason="shared test data is not here")
def test_all_of_ut1() -> None:
    folder = SHARED / "lists" / "ut1"
    names = sorted(path.parent.name for path in folder.glob("*/domains"))
    rules = UrlRules.load(folder, names)
    gambling = (folder / "gambling" / "domains").read_text().split()[::50]
    found = annotate([(f"http://{name}/", name, None) for name in gambling], rules)
    assert all(f["url_domain_listed"] for f in found) and len(rules.domains.keys) > 300_000


def test_a_category_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"no adulte\. .* the usual ones: adult, "):
        url_matches(("documents",), UrlFilter(categories=("adult", "adulte")), None)
    assert url_matches(("documents",), UrlFilter(categories=("adult", "malware")), None)
