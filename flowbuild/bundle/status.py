"""Whether this host is ready for evidence: what it enforces, which tools it has, and where somebody stands.

Knows nothing of any plan. It tries what the host can enforce, as the preflight of a run does, and changes nothing.

Shapes:  runtime_status.v0.1. `operations` and `clean` are ours: what each restriction and the channel
         `clean` come to here. A process that asks is in no
         run, so the fields about a stage and a run are null.
Errors:  EngineLost when the preflight program breaks.
Source:  seed 003, status.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from flowbuild.bundle.experiment import host_check
from flowbuild.core.world import world_id
from flowbuild.load.tree import root_of
from flowbuild.run.channel import ChannelName

SCHEMA = "runtime-tools.runtime_status.v0.1"
TOOLS = ("bwrap", "git", "launchctl", "openssl", "sandbox-exec", "strace", "unshare")

Doc = dict[str, Any]


def runtime_status(start: Path | None = None) -> Doc:
    """This host, this process and the tree that a directory lies in: the one that somebody stands in by default."""
    record = host_check(ChannelName.CLEAN)
    isolation = record.get("isolation") or {}
    return {
        "schema_version": SCHEMA,
        "world_id": world_id(),
        "repo_root": str(root_of(start or Path.cwd())),
        "channel": str(ChannelName.DIRECT),
        "clean_channel_active": False,
        "stage_used": False,
        "stage_root": None,
        "stage_output_root": None,
        "run_id": None,
        "sandbox_check_self": record.get("sandbox_check_self"),
        "tools": {name: shutil.which(name) for name in TOOLS},
        "operations": record["operations"],
        "clean": {"works": isolation.get("works") is True, "operations": isolation.get("operations", {})},
    }
