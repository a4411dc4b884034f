"""The oracle lane: what each profile's document says of each probe, read and never tried.

Knows nothing of rows, hosts or processes: nobody is asked and nothing is started. It is evidence of the words of a
policy only, so it is kept in a file of its own and decides nothing; beside a mismatch it says whether the document
itself expects what was seen.

Shapes:  oracle_results.v0.1. `decision` is allow, deny, or unknown for an operation or a policy's language that can't
         be read here. Probes whose `supports_lanes` leaves the oracle out are left out.
Source:  seed 003, oracle lane; what each restriction covers is `engine.restrict`.
"""

from __future__ import annotations

from collections.abc import Mapping

from flowbuild.bundle.lanes import ORACLE, Doc
from flowbuild.bundle.matrix import Pair, View
from flowbuild.engine.operations import OPERATIONS
from flowbuild.engine.restrict import COVERS, restrictions
from flowbuild.graph.evidence import expectation_id

ALLOW, DENY, UNKNOWN = "allow", "deny", "unknown"

# What `files: staged` leaves: the staged tree to everything that it covers, and this device to reading.
_STAGED = "staged"
_NULL = "/dev/null"


def oracle_results(view: View) -> Doc:
    """oracle_results.json."""
    return {
        "schema_version": "runtime-tools.oracle_results.v0.1",
        "world_id": view.evidence.world_id,
        "run_id": view.evidence.run_id,
        "results": [oracle_result(view, pair) for pair in view.pairs if is_supported(view, pair)],
    }


def is_supported(view: View, pair: Pair) -> bool:
    """Whether the registry lets the oracle answer for a pair's probe."""
    probes = view.evidence.probes["probes"]
    refs = view.evidence.profiles["profiles"][pair.profile]["probe_refs"]
    named = (probes[ref] for ref in refs if expectation_id(probes[ref]) == pair.entry["expectation_id"])
    return all((probe.get("supports_lanes") or {}).get(ORACLE, True) for probe in named)


def oracle_result(view: View, pair: Pair) -> Doc:
    """What the document of one pair's profile says of its probe."""
    operation, target = str(pair.entry["operation"]), str(pair.entry["target"])
    kind = OPERATIONS[operation].target if operation in OPERATIONS else None
    return {
        "world_id": view.evidence.world_id,
        "run_id": view.evidence.run_id,
        "expectation_id": pair.entry["expectation_id"],
        "operation": operation,
        "filter_type": pair.entry.get("filter_type"),
        "filter_type_name": pair.entry.get("filter_name") or {"fixture": "path"}.get(kind or "", kind),
        "argument": target,
        "decision": decision(view.evidence.restrictions.get(pair.profile, {}), operation, target),
        "stage": "operation",
    }


def decision(document: Mapping[str, object], operation: str, target: str) -> str:
    """What a profile's document comes to for one operation on one target."""
    restrict = document.get("restrict")
    if not isinstance(restrict, Mapping) or operation not in OPERATIONS:
        return UNKNOWN
    named = [name for name in restrictions(restrict) if operation in COVERS[name]]
    return DENY if any(not _is_left(name, operation, target) for name in named) else ALLOW


def _is_left(name: str, operation: str, target: str) -> bool:
    """Whether a restriction leaves this target to an operation that it covers."""
    if target == _NULL:
        return operation in ("file-read-data", "file-write-data", "file-write-truncate")
    return name == "files:staged" and (target == _STAGED or target.startswith(f"{_STAGED}/"))
