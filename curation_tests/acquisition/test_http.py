"""HTTP blocks as they are found, and codings that are left in place, already undone, or lies."""

import gzip
import io
import random
import zlib

import pytest
from fastwarc.stream_io import BrotliWriter, ZstdWriter
from hypothesis import given
from hypothesis import strategies as st

from curation_assets.acquisition.http import (
    BodyTooLarge,
    CodingError,
    charset_parameter,
    decode_body,
    media_type,
    parse_response,
)

HTML = b"<!DOCTYPE html><p>The ferry runs twice. " + b"Apples, honey and wool. " * 200


def raw_deflate(data: bytes) -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflater.compress(data) + deflater.flush()


def written(writer: type, data: bytes) -> bytes:
    target = io.BytesIO()
    stream = writer(target)
    stream.write(data)
    stream.finish()
    stream.close()
    return target.getvalue()


def chunked(data: bytes, size: int = 700, last: bool = True) -> bytes:
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + (b"0\r\n\r\n" if last else b"")


def decoded(body: bytes, *fields: str, limit: int = 1 << 20) -> bytes:
    block = "\r\n".join(["HTTP/1.1 200 OK", *fields, "", ""]).encode() + body
    return bytes(decode_body(parse_response(block), limit))


def test_a_plain_response() -> None:
    response = parse_response(b"HTTP/1.1 404 Not Found\r\nA: 1\r\nb:  2 \r\nA: 3\r\n\r\nbody\r\n\r\nmore")
    assert (response.status, response.fields) == (404, [("a", "1"), ("b", "2"), ("a", "3")])
    assert bytes(response.body) == b"body\r\n\r\nmore"
    assert response.values("a") == ["1", "3"]


def test_folds_bare_line_feeds_and_no_reason() -> None:
    response = parse_response(b"HTTP/1.1 200\nContent-Type: text/html;\n charset=utf-8\nX: one\n\ttwo\n\n<p>")
    assert response.status == 200
    assert response.fields == [("content-type", "text/html; charset=utf-8"), ("x", "one two")]
    assert bytes(response.body) == b"<p>"


@pytest.mark.parametrize("block", [b"", b"<!DOCTYPE html><p>", b"HTTP/1.1 OK\r\n\r\n", b"HTTP/1.1 2000 OK\r\n\r\n"])
def test_no_status_line(block: bytes) -> None:
    response = parse_response(block)
    assert response.status is None
    assert bytes(response.body) == block


def test_a_header_that_does_not_end() -> None:
    response = parse_response(b"HTTP/1.0 200 OK\r\nA: b")
    assert (response.status, response.fields, bytes(response.body)) == (200, [("a", "b")], b"")


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (["Content-Encoding: gzip"], gzip.compress(HTML)),
        (["Content-Encoding: gzip"], gzip.compress(HTML[:100]) + gzip.compress(HTML[100:])),
        (["Content-Encoding: gzip"], gzip.compress(HTML) + b"trailing junk"),
        (["Content-Encoding: x-gzip"], gzip.compress(HTML)),
        (["Content-Encoding: deflate"], zlib.compress(HTML)),
        (["Content-Encoding: deflate"], raw_deflate(HTML)),
        (["Content-Encoding: br"], written(BrotliWriter, HTML)),
        (["Content-Encoding: zstd"], written(ZstdWriter, HTML)),
        (["Content-Encoding: deflate, gzip"], gzip.compress(zlib.compress(HTML))),
        (["Content-Encoding: identity"], HTML),
        (["Content-Encoding: utf-8"], HTML),
        (["Content-Encoding: gzip"], HTML),
        (["Content-Encoding: deflate"], HTML),
        (["Content-Encoding: br"], HTML),
        (["Transfer-Encoding: chunked"], chunked(HTML)),
        (["Transfer-Encoding: chunked"], chunked(HTML, 16)),
        (["Transfer-Encoding: chunked"], chunked(HTML, last=False)),
        (["Transfer-Encoding: chunked"], chunked(HTML, 10_000, last=False)[:-2]),
        (["Transfer-Encoding: chunked"], chunked(HTML).replace(b"\r\n", b"; name=value\r\n", 1)),
        (["Transfer-Encoding: chunked"], HTML),
        (["Transfer-Encoding: chunked", "Content-Encoding: gzip"], chunked(gzip.compress(HTML), 50)),
        (["Content-Length: 5"], HTML),
        (["Content-Length: 999999"], HTML),
    ],
)
def test_codings(fields: list[str], body: bytes) -> None:
    assert decoded(body, *fields) == HTML


def test_cut_bodies_give_what_they_hold() -> None:
    noise = random.Random(1).randbytes(30_000).hex().encode()
    for coding, body in (("gzip", gzip.compress(noise)), ("deflate", zlib.compress(noise))):
        found = decoded(body[: len(body) // 2], f"Content-Encoding: {coding}")
        assert len(found) > 10_000
        assert noise.startswith(found)
    found = decoded(chunked(noise)[:20_000], "Transfer-Encoding: chunked")
    assert len(found) > 19_000
    assert noise.startswith(found)


def test_text_that_begins_like_a_chunk() -> None:
    assert decoded(b"10\nten green bottles, hanging on the wall", "Transfer-Encoding: chunked").startswith(b"10\nten")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_corrupt_bodies(coding: str) -> None:
    body = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + bytes(range(128, 256)) + bytes(40)
    with pytest.raises(CodingError):
        decoded(body, f"Content-Encoding: {coding}")


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(bytes(3 << 20))),
        ("deflate", zlib.compress(bytes(3 << 20))),
        ("br", written(BrotliWriter, bytes(3 << 20))),
        ("zstd", written(ZstdWriter, bytes(3 << 20))),
        ("gzip, gzip", gzip.compress(gzip.compress(bytes(3 << 20)))),
    ],
)
def test_bombs(coding: str, body: bytes) -> None:
    with pytest.raises(BodyTooLarge):
        decoded(body, f"Content-Encoding: {coding}")


@pytest.mark.parametrize(
    ("value", "kind", "charset"),
    [
        ("text/html; charset=utf-8", "text/html", "utf-8"),
        ("TEXT/HTML;CHARSET='Windows-1251'", "text/html", "Windows-1251"),
        ('text/html; charset = "utf-8"', "text/html", "utf-8"),
        ("text/html, application/json", "text/html", None),
        ("html", "", None),
        ("", "", None),
        ("; charset=utf-8", "", "utf-8"),
    ],
)
def test_content_types(value: str, kind: str, charset: str | None) -> None:
    assert (media_type(value), charset_parameter(value)) == (kind, charset)


@given(
    st.binary(max_size=300),
    st.sampled_from(["gzip", "deflate", "br", "zstd", "gzip, br", "chunked"]),
    st.sampled_from([b"", b"\x1f\x8b\x08\x00", b"x\x9c", b"\x28\xb5\x2f\xfd", b"5\r\nabcde\r\n", b"ffffffff\r\n"]),
)
def test_any_body(data: bytes, coding: str, start: bytes) -> None:
    field = "Transfer-Encoding" if coding == "chunked" else "Content-Encoding"
    try:
        found = decoded(start + data, f"{field}: {coding}", limit=10_000)
    except (CodingError, BodyTooLarge):
        return
    assert len(found) <= 10_000


@given(st.binary(max_size=300), st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\n \n:\n"]))
def test_any_block(data: bytes, start: bytes) -> None:
    block = start + data
    response = parse_response(block)
    assert block.endswith(bytes(response.body))
