"""The artifacts of a run, each with its kind: the registry, as a fold of the journal.

Knows nothing of where artifacts are kept or of what they say. Each is told once, by what named it first.

Shapes:  Named; a kind's document is seed 001's: a text, or {"Other": text} for an action.
Source:  seed 001, `ArtifactKind`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from flowbuild.core.canonical import Digest
from flowbuild.core.event import Domain, Event, RunCompleted, RunStarted, StateCompleted, StateEntered, from_doc
from flowbuild.run.story import ITEMS


class Kind(StrEnum):
    """What an artifact is."""

    MANIFEST = "Manifest"
    CONTEXT_SNAPSHOT = "ContextSnapshot"
    FACT_PAYLOAD = "FactPayload"
    SECRET_PAYLOAD = "SecretPayload"
    OUTPUT = "Output"
    ACTION = "Action"  # of ours: one of the seed's Other

    def doc(self) -> str | dict[str, str]:
        return {"Other": str(self)} if self is Kind.ACTION else str(self)


class Named(NamedTuple):
    """One artifact: what it is, and which state and name it has, if it has one."""

    artifact_id: Digest
    kind: Kind
    state_id: str = ""
    name: str = ""

    def doc(self) -> dict[str, Any]:
        found = self._asdict() | {"kind": self.kind.doc()}
        return {key: value for key, value in found.items() if value}


def artifacts(envelopes: Iterable[Mapping[str, Any]]) -> list[Named]:
    """Every artifact that a journal names, in its order."""
    found: dict[Digest, Named] = {}
    for envelope in envelopes:
        for one in _named(from_doc(envelope["event"])):
            found.setdefault(one.artifact_id, one)
    return list(found.values())


def _named(event: Event) -> Iterator[Named]:
    if isinstance(event, RunStarted):
        yield Named(Digest(event.manifest_id), Kind.MANIFEST)
        yield Named(Digest(event.initial_snapshot_id), Kind.CONTEXT_SNAPSHOT)
    elif isinstance(event, StateEntered):
        yield Named(Digest(event.base_snapshot_id), Kind.CONTEXT_SNAPSHOT, event.state_id)
    elif isinstance(event, StateCompleted):
        yield Named(Digest(event.context_snapshot_id), Kind.CONTEXT_SNAPSHOT, event.state_id)
    elif isinstance(event, RunCompleted) and event.final_snapshot_id is not None:
        yield Named(Digest(event.final_snapshot_id), Kind.CONTEXT_SNAPSHOT)
    elif isinstance(event, Domain):
        yield from _said(event.name, event.payload)


def _said(name: str, payload: Mapping[str, Any]) -> Iterator[Named]:
    state_id = str(payload.get("state_id", ""))
    if name in ("action_bound", "reused"):
        yield Named(payload["action"], Kind.ACTION, state_id)
    if name == "effect_intended" and payload.get("document"):
        yield Named(payload["document"]["sha256"], Kind.ACTION, state_id)
    if name in ITEMS:
        yield Named(payload["action"], Kind.ACTION, state_id, payload["item"])
        for output, doc in payload.get("artifacts", {}).items():
            yield Named(doc.get("sha256") or doc["listing"], Kind.OUTPUT, state_id, output)
    if name == "child_run_spawned":
        yield Named(payload["child_manifest_id"], Kind.MANIFEST, state_id, payload["child_run_id"])
    if name == "artifact_written":
        yield Named(payload["artifact_id"], Kind.OUTPUT, state_id, payload["name"])
    if name == "reused":
        for output, digest in payload["outputs"].items():
            yield Named(digest, Kind.OUTPUT, state_id, output)
    if name == "fact_recorded":
        kind = Kind.SECRET_PAYLOAD if payload["meta"].get("kind") == "secret_payload" else Kind.FACT_PAYLOAD
        yield Named(payload["payload_id"], kind, str(payload["meta"].get("state_id", "")), payload["key"])
