"""Installed distributions: which of them an import means, and what stands for their content in a key.

Knows nothing of handlers. What lies in the workspace is not installed, by whatever road it could be imported. The
directories of a search path are listed once, lazily; what a listing says is kept in a cache that the caller gives, by
the directory's stat. What a distribution requires counts when it is installed, whatever the marker says: too much in a
key costs a run, too little costs the truth. Extras do not count.

Shapes:  {"version", "record": SHA-256 of its RECORD}, or {"version", "sources": digest of its files} for an editable
         install or one without RECORD, or None: not to be remembered.
Errors:  none; what can't be read makes None.
Source:  the core metadata and RECORD formats of PyPA.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from flowbuild.core.canonical import digest

FORMAT = "distributions.v1"
MAX_FILES = 5000  # sources beyond this are not hashed
MAX_BYTES = 64 << 20
SKIPPED = frozenset({"__pycache__", "node_modules"})
INSTALLED = ("site-packages", "dist-packages")


class Cache(Protocol):
    """What is remembered between runs: JSON documents by key."""

    def get(self, key: str) -> Any | None: ...

    def put(self, key: str, doc: Any) -> None: ...


class Found(NamedTuple):
    """The distributions behind some imports: their documents by name, and the paths whose stat they rest on."""

    docs: Mapping[str, Mapping[str, str] | None]
    watched: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Distribution:
    """One installed distribution. `place` is its metadata directory; `project` the sources of an editable install."""

    name: str
    version: str
    place: str
    names: tuple[str, ...]
    requires: tuple[str, ...]
    has_record: bool
    project: str | None

    def doc(self) -> dict[str, Any]:
        return {field: getattr(self, field) for field in self.__slots__}


class Distributions:
    """What is installed along one search path."""

    def __init__(self, workspace: Path, cache: Cache | None = None, search: Sequence[str] | None = None) -> None:
        self._workspace = os.path.realpath(workspace)
        self._cache = cache
        entries = dict.fromkeys(sys.path if search is None else search)
        self._search = [entry for entry in entries if entry and not self._is_ours(entry)]
        self._by_name: dict[str, Distribution] | None = None
        self._by_import: dict[str, list[str]] = {}

    def is_installed(self, name: str) -> bool:
        """Whether a top-level import name comes from a distribution."""
        self._list()
        return bool(self._of_import(name))

    @property
    def places(self) -> list[str]:
        """The directories whose listing says what is installed; none while nobody asked."""
        if self._by_name is None:
            return []
        given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        places = [entry for entry in self._search if os.path.basename(entry) in INSTALLED or entry in given]
        return [entry for entry in places if os.path.isdir(entry)]

    def behind(self, names: Iterable[str]) -> Found:
        """The distributions that import names mean, and all that those require."""
        known = self._list()
        docs: dict[str, Mapping[str, str] | None] = {}
        watched = set(self.places)
        open_ = [found for name in names for found in self._of_import(name)]
        while open_:
            one = open_.pop()
            if one.name not in docs:
                docs[one.name], files = _content(one)
                watched.update(files)
                open_ += [known[name] for name in one.requires if name in known]
        return Found(dict(sorted(docs.items())), tuple(map(Path, sorted(watched))))

    def _of_import(self, name: str) -> list[Distribution]:
        """Whose a top-level name is: of a list of files, of an editable install, or of a bare directory."""
        known = self._list()
        if name in self._by_import:
            return [known[one] for one in self._by_import[name]]
        for one in known.values():
            if one.project and not self._is_ours(one.project) and next(_sources(one.project, (name,)), None):
                return [one]
        for entry in self._search:
            if not _is_standard(entry) and next(_sources(entry, (name,)), None):
                return [Distribution(name, "", os.path.join(entry, name), (name,), (), False, None)]
        return []

    def _is_ours(self, entry: str) -> bool:
        """Whether a directory is the workspace's own; a virtual environment in it is not."""
        inside = os.path.realpath(entry) + os.sep
        return inside.startswith(self._workspace + os.sep) and os.path.basename(entry) not in INSTALLED

    def _list(self) -> dict[str, Distribution]:
        if self._by_name is None:
            self._by_name = {}
            for entry in self._search:
                for one in self._directory(entry):
                    if self._by_name.setdefault(one.name, one) is one:  # the first on the path is the one
                        for name in one.names:
                            self._by_import.setdefault(name, []).append(one.name)
        return self._by_name

    def _directory(self, entry: str) -> list[Distribution]:
        """What one directory holds, from the cache while its stat is the same."""
        try:
            stat = os.stat(entry)
        except OSError:
            return []
        key = f"{FORMAT}:{digest([entry, str(stat.st_mtime_ns), str(stat.st_ino)])}"
        kept = self._cache.get(key) if self._cache is not None else None
        if kept is None:
            kept = [one.doc() for one in _scan(entry)]
            if self._cache is not None:
                self._cache.put(key, kept)
        return [_from_doc(doc) for doc in kept]


def _from_doc(doc: Mapping[str, Any]) -> Distribution:
    return Distribution(**{**doc, "names": tuple(doc["names"]), "requires": tuple(doc["requires"])})


def _scan(entry: str) -> Iterator[Distribution]:
    try:
        names = sorted(os.listdir(entry))
    except OSError:  # a zip archive, or a directory that we may not read
        return
    for name in names:
        stem, dot, ending = name.rpartition(".")
        if dot and ending in ("dist-info", "egg-info"):
            found, _, version = stem.partition("-")
            yield _read(os.path.join(entry, name), found, version)


def _read(place: str, name: str, version: str) -> Distribution:
    metadata = _text(place, "METADATA") or _text(place, "PKG-INFO") or (_text(place) if os.path.isfile(place) else "")
    fields = [line.split(": ", 1) for line in metadata.partition("\n\n")[0].splitlines() if ": " in line]
    said = dict(fields)
    record = _text(place, "RECORD")
    names = _top_level(record) | set(_text(place, "top_level.txt").split())
    return Distribution(
        _normal(said.get("Name", name)),
        said.get("Version", version),
        place,
        tuple(sorted(names or ({name.replace("-", "_")} if not record else set()))),
        tuple(sorted({_normal(text) for key, text in fields if key == "Requires-Dist" and not _is_extra(text)})),
        bool(record),
        _project(place),
    )


def _top_level(record: str) -> set[str]:
    """The import names that a list of installed files gives."""
    found = set()
    for line in record.splitlines():
        first, slash, _ = line.strip('"').partition("/")
        if slash:
            if "." not in first and first != "__pycache__":
                found.add(first)
        else:
            file = first.partition(",")[0]
            if file.endswith((".py", ".so", ".pyd")) and not file.startswith("__editable__"):
                found.add(file.partition(".")[0])
    return found


def _project(place: str) -> str | None:
    """The sources of an editable install."""
    try:
        origin = json.loads(_text(place, "direct_url.json") or "{}")
        editable = bool(origin.get("dir_info", {}).get("editable"))
        return unquote(urlsplit(origin["url"]).path) if editable else None
    except (ValueError, KeyError, AttributeError):
        return None


def _normal(requirement: str) -> str:
    """The normal form of the name that a requirement begins with."""
    match = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", requirement)
    return re.sub(r"[-_.]+", "-", match[1].rstrip("-_.")).lower() if match else ""


def _is_extra(requirement: str) -> bool:
    return re.search(r"\bextra\s*==", requirement.partition(";")[2]) is not None


def _text(*place: str) -> str:
    try:
        return Path(*place).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _content(one: Distribution) -> tuple[Mapping[str, str] | None, list[str]]:
    """What stands for the files of a distribution, and the paths that tell when it changes."""
    if one.has_record and one.project is None:
        path = os.path.join(one.place, "RECORD")
        try:
            return {"version": one.version, "record": hashlib.sha256(Path(path).read_bytes()).hexdigest()}, [path]
        except OSError:
            return None, []
    if one.project is not None:
        files = list(_sources(one.project, None))
    else:
        files = list(_sources(os.path.dirname(one.place), one.names))
    sources = _hash(files)
    if sources is None:
        return None, []
    return {"version": one.version, "sources": sources}, [*files, *map(os.path.dirname, files)]


def _sources(directory: str, names: Sequence[str] | None) -> Iterator[str]:
    """The files of some import names in a directory of sources, laid out flat or under `src`; of None, all."""
    for base in (os.path.join(directory, "src"), directory):
        for name in names if names is not None else [""]:
            for single in (f"{name}.py",) if name else ():
                if os.path.isfile(path := os.path.join(base, single)):
                    yield path
            for root, directories, files in os.walk(os.path.join(base, name)):
                directories[:] = sorted(one for one in directories if not _is_noise(one))
                yield from (os.path.join(root, file) for file in sorted(files) if not _is_noise(file))
        if names is None and os.path.isdir(base):
            return


def _is_noise(name: str) -> bool:
    """Whether a file or directory says nothing about what its neighbours do: caches, repositories, bytecode."""
    return name in SKIPPED or name.startswith(".") or name.endswith((".pyc", ".egg-info"))


def _is_standard(entry: str) -> bool:
    """Whether a directory of the search path is Python's own."""
    library = os.path.dirname(os.path.realpath(os.__file__))
    return os.path.realpath(entry) in (library, os.path.join(library, "lib-dynload"))


def _hash(files: Sequence[str]) -> str | None:
    """The digest of some files' contents, or None when there are none, or too many to be worth it."""
    if not files or len(files) > MAX_FILES:
        return None
    common = os.path.commonpath([os.path.dirname(file) for file in files])
    try:
        if sum(os.path.getsize(file) for file in files) > MAX_BYTES:
            return None
        return digest(
            [[os.path.relpath(file, common), hashlib.sha256(Path(file).read_bytes()).hexdigest()] for file in files]
        )
    except OSError:
        return None
