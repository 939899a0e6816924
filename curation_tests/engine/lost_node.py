"""A run of the line on a cluster, in which one node never comes to its document part before the run is over.

    python lost_node.py SETTINGS_AS_JSON SNAPSHOT ADDRESS_OF_THE_NODE FOLDER

Leaves in FOLDER: `begun` when the node has its part, `over` when the run is, `late` when the node is done too.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

SECONDS = 120.0


def wait_for(path: Path) -> None:
    """Until there is such a file, or for two minutes."""
    deadline = time.monotonic() + SECONDS
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)


def linger(item: Any, function: Callable[[Any], Any], node: str, folder: Path) -> Any:
    """Do the work; on the node named when the run is over, elsewhere when that node has begun."""
    import ray

    if ray.util.get_node_ip_address() != node:
        wait_for(folder / "begun")
        return function(item)
    (folder / "begun").touch()
    wait_for(folder / "over")
    try:
        return function(item)
    finally:
        (folder / "late").touch()


def main(settings: str, snapshot: str, node: str, folder: Path) -> None:
    """Run the line."""
    from curation_assets.line import Line
    from curation_assets.settings import Settings

    line = Line(Settings.model_validate_json(settings))
    with line.engine() as running:
        mapped = running.map

        def mapped_late(function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
            return mapped(partial(linger, function=function, node=node, folder=folder), items)

        for staged in line.run(snapshot, running):
            print(staged.station.name, flush=True)
            running.map = mapped_late if staged.station.name == "warc_files" else mapped
        (folder / "over").touch()


if __name__ == "__main__":
    # Under its own name, so that workers find `linger`.
    from curation_tests.engine import lost_node

    lost_node.main(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]))
