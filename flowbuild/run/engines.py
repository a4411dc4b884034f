"""Which engine performs a state: the steps of flows go to the one that was asked for, all else to our own.

Knows nothing of how anything is performed. What can't be performed is found here before anything is.

Errors:  CapabilitiesMismatch, which names every step kind that is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from flowbuild.core.errors import CapabilitiesMismatch
from flowbuild.engine.engine import Engine
from flowbuild.engine.step import KINDS as STEP_KINDS
from flowbuild.graph.state import State
from flowbuild.graph.step import CONTROL
from flowbuild.run.channel import ChannelName


class Engines:
    """`own` performs in process; `steps` is another engine for the steps of flows, if one was asked for.

    `executor` says what program is behind `steps`: another program is another action. In channel `clean` there is no
    other engine: what keeps one process for many steps can't be held to what each declares.
    """

    def __init__(
        self,
        own: Engine,
        steps: Engine | None = None,
        executor: Callable[[], Mapping[str, Any]] | None = None,
        channel: str = ChannelName.DIRECT,
    ) -> None:
        if steps is not None and channel != ChannelName.DIRECT:
            raise CapabilitiesMismatch(
                f"channel {channel} can't hold another engine, which keeps one process for many steps",
                remedy="leave the engine out, or build with --channel direct",
            )
        self._own = own
        self._steps = steps
        self._executor = executor
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
            doc: dict[str, Any] = {"name": found.name, "version": found.version, "capabilities": found.digest}
            if engine is self._steps and self._executor is not None:
                doc["executor"] = self._executor()
            self._docs[id(engine)] = doc
        return self._docs[id(engine)]

    def check(self, states: Iterable[State]) -> None:
        """Refuse states of kinds that their engine has not."""
        first: dict[tuple[str, bool, bool], State] = {}
        for state in states:
            first.setdefault((state.kind, state.step is None, state.code is None), state)
        missing: dict[str, dict[str, State]] = {}
        for state in first.values():
            capabilities = self.of(state).capabilities
            if not self._has(state, capabilities.step_kinds):
                missing.setdefault(capabilities.name, {})[state.kind] = state
        for name, kinds in missing.items():
            said = ", ".join(f"{kind!r} ({state.label})" for kind, state in sorted(kinds.items()))
            remedy = "a step kind of your own has a function in `handlers`" if name == "python" else ""
            details = {"engine": name, "step_kinds": sorted(kinds)}
            raise CapabilitiesMismatch(f"engine {name} has no step kind {said}", remedy=remedy, details=details)

    def _has(self, state: State, kinds: Collection[str]) -> bool:
        """Whether the engine of a state performs it. Of our own kinds, only those of flows are steps."""
        if state.step is None or self.of(state) is not self._own:
            return state.kind in kinds
        return state.code is not None or (state.kind in STEP_KINDS and state.kind in kinds)

    def interrupt(self) -> None:
        """Ask all that is under way to end."""
        for engine in (self._own, self._steps):
            if engine is not None:
                engine.interrupt()
