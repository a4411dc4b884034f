"""What a host can do, asked of the host: the real program, on this machine as it is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from flowbuild.testing import Ran, Space


def rows(ran: Ran) -> dict[tuple[str, str], dict[str, Any]]:
    found = [json.loads(line) for line in ran.out.splitlines()]
    return {(row["group"], row["name"]): row for row in found}


def test_a_host_that_builds_has_what_a_build_needs(space: Space) -> None:
    ran = space.run("doctor")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[-1] == "everything that a plain build needs works"
    assert not (space.root / ".flowbuild").exists(), "nothing that was tried stays"


def test_every_row_is_an_object(space: Space) -> None:
    found = rows(space.run("doctor", "--json"))
    assert {group for group, _ in found} == {
        "workspace",
        "host",
        "isolation",
        "channel clean",
        "disk",
        "watch",
        "programs",
    }
    assert {name for group, name in found if group == "disk"} == {"write", "fsync", "syncfs", "lock", "clone"}
    assert {name for (_, name), row in found.items() if row["needed"]} == {"python", "/bin/sh", "write", "lock"}
    assert all(row["remedy"] for row in found.values() if row["status"] == "missing")


def test_the_cache_s_size_and_disk_are_told(words: Space) -> None:
    words.build("//words")
    ran = words.run("doctor", "--json")
    count, _, rest = rows(ran)["host", "cache"]["detail"].partition(" ")
    kept = [path for path in (words.root / ".flowbuild/cas").rglob("*") if path.is_file()]
    assert int(count) == len(kept) > 0 and rest.endswith(str(words.root / ".flowbuild"))
    words.write("flowbuild.yaml", "cache: {dir: /dev/shm/flowbuild-doctor}\n")
    found = rows(words.run("doctor", "--json"))
    if os.path.isdir("/dev/shm") and os.stat("/dev/shm").st_dev != words.root.stat().st_dev:
        assert found["cache disk", "lock"]["status"] == "works"
    assert not os.path.exists("/dev/shm/flowbuild-doctor")


def test_outside_of_a_workspace_it_says_so(tmp_path: Path) -> None:
    space = Space(tmp_path / "inside")
    space.remove("flowbuild.yaml")
    ran = space.run("doctor", "--json")
    row = rows(ran)["workspace", "root"]
    assert (ran.code, row["status"]) == (0, "said") and "there is no flowbuild.yaml in" in row["detail"]
    assert ("disk", "lock") in rows(ran) and ("host", "cache") not in rows(ran)


def test_what_can_t_be_written_is_why_nothing_builds(space: Space) -> None:
    space.write(".flowbuild", "a file where a directory should be")
    ran = space.run("doctor")
    assert (ran.code, ran.err) == (1, "")
    assert ran.out.splitlines()[-1] == "a plain build does not work here: write"
    assert "EEXIST in " in ran.out


def test_a_workspace_that_does_not_load_is_examined_all_the_same(space: Space) -> None:
    space.write("flowbuild.yaml", "cahce: {}\n")
    ran = space.run("doctor")
    assert ran.code == 1 and "did you mean 'cache'?" in ran.out and "\ndisk\n" in ran.out
    assert ran.out.splitlines()[-1] == "a plain build does not work here: root"


def test_a_directory_that_is_not_there_is_a_slip(space: Space) -> None:
    ran = space.run("-C", "nowhere", "doctor")
    assert (ran.code, ran.out) == (2, "") and "no such directory" in ran.err
