"""The line on a disk that is too small, again and again with a little more room; run in a mount namespace of its own.

    python small_disk.py SETTINGS_AS_JSON SNAPSHOT COPY

Mounts a file system of its own at the settings' lake, which nothing outside sees, and copies the finished lake to COPY.
Prints what was told each time that the disk was full, and last what a disk that may only be read gives.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from curation_assets.lake.disk import StorageError, explained
from curation_assets.lake.integrity import committed_partitions, look, recorded
from curation_assets.lake.lake import SPILL
from curation_assets.lake.query import connection, spilling_into
from curation_assets.line import Line
from curation_assets.settings import Settings
from curation_tests.lake.test_station import Inline

KILOBYTES = (64, 400, 800, 1200, 1400, 1800, 2200, 2700, 3500, 65_536)


def mount(lake: Path, *options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", str(lake)], check=True)


def main(settings: str, snapshot: str, copy: str) -> None:
    line = Line(Settings.model_validate_json(settings))
    lake = line.lake.root
    lake.mkdir()
    mount(lake, "-o", f"size={KILOBYTES[0]}k")
    for kilobytes in KILOBYTES:
        mount(lake, "-o", f"remount,size={kilobytes}k")
        try:
            list(line.run(snapshot, Inline()))
            break
        except StorageError as error:
            print(error, flush=True)
        partitions = committed_partitions(line.lake)
        assert [fault for one in partitions for fault in map(look, recorded(one)) if fault] == []
        left = [str(path) for path in lake.rglob("*.tmp")]
        assert left == [], left
    shutil.copytree(lake, copy)

    spill = lake / "spill"
    spill.mkdir()
    mount(lake, "-o", "remount,size=4m")
    try:
        with spilling_into(spill / SPILL), explained(spill), connection({}, threads=1) as con:
            con.execute("SET memory_limit = '40MB'")
            rows = "SELECT hash(i) AS h, repeat('x', 100) || i AS t FROM range(1000000) r(i)"
            con.execute(f"{rows} ORDER BY h").fetchall()
        print("spilled without a word")
    except StorageError as error:
        print(error, flush=True)
    shutil.rmtree(spill)

    mount(lake, "-o", "remount,ro")
    other = Line(line.settings.model_copy(update={"recipe_set": {}}))
    try:
        list(other.run(snapshot, Inline()))
    except StorageError as error:
        print(error, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
