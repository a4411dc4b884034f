"""How runs are performed, as people write it: the section `run` of flowbuild.yaml, and `config` of a `run` target.

Knows nothing of flags and policies. Both places say the same names; what is not said there is not among the fields, so
that the nearer place adds to the farther one.

Shapes:  the fields of `core.run_config:RunConfig` that are said, and `max_concurrency` for `jobs`.
Errors:  as Findings: BadAttribute, UnknownName, each with the place of its value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flowbuild.core.errors import FlowError, UserError
from flowbuild.core.retry import read_retry
from flowbuild.core.run_config import AFTER_EVERY_STATE, read_profile
from flowbuild.load.attributes import Attribute, Checker
from flowbuild.load.position import Pointer

_WORD = Attribute("item", "string")

RUN: Mapping[str, Attribute] = {
    "jobs": Attribute("jobs", "integer", "how many states run at a time; 1 is sequential"),
    "retry": Attribute("retry", "map", "{attempts, delay_ms, max_delay_ms} for states that declare none"),
    "event_profile": Attribute("event_profile", "string", "minimal, normal, verbose or custom:name,name"),
    "skip_tags": Attribute("skip_tags", "list", "states with one of these tags are not performed", items=_WORD),
    "replay_missing_fact_retryable": Attribute(
        "replay_missing_fact_retryable", "boolean", "whether a replayed run may try again what lacks a fact"
    ),
    "context_checkpointing": Attribute("context_checkpointing", "string", f"{AFTER_EVERY_STATE}; there is no other"),
    "nix_flake_allowlist": Attribute(
        "nix_flake_allowlist", "list", "prefixes of flakes, kept in the manifest", items=_WORD
    ),
}


def read_settings(to: Checker, value: Any, pointer: Pointer, owner: str) -> dict[str, Any]:
    """The fields that a mapping says. What is wrong is told to the checker."""
    count = len(to.findings)
    given = {name: one for name, one in to.fields(RUN, value, pointer, owner).items() if one is not None}
    if len(to.findings) > count:
        return {}
    found: dict[str, Any] = {}
    for name, one in given.items():
        try:
            found |= _field(to, name, one, (*pointer, name))
        except FlowError as error:
            kind = type(error) if isinstance(error, UserError) else UserError
            to.fault((*pointer, name), error.message, error.remedy, kind)
    return found


def _field(to: Checker, name: str, value: Any, at: Pointer) -> dict[str, Any]:
    if name == "jobs":
        if value < 1:
            to.fault(at, "`jobs` is a number above zero")
        return {"max_concurrency": value if value > 1 else None}
    if name == "retry":
        return {"retry": read_retry(value)}
    if name == "event_profile":
        return {"event_profile": read_profile(value)}
    if name == "context_checkpointing":
        if value != AFTER_EVERY_STATE:
            problem = f"`context_checkpointing` is {AFTER_EVERY_STATE}, and {value!r} is not implemented"
            to.fault(at, problem, f"write {AFTER_EVERY_STATE}, or nothing")
        return {}
    return {name: tuple(value) if isinstance(value, list) else value}
