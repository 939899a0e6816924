"""Texts made again for an audit, under every recipe."""

import polars as pl
import pytest

from curation_assets.provenance.takedown_audit import final_texts
from curation_assets.provenance.takedown_hits import curated as curated_in
from curation_tests.conftest import Curated


@pytest.mark.parametrize("recipe", ["refinedweb", "fineweb2", "every_method"])
def test_texts_are_those_of_the_corpus_whatever_edits_there_are(curated: dict[str, Curated], recipe: str) -> None:
    line, snapshot, _ = curated[recipe]
    (one,) = [one for one in curated_in(line.lake) if (one.recipe, one.snapshot) == (line.recipe.name, snapshot)]
    seen = 0
    for path in one.table("corpus").paths(".parquet"):
        corpus = pl.read_parquet(path)
        if corpus.height:
            assert final_texts(one, path.name, corpus["doc"].to_numpy()).to_pylist() == corpus["text"].to_list()
            seen += corpus.height
    assert seen > 10
