"""What every archive promises: a folder, a web server without ranges and an S3 store, on this machine."""

import contextlib
import dataclasses
import functools
import gzip
import io
import json
import pickle
import random
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation_assets.acquisition import archive as archives
from curation_assets.acquisition import archive_layout
from curation_assets.acquisition.archive import (
    AccessRefusedError,
    Archive,
    ArchiveError,
    BrokenTransferError,
    Manners,
    MissingFileError,
    UnknownSnapshotError,
    UnreachableError,
    open_archive,
    sample_files,
)
from curation_tests.acquisition.isolation import this_machine_only as this_machine_only

QUICK = Manners(retries=2, backoff=0.01, longest_wait=0.02, timeout=5.0)
SNAPSHOT = "CC-MAIN-2025-05"
FILES = [f"crawl-data/{SNAPSHOT}/segments/1736703361941.29/warc/{name}.warc.gz" for name in ("b", "a", "c d%20?é")]
CONTENT = random.Random(0).randbytes(700_001)
CRAWLS = [
    {"id": "CC-MAIN-2025-05", "name": "January 2025 Index"},
    {"id": "CC-MAIN-2025-08", "name": "February 2025 Index"},
    {"id": "CC-MAIN-2013-20"},
    {"id": "CC-MAIN-2012"},
    {"id": "CC-MAIN-2009-2010"},
]


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mirror")
    (root / "collinfo.json").write_text(json.dumps(CRAWLS))
    lists = root / "crawl-data" / SNAPSHOT / "warc.paths.gz"
    lists.parent.mkdir(parents=True)
    lists.write_bytes(gzip.compress("".join(f"{path}\n" for path in FILES).encode(), mtime=0))
    for number, path in enumerate(FILES):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(CONTENT[number:])
    return root


class Handler(SimpleHTTPRequestHandler):
    """The standard library's own: no ranges, HTTP/1.0."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    """A client that leaves early is no event."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


@pytest.fixture(scope="module")
def web(mirror: Path) -> Iterator[str]:
    server = Server(("127.0.0.1", 0), functools.partial(Handler, directory=str(mirror)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def client_of(endpoint: str) -> Any:
    import boto3

    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    return boto3.client("s3", endpoint_url=endpoint, **keys)  # pyright: ignore[reportArgumentType, reportCallIssue]


@pytest.fixture(scope="module")
def store(mirror: Path) -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = client_of(endpoint)
    client.create_bucket(Bucket="mirror", ACL="public-read")
    for file in mirror.rglob("*"):
        if file.is_file():
            key = f"some/{file.relative_to(mirror)}"
            client.put_object(Bucket="mirror", Key=key, Body=file.read_bytes(), ACL="public-read")
    client.close()
    yield endpoint
    server.stop()
    assert server._server is not None
    server._server.server_close()


@pytest.fixture(params=["folder", "web", "s3", "s3 with a client"])
def archive(request: pytest.FixtureRequest, mirror: Path) -> Iterator[Archive]:
    match request.param:
        case "folder":
            yield open_archive(str(mirror), manners=QUICK)
        case "web":
            yield open_archive(request.getfixturevalue("web"), manners=QUICK)
        case "s3":
            endpoint = request.getfixturevalue("store")
            yield open_archive("s3://mirror/some/", endpoint_url=endpoint, manners=QUICK)
        case _:
            client = client_of(request.getfixturevalue("store"))
            yield open_archive("s3://mirror/some", client=client, manners=QUICK)
            client.close()


def test_snapshots_come_newest_first_without_the_arc_crawls(archive: Archive) -> None:
    assert archive.snapshots() == ["CC-MAIN-2025-08", "CC-MAIN-2025-05", "CC-MAIN-2013-20"]


def test_files_come_in_the_order_of_the_list(archive: Archive) -> None:
    assert archive.warc_files(SNAPSHOT) == FILES


@pytest.mark.parametrize("number", range(len(FILES)))
def test_a_file_is_streamed_as_stored(archive: Archive, number: int) -> None:
    pieces = []
    with archive.open(FILES[number]) as file:
        assert file.readable()
        pieces.append(file.read(10))
        assert len(pieces[0]) == 10
        assert file.tell() == 10
        while piece := file.read(100_000):
            pieces.append(piece)
        assert file.read(1) == b""
    assert file.closed
    assert b"".join(pieces) == CONTENT[number:]
    assert archive.size(FILES[number]) == len(CONTENT) - number


def test_a_stream_may_be_left_early(archive: Archive) -> None:
    for _ in range(2 * QUICK.connections):
        with archive.open(FILES[0]) as file:
            assert file.read(3) == CONTENT[:3]


@pytest.mark.parametrize(("offset", "length"), [(0, 1), (0, 700_001), (5, 300_000), (700_000, 1), (9, 0)])
def test_a_range_is_exactly_that(archive: Archive, offset: int, length: int) -> None:
    assert archive.read_range(FILES[0], offset, length) == CONTENT[offset : offset + length]


@pytest.mark.parametrize(("offset", "length"), [(0, 700_002), (700_000, 2), (700_001, 1), (10**12, 10**12)])
def test_a_range_past_the_end_is_an_error(archive: Archive, offset: int, length: int) -> None:
    with pytest.raises(BrokenTransferError):
        archive.read_range(FILES[0], offset, length)


@pytest.mark.parametrize(("offset", "length"), [(-1, 5), (5, -1)])
def test_a_range_that_is_none_is_the_callers_error(archive: Archive, offset: int, length: int) -> None:
    with pytest.raises(ValueError, match="no file has"):
        archive.read_range(FILES[0], offset, length)


def test_a_missing_file_is_named(archive: Archive) -> None:
    path = "crawl-data/CC-MAIN-2025-05/none.warc.gz"
    for ask in (archive.open, archive.size, lambda p: archive.read_range(p, 0, 1)):
        with pytest.raises(MissingFileError, match=r"none\.warc\.gz.*no such file"):
            ask(path)


def test_an_unknown_snapshot_names_its_neighbours(archive: Archive) -> None:
    with pytest.raises(UnknownSnapshotError, match=r"CC-MAIN-2025-06.*Near it: .*CC-MAIN-2025-0[58]") as caught:
        archive.warc_files("CC-MAIN-2025-06")
    assert "The newest is CC-MAIN-2025-08" in str(caught.value)


def test_a_snapshot_without_its_list_is_said_to_be_known(archive: Archive) -> None:
    with pytest.raises(MissingFileError, match=r"CC-MAIN-2025-08 is in the list of crawls, but .*warc.paths.gz"):
        archive.warc_files("CC-MAIN-2025-08")


BAD_PATHS = [
    "",
    "/etc/passwd",
    "crawl-data",
    "crawl-data/",
    "crawl-data//x",
    "crawl-data/../collinfo.json",
    "crawl-data/./x",
    "crawl-data/x/..",
    "crawl-data\\x",
    "crawl-data/a\\b",
    "crawl-data/a\nb",
    "crawl-data/a\0b",
    "crawl-data/a\x7fb",
    "crawl-data/a\x85b",
    "crawl-data/\ud800",
    "crawl-data/" + "é" * 507,
    "https://example.org/crawl-data/x",
]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_path_that_leaves_the_archive_is_refused(archive: Archive, path: str) -> None:
    for ask in (archive.open, archive.size, lambda p: archive.read_range(p, 0, 1)):
        with pytest.raises(ArchiveError, match="is not a path of the archive"):
            ask(path)


def test_the_longest_path_is_a_path() -> None:
    path = "crawl-data/" + "x" * (1024 - 11)
    assert archive_layout.file_path(path) == path


@pytest.mark.parametrize(
    "name",
    ["", "../..", "CC-MAIN-2025-5", "CC-MAIN-2025-00", "CC-MAIN-2025-54", "cc-main-2025-05", "CC-MAIN-2025-05\n",
     "CC-MAIN-2025-05/", "CC-MAIN-٢٠٢٥-05", "CC-MAIN-2012"],
)  # fmt: skip
def test_what_is_not_a_snapshots_name_is_refused(archive: Archive, name: str) -> None:
    with pytest.raises(UnknownSnapshotError, match="CC-MAIN-YYYY-WW"):
        archive.warc_files(name)


def test_an_archive_travels_to_another_process(archive: Archive) -> None:
    archive.snapshots()
    if isinstance(archive, archives.S3Archive):
        # The travelled one signs with the environment's credentials, which this test has none of.
        archive = dataclasses.replace(archive, signed=False)
    copy = pickle.loads(pickle.dumps(archive))
    assert copy == archive
    assert copy.read_range(FILES[1], 3, 4) == CONTENT[4:8]


# --- lists -----------------------------------------------------------------------------------------------


def packed(text: bytes) -> bytes:
    return gzip.compress(text, mtime=0)


def read_list(text: bytes) -> list[str]:
    return archive_layout.read_list(io.BytesIO(text), "the list")


def test_a_list_may_have_blank_lines_and_crlf() -> None:
    assert read_list(packed(b"crawl-data/a\r\n\ncrawl-data/b")) == ["crawl-data/a", "crawl-data/b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"crawl-data/a\n", "damaged, or is no"),
        (packed(b"crawl-data/a\n")[:-9], "damaged, or is no"),
        (packed(b"crawl-data/a\n")[:-8] + bytes(8), "damaged, or is no"),
        (b"", "names no WARC file"),
        (packed(b"\n\n"), "names no WARC file"),
        (packed(b"crawl-data/\xff\n"), "damaged, or is no"),
        (packed(b"crawl-data/a\n/etc/passwd\n"), "line 2: .*is not a path"),
        (packed(b"crawl-data/a\ncrawl-data/a\n"), "line 2: .*listed twice"),
    ],
)
def test_a_damaged_list_is_an_error(content: bytes, message: str) -> None:
    with pytest.raises(ArchiveError, match=message):
        read_list(content)


def test_a_list_that_never_ends_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_layout, "LARGEST_LIST", 1 << 20)
    with pytest.raises(ArchiveError, match="more than 1 MiB"):
        read_list(packed(bytes(2 << 20)))


@given(st.binary(max_size=200))
def test_no_bytes_break_the_readers_of_lists(content: bytes) -> None:
    for blob in (content, packed(content)):
        with contextlib.suppress(ArchiveError):
            assert read_list(blob)
    with contextlib.suppress(ArchiveError):
        archive_layout.read_collections(io.BytesIO(content), "collinfo.json")


NO_CRAWLS = [b"", b"<html>", b"{}x", b'["a"]', b"[{}]", b'[{"id": 5}]', b'[{"id": []}]', b"7", b"[" * 100_000]


@pytest.mark.parametrize("content", NO_CRAWLS, ids=range(len(NO_CRAWLS)))
def test_what_is_not_a_list_of_crawls_is_an_error(content: bytes) -> None:
    with pytest.raises(ArchiveError, match="is not Common Crawl's list of crawls"):
        archive_layout.read_collections(io.BytesIO(content), "collinfo.json")


# --- samples ---------------------------------------------------------------------------------------------

PATHS = st.lists(st.text(max_size=8), max_size=30, unique=True)


@given(PATHS, st.integers(0, 40), st.integers(0, 40), st.integers(), st.randoms(use_true_random=False))
def test_samples_nest_and_do_not_depend_on_the_order(
    paths: list[str], n: int, more: int, seed: int, chance: random.Random
) -> None:
    sample = sample_files(paths, n, seed)
    assert len(sample) == min(n, len(paths))
    assert sample == [path for path in paths if path in set(sample)]
    assert set(sample) <= set(sample_files(paths, n + more, seed))
    shuffled = chance.sample(paths, len(paths))
    assert set(sample_files(shuffled, n, seed)) == set(sample)


def test_a_sample_is_fixed_for_ever() -> None:
    paths = [f"crawl-data/{number}" for number in range(100)]
    assert sample_files(paths, None, 1) == paths
    assert sample_files(paths, 0, 1) == []
    assert sample_files(paths, 3, 1) != sample_files(paths, 3, 2)
    assert sample_files(paths, 3, 1) == ["crawl-data/57", "crawl-data/64", "crawl-data/93"]
    with pytest.raises(ValueError, match="-1"):
        sample_files(paths, -1, 1)


def test_a_sample_favours_no_place_in_the_list() -> None:
    paths = [f"crawl-data/{number:05d}" for number in range(10)]
    counts = dict.fromkeys(paths, 0)
    for seed in range(2000):
        for path in sample_files(paths, 3, seed):
            counts[path] += 1
    # 600 expected, standard deviation 20.5.
    assert all(500 < count < 700 for count in counts.values())


# --- sources ---------------------------------------------------------------------------------------------


def test_the_public_sources_know_where_the_list_of_crawls_is() -> None:
    for source in (
        "https://data.commoncrawl.org/",
        "https://data.commoncrawl.org",
        "HTTPS://Data.CommonCrawl.org/",
    ):
        public = open_archive(source)
        assert isinstance(public, archives.HttpArchive)
        assert public.source == "https://data.commoncrawl.org/"
        assert public.collections_url == "https://index.commoncrawl.org/collinfo.json"
    bucket = open_archive("s3://commoncrawl/")
    assert isinstance(bucket, archives.S3Archive)
    assert bucket.source == "s3://commoncrawl/"
    assert bucket.public and not bucket.signed
    assert not archives.S3Archive.at("s3://commoncrawl/", QUICK, endpoint_url="http://127.0.0.1:1").public


def test_a_mirror_has_its_own_list_of_crawls() -> None:
    mirror = open_archive("http://mirror.example:8080/cc")
    assert isinstance(mirror, archives.HttpArchive)
    assert mirror.collections_url == "http://mirror.example:8080/cc/collinfo.json"
    assert mirror.place("crawl-data/a b?#%") == "http://mirror.example:8080/cc/crawl-data/a%20b%3F%23%25"


def test_credentials_of_an_address_are_kept_out_of_sight() -> None:
    archive = open_archive("https://ann:s%40cret@mirror.example/")
    assert isinstance(archive, archives.HttpArchive)
    assert archive.source == "https://mirror.example/"
    assert archive.authorization == "Basic YW5uOnNAY3JldA=="
    assert "YW5u" not in repr(archive) and "cret" not in repr(archive)


@pytest.mark.parametrize(
    "source",
    [
        "",
        " ",
        "a\0b",
        "gs://secret@bucket/",
        "ftp://x/",
        "https://",
        "https:///x",
        "http://u:secret@host:port/",
        "http://[::1/secret",
        "https://host/?secret",
        "https://host/#secret",
        "s3://",
        "s3:///x",
        "s3://key:secret@bucket/",
        "s3://bucket/?secret",
    ],
)
def test_what_is_no_source_is_refused_without_being_shown(source: str) -> None:
    with pytest.raises(ArchiveError) as caught:
        open_archive(source)
    assert "secret" not in str(caught.value)


def test_a_store_takes_no_credentials_in_its_address() -> None:
    with pytest.raises(ArchiveError, match="credentials"):
        open_archive("s3://bucket/", endpoint_url="http://key:secret@127.0.0.1/")


def test_a_folder_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="does not exist"):
        open_archive(str(tmp_path / "none")).snapshots()
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingFileError, match=r"collinfo\.json: there is no such file"):
        open_archive(str(tmp_path / "empty")).snapshots()
    with pytest.raises(MissingFileError, match=r"no help: .*collinfo\.json"):
        open_archive(str(tmp_path / "empty")).warc_files(SNAPSHOT)


def test_a_folder_is_the_same_from_anywhere(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mirror.parent)
    archive = open_archive(mirror.name)
    monkeypatch.chdir("/")
    assert archive.source == str(mirror)
    assert archive.warc_files(SNAPSHOT) == FILES


def test_errors_travel_between_processes() -> None:
    error = pickle.loads(pickle.dumps(MissingFileError("what")))
    assert isinstance(error, MissingFileError) and str(error) == "what"


# --- S3 --------------------------------------------------------------------------------------------------


def test_signed_requests_without_credentials_say_where_to_put_them() -> None:
    archive = open_archive("s3://mirror/", signed=True, endpoint_url="http://127.0.0.1:1", manners=QUICK)
    with pytest.raises(AccessRefusedError, match="AWS_ACCESS_KEY_ID"):
        archive.size(FILES[0])


def test_a_store_that_is_down_is_unreachable() -> None:
    manners = dataclasses.replace(QUICK, retries=0)
    archive = open_archive("s3://mirror/", endpoint_url="http://127.0.0.1:1", manners=manners)
    for ask in (archive.open, archive.size, lambda p: archive.read_range(p, 0, 1)):
        with pytest.raises(UnreachableError, match=r"s3://mirror/crawl-data/.* at http://127.0.0.1:1 cannot"):
            ask(FILES[0])


def test_a_missing_bucket_is_named(store: str) -> None:
    with pytest.raises(MissingFileError, match="no bucket nowhere"):
        open_archive("s3://nowhere/", endpoint_url=store, manners=QUICK).open(FILES[0])


def test_signed_requests_work(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    archive = open_archive("s3://mirror/some", signed=True, endpoint_url=store, manners=QUICK)
    assert archive.warc_files(SNAPSHOT) == FILES


def test_a_client_lends_its_settings_and_stays_at_home(store: str) -> None:
    client = client_of(store)
    archive = open_archive("s3://mirror/some", client=client)
    assert isinstance(archive, archives.S3Archive)
    assert (archive.signed, archive.endpoint_url, archive.region) == (True, store, "us-east-1")
    assert pickle.loads(pickle.dumps(archive)).client is None
    with pytest.raises(ValueError, match="client"):
        open_archive("s3://mirror/some", client=client, endpoint_url=store)
    client.close()


class Frail:
    """A stand-in for a boto3 client whose bodies break after so many bytes."""

    def __init__(self, breaks: list[int], etags: list[str] | None = None) -> None:
        self.breaks = breaks
        self.etags = etags or []
        self.starts: list[int] = []

    def get_object(self, Bucket: str, Key: str, Range: str = "bytes=0-") -> dict[str, Any]:
        start = int(Range.removeprefix("bytes=").split("-")[0])
        self.starts.append(start)
        return {
            "Body": FrailBody(CONTENT[start:], self.breaks.pop(0) if self.breaks else len(CONTENT)),
            "ContentLength": len(CONTENT) - start,
            "ContentRange": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}",
            "ETag": self.etags.pop(0) if self.etags else '"1"',
        }


class FrailBody:
    def __init__(self, content: bytes, left: int) -> None:
        self.stream = io.BytesIO(content[:left])

    def read(self, amt: int) -> bytes:
        from botocore.exceptions import ResponseStreamingError

        if data := self.stream.read(amt):
            return data
        raise ResponseStreamingError(error="reset")

    def close(self) -> None:
        self.stream.close()


def frail(client: Frail) -> Archive:
    return archives.S3Archive("mirror", manners=QUICK, client=client)


def test_a_broken_body_of_a_store_is_resumed() -> None:
    client = Frail([300_000, 10])
    with frail(client).open(FILES[0]) as file:
        assert file.read() == CONTENT
    assert client.starts == [0, 300_000, 300_010]


def test_a_body_that_always_breaks_is_given_up() -> None:
    client = Frail([5] + [0] * 100)
    with (
        frail(client).open(FILES[0]) as file,
        pytest.raises(BrokenTransferError, match="at byte 5 of 700001"),
    ):
        file.read()
    assert len(client.starts) == QUICK.retries + 1


def test_an_object_that_changes_is_not_stitched_together() -> None:
    client = Frail([5], ['"1"', '"2"'])
    with frail(client).open(FILES[0]) as file, pytest.raises(BrokenTransferError, match="changed while"):
        file.read()


@pytest.mark.parametrize(
    ("status", "code", "kind", "message"),
    [
        (403, "AccessDenied", AccessRefusedError, "signed requests only.*https://data.commoncrawl.org/"),
        (400, "ExpiredToken", AccessRefusedError, "ExpiredToken"),
        (503, "SlowDown", UnreachableError, "503 SlowDown"),
        (301, "PermanentRedirect", ArchiveError, "301 PermanentRedirect"),
    ],
)
def test_a_stores_refusal_is_explained(status: int, code: str, kind: type[ArchiveError], message: str) -> None:
    from botocore.exceptions import ClientError

    class Refusing:
        def head_object(self, **_: str) -> None:
            answer: Any = {
                "Error": {"Code": code, "Message": "AKIA…"},
                "ResponseMetadata": {"HTTPStatusCode": status},
            }
            raise ClientError(answer, "HeadObject")

    with pytest.raises(kind, match=message) as caught:
        archives.S3Archive("commoncrawl", client=Refusing()).size(FILES[0])
    assert "AKIA" not in str(caught.value)


# --- the mirror beside the repository, where there is one ------------------------------------------------

SHARED = Path(__file__).parents[3] / "shared" / "data" / "crawl"


@pytest.mark.skipif(not SHARED.exists(), reason="no local mirror beside the repository")
def test_the_local_mirror() -> None:
    archive = open_archive(str(SHARED))
    assert archive.snapshots() == ["CC-MAIN-2025-13", "CC-MAIN-2025-08", "CC-MAIN-2025-05"]
    files = archive.warc_files("CC-MAIN-2025-05")
    assert len(files) == 4
    with archive.open(files[0]) as file:
        assert gzip.GzipFile(fileobj=file).read(8) == b"WARC/1.0"
