"""Actions and handlers that misbehave: the build says so, goes on, and leaves nothing running. Clocks that lie, too."""

from __future__ import annotations

import glob
import json
import os
import shutil
import sys
import time

import pytest
from measure import measured

from flowbuild.bundle.layout import latest
from flowbuild.bundle.read import load_bundle
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


@pytest.mark.parametrize("leaves", ["touch $(printf 'caf\\351')", "ln -s $PWD/x y"])
def test_a_directory_that_cannot_be_kept_fails_its_own_action_alone(space: Space, leaves: str) -> None:
    script = "mkdir ${{ outputs.o }} && cd ${{ outputs.o }} && echo x > x && "
    space.write("BUILD.yaml", action(script + leaves).replace(b'"o": "o"', b'"o": "o/"', 1))
    ran = space.run("//...", "--continue", "always")
    assert ran.code == 1 and ran.performed == 1 and "output 'o': " in ran.out, ran
    assert space.read("out/bin/good/o") == "x\n"


def test_who_closes_its_pipes_is_waited_for(space: Space) -> None:
    space.write("BUILD.yaml", action("exec >&- 2>&- <&-; sleep 0.3; echo x > ${{ outputs.o }}"))
    assert space.build("//:bad").performed == 1


SOCKET = f'{sys.executable} -c "import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])" '
ODD = {"a FIFO": "mkfifo ", "a socket": SOCKET, "a device": "mknod -m 666 ", "a disk": "mknod -m 666 "}
NUMBERS = {"a device": " c 1 3", "a disk": " b 7 99"}


@pytest.mark.parametrize("inside", [False, True], ids=["as the output", "in a directory"])
@pytest.mark.parametrize("what", ODD)
def test_what_is_no_file_is_no_output(space: Space, what: str, inside: bool) -> None:
    """And is never opened: a FIFO would wait for ever, a device gives for ever."""
    if what in NUMBERS and os.geteuid() != 0:
        pytest.skip("only root makes devices")
    place = "${{ outputs.o }}/x" if inside else "${{ outputs.o }}"
    script = ("mkdir ${{ outputs.o }}; " if inside else "") + ODD[what] + place + NUMBERS.get(what, "")
    space.write("BUILD.yaml", action(script, outputs={"o": "o/" if inside else "o"}, timeout=60))
    ran = space.run("//...", "--continue", "always")
    if "Operation not permitted" in ran.out:
        pytest.skip("this host makes no devices")
    assert ran.code == 1 and "is neither file nor directory" in ran.out, ran
    assert not (space.root / "out/bin/bad").exists() and space.read("out/bin/good/o") == "x\n"


GIGABYTE = {
    "on stdout": ("head -c 1073741824 /dev/zero; echo the end", 0),
    "on stderr, and fails": ("head -c 1073741824 /dev/zero >&2; echo the end >&2; exit 3", 1),
    "on both at once": ("head -c 536870912 /dev/zero & yes 0123456789 | head -c 536870912 >&2; wait; echo the end", 0),
}


def check_gigabyte(space: Space, code: int) -> None:
    space.write("small/BUILD.yaml", action("echo x > ${{ outputs.o }}"))
    _, usual, _ = measured(space, "//small:bad")
    ran, most, _ = measured(space, "//:bad")
    assert ran.code == code, ran
    assert most - usual < 48, "it was kept in memory"
    logs = [path for path in (space.root / ".flowbuild/runs").rglob("logs/*") if path.stat().st_size > 4096]
    assert logs and all(path.stat().st_size < 1100 << 10 for path in logs), "it was kept on disk"
    assert any(b"bytes are not kept ...]" in path.read_bytes() for path in logs)
    assert len(ran.out) < 64 << 10
    if code:
        assert "the end" in ran.out, "the end is what is shown"


@pytest.mark.parametrize("how", GIGABYTE)
def test_a_gigabyte_is_printed(space: Space, how: str) -> None:
    """Neither memory nor disk nor terminal fills up, and nobody waits for the other."""
    script, code = GIGABYTE[how]
    write = script if code else f"{script}; echo x > ${{{{ outputs.o }}}}"
    space.write("BUILD.yaml", action(write))
    check_gigabyte(space, code)


def test_a_handler_prints_a_gigabyte(space: Space) -> None:
    text = "import sys\ndef f(o):\n    for _ in range(1024):\n        sys.stdout.write('0' * (1 << 20))\n    o.write_text('x')\n"
    space.write("h.py", text)
    space.write(
        "BUILD.yaml", json.dumps({"targets": {"bad": {"rule": "python", "handler": "h.py:f", "outputs": {"o": "o"}}}})
    )
    check_gigabyte(space, 0)


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


THEN = ["-1d", "1970-01-02 00:00:00", "+30y"]
LAB = """
targets:
  probes:
    rule: registry
    probes: {read: {operation: environment-read, target: PLANTED}}
    profiles: {free: {restrict: {}}}
  plan: {rule: plan, registry: ":probes", profiles: [free]}
  run: {rule: run, plan: ":plan"}
"""


@pytest.fixture
def clock() -> str:
    """The library that tells a process another time. Times of files stay what they are."""
    found = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
    if not found:
        pytest.skip("faketime is not installed")
    return found[0]


@pytest.mark.parametrize("then", THEN)
def test_clocks_that_jump(words: Space, clock: str, then: str) -> None:
    words.build("//words:words")
    jump = {"LD_PRELOAD": clock, "FAKETIME": then, "NO_FAKE_STAT": "1"}
    assert words.run("//words:words", **jump).performed == 0
    words.write("words/names.txt", "eve\nada\nada\nbob\n")
    assert words.run("//words:words", **jump).performed
    assert words.run("//words:words").performed == 0


@pytest.mark.parametrize("then", THEN)
def test_the_last_run_is_the_last_one_whatever_the_clock_says(space: Space, clock: str, then: str) -> None:
    """LATEST follows commits, not times; and a bundle from another time is whole."""
    space.write("BUILD.yaml", LAB)
    jump = {"LD_PRELOAD": clock, "FAKETIME": then, "NO_FAKE_STAT": "1"}
    out = space.root / "out/run"
    seen = []
    for step, variables in enumerate([{}, jump, {}, jump]):
        space.write("BUILD.yaml", LAB.replace("PLANTED", f"PLANTED_{step}"))
        assert space.run("//:run", **variables).code == 0
        seen.append(latest(out))
        assert seen[-1] is not None
        load_bundle(out / str(seen[-1]))
    assert len(set(seen)) == 4
    assert space.run("//:run").performed == 0 and space.run("why", "//:run").code == 0
