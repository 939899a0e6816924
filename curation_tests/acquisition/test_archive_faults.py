"""An archive on a web server that misbehaves in every way that a public one does."""

import dataclasses
import random
import re
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.acquisition import archive_http, archive_transfer
from curation_assets.acquisition.archive import (
    AccessRefusedError,
    ArchiveError,
    BrokenTransferError,
    HttpArchive,
    Manners,
    MissingFileError,
    UnknownSnapshotError,
    UnreachableError,
)
from curation_tests.acquisition.isolation import this_machine_only as this_machine_only

QUICK = Manners(retries=3, backoff=0.01, longest_wait=0.02, timeout=5.0)
FILE = "crawl-data/CC-MAIN-2025-05/a.warc.gz"
CONTENT = random.Random(1).randbytes(900_001)
WHOLE = len(CONTENT)


@dataclass
class Fault:
    """How one request is answered; the default is an impeccable answer.

    `sent` bytes of the body leave before the connection ends, politely or with a reset.
    """

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    sent: int = 1 << 40
    reset: bool = False
    ranges: bool = True
    shift: int = 0
    length: bool = True
    chunked: bool = False
    hang_up: bool = False


@dataclass
class Asked:
    method: str
    path: str
    start: int | None
    headers: Message


class Server(ThreadingHTTPServer):
    """Answers with `CONTENT` at every path but those that `missing` matches; takes `faults` one a request."""

    # A reset that a handler thread still has to send must not outlive its test.
    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.start_over()

    def start_over(self) -> None:
        self.faults: list[Fault] = []
        self.always = Fault()
        self.missing = re.compile("(?!)")
        self.bodies: dict[str, bytes] = {}
        self.asked: list[Asked] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass

    @property
    def starts(self) -> list[int | None]:
        return [asked.start for asked in self.asked]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 5
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        server = self.server
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start = int(found[1]) if found else None
        server.asked.append(Asked(self.command, self.path, start, self.headers))
        fault = server.faults.pop(0) if server.faults else server.always
        if fault.hang_up:
            self.close_connection = True
            return
        body = server.bodies.get(self.path, CONTENT)
        status = fault.status or (404 if server.missing.search(self.path) else 200)
        if status >= 300:
            body = b"no"
        elif found and fault.ranges:
            end = int(found[2]) + 1 if found[2] else len(body)
            first = int(found[1]) + fault.shift
            status = 206 if first < len(body) else 416
            total = len(body)
            body = body[first:end] if status == 206 else b"no"
            self.send_response(status)
            self.send_header("Content-Range", f"bytes {first}-{first + len(body) - 1}/{total}")
        if status != 206 and status != 416:
            self.send_response(status)
        for name, value in fault.headers.items():
            self.send_header(name, value)
        if fault.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif fault.length:
            self.send_header("Content-Length", str(len(body)))
        else:
            self.close_connection = True
        self.end_headers()
        if self.command == "HEAD":
            return
        part = body[: fault.sent]
        if fault.chunked:
            part = b"%x\r\n%s\r\n" % (len(part), part) + (b"0\r\n\r\n" if len(part) == len(body) else b"")
        self.wfile.write(part)
        if fault.sent < len(body):
            self.close_connection = True
            if fault.reset:
                # Lingering for no time makes close() send a reset, which also discards what is under way.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    archive_http._pool.cache_clear()
    server.server_close()


@pytest.fixture
def server(running: Server) -> Server:
    running.start_over()
    return running


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits between repeats, noted and not taken."""
    noted: list[float] = []
    monkeypatch.setattr("urllib3.util.retry.time.sleep", noted.append)
    return noted


def archive_at(server: Server, credentials: str = "", **manners: Any) -> HttpArchive:
    settings = dataclasses.replace(QUICK, **manners)
    return HttpArchive.at(f"http://{credentials}127.0.0.1:{server.server_port}/", settings)


def read(archive: HttpArchive) -> bytes:
    with archive.open(FILE) as file:
        return file.read()


# --- rate limits and failing servers --------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 503, 403, 500])
def test_retry_after_is_honoured(server: Server, sleeps: list[float], status: int) -> None:
    server.faults = [Fault(status, {"Retry-After": "7"})]
    assert read(archive_at(server, longest_wait=120)) == CONTENT
    assert sleeps == [7]


def test_retry_after_is_capped(server: Server, sleeps: list[float]) -> None:
    server.faults = [Fault(503, {"Retry-After": "99999"}), Fault(503, {"Retry-After": "Fri, 31 Dec 2199 23:59:59 GMT"})]
    assert read(archive_at(server, longest_wait=30)) == CONTENT
    assert sleeps == [30, 30]


@pytest.mark.parametrize("value", ["soon", "-5", "0", "9" * 5000, "Fri, 31 Dec 999999999999 23:59:59 GMT", "\xe9"])
def test_an_unreadable_retry_after_is_no_reason_to_fail(server: Server, sleeps: list[float], value: str) -> None:
    server.faults = [Fault(503, {"Retry-After": value})]
    assert read(archive_at(server)) == CONTENT
    assert len(sleeps) == 1 and 0 < sleeps[0] <= QUICK.longest_wait


def test_waits_double_and_are_jittered(server: Server, sleeps: list[float]) -> None:
    server.faults = [Fault(403), Fault(503), Fault(500), Fault(403)]
    assert read(archive_at(server, retries=4, backoff=1.0, longest_wait=6.0)) == CONTENT
    assert len(sleeps) == 4
    for wait, (low, high) in zip(sleeps, [(1, 2), (2, 3), (4, 5), (6, 6)], strict=True):
        assert low <= wait <= high
    assert sleeps[:3] != [1, 2, 4]


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (403, AccessRefusedError, "answered 403 4 times: it refuses, or wants fewer requests"),
        (429, AccessRefusedError, "answered 429 4 times"),
        (503, UnreachableError, "answered 503 4 times: the server fails or is overloaded"),
    ],
)
def test_patience_ends(server: Server, status: int, kind: type[ArchiveError], message: str) -> None:
    server.always = Fault(status)
    archive = archive_at(server)
    for ask in (archive.open, archive.size, lambda p: archive.read_range(p, 1, 2)):
        server.asked.clear()
        with pytest.raises(kind, match=message) as caught:
            ask(FILE)
        assert archive.source + FILE in str(caught.value)
        assert len(server.asked) == 4


def test_a_missing_file_is_asked_for_once(server: Server) -> None:
    server.missing = re.compile("a.warc")
    with pytest.raises(MissingFileError, match=r"answered 404: there is no such file"):
        read(archive_at(server))
    assert len(server.asked) == 1


def test_the_project_is_named_and_nothing_is_decoded(server: Server) -> None:
    server.faults = [Fault(headers={"Content-Encoding": "gzip"})]
    assert read(archive_at(server)) == CONTENT
    headers = server.asked[0].headers
    assert headers["User-Agent"].startswith("curation-assets/")
    assert headers["Accept-Encoding"] == "identity"


# --- broken transfers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("reset", [False, True])
def test_a_transfer_that_breaks_is_resumed_where_it_broke(server: Server, reset: bool) -> None:
    server.faults = [Fault(sent=600_000, reset=reset), Fault(sent=100_000, reset=reset)]
    assert read(archive_at(server)) == CONTENT
    first, second, third = server.starts
    assert first is None
    assert second is not None and third is not None
    if not reset:
        # A reset may discard what was under way; an early end may not cost more than a piece.
        assert 600_000 - archive_transfer.CHUNK <= second <= 600_000
    assert second <= third


def test_a_connection_that_ends_without_an_answer_is_asked_again(server: Server) -> None:
    server.faults = [Fault(hang_up=True), Fault(sent=5), Fault(hang_up=True)]
    assert read(archive_at(server)) == CONTENT
    assert len(server.asked) == 4


def test_a_short_body_is_never_taken_for_the_file(server: Server) -> None:
    server.always = Fault(sent=0)
    server.faults = [Fault(sent=700_000)]
    with archive_at(server).open(FILE) as file, pytest.raises(BrokenTransferError) as caught:
        file.read()
    assert re.search(r"broke off at byte \d+ of 900001", str(caught.value))
    assert len(server.asked) == 1 + QUICK.retries


def test_breaks_far_apart_are_forgiven(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_transfer, "CHUNK", 10_000)
    monkeypatch.setattr(archive_transfer, "RENEWAL", 50_000)
    server.always = Fault(sent=60_000)
    assert read(archive_at(server, retries=1)) == CONTENT
    assert len(server.asked) > 10
    server.start_over()
    server.always = Fault(sent=40_000)
    with pytest.raises(BrokenTransferError):
        read(archive_at(server, retries=1))


def test_a_server_without_ranges_is_read_past_what_is_known(server: Server) -> None:
    server.faults = [Fault(sent=600_000), Fault(ranges=False, sent=700_000), Fault(ranges=False)]
    archive = archive_at(server)
    assert read(archive) == CONTENT
    server.faults = [Fault(ranges=False)]
    assert archive.read_range(FILE, 800_000, 7) == CONTENT[800_000:800_007]


def test_a_range_survives_a_break(server: Server) -> None:
    server.faults = [Fault(sent=1000), Fault(sent=1000, reset=True)]
    assert archive_at(server).read_range(FILE, 500, 300_000) == CONTENT[500:300_500]
    assert server.starts[0] == 500


def test_another_range_than_asked_is_refused(server: Server) -> None:
    server.always = Fault(shift=1)
    with pytest.raises(BrokenTransferError, match="sent another range"):
        archive_at(server).read_range(FILE, 500, 10)


@pytest.mark.parametrize("name", ["ETag", "Last-Modified"])
def test_a_file_that_changes_is_not_stitched_together(server: Server, name: str) -> None:
    server.faults = [Fault(sent=600_000, headers={name: "one"}), Fault(headers={name: "two"})]
    with pytest.raises(BrokenTransferError, match="changed while it was read"):
        read(archive_at(server))


def test_a_file_that_grows_is_not_stitched_together(server: Server) -> None:
    server.faults = [Fault(sent=600_000)]
    with archive_at(server).open(FILE) as file:
        file.read(10)
        server.bodies["/" + FILE] = CONTENT + b"more"
        with pytest.raises(BrokenTransferError, match="900001 bytes, then 900005"):
            file.read()


def test_a_file_of_unknown_length_is_refused(server: Server) -> None:
    server.always = Fault(length=False, sent=WHOLE)
    with pytest.raises(BrokenTransferError, match="without a length"):
        read(archive_at(server))


def test_chunks_mark_their_own_end(server: Server) -> None:
    server.faults = [Fault(chunked=True)]
    assert read(archive_at(server)) == CONTENT
    server.faults = [Fault(chunked=True, sent=600_000)]
    assert read(archive_at(server)) == CONTENT


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 400_000), st.booleans(), st.booleans()), max_size=6), st.integers(1, 300_000))
def test_any_breaks_give_the_same_bytes(running: Server, cuts: list[tuple[int, bool, bool]], piece: int) -> None:
    running.start_over()
    running.faults = [Fault(sent=sent, reset=reset, ranges=ranges) for sent, reset, ranges in cuts]
    pieces = []
    with archive_at(running, retries=7, backoff=0.0).open(FILE) as file:
        while data := file.read(piece):
            pieces.append(data)
    assert b"".join(pieces) == CONTENT


# --- connections ----------------------------------------------------------------------------------------


def test_connections_are_bounded_and_given_back(server: Server) -> None:
    archive = archive_at(server, connections=1, timeout=0.2)
    with archive.open(FILE) as file:
        assert file.read(5) == CONTENT[:5]
        with pytest.raises(ArchiveError, match="all 1 connections of this process"):
            archive.open(FILE)
    with archive.open(FILE) as file:
        file.read()
        with archive.open(FILE) as second:
            assert second.read(5) == CONTENT[:5]
    server.faults = [Fault(404), Fault(sent=3), Fault(shift=2)]
    with pytest.raises(MissingFileError):
        archive.open(FILE)
    with pytest.raises(BrokenTransferError):
        read(archive)
    assert archive.read_range(FILE, 1, 2) == CONTENT[1:3]
    assert archive.size(FILE) == WHOLE


def test_a_refused_connection_fails_soon(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    archive = HttpArchive.at(f"http://127.0.0.1:{port}/", QUICK)
    for ask in (archive.open, archive.size, lambda p: archive.read_range(p, 1, 2), archive.warc_files):
        with pytest.raises(UnreachableError, match=r"cannot be reached: .*refused.* Is there a network"):
            ask(FILE if ask != archive.warc_files else "CC-MAIN-2025-05")


def test_a_name_that_does_not_resolve_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def unresolved(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    with pytest.raises(UnreachableError, match=r"the name mirror\.invalid does not resolve"):
        HttpArchive.at("http://mirror.invalid/", QUICK).snapshots()


def test_silence_ends(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        manners = dataclasses.replace(QUICK, timeout=0.05, retries=1)
        with pytest.raises(UnreachableError, match="no answer within the time limit"):
            HttpArchive.at(f"http://127.0.0.1:{port}/", manners).open(FILE)


def test_what_is_no_web_server_is_an_error(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def greet() -> None:
            connection, _ = other.accept()
            with connection:
                connection.sendall(b"220 mail ready\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(UnreachableError, match="breaks off"):
            manners = dataclasses.replace(QUICK, retries=0)
            HttpArchive.at(f"http://127.0.0.1:{other.getsockname()[1]}/", manners).open(FILE)
        thread.join()


@pytest.mark.parametrize(
    "fault", [Fault(405), Fault(501), Fault(length=False), Fault(headers={"Content-Length": "many"}, length=False)]
)
def test_a_size_that_the_server_does_not_say_is_none(server: Server, fault: Fault) -> None:
    server.always = fault
    assert archive_at(server, retries=0).size(FILE) is None


# --- credentials and detours ----------------------------------------------------------------------------


def test_credentials_go_to_the_source_only(server: Server) -> None:
    elsewhere = f"http://localhost.test:{server.server_port}/other"
    server.faults = [Fault(302, {"Location": elsewhere})]
    archive = archive_at(server, "ann:secret@")

    def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", resolve)
        assert read(archive) == CONTENT
    assert [asked.headers.get("Authorization") for asked in server.asked] == ["Basic YW5uOnNlY3JldA==", None]


def test_credentials_do_not_show_in_messages(server: Server) -> None:
    server.always = Fault(401)
    archive = archive_at(server, "ann:secret@")
    with pytest.raises(AccessRefusedError, match="credentials are not accepted") as caught:
        archive.snapshots()
    assert "secret" not in str(caught.value) and "ann" not in str(caught.value)
    with pytest.raises(AccessRefusedError, match="it wants credentials"):
        archive_at(server).snapshots()


def test_redirects_in_a_circle_end(server: Server) -> None:
    server.always = Fault(302, {"Location": "/" + FILE})
    with pytest.raises(ArchiveError, match="too many redirects"):
        archive_at(server, retries=9).open(FILE)


def test_the_environments_proxy_is_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://ann:s%40cret@127.0.0.1:{server.server_port}")
    archive = HttpArchive.at("http://mirror.invalid/cc/", QUICK)
    assert archive.read_range(FILE, 5, 5) == CONTENT[5:10]
    assert server.asked[0].path == "http://mirror.invalid/cc/" + FILE
    assert server.asked[0].headers["Proxy-Authorization"] == "Basic YW5uOnNAY3JldA=="


# --- lists ----------------------------------------------------------------------------------------------


def test_an_unknown_snapshot_of_a_bucket_that_refuses_to_list(server: Server) -> None:
    server.faults = [Fault(403)] * (1 + QUICK.retries)
    server.bodies["/collinfo.json"] = b'[{"id": "CC-MAIN-2025-05"}]'
    with pytest.raises(UnknownSnapshotError, match=r"Near it: CC-MAIN-2025-05\. The newest is CC-MAIN-2025-05"):
        archive_at(server).warc_files("CC-MAIN-2025-06")


def test_a_missing_list_without_a_list_of_crawls(server: Server) -> None:
    server.missing = re.compile("")
    with pytest.raises(MissingFileError, match=r"warc\.paths\.gz answered 404.*no help: .*collinfo\.json answered 404"):
        archive_at(server).warc_files("CC-MAIN-2025-06")


def test_a_list_that_breaks_off_is_resumed(server: Server) -> None:
    import gzip

    paths = [f"crawl-data/CC-MAIN-2025-05/{number:06d}.warc.gz" for number in range(5000)]
    packed = gzip.compress("\n".join(paths).encode(), mtime=0)
    server.bodies["/crawl-data/CC-MAIN-2025-05/warc.paths.gz"] = packed
    server.faults = [Fault(sent=len(packed) // 2)]
    assert archive_at(server).warc_files("CC-MAIN-2025-05") == paths
