"""Remarks: for a state that was performed, why in a few words, and whether its output stayed the same.

Knows nothing of terminals. The rows of the last table are read before the run changes them.
"""

from __future__ import annotations

from collections.abc import Callable

from flowbuild.graph.state import State, StateGraph
from flowbuild.run.session import Session
from flowbuild.run.why import Why, describe

SAME = "same output: nothing after it changed"


def remarks(session: Session, graph: StateGraph) -> Callable[[State, str, dict[str, str]], tuple[str, str]]:
    """What the console asks for each state that is done."""
    why = Why(session.cas, session.last, graph)
    followed = {need for state in graph.states for need in state.needs}
    numbers = {state.id: number for number, state in enumerate(graph.states)}

    def remark(state: State, key: str, outputs: dict[str, str]) -> tuple[str, str]:
        last = session.last.get(state.id)
        if last is None:
            return "", ""
        now = why.document(key)
        found = why.compare(last.action, now) if now is not None else ()
        texts = list(dict.fromkeys(describe(state, change) for change in found))
        cause = ", ".join(texts[:2]) + (f" and {len(texts) - 2} more" if len(texts) > 2 else "")
        same = bool(found) and dict(last.outputs) == outputs and numbers[state.id] in followed
        return cause, SAME if same else ""

    return remark
