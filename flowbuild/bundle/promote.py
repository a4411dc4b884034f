"""promotion_packet.json: whether a bundle's decisions may be believed elsewhere, and why not.

Knows nothing of keys or signatures. A packet is a pure function of a bundle: nothing in it can be set by whoever asks
for it, so anybody who has the bundle can make it again and compare.

Shapes:  promotion_packet.v0.2. Paths are relative to the bundle, and listed even where the file is absent. `run_id`,
         `world_id`, `plan_digest` and `artifact_index` (its digest) are ours: they say which bundle this is about.
Errors:  NotPromotable with `require_promotable`, and nothing is written; BadPath for a packet inside the bundle;
         NotCommitted where there is no directory.
Source:  seed 003, promotion packet; decision 12 (`clean` is promotable wherever `launchd_clean` is).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flowbuild.bundle.documents import pretty
from flowbuild.bundle.held import Held
from flowbuild.bundle.layout import (
    BASELINE_RESULTS,
    EVENTS,
    EXPECTED,
    FIXTURES,
    INDEX,
    MISMATCH_PACKETS,
    ORACLE_RESULTS,
    PATH_WITNESSES,
    PREFLIGHT,
    REPAIR_LOG,
    RUN_MANIFEST,
    RUNTIME_RESULTS,
    SUMMARY,
    outside_bundles,
)
from flowbuild.bundle.read import RunBundle, document, open_bundle_unverified
from flowbuild.core.canonical import canonical
from flowbuild.core.errors import BadAttribute, NotPromotable, StoreError
from flowbuild.store.files import atomic_write, ensure_directory, flush_directory

Doc = dict[str, Any]

PACKET = "promotion_packet.json"
SCHEMA = "runtime-tools.promotion_packet.v0.2"
CLEAN = ("clean", "launchd_clean")

# key of the packet: the document in the bundle. The second table's are named only where they are there.
_PARTS = {
    "run_manifest": RUN_MANIFEST,
    "expected_matrix": EXPECTED,
    "runtime_results": RUNTIME_RESULTS,
    "runtime_events": EVENTS,
    "baseline_results": BASELINE_RESULTS,
    "oracle_results": ORACLE_RESULTS,
    "mismatch_packets": MISMATCH_PACKETS,
    "summary": SUMMARY,
}
_OPTIONAL = {"path_witnesses": PATH_WITNESSES, "fixtures": FIXTURES, "impact_map": "impact_map.json"}
_DECISION_STAGE = (RUNTIME_RESULTS, EVENTS, EXPECTED)


def emit_promotion_packet(bundle_root: Path | str, out_path: Path | str, *, require_promotable: bool = False) -> Doc:
    """Write the packet of a bundle, and return it. Without `require_promotable` it may say that it is not."""
    bundle = open_bundle_unverified(bundle_root)
    packet = promotion_packet(bundle)
    if require_promotable:
        check_promotable(packet)
    write_beside(Path(out_path), packet_bytes(packet))
    return packet


def check_promotable(packet: Doc) -> None:
    """Nothing, when the packet says that its bundle is promotable."""
    if against := packet["promotability"]["reasons"]:
        remedy = "run it with --channel clean" if "not_clean_channel" in against else ""
        raise NotPromotable(f"not promotable: {', '.join(against)}", remedy=remedy, details={"reasons": against})


def statements_path(packet: Path) -> Path:
    """Where the signed statements of a packet lie: beside it."""
    return packet.with_name(f"{packet.name.removesuffix('.json')}.intoto.jsonl")


def write_beside(out_path: Path, data: bytes) -> None:
    """Write a file about a bundle, anywhere but inside one."""
    outside_bundles(out_path)
    ensure_directory(out_path.parent)
    atomic_write(out_path, data, flush=True)
    flush_directory(out_path.parent)


def promotion_packet(bundle: RunBundle) -> Doc:
    """What a bundle's packet says."""
    index, status = bundle.index, bundle.status or {}
    optional = {key: name for key, name in _OPTIONAL.items() if bundle.has(name)}
    against = reasons(bundle)
    return {
        "schema_version": SCHEMA,
        "run_id": index.run_id if index else None,
        "world_id": index.world_id if index else None,
        "plan_digest": _told(status.get("plan_digest"), str),
        "artifact_index": {"path": INDEX, "sha256": bundle.index_digest},
        **_PARTS,
        **optional,
        "promotability": {
            "promotable_decision_stage": not against,
            "reasons": against,
            "gating_inputs": gating_inputs(bundle),
        },
    }


def gating_inputs(bundle: RunBundle) -> Doc:
    """What the decision hangs on, as the bundle says it."""
    record = _preflight(bundle) or {}
    return {
        "channel": _told((bundle.run_manifest or {}).get("channel"), str),
        "apply_preflight_present": bool(record),
        "apply_ok": record.get("apply_ok") is True and record.get("status") == "ok",
        "sandbox_check_self": _told(record.get("sandbox_check_self"), dict),
    }


def reasons(bundle: RunBundle) -> list[str]:
    """Everything that stands against it, in the seed's eleven words."""
    status, index, inputs = bundle.status or {}, bundle.index, gating_inputs(bundle)
    itself = inputs["sandbox_check_self"] or {}
    found = {
        "manifest_missing": bundle.run_manifest is None,
        "run_status_missing": bundle.status is None,
        "bundle_in_progress": status.get("state") == "in_progress",
        "not_clean_channel": inputs["channel"] not in CLEAN or status.get("channel") != inputs["channel"],
        "apply_preflight_missing": not inputs["apply_preflight_present"],
        "already_sandboxed": itself.get("sandboxed") is True,
        "apply_failed": not inputs["apply_ok"],
        # What was repaired is no longer what was committed.
        "bundle_integrity_unverified": not bundle.is_verified or bundle.has(REPAIR_LOG),
        "bundle_failed": index is not None and index.status == "failed",
        "bundle_incomplete": index is not None and bool(index.missing),
        "decision_stage_artifacts_missing": not all(_is_there(bundle, name) for name in _DECISION_STAGE),
    }
    return sorted(reason for reason, stands in found.items() if stands)


def _preflight(bundle: RunBundle) -> Doc | None:
    """The host check's record: checked where the bundle is verified, and else as it lies there."""
    try:
        if bundle.is_verified:
            record = bundle.document(PREFLIGHT) if bundle.has(PREFLIGHT) else None
        else:
            with Held(bundle.out_dir) as held:
                record = document(held, PREFLIGHT)
    except StoreError:  # not readable is not there
        return None
    return record if isinstance(record, dict) else None


def _told(value: Any, kind: type) -> Any:
    """What a document says, when it is of this kind and JSON can say it again; anybody may have written it."""
    try:
        canonical(value)
    except BadAttribute:
        return None
    return value if isinstance(value, kind) else None


def _is_there(bundle: RunBundle, name: str) -> bool:
    return bundle.has(name) if bundle.index else (bundle.out_dir / name).is_file()


def packet_bytes(packet: Doc) -> bytes:
    """A packet as it is written."""
    return pretty(packet)


def packet_document(data: bytes) -> Doc | None:
    """The packet in these bytes; None when they are none of ours."""
    try:
        doc = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return doc if isinstance(doc, dict) and doc.get("schema_version") == SCHEMA else None
