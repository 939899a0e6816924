"""Published tools that do not get along with our pins: each has an environment of its own, inside that of the peers.

`make bench` makes them. The tool reads its input from a file and prints JSON.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def environment(tool: str) -> Path | None:
    """The Python of a tool's environment; None if it is not there."""
    python = Path(sys.prefix, tool, "bin", "python")
    return python if python.exists() else None


def ask(tool: str, program: str, *arguments: str | Path) -> Any:
    """What a program prints as its last line, run by a tool's Python; None, after plain words, without the tool."""
    python = environment(tool)
    if python is None:
        print(f"skipped: {tool} has no environment in {sys.prefix}; `make bench` makes it")
        return None
    command = [str(python), "-c", program, *map(str, arguments)]
    # What it asks of the network it is not to wait for.
    variables = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, capture_output=True, text=True, env=variables)
    if done.returncode:
        raise SystemExit(f"{tool} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])
