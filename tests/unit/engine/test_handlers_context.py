"""A handler's context: what it reads, writes and deletes. No process, no run.

Seed 001: 001-15.
"""

from __future__ import annotations

from typing import Any

import pytest

from flowbuild.engine.door import MOST_BYTES, MOST_DEEP, Context, ContextFailed


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
