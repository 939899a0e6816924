"""Models of every kind that fastText writes, read and applied as fastText does it."""

import contextlib
import random
import re
import struct
from pathlib import Path

import fasttext
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.filtering.fasttext_labels import joined_lines, top_labels
from curation_assets.filtering.fasttext_model import LID_176
from curation_tests.fasttext_models import Options, train
from curation_tests.mirrors import prose

MODELS: dict[str, tuple[Options, Options | None]] = {
    "softmax": ({"loss": "softmax"}, None),
    "one label": ({"loss": "softmax", "label": "__label__100"}, None),
    "tree": ({"loss": "hs", "minn": 2, "maxn": 4}, None),
    "one versus all": ({"loss": "ova", "wordNgrams": 2}, None),
    "negative sampling": ({"loss": "ns", "minn": 1, "maxn": 3, "wordNgrams": 3}, None),
    "frequent words": ({"loss": "softmax", "minCount": 30, "minn": 1, "maxn": 1}, None),
    "compressed": ({"loss": "softmax", "minn": 2, "maxn": 3, "wordNgrams": 2}, {}),
    "compressed with norms": ({"loss": "hs", "wordNgrams": 2}, {"qnorm": True, "dsub": 3}),
    "pruned": ({"loss": "ova", "minn": 1, "maxn": 4, "wordNgrams": 3}, {"qnorm": True, "cutoff": 300, "qout": True}),
    "pruned to words": ({"loss": "softmax", "minn": 3, "maxn": 3}, {"cutoff": 256}),
}
COMMON = {"dim": 7, "epoch": 8, "lr": 0.3, "bucket": 500, "seed": 5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All models, and the text that they were trained with."""
    folder = tmp_path_factory.mktemp("models")
    lines = [f"__label__{row % 300} {' '.join(prose(row, 2))} über 日本語 {row}" for row in range(900)]
    train(folder, lines, {name: (COMMON | training, compression) for name, (training, compression) in MODELS.items()})
    return folder


def check(model: Path, texts: list[str | None], skipped: int = 0) -> None:
    """Against fastText's binding, which would stop at its end-of-sentence token in a text."""
    labels, scores = top_labels(joined_lines(pa.array(texts, pa.large_string())[skipped:]), model)
    library = fasttext.load_model(str(model)).f
    lines = [text and re.sub("[\r\n]|</s>", " ", text.replace("\0", "")) for text in texts[skipped:]]
    found = [[] if line is None else library.predict(f"{line}\n", 1, 0.0, "strict") for line in lines]
    assert labels.to_pylist() == [one[0][1] if one else None for one in found]
    assert scores.tolist() == pytest.approx([one[0][0] if one else 0 for one in found], rel=1e-6, abs=0)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_says_what_fasttext_says(folder: Path, name: str) -> None:
    words = (folder / "train.txt").read_text().split()
    chance = random.Random(name)
    texts = [" ".join(chance.choices(words, k=chance.randint(0, 60))) for _ in range(300)]
    check(folder / name, [None, "", *texts, *prose(1000)])


PIECES = st.sampled_from(
    [
        "</s>",
        "a</s>",
        "__label__1",
        "__label__",
        "__label__q",
        "x",
        "über",
        "日本語",
        " ",
        "\n",
        "\t",
        "\0",
        "<\0/s>",
        "\x0b",
        "<>",
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=12), max_size=12).map("".join)


@given(st.sampled_from([*MODELS, None]), st.lists(st.none() | TEXTS, max_size=6), st.integers(0, 2))
@settings(deadline=None)
def test_any_text(folder: Path, name: str | None, texts: list[str | None], skipped: int) -> None:
    check(LID_176 if name is None else folder / name, texts, skipped)


def test_a_long_text_takes_linear_time(folder: Path) -> None:
    check(folder / "negative sampling", ["a" * 1_000_000, "a " * 500_000, "日" * 300_000])


def test_a_model_that_knows_nothing_of_a_text_gives_no_label(folder: Path, tmp_path: Path) -> None:
    """No model that fastText trained is without the token that ends a line; this one has another word there."""
    other = tmp_path / "model.bin"
    other.write_bytes((folder / "softmax").read_bytes().replace(b"</s>\0", b"</t>\0"))
    labels, scores = top_labels(pa.array(["", "unheard", "</t>"], pa.large_string()), other)
    assert labels.is_null().to_pylist() == [True, True, False]
    assert scores[:2].tolist() == [0, 0]
    check(other, ["", "unheard", "</t>"])


@pytest.mark.parametrize("size", [0, 3, 8, 40, 64, 90, 200, 5_000, -1])
@pytest.mark.parametrize("name", ["softmax", "tree", "pruned"])
def test_a_model_that_is_cut_off_is_named(folder: Path, name: str, size: int, tmp_path: Path) -> None:
    spoilt = tmp_path / "model.bin"
    spoilt.write_bytes((folder / name).read_bytes()[:size])
    with pytest.raises(ValueError, match=r"model\.bin cannot be read as a fastText classifier"):
        top_labels(pa.array(["x"], pa.large_string()), spoilt)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (0, 1, "begins as no model"),
        (4, 99, "begins as no model"),
        (8, 8, "do not agree"),
        (8 + 4 * 6, 7, "loss is unknown"),
        (8 + 4 * 7, 1, "not trained to classify"),
        (8 + 4 * 8, 400, "do not agree"),
    ],
)
def test_what_is_no_classifier_is_named(folder: Path, place: int, value: int, words: str, tmp_path: Path) -> None:
    content = bytearray((folder / "softmax").read_bytes())
    struct.pack_into("<i", content, place, value)
    spoilt = tmp_path / "model.bin"
    spoilt.write_bytes(content)
    with pytest.raises(ValueError, match=words):
        top_labels(pa.array(["x"], pa.large_string()), spoilt)


def test_spoilt_bytes_are_an_error_or_another_model(folder: Path, tmp_path: Path) -> None:
    """And never a crash: what the kernel reads by is checked when the model is read."""
    for name in ("tree", "pruned"):
        content = (folder / name).read_bytes()
        for seed in range(150):
            chance = random.Random(seed)
            changed = bytearray(content)
            changed[chance.randrange(1_000 if chance.random() < 0.7 else len(content))] = chance.randrange(256)
            spoilt = tmp_path / f"{name}{seed}"
            spoilt.write_bytes(changed)
            with contextlib.suppress(ValueError), np.errstate(over="ignore"):
                top_labels(pa.array(["the harbour über 日本語"], pa.large_string()), spoilt)
