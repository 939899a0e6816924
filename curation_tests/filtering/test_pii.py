import ipaddress
import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curation_assets.filtering.edits import EDITS, apply_edits, as_edits
from curation_assets.filtering.pii import (
    EMAIL_REPLACEMENTS,
    IP_REPLACEMENTS,
    PII_SPANS,
    find_pii,
)

SHARED = Path(__file__).parents[3] / "shared" / "data"

LOCAL = rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
LABEL = rb"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
TOP = rb"[A-Za-z](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
OCTET = rb"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
QUAD = rb"(?:" + OCTET + rb"\.){3}" + OCTET
ALONE = rb"(?![A-Za-z0-9_])(?!\.[A-Za-z0-9])"
DOMAIN = rb"(?:(?:" + LABEL + rb"\.)+" + TOP + rb"|" + QUAD + ALONE + rb"|\[" + QUAD + rb"\])"
EMAIL = re.compile(rb"\b" + LOCAL + rb"(?<!/)@" + DOMAIN)
ADDRESS = re.compile(rb"(?<![A-Za-z0-9_.])" + QUAD + ALONE)


def reference(text: str, email: bool = True, public_ip: bool = True) -> list[tuple[int, int, str, str]]:
    raw = text.encode()
    emails = [match.span() for match in EMAIL.finditer(raw)] if email else []
    addresses = [
        match.span()
        for match in ADDRESS.finditer(raw)
        if public_ip
        and ipaddress.ip_address(match.group().decode()).is_global
        and not any(match.start() < end and start < match.end() for start, end in emails)
    ]
    return sorted(
        [(*span, "email", EMAIL_REPLACEMENTS[i % 2]) for i, span in enumerate(emails)]
        + [(*span, "public_ip", IP_REPLACEMENTS[i % 6]) for i, span in enumerate(addresses)]
    )


def found(texts: list[str | None], email: bool = True, public_ip: bool = True) -> list[list[tuple]]:
    spans = find_pii(pa.array(texts, pa.large_string()), email, public_ip)
    assert spans.type == PII_SPANS
    spans.validate(full=True)
    return [[tuple(span.values()) for span in row] for row in spans.to_pylist()]


def values(text: str, **kinds: bool) -> list[str]:
    raw = text.encode()
    return [raw[start:end].decode() for start, end, *_ in found([text], **kinds)[0]]


def masked(texts: list[str | None]) -> list[str | None]:
    array = pa.array(texts, pa.large_string())
    edits = as_edits(find_pii(array, True, True))
    assert edits.type == EDITS
    return apply_edits(array, edits).to_pylist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to a.b+c@mail.example.com.", ["a.b+c@mail.example.com"]),
        ("NAME@EXAMPLE.COM", ["NAME@EXAMPLE.COM"]),
        ("<user@[123.45.67.89]>", ["user@[123.45.67.89]"]),
        ("user@123.45.67.89", ["user@123.45.67.89"]),
        ("10.0.0.1@example.com 8.8.8.8@example.com", ["10.0.0.1@example.com", "8.8.8.8@example.com"]),
        ("..x@example.com a..b@example.com c.@example.com", ["x@example.com", "b@example.com"]),
        ("a@b@example.com", ["b@example.com"]),
        ("a@example", []),
        ("a@-example.com a@example-.com a@example..com @example.com", []),
        ("a@example.com-", ["a@example.com"]),
        ("a@example.com.2023", ["a@example.com"]),
        ("a@example.c1", ["a@example.c1"]),
        ("联系user@example.com请", ["user@example.com"]),
        ("'user@example.com'", ["user@example.com"]),
        ("+user@example.com", ["user@example.com"]),
        # Not addresses, though the published pattern takes them.
        ("react@18.2.0 and core-js@3.22.4 price 5@1.50", []),
        ("https://social.example/@some.name", []),
        ("email@111.222.333.44444", []),
        # Not found, as published.
        ("josé@example.com user@bücher.example", []),
    ],
)
def test_email_forms(text: str, expected: list[str]) -> None:
    assert values(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8.8.8.8", ["8.8.8.8"]),
        ("at 8.8.8.8.", ["8.8.8.8"]),
        ("8.8.8.8:53, 8.8.4.4/32", ["8.8.8.8", "8.8.4.4"]),
        ("http://8.8.8.8/x (9.9.9.9) 地址1.1.1.1。", ["8.8.8.8", "9.9.9.9", "1.1.1.1"]),
        ("8.8.8.8-8.8.8.9", ["8.8.8.8", "8.8.8.9"]),
        ("255.255.255.255 10.1.2.3 127.0.0.1 192.168.0.1 100.64.0.1 169.254.1.1 203.0.113.5", []),
        ("172.15.255.255 172.16.0.0 172.31.255.255 172.32.0.0", ["172.15.255.255", "172.32.0.0"]),
        ("256.1.1.1 999.1.1.1 1.1.1.256 1.1.1.2566", []),
        ("v1.2.3.4 1.2.3.4.5 1.2.3.4a x_1.2.3.4 1.2.3.4_ .3.3.3.0", []),
        ("tool-1.2.3.4.tar.gz 1.2.3.4-beta", ["1.2.3.4"]),
        ("01.2.3.4 108.0.0.01 1.2.3", []),
        ("version 1.2.3.4", ["1.2.3.4"]),
    ],
)
def test_ip_forms(text: str, expected: list[str]) -> None:
    assert values(text) == expected


def test_kinds_are_switched_separately() -> None:
    text = "user@8.8.4.4 9.9.9.9"
    assert values(text) == ["user@8.8.4.4", "9.9.9.9"]
    assert values(text, email=True, public_ip=False) == ["user@8.8.4.4"]
    assert values(text, email=False, public_ip=True) == ["8.8.4.4", "9.9.9.9"]
    assert values(text, email=False, public_ip=False) == []


def test_replacement_cycles_restart_in_every_document() -> None:
    text = "a@x.example b@x.example c@x.example 1.1.1.1 1.0.0.1 1.1.1.1 1.1.1.1 1.1.1.1 1.1.1.1 1.1.1.1"
    expected = [*EMAIL_REPLACEMENTS, EMAIL_REPLACEMENTS[0], *IP_REPLACEMENTS, IP_REPLACEMENTS[0]]
    assert [[span[3] for span in row] for row in found([text, "", text])] == [expected, [], expected]


def test_an_ip_address_given_up_to_an_email_address_leaves_the_cycle() -> None:
    assert [span[3] for span in found(["8.8.8.8@x.example 9.9.9.9"])[0]] == [
        EMAIL_REPLACEMENTS[0],
        IP_REPLACEMENTS[0],
    ]


def test_masks_compose_with_edits() -> None:
    assert masked(["Ü a@b.example, 8.8.8.8", None, "no", "c@d.example"]) == [
        f"Ü email@example.com, {IP_REPLACEMENTS[0]}",
        None,
        "no",
        "email@example.com",
    ]


def test_nulls_slices_and_empty_arrays() -> None:
    array = pa.array(["x@y.example", None, "", "é q@r.example"], pa.large_string())
    whole = find_pii(array, True, True)
    assert whole.null_count == 0 and whole.value_lengths().to_pylist() == [1, 0, 0, 1]
    assert find_pii(array[1:], True, True).to_pylist() == whole.to_pylist()[1:]
    assert as_edits(whole[3:]).to_pylist() == [[{"start": 3, "end": 14, "replacement": "email@example.com"}]]
    assert find_pii(array[:0], True, True).to_pylist() == []


def test_a_match_does_not_look_into_the_neighbouring_document() -> None:
    assert [len(row) for row in found(["user", "@example.com", "8.8.8.", "8", "v", "8.8.8.8", ".8"])] == [
        0, 0, 0, 0, 0, 1, 0,
    ]  # fmt: skip


ALPHABET = st.sampled_from([*"aZ01259.@-_/+[]: \0\n", "é", "漢", "8.8.8.8", "a@b.c", "@", ".com", "255."])


@given(st.lists(st.lists(ALPHABET, max_size=30).map("".join), max_size=4), st.booleans(), st.booleans())
@example(["8.8.8.8@8.8.8.8@8.8.8.8"], True, True)
@example(["a.@b.c", "a@b.c@d.e", "-a@b.c-.d"], True, True)
@settings(deadline=None, max_examples=400)
def test_equals_the_regular_expressions(texts: list[str], email: bool, public_ip: bool) -> None:
    assert found(list(texts), email, public_ip) == [reference(text, email, public_ip) for text in texts]


@given(st.lists(st.text(), max_size=4))
@settings(deadline=None)
def test_masking_twice_changes_nothing_more(texts: list[str]) -> None:
    once = masked([f"{text} a@b.example {text} 8.8.8.8 {text}" for text in texts])
    assert masked(once) == once


def test_global_addresses_are_those_of_the_standard_library() -> None:
    networks = [
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
        "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
    ]  # fmt: skip
    edges = {
        int(network[at]) + step
        for network in map(ipaddress.ip_network, networks)
        for at in (0, -1)
        for step in (-1, 0, 1)
    }
    drawn = np.random.default_rng(1).integers(0, 2**32, 5000).tolist()
    numbers = [n for n in [*sorted(edges), *drawn] if 0 <= n < 2**32]
    addresses = [ipaddress.ip_address(number) for number in numbers]
    assert [bool(row) for row in found([str(a) for a in addresses])] == [a.is_global for a in addresses]
    # The IANA registry has this block whole, with two exceptions; Python before 3.11.9 knew only parts of it.
    block = [f"192.0.0.{n}" for n in range(256)]
    assert [a for a, row in zip(block, found(list(block)), strict=True) if row] == ["192.0.0.9", "192.0.0.10"]


@pytest.mark.parametrize(
    "text",
    [
        "a." * 500_000,
        "@" * 1_000_000,
        "1." * 500_000,
        "a@" * 500_000,
        "1.1.1.1" * 140_000,
        "a@" + "a-" * 500_000,
    ],
    ids=lambda text: text[:4],
)
def test_hostile_text_has_no_matches_and_does_not_hang(text: str) -> None:
    assert found([text]) == [[]]


def test_many_matches_in_one_text() -> None:
    rows = found(["a@b.example " * 20_000 + "8.8.8.8 " * 20_000])
    assert len(rows[0]) == 40_000
    assert rows[0][-1] == (399_992, 399_999, "public_ip", IP_REPLACEMENTS[19_999 % 6])


@pytest.mark.skipif(not SHARED.exists(), reason="shared test data is not here")
def test_datatrove_cases() -> None:
    # Published output and ours. A quad after a "." is not an address (the case's own heading says so), and a
    # domain of digits that is no IPv4 address is not one either.
    differs = {
        ".IP": ".3.3.3.0",
        "EMAIL\nEMAIL\nemail@example..com": "EMAIL\nemail@111.222.333.44444\nemail@example..com",
    }
    lines = (SHARED / "filters" / "datatrove" / "cases.jsonl").read_text().splitlines()
    cases = [case for case in map(json.loads, lines) if case["filter"] == "pii_replace"]
    assert len(cases) == 2
    for case in cases:
        text, expected = case["text"].encode(), case["output"]
        for published, ours in differs.items():
            expected = expected.replace(published, ours)
        for start, end, kind, _ in reversed(found([case["text"]])[0]):
            text = text[:start] + (b"EMAIL" if kind == "email" else b"IP") + text[end:]
        assert text.decode() == expected
