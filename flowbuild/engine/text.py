"""Step kind `write`: a text becomes the one output. Knows nothing of processes: there is none.

Shapes:  with: {"content": str}; exactly one output.
Errors:  DiskRefused when it can't be written.
"""

from __future__ import annotations

from flowbuild.core.action import Action, Outcome
from flowbuild.engine.engine import Io, Performance
from flowbuild.store.refusal import refused as disk_refused


def perform(action: Action, io: Io) -> Performance:
    """Write the content and take it into the store."""
    yield from ()
    (name,) = action.outputs
    path = io.scratch(action) / "text"
    with disk_refused(path):
        path.write_text(action.with_["content"], encoding="utf-8", newline="")
    doc = io.collect(path)
    assert doc is not None
    return Outcome({name: doc})
