"""Disks that refuse: full, out of inodes or read-only; and limits: of open files, and of a file's size.

Exit 0 says that a whole bundle is there and LATEST names it; whatever else happens is a message that names a path and
the error, and the next run succeeds once the fault is gone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lab import RUN, lab, told, whole

from flowbuild.testing import Ran, Space

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


@pytest.mark.parametrize("place", [".", "out", ".flowbuild", "out/lab/run", ".flowbuild/cas", ".flowbuild/runs"])
def test_a_read_only_workspace(tmp_path: Path, place: str) -> None:
    """The whole of it, or just where outputs, objects or logs would be written."""
    space = lab(tmp_path / "workspace")
    directory = space.root / place
    directory.mkdir(parents=True, exist_ok=True)
    with mounted(directory, "--bind", str(directory)):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(directory)], check=True)
        ran = space.run(RUN)
        told(ran)
        assert "EROFS" in ran.err and "read-only" in ran.err, ran
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


PLAIN = """
targets:
  command: {rule: exec, script: "echo x > ${{ outputs.o }}", outputs: {o: o}}
  handler: {rule: python, handler: "h.py:f", outputs: {o: o}}
"""


def limited(space: Space, limit: str, *words: str) -> Ran:
    """The program, started by a shell that sets a limit first."""
    line = f'{limit} && exec "$0" "$@"'
    started = ["sh", "-c", line, sys.executable, "-m", "flowbuild", *words]
    done = subprocess.run(started, cwd=space.root, env=space.environment, capture_output=True, text=True, check=False)
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("label", [RUN, "//:command", "//:handler"])
def test_few_descriptors(tmp_path: Path, label: str) -> None:
    """At each limit: the whole thing, or a sentence that says which limit it is and how to raise it."""
    space, ended = lab(tmp_path / "workspace"), set()
    space.write("BUILD.yaml", PLAIN)
    space.write("h.py", "def f(o):\n    o.write_text('x')\n")
    for limit in (10, 12, 15, 16, 17, 20, 32, 64):
        shutil.rmtree(space.root / "out", ignore_errors=True)
        shutil.rmtree(space.root / ".flowbuild", ignore_errors=True)
        ran = limited(space, f"ulimit -n {limit}", label)
        ended.add(ran.code)
        if ran.code:
            told(ran)
            assert "Too many open files (EMFILE)" in ran.err and "raise it (`ulimit -n 4096`)" in ran.err, ran
        elif label == RUN:
            whole(space)
    assert ended == {0, 5}
    assert space.run(label).code == 0


@pytest.mark.skipif(sys.platform == "darwin", reason="only watched on Linux")
@pytest.mark.parametrize("label", [RUN, "//:command"])
def test_a_limit_on_the_size_of_files(tmp_path: Path, label: str) -> None:
    """Ours: the file that would pass it is named. Half a kibibyte a block: some let the journal begin."""
    space, ended = lab(tmp_path / "workspace"), set()
    # The interpreter would write its bytecode in part, and believe it the next time.
    space.environment |= {"LC_ALL": "C", "PYTHONDONTWRITEBYTECODE": "1"}
    space.write("BUILD.yaml", PLAIN.replace("echo x >", "head -c 60000 /dev/zero >"))
    for blocks in (0, 1, 4, 16, 100, 4000):
        shutil.rmtree(space.root / "out", ignore_errors=True)
        shutil.rmtree(space.root / ".flowbuild", ignore_errors=True)
        ran = limited(space, f"ulimit -f {blocks}", label)
        ended.add(ran.code)
        if ran.code == 0:
            assert label != RUN or whole(space) is None
        elif ran.code == 5:
            told(ran)
            assert "EFBIG" in ran.err and "`ulimit -f`" in ran.err, ran
        elif label == RUN:  # the preflight inherits the limit
            assert ran.code == 4 and "the preflight broke: OSError" in ran.err and "File too large" in ran.err, ran
        elif ran.code:  # and so does an action, which ends as the system ends whoever passes it
            assert ran.code == 1 and re.search("File (size|too)|SIGXFSZ", ran.out), ran
    assert {0, 5} <= ended
    assert space.run(label).code == 0
