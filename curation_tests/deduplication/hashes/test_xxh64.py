"""XXH64 against published vectors, and against the xxhash package where it is installed."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.deduplication.hashes.xxh64 import LANES, xxh64


def digests(strings: list[bytes]) -> list[int]:
    text = np.frombuffer(b"".join(strings), np.uint8)
    stops = np.cumsum([len(string) for string in strings], dtype=np.int64)
    return xxh64(text, stops - [len(string) for string in strings], stops).tolist()


def reference(data: bytes) -> int:
    """The specification in Python's integers."""
    p1, p2, p3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
    p4, p5, full = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5, 2**64 - 1

    def rotate(value: int, bits: int) -> int:
        return (value << bits | value >> (64 - bits)) & full

    def mixed(lane: int, value: int) -> int:
        return rotate((lane + value * p2) & full, 31) * p1 & full

    value, rest = p5, data
    if len(data) >= 32:
        lanes = [(p1 + p2) & full, p2, 0, -p1 & full]
        while len(rest) >= 32:
            for k in range(4):
                lanes[k] = mixed(lanes[k], int.from_bytes(rest[8 * k : 8 * k + 8], "little"))
            rest = rest[32:]
        value = sum(rotate(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18), strict=True)) & full
        for lane in lanes:
            value = ((value ^ mixed(0, lane)) * p1 + p4) & full
    value = (value + len(data)) & full
    while len(rest) >= 8:
        value = (rotate(value ^ mixed(0, int.from_bytes(rest[:8], "little")), 27) * p1 + p4) & full
        rest = rest[8:]
    if len(rest) >= 4:
        value = (rotate(value ^ (int.from_bytes(rest[:4], "little") * p1 & full), 23) * p2 + p3) & full
        rest = rest[4:]
    for byte in rest:
        value = rotate(value ^ (byte * p5 & full), 11) * p1 & full
    value = (value ^ value >> 33) * p2 & full
    value = (value ^ value >> 29) * p3 & full
    return value ^ value >> 32


def test_golden_vectors() -> None:
    # From xxhash 3.x: xxhash.xxh64_intdigest.
    strings = [b"", b"a", b"abc", b"the quick brown fox jumps", b"0123456789abcdef" * 2, bytes(range(101))]
    assert digests(strings) == [
        0xEF46DB3751D8E999,
        0xD24EC4F1A98C6E5B,
        0x44BC2CF5AD770999,
        0x6C3482CE6D00F490,
        0x642A94958E71E6C5,
        0xE99038495F85381E,
    ]


def test_every_length_to_four_stripes() -> None:
    data = np.random.default_rng(1).integers(0, 256, 140, np.uint8).tobytes()
    strings = [data[:length] for length in range(140)]
    assert digests(strings) == [reference(string) for string in strings]


@settings(deadline=None)
@given(st.lists(st.binary(max_size=150) | st.just(b"\0" * 5000), min_size=1))
def test_equals_the_specification(strings: list[bytes]) -> None:
    assert digests(strings) == [reference(string) for string in strings]


BORDERS = st.sampled_from([0, 1, 3, 4, 5, 7, 8, 31, 32, 33, 39, 40, 60, 63, 64, 65, 96])


@settings(deadline=None)
@given(st.lists(BORDERS | st.integers(0, 120), max_size=3 * LANES), st.integers(0, 70), st.randoms())
def test_short_and_long_strings_side_by_side(lengths: list[int], slack: int, random: Random) -> None:
    text = random.randbytes(120 + slack)
    starts = np.array([random.randint(0, len(text) - length) for length in lengths], np.int64)
    stops = starts + np.array(lengths, np.int64)
    expected = [reference(text[a:b]) for a, b in zip(starts, stops, strict=True)]
    assert xxh64(np.frombuffer(text, np.uint8), starts, stops).tolist() == expected
    # Arrays that are views of every second item of others.
    apart = (np.repeat(array, 2)[::2] for array in (np.frombuffer(text, np.uint8), starts, stops))
    assert xxh64(*apart).tolist() == expected


def test_equals_the_package() -> None:
    xxhash = pytest.importorskip("xxhash")
    data = np.random.default_rng(2).integers(0, 256, 3000, np.uint8).tobytes()
    strings = [data[i : i + i % 90] for i in range(2000)]
    assert digests(strings) == [xxhash.xxh64_intdigest(string) for string in strings]
