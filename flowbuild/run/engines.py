"""Which engine performs a state: the steps of flows go to the one that was asked for, all else to our own.

Knows nothing of how anything is performed. What can't be performed is found here before anything is.

Errors:  CapabilitiesMismatch, which names every step kind that is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from flowbuild.core.errors import CapabilitiesMismatch
from flowbuild.engine.engine import Engine
from flowbuild.graph.state import State
from flowbuild.graph.step import CONTROL


class Engines:
    """`own` performs in process; `steps` is another engine for the steps of flows, if one was asked for."""

    def __init__(self, own: Engine, steps: Engine | None = None) -> None:
        self._own = own
        self._steps = steps
        self._docs: dict[int, Mapping[str, Any]] = {}

    def of(self, state: State) -> Engine:
        """The engine of a state."""
        is_step = state.step is not None and state.kind not in CONTROL
        return self._steps if is_step and self._steps is not None else self._own

    def seen(self, state: State) -> State:
        """The state as its engine sees it: a handler is our own engine's way to perform a step."""
        return state if state.code is None or self.of(state) is self._own else replace(state, code=None)

    def doc(self, state: State) -> Mapping[str, Any]:
        """What an action says of its engine."""
        engine = self.of(state)
        if id(engine) not in self._docs:
            found = engine.capabilities
            self._docs[id(engine)] = {"name": found.name, "version": found.version, "capabilities": found.digest}
        return self._docs[id(engine)]

    def check(self, states: Iterable[State]) -> None:
        """Refuse states of kinds that their engine has not."""
        first: dict[tuple[str, bool, bool], State] = {}
        for state in states:
            first.setdefault((state.kind, state.step is None, state.code is None), state)
        missing: dict[str, dict[str, State]] = {}
        for state in first.values():
            capabilities = self.of(state).capabilities
            has_handler = state.step is not None and self.seen(state).code is not None
            if state.kind not in capabilities.step_kinds and not has_handler:
                missing.setdefault(capabilities.name, {})[state.kind] = state
        for name, kinds in missing.items():
            said = ", ".join(f"{kind!r} ({state.label})" for kind, state in sorted(kinds.items()))
            remedy = "a step kind of your own has a function in `handlers`" if name == "python" else ""
            details = {"engine": name, "step_kinds": sorted(kinds)}
            raise CapabilitiesMismatch(f"engine {name} has no step kind {said}", remedy=remedy, details=details)

    def interrupt(self) -> None:
        """Ask all that is under way to end."""
        for engine in (self._own, self._steps):
            if engine is not None:
                engine.interrupt()
