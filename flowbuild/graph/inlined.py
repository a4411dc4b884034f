"""What a handler that runs inline, in the build's own process, can't have.

Knows nothing of how it is called. While it runs nothing else goes on, so nobody can end it or answer its questions.

Errors:  BadAttribute at the attribute that stands beside `inline`.
"""

from __future__ import annotations

from flowbuild.core.errors import BadAttribute
from flowbuild.graph.scope import Scope
from flowbuild.graph.state import State

_REASONS = {
    "timeout": "nobody can end a handler that runs in the build's own process",
    "heartbeat_timeout": "nobody can end a handler that runs in the build's own process",
    "env": "the build's own process has one environment",
    "secrets": "the build's own process has one environment",
    "spawns": "a child run can't go on while a handler runs inline",
}


def check_inline(scope: Scope, state: State) -> None:
    """Refuse attributes that a call in the build's own process can't keep."""
    if state.code is None or not state.is_inline:
        return
    given = {
        "timeout": state.timeout_ms is not None,
        "heartbeat_timeout": state.heartbeat_ms is not None,
        "env": bool(state.env),
        "secrets": bool(state.secrets),
        "spawns": bool(state.spawns),
    }
    for name, reason in _REASONS.items():
        if given[name]:
            problem = f"`{name}` and `inline: true` exclude each other: {reason}"
            raise scope.fault(BadAttribute(problem, remedy=f"leave out `inline`, or `{name}`"), name)
    if "io" in state.code.doors:
        problem = f"{state.code.function}() asks for `io` and has `inline: true`: nobody answers while it runs inline"
        raise scope.fault(BadAttribute(problem, remedy="leave out `inline`, or the argument `io`"), "inline")
