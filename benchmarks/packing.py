"""Best-fit packing: our kernel against best fit over a sorted Python list, and its cuts against concatenation's.

Both pack the same million documents; CPU seconds.
"""

import bisect

import numpy as np
from measure import in_turns, report

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

    counts = token_count.tolist()
    segments = pack(doc, token_count)
    assert count_sequences(segments) == sorted_list_best_fit(counts), "as many sequences as the plain way"
    seconds = in_turns({"ours": lambda: pack(doc, token_count), "sorted list": lambda: sorted_list_best_fit(counts)}, 2)
    ours, peer = (len(doc) / seconds[name] for name in ("ours", "sorted list"))
    print(f"best fit, {len(doc):,} documents: {ours:12,.0f} documents/s")
    print(f"  sorted list                : {peer:12,.0f} documents/s, ratio {ours / peer:.1f}")
    facts = {}
    for name, table in (("best_fit", segments), ("concat", pack(doc, token_count, strategy="concat"))):
        found = cuts(table, LENGTH)
        facts |= {
            f"{name}_fill": fill(table, LENGTH),
            f"{name}_cut": found.cut_documents / len(doc),
            f"{name}_needlessly_cut": found.avoidable / len(doc),
        }
        print(
            f"{name:8}: fill {fill(table, LENGTH):.5f}, {found.cut_documents / len(doc):6.2%} of documents cut, "
            f"{found.avoidable / len(doc):6.2%} needlessly"
        )
    report("packing", ours, peer, facts=facts)


if __name__ == "__main__":
    main()
