"""An archive behind http(s): Common Crawl's public front, or any server with the same layout."""

import functools
import os
import re
import urllib.request
from dataclasses import dataclass, field
from typing import BinaryIO
from urllib.parse import quote, unquote, urlsplit

import urllib3
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import (
    EmptyPoolError,
    HTTPError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ResponseError,
    SSLError,
    TimeoutError,
)
from urllib3.util import Retry, Timeout, make_headers

from curation_assets.acquisition.archive_layout import (
    COLLECTIONS,
    AccessRefusedError,
    ArchiveError,
    BrokenTransferError,
    Catalogue,
    MissingFileError,
    UnreachableError,
    file_path,
    range_end,
)
from curation_assets.acquisition.archive_transfer import (
    CHUNK,
    USER_AGENT,
    Answer,
    Connect,
    Manners,
    ResumingReader,
    exactly,
    match_range,
    range_header,
    stream,
)

PUBLIC_HOST = "data.commoncrawl.org"
"""Common Crawl's public front."""

PUBLIC_COLLECTIONS = "https://index.commoncrawl.org/collinfo.json"
"""Common Crawl keeps its list of crawls with the index, not in the bucket."""


@dataclass(frozen=True)
class HttpArchive(Catalogue):
    """An archive below an http(s) address. Plain settings only; connections belong to the process.

    Attributes:
        source: the address, with a slash at its end and without credentials.
        collections_url: where its ``collinfo.json`` is.
        manners: how it is spoken to.
        authorization: value of the header of that name, sent to ``source`` only.
    """

    source: str
    collections_url: str
    manners: Manners = field(default_factory=Manners)
    authorization: str | None = field(default=None, repr=False)

    @classmethod
    def at(cls, url: str, manners: Manners) -> "HttpArchive":
        """The archive at ``url``; a name and password in it become an `authorization`.

        Raises:
            ArchiveError: it is not an address that a path can be added to.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = parts = None
        if parts is None or not host or parts.query or parts.fragment:
            # The address is not shown: it may hold a password or a signature.
            raise ArchiveError("the source is not a usable address: expected http(s)://host[:port]/[folder/]")
        shown = f"[{host}]" if ":" in host else host
        base = f"{parts.scheme.lower()}://{shown}{f':{port}' if port else ''}{parts.path.rstrip('/')}/"
        authorization = None
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = make_headers(basic_auth=pair)["authorization"]
        public = host == PUBLIC_HOST and parts.path.strip("/") == ""
        return cls(base, PUBLIC_COLLECTIONS if public else base + COLLECTIONS, manners, authorization)

    def place(self, path: str) -> str:
        """Address of ``path``."""
        return self.source + quote(file_path(path))

    def collections(self) -> tuple[BinaryIO, str]:
        """Open ``collinfo.json``; with it, its address."""
        own = self.collections_url.startswith(self.source)
        raw = read_url(self.collections_url, self.manners, self.authorization if own else None)
        return stream(raw), self.collections_url

    def open(self, path: str) -> BinaryIO:
        """Open the file as a stream that resumes where a connection broke."""
        return stream(read_url(self.place(path), self.manners, self.authorization))

    def read_range(self, path: str, offset: int, length: int) -> bytes:
        """``length`` bytes of the file from ``offset`` on.

        Raises:
            BrokenTransferError: the file ends before.
        """
        place = self.place(path)
        end = range_end(offset, length)
        if length == 0:
            return b""
        return exactly(read_url(place, self.manners, self.authorization, offset, end), length)

    def size(self, path: str) -> int | None:
        """Bytes of the file; None where the server does not say."""
        url = self.place(path)
        try:
            response = _request("HEAD", url, {}, self.manners, self.authorization, self.manners.policy())
        except _MethodUnknownError:
            return None
        _let_go(response)
        length = response.headers.get("Content-Length", "")
        return int(length) if re.fullmatch(r"[0-9]{1,18}", length) else None


class _MethodUnknownError(ArchiveError):
    pass


class _HttpBody:
    def __init__(self, response: BaseHTTPResponse) -> None:
        self._response = response

    def read(self, amt: int, /) -> bytes:
        return self._response.read(amt, decode_content=False)

    def close(self) -> None:
        _let_go(self._response)


def _let_go(response: BaseHTTPResponse) -> None:
    # close() alone would keep the connection's place in the pool, which is bounded.
    response.close()
    response.release_conn()


def read_url(
    url: str, manners: Manners, authorization: str | None = None, start: int = 0, stop: int | None = None
) -> ResumingReader:
    """Bytes ``start`` to before ``stop`` (None: the end) of ``url``, as stored: nothing is decoded.

    Raises:
        ArchiveError: and its kinds, at once where the address cannot be opened, later where reading fails.
    """
    return ResumingReader(_opener(url, manners, authorization), (HTTPError,), url, manners, start, stop)


def _opener(url: str, manners: Manners, authorization: str | None) -> Connect:
    def connect(start: int, stop: int | None, patience: Retry) -> Answer:
        headers = {"Accept-Encoding": "identity", **range_header(start, stop)}
        response = _request("GET", url, headers, manners, authorization, patience)
        try:
            size = response.length_remaining
            if response.status == 206:
                found = match_range(response.headers.get("Content-Range", ""), start)
                if found is None:
                    raise BrokenTransferError(f"{url} was asked for byte {start} on and sent another range")
                size = int(found[2]) if found[2] != "*" else None
            elif start:
                _skip(response, start)
            chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
            if size is None and response.length_remaining is None and not chunked:
                raise BrokenTransferError(
                    f"{url} comes without a length, so a cut file would look whole: have the server send Content-Length"
                )
        except BaseException:
            _let_go(response)
            raise
        version = response.headers.get("ETag") or response.headers.get("Last-Modified")
        retries = len(response.retries.history) - len(patience.history) if response.retries else 0
        return Answer(_HttpBody(response), size, version, retries)

    return connect


def _skip(response: BaseHTTPResponse, count: int) -> None:
    """Read past what a server without ranges sends again."""
    while count:
        data = response.read(min(CHUNK, count), decode_content=False)
        if not data:
            raise ProtocolError("the body ended before the offset that was asked for")
        count -= len(data)


@functools.lru_cache(maxsize=16)
def _pool(scheme: str, host: str, manners: Manners, process: int) -> urllib3.PoolManager:
    """The connections of one process to a host, by way of the environment's proxy if it names one.

    ``process`` is in the key because a forked child must not talk over its parent's sockets.
    """
    proxies = {} if urllib.request.proxy_bypass(host) else urllib.request.getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    limits = {"maxsize": manners.connections, "block": True}
    if not proxy:
        return urllib3.PoolManager(**limits)
    credentials, _, address = proxy.rpartition("@")
    if not credentials:
        return urllib3.ProxyManager(proxy, **limits)
    proxy_scheme, _, credentials = credentials.rpartition("://")
    headers = make_headers(proxy_basic_auth=unquote(credentials))
    return urllib3.ProxyManager(f"{proxy_scheme or 'http'}://{address}", proxy_headers=headers, **limits)


def _request(
    method: str,
    url: str,
    headers: dict[str, str],
    manners: Manners,
    authorization: str | None,
    patience: Retry,
) -> BaseHTTPResponse:
    headers = {"User-Agent": USER_AGENT, **headers}
    if authorization is not None:
        headers["Authorization"] = authorization
    parts = urlsplit(url)
    try:
        response = _pool(parts.scheme, parts.hostname or "", manners, os.getpid()).request(
            method,
            url,
            headers=headers,
            preload_content=False,
            decode_content=False,
            retries=patience,
            timeout=Timeout(connect=min(manners.timeout, 15.0), read=manners.timeout),
            pool_timeout=manners.timeout,
        )
    except EmptyPoolError as error:
        raise ArchiveError(
            f"{url}: all {manners.connections} connections of this process stayed in use for "
            f"{manners.timeout:g} s. Close streams when they are read, or allow more connections"
        ) from error
    except MaxRetryError as error:
        raise _unreachable(url, error.reason) from error
    except (HTTPError, ValueError) as error:
        raise ArchiveError(f"{url} cannot be asked: {type(error).__name__}. Is the address right?") from error
    if response.status in (200, 206):
        return response
    _let_go(response)
    raise _refusal(method, url, response, authorization is not None)


def _unreachable(url: str, reason: Exception | None) -> ArchiveError:
    host = urlsplit(url).hostname
    match reason:
        case ProxyError():
            what = f"the proxy did not connect ({reason.original_error}). Check HTTPS_PROXY and NO_PROXY"
        case NameResolutionError():
            what = f"the name {host} does not resolve. Is there a network, and is the name right?"
        case NewConnectionError():
            what = f"{reason}. Is there a network, and is the server up?"
        case TimeoutError():
            what = "no answer within the time limit. Is there a network, or a firewall between?"
        case SSLError():
            what = f"no trusted TLS connection ({reason}). SSL_CERT_FILE names additional certificates"
        case ResponseError():
            return ArchiveError(f"{url} cannot be read: {reason}")
        case _:
            what = f"the connection breaks off ({type(reason).__name__})"
    return UnreachableError(f"{url} cannot be reached: {what}")


def _refusal(method: str, url: str, response: BaseHTTPResponse, authorized: bool) -> ArchiveError:
    status = response.status
    attempts = len(response.retries.history) + 1 if response.retries else 1
    times = f" {attempts} times" if attempts > 1 else ""
    answered = f"{url} answered {status}{times}"
    if status in (404, 410):
        return MissingFileError(f"{answered}: there is no such file")
    if status in (405, 501) and method == "HEAD":
        return _MethodUnknownError(answered)
    if status in (401, 407):
        out = "the credentials are not accepted" if authorized else "it wants credentials (https://name:password@host/)"
        return AccessRefusedError(f"{answered}: {out}")
    if status in (403, 429):
        return AccessRefusedError(
            f"{answered}: it refuses, or wants fewer requests. Wait, then use fewer processes or connections"
        )
    if status == 416:
        return BrokenTransferError(f"{answered}: the file ends before the bytes that were asked for")
    if status >= 500:
        return UnreachableError(f"{answered}: the server fails or is overloaded. Wait, then use fewer processes")
    return ArchiveError(f"{answered}, which is no way to answer {method}. Is the address right?")
