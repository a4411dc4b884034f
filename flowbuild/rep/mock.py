"""A mock executor with the four step kinds of seed 000: `python -m flowbuild.rep.mock`.

Knows nothing of a plant. Its kinds are those that our own engine performs in process, so both come to the same bytes.

Shapes:  `opcua.read`, `opcua.write`, `policy.apply`, `dsl.emit`, as `core.demonstration` says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flowbuild.core.demonstration import KINDS
from flowbuild.rep.flow import Handler
from flowbuild.rep.run import Context
from flowbuild.rep.server import serve


def handler(perform: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Handler:
    """A pure function of `with` as a handler."""

    def handle(with_: Mapping[str, Any], context: Context) -> dict[str, Any]:
        return perform(with_)

    return handle


if __name__ == "__main__":
    serve({kind: handler(perform) for kind, perform in KINDS.items()})
