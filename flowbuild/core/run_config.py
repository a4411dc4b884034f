"""The configuration of a run: how it is performed, as one value, in the JSON form of seed 001.

Knows nothing of files, flags or policies: `load.run_settings` reads what people write. A manifest holds the document.

Shapes:  {"io_mode", "retry_policy": {"max_attempts", "backoff"}, "event_profile", "execution_mode",
         "context_checkpointing", "replay_missing_fact_retryable", "skip_tags", "nix_flake_allowlist"}. An enum without
         data is its name, with data {"Name": data}; a duration is {"secs", "nanos"}.
Errors:  `from_doc` refuses a document by BadConfig, whose message begins with `run_config_malformed` or
         `unsupported_execution_mode`.
Source:  seed 001 `config`; decisions 4 and 19.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, TypeGuard

from flowbuild.core.errors import BadAttribute, BadConfig
from flowbuild.core.event import NEEDED
from flowbuild.core.retry import MOST, ONCE, Retry
from flowbuild.core.suggest import did_you_mean

AFTER_EVERY_STATE = "after_every_state"
# What a document without the field means.
SEED_ALLOWLIST = ("github:willyrgf/mfm",)
# Events of these names are written under the profile `verbose` only, unless a custom one names them.
DETAILS = frozenset({"heartbeat", "state_timed"})
_CUSTOM = "custom:"


class IoMode(StrEnum):
    """Whether anything outside is asked, or only what was recorded."""

    LIVE = "Live"
    REPLAY = "Replay"


class EventProfile(NamedTuple):
    """Which domain events a journal holds. `custom` has the names that a custom profile adds to the needed ones."""

    name: str = "Normal"
    custom: str | None = None

    def keeps(self, event: str) -> bool:
        """Whether a domain event of this name is written. What folds need always is."""
        if event in NEEDED or self.name == "Verbose":
            return True
        if self.custom is not None:
            return event in self.custom.split(",")
        return self.name == "Normal" and event not in DETAILS

    def doc(self) -> Any:
        return self.name if self.custom is None else {"Custom": self.custom}


PROFILES = {name.lower(): EventProfile(name) for name in ("Minimal", "Normal", "Verbose")}


def read_profile(text: str) -> EventProfile:
    """The profile that somebody names: `minimal`, `normal`, `verbose`, or `custom:name,name`."""
    names = text.removeprefix(_CUSTOM).split(",") if text.startswith(_CUSTOM) else []
    if names and all(name.strip() == name and name for name in names):
        return EventProfile("Custom", ",".join(names))
    if text not in PROFILES:
        remedy = did_you_mean(text, PROFILES) or f"one of {', '.join(PROFILES)}, or custom:name,name"
        raise BadAttribute(f"{text!r} is no event profile", remedy=remedy)
    return PROFILES[text]


@dataclass(frozen=True, slots=True)
class RunConfig:
    """See the module. `max_concurrency` is None where one state runs at a time."""

    io_mode: IoMode = IoMode.LIVE
    retry: Retry = ONCE
    event_profile: EventProfile = PROFILES["normal"]
    max_concurrency: int | None = None
    replay_missing_fact_retryable: bool = False
    skip_tags: tuple[str, ...] = ()
    nix_flake_allowlist: tuple[str, ...] = ()

    @property
    def jobs(self) -> int:
        """How many states run at a time."""
        return self.max_concurrency or 1

    def doc(self) -> dict[str, Any]:
        """The seed's form."""
        fan_out = {"FanOutJoin": {"max_concurrency": self.max_concurrency}}
        return {
            "io_mode": str(self.io_mode),
            "retry_policy": {"max_attempts": self.retry.attempts, "backoff": _backoff(self.retry)},
            "event_profile": self.event_profile.doc(),
            "execution_mode": "Sequential" if self.max_concurrency is None else fan_out,
            "context_checkpointing": "AfterEveryState",
            "replay_missing_fact_retryable": self.replay_missing_fact_retryable,
            "skip_tags": list(self.skip_tags),
            "nix_flake_allowlist": list(self.nix_flake_allowlist),
        }


def from_doc(doc: Any) -> RunConfig:
    """The configuration that a document says."""
    if not isinstance(doc, Mapping):
        raise _malformed("it is no object")
    unknown = sorted(doc.keys() - RunConfig().doc().keys())
    missing = sorted(RunConfig().doc().keys() - doc.keys() - {"nix_flake_allowlist"})
    if unknown or missing:
        raise _malformed(f"it has no {missing[0]}" if missing else f"it has {unknown[0]!r}")
    mode = _mode(doc["execution_mode"])
    if doc["context_checkpointing"] != "AfterEveryState":
        raise _malformed(f"context_checkpointing {doc['context_checkpointing']!r} is not AfterEveryState")
    if type(doc["replay_missing_fact_retryable"]) is not bool:
        raise _malformed("replay_missing_fact_retryable is no boolean")
    try:
        io_mode = IoMode(doc["io_mode"])
    except ValueError:
        raise _malformed(f"io_mode {doc['io_mode']!r} is neither Live nor Replay") from None
    return RunConfig(
        io_mode,
        _retry(doc["retry_policy"]),
        _profile(doc["event_profile"]),
        mode,
        doc["replay_missing_fact_retryable"],
        _texts(doc, "skip_tags"),
        _texts({"nix_flake_allowlist": list(SEED_ALLOWLIST), **doc}, "nix_flake_allowlist"),
    )


def _backoff(retry: Retry) -> dict[str, Any]:
    if retry.max_delay_ms is None:
        return {"Fixed": {"delay": _duration(retry.delay_ms)}}
    return {"Exponential": {"base_delay": _duration(retry.delay_ms), "max_delay": _duration(retry.max_delay_ms)}}


def _duration(milliseconds: int) -> dict[str, int]:
    return {"secs": milliseconds // 1000, "nanos": milliseconds % 1000 * 1_000_000}


def _retry(doc: Any) -> Retry:
    match doc:
        case {"max_attempts": most, "backoff": {"Fixed": {"delay": delay}}} if _is_whole(most, MOST):
            return Retry(max(1, most), _milliseconds(delay))
        case {
            "max_attempts": most,
            "backoff": {"Exponential": {"base_delay": base, "max_delay": longest}},
        } if _is_whole(most, MOST):
            return Retry(max(1, most), _milliseconds(base), _milliseconds(longest))
    raise _malformed("retry_policy is not {max_attempts, backoff: Fixed or Exponential}")


def _is_whole(value: Any, most: int) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= most


def _milliseconds(doc: Any) -> int:
    match doc:
        case {"secs": seconds, "nanos": nanos} if _is_whole(seconds, MOST) and _is_whole(nanos, 999_999_999):
            return seconds * 1000 + nanos // 1_000_000
    raise _malformed("a duration is {secs, nanos}")


def _profile(doc: Any) -> EventProfile:
    match doc:
        case {"Custom": str(names)}:
            return EventProfile("Custom", names)
        case "Minimal" | "Normal" | "Verbose":
            return EventProfile(doc)
    raise _malformed(f"event_profile {doc!r} is not known")


def _mode(doc: Any) -> int | None:
    match doc:
        case "Sequential":
            return None
        case {"FanOutJoin": {"max_concurrency": most}} if _is_whole(most, MOST) and most >= 1 and len(doc) == 1:
            return most
    raise BadConfig(f"unsupported_execution_mode: {doc!r} is neither Sequential nor FanOutJoin with room for one state")


def _texts(doc: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = doc[name]
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise _malformed(f"{name} is no list of texts")
    return tuple(found)


def _malformed(what: str) -> BadConfig:
    return BadConfig(f"run_config_malformed: {what}", remedy="it was written by another version, or edited")
