"""Op summaries of a bundle, or of the bundle that a promotion packet is about.

Knows nothing of how a summary is made. What a packet says of its bundle is not believed: the bundle is judged again.

Shapes:  inputs are named `<run id>/<file>`, with their digests.
Errors:  those of a strict load; NotPromotable; StoreCorrupt for a packet that is about other bytes than those that lie
         there; BadPath for a bundle without a scenario lane, or one that the packet does not lead to.
Source:  seed 003, op summary.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flowbuild.bundle.held import Held
from flowbuild.bundle.index import MAX_BYTES
from flowbuild.bundle.layout import EVENTS, RUN_MANIFEST, RUN_STATUS, is_run_id
from flowbuild.bundle.op_summary import build_op_runtime_summary, write_op_runtime_summary
from flowbuild.bundle.promote import check_promotable, promotion_packet
from flowbuild.bundle.read import RunBundle, load_bundle, open_bundle_unverified
from flowbuild.core.canonical import sha256
from flowbuild.core.errors import BadJson, BadPath, NotPromotable, StoreCorrupt
from flowbuild.load.document import read_bytes
from flowbuild.load.strict_json import parse_json
from flowbuild.load.tree import root_of

Doc = dict[str, Any]


def summarize_ops_from_bundle(
    bundle_root: Path | str, *, out_path: Path | str | None = None, strict: bool = True
) -> Doc:
    """The op summary of a bundle, written too if a path is given. Without `strict` it may be a damaged one."""
    path = Path(bundle_root)
    bundle = load_bundle(path) if strict else open_bundle_unverified(path)
    notes = "" if bundle.is_verified else "of a bundle that is not verified; "
    return _summary(bundle, ["runtime_bundle"], f"{notes}decision-stage only when promotable", {}, out_path)


def summarize_ops_from_packet(
    packet_path: Path | str, *, out_path: Path | str | None = None, require_promotable: bool = True
) -> Doc:
    """The op summary of the bundle that a packet is about; refused unless both say that it is promotable."""
    path = Path(packet_path)
    packet, digest = _packet(path)
    bundle = open_bundle_unverified(_bundle(path, packet))
    judged = packet.get("promotability")
    if require_promotable:
        if not isinstance(judged, dict) or judged.get("promotable_decision_stage") is not True:
            reasons = judged.get("reasons") if isinstance(judged, dict) else None
            raise NotPromotable(f"{path}: the packet says that it is not promotable: {reasons}")
        check_promotable(promotion_packet(bundle))
    named = packet.get("artifact_index")
    wanted = named.get("sha256") if isinstance(named, dict) else None
    if wanted is not None and bundle.index_digest != wanted:
        raise StoreCorrupt(f"{bundle.out_dir}: this is not the bundle as {path.name} knows it")
    return _summary(bundle, ["promotion_packet"], "decision-stage only when promotable", {path.name: digest}, out_path)


def _summary(bundle: RunBundle, jobs: list[str], notes: str, known: dict[str, str], out_path: Path | str | None) -> Doc:
    hashes = dict(known)
    events: Any = None
    with Held(bundle.out_dir) as held:
        for name in (EVENTS, RUN_MANIFEST):
            if held.has(name):
                data = bundle.read(name) if bundle.is_verified and bundle.has(name) else held.read(name, MAX_BYTES)
                hashes[f"{bundle.out_dir.name}/{name}"] = sha256(data)
                events = _rows(data, bundle.out_dir / name) if name == EVENTS else events
    if not isinstance(events, list):
        raise BadPath(f"{bundle.out_dir}: there is no {EVENTS}", remedy="a run without its scenario lane has none")
    world = (bundle.run_manifest or {}).get("world_id")
    summary = build_op_runtime_summary(
        events, world_id=world, inputs=list(hashes), input_hashes=hashes, source_jobs=jobs, notes=notes
    )
    if out_path is not None:
        write_op_runtime_summary(summary, out_path)
    return summary


def _rows(data: bytes, path: Path) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise StoreCorrupt(f"{path}: not JSON: {error}") from None


def _packet(path: Path) -> tuple[Doc, str]:
    try:
        data = read_bytes(path, str(path))
    except FileNotFoundError:
        raise BadPath(f"{path}: there is no such packet") from None
    document = parse_json(data, str(path), path)
    if not isinstance(document.value, dict) or not isinstance(document.value.get("run_manifest"), str):
        raise document.fault(BadJson, (), "this is no promotion packet: it names no `run_manifest`")
    return document.value, sha256(data)


def _bundle(path: Path, packet: Doc) -> Path:
    """Where the bundle is: under its run's id beside the packet or in `out` there, or where the seed's paths lead."""
    places = []
    run_id = packet.get("run_id")
    if isinstance(run_id, str) and is_run_id(run_id):
        places = [path.parent / run_id, path.parent / "out" / run_id]
    elif not packet["run_manifest"].startswith("/") and ".." not in packet["run_manifest"].split("/"):
        places = [(root_of(path.parent) / packet["run_manifest"]).parent]
    for place in places:
        if (place / RUN_STATUS).is_file():
            return place
    raise BadPath(f"{path}: the bundle that it is about is not there", remedy="keep a packet beside its bundle")
