"""What an action left: every declared output is there, of its kind, and its own.

Knows nothing of how it was made. A trailing slash declares a directory. An output may be a link inside the root; one
that points out of it would name bytes that no key covers. Below a directory only files with names in UTF-8 are kept.

Shapes:  {name: artifact document}, or ErrorInfo with code `output_missing`, `output_kind`, `output_escapes` or
         `secret_in_output`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from flowbuild.core.action import Action, ErrorInfo
from flowbuild.core.text import is_unicode
from flowbuild.engine.engine import Io
from flowbuild.engine.leak import leaks
from flowbuild.engine.place import Place

SHOWN = 8  # undeclared files that a message names


class Fault(NamedTuple):
    """What is wrong with one output."""

    code: str
    message: str


def harvest(action: Action, io: Io, place: Place) -> Mapping[str, Mapping[str, Any]] | ErrorInfo:
    """Collect every output, or say everything that is wrong with them."""
    faults = [
        fault for name, path in action.outputs.items() if (fault := _fault(name, path, place.output(path), place.root))
    ]
    if not faults and _may_leak(action, io):
        faults = [
            Fault("secret_in_output", f"output {name!r} holds the value of a secret, and would be kept")
            for name, path in action.outputs.items()
            if next(leaks(io.mask, place.output(path)), None) is not None
        ]
    found: dict[str, Mapping[str, Any]] = {}
    for name, path in action.outputs.items() if not faults else ():
        left = place.output(path)
        doc = io.collect(left.resolve() if left.is_symlink() else left)
        if doc is None:
            faults.append(Fault("output_missing", f"output {name!r} ({path}) went away while it was collected"))
        else:
            found[name] = doc
    if not faults:
        return found
    message = "; ".join(fault.message for fault in faults)
    if place.staged and any(fault.code == "output_missing" for fault in faults):
        message += _undeclared(action, place)
    message = message.encode("utf-8", "backslashreplace").decode()  # names of files hold any bytes
    return ErrorInfo(faults[0].code, message, details={"outputs": sorted(action.outputs)})


def _may_leak(action: Action, io: Io) -> bool:
    """Whether an action may have seen the value of a secret."""
    return bool(io.mask) and bool(action.with_.get("secrets") or action.with_.get("doors"))


def _fault(name: str, path: str, place: Path, root: Path) -> Fault | None:
    """What is wrong with one output, if anything."""
    try:
        found = place.lstat()
        if stat.S_ISREG(found.st_mode) and not path.endswith("/"):
            return None
        found = place.stat()
    except (FileNotFoundError, NotADirectoryError):
        dangling = " is a link to nothing" if place.is_symlink() else " is missing"
        return Fault("output_missing", f"output {name!r} ({path}){dangling}")
    except OSError as error:  # a loop of links, a directory that nobody may enter
        return Fault("output_missing", f"output {name!r} ({path}): {error.strerror}")
    if stat.S_ISDIR(found.st_mode) != path.endswith("/"):
        is_, declared = ("a directory", "a file") if stat.S_ISDIR(found.st_mode) else ("a file", "a directory")
        slash = "a trailing slash declares a directory"
        return Fault("output_kind", f"output {name!r} ({path}) is declared as {declared}, and is {is_} ({slash})")
    for entry in _tree(place):
        if entry.is_symlink() and not entry.resolve().is_relative_to(root.resolve()):
            where = f"{entry.relative_to(root)} -> {os.readlink(entry)}"
            return Fault("output_escapes", f"output {name!r} holds a link that leads out of the workspace: {where}")
        if not (entry.is_symlink() or entry.is_file() or entry.is_dir()):
            return Fault("output_kind", f"output {name!r}: {entry.relative_to(root)} is neither file nor directory")
        if entry.is_symlink() and entry != place:
            return Fault("output_kind", f"output {name!r}: {entry.relative_to(root)} is a link; write a file there")
        if not is_unicode(entry.name):
            said = f"the name {entry.relative_to(root)} is not UTF-8; choose another"
            return Fault("output_kind", f"output {name!r}: {said}")
    return None


def _tree(path: Path) -> Iterator[Path]:
    """A path and, below a directory, all that is in it. Links are not followed but for the first."""
    yield path
    if path.is_dir():
        for directory, directories, files in os.walk(path):
            yield from (Path(directory, name) for name in sorted([*directories, *files]))


def _undeclared(action: Action, place: Place) -> str:
    """The files that appeared and nobody declared: one of them may be the missing output by another name."""
    expected = {os.path.normpath(staged.path) for staged in action.staged}
    outputs = {os.path.normpath(path) for path in action.outputs.values()}
    new = sorted(
        name
        for path in _tree(place.root)
        if not path.is_dir() or path.is_symlink()
        for name in [str(path.relative_to(place.root))]
        if not _below(name, expected) and not _below(name, outputs)
    )
    if not new:
        return ""
    more = f" and {len(new) - SHOWN} more" if len(new) > SHOWN else ""
    return f"; undeclared here: {', '.join(new[:SHOWN])}{more}"


def _below(name: str, paths: set[str]) -> bool:
    """Whether a path is one of these or lies below one."""
    return name in paths or any(str(parent) in paths for parent in Path(name).parents)
