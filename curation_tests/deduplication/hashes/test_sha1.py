"""SHA-1 against hashlib."""

import hashlib
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.deduplication.hashes.sha1 import LANES, sha1_64


def digests(strings: list[bytes]) -> list[int]:
    text = np.frombuffer(b"".join(strings), np.uint8)
    stops = np.cumsum([len(string) for string in strings], dtype=np.int64)
    starts = stops - [len(string) for string in strings]
    return sha1_64(text, starts, stops).tolist()


def reference(strings: list[bytes]) -> list[int]:
    return [int.from_bytes(hashlib.sha1(string).digest()[:8], "little") for string in strings]


def test_standard_vectors() -> None:
    # FIPS 180-4: SHA-1("abc") = a9993e36 4706816a ...
    assert digests([b"abc"]) == [int.from_bytes(bytes.fromhex("a9993e364706816a"), "little")]


def test_every_length_to_four_blocks() -> None:
    data = np.random.default_rng(1).integers(0, 256, 260, np.uint8).tobytes()
    strings = [data[:length] for length in range(260)]
    assert digests(strings) == reference(strings)


def test_full_and_partial_lanes() -> None:
    for count in (0, 1, LANES - 1, LANES, LANES + 1, 3 * LANES):
        strings = [b"%d" % i for i in range(count)]
        assert digests(strings) == reference(strings)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=200) | st.sampled_from([b"x" * 55, b"x" * 56, b"x" * 5000]), min_size=1))
def test_equals_hashlib(strings: list[bytes]) -> None:
    assert digests(strings) == reference(strings)


BORDERS = st.sampled_from([0, 1, 3, 4, 54, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 183, 184])


@settings(deadline=None)
@given(st.lists(BORDERS | st.integers(0, 300), max_size=3 * LANES), st.integers(0, 100), st.randoms())
def test_short_and_long_strings_side_by_side(lengths: list[int], slack: int, random: Random) -> None:
    text = random.randbytes(300 + slack)
    starts = np.array([random.randint(0, len(text) - length) for length in lengths], np.int64)
    stops = starts + np.array(lengths, np.int64)
    hashes = sha1_64(np.frombuffer(text, np.uint8), starts, stops)
    assert hashes.tolist() == reference([text[a:b] for a, b in zip(starts, stops, strict=True)])
    # Arrays that are views of every second item of others.
    apart = (np.repeat(array, 2)[::2] for array in (np.frombuffer(text, np.uint8), starts, stops))
    assert sha1_64(*apart).tolist() == hashes.tolist()


def test_the_length_is_written_in_full() -> None:
    strings = [b"x", bytes(70_000), b"y" * 8192, b"z"]  # of 1, 20 and 17 bits
    assert digests(strings) == reference(strings)
