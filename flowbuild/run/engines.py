"""Which engine performs a state: the steps of flows go to the one that was asked for, all else to our own.

Knows nothing of how anything is performed. What can't be performed is found here before anything is. What an executor
offers is presumed to be what it offered last, until one of its steps is to be performed: then it is asked.

Errors:  CapabilitiesMismatch, which names every step kind that is missing; or when an executor offers something else
         than was presumed, and results were reused already that rest on it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from flowbuild.core.canonical import Digest, digest
from flowbuild.core.errors import CapabilitiesMismatch
from flowbuild.engine.engine import Capabilities, Engine
from flowbuild.engine.negotiated import leave
from flowbuild.engine.step import KINDS as STEP_KINDS
from flowbuild.graph.state import State
from flowbuild.graph.step import CONTROL
from flowbuild.run.channel import ChannelName
from flowbuild.run.offers import Offers


class Engines:
    """`own` performs in process; `steps` is another engine for the steps of flows, if one was asked for.

    `executor` says what program is behind `steps`: another program is another action. With `offers`, what it offers is
    presumed. In channel `clean` there is no
    other engine: what keeps one process for many steps can't be held to what each declares.
    """

    def __init__(
        self,
        own: Engine,
        steps: Engine | None = None,
        executor: Callable[[], Mapping[str, Any]] | None = None,
        channel: str = ChannelName.DIRECT,
        offers: Offers | None = None,
    ) -> None:
        if steps is not None and channel != ChannelName.DIRECT:
            raise CapabilitiesMismatch(
                f"channel {channel} can't hold another engine, which keeps one process for many steps",
                remedy="leave the engine out, or build with --channel direct",
            )
        self._own = own
        self._steps = steps
        self._executor = executor
        self._offers = offers if executor is not None else None
        self._presumed: Capabilities | None = None  # what stands in keys, and was not said in this session
        self._is_asked = False
        self._rests = False  # whether something was reused under such a key
        self._states: list[State] = []
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
            found = self._capabilities(engine)
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
        self._states = list(first.values())
        if any(map(self._lacks, self._states)) and self._presumed is not None:
            self.ask()  # it may have learned something since
        missing: dict[str, dict[str, State]] = {}
        for state in self._states:
            if self._lacks(state):
                offer = self._capabilities(self.of(state))
                missing.setdefault(offer.name, {})[state.kind] = state
                if self.of(state) is self._steps:
                    leave(offer)
        for name, kinds in missing.items():
            said = ", ".join(f"{kind!r} ({state.label})" for kind, state in sorted(kinds.items()))
            remedy = "a step kind of your own has a function in `handlers`" if name == "python" else ""
            details = {"engine": name, "step_kinds": sorted(kinds)}
            raise CapabilitiesMismatch(f"engine {name} has no step kind {said}", remedy=remedy, details=details)

    def rest(self) -> None:
        """Be told that a result is reused under a key that presumes something."""
        self._rests = True

    def presumes(self, state: State) -> bool:
        """Whether the key of a state says what its engine was not asked for yet."""
        return self._presumed is not None and self.of(state) is self._steps

    def ask(self) -> bool:
        """Ask who was only presumed to offer something; whether that changes keys."""
        presumed, self._presumed, self._is_asked = self._presumed, None, True
        assert presumed is not None and self._steps is not None and self._offers is not None
        offer = self._steps.capabilities
        self._offers.note(self._which(), offer)
        if offer == presumed:
            return False
        if self._rests:
            raise CapabilitiesMismatch(
                "the executor offers something else than when it was asked last, and results of then were reused",
                remedy="run the same command again: it goes by what is offered now",
            )
        self._docs.clear()
        self.check(self._states)
        return True

    def _capabilities(self, engine: Engine) -> Capabilities:
        """What an engine offers, as far as it is known without asking."""
        if engine is not self._steps or self._offers is None:
            return engine.capabilities
        if self._presumed is None and not self._is_asked:
            self._presumed = self._offers.get(self._which())
            if self._presumed is None:
                self._is_asked = True
                self._offers.note(self._which(), engine.capabilities)
        return self._presumed or engine.capabilities

    def _which(self) -> Digest:
        """What tells one executor from another."""
        assert self._executor is not None
        return digest({"engine": type(self._steps).__qualname__, "executor": self._executor()})

    def _lacks(self, state: State) -> bool:
        return not self._has(state, self._capabilities(self.of(state)).step_kinds)

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
