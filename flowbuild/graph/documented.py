"""Plan and registry documents to states: what a `run` target becomes, from files that somebody has already.

Knows nothing of digests, engines or runs. What the documents say is without fault (`load.plan`). A probe that this
harness can't perform, and a policy that this host can't apply, are answered `blocked`: they are no fault of the plan.

Shapes:  a graph of one target, whose label is where the plan stands. What a profile forbids is a document of ours: its
         `restrict`, or for modes `sbpl` and `blob` the policy itself, as text or in base64.
Errors:  BadAttribute for a policy that is no text; UnknownName for a filter that picks nothing.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flowbuild.core.canonical import sha256
from flowbuild.core.errors import BadAttribute
from flowbuild.core.ids import StateId, op_of, slug
from flowbuild.core.label import Label
from flowbuild.graph.evidence import Cell, cells, expected_matrix
from flowbuild.graph.state import Built, State, StateGraph
from flowbuild.load.registry import Registry
from flowbuild.load.registry_check import RESTRICTION_SCHEMA
from flowbuild.load.strict_json import Document, read_json

Doc = dict[str, Any]


def lower_documents(plan: Document, registry: Registry, root: Path) -> tuple[StateGraph, Built]:
    """The graph of a plan's cells, and the one target in it."""
    label = _label(plan, root)
    policies = {name: _policy(registry, name) for name in plan.value["profiles"]}
    matrix = expected_matrix(plan.value, registry.probes.value, registry.profiles.value, "")
    found = cells(plan.value, matrix, registry.probes.value)
    states = tuple(_states(label, found, policies))
    bundle = {
        "plan": plan.value,
        "probes": registry.probes.value,
        "profiles": registry.profiles.value,
        "restrictions": policies,
        "cells": {cell: number for number, cell in enumerate(found)},
    }
    built = Built(label, op_of(label), "run", tuple(range(len(states))), {}, bundle=bundle)
    return StateGraph(states, {label: built}), built


def _label(plan: Document, root: Path) -> Label:
    """The name that a run goes by: where its plan stands."""
    if plan.file is None:
        return Label("", slug(str(plan.value["plan_id"])))
    inside = plan.file.parent.is_relative_to(root) and plan.file.parent != root
    return Label(plan.file.parent.relative_to(root).as_posix() if inside else "", plan.file.name)


def _policy(registry: Registry, profile_id: str) -> Doc:
    """What a profile forbids, as the bundle keeps it."""
    profile = registry.profile_entries[profile_id]
    path, mode = profile["profile_path"], profile["mode"]
    head = {"schema_version": RESTRICTION_SCHEMA, "profile_id": profile_id}
    file = registry.file(path)
    if mode == "restrict":
        document = registry.files.get(path) or read_json(file or Path(path), path)
        return head | {"restrict": document.value["restrict"]}
    assert file is not None, "a plan without fault names files that are there"
    data = file.read_bytes()
    if mode == "blob":
        return head | {"mode": mode, "sha256": sha256(data), "base64": base64.b64encode(data).decode()}
    try:
        text = "\n".join([data.decode(), *profile["key_specific_rules"]])
    except UnicodeDecodeError:
        at = ("profiles", profile_id, "profile_path")
        raise registry.profiles.fault(BadAttribute, at, f"{path} is no text, as a policy of mode sbpl is") from None
    return head | {"mode": mode, "sha256": sha256(data), "text": text}


def _states(label: Label, found: tuple[Cell, ...], policies: Mapping[str, Doc]) -> Iterator[State]:
    op, given = op_of(label), set[str]()
    for cell in found:
        name = slug(f"{cell.profile}_{cell.probe}" if cell.profile else cell.probe, 56)
        made, number = f"{op}.{cell.lane}.{name}", 2
        while made in given:  # long or odd names may share a slug
            made, number = f"{op}.{cell.lane}.{name}_{number}", number + 1
        given.add(made)
        yield State(
            id=StateId(made),
            label=label,
            kind="probe",
            package=label.package,
            with_=_request(cell, policies),
            inputs={},
            declared={"row": "row.json"},
            outputs={"row": f"{made}/row.json"},
            observes_host=True,
            title=f"{cell.probe} under {cell.profile}" if cell.profile else cell.probe,
        )


def _request(cell: Cell, policies: Mapping[str, Doc]) -> Doc:
    """What the probe harness is asked."""
    policy = policies[cell.profile] if cell.profile else {}
    asked: Doc = {
        "lane": cell.lane,
        "profile": cell.profile,
        "restrict": policy.get("restrict", {}),
        "probe": {"name": cell.probe, "operation": cell.operation, "target": cell.target},
        "lenient": True,
    }
    if "mode" in policy:
        asked["foreign"] = {key: policy[key] for key in ("mode", "text", "base64") if key in policy}
    if cell.operation == "environment-read":
        asked["planted"] = {"variable": cell.target}
    return asked
