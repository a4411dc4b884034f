"""Compiling: flow targets to the files that others read, Flow IR among them.

Knows nothing of how a flow is performed. The same sources give the same bytes, but for `generated_at`.

Shapes:  DIR/flows/<flow>.yaml, DIR/flows/<flow>.ir.json, DIR/policies/<policy>.json, DIR/triggers.yaml, and
         DIR/manifest.json, which is written last and names the flows of this compile only.
Errors:  OutputExists without --force; BadFlow for two flows or policies of one name; BadFlag for a DIR that is no place
         to clean.
Source:  seed 000; CONTRACTS, 000.2, "Compile outputs" and "manifest.json".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from flowbuild.core.canonical import digest
from flowbuild.core.errors import BadFlag, BadFlow, NoMatch, OutputExists
from flowbuild.core.label import Label
from flowbuild.graph.flow import document
from flowbuild.graph.flow_ir import check
from flowbuild.graph.lower import lower
from flowbuild.graph.scope import Scope
from flowbuild.load.catalog import Catalog
from flowbuild.store.files import atomic_write, ensure_directory, remove_tree

MANIFEST, TRIGGERS = "manifest.json", "triggers.yaml"
_ODD = re.compile(r"[^0-9A-Za-z._-]+")


class Flow(NamedTuple):
    """One flow target: its document with metadata, its attributes, and where it was declared."""

    label: Label
    ir: dict[str, Any]
    attrs: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.ir["flow"]["name"])

    @property
    def slug(self) -> str:
        return _ODD.sub("-", self.name).strip("-") or "flow"


def flows(catalog: Catalog, labels: Sequence[Label]) -> list[Flow]:
    """The flows among these targets, each checked by the schema; two of one name are refused."""
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    found: dict[str, Flow] = {}
    chosen = [label for label in labels if catalog.target(label).rule == "flow"]
    graph = lower(catalog, chosen)
    for label in chosen:
        params, rule = graph.targets[label].params, catalog.rules["flow"]
        flow = _flow(Scope(catalog, catalog.target(label), rule, graph.targets, [*graph.states], params), now)
        other = found.setdefault(flow.slug, flow)
        if other is not flow:
            remedy = "name one otherwise: `flow: name`"
            raise BadFlow(f"{other.label} and {label} are both the flow {flow.name!r}", remedy=remedy)
    if not found:
        raise NoMatch("none of these targets is a flow", remedy="`flowbuild list` names every target with its rule")
    return list(found.values())


def _flow(scope: Scope, now: str) -> Flow:
    target, ir = scope.target, document(scope)
    package = scope.catalog.package(target.label.package)
    assert package is not None
    ir["metadata"] = {
        "generated_at": now,
        "source_file": target.path,
        "source_sha256": package.digest,
        "target": str(target.label),
    }
    check(ir, str(target.label))
    return Flow(target.label, ir, scope.attr)


def files(found: Sequence[Flow], emit_ir: bool) -> dict[str, bytes]:
    """What to write, by path below DIR, the manifest last."""
    texts: dict[str, bytes] = {}
    policies: dict[str, tuple[Label, Any]] = {}
    for flow in found:
        texts[f"flows/{flow.slug}.yaml"] = _yaml(_source(flow))
        if emit_ir:
            texts[f"flows/{flow.slug}.ir.json"] = _json(flow.ir)
        for name, policy in flow.attrs["policies"].items():
            label, other = policies.setdefault(name, (flow.label, policy))
            if other != policy:
                raise BadFlow(f"{label} and {flow.label} have two policies {name!r}", remedy="name one otherwise")
    texts |= {f"policies/{name}.json": _json(policy) for name, (_, policy) in sorted(policies.items())}
    texts[TRIGGERS] = _yaml({"triggers": [trigger for flow in found for trigger in _triggers(flow)]})
    if emit_ir:
        texts[MANIFEST] = _json([_entry(flow) for flow in found])
    return texts


def write(directory: Path, texts: Mapping[str, bytes], force: bool) -> None:
    """Write all of it, or nothing where something is there already."""
    there = [path for path in texts if (directory / path).exists()]
    if there and not force:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise OutputExists(f"{directory / there[0]} is there already{more}", remedy="--force writes over it")
    for path, data in texts.items():
        ensure_directory((directory / path).parent)
        atomic_write(directory / path, data)


def clean(directory: Path, root: Path, everything: bool) -> None:
    """Remove the Flow IR of an earlier compile; with `everything`, the whole directory."""
    if not everything:
        for path in (*sorted(directory.glob("flows/*.ir.json")), directory / MANIFEST):
            path.unlink(missing_ok=True)
        return
    if root.is_relative_to(directory) or (directory / "flowbuild.yaml").exists():
        raise BadFlag(f"--clean-all: {directory} holds the workspace itself", remedy="give a directory of its own")
    if directory.is_dir():
        if any(directory.iterdir()) and not (directory / TRIGGERS).is_file():
            raise BadFlag(f"--clean-all: nothing was compiled into {directory}", remedy="remove it by hand")
        remove_tree(directory)


def _source(flow: Flow) -> dict[str, Any]:
    """A flow as its target says it, rendered; without what only this workspace can use."""
    kept = ("timeout_ms", "inputs", "policies", "policy", "triggers", "steps")
    return {"flow": flow.name, **{name: flow.attrs[name] for name in kept if flow.attrs[name]}}


def _triggers(flow: Flow) -> Iterator[dict[str, Any]]:
    for name, trigger in flow.attrs["triggers"].items():
        fixed = {"id": name, "flow": flow.name}
        yield {**fixed, **(trigger if isinstance(trigger, dict) else {"on": trigger}), **fixed}


def _entry(flow: Flow) -> dict[str, Any]:
    ir, metadata = flow.ir, flow.ir["metadata"]
    return {
        "name": flow.name,
        "source_file": metadata["source_file"],
        "policyRef": ir["constants"]["policyRef"],
        "step_kinds": sorted({node["type"] for node in ir["graph"]["nodes"]}),
        "inputs_schema_hash": f"sha256:{digest(ir['inputs_schema'])}",
        "ir_path": f"flows/{flow.slug}.ir.json",
        "generated_at": metadata["generated_at"],
        "source_sha256": metadata["source_sha256"],
    }


def _json(doc: Any) -> bytes:
    return (json.dumps(doc, indent=2, ensure_ascii=False) + "\n").encode()


def _yaml(doc: Any) -> bytes:
    text: str = yaml.safe_dump(doc, sort_keys=False, allow_unicode=True)
    return text.encode()
