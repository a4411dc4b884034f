"""A bundle as small as one can be, for tests of committing and loading."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flowbuild.bundle.commit import Committed, Writer, begin
from flowbuild.core.canonical import sha256

WORLD = "world-1"
OBJECT = b'{"schema_version":"flowbuild.action.v1"}'


def status(run_id: str, state: str) -> bytes:
    return json.dumps({"run_id": run_id, "world_id": WORLD, "state": state}).encode()


def writer(root: Path, run_id: str = "run-1") -> Writer:
    """A run with three documents, a journal that stands there already, and two objects."""
    found = begin(root, run_id, status(run_id, "in_progress"))
    (found.path / "journal.jsonl").write_bytes(b'{"seq":1}\n')
    found.adopt("journal.jsonl")
    found.add("run_status.json", status(run_id, "complete"))
    found.add("run_manifest.json", b'{"channel": "direct"}')
    found.add("profiles/p.json", b'{"schema_version": "flowbuild.restriction.v1"}')
    found.add_object(sha256(OBJECT), OBJECT)
    return found


def committed(root: Path, run_id: str = "run-1", **how: Any) -> Committed:
    with writer(root, run_id) as found:
        return found.commit(**{"status": "ok", "world_id": WORLD, "move_latest": True, "durability": "none", **how})
