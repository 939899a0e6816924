"""MurmurHash3 against golden values of the reference implementation."""

import hashlib

import pyarrow as pa

from curation_assets.deduplication.hashes.murmur3 import KEY, hash_strings


def strings(*values: str | None) -> pa.LargeStringArray:
    return pa.array(values, pa.large_string())


def test_golden_values() -> None:
    """By the reference's binding mmh3 5: `hash_bytes`, seed 0."""
    expected = {
        "": "00000000000000000000000000000000",
        "a": "897859f6655555855a890e51483ab5e6",
        "hello": "029bbd41b3a7d8cb191dae486a901e5b",
        "The quick brown fox jumps over the lazy dog": "6c1b07bc7bbc4be347939ac4a93c437a",
        "x" * 15: "9ac222c8ba62fd1c04a4ef21a1301538",
        "x" * 16: "dd4325d9acbbcc68b0c361c2e2207d6d",
        "x" * 17: "93de29a2ce6598e26b3538ef9abd4f9c",
        "é": "e863d411a47a18c93f7ecadf6bc7657e",
    }
    assert [key.hex() for key in hash_strings(strings(*expected)).to_pylist()] == list(expected.values())


def test_every_length_up_to_300() -> None:
    keys = hash_strings(strings(*("".join(chr((i * 7 + n) % 128) for i in range(n)) for n in range(300))))
    assert hashlib.sha256(b"".join(keys.to_pylist())).hexdigest() == GOLDEN


GOLDEN = "5b6d18f300924d1223fb56714151e13f6541533eee76efaf4bf01948c110ba51"  # of the 300 keys, by mmh3


def test_order_counts() -> None:
    """A sum of characters takes "ab" and "ba" for the same."""
    assert sum(b"ab") == sum(b"ba")
    first, second = hash_strings(strings("ab", "ba")).to_pylist()
    assert first != second
    assert first[:8] != second[:8]


def test_nulls_slices_and_nothing() -> None:
    values = [None if i % 5 == 1 else "é" * i for i in range(40)]
    keys = hash_strings(strings(*values))
    assert keys.type == KEY
    assert hash_strings(strings(*values)[3:29]).to_pylist() == keys.to_pylist()[3:29]
    assert [key is None for key in keys.to_pylist()] == [value is None for value in values]
    assert hash_strings(strings()).to_pylist() == []
    keys.validate(full=True)
