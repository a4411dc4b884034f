"""The inventory of a tree: where its plans, registries and bundles are, and which files speak of sandboxes.

Knows nothing of what the plans ask. It reads the tree as it is now, and its order is stable; nothing is looked up
anywhere else, so `external` is there for whoever keeps such a list, and empty.

Shapes:  {schema_version, world_id, generated_by, keywords, in_repo, unclassified_hits, external}. A file that has a
         keyword belongs to the item with the longest of its paths that it lies under.
Errors:  those of reading the tree; a plan that can't be read is an item with status `broken`.
Source:  seed 003, inventory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flowbuild.bundle.documents import pretty
from flowbuild.bundle.layout import latest, outside_bundles
from flowbuild.core.label import parse
from flowbuild.core.world import world_id
from flowbuild.graph.library import Library
from flowbuild.store.files import atomic_write, ensure_directory

SCHEMA = "flowbuild.runtime_inventory.v1"
MAX_SCANNED = 1 << 20  # larger files are data

KEYWORDS = (
    "EndpointSecurity",
    "SBPL",
    "bubblewrap",
    "landlock",
    "no_new_privs",
    "sandbox-exec",
    "sandbox_check",
    "sandbox_init",
    "seatbelt",
    "seccomp",
    "unshare",
)

Doc = dict[str, Any]


def build_runtime_inventory(repo_root: Path | str | None, out_path: Path | str) -> Doc:
    """Write the inventory of a tree, and return it. Without a root it is the tree that somebody stands in."""
    target = outside_bundles(Path(out_path))
    library = Library(Path(repo_root) if repo_root is not None else None)
    items = [*_plans(library), *_registries(library)]
    loose: list[Doc] = []
    for path, words in _hits(library):
        owner = _owner(items, path)
        (loose if owner is None else owner["files"]).append({"path": path, "keywords": words})
    found = {
        "schema_version": SCHEMA,
        "world_id": world_id(),
        "generated_by": "flowbuild",
        "keywords": list(KEYWORDS),
        "in_repo": items,
        "unclassified_hits": loose,
        "external": [],
    }
    ensure_directory(target.parent)
    atomic_write(target, pretty(found))
    return found


def _plans(library: Library) -> Iterator[Doc]:
    """An item for each plan; of a target also for what `run` targets of it committed."""
    for row in library.plans():
        label = str(row.get("label", ""))
        directory = label[2:].partition(":")[0] if label else os.path.dirname(row["path"])
        roots = [f"{directory}/out" if directory else "out"] if not label else _out_roots(library, label)
        is_run = any(latest(library.root / root) for root in roots)
        status = "broken" if "error" in row else "committed" if is_run else "never run"
        name = row.get("plan_id") or label or row["path"]
        doc = row.get("error") or f"{row['profiles']} profiles of registry {row['registry_id']}"
        yield _item(name, [directory or ".", *roots], "decision-stage", doc, status)


def _out_roots(library: Library, plan: str) -> list[str]:
    """Where the `run` targets of a plan commit."""
    runs = [one for one in library.targets("run") if str(parse(one.attrs["plan"], one.label.package)) == plan]
    return [f"out/{one.label.directory}" for one in runs]


def _registries(library: Library) -> Iterator[Doc]:
    for row in library.rows():
        is_target = row["probes"].startswith("//")
        places = (row["probes"], row["profiles"])
        paths = {place[2:].partition(":")[0] if is_target else os.path.dirname(place) for place in places}
        doc = row["description"] or "probes and profiles"
        yield _item(f"registry {row['id']}", sorted(path or "." for path in paths), "input", doc, "declared")


def _item(name: str, paths: list[str], tier: str, doc: str, status: str) -> Doc:
    return {
        "id": name,
        "paths": paths,
        "category": tier,
        "description": doc,
        "privileges": "user",
        "evidence_tier": tier,
        "status": status,
        "files": [],
    }


def _owner(items: list[Doc], path: str) -> Doc | None:
    """The item that a file lies under; the first of those with the longest path."""
    best: tuple[int, Doc] | None = None
    for item in items:
        for place in item["paths"]:
            if path.startswith(f"{place}/") and (best is None or len(place) > best[0]):
                best = (len(place), item)
    return best[1] if best else None


def _hits(library: Library) -> Iterator[tuple[str, list[str]]]:
    """Every text file of the tree that holds a keyword, and which."""
    wanted = [(word, word.encode()) for word in KEYWORDS]
    for file in library.tree.files():
        try:
            data = file.read_bytes() if file.stat().st_size <= MAX_SCANNED else b""
        except OSError:  # gone, or not ours to read: it has nothing to say here
            continue
        words = [word for word, spelled in wanted if spelled in data] if b"\0" not in data else []
        if words:
            yield library.tree.shown(file), words
