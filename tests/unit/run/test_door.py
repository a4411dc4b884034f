"""The door outside: facts bound, given again, replayed; and what is refused.

Seed 001: 001-16, 001-18, 001-19, 001-20, 001-21, 001-26.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowbuild.core.action import Action
from flowbuild.core.canonical import Digest, canonical, sha256
from flowbuild.core.errors import StoreCorrupt
from flowbuild.core.event import Domain, Event
from flowbuild.engine.engine import Wait
from flowbuild.engine.transport import Refused, Replying
from flowbuild.run.door import Door
from flowbuild.run.question import MOST_RANDOM
from flowbuild.run.secret import Secrets
from flowbuild.store.cas import Cas

ACTION = Action(Digest("0" * 64), {"step_kind": "python", "with": {}}, "//:a", "a.main.call", "")
OTHER = Action(Digest("1" * 64), {"step_kind": "python", "with": {}}, "//:b", "b.main.call", "")


class Outside:
    """Transports that count."""

    def __init__(self, *replies: Any) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.replies: Iterator[Any] = iter(replies)

    def call(self, namespace: str, request: Any) -> Replying:
        self.calls.append((namespace, request))
        yield Wait((), 0.0)
        reply = next(self.replies)
        if isinstance(reply, Exception):
            raise reply
        return reply


@pytest.fixture
def cas(tmp_path: Path) -> Cas:
    return Cas(tmp_path / "cas")


def ask(door: Door, question: dict[str, Any], action: Action = ACTION) -> tuple[Any, list[Event]]:
    """The answer, and the events before it. Each event must be followed by a wait: that is when it is written."""
    events: list[Event] = []
    steps = door.ask(action, question)
    last: Any = None
    try:
        while True:
            step = steps.send(None if not isinstance(last, Wait) else ())
            if not isinstance(step, Wait):
                events.append(step)
            last = step
    except StopIteration as end:
        if any(isinstance(event, Domain) and event.name == "fact_recorded" for event in events):
            assert isinstance(last, Wait)
        return end.value, events


def call(key: str | None, request: Any = None, namespace: str = "http") -> dict[str, Any]:
    return {"op": "call", "namespace": namespace, "request": request, "fact_key": key}


def test_a_call_happens_once_and_its_fact_is_there_before_the_reply(cas: Cas) -> None:
    outside = Outside({"b": 1, "a": [True, None]})
    door = Door(cas, outside)
    answer, events = ask(door, call("page", {"url": "u"}))
    payload_id = sha256(b'{"a":[true,null],"b":1}')
    assert answer == {"response": {"b": 1, "a": [True, None]}, "payload_id": payload_id}
    request = sha256(b'{"namespace":"http","request":{"url":"u"}}')
    meta = {"namespace": "http", "request": request, "state_id": "a.main.call"}
    assert events == [Domain("fact_recorded", {"key": "page", "payload_id": payload_id, "meta": meta})]
    assert ask(door, call("page", {"url": "u"}), OTHER) == (answer, [])
    assert outside.calls == [("http", {"url": "u"})]
    assert json.loads(cas.read(payload_id)) == {"b": 1, "a": [True, None]}
    assert door.asked == {"a.main.call", "b.main.call"}


def test_a_call_without_a_key_is_not_recorded(cas: Cas) -> None:
    outside = Outside(1, 2)
    door = Door(cas, outside)
    assert [ask(door, call(None)), ask(door, call(None))] == [
        ({"response": 1, "payload_id": None}, []),
        ({"response": 2, "payload_id": None}, []),
    ]
    assert door.facts == {}


def test_what_failed_binds_nothing(cas: Cas) -> None:
    door = Door(cas, Outside(Refused("http_timeout", "late", "OffChain", retryable=True), 7))
    answer, events = ask(door, call("k"))
    info = {"code": "http_timeout", "category": "OffChain", "retryable": True, "message": "late", "details": None}
    assert (answer, events) == ({"error": info}, [])
    assert ask(door, call("k"))[0]["response"] == 7


def code(answer: dict[str, Any]) -> str:
    return str(answer["error"]["code"])


def test_a_replay_gives_facts_and_nothing_else(cas: Cas) -> None:
    live = Door(cas, Outside({"x": 1}))
    ask(live, call("k"))
    now, _ = ask(live, {"op": "now_millis", "ordinal": 0})
    drawn, _ = ask(live, {"op": "random_bytes", "ordinal": 1, "size": 5})
    replay = Door(cas, None, live.facts)
    assert ask(replay, call("k"))[0]["response"] == {"x": 1}
    assert ask(replay, {"op": "now_millis", "ordinal": 0}) == (now, [])
    assert ask(replay, {"op": "random_bytes", "ordinal": 1, "size": 5}) == (drawn, [])
    assert ask(replay, {"op": "record_value", "fact_key": "k", "value": "ignored"})[0] == {
        "payload_id": live.facts["k"]
    }
    assert code(ask(replay, call("other"))[0]) == "missing_fact"
    keyless = ask(replay, call(None))[0]["error"]
    assert (keyless["code"], keyless["category"], keyless["retryable"]) == ("missing_fact_key", "ParsingInput", False)
    assert code(ask(replay, {"op": "now_millis", "ordinal": 1})[0]) == "missing_fact"
    assert code(ask(replay, {"op": "random_bytes", "ordinal": 1, "size": 6})[0]) == "fact_payload_invalid"
    assert code(ask(replay, {"op": "record_value", "fact_key": "new", "value": 1})[0]) == "missing_fact"


@pytest.mark.parametrize("is_retryable", [True, False])
def test_a_missing_fact_may_be_retryable(cas: Cas, is_retryable: bool) -> None:
    info = ask(Door(cas, None, missing_is_retryable=is_retryable), call("k"))[0]["error"]
    assert (info["retryable"], info["category"], info["details"]) == (is_retryable, "Rpc", {"key": "k"})


def test_a_value_is_recorded_once(cas: Cas) -> None:
    door = Door(cas, Outside())
    record = {"op": "record_value", "fact_key": "k", "value": {"n": 1}}
    answer, events = ask(door, record)
    assert answer == {"payload_id": sha256(canonical({"n": 1}))} and len(events) == 1
    assert ask(door, record) == (answer, [])
    assert code(ask(door, {**record, "value": {"n": 2}})[0]) == "fact_payload_conflict"
    assert ask(door, {"op": "get_recorded_fact", "fact_key": "k"})[0] == answer
    assert ask(door, {"op": "get_recorded_fact", "fact_key": "z"})[0] == {"payload_id": None}


def test_of_two_calls_at_once_the_first_reply_wins(cas: Cas) -> None:
    door = Door(cas, Outside("first", "second"))
    early, late = door.ask(ACTION, call("k")), door.ask(OTHER, call("k"))
    assert isinstance(next(early), Wait) and isinstance(next(late), Wait)
    answers = []
    for steps in (early, late):
        try:
            while True:
                steps.send(())
        except StopIteration as end:
            answers.append(end.value)
    assert answers[0] == answers[1] == {"response": "first", "payload_id": sha256(b'"first"')}


def test_time_and_randomness_are_bound_to_state_and_ordinal(cas: Cas) -> None:
    times = iter([5, 6, 7])
    door = Door(cas, Outside(), clock=lambda: next(times))
    now = [
        ask(door, {"op": "now_millis", "ordinal": n}, a)[0]
        for a, n in ((ACTION, 0), (ACTION, 1), (OTHER, 0), (ACTION, 0))
    ]
    assert now == [{"value": 5}, {"value": 6}, {"value": 7}, {"value": 5}]
    drawn = ask(door, {"op": "random_bytes", "ordinal": 2, "size": 8})[0]["base64"]
    assert len(base64.b64decode(drawn)) == 8 and drawn != base64.b64encode(bytes(8)).decode()
    assert ask(door, {"op": "random_bytes", "ordinal": 3, "size": 8})[0]["base64"] != drawn
    assert sorted(door.facts)[0] == "flowbuild:now_millis|state:a.main.call|ord:0"


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (call("my password"), "secrets_detected"),
        (call(""), "io_request_invalid"),
        (call("flowbuild:now_millis|x"), "io_request_invalid"),
        (call("k" * 513), "io_request_invalid"),
        (call(None, namespace=""), "io_request_invalid"),
        (call("\ud800"), "io_request_invalid"),
        (call(["k"]), "io_request_invalid"),
        ({"op": "get_recorded_fact", "fact_key": ["k"]}, "io_request_invalid"),
        ({"op": "read_secret", "fact_key": {}}, "io_request_invalid"),
        ({"op": "record_value", "fact_key": "k"}, "io_request_invalid"),
        ({"op": "record_value", "fact_key": "k", "value": "\ud800"}, "io_request_invalid"),
        ({"op": "now_millis", "ordinal": "0"}, "io_request_invalid"),
        ({"op": "now_millis", "ordinal": True}, "io_request_invalid"),
        ({"op": "emit", "events": [["seen", 1]]}, "io_request_invalid"),
        ({"op": "emit", "events": {}}, "io_request_invalid"),
        ({"op": "open"}, "io_request_invalid"),
        ({"op": []}, "io_request_invalid"),
        ({}, "io_request_invalid"),
        ("call", "io_request_invalid"),
        ({"op": "heartbeat"}, "io_request_invalid"),
        ({"op": "record_value", "fact_key": "k", "value": {"a": 1.0}}, "artifact_float_not_allowed"),
        ({"op": "record_value", "fact_key": "k", "value": {"api_key": "x"}}, "secrets_detected"),
        ({"op": "record_value", "fact_key": "k", "value": 2**60}, "io_request_invalid"),
        ({"op": "random_bytes", "ordinal": 0, "size": -1}, "io_request_invalid"),
        ({"op": "random_bytes", "ordinal": 0, "size": MOST_RANDOM + 1}, "io_request_invalid"),
        ({"op": "emit", "events": [{"name": "fact_recorded", "payload": {}}]}, "event_invalid"),
        ({"op": "emit", "events": [{"name": "skipped", "payload": {}}]}, "event_invalid"),
        ({"op": "emit", "events": [{"name": "heartbeat", "payload": {}}]}, "event_invalid"),
        ({"op": "emit", "events": [{"name": "seen", "payload": {"access_token": "x"}}]}, "secrets_detected"),
        ({"op": "emit", "events": [{"name": "mnemonic", "payload": 1}]}, "secrets_detected"),
    ],
)
def test_what_is_refused_leaves_nothing(cas: Cas, question: Any, said: str) -> None:
    door = Door(cas, Outside(1))
    answer, events = ask(door, question)
    assert code(answer) == said
    assert (events, door.facts) == ([], {})


@pytest.mark.parametrize("flushes", [True, False])
def test_a_payload_is_on_the_disk_before_its_binding_is_told(
    cas: Cas, monkeypatch: pytest.MonkeyPatch, flushes: bool
) -> None:
    steps: list[Any] = []
    monkeypatch.setattr(Cas, "flush_object", lambda self, digest: steps.append((digest, self.intact(digest))))
    steps += ask(Door(cas, Outside(7), flushes=flushes), call("k"))[1]
    told = [step.name if isinstance(step, Domain) else step for step in steps]
    assert told == [(sha256(b"7"), True), "fact_recorded"][not flushes :]


@pytest.mark.parametrize("name", ["seen", "op_boundary"])
def test_events_are_all_there_or_none(cas: Cas, name: str) -> None:
    door = Door(cas, None)
    good = {"name": name, "payload": {"n": 1}}
    assert ask(door, {"op": "emit", "events": [good, {"name": "", "payload": 1}]})[1] == []
    answer, events = ask(door, {"op": "emit", "events": [good, good]})
    assert answer == {} and events == [Domain(name, {"state_id": "a.main.call", "value": {"n": 1}})] * 2
    assert door.asked == set()


def test_a_secret_that_is_known_is_no_fact_no_key_and_no_event(cas: Cas) -> None:
    secrets = Secrets({"TOKEN": "an-ordinary-value"})
    secrets.know(["TOKEN"])
    door = Door(cas, Outside({"echo": "is an-ordinary-value"}), secrets=secrets)
    excused = dataclasses.replace(ACTION, doc={**ACTION.doc, "allows": ["secret-words"]})
    for question in (
        call("page"),
        call("an-ordinary-value"),
        {"op": "record_value", "fact_key": "k", "value": ["YW4tb3JkaW5hcnktdmFsdWU="]},
        {"op": "emit", "events": [{"name": "seen", "payload": "an-ordinary-value"}]},
        {"op": "emit", "events": [{"name": "an-ordinary-value", "payload": 1}]},
    ):
        assert code(ask(door, question, excused)[0]) == "secrets_detected"
    assert door.facts == {}
    assert "error" not in ask(door, {"op": "record_value", "fact_key": "k", "value": "password"}, excused)[0]


def test_a_secret_is_kept_as_ciphertext_and_bound_once(cas: Cas) -> None:
    secrets = Secrets({"BOX": base64.b64encode(b"k" * 32).decode()}, run_id="r", key_name="BOX")
    door = Door(cas, Outside(), secrets=secrets)
    record = {"op": "record_secret", "fact_key": "s", "value": {"cookie": "a-cookie-of-ours"}}
    answer, events = ask(door, record)
    assert [event.payload["meta"]["kind"] for event in events if isinstance(event, Domain)] == ["secret_payload"]
    assert b"cookie" not in cas.read(door.facts["s"]) and secrets.mask.finds(b"a-cookie-of-ours")
    assert ask(door, record) == (answer, [])
    assert code(ask(door, {**record, "value": "another"})[0]) == "fact_payload_conflict"
    assert code(ask(door, {**record, "value": 0.5})[0]) == "artifact_float_not_allowed"
    read = {"op": "read_secret", "fact_key": "s"}
    assert ask(door, read, OTHER)[0] == {"value": {"cookie": "a-cookie-of-ours"}}
    replay = Door(cas, None, door.facts, secrets=Secrets(secrets.variables, run_id="r"))
    assert (ask(replay, record)[0], ask(replay, read)[0]) == (answer, {"value": {"cookie": "a-cookie-of-ours"}})
    assert code(ask(replay, {**record, "fact_key": "t"})[0]) == "missing_fact"
    assert code(ask(replay, {**read, "fact_key": "t"})[0]) == "missing_fact"


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"no json", "artifact_json_decode_failed"),
        (b'{"a": 1}', "artifact_not_canonical"),
        (b"[1.5]", "artifact_float_not_allowed"),
    ],
)
def test_a_fact_that_is_no_structured_artifact_is_damage(cas: Cas, payload: bytes, code: str) -> None:
    door = Door(cas, None, {"page": cas.put(payload)})
    with pytest.raises(StoreCorrupt, match=f"^{code}: "):
        ask(door, {"op": "call", "namespace": "http", "request": {}, "fact_key": "page"})


def test_a_time_that_is_none_is_no_time(cas: Cas) -> None:
    door = Door(cas, None, {"flowbuild:now_millis|state:a.main.call|ord:0": cas.put(b'"noon"')})
    assert code(ask(door, {"op": "now_millis", "ordinal": 0})[0]) == "fact_payload_invalid"


def test_a_fact_whose_bytes_are_others_is_damage(cas: Cas) -> None:
    digest = cas.put(b"7")
    path = cas.path(digest)
    path.chmod(0o644)
    path.write_bytes(b"8")
    with pytest.raises(StoreCorrupt, match=f"object {digest} was damaged"):
        ask(Door(cas, None, {"page": digest}), {"op": "call", "namespace": "http", "request": {}, "fact_key": "page"})
