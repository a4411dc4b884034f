"""The check-up's rows, for what this host may not show: a broken host check, and what is only half enforced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flowbuild.run.checkup import Row, checkup


def entry(status: str, **more: Any) -> dict[str, Any]:
    return {"status": status, "mechanism": None, "errno_name": None, "leaves": [], "untested": [], **more}


def test_a_broken_host_check_is_a_row(tmp_path: Path) -> None:
    found = {row.name: row for row in checkup(tmp_path / "state", None, None)}
    assert (found["preflight"].status, found["preflight"].is_fatal) == ("unavailable", False)
    assert found["lock"].status == "works"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("achieved", "detail"),
    [
        (entry("enforced", mechanism="landlock", errno_name="EACCES"), "by landlock: EACCES"),
        (entry("unavailable", errno_name="ENOSYS", leaves=["signal"]), "ENOSYS"),
        (entry("unavailable"), "no errno"),
        (
            entry("degraded", mechanism="seccomp", errno_name="EPERM", leaves=["signal"], untested=["exec"]),
            "by seccomp: EPERM; lets through signal; refused here anyway: exec",
        ),
    ],
)
def test_what_a_restriction_came_to(tmp_path: Path, achieved: dict[str, Any], detail: str) -> None:
    record = {
        "operations": {"it": achieved},
        "sandbox_check_self": {"sandboxed": None},
        "isolation": {"works": False, "operations": {}},
    }
    found = {row.name: row for row in checkup(tmp_path, None, record)}
    assert found["it"] == Row("isolation", "it", achieved["status"], detail)
    assert found["in a sandbox"].detail == "can't be told"
    assert found["what is declared"].status == "unavailable"
