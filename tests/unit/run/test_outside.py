"""What a run may reach outside: what its workspace says, and no more.

Seed 001: 001-11, 001-18.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowbuild.engine.process import drive
from flowbuild.engine.reaper import Reaper
from flowbuild.engine.transport import Refused
from flowbuild.load.config import Outside as Settings
from flowbuild.run.outside import Outside


@pytest.fixture
def reaper() -> Iterator[Reaper]:
    found = Reaper()
    yield found
    found.close()


def reply(outside: Outside, namespace: str, request: Any) -> Any:
    return drive(outside.call(namespace, request))  # type: ignore[arg-type]


def test_only_programs_that_the_workspace_allows(reaper: Reaper, tmp_path: Path) -> None:
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tool").write_text("#!/bin/sh\necho 1\n")
        (tmp_path / name / "tool").chmod(0o755)
    outside = Outside(Settings((f"{tmp_path}/ours",), {}), reaper, tmp_path / "io", {})
    assert reply(outside, "exec", {"program_path": f"{tmp_path}/ours/tool"}) == 1
    with pytest.raises(Refused) as refused:
        reply(outside, "exec", {"program_path": f"{tmp_path}/theirs/tool"})
    assert refused.value.info.code == "exec_program_not_allowed"


def test_every_namespace_that_ships_is_served(reaper: Reaper, tmp_path: Path) -> None:
    outside = Outside(Settings((), {}), reaper, tmp_path / "io", {"A": "1"})
    assert reply(outside, "env", {"name": "A"}) == {"value": "1"}
    assert reply(outside, "clock", {})["millis"] > 0
    assert len(reply(outside, "random", {"size": 3})["base64"]) == 4
    with pytest.raises(Refused, match="there are clock, env, exec, file, http, random"):
        reply(outside, "smtp", {})
