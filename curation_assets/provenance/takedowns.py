"""The list of takedowns of a lake: which pages must not be in the shards, since when, and why.

    <lake>/takedowns/
        list.jsonl               one line a version: a takedown added, or one revoked
        hits/T1.parquet          the documents that takedown T1 hit in what was materialised when it was added
        tokenizers/<hash>.json   tokenizers that were trained on a corpus something was taken from
        audits/                  records of audits; see `provenance.takedown_audit`

The folder can be copied into an empty lake: what is built there is what the old lake became. Lines are only ever
appended. Each holds the SHA-256 of the line before and of its file of hits, and the names of audits begin with that of
the line they were made at, so that a list that was changed or cut is refused.
"""

import fcntl
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, ValidationError

from curation_assets.lake.lake import LakeError, file_sha256, write_atomically
from curation_assets.lake.parts import PartWriter, read_table
from curation_assets.lake.query import query

FOLDER = "takedowns"
TAKEDOWNS = pa.schema(
    [
        ("doc", pa.int64()),
        ("record_id", pa.string()),
        ("takedowns", pa.list_(pa.string())),
        ("detail", pa.string()),
    ]
)
"""Documents that takedowns hit: ids of all of them in order, and the first one's id and reason."""

HITS = pa.schema(
    [
        ("recipe", pa.string()),
        ("snapshot", pa.string()),
        ("doc", pa.int64()),
        ("record_id", pa.string()),
        ("url", pa.string()),
        ("verdict", pa.string()),
        ("duplicate_of", pa.int64()),
        ("cluster_size", pa.int32()),
        ("token_count", pa.int64()),
    ]
)
"""What a takedown hit when it was added, and what had become of it; `token_count` is null where it was not packed."""

Kind = Literal["url", "host", "pattern", "record"]
REGEX = "re:"
"""A pattern that begins so is a regular expression, any other a glob."""

MATCHED_PATTERN = pa.schema([("doc", pa.int64()), ("number", pa.int64())])


class Rule(BaseModel):
    """What a takedown is of. Matching takes time linear in the length of URLs.

    `url`: every spelling of the page's URL: `canonical_urls` says which differences do not count (scheme, `www.`, case
    of the host, slashes at the end, fragment, escapes, order of the query, parameters that only track).
    `host`: the host and all hosts below it.
    `pattern`: a glob over the whole URL (`*` any characters, `?` one; without `://` of any scheme), or after `re:` a
    regular expression (RE2) that is searched in it. Case counts.
    `record`: a WARC record id.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    kind: Kind
    value: str
    reason: str

    @property
    def regex(self) -> str:
        """A pattern as RE2 takes it."""
        if self.value.startswith(REGEX):
            return self.value.removeprefix(REGEX)
        scheme = "" if "://" in self.value else r"(?:[A-Za-z][A-Za-z0-9+.-]*://)?"
        return rf"(?s)\A{scheme}{''.join(map(_of_glob, self.value))}\z"


class Found(BaseModel):
    """What a takedown hit in one recipe's tables of one snapshot, when it was added."""

    model_config = ConfigDict(frozen=True)

    recipe: str
    snapshot: str
    documents: int
    kept: int
    """Of these, documents with the verdict `kept`."""
    packed: int
    """Documents that lay in the shards, or had been taken down from them before."""
    tokens: int
    sequences: int
    """Sequences that these lay in."""
    shards: tuple[str, ...]
    """Shards that they lay in."""
    files: dict[str, str] = {}
    """SHA-256 of every file beside the shards' manifest, by name."""
    recipe_fingerprint: str | None = None
    """Of the recipe that the shards were made by; None without shards."""
    tokenizer: str | None = None
    """SHA-256 of their tokenizer."""
    trained: bool = False
    """It was trained on the corpus, not given."""


class Entry(BaseModel):
    """A line of the list."""

    model_config = ConfigDict(frozen=True)

    version: int
    action: Literal["add", "revoke"]
    id: str
    """Of the takedown that is added or revoked."""
    kind: Kind | None = None
    value: str | None = None
    reason: str
    date: datetime
    found: tuple[Found, ...] = ()
    hits: str | None = None
    """SHA-256 of the file of hits."""
    previous: str
    """SHA-256 of the line before; of nothing for the first one."""

    @property
    def rule(self) -> Rule:
        """What is taken down."""
        return Rule.model_validate({name: getattr(self, name) for name in Rule.model_fields})


class TakedownList:
    """The list of a lake, which may have none.

    Raises `LakeError` wherever the list is read and is not what was appended.
    """

    def __init__(self, root: Path) -> None:
        self.folder = root / FOLDER
        self.path = self.folder / "list.jsonl"

    @cached_property
    def _lines(self) -> list[bytes]:
        try:
            return self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return []

    @cached_property
    def entries(self) -> list[Entry]:
        """All versions, in order."""
        entries: list[Entry] = []
        head = self._hash(b"")
        for number, line in enumerate(self._lines, 1):
            try:
                entry = Entry.model_validate_json(line)
            except ValidationError as error:
                raise self._refused(number, "is not a line of this list") from error
            if entry.version != number or entry.previous != head:
                raise self._refused(number, "does not follow the line before it: one of them was changed")
            entries.append(entry)
            head = self._hash(line)
        for audit in sorted((self.folder / "audits").glob("*.json")):
            version, _, seen = audit.stem.partition("-")
            if not version.isdecimal() or not self.head(int(version)).startswith(seen.partition("-")[0]):
                raise self._refused(len(entries) + 1, f"is missing, or one before was changed: {audit.name} knows it")
        return entries

    @property
    def version(self) -> int:
        """The number of its lines."""
        return len(self.entries)

    def head(self, version: int | None = None) -> str:
        """Hash of one line, the last by default, which stands for all up to it; of no line for 0 or one too many."""
        at = len(self._lines) if version is None else version
        return self._hash(self._lines[at - 1] if 0 < at <= len(self._lines) else b"")

    @property
    def in_force(self) -> list[Entry]:
        """Takedowns that were added and not revoked, in order."""
        revoked = {entry.id for entry in self.entries if entry.action == "revoke"}
        return [entry for entry in self.entries if entry.action == "add" and entry.id not in revoked]

    @property
    def rules(self) -> list[Rule]:
        """What is taken down."""
        return [entry.rule for entry in self.in_force]

    def get(self, name: str) -> Entry:
        """The takedown in force with an id. Raises `ValueError` when there is none."""
        for entry in self.in_force:
            if entry.id == name:
                return entry
        held = ", ".join(entry.id for entry in self.in_force) or "none"
        raise ValueError(f"no takedown {name} is in force; in force are: {held}")

    def hits(self, entry: Entry) -> pa.Table:
        """What a takedown hit when it was added: rows of `HITS`."""
        path = self.hits_path(entry.id)
        if not path.is_file() or file_sha256(path) != entry.hits:
            raise LakeError(f"{path} is missing or was changed since {entry.id} was added: {_RESTORE}")
        return read_table(path)

    def hits_path(self, name: str) -> Path:
        """Where the hits of a takedown are."""
        return self.folder / "hits" / f"{name}.parquet"

    def tokenizer_path(self, sha: str) -> Path:
        """Where a tokenizer is kept."""
        return self.folder / "tokenizers" / f"{sha}.json"

    def tokenizer(self, sha: str) -> bytes:
        """The definition of a tokenizer that was kept."""
        path = self.tokenizer_path(sha)
        if not path.is_file() or file_sha256(path) != sha:
            raise LakeError(f"{path} is missing or was changed: {_RESTORE}")
        return path.read_bytes()

    @contextmanager
    def changing(self) -> Iterator["TakedownList"]:
        """The list as it is now, which nobody else changes meanwhile."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield TakedownList(self.folder.parent)

    def next_rule(self, kind: Kind, value: str, reason: str) -> Rule:
        """The next takedown. Raises `ValueError` when it is none, or the same is in force."""
        rule = Rule(id=f"T{self.version + 1}", kind=kind, value=_checked(kind, value), reason=_worded(reason))
        for entry in self.in_force:
            if (entry.kind, entry.value) == (rule.kind, rule.value):
                raise ValueError(f"{entry.id} already takes down the {kind} {rule.value}")
        return rule

    def add(self, rule: Rule, found: Sequence[Found], hits: pa.Table, date: datetime) -> Entry:
        """Append a takedown and keep what it hit. Called while `changing`."""
        path = self.hits_path(rule.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        with PartWriter(path, HITS, "") as writer:
            writer.write(hits)
        return self._append("add", rule.model_dump(), date, found=tuple(found), hits=file_sha256(path))

    def revoke(self, name: str, reason: str, date: datetime) -> Entry:
        """Append that a takedown holds no longer. Called while `changing`; raises `ValueError` when none does."""
        return self._append("revoke", {"id": self.get(name).id, "reason": _worded(reason)}, date)

    def _append(
        self, action: Literal["add", "revoke"], values: dict[str, str], date: datetime, **more: object
    ) -> Entry:
        entry = Entry.model_validate(
            {"version": self.version + 1, "action": action, **values, "date": date, **more, "previous": self.head()}
        )
        line = json.dumps(entry.model_dump(mode="json", exclude_defaults=True)).encode()
        write_atomically(self.path, b"".join(one + b"\n" for one in [*self._lines, line]))
        return entry

    def _refused(self, number: int, reason: str) -> LakeError:
        return LakeError(f"{self.path}, line {number}, {reason}. Nothing is run or recorded with it: {_RESTORE}")

    @staticmethod
    def _hash(line: bytes) -> str:
        return sha256(line).hexdigest()


_RESTORE = "bring back the folder of takedowns from a copy"


def _worded(reason: str) -> str:
    if not reason.strip():
        raise ValueError("a takedown takes a reason")
    return _encodable(reason.strip())


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{text!r} is no Unicode text") from error
    return text


def _checked(kind: Kind, value: str) -> str:
    """What a takedown is of, as it is recorded. Raises `ValueError` when it cannot be matched."""
    value = _encodable(value.strip())
    if not value:
        raise ValueError(f"a {kind} cannot be empty")
    if kind == "host":
        from curation_assets.acquisition.documents import split_host

        host = split_host(f"https://{value}")
        if host is None or re.search(r"[/?#@\s]", value) or not host.strip("."):
            raise ValueError(f"{value!r} is not a host such as www.example.org")
        return host
    if kind == "record":
        from curation_assets.provenance.explain import record_names

        return record_names(value)[1].lower()  # without brackets, as it is compared
    if kind == "pattern":
        try:
            _matches(pa.array([""]), Rule(id="", kind=kind, value=value, reason=""))
        except pa.ArrowInvalid as error:
            raise ValueError(f"the pattern {value!r} is no regular expression that RE2 takes: {error}") from error
        if value in ("*", REGEX):
            raise ValueError(f"the pattern {value!r} is of every page")
    return value


def _matches(urls: pa.Array | pa.ChunkedArray, rule: Rule) -> Any:
    """Whether a pattern matches: row-aligned booleans, null for null."""
    return pc.call_function("match_substring_regex", [urls], pc.MatchSubstringOptions(rule.regex))


def _of_glob(character: str) -> str:
    if character in "*?":
        return {"*": ".*", "?": "."}[character]
    return character if character.isalnum() else f"\\x{{{ord(character):x}}}"


def match(documents: Path, rules: Sequence[Rule]) -> pa.Table:
    """Which documents of one part rules hit: rows of `TAKEDOWNS` in order of `doc`; takedown_hits.sql.

    Reads URLs, hosts and record ids, no text.
    """
    if not rules:
        return TAKEDOWNS.empty_table()
    table = read_table(documents, ["doc", "record_id", "url", "host"])
    kinds = {rule.kind for rule in rules}
    numbered = {kind: [(number, rule) for number, rule in enumerate(rules) if rule.kind == kind] for kind in kinds}
    wanted = {number: rule.value for number, rule in enumerate(rules) if rule.kind != "pattern"}
    canonical = pa.nulls(table.num_rows, pa.string())
    if "url" in kinds:
        from curation_assets.deduplication.canonical_urls import canonical_urls

        canonical = canonical_urls(table["url"].combine_chunks())
        own = canonical_urls(pa.array([rule.value for _, rule in numbered["url"]], pa.string())).to_pylist()
        wanted |= dict(zip((number for number, _ in numbered["url"]), own, strict=True))
    matched = [MATCHED_PATTERN.empty_table()]
    for number, rule in numbered.get("pattern", []):
        docs = table["doc"].filter(_matches(table["url"], rule))
        matched.append(pa.table([docs, np.full(len(docs), number)], MATCHED_PATTERN))
    views = {
        "documents": table.append_column("canonical", canonical),
        "rules": pa.table(
            {
                "number": pa.array(range(len(rules)), pa.int64()),
                "id": [rule.id for rule in rules],
                "kind": [rule.kind for rule in rules],
                "value": pa.array([wanted.get(number) for number in range(len(rules))], pa.string()),
                "detail": [f"{rule.id}: {rule.reason}" for rule in rules],
            }
        ),
        "matched": pa.concat_tables(matched),
    }
    return query("provenance/takedown_hits", views, threads=1).cast(TAKEDOWNS)
