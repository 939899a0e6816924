"""Reading WARC: everything whole is found, with exact places; damage costs what is damaged."""

import io
import itertools
import random
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.acquisition.warc import Damage, Response, WarcError, read_responses
from curation_assets.acquisition.warc_records import parse_date
from curation_tests.acquisition.warc_bytes import capture, http_block, member, name, record

CRAWL = Path(__file__).parents[3] / "shared/data/crawl/crawl-data"
NOISE = random.Random(5).randbytes(200_000)


def read(data: bytes, limit: int = 1 << 20) -> list[Response | Damage]:
    return list(read_responses(io.BytesIO(data), limit))


def responses(data: bytes) -> list[Response]:
    return [item for item in read(data) if isinstance(item, Response)]


def slow_reader(data: bytes) -> Iterator[tuple[int, int, bytes, bytes]]:
    """The responses of an undamaged WARC of gzip members: offset, length, id, block."""
    at = 0
    while at < len(data):
        inflater = zlib.decompressobj(31)
        content = inflater.decompress(data[at:])
        end = len(data) - len(inflater.unused_data)
        head, _, rest = content.partition(b"\r\n\r\n")
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if fields[b"WARC-Type"] == b"response":
            yield at, end - at, fields[b"WARC-Record-ID"], rest[: int(fields[b"Content-Length"])]
        at = end


def places(items: list[Response | Damage]) -> list[tuple[int, int]]:
    return [(item.offset, item.length) for item in items]


def ids(items: list[Response | Damage]) -> list[str | None]:
    return [item.record_id for item in items if isinstance(item, Response)]


def captures(count: int, size: int = 300) -> list[bytes]:
    return [part for i in range(count) for part in capture(i, http_block(NOISE[i * size : (i + 1) * size]))]


def test_every_response_with_its_place_and_headers() -> None:
    data = b"".join(captures(40))
    items = read(data)
    expected = list(slow_reader(data))
    assert [(r.offset, r.length, r.record_id.encode(), r.block) for r in items] == expected  # type: ignore[union-attr]
    first = items[0]
    assert isinstance(first, Response)
    assert first.url == "https://example.com/0"
    assert first.date == datetime(2025, 3, 15, 11, 21, 46, tzinfo=UTC)
    assert first.payload_type == "text/html"


def test_a_range_read_gives_the_record_again() -> None:
    data = b"".join(captures(5))
    for item in read(data):
        again = read(data[item.offset : item.offset + item.length])
        assert [again[0]._replace(offset=item.offset)] == [item]


def test_blocks_larger_than_any_buffer() -> None:
    data = b"".join(capture(0, http_block(NOISE)) + capture(1, http_block(b"a" * 900_000)) + capture(2))
    assert [len(item.block) for item in read(data) if isinstance(item, Response)] == [200_059, 900_059, 51]


class Dribble(io.RawIOBase):
    """A stream of unknown length that gives a few bytes at a time and cannot seek."""

    def __init__(self, data: bytes, step: int) -> None:
        self.rest, self.step = data, step

    def read(self, size: int = -1) -> bytes:
        count = self.step if size < 0 else min(size, self.step)
        piece, self.rest = self.rest[:count], self.rest[count:]
        return piece


@pytest.mark.parametrize("step", [1, 777, 70_000])
def test_short_reads(step: int) -> None:
    data = b"".join(captures(3))
    assert list(read_responses(Dribble(data, step))) == read(data)  # type: ignore[arg-type]


def test_errors_of_the_stream_are_its_own() -> None:
    class Broken(Dribble):
        def read(self, size: int = -1) -> bytes:
            if not self.rest:
                raise ConnectionResetError("peer went away")
            return super().read(size)

    found = []
    with pytest.raises(ConnectionResetError, match="peer went away"):
        found.extend(read_responses(Broken(b"".join(captures(30, 3000)), 5000)))  # type: ignore[arg-type]


def test_a_corrupt_member_costs_one_record() -> None:
    parts = captures(6)
    spoiled = bytearray(parts[7])
    spoiled[300:340] = bytes(40)
    items = read(b"".join([*parts[:7], bytes(spoiled), *parts[8:]]))
    assert ids(items) == [name(i) for i in range(6) if i != 2]
    damage = items[2]
    assert isinstance(damage, Damage)
    assert damage.verdict == "warc_damaged"
    assert (damage.offset, damage.length) == (len(b"".join(parts[:7])), len(parts[7]))
    assert damage.record_id == name(2)
    assert damage.url == "https://example.com/2"
    assert f"{len(parts[7])} bytes lost" in damage.detail


@pytest.mark.parametrize("flipped", range(300, 700, 40))
def test_what_is_damaged_keeps_its_name_where_the_damage_begins_after_it(flipped: int) -> None:
    """Two members in a row, of well-compressed text, are two regions."""
    block = http_block(b" ".join(str(number).encode() for number in range(3000)))
    parts = [member(record(number, block)) for number in range(4)]
    for number in (1, 2):
        spoiled = bytearray(parts[number])
        spoiled[flipped : flipped + 20] = bytes(20)
        parts[number] = bytes(spoiled)
    assert [(item.offset, item.record_id) for item in read(b"".join(parts))] == [
        (sum(map(len, parts[:number])), name(number)) for number in range(4)
    ]


def test_a_wrong_checksum_is_damage() -> None:
    parts = captures(3)
    spoiled = parts[4][:-8] + bytes([parts[4][-8] ^ 1]) + parts[4][-7:]
    items = read(b"".join([*parts[:4], spoiled, *parts[5:]]))
    assert ids(items) == [name(0), name(2)]
    assert [item.verdict for item in items if isinstance(item, Damage)] == ["warc_damaged"]


def test_damage_over_several_members_is_one_region() -> None:
    data = bytearray(b"".join(captures(6)))
    sizes = [len(part) for part in captures(6)]
    start, end = sum(sizes[:3]) + 20, sum(sizes[:6]) + 20
    data[start:end] = NOISE[: end - start]
    items = read(bytes(data))
    assert ids(items) == [name(0), name(2), name(3), name(4), name(5)]
    damage = next(item for item in items if isinstance(item, Damage))
    assert (damage.offset, damage.length) == (sum(sizes[:3]), sum(sizes[3:7]))


@pytest.mark.parametrize("lie", [1, 50, 512, 40_000, 500_000, 2_000_000])
def test_a_length_too_large_costs_nothing(lie: int) -> None:
    parts = captures(5)
    block = http_block(b"the block ends here")
    parts[7] = member(record(2, block, lie=lie))
    items = read(b"".join(parts))
    assert ids(items) == [name(i) for i in range(5)]
    assert isinstance(items[2], Response)
    assert items[2].block == block
    assert (items[2].offset, items[2].length) == (len(b"".join(parts[:7])), len(parts[7]))


@pytest.mark.parametrize("lie", [-1, -5, -60])
def test_a_length_too_small_costs_nothing(lie: int) -> None:
    parts = captures(5)
    block = http_block(b"the block ends here")
    parts[7] = member(record(2, block, lie=lie))
    items = read(b"".join(parts))
    assert ids(items) == [name(i) for i in range(5)]
    assert isinstance(items[2], Response)
    assert items[2].block == block


def test_a_length_that_swallows_whole_records_is_seen() -> None:
    following = record(1)
    parts = [
        member(record(0, lie=4 + len(following) - 4)),
        member(following),
        member(record(2, kind="request", lie=len(record(3)))),
        member(record(3)),
        member(record(4)),
    ]
    items = read(b"".join(parts))
    assert ids(items) == [name(0), name(1), name(3), name(4)]


def test_the_last_record_lies() -> None:
    items = read(b"".join([*captures(2), member(record(9, lie=512))]))
    assert ids(items) == [name(0), name(1), name(9)]


@pytest.mark.parametrize("cut", [1, 4, 9, 100, 350])
def test_a_truncated_file_loses_the_last_record(cut: int) -> None:
    parts = captures(3)[:-1]
    items = read(b"".join(parts)[:-cut])
    assert ids(items) == [name(0), name(1)]
    damage = items[-1]
    assert isinstance(damage, Damage)
    assert damage.verdict == "warc_truncated"
    assert damage.offset == len(b"".join(parts[:-1]))
    assert damage.length == len(parts[-1]) - cut


def test_padding_and_junk_between_members() -> None:
    parts = captures(4)
    data = b"".join([*parts[:3], bytes(512), *parts[3:6], b"\x1f\x8b\x08junk", *parts[6:], b"tail"])
    items = read(data)
    assert ids(items) == [name(i) for i in range(4)]
    assert [item.length for item in items if isinstance(item, Damage)] == [512, 7, 4]


def test_empty_members_are_nothing() -> None:
    parts = captures(3)
    items = read(b"".join([*parts[:3], member(b""), *parts[3:]]))
    assert ids(items) == [name(0), name(1), name(2)]
    assert len(items) == 3


def test_a_member_of_several_records_is_reported() -> None:
    items = read(b"".join([*captures(1), member(record(7) + record(8)), *captures(1)]))
    assert ids(items) == [name(0), name(0)]
    damage = items[1]
    assert isinstance(damage, Damage)
    assert (damage.record_id, damage.verdict) == (name(7), "warc_damaged")
    assert "several records" in damage.detail


def test_a_gzip_member_that_is_no_warc_is_reported() -> None:
    items = read(b"".join([*captures(1), member(b"just text" * 9), *captures(1)]))
    assert [type(item) for item in items] == [Response, Damage, Response]


def test_a_record_above_the_bound() -> None:
    parts = [*captures(1), member(record(7, bytes(3 << 20))), *captures(2)]
    items = read(b"".join(parts))
    assert ids(items) == [name(0), name(0), name(1)]
    large = items[1]
    assert isinstance(large, Damage)
    assert (large.verdict, large.record_id) == ("record_too_large", name(7))
    assert (large.offset, large.length) == (sum(map(len, parts[:3])), len(parts[3]))


@pytest.mark.parametrize("beyond", [-1, 0, 1, 2, 40])
def test_a_record_about_as_large_as_the_bound(beyond: int) -> None:
    bound = 1 << 16
    padding = bound + beyond - len(record(7, bytes(bound))) + bound
    large = record(7, bytes(padding))
    assert len(large) == bound + beyond
    parts = [*capture(0), member(large), *capture(1)]
    items = read(b"".join(parts), bound)
    assert [item.record_id for item in items] == [name(0), name(7), name(1)]
    assert [type(item) for item in items] == [Response, Response if beyond <= 0 else Damage, Response]
    assert (items[1].offset, items[1].length) == (sum(map(len, parts[:3])), len(parts[3]))


def test_what_was_forgotten_is_not_searched() -> None:
    """Of a bomb that is broken off only the last bytes are kept: what follows it is found nevertheless."""
    noise = random.Random(8).randbytes(1 << 20)
    bomb = bytearray(member(record(7, noise)))
    bomb[-40:] = bytes(40)
    items = read(b"".join([*capture(0), bytes(bomb), *capture(1)]), 1 << 16)
    assert ids(items) == [name(0), name(1)]


def test_a_bomb_is_skipped_in_bounded_memory() -> None:
    import tracemalloc

    # 100 MiB of zeros in a member of 100 kB, and its Content-Length says 10 bytes.
    data = b"".join([*captures(1), member(record(7, bytes(100 << 20), lie=10 - (100 << 20))), *captures(1)])
    tracemalloc.start()
    items = read(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [getattr(item, "verdict", None) for item in items] == [None, "record_too_large", None]
    assert peak < 16 << 20


def test_a_large_record_of_another_type_is_no_row() -> None:
    items = read(b"".join([*captures(1), member(record(7, bytes(3 << 20), "resource")), *captures(1)]))
    assert ids(items) == [name(0), name(0)]
    assert len(items) == 2


def test_unusual_spelling_of_headers() -> None:
    odd = record(5).replace(b"WARC-Type: response", b"warc-type:response").replace(b"WARC-Date: ", b"WARC-Date:\t")
    items = read(b"".join([*captures(1), member(odd), *captures(1)]))
    assert ids(items) == [name(0), name(5), name(0)]
    assert items[1].date == datetime(2025, 3, 15, 11, 21, 46, tzinfo=UTC)


def test_dates_and_urls_that_are_none() -> None:
    records = [record(0, date="2025-02-30T00:00:00Z"), record(1, url="<https://example.com/a b>"), record(2, date="")]
    items = read(b"".join(map(member, records)))
    assert [item.date is None for item in items] == [True, False, True]
    assert items[1].url == "https://example.com/a b"


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2025-03-15T11:21:46Z", datetime(2025, 3, 15, 11, 21, 46, tzinfo=UTC)),
        ("2025-03-15T11:21:46.123456Z", datetime(2025, 3, 15, 11, 21, 46, 123456, tzinfo=UTC)),
        ("2025-03-15T11:21:46+02:00", datetime(2025, 3, 15, 9, 21, 46, tzinfo=UTC)),
        ("2025-03-15T11:21:46", datetime(2025, 3, 15, 11, 21, 46, tzinfo=UTC)),
        ("0001-01-01T00:00:00+14:00", None),
        ("yesterday", None),
        (None, None),
    ],
)
def test_dates(text: str | None, date: datetime | None) -> None:
    assert parse_date(text) == date


def test_uncompressed() -> None:
    records = [record(i, http_block(NOISE[:i])) for i in range(5)]
    items = read(b"".join(records))
    assert ids(items) == [name(i) for i in range(5)]
    assert [item.length for item in items] == [len(data) for data in records]
    assert [item.offset for item in items] == [sum(map(len, records[:i])) for i in range(5)]


@pytest.mark.parametrize("lie", [-20, 7, 600, 3_000_000])
def test_uncompressed_lengths_that_lie(lie: int) -> None:
    block = http_block(b"x" * 100)
    records = [record(0), record(1, block, lie=lie), record(2), record(3)]
    items = read(b"".join(records))
    assert ids(items) == [name(i) for i in range(4)]
    assert isinstance(items[1], Response)
    assert items[1].block == block
    assert items[1].length == len(records[1])


def test_uncompressed_damage_and_truncation() -> None:
    records = [record(0), b"junk without a header\r\n\r\n", record(1), record(2)[:-30]]
    items = read(b"".join(records))
    assert ids(items) == [name(0), name(1)]
    verdicts = [item.verdict for item in items if isinstance(item, Damage)]
    assert verdicts == ["warc_damaged", "warc_truncated"]


@pytest.mark.parametrize(
    "data",
    [
        b"hello, world",
        b"\x28\xb5\x2f\xfd....",
        b"filedesc://example.arc 0.0.0.0 20080430 text/plain 77",
        member(b"filedesc://example.arc 0.0.0.0 20080430 text/plain 77"),
        member(b"just text"),
        member(record(1) + record(2) + record(3)),
    ],
)
def test_other_formats_are_errors(data: bytes) -> None:
    with pytest.raises(WarcError):
        read(data)


def test_an_empty_file_is_truncated() -> None:
    assert [item.verdict for item in read(b"") if isinstance(item, Damage)] == ["warc_truncated"]


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_no_damage_hides_what_is_whole(data: st.DataObject) -> None:
    """Overwriting bytes anywhere after the first member costs at most the members touched; regions do not overlap."""
    parts = captures(5)
    edges = [sum(map(len, parts[:i])) for i in range(len(parts) + 1)]
    whole = b"".join(parts)
    start = data.draw(st.integers(edges[1], len(whole) - 1))
    spoil = data.draw(st.binary(min_size=1, max_size=400))
    spoiled = whole[:start] + spoil + whole[start + len(spoil) :]
    items = read(spoiled)
    touched = {i for i in range(len(parts)) if edges[i] < start + len(spoil) and edges[i + 1] > start}
    kept = [name(i // 3) for i in range(1, len(parts), 3) if i not in touched]
    assert [one for one in ids(items) if one in kept] == kept
    regions = places(items)
    assert all(a + n <= b for (a, n), (b, _) in itertools.pairwise(regions))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([b"WARC/1.0\r\n", b"\x1f\x8b\x08\x00", b""]))
def test_any_bytes(data: bytes, start: bytes) -> None:
    try:
        items = read(start + data)
    except WarcError:
        return
    assert sum(item.length for item in items) <= len(start + data)


@pytest.mark.skipif(not CRAWL.exists(), reason="needs the shared crawl mirror")
@pytest.mark.parametrize(
    ("number", "responses", "verdicts"),
    [(0, 184, []), (1, 183, []), (2, 88, ["warc_truncated"]), (3, 183, ["warc_damaged"])],
)
def test_the_hostile_snapshot(number: int, responses: int, verdicts: list[str]) -> None:
    (path,) = CRAWL.glob(f"CC-MAIN-2025-13/segments/*/warc/*-0000{number}.warc.gz")
    with path.open("rb") as stream:
        items = list(read_responses(stream))
    assert len(ids(items)) == responses
    assert [item.verdict for item in items if isinstance(item, Damage)] == verdicts


@pytest.mark.parametrize("pack", [member, bytes], ids=["gzip", "plain"])
def test_a_block_that_ends_like_a_record_keeps_its_end_also_where_the_file_ends(pack: Callable[[bytes], bytes]) -> None:
    """A chunked body ends in two line breaks, as a record does."""
    block = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
    data = pack(record(1, block)) + pack(record(2, block))
    assert [bytes(found.block) for found in responses(data)] == [block, block]
    assert [bytes(found.block) for found in responses(pack(record(1, block)))] == [block]
