"""A fixture that keeps a test's connections on this machine. Import it to have it used."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curation_assets.acquisition import archive_http, archive_s3

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
CREDENTIALS = ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE")


@pytest.fixture(autouse=True)
def this_machine_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No proxy, no credentials, no metadata service, and no connection that leaves the machine."""
    for name in (*PROXIES, *map(str.lower, PROXIES), *CREDENTIALS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    connect = socket.socket.connect

    def connect_here(self: socket.socket, address: Any) -> None:
        assert address[0] == "127.0.0.1", f"a test would contact {address}"
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_here)
    resolve = socket.getaddrinfo

    def resolve_here(host: Any, *rest: Any, **named: Any) -> Any:
        assert host == "127.0.0.1", f"a test would look up {host}"
        return resolve(host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_here)
    yield
    archive_http._pool.cache_clear()
    archive_s3._client.cache_clear()
