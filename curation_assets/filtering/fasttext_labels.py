"""The label that a fastText classifier gives each text, read from Arrow's bytes: fastText's own `predict`."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from curation_assets.filtering.characters import inner, set_bits, string_buffers
from curation_assets.filtering.fasttext_model import (
    EMPTY_HASH,
    HIERARCHICAL,
    SOFTMAX,
    Arrays,
    hash_byte,
    hash_bytes,
    load,
)

_END = np.frombuffer(b"</s>", np.uint8)
"""The token that ends a line, as texts do in training."""
_LABEL = np.frombuffer(b"__label__", np.uint8)
"""What tokens begin with that are no words."""
_FACTOR = np.uint64(116049371)
"""Of fastText's hash of words in a row."""
_EDGE = np.float32(8)
_SIGMOID = (1 / (1 + np.exp(-(np.arange(513) / 32 - 8).astype(np.float32)))).astype(np.float32)
"""fastText's table of the logistic function, from -8 to 8; beyond it is 0 and 1."""


def joined_lines(texts: pa.LargeStringArray) -> pa.LargeStringArray:
    """Each text as the one line that fastText reads whole: NULs are removed, and the token "</s>", where it stops.

    Line breaks stay: they separate words as spaces do.
    """
    # NULs first: "<", NUL, "/s>" would otherwise become the token that is taken out.
    for pattern, replacement in (("\0", ""), ("</s>", " ")):
        options = pc.ReplaceSubstringOptions(pattern, replacement)
        texts = pc.call_function("replace_substring", [texts], options)
    return texts


def top_labels(lines: pa.LargeStringArray, model: Path) -> tuple[pa.DictionaryArray, np.ndarray]:
    """The most probable label of each of the `joined_lines` and its probability, float32[n], at times just above 1.

    fastText's end-of-sentence token follows each. The label is null and the probability 0 for a null, and for a line
    of which the model knows nothing. The model is loaded once a process. Raises `ValueError` when the file is no
    fastText classifier.
    """
    classifier = load(model)
    offsets, data = string_buffers(lines)
    labels, scores = np.empty(len(lines), np.int32), np.empty(len(lines), np.float32)
    _label_all(offsets, data, classifier.arrays, labels, scores)
    none = labels < 0
    if lines.null_count:
        none |= lines.is_null().to_numpy(zero_copy_only=False)
        scores[none] = 0
    return pa.DictionaryArray.from_arrays(pa.array(labels, mask=none), pa.array(classifier.labels)), scores


@njit(cache=True, nogil=True)
def _label_all(offsets: np.ndarray, data: np.ndarray, model: Arrays, labels: np.ndarray, scores: np.ndarray) -> None:
    dimensions, names = model.outputs.shape
    longest = 0
    for row in range(len(labels)):
        longest = max(longest, offsets[row + 1] - offsets[row])
    padded = np.empty(longest + 2, np.uint8)
    hidden = np.empty(dimensions, np.float32)
    hashes = np.empty(longest // 2 + 2, np.int32)
    values = np.empty(names, np.float32)
    nodes, logs = np.empty(names + 1, np.int32), np.empty(names + 1, np.float32)
    for row in range(len(labels)):
        hidden[:] = 0
        used = _add_text(data, offsets[row], offsets[row + 1], model, padded, hashes, hidden)
        labels[row], scores[row] = -1, 0
        if used:
            hidden *= np.float32(1 / used)
            if model.loss == HIERARCHICAL:
                labels[row], scores[row] = _best_leaf(model, hidden, nodes, logs)
            else:
                labels[row], scores[row] = _best_output(model, hidden, values)


@inner
def _add_text(
    data: np.ndarray, start: int, stop: int, model: Arrays, padded: np.ndarray, hashes: np.ndarray, hidden: np.ndarray
) -> int:
    """Add the vectors of all that the model knows of a text; gives how many.

    `padded` (uint8) is room for the longest word, `hashes` (int32) for as many words as there may be.
    """
    used = seen = 0
    position = start
    while position < stop:
        first = position
        while position < stop and not _separates(data[position]):
            position += 1
        size = position - first
        if size:
            hashed = hash_bytes(data, first, position)
            entry = _entry(data, first, position, hashed, model)
            is_label = size >= len(_LABEL) and _alike(data, first, _LABEL, 0, len(_LABEL))
            if entry < model.words and not (entry < 0 and is_label):
                used += _add_word(data, first, position, entry, model, padded, hidden)
                hashes[seen] = hashed
                seen += 1
        position += 1
    hashed = hash_bytes(_END, 0, len(_END))
    entry = _entry(_END, 0, len(_END), hashed, model)
    if 0 <= entry < model.words:
        used += _add(model.inputs, np.uint64(entry), hidden)
    hashes[seen] = hashed
    return used + _add_word_ngrams(hashes, seen + 1, model, hidden)


@inner
def _separates(byte: np.uint8) -> bool:
    code = int(byte)
    return code == 32 or 9 <= code <= 13


@inner
def _alike(one: np.ndarray, begin: int, other: np.ndarray, start: int, size: int) -> bool:
    k = 0
    while k < size and one[begin + k] == other[start + k]:
        k += 1
    return k == size


@inner
def _entry(text: np.ndarray, start: int, stop: int, hashed: np.uint32, model: Arrays) -> int:
    """Place of a token in the dictionary, or -1."""
    last = len(model.slots) - 1
    slot = int(hashed) & last
    while model.slots[slot] >= 0:
        entry = model.slots[slot]
        begin, end = int(model.starts[entry]), int(model.starts[entry + 1])
        if end - begin == stop - start and _alike(text, start, model.entries, begin, end - begin):
            return entry
        slot = (slot + 1) & last
    return -1


@inner
def _add(vectors: np.ndarray, row: np.uint64, hidden: np.ndarray) -> int:
    for k in range(np.uint64(len(hidden))):
        hidden[k] += vectors[row, k]
    return 1


@inner
def _add_bucket(model: Arrays, bucket: np.uint64, hidden: np.ndarray) -> int:
    """Add the vector of a bucket of n-grams; gives 0 if it was pruned."""
    if len(model.kept):
        place, bit = bucket >> np.uint64(6), np.uint64(1) << (bucket & np.uint64(63))
        bits = model.kept[place]
        if not bits & bit:
            return 0
        bucket = np.uint64(model.kept_before[place]) + set_bits(bits & (bit - np.uint64(1)))
    return _add(model.inputs, np.uint64(model.words) + bucket, hidden)


@inner
def _add_word(
    text: np.ndarray, start: int, stop: int, entry: int, model: Arrays, padded: np.ndarray, hidden: np.ndarray
) -> int:
    """Add the vectors of a word and of the n-grams of characters in it, between "<" and ">"; gives how many."""
    used = _add(model.inputs, np.uint64(entry), hidden) if entry >= 0 else 0
    if model.longest == 0 or model.buckets == 0:
        return used
    size = stop - start + 2
    padded[0], padded[size - 1] = 60, 62
    for k in range(size - 2):
        padded[k + 1] = text[start + k]
    for first in range(size):
        if _continues(padded[np.uint64(first)]):
            continue
        hashed, position = EMPTY_HASH, first
        for length in range(1, model.longest + 1):
            if position >= size:
                break
            hashed = hash_byte(hashed, padded[np.uint64(position)])
            position += 1
            while position < size and _continues(padded[np.uint64(position)]):
                hashed = hash_byte(hashed, padded[np.uint64(position)])
                position += 1
            if length >= model.shortest and not (length == 1 and (first == 0 or position == size)):
                used += _add_bucket(model, np.uint64(hashed % np.uint32(model.buckets)), hidden)
    return used


@inner
def _continues(byte: np.uint8) -> bool:
    """Whether a byte is inside a character."""
    return int(byte) & 0xC0 == 0x80


@inner
def _add_word_ngrams(hashes: np.ndarray, count: int, model: Arrays, hidden: np.ndarray) -> int:
    """Add the vectors of words in a row, two and more of them; gives how many."""
    used = 0
    if model.buckets == 0:
        return used
    for first in range(count):
        value = np.uint64(np.int64(hashes[first]))
        for last in range(first + 1, min(first + model.word_ngrams, count)):
            value = value * _FACTOR + np.uint64(np.int64(hashes[last]))
            used += _add_bucket(model, value % np.uint64(model.buckets), hidden)
    return used


@inner
def _logarithm(value: np.float32) -> np.float32:
    return np.float32(np.log(np.float64(value) + 1e-5))


@inner
def _best_leaf(model: Arrays, hidden: np.ndarray, nodes: np.ndarray, logs: np.ndarray) -> tuple[int, np.float32]:
    """The label that a walk down the tree finds, the left branch first, and its probability."""
    names = model.outputs.shape[1]
    best, label = np.float32(-np.inf), -1
    nodes[0], logs[0] = 2 * names - 2, 0
    left = 1
    while left > 0:
        left -= 1
        node, score = nodes[left], logs[left]
        if score < best or score < _logarithm(np.float32(0)):
            continue
        if node < names:
            best, label = score, node
            continue
        value = np.float32(0)
        for k in range(len(hidden)):
            value += model.outputs[k, node - names] * hidden[k]
        value = np.float32(1 / (np.float64(np.float32(1) + np.exp(-value))))
        # The branch that is pushed last is walked first.
        nodes[left], logs[left] = model.children[node, 1], score + _logarithm(value)
        nodes[left + 1], logs[left + 1] = model.children[node, 0], score + _logarithm(np.float32(1 - np.float64(value)))
        left += 2
    return label, np.exp(best)


@inner
def _best_output(model: Arrays, hidden: np.ndarray, values: np.ndarray) -> tuple[int, np.float32]:
    """The label with the highest probability, the last of several."""
    names = model.outputs.shape[1]
    for name in range(names):
        values[name] = 0
    for k in range(len(hidden)):
        for name in range(names):
            values[name] += model.outputs[k, name] * hidden[k]
    if model.loss == SOFTMAX:
        top = values[0]
        for name in range(names):
            top = max(top, values[name])
        whole = np.float32(0)
        for name in range(names):
            values[name] = np.exp(values[name] - top)
            whole += values[name]
        for name in range(names):
            values[name] /= whole
    else:
        for name in range(names):
            values[name] = _sigmoid(values[name])
    best, label = np.float32(-np.inf), -1
    for name in range(names):
        score = _logarithm(values[name])
        if score >= best:
            best, label = score, name
    return label, np.exp(best)


@inner
def _sigmoid(value: np.float32) -> np.float32:
    if value < -_EDGE:
        return np.float32(0)
    if value > _EDGE:
        return np.float32(1)
    return _SIGMOID[int((value + _EDGE) * np.float32(32))]
