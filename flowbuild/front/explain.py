"""`flowbuild explain`: what a build would do, as text or JSON. Performs nothing and writes nothing."""

from __future__ import annotations

from typing import Any

from flowbuild.front.arguments import Request
from flowbuild.front.build import Build
from flowbuild.front.console import console
from flowbuild.run.explain import Verdict, Would
from flowbuild.run.explain import explain as explain_states
from flowbuild.run.why import Change, describe

# Verdicts that only --verbose shows one by one.
QUIET = frozenset({Would.REUSE, Would.SKIP})


def explain(request: Request) -> int:
    """Print one block a state that would run, and a summary."""
    out = console(request)
    with Build(request, out) as build:
        count = dict.fromkeys(Would, 0)
        for verdict in build.verdicts(explain_states):
            count[verdict.would] += 1
            out.emit(_doc(verdict))
            if verdict.would not in QUIET or request.verbose:
                for line in _lines(verdict):
                    out.line(line)
        skipped = f", {count[Would.SKIP]} would be skipped" if count[Would.SKIP] else ""
        line = f"{count[Would.RUN]} would run, {count[Would.MAY]} may run, {count[Would.REUSE]} would be reused"
        out.line(line + skipped)
    return 0


def _lines(verdict: Verdict) -> list[str]:
    state = verdict.state
    how = f"{state.title or state.kind}{', inline' if state.is_inline else ''}"
    lines = [f"  {verdict.would:<16} {state.label}  {how}: {verdict.reason}"]
    return lines + [f"    {text}" for text in map(shown, verdict.changes)]


def shown(change: Change) -> str:
    """A change as `field  old → new`, digests by their first eight digits."""
    return f"{change.field:<32} {short(change.old)} → {short(change.new)}"


def short(value: Any) -> str:
    """A value of an action document, short enough for a line."""
    if value is None:
        return "(none)"
    text = value if isinstance(value, str) else repr(value)
    if len(text) == 64 and all(c in "0123456789abcdef" for c in text):
        return text[:8]
    text = text.replace("\n", "\\n")  # a change is one line
    return text if len(text) <= 60 else text[:57] + "..."


def _doc(verdict: Verdict) -> dict[str, Any]:
    return {
        "label": str(verdict.state.label),
        "state_id": verdict.state.id,
        **({"inline": True} if verdict.state.is_inline else {}),
        "would": str(verdict.would),
        "reason": verdict.reason,
        "action": verdict.key,
        "changes": [{**change._asdict(), "text": describe(verdict.state, change)} for change in verdict.changes],
        "waits_for": [str(state.label) for state in verdict.waits_for],
        **({"items": [{"item": name, "would": str(would)} for name, would in verdict.items]} if verdict.items else {}),
    }
