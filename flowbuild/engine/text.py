"""Step kind `write`: a text becomes the one output. Knows nothing of processes: there is none.

Shapes:  with: {"content": str}; exactly one output.
Errors:  DiskRefused when it can't be written.
"""

from __future__ import annotations

from flowbuild.core.action import Action, Outcome
from flowbuild.engine.engine import Io, Performance


def perform(action: Action, io: Io) -> Performance:
    """Write the content and take it into the store."""
    yield from ()
    (name,) = action.outputs
    return Outcome({name: io.keep(action.with_["content"].encode())})
