"""Registries as seed 003's documents: where they are, and what each holds.

Knows nothing of plans or of what a probe does. A registry is two documents, one of probes and one of profiles. An
index names registries by id; a directory that holds both documents and that no index names is a registry too.

Shapes:  registry_index.v0.1, probe_registry.v0.2, profile_registry.v0.2. A path in a document is relative to the
         document's own directory, or else to the root of the tree.
Errors:  BadJson, BadAttribute, UnknownName for a registry, probe or profile that is not there.
Source:  seed 003, registry.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flowbuild.core.errors import BadAttribute, BadPath, Faults, FlowError, UnknownName, raise_all
from flowbuild.core.suggest import did_you_mean
from flowbuild.load.position import Pointer
from flowbuild.load.strict_json import Document, read_json
from flowbuild.load.tree import INDEX_SCHEMA, PROBES, PROFILES, Tree

PROBES_SCHEMA = "runtime-tools.probe_registry.v0.2"
PROFILES_SCHEMA = "runtime-tools.profile_registry.v0.2"
HEAD = ("schema_version", "registry_id", "world_id")  # what stands in a document beside its entries

Doc = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Listed:
    """Where a registry is said to be: its two files, and the place that says so, if there is one."""

    registry_id: str
    probes: Path
    profiles: Path
    description: str | None = None
    index: Document | None = None
    pointer: Pointer = ()


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry's documents. `files` holds what its profiles' paths name, where no file on disk does."""

    registry_id: str
    probes: Document
    profiles: Document
    root: Path
    files: Mapping[str, Document] = field(default_factory=dict)
    description: str | None = None

    @property
    def probe_entries(self) -> Doc:
        return _entries(self.probes, "probes")

    @property
    def profile_entries(self) -> Doc:
        return _entries(self.profiles, "profiles")

    def file(self, path: str) -> Path | None:
        """The file that a profile's path names; None when it is not there."""
        return find_file(path, self.profiles, self.root)


def find_file(path: str, document: Document, root: Path) -> Path | None:
    """The file that a path in a document names: beside the document, or below the root."""
    if "\0" in path or len(path) > 4000 or any(len(part.encode()) > 255 for part in path.split("/")):
        raise BadPath(f"{path!r:.80} is no path of a file")
    beside = document.file.parent if document.file else root
    for start in (beside, root):
        place = Path(os.path.normpath(start / path))
        if not place.is_relative_to(root) and not place.is_relative_to(beside):
            raise BadPath(f"{path!r} leads out of the tree", remedy="write it relative to this file")
        if place.is_file():
            real = place.resolve()
            if not real.is_relative_to(root.resolve()) and not real.is_relative_to(beside.resolve()):
                raise BadPath(f"{path!r} is a link that leads out of the tree", remedy="put a copy in its place")
            return place
    return None


def listed(tree: Tree) -> tuple[list[Listed], list[FlowError]]:
    """Every registry of a tree in order: those of indexes, then the others; and what is wrong with the indexes."""
    found: list[Listed] = []
    faults: list[FlowError] = []
    for file in tree.indexes:
        try:
            document = read_json(file, tree.shown(file))
        except (FlowError, Faults) as error:
            faults += flat(error)
            continue
        rows, wrong = _index_rows(document, tree.root)
        found += rows
        faults += wrong
    known = {os.path.realpath(file) for one in found for file in (one.probes, one.profiles)}
    for directory in tree.pairs:
        if not known & {os.path.realpath(directory / name) for name in (PROBES, PROFILES)}:
            found.append(_pair(directory, tree))
    return found, faults


def _index_rows(document: Document, root: Path) -> tuple[list[Listed], list[FlowError]]:
    doc = document.value
    if not isinstance(doc, dict) or doc.get("schema_version") != INDEX_SCHEMA:
        return [], [document.fault(BadAttribute, ("schema_version",), f"an index of registries is {INDEX_SCHEMA}")]
    rows = doc.get("registries")
    if not isinstance(rows, list):
        return [], [document.fault(BadAttribute, ("registries",), "`registries` is a list")]
    found: list[Listed] = []
    faults = list(odd_keys(document, (), doc, ("schema_version", "registries"), "an index of registries"))
    for number, row in enumerate(rows):
        at: Pointer = ("registries", number)
        if isinstance(row, dict):
            faults += odd_keys(document, at, row, ("id", "probes", "profiles", "description"), "a registry of an index")
        lacking = [key for key in ("id", "probes", "profiles") if not _is_text(row, key)]
        if lacking:
            message = f"a registry of an index needs {', '.join(f'`{key}`' for key in lacking)}, as texts"
            faults.append(document.fault(BadAttribute, at, message))
            continue
        if row["id"] in {one.registry_id for one in found}:
            faults.append(document.fault(BadAttribute, (*at, "id"), f"{row['id']!r} stands in this index twice"))
        paths = {}
        for key in ("probes", "profiles"):
            try:
                # A file that is not there is told by whoever loads the registry.
                paths[key] = find_file(row[key], document, root) or root / row[key]
            except BadPath as error:
                faults.append(document.fault(BadPath, (*at, key), error.message, error.remedy))
        if len(paths) == 2:
            found.append(Listed(row["id"], paths["probes"], paths["profiles"], row.get("description"), document, at))
    return found, faults


def _pair(directory: Path, tree: Tree) -> Listed:
    """A registry that no index names. One that can't be read is known by its directory."""
    try:
        value = read_json(directory / PROBES, PROBES).value
    except (FlowError, Faults):
        value = None
    registry_id = value.get("registry_id") if isinstance(value, dict) else None
    name = registry_id if isinstance(registry_id, str) and registry_id else tree.shown(directory)
    return Listed(name, directory / PROBES, directory / PROFILES)


def read_registry(one: Listed, tree: Tree) -> Registry:
    """The documents of a registry, each of the right schema and id; every fault at once."""
    documents: dict[str, Document] = {}
    faults: list[FlowError] = []
    schemas = {"probes": PROBES_SCHEMA, "profiles": PROFILES_SCHEMA}
    for key, file in (("probes", one.probes), ("profiles", one.profiles)):
        try:
            documents[key] = read_json(file, tree.shown(file))
        except FileNotFoundError:
            faults.append(_gone(one, key, tree.shown(file)))
        except (FlowError, Faults) as error:
            faults += flat(error)
        else:
            faults += head_faults(documents[key], key, schemas[key], one.registry_id)
    raise_all(faults)
    return Registry(one.registry_id, documents["probes"], documents["profiles"], tree.root, {}, one.description)


def _gone(one: Listed, key: str, shown: str) -> FlowError:
    message = f"{shown} is not there, and registry {one.registry_id!r} needs it"
    return one.index.fault(BadPath, (*one.pointer, key), message) if one.index else BadPath(message)


def head_faults(document: Document, key: str, schema: str, registry_id: str) -> list[FlowError]:
    """What is wrong with a document as a whole."""
    doc = document.value
    if not isinstance(doc, dict):
        return [document.fault(BadAttribute, (), "a registry document is an object")]
    if doc.get("schema_version") != schema:
        old = str(doc.get("schema_version")) == schema.replace("v0.2", "v0.1")
        remedy = "upgrade it: `python -m flowbuild.evidence registry-upgrade`" if old else ""
        message = f"the schema is {doc.get('schema_version')!r}, not {schema}"
        return [document.fault(BadAttribute, ("schema_version",), message, remedy)]
    faults = []
    if not isinstance(doc.get(key), dict):
        faults.append(document.fault(BadAttribute, (key,), f"`{key}` is an object of ids"))
    if doc.get("registry_id") != registry_id:
        message = f"the registry is {registry_id!r}, and here it is {doc.get('registry_id')!r}"
        faults.append(document.fault(BadAttribute, ("registry_id",), message))
    return faults


def odd_keys(
    document: Document, at: Pointer, value: Mapping[str, Any], known: Iterable[str], what: str
) -> Iterator[FlowError]:
    """A fault for each key of an object that nobody would read."""
    for key in value:
        if key not in known:
            yield document.fault(
                UnknownName, (*at, key), f"{what} has no key {key!r}", did_you_mean(key, known), key=True
            )


def entry(entries: Mapping[str, Any], kind: str, registry_id: str, wanted: str) -> Doc:
    """One probe or profile of a registry."""
    found = entries.get(wanted)
    if not isinstance(found, dict):
        raise UnknownName(f"registry {registry_id!r} has no {kind} {wanted!r}", remedy=did_you_mean(wanted, entries))
    return found


def unknown_registry(registry_id: str, known: Iterable[str]) -> UnknownName:
    """The error for an id that no registry has."""
    return UnknownName(f"there is no registry {registry_id!r}", remedy=did_you_mean(registry_id, known))


def flat(error: FlowError | Faults) -> list[FlowError]:
    """The faults of one error or of several."""
    return [one for one in error.exceptions if isinstance(one, FlowError)] if isinstance(error, Faults) else [error]


def _entries(document: Document, key: str) -> Doc:
    found = document.value.get(key)
    return found if isinstance(found, dict) else {}


def _is_text(row: Any, key: str) -> bool:
    return isinstance(row, dict) and isinstance(row.get(key), str) and bool(row[key])
