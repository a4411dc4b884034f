"""What a handler asks at its door: the shape of each question, and the fact keys that stand for the handler's own.

Knows nothing of answers. A handler may write into its worker's pipe what it likes, so a question is checked here before
anybody looks into it.

Shapes:  a question is {"op": "call", "namespace", "request", "fact_key"}, {"op": "record_value", "fact_key", "value"},
         {"op": "record_secret", "fact_key", "value"} and {"op": "read_secret", "fact_key"}: see `run.vault`,
         {"op": "get_recorded_fact", "fact_key"}, {"op": "now_millis", "ordinal"}, {"op": "random_bytes", "ordinal",
         "size"}, {"op": "emit", "events": [{"name", "payload"}]} or {"op": "heartbeat", "note"}. An answer holds what
         was asked, or `error`.
Errors:  as answers: io_request_invalid.
Source:  seed 001, facts; decision 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flowbuild.core.action import Action
from flowbuild.core.event import NEEDED
from flowbuild.engine.transport import Refused

MOST_RANDOM = 1 << 20
LONGEST_KEY = 512
# Names that only we write: a fold believes them.
RESERVED_EVENTS = NEEDED | {
    *("attempt_failed", "executor_event", "heartbeat", "output_captured", "state_timed", "step_failed"),
}

# What each question holds.
FIELDS: Mapping[str, tuple[str, ...]] = {
    "call": ("namespace", "request", "fact_key"),
    "record_value": ("fact_key", "value"),
    "record_secret": ("fact_key", "value"),
    "read_secret": ("fact_key",),
    "get_recorded_fact": ("fact_key",),
    "now_millis": ("ordinal",),
    "random_bytes": ("ordinal", "size"),
    "emit": ("events",),
    "heartbeat": ("note",),
}


def check(question: Any) -> None:
    """Refuse what is no question."""
    op = question.get("op") if isinstance(question, Mapping) else None
    needed = FIELDS.get(op) if isinstance(op, str) else None
    if needed is None or any(name not in question for name in needed):
        raise Refused("io_request_invalid", "that is no question of `io`, `emit` or `context`")
    if "ordinal" in needed and (type(question["ordinal"]) is not int or question["ordinal"] < 0):
        raise Refused("io_request_invalid", "an ordinal is a whole number")
    rows = question["events"] if op == "emit" else []
    if not isinstance(rows, list) or not all(
        isinstance(row, Mapping) and {"name", "payload"} <= {*row} for row in rows
    ):
        raise Refused("io_request_invalid", "events are a list of names and payloads")


def derived(kind: str, action: Action, ordinal: int) -> str:
    """The key of a time or a random draw: by state and ordinal, so that another run of the same states finds it."""
    return f"flowbuild:{kind}|state:{action.own_id}|ord:{ordinal}"


def of_item(action: Action, key: str) -> str:
    """A fact key in a child: the item's own, since one handler asks in the name of them all."""
    return f"{key}|item:{action.item}" if key else key
