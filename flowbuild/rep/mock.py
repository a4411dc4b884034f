"""A mock executor with the four step kinds of seed 000: `python -m flowbuild.rep.mock`.

Knows nothing of a plant: what it reads is always 80.

Shapes:  `opcua.read` {endpoint, node_ids} gives {endpoint, values}; `opcua.write` {endpoint, node_id, value} gives the
         same and a status; `policy.apply` {values} says that it has no policy; `dsl.emit` gives what it gets.
Source:  seed 000, the demonstration handlers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flowbuild.rep.flow import Handler
from flowbuild.rep.run import Context
from flowbuild.rep.server import serve


def opcua_read(with_: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Every node of the plant reads 80."""
    nodes = with_.get("node_ids")
    values = {str(node): 80.0 for node in nodes} if isinstance(nodes, list) else {}
    return {"endpoint": with_.get("endpoint"), "values": values}


def opcua_write(with_: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Every write is fine."""
    return {**{name: with_.get(name) for name in ("endpoint", "node_id", "value")}, "status": "ok"}


def policy_apply(with_: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """There is no policy here, which is an answer too."""
    values = with_.get("values")
    values = values if isinstance(values, dict) else {}
    error = "policy.apply step requires policy_ref path"
    return {"action": "NONE", "policy_id": with_.get("policy_id"), "values": values, "error": error}


def dsl_emit(with_: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """What a flow comes to."""
    return dict(with_)


HANDLERS: Mapping[str, Handler] = {
    "dsl.emit": dsl_emit,
    "opcua.read": opcua_read,
    "opcua.write": opcua_write,
    "policy.apply": policy_apply,
}

if __name__ == "__main__":
    serve(HANDLERS)
