"""Ten thousand spoiled WARC files: nothing whole is lost, nothing lost goes uncounted, nothing crashes.

Each case is made from its number alone: `spoiled(4711)` makes the same bytes again.
"""

import itertools
import random
from collections.abc import Callable
from io import BytesIO
from typing import NamedTuple

import pytest

from curation_assets.acquisition.warc import read_responses
from curation_assets.acquisition.warc_records import Damage, Response
from curation_tests.acquisition.warc_bytes import capture, http_block, member, record

CASES = 10_000
BATCHES = 10
MAX_RECORD_BYTES = 1 << 16


class Piece(NamedTuple):
    """Bytes of the file."""

    data: bytes
    block: bytes | None = None
    """Of the response that they are, or were."""
    spoiled: bool = False


class Case(NamedTuple):
    """A spoiled file, as pieces in order."""

    gzip: bool
    pieces: list[Piece]


def noise(chance: random.Random, most: int) -> bytes:
    return chance.choice((chance.randbytes, bytes))(chance.randint(1, most))


def flipped(chance: random.Random, data: bytes) -> bytes:
    """Some bits of the bytes are changed, near each other or far apart."""
    spoiled = bytearray(data)
    around = chance.randrange(len(data))
    for _ in range(chance.choice((1, 1, 2, 8, 64))):
        at = (
            min(max(around + chance.randint(-32, 32), 0), len(data) - 1)
            if chance.random() < 0.7
            else chance.randrange(len(data))
        )
        spoiled[at] ^= 1 << chance.randrange(8)
    return bytes(spoiled)


def cut(chance: random.Random, data: bytes) -> bytes:
    """A run of bytes is gone."""
    start, end = sorted(chance.randint(0, len(data)) for _ in range(2))
    return data[:start] + data[end:]


def inserted(chance: random.Random, data: bytes) -> bytes:
    """Bytes that do not belong there: noise, zeros, or others of the same record."""
    at = chance.randint(0, len(data))
    foreign = noise(chance, 600) if chance.random() < 0.6 else cut(chance, data)
    return data[:at] + foreign + data[at:]


def overwritten(chance: random.Random, data: bytes) -> bytes:
    """A run of bytes is replaced by as many others."""
    at = chance.randrange(len(data))
    foreign = noise(chance, 400)[: len(data) - at]
    return data[:at] + foreign + data[at + len(foreign) :]


MUTATIONS = (flipped, cut, inserted, overwritten)


def spoiled(number: int) -> Case:
    """One case: a file of a few captures, gzipped or not, with up to three things wrong."""
    chance = random.Random(number)
    pack: Callable[[bytes], bytes] = member if chance.random() < 0.8 else bytes
    pieces: list[Piece] = []
    for one in range(chance.randint(2, 6)):
        body = b"<p>" + chance.choice((b"page ", b"\r\n\r\n", chance.randbytes(9))) * chance.randint(1, 200)
        block = http_block(body, f"X: {one}")
        if pack is member:
            request, _, metadata = capture(one)
        else:
            request, metadata = (
                record(one + 1000 * (1 + at), b"fields", kind) for at, kind in enumerate(("request", "metadata"))
            )
        pieces += [Piece(request), Piece(pack(record(one, block)), block), Piece(metadata)]
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        # The file's first record says what kind of file it is; whatever else is wrong must not matter.
        at = chance.randrange(1, len(pieces))
        kind = chance.random()
        if kind < 0.65 and pieces[at].data:
            pieces[at] = Piece(chance.choice(MUTATIONS)(chance, pieces[at].data), pieces[at].block, spoiled=True)
        elif kind < 0.75:
            pieces.insert(at, Piece(noise(chance, 3000), spoiled=True))
        elif kind < 0.85 and pack is member:
            # A Content-Length that lies; the gzip member tells where the record really ends.
            lie = chance.choice((-7, -1, 1, 4, 512, 100_000))
            block = http_block(b"a record whose length lies" * chance.randint(1, 50))
            pieces[at] = Piece(member(record(90 + at, block, lie=lie)), block)
        elif kind < 0.95:
            large = bytes(MAX_RECORD_BYTES + chance.randint(1, 1 << 18))
            pieces[at] = Piece(pack(record(80 + at, large)), large, spoiled=True)
        else:
            last = pieces[-1]
            pieces[-1] = Piece(last.data[: chance.randint(0, len(last.data))], last.block, spoiled=True)
    return Case(pack is member, pieces)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_what_is_whole_is_found_and_what_is_lost_is_counted(batch: int) -> None:
    for number in range(batch, CASES, BATCHES):
        case = spoiled(number)
        check(case, number)


def check(case: Case, number: int) -> None:
    data = b"".join(piece.data for piece in case.pieces)
    items = list(read_responses(BytesIO(data), MAX_RECORD_BYTES))
    regions = [(item.offset, item.offset + item.length) for item in items]
    assert all(a <= b for (_, a), (b, _) in itertools.pairwise(regions)), f"case {number}: regions overlap"
    assert not regions or regions[-1][1] <= len(data), f"case {number}: a region beyond the end of the file"
    assert all(item.verdict and item.detail for item in items if isinstance(item, Damage))
    found = {(item.offset, item.length): bytes(item.block) for item in items if isinstance(item, Response)}
    at, certain = 0, True
    for piece in case.pieces:
        place = (at, len(piece.data))
        at += len(piece.data)
        # Where nothing is compressed, lengths alone tell where a record ends: one that lies may swallow what follows.
        certain = certain and (case.gzip or not piece.spoiled)
        if piece.block is None or not certain:
            continue
        if not piece.spoiled:
            assert found.get(place) == piece.block, f"case {number}: the whole record at {place} is not there"
        elif piece.data:
            told = any(start < at and end > place[0] for start, end in regions)
            assert told, f"case {number}: nothing says that the record at {place} was lost"
