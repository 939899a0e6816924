"""A web server between a client and what it asks for, which spoils some answers: one fault a request, planned."""

import contextlib
import random
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

Reply = tuple[int, dict[str, str], bytes]
Fetch = Callable[[str, str | None], Reply]
"""Gives status, headers and body for a path and the value of a Range header."""

SILENCE = 3.0
"""Seconds for which nothing is said, unless the client leaves before; longer than the tests' time limits."""
BODY_FAULTS = ("reset", "short", "silence_within", "drip")
FAULTS = ("slow_down", "too_many_requests", "hang_up", "silence", "not_there_yet", *BODY_FAULTS)
ERROR = '<?xml version="1.0"?><Error><Code>{}</Code><Message>again, later</Message></Error>'


def folder(root: Path) -> Fetch:
    """What a plain web server over a folder would answer."""

    def fetch(path: str, wanted: str | None) -> Reply:
        file = root / unquote(path).lstrip("/")
        if not file.is_file():
            return 404, {}, ERROR.format("NoSuchKey").encode()
        content = file.read_bytes()
        headers = {"ETag": f'"{len(content)}"'}
        if wanted is None:
            return 200, headers, content
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, stop = int(first), int(last) + 1 if last else len(content)
        headers["Content-Range"] = f"bytes {start}-{min(stop, len(content)) - 1}/{len(content)}"
        return 206, headers, content[start:stop]

    return fetch


def server(address: str) -> Fetch:
    """What another server answers."""
    parts = urlsplit(address)

    def fetch(path: str, wanted: str | None) -> Reply:
        connection = HTTPConnection(parts.hostname or "", parts.port or 80, timeout=30)
        try:
            connection.request("GET", path, headers={"Range": wanted} if wanted else {})
            answer = connection.getresponse()
            kept = {"etag", "content-range", "last-modified", "content-type"}
            return answer.status, {k: v for k, v in answer.getheaders() if k.lower() in kept}, answer.read()
        finally:
            connection.close()

    return fetch


class Unreliable(ThreadingHTTPServer):
    """Answers as `fetch` does, but for the faults in `plan`: those of a path's end, one a request, in order.

    `always` names a fault for every request of some paths; `stale` what is sent once in place of a file.
    """

    daemon_threads = True

    def __init__(self, fetch: Fetch) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.fetch = fetch
        self.plan: dict[str, list[str]] = {}
        self.always: dict[str, str] = {}
        self.stale: dict[str, bytes] = {}
        self.happened: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.lock = threading.Lock()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left is no event."""

    def fault_of(self, path: str) -> str | None:
        """The fault of the next request for a path."""
        with self.lock:
            self.asked[Path(path).name] += 1
            fault = next((fault for end, fault in self.always.items() if path.endswith(end)), None)
            for end, planned in self.plan.items():
                if fault is None and path.endswith(end) and planned:
                    fault = planned.pop(0)
            if fault:
                self.happened[fault] += 1
            return fault

    def stale_of(self, path: str) -> bytes | None:
        """What is sent this time in place of the file."""
        with self.lock:
            end = next((end for end in self.stale if path.endswith(end)), None)
            if end is not None:
                self.happened["stale"] += 1
            return self.stale.pop(end) if end is not None else None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Unreliable  # pyright: ignore[reportIncompatibleVariableOverride]

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        stale, fault = self.server.stale_of(path), self.server.fault_of(path)
        match fault:
            case "slow_down":
                self.answer(503, {}, ERROR.format("SlowDown").encode())
            case "too_many_requests":
                self.answer(429, {"Retry-After": "1"}, ERROR.format("TooManyRequests").encode())
            case "forbidden":
                self.answer(403, {}, ERROR.format("InvalidAccessKeyId").encode())
            case "not_there_yet":
                self.answer(404, {}, ERROR.format("NoSuchKey").encode())
            case "hang_up":
                self.close_connection = True
            case "silence":
                self.wait()
            case _ if stale is not None:
                self.answer(200, {}, stale)
            case _:
                self.answer(*self.server.fetch(self.path, self.headers.get("Range")), fault)

    def answer(self, status: int, headers: dict[str, str], body: bytes, fault: str | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        half = len(body) // 2
        match fault:
            case "short":
                self.wfile.write(body[:half])
                self.close_connection = True
            case "reset":
                self.wfile.write(body[:half])
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
            case "silence_within":
                self.wfile.write(body[:half])
                self.wait()
            case "drip":
                step = max(1, len(body) // 20)
                for start in range(0, len(body), step):
                    self.wfile.write(body[start : start + step])
                    time.sleep(0.01)
            case _:
                self.wfile.write(body)

    def wait(self) -> None:
        """Say nothing until the client leaves."""
        self.close_connection = True
        self.connection.settimeout(SILENCE)
        with contextlib.suppress(OSError):
            self.connection.recv(1)


@contextmanager
def started(fetch: Fetch, certificate: Path | None = None) -> Iterator[tuple[Unreliable, str]]:
    """Such a server and its address, over TLS where there is a certificate (with its key in the same file)."""
    unreliable = Unreliable(fetch)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        unreliable.socket = context.wrap_socket(unreliable.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=unreliable.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield unreliable, f"{'https' if certificate else 'http'}://127.0.0.1:{unreliable.server_port}/"
    finally:
        unreliable.shutdown()
        thread.join()
        unreliable.server_close()


def plan(paths: Sequence[str], seed: int, most: int) -> dict[str, list[str]]:
    """Every fault at least once, dealt to the paths in a random order: at most so many each."""
    chance = random.Random(seed)
    dealt: dict[str, list[str]] = {path: [] for path in paths}
    *breaking, _ = BODY_FAULTS
    faults = chance.sample(FAULTS, len(FAULTS)) + chance.choices(breaking, k=len(paths))
    for number, fault in enumerate(faults):
        dealt[paths[number % len(paths)]].append(fault)
    for planned in dealt.values():
        planned.sort(key=lambda fault: fault == "drip")  # which ends a transfer well
    assert max(map(len, dealt.values())) <= most
    return dealt
