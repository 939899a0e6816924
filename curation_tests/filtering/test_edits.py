"""Edits applied by the kernel against slicing of bytes, and offsets traced in both directions."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.filtering.edits import EDITS, apply_edits, output_offset, source_offset

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def edit(start: int, end: int, replacement: str = "") -> dict:
    return {"start": start, "end": end, "replacement": replacement}


def reference(text: str, edits: list[dict]) -> str:
    source = text.encode()
    for item in reversed(edits):
        source = source[: item["start"]] + item["replacement"].encode() + source[item["end"] :]
    return source.decode()


def apply(texts: list[str | None], edits: list[list[dict] | None]) -> list[str | None]:
    result = apply_edits(pa.array(texts, pa.large_string()), pa.array(edits, EDITS))
    result.validate(full=True)
    return result.to_pylist()


@st.composite
def edited(draw: st.DrawFn) -> tuple[str | None, list[dict] | None]:
    text = draw(st.none() | TEXTS)
    characters = text or ""
    cuts = sorted(draw(st.lists(st.integers(0, len(characters)), max_size=8)))
    offsets = [len(characters[:cut].encode()) for cut in cuts]
    pairs = zip(offsets[::2], offsets[1::2], strict=False)
    return text, draw(st.none() | st.just([edit(a, b, draw(TEXTS)) for a, b in pairs]))


@settings(deadline=None)
@given(st.lists(edited()), st.integers(0, 5))
def test_equals_slicing(rows: list, skipped: int):
    texts = pa.array([text for text, _ in rows], pa.large_string())[skipped:]
    edits = pa.array([edits for _, edits in rows], EDITS)[skipped:]
    result = apply_edits(texts, edits)
    result.validate(full=True)
    assert result.to_pylist() == [
        None if text is None else reference(text, edits or []) for text, edits in rows[skipped:]
    ]


@settings(deadline=None)
@given(edited())
def test_every_copied_byte_is_traced(row: tuple):
    text, edits = row[0] or "", (row[1] or []) if row[0] is not None else []
    source, output = text.encode(), reference(text, edits).encode()
    removed = {i for item in edits for i in range(item["start"], item["end"])}
    kept = [i for i in range(len(source)) if i not in removed]
    for offset in kept:
        assert source[offset] == output[output_offset(edits, offset)]
        assert source_offset(edits, output_offset(edits, offset)) == offset
    mapped = [source_offset(edits, offset) for offset in range(len(output))]
    assert mapped == sorted(mapped)
    assert source_offset(edits, len(output)) == len(source)


def test_golden():
    edits = [edit(0, 4), edit(6, 9, "…"), edit(9, 10), edit(12, 12, "+")]
    assert apply(["0123456789abcd"], [edits]) == ["45…ab+cd"]
    assert [source_offset(edits, i) for i in range(10)] == [4, 5, 6, 6, 6, 10, 11, 12, 12, 13]
    assert [output_offset(edits, i) for i in (0, 3, 4, 7, 9, 10, 12, 13)] == [0, 0, 0, 2, 5, 5, 8, 9]


def test_nothing_to_do():
    assert apply([], []) == []
    assert apply([None, "", "ä"], [None, [], None]) == [None, "", "ä"]
    assert apply([None], [[edit(0, 9, "x")]]) == [None]


@pytest.mark.parametrize("edits", [[edit(0, 4)], [edit(2, 1)], [edit(0, 2), edit(1, 3)], [edit(2, 3), edit(0, 1)]])
def test_wrong_spans_are_refused(edits: list):
    with pytest.raises(ValueError, match="row 1"):
        apply(["abc", "abc"], [None, edits])


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="1 texts but 2"):
        apply(["abc"], [None, None])
