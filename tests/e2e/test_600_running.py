"""Running: concurrency, failures, signals, bounded output, exit codes."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from flowbuild.testing import Space

NAP = """
targets:
{targets}
"""


def naps(count: int) -> str:
    return "targets:\n" + "".join(
        f"  n{i}: {{rule: exec, script: 'sleep 0.5; echo {i} > ${{{{ outputs.o }}}}', outputs: {{o: o}}}}\n"
        for i in range(count)
    )


def test_jobs_run_at_once(space: Space) -> None:
    space.write("BUILD.yaml", naps(8))
    started = time.monotonic()
    assert space.run("//...", "-j", "8").code == 0
    assert time.monotonic() - started < 8 * 0.5


PAIR = """
targets:
  bad: {rule: exec, script: "exit 1", outputs: {o: o}}
  good: {rule: exec, script: "echo x > ${{ outputs.o }}", outputs: {o: o}}
  after_bad:
    rule: exec
    script: cat ${{ inputs.i }} > ${{ outputs.o }}
    inputs:
      i: :bad
    outputs: {o: o}
"""


@pytest.mark.parametrize(("mode", "performed"), [("never", 0), ("dependencies-successful", 1), ("always", 1)])
def test_what_goes_on_after_a_failure(space: Space, mode: str, performed: int) -> None:
    space.write("BUILD.yaml", PAIR)
    ran = space.run("//...", "-j", "1", "--continue", mode)
    assert (ran.code, ran.performed) == (1, performed)
    assert "not started" in ran.out


def test_always_also_runs_what_accepts_missing_inputs(space: Space) -> None:
    golden = "  stable: {rule: golden, actual: //:bad, expected: golden.txt}\n"
    space.write("BUILD.yaml", PAIR + golden)
    space.write("golden.txt", "x\n")
    assert "//:stable needs //:bad" in space.run("test", "//:stable").out
    ran = space.run("test", "//:stable", "--continue", "always")
    assert ran.code == 1
    assert "failed  //:stable" in ran.out


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_children_and_grandchildren(space: Space, number: signal.Signals) -> None:
    space.write(
        "BUILD.yaml",
        f"""
        targets:
          t:
            rule: exec
            script: |
              trap '' TERM
              (setsid sleep 60 & echo $! >> {space.root}/pids; wait) &
              echo $$ $! >> {space.root}/pids
              sleep 60
            outputs: {{o: o}}
        """,
    )
    process = space.start("//:t")
    pids = space.root / "pids"
    while process.poll() is None and not (pids.exists() and len(pids.read_text().split()) == 3):
        time.sleep(0.02)
    started = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 128 + number, (out, err)
    assert time.monotonic() - started < 5.5
    assert [pid for pid in map(int, pids.read_text().split()) if alive(pid)] == []
    journal = next((space.root / ".flowbuild/runs").glob("*/journal.jsonl")).read_text()
    assert '"status":"Cancelled"' in journal.splitlines()[-1]
    assert space.run("//:t", "--policy", "dry").code == 0  # nothing is locked


def test_output_is_bounded_and_the_cut_is_marked(space: Space) -> None:
    script = "yes | head -c 20000000; echo the end; exit 1"
    space.write("BUILD.yaml", f"targets:\n  t: {{rule: exec, script: '{script}', outputs: {{o: o}}}}\n")
    assert space.run("//:t").code == 1
    log = next((space.root / ".flowbuild/runs").glob("*/logs/*.stdout"))
    assert log.stat().st_size < 2_000_000
    assert "the end" in log.read_text()
    assert "bytes" in log.read_text()


def test_a_missing_output_is_a_failure_that_names_it(space: Space) -> None:
    space.write("BUILD.yaml", "targets:\n  t: {rule: exec, script: 'echo x > other', outputs: {o: o.txt}}\n")
    ran = space.run("//:t")
    assert ran.code == 1
    assert "o.txt" in ran.out
    assert "other" in ran.out


def test_an_undeclared_file_is_not_there(space: Space) -> None:
    space.write("secret.txt", "x\n")
    script = "cat secret.txt > ${{ outputs.o }}"
    space.write("BUILD.yaml", f"targets:\n  t: {{rule: exec, script: '{script}', outputs: {{o: o}}}}\n")
    assert space.run("//:t").code == 1
    space.write("flowbuild.yaml", "stage: false\n")
    assert space.run("//:t").code == 0  # in place, as make would
    assert "stage: false" in space.run("why", "//:t").out


def test_an_action_sees_declared_variables_and_the_fixed_few(space: Space) -> None:
    build = "targets:\n  t: {rule: exec, script: 'env > ${{ outputs.o }}', outputs: {o: o}, env: [SEEN]}\n"
    space.write("BUILD.yaml", build)
    space.build("//:t", SEEN="yes", UNSEEN="no")
    names = {line.partition("=")[0] for line in space.read("out/bin/t/o").splitlines()}
    assert names - {"PWD", "SHLVL", "_", "OLDPWD"} == {"SEEN", "PATH", "HOME", "LANG", "TZ", "TMPDIR"}


def test_a_time_out_is_a_failure(space: Space) -> None:
    space.write("BUILD.yaml", "targets:\n  t: {rule: exec, script: sleep 30, outputs: {o: o}, timeout: 0.3}\n")
    ran = space.run("//:t")
    assert ran.code == 1
    assert "timed out" in ran.out


def test_a_handler_that_dies_does_not_take_the_build_along(space: Space) -> None:
    space.write("h.py", "import os\ndef f(o):\n    os._exit(3)\ndef g(o):\n    o.write_text('fine')\n")
    space.write(
        "BUILD.yaml",
        """
        targets:
          f: {rule: python, handler: "h.py:f", outputs: {o: o}}
          g: {rule: python, handler: "h.py:g", outputs: {o: o}}
        """,
    )
    ran = space.run("//...", "--continue", "always", "-j", "1")
    assert (ran.code, ran.performed) == (1, 1)
    assert space.read("out/bin/g/o") == "fine"


def test_two_packages_may_each_have_a_util(space: Space) -> None:
    for name in ("a", "b-c"):
        space.write(f"{name}/util.py", f"NAME = {name!r}\n")
        space.write(f"{name}/h.py", "from util import NAME\ndef f(o):\n    o.write_text(NAME)\n")
        space.write(
            f"{name}/BUILD.yaml",
            "targets:\n  t: {rule: python, handler: 'h.py:f', modules: [util.py], outputs: {o: o}}\n",
        )
    assert space.build("//...").performed == 2
    assert (space.read("out/bin/a/t/o"), space.read("out/bin/b-c/t/o")) == ("a", "b-c")


def test_a_raised_exception_is_a_failure_with_its_traceback(space: Space) -> None:
    space.write("h.py", "def f(o):\n    raise ValueError('no such luck')\n")
    space.write("BUILD.yaml", "targets:\n  t: {rule: python, handler: 'h.py:f', outputs: {o: o}}\n")
    ran = space.run("//:t")
    assert ran.code == 1
    assert "ValueError: no such luck" in ran.out
    assert "h.py" in ran.out


def test_a_reader_that_goes_away_is_no_error(words: Space) -> None:
    command = f"cd {words.root} && {sys.executable} -m flowbuild list targets | head -1 >/dev/null"
    assert os.waitstatus_to_exitcode(os.system(command)) == 0
