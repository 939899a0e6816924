"""URL rules: listed domains and addresses, and words that give a page away before it is read.

The rules are FineWeb's (Penedo et al. 2024, arXiv 2406.17557; datatrove's `URLFilter`), kept in their intent:

- registered domain, host, or host without "www." in a `domains` list; IP hosts match IP entries;
- host and path in a `urls` list, compared without scheme, "www.", fragment and closing slash;
- hard words: any one, as a whole part of the URL (parts lie between characters other than a-z and 0-9);
- soft words: likewise, where the published threshold is two distinct ones;
- subwords: anywhere in the URL after all characters other than a-z and 0-9 are deleted.

It differs where the published code defeats its own lists: words are compared without regard to case, `urls`
entries (which carry no scheme) can match, IP entries can match, and the scheme takes no part in word tests.
Thresholds are not applied here; the recipe's gates do that on the counted columns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from curation_assets.filtering.characters import string_buffers

SHIPPED_LISTS = Path(__file__).parent / "lists"
"""The lists that come with this package: real words, invented names."""

WORD_LISTS = ("hard_words", "soft_words", "subwords")
"""Files of words, without their suffix."""

URL_ANNOTATIONS = pa.schema(
    [
        pa.field("url_domain_listed", pa.int8(), nullable=False),
        pa.field("url_domain_category", pa.string()),
        pa.field("url_hard_words", pa.int16(), nullable=False),
        pa.field("url_soft_words", pa.int16(), nullable=False),
        pa.field("url_subwords", pa.int16(), nullable=False),
        pa.field("url_match", pa.string()),
    ]
)
"""What `annotate_urls` says of each URL: listed (1) or not (0), by which category, distinct words found, one reason."""

_SCHEME = r"^[A-Za-z][A-Za-z0-9+.\-]*://"
# Lower-cases ASCII letters, keeps digits, turns every other byte into a space.
_ALPHANUMERIC = np.full(256, ord(" "), dtype=np.uint8)
_ALPHANUMERIC[ord("0") : ord("9") + 1] = np.arange(ord("0"), ord("9") + 1)
for _first in ("A", "a"):
    _ALPHANUMERIC[ord(_first) : ord(_first) + 26] = np.arange(ord("a"), ord("z") + 1)


@dataclass(frozen=True)
class HashedNames:
    """A set of names as sorted 64-bit hashes, each with the index of the category that lists it.

    Ten bytes a name; the hashes mean something only in the process that made them. A name outside the set is
    taken for a member with probability len / 2^64: for the 4.6 million domains FineWeb used and three
    look-ups a page, one false hit in about 10^12 pages.
    """

    keys: npt.NDArray[np.uint64]
    categories: npt.NDArray[np.int16]

    @staticmethod
    def build(names: Sequence[pl.Series]) -> HashedNames:
        """Hash one series of normalised names per category; a name listed by several belongs to the first."""
        hashes = [series.hash(0).to_numpy() for series in names]
        keys, first = np.unique(np.concatenate([np.empty(0, np.uint64), *hashes]), return_index=True)
        owner = np.repeat(np.arange(len(names), dtype=np.int16), [len(series) for series in names])
        return HashedNames(keys, owner[first])

    def find(self, names: pl.Series) -> npt.NDArray[np.int16]:
        """Category index of each name, -1 for names that are not in the set, null or empty."""
        if not len(self.keys):
            return np.full(len(names), -1, dtype=np.int16)
        hashes = names.hash(0).to_numpy()
        at = np.minimum(np.searchsorted(self.keys, hashes), len(self.keys) - 1)
        known = (self.keys[at] == hashes) & (names.str.len_bytes().fill_null(0) > 0).to_numpy()
        return np.where(known, self.categories[at], np.int16(-1))


@dataclass(frozen=True)
class UrlRules:
    """Compiled lists. `categories` were loaded; `absent` were asked for but the folder does not have them."""

    categories: tuple[str, ...]
    absent: tuple[str, ...]
    domains: HashedNames
    urls: HashedNames
    hard_words: tuple[str, ...]
    soft_words: tuple[str, ...]
    subwords: tuple[str, ...]
    fingerprint: str

    @staticmethod
    def load(folder: Path | None, categories: Sequence[str]) -> UrlRules:
        """Read lists in the layout of the UT1 (Université Toulouse Capitole) blacklists.

        `<folder>/<category>/domains` and `<folder>/<category>/urls` hold one entry a line;
        `<folder>/{hard_words,soft_words,subwords}.txt` hold one word a line, and a word file the folder lacks
        is taken from the lists shipped with this package (an empty file switches a word rule off). Lines that
        begin with "#" are comments. Without a folder the shipped lists are used: real words, invented names.

        `fingerprint` is a hash of everything read, in the order of `categories`. Rules are cached per process
        and read again when a file's size or modification time changes. Categories that the folder lacks are
        skipped and named in `absent`.

        Raises FileNotFoundError for a missing folder, and ValueError when not one of `categories` is in it.
        """
        folder = SHIPPED_LISTS if folder is None else Path(folder)
        if not folder.is_dir():
            raise FileNotFoundError(f"URL list folder {folder} does not exist")
        available = sorted(
            entry.name
            for entry in folder.iterdir()
            if entry.is_dir() and any((entry / kind).is_file() for kind in ("domains", "urls"))
        )
        asked = tuple(dict.fromkeys(categories))
        present = tuple(name for name in asked if name in available)
        if asked and not present:
            raise ValueError(
                f"URL list folder {folder} has none of the categories {', '.join(asked)}; "
                f"it has: {', '.join(available) or 'no category'}"
            )
        files = [folder / name / kind for name in present for kind in ("domains", "urls")]
        for name in WORD_LISTS:
            own = folder / f"{name}.txt"
            files.append(own if own.is_file() else SHIPPED_LISTS / own.name)
        stamps = [(path, path.stat()) for path in files if path.is_file()]
        versions = tuple((path, stamp.st_mtime_ns, stamp.st_size) for path, stamp in stamps)
        return _load(present, tuple(name for name in asked if name not in available), versions)


@lru_cache(maxsize=4)
def _load(present: tuple[str, ...], absent: tuple[str, ...], versions: tuple[tuple[Path, int, int], ...]) -> UrlRules:
    digest = hashlib.blake2b(digest_size=16)
    entries: dict[tuple[str, str], pl.Series] = {}
    for path, _, _ in versions:
        content = path.read_bytes()
        label = f"{path.parent.name}/{path.name}" if path.suffix != ".txt" else path.name
        digest.update(f"{label}\0{len(content)}\0".encode() + content)
        entries[(path.parent.name if path.suffix != ".txt" else "", path.name)] = _lines(content)
    nothing = pl.Series([], dtype=pl.String)
    words = [_words(entries[("", f"{name}.txt")]) for name in WORD_LISTS]
    return UrlRules(
        categories=present,
        absent=absent,
        domains=HashedNames.build([entries.get((name, "domains"), nothing) for name in present]),
        urls=HashedNames.build([_address(entries.get((name, "urls"), nothing)) for name in present]),
        hard_words=words[0],
        soft_words=words[1],
        subwords=words[2],
        fingerprint=digest.hexdigest(),
    )


def _lines(content: bytes) -> pl.Series:
    """Lower-cased, stripped, non-empty lines that are no comments."""
    text = content.decode("utf-8-sig", errors="replace")
    lines = pl.Series([text]).str.split("\n").explode().str.strip_chars().str.to_lowercase()
    return lines.filter((lines != "") & ~lines.str.starts_with("#"))


def _words(lines: pl.Series) -> tuple[str, ...]:
    """Words reduced to a-z and 0-9 ("two words" becomes "twowords"), in file order, each once."""
    words = lines.str.replace_all(r"[^a-z0-9]", "")
    return tuple(words.filter(words != "").unique(maintain_order=True).to_list())


def _address(lines: pl.Series) -> pl.Series:
    """Comparable form of a lower-case address: no scheme, no "www.", no fragment, no closing slash."""
    bare = lines.str.replace(_SCHEME, "").str.strip_prefix("www.")
    return bare.str.replace(r"#.*$", "").str.strip_chars_end("/")


def annotate_urls(urls: pa.Array, hosts: pa.Array, registered_domains: pa.Array, rules: UrlRules) -> pa.Table:
    """Look every URL up in `rules`; three row-aligned string arrays in, one `URL_ANNOTATIONS` table out.

    `url_domain_listed` is 1 when the registered domain, the host or the address is listed, and
    `url_domain_category` the category that lists it (the first of `rules.categories` where several do). The
    three counts are of distinct words. `url_match` names one reason: the listed name, else the first hard
    word, the first soft word when there are two or more, a subword, a lone soft word. Null and empty strings
    match nothing. Raises ValueError when the arrays differ in length.
    """
    if not len(urls) == len(hosts) == len(registered_domains):
        raise ValueError("urls, hosts and registered_domains differ in length")
    addresses, host, domain = (_strings(array) for array in (urls, hosts, registered_domains))
    host = host.str.to_lowercase().str.strip_chars_end(".")
    bare_host = host.str.strip_prefix("www.")
    names = [domain.str.to_lowercase(), host, bare_host]
    found = [rules.domains.find(series) for series in names]
    if len(rules.urls.keys):
        # The host column stands in for the authority, so that user-info and port take no part.
        rest = addresses.str.replace(r"^[^:/?#]*://[^/?#]*", "").str.to_lowercase()
        with_query = _address(bare_host + rest)
        for series in (with_query, with_query.str.replace(r"\?.*$", "").str.strip_chars_end("/")):
            names.append(series)
            found.append(rules.urls.find(series))
    category = np.full(len(urls), -1, dtype=np.int16)
    listed_name = pl.repeat(None, len(urls), dtype=pl.String, eager=True)
    for series, index in zip(reversed(names), reversed(found), strict=True):
        listed_name = series.zip_with(pl.Series(index >= 0), listed_name)
        category = np.where(index >= 0, index, category)

    parts, squeezed = _parts_and_squeezed(addresses.str.replace(_SCHEME, ""))
    hard, first_hard = _whole_words(parts, rules.hard_words)
    soft, first_soft = _whole_words(parts, rules.soft_words)
    sub, first_sub = _contained_words(squeezed, rules.subwords)
    match = pl.select(
        pl.coalesce(listed_name, first_hard, pl.when(soft >= 2).then(first_soft), first_sub, first_soft).alias(
            "url_match"
        )
    ).to_series()
    index = pa.array(category, mask=category < 0)
    columns = [
        pa.array((category >= 0).astype(np.int8)),
        pa.array(rules.categories, pa.string()).take(index),
        hard.to_arrow(),
        soft.to_arrow(),
        sub.to_arrow(),
        match.to_arrow(),
    ]
    return pa.Table.from_arrays(
        [column.cast(field.type) for column, field in zip(columns, URL_ANNOTATIONS, strict=True)],
        schema=URL_ANNOTATIONS,
    )


def _strings(array: pa.Array) -> pl.Series:
    return pl.Series(array.cast(pa.large_string())).fill_null("")


def _parts_and_squeezed(addresses: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Every address with its separators turned into spaces, and with its separators deleted; lower case."""
    offsets, data = string_buffers(addresses.to_arrow().cast(pa.large_string()))
    spaced = _ALPHANUMERIC[data[offsets[0] : offsets[-1]]]
    offsets = offsets - offsets[0]
    kept = spaced != ord(" ")
    before = np.zeros(len(spaced) + 1, dtype=np.int64)
    np.cumsum(kept, out=before[1:])
    return _from_bytes(offsets, spaced), _from_bytes(before[offsets], spaced[kept])


def _from_bytes(offsets: npt.NDArray[np.int64], text: npt.NDArray[np.uint8]) -> pl.Series:
    buffers = pa.py_buffer(offsets), pa.py_buffer(text)
    return pl.Series(pa.LargeStringArray.from_buffers(len(offsets) - 1, *buffers))


def _whole_words(parts: pl.Series, words: tuple[str, ...]) -> tuple[pl.Series, pl.Series]:
    """Number of distinct `words` among the space-separated parts of each string, and the first of them."""
    if not words:
        return _no_words(len(parts))
    # Few URLs contain a word at all: the automaton finds those, and only they are split.
    rows = parts.str.contains_any(list(words)).arg_true()
    found = parts.gather(rows).str.split(" ").list.unique(maintain_order=True)
    return _spread(rows, found.list.eval(pl.element().filter(pl.element().is_in(list(words)))), len(parts))


def _contained_words(squeezed: pl.Series, words: tuple[str, ...]) -> tuple[pl.Series, pl.Series]:
    """Number of distinct `words` that occur anywhere in each string, and the first of them."""
    if not words:
        return _no_words(len(squeezed))
    rows = squeezed.str.contains_any(list(words)).arg_true()
    found = squeezed.gather(rows).str.extract_many(list(words), overlapping=True)
    return _spread(rows, found.list.unique(maintain_order=True), len(squeezed))


def _no_words(length: int) -> tuple[pl.Series, pl.Series]:
    return (
        pl.zeros(length, dtype=pl.Int16, eager=True),
        pl.repeat(None, length, dtype=pl.String, eager=True),
    )


def _spread(rows: pl.Series, found: pl.Series, length: int) -> tuple[pl.Series, pl.Series]:
    """Size and first element of each list in `found`, put back at `rows` of a column of `length` rows."""
    counts, first = _no_words(length)
    counts = counts.scatter(rows, found.list.len().cast(pl.Int16))
    return counts, first.scatter(rows, found.list.first())
