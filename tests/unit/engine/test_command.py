"""Step kind `exec`, with real commands."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_io import TinyIo, action, is_alive, perform, soon, step

from flowbuild.core.action import Outcome, Staged
from flowbuild.core.errors import BadPath, DiskRefused
from flowbuild.engine import command
from flowbuild.engine.reaper import Reaper

OUT = {"out": "out/bin/words/it/out.txt"}
WRITE = "../out/bin/words/it/out.txt"


@pytest.fixture
def io(tmp_path: Path) -> TinyIo:
    return TinyIo(tmp_path)


@pytest.fixture
def reaper() -> Iterator[Reaper]:
    reaper = Reaper()
    yield reaper
    reaper.close()


def run(io: TinyIo, reaper: Reaper, *words: str, script: str | None = None, **more: Any) -> Outcome:
    with_: dict[str, Any] = {"script": script} if script is not None else {"command": list(words)}
    with_ |= {key: more.pop(key) for key in ("env", "stage") if key in more}
    return perform(command.perform(action("exec", with_, **more), io, reaper))


def message(outcome: Outcome) -> str:
    assert outcome.error is not None
    return f"{outcome.error.code}: {outcome.error.message}"


def test_a_command_makes_its_output(io: TinyIo, reaper: Reaper) -> None:
    names = io.write("words/names.txt", "b\na\n")
    outcome = run(io, reaper, "sort", "names.txt", "-o", WRITE, staged=(names,), outputs=OUT)
    assert outcome.ok and io.text(outcome, "out") == "a\nb\n"
    assert (outcome.log, outcome.reproduce) == (None, None)


def test_a_script_is_strict(io: TinyIo, reaper: Reaper) -> None:
    assert message(run(io, reaper, script="false; true")).startswith("exit: exit 1 after 0.")
    assert message(run(io, reaper, script="echo $UNSET")).startswith("exit: exit ")


def test_only_declared_files_are_there(io: TinyIo, reaper: Reaper) -> None:
    io.write("words/secret.txt", "x")
    outcome = run(io, reaper, script=f"find .. -type f > {WRITE}", staged=(io.write("words/a", ""),), outputs=OUT)
    assert sorted(io.text(outcome, "out").split()) == [WRITE, "../words/a"]


def test_the_environment_is_exact(io: TinyIo, reaper: Reaper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDECLARED", "1")
    outcome = run(io, reaper, "env", env={"LC_ALL": "C"})
    seen = dict(line.split("=", 1) for line in outcome.stdout_tail.splitlines())
    assert sorted(seen) == ["HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "TZ"]
    assert seen["HOME"].endswith("/scratch/1/home") and seen["TMPDIR"].endswith("/scratch/1/tmp")


def test_a_declared_home_is_kept(io: TinyIo, reaper: Reaper) -> None:
    assert run(io, reaper, script="echo $HOME", env={"HOME": "/h"}).stdout_tail == "/h\n"


def test_home_and_temporary_files_have_room(io: TinyIo, reaper: Reaper) -> None:
    assert run(io, reaper, script='touch "$HOME/x"; mktemp').ok


def test_a_failure_says_what_a_person_needs(io: TinyIo, reaper: Reaper) -> None:
    outcome = run(io, reaper, script="echo oops >&2; exit 3")
    assert outcome.error is not None and outcome.error.details == {"exit_code": 3, "signal": None}
    assert outcome.stderr_tail == "oops\n"
    assert outcome.log is not None and (io.workspace / outcome.log).read_text() == "oops\n"


def test_a_failure_can_be_reproduced(io: TinyIo, reaper: Reaper) -> None:
    io.variables = {"TOKEN": "s3cret"}
    names = io.write("words/it's.txt", "x\n")
    script = 'cat *.txt; echo "$LC_ALL $TOKEN"; ls -d "$HOME" "$TMPDIR" >&2; exit 7'
    outcome = run(io, reaper, script=script, env={"LC_ALL": "a b"}, staged=(names,))
    assert outcome.reproduce is not None and "s3cret" not in outcome.reproduce
    assert outcome.reproduce.startswith("cd .flowbuild/scratch/1/tree/words && env -i ")
    assert outcome.reproduce.endswith("sh -eu ../../script")
    again = subprocess.run(
        ["sh", "-c", outcome.reproduce],
        cwd=io.workspace,
        env={"TOKEN": "s3cret", "PATH": os.defpath},
        capture_output=True,
    )
    assert again.returncode == 7
    assert again.stdout.decode() == outcome.stdout_tail == "x\na b s3cret\n"
    assert list(map(os.path.realpath, again.stderr.decode().split())) == outcome.stderr_tail.split()


def test_a_time_out(io: TinyIo, reaper: Reaper) -> None:
    assert message(run(io, reaper, "sleep", "60", timeout_ms=100)).startswith("timeout: timed out after 0.1")


def test_a_program_is_looked_up_in_the_search_path_only(
    io: TinyIo, reaper: Reaper, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    io.write("words/tool", "#!/bin/sh\necho hi\n")
    (io.workspace / "words/tool").chmod(0o755)
    monkeypatch.setenv("PATH", str(io.workspace / "words"))
    assert message(run(io, reaper, "tool")).startswith("program_not_found: no program 'tool' in /usr/local/bin:")
    io.search_path = (str(io.workspace / "words"),)
    assert run(io, reaper, "tool").stdout_tail == "hi\n"


@pytest.mark.parametrize(
    ("mode", "text", "expected"),
    [
        (0o755, "#!/bin/sh\necho hi\n", ""),
        (0o644, "#!/bin/sh\necho hi\n", "program_refused: ./tool is not executable (chmod +x ./tool)"),
        (0o755, "#!/no/such\n", "program_refused: cannot start ./tool: the interpreter in its first line is not there"),
        (0o755, "echo hi\n", "program_refused: cannot start ./tool: Exec format error"),
    ],
)
def test_a_program_of_the_package(io: TinyIo, reaper: Reaper, mode: int, text: str, expected: str) -> None:
    tool = io.write("words/tool", text)
    (io.workspace / "words/tool").chmod(mode)
    outcome = run(io, reaper, "./tool", staged=(tool,))
    assert outcome.stdout_tail == "hi\n" if outcome.ok else message(outcome) == expected


def test_a_program_that_is_not_there(io: TinyIo, reaper: Reaper) -> None:
    assert message(run(io, reaper, "./tool")) == "program_not_found: there is no program ./tool"


def test_a_missing_output_is_named_with_what_appeared(io: TinyIo, reaper: Reaper) -> None:
    outcome = run(io, reaper, script="echo > uot.txt", staged=(io.write("words/a", ""),), outputs=OUT)
    assert message(outcome) == (
        "output_missing: output 'out' (out/bin/words/it/out.txt) is missing; undeclared here: words/uot.txt"
    )
    assert outcome.reproduce is not None


def test_a_directory_is_declared_by_its_slash(io: TinyIo, reaper: Reaper) -> None:
    parts = {"parts": "out/bin/words/it/parts/"}
    made = run(io, reaper, script="mkdir -p ../out/bin/words/it/parts/x", outputs=parts)
    assert made.outputs == {"parts": {"listing": ["x"]}}
    assert "is declared as a directory, and is a file" in message(
        run(io, reaper, script="touch ../out/bin/words/it/parts", outputs=parts)
    )
    assert "is declared as a file, and is a directory" in message(run(io, reaper, "mkdir", WRITE, outputs=OUT))


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("ln -s /etc/passwd OUT", "output_escapes: output 'out' holds a link that leads out of the workspace: "),
        ("ln -s nowhere OUT", "output_missing: output 'out' (out/bin/words/it/out.txt) is a link to nothing"),
        ("ln -s out.txt OUT", "output_missing: output 'out' (out/bin/words/it/out.txt): "),
        ("mkfifo OUT", "output_kind: output 'out': out/bin/words/it/out.txt is neither file nor directory"),
    ],
)
def test_an_output_is_its_own(io: TinyIo, reaper: Reaper, script: str, expected: str) -> None:
    assert message(run(io, reaper, script=script.replace("OUT", WRITE), outputs=OUT)).startswith(expected)


def test_a_directory_may_not_hold_a_way_out(io: TinyIo, reaper: Reaper) -> None:
    script = "mkdir -p ../parts/deep; ln -s /etc ../parts/deep/etc"
    assert "parts/deep/etc -> /etc" in message(run(io, reaper, script=script, outputs={"parts": "parts/"}))


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (
            "touch $(printf 'caf\\351')",
            "output_kind: output 'd': the name out/d/caf\\udce9 is not UTF-8; choose another",
        ),
        ("mkdir x; cd x; ln -s $PWD me", "output_kind: output 'd': out/d/x/me is a link; write a file there"),
        (
            "ln -s /etc $(printf 'caf\\351')",
            "output_escapes: output 'd' holds a link that leads out of the workspace: ",
        ),
    ],
)
def test_a_directory_holds_files_with_names_in_utf_8(io: TinyIo, reaper: Reaper, script: str, expected: str) -> None:
    said = message(run(io, reaper, script=f"mkdir -p ../out/d; cd ../out/d; {script}", outputs={"d": "out/d/"}))
    assert said.startswith(expected)
    said.encode()


def test_a_link_inside_is_followed(io: TinyIo, reaper: Reaper) -> None:
    assert io.text(run(io, reaper, script=f"echo x > real; ln -s $PWD/real {WRITE}", outputs=OUT), "out") == "x\n"


def test_in_place_it_runs_in_the_workspace(io: TinyIo, reaper: Reaper) -> None:
    io.write("words/undeclared", "x")
    stale = io.workspace / OUT["out"]
    stale.parent.mkdir(parents=True)
    stale.write_text("stale")
    outcome = run(io, reaper, script=f"test ! -e {WRITE}; cp undeclared {WRITE}", stage=False, outputs=OUT)
    assert io.text(outcome, "out") == "x" and stale.read_text() == "x"


def test_in_place_a_stale_link_goes_and_its_goal_stays(io: TinyIo, reaper: Reaper) -> None:
    io.write("keep/file", "x")
    (io.workspace / "words").mkdir()
    (io.workspace / "words/parts").symlink_to(io.workspace / "keep")
    assert run(io, reaper, script="mkdir parts", stage=False, outputs={"parts": "words/parts/"}).ok
    assert (io.workspace / "keep/file").read_text() == "x"


@pytest.mark.parametrize("path", ["../x", "a/../../x/", ".", "/etc/x"])
def test_no_output_lies_outside(io: TinyIo, reaper: Reaper, path: str) -> None:
    with pytest.raises(BadPath):
        run(io, reaper, "true", stage=False, outputs={"out": path})


def test_what_the_disk_refuses_is_named(io: TinyIo, reaper: Reaper) -> None:
    io.write("words", "a file where the package should be")
    with pytest.raises(DiskRefused, match="words: "):
        run(io, reaper, "true", stage=False)


def test_cancelled_it_leaves_nothing_alive(io: TinyIo, reaper: Reaper) -> None:
    performance = command.perform(action("exec", {"script": "echo $$ > pid; sleep 60 & wait"}), io, reaper)
    step(performance, 0.2)
    pid = int((io.workspace / ".flowbuild/scratch/1/tree/words/pid").read_text())
    performance.close()
    assert soon(lambda: not is_alive(pid))


def test_inputs_of_other_targets_lie_at_their_places(io: TinyIo, reaper: Reaper) -> None:
    staged: tuple[Staged, ...] = (io.write("out/bin/words/other/x", "1"), io.write("lib/y", "2"))
    assert run(io, reaper, "cat", "../out/bin/words/other/x", "../lib/y", staged=staged).stdout_tail == "12"
