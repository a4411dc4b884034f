"""Disks that refuse: full, out of inodes, read-only, broken or out of descriptors, for a moment or for good.

Exit 0 says that a whole bundle is there and LATEST names it; whatever else happens is a message that names a path and
the error, and the next run succeeds once the fault is gone.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from flowbuild.bundle.layout import latest
from flowbuild.bundle.read import load_bundle
from flowbuild.testing import Ran, Space

CALLS = (
    "openat", "write", "pwrite64", "mkdir", "rename", "link", "fsync", "fdatasync", "syncfs", "ftruncate", "unlink",
    "fchmod", "utimensat", "getdents64", "read", "pread64",
)  # fmt: skip
FAULTS = [
    *[("ENOSPC", call) for call in ("openat", "write", "mkdir", "rename", "fsync", "link")],
    *[("EIO", call) for call in ("write", "fsync", "syncfs", "read", "rename", "unlink")],
    *[("EROFS", call) for call in ("openat", "mkdir", "rename", "fchmod")],
    *[("EMFILE", call) for call in ("openat",)],
]
POINTS = 44
RUN = "//lab:run"

LAB = """
targets:
  probes:
    rule: registry
    probes:
      read-variable: {operation: environment-read, target: FLOWBUILD_PLANTED}
    profiles:
      scrubbed: {restrict: {environment: scrub}, denies: [read-variable]}
  plan: {rule: plan, registry: "//lab:probes", profiles: [scrubbed]}
  run: {rule: run, plan: "//lab:plan"}
"""

pytestmark = pytest.mark.faults


def told(ran: Ran, *, codes: Sequence[int] = (5,)) -> None:
    """A failure is a message with a path and the error's name, and never a traceback."""
    assert ran.code in codes, ran
    assert "Traceback" not in ran.out + ran.err, ran
    assert re.search(r"\bE[A-Z]{2,}\b|No space|Read-only|rror|open files|cannot start", ran.err + ran.out), ran


def whole(space: Space) -> None:
    """LATEST names a bundle that loads strictly."""
    out = space.root / "out/lab/run"
    named = latest(out)
    assert named is not None
    load_bundle(out / named)


def lab(root: Path) -> Space:
    space = Space(root)
    space.write("lab/BUILD.yaml", LAB)
    return space


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


def traced(space: Space, log: Path, inject: str = "") -> Ran:
    """The real program under strace, without its children."""
    words = [
        "strace",
        "-o",
        str(log),
        "-e",
        f"trace={','.join(CALLS)}",
        *(["-e", f"inject={inject}"] if inject else []),
    ]
    program = [str(Path(sys.executable).resolve()), "-m", "flowbuild", RUN]
    environment = {**space.environment, "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([*words, *program], cwd=space.root, env=environment, capture_output=True, text=True, check=False)  # fmt: skip
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[int]]:
    """By call: the how-manieth of them come after the program's modules are read."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    base = tmp_path_factory.mktemp("count")
    ran = traced(lab(base / "workspace"), base / "log")
    text = (base / "log").read_text()
    if ran.code != 0 and "ptrace" in text + ran.err:
        pytest.skip("this host does not let anybody trace")
    assert ran.code == 0, ran
    count: Counter[str] = Counter()
    found: dict[str, list[int]] = {}
    has_begun = False
    for line in text.splitlines():
        name, bracket, rest = line.partition("(")
        if bracket and name in CALLS:
            count[name] += 1
            has_begun |= ".flowbuild/null" in rest and "O_CREAT" in rest
            if has_begun and ".py" not in rest and ".so" not in rest and "site-packages" not in rest:
                found.setdefault(name, []).append(count[name])
    return found


@pytest.mark.parametrize("lasts", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("part", range(4))
def test_a_refusal_at_any_call(tmp_path: Path, points: dict[str, list[int]], lasts: bool, part: int) -> None:
    chosen = [(error, call, when) for error, call in FAULTS for when in points.get(call, ())]
    random.Random(5).shuffle(chosen)
    half = POINTS // 2
    mine = chosen[half * lasts : half * lasts + half][part::4]
    injected = 0
    for number, (error, call, when) in enumerate(mine):
        space, log = lab(tmp_path / str(number)), tmp_path / "log"
        ran = traced(space, log, f"{call}:error={error}:when={when}{'+' if lasts else ''}")
        injected += "(INJECTED)" in log.read_text()
        point = (error, call, when, ran)
        if ran.code == 0:
            whole(space)
        elif lasts and call == "write":
            # Then nothing can be said, on any descriptor: 120 is what the interpreter ends with.
            assert ran.code in (1, 4, 5, 120), point
        else:
            told(ran, codes=(1, 4, 5))
        assert space.run(RUN).code == 0, point
        whole(space)
    assert injected >= len(mine) * 0.8, "the faults were not injected"
