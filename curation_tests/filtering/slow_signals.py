"""The definition of every signal in plain Python, one text at a time; the tests and benchmarks compare with it."""

import re
from collections import Counter
from collections.abc import Callable

from curation_assets.filtering.characters import PUNCTUATION_SET, TERMINAL_PUNCTUATION
from curation_assets.filtering.words import words

POLICIES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
CITATION = re.compile(r"\[\d*]|\[edit]|\[citation needed]")
STOP_WORDS = {"the", "be", "to", "of", "and", "that", "have", "with"}
TITLES = {"Mr", "Mrs", "Ms", "Dr", "St", "vs"}


def share(part: float, whole: float) -> float:
    """Part of a whole, 0 of nothing."""
    return part / whole if whole else 0.0


def duplicates(pieces: list[str]) -> tuple[int, int]:
    """Pieces equal to an earlier one, and their characters."""
    seen: set[str] = set()
    count = characters = 0
    for piece in pieces:
        if piece in seen:
            count += 1
            characters += len(piece)
        seen.add(piece)
    return count, characters


def lower(line: str) -> str:
    """Lower case in ASCII."""
    return "".join(c.lower() if c.isascii() else c for c in line)


def slow_sentences(line: str) -> int:
    """Sentences of a line."""
    # Each word with whether white space (or nothing) is before it.
    found, position = [], 0
    for word in words(line):
        start = line.index(word, position)
        found.append((word, start > position))
        position = start + len(word)
    count, ended = (1 if found else 0), False
    for i, (word, apart) in enumerate(found):
        if set(word) <= TERMINAL_PUNCTUATION:
            before = found[i - 1][0] if i and not apart else ""
            if word == ".":
                ended = before not in TITLES
            elif word[0] != ".":
                ended = True
        elif ended and not set(word) <= PUNCTUATION_SET:
            count += 1
            ended = False
    return count


def slow_signals(
    text: str,
    split: Callable[[str], list[str]] = words,
    count_sentences: Callable[[str], int] = slow_sentences,
) -> tuple[dict[str, float], str]:
    """All signals of a text, by their names, and its cleaned text; with another segmentation if wanted."""
    out: dict[str, float] = {}
    size = len(text)
    paragraphs = re.split(r"\n{2,}", text.strip())
    for name, pieces in (("para", paragraphs), ("line", re.split(r"\n+", text))):
        count, characters = duplicates(pieces)
        out[f"dup_{name}_frac"] = count / len(pieces)
        out[f"dup_{name}_char_frac"] = share(characters, size)

    found = split(text)
    for n in (2, 3, 4):
        grams = [" ".join(found[i : i + n]) for i in range(len(found) - n + 1)]
        gram, count = Counter(grams).most_common(1)[0] if grams else ("", 0)
        out[f"top_{n}_gram"] = share(len(gram) * count, size)
    for n in range(5, 11):
        seen: set[str] = set()
        repeated = i = 0
        while i < len(found) - n + 1:
            gram = "".join(found[i : i + n])
            if gram in seen:
                repeated += len(gram)
                i += n
            else:
                seen.add(gram)
                i += 1
        out[f"dup_{n}_gram"] = share(repeated, size)

    nonsymbol = [word for word in found if not set(word) <= PUNCTUATION_SET]
    lines = text.splitlines()
    out["words"] = len(found)
    out["words_nonsymbol"] = len(nonsymbol)
    out["mean_word_length"] = share(sum(map(len, nonsymbol)), len(nonsymbol))
    out["hash_ratio"] = share(text.count("#"), len(found))
    out["ellipsis_ratio"] = share(text.count("...") + text.count("…"), len(found))
    out["bullet_line_ratio"] = share(sum(line.lstrip().startswith(("•", "-")) for line in lines), len(lines))
    out["ellipsis_line_ratio"] = share(sum(line.rstrip().endswith(("...", "…")) for line in lines), len(lines))
    out["alpha_word_ratio"] = share(sum(any(c.isalpha() for c in word) for word in found), len(found))
    out["stop_words"] = len(STOP_WORDS & set(found))

    kept, lorem_ipsum, curly_bracket, sentences = [], 0, 0, 0
    for line in map(str.strip, lines):
        spaced = line.split()
        if len(spaced) < 3 or any(len(word) > 1000 for word in spaced):
            continue
        line = CITATION.sub("", line)
        lowered = lower(line)
        lorem_ipsum += "lorem ipsum" in lowered
        if "javascript" in lowered:
            continue
        curly_bracket += "{" in line
        if any(policy in lowered for policy in POLICIES):
            continue
        sentences += count_sentences(line)
        kept.append(line)
    clean = "\n".join(kept)
    out["c4_lorem_ipsum"] = lorem_ipsum
    out["c4_curly_bracket"] = curly_bracket
    out["c4_sentences"] = sentences

    lines = [line for line in clean.split("\n") if line.strip()]
    out["clean_lines"] = len(lines)
    out["line_punct_ratio"] = share(sum(line[-1] in TERMINAL_PUNCTUATION for line in lines), len(lines))
    out["short_line_ratio"] = share(sum(len(line) <= 30 for line in lines), len(lines))
    out["char_dup_ratio"] = share(duplicates(lines)[1], len(clean.replace("\n", "")))
    out["list_ratio"] = share(clean.count("\n"), len(split(clean)))
    out["characters"] = size
    out["lines"] = len(text.splitlines())
    return out, clean
