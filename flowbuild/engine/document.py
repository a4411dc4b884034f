"""Step kind `read`: a JSON file in its canonical form, which is what flows take values from.

Knows nothing of flows. One input, one output. Outcome code: `no_json`.
"""

from __future__ import annotations

import json

from flowbuild.core.action import Action, ErrorInfo, Outcome
from flowbuild.core.canonical import canonical
from flowbuild.core.errors import BadAttribute
from flowbuild.engine.engine import Io, Performance


def perform(action: Action, io: Io) -> Performance:
    """Read the one input, and take its canonical form into the store."""
    yield from ()
    root, (staged,), (name,) = io.scratch(action), action.staged, action.outputs
    io.stage(action.staged, root)
    try:
        data = canonical(json.loads((root / staged.path).read_bytes()))
    except (ValueError, RecursionError, BadAttribute) as error:
        return Outcome(error=ErrorInfo("no_json", f"{staged.path} is no JSON: {error}"))
    return Outcome({name: io.keep(data)})
