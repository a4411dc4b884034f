"""What people ask of registries: list, resolve, lint, upgrade. The public functions; each call reads anew.

Knows nothing of plans.

Errors:  UnknownName for an id that is not there; what is wrong with a document that is read; lint raises none of them.
Source:  seed 003, public API.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flowbuild.core.errors import BadAttribute, Faults, FlowError
from flowbuild.graph.library import Library
from flowbuild.graph.plans import Checked, in_order
from flowbuild.load.registry import entry, flat, unknown_registry
from flowbuild.load.registry_check import registry_faults
from flowbuild.load.registry_upgrade import Upgraded, upgrade

Doc = dict[str, Any]


def list_registries(root: Path | None = None) -> list[Doc]:
    """A row for each registry of the tree that a directory lies in: `id`, `probes`, `profiles`, `description`."""
    return Library(root).rows()


def list_probes(registry_id: str, root: Path | None = None) -> list[Doc]:
    """The probes of a registry, in its order."""
    return list(Library(root).registry(registry_id).probe_entries.values())


def list_profiles(registry_id: str, root: Path | None = None) -> list[Doc]:
    """The profiles of a registry, in its order."""
    return list(Library(root).registry(registry_id).profile_entries.values())


def resolve_probe(registry_id: str, probe_id: str, root: Path | None = None) -> Doc:
    """One probe of a registry."""
    return entry(Library(root).registry(registry_id).probe_entries, "probe", registry_id, probe_id)


def resolve_profile(registry_id: str, profile_id: str, root: Path | None = None) -> Doc:
    """One profile of a registry."""
    return entry(Library(root).registry(registry_id).profile_entries, "profile", registry_id, profile_id)


def lint_registry(registry_id: str | None = None, root: Path | None = None) -> Checked:
    """Everything wrong with a registry, or with all of the tree; the document lists what was looked at."""
    try:
        library = Library(root)
        rows = library.rows()
    except (FlowError, Faults) as error:
        return Checked(None, tuple(flat(error)))
    faults = list(library.listed[1])
    looked = [row for row in rows if registry_id in (None, row["id"])]
    if registry_id is not None and not looked:
        faults.append(unknown_registry(registry_id, [row["id"] for row in rows]))
    for name in dict.fromkeys(row["id"] for row in looked):
        try:
            faults += registry_faults(library.registry(name))
        except (FlowError, Faults) as error:
            faults += flat(error)
    return Checked({"registries": looked}, tuple(in_order(faults)))


def upgrade_registry(
    registry_id: str, *, out_dir: Path | None = None, overwrite: bool = False, root: Path | None = None
) -> Upgraded:
    """Write a registry's documents in the current schema, beside the old ones or into another directory."""
    library = Library(root)
    files = [one for one in library.listed[0] if one.registry_id == registry_id]
    if not files:
        if registry_id in [row["id"] for row in library.rows()]:
            raise BadAttribute(f"registry {registry_id!r} is a target: its documents are always of this schema")
        raise unknown_registry(registry_id, [row["id"] for row in library.rows()])
    return upgrade(files[0], library.tree, out_dir, overwrite=overwrite)
