"""A tokenizer that was saved is the same wherever its two files are copied, its end-of-document token included."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from curation_assets.engine.local import LocalEngine
from curation_assets.lake.finished import Finished
from curation_assets.lake.lake import Partition
from curation_assets.lake.parts import PartWriter, part_name
from curation_assets.lake.station import SnapshotJob
from curation_assets.packing.stations import TokenizerParameters, make_tokenizer
from curation_assets.packing.tokenizer import (
    CONFIGURATION_FILE,
    END_OF_DOCUMENT,
    TokenizerError,
    save_tokenizer,
    saved_tokenizer,
)


@pytest.fixture
def two_ends(definition: str) -> bytes:
    """A vocabulary with the usual end of a document and with another token that could be one."""
    content = json.loads(definition)
    content["model"]["vocab"]["<stop>"] = len(content["model"]["vocab"])
    return json.dumps(content).encode()


@pytest.mark.parametrize(("name", "found"), [(None, END_OF_DOCUMENT), ("<stop>", "<stop>")])
def test_saved_and_copied(tmp_path: Path, two_ends: bytes, name: str | None, found: str) -> None:
    path = tmp_path / "a" / "tokenizer.json"
    made = save_tokenizer(two_ends, path, name)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    again = saved_tokenizer(tmp_path / "b" / "tokenizer.json")
    assert made.end_of_document_name == again.end_of_document_name == found
    assert (tmp_path / "b" / "tokenizer.json").read_bytes() == two_ends
    assert json.loads((tmp_path / "b" / CONFIGURATION_FILE).read_bytes())["eos_token"] == found


def test_a_name_that_the_vocabulary_lacks_is_told(tmp_path: Path, two_ends: bytes) -> None:
    with pytest.raises(TokenizerError, match="no end-of-document token '<end>'"):
        save_tokenizer(two_ends, tmp_path / "tokenizer.json", "<end>")


@pytest.mark.parametrize("content", [None, b"", b"[]", b"{}"])
def test_a_missing_or_broken_configuration_is_told(tmp_path: Path, two_ends: bytes, content: bytes | None) -> None:
    path = tmp_path / "tokenizer.json"
    save_tokenizer(two_ends, path)
    configuration = path.with_name(CONFIGURATION_FILE)
    configuration.unlink() if content is None else configuration.write_bytes(content)
    with pytest.raises(TokenizerError, match="names no eos_token"):
        saved_tokenizer(path)


def test_the_station_gives_a_given_tokenizer_the_end_of_document_of_the_recipe(
    tmp_path: Path, two_ends: bytes, engine: LocalEngine
) -> None:
    given = tmp_path / "given.json"
    given.write_bytes(two_ends)
    corpus = Partition(tmp_path / "corpus", ("corpus",), "CC-MAIN-2000-01")
    corpus.folder.mkdir()
    with PartWriter(corpus.folder / part_name(0), pa.schema([("text", pa.large_string())]), "") as writer:
        writer.write(pa.table({"text": pa.array(["water <stop> river", "bridge"], pa.large_string())}))
    params = TokenizerParameters(
        given=given, sha256="", end_of_document="<stop>", vocabulary=300, sample_bytes=100, seed=1
    )
    folder = tmp_path / "made"
    folder.mkdir()
    inputs = {"corpus": Fixed(corpus.folder, corpus.key, corpus.snapshot)}
    job = SnapshotJob(
        corpus.snapshot, inputs, folder, params, engine, finished=Finished(Partition(folder, ("tokenizer",), "s"), None)
    )
    stats = make_tokenizer(job)
    made = saved_tokenizer(folder / "tokenizer.json")
    assert made.end_of_document == stats["end_of_document"] == json.loads(two_ends)["model"]["vocab"]["<stop>"]
    assert (stats["given"], stats["sampled_documents"], stats["irreversible_documents"]) == (1, 2, 0)


class Fixed(Partition):
    """A partition whose files need no manifest."""

    def paths(self, suffix: str = "") -> list[Path]:
        return sorted(self.folder.iterdir())
