"""A run of the line in a process of its own, which can be told to die before a certain change of the lake's files.

    python driver.py SETTINGS_AS_JSON SNAPSHOT [--die-at N] [--clock-jumps SEED]

Prints the name of each station as it is published, and at the end how many changes there were. Dying is a SIGKILL of
the whole process group, which must be its own.
"""

import argparse
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "shutil.rmtree"}
"""Audit events of a changed folder; an opened file is one when it is opened to be written."""


def die_before(change: int, root: Path) -> Callable[[], int]:
    """Kill the process group before the `change`-th change below `root`; returns a counter of changes so far."""
    seen = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event == "open":
            mode = arguments[1]
            if not (isinstance(mode, str) and set(mode) & set("wax+")):
                return
        elif event not in CHANGES:
            return
        if not str(arguments[0]).startswith(str(root)):
            return
        seen += 1
        if seen == change:
            os.killpg(0, signal.SIGKILL)

    sys.addaudithook(watch)
    return lambda: seen


def jump_clock(seed: int) -> None:
    """Make the wall clock jump by up to three years either way each time that somebody asks for it."""
    jumps, now = random.Random(seed), time.time
    time.time = lambda: now() + jumps.uniform(-1e8, 1e8)
    time.time_ns = lambda: int(time.time() * 1e9)


def main() -> None:
    """Run the line as the arguments say."""
    from curation_assets.line import Line
    from curation_assets.settings import Settings

    parser = argparse.ArgumentParser()
    parser.add_argument("settings")
    parser.add_argument("snapshot")
    parser.add_argument("--die-at", type=int, default=0)
    parser.add_argument("--clock-jumps", type=int)
    arguments = parser.parse_args()
    if arguments.clock_jumps is not None:
        jump_clock(arguments.clock_jumps)
    line = Line(Settings.model_validate_json(arguments.settings))
    changes = die_before(arguments.die_at, line.lake.root)
    print("ready", flush=True)
    for staged in line.run(arguments.snapshot):
        print(staged.station.name, "made" if staged.fresh else "found", flush=True)
    print(changes(), flush=True)


if __name__ == "__main__":
    main()
