"""`flowbuild.rep.serve` as a program: requests in, replies out."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

HANDLERS = """
import os, subprocess, sys, time
from flowbuild.rep import StepFailed, serve

tries = []

def echo(with_, context):
    context.log("hello")
    print("this is for people")
    os.write(1, b"and this")
    assert subprocess.run(["cat"], stdout=subprocess.PIPE).stdout == b""
    return {"with": with_, "step": context.step_id, "run": context.run_id}

def flaky(with_, context):
    tries.append(time.monotonic())
    if len(tries) < with_["works_at"]:
        raise StepFailed("not yet", retriable=with_.get("retriable", True), details={"tries": len(tries)})
    return {"tries": len(tries), "apart": tries[-1] - tries[0]}

def tells(with_, context):
    context.log(1j)
    if not with_:
        raise StepFailed("it is complex", retriable=False, details={"number": 1j})
    return {}

def wait(with_, context):
    while not context.cancelled:
        time.sleep(0.01)
    return {}

serve({"echo": echo, "flaky": flaky, "wait": wait, "tells": tells, "exits": lambda w, c: sys.exit(7), "raises": lambda w, c: 1 / 0, "none": lambda w, c: None,
       "set": lambda w, c: {"x": {1}}, "nan": lambda w, c: {"x": float("nan")}}, version="3.2.1", concurrency=2)
"""


class Peer:
    """A client that keeps to nothing."""

    def __init__(self, argv: list[str], cwd: Path) -> None:
        self.process = subprocess.Popen(
            argv, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._id = 0

    def send(self, line: bytes) -> Any:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(line)
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def ask(self, method: str, **params: Any) -> Any:
        self._id += 1
        said = self.send(
            json.dumps({"jsonrpc": "2.0", "id": self._id, "method": method, "params": params}).encode() + b"\n"
        )
        assert (said["jsonrpc"], said["id"]) == ("2.0", self._id)
        return said.get("result", said.get("error"))

    def start(self, *nodes: dict[str, Any], **more: Any) -> Any:
        graph = {"nodes": nodes, "edges": more.pop("edges", [])}
        doc = {"version": "1.0.0", "flow": {"name": "f", "timeout_ms": 0}, "graph": graph}
        return self.ask("Runtime.StartRun", ir={**doc, **more}, inputs={}, options={})

    def run(self, *nodes: dict[str, Any], **more: Any) -> tuple[Any, list[Any]]:
        run_id, events = self.start(*nodes, **more)["run_id"], []
        until = time.monotonic() + 20
        while time.monotonic() < until:
            said = self.ask("Runtime.Poll", run_id=run_id)
            events += said["events"]
            if said["status"] in ("completed", "failed"):
                return said, events
        raise AssertionError("it does not end")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Peer]]:
    (tmp_path / "handlers.py").write_text(HANDLERS)
    started: list[Peer] = []

    def start(*argv: str) -> Peer:
        started.append(Peer([sys.executable, *(argv or ("handlers.py",))], tmp_path))
        return started[-1]

    yield start
    for peer in started:
        peer.process.kill()
        peer.process.wait()
        for pipe in (peer.process.stdin, peer.process.stdout, peer.process.stderr):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()


@pytest.fixture
def peer(start: Callable[..., Peer]) -> Peer:
    return start()


def node(
    type_: str, with_: Any = None, *, timeout_ms: int = 0, retries: int = 0, backoff_ms: int = 0
) -> dict[str, Any]:
    retry = {"max": retries, "backoff_ms": backoff_ms}
    return {"id": type_, "type": type_, "with": with_ or {}, "timeout_ms": timeout_ms, "retry": retry}


def test_it_says_what_it_can_do(peer: Peer) -> None:
    said = peer.ask("Runtime.Capabilities")
    assert said == {
        "version": "3.2.1",
        "step_kinds": ["echo", "exits", "flaky", "nan", "none", "raises", "set", "tells", "wait"],
        "limits": {"concurrency": 2},
    }
    assert peer.ask("Runtime.Health") == {"ok": True, "details": {"runs": 0}}


def test_a_step_is_a_call(peer: Peer) -> None:
    said, events = peer.run(node("echo", {"x": [1]}))
    assert said["status"] == "completed"
    assert said["summary"]["result"] == {"with": {"x": [1]}, "step": "echo", "run": said["summary"]["run_id"]}
    assert (said["summary"]["completed_steps"], said["summary"]["failed_steps"]) == (1, 0)
    told = [(event["type"], event.get("state"), event.get("message")) for event in events]
    assert told == [("step", "started", None), ("log", None, "hello"), ("step", "succeeded", None)]
    assert all(event["timestamp"].endswith("Z") and event["step_id"] == "echo" for event in events)


def test_each_run_of_a_process_has_an_id_of_its_own(peer: Peer) -> None:
    said = [peer.run(node("echo"))[0]["summary"]["result"]["run"] for _ in range(2)]
    assert said[0] != said[1]


def test_a_handler_that_exits_has_failed_and_the_executor_goes_on(peer: Peer) -> None:
    said, _ = peer.run(node("exits"))
    assert said["summary"]["error"]["message"] == "SystemExit: 7"
    assert peer.run(node("echo"))[0]["status"] == "completed"


def test_what_a_handler_tells_is_json_or_its_own_fault(peer: Peer) -> None:
    _, events = peer.run(node("tells", {"log": True}))
    assert "1j" in [event.get("message") for event in events]
    run_id = peer.start(node("tells"))["run_id"]
    said = peer.ask("Runtime.Poll", run_id=run_id)
    while said.get("status") == "running":
        said = peer.ask("Runtime.Poll", run_id=run_id)
    assert said["code"] == 3002 and "the answer to Runtime.Poll is no JSON" in said["message"]
    assert peer.run(node("echo"))[0]["status"] == "completed"


def test_a_run_of_several_steps_tells_its_state(peer: Peer) -> None:
    said, _ = peer.run({**node("echo"), "id": "a"}, {**node("echo", {"from": "$step.a.step"}), "id": "b"})
    assert said["summary"]["state"]["steps"]["b"]["with"] == {"from": "a"}


def test_retries_are_those_of_the_step(peer: Peer) -> None:
    said, events = peer.run(node("flaky", {"works_at": 3}, retries=5, backoff_ms=30))
    assert said["status"] == "completed" and said["summary"]["result"]["tries"] == 3
    assert said["summary"]["result"]["apart"] >= 0.06
    assert [event["attempt"] for event in events if event["state"] == "failed"] == [0, 1]


@pytest.mark.parametrize(("retriable", "retries", "attempt"), [(True, 1, 1), (False, 9, 0)])
def test_a_step_that_goes_on_failing_has_failed(peer: Peer, retriable: bool, retries: int, attempt: int) -> None:
    said, _ = peer.run(node("flaky", {"works_at": 99, "retriable": retriable}, retries=retries))
    assert said["status"] == "failed"
    data = {"retriable": retriable, "step_id": "flaky", "attempt": attempt, "details": {"tries": attempt + 1}}
    assert said["summary"]["error"] == {"code": 2001, "message": "not yet", "data": data}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("raises", "ZeroDivisionError: division by zero"),
        ("none", "the handler returned NoneType, not an object"),
        ("set", "no JSON"),
        ("nan", "no JSON"),
    ],
)
def test_a_handler_s_own_fault_is_a_step_s_failure(peer: Peer, kind: str, message: str) -> None:
    said, _ = peer.run(node(kind))
    assert said["summary"]["error"]["code"] == 2001
    assert message in said["summary"]["error"]["message"]


def test_a_step_has_its_time(peer: Peer) -> None:
    said, _ = peer.run(node("wait", timeout_ms=50))
    assert said["summary"]["error"]["message"] == "timed out after 50 ms"


def test_a_flow_has_its_time(peer: Peer) -> None:
    said, _ = peer.run(node("wait"), flow={"name": "f", "timeout_ms": 60})
    assert said["status"] == "failed" and said["summary"]["error"]["message"] == "the flow timed out after 60 ms"
    said, _ = peer.run(
        node("flaky", {"works_at": 99}, retries=9, backoff_ms=50),
        {**node("echo"), "id": "never"},
        flow={"name": "f", "timeout_ms": 60},
        edges=[{"from": "flaky", "to": "never", "on": "failure"}],
    )
    assert said["summary"]["error"]["message"] == "the flow timed out after 60 ms"
    assert said["summary"]["completed_steps"] == 0


def test_a_cancelled_run_fails_once_its_handler_has_seen_it(peer: Peer) -> None:
    run_id = peer.start(node("wait"))["run_id"]
    assert peer.ask("Runtime.Poll", run_id=run_id)["status"] == "running"
    assert peer.ask("Runtime.Cancel", run_id=run_id) == {"ok": True}
    statuses: list[str] = []
    while not statuses or statuses[-1] == "running":
        statuses.append(peer.ask("Runtime.Poll", run_id=run_id)["status"])
    assert [peer.ask("Runtime.Poll", run_id=run_id)["status"] for _ in range(3)] == [statuses[-1]] * 3
    assert peer.ask("Runtime.Cancel", run_id=run_id) == {"ok": True}


def test_runs_beyond_the_limit_wait(peer: Peer) -> None:
    waiting = [peer.start(node("wait"))["run_id"] for _ in range(3)]
    for run_id in waiting[:2]:
        peer.ask("Runtime.Cancel", run_id=run_id)
    while peer.ask("Runtime.Poll", run_id=waiting[0])["status"] == "running":
        pass
    assert peer.ask("Runtime.Poll", run_id=waiting[2])["status"] == "running"


def test_an_unknown_run_is_no_crash(peer: Peer) -> None:
    assert peer.ask("Runtime.Poll", run_id="x") == {
        "status": "failed",
        "events": [],
        "summary": {"error": "unknown run"},
    }
    assert peer.ask("Runtime.Cancel", run_id="x") == {"ok": False}
    assert peer.ask("Runtime.Poll")["status"] == "failed"


def test_what_is_refused_has_its_code(peer: Peer) -> None:
    assert peer.start(node("echo"), version="2.0.0")["code"] == 1001
    refused = peer.start(node("cook"))
    assert (refused["code"], refused["data"]["details"]) == (1002, {"missing": ["cook"]})
    assert peer.ask("Runtime.StartRun")["code"] == 1003
    assert peer.ask("Runtime.StartRun", ir={}, inputs=[])["code"] == 1003
    said = peer.send(b'{"jsonrpc": "2.0", "id": "x", "method": "Runtime.Poll", "params": []}\n')
    assert (said["id"], said["error"]["code"]) == ("x", 1003)
    assert peer.ask("Runtime.Stop")["code"] == -32601
    assert peer.ask("Runtime.Capabilities")["version"] == "3.2.1"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"hello\n", 3001),
        (b"\n", 3001),
        (b'{"jsonrpc": "2.0"}\n', -32600),
        (b"[]\n", -32600),
        (b'"\xff"\n', 3001),
        (b"[" * 100_000 + b"\n", 3001),
        (b"x" * ((16 << 20) + 1) + b"\n", 3001),
    ],
    ids=["text", "empty", "no method", "batch", "no UTF-8", "deep", "huge"],
)
def test_what_is_no_request_gets_an_error_and_the_conversation_goes_on(peer: Peer, line: bytes, code: int) -> None:
    said = peer.send(line)
    assert (said["id"], said["error"]["code"]) == (None, code)
    assert peer.ask("Runtime.Capabilities")["version"] == "3.2.1"


def test_it_ends_with_its_input(peer: Peer) -> None:
    peer.start(node("wait"))
    assert peer.process.stdin
    peer.process.stdin.close()
    assert peer.process.wait(10) == 0


def test_what_handlers_print_does_not_reach_the_client(peer: Peer) -> None:
    peer.run(node("echo"))
    assert peer.process.stdin and peer.process.stdout and peer.process.stderr
    peer.process.stdin.close()
    assert peer.process.stdout.read() == b""
    said = peer.process.stderr.read()
    assert b"this is for people" in said and b"and this" in said


def test_finished_runs_are_forgotten_in_time(peer: Peer) -> None:
    for _ in range(140):
        peer.run(node("echo"))
    assert 64 <= peer.ask("Runtime.Health")["details"]["runs"] <= 128


def test_the_mock_has_the_four_step_kinds(start: Callable[..., Peer]) -> None:
    mock = start("-m", "flowbuild.rep.mock")
    assert mock.ask("Runtime.Capabilities")["step_kinds"] == ["dsl.emit", "opcua.read", "opcua.write", "policy.apply"]
    results = [
        mock.run(node(kind, with_))[0]["summary"]["result"]
        for kind, with_ in (
            ("opcua.read", {"endpoint": "e", "node_ids": ["a", "b"]}),
            ("opcua.write", {"endpoint": "e", "node_id": "a", "value": 1}),
            ("policy.apply", {"values": {"a": 1}}),
            ("dsl.emit", {"x": 1}),
        )
    ]
    assert results == [
        {"endpoint": "e", "values": {"a": 80.0, "b": 80.0}},
        {"endpoint": "e", "node_id": "a", "value": 1, "status": "ok"},
        {
            "action": "NONE",
            "policy_id": None,
            "values": {"a": 1},
            "error": "there is no policy",
        },
        {"x": 1},
    ]


def test_serving_imports_nothing_of_weight() -> None:
    code = "import sys, flowbuild.rep; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = {name for name in done.stdout.split() if name.startswith("flowbuild")}
    rep = {f"flowbuild.rep.{name}" for name in ("crew", "flow", "run", "server")}
    assert ours == {"flowbuild", "flowbuild.rep", *rep}
    assert not {"msgspec", "yaml", "typer"} & set(done.stdout.split())
