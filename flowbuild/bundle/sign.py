"""Promoting: a packet beside its bundle, and with a key the signed statements beside the packet.

Knows nothing of what the statements say. Nothing is signed about a bundle that is not promotable; its packet says why.

Errors:  NotPromotable with `require_promotable`, and nothing is written; BadPath for a place inside the bundle.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from flowbuild.bundle.envelope import Signer, sign
from flowbuild.bundle.promote import check_promotable, packet_bytes, promotion_packet, statements_path, write_beside
from flowbuild.bundle.read import RunBundle
from flowbuild.bundle.statement import statements
from flowbuild.store.journal import now_millis


class Promoted(NamedTuple):
    """What a promotion came to. `statements` is None where nothing was signed."""

    packet: dict[str, Any]
    path: Path
    statements: Path | None


def promote(bundle: RunBundle, path: Path, signer: Signer | None, *, require_promotable: bool) -> Promoted:
    """Write the packet of a bundle to a path, and its signed statements beside: those first, so none is stale."""
    packet = promotion_packet(bundle)
    if require_promotable:
        check_promotable(packet)
    signed = None
    if signer is not None and packet["promotability"]["promotable_decision_stage"]:
        signed = statements_path(path)
        docs = statements(bundle, packet, now_millis() // 1000)
        write_beside(signed, b"".join(sign(doc, signer) for doc in docs))
    write_beside(path, packet_bytes(packet))
    return Promoted(packet, path, signed)
