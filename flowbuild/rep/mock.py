"""A mock executor with the four step kinds of seed 000: `python -m flowbuild.rep.mock`.

Knows nothing of a plant: what it reads is always 80.

Shapes:  those of `core.demonstration`, which the `python` engine performs too.
Source:  seed 000, the demonstration handlers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flowbuild.core.demonstration import KINDS
from flowbuild.rep.flow import Handler
from flowbuild.rep.server import serve


def _handler(perform: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Handler:
    return lambda with_, context: perform(with_)


HANDLERS: Mapping[str, Handler] = {kind: _handler(perform) for kind, perform in KINDS.items()}

if __name__ == "__main__":
    serve(HANDLERS)
