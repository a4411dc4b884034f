"""What a handler is given: its context, and the kinds of what goes wrong at the door. No process, no run.

Seed 001: 001-14, 001-15, 001-20.
"""

from __future__ import annotations

from typing import Any

import pytest

from flowbuild.engine.door import (
    MOST_BYTES,
    MOST_DEEP,
    Context,
    ContextFailed,
    HandlerFailed,
    Io,
    IoFailed,
    MissingFact,
    MissingFactKey,
    RateLimited,
)


def context() -> Context:
    return Context({"r": 1, "both": {"n": [1]}, "flag": True}, ["r", "both", "flag"], ["both", "w", "x"])


def refusal(call: Any) -> str:
    with pytest.raises(ContextFailed) as failed:
        call()
    assert failed.value.info["category"] == "Context"
    return str(failed.value.info["code"])


def test_a_read_falls_back_to_what_was_there() -> None:
    one = context()
    assert (one.read("r"), one.read("w"), one.read("w", "default")) == (1, None, "default")
    one.write("both", 2)
    one.write("w", 3)
    assert (one.read("both"), one.read("w", "default")) == (2, 3)
    assert one.dump() == {"r": 1, "flag": True, "both": 2, "w": 3}
    assert one.changes() == {"write": {"both": 2, "w": 3}, "delete": []}


def test_what_is_deleted_is_gone_until_it_is_written_again() -> None:
    one = context()
    for key in ("x", "w", "both"):
        one.write(key, 1)
        one.delete(key)
    assert (one.read("both"), one.read("both", "default"), one.read("w")) == (None, "default", None)
    assert one.dump() == {"r": 1, "flag": True}
    assert one.changes() == {"write": {}, "delete": ["both", "w", "x"]}
    one.write("both", 2)
    assert (one.read("both"), one.dump()) == (2, {"r": 1, "flag": True, "both": 2})
    assert one.changes() == {"write": {"both": 2}, "delete": ["w", "x"]}


def test_only_declared_keys_are_there() -> None:
    one = context()
    for call in (
        lambda: one.read("other"),
        lambda: one.read_typed("other", int),
        lambda: one.write("r", 2),
        lambda: one.delete("r"),
    ):
        assert refusal(call) == "context_key_undeclared"
    assert one.changes() == {"write": {}, "delete": []}


def test_a_value_is_a_copy() -> None:
    one = context()
    given: Any = {"n": [1]}
    one.write("w", given)
    given["n"].append(2)
    one.read("w")["n"].append(3)
    one.read("both")["n"].append(3)
    one.dump()["both"]["n"].append(3)
    assert one.read("w") == one.read("both") == {"n": [1]}


def test_a_typed_read_takes_nothing_else() -> None:
    one = context()
    assert (one.read_typed("r", int), one.read_typed("flag", bool)) == (1, True)
    assert refusal(lambda: one.read_typed("w", int)) == "context_key_missing"
    assert refusal(lambda: one.read_typed("r", str)) == "context_deserialize_failed"
    assert refusal(lambda: one.read_typed("flag", int)) == "context_deserialize_failed"


def nested(levels: int) -> Any:
    return 1 if levels == 0 else [nested(levels - 1)]


def test_a_value_is_small_json() -> None:
    one = context()
    for wrong in ({1}, b"x", float("nan"), float("inf"), nested(MOST_DEEP)):
        assert refusal(lambda wrong=wrong: one.write("w", wrong)) == "context_serialize_failed"  # type: ignore[misc]
    one.write("w", nested(MOST_DEEP - 1))
    half = "x" * (MOST_BYTES // 2)
    one.write("w", half)
    one.write("w", half)  # instead of the first one
    assert refusal(lambda: one.write("x", half)) == "context_serialize_failed"
    assert one.changes()["write"].keys() == {"w"}


KINDS = [
    ("missing_fact", MissingFact),
    ("missing_fact_key", MissingFactKey),
    ("rate_limited", RateLimited),
    ("http_timeout", IoFailed),
]


@pytest.mark.parametrize(("code", "kind"), KINDS)
def test_what_the_outside_refuses_is_raised_as_its_kind(code: str, kind: type[IoFailed]) -> None:
    info = {"code": code, "category": "Rpc", "retryable": True, "message": "no", "details": {"n": 1}}
    with pytest.raises(IoFailed) as failed:
        Io(lambda question: {"error": info}).call("http", {}, "k")
    assert (type(failed.value), failed.value.info, str(failed.value)) == (kind, info, "no")
    assert isinstance(failed.value, HandlerFailed)


def test_what_is_no_json_is_not_asked() -> None:
    with pytest.raises(IoFailed) as failed:
        Io(lambda question: pytest.fail("asked")).call("http", {"n": float("nan")})
    assert failed.value.info["code"] == "io_request_invalid"


def test_times_and_random_bytes_are_counted_together() -> None:
    asked: list[Any] = []

    def answer(question: dict[str, Any]) -> dict[str, Any]:
        asked.append((question["op"], question["ordinal"]))
        return {"value": 7, "base64": "AAE="}

    io = Io(answer)
    assert (io.now_millis(), io.random_bytes(2), io.now_millis()) == (7, b"\0\1", 7)
    assert asked == [("now_millis", 0), ("random_bytes", 1), ("now_millis", 2)]
