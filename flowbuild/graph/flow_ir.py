"""Flow IR documents and manifests from files: read, and checked before anything uses them.

Knows nothing of targets or of who performs a flow.

Shapes:  Flow IR 1.x by docs/formats/flow-ir.schema.json; a manifest is a list of {"name", "ir_path", ...}, and
         `ir_path` is relative to the manifest.
Errors:  BadFlow for all that is wrong with one document; UnknownTarget for a flow that a manifest has not.
Source:  seed 000; CONTRACTS, 000.2, with its semantic rules beyond the schema.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from flowbuild.core.errors import BadFlow, UnknownTarget, raise_all
from flowbuild.core.suggest import did_you_mean
from flowbuild.graph.flow_order import circle
from flowbuild.graph.step import RESERVED

SCHEMA = "flow-ir.schema.json"
MOST = 20  # faults of one document that are told
_UTC = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]00:00)")


def schema() -> dict[str, Any]:
    """The JSON Schema of Flow IR: beside the package's code when installed, in the checkout otherwise."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_data" / "formats" / SCHEMA
    place = installed if installed.is_file() else package.parent / "docs" / "formats" / SCHEMA
    found: dict[str, Any] = json.loads(place.read_bytes())
    return found


def check(ir: Any, shown: str) -> None:
    """Refuse a document that is no Flow IR, with everything that is wrong. `shown` is how messages name it."""
    found = list(_schema_faults(ir)) or list(_graph_faults(ir))
    more = [f"and {len(found) - MOST} more faults"] if len(found) > MOST else []
    raise_all(BadFlow(f"{shown}: {fault}") for fault in [*found[:MOST], *more])


def _schema_faults(ir: Any) -> Iterator[str]:
    from jsonschema import Draft202012Validator  # takes longer to import than most builds

    for error in sorted(Draft202012Validator(schema()).iter_errors(ir), key=lambda one: list(map(str, one.path))):
        place = "/".join(map(str, error.absolute_path))
        yield f"{place or 'the document'}: {error.message[:300]}"


def _graph_faults(ir: Mapping[str, Any]) -> Iterator[str]:
    nodes, edges = ir["graph"]["nodes"], ir["graph"]["edges"]
    names = [node["id"] for node in nodes]
    for name in sorted(name for name, count in Counter(names).items() if count > 1):
        yield f"graph/nodes: there are two nodes {name!r}"
    known = set(names)
    loose = [(n, end, edge[end]) for n, edge in enumerate(edges) for end in ("from", "to") if edge[end] not in known]
    for number, end, name in loose:
        yield f"graph/edges/{number}/{end}: there is no node {name!r}"
    for number, node in enumerate(nodes):
        if node["type"] in RESERVED:
            yield f"graph/nodes/{number}/type: {node['type']!r} is no step kind"
        yield from (f"graph/nodes/{number}/with/{fault}" for fault in _switch_faults(node, names))
    if not _UTC.fullmatch(ir["metadata"]["generated_at"]):
        yield f"metadata/generated_at: {ir['metadata']['generated_at']!r} is no time in UTC"
    found = [] if loose else circle(dict.fromkeys(names), [(edge["from"], edge["to"]) for edge in edges])
    if found:
        yield f"graph/edges: these nodes lead in a circle: {' -> '.join(found)}"


def _switch_faults(node: Mapping[str, Any], names: Collection[str]) -> Iterator[str]:
    if node["type"] != "switch":
        return
    cases = node["with"].get("cases")
    if not isinstance(cases, Mapping):
        yield "cases: a switch has cases: an object of values to nodes"
        return
    if not isinstance(node["with"].get("key_from"), str):
        yield "key_from: a switch has a reference such as $.vars.read.level"
    for case, to in cases.items():
        if to not in names:
            yield f"cases/{case}: there is no node {to!r}"


def read_manifest(path: Path) -> list[dict[str, Any]]:
    """The entries of a manifest."""
    found = read_json(path, "manifest")
    if not isinstance(found, list) or not all(
        isinstance(one, dict) and isinstance(one.get("name"), str) and isinstance(one.get("ir_path"), str)
        for one in found
    ):
        raise BadFlow(f"{path}: a manifest is a list of objects with `name` and `ir_path`")
    return found


def read_flow(manifest: Path, name: str) -> dict[str, Any]:
    """The checked document of a flow that a manifest names."""
    entries = {entry["name"]: entry for entry in read_manifest(manifest)}
    if name not in entries:
        known = did_you_mean(name, entries) or f"it has {', '.join(sorted(entries)) or 'none'}"
        raise UnknownTarget(f"{manifest} has no flow {name!r}", remedy=known)
    path = manifest.parent / entries[name]["ir_path"]
    ir: dict[str, Any] = read_json(path, "Flow IR")
    check(ir, str(path))
    return ir


def read_json(path: Path, what: str) -> Any:
    """The JSON of a file that somebody named."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BadFlow(f"there is no {what} {path}", remedy="`flowbuild compile LABEL --emit-ir` makes them") from None
    except OSError as error:
        raise BadFlow(f"{path} can't be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise BadFlow(f"{path} is no JSON: {error}") from None
