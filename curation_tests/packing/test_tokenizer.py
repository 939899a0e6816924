import hashlib
import json
import os
import subprocess
import sys
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.packing import tokenizer as module
from curation_assets.packing.tokenizer import (
    END_OF_DOCUMENT,
    Tokenizer,
    TokenizerError,
    load_tokenizer,
    train_tokenizer,
)

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
# What pre-tokenizers, normalisers and byte fallbacks stumble over, more often than chance would have it.
SPIKY = st.lists(
    st.sampled_from(["a", "Water", "-", " ", "\n", "\t", "\x00", "\u00a0", "\u2028", "1", "½", "٣", "日本"])
    | st.sampled_from(["'s", "'S", "'ſ", "’ll", "e\u0301", "\U0001f469\u200d\U0001f467", "\U0010ffff"])
    | st.sampled_from([END_OF_DOCUMENT, "<|end", "oftext|>", "\U000323b0", "\u088f"]),
    max_size=30,
).map("".join)


def encode(tokenizer: Tokenizer, texts: list[str], *, parallel: bool = False) -> list[list[int]]:
    offsets, ids = tokenizer.encode_batch(pa.array(texts, pa.large_string()), parallel=parallel)
    assert offsets.dtype == np.int64 and ids.dtype == np.uint32
    return [ids[a:b].tolist() for a, b in pairwise(offsets)]


def reference_ids(definition: str, texts: list[str]) -> list[list[int]]:
    reference = tokenizers.Tokenizer.from_str(definition)
    reference.encode_special_tokens = True
    return [reference.encode(text, add_special_tokens=False).ids for text in texts]


def word_level(added: list[str], split: str = "Whitespace") -> str:
    tokens = ["<unk>", "water", *added]
    return json.dumps(
        {
            "version": "1.0",
            "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
            "padding": None,
            "added_tokens": [],
            "normalizer": None,
            "pre_tokenizer": {"type": split},
            "post_processor": None,
            "decoder": None,
            "model": {"type": "WordLevel", "vocab": {t: i for i, t in enumerate(tokens)}, "unk_token": "<unk>"},
        }
    )


def test_training_is_the_same_in_any_process_with_any_number_of_threads(prose: list[str], definition: str):
    program = (
        "import json, sys; from curation_assets.packing.tokenizer import train_tokenizer\n"
        "sys.stdout.write(train_tokenizer(json.load(sys.stdin), 340))"
    )
    for threads in ("1", "2"):
        found = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "RAYON_NUM_THREADS": threads, "PYTHONIOENCODING": "utf-8"},
            cwd=Path(__file__).parents[2],
            input=json.dumps(prose).encode(),
            capture_output=True,
            check=True,
        )
        assert found.stdout.decode() == definition


def test_training_does_not_depend_on_the_order_of_texts(prose: list[str], definition: str):
    assert train_tokenizer(prose[::-1], 340) == definition


def test_trained_vocabulary_is_end_of_document_then_bytes_then_merges(definition: str):
    content = json.loads(definition)
    by_id = sorted(content["model"]["vocab"], key=content["model"]["vocab"].get)
    assert by_id[0] == END_OF_DOCUMENT and len(by_id) == 340
    assert all(len(token) == 1 for token in by_id[1:257])
    assert by_id[257:] == ["".join(merge) for merge in content["model"]["merges"]]
    assert content["normalizer"] is None


def test_a_vocabulary_without_room_for_the_bytes_is_refused():
    assert Tokenizer(train_tokenizer([], 257)).vocabulary_size == 257
    with pytest.raises(TokenizerError, match="at least 257"):
        train_tokenizer([], 256)


def test_little_text_gives_a_smaller_vocabulary():
    assert 257 < Tokenizer(train_tokenizer(["water water"], 1000)).vocabulary_size < 300


def test_what_is_known_of_a_tokenizer(definition: str, tokenizer: Tokenizer, wide_tokenizer: Tokenizer):
    assert tokenizer.backend == "gigatoken"
    assert (tokenizer.end_of_document, tokenizer.end_of_document_name) == (0, END_OF_DOCUMENT)
    assert (tokenizer.vocabulary_size, tokenizer.dtype) == (340, np.uint16)
    assert tokenizer.fingerprint == hashlib.sha256(definition.encode()).hexdigest()
    assert wide_tokenizer.end_of_document == 70_000
    assert (wide_tokenizer.vocabulary_size, wide_tokenizer.dtype) == (70_340, np.uint32)


@settings(deadline=None)
@given(st.lists(ANY_TEXT | SPIKY, max_size=8))
def test_any_text_survives_and_both_backends_agree(tokenizer: Tokenizer, texts: list[str]):
    rows = encode(tokenizer, texts)
    assert rows == reference_ids(tokenizer.definition, texts)
    assert [tokenizer.decode(row) for row in rows] == texts
    assert all(tokenizer.end_of_document not in row for row in rows)


def test_sliced_and_empty_arrays(tokenizer: Tokenizer):
    texts = pa.array(["river", "", "old bridge", "\U000323b0 letters of Unicode 17", "x"], pa.large_string())
    for start in range(5):
        for stop in range(start, 6):
            part = texts.slice(start, stop - start)
            assert encode(tokenizer, part.to_pylist()) == reference_ids(tokenizer.definition, part.to_pylist())
            offsets, ids = tokenizer.encode_batch(part)
            whole = encode(tokenizer, texts.to_pylist())
            assert ids.tolist() == list(chain(*whole[start:stop]))
            assert len(offsets) == len(part) + 1


def test_parallel_gives_the_same(tokenizer: Tokenizer, prose: list[str]):
    texts = [*prose[:20], "\u088f 's"]
    assert encode(tokenizer, texts, parallel=True) == encode(tokenizer, texts)


def test_nulls_are_refused(tokenizer: Tokenizer):
    with pytest.raises(ValueError, match="null"):
        tokenizer.encode_batch(pa.array(["a", None], pa.large_string()))


def test_long_runs_do_not_hang(tokenizer: Tokenizer):
    texts = [character * 300_000 for character in "a \n\x00日"] + ["\U000323b0" * 1000]
    assert [tokenizer.decode(row) for row in encode(tokenizer, texts)] == texts


@pytest.mark.parametrize("backend", ["gigatoken", "tokenizers"])
def test_special_tokens_spelled_out_in_text_are_text(
    tokenizer: Tokenizer, backend: str, monkeypatch: pytest.MonkeyPatch
):
    if backend == "tokenizers":
        monkeypatch.setattr(module, "_load_gigatoken", lambda *_: None)
        tokenizer = Tokenizer(tokenizer.definition)
    assert tokenizer.backend == backend
    text = f"end{END_OF_DOCUMENT}{END_OF_DOCUMENT} {END_OF_DOCUMENT}"
    (row,) = encode(tokenizer, [text])
    assert tokenizer.end_of_document not in row
    assert tokenizer.decode(row) == text


def test_all_special_tokens_are_text_and_other_added_tokens_are_kept(definition: str):
    hugging_face = tokenizers.Tokenizer.from_str(definition)
    hugging_face.add_special_tokens(["<|system|>"])
    hugging_face.add_tokens(["zebras"])
    tokenizer = Tokenizer(hugging_face.to_str())
    assert tokenizer.backend == "gigatoken"
    system, zebras = hugging_face.token_to_id("<|system|>"), hugging_face.token_to_id("zebras")
    (row,) = encode(tokenizer, ["<|system|> seven zebras"])
    assert system not in row and zebras in row
    assert tokenizer.vocabulary_size == 342


def test_an_end_of_document_token_not_marked_special_is_treated_as_one(definition: str):
    content = json.loads(definition)
    content["added_tokens"][0]["special"] = False
    tokenizer = Tokenizer(json.dumps(content))
    assert tokenizer.end_of_document not in encode(tokenizer, [END_OF_DOCUMENT])[0]


def test_a_model_unknown_to_gigatoken_is_encoded_by_tokenizers():
    tokenizer = Tokenizer(word_level(["</s>"]))
    assert tokenizer.backend == "tokenizers"
    assert tokenizer.end_of_document == 2
    # The file's own truncation to two tokens is not applied.
    assert encode(tokenizer, ["water water fire", "", "water"]) == [[1, 1, 0], [], [1]]
    assert encode(tokenizer, ["water water fire"], parallel=True) == [[1, 1, 0]]


def test_a_backend_that_disagrees_is_not_used(definition: str, monkeypatch: pytest.MonkeyPatch):
    other = train_tokenizer(["nothing like the other sample"], 300)
    load = module._load_gigatoken
    monkeypatch.setattr(module, "_load_gigatoken", lambda _, end: load(json.loads(other), end))
    tokenizer = Tokenizer(definition)
    assert tokenizer.backend == "tokenizers"
    assert encode(tokenizer, ["river"]) == reference_ids(definition, ["river"])


def test_the_end_of_document_token_is_found_or_named(definition: str):
    assert Tokenizer(word_level(["<|im_end|>", "</s>"])).end_of_document_name == "</s>"
    assert Tokenizer(word_level(["</s>", "<<stop>>"]), "<<stop>>").end_of_document == 3
    with pytest.raises(TokenizerError, match=r"none of <\|endoftext\|>.*give its name"):
        Tokenizer(word_level([]))
    with pytest.raises(TokenizerError, match="'</doc>'"):
        Tokenizer(definition, "</doc>")


def test_an_end_of_document_token_that_text_can_produce_is_refused():
    with pytest.raises(TokenizerError, match="cannot be told"):
        Tokenizer(word_level(["</s>"], split="WhitespaceSplit"))


def test_loading_a_file(tmp_path: Path, definition: str, tokenizer: Tokenizer):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(definition.encode())
    assert load_tokenizer(path).fingerprint == tokenizer.fingerprint
    assert load_tokenizer(path) is load_tokenizer(path)
    for content in (b"{", b"{}", b"\xff", b"[]"):
        path.write_bytes(content)
        with pytest.raises(TokenizerError, match=r"tokenizer\.json"):
            load_tokenizer(path)
    with pytest.raises(TokenizerError, match=r"missing\.json"):
        load_tokenizer(tmp_path / "missing.json")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads as Linux shows them")
@pytest.mark.parametrize("backend", ["gigatoken", "tokenizers"])
def test_encoding_starts_no_thread(definition: str, backend: str):
    program = (
        "import os, sys; import pyarrow as pa; from curation_assets.packing import tokenizer as module\n"
        f"if {backend!r} == 'tokenizers': module._load_gigatoken = lambda *_: None\n"
        "texts = pa.array(['old stone bridge \\u088f'] * 100, pa.large_string())\n"
        "tokenizer = module.Tokenizer(sys.stdin.buffer.read().decode())\n"
        "count = lambda: len(os.listdir('/proc/self/task'))\n"
        "before = count(); tokenizer.encode_batch(texts); print(tokenizer.backend, count() - before)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        input=definition.encode(),
        capture_output=True,
        check=True,
    )
    assert found.stdout.decode().split() == [backend, "0"]
