"""Tokenizers: train a byte-level BPE or load a Hugging Face `tokenizer.json`; encode Arrow text in batches.

The reference for every id is the Hugging Face library `tokenizers`. gigatoken gives the same ids about thirty
times faster, so it does the work wherever it was seen to agree; `Tokenizer.backend` says which one it is.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from curation_assets.filtering.characters import string_buffers
from curation_assets.lake.lake import write_atomically

CONFIGURATION_FILE = "tokenizer_config.json"
"""Beside a saved `tokenizer.json`: Hugging Face's settings, of which `eos_token` is what matters here."""

END_OF_DOCUMENT = "<|endoftext|>"
"""The token that ends a document in tokenizers trained here."""

# Names under which published tokenizers keep the token that ends a document, most specific first.
END_OF_DOCUMENT_NAMES = (
    END_OF_DOCUMENT,
    "<|end_of_text|>",
    "</s>",
    "<eos>",
    "<｜end▁of▁sentence｜>",
    "[EOS]",
    "<|im_end|>",
)

# Text on which gigatoken must agree with `tokenizers` before it is trusted: what pre-tokenizers and
# normalisers treat specially.
_PROBE = (
    "The quick brown fox can't, won't and SHOULDN'T've jumped; it's 'ſo we’ll see.",
    "  leading, double  and trailing spaces \t\r\n\n\n \u00a0\u2028\u3000\u200b\u0085\ufeff end ",
    "3.14159 1,234,567 007 ½ ² ٣٤ Ⅷ x=y**2 == {'a': [1, 2]}; // http://example.org/a_b?c=%20#d",
    "Größe naïve e\u0301 ﬁ Ａ Å İıŞş ÇA ΑΒΓ ѣ 日本語のテキスト 中文。한국어 ไทย हिन्दी עברית العربية",
    "👩‍👩‍👧 🇪🇺 ✊🏽 \U0001f9ff \ue000 \U0010fffd \x00\x01\x7f \ufffd _-_ ‘’“” … — <b>&amp;</b>",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa !!!!!!!!!!!!!!!!!!!!!!!! =================================",
    "",
)

# Code points that Unicode 17 assigned or reclassified. gigatoken 0.10 knows them and tokenizers 0.23 (Unicode
# 16) does not: pre-tokenizers that ask for letters or numbers split them differently.
_UNICODE_17 = (
    "295 88f c5c cdc 1acf-1add 1ae0-1aeb 20c1 2b96 a7ce-a7cf a7d2 a7d4 a7f1 fbc3-fbd2 fd90-fd91 fdc8-fdce "
    "10940-10959 10ec5-10ec7 10ed0-10ed8 10efa-10efb 11b60-11b67 11db0-11ddb 11de0-11de9 16ea0-16eb8 "
    "16ebb-16ed3 16ff2-16ff6 187f8-187ff 18d09-18d1e 18d80-18df2 1ccfa-1ccfc 1ceba-1ced0 1cee0-1cef0 "
    "1e6c0-1e6de 1e6e0-1e6f5 1e6fe-1e6ff 1f6d8 1f777-1f77a 1f8d0-1f8d8 1fa54-1fa57 1fa8a 1fa8e 1fac8 1facd "
    "1faea 1faef 1fbfa 2b73a-2b73f 2cea2-2cead 323b0-33479"
)
_UNICODE_17_PATTERN = (
    "[" + "".join("-".join(rf"\x{{{end}}}" for end in span.split("-")) for span in _UNICODE_17.split()) + "]"
)


class TokenizerError(ValueError):
    """A tokenizer cannot be used; the message says why and what would help."""


def train_tokenizer(texts: Iterable[str], vocabulary: int = 32768) -> str:
    """Train a byte-level BPE tokenizer (Radford et al. 2019, section 2.2); return its `tokenizer.json`.

    GPT-2's pre-tokenizer pattern, no normaliser, all 256 bytes in the alphabet: any Unicode text survives
    encoding and decoding unchanged. `<|endoftext|>` has id 0, bytes follow, then merges in the order learned.
    The same texts in any order give the same bytes, whatever the number of threads.

    Args:
        texts: the sample to learn from; read once, only distinct words are kept.
        vocabulary: number of ids wanted, at least 257. Little text may give fewer.

    Raises:
        TokenizerError: `vocabulary` has no room for the bytes and the end-of-document token.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    if vocabulary < len(alphabet) + 1:
        raise TokenizerError(f"a byte-level vocabulary has at least {len(alphabet) + 1} ids, not {vocabulary}")
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_DOCUMENT],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(iter(texts), trainer)
    return tokenizer.to_str()


class Tokenizer:
    """A tokenizer whose end-of-document token is known and never arises from text.

    A document that spells out `<|endoftext|>` (or any other special token) is encoded as the ordinary
    characters it consists of. Nothing is added before or after a text: no BOS, no truncation, no padding.

    Args:
        definition: contents of a `tokenizer.json`.
        end_of_document: name of the token that ends a document; by default the first of
            `END_OF_DOCUMENT_NAMES` in the vocabulary.

    Attributes:
        definition: as given.
        fingerprint: SHA-256 of `definition`, hexadecimal.
        end_of_document: id of the token that ends a document.
        end_of_document_name: its text.
        vocabulary_size: one more than the largest id.
        dtype: smallest of uint16 and uint32 that holds every id.
        backend: the library that encodes, "gigatoken" or "tokenizers".

    Raises:
        TokenizerError: not a tokenizer.json, no end-of-document token, or one that plain text can produce.
    """

    def __init__(self, definition: str, end_of_document: str | None = None) -> None:
        try:
            configuration: dict[str, Any] = json.loads(definition)
            reference = tokenizers.Tokenizer.from_str(definition)
        except Exception as error:  # `tokenizers` raises bare Exception
            raise TokenizerError(f"not a Hugging Face tokenizer.json: {error}") from error
        self.definition = definition
        self.fingerprint = hashlib.sha256(definition.encode()).hexdigest()
        self.end_of_document_name, self.end_of_document = _find_end_of_document(reference, end_of_document)
        self.vocabulary_size = max(reference.get_vocab(with_added_tokens=True).values()) + 1
        self.dtype: np.dtype[Any] = np.dtype(np.uint16 if self.vocabulary_size <= 1 << 16 else np.uint32)

        reference.no_truncation()
        reference.no_padding()
        reference.add_special_tokens([self.end_of_document_name])
        reference.encode_special_tokens = True
        self._reference = reference
        self._fast = _load_gigatoken(configuration, self.end_of_document_name)
        self.backend: Literal["gigatoken", "tokenizers"] = "tokenizers"
        if self._fast is not None and self._agrees(configuration):
            self.backend = "gigatoken"
        spelled = pa.array([f"a {self.end_of_document_name}b", self.end_of_document_name], pa.large_string())
        if self.end_of_document in self.encode_batch(spelled)[1]:
            raise TokenizerError(
                f"text that spells out {self.end_of_document_name!r} cannot be told from the end of a "
                "document; name another end-of-document token"
            )

    def encode_batch(self, texts: pa.LargeStringArray, *, parallel: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Encode `n` texts into one flat array.

        Args:
            texts: no nulls.
            parallel: use all cores of this process. Off by default: workers are processes.

        Returns:
            offsets: int64 [n + 1]; text i has `ids[offsets[i]:offsets[i + 1]]`.
            ids: uint32 [offsets[n]].
        """
        if texts.null_count:
            raise ValueError("texts to encode must not be null")
        if self.backend == "tokenizers":
            return self._encode_reference(texts, parallel)
        newer = pc.call_function("match_substring_regex", [texts], pc.MatchSubstringOptions(_UNICODE_17_PATTERN))
        rows = np.flatnonzero(newer.to_numpy(zero_copy_only=False))
        offsets, ids = self._encode_gigatoken(texts, parallel)
        if not len(rows):
            return offsets, ids
        return _replace_rows(offsets, ids, rows, self._encode_reference(texts.take(pa.array(rows)), parallel))

    @cached_property
    def token_bytes(self) -> np.ndarray:
        """Bytes of text that each id stands for in a byte-level vocabulary, int64 [vocabulary_size].

        There every byte is written as one character (Radford et al. 2019, GPT-2). The end of a document stands for
        none. For vocabularies of other kinds the numbers mean nothing.
        """
        sizes = np.zeros(self.vocabulary_size, np.int64)
        for token, number in self._reference.get_vocab(with_added_tokens=True).items():
            sizes[number] = len(token)
        sizes[self.end_of_document] = 0
        return sizes

    def spans(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """The ids of one text, and which part of it each stands for.

        Returns:
            ids: uint32 [n], those of `encode_batch`.
            spans: int64 [n, 2], start and end in characters of `text`, as the normaliser and the model tell them.
                Tokens that share the bytes of a character have the whole character each.
        """
        encoding = self._reference.encode(text, add_special_tokens=False)
        return np.asarray(encoding.ids, np.uint32), np.asarray(encoding.offsets, np.int64).reshape(-1, 2)

    def decode(self, ids: Iterable[int] | np.ndarray) -> str:
        """Text of a run of ids, special tokens spelled out.

        A run that starts or ends inside a character gives U+FFFD there.
        """
        numbers = ids.tolist() if isinstance(ids, np.ndarray) else [int(i) for i in ids]
        return self._reference.decode(numbers, skip_special_tokens=False)

    def _encode_reference(self, texts: pa.LargeStringArray, parallel: bool) -> tuple[np.ndarray, np.ndarray]:
        # One text at a time never touches the library's process-wide thread pool.
        encodings: Iterable[tokenizers.Encoding]
        if parallel:
            encodings = self._reference.encode_batch_fast(texts.to_pylist(), add_special_tokens=False)
        else:
            encodings = (self._reference.encode(text, add_special_tokens=False) for text in texts.to_pylist())
        rows = [np.asarray(encoding.ids, np.uint32) for encoding in encodings]
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        return offsets, np.concatenate([*rows, np.empty(0, np.uint32)])

    def _encode_gigatoken(self, texts: pa.LargeStringArray, parallel: bool) -> tuple[np.ndarray, np.ndarray]:
        assert self._fast is not None
        if not len(texts):
            return np.zeros(1, np.int64), np.empty(0, np.uint32)
        layout = self._fast.encode_batch(_awkward(texts), parallel=parallel).layout.to_ListOffsetArray64(True)
        offsets = np.asarray(layout.offsets.data)
        return offsets, np.asarray(layout.content.data)[: offsets[-1]]

    def _agrees(self, configuration: dict[str, Any]) -> bool:
        added = [token["content"] for token in configuration.get("added_tokens") or []]
        spelled = [f"x {content}y{content} {content}\n" for content in added]
        probe = pa.array([*_PROBE, "\n".join(_PROBE), *spelled], pa.large_string())
        try:
            fast = self._encode_gigatoken(probe, parallel=False)
        except Exception:  # whatever gigatoken cannot do, `tokenizers` can
            return False
        reference = self._encode_reference(probe, parallel=False)
        return all(np.array_equal(a, b) for a, b in zip(fast, reference, strict=True))


def save_tokenizer(definition: bytes, path: Path, end_of_document: str | None = None) -> Tokenizer:
    """Write a `tokenizer.json`, and a `tokenizer_config.json` beside it that names the token that ends a document.

    Raises `TokenizerError` when it cannot be used.
    """
    write_atomically(path, definition)
    made = load_tokenizer(path, end_of_document)
    configuration = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": made.end_of_document_name}
    write_atomically(path.with_name(CONFIGURATION_FILE), json.dumps(configuration, indent=1).encode() + b"\n")
    return made


def saved_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer that `save_tokenizer` wrote, also where both its files were copied to.

    Raises `TokenizerError` when there is none.
    """
    configuration = path.with_name(CONFIGURATION_FILE)
    try:
        end_of_document = json.loads(configuration.read_bytes())["eos_token"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TokenizerError(f"{configuration} names no eos_token: {error}") from error
    return load_tokenizer(path, end_of_document)


def load_tokenizer(path: str | os.PathLike[str], end_of_document: str | None = None) -> Tokenizer:
    """Read a Hugging Face `tokenizer.json`; see `Tokenizer`. The same content gives the same object.

    Raises:
        TokenizerError: the file cannot be read or used; the message names it.
    """
    try:
        return _tokenizer(Path(path).read_bytes().decode(), end_of_document)
    except (OSError, ValueError) as error:
        raise TokenizerError(f"tokenizer {os.fspath(path)}: {error}") from error


# A worker meets the same tokenizer with every part, and making one takes a quarter of a second.
@lru_cache(maxsize=2)
def _tokenizer(definition: str, end_of_document: str | None) -> Tokenizer:
    return Tokenizer(definition, end_of_document)


def _find_end_of_document(tokenizer: tokenizers.Tokenizer, name: str | None) -> tuple[str, int]:
    for candidate in END_OF_DOCUMENT_NAMES if name is None else (name,):
        identifier = tokenizer.token_to_id(candidate)
        if identifier is not None:
            return candidate, identifier
    if name is not None:
        raise TokenizerError(f"the vocabulary has no end-of-document token {name!r}")
    raise TokenizerError(
        f"no end-of-document token: the vocabulary has none of {', '.join(END_OF_DOCUMENT_NAMES)}; give its name"
    )


def _load_gigatoken(configuration: dict[str, Any], end_of_document: str) -> Any | None:
    # gigatoken has no switch for it, so the special tokens are taken out of what it is told.
    plain = [
        token
        for token in configuration.get("added_tokens") or []
        if not token["special"] and token["content"] != end_of_document
    ]
    try:
        from gigatoken.gigatoken_rs import load_hf_json

        return load_hf_json(json.dumps({**configuration, "added_tokens": plain}))
    except Exception:  # a model that it does not know
        return None


def _awkward(texts: pa.LargeStringArray) -> Any:
    """Awkward view of an Arrow string array, without a copy."""
    import awkward as ak

    offsets, data = string_buffers(texts)
    return ak.Array(
        ak.contents.ListOffsetArray(
            ak.index.Index64(offsets),
            ak.contents.NumpyArray(data, parameters={"__array__": "char"}),  # type: ignore[arg-type]
            parameters={"__array__": "string"},
        )
    )


def _replace_rows(
    offsets: np.ndarray, ids: np.ndarray, rows: np.ndarray, other: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    other_offsets, other_ids = other
    lengths = np.diff(offsets)
    lengths[rows] = np.diff(other_offsets)
    merged: list[np.ndarray] = []
    done = 0
    for k, row in enumerate(rows.tolist()):
        merged += [ids[offsets[done] : offsets[row]], other_ids[other_offsets[k] : other_offsets[k + 1]]]
        done = row + 1
    merged.append(ids[offsets[done] :])
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]), np.concatenate(merged)
