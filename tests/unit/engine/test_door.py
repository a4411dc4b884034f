"""What a handler is given: each call is one question, and an answer that is an error is raised as what it says.

Seed 001: 001-18, 001-19, 001-20, 001-21.
"""

from __future__ import annotations

from typing import Any

import pytest

from flowbuild.io import Emit, Io, IoFailed, IoResult, MissingFact, MissingFactKey, RateLimited


class Asked:
    """Answers every question alike, and keeps them."""

    def __init__(self, **answer: Any) -> None:
        self.answer = answer
        self.questions: list[dict[str, Any]] = []

    def __call__(self, question: dict[str, Any]) -> dict[str, Any]:
        self.questions.append(question)
        return self.answer


def test_a_call_is_its_reply_and_the_id_of_its_fact() -> None:
    asked = Asked(response=[1], payload_id="d" * 64)
    assert Io(asked).call("http", {"url": "u"}, "k") == IoResult([1], "d" * 64)
    assert asked.questions == [{"op": "call", "namespace": "http", "request": {"url": "u"}, "fact_key": "k"}]


@pytest.mark.parametrize("payload_id", [None, "d" * 64])
def test_a_fact_that_is_not_there_is_none(payload_id: str | None) -> None:
    assert Io(Asked(payload_id=payload_id)).get_recorded_fact("k") == payload_id


def test_time_and_randomness_are_counted_together_from_0() -> None:
    asked = Asked(value=7, base64="YQ==")
    io = Io(asked)
    assert [io.now_millis(), io.random_bytes(1), io.now_millis()] == [7, b"a", 7]
    assert [(one["op"], one["ordinal"]) for one in asked.questions] == [
        ("now_millis", 0),
        ("random_bytes", 1),
        ("now_millis", 2),
    ]


def test_several_events_are_one_question() -> None:
    asked = Asked()
    Emit(asked).many([("a", 1), ("b", None)])
    rows = [{"name": "a", "payload": 1}, {"name": "b", "payload": None}]
    assert asked.questions == [{"op": "emit", "events": rows}]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("missing_fact", MissingFact),
        ("missing_fact_key", MissingFactKey),
        ("rate_limited", RateLimited),
        ("http_timeout", IoFailed),
    ],
)
@pytest.mark.parametrize("is_retryable", [True, False])
def test_an_error_keeps_what_it_says(code: str, kind: type[IoFailed], is_retryable: bool) -> None:
    info = {"code": code, "category": "Rpc", "retryable": is_retryable, "message": "late", "details": {"n": 1}}
    with pytest.raises(IoFailed, match="^late$") as caught:
        Io(Asked(error=info)).call("http", {}, "k")
    assert (type(caught.value), caught.value.info) == (kind, info)


@pytest.mark.parametrize("request_", [float("nan"), {1, 2}, object()])
def test_what_is_no_json_is_not_asked(request_: object) -> None:
    asked = Asked()
    with pytest.raises(IoFailed) as caught:
        Io(asked).call("http", request_)
    assert (caught.value.info["code"], asked.questions) == ("io_request_invalid", [])
