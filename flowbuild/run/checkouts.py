"""The checkouts that share a cache: each says so once, so that none takes away what another one needs.

Knows nothing of what is shared. A cache that lies where it always does belongs to its own checkout, and says nothing.

Shapes:  <cache>/checkouts/<16 digits of the digest of the path>: the path of a workspace's root, and a newline.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from flowbuild.core.canonical import sha256
from flowbuild.core.errors import DiskRefused
from flowbuild.store.files import atomic_write, ensure_directory


def register(cache: Path, root: Path) -> None:
    """Say that a checkout remembers by this cache."""
    if cache == root / ".flowbuild":
        return
    data = os.fsencode(root)
    place = cache / "checkouts" / sha256(data)[:16]
    if not place.exists():
        with suppress(DiskRefused):  # a cache that takes nothing loses nothing either
            ensure_directory(place.parent)
            atomic_write(place, data + b"\n")


def checkouts(cache: Path, root: Path) -> list[Path]:
    """The roots of the workspaces that remember by a cache, this one first. Those that are gone are forgotten."""
    found = [root]
    with suppress(FileNotFoundError):
        for place in sorted((cache / "checkouts").iterdir()):
            with suppress(OSError):
                other = Path(os.fsdecode(place.read_bytes().removesuffix(b"\n")))
                if other.is_dir():
                    found.append(other)
                else:
                    place.unlink()
    return list(dict.fromkeys(found))
