"""The file of a fastText classifier (Joulin et al. 2016, arXiv 1607.01759; 2016b, arXiv 1612.03651), as arrays.

Read here are versions 11 and 12, as fastText has written them since 2017: dense (`.bin`) and quantised (`.ftz`), with
each of its four losses. Quantised vectors are decoded.
"""

import struct
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit

from curation_assets.filtering.characters import inner

LID_176 = Path(__file__).parent / "lid.176.ftz"
"""The language model, compressed; put there when the package is built."""

HIERARCHICAL, NEGATIVE, SOFTMAX, ONE_VERSUS_ALL = 1, 2, 3, 4
_MAGIC, _VERSIONS, _SUPERVISED = 793712314, (11, 12), 3
_CODES = 256
"""Centroids of each part of a quantised vector."""
_ENTRY_BYTES = 10
"""Of an entry of the dictionary, beside its text."""
_UNBUILT = 10**15
"""More than any label was seen."""
EMPTY_HASH = np.uint32(2166136261)
"""FNV-1a of nothing."""
_FNV_PRIME = np.uint32(16777619)


class Arrays(NamedTuple):
    """What the kernel reads of a classifier."""

    entries: np.ndarray
    """uint8: the words of the dictionary, then the labels, one after the other."""
    starts: np.ndarray
    """int64[entries + 1]: where each begins."""
    slots: np.ndarray
    """int32: an open-addressing hash table of entries by `hash_bytes`; -1 where it is free, which half of it is."""
    words: int
    """How many entries are words."""
    kept: np.ndarray
    """uint64: a bit for each bucket of n-grams that was kept when the model was pruned; empty if it was not."""
    kept_before: np.ndarray
    """int32: how many are kept before each of these numbers."""
    inputs: np.ndarray
    """float32[rows, dimensions]: vectors of words, then of buckets of n-grams (those kept, in order of bucket)."""
    outputs: np.ndarray
    """float32[dimensions, labels]; of a hierarchical softmax, of the tree's inner nodes."""
    children: np.ndarray
    """int32[nodes, 2]: of a hierarchical softmax, Huffman's tree: labels, then inner nodes, the root last; -1 for
    none."""
    loss: int
    buckets: int
    """Of n-grams, of characters and of words; 0 when there are none."""
    shortest: int
    longest: int
    """Characters of an n-gram inside a word; 0 for none."""
    word_ngrams: int
    """Words of the longest n-gram of words."""


@dataclass(frozen=True)
class Classifier:
    """A model and the names of its labels."""

    arrays: Arrays
    labels: list[str]


@inner
def hash_byte(value: np.uint32, byte: np.uint8) -> np.uint32:
    """FNV-1a, as fastText computes it: bytes are signed."""
    return np.uint32((value ^ np.uint32(np.int8(byte))) * _FNV_PRIME)


@inner
def hash_bytes(data: np.ndarray, start: int, stop: int) -> np.uint32:
    """The hash of a string."""
    value = EMPTY_HASH
    for position in range(np.uint64(start), np.uint64(stop)):
        value = hash_byte(value, data[position])
    return value


@cache
def load(path: Path) -> Classifier:
    """Read a model, once a process. Raises `ValueError` naming the file when it is no fastText classifier."""
    try:
        return _Reader(path).classifier()
    except (struct.error, IndexError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as a fastText classifier (.bin or .ftz): {error}") from error


class _Reader:
    """Takes one value after the other from the file."""

    def __init__(self, path: Path) -> None:
        self._bytes = np.memmap(path, np.uint8, "r")
        self._at = 0

    def classifier(self) -> Classifier:
        """All of it."""
        magic, version = self._numbers("<ii")
        if magic != _MAGIC or version not in _VERSIONS:
            raise ValueError("it begins as no model of version 11 or 12 does")
        numbers = self._numbers("<12id")
        dimensions, (word_ngrams, loss, kind, buckets, shortest, longest) = numbers[0], numbers[5:11]
        if kind != _SUPERVISED:
            raise ValueError("it has word vectors, but was not trained to classify")
        if loss not in (HIERARCHICAL, NEGATIVE, SOFTMAX, ONE_VERSUS_ALL):
            raise ValueError(f"its loss is unknown: {loss}")
        size, words, labels = self._numbers("<3i")
        _, kept_count = self._numbers("<2q")
        if not 0 <= size <= len(self._bytes) // _ENTRY_BYTES:
            raise ValueError("it is cut off")
        starts, entries, counts, used = _dictionary(self._bytes[self._at :], size)
        if counts.max(initial=0) >= _UNBUILT:
            raise ValueError("its entries are counted wrongly")
        self._at += used
        kept = self._array(2 * max(kept_count, 0), np.int32).reshape(-1, 2)
        quantised = self._numbers("<?")[0]
        inputs = self._matrix(quantised)
        outputs = self._matrix(self._numbers("<?")[0] and quantised)
        rows = words + (buckets if kept_count < 0 else kept_count)
        if words + labels != size or inputs.shape != (rows, dimensions) or outputs.shape != (labels, dimensions):
            raise ValueError("its numbers of words, n-grams, labels and dimensions do not agree")
        bits, before = np.zeros(0, np.uint64), np.zeros(0, np.int32)
        if kept_count >= 0:
            inputs, bits, before = _pruned(inputs, words, kept, buckets)
        arrays = Arrays(
            entries=entries,
            starts=starts,
            slots=_slots(entries, starts),
            words=words,
            kept=bits,
            kept_before=before,
            inputs=inputs,
            outputs=np.ascontiguousarray(outputs.T),
            children=_huffman(counts[words:]) if loss == HIERARCHICAL else np.zeros((0, 2), np.int32),
            loss=loss,
            buckets=buckets if kept_count else 0,
            shortest=shortest,
            longest=0 if version == 11 else longest,
            word_ngrams=word_ngrams,
        )
        for array in arrays:
            if isinstance(array, np.ndarray):
                array.setflags(write=False)
        bounds = starts[words:]
        names = [bytes(entries[start:stop]).decode() for start, stop in pairwise(bounds)]
        return Classifier(arrays, names)

    def _numbers(self, form: str) -> tuple:
        at = self._at
        self._at += struct.calcsize(form)
        return struct.unpack_from(form, self._bytes.data, at)

    def _array(self, count: int, kind: type[np.generic]) -> np.ndarray:
        """A copy that is aligned, which what lies in the file is not."""
        size = count * np.dtype(kind).itemsize
        found = np.array(self._bytes[self._at : self._at + size])
        if len(found) != size:
            raise ValueError("it is cut off")
        self._at += size
        return found.view(kind)

    def _matrix(self, quantised: bool) -> np.ndarray:
        """float32[rows, dimensions]."""
        if not quantised:
            rows, columns = self._numbers("<2q")
            return self._array(rows * columns, np.float32).reshape(rows, columns)
        with_norms, rows, columns, size = self._numbers("<?2qi")
        codes = self._array(size, np.uint8).reshape(rows, -1)
        decoded = self._decoded(codes)
        if with_norms:
            decoded *= self._decoded(self._array(rows, np.uint8).reshape(rows, 1))
        if decoded.shape != (rows, columns):
            raise ValueError("its codes are not of its vectors")
        return decoded

    def _decoded(self, codes: np.ndarray) -> np.ndarray:
        """Vectors from their codes, uint8[rows, parts] (Jégou et al. 2011, "Product quantization")."""
        columns, parts, width, last = self._numbers("<4i")
        centroids = self._array(columns * _CODES, np.float32)
        decoded = np.empty((len(codes), columns), np.float32)
        for part in range(parts):
            first = part * width
            size = last if part == parts - 1 else width
            begin = part * _CODES * width
            of_part = centroids[begin : begin + _CODES * size].reshape(_CODES, size)
            decoded[:, first : first + size] = of_part[codes[:, part]]
        return decoded


@njit(cache=True, nogil=True)
def _dictionary(data: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Where each entry begins, all entries' bytes, how often each was seen, and the bytes that were read.

    An entry is a string that ends with a NUL, how often it was seen (int64), and whether it is a label (one byte).
    """
    starts = np.zeros(size + 1, np.int64)
    counts = np.zeros(size, np.int64)
    at = 0
    for entry in range(size):
        begin = at
        while at < len(data) and data[at] != 0:
            at += 1
        if at + _ENTRY_BYTES > len(data):
            raise ValueError("it is cut off")
        starts[entry + 1] = starts[entry] + at - begin
        for k in range(8):
            counts[entry] |= np.int64(data[at + 1 + k]) << (8 * k)
        at += _ENTRY_BYTES
    entries = np.empty(starts[-1], np.uint8)
    place = 0
    for entry in range(size):
        for k in range(starts[entry + 1] - starts[entry]):
            entries[starts[entry] + k] = data[place + k]
        place += starts[entry + 1] - starts[entry] + _ENTRY_BYTES
    return starts, entries, counts, at


@njit(cache=True, nogil=True)
def _slots(entries: np.ndarray, starts: np.ndarray) -> np.ndarray:
    size = 2
    while size < 2 * len(starts):
        size *= 2
    slots = np.full(size, -1, np.int32)
    for entry in range(len(starts) - 1):
        slot = int(hash_bytes(entries, starts[entry], starts[entry + 1])) & (size - 1)
        while slots[slot] >= 0:
            slot = (slot + 1) & (size - 1)
        slots[slot] = entry
    return slots


def _pruned(
    inputs: np.ndarray, words: int, kept: np.ndarray, buckets: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors with those of n-grams in order of bucket, and what finds them: `Arrays.kept`, `Arrays.kept_before`.

    Args:
        inputs: as the file has them.
        words: how many of them are of words.
        kept: int32[n, 2]: a bucket and the place of its vector among those of n-grams.
        buckets: how many there were.
    """
    kept = kept[np.argsort(kept[:, 0])]
    if len(kept) and (kept[:, 0].min() < 0 or kept[:, 0].max() >= buckets):
        raise ValueError("it keeps n-grams that there are none of")
    flags = np.zeros(-(-buckets // 64) * 64, bool)
    flags[kept[:, 0]] = True
    bits = np.packbits(flags, bitorder="little").view(np.uint64)
    before = np.cumsum(flags.reshape(-1, 64).sum(1))
    before = np.concatenate([[0], before[:-1]]).astype(np.int32)
    return np.concatenate([inputs[:words], inputs[words + kept[:, 1]]]), bits, before


@njit(cache=True, nogil=True)
def _huffman(counts: np.ndarray) -> np.ndarray:
    """Children of the nodes of a tree over labels that were seen so often, most often first: `Arrays.children`."""
    labels = len(counts)
    children = np.full((2 * labels - 1, 2), -1, np.int32)
    weights = np.full(2 * labels - 1, _UNBUILT, np.int64)
    weights[:labels] = counts
    leaf, node = labels - 1, labels
    for parent in range(labels, 2 * labels - 1):
        for side in range(2):
            if leaf >= 0 and weights[leaf] < weights[node]:
                children[parent, side] = leaf
                leaf -= 1
            else:
                children[parent, side] = node
                node += 1
        weights[parent] = weights[children[parent, 0]] + weights[children[parent, 1]]
    return children
