"""The secrets of one run: their values for whoever declares them, and for nobody else.

Knows nothing of graphs or files. A value comes from a variable of whoever builds, is given to the actions that name it,
and is masked in what they say; what would write it down all the same is refused, or its text replaced.

Errors:  as outcomes: `secret_missing`, `secret_too_short`, `secrets_detected`. SecretsDetected before anything is
         written, when a value stands in a target or a parameter.
Source:  seed 001, secrets and failed states; decision 6.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from flowbuild.core.action import Action, ErrorInfo, Outcome
from flowbuild.core.canonical import canonical
from flowbuild.core.errors import BadAttribute, SecretsDetected
from flowbuild.core.mask import SHORTEST, Mask
from flowbuild.core.secrets import find_secret, hide_lines, looks_secret
from flowbuild.engine.engine import Engine, Io, Performance
from flowbuild.graph.state import State
from flowbuild.load.secret import excuses

REDACTED = "error details redacted"
_PLAIN = re.compile(r"[A-Za-z0-9_]+")


class Scratch(Io, Protocol):
    """An `Io` that can clean up."""

    def scrub(self, action: Action) -> None:
        """Remove what holds the value of a secret from what is left of an action."""


class Secrets:
    """See the module. `key_name` is the variable that holds the key of what `run.vault` seals; `mask` is that of
    other runs of the same command."""

    def __init__(
        self, variables: Mapping[str, str], *, run_id: str = "", key_name: str | None = None, mask: Mask | None = None
    ) -> None:
        self.variables = variables
        self.run_id = run_id
        self.key_name = key_name
        self.mask = Mask() if mask is None else mask

    def know(self, names: Iterable[str]) -> None:
        """Hide the values of these variables from now on."""
        for name in names:
            self.mask.add(self.variables.get(name, ""))

    def given(self, action: Action) -> Mapping[str, str]:
        """The variables that an action gets beside those in its document."""
        names: Iterable[str] = action.with_.get("secrets") or ()
        self.know(names)
        return {name: self.variables[name] for name in names if name in self.variables}

    def check(self, states: Iterable[State], passed: Callable[[str], str | None], manifest: Mapping[str, Any]) -> None:
        """Refuse a run that would write the value of a secret. `passed` tells a variable that an action passes on."""
        states = list(states)
        self.know(name for state in states for name in state.secrets)
        if not self.mask:
            return
        for state in states:
            env = {name: passed(name) if text is None else text for name, text in state.env.items()}
            said = [dict(state.with_), env, state.declared, state.idempotency_key]
            if self._holds(said) or any(self.mask.finds(path.encode()) for path in state.sources):
                raise SecretsDetected(
                    f"{state.label}: the value of a secret stands in what it declares", remedy=_REMEDY
                )
        if self._holds(manifest):
            raise SecretsDetected("the value of a secret stands in a parameter", remedy=_REMEDY)

    def performed(self, action: Action, engine: Engine, io: Scratch) -> Performance:
        """A performance whose outcome may be written down, and whose place too if it is left for people."""
        refused = self._refusal(action)
        if refused is not None:
            return Outcome(error=refused)
        is_whole = False
        try:
            outcome = self.redacted(action, (yield from engine.perform(action, io)))
            is_whole = outcome.ok
        finally:
            if not is_whole:
                io.scrub(action)
        return outcome

    def redacted(self, action: Action, outcome: Outcome) -> Outcome:
        """An outcome without secrets: those known, and texts that look like some unless its target is excused."""
        excused = excuses(action.doc)
        error = outcome.error
        if error is not None:
            message = self.mask.text(error.message)
            is_kept = not self._holds(error.details) and (excused or find_secret(error.details) is None)
            error = replace(
                error,
                code=self._code(error.code, excused),
                message=message if excused or not looks_secret(message) else REDACTED,
                details=error.details if is_kept else None,
            )
            if outcome.context is not None and self._told(outcome.context, excused) is not None:
                outcome = replace(outcome, context=None)
        elif outcome.context is not None and (key := self._told(outcome.context, excused)) is not None:
            said = f"context key {self.mask.text(key)!r} holds what looks like a secret"
            return replace(outcome, outputs={}, context=None, error=ErrorInfo("secrets_detected", said, "Context"))
        stdout, stderr = (self._lines(text, excused) for text in (outcome.stdout_tail, outcome.stderr_tail))
        reproduce = None if outcome.reproduce is None else self.mask.text(outcome.reproduce)
        return replace(outcome, error=error, stdout_tail=stdout, stderr_tail=stderr, reproduce=reproduce)

    def _code(self, code: str, excused: bool) -> str:
        """The code of an error, or another where a handler chose one that is a secret.

        `secret_key_missing` looks like one, as names of errors may: a plain word is none unless it is known.
        """
        is_plain = excused or _PLAIN.fullmatch(code) is not None or not looks_secret(code)
        return code if is_plain and not self.mask.finds(code.encode("utf-8", "replace")) else "error_redacted"

    def _told(self, changes: Mapping[str, Any], excused: bool) -> str | None:
        """The first key of a context's changes that tells a secret."""
        for key, value in {**dict.fromkeys(changes["delete"]), **changes["write"]}.items():
            if self._holds({key: value}) or (not excused and find_secret({key: value}) is not None):
                return str(key)
        return None

    def _lines(self, text: str, excused: bool) -> str:
        shown = self.mask.text(text)
        return shown if excused else hide_lines(shown)

    def _refusal(self, action: Action) -> ErrorInfo | None:
        """Why an action can't be begun with the secrets that it names."""
        for name in action.with_.get("secrets") or ():
            value = self.variables.get(name, "")
            if not value:
                message = f"the secret {name} is not set: it is a variable of whoever builds"
                return ErrorInfo("secret_missing", message, details={"secret": name})
            if len(value.strip()) < SHORTEST:
                message = f"the secret {name} has fewer than {SHORTEST} characters, too few to be masked"
                return ErrorInfo("secret_too_short", message, details={"secret": name})
        return None

    def _holds(self, value: Any) -> bool:
        """Whether a JSON value holds what is known to be secret."""
        if not self.mask or value is None:
            return False
        try:
            return self.mask.finds(canonical(value))
        except BadAttribute:
            return self.mask.finds(repr(value).encode("utf-8", "replace"))


_REMEDY = "name it in `secrets:`, and let the action read the variable"
