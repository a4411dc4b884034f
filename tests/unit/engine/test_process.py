"""Children from start to end, with real processes."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_io import is_alive, soon

from flowbuild.engine.capture import Capture
from flowbuild.engine.engine import Wait
from flowbuild.engine.process import Exit, Pump, attend, conclude, drive, while_alive
from flowbuild.engine.reaper import Reaper
from flowbuild.engine.spawn import Child, Start

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: /proc and a subreaper")


@pytest.fixture
def reaper() -> Iterator[Reaper]:
    reaper = Reaper()
    yield reaper
    reaper.close()


def shell(text: str, cwd: Path = Path("/"), **environment: str) -> Start:
    return Start("/bin/sh", ("sh", "-c", text), cwd, environment or {"PATH": "/usr/bin:/bin"})


def captures(tmp_path: Path) -> tuple[Capture, Capture]:
    return Capture(tmp_path / "stdout"), Capture(tmp_path / "stderr")


def finish(reaper: Reaper, start: Start, tmp_path: Path, timeout: float | None = None) -> tuple[Exit, str, str]:
    kept = captures(tmp_path)
    exit_ = drive(attend(reaper, reaper.start(start), kept, timeout))
    return exit_, kept[0].tail, kept[1].tail


def test_it_tells_code_and_streams(reaper: Reaper, tmp_path: Path) -> None:
    exit_, out, err = finish(reaper, shell("echo out; echo err >&2; exit 3"), tmp_path)
    assert (exit_.code, exit_.signal, out, err) == (3, None, "out\n", "err\n")
    assert str(exit_).startswith("exit 3 after 0.")


def test_it_tells_the_signal(reaper: Reaper, tmp_path: Path) -> None:
    exit_, _, _ = finish(reaper, shell("kill -SEGV $$"), tmp_path)
    assert str(exit_).startswith("killed by SIGSEGV after ")


def test_the_directory_is_the_childs_only(reaper: Reaper, tmp_path: Path) -> None:
    here = Path.cwd()
    assert finish(reaper, shell("pwd", cwd=tmp_path), tmp_path)[1] == f"{tmp_path}\n"
    assert Path.cwd() == here


def test_a_missing_program_leaves_nothing_open(reaper: Reaper, tmp_path: Path) -> None:
    finish(reaper, shell("exit 0"), tmp_path)
    before = os.listdir("/dev/fd")
    with pytest.raises(FileNotFoundError):
        reaper.start(Start("/no/such", ("x",), tmp_path, {}))
    with pytest.raises(FileNotFoundError):
        reaper.start(shell("exit 0", cwd=tmp_path / "missing"))
    assert os.listdir("/dev/fd") == before


@linux
def test_no_descriptor_is_inherited(reaper: Reaper, tmp_path: Path) -> None:
    leaked = os.dup(0)
    os.set_inheritable(leaked, True)
    _, out, _ = finish(reaper, Start("/bin/ls", ("ls", "/proc/self/fd"), tmp_path, {}), tmp_path)
    os.close(leaked)
    assert out.split() == ["0", "1", "2", "3"]  # 3 is the listing itself


@linux
def test_without_streams_of_our_own_it_works_too(tmp_path: Path) -> None:
    program = f"""
import os
for number in (0, 1, 2): os.close(number)
from pathlib import Path
from flowbuild.engine.capture import Capture
from flowbuild.engine.process import attend, drive
from flowbuild.engine.reaper import Reaper
from flowbuild.engine.spawn import Child, Start
reaper, place = Reaper(), Path({str(tmp_path)!r})
child = reaper.start(Start("/bin/sh", ("sh", "-c", "cat; echo out; echo err >&2"), place, {{"PATH": "/bin"}}))
drive(attend(reaper, child, (Capture(place / "1"), Capture(place / "2"))))
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=20)
    assert ((tmp_path / "1").read_text(), (tmp_path / "2").read_text()) == ("out\n", "err\n")


@linux
def test_signals_are_as_new(reaper: Reaper, tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        _, out, _ = finish(reaper, Start("/bin/grep", ("grep", "Sig", "/proc/self/status"), tmp_path, {}), tmp_path)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
        signal.signal(signal.SIGHUP, before)
    masks = dict(line.split(":\t") for line in out.splitlines() if line.startswith(("SigBlk", "SigIgn")))
    standard = (1 << 31) - 1  # 32 and 33 are the C library's own
    assert {int(mask, 16) & standard for mask in masks.values()} == {0}


def test_a_time_out_is_told(reaper: Reaper, tmp_path: Path) -> None:
    exit_, out, _ = finish(reaper, shell("trap 'echo bye; exit 1' TERM; sleep 60 & wait"), tmp_path, timeout=0.1)
    assert exit_.timed_out and 0.1 <= exit_.seconds < 1.5
    assert out == "bye\n"  # what it says in its grace is kept


def test_who_ignores_sigterm_is_killed(reaper: Reaper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowbuild.engine.process.GRACE", 0.2)
    exit_, _, _ = finish(reaper, shell("trap '' TERM; while :; do sleep 60; done"), tmp_path, timeout=0.1)
    assert exit_.signal == signal.SIGKILL and exit_.seconds < 2


def test_who_closed_its_streams_is_waited_for(reaper: Reaper, tmp_path: Path) -> None:
    exit_, _, _ = finish(reaper, shell("exec >&- 2>&-; sleep 0.2; exit 5"), tmp_path)
    assert exit_.code == 5 and exit_.seconds >= 0.2


@linux
def test_a_grandchild_that_holds_the_streams_does_not_hang_us(reaper: Reaper, tmp_path: Path) -> None:
    begun = time.monotonic()
    exit_, out, _ = finish(reaper, shell("sleep 60 & echo $!"), tmp_path)
    assert exit_.code == 0 and time.monotonic() - begun < 2
    assert soon(lambda: not is_alive(int(out)))


def test_a_grandchild_that_only_finishes_its_writing_may(reaper: Reaper, tmp_path: Path) -> None:
    finish(reaper, shell(f"(sleep 0.1; echo late > {tmp_path}/late) & exit 0"), tmp_path)
    assert (tmp_path / "late").read_text() == "late\n"


@linux
@pytest.mark.parametrize("closing", ["", ">/dev/null 2>&1"])
def test_who_escaped_by_setsid_is_killed(reaper: Reaper, tmp_path: Path, closing: str) -> None:
    finish(reaper, shell(f"setsid sh -c 'echo $$ > {tmp_path}/pid; sleep 60' {closing} & sleep 0.1"), tmp_path)
    assert not is_alive(int((tmp_path / "pid").read_text()))


@linux
def test_an_escapee_of_a_child_that_still_runs_is_let_be(reaper: Reaper, tmp_path: Path) -> None:
    # The outer shell ends at once, so that the escapee is an orphan while its family's last member still runs.
    escape = f"(setsid sh -c 'echo $$ > {tmp_path}/pid; exec sleep 60' >/dev/null 2>&1 &); sleep 60"
    kept = captures(tmp_path)
    child = reaper.start(shell(escape))
    performance = attend(reaper, child, kept)
    next(performance)
    assert soon(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    pid = int((tmp_path / "pid").read_text())
    finish(reaper, shell("exit 0"), tmp_path)
    assert is_alive(pid) and not reaper.is_alone
    performance.close()
    assert not is_alive(pid) and reaper.is_alone


@linux
def test_children_of_others_are_let_be(reaper: Reaper, tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as plain, subprocess.Popen(["sleep", "60"], start_new_session=True) as apart:
        reaper.adopt(apart.pid)
        finish(reaper, shell("exit 0"), tmp_path)
        assert (plain.poll(), apart.poll()) == (None, None)
        plain.kill()
        apart.kill()


@linux
def test_closing_ends_all(reaper: Reaper, tmp_path: Path) -> None:
    performance = attend(reaper, reaper.start(shell("sleep 60 & sleep 61 & echo $!; wait")), kept := captures(tmp_path))
    next(performance)
    assert soon(lambda: bool(performance.send(None)) and bool(kept[0].total))
    begun = time.monotonic()
    performance.close()
    assert time.monotonic() - begun < 1
    assert soon(lambda: not is_alive(int(kept[0].tail)))


def test_interrupted_together_they_share_one_grace(
    reaper: Reaper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowbuild.engine.process.GRACE", 0.5)
    stubborn = [reaper.start(shell("trap '' TERM; echo; while :; do sleep 60; done")) for _ in range(4)]
    open_ = [attend(reaper, child, captures(tmp_path)) for child in stubborn]
    for performance in open_:
        next(performance)
    time.sleep(0.1)
    begun = time.monotonic()
    reaper.interrupt()
    for performance in open_:
        performance.close()
    assert 0.4 < time.monotonic() - begun < 1.5


def test_without_pidfd_exits_are_polled(reaper: Reaper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowbuild.engine.spawn._pidfd", lambda pid: None)
    exit_, out, _ = finish(reaper, shell("sleep 0.1; echo out; exec >&- 2>&-; sleep 0.1; exit 4"), tmp_path)
    assert (exit_.code, out) == (4, "out\n")
    assert finish(reaper, shell("sleep 60"), tmp_path, timeout=0.1)[0].timed_out


def test_a_gigabyte_of_output_stays_flat(reaper: Reaper, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    exit_, _, _ = finish(reaper, shell("yes | head -c 1000000000"), tmp_path)
    rise_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    log = (tmp_path / "stdout").read_bytes()
    assert exit_.code == 0 and rise_kib < 30_000
    assert len(log) < (1 << 20) + 100 and b"\n[... 998951424 bytes are not kept ...]\n" in log


@linux
def test_reapers_of_one_process_leave_one_another_s_children_alone(tmp_path: Path) -> None:
    first, second = Reaper(), Reaper()
    kept = first.start(shell("(sleep 60 & echo $!); sleep 61"))
    deadline = time.monotonic() + 10
    while not (said := _said(kept)) and time.monotonic() < deadline:
        time.sleep(0.01)
    orphan = int(said)  # of the session of the kept child, and ours since its parent ended
    finish(second, shell("exit 0"), tmp_path)
    assert not kept.has_exited() and is_alive(orphan)
    first.finish(kept)
    assert not is_alive(orphan)
    first.close()
    second.close()


def _said(child: Child) -> bytes:
    try:
        return os.read(child.stdout, 100)
    except BlockingIOError:
        return b""


@linux
def test_when_we_are_killed_nothing_lives_on(tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from flowbuild.engine.capture import Capture
from flowbuild.engine.process import attend, drive
from flowbuild.engine.reaper import Reaper
from flowbuild.engine.spawn import Child, Start
place = Path({str(tmp_path)!r})
text = "setsid sh -c 'echo $$; exec sleep 60' & sleep 61 & echo $$ $!; wait"
reaper = Reaper()
child = reaper.start(Start("/bin/sh", ("sh", "-c", text), place, {{"PATH": "/usr/bin:/bin"}}))
drive(attend(reaper, child, (Capture(place / "1"), Capture(place / "2"))))
"""
    tool = subprocess.Popen([sys.executable, "-c", program])
    said = tmp_path / "1"
    assert soon(lambda: said.exists() and len(said.read_text().split()) == 3, 10)
    pids = [int(word) for word in said.read_text().split()]
    assert all(map(is_alive, pids))
    tool.kill()
    tool.wait()
    assert soon(lambda: not any(map(is_alive, pids)))


@pytest.mark.parametrize("is_polled", [False, True])
def test_who_waits_for_others_is_closed_at_the_childs_end(reaper: Reaper, tmp_path: Path, is_polled: bool) -> None:
    closed: list[bool] = []

    def waiting() -> Pump[str]:
        try:
            while True:
                yield Wait((), time.monotonic() + 60, for_others=True)
        finally:
            closed.append(True)

    child = reaper.start(shell("exit 3"))
    pidfd, child.pidfd = child.pidfd, None if is_polled else child.pidfd
    assert drive(while_alive(child, waiting())) is None  # type: ignore[arg-type]
    assert closed
    child.pidfd = pidfd
    conclude(reaper, child, captures(tmp_path))


def test_who_does_something_itself_comes_to_its_end_though_the_child_is_gone(reaper: Reaper, tmp_path: Path) -> None:
    def deed() -> Pump[str]:
        yield Wait((), time.monotonic())
        return "done"

    child = reaper.start(shell("exit 3"))
    soon(child.has_exited)
    assert drive(while_alive(child, deed())) == "done"  # type: ignore[arg-type]
    conclude(reaper, child, captures(tmp_path))
