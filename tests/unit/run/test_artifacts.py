"""The artifacts that a journal names, each with its kind.

Seed 001: 001-25.
"""

from __future__ import annotations

from typing import Any

from flowbuild.core.event import (
    Domain,
    Event,
    RunCompleted,
    RunStarted,
    StateCompleted,
    StateEntered,
    StateFailed,
    to_doc,
)
from flowbuild.run.artifacts import Kind, Named, artifacts

A = "a.main.x"


def found(*events: Event) -> list[Named]:
    return artifacts({"event": to_doc(event)} for event in events)


def said(event: str, /, **payload: Any) -> Domain:
    return Domain(event, payload)


def test_each_kind_is_told_once_in_order() -> None:
    assert [(one.artifact_id, one.kind, one.state_id, one.name) for one in found(
        RunStarted("op", "m", "empty"),
        StateEntered(A, 0, "empty"),
        said("action_bound", action="k", label="//a", state_id=A),
        said("effect_intended", document={"sha256": "d"}, idempotency_key="x", label="//a", state_id=A),
        said("fact_recorded", key="page", payload_id="f", meta={"state_id": A}),
        said("fact_recorded", key="token", payload_id="s", meta={"state_id": A, "kind": "secret_payload"}),
        said("artifact_written", artifact={}, artifact_id="o", name="out", state_id=A),
        said("outcome_recorded", action="k", outputs={"out": "o"}, state_id=A),
        said("item_bound", action="i", item="one", state_id=A),
        said("item_recorded", action="i", item="one", artifacts={"page": {"sha256": "q"}, "parts": {"listing": "l"}}, state_id=A),
        said("child_run_spawned", child_manifest_id="cm", child_run_id="child", state_id=A),
        StateFailed(A, {}, None),
        StateFailed(A, {}, "at its end"),
        StateCompleted(A, "after"),
        said("reused", action="k2", label="//b", outputs={"o1": "p", "o2": "o"}, performed_in="r", state_id="b.main.x"),
        said("seen", anything=1),
        RunCompleted("Completed", "last"),
    )] == [
        ("m", Kind.MANIFEST, "", ""),
        ("empty", Kind.CONTEXT_SNAPSHOT, "", ""),
        ("k", Kind.ACTION, A, ""),
        ("d", Kind.ACTION, A, ""),
        ("f", Kind.FACT_PAYLOAD, A, "page"),
        ("s", Kind.SECRET_PAYLOAD, A, "token"),
        ("o", Kind.OUTPUT, A, "out"),
        ("i", Kind.ACTION, A, "one"),
        ("q", Kind.OUTPUT, A, "page"),
        ("l", Kind.OUTPUT, A, "parts"),
        ("cm", Kind.MANIFEST, A, "child"),
        ("at its end", Kind.CONTEXT_SNAPSHOT, A, ""),
        ("after", Kind.CONTEXT_SNAPSHOT, A, ""),
        ("k2", Kind.ACTION, "b.main.x", ""),
        ("p", Kind.OUTPUT, "b.main.x", "o1"),
        ("last", Kind.CONTEXT_SNAPSHOT, "", ""),
    ]  # fmt: skip


def test_documents_are_those_of_the_seed() -> None:
    assert {kind.name: kind.doc() for kind in Kind} == {
        "MANIFEST": "Manifest",
        "CONTEXT_SNAPSHOT": "ContextSnapshot",
        "FACT_PAYLOAD": "FactPayload",
        "SECRET_PAYLOAD": "SecretPayload",
        "OUTPUT": "Output",
        "ACTION": {"Other": "Action"},
    }
    (one, *_) = found(said("artifact_written", artifact_id="o", name="out", state_id=A))
    assert one.doc() == {"artifact_id": "o", "kind": "Output", "name": "out", "state_id": A}
