"""The door outside: answers what handlers ask, records each answer as a fact, and gives recorded ones again.

Knows nothing of processes or of time's passing. A fact belongs to its run: the first binding of a key wins, and is on
the disk before anybody sees the reply. With `live=None` nothing outside is ever asked: what isn't recorded is missing.

Shapes:  a question and its answer, see `run.question`.
         A fact is the event `fact_recorded` {"key", "payload_id", "meta"} and an artifact, canonical JSON or raw bytes.
Errors:  as answers: missing_fact_key, missing_fact, fact_payload_conflict, fact_payload_invalid, fact_request_conflict,
         secrets_detected, artifact_float_not_allowed, io_request_invalid; those of transports.
Source:  seed 001, facts and replay rules; decision 5; ADR 0019.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, Protocol

from flowbuild.core.action import Action
from flowbuild.core.canonical import Digest, canonical, sha256
from flowbuild.core.errors import BadAttribute
from flowbuild.core.event import Domain, Event
from flowbuild.core.secrets import find_secret, looks_secret
from flowbuild.core.structured import has_float, structured
from flowbuild.core.text import is_unicode
from flowbuild.engine.engine import Answering, Ready, Wait
from flowbuild.engine.transport import Refused, Replying
from flowbuild.load.secret import excuses
from flowbuild.run import vault
from flowbuild.run.question import LONGEST_KEY, MOST_RANDOM, RESERVED_EVENTS, check, derived, of_item
from flowbuild.run.request import Asked, Requests
from flowbuild.run.secret import Secrets
from flowbuild.store.cas import Cas
from flowbuild.store.journal import now_millis


class Transports(Protocol):
    """What answers when no fact does."""

    def call(self, namespace: str, request: Any) -> Generator[Event | Wait, Ready, Any]:
        """The reply of the transport that serves a namespace; raises `transport.Refused`."""


class Kin(Protocol):
    """What answers for child runs: see `run.child_runs`."""

    def serves(self, namespace: str) -> bool: ...

    def call(
        self, action: Action, namespace: str, request: Any, key: str, known: Any
    ) -> Generator[Event | Wait, Ready, Any]: ...


class Door:
    """The door of one run. `facts` are those bound before, as when a run goes on, and `requests` what they answer.

    `on_first` hears of each new one. `directory` is where the run works.
    """

    def __init__(
        self,
        cas: Cas,
        live: Transports | None,
        facts: Mapping[str, Digest] | None = None,
        *,
        flushes: bool = True,
        on_first: Callable[[], None] = lambda: None,
        missing_is_retryable: bool = False,
        clock: Callable[[], int] = now_millis,
        secrets: Secrets | None = None,
        children: Kin | None = None,
        requests: Mapping[str, Asked] | None = None,
        directory: Path | None = None,
    ) -> None:
        self.secrets = secrets or Secrets({})
        self._requests = Requests(self.secrets.mask, directory, requests)
        self._children = children
        self._cas = cas
        self._live = live
        self._flushes = flushes
        self._on_first = on_first
        self._missing_is_retryable = missing_is_retryable
        self._clock = clock
        self.facts: dict[str, Digest] = dict(facts or {})
        self._written = set(self.facts)
        self.asked: set[str] = set()
        """The ids of states that looked at the outside, and the own ids of children that did."""
        self._table: Mapping[str, Callable[[Action, Mapping[str, Any]], Answering]] = {
            "call": self._call,
            "record_value": self._record_value,
            "record_secret": self._record_secret,
            "read_secret": self._read_secret,
            "get_recorded_fact": self._get_recorded_fact,
            "now_millis": self._now_millis,
            "random_bytes": self._random_bytes,
            "emit": self._emit,
            "heartbeat": self._heartbeat,
        }

    def begin(self, action: Action) -> None:
        """An attempt at an action begins."""
        self._requests.begin(action)

    def ask(self, action: Action, question: Mapping[str, Any]) -> Answering:
        """The answer to one question of an action's handler."""
        try:
            check(question)
            if question["op"] not in ("emit", "heartbeat"):
                self.asked |= {action.state_id, action.own_id}
            if action.item and isinstance(question.get("fact_key"), str):
                question = {**question, "fact_key": of_item(action, question["fact_key"])}
            return (yield from self._table[question["op"]](action, question))
        except Refused as refused:
            return {"error": refused.info.doc()}

    def _call(self, action: Action, question: Mapping[str, Any]) -> Answering:
        namespace, request, key = question["namespace"], question["request"], question["fact_key"]
        if not isinstance(namespace, str) or not namespace:
            raise Refused("io_request_invalid", "a namespace is a text")
        self._check_words("a namespace", namespace)  # the event of a fact names it
        if self._live is not None and self._children is not None and self._children.serves(namespace):
            return (yield from self._child(action, namespace, request, key))
        if key is None:
            if self._live is None:
                raise Refused("missing_fact_key", f"{namespace}: a replayed call needs a fact key")
            return {"response": (yield from self._live.call(namespace, request)), "payload_id": None}
        self._check_key(key)
        if key in self.facts:
            if key in self._requests:
                self._requests.check(action, key, namespace, request)
        elif self._live is None:
            raise self._missing(key)
        else:
            asks = self._live.call(namespace, request)
            yield from self._first(asks, action, namespace, request, key)
        return {"response": self._json(key), "payload_id": self.facts[key]}

    def _first(
        self, asks: Replying, action: Action, namespace: str, request: Any, key: str
    ) -> Generator[Event | Wait, Ready, None]:
        """Ask, and bind what is said. Another state may ask under this key meanwhile."""
        asked = self._requests.check(action, key, namespace, request)
        self._requests.claim(key, asked)
        try:
            data = self._payload(action, (yield from asks))
            self._requests.check(action, key, namespace, request)
            self._requests.claim(key, asked)
            yield from self._bind(action, key, data, {"namespace": namespace, "request": asked.request})
        finally:
            if key not in self.facts:
                self._requests.release(key, asked)

    def _child(self, action: Action, namespace: str, request: Any, key: Any) -> Answering:
        """A child run answers even if the fact is there: it may have to go on, and must be the one that is meant."""
        assert self._children is not None, "_call() says so"
        if key is None:
            raise Refused("child_run_fact_key_missing", f"{namespace}: a fact key makes the id of a child run")
        self._check_key(key)
        self._payload(action, request)  # what it begins with may not hold a secret either
        known = self._json(key) if key in self.facts else None
        asks = self._children.call(action, namespace, request, key, known)
        if key not in self.facts:
            yield from self._first(asks, action, namespace, request, key)
        else:
            if key in self._requests:
                self._requests.check(action, key, namespace, request)
            if not isinstance(known, dict):
                raise Refused("child_run_conflict", f"the fact {key!r} is of no child run", "Storage")
            yield from asks
        return {"response": self._json(key), "payload_id": self.facts[key]}

    def _record_value(self, action: Action, question: Mapping[str, Any]) -> Answering:
        key = question["fact_key"]
        self._check_key(key)
        if self._live is None:
            if key not in self.facts:
                raise self._missing(key)
        else:
            data = self._payload(action, question["value"])
            if self.facts.get(key, sha256(data)) != sha256(data):
                raise Refused("fact_payload_conflict", f"the fact {key!r} is bound to another payload", "Storage")
            yield from self._bind(action, key, data, {})
        return {"payload_id": self.facts[key]}

    def _record_secret(self, action: Action, question: Mapping[str, Any]) -> Answering:
        key = question["fact_key"]
        self._check_key(key)
        plain = _canonical(question["value"])
        self.secrets.mask.add_all(question["value"])
        if key in self.facts:
            if self._live is not None and vault.opened(self.secrets, key, self._cas.read(self.facts[key])) != plain:
                raise Refused("fact_payload_conflict", f"the fact {key!r} is bound to another payload", "Storage")
        elif self._live is None:
            raise self._missing(key)
        else:
            yield from self._bind(
                action, key, vault.sealed(self.secrets, action, key, plain), {"kind": "secret_payload"}
            )
        return {"payload_id": self.facts[key]}

    def _read_secret(self, action: Action, question: Mapping[str, Any]) -> Answering:
        yield from ()
        key = question["fact_key"]
        self._check_key(key)
        if key not in self.facts:
            raise self._missing(key)
        value = json.loads(vault.opened(self.secrets, key, self._cas.read(self.facts[key])))
        self.secrets.mask.add_all(value)
        return {"value": value}

    def _get_recorded_fact(self, action: Action, question: Mapping[str, Any]) -> Answering:
        yield from ()
        self._check_key(question["fact_key"])
        return {"payload_id": self.facts.get(question["fact_key"])}

    def _now_millis(self, action: Action, question: Mapping[str, Any]) -> Answering:
        key = derived("now_millis", action, question["ordinal"])
        if key not in self.facts:
            if self._live is None:
                raise self._missing(key)
            yield from self._bind(action, key, canonical(self._clock()), {})
        value = self._json(key)
        if type(value) is not int:
            raise Refused("fact_payload_invalid", f"the fact {key!r} is no time", "Storage")
        return {"value": value}

    def _random_bytes(self, action: Action, question: Mapping[str, Any]) -> Answering:
        size = question["size"]
        if type(size) is not int or not 0 <= size <= MOST_RANDOM:
            raise Refused("io_request_invalid", f"a size from 0 to {MOST_RANDOM} is asked for, not {size!r}")
        key = derived("random_bytes", action, question["ordinal"])
        if key not in self.facts:
            if self._live is None:
                raise self._missing(key)
            yield from self._bind(action, key, os.urandom(size), {})
        data = self._cas.read(self.facts[key])
        if len(data) != size:
            raise Refused("fact_payload_invalid", f"the fact {key!r} has {len(data)} bytes, not {size}", "Storage")
        return {"base64": base64.b64encode(data).decode()}

    def _emit(self, action: Action, question: Mapping[str, Any]) -> Answering:
        for event in question["events"]:
            name, payload = event["name"], event["payload"]
            if not isinstance(name, str) or not name or name in RESERVED_EVENTS:
                raise Refused("event_invalid", f"{name!r} is no name for an event of a handler")
            self._payload(action, [name, payload])
        for event in question["events"]:
            yield Domain(event["name"], {"state_id": action.state_id, "value": event["payload"]})
        return {}

    def _heartbeat(self, action: Action, question: Mapping[str, Any]) -> Answering:
        note = question["note"]
        self._payload(action, note)
        yield Domain("heartbeat", {"label": action.label, "state_id": action.state_id, "value": note})
        return {}

    def _bind(
        self, action: Action, key: str, data: bytes, meta: Mapping[str, Any]
    ) -> Generator[Event | Wait, Ready, None]:
        """Keep a payload under a key, unless another state was first. The binding is on the disk before it returns."""
        payload_id = sha256(data)
        if self.facts.setdefault(key, payload_id) != payload_id or key in self._written:
            return
        self._written.add(key)
        self._on_first()
        self._cas.put(data)
        if self._flushes:
            self._cas.flush_object(payload_id)
        payload = {"key": key, "payload_id": payload_id, "meta": {**meta, "state_id": action.state_id}}
        yield Domain("fact_recorded", payload)
        yield Wait((), 0.0)

    def _check_key(self, key: Any) -> None:
        is_text = isinstance(key, str) and is_unicode(key)
        if not is_text or not 0 < len(key) <= LONGEST_KEY or key.startswith("flowbuild:"):
            raise Refused("io_request_invalid", f"{key!a} is no fact key")
        self._check_words("a fact key", key)

    def _check_words(self, what: str, text: str) -> None:
        if looks_secret(text) or self.secrets.mask.finds(text.encode("utf-8", "replace")):
            raise Refused("secrets_detected", f"{what} looks like a secret")

    def _payload(self, action: Action, value: Any) -> bytes:
        """A value as a fact: canonical JSON, no floats, nothing that looks secret, and no secret that is known."""
        data = _canonical(value)
        if not excuses(action.doc) and find_secret(value) is not None:
            raise Refused("secrets_detected", "a fact or an event holds what looks like a secret")
        if self.secrets.mask.finds(data):
            raise Refused("secrets_detected", "a fact or an event holds the value of a secret")
        return data

    def _json(self, key: str) -> Any:
        return structured(self._cas.read(self.facts[key]), self.facts[key])

    def _missing(self, key: str) -> Refused:
        message = f"the source run has no fact {key!r}"
        return Refused("missing_fact", message, "Rpc", retryable=self._missing_is_retryable, details={"key": key})


def _canonical(value: Any) -> bytes:
    if has_float(value):
        raise Refused("artifact_float_not_allowed", "a fact holds no floats; keep the text, or scale it")
    try:
        return canonical(value)
    except BadAttribute as error:
        raise Refused("io_request_invalid", error.message) from None
