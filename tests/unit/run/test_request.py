"""A fact key names one question: what is asked under it again must be the same, and what that means.

Every refusal is tried live, while the first answer is on its way, after a resume, and in a replay.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from flowbuild.core.action import Action
from flowbuild.core.canonical import Digest, canonical
from flowbuild.core.event import Domain, Event, RunStarted, StateEntered, to_doc
from flowbuild.engine.engine import Wait
from flowbuild.engine.transport import Refused, Replying
from flowbuild.run.child_request import SPAWN
from flowbuild.run.door import Door
from flowbuild.run.request import Asked
from flowbuild.run.secret import Secrets
from flowbuild.run.story import story
from flowbuild.store.cas import Cas

ONE = Action(Digest("0" * 64), {"step_kind": "python", "with": {}}, "//:one", "one.main.call", "")
TWO = Action(Digest("1" * 64), {"step_kind": "python", "with": {}}, "//:two", "two.main.call", "")
EXCUSED = dataclasses.replace(TWO, doc={**TWO.doc, "allows": ["secret-words"]})

BEGUN = (
    RunStarted("build", "d" * 64, "e" * 64),
    StateEntered("one.main.call", 0, "e" * 64),
    Domain("action_bound", {"action": "0" * 64, "label": "//:one", "state_id": "one.main.call"}),
)


def envelopes(*events: Event) -> Iterator[dict[str, Any]]:
    for number, event in enumerate(events, start=1):
        yield {"event": to_doc(event), "run_id": "r", "seq": number, "ts_millis": number}


class Outside:
    """Answers with the number of the question; those of `failing` fail."""

    def __init__(self, *failing: int) -> None:
        self.calls: list[Any] = []
        self._failing = failing

    def call(self, namespace: str, request: Any) -> Replying:
        self.calls.append(request)
        number = len(self.calls)
        yield Wait((), 0.0)
        if number in self._failing:
            raise Refused("http_timeout", "late", "OffChain", retryable=True)
        return {"number": number}


@pytest.fixture
def cas(tmp_path: Path) -> Cas:
    return Cas(tmp_path / "cas")


def steps(door: Door, request: Any, action: Action, namespace: str = "http", key: str = "receipt") -> Generator[Any]:
    return door.ask(action, {"op": "call", "namespace": namespace, "request": request, "fact_key": key})


def end(performance: Generator[Any]) -> tuple[Any, list[Domain]]:
    """The answer, and the events before it."""
    events: list[Domain] = []
    try:
        step = next(performance)
        while True:
            if isinstance(step, Domain):
                events.append(step)
            step = performance.send(() if isinstance(step, Wait) else None)
    except StopIteration as stop:
        return stop.value, events


def ask(door: Door, request: Any, action: Action, namespace: str = "http", key: str = "receipt") -> Any:
    return end(steps(door, request, action, namespace, key))[0]


def code(answer: Mapping[str, Any]) -> str:
    return str(answer["error"]["code"]) if "error" in answer else "served"


@pytest.mark.parametrize(
    ("namespace", "first", "second"),
    [
        ("http", {"url": "u", "body": "a"}, {"url": "u", "body": "b"}),
        ("http", {"url": "u"}, {"url": "u", "method": "POST"}),
        ("http", {"url": "u", "credential": "one"}, {"url": "u", "credential": "two"}),
        ("http", {"url": "u", "headers": {"Idempotency-Key": "1"}}, {"url": "u", "headers": {"Idempotency-Key": "2"}}),
        ("exec", {"program_path": "/p", "argv": ["a"]}, {"program_path": "/p", "argv": ["b"]}),
        ("exec", {"program_path": "/p", "stdin_json": {"n": 0.5}}, {"program_path": "/p", "stdin_json": {"n": 1.5}}),
        ("exec", {"program_path": "/p", "stdin_json": {"max_bytes": 1}}, {"program_path": "/p", "stdin_json": {"max_bytes": 2}}),
        ("file", {"path": "/a"}, {"path": "/b"}),
        ("env", {"name": "A"}, {"name": "B"}),
        ("random", {"size": 1}, {"size": 2}),
        ("clock", {}, None),
    ],
)  # fmt: skip
def test_another_request_under_a_bound_key_is_refused_and_not_sent(
    cas: Cas, namespace: str, first: Any, second: Any
) -> None:
    outside = Outside()
    door = Door(cas, outside)
    said, events = end(steps(door, first, ONE, namespace))
    answer = ask(door, second, TWO, namespace)
    assert code(answer) == "fact_request_conflict" and not answer["error"]["retryable"]
    assert "'receipt'" in answer["error"]["message"] and "//:one" in answer["error"]["message"]
    assert ask(door, first, TWO, namespace) == said and ask(door, first, ONE, namespace) == said
    assert outside.calls == [first]
    assert code(ask(door, second, TWO, namespace, key="another")) == "served"
    told = story(envelopes(*BEGUN, *events))
    for live in (outside, None):  # a run that goes on, and a replay
        again = Door(cas, live, told.facts, requests=told.requests)
        assert ask(again, second, TWO, namespace) == answer
        assert ask(again, first, ONE, namespace) == said
    assert len(outside.calls) == 2


def test_the_same_request_in_another_namespace_is_another(cas: Cas) -> None:
    door = Door(cas, Outside())
    ask(door, {}, ONE, "clock")
    assert code(ask(door, {}, TWO, "clock.other")) == "fact_request_conflict"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"url": "u", "timeout_ms": 1}, {"timeout_ms": 2, "max_bytes": 3, "redirects": 4, "url": "u"}),
        ({"env": {"API_KEY": "hunter2"}}, {"env": {"API_KEY": "hunter3"}}),
        ({"body": "one\npassword=hunter2"}, {"body": "one\npassword=hunter3"}),
        ({"argv": ["--token", "an-ordinary-value"]}, {"argv": ["--token", "another-of-its-kind"]}),
    ],
)
def test_limits_and_secret_values_are_no_part_of_a_question(cas: Cas, first: Any, second: Any) -> None:
    secrets = Secrets({"OLD": "an-ordinary-value", "NEW": "another-of-its-kind"})
    secrets.know(secrets.variables)
    outside = Outside()
    door = Door(cas, outside, secrets=secrets)
    assert ask(door, first, ONE) == ask(door, second, TWO) == ask(door, second, ONE)
    assert outside.calls == [first]


def test_credentials_count_by_name_whatever_that_looks_like(cas: Cas) -> None:
    door = Door(cas, Outside())
    ask(door, {"url": "u", "credential": "forge_api_key"}, ONE)
    assert code(ask(door, {"url": "u", "credential": "other_api_key"}, TWO)) == "fact_request_conflict"


def test_words_that_an_excused_target_says_are_no_secrets(cas: Cas) -> None:
    door = Door(cas, Outside())
    ask(door, {"body": "reset the password of a"}, EXCUSED)
    assert code(ask(door, {"body": "reset the password of b"}, EXCUSED)) == "fact_request_conflict"


def test_a_value_that_is_known_as_a_secret_later_changes_no_question(cas: Cas) -> None:
    secrets = Secrets({"TOKEN": "an-ordinary-value"})
    door = Door(cas, Outside(), secrets=secrets)
    said = ask(door, {"body": "an-ordinary-value"}, ONE)
    secrets.know(["TOKEN"])
    assert ask(door, {"body": "an-ordinary-value"}, ONE) == said
    assert code(ask(door, {"body": "another value"}, ONE)) == "fact_request_conflict"


def test_the_directory_of_a_run_is_no_part_of_a_question(cas: Cas, tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    os.symlink(tmp_path / "first", tmp_path / "link")
    door = Door(cas, Outside(), directory=tmp_path / "link")
    said, events = end(steps(door, {"argv": [f"{tmp_path}/link/stage/a/page"]}, ONE))
    assert ask(door, {"argv": [f"{tmp_path}/first/stage/a/page"]}, ONE) == said
    asked = {"receipt": Asked(events[0].payload["meta"]["request"], "//:one", "one.main.call")}
    replay = Door(cas, None, door.facts, requests=asked, directory=tmp_path / "second")
    assert ask(replay, {"argv": [f"{tmp_path}/second/stage/a/page"]}, ONE) == said
    assert code(ask(replay, {"argv": [f"{tmp_path}/first/stage/a/page"]}, ONE)) == "fact_request_conflict"


@pytest.mark.parametrize("live", [Outside(), None])
def test_a_fact_without_a_digest_is_for_any_request(cas: Cas, live: Outside | None) -> None:
    door = Door(cas, live, {"receipt": cas.put(canonical({"n": 1}))})
    for request in ({"url": "a"}, {"url": "b"}, {"n": 2**60}):  # the last has no canonical form
        assert ask(door, request, TWO)["response"] == {"n": 1}


def test_a_value_that_a_handler_records_is_for_any_request(cas: Cas) -> None:
    door = Door(cas, Outside())
    end(door.ask(ONE, {"op": "record_value", "fact_key": "receipt", "value": 1}))
    assert [ask(door, {"url": url}, TWO)["response"] for url in "ab"] == [1, 1]


@pytest.mark.parametrize("request_", [{"n": 2**60}, {"body": "\ud800"}])
def test_what_cannot_be_compared_is_not_sent(cas: Cas, request_: Any) -> None:
    outside = Outside()
    assert code(ask(Door(cas, outside), request_, ONE)) == "io_request_invalid"
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert code(ask(Door(cas, outside), deep, ONE)) == "io_request_invalid"
    assert outside.calls == []


def test_while_the_answer_is_on_its_way_the_key_is_taken(cas: Cas) -> None:
    outside = Outside()
    door = Door(cas, outside)
    first, same = steps(door, {"url": "a"}, ONE), steps(door, {"url": "a"}, TWO)
    next(first), next(same)
    assert code(ask(door, {"url": "b"}, TWO)) == "fact_request_conflict"
    assert outside.calls == [{"url": "a"}] * 2
    assert end(first)[0] == end(same)[0]
    assert code(ask(door, {"url": "b"}, TWO)) == "fact_request_conflict"


def test_a_request_that_failed_or_was_given_up_leaves_the_key_free(cas: Cas) -> None:
    door = Door(cas, Outside(1))
    assert code(ask(door, {"url": "a"}, ONE)) == "http_timeout"
    given_up = steps(door, {"url": "a"}, ONE)
    next(given_up)
    given_up.close()
    assert ask(door, {"url": "b"}, TWO)["response"] == {"number": 3}
    assert code(ask(door, {"url": "a"}, ONE)) == "fact_request_conflict"


def test_of_two_that_were_sent_all_the_same_the_second_is_not_given_the_answer_of_the_first(cas: Cas) -> None:
    door = Door(cas, Outside(1))
    first, same = steps(door, {"url": "a"}, ONE), steps(door, {"url": "a"}, TWO)
    next(first), next(same)
    assert code(end(first)[0]) == "http_timeout"  # it had claimed the key for both
    other = ask(door, {"url": "b"}, ONE)
    assert other["response"] == {"number": 3}
    assert code(end(same)[0]) == "fact_request_conflict"
    assert ask(door, {"url": "b"}, ONE) == other


def test_an_attempt_that_was_killed_may_have_asked_in_other_words(cas: Cas) -> None:
    outside = Outside()
    said, events = end(steps(Door(cas, outside), {"url": "a", "body": "1"}, ONE))
    told = story(envelopes(*BEGUN, *events))
    again = Door(cas, outside, told.facts, requests=told.requests)
    assert ask(again, {"url": "a", "body": "2"}, ONE) == said
    assert code(ask(again, {"url": "a", "body": "3"}, ONE)) == "fact_request_conflict"
    assert len(outside.calls) == 1


def test_a_later_attempt_may_ask_in_other_words_and_only_in_one_way(cas: Cas) -> None:
    outside = Outside()
    door = Door(cas, outside)
    door.begin(ONE)
    said, events = end(steps(door, {"body": "at one"}, ONE))
    for words in ("at two", "at three"):
        assert code(ask(door, {"body": words}, ONE)) == "fact_request_conflict"
        door.begin(ONE)
        assert ask(door, {"body": words}, ONE) == said == ask(door, {"body": words}, ONE)
        assert code(ask(door, {"body": "another"}, ONE)) == "fact_request_conflict"
        assert code(ask(door, {"body": words}, TWO)) == "fact_request_conflict"
        assert ask(door, {"body": "at one"}, TWO) == said  # the recorded question is anybody's
    told = story(envelopes(*BEGUN, *events))
    for live in (outside, None):  # a run that goes on, and a replay: the same rule
        again = Door(cas, live, told.facts, requests=told.requests)
        again.begin(ONE)
        assert ask(again, {"body": "at four"}, ONE) == said
        assert code(ask(again, {"body": "at one"}, ONE)) == "fact_request_conflict"
        assert code(ask(again, {"body": "at four"}, TWO)) == "fact_request_conflict"
    assert len(outside.calls) == 1


def test_another_state_of_the_same_target_has_no_part_in_an_attempt(cas: Cas) -> None:
    other = dataclasses.replace(ONE, state_id="one.main.other")
    _, events = end(steps(Door(cas, Outside()), {"body": "a"}, ONE))
    told = story(envelopes(*BEGUN, *events))
    assert (
        code(ask(Door(cas, None, told.facts, requests=told.requests), {"body": "b"}, other)) == "fact_request_conflict"
    )


def test_each_item_has_attempts_of_its_own(cas: Cas) -> None:
    door = Door(cas, Outside())
    ada, bob = (dataclasses.replace(ONE, item=item) for item in ("ada", "bob"))
    for one in (ada, bob):
        door.begin(one)
        ask(door, {"body": "first"}, one)
    door.begin(bob)
    assert code(ask(door, {"body": "second"}, bob)) == "served"
    assert code(ask(door, {"body": "second"}, ada)) == "fact_request_conflict"


class Nursery:
    """Answers for child runs with what was asked."""

    def serves(self, namespace: str) -> bool:
        return namespace == SPAWN

    def call(self, action: Action, namespace: str, request: Any, key: str, known: Any) -> Replying:
        yield Wait((), 0.0)
        return known or {"child_run_id": request["op_id"]}


PARENT = dataclasses.replace(ONE, doc={**ONE.doc, "spawns": {"//:b": "1", "//:c": "2"}})


def test_a_child_run_is_asked_for_exactly_in_every_attempt(cas: Cas) -> None:
    door = Door(cas, Outside(), children=Nursery())
    door.begin(PARENT)
    first = {"kind": "child_run_spawn_v1", "op_id": ":b", "input": {"n": 1}}
    said, events = end(steps(door, first, PARENT, SPAWN))
    assert "request" in events[0].payload["meta"]
    same = {"op_id": "//:b", "op_config": {"n": 1}, "initial_context": None}
    others = [{"op_id": ":c", "input": {"n": 1}}, {"op_id": ":b"}, {**first, "initial_context": {"n": 1}}]
    told = story(envelopes(*BEGUN, *events))
    doors = [door, Door(cas, Outside(), told.facts, requests=told.requests, children=Nursery())]
    for one in doors:
        for _ in range(2):
            assert ask(one, same, PARENT, SPAWN) == said
            assert [code(ask(one, other, PARENT, SPAWN)) for other in others] == ["fact_request_conflict"] * 3
            one.begin(PARENT)
        assert code(ask(one, {}, TWO, "clock")) == "fact_request_conflict"
    replay = Door(cas, None, told.facts, requests=told.requests)
    for _ in range(2):
        replay.begin(PARENT)
        assert [code(ask(replay, other, PARENT, SPAWN)) for other in others] == ["fact_request_conflict"] * 3
        assert ask(replay, same, PARENT, SPAWN) == said


def test_a_child_run_of_an_earlier_version_is_compared_by_itself(cas: Cas) -> None:
    """Its fact has no digest: whoever runs children says whether it is the one that is meant."""
    facts = {"receipt": cas.put(canonical({"child_run_id": "x"}))}
    for live in (Outside(), None):
        door = Door(cas, live, facts, children=Nursery())
        for target in (":b", ":c", ":b"):
            assert ask(door, {"op_id": target}, PARENT, SPAWN)["response"] == {"child_run_id": "x"}
