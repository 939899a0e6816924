"""The definition of every signal in plain Python, one text at a time; the tests and benchmarks compare with it."""

import re
import statistics
from collections import Counter
from collections.abc import Callable, Collection

from curation_assets.filtering.characters import PUNCTUATION, PUNCTUATION_SET, TERMINAL_PUNCTUATION
from curation_assets.filtering.definitions import Definitions, LineEdits
from curation_assets.filtering.signals import C4, DATATROVE
from curation_assets.filtering.words import words

POLICIES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
CITATION = re.compile(r"\[\d*]|\[edit]|\[citation needed]")
TITLES = {"Mr", "Mrs", "Ms", "Dr", "St", "vs"}
COUNTER = re.compile(
    r"\W*\d[\d.,]*[kmb]?\s+"
    r"(likes|shares|comments|retweets|reposts|quotes|bookmarks|upvotes|downvotes|downloads|views|followers)"
)
COUNTED_END = re.compile(r"\W*\Z")


def share(part: float, whole: float) -> float:
    """Part of a whole, 0 of nothing."""
    return part / whole if whole else 0.0


def punctuation(definitions: Definitions) -> frozenset[str]:
    return PUNCTUATION_SET if definitions.terminal_is_punctuation else PUNCTUATION


def duplicates(pieces: list[str], every: bool) -> tuple[int, int]:
    """Pieces equal to an earlier one, or to any other, and their characters."""
    times = Counter(pieces)
    repeats = [(piece, count if every else count - 1) for piece, count in times.items() if count > 1]
    return sum(count for _, count in repeats), sum(len(piece) * count for piece, count in repeats)


def lower(line: str) -> str:
    """Lower case in ASCII."""
    return "".join(c.lower() if c.isascii() else c for c in line)


def lines_of(text: str, kind: str) -> list[str]:
    if kind == "splitlines":
        return text.splitlines()
    if kind == "newline_runs":
        return re.split(r"\n+", text)
    lines = text.split("\n")
    return [line.strip() for line in lines if line.strip()] if kind == "nonblank" else lines


def slow_sentences(line: str, marks: frozenset[str] = PUNCTUATION_SET) -> int:
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
        elif ended and not set(word) <= marks:
            count += 1
            ended = False
    return count


def counted(found: list[str], kind: str, marks: frozenset[str]) -> list[str]:
    if kind == "all":
        return found
    if kind == "alphanumeric":
        return [word for word in found if word[0].isalnum()]
    return [word for word in found if not set(word) <= marks]


def top_ngram(found: list[str], n: int, definitions: Definitions) -> int:
    """Characters of the most frequent n-gram, times its count."""
    of_words = definitions.ngram_denominator == "words"
    grams = Counter(tuple(found[i : i + n]) for i in range(len(found) - n + 1))
    if not grams:
        return 0
    (first, most), *_ = grams.most_common(1)
    if definitions.top_ngram == "first":
        length = sum(map(len, first))
    elif most == 1:
        return 0
    else:
        length = max(sum(map(len, gram)) for gram, times in grams.items() if times == most)
    return (length + (0 if of_words else n - 1)) * most


def repeated_ngrams(found: list[str], n: int, definitions: Definitions, whole: int) -> float:
    """Share of the characters that repeated n-grams cover."""
    if definitions.repeated_ngrams == "jumps":
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
        return share(repeated, whole)
    grams = [tuple(found[i : i + n]) for i in range(len(found) - n + 1)]
    times = Counter(grams)
    if definitions.repeated_ngrams == "union":
        covered = {j for i, gram in enumerate(grams) if times[gram] > 1 for j in range(i, i + n)}
        return share(sum(len(found[j]) for j in covered), whole)
    lengths = [(sum(map(len, gram)), times[gram] > 1) for gram in grams]
    return share(sum(length for length, repeats in lengths if repeats), sum(length for length, _ in lengths))


def without_phrases(line: str) -> str:
    """A line without its phrases; a line feed stands for what was removed until all are."""
    line = re.sub(r"\s?items in cart", "\n", line, flags=re.I)
    line = re.sub(r"\s?read more\.\.\.(?=\s*\Z)", "\n", line, flags=re.I)
    return re.sub(r"\A(\s*)sign-in\s?", r"\1", line, flags=re.I).replace("\n", "")


def capped(text: str, cap: int) -> str:
    return re.sub(f"\n{{{cap + 1},}}", "\n" * cap, text) if cap else text


def slow_clean(text: str, edits: LineEdits) -> tuple[str, int, int]:
    """The cleaned text, and its lines with lorem ipsum and with a curly bracket."""
    kept, lorem_ipsum, curly_bracket = [], 0, 0
    text = capped(text, edits.newline_cap)
    for line in [line.strip() for line in text.splitlines()] if edits.stripped else text.split("\n"):
        spaced = line.split()
        if not line and edits.stripped:
            continue
        if line:
            if len(spaced) < edits.min_words:
                continue
            if edits.max_word_length and max(map(len, spaced), default=0) > edits.max_word_length:
                continue
            if sum(c.isupper() for c in line) / len(line) > edits.max_uppercase:
                continue
            if sum(c.isdecimal() for c in line) / len(line) > edits.max_digits:
                continue
            match = COUNTER.match(lower(line))
            if match and (
                edits.counters == "prefix" or (edits.counters == "whole" and COUNTED_END.match(line, match.end()))
            ):
                continue
        if edits.citations:
            line = CITATION.sub("", line)
        if edits.phrases and len(spaced) <= 10:
            shorter = without_phrases(line)
            if shorter != line and not shorter.strip():
                continue
            line = shorter
        if edits.terminal_punctuation and (not line.endswith((".", "?", "!", '"', "'")) or line.endswith("...")):
            continue
        lowered = lower(line)
        lorem_ipsum += "lorem ipsum" in lowered
        if edits.javascript and "javascript" in lowered:
            continue
        curly_bracket += "{" in line
        if edits.policy and any(policy in lowered for policy in POLICIES):
            continue
        kept.append(line)
    clean = "\n".join(kept)
    clean = capped(clean, edits.final_newline_cap)
    return clean.strip() if edits.stripped_text else clean, lorem_ipsum, curly_bracket


def slow_signals(
    text: str,
    split: Callable[[str], list[str]] = words,
    count_sentences: Callable[[str], int] | None = None,
    definitions: Definitions = DATATROVE,
    edits: LineEdits = C4,
    stop_words: Collection[str] | None = None,
) -> tuple[dict[str, float], str]:
    """All signals of a text, by their names, and its cleaned text; with another segmentation if wanted."""
    d = definitions
    marks = punctuation(d)
    every = d.duplicates == "all"

    def ratio_words(text: str) -> list[str]:
        return text.split() if d.words == "whitespace" else split(text)

    found = ratio_words(text)
    out: dict[str, float] = {}
    size = len(text)
    paragraphs = re.split(r"\n{2,}", text.strip())
    if d.repeated_lines == "nonblank":
        paragraphs = [paragraph.strip() for paragraph in paragraphs if paragraph.strip()]
    for name, pieces in (("para", paragraphs), ("line", lines_of(text, d.repeated_lines))):
        count, characters = duplicates(pieces, every)
        wholes = {"text": size, "pieces": sum(map(len, pieces)), "words": sum(map(len, found))}
        out[f"dup_{name}_frac"] = share(count, len(pieces))
        out[f"dup_{name}_char_frac"] = share(characters, wholes[d.piece_denominator])

    grams = text.split() if d.ngram_words == "whitespace" else split(text)
    if d.ngram_words == "alphanumeric":
        grams = [word for word in grams if word[0].isalnum()]
    whole = sum(map(len, grams)) if d.ngram_denominator == "words" else size
    for n in (2, 3, 4):
        out[f"top_{n}_gram"] = share(top_ngram(grams, n, d), whole)
    for n in range(5, 11):
        out[f"dup_{n}_gram"] = repeated_ngrams(grams, n, d, whole)

    lengths = [len(word) for word in counted(found, d.averaged_words, marks)]
    hashes, ellipses = text.count("#"), sum(text.count(form) for form in set(d.ellipses))
    symbols = hashes + ellipses
    if d.symbols == "words":
        kinds = [("#" in word, any(form in word for form in d.ellipses)) for word in found]
        hashes, ellipses, symbols = (
            sum(test(kind) for kind in kinds) for test in (lambda k: k[0], lambda k: k[1], any)
        )
    stop = set(d.stop_words if stop_words is None else stop_words)
    stops = [word for word in (found if d.stop_word_case else map(lower, found)) if word in stop]
    lines = lines_of(text, d.lines)
    out["words"] = len(found)
    out["words_nonsymbol"] = len(counted(found, d.counted_words, marks))
    out["mean_word_length"] = share(sum(lengths), len(lengths))
    out["median_word_length"] = statistics.median(min(length, 255) for length in lengths) if lengths else 0
    out["hash_ratio"] = share(hashes, len(found))
    out["ellipsis_ratio"] = share(ellipses, len(found))
    out["symbol_ratio"] = share(symbols, len(found))
    out["alpha_word_ratio"] = share(sum(any(c.isalpha() for c in word) for word in found), len(found))
    out["stop_words"] = len(set(stops) if d.stop_word_count == "distinct" else stops)
    shown = [line.strip() for line in lines] if d.stripped_lines else lines
    out["bullet_line_ratio"] = share(sum(line.startswith(d.bullets) for line in shown), len(lines))
    out["ellipsis_line_ratio"] = share(sum(line.endswith(d.ellipses) for line in shown), len(lines))

    out["long_lines"] = sum(len(line) >= 200 for line in shown if line.strip())

    clean, out["c4_lorem_ipsum"], out["c4_curly_bracket"] = slow_clean(text, edits)
    left = ratio_words(clean)
    out["c4_sentences"] = sum(
        slow_sentences(line, marks) if count_sentences is None else count_sentences(line) for line in clean.split("\n")
    )
    out["words_removed_share"] = share(
        out["words_nonsymbol"] - len(counted(left, d.counted_words, marks)), out["words_nonsymbol"]
    )

    every_line = clean.split("\n")
    lines = [line for line in every_line if line.strip() or d.blank_lines]
    ends = frozenset(".'\"!?") if d.line_end_marks == "ascii" else TERMINAL_PUNCTUATION
    out["clean_lines"] = sum(bool(line.strip()) for line in every_line)
    out["line_punct_ratio"] = share(sum(line[-1:] in ends for line in lines), len(lines))
    out["short_line_ratio"] = share(sum(len(line) <= 30 for line in lines), len(lines))
    out["char_dup_ratio"] = share(duplicates(lines, False)[1], len(clean.replace("\n", "")))
    out["list_ratio"] = share(clean.count("\n"), len(left))
    out["characters"] = size
    out["lines"] = len(lines_of(text, d.lines))
    return out, clean
