"""Actions and handlers that misbehave: the build says so, goes on, and leaves nothing running. Clocks that lie, too."""

from __future__ import annotations

import json
import os
import shutil
import time

import pytest

from flowbuild.testing import Space

BAD = {
    "nothing": ("true", "missing"),
    "another file": ("echo x > other", "other"),
    "a FIFO": ("mkfifo ${{ outputs.o }}", "neither file nor directory"),
    "a link out": ("ln -s /etc/passwd ${{ outputs.o }}", "out of the workspace"),
    "a link to nothing": ("ln -s nowhere ${{ outputs.o }}", "link to nothing"),
    "a link to itself": ("ln -s o ${{ outputs.o }}", "symbolic links"),
    "a directory": ("mkdir ${{ outputs.o }}", "is a directory"),
    "its stage removed": ('rm -rf "$PWD"; true', "missing"),
    "a kill of itself": ("kill -9 $$", "9"),
}


def action(script: str, **more: object) -> bytes:
    bad = {"rule": "exec", "script": script, "outputs": {"o": "o"}, **more}
    good = {"rule": "exec", "script": "echo x > ${{ outputs.o }}", "outputs": {"o": "o"}}
    return json.dumps({"targets": {"bad": bad, "good": good}}).encode()


@pytest.mark.parametrize("what", BAD)
def test_what_an_action_leaves(space: Space, what: str) -> None:
    script, told = BAD[what]
    space.write("BUILD.yaml", action(script))
    ran = space.run("//...", "--continue", "always")
    assert ran.code in (1, 5) and told in ran.out + ran.err and "Traceback" not in ran.err, ran
    assert not (space.root / "out/bin/bad").exists() and space.read("out/bin/good/o") == "x\n"


def test_who_closes_its_pipes_is_waited_for(space: Space) -> None:
    space.write("BUILD.yaml", action("exec >&- 2>&- <&-; sleep 0.3; echo x > ${{ outputs.o }}"))
    assert space.build("//:bad").performed == 1


@pytest.mark.skipif(shutil.which("setsid") is None, reason="there is no setsid here")
def test_who_forks_away_does_not_hold_the_build(space: Space) -> None:
    space.write("BUILD.yaml", action("setsid sleep 60 & echo x > ${{ outputs.o }}"))
    started = time.monotonic()
    assert space.run("//:bad").code == 0
    assert time.monotonic() - started < 30


def test_who_ignores_sigterm_is_ended_at_its_time(space: Space) -> None:
    space.write("BUILD.yaml", action("trap '' TERM; sleep 60; sleep 60", timeout=0.3))
    started = time.monotonic()
    ran = space.run("//:bad")
    assert ran.code == 1 and "timed out" in ran.out and time.monotonic() - started < 30


@pytest.mark.parametrize(
    "statement",
    ["os._exit(0)", "sys.exit(0)", "raise BaseException('x')", "os.kill(os.getpid(), 9)", "os.close(1); os._exit(1)"],
)
def test_handlers_that_leave(space: Space, statement: str) -> None:
    space.write("h.py", f"import os, sys\ndef f(o):\n    {statement}\ndef g(o):\n    o.write_text('fine')\n")
    rows = {name: {"rule": "python", "handler": f"h.py:{name}", "outputs": {"o": "o"}} for name in "fg"}
    space.write("BUILD.yaml", json.dumps({"targets": rows}))
    ran = space.run("//...", "--continue", "always", "-j", "1")
    assert ran.code in (1, 4) and ran.performed == 1 and space.read("out/bin/g/o") == "fine", ran


@pytest.mark.parametrize(
    "statement", ["o = o.absolute(); os.chdir('/')", "os.fork() or os._exit(0)", "os.environ.clear()"]
)
def test_handlers_that_change_their_process(space: Space, statement: str) -> None:
    text = f"import os\ndef f(o):\n    {statement}\n    o.write_text('f')\ndef g(o):\n    o.write_text('fine')\n"
    space.write("h.py", text)
    rows = {name: {"rule": "python", "handler": f"h.py:{name}", "outputs": {"o": "o"}} for name in "fg"}
    space.write("BUILD.yaml", json.dumps({"targets": rows}))
    assert space.build("//...", "-j", "1").performed == 2
    assert (space.read("out/bin/f/o"), space.read("out/bin/g/o")) == ("f", "fine")


@pytest.mark.parametrize("moment", [0, 1, 2**31 + 10, 4_000_000_000])
def test_sources_from_another_time(words: Space, moment: float) -> None:
    os.utime(words.root / "words/names.txt", (moment, moment))
    words.build("//words:words")
    words.write("words/names.txt", "eve\nada\nada\n")
    os.utime(words.root / "words/names.txt", (moment, moment))
    assert words.build("//words:words").performed


@pytest.mark.parametrize("then", ["-1d", "1970-01-02 00:00:00", "+30y"])
def test_clocks_that_jump(words: Space, then: str) -> None:
    tool = shutil.which("faketime")
    library = next(
        (
            p
            for p in (
                "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
                "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
            )
            if os.path.exists(p)
        ),
        None,
    )
    if tool is None or library is None:
        pytest.skip("faketime is not installed")
    words.build("//words:words")
    jump = {"LD_PRELOAD": library, "FAKETIME": then, "NO_FAKE_STAT": "1"}
    assert words.run("//words:words", **jump).performed == 0
    words.write("words/names.txt", "eve\nada\nada\nbob\n")
    assert words.run("//words:words", **jump).performed
    assert words.run("//words:words").performed == 0
