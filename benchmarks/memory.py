"""Memory for each document of the steps that see a whole snapshot.

Each step runs on one and on four million invented documents, in a process of its own, as it runs in the process that
drives a snapshot; what the second one needs more, over three million, is the cost of a document. (The rest is batches.)
30 % of the documents are duplicates of another one.
"""

import json
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from clusters import apart
from clusters import write_parts as write_bands
from measure.keys import write_keys

from curation_assets.deduplication import clusters, exact, simhash
from curation_assets.packing.sequences import cuts, fill, pack

DOCUMENTS = (1_000_000, 4_000_000)


def none(folder: Path, documents: int) -> list[Path]:
    """Nothing: lengths are invented where they are needed."""
    return []


def packed(paths: list[Path], documents: int) -> int:
    """Plan sequences, and count what the plan's report says."""
    token_count = np.maximum(30, np.random.default_rng(0).lognormal(6.2, 1.1, documents)).astype(np.int32)
    segments = pack(np.arange(documents), token_count)
    return round(fill(segments, 2048)) + cuts(segments, 2048).cuts + segments.num_rows


STEPS: dict[str, tuple[Callable, Callable]] = {
    "minhash clusters": (write_bands, lambda paths, _: clusters.cluster(paths).num_rows),
    "exact groups": (write_keys, lambda paths, _: exact.groups(paths).num_rows),
    "simhash clusters": (write_keys, lambda paths, _: simhash.cluster(paths).num_rows),
    "packing": (none, packed),
}


def measure(name: str, few: list[Path], paths: list[Path], documents: int) -> tuple[int, float]:
    """What a step adds to its process at most, in bytes, and CPU seconds, after a call on a few documents."""
    step = STEPS[name][1]
    step(few, 1000)
    before, began = peak(), cpu()
    step(paths, documents)
    return peak() - before, cpu() - began


def peak() -> int:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def cpu() -> float:
    """CPU seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print a table and a line of JSON."""
    figures = {}
    for name, (write, _) in STEPS.items():
        with tempfile.TemporaryDirectory() as folder:
            few = apart(write, Path(folder, "few"), 1000)
            found = [
                apart(measure, name, few, apart(write, Path(folder, str(count)), count), count) for count in DOCUMENTS
            ]
        slope = (found[1][0] - found[0][0]) / (DOCUMENTS[1] - DOCUMENTS[0])
        constant = found[0][0] - slope * DOCUMENTS[0]
        figures[name] = {"bytes_a_document": slope, "constant_bytes": constant, "cpu_s": [cpu for _, cpu in found]}
        print(
            f"{name:18}{slope:6.0f} bytes a document and {constant / 2**20:4.0f} MB; "
            f"{' and '.join(f'{count / seconds:,.0f}' for count, (_, seconds) in zip(DOCUMENTS, found, strict=True))} "
            "documents/s"
        )
    print(json.dumps({"name": "memory", **figures}))


if __name__ == "__main__":
    main()
