"""Executors that break their word: the error of each, in time, and nothing that lives on (RELIABILITY P1 to P15)."""

from __future__ import annotations

import os
import re
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_executors import BAD, FINE, STEP
from peer import perform, write_peer
from tiny_io import TinyIo, action, is_alive, soon

from flowbuild.core.errors import FlowError, RepTransport
from flowbuild.engine.proc import ProcEngine

TIMEOUT = 1.5
GRACE = 5.0
NOTED = "open('pids', 'a').write(f'{os.getpid()}\\n')\n"


@pytest.fixture
def io(tmp_path: Path) -> TinyIo:
    return TinyIo(tmp_path)


@pytest.fixture(autouse=True)
def nothing_lives_on(tmp_path: Path) -> Iterator[None]:
    yield
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()] if (tmp_path / "pids").exists() else []
    assert soon(lambda: not any(map(is_alive, pids)))


def come_to(argv: tuple[str, ...], io: TinyIo, tmp_path: Path) -> tuple[int, str]:
    """The exit code and the message of one step of an executor."""
    engine = ProcEngine(argv, cwd=tmp_path, timeout=TIMEOUT)
    try:
        outcome, _ = perform(engine, action("a", {}), io)
    except FlowError as error:
        return error.exit_code, str(error)
    finally:
        engine.close()
    return (FINE, "") if outcome.error is None else (STEP, outcome.error.message)


@pytest.mark.parametrize("name", BAD)
def test_each_has_its_exit_code_and_one_message_in_time(name: str, io: TinyIo, tmp_path: Path) -> None:
    if name == "forks twice" and sys.platform != "linux":
        pytest.skip("needs Linux: a subreaper")
    started = time.monotonic()
    code, message = come_to(write_peer(tmp_path, NOTED + BAD[name].code), io, tmp_path)
    assert time.monotonic() - started < TIMEOUT + GRACE
    assert code == BAD[name].exit_code, message
    assert re.search(BAD[name].message, message), message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ((), "no command"),
        (("./nowhere",), "there is no program ./nowhere"),
        (("no-such-program",), "no program 'no-such-program'"),
        (("./plain",), "not executable"),
        (("./odd",), "the interpreter in its first line is not there"),
        (("./noise",), "cannot start|not JSON"),
    ],
)
def test_what_can_t_be_started_is_said(argv: tuple[str, ...], message: str, io: TinyIo, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    for name, text in (("odd", "#!/no/such/interpreter\n"), ("noise", "\0\1\2")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    code, said = come_to(argv, io, tmp_path)
    assert code == 4
    assert re.search(message, said), said


def test_one_that_ended_between_two_actions_is_started_again(io: TinyIo, tmp_path: Path) -> None:
    code = "def poll(id, params):\n    reply(id, {'status': 'completed'})\n    os._exit(0)"
    engine = ProcEngine(write_peer(tmp_path, NOTED + code), cwd=tmp_path, timeout=20)
    for count in (1, 2, 3):
        assert perform(engine, action("a", {}), io)[0].ok
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        assert len(pids) == count
        assert soon(lambda pid=pids[-1]: not is_alive(pid))
    engine.close()


def test_a_line_without_end_costs_no_memory(io: TinyIo, tmp_path: Path) -> None:
    engine = ProcEngine(write_peer(tmp_path, BAD["says 100 MB in a line"].code), cwd=tmp_path, timeout=20)
    assert engine.capabilities
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(RepTransport, match="more than"):
        perform(engine, action("a", {}), io)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10
    engine.close()


def test_an_executor_that_was_lost_is_started_again_for_the_next_action(io: TinyIo, tmp_path: Path) -> None:
    code = "def poll(id, params):\n    open('polled', 'a').write('x')\n    if os.stat('polled').st_size == 1: os._exit(1)\n    reply(id, {'status': 'completed'})"
    engine = ProcEngine(write_peer(tmp_path, NOTED + code), cwd=tmp_path, timeout=20)
    with pytest.raises(RepTransport):
        perform(engine, action("a", {}), io)
    assert perform(engine, action("a", {}), io)[0].ok
    assert len((tmp_path / "pids").read_text().split()) == 2
    engine.close()


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: /proc")
def test_a_thousand_steps_cost_no_memory(io: TinyIo, tmp_path: Path) -> None:
    engine = ProcEngine((sys.executable, "-m", "flowbuild.rep.mock"), cwd=tmp_path, timeout=20)
    perform(engine, action("dsl.emit", {}), io)
    (executor,) = children()
    before = rss(os.getpid()) + rss(executor)
    for n in range(1000):
        perform(engine, action("dsl.emit", {"n": n, "text": "x" * 10_000}), io)
    assert children() == [executor]
    assert rss(os.getpid()) + rss(executor) - before < 64 << 20
    engine.close()


def children() -> list[int]:
    """The executors among our children."""
    found = []
    for task in os.listdir("/proc/self/task"):
        for pid in Path(f"/proc/self/task/{task}/children").read_text().split():
            if b"flowbuild.rep.mock" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(int(pid))
    return found


def rss(pid: int) -> int:
    """Bytes of a process in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
