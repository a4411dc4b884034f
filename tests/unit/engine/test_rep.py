"""REP's client without IO: bytes in, replies out, and every way to break one's word."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flowbuild.core.errors import CapabilitiesMismatch, RepInternal, RepRefused, RepTransport
from flowbuild.engine import rep
from flowbuild.engine.rep import Refusal, Session


def asked(method: str = rep.POLL) -> Session:
    session = Session()
    session.ask(method, {})
    return session


def reply(**what: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "result": {}, **what}).encode() + b"\n"


def test_requests_are_lines_with_ids_from_1() -> None:
    session = Session()
    first = session.ask(rep.CAPABILITIES, {})
    assert json.loads(first) == {"jsonrpc": "2.0", "id": 1, "method": "Runtime.Capabilities", "params": {}}
    assert first.count(b"\n") == 1 and first.endswith(b"\n")
    session.feed(reply())
    assert json.loads(session.ask(rep.POLL, {"run_id": "é"}))["id"] == 2


def test_a_reply_may_come_in_pieces_and_with_either_end_of_line() -> None:
    data = reply(result={"status": "é"}).replace(b"\n", b"\r\n")
    session = asked()
    assert [session.feed(data[i : i + 1]) for i in range(len(data) - 1)] == [None] * (len(data) - 1)
    assert session.awaits == rep.POLL
    assert session.feed(data[-1:]) == rep.Reply(rep.POLL, {"status": "é"}, None)
    assert session.awaits is None


def test_an_error_is_a_reply() -> None:
    error = {"code": 2001, "message": "no", "data": {"retriable": True, "step_id": "x"}}
    found = asked().feed(json.dumps({"jsonrpc": "2.0", "id": 1, "error": error}).encode() + b"\n")
    assert found == rep.Reply(rep.POLL, None, Refusal(2001, "no", {"retriable": True, "step_id": "x"}))
    assert found.refusal is not None and found.refusal.is_retriable and found.refusal.is_step_failure


BROKEN = {
    "not JSON": (b"hello\n", "not JSON"),
    "an empty line": (b"\n", "not JSON"),
    "a byte order mark": (b"\xef\xbb\xbf" + reply(), "not JSON"),
    "invalid UTF-8": (reply().replace(b"{}", b'{"a": "\xff"}'), "not JSON"),
    "NaN": (reply().replace(b"{}", b'{"a": NaN}'), "not JSON"),
    "nested without end": (b"[" * 100_000 + b"\n", "not JSON"),
    "a batch": (b"[" + reply()[:-1] + b"]\n", "no object"),
    "a notification": (b'{"jsonrpc": "2.0", "method": "log", "params": {}}\n', "no JSON-RPC 2.0 reply"),
    "a request": (b'{"jsonrpc": "2.0", "id": 1, "method": "log"}\n', "no JSON-RPC 2.0 reply"),
    "another version": (reply(jsonrpc="1.0"), "no JSON-RPC 2.0 reply"),
    "another id": (reply(id=2), "id 2, not 1"),
    "a string id": (reply(id="1"), "id '1', not 1"),
    "a boolean id": (reply(id=True), "id True, not 1"),
    "no id": (b'{"jsonrpc": "2.0", "result": {}}\n', "id None, not 1"),
    "two replies": (reply() + reply(), "more than it was asked"),
    "neither result nor error": (b'{"jsonrpc": "2.0", "id": 1}\n', "either a result or an error"),
    "both": (reply(error={"code": 1, "message": ""}), "either a result or an error"),
    "a list as result": (reply(result=[]), "no object"),
    "an error without code": (b'{"jsonrpc": "2.0", "id": 1, "error": {"message": "no"}}\n', "integer code"),
    "an error without message": (b'{"jsonrpc": "2.0", "id": 1, "error": {"code": 2001}}\n', "integer code"),
    "an error that is text": (b'{"jsonrpc": "2.0", "id": 1, "error": "no"}\n', "integer code"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_not_rep_is_a_broken_word(name: str) -> None:
    data, message = BROKEN[name]
    with pytest.raises(RepTransport, match=message) as caught:
        asked().feed(data)
    assert caught.value.details["code"] == 3001
    assert "\n" not in caught.value.message and len(caught.value.message) < 250


def test_nobody_speaks_without_being_asked() -> None:
    with pytest.raises(RepTransport, match="without being asked"):
        Session().feed(b"\n")


@pytest.mark.parametrize(("said", "message"), [(b"", "without a reply"), (b'{"json', "in the middle of a reply")])
def test_an_end_is_a_broken_word(said: bytes, message: str) -> None:
    session = asked()
    session.feed(said)
    with pytest.raises(RepTransport, match=f"{message} to Runtime.Poll"):
        session.ended()


def test_a_frame_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rep, "MAX_FRAME", 1000)
    longest = reply(result={"a": "x" * (1000 - len(reply(result={"a": ""})) + 1)})
    assert len(longest) == 1001 and asked().feed(longest) is not None
    for data in (longest.replace(b"xx", b"xxx"), b"x" * 1001):
        with pytest.raises(RepTransport, match="more than 1000 bytes"):
            asked().feed(data)
    with pytest.raises(RepRefused, match="REP's end at 1000"):
        Session().ask(rep.START, {"ir": "x" * 1000})


OFFER = {"version": "1.2.3", "step_kinds": ["b", "a", "b"], "limits": {"concurrency": 4, "memory": 1}}


def test_capabilities_are_sorted_and_say_their_limit() -> None:
    found = rep.capabilities(OFFER)
    assert (found.name, found.version, found.step_kinds, found.concurrency) == ("proc", "1.2.3", ("a", "b"), 4)


@pytest.mark.parametrize(
    ("changed", "lacks"),
    [
        ({"version": None}, "version"),
        ({"version": ""}, "version"),
        ({"step_kinds": "a"}, "step_kinds"),
        ({"step_kinds": [1]}, "step_kinds"),
        ({"limits": None}, "limits.concurrency"),
        ({"limits": {"concurrency": 0}}, "limits.concurrency"),
        ({"limits": {"concurrency": True}}, "limits.concurrency"),
        ({"version": 1, "limits": {}}, "version and limits.concurrency"),
    ],
)
def test_capabilities_that_lack_a_field_are_a_mismatch(changed: dict[str, Any], lacks: str) -> None:
    with pytest.raises(CapabilitiesMismatch, match=f"proper {lacks}"):
        rep.capabilities({**OFFER, **changed})


def test_a_poll_needs_no_events() -> None:
    assert rep.progress({"status": "running"}) == ("running", (), {})
    told = {"status": "failed", "events": [{"type": "of the future"}], "summary": {"a": 1}}
    assert rep.progress(told) == ("failed", ({"type": "of the future"},), {"a": 1})


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ({}, "status None"),
        ({"status": "cancelled"}, "status 'cancelled'"),
        ({"status": []}, "status"),
        ({"status": "running", "events": {}}, "no list of objects"),
        ({"status": "running", "events": ["x"]}, "no list of objects"),
        ({"status": "running", "events": [{"level": "info"}]}, "no type"),
        ({"status": "running", "summary": []}, "no object"),
    ],
)
def test_a_poll_that_tells_something_else_is_a_broken_word(result: dict[str, Any], message: str) -> None:
    with pytest.raises(RepTransport, match=message):
        rep.progress(result)


@pytest.mark.parametrize("result", [{}, {"run_id": ""}, {"run_id": 7}])
def test_a_run_has_a_name(result: dict[str, Any]) -> None:
    with pytest.raises(RepTransport, match="no run_id"):
        rep.run_id(result)


@pytest.mark.parametrize(
    ("code", "kind", "exit_code"),
    [
        (1000, RepRefused, 3),
        (1002, RepRefused, 3),
        (1999, RepRefused, 3),
        (3001, RepTransport, 4),
        (3002, RepInternal, 4),
        (3999, RepInternal, 4),
        (-32601, RepInternal, 4),
        (999, RepInternal, 4),
    ],
)
def test_the_class_of_a_code_is_an_exit_code(code: int, kind: type[Exception], exit_code: int) -> None:
    with pytest.raises(kind, match=f"no .REP {code}.") as caught:
        rep.raise_refusal(Refusal(code, "no", {}))
    assert caught.value.exit_code == exit_code  # type: ignore[attr-defined]


@pytest.mark.parametrize("code", [2000, 2001, 2999])
def test_a_step_s_failure_is_no_exception(code: int) -> None:
    rep.raise_refusal(Refusal(code, "no", {}))
