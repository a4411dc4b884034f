"""Plan templates: whole plans with their registries, to begin an experiment from.

Knows nothing of what a plan is about. A template is data that ships with flowbuild; building one writes its documents
where `run_plan` and the linters find them.

Shapes:  plan_template.v0.1, static: {schema_version, template_id, description, plan, probes, profiles, policies?,
         expected_matrix?}. `policies` are the files that profiles' paths name, relative to `registry/`. Or generated:
         {schema_version, template_id, description, generate: {probes, profiles, lanes?}}, as a `registry` and a `plan`
         target say it; the documents are those of such targets.
Errors:  UnknownName for a template that is not there; BadAttribute for one whose documents don't agree; BadPath for
         files that are there already: then nothing is written.
Source:  seed 003, templates.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flowbuild.core.errors import BadAttribute, BadPath, FlowError, UnknownName, raise_all
from flowbuild.core.restriction import RESTRICTIONS
from flowbuild.core.suggest import did_you_mean
from flowbuild.graph.evidence import (
    LANES,
    NEUTRAL_WORLD,
    expected_matrix,
    plan_document,
    probes_document,
    profile_path,
    profiles_document,
    restrictions,
)
from flowbuild.graph.evidence_faults import plan_faults, registry_faults
from flowbuild.load.plan import PLAN_SCHEMA
from flowbuild.load.registry import PROBES_SCHEMA, PROFILES_SCHEMA
from flowbuild.load.strict_json import Document, read_json
from flowbuild.load.tree import PLAN, PROBES, PROFILES
from flowbuild.load.workspace import shipped
from flowbuild.store.files import atomic_write, ensure_directory

TEMPLATE_SCHEMA = "runtime-tools.plan_template.v0.1"
REGISTRY = "registry"

_SCHEMAS = {"plan": PLAN_SCHEMA, "probes": PROBES_SCHEMA, "profiles": PROFILES_SCHEMA}

Doc = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PlanBuildResult:
    """What building a template wrote. The expected matrix is written when it is asked for."""

    template_id: str
    registry_id: str
    plan_path: Path
    probes_path: Path
    profiles_path: Path
    expected_matrix_path: Path | None


def list_plan_templates() -> list[Doc]:
    """A row for each template: `template_id`, `description`, `path`."""
    found = ((path, read_json(path, path.name).value) for path in _files().values())
    return [{"template_id": p.stem, "description": doc.get("description"), "path": p.name} for p, doc in found]


def load_plan_template(template_id: str) -> Doc:
    """A template by its id, its documents of the right schemas and of one registry."""
    files = _files()
    if template_id not in files:
        remedy = did_you_mean(template_id, files)
        raise UnknownName(f"there is no plan template {template_id!r}", remedy=remedy)
    document = generated(read_json(files[template_id], files[template_id].name), template_id)
    raise_all(template_faults(document, template_id))
    return dict(document.value)


def generated(document: Document, template_id: str) -> Document:
    """A template with the documents that it says how to make; a static one as it is."""
    doc = document.value
    if not isinstance(doc, dict) or "generate" not in doc:
        return document
    said = doc["generate"]
    if not isinstance(said, dict) or {"plan", "probes", "profiles"} & set(doc):
        raise document.fault(BadAttribute, ("generate",), "a template is static, or `generate` is all that it has")
    faults = [*registry_faults(said, RESTRICTIONS), *plan_faults({"lanes": said.get("lanes", LANES)}, said)]
    raise_all(document.fault(BadAttribute, ("generate", *fault.pointer), fault.message) for fault in faults)
    name = str(doc.get("registry_id") or template_id)
    made = {
        "plan": plan_document(f"{template_id}.v1", name, {"lanes": said.get("lanes", LANES)}, said),
        "probes": probes_document(name, said),
        "profiles": profiles_document(name, said),
        "policies": restrictions(said),
    }
    made["policies"] = {profile_path(profile): policy for profile, policy in made["policies"].items()}
    rest = {key: value for key, value in doc.items() if key != "generate"}
    return replace(document, value=rest | made)


def build_plan_from_template(
    template_id: str, out_root: Path | str, *, overwrite: bool = False, write_expected_matrix: bool = True
) -> PlanBuildResult:
    """Write a template's plan and registry below a directory; over files that are there only when asked to."""
    template, root = load_plan_template(template_id), Path(out_root)
    registry = root / REGISTRY
    documents = {root / PLAN: template["plan"], registry / PROBES: template["probes"]}
    documents[registry / PROFILES] = template["profiles"]
    documents |= {registry / path: policy for path, policy in template.get("policies", {}).items()}
    matrix = root / "out" / "expected_matrix.json" if write_expected_matrix else None
    if matrix is not None:
        documents[matrix] = template.get("expected_matrix") or _expected(template)
    taken = [path for path in documents if os.path.lexists(path) and not overwrite]
    raise_all(BadPath(f"{path} is there already", remedy="overwrite it with --overwrite") for path in taken)
    for path, doc in documents.items():
        ensure_directory(path.parent)
        atomic_write(path, (json.dumps(doc, indent=2, ensure_ascii=False) + "\n").encode())
    plan_path, probes_path, profiles_path = list(documents)[:3]
    registry_id = template["plan"]["registry_id"]
    return PlanBuildResult(template_id, registry_id, plan_path, probes_path, profiles_path, matrix)


def template_faults(document: Document, template_id: str) -> Iterator[FlowError]:
    """What keeps a document from being the template of an id."""
    doc = document.value
    if not isinstance(doc, dict) or doc.get("schema_version") != TEMPLATE_SCHEMA:
        yield document.fault(BadAttribute, ("schema_version",), f"a plan template is {TEMPLATE_SCHEMA}")
        return
    if doc.get("template_id", template_id) != template_id:
        message = f"the template is {template_id!r}, and here it is {doc['template_id']!r}"
        yield document.fault(BadAttribute, ("template_id",), message)
    plan = doc.get("plan")
    registry_id = doc.get("registry_id") or (plan.get("registry_id") if isinstance(plan, dict) else None)
    for key, schema in _SCHEMAS.items():
        part = doc.get(key)
        if not isinstance(part, dict) or part.get("schema_version") != schema:
            yield document.fault(BadAttribute, (key, "schema_version"), f"a template needs `{key}`, a {schema}")
        elif not registry_id or part.get("registry_id") != registry_id:
            message = f"the registry is {registry_id!r}, and here it is {part.get('registry_id')!r}"
            yield document.fault(BadAttribute, (key, "registry_id"), message)
    policies = doc.get("policies", {})
    for path in policies if isinstance(policies, dict) else ["policies"]:
        if path.startswith("/") or {"..", "", "."} & set(path.split("/")) or not isinstance(policies, dict):
            yield document.fault(BadPath, ("policies", path), f"{path!r} is no path below the registry", key=True)


def _expected(template: Doc) -> Doc:
    world = template["plan"].get("world_id") or NEUTRAL_WORLD
    return expected_matrix(template["plan"], template["probes"], template["profiles"], world)


def _files() -> dict[str, Path]:
    """The templates that ship, by id."""
    return {path.stem: path for path in sorted((shipped("templates") / "plans").glob("*.json"))}
