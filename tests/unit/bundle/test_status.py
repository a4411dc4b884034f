"""The status of a host: what it enforces, and where somebody stands."""

from __future__ import annotations

import json
from pathlib import Path

from flowbuild.bundle.status import TOOLS, runtime_status
from flowbuild.core.world import world_id
from flowbuild.engine.restrict import VALUES
from flowbuild.testing import Space

FIELDS = (
    "schema_version world_id repo_root channel clean_channel_active stage_used stage_root stage_output_root "
    "run_id sandbox_check_self tools operations clean"
)


def test_the_status_has_the_seed_s_fields(tmp_path: Path) -> None:
    found = runtime_status(tmp_path)
    assert list(found) == FIELDS.split()
    assert found["world_id"] == world_id()
    assert (found["channel"], found["clean_channel_active"], found["run_id"]) == ("direct", False, None)
    assert set(found["tools"]) == set(TOOLS)
    assert set(found["operations"]) == {f"{key}:{value}" for key, values in VALUES.items() for value in values}


def test_the_command_prints_it(tmp_path: Path) -> None:
    space = Space(tmp_path / "w")
    said = space.run("status")
    assert said.code == 0
    assert said.out.splitlines()[0] == f"world    {world_id()}"
    assert json.loads(space.run("status", "--json").out)["repo_root"] == str(space.root)
