"""A tree of seed 003's documents, as somebody may have it already: an index, a registry, a plan, a policy's file."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

Doc = dict[str, Any]
WORLD = "some-world"


def probe(probe_id: str, operation: str = "file-read-data", target: str = "/etc/hosts", **more: Any) -> Doc:
    """An entry of probes.json with every key that it must have."""
    return {
        "probe_id": probe_id,
        "name": probe_id.rpartition(":")[2],
        "operation": operation,
        "target": target,
        "expected": "allow",
        "supports_lanes": {"baseline": True, "scenario": True, "oracle": True},
        "expected_primary_ops": [operation],
        "expected_predicates": [target],
        "capabilities_required": [],
        "controls_supported": ["baseline", "allow_default", "deny_default"],
        **more,
    }


def profile(profile_id: str, path: str, *refs: str, mode: str = "restrict", **more: Any) -> Doc:
    """An entry of profiles.json with every key that it must have."""
    return {
        "profile_id": profile_id,
        "profile_path": path,
        "mode": mode,
        "family": None,
        "semantic_group": None,
        "probe_refs": list(refs),
        "key_specific_rules": [],
        "notes": None,
        **more,
    }


INDEX: Doc = {
    "schema_version": "runtime-tools.registry_index.v0.1",
    "registries": [{"id": "small", "probes": "registry/probes.json", "profiles": "registry/profiles.json"}],
}
PROBES: Doc = {
    "schema_version": "runtime-tools.probe_registry.v0.2",
    "registry_id": "small",
    "world_id": WORLD,
    "probes": {
        "open:read": probe("open:read"),
        "closed:read": probe("closed:read"),
        "closed:shell": probe("closed:shell", "process-exec", "/bin/sh", expected="deny"),
    },
}
PROFILES: Doc = {
    "schema_version": "runtime-tools.profile_registry.v0.2",
    "registry_id": "small",
    "world_id": WORLD,
    "profiles": {
        "open": profile("open", "policies/open.json", "open:read"),
        "closed": profile("closed", "policies/closed.json", "closed:read", "closed:shell"),
    },
}
PLAN: Doc = {
    "schema_version": "runtime-tools.plan.v0.1",
    "plan_id": "small.v1",
    "registry_id": "small",
    "world_id": WORLD,
    "profiles": ["open", "closed"],
    "lanes": {"baseline": True, "scenario": True, "oracle": False},
    "controls": {"baseline": True},
}
FILES: Doc = {
    "registry/registry_index.json": INDEX,
    "registry/probes.json": PROBES,
    "registry/profiles.json": PROFILES,
    "plan.json": PLAN,
    "registry/policies/open.json": {"schema_version": "flowbuild.restriction.v1", "profile_id": "open", "restrict": {}},
    "registry/policies/closed.json": {
        "schema_version": "flowbuild.restriction.v1",
        "profile_id": "closed",
        "restrict": {"exec": "deny"},
    },
}


class SeedTree:
    """The documents in a directory; `edit` changes one before it is written again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.docs: Doc = copy.deepcopy(FILES)
        (root / ".git").mkdir(parents=True)
        for name in self.docs:
            self.write(name)

    def write(self, name: str, text: str | None = None) -> Path:
        """Write a document, or this text in its place."""
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(self.docs[name], indent=2) if text is None else text)
        return file

    def edit(self, name: str, *pointer: Any, value: Any = ...) -> None:
        """Set a value of a document, or without one take it out."""
        at = self.docs[name]
        for key in pointer[:-1]:
            at = at[key]
        if value is ...:
            del at[pointer[-1]]
        else:
            at[pointer[-1]] = value
        self.write(name)

    @property
    def plan(self) -> Path:
        return self.root / "plan.json"
