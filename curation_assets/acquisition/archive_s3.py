"""An archive in a bucket of S3, or of a store that speaks its protocol."""

import functools
import os
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from curation_assets.acquisition.archive_http import PUBLIC_COLLECTIONS, read_url
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
    USER_AGENT,
    Answer,
    Manners,
    ResumingReader,
    exactly,
    match_range,
    range_header,
    stream,
)

PUBLIC_BUCKET = "commoncrawl"
"""Common Crawl's own bucket."""


@dataclass(frozen=True)
class S3Archive(Catalogue):
    """An archive below ``s3://bucket/prefix``. Pickles as plain settings, without `client`.

    Attributes:
        bucket: its name.
        prefix: what precedes ``crawl-data/`` in its keys; empty, or with a slash at its end.
        signed: sign requests with the environment's credentials; otherwise they are anonymous.
        endpoint_url: address of the store where it is not AWS.
        region: the region, where the environment does not say.
        manners: how it is spoken to. boto3's adaptive mode does the repeats and slows down when throttled;
            ``connections`` bounds the connections kept, ``longest_wait`` and ``backoff`` the waits between
            broken transfers.
        client: a boto3 client to use in this process instead of an own one.
    """

    bucket: str
    prefix: str = ""
    signed: bool = False
    endpoint_url: str | None = None
    region: str | None = None
    manners: Manners = field(default_factory=Manners)
    client: Any = field(default=None, repr=False, compare=False)

    @classmethod
    def at(
        cls,
        url: str,
        manners: Manners,
        signed: bool = False,
        endpoint_url: str | None = None,
        client: Any = None,
    ) -> "S3Archive":
        """The archive at ``s3://bucket[/prefix]``. A ``client`` is used as it is.

        Raises:
            ArchiveError: it is not such an address, or an address holds credentials.
        """
        bucket, _, prefix = url.partition("://")[2].partition("/")
        if not bucket or set(bucket + prefix) & set("@?#\\"):
            raise ArchiveError(
                "the source is not a usable bucket: expected s3://bucket/[prefix/], without credentials: "
                "those come from the environment"
            )
        if endpoint_url is not None and "@" in endpoint_url:
            raise ArchiveError("the store's address holds credentials: those come from the environment")
        prefix = prefix.strip("/")
        prefix = f"{prefix}/" if prefix else ""
        if client is None:
            return cls(bucket, prefix, signed, endpoint_url, None, manners)
        if signed or endpoint_url is not None:
            raise ValueError("a client brings its own signature and address: give either it or them")
        from botocore import UNSIGNED

        host = urlsplit(client.meta.endpoint_url).hostname or ""
        aws = host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
        return cls(
            bucket,
            prefix,
            client.meta.config.signature_version is not UNSIGNED,
            None if aws else client.meta.endpoint_url,
            client.meta.region_name,
            manners,
            client,
        )

    def __getstate__(self) -> dict[str, Any]:
        # A client holds sockets, locks and credentials: none of them travels.
        return {**self.__dict__, "client": None}

    @property
    def source(self) -> str:
        """The address, ``s3://bucket/prefix``."""
        return f"s3://{self.bucket}/{self.prefix}"

    @property
    def public(self) -> bool:
        """Whether it is Common Crawl's own bucket, which holds no ``collinfo.json``."""
        return self.bucket == PUBLIC_BUCKET and not self.prefix and self.endpoint_url is None

    def place(self, path: str) -> str:
        """Address of ``path``."""
        return self.source + file_path(path)

    def collections(self) -> tuple[BinaryIO, str]:
        """Open ``collinfo.json``; with it, its address."""
        if self.public:
            return stream(read_url(PUBLIC_COLLECTIONS, self.manners)), PUBLIC_COLLECTIONS
        return stream(self._read(COLLECTIONS)), self.source + COLLECTIONS

    def open(self, path: str) -> BinaryIO:
        """Open the file as a stream that resumes where a connection broke."""
        return stream(self._read(file_path(path)))

    def read_range(self, path: str, offset: int, length: int) -> bytes:
        """``length`` bytes of the file from ``offset`` on.

        Raises:
            BrokenTransferError: the file ends before.
        """
        file_path(path)
        end = range_end(offset, length)
        return exactly(self._read(path, offset, end), length) if length else b""

    def size(self, path: str) -> int | None:
        """Bytes of the file."""
        return int(self._call("head_object", file_path(path))["ContentLength"])

    def _read(self, path: str, start: int = 0, stop: int | None = None) -> ResumingReader:
        from botocore.exceptions import HTTPClientError, IncompleteReadError

        def connect(start: int, stop: int | None, patience: Retry) -> Answer:
            ranged = range_header(start, stop)
            answer = self._call("get_object", path, **ranged)
            size = answer["ContentLength"]
            if ranged:
                found = match_range(answer.get("ContentRange", ""), start)
                if found is None or found[2] == "*":
                    answer["Body"].close()
                    raise BrokenTransferError(
                        f"{self.source}{path} was asked for byte {start} on and sent another range"
                    )
                size = int(found[2])
            retries = answer.get("ResponseMetadata", {}).get("RetryAttempts", 0)
            return Answer(answer["Body"], size, answer.get("ETag"), retries)

        breaks = (HTTPClientError, IncompleteReadError, HTTPError)
        return ResumingReader(connect, breaks, self.source + path, self.manners, start, stop)

    def _call(self, operation: str, path: str, **parameters: str) -> dict[str, Any]:
        from botocore import exceptions as boto

        where = self.source + path
        try:
            client = self.client or self._own_client()
            return getattr(client, operation)(Bucket=self.bucket, Key=self.prefix + path, **parameters)
        except boto.ClientError as error:
            raise self._refusal(where, error.response) from error
        except (
            boto.NoCredentialsError,
            boto.PartialCredentialsError,
            boto.CredentialRetrievalError,
            boto.ProfileNotFound,
        ) as error:
            raise AccessRefusedError(
                f"{where} is to be read with signed requests, and the environment has no usable credentials "
                f"({type(error).__name__}). Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            ) from error
        except (boto.ConnectionError, boto.HTTPClientError) as error:
            raise UnreachableError(
                f"{where}{self._store} cannot be reached: {type(error).__name__}. "
                "Is there a network, and is the store's address right?"
            ) from error
        except (boto.BotoCoreError, ValueError) as error:
            raise ArchiveError(f"{where}{self._store} cannot be asked: {type(error).__name__}") from error

    def _own_client(self) -> Any:
        return _client(self.signed, self.endpoint_url, self.region, self.manners, os.getpid())

    @property
    def _store(self) -> str:
        return "" if self.endpoint_url is None else f" at {self.endpoint_url}"

    def _refusal(self, where: str, response: Any) -> ArchiveError:
        code = str(response.get("Error", {}).get("Code", ""))
        status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        answered = f"{where}{self._store} answered {status}" + ("" if code == str(status) else f" {code}")
        if code == "NoSuchBucket":
            return MissingFileError(f"{answered}: there is no bucket {self.bucket}")
        if status == 404:
            return MissingFileError(f"{answered}: there is no such file")
        if status == 416:
            return BrokenTransferError(f"{answered}: the file ends before the bytes that were asked for")
        if status in (401, 403) or code in ("ExpiredToken", "InvalidToken", "TokenRefreshRequired"):
            if self.signed:
                out = (
                    "the environment's credentials are not accepted (AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
                    "AWS_SECRET_ACCESS_KEY)"
                )
            elif self.public:
                out = (
                    "Common Crawl's bucket takes signed requests only (since 2022). Sign them with any AWS "
                    "account's credentials, or read https://data.commoncrawl.org/"
                )
            else:
                out = "anonymous requests are refused. Sign them (setting s3_signed)"
            return AccessRefusedError(f"{answered}: {out}")
        if status >= 500:
            return UnreachableError(f"{answered}: the store fails or is overloaded. Wait, then use fewer processes")
        return ArchiveError(answered)


@functools.lru_cache(maxsize=4)
def _client(signed: bool, endpoint_url: str | None, region: str | None, manners: Manners, process: int) -> Any:
    # A forked child must not talk over its parent's sockets: hence `process` in the key.
    from boto3.session import Session
    from botocore import UNSIGNED
    from botocore.config import Config

    config = Config(
        signature_version=None if signed else UNSIGNED,
        retries={"mode": "adaptive", "total_max_attempts": manners.retries + 1},
        max_pool_connections=manners.connections,
        connect_timeout=min(manners.timeout, 15.0),
        read_timeout=manners.timeout,
        user_agent_extra=USER_AGENT,
    )
    # boto3's default session is not safe to share between threads while it makes a client.
    client = Session().client("s3", endpoint_url=endpoint_url, region_name=region, config=config)
    client.meta.events.register("needs-retry.s3", functools.partial(_throttled, manners))
    return client


def _throttled(manners: Manners, response: Any, attempts: int, **_: Any) -> float | None:
    """How long to wait before the next attempt where a store says 429, which boto3 does not know; None otherwise."""
    if response is None or response[0].status_code != 429 or attempts > manners.retries:
        return None
    stated = response[0].headers.get("Retry-After", "")
    wait = float(stated) if stated.isdecimal() else manners.backoff * 2 ** (attempts - 1)
    return min(wait, manners.longest_wait)
