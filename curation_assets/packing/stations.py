"""The stations of packing: tokenizer, tokens, packed sequences, training shards."""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from curation_assets.filtering.characters import text_bytes
from curation_assets.lake.contracts import Column, Contract, each
from curation_assets.lake.lake import (
    TAKEDOWN_LIST,
    File,
    Partition,
    Stats,
    file_sha256,
    fingerprint,
    write_atomically,
)
from curation_assets.lake.parts import PartWriter, part_number, read_batches, read_table
from curation_assets.lake.station import Check, Inputs, PartJob, PartStation, SnapshotJob, SnapshotStation
from curation_assets.packing.gathering import GatheredIds, gathered
from curation_assets.packing.reuse import Tokenised, shard_fingerprint, tokenised
from curation_assets.packing.sequences import SEGMENTS, count_sequences, cuts, fill, pack, without
from curation_assets.packing.shards import (
    MANIFEST_FILE,
    SEGMENTS_FILE,
    TOKENIZER_FILE,
    FileInfo,
    ShardInfo,
    describe_file,
    shard_manifest,
    shard_name,
    stored_dtype,
    write_shard,
)
from curation_assets.packing.showing import show_sequences, show_shards, show_tokenizer, show_tokens
from curation_assets.packing.tokenizer import (
    CONFIGURATION_FILE,
    END_OF_DOCUMENT,
    save_tokenizer,
    saved_tokenizer,
    train_tokenizer,
)
from curation_assets.packing.tokens import tokenize, tokens_schema, tombstones
from curation_assets.recipes.recipe import Packing, Recipe

PROBED_DOCUMENTS = 256
SEGMENT_COLUMNS = {field.name: (field.metadata or {}).get(b"description", b"").decode() for field in SEGMENTS}
TOKENS = pa.schema(
    [
        ("doc", pa.int64()),
        ("token_count", pa.int32()),
        ("ids", pa.large_list(pa.uint32())),
        ("ids_hash", pa.uint64()),
    ]
)


class TokenizerParameters(BaseModel):
    """A given tokenizer's content hash, or what one is trained with."""

    model_config = ConfigDict(frozen=True)

    given: Path | None
    sha256: str | None
    end_of_document: str | None
    """Name of the token that ends a document in the given tokenizer; None: the first of the usual names."""
    vocabulary: int
    sample_bytes: int
    seed: int


def tokenizer(recipe: Recipe, given: Path | None) -> SnapshotStation:
    """The tokenizer of the recipe: the given one, or one trained on a sample of the corpus."""
    packing = recipe.packing
    return SnapshotStation(
        key=(recipe.name, "tokenizer"),
        group="packing",
        description="A Hugging Face tokenizer.json: the one that the settings name, or a byte-level BPE (Radford et "
        "al. 2019, section 2.2) trained on "
        "a sample of the snapshot's corpus. Shards of different tokenizers cannot be trained on together: to use "
        "several snapshots, name the first one's tokenizer in the settings of the others. A takedown does not train it "
        "anew, for then every token would be another.",
        version="2",
        libraries=("tokenizers",),
        params=TokenizerParameters(
            given=given,
            sha256=file_sha256(given) if given else None,
            end_of_document=packing.end_of_document if given else None,
            vocabulary=packing.vocabulary,
            sample_bytes=packing.tokenizer_sample_bytes,
            seed=packing.seed,
        ),
        inputs={"corpus": (recipe.name, "corpus"), "tombstones": (recipe.name, "tombstones")},
        step=make_tokenizer,
        show=show_tokenizer,
        conservation=(Check("tokenizer_is_reversible", "Decoding gives the sampled documents back."),),
    )


def make_tokenizer(job: SnapshotJob) -> Stats:
    """Copy the given tokenizer, or that of the shards that something was taken down from, or train one."""
    params: TokenizerParameters = job.params
    end_of_document = params.end_of_document
    if params.given is not None:
        definition = params.given.read_bytes()
    elif kept := job.inputs["tombstones"].paths(TOKENIZER_FILE):
        definition = kept[0].read_bytes()
    else:
        sample = _sample(job.inputs["corpus"].paths(".parquet"), params.sample_bytes, params.seed)
        job.say("training")
        definition = train_tokenizer(sample, params.vocabulary).encode()
        end_of_document = END_OF_DOCUMENT  # by its name it is the same object to who reads the files
    made = save_tokenizer(definition, job.folder / TOKENIZER_FILE, end_of_document)
    texts = pa.array(
        islice(_sample(job.inputs["corpus"].paths(".parquet"), params.sample_bytes, params.seed), PROBED_DOCUMENTS),
        pa.large_string(),
    )
    offsets, ids = made.encode_batch(texts)
    decoded = (made.decode(ids[offsets[row] : offsets[row + 1]]) for row in range(len(texts)))
    wrong = sum(text != again for text, again in zip(texts.to_pylist(), decoded, strict=True))
    return {
        "vocabulary": made.vocabulary_size,
        "end_of_document": made.end_of_document,
        "given": int(params.given is not None),
        "sampled_documents": len(texts),
        "irreversible_documents": wrong,
    }


def _sample(paths: list[Path], sample_bytes: int, seed: int) -> Iterator[str]:
    """Whole parts, in an order that depends on the seed alone, until there is enough text."""
    taken = 0
    for path in sorted(paths, key=lambda path: sha256(f"{seed} {path.name}".encode()).digest()):
        for batch in read_batches(path, ["text"]):
            for text in batch["text"].to_pylist():
                yield text
                taken += len(text.encode())
                if taken >= sample_bytes:
                    return


@dataclass(frozen=True, kw_only=True)
class TokenStation(PartStation):
    """A station whose ids are as wide as the tokenizer needs: its exact schema is known when it runs."""

    def jobs(self, inputs: Mapping[str, Partition], shared: Mapping[str, Partition], staging: Path) -> list[PartJob]:
        """As for any station, with the tokenizer's schema."""
        shared["tokenizer"].manifest()  # or it says that the tokenizer is not materialised
        schema = tokens_schema(saved_tokenizer(shared["tokenizer"].folder / TOKENIZER_FILE))
        return [replace(job, schema=schema) for job in super().jobs(inputs, shared, staging)]


def tokens(recipe: Recipe) -> TokenStation:
    """The token ids of every document of the corpus."""
    return TokenStation(
        key=(recipe.name, "tokens"),
        group="packing",
        description="Token ids of every document of the corpus, each ended by the end-of-document token, by gigatoken "
        "or Hugging Face tokenizers, as Arrow files that are memory-mapped when sequences are put together. A document "
        "that was taken down after it was packed keeps its number of tokens, and none of the tokens.",
        version="4",
        libraries=("tokenizers", "gigatoken"),
        inputs={"corpus": (recipe.name, "corpus"), "tombstones": (recipe.name, "tombstones")},
        shared={"tokenizer": (recipe.name, "tokenizer")},
        external=(TAKEDOWN_LIST,),
        schema=TOKENS,
        suffix="arrow",
        step=tokenize_part,
        show=show_tokens,
        columns={
            "token_count": "tokens of the document, the end-of-document token included",
            "ids": "token ids; null of a document that was taken down",
            "ids_hash": "XXH64 of the ids, by which shards that need not be written again are told; null with them",
        },
        contract=Contract(
            {
                "token_count": Column(least=1),
                # As wide as the vocabulary needs; the shards refuse ids of another width than the tokenizer's.
                "ids": Column(null=True, types=(pa.large_list(pa.uint16()), pa.large_list(pa.uint32()))),
                "ids_hash": Column(null=True),
            },
            conditions={
                "ids and their hash are there, or neither": "(ids IS NULL) = (ids_hash IS NULL)",
                "ids are as many as token_count": "len(ids) = token_count",
                "ids are of the vocabulary": "list_max(ids) < "
                "(SELECT value FROM tokenizer_stats WHERE name = 'vocabulary')",
                "the last id is the end of the document": "ids[-1] = "
                "(SELECT value FROM tokenizer_stats WHERE name = 'end_of_document')",
            },
        ),
        conservation=(
            Check(
                "documents_are_tokenised",
                "Every document has tokens of the vocabulary, as many as it says, and ends with its end-of-document "
                "token; sampled ones decode to their text. Those taken down have a number and nothing else.",
                by_parts=("corpus", "tombstones"),
            ),
            Check(
                "corpus_and_tombstones_have_one_row",
                "The table has exactly one row for each document of the corpus and each tombstone.",
                by_parts=("corpus", "tombstones"),
            ),
            Check("text_bytes_are_tokenised", "The tokens spell as many bytes as the corpus has."),
        ),
    )


def tokenize_part(inputs: Inputs, writer: PartWriter, params: None) -> None:
    """Tokenise the documents of one part."""
    encoder = saved_tokenizer(inputs["tokenizer"] / TOKENIZER_FILE)
    for batch in read_batches(inputs["corpus"], ["doc", "text"]):
        texts = batch["text"].cast(pa.large_string())
        encoded = tokenize(texts, batch["doc"], encoder)
        writer.write(encoded)
        writer.count("text_bytes", text_bytes(texts).sum())
        writer.count("spelled_bytes", encoder.token_bytes[encoded["ids"].values.to_numpy()].sum())
        writer.count("rows_in", batch.num_rows)
        writer.count("rows_out", encoded.num_rows)
        writer.count("tokens", encoded["token_count"].to_numpy().sum(dtype="int64"))
        writer.count("id_sum", encoded["ids"].values.to_numpy().sum(dtype="int64"))
        if batch.num_rows:
            ids = encoded["ids"][0].values.to_numpy()
            writer.count("sampled_documents")
            writer.count("irreversible_documents", encoder.decode(ids[:-1]) != batch["text"][0].as_py())
    gone = read_table(inputs["tombstones"])
    if gone.num_rows:
        writer.write(tombstones(gone["doc"].combine_chunks(), gone["token_count"].combine_chunks(), encoder))
        writer.count("taken_down.documents", gone.num_rows)
        writer.count("taken_down.tokens", gone["token_count"].to_numpy().sum(dtype="int64"))


def segments_contract(packing: Packing) -> Contract:
    """What holds of SEGMENTS, whose documents are those of `tokens`."""
    length = packing.sequence_length
    return Contract(
        {
            **each(("shard", "sequence", "token_start"), Column(least=0)),
            "position": Column(least=0, most=length - 1),
            "doc": Column(references="tokens.doc"),
            "token_count": Column(least=1, most=length),
        },
        key=("shard", "sequence", "position"),
        conditions={f"no sequence is longer than {length:,}": f"position + token_count <= {length}"},
    )


def packed_sequences(recipe: Recipe) -> SnapshotStation:
    """Which tokens of which document lie where in which sequence of which shard."""
    packing = recipe.packing
    return SnapshotStation(
        key=(recipe.name, "packed_sequences"),
        group="packing",
        description=f"The plan: segments of documents placed into sequences of {packing.sequence_length:,} tokens "
        f"by `{packing.strategy}` (best fit: Ding et al. 2024, arXiv 2404.10830), shuffled across the snapshot.",
        version="1",
        params=packing,
        inputs={"tokens": (recipe.name, "tokens")},
        schema=SEGMENTS,
        step=plan_sequences,
        show=partial(show_sequences, length=packing.sequence_length),
        columns=SEGMENT_COLUMNS,
        contract=segments_contract(packing),
        conservation=(
            Check(
                "tokens_are_conserved",
                "Corpus tokens = packed tokens; no token is placed twice; no sequence is too long.",
                {"sequence_length": packing.sequence_length},
            ),
        ),
    )


def plan_sequences(job: SnapshotJob) -> Stats:
    """Pack by the documents' lengths alone."""
    params: Packing = job.params
    lengths = []
    for path in job.inputs["tokens"].paths(".arrow"):
        with pa.memory_map(str(path)) as mapped, pa.ipc.open_file(mapped) as reader:
            lengths.append(reader.read_all().select(["doc", "token_count"]))
    documents = pa.concat_tables(lengths)
    job.say(f"packing {documents.num_rows:,} documents")
    segments = pack(
        documents["doc"].to_numpy(),
        documents["token_count"].to_numpy(),
        sequence_length=params.sequence_length,
        strategy=params.strategy,
        seed=params.seed,
        shard_tokens=params.shard_tokens,
    )
    with PartWriter(job.folder / SEGMENTS_FILE, SEGMENTS, "") as writer:
        writer.write(segments)
    found = cuts(segments, params.sequence_length)
    return {
        "rows_in": documents.num_rows,
        "rows_out": segments.num_rows,
        "tokens": documents["token_count"].to_numpy().sum(dtype="int64").item(),
        "sequences": count_sequences(segments),
        "fill_ppm": round(1e6 * fill(segments, params.sequence_length)),
        "documents_cut": found.cut_documents,
        "documents_cut_needlessly": found.avoidable,
        "cuts": found.cuts,
    }


class ShardParameters(BaseModel):
    """What the shards' manifest says of where they came from."""

    model_config = ConfigDict(frozen=True)

    recipe: str
    recipe_fingerprint: str
    packing: Packing


def training_shards(recipe: Recipe) -> SnapshotStation:
    """The shards, with everything that a training loop or an auditor needs beside them."""
    return SnapshotStation(
        key=(recipe.name, "training_shards"),
        group="packing",
        description="Megatron-LM .bin/.idx shards of packed sequences, with `segments.parquet` (document "
        "boundaries and lineage), `tokenizer.json` with `tokenizer_config.json`, and `manifest.json` (counts, "
        "checksums, fingerprints). A shard whose segments and ids are what they were is not written again.",
        version="3",
        params=ShardParameters(
            recipe=recipe.name,
            recipe_fingerprint=fingerprint(recipe.model_dump(mode="json", exclude={"drift"})),
            packing=recipe.packing,
        ),
        inputs={
            "packed_sequences": (recipe.name, "packed_sequences"),
            "tokens": (recipe.name, "tokens"),
            "tokenizer": (recipe.name, "tokenizer"),
        },
        external=(TAKEDOWN_LIST,),
        schema=SEGMENTS,
        step=write_shards,
        show=show_shards,
        columns=SEGMENT_COLUMNS,
        contract=segments_contract(recipe.packing),
        conservation=(
            Check(
                "shards_hold_all_tokens",
                "The shard files hold what was packed and not taken down, and the ids that were tokenised.",
            ),
        ),
    )


@dataclass(frozen=True)
class ShardJob:
    """The work for one shard; picklable."""

    shard: int
    folder: Path
    segments: Path
    tokenizer: Path
    sequence_length: int
    fingerprint: str
    ids: GatheredIds

    @property
    def name(self) -> str:
        """Name of the shard's files without suffix."""
        return shard_name(self.shard)


def write_shards(job: SnapshotJob) -> Stats:
    """Write the shards that are not there yet as they are to be, several at a time, then what describes all."""
    params: ShardParameters = job.params
    (plan_path,) = job.inputs["packed_sequences"].paths(SEGMENTS_FILE)
    tokenizer_path = job.inputs["tokenizer"].folder / TOKENIZER_FILE
    tokenizer = saved_tokenizer(tokenizer_path)
    tokens = job.inputs["tokens"]
    token_parts = {
        part_number(Path(file.name)): (tokens.folder / file.name, file.bytes) for file in tokens.manifest().files
    }
    length = params.packing.sequence_length
    plan = read_table(plan_path)
    made = tokenised([path for path, _ in token_parts.values()])
    segments = without(plan, made.taken_down)
    segments_path = job.folder / SEGMENTS_FILE
    if segments is plan:
        shutil.copyfile(plan_path, segments_path)
    else:
        with PartWriter(segments_path, SEGMENTS, "") as writer:
            writer.write(segments)
    stored = stored_dtype(tokenizer.dtype)
    wanted: dict[int, str] = {}
    written: list[WrittenShard] = []
    ends = np.searchsorted(segments["shard"].to_numpy(), plan["shard"].unique().to_numpy(), "right").tolist()
    for shard, start, end in zip(plan["shard"].unique().to_pylist(), [0, *ends], ends, strict=False):
        rows = segments.slice(start, end - start)
        mark = shard_fingerprint(rows, made, "megatron", 1, stored.name, length)
        files = job.finished.take([f"{shard_name(shard)}.bin", f"{shard_name(shard)}.idx"], mark)
        if files is None:
            wanted[shard] = mark
        else:
            written.append(WrittenShard(files))
    job.say("gathering ids by shard")
    with gathered(segments, list(wanted), token_parts, stored, job.folder / "scratch", job.engine.map) as gathered_ids:
        jobs = [
            ShardJob(shard, job.folder, segments_path, tokenizer_path, length, mark, ids)
            for (shard, mark), ids in zip(wanted.items(), gathered_ids, strict=True)
        ]
        for done, found in enumerate(job.engine.map(write_one_shard, jobs), 1):
            for file in found.files:
                job.finished.add(file)
            written.append(found)
            job.say("writing shards", done, len(jobs))
    shards = sorted((found.shard for found in written), key=lambda shard: shard.name)
    for name in (TOKENIZER_FILE, CONFIGURATION_FILE):
        shutil.copyfile(tokenizer_path.with_name(name), job.folder / name)
    manifest = shard_manifest(
        snapshot=job.snapshot,
        recipe=params.recipe,
        recipe_fingerprint=params.recipe_fingerprint,
        tokenizer=tokenizer,
        sequence_length=length,
        strategy=params.packing.strategy,
        seed=params.packing.seed,
        shards=shards,
        segments=segments,
        files={name: describe_file(job.folder / name) for name in (SEGMENTS_FILE, TOKENIZER_FILE, CONFIGURATION_FILE)},
    )
    manifest["taken_down"] = taken_down = _taken_down(plan, segments, made)
    write_atomically(job.folder / MANIFEST_FILE, json.dumps(manifest, indent=1).encode() + b"\n")
    return {
        "rows_in": plan.num_rows,
        "rows_out": segments.num_rows,
        "shards": len(shards),
        "sequences": sum(shard.sequences for shard in shards),
        "tokens": sum(shard.tokens for shard in shards),
        "id_sum": sum(found.id_sum for found in written),
        "token_bytes": tokenizer.dtype.itemsize,
        **{f"taken_down.{name}": count for name, count in taken_down.items() if isinstance(count, int)},
    }


def _taken_down(plan: pa.Table, segments: pa.Table, made: Tokenised) -> dict[str, Any]:
    """What the shards' manifest says of that which was packed and is there no more, in all and by shard."""
    gone = plan.filter(pa.array(np.isin(plan["doc"].to_numpy(), made.taken_down)))
    by_shard = {}
    for shard in gone["shard"].unique().to_pylist():
        (was, left, lost) = (table.filter(pc.field("shard") == shard) for table in (plan, segments, gone))
        by_shard[shard_name(shard)] = {
            "documents": len(lost["doc"].unique()),
            "segments": lost.num_rows,
            "tokens": int(lost["token_count"].to_numpy().sum(dtype="int64")),
            "sequences": count_sequences(was) - count_sequences(left),
        }
    return {
        "documents": len(gone["doc"].unique()),
        "segments": gone.num_rows,
        "tokens": int(gone["token_count"].to_numpy().sum(dtype="int64")),
        "sequences": sum(found["sequences"] for found in by_shard.values()),
        "shards": by_shard,
    }


@dataclass(frozen=True)
class WrittenShard:
    """The entries of a shard's files: that of the ids tells what was found when they were read again."""

    files: list[File]

    @property
    def shard(self) -> ShardInfo:
        """What the shards' manifest says of it."""
        ids, _ = self.files
        return ShardInfo(
            name=ids.name.removesuffix(".bin"),
            sequences=ids.stats["sequences"],
            tokens=ids.stats["tokens"],
            files={file.name: FileInfo(file.bytes, file.sha256) for file in self.files},
        )

    @property
    def id_sum(self) -> int:
        """Sum of all ids."""
        return self.files[0].stats["id_sum"]


def write_one_shard(job: ShardJob) -> WrittenShard:
    """Write one shard's files and read the ids again; the function that worker processes run."""
    segments = pq.read_table(job.segments, filters=[("shard", "=", job.shard)])
    dtype = saved_tokenizer(job.tokenizer).dtype
    shard = write_shard(job.folder, job.name, segments, job.ids, dtype, job.sequence_length)
    ids = np.memmap(job.folder / f"{job.name}.bin", stored_dtype(dtype), "r") if shard.tokens else np.empty(0, dtype)
    counts = {"sequences": shard.sequences, "tokens": shard.tokens, "id_sum": int(ids.sum(dtype=np.int64))}
    files = sorted(shard.files.items())
    return WrittenShard(
        [
            File(name=name, **asdict(info), rows=0, fingerprint=job.fingerprint, stats=stats)
            for (name, info), stats in zip(files, (counts, {}), strict=True)
        ]
    )
