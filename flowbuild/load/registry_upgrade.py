"""Registries of schema v0.1 as documents of v0.2: what was left out is written out.

Knows nothing of whether what a registry says is true. Upgrading a v0.2 document only puts it in order.

Shapes:  keys are sorted. Lanes are all supported, the primary operation is the probe's own, the predicate its target.
Errors:  BadAttribute for what no default can mend; BadPath for a file that is there and may not be overwritten.
Source:  seed 003, registry.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from flowbuild.core.errors import BadAttribute, BadPath, Faults, FlowError, raise_all
from flowbuild.load.registry import PROBES_SCHEMA, PROFILES_SCHEMA, Listed, flat
from flowbuild.load.registry_check import LANES, PROBE, PROFILE, Field, entry_faults
from flowbuild.load.strict_json import Document, read_json
from flowbuild.load.tree import Tree
from flowbuild.store.files import atomic_write, ensure_directory

Doc = dict[str, Any]


class Upgraded(NamedTuple):
    """The two files that were written."""

    probes_path: Path
    profiles_path: Path


def upgrade(one: Listed, tree: Tree, out_dir: Path | None = None, *, overwrite: bool = False) -> Upgraded:
    """Write both documents of a registry in schema v0.2. Nothing is written unless both can be."""
    paths = [(out_dir or file.parent) / file.name for file in (one.probes, one.profiles)]
    taken = [path for path in paths if path.exists() and not overwrite]
    raise_all(BadPath(f"{path} is there already", remedy="overwrite it with --overwrite") for path in taken)
    faults: list[FlowError] = []
    made: list[Doc] = []
    for file, key, schema, act in (
        (one.probes, "probes", PROBES_SCHEMA, _probe),
        (one.profiles, "profiles", PROFILES_SCHEMA, _profile),
    ):
        try:
            made.append(_document(read_json(file, tree.shown(file)), key, schema, act))
        except FileNotFoundError:
            faults.append(BadPath(f"{tree.shown(file)} is not there"))
        except (FlowError, Faults) as error:
            faults += flat(error)
    raise_all(faults)
    for path, doc in zip(paths, made, strict=True):
        ensure_directory(path.parent)
        atomic_write(path, (json.dumps(doc, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode())
    return Upgraded(*paths)


def _document(document: Document, key: str, schema: str, act: Callable[[Doc], Doc]) -> Doc:
    doc = document.value
    raise_all(_head_faults(document, key, schema))
    entries = {name: act(entry) if isinstance(entry, dict) else entry for name, entry in doc[key].items()}
    upgraded = Document(entries, document.shown, document.file, document.text)
    fields = PROBE if key == "probes" else PROFILE
    raise_all(fault for name, entry in entries.items() for fault in entry_faults(upgraded, (key, name), entry, fields))
    head = {"schema_version": schema, "registry_id": doc["registry_id"], "world_id": doc["world_id"]}
    return {**head, key: entries}


def _head_faults(document: Document, key: str, schema: str) -> Iterator[FlowError]:
    doc = document.value
    if not isinstance(doc, dict) or doc.get("schema_version") not in (schema, schema.replace("v0.2", "v0.1")):
        yield document.fault(
            BadAttribute, ("schema_version",), f"this is no {schema.rpartition('.v')[0]} of v0.1 or v0.2"
        )
        return
    for name in ("registry_id", "world_id"):
        if not isinstance(doc.get(name), str):
            yield document.fault(BadAttribute, (name,), f"a registry document needs `{name}`, a text")
    if not isinstance(doc.get(key), dict):
        yield document.fault(BadAttribute, (key,), f"`{key}` is an object of ids")


def _probe(entry: Doc) -> Doc:
    defaults = {
        "expected_primary_ops": [entry[key] for key in ("operation",) if entry.get(key)],
        "expected_predicates": [entry[key] for key in ("target",) if entry.get(key)],
    }
    lanes = entry.get("supports_lanes")
    given = lanes if isinstance(lanes, dict) else {}
    every = {"supports_lanes": dict.fromkeys(LANES, True) | given} if lanes is None or given else {}
    return _filled(PROBE, defaults, entry) | every


def _profile(entry: Doc) -> Doc:
    return _filled(PROFILE, {}, entry)


def _filled(fields: Mapping[str, Field], defaults: Doc, entry: Doc) -> Doc:
    """An entry with every key that has a default: lists are empty, texts that may be null are null."""
    plain: Doc = {"texts": [], "text or null": None}
    missing = {key: plain[field.kind] for key, field in fields.items() if field.required and field.kind in plain}
    known = missing | defaults
    return known | {key: value for key, value in entry.items() if value is not None or key not in known}
