"""Where TraceMind keeps what an executor offered that could not do what was asked: for people who look there.

Knows nothing of why. Nothing here reads it. A home without TraceMind is left as it is.

Shapes:  `~/.trace_mind/runtime_capabilities/<engine>.json`: `{"version", "step_kinds", "limits": {"concurrency"}}`.
Errors:  none: it is a courtesy, and the error that it goes with has all of it too.
Source:  seed 000, REP v0.1, "Capabilities".
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from flowbuild.core.errors import DiskRefused
from flowbuild.engine.engine import Capabilities
from flowbuild.store.files import atomic_write, ensure_directory


def leave(offer: Capabilities) -> None:
    """Write down what was offered."""
    home = os.environ.get("HOME")
    place = Path(home or "/", ".trace_mind")
    if not home or not place.is_dir():
        return
    doc = {name: value for name, value in offer.doc().items() if name != "name"}
    with suppress(DiskRefused):
        directory = ensure_directory(place / "runtime_capabilities")
        atomic_write(directory / f"{offer.name}.json", msgspec.json.encode(doc) + b"\n")
