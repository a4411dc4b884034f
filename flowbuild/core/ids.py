"""Ids in the grammar of seed 001, and the slugs that carry labels into it.

Knows nothing of what an id names. A label keeps its own spelling beside the slug, in the events.

Shapes:  a segment is `[a-z][a-z0-9_]{0,62}`; OpId one segment, OpPath two, StateId three, a context key up to three;
         RunId a UUID.
Errors:  BadLabel `invalid <kind>: <value>`.
Source:  seed 001 `ids`.
"""

from __future__ import annotations

import re
import uuid
from typing import NewType

from flowbuild.core.canonical import sha256
from flowbuild.core.errors import BadLabel
from flowbuild.core.label import Label

OpId = NewType("OpId", str)
StateId = NewType("StateId", str)
RunId = NewType("RunId", str)

_SEGMENT = re.compile(r"[a-z][a-z0-9_]{0,62}")
_OTHER = re.compile(r"[^a-z0-9_]+")


def op_id(value: str) -> OpId:
    """A checked OpId: one segment."""
    return OpId(_check("op_id", value, 1))


def op_path(value: str) -> str:
    """A checked OpPath: two segments."""
    return _check("op_path", value, 2)


def state_id(value: str) -> StateId:
    """A checked StateId: op, step and state."""
    return StateId(_check("state_id", value, 3))


def context_key(value: str) -> str:
    """A checked context key: one to three segments."""
    return _check("context_key", value, min(3, value.count(".") + 1))


def run_id(value: str) -> RunId:
    """A checked RunId in its one spelling."""
    try:
        return RunId(str(uuid.UUID(value)))
    except ValueError:
        raise BadLabel(f"invalid run_id: {value}") from None


def new_run_id() -> RunId:
    """A fresh random RunId."""
    return RunId(str(uuid.uuid4()))


def child_run_id(parent: RunId, fact_key: str) -> RunId:
    """The RunId of a child run: the same whenever its parent asks for it under the same key."""
    return RunId(str(uuid.uuid5(uuid.UUID(parent), fact_key)))


def op_of(label: Label) -> OpId:
    """The op of a target: a slug of its label, and eight hex digits of the label's digest, which make it unique."""
    text = f"//{label.package}:{label.name}"
    return OpId(f"{slug(f'{label.package}_{label.name}', 54)}_{sha256(text.encode())[:8]}")


def slug(text: str, longest: int = 63) -> str:
    """The nearest segment to a text. Two texts may share one: callers that need one each add a digest."""
    plain = _OTHER.sub("_", text.lower()).strip("_")[:longest].rstrip("_")
    return plain if _SEGMENT.fullmatch(plain) else f"x{plain and '_'}{plain}"[:longest]


def _check(kind: str, value: str, segments: int) -> str:
    parts = value.split(".")
    if len(parts) != segments or not all(_SEGMENT.fullmatch(part) for part in parts):
        raise BadLabel(f"invalid {kind}: {value}")
    return value
