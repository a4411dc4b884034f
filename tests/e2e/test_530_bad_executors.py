"""Executors that break their word, under the whole program: exit code, one message, nothing committed, nothing alive."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from flowbuild.testing import Space

sys.path.append(str(Path(__file__).parents[1] / "unit" / "engine"))

from bad_executors import BAD, FINE
from peer import write_peer
from tiny_io import is_alive, soon

TIMEOUT = 2
FLOW = """
targets:
  one:
    rule: flow
    steps:
      step: {type: a, with: {n: 1}}
"""
# One of each sort; `unit/engine` has them all.
SOME = (
    "exits with words",
    "exits after half a line",
    "hangs on Capabilities",
    "hangs on Poll",
    "makes ids texts",
    "prints what it does",
    "offers something else",
    "refuses the version",
    "panics",
    "fails a step",
    "ends lines as Windows does",
    "fills stderr",
    "ignores SIGTERM and the end",
    "forks twice",
    "says 100 MB in a line",
)


@pytest.mark.parametrize("name", SOME)
def test_each_has_its_exit_code_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    space = Space(tmp_path)
    space.write(
        "flowbuild.yaml", f"runtime: {{engine: proc, executor_path: [{sys.executable}, peer.py], timeout: {TIMEOUT}}}\n"
    )
    space.write("p/BUILD.yaml", FLOW)
    write_peer(tmp_path, f"open('pids', 'a').write(f'{{os.getpid()}}\\n')\n{BAD[name].code}")
    started = time.monotonic()
    ran = space.run("//p:one")
    spent = time.monotonic() - started
    assert ran.code == BAD[name].exit_code, ran
    assert spent < TIMEOUT + 5
    assert "Traceback" not in ran.err
    assert soon(lambda: not any(is_alive(int(pid)) for pid in space.read("pids").split()))
    if BAD[name].exit_code == FINE:
        assert space.run("//p:one").performed == 0
        return
    assert ran.err.count("flowbuild: ") + ran.out.count("  failed  ") == 1, ran
    assert not (tmp_path / "out").exists()
    assert list(tmp_path.rglob("LATEST")) == []
    assert space.run("//p:one").code == BAD[name].exit_code  # nothing of it is remembered


LATE = """
def start(id, params):
    open("pids", "a").write(f"{os.getpid()}\\n")
    reply(id, {"run_id": params["options"]["run_id"]})
def poll(id, params): reply(id, {"status": "running"})
def cancel(id, params): ANSWER
"""


@pytest.mark.parametrize(
    ("answer", "code", "said"), [("reply(id, {'ok': True})", 1, "timed out"), ("pass", 4, "Cancel")]
)
def test_a_step_that_is_late_fails_while_its_executor_answers(
    answer: str, code: int, said: str, tmp_path: Path
) -> None:
    """It ignores the step's time-out and Cancel. One that is silent, too, has broken its word."""
    space = Space(tmp_path)
    space.write("flowbuild.yaml", f"runtime: {{engine: proc, executor_path: [{sys.executable}, peer.py]}}\n")
    space.write("p/BUILD.yaml", FLOW.replace("{type: a,", "{type: a, timeout_ms: 200,"))
    write_peer(tmp_path, LATE.replace("ANSWER", answer))
    ran = space.run("//p:one")
    assert ran.code == code and said in ran.out + ran.err, ran
    assert ran.err.count("flowbuild: ") + ran.out.count("  failed  ") == 1, ran
    assert soon(lambda: not any(is_alive(int(pid)) for pid in space.read("pids").split()))
    assert list(tmp_path.rglob("LATEST")) == []
