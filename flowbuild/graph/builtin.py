"""Lowerings of the built-in rules that cannot be said in YAML.

Knows nothing of digests or engines. Each function takes a scope and returns what the target became; the rule file
names it in `lower:`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from posixpath import relpath
from typing import Any

from flowbuild.core.errors import BadAttribute, BadPath, FlowError, InvalidPlan, raise_all
from flowbuild.core.label import Label, parse
from flowbuild.core.restriction import RESTRICTIONS
from flowbuild.graph.declared import registry_id
from flowbuild.graph.evidence import (
    NEUTRAL_WORLD,
    Cell,
    cells,
    expected_matrix,
    plan_document,
    probes_document,
    profiles_document,
    restrictions,
)
from flowbuild.graph.evidence_faults import Fault, plan_faults, registry_faults
from flowbuild.graph.flow import flow_built
from flowbuild.graph.scope import Scope, as_input
from flowbuild.graph.state import Built, Code, File, Fold, Golden, Input, Product, Source, State, StateGraph
from flowbuild.graph.template import resolve_attributes
from flowbuild.load.attributes import Checker
from flowbuild.load.package import Target
from flowbuild.load.run_settings import read_settings

# What a promotion leaves; its folds name the same.
PACKET, STATEMENTS = "promotion_packet.json", "promotion_packet.intoto.jsonl"
SUMMARIES = {"markdown": "summary.md", "json": "summary.json", "ops": "op_summary.json"}


def filegroup(scope: Scope) -> Built:
    """Files under one label: no states, one output that is a list."""
    files = scope.files(scope.target.attrs["files"], "files")
    if isinstance(files, dict):
        raise scope.fault(BadAttribute("`files` is a list, a glob or a path, not a mapping"), "files")
    return scope.finish({"files": as_input(files if isinstance(files, list) else [files])})


def executor(scope: Scope) -> Built:
    """An executor's files under one label: whoever starts it reads its command from the declaration."""
    files = scope.files(scope.target.attrs["sources"], "sources")
    if isinstance(files, dict):
        raise scope.fault(BadAttribute("`sources` is a list, a glob or a path, not a mapping"), "sources")
    return scope.finish({"sources": as_input(files if isinstance(files, list) else [files])})


def group(scope: Scope) -> Built:
    """Several targets under one label."""
    members = tuple(parse(text, scope.package).target for text in scope.target.attrs["targets"])
    return scope.finish({}, members=members)


def golden(scope: Scope) -> Built:
    """A test: an output of another target beside the file that says what it should be."""
    attrs = scope.target.attrs
    actual, path = scope.files(attrs["actual"], "actual"), attrs["expected"]
    if not isinstance(actual, File) or not isinstance(actual.item, Product):
        raise scope.fault(BadAttribute(f"{attrs['actual']} is not one output of a target"), "actual")
    if actual.item.path.endswith("/"):
        raise scope.fault(BadAttribute(f"{attrs['actual']} is a directory, and a golden is one file"), "actual")
    place = scope.catalog.workspace.root / path
    if place.is_dir():  # which accepting a golden would replace, whole
        raise scope.fault(BadPath(f"{path} is a directory, and a golden is one file"), "expected")
    is_there = place.exists()
    if not is_there:
        scope.catalog.seen.absent(path)
    expected = [File(Source(path), scope.package)] if is_there else []
    values = {"volatile": attrs["volatile"], "label": str(scope.target.label), "golden": path}
    declared = {"verdict": "verdict.json"}
    arguments: dict[str, Any] = {"actual": {"path": str(actual)}, "expected": {"paths": list(map(str, expected))}}
    arguments |= {name: {"value": value} for name, value in values.items()}
    placed = scope.place(declared)
    arguments["verdict"] = {"path": relpath(f"/{placed['verdict']}", f"/{scope.package}")}
    code = Code(None, "flowbuild.engine.golden", "compare")
    scope.add(
        State(
            id=scope.state_id("main", "compare"),
            label=scope.target.label,
            kind="python",
            package=scope.package,
            with_={**code.doc(), "arguments": arguments},
            inputs={"actual": as_input(actual), "expected": as_input(expected)},
            declared=declared,
            outputs=placed,
            code=code,
            title=path,
            accepts_missing=True,
        )
    )
    return scope.finish({}, golden=Golden(actual.item, path))


def flow(scope: Scope) -> Built:
    """A flow: its steps as states, and what it came to as the output `result`."""
    return flow_built(scope)


def registry(scope: Scope) -> Built:
    """Probes and profiles, checked, as the documents of seed 003."""
    _raise(scope, registry_faults(scope.target.attrs, RESTRICTIONS))
    name, attrs = registry_id(scope.target), scope.target.attrs
    documents = {"probes": probes_document(name, attrs), "profiles": profiles_document(name, attrs)}
    return scope.finish({key: _written(scope, key, doc) for key, doc in documents.items()})


def plan(scope: Scope) -> Built:
    """Which profiles of a registry to run in which lanes, as the document of seed 003; and what is expected of each."""
    found, source = _plan(scope, scope.target)
    documents = {"plan": found}
    if scope.target.attrs["expected_matrix"]:
        read = probes_document(registry_id(source), source.attrs), profiles_document(registry_id(source), source.attrs)
        documents["expected_matrix"] = expected_matrix(found, *read, NEUTRAL_WORLD)
    return scope.finish({key: _written(scope, key, doc) for key, doc in documents.items()})


def run(scope: Scope) -> Built:
    """A plan's cells as states, each probe once without a policy and once under each profile; or targets as one run."""
    if scope.target.attrs["targets"] is not None:
        return _pipeline(scope)
    label = parse(scope.target.attrs["plan"], scope.package)
    planned = scope.catalog.target(label)
    if planned.rule != "plan":
        raise scope.fault(BadAttribute(f"{label} is no plan: its rule is {planned.rule}"), "plan")
    document, source = _plan(scope, planned)
    attrs, name = source.attrs, registry_id(source)
    probes, profiles = probes_document(name, attrs), profiles_document(name, attrs)
    matrix = expected_matrix(document, probes, profiles, "")
    forbidden = restrictions(attrs)
    rows = {cell: _cell(scope, cell, forbidden, attrs) for cell in cells(document, matrix, probes)}
    bundle = {"plan": document, "probes": probes, "profiles": profiles, "restrictions": forbidden, "cells": rows}
    return scope.finish({}, bundle={**bundle, "config": _config(scope)})


def _pipeline(scope: Scope) -> Built:
    """Targets that are built as one run, groups replaced by their members."""
    labels: list[Label] = []
    for text in scope.target.attrs["targets"]:
        label = parse(text, scope.package).target
        built = scope.built[label]
        labels += built.members or (label,)
        if built.bundle is not None:
            raise scope.fault(BadAttribute(f"{label} commits a bundle of its own"), "targets")
    bundle = {"targets": tuple(dict.fromkeys(labels)), "config": _config(scope)}
    if not any(True for label in labels for _ in StateGraph.roots(scope.built[label])):
        problem = "EmptyPlan: none of its targets has a state to perform"
        raise scope.fault(InvalidPlan(problem, remedy="name a target that is built"), "targets")
    return scope.finish({}, bundle=bundle)


def _config(scope: Scope) -> dict[str, Any]:
    """What a run target says of its run's configuration."""
    to = Checker(scope.package)
    found = read_settings(
        to, scope.render(scope.target.attrs["config"], scope.names(), "config"), ("config",), "config"
    )
    raise_all(scope.fault(one.kind(one.message, remedy=one.remedy), *one.pointer) for one in to.findings)
    return found


def promotion(scope: Scope) -> Built:
    """Whether a run may be believed elsewhere: a fold of its bundle, signed when there is a key."""
    names = {"packet": PACKET} | ({"statements": STATEMENTS} if scope.target.attrs.get("key") else {})
    built = _fold(scope, "promotion", names, ("key", "require_promotable"))
    key, root = scope.attr["key"], str(scope.catalog.workspace.root)
    if key and not key.startswith(("/", "~/")):
        raise scope.fault(BadPath(f"{key} is no place outside of the workspace", remedy="begin with / or ~/"), "key")
    if key and f"{key}/".startswith(f"{root}/"):
        remedy = "keep keys where no action can take them for an input"
        raise scope.fault(BadPath(f"{key} lies in the workspace", remedy=remedy), "key")
    return built


def summary(scope: Scope) -> Built:
    """A run's summary: a fold of its bundle."""
    return _fold(scope, "summary", {"summary": SUMMARIES[scope.target.attrs["format"]]}, ())


def _fold(scope: Scope, kind: str, outputs: Mapping[str, str], options: Iterable[str]) -> Built:
    resolve_attributes(scope)
    label = parse(scope.target.attrs["run"], scope.package).target
    if scope.built[label].bundle is None:
        raise scope.fault(BadAttribute(f"{label} is no run: its rule is {scope.built[label].rule}"), "run")
    chosen = {name: scope.attr[name] for name in options}
    return scope.finish({}, members=(label,), fold=Fold(kind, label, scope.place(outputs), chosen))


def _plan(scope: Scope, target: Target) -> tuple[dict[str, Any], Target]:
    """A plan target's document, and the registry target that it reads."""
    label = parse(target.attrs["registry"], target.label.package)
    source = scope.catalog.target(label)
    if source.rule != "registry":
        raise scope.fault(BadAttribute(f"{label} is no registry: its rule is {source.rule}"), "registry")
    if target is scope.target:
        _raise(scope, plan_faults(target.attrs, source.attrs))
    return plan_document(str(target.label), registry_id(source), target.attrs, source.attrs), source


def _cell(scope: Scope, cell: Cell, forbidden: Mapping[str, Any], attrs: Mapping[str, Any]) -> int:
    """The state of one probe in one lane. Its row says nothing of the run, so that it may be remembered."""
    name = f"{cell.profile}_{cell.probe}" if cell.profile else cell.probe
    declared = {"row": f"{cell.lane}/{cell.profile or 'none'}/{cell.probe}.json"}
    probe = {"name": cell.probe, "operation": cell.operation, "target": cell.target}
    restrict = forbidden[cell.profile]["restrict"] if cell.profile else {}
    with_ = {"lane": cell.lane, "profile": cell.profile, "restrict": restrict, "probe": probe}
    if cell.operation == "environment-read":
        with_["planted"] = {"variable": cell.target}
    return scope.add(
        State(
            id=scope.state_id(cell.lane, name),
            label=scope.target.label,
            kind="probe",
            package=scope.package,
            with_=with_,
            inputs={},
            declared=declared,
            outputs=scope.place(declared),
            observes_host=True,
            title=f"{cell.probe} under {cell.profile}" if cell.profile else cell.probe,
        )
    )


def _written(scope: Scope, name: str, document: Mapping[str, Any]) -> Input:
    """A state that writes one document, as an output."""
    declared = {name: f"{name}.json"}
    content = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    number = scope.add(
        State(
            id=scope.state_id("main", name),
            label=scope.target.label,
            kind="write",
            package=scope.package,
            with_={"content": content},
            inputs={},
            declared=declared,
            outputs=scope.place(declared),
            title=f"{name}.json",
        )
    )
    return as_input(scope.product(number, name))


def _raise(scope: Scope, faults: Iterable[Fault]) -> None:
    found: list[FlowError] = []
    for fault in faults:
        found.append(scope.fault(BadAttribute(fault.message, remedy=fault.remedy), *fault.pointer))
    raise_all(found)
