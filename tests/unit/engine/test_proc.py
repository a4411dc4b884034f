"""The `proc` engine with real executors: what is sent, what comes back, what is kept, and what is left."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from peer import perform, together, write_peer
from tiny_io import TinyIo, action, is_alive, soon

from flowbuild.core.errors import CapabilitiesMismatch, RepInternal, RepRefused, RepTransport
from flowbuild.engine import remote
from flowbuild.engine.engine import Wait
from flowbuild.engine.executor import AT_TERM
from flowbuild.engine.proc import ProcEngine, kinds, negotiate, one_node

OUT = {"out": "out/bin/words/it/out.json"}
MOCK = (sys.executable, "-m", "flowbuild.rep.mock")

Make = Callable[..., ProcEngine]


@pytest.fixture
def io(tmp_path: Path) -> TinyIo:
    return TinyIo(tmp_path)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[ProcEngine] = []

    def make(*argv: str, replaced: str = "", timeout: float = 20.0, **more: Any) -> ProcEngine:
        argv = argv or write_peer(tmp_path, replaced)
        made.append(ProcEngine(argv, cwd=tmp_path, timeout=timeout, **more))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


# What is sent


SENT = """
    def note(what):
        with open("sent.jsonl", "a") as file:
            file.write(json.dumps(what) + "\\n")
    def start(id, params):
        note(params)
        reply(id, {"run_id": params["options"]["run_id"]})
"""


def sent(tmp_path: Path) -> list[Any]:
    return [json.loads(line) for line in (tmp_path / "sent.jsonl").read_text().splitlines()]


def test_a_step_is_an_ir_of_one_node(make: Make, io: TinyIo, tmp_path: Path) -> None:
    outcome, _ = perform(make(replaced=SENT), action("a", {"n": 1}, outputs=OUT, timeout_ms=700), io)
    assert io.text(outcome, "out") == '{"done":true}'
    (params,) = sent(tmp_path)
    (node,) = params["ir"]["graph"]["nodes"]
    assert (node["type"], node["with"], node["timeout_ms"]) == ("a", {"n": 1}, 700)
    assert node["retry"] == {"max": 0, "backoff_ms": 0}
    assert params["ir"]["version"] == "1.0.0" and params["inputs"] == {}
    assert set(params["options"]) == {"run_id", "trace_id", "allow_shell"}


def test_the_ir_of_a_step_says_nothing_that_its_key_does_not_cover() -> None:
    assert one_node("a", {"x": 1}) == one_node("a", {"x": 1})
    assert kinds(one_node("a", {})) == {"a"}


def test_a_resolved_value_is_not_resolved_again(make: Make, io: TinyIo) -> None:
    given = {"a": "$input.endpoint", "b": [" $step.x"], "c": "plain", "d.e": {"f": "$input.v0"}}
    outcome, _ = perform(make(*MOCK), action("dsl.emit", given, outputs=OUT), io)
    assert json.loads(io.text(outcome, "out")) == given


def test_a_whole_flow_is_one_action(make: Make, io: TinyIo, tmp_path: Path) -> None:
    ir = one_node("b", {"$": 1})
    outcome, _ = perform(make(replaced=SENT), action("ir", {"ir": ir, "inputs": {"x": [1]}}, outputs=OUT), io)
    assert json.loads(io.text(outcome, "out")) == {"status": "completed", "summary": {"result": {"done": True}}}
    assert [(params["ir"], params["inputs"]) for params in sent(tmp_path)] == [(ir, {"x": [1]})]


def test_the_environment_is_rep_s_and_no_more(make: Make, io: TinyIo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    engine = make(replaced="def poll(id, params): reply(id, {'status': 'completed', 'summary': dict(os.environ)})")
    outcome, _ = perform(engine, action("a", {}, outputs=OUT), io)
    told = json.loads(io.text(outcome, "out"))
    assert told["TRACE_MIND_ENGINE_TIMEOUT"] == "20"
    assert (told["TRACE_MIND_ALLOW_SHELL"], told["TRACE_MIND_LOG_JSON"]) == ("0", "1")
    assert {"TRACE_MIND_RUN_ID", "TRACE_MIND_TRACE_ID", "PATH"} <= set(told)
    assert "SECRET" not in told


def test_the_first_run_is_the_one_that_the_environment_names(make: Make, io: TinyIo) -> None:
    named = "reply(id, {'status': 'completed', 'summary': {'result': {'same': params['run_id'] == os.environ['TRACE_MIND_RUN_ID']}}})"
    engine = make(replaced=f"def poll(id, params): {named}")
    assert [io.text(perform(engine, action("a", {}, outputs=OUT), io)[0], "out") for _ in range(2)] == [
        '{"same":true}',
        '{"same":false}',
    ]


# What comes back


def test_events_of_every_poll_are_kept_in_order(make: Make, io: TinyIo) -> None:
    engine = make(
        replaced="""
        left = [["one", "two"], [], ["three"]]
        def poll(id, params):
            events = [{"type": "log", "message": one} for one in left.pop(0)]
            reply(id, {"status": "running" if left else "completed", "events": events})
        """
    )
    _, told = perform(engine, action("a", {}), io)
    assert [event["message"] for event in told] == ["one", "two", "three"]


@pytest.mark.parametrize("said", ["the password is x", "sent a value of a secret"])
def test_an_event_or_a_result_that_holds_a_secret_is_not_kept(make: Make, io: TinyIo, said: str) -> None:
    io.mask.add("a value of a secret")
    engine = make(
        replaced=f"""
        def poll(id, params):
            reply(id, {{"status": "completed", "events": [{{"type": "log", "message": {said!r}}}], "summary": {{"result": {{"k": {said!r}}}}}}})
        """
    )
    outcome, told = perform(engine, action("a", {}), io)
    assert told == [{"refused": "secrets_detected"}]
    assert outcome.error is not None and outcome.error.code == "secrets_detected"


def test_the_first_terminal_status_is_the_last_word(make: Make, io: TinyIo) -> None:
    engine = make(
        replaced="""
        said = iter(["running", "failed", "completed"])
        def poll(id, params): reply(id, {"status": next(said), "summary": {"error": "tired"}})
        """
    )
    outcome, _ = perform(engine, action("a", {}), io)
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.message) == ("step_failed", "tired")


def test_the_result_is_the_summary_s_or_the_summary(make: Make, io: TinyIo) -> None:
    engine = make(
        replaced="def poll(id, params): reply(id, {'status': 'completed', 'summary': {'run_id': 'x', 'n': 1}})"
    )
    outcome, _ = perform(engine, action("a", {}, outputs=OUT), io)
    assert io.text(outcome, "out") == '{"n":1}'


def test_a_result_that_is_no_canonical_json_fails_the_step(make: Make, io: TinyIo) -> None:
    engine = make(replaced="def poll(id, params): reply(id, {'status': 'completed', 'summary': {'result': 2 ** 60}})")
    outcome, _ = perform(engine, action("a", {}, outputs=OUT), io)
    assert outcome.error is not None and outcome.error.code == "result_refused"


@pytest.mark.parametrize("where", ["start", "poll"])
def test_a_step_s_failure_is_an_outcome(make: Make, io: TinyIo, where: str) -> None:
    engine = make(replaced=f"def {where}(id, params): refuse(id, 2001, retriable=True, step_id='step')")
    for _ in range(2):  # and the executor stays
        outcome, _ = perform(engine, action("a", {}, outputs=OUT), io)
        assert outcome.error is not None and outcome.outputs == {}
        assert (outcome.error.code, outcome.error.message, outcome.error.retryable) == ("step_failed", "no", True)
        assert outcome.error.details["code"] == 2001


@pytest.mark.parametrize(("code", "kind"), [(1003, RepRefused), (3001, RepTransport), (3002, RepInternal)])
@pytest.mark.parametrize("where", ["start", "poll", "summary"])
def test_other_codes_are_errors_wherever_they_stand(
    make: Make, io: TinyIo, where: str, code: int, kind: type[Exception]
) -> None:
    summary = f"reply(id, {{'status': 'failed', 'summary': {{'error': {{'code': {code}, 'message': 'no'}}}}}})"
    body = summary if where == "summary" else f"refuse(id, {code})"
    engine = make(replaced=f"def {where.replace('summary', 'poll')}(id, params): {body}")
    with pytest.raises(kind, match=f"no .REP {code}."):
        perform(engine, action("a", {}), io)


def test_what_is_printed_on_stderr_is_in_the_log(make: Make, io: TinyIo) -> None:
    engine = make(
        replaced="""
        def poll(id, params):
            os.write(2, b"careful")
            time.sleep(0.05)
            reply(id, {"status": "failed"})
        """
    )
    outcome, _ = perform(engine, action("a", {}), io)
    assert outcome.stderr_tail == "careful"
    assert outcome.log is not None and (io.workspace / outcome.log).read_text() == "careful"


# What is asked for


def test_what_the_executor_has_not_is_named_before_anything_is_sent(make: Make, io: TinyIo, tmp_path: Path) -> None:
    ir = one_node("a", {})
    ir["graph"]["nodes"] += [
        {**ir["graph"]["nodes"][0], "id": kind, "type": kind} for kind in ("y", "switch", "x", "finish")
    ]
    with pytest.raises(CapabilitiesMismatch, match="has no step kind 'x', 'y'") as caught:
        perform(make(replaced=SENT), action("ir", {"ir": ir}), io)
    assert caught.value.details == {"missing": ["x", "y"]}
    assert not (tmp_path / "sent.jsonl").exists()


def test_capabilities_are_the_executor_s_and_whole_flows(make: Make) -> None:
    assert make().capabilities.doc() == {
        "name": "proc",
        "version": "1.0.0",
        "step_kinds": ["a", "b", "ir"],
        "limits": {"concurrency": 1},
    }


def test_negotiating_leaves_nothing_behind(tmp_path: Path) -> None:
    argv = write_peer(tmp_path, "open('pid', 'w').write(str(os.getpid()))")
    assert negotiate(argv, cwd=tmp_path, timeout=20).step_kinds == ("a", "b", "ir")
    assert not is_alive(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("form", ["words", "shebang", "script", "program"])
def test_an_executor_is_any_argv(make: Make, io: TinyIo, tmp_path: Path, form: str) -> None:
    python, path = write_peer(tmp_path)
    if form == "shebang":
        Path(path).write_text(f"#!{python}\n{Path(path).read_text()}")
        os.chmod(path, 0o755)
    (tmp_path / "run.sh").write_text(f"#!/bin/sh\nexec {python} {path}\n")
    (tmp_path / "run.sh").chmod(0o755)
    argv = {
        "words": (python, path),
        "shebang": (path,),
        "script": ("peer.py",),
        "program": ("./run.sh", "with", "words"),
    }
    assert perform(make(*argv[form]), action("a", {}), io)[0].ok


# What is kept


def test_one_process_serves_action_after_action(make: Make, io: TinyIo, tmp_path: Path) -> None:
    engine = make(replaced="open('pids', 'a').write(f'{os.getpid()} ')")
    for _ in range(5):
        assert perform(engine, action("a", {}), io)[0].ok
    assert len((tmp_path / "pids").read_text().split()) == 1


SLOW = """
    OFFER["limits"]["concurrency"] = LIMIT
    open_, most = {}, 0
    def start(id, params):
        global most
        name = params["options"]["run_id"]
        open_[name] = time.monotonic()
        most = max(most, len(open_))
        reply(id, {"run_id": name})
    def poll(id, params):
        since = open_[params["run_id"]]
        if time.monotonic() < since + 0.05:
            return reply(id, {"status": "running"})
        del open_[params["run_id"]]
        reply(id, {"status": "completed", "summary": {"result": {"most": most}}})
"""


@pytest.mark.parametrize("limit", [1, 3])
def test_never_more_runs_are_under_way_than_the_executor_can_take(make: Make, io: TinyIo, limit: int) -> None:
    engine = make(replaced=SLOW.replace("LIMIT", str(limit)))
    actions = [action("a", {"n": n}, outputs=OUT) for n in range(6)]
    assert sorted(together(*(engine.perform(one, io) for one in actions))) == list(range(6))
    most = [json.loads(data)["most"] for data in io.kept.values()]
    assert max(most) == limit


def begun(engine: ProcEngine, io: TinyIo, what: Any, tmp_path: Path) -> Any:
    """A performance whose run is under way in the executor."""
    performance, ready = engine.perform(what, io), None
    for _ in range(2000):
        step = performance.send(ready)
        ready = () if isinstance(step, Wait) else None
        if (tmp_path / "polled").exists():
            return performance
        time.sleep(0.001)
    raise AssertionError("it never polled")


ENDLESS = """
    open("pid", "w").write(str(os.getpid()))
    over = False
    def poll(id, params):
        open("polled", "w").close()
        told = [{"type": "log", "message": "late"}] if over else []
        reply(id, {"status": "failed" if over else "running", "events": told})
    def cancel(id, params):
        global over
        over = True
        open("cancelled", "a").write(params["run_id"] + " ")
        reply(id, {"ok": True})
"""


def test_closing_cancels_the_run_once_and_keeps_the_process(make: Make, io: TinyIo, tmp_path: Path) -> None:
    engine = make(replaced=ENDLESS)
    begun(engine, io, action("a", {}), tmp_path).close()
    assert len((tmp_path / "cancelled").read_text().split()) == 1
    assert is_alive(int((tmp_path / "pid").read_text()))
    outcome, _ = perform(engine, action("a", {}), io)  # it says `failed` from now on; the words are in step again
    assert outcome.error is not None and outcome.error.code == "step_failed"


@pytest.mark.parametrize("how", ["silent", "deaf"])
def test_an_executor_that_goes_on_after_cancel_is_ended(
    make: Make, io: TinyIo, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowbuild.engine.proc.CANCEL_GRACE", 0.3)
    answer = "pass" if how == "silent" else "reply(id, {'ok': True})"
    ignores = "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    engine = make(replaced=f"{ENDLESS}{ignores}    def cancel(id, params): {answer}\n")
    begun(engine, io, action("a", {}), tmp_path).close()
    assert soon(lambda: not is_alive(int((tmp_path / "pid").read_text())))
    (tmp_path / "polled").unlink()
    begun(engine, io, action("a", {}), tmp_path).close()  # the next action has a new process


def test_an_executor_that_hangs_may_tidy_up_before_it_is_killed(make: Make, io: TinyIo, tmp_path: Path) -> None:
    engine = make(
        replaced="""
        def tidy(number, frame):
            open("tidied", "w").close()
            os._exit(0)
        signal.signal(signal.SIGTERM, tidy)
        def poll(id, params): time.sleep(60)
        """,
        timeout=0.5,
    )
    with pytest.raises(RepTransport, match="no reply to Runtime.Poll in time"):
        perform(engine, action("a", {}), io)
    assert (tmp_path / "tidied").exists()


def test_one_that_is_closed_leaves_the_others_alone(make: Make, io: TinyIo) -> None:
    engine = make(
        replaced="""
        OFFER["limits"]["concurrency"] = 2
        until = {}
        def start(id, params):
            until[params["options"]["run_id"]] = time.monotonic() + params["ir"]["graph"]["nodes"][0]["with"]["seconds"]
            reply(id, {"run_id": params["options"]["run_id"]})
        def poll(id, params):
            time.sleep(0.02)  # so that somebody is always in the middle of a request
            reply(id, {"status": "running" if time.monotonic() < until[params["run_id"]] else "completed"})
        def cancel(id, params):
            until[params["run_id"]] = 0
            reply(id, {"ok": True})
        """
    )
    closed, kept = (engine.perform(action("a", {"seconds": n}, outputs=OUT), io) for n in (60, 0.5))
    left = together(closed, kept, until=time.monotonic() + 0.3)
    assert list(left) == []
    closed.close()
    assert list(together(kept)) == [0]


def test_a_step_that_is_late_is_cancelled(make: Make, io: TinyIo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowbuild.engine.remote.STEP_GRACE", 0.0)
    engine = make(replaced=ENDLESS)
    outcome, events = perform(engine, action("a", {}, timeout_ms=100), io)
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.message) == ("timeout", "timed out after 100 ms")
    assert [event["message"] for event in events] == ["late"]  # what it said after Cancel is kept


@pytest.mark.parametrize("how", ["silent", "deaf"])
def test_a_late_step_that_can_t_be_cancelled_ends_with_its_process(
    make: Make, io: TinyIo, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the executor answers, the step is late; once it says nothing, the executor has broken its word."""
    monkeypatch.setattr("flowbuild.engine.remote.STEP_GRACE", 0.0)
    monkeypatch.setattr("flowbuild.engine.remote.CANCEL_GRACE", 0.3)
    answer = "pass" if how == "silent" else "reply(id, {'ok': True})"
    engine = make(replaced=f"{ENDLESS}    def cancel(id, params): {answer}\n")
    if how == "silent":
        with pytest.raises(RepTransport, match="no reply to Runtime.Cancel in time"):
            perform(engine, action("a", {}, timeout_ms=100), io)
    else:
        outcome, _ = perform(engine, action("a", {}, timeout_ms=100), io)
        assert outcome.error is not None and outcome.error.code == "timeout"
    assert soon(lambda: not is_alive(int((tmp_path / "pid").read_text())))


def test_a_run_has_five_seconds_to_end_after_cancel() -> None:
    assert remote.CANCEL_GRACE == 5.0
    assert remote.CANCEL_GRACE + remote.LAST_ANSWER + AT_TERM < 6.0  # what `close` promises


def test_a_run_that_never_ends_breaks_the_word_of_its_engine(make: Make, io: TinyIo, tmp_path: Path) -> None:
    engine = make(replaced=ENDLESS, timeout=0.4)
    with pytest.raises(RepTransport, match="still running") as caught:
        perform(engine, action("a", {}), io)
    assert caught.value.details == {"code": 3001, "cause": "Timeout"}
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_a_large_request_and_a_large_reply(make: Make, io: TinyIo) -> None:
    engine = make(
        replaced="""
        def start(id, params):
            global size
            size = len(params["ir"]["graph"]["nodes"][0]["with"]["text"])
            reply(id, {"run_id": "x"})
        def poll(id, params): reply(id, {"status": "completed", "summary": {"result": {"text": "y" * size}}})
        """
    )
    outcome, _ = perform(engine, action("a", {"text": "x" * 4_000_000}, outputs=OUT), io)
    assert len(io.text(outcome, "out")) == 4_000_000 + len('{"text":""}')
