"""An action that is given a directory that served before finds in it what it would find in a new one."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from flowbuild.store.journal import read
from flowbuild.testing import Space

STEPS = """
import os, shutil, subprocess, sys
from pathlib import Path

def scratch():
    return Path(os.environ["HOME"]).parent

def sees(source, o):
    top = scratch()
    found = sorted(f"{path.relative_to(top)} {os.lstat(path).st_mode:o}" for path in [top, *top.rglob("*")])
    o.write_text("\\n".join(found) + "\\n" + source.read_text())

def numbered(source, o):
    o.write_text(str(os.stat(scratch()).st_ino))

def spoils(source, o):
    source.write_text("overwritten")
    o.write_text("spoiled")
    for name in ("home", "tmp", "tree", "tree/out/bin", "tree/p"):
        (scratch() / name / "left").write_text("x")
        (scratch() / name / "dir/below").mkdir(parents=True)
    os.chmod(scratch() / "tmp", 0o700)
    shutil.rmtree(scratch() / "home")
    os.symlink("/", scratch() / "home")

def daemon(source, o):
    script = "import os, time\\nif os.fork(): os._exit(0)\\nos.setsid()\\nif os.fork(): os._exit(0)\\n"
    script += "print(os.getpid(), flush=True)\\nos.close(1)\\n"
    o.write_text(subprocess.run([sys.executable, "-c", script + WAIT], check=True, stdout=-1, text=True).stdout)

def child(source, o):
    o.write_text(str(subprocess.Popen([sys.executable, "-c", "import time\\n" + WAIT]).pid))

WAIT = "for _ in range(1000):\\n    time.sleep(0.01)\\n    open('late', 'w').close()\\n"

if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
"""
ROADS = {
    "worker": "rule: python, handler: 'steps.py:HOW'",
    "inline": "rule: python, handler: 'steps.py:HOW', inline: true",
    "exec": 'rule: exec, command: [python3, steps.py, HOW, a.txt, "${{ outputs.o }}"]',
}


@pytest.fixture
def space(tmp_path: Path) -> Space:
    space = Space(tmp_path, {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"})
    space.write("flowbuild.yaml", "")
    space.write("p/steps.py", STEPS)
    space.write("p/a.txt", "in")
    return space


def build(space: Space, road: str, *handlers: str) -> None:
    """One action after another, in this order."""
    inputs = "{source: a.txt}" if road != "exec" else "{steps: steps.py, source: a.txt}"
    rows = [
        f"  t{number}: {{{ROADS[road].replace('HOW', how)}, inputs: {inputs}, outputs: {{o: o}}}}\n"
        for number, how in enumerate(handlers)
    ]
    space.write("p/BUILD.yaml", "targets:\n" + "".join(rows))
    shutil.rmtree(space.root / ".flowbuild", ignore_errors=True)
    ran = space.run("-j1", "//...")
    assert ran.code == 0, ran
    journal = max(space.root.glob(".flowbuild/runs/*/journal.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    kernel = [one["event"].get("Kernel", {}) for one in read(journal)]
    entered = [one["StateEntered"]["state_id"] for one in kernel if "StateEntered" in one]
    assert [name.split("_")[1] for name in entered] == [f"t{number}" for number in range(len(handlers))]


def output(space: Space, number: int) -> str:
    return space.read(f"out/bin/p/t{number}/o")


@pytest.mark.parametrize("road", ROADS)
def test_the_next_sees_nothing_of_the_one_before(space: Space, road: str) -> None:
    build(space, road, "sees")
    alone = output(space, 0)
    assert "tree/p/a.txt" in alone
    build(space, road, "spoils", "sees")
    assert output(space, 1) == alone.replace("p/t0", "p/t1")
    assert space.read("p/a.txt") == "in"
    assert not list(space.root.glob(".flowbuild/runs/*/stage/*"))


@pytest.mark.parametrize("road", ROADS)
def test_a_directory_serves_again(space: Space, road: str) -> None:
    build(space, road, "numbered", "numbered", "numbered")
    if sys.platform == "linux":
        assert output(space, 0) == output(space, 1) == output(space, 2)


def test_of_a_run_that_failed_only_what_failed_is_left(space: Space) -> None:
    space.write("p/BUILD.yaml", """
targets:
  good: {rule: exec, script: "echo > ${{ outputs.o }}", outputs: {o: o}}
  bad:  {rule: exec, script: "false", outputs: {o: o}}
  last: {rule: exec, script: "echo > ${{ outputs.o }}", outputs: {o: o}}
""")  # fmt: skip
    assert space.run("-j1", "--continue", "always", "//...").code == 1
    (left,) = space.root.glob(".flowbuild/runs/*/stage/*")
    assert left.name.startswith("p_bad_")


@pytest.mark.parametrize("left", ["daemon", "child"])
@pytest.mark.parametrize("road", ROADS)
def test_who_was_left_behind_does_not_reach_the_next(space: Space, road: str, left: str) -> None:
    build(space, road, left, "sees")
    assert "late" not in output(space, 1)
    with pytest.raises(ProcessLookupError):
        os.kill(int(output(space, 0)), 0)
