"""datatrove's language and URL filters, one condition at a time, and what is made as here when they are tried again."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from datatrove.data import Document  # pyright: ignore[reportMissingImports]
from datatrove.pipeline.filters import LanguageFilter, URLFilter  # pyright: ignore[reportMissingImports]
from datatrove.utils._import_utils import ASSETS_PATH  # pyright: ignore[reportMissingImports]

from benchmarks.parity.comparison import Comparison, Retry, compare
from curation_assets.acquisition.documents import registered_domain, split_host
from curation_assets.filtering.fasttext_model import LID_176
from curation_assets.filtering.language import identify_language
from curation_assets.filtering.urls import UrlRules, annotate_urls

WORD_FILES = {
    "hard_words": "banned_words.txt",
    "soft_words": "soft_banned_words.txt",
    "subwords": "banned_subwords.txt",
}
CHARACTERS = 1000
PUBLISHED = "published"
"""The name of datatrove's lists among ours."""


def _model() -> Any:
    """lid.176, compressed, as datatrove's filter loads the uncompressed model."""
    from fasttext.FastText import _FastText

    return _FastText(str(LID_176))


def language_filter(languages: str | None, model: Any = None, **options: Any) -> LanguageFilter:
    """datatrove's filter with a loaded model, by default the compressed one."""
    # It asks for one distribution of fastText by name; the module is what it needs.
    LanguageFilter._requires_dependencies = []
    step = LanguageFilter(languages=languages, **options)
    step.model._model = model or _model()
    return step


def compare_languages(texts: Sequence[str], limit: float) -> list[Comparison]:
    """Compare the gate on the language, that on the score with our limit, and both: "English, with a score"."""
    model = _model()
    english, any_language = language_filter("en", model), language_filter(None, model)
    table = identify_language(pa.array(texts, pa.large_string()), CHARACTERS)
    labels, scores = table["language"].to_pylist(), table["language_score"].to_pylist()

    def label(text: str) -> bool:
        return any_language.model.predict(Document(text=text, id=""))[0][0] != "en"

    def score(text: str) -> bool:
        return not any_language.filter(Document(text=text, id=""))

    def both(text: str) -> bool:
        return not english.filter(Document(text=text, id=""))

    ours = {
        "language": (label, [one != "en" for one in labels]),
        "language_score": (score, [one < limit for one in scores]),
        "language, language_score": (both, [a != "en" or b < limit for a, b in zip(labels, scores, strict=True)]),
    }
    return [
        compare(name, our, [theirs(text) for text in texts], _language_retries(texts, theirs))
        for name, (theirs, our) in ours.items()
    ]


def _language_retries(texts: Sequence[str], drops: Callable[[str], bool]) -> dict[str, Retry]:
    def head(page: int) -> str:
        return texts[page][:CHARACTERS]

    def without_controls(page: int) -> bool:
        return drops(head(page).replace("\0", "").replace("\r", " ").replace("</s>", " "))

    def no_letter(page: int) -> bool:
        return not any(character.isalpha() for character in head(page)) or drops(head(page))

    return {
        "1,000 characters": lambda page: drops(head(page)),
        "control characters": without_controls,
        "no letter": no_letter,
    }


class PublishedLists:
    """The lists that come with datatrove, for its filter and for ours."""

    def __init__(self, folder: Path) -> None:
        """Write the lists into a folder as ours reads them, and load both filters."""
        write_lists(folder)
        self.rules = UrlRules.load(folder, [PUBLISHED])
        self.entries = {kind: (folder / PUBLISHED / kind).read_text().splitlines() for kind in ("domains", "urls")}
        self.addresses = {_bare(entry.lower()) for entry in self.entries["urls"]}
        words = {kind: (folder / f"{kind}.txt").read_text().splitlines() for kind in WORD_FILES}
        self.words = {kind: [line for line in lines if line[:1] not in ("", "#")] for kind, lines in words.items()}
        self.filters = {
            "url_domain": url_filter(extra_domains=self.entries["domains"], extra_urls=self.entries["urls"]),
            "url_hard_word": url_filter(banned_words=self.words["hard_words"]),
            "url_soft_words": url_filter(soft_banned_words=self.words["soft_words"]),
            "url_subword": url_filter(banned_subwords=self.words["subwords"]),
        }

    def variants(self, every: int) -> list[str]:
        """URLs made of some entries of the lists, as a crawl would have them."""
        urls = []
        for domain in self.entries["domains"][::every]:
            urls += [f"https://{domain}/", f"http://www.{domain}/a/b?c=d", f"HTTPS://{domain.upper()}:8080/"]
        for address in self.entries["urls"][:: max(every // 200, 1)]:
            urls += [f"https://{address}", f"http://www.{address.upper()}#top", f"{address}"]
        for words in self.words.values():
            for word, other in zip(words, [*words[1:], words[0]], strict=True):
                word, other = (re.sub("[^A-Za-z0-9]+", "", one) for one in (word, other))
                urls += [
                    f"https://example.org/{path}"
                    for path in (
                        word,
                        word.upper(),
                        f"a/{word}-{other}.html",
                        f"{word.title()}_{other.title()}",
                        word[1:],
                    )
                ]
        return urls


def _bare(address: str) -> str:
    """An address in lower case without scheme, "www.", fragment and closing slash."""
    return re.sub("^[a-z]+://", "", address).removeprefix("www.").partition("#")[0].rstrip("/")


def write_lists(folder: Path) -> None:
    """Write the lists that come with datatrove into a folder as ours reads them."""
    (folder / PUBLISHED).mkdir()
    assets = Path(ASSETS_PATH)
    with tarfile.open(next(assets.glob("url_filterblacklists*.tar.gz"))) as archive:
        for kind in ("domains", "urls"):
            member = archive.extractfile(kind)
            assert member is not None
            (folder / PUBLISHED / kind).write_bytes(member.read())
    for ours, theirs in WORD_FILES.items():
        (folder / f"{ours}.txt").write_bytes((assets / theirs).read_bytes())


def url_filter(**options: Any) -> URLFilter:
    """datatrove's filter; without its own lists, if not told otherwise."""
    from tldextract import TLDExtract

    step = URLFilter(**{"use_integrated_lists": False, **options})
    step.tldextractor = TLDExtract(cache_dir=None, suffix_list_urls=())  # its own asks the network for the list
    return step


def compare_urls(urls: Sequence[str], lists: PublishedLists) -> list[Comparison]:
    """Compare the gates of the URL filter, with the lists that come with datatrove."""
    hosts = [split_host(url) for url in urls]
    domains = [registered_domain(host) if host else None for host in hosts]
    url, host, domain = (pa.array(column, pa.string()) for column in (urls, hosts, domains))
    found = annotate_urls(url, host, domain, lists.rules)
    ours = {
        "url_domain": [value > 0 for value in found["url_domain_listed"].to_pylist()],
        "url_hard_word": [value > 0 for value in found["url_hard_words"].to_pylist()],
        "url_soft_words": [value >= 2 for value in found["url_soft_words"].to_pylist()],
        "url_subword": [value > 0 for value in found["url_subwords"].to_pylist()],
    }

    def drops(gate: str, url: str) -> bool:
        return lists.filters[gate].filter(Document(text="", id="", metadata={"url": url})) is not True

    def retries(gate: str) -> dict[str, Retry]:
        step = lists.filters[gate]

        def lower(page: int) -> bool:
            return drops(gate, urls[page].lower())

        def without_scheme(page: int) -> bool:
            return drops(gate, re.sub("^[a-z]+://", "", urls[page].lower()))

        def listed(page: int) -> bool:
            return hosts[page] in step.block_listed_domains

        def bare_host(page: int) -> bool:
            return (hosts[page] or "").removeprefix("www.") in step.block_listed_domains

        def address(page: int) -> bool:
            bare = _bare((hosts[page] or "") + re.sub("^[a-z]+://[^/?#]*", "", urls[page].lower()))
            return not {bare, bare.partition("?")[0].rstrip("/")}.isdisjoint(lists.addresses)

        kinds: dict[str, Retry] = {"letter case": lower}
        if gate == "url_domain":
            return kinds | {"IP address": listed, "www.": bare_host, "`urls` entry": address}
        return kinds | {"scheme": without_scheme}

    return [compare(gate, our, [drops(gate, url) for url in urls], retries(gate)) for gate, our in ours.items()]
