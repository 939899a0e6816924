"""The whole line over a source that throttles, breaks off, lags and falls silent: the same bytes, or a clear end."""

import datetime
import functools
import gzip
import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from curation_assets.acquisition import archive as archive_module
from curation_assets.acquisition.archive import (
    AccessRefusedError,
    ArchiveError,
    HttpArchive,
    LocalArchive,
    Manners,
    UnreachableError,
    open_listed,
)
from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.cli import app
from curation_assets.engine.local import LocalEngine
from curation_assets.lake.parts import read_table
from curation_assets.lake.station import CheckFailed, Staged
from curation_assets.line import Line
from curation_assets.settings import Settings
from curation_tests.acquisition.isolation import this_machine_only as this_machine_only
from curation_tests.conftest import RESILIPARSE
from curation_tests.lake.test_station import Inline
from curation_tests.unreliable import BODY_FAULTS, FAULTS, Unreliable, folder, plan, server, started

RETRIES = 8
QUICK = functools.partial(Manners, retries=RETRIES, backoff=0.01, longest_wait=0.1, timeout=1.0)
LIST = f"{SAMPLE_SNAPSHOT}/warc.paths.gz"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The manners of every archive that settings open."""
    monkeypatch.setattr(archive_module, "Manners", QUICK)


@pytest.fixture(scope="module")
def warcs(sample: Path) -> list[str]:
    return LocalArchive(str(sample)).warc_files(SAMPLE_SNAPSHOT)


@pytest.fixture(scope="module")
def store(sample: Path) -> Iterator[str]:
    """A server of the S3 protocol that holds the sample."""
    import boto3
    from moto.server import ThreadedMotoServer

    store = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    store.start()
    host, port = store.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="crawl", ACL="public-read")
    for file in sample.rglob("*"):
        if file.is_file():
            key = str(file.relative_to(sample))
            client.put_object(Bucket="crawl", Key=key, Body=file.read_bytes(), ACL="public-read")
    client.close()
    yield endpoint
    store.stop()
    assert store._server is not None
    store._server.server_close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for this machine, signed by itself, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


def spoil(unreliable: Unreliable, warcs: list[str], seed: int) -> None:
    """Plan every fault at least once, and an older list for the first who asks."""
    unreliable.plan = plan(warcs, seed, RETRIES) | {LIST: ["slow_down", "short"]}
    unreliable.stale = {LIST: gzip.compress("".join(f"{path}\n" for path in warcs[:-1]).encode(), mtime=0)}


def broken_transfers(unreliable: Unreliable) -> int:
    """Of WARC files; that of the list is not counted."""
    return sum(unreliable.happened[fault] for fault in BODY_FAULTS if fault != "drip") - 1


def tables(root: Path) -> dict[str, pa.Table | bytes]:
    """Every committed table by its content, and every other file by its bytes.

    Left out is what holds the hashes of files, which hold their fingerprints, which hold what the source says of sizes.
    """
    found: dict[str, pa.Table | bytes] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_file() and not path.name.startswith((".", "_")) and not name.startswith("warc_files/"):
            found[name] = read_table(path) if path.suffix == ".parquet" else path.read_bytes()
    hashes = ("manifest.json", ".arrow", "croissant.json", ".html", ".md")
    return {name: content for name, content in found.items() if not name.endswith(hashes)}


def files(root: Path) -> dict[str, bytes]:
    """Every file of the lake but for what names the source, and locks."""
    paths = [path for path in root.rglob("*") if path.is_file() and path.name != ".lock"]
    listed = {str(path.relative_to(root)): path.read_bytes() for path in paths}
    return {name: content for name, content in listed.items() if not name.startswith("warc_files/")}


def test_faults_of_every_kind_change_no_byte(
    sample: Path,
    line: Line,
    staged: dict[str, Staged],
    engine: LocalEngine,
    warcs: list[str],
    store: str,
    certificate: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The line over a store of the S3 protocol gives what it gives over a local folder, a web server the same files."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    lakes = {name: tmp_path / name for name in ("s3", "https")}
    with started(server(store)) as (behind, address):
        spoil(behind, warcs, seed=1)
        settings = Settings(
            source="s3://crawl/", s3_endpoint_url=address, lake=lakes["s3"], recipe_set=RESILIPARSE, workers=2
        )
        made = {one.station.name: one for one in Line(settings).run(SAMPLE_SNAPSHOT, engine)}
        assert set(behind.happened) == {*FAULTS, "stale"}
        assert behind.plan == {path: [] for path in behind.plan}
    assert made["documents"].observed["retries"] >= broken_transfers(behind)
    assert made["documents"].observed["files_retried"] == len(warcs)
    assert "retries" not in made["documents"].manifest.stats

    with started(folder(sample), certificate) as (behind, address):
        spoil(behind, warcs, seed=2)
        settings = Settings(source=address, lake=lakes["https"], recipe_set=RESILIPARSE, workers=2)
        web = Line(settings)
        assert isinstance(web.archive, HttpArchive)
        # Workers have the environment that the first of them was started with: here everything is done in place.
        for one in web.run(SAMPLE_SNAPSHOT, Inline()):
            if one.station.name == "documents":
                assert one.observed["retries"] >= broken_transfers(behind)
                break
        assert set(behind.happened) == {*FAULTS, "stale"}

    read = files(lakes["https"])
    assert len(read) == len(warcs) + 2
    assert read == {name: content for name, content in files(lakes["s3"]).items() if name in read}
    local, remote = tables(line.lake.root), tables(lakes["s3"])
    assert len(local) > 30
    assert local.keys() == remote.keys()
    assert [name for name in local if local[name] != remote[name]] == []


def test_a_file_that_never_comes_ends_the_run_and_the_next_one_goes_on(
    sample: Path, warcs: list[str], tmp_path: Path
) -> None:
    with started(folder(sample)) as (behind, address):
        line = Line(Settings(source=address, lake=tmp_path / "lake", recipe_set=RESILIPARSE))
        behind.always = {warcs[-1]: "slow_down"}
        with pytest.raises(UnreachableError, match=rf"answered 503 {RETRIES + 1} times.*overloaded") as caught:
            list(line.run(SAMPLE_SNAPSHOT, Inline()))
        assert warcs[-1] in str(caught.value)
        assert behind.asked[Path(warcs[-1]).name] == RETRIES + 1
        assert line.lake.partition(line.key("documents"), SAMPLE_SNAPSHOT).committed() is None
        behind.always = {}
        for one in line.run(SAMPLE_SNAPSHOT, Inline()):
            if one.station.name == "documents":
                assert (one.parts_done, one.parts_reused) == (1, len(warcs) - 1)
                assert one.observed == {}
                break


@pytest.mark.parametrize("fault", ["reset", "short", "silence", "hang_up", "too_many_requests"])
def test_patience_is_bounded_whatever_fails(sample: Path, warcs: list[str], store: str, fault: str) -> None:
    manners = Manners(retries=1, backoff=0.01, longest_wait=0.02, timeout=0.3)
    with started(server(store)) as (behind, address):
        behind.always = {warcs[0]: fault}
        for archive in (
            archive_module.open_archive("s3://crawl/", endpoint_url=address, manners=manners),
            archive_module.open_archive(f"{address}crawl/", manners=manners),
        ):
            behind.asked.clear()
            with pytest.raises(ArchiveError, match=Path(warcs[0]).name), archive.open(warcs[0]) as stream:
                stream.read()
            # Either side of a store's client has a patience of its own.
            assert behind.asked[Path(warcs[0]).name] <= 2 * (1 + manners.retries)


def test_only_a_definite_no_is_a_lost_file(sample: Path, warcs: list[str], tmp_path: Path) -> None:
    """What the server says three times that it has not, is counted; what it cannot say, is an error."""
    with started(folder(sample)) as (behind, address):
        archive = archive_module.open_archive(address)
        behind.always = {warcs[0]: "not_there_yet"}
        assert open_listed(archive, warcs[0]) is None
        assert behind.asked[Path(warcs[0]).name] == archive_module.LISTED_ASKS
        strict = Line(Settings(source=address, lake=tmp_path / "lake", recipe_set=RESILIPARSE))
        with pytest.raises(CheckFailed, match=r"warc_missing: 0 bytes|warc_missing: 1 files"):
            list(strict.run(SAMPLE_SNAPSHOT, Inline()))
        bearing = Line(strict.settings.model_copy(update={"recipe_set": {**RESILIPARSE, "loss.files": 0.25}}))
        staged = [next(run) for run in [bearing.run(SAMPLE_SNAPSHOT, Inline())] for _ in range(2)][1]
        assert staged.manifest.stats["lost_files.warc_missing"] == 1
        behind.always = {warcs[0]: "slow_down"}
        with pytest.raises(UnreachableError):
            open_listed(archive, warcs[0])
        behind.always = {}
        staged = [next(run) for run in [strict.run(SAMPLE_SNAPSHOT, Inline())] for _ in range(2)][1]
        assert (staged.parts_done, staged.parts_reused) == (1, len(warcs) - 1)
        assert "lost_files.warc_missing" not in staged.manifest.stats


RUNNER = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"})


@pytest.mark.parametrize(
    ("signed", "keys", "told"),
    [
        ("true", {}, "AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ("true", {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}, "AWS_PROFILE, or AWS_ACCESS_KEY_ID and"),
        ("false", {}, "setting s3_signed"),
    ],
    ids=["none", "wrong", "unsigned"],
)
def test_credentials_that_lack_or_are_refused_are_named(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signed: str, keys: dict[str, str], told: str
) -> None:
    for name, value in {**keys, "CURATION_S3_SIGNED": signed}.items():
        monkeypatch.setenv(name, value)
    with started(folder(sample)) as (behind, address):
        behind.always = {"": "forbidden"}
        monkeypatch.setenv("CURATION_S3_ENDPOINT_URL", address)
        command = ["run", "--snapshot", SAMPLE_SNAPSHOT, "--source", "s3://crawl/", "--lake", str(tmp_path / "lake")]
        done = RUNNER.invoke(app, command)
    assert done.exit_code == 1
    assert told in done.output
    assert "Traceback" not in done.output
    assert issubclass(AccessRefusedError, ArchiveError)
