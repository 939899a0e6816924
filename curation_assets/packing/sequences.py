"""Documents into training sequences of one length: best-fit-decreasing packing, or concatenate and cut.

Best fit (Ding et al. 2024, "Fewer Truncations Improve Language Modeling", arXiv 2404.10830, section 3): a
document longer than a sequence is cut into full pieces and a remainder; the pieces, longest first, each go
into the fullest sequence that still has room. No document that fits into a sequence is ever cut.
Concatenation is what GPT-style pre-training does instead: no room is wasted and nearly every sequence begins
inside a document.

Either way every token of every document lies in exactly one sequence, and the order of sequences over the
whole snapshot is a seeded shuffle.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numba import njit

from curation_assets.packing.shuffle import permutation

Strategy = Literal["best_fit", "concat"]
"""How documents become sequences; see `pack`."""

SEGMENTS = pa.schema(
    [
        pa.field("shard", pa.int32(), metadata={"description": "number of the shard"}),
        pa.field("sequence", pa.int32(), metadata={"description": "index of the sequence inside its shard"}),
        pa.field("position", pa.int32(), metadata={"description": "first token's offset inside the sequence"}),
        pa.field("doc", pa.int64(), metadata={"description": "key of the document"}),
        pa.field("token_start", pa.int64(), metadata={"description": "first token's offset inside the document"}),
        pa.field("token_count", pa.int32(), metadata={"description": "tokens of the document in this place"}),
    ]
)
"""One row for each piece of a document: where it lies, and which tokens of the document it holds."""

_SEQUENCES, _DOCUMENTS = 0, 1  # what a permutation is for


@dataclass(frozen=True)
class Cuts:
    """What packing did to whole documents."""

    cut_documents: int
    """documents that lie in more than one segment"""
    avoidable: int
    """of these, documents that would have fitted into one sequence"""
    cuts: int
    """places where a document was cut"""


def pack(
    doc: np.ndarray,
    token_count: np.ndarray,
    *,
    sequence_length: int = 2048,
    strategy: Strategy = "best_fit",
    seed: int = 1,
    shard_tokens: int = 67_108_864,
) -> pa.Table:
    """Place every token of every document into a sequence, and every sequence into a shard.

    Needs about 55 bytes a document and 8 a token of `sequence_length`. The order of the input does not matter. A
    document without tokens has no segment.

    Args:
        doc: int64 [n], distinct keys.
        token_count: integers [n], 0 … 2³¹ - 1.
        sequence_length: tokens a sequence holds, at most 2²⁴; sequences may be shorter, and are not padded.
        strategy: `best_fit`, or `concat`: documents end to end, shuffled, cut every `sequence_length`.
        seed: of the shuffles.
        shard_tokens: most tokens a shard holds; at least one sequence.

    Returns:
        Table of `SEGMENTS`, sorted by shard, sequence, position.

    Raises:
        ValueError: duplicate documents, counts out of range, lengths that do not match, impossible sizes.
    """
    doc, token_count = _in_document_order(doc, token_count)
    if not 1 <= sequence_length <= 2**24:
        raise ValueError(f"sequence_length must be between 1 and 2^24, not {sequence_length}")
    if shard_tokens < sequence_length:
        raise ValueError(f"a shard of {shard_tokens} tokens cannot hold a sequence of {sequence_length}")

    if strategy == "best_fit":
        order = _longest_first(token_count, sequence_length)
        bins, bin_count = _best_fit(order, token_count, sequence_length)
        full = int((token_count // sequence_length).sum(dtype=np.int64))
        sequence_count = full + bin_count
        rank = _ranks(sequence_count, seed)
        starts, segment_count = _best_fit_starts(order, bins, full, rank)
        columns = _columns(segment_count)
        _emit_best_fit(doc, token_count, sequence_length, order, bins, full, rank, starts, *columns)
        del bins
    elif strategy == "concat":
        order = permutation(len(doc), seed, _DOCUMENTS)
        sequence_count = -(-int(token_count.sum(dtype=np.int64)) // sequence_length)
        rank = _ranks(sequence_count, seed)
        starts, segment_count = _concat_starts(token_count, sequence_length, order, rank)
        columns = _columns(segment_count)
        _emit_concat(doc, token_count, sequence_length, order, rank, starts, *columns)
    else:
        raise ValueError(f"unknown packing strategy {strategy!r}; use best_fit or concat")

    # What needs not be there together is not: at the most this is the plan and what the places are made of.
    del order, rank
    places = tuple(np.empty(segment_count, np.int32) for _ in range(3))
    _place(starts, columns[-1], shard_tokens // sequence_length, *places)
    return pa.table([*places, *columns], schema=SEGMENTS)


def without(segments: pa.Table, docs: np.ndarray) -> pa.Table:
    """The segments of `pack`, those of some documents left out, without a hole where they were.

    What follows in a sequence moves up, and so do the sequences of a shard after one that nothing is left of. No
    segment moves to another shard, and shards without such documents stay as they are.

    Args:
        segments: table of `SEGMENTS`, sorted by shard, sequence, position.
        docs: int64, keys of documents.
    """
    gone = np.isin(segments["doc"].to_numpy(), docs)
    if not gone.any():
        return segments
    left = segments.filter(pa.array(~gone))
    shard, sequence, counts = (left[name].to_numpy() for name in ("shard", "sequence", "token_count"))
    new_shard, new_sequence = (np.diff(values, prepend=-1) != 0 for values in (shard, sequence))
    first = np.flatnonzero(new_shard | new_sequence)
    sizes = np.diff(first, append=len(shard))
    before = np.cumsum(counts, dtype=np.int64) - counts
    position = before - np.repeat(before[first], sizes)
    index = np.repeat(np.arange(len(first)), sizes)
    index -= np.repeat(index[new_shard], np.diff(np.flatnonzero(new_shard), append=len(shard)))
    for name, values in (("sequence", index), ("position", position)):
        at = SEGMENTS.get_field_index(name)
        left = left.set_column(at, SEGMENTS.field(at), pa.array(values.astype(np.int32)))
    return left


def fill(segments: pa.Table, sequence_length: int) -> float:
    """Share of the sequences' room that holds tokens: tokens / (sequences × length); 1 for nothing."""
    sequences = count_sequences(segments)
    tokens = int(segments["token_count"].to_numpy().sum(dtype=np.int64))
    return tokens / (sequences * sequence_length) if sequences else 1.0


def count_sequences(segments: pa.Table) -> int:
    """Number of sequences: segments at position 0."""
    return int(np.count_nonzero(segments["position"].to_numpy() == 0))


def cuts(segments: pa.Table, sequence_length: int) -> Cuts:
    """Count the documents that were cut, and how often, from all segments of each."""
    start = segments["token_start"].to_numpy()
    later = np.flatnonzero(start)
    doc = segments["doc"].to_numpy()[later]
    ends = start[later] + segments["token_count"].to_numpy()[later]
    order = np.argsort(doc, kind="stable")
    doc, ends = doc[order], ends[order]
    first = np.flatnonzero(np.append(True, doc[1:] != doc[:-1])[: len(doc)])
    tokens = np.maximum.reduceat(ends, first) if len(first) else ends
    return Cuts(cut_documents=len(first), avoidable=int(np.count_nonzero(tokens <= sequence_length)), cuts=len(later))


def _in_document_order(doc: np.ndarray, token_count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    doc = np.ascontiguousarray(doc, np.int64)
    token_count = np.asarray(token_count)
    if doc.shape != token_count.shape or doc.ndim != 1:
        raise ValueError(f"{doc.shape} documents with {token_count.shape} token counts")
    if len(doc) and (token_count.min() < 0 or token_count.max() >= 2**31):
        raise ValueError("token counts must lie between 0 and 2^31 - 1")
    if len(doc) >= 2**31:
        raise ValueError("more than 2^31 documents cannot be packed at once")
    token_count = np.ascontiguousarray(token_count, np.int32)
    steps = np.diff(doc)
    if (steps <= 0).any():
        order = np.argsort(doc, kind="stable")
        doc, token_count = doc[order], token_count[order]
        if (np.diff(doc) == 0).any():
            raise ValueError("a document occurs more than once")
    return doc, token_count


def _ranks(count: int, seed: int) -> np.ndarray:
    """Place of each sequence in the shuffled snapshot: int32 [count]."""
    if count >= 2**31:
        raise ValueError("more than 2^31 sequences cannot be packed at once")
    rank = np.empty(count, np.int32)
    rank[permutation(count, seed, _SEQUENCES)] = np.arange(count, dtype=np.int32)
    return rank


def _columns(count: int) -> tuple[np.ndarray, ...]:
    """Empty doc, token_start, token_count."""
    kinds: tuple[Any, ...] = (np.int64, np.int64, np.int32)
    return tuple(np.empty(count, kind) for kind in kinds)


@njit(cache=True, nogil=True)
def _longest_first(token_count: np.ndarray, length: int) -> np.ndarray:
    """Documents with a remainder, by decreasing remainder and then in order (a counting sort): int32."""
    starts = np.zeros(length + 1, np.int64)
    for count in token_count:
        starts[count % length] += 1
    total = len(token_count) - starts[0]
    place = total
    for remainder in range(1, length):
        place -= starts[remainder]
        starts[remainder] = place
    order = np.empty(total, np.int32)
    for i in range(len(token_count)):
        remainder = token_count[i] % length
        if remainder:
            order[starts[remainder]] = i
            starts[remainder] += 1
    return order


@njit(cache=True, nogil=True)
def _best_fit(order: np.ndarray, token_count: np.ndarray, length: int) -> tuple[np.ndarray, int]:
    """Bin of each remainder of `order` (int32) and the number of bins.

    Bins with the same room form a stack. A segment tree over room 0 … length says which stacks hold a bin;
    the fullest bin that fits is the leftmost one at or right of the remainder's own length.
    """
    leaves = 1
    while leaves <= length:
        leaves *= 2
    occupied = np.zeros(2 * leaves, np.bool_)
    top = np.full(length + 1, -1, np.int32)
    below = np.empty(len(order), np.int32)
    bins = np.empty(len(order), np.int32)
    count = 0
    for k in range(len(order)):
        size = token_count[order[k]] % length
        node = size + leaves
        if not occupied[node]:
            # Up until a right neighbour is occupied, then down to its leftmost leaf.
            while node > 1 and (node & 1 or not occupied[node + 1]):
                node //= 2
            if node > 1:
                node += 1
                while node < leaves:
                    node = 2 * node if occupied[2 * node] else 2 * node + 1
        if node > 1:
            room = node - leaves
            chosen = top[room]
            top[room] = below[chosen]
            if top[room] < 0:
                occupied[node] = False
                while node > 1 and not occupied[node ^ 1]:
                    node //= 2
                    occupied[node] = False
        else:
            room = length
            chosen = count
            count += 1
        bins[k] = chosen
        room -= size
        below[chosen] = top[room]
        top[room] = chosen
        node = room + leaves
        while node and not occupied[node]:
            occupied[node] = True
            node //= 2
    return bins, count


@njit(cache=True, nogil=True)
def _cumulate(counts: np.ndarray) -> int:
    """Replace counts by the sums before them; return the total."""
    total = 0
    for i in range(len(counts)):
        count = counts[i]
        counts[i] = total
        total += count
    return total


@njit(cache=True, nogil=True)
def _best_fit_starts(order: np.ndarray, bins: np.ndarray, full: int, rank: np.ndarray) -> tuple[np.ndarray, int]:
    """Row of the first segment of each sequence, in shuffled order, and the number of segments."""
    starts = np.ones(len(rank), np.int64)
    for sequence in range(full, len(rank)):
        starts[rank[sequence]] = 0
    for chosen in bins:
        starts[rank[full + chosen]] += 1
    return starts, _cumulate(starts)


@njit(cache=True, nogil=True)
def _emit_best_fit(
    doc: np.ndarray,
    token_count: np.ndarray,
    length: int,
    order: np.ndarray,
    bins: np.ndarray,
    full: int,
    rank: np.ndarray,
    starts: np.ndarray,
    docs: np.ndarray,
    token_start: np.ndarray,
    counts: np.ndarray,
) -> None:
    """Write the segments to their rows; `starts` becomes the row after the last segment of each sequence."""
    piece = 0
    for i in range(len(doc)):
        for k in range(token_count[i] // length):
            row = starts[rank[piece]]
            starts[rank[piece]] += 1
            docs[row] = doc[i]
            token_start[row] = k * length
            counts[row] = length
            piece += 1
    for k in range(len(order)):
        i = order[k]
        place = rank[full + bins[k]]
        row = starts[place]
        starts[place] += 1
        size = token_count[i] % length
        docs[row] = doc[i]
        token_start[row] = token_count[i] - size
        counts[row] = size


@njit(cache=True, nogil=True)
def _concat_starts(token_count: np.ndarray, length: int, order: np.ndarray, rank: np.ndarray) -> tuple[np.ndarray, int]:
    """Row of the first segment of each sequence, in shuffled order, and the number of segments."""
    starts = np.zeros(len(rank), np.int64)
    at = 0
    for i in order:
        if token_count[i]:
            end = at + token_count[i]
            for sequence in range(at // length, (end - 1) // length + 1):
                starts[rank[sequence]] += 1
            at = end
    return starts, _cumulate(starts)


@njit(cache=True, nogil=True)
def _emit_concat(
    doc: np.ndarray,
    token_count: np.ndarray,
    length: int,
    order: np.ndarray,
    rank: np.ndarray,
    starts: np.ndarray,
    docs: np.ndarray,
    token_start: np.ndarray,
    counts: np.ndarray,
) -> None:
    """As `_emit_best_fit`."""
    at = 0
    for i in order:
        done = 0
        while done < token_count[i]:
            place = rank[at // length]
            row = starts[place]
            starts[place] += 1
            size = min(length - at % length, token_count[i] - done)
            docs[row] = doc[i]
            token_start[row] = done
            counts[row] = size
            done += size
            at += size


@njit(cache=True, nogil=True)
def _place(
    ends: np.ndarray, counts: np.ndarray, per_shard: int, shard: np.ndarray, sequence: np.ndarray, position: np.ndarray
) -> None:
    """Write where each segment lies, from the row after the last one of each sequence and the segments' tokens."""
    row = 0
    for number in range(len(ends)):
        at = 0
        while row < ends[number]:
            shard[row] = number // per_shard
            sequence[row] = number % per_shard
            position[row] = at
            at += counts[row]
            row += 1
