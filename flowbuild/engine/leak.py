"""Files that hold the value of a secret: found before they are kept.

Knows nothing of what the files are for. A file's name counts as its content does.

Errors:  DiskRefused when a file can't be read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flowbuild.core.action import Action, ErrorInfo
from flowbuild.core.canonical import canonical
from flowbuild.core.mask import Mask
from flowbuild.core.secrets import find_secret, is_clear
from flowbuild.load.secret import excuses
from flowbuild.store.refusal import refused

CHUNK = 1 << 20


def is_secret(value: Any, action: Action, mask: Mask, data: bytes | None = None) -> bool:
    """Whether a JSON value holds a secret, or what looks like one and is not excused. `data` is its canonical form."""
    data = canonical(value) if data is None else data
    if mask.finds(data):
        return True
    return not is_clear(data) and not excuses(action.doc) and find_secret(value) is not None


def secret_result() -> ErrorInfo:
    """Why the result of a step is not kept: it would be part of the keys of those that read it."""
    return ErrorInfo("secrets_detected", "the result of the step holds what looks like a secret")


def leaks(mask: Mask, path: Path) -> Iterator[Path]:
    """The files and directories from a path on that hold a value in their content or name, deepest first."""
    if path.is_dir() and not path.is_symlink():
        for entry in sorted(path.iterdir()):
            yield from leaks(mask, entry)
    elif path.is_symlink():
        if mask.finds(os.fsencode(os.readlink(path))):
            yield path
            return
    elif path.is_file() and _holds(mask, path):
        yield path
        return
    if mask.finds(os.fsencode(path.name)):
        yield path


def _holds(mask: Mask, path: Path) -> bool:
    kept = b""
    with refused(path), open(path, "rb") as file:
        while data := file.read(CHUNK):
            if mask.finds(kept + data):
                return True
            kept = (kept + data)[-2 * mask.longest :]
    return False
