"""What we give to other people's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from workshop import Workshop

from flowbuild.core.action import Action, ErrorInfo, Outcome
from flowbuild.testing import Ran, ScriptedEngine, Space

BUILD = "targets:\n  t: {rule: exec, script: 'echo hi > ${{ outputs.o }}', outputs: {o: o}}\n"


@pytest.mark.parametrize(
    ("out", "performed"),
    [
        ("up to date: //x (0.01 s)\n", 0),
        ("  done //x\n3 performed, 1 reused, 0 failed in 0.1 s\n", 3),
        ("1 passed\n", None),
    ],
)
def test_how_many_were_performed(out: str, performed: int | None) -> None:
    assert Ran(0, out, "").performed == performed


def test_a_space_writes_reads_and_removes(tmp_path: Path) -> None:
    space = Space(tmp_path / "s")
    space.write(
        "a/b.txt",
        """
        one
          two
        """,
    )
    assert space.read("a/b.txt") == "one\n  two\n"
    assert space.write("x.sh", b"\xff", executable=True).stat().st_mode & 0o111
    space.remove("a")
    space.remove("x.sh")
    assert sorted(path.name for path in space.root.iterdir()) == ["flowbuild.yaml"]


def test_build_runs_the_real_program_twice(tmp_path: Path) -> None:
    space = Space(tmp_path / "s")
    space.write("BUILD.yaml", BUILD)
    assert space.build("//:t").performed == 1
    assert space.events("//:t")[-1]["exit_code"] == 0


def test_build_refuses_a_failure(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        Space(tmp_path / "s").build("//nothing")


def test_a_script(workshop: Workshop) -> None:
    def say(action: Action) -> Outcome:
        return Outcome(error=ErrorInfo("x", f"no {action.kind}"))

    workshop.write("BUILD.yaml", BUILD.replace("  t:", "  u:") + BUILD.split("\n")[1] + "\n")
    workshop.engine = lambda: ScriptedEngine({"//:t": "text", "//:u": say})
    made = workshop.make("//...", "--continue", "always")
    assert (made.code, made.performed) == (1, ["//:u", "//:t"])
    assert "no exec" in made.out
    assert workshop.read("out/bin/t/o") == "text"
