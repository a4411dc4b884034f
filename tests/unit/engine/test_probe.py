"""The harness: rows that say what happened and nothing of this host, and nothing left behind."""

from __future__ import annotations

import ast
import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import hosts
import pytest

from flowbuild.engine import probe, restrict
from flowbuild.engine.operations import OPERATIONS
from flowbuild.engine.seccomp import KILL_PROCESS, Rule, refuse

ON_LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")
FILTERS = pytest.mark.skipif(not hosts.has_filters(), reason="needs seccomp filters")
EVERYTHING = {key: values[-1] for key, values in restrict.VALUES.items()}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the harness makes its tree."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_rows_are_the_same_on_every_run(place: Path) -> None:
    asked = [hosts.request(each, policy) for each in OPERATIONS for policy in (None, EVERYTHING)]
    text = json.dumps(hosts.rows(asked))
    assert text == json.dumps(hosts.rows(asked))
    assert str(place) not in text and "flowbuild-probe" not in text


def test_the_shape_of_a_row() -> None:
    row = hosts.row(hosts.request("file-read-data", target="/etc/hosts") | {"profile": "p"})
    assert row == {
        **{"probe": "it", "operation": "file-read-data", "target": "/etc/hosts", "lane": "baseline", "profile": "p"},
        **{"actual": "allow", "exit_code": 0, "stdout": "", "stderr": "", "probe_details": {"call": "read"}},
        "runtime_result": {
            **{"status": "success", "errno": None, "errno_name": None, "apply_report": []},
            **{"failure_stage": None, "failure_kind": None},
        },
    }


def test_a_probe_that_takes_too_long_is_no_deny(place: Path) -> None:
    os.mkfifo(place / "pipe")
    row = hosts.row(hosts.request("file-read-data", target=str(place / "pipe"), timeout_ms=100))
    result = row["runtime_result"]
    assert (row["actual"], row["exit_code"]) == (None, None)
    assert (result["status"], result["failure_stage"], result["failure_kind"]) == ("blocked", "probe", "timeout")


@FILTERS
def test_a_probe_that_is_killed_is_no_deny() -> None:
    row = hosts.row(hosts.request("file-write-truncate"), outer=[Rule("truncate", KILL_PROCESS)])
    result = row["runtime_result"]
    assert (row["actual"], result["status"], result["failure_stage"]) == (None, "blocked", "probe")
    assert result["failure_kind"] == f"signal:{int(signal.SIGSYS)}"


@FILTERS
def test_a_child_that_is_killed_before_its_program_starts_is_no_allow() -> None:
    row = hosts.row(hosts.request("process-exec"), command=_killed_at_execve())
    assert (row["actual"], row["runtime_result"]["failure_kind"]) == (None, "exception:RuntimeError")


def _killed_at_execve() -> list[str]:
    code = (
        "import sys; sys.path.append(sys.argv[1]); from flowbuild.engine import probe, seccomp, syscalls;"
        "syscalls.forbid_new_privileges(); seccomp.install([seccomp.Rule('execve', seccomp.KILL_PROCESS)]);"
        "sys.exit(probe.main())"
    )
    return [*probe.command()[:4], code, probe.command()[-1]]


@FILTERS
def test_a_shortage_is_no_deny() -> None:
    row = hosts.row(hosts.request("file-write-truncate"), outer=[refuse("truncate", errno.EMFILE)])
    assert (row["actual"], row["runtime_result"]["failure_kind"]) == (None, "shortage:EMFILE")


def test_a_bad_request_breaks_the_harness() -> None:
    asked = json.dumps(hosts.request("file-write-data", target="/etc/hosts")).encode()
    ended = subprocess.run(probe.command(), input=asked, capture_output=True)
    assert (ended.returncode, ended.stdout) == (1, b"")
    assert b"is not staged/NAME" in ended.stderr


def test_it_runs_from_anywhere_without_an_environment(tmp_path: Path) -> None:
    asked = json.dumps(hosts.request("environment-read")).encode()
    ended = subprocess.run(probe.command(), input=asked, capture_output=True, cwd=tmp_path, env={})
    assert json.loads(ended.stdout)["actual"] == "allow"


def test_a_descriptor_of_who_started_the_harness_is_out_of_reach() -> None:
    reading, writing = os.pipe()
    asked = json.dumps(hosts.request("file-read-data", target=f"/dev/fd/{reading}", timeout_ms=500)).encode()
    ended = subprocess.run(probe.command(), input=asked, capture_output=True, pass_fds=[reading])
    os.close(reading)
    os.close(writing)
    assert json.loads(ended.stdout)["runtime_result"]["errno_name"] in ("ENOENT", "EBADF")


def test_nothing_stays_on_disk(place: Path) -> None:
    for operation in ("file-write-create", "file-write-unlink"):
        hosts.row(hosts.request(operation))
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_a_harness_that_is_asked_to_end_cleans_up(place: Path, end: signal.Signals) -> None:
    with _waiting_harness(place) as harness:
        harness.send_signal(end)
        assert harness.wait(5) != 0
    assert [path.name for path in place.iterdir()] == ["pipe"]


@ON_LINUX
@pytest.mark.parametrize("operation", ["file-read-data", "process-exec"])
def test_a_harness_that_is_killed_leaves_nothing_running(place: Path, operation: str) -> None:
    with _waiting_harness(place, operation) as harness:
        _await(lambda: len(_descendants(harness.pid)) == {"file-read-data": 1, "process-exec": 2}[operation])
        family = _descendants(harness.pid)
        harness.kill()
        harness.wait()
        _await(lambda: not any(map(_is_running, family)))


@ON_LINUX
def test_a_daemon_that_a_probed_program_starts_is_ended(place: Path) -> None:
    _program(place / "daemon", f"setsid sleep 60 & echo $! > {place}/pid")
    assert hosts.row(hosts.request("process-exec", target=str(place / "daemon")))["actual"] == "allow"
    assert not _is_running(int((place / "pid").read_text()))


@contextlib.contextmanager
def _waiting_harness(place: Path, operation: str = "file-read-data") -> Iterator[subprocess.Popen[bytes]]:
    """A harness whose probe waits until it is ended."""
    os.mkfifo(place / "pipe")
    _program(place / "program", "exec sleep 60")
    target = str(place / ("program" if operation == "process-exec" else "pipe"))
    asked = json.dumps(hosts.request(operation, target=target, timeout_ms=60000)).encode()
    with subprocess.Popen(probe.command(), stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as harness:
        assert harness.stdin
        harness.stdin.write(asked)
        harness.stdin.close()
        _await(lambda: any(path.name.startswith("flowbuild-probe") for path in place.iterdir()))
        yield harness
    (place / "program").unlink()


def _await(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def _descendants(pid: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [further for child in children for further in _descendants(child)]


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_the_sources_that_keys_hold_are_all_that_the_harness_imports() -> None:
    directory = Path(probe.__file__).parent
    found, todo = set(), ["probe"]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        for node in ast.walk(ast.parse((directory / f"{name}.py").read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("flowbuild.engine"):
                module = (node.module or "").removeprefix("flowbuild.engine").removeprefix(".")
                todo += [module] if module else [alias.name for alias in node.names]
    assert sorted(f"{name}.py" for name in found) == sorted(probe.SOURCES)


def test_a_path_that_leads_elsewhere_says_where_and_no_other_does() -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = os.path.realpath(directory)
        Path(root, "real").write_text("x")
        os.symlink("real", f"{root}/link")
        for policy in (None, {"files": "staged"}):
            asked = hosts.request("file-read-data", policy, f"{root}/link")
            details = hosts.row(asked)["probe_details"]
            assert details["observed_path"] == f"{root}/real"
            assert details["observed_path_source"] == "realpath"
        assert "observed_path" not in hosts.row(hosts.request("file-read-data", None, f"{root}/real"))["probe_details"]
        assert "observed_path" not in hosts.row(hosts.request("file-read-data", None, f"{root}/gone"))["probe_details"]
    for target in ("staged/file", "outside/file", "staged"):
        assert "observed_path" not in hosts.row(hosts.request("file-read-metadata", None, target))["probe_details"]
