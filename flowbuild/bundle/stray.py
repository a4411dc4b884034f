"""What lies in a bundle's directory and is no part of the bundle: every name that its index does not list.

Knows nothing of digests. A stray takes nothing from what the index lists; but who looks into the directory would take
it for evidence, and on some file systems one name stands for two.

Errors:  StoreCorrupt, one for each stray, naming it; what lies below a stray directory is not looked at.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator

from flowbuild.bundle.held import Held
from flowbuild.bundle.index import Index, folded
from flowbuild.bundle.layout import INDEX
from flowbuild.core.errors import StoreCorrupt

_KINDS = {stat.S_IFREG: "a file", stat.S_IFDIR: "a directory", stat.S_IFLNK: "a link"}


def strays(held: Held, found: Index) -> Iterator[StoreCorrupt]:
    """Everything in the directory that the index does not list."""
    files = {entry.path for entry in found.artifacts} | {INDEX}
    directories = {parent for path in files for parent in _parents(path)}
    known = {folded(path): path for path in (*directories, *files)}
    absent = set(found.missing)
    waiting = [""]
    while waiting:
        parent = waiting.pop()
        for name, kind in held.entries(parent):
            path = f"{parent}/{name}" if parent else name
            if path in directories and kind == stat.S_IFDIR:
                waiting.append(path)
            elif path not in files and path not in directories:
                yield _stray(held, path, kind, known.get(folded(path)), path in absent)


def _stray(held: Held, path: str, kind: int, twin: str | None, is_absent: bool) -> StoreCorrupt:
    what = _KINDS.get(kind, "a device or a pipe")
    if twin is not None:
        why = f"some file systems take it for {twin}"
    elif is_absent:
        why = "the index says that it is missing"
    else:
        why = "the index does not list it"
    shown = f"{held.path}/{path}" if path.isprintable() else f"{held.path}: {path!r}"
    return StoreCorrupt(f"{shown}: {what} that is no part of the bundle: {why}", remedy="remove it")


def _parents(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path
