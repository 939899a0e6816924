"""fastText classifiers that tests train."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Options = dict[str, Any]

TRAIN = """
import fasttext, json, sys
for name, (training, compression) in json.loads(sys.argv[3]).items():
    model = fasttext.train_supervised(sys.argv[1], **{"minCount": 1, "thread": 1, "verbose": 0, **training})
    if compression is not None:
        model.quantize(sys.argv[1], **compression)
    model.save_model(f"{sys.argv[2]}/{name}")
"""


def train(folder: Path, lines: Sequence[str], models: Mapping[str, tuple[Options, Options | None]]) -> None:
    """Write models into a folder, by name: what `train_supervised` is given, and `quantize` if one is compressed.

    In a process of its own: training reads memory that it has not written.
    """
    text = folder / "train.txt"
    text.write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-c", TRAIN, str(text), str(folder), json.dumps(models)]
    subprocess.run(command, check=True, env={**os.environ, "MALLOC_PERTURB_": "255"})
