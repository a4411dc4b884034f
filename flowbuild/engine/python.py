"""The `python` engine: the default one. It runs commands, handlers, probes, and writes texts.

Knows nothing of graphs, runs or policies. A table maps a step kind to the function that performs it.

Shapes:  step kinds `exec` (see command), `python` (see worker), `probe`, `read` (see document), `write` (see text), and
         those of flows (see step). An action with a handler of its own may be of any kind.
Errors:  what an action's own fault is, is its outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flowbuild.core.action import Action
from flowbuild.engine import command, document, harness, step, text
from flowbuild.engine.engine import Capabilities, Io, Performance
from flowbuild.engine.reaper import Reaper
from flowbuild.engine.worker import Workers

CAPABILITIES = Capabilities("python", "1", ("exec", "probe", "python", "read", "write", *step.KINDS))


class PythonEngine:
    """Performs actions as processes of this machine, each confined if the channel is `clean`.

    One reaper may serve several engines.
    """

    def __init__(self, reaper: Reaper | None = None, *, is_clean: bool = False) -> None:
        self._reaper = reaper or Reaper()
        self._owns_reaper = reaper is None
        self._workers = Workers(self._reaper, is_clean)
        # A test asserts that this is total.
        self._table: Mapping[str, Callable[[Action, Io], Performance]] = {
            "exec": lambda action, io: command.perform(action, io, self._reaper, is_clean),
            "probe": lambda action, io: harness.perform(action, io, self._reaper, is_clean=is_clean),
            "python": self._workers.perform,
            "read": document.perform,
            "write": text.perform,
            **dict.fromkeys(step.KINDS, self._step),
        }

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    def perform(self, action: Action, io: Io) -> Performance:
        """Perform one action. Closing the generator ends what it started."""
        perform = self._step if action.handler is not None else self._table[action.kind]
        return perform(action, io)

    def _step(self, action: Action, io: Io) -> Performance:
        return step.perform(action, io, self._workers)

    def interrupt(self) -> None:
        """Ask every running child to end: the grace of each then runs at once."""
        self._reaper.interrupt()

    def close(self) -> None:
        """End the workers, and every child if the reaper is our own."""
        self._workers.close()
        if self._owns_reaper:
            self._reaper.close()
