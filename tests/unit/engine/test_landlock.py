"""What Landlock is asked for, by ABI, without asking it."""

from __future__ import annotations

import errno

import pytest

from flowbuild.engine import enforcement, landlock
from flowbuild.engine.enforcement import Means
from flowbuild.engine.landlock import EXECUTE, IOCTL_DEV, MAKE_BLOCK, READ_FILE, TRUNCATE, WRITE_FILE
from flowbuild.engine.restrict import DEGRADED, ENFORCED


@pytest.mark.parametrize(("abi", "count"), [(1, 13), (2, 14), (3, 15), (4, 15), (5, 16), (7, 16), (99, 16)])
def test_each_abi_has_its_file_rights(abi: int, count: int) -> None:
    assert landlock.file_rights(abi) == (1 << count) - 1


def test_read_only_grants_reading_and_running_and_nothing_else() -> None:
    asked = enforcement.ruleset(["files:read-only"], "/s", 7)
    granted = {grant.path: grant.rights for grant in asked.grants}
    assert granted["/"] & READ_FILE and granted["/"] & EXECUTE
    assert not granted["/"] & (WRITE_FILE | TRUNCATE | IOCTL_DEV)
    assert set(granted) == {"/", "/dev/null"}


def test_staged_grants_the_staged_directory_but_no_devices() -> None:
    asked = enforcement.ruleset(["files:staged"], "/s", 7)
    granted = {grant.path: grant.rights for grant in asked.grants}
    assert granted["/s"] & WRITE_FILE and not granted["/s"] & MAKE_BLOCK
    assert set(granted) == {"/s", "/dev/null"}


@pytest.mark.parametrize("files", ["files:read-only", "files:staged"])
def test_exec_deny_takes_running_out_of_every_grant(files: str) -> None:
    asked = enforcement.ruleset(["exec:deny", files], "/s", 7)
    assert not any(grant.rights & EXECUTE for grant in asked.grants)
    assert asked.files & EXECUTE


def test_exec_deny_alone_takes_nothing_but_running() -> None:
    assert enforcement.ruleset(["exec:deny"], "/s", 7) == landlock.Ruleset(files=EXECUTE)


def test_an_old_abi_leaves_truncation_open() -> None:
    row = enforcement._landlock_row("files:staged", Means(2, None, None))
    assert (row.status, row.leaves) == (DEGRADED, ("file-write-truncate",))
    assert enforcement._landlock_row("files:staged", Means(3, None, None)).status == ENFORCED


def test_landlock_alone_stops_paths_only() -> None:
    assert enforcement._landlock_row("exec:deny", Means(7, None, errno.EINVAL)).status == DEGRADED
