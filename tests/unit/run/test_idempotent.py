"""Idempotency keys: what a record of a deed holds beside its outputs, and who may read it.

Seed 001: 001-13.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from flowbuild.core.action import Action
from flowbuild.core.canonical import Digest
from flowbuild.core.errors import BadAttribute
from flowbuild.core.ids import StateId
from flowbuild.core.label import Label
from flowbuild.graph.state import State
from flowbuild.run.idempotent import checked, noted
from flowbuild.store.memo import Record
from flowbuild.store.tree import Artifact

ACTION = Action(Digest("0" * 64), {"step_kind": "exec", "with": {"who": "me"}}, "//:a", "a.main.command", "")
STATE = State(StateId("a.main.command"), Label("", "a"), "exec", "", {}, {}, {}, {}, applies=True, idempotency_key="k")
OUTPUTS = {"o": Artifact(Digest("1" * 64), 1)}


def record(outputs: dict[str, Artifact]) -> Record:
    return Record(ACTION.key, "direct", outputs, "run", 1)


def test_the_action_is_noted_beside_the_outputs_and_not_read_as_one() -> None:
    kept = record({**OUTPUTS, **noted(STATE, ACTION)})
    assert len(kept.outputs) == 2
    assert checked(STATE, ACTION, kept) == record(OUTPUTS)


def test_another_action_under_the_key_is_refused() -> None:
    kept = record({**OUTPUTS, **noted(STATE, ACTION)})
    with pytest.raises(BadAttribute, match="//:a: the idempotency key 'k' was used with other inputs"):
        checked(STATE, replace(ACTION, doc={"step_kind": "exec", "with": {"who": "you"}}), kept)


def test_what_has_no_key_notes_nothing() -> None:
    assert noted(replace(STATE, idempotency_key=None), ACTION) == {}
    assert checked(STATE, ACTION, record(OUTPUTS)) == record(OUTPUTS)
