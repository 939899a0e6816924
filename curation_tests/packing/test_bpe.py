from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import tokenizers
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import models, pre_tokenizers, trainers

from curation_assets.packing.bpe import learn_merges
from curation_assets.packing.tokenizer import END_OF_DOCUMENT, train_tokenizer

LETTERS = st.text("ab", min_size=1, max_size=12) | st.text("abcd", min_size=1, max_size=6)


def learn(words: dict[str, int], vocabulary: int) -> list[tuple[int, int, int]]:
    symbols = np.frombuffer("".join(words).encode(), np.uint8)
    lengths, counts = np.array([len(w) for w in words], int), np.array(list(words.values()), int)
    return [tuple(row) for row in learn_merges(symbols, lengths, counts, vocabulary).tolist()]


def learn_slowly(words: dict[str, int], vocabulary: int) -> list[tuple[int, int, int]]:
    """Count every pair again for each merge."""
    names = {chr(i): i for i in range(256)}
    spelled = [chr(i) for i in range(256)]
    split = {word: [ord(character) for character in word] for word in words}
    merges: list[tuple[int, int, int]] = []
    while len(names) < vocabulary:
        pairs: Counter[tuple[int, int]] = Counter()
        for word, symbols in split.items():
            for pair in pairwise(symbols):
                pairs[pair] += words[word]
        if not pairs:
            break
        a, b = min(pairs, key=lambda pair: (-pairs[pair], pair))
        text = spelled[a] + spelled[b]
        new = names.setdefault(text, len(names))
        if new == len(spelled):
            spelled.append(text)
        if (a, b, new) not in merges:
            merges.append((a, b, new))
        for word, symbols in split.items():
            merged: list[int] = []
            at = 0
            while at < len(symbols):
                if tuple(symbols[at : at + 2]) == (a, b):
                    merged.append(new)
                    at += 2
                else:
                    merged.append(symbols[at])
                    at += 1
            split[word] = merged
    return merges


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(LETTERS, st.integers(1, 9), max_size=12), st.integers(250, 290))
@example({"aaaaaaa": 1, "aaab": 3, "baaa": 2}, 290)
@example({"abc": 5, "ab": 4, "bc": 4, "xbc": 9, "abx": 1, "abcabc": 2}, 290)
def test_merges_are_those_of_counting_anew(words: dict[str, int], vocabulary: int):
    assert learn(words, vocabulary) == learn_slowly(words, vocabulary)


def test_no_words_no_merges():
    assert learn({}, 300) == [] == learn({"a": 3}, 300)


def test_a_long_run_does_not_hang():
    merges = learn({"a" * 300_000: 1}, 270)
    assert merges[:3] == [(97, 97, 256), (256, 256, 257), (257, 257, 258)]


def test_too_much_is_refused():
    huge = np.broadcast_to(np.uint8(0), 2**29)
    with pytest.raises(ValueError, match="smaller sample"):
        learn_merges(huge, np.array([2**29]), np.array([1]), 300)


def test_training_gives_the_tokenizer_that_hugging_face_trains(prose: list[str]):
    texts = [*prose, "\x00\x01\u00a0\n\n  \U0001f600 don't we'll 12345 ½٣"]
    reference = tokenizers.Tokenizer(models.BPE())
    reference.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    reference.decoder = tokenizers.decoders.ByteLevel()
    reference.train_from_iterator(
        iter(texts),
        trainers.BpeTrainer(
            vocab_size=350,
            special_tokens=[END_OF_DOCUMENT],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    assert train_tokenizer(texts, 350) == reference.to_str()
