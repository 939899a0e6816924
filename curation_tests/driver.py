"""A run of the line in a process of its own, which can be told to die before a certain change of a table's files.

    python driver.py SETTINGS_AS_JSON SNAPSHOT [--die-at N --die-in TABLE]

Prints the name of each station as it begins and as it is published, and the change that it dies before. Dying is a
SIGKILL of the whole process group, which must be its own.
"""

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curation_assets.lake.station import Station

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "shutil.rmtree"}
"""Audit events of a changed folder; an opened file is one when it is opened to be written."""


def die_before(change: int, folder: Path) -> None:
    """Kill the process group before the `change`-th change below a folder, and say which that was."""
    seen = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event == "open":
            mode = arguments[1]
            if not (isinstance(mode, str) and set(mode) & set("wax+")):
                return
        elif event not in CHANGES:
            return
        path = str(arguments[0])
        if not path.startswith(str(folder)):
            return
        seen += 1
        if seen == change:
            print("killed before", event, path.removeprefix(str(folder)), flush=True)
            os.killpg(0, signal.SIGKILL)

    sys.addaudithook(watch)


def main() -> None:
    """Run the line as the arguments say."""
    from curation_assets.line import Line
    from curation_assets.settings import Settings

    parser = argparse.ArgumentParser()
    parser.add_argument("settings")
    parser.add_argument("snapshot")
    parser.add_argument("--die-at", type=int)
    parser.add_argument("--die-in")
    arguments = parser.parse_args()
    line = Line(Settings.model_validate_json(arguments.settings))
    if arguments.die_at is not None:
        die_before(arguments.die_at, line.lake.partition(line.key(arguments.die_in), arguments.snapshot).folder)

    def begins(station: "Station") -> None:
        print(station.name, "begins", flush=True)

    for staged in line.run(arguments.snapshot, progress=begins):
        print(staged.station.name, "made" if staged.fresh else "found", flush=True)


if __name__ == "__main__":
    main()
