"""Best-fit packing: our kernel against best fit over a sorted Python list, and its cuts against concatenation's."""

import bisect
import time

import numpy as np
from measure import report

from curation_assets.packing.sequences import count_sequences, cuts, fill, pack

LENGTH = 2048


def sorted_list_best_fit(token_count: list[int]) -> int:
    """Number of sequences, the plain way: remainders longest first, rooms in a sorted list."""
    sequences = sum(count // LENGTH for count in token_count)
    rooms: list[int] = []
    for size in sorted((count % LENGTH for count in token_count if count % LENGTH), reverse=True):
        at = bisect.bisect_left(rooms, size)
        room = rooms.pop(at) if at < len(rooms) else LENGTH
        bisect.insort(rooms, room - size)
    return sequences + len(rooms)


def main() -> None:
    """Print rates in documents a second, and what either strategy does to documents."""
    rng = np.random.default_rng(0)
    token_count = np.maximum(30, rng.lognormal(6.2, 1.1, 1_000_000)).astype(np.int32)
    doc = np.arange(len(token_count))
    pack(doc[:10], token_count[:10])
    pack(doc[:10], token_count[:10], strategy="concat")

    start = time.perf_counter()
    segments = pack(doc, token_count)
    ours = len(doc) / (time.perf_counter() - start)
    few = token_count[:200_000]
    start = time.perf_counter()
    expected = sorted_list_best_fit(few.tolist())
    peer = len(few) / (time.perf_counter() - start)
    assert count_sequences(pack(doc[: len(few)], few)) == expected, "as many sequences as the plain way"
    print(f"best fit, 1,000,000 documents   : {ours:12,.0f} documents/s")
    print(f"  sorted list, {len(few):,} documents: {peer:12,.0f} documents/s, ratio {ours / peer:.1f}")
    for name, table in (("best_fit", segments), ("concat", pack(doc, token_count, strategy="concat"))):
        found = cuts(table, LENGTH)
        print(
            f"{name:8}: fill {fill(table, LENGTH):.5f}, {found.cut_documents / len(doc):6.2%} of documents cut, "
            f"{found.avoidable / len(doc):6.2%} needlessly"
        )
    report("packing_documents_per_s", ours, peer)


if __name__ == "__main__":
    main()
