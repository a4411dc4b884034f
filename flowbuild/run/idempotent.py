"""Idempotency keys: what changes the world is done once for each key, and a key means one thing.

Knows nothing of who asks. The memo's record of such an action has its full document as one more artifact, so that the
same key with other inputs is found out instead of taken for done.

Errors:  BadAttribute for a key that was used with other inputs.
Source:  DESIGN, section 1; seed 001, idempotency.
"""

from __future__ import annotations

from dataclasses import replace

from flowbuild.core.action import Action
from flowbuild.core.canonical import canonical, sha256
from flowbuild.core.errors import BadAttribute
from flowbuild.graph.state import State
from flowbuild.store.memo import Record
from flowbuild.store.tree import Artifact

DOCUMENT = "idempotent-action"


def noted(state: State, action: Action) -> dict[str, Artifact]:
    """What a record holds beside the outputs."""
    if state.idempotency_key is None:
        return {}
    data = canonical(action.doc)
    return {DOCUMENT: Artifact(sha256(data), len(data))}


def checked(state: State, action: Action, record: Record) -> Record:
    """The record as a reader sees it; refuses one of an action with other inputs."""
    known = record.outputs.get(DOCUMENT)
    if known is None:
        return record
    if known.sha256 != sha256(canonical(action.doc)):
        raise BadAttribute(
            f"{action.label}: the idempotency key {state.idempotency_key!r} was used with other inputs",
            remedy="give what is another deed another key",
        )
    return plain(record)


def plain(record: Record) -> Record:
    """A record without what it holds beside the outputs."""
    return replace(record, outputs={name: one for name, one in record.outputs.items() if name != DOCUMENT})
