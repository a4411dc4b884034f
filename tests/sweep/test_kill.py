"""The real program, killed at every system call that writes, renames, links or flushes.

After each kill: no torn bundle, LATEST names a whole one or is not there, and the next run succeeds by itself.
Only the program itself is traced, so the kill hits it and not a child. A sweep in which no kill was injected fails;
one that can't be made is skipped, or with `FLOWBUILD_SWEEP=required`, as in .ci/run, fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from lab import LAB, RUN

from flowbuild.bundle.layout import COMMITTED, latest, runs
from flowbuild.bundle.read import load_bundle
from flowbuild.testing import Space

CALLS = "write,pwrite64,writev,rename,renameat,renameat2,link,linkat,fsync,fdatasync,syncfs,ftruncate"
SLICES = 8


pytestmark = pytest.mark.sweep


def traced(space: Space, log: Path, point: tuple[str, int] | None = None) -> int:
    """Run the real program under strace; its exit code, negative for a signal."""
    inject = ["-e", f"inject={point[0]}:signal=KILL:when={point[1]}"] if point else []
    words = ["strace", "-o", str(log), "-e", f"trace={CALLS}", *inject]
    program = [str(Path(sys.executable).resolve()), "-m", "flowbuild", RUN]
    # Bytecode that one run writes and the next only reads would shift every count.
    environment = {**space.environment, "PYTHONPATH": ":".join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([*words, *program], cwd=space.root, env=environment, capture_output=True, check=False)
    return done.returncode


def fresh(root: Path) -> Space:
    if root.exists():
        shutil.rmtree(root)
    space = Space(root)
    space.write("lab/BUILD.yaml", LAB)
    return space


def whole(space: Space) -> None:
    """Every committed bundle loads strictly, and LATEST names one of them or nothing."""
    out = space.root / "out/lab/run"
    found = {run.run_id for run in runs(out) if run.state == COMMITTED} if out.exists() else set()
    for run_id in found:
        load_bundle(out / run_id)
    named = latest(out) if out.exists() else None
    assert named is None or named in found


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, int]]:
    """Every such call of a whole run: its name, and the how-manieth of that name it is (strace counts by name)."""
    missing = pytest.fail if os.environ.get("FLOWBUILD_SWEEP") == "required" else pytest.skip
    if shutil.which("strace") is None:
        missing("strace is not installed")
    base = tmp_path_factory.mktemp("count")
    assert fresh(base / "workspace").run(RUN).code == 0  # so that bytecode, if it can be kept here, is there already
    space = fresh(base / "workspace")
    code = traced(space, base / "log")
    if code != 0 and "ptrace" in (base / "log").read_text():
        missing("this host does not let anybody trace")
    assert code == 0
    count: Counter[str] = Counter()
    found = []
    for line in (base / "log").read_text().splitlines():
        name, bracket, _ = line.partition("(")
        if bracket and name in CALLS.split(","):
            count[name] += 1
            found.append((name, count[name]))
    return found


@pytest.mark.parametrize("part", range(SLICES))
def test_a_kill_at_any_call_leaves_nothing_torn(tmp_path: Path, points: list[tuple[str, int]], part: int) -> None:
    killed = 0
    assert len(points) > 50
    mine = points[part::SLICES]
    for point in mine:
        space = fresh(tmp_path / "workspace")
        code = traced(space, tmp_path / "log", point)
        killed += code == -9 or "+++ killed by SIGKILL" in (tmp_path / "log").read_text()
        whole(space)
        again = space.run(RUN)
        assert again.code == 0, (point, again)
        whole(space)
        assert latest(space.root / "out/lab/run") is not None
    assert killed >= len(mine) * 0.9, "the kills were not injected"


def test_a_kill_while_a_second_bundle_is_made_keeps_the_first(tmp_path: Path, points: list[tuple[str, int]]) -> None:
    for point in points[-24::3]:
        space = fresh(tmp_path / "workspace")
        assert space.run(RUN).code == 0
        first = latest(space.root / "out/lab/run")
        space.write("lab/BUILD.yaml", LAB.replace("FLOWBUILD_PLANTED", "FLOWBUILD_OTHER"))
        traced(space, tmp_path / "log", point)
        whole(space)
        assert latest(space.root / "out/lab/run") is not None
        assert space.run(RUN).code == 0
        assert latest(space.root / "out/lab/run") != first
