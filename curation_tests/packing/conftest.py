import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from curation_assets.packing.sequences import Strategy, pack
from curation_assets.packing.shards import (
    MANIFEST_FILE,
    SEGMENTS_FILE,
    TOKENIZER_FILE,
    TokenStore,
    describe_file,
    shard_manifest,
    write_shard,
)
from curation_assets.packing.tokenizer import Tokenizer, train_tokenizer
from curation_assets.packing.tokens import tokenize

WORDS = ["the", "river", "ran", "under", "an", "old", "stone", "bridge"]
WORDS += ["while", "seven", "quiet", "herons", "watched", "slow", "green", "water"]


@pytest.fixture(scope="session")
def prose() -> list[str]:
    """Invented prose: word sequences drawn by a small congruential generator."""
    state, texts = 1, []
    for _ in range(120):
        words = []
        for _ in range(40):
            state = (state * 1103515245 + 12345) % 2**31
            words.append(WORDS[state >> 16 & 15])
        texts.append(" ".join(words).capitalize() + ". Überall 42 日本語 naïve!\n")
    return texts


@pytest.fixture(scope="session")
def definition(prose: list[str]) -> str:
    return train_tokenizer(prose, 340)


@pytest.fixture(scope="session")
def tokenizer(definition: str) -> Tokenizer:
    return Tokenizer(definition)


@pytest.fixture(scope="session")
def wide_tokenizer(definition: str) -> Tokenizer:
    """The same tokenizer with ids that need more than 16 bits: every id moved up by 70,000."""
    content = json.loads(definition)
    model = content["model"]
    model["vocab"] = {token: i + 70_000 for token, i in model["vocab"].items()}
    model["vocab"] |= {f"unused{i}": i for i in range(70_000)}
    content["added_tokens"][0]["id"] += 70_000
    return Tokenizer(json.dumps(content))


@dataclass(frozen=True)
class Shards:
    """A folder of shards and what went into it."""

    folder: Path
    tokenizer: Tokenizer
    parts: dict[int, Path]
    segments: pa.Table
    ids: dict[int, list[int]]


def write_shards(folder: Path, tokenizer: Tokenizer, strategy: Strategy = "best_fit", seed: int = 1) -> Shards:
    """Three parts of documents (one part in two batches, one empty) to sequences of 64, two shards or more."""
    folder.mkdir(parents=True)
    parts: dict[int, Path] = {}
    batches: list[pa.RecordBatch] = []
    for part in (0, 5, 9):
        rows = range(0 if part == 9 else 20)
        texts = [" ".join(WORDS[(row + k) % 16] for k in range(1 + row * row % 90)) for row in rows]
        docs = [part << 32 | 2 * row for row in rows]
        batch = tokenize(pa.array(texts, pa.large_string()), pa.array(docs, pa.int64()), tokenizer)
        parts[part] = folder.parent / f"{folder.name}-{part}.arrow"
        pieces = [batch.slice(0, 7), batch.slice(7)] if part == 5 else [batch]
        with pa.ipc.new_file(parts[part], batch.schema) as writer:
            for piece in pieces:
                writer.write(piece)
        batches.append(batch)
    table = pa.Table.from_batches(batches)
    segments = pack(
        table["doc"].to_numpy(),
        table["token_count"].to_numpy(),
        sequence_length=64,
        strategy=strategy,
        seed=seed,
        shard_tokens=1024,
    )
    store = TokenStore(parts)
    shards = [
        write_shard(
            folder,
            f"shard-{number:05d}",
            segments.filter(pc.field("shard") == number),
            store,
            tokenizer.dtype,
            64,
        )
        for number in range(segments["shard"][-1].as_py() + 1)
    ]
    assert len(shards) > 1
    pq.write_table(segments, folder / SEGMENTS_FILE)
    (folder / TOKENIZER_FILE).write_bytes(tokenizer.definition.encode())
    manifest = shard_manifest(
        snapshot="CC-MAIN-2025-05",
        recipe="fineweb",
        recipe_fingerprint="f" * 64,
        tokenizer=tokenizer,
        sequence_length=64,
        strategy=strategy,
        seed=seed,
        shards=shards,
        segments=segments,
        files={name: describe_file(folder / name) for name in (SEGMENTS_FILE, TOKENIZER_FILE)},
    )
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))
    ids = dict(zip(table["doc"].to_pylist(), table["ids"].to_pylist(), strict=True))
    return Shards(folder, tokenizer, parts, segments, ids)


@pytest.fixture(scope="session")
def make_shards() -> Callable[..., Shards]:
    return write_shards


@pytest.fixture(scope="session", params=["uint16", "int32"])
def shards(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    tokenizer: Tokenizer,
    wide_tokenizer: Tokenizer,
) -> Shards:
    folder = tmp_path_factory.mktemp("shards") / "fineweb"
    return write_shards(folder, tokenizer if request.param == "uint16" else wide_tokenizer)
