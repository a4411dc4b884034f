"""Disks that refuse: full, out of inodes or read-only; and limits: of open files, and of a file's size.

Exit 0 says that a whole bundle is there and LATEST names it; whatever else happens is a message that names a path and
the error, and the next run succeeds once the fault is gone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from disk_lab import RUN, lab, told, whole

pytestmark = pytest.mark.faults


@contextmanager
def mounted(place: Path, *words: str) -> Iterator[Path]:
    """Something mounted for a test. Skips where that is not allowed."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("only root can mount on Linux")
    place.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *words, str(place)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this host does not let anybody mount: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("limit", ["size=2m", "nr_inodes=400"])
@pytest.mark.parametrize("left", [0, 1, 3, 8, 20, 40])
def test_a_full_disk(tmp_path: Path, limit: str, left: int) -> None:
    """With so many pages or inodes left. What the user frees is enough to go on."""
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", limit, "tmpfs") as disk:
        space = lab(disk / "workspace")
        ballast = disk / "ballast"
        ballast.mkdir()
        if "size" in limit:
            free = os.statvfs(disk).f_bavail - left
            with open(ballast / "0", "wb") as file:
                os.posix_fallocate(file.fileno(), 0, free * os.statvfs(disk).f_frsize)
        else:
            for number in range(os.statvfs(disk).f_ffree - left):
                (ballast / str(number)).touch()
        ran = space.run(RUN)
        if ran.code == 0:
            whole(space)
        else:
            told(ran)
        assert ran.code == 5 or left > 3
        shutil.rmtree(ballast)
        assert space.run(RUN).code == 0
        whole(space)


def test_a_read_only_workspace(tmp_path: Path) -> None:
    space = lab(tmp_path / "workspace")
    with mounted(space.root, "--bind", str(space.root)) as place:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(place)], check=True)
        told(space.run(RUN))
    assert space.run(RUN).code == 0
    whole(space)


def test_a_workspace_that_becomes_read_only_is_still_read(tmp_path: Path) -> None:
    """Nothing to do needs no writing."""
    space = lab(tmp_path / "workspace")
    assert space.run(RUN).code == 0
    with mounted(space.root, "--bind", str(space.root)) as place:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(place)], check=True)
        assert space.run("list", "targets").code == 0
        ran = space.run(RUN)
        if ran.code:
            told(ran)
    whole(space)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_where_we_may_not_write(tmp_path: Path) -> None:
    space = lab(tmp_path / "workspace")
    (space.root / "out").mkdir(mode=0o500)
    told(space.run(RUN))
    (space.root / "out").chmod(0o755)
    assert space.run(RUN).code == 0


def test_few_descriptors(tmp_path: Path) -> None:
    """At each limit: the whole thing, or a message."""
    space, ended = lab(tmp_path / "workspace"), set()
    for limit in (8, 12, 16, 32, 64):
        shutil.rmtree(space.root / "out", ignore_errors=True)
        shutil.rmtree(space.root / ".flowbuild", ignore_errors=True)
        words = ["sh", "-c", f'ulimit -n {limit} && exec "$0" "$@"', sys.executable, "-m", "flowbuild", RUN]
        done = subprocess.run(words, cwd=space.root, env=space.environment, capture_output=True, text=True, check=False)
        ended.add(done.returncode)
        if done.returncode:
            said = done.stdout + done.stderr  # with 8 descriptors even the interpreter may not come up
            assert done.returncode in (1, 3, 4, 5) and said
            assert "EMFILE" in said or "Too many open files" in said or "cannot start" in said, said
        else:
            whole(space)
    assert 0 in ended
    assert space.run(RUN).code == 0
