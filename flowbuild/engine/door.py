"""What a handler is given when it asks for `io`, `context` or `emit`. Standard library only: workers import it.

Knows nothing of transports, stores or runs: every question goes to the process that started the worker, one at a
time, and its answer is what the handler sees. So a run that is replayed answers without anything outside.

Shapes:  questions and answers are JSON objects, see `run.door`; an answer with `error` is raised as an IoFailed.
Errors:  IoFailed and its kinds; a handler that lets one pass fails with its code.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

BEAT = 0.1  # seconds between two heartbeats that are told
MOST_DEEP = 64  # levels of a value in a context
MOST_BYTES = 256 * 1024  # of all that one handler writes there: more is an output

Ask = Callable[[dict[str, Any]], dict[str, Any]]


class HandlerFailed(Exception):
    """What a handler raises to say how it failed: a stable code, and whether another attempt may help.

    `category` is ParsingInput, OnChain, OffChain, Rpc, Storage, Context or Unknown; any other word counts as Unknown.
    """

    __flowbuild_error__ = True

    def __init__(
        self,
        message: str,
        *,
        code: str = "handler_failed",
        category: str = "Unknown",
        retryable: bool = False,
        details: Any = None,
    ) -> None:
        super().__init__(message)
        self.info = {
            "code": code,
            "category": category,
            "retryable": retryable,
            "message": message,
            "details": details,
        }


class IoFailed(HandlerFailed):
    """The outside did not answer, or may not be asked."""


class MissingFact(IoFailed):
    """A replayed run has no such fact."""


class MissingFactKey(IoFailed):
    """A replayed run was asked for something that has no fact key."""


class RateLimited(IoFailed):
    """The other side asks for patience."""


class ContextFailed(HandlerFailed):
    """A context key that is not declared, not there, or of another type."""


_KINDS: Mapping[str, type[IoFailed]] = {
    "missing_fact": MissingFact,
    "missing_fact_key": MissingFactKey,
    "rate_limited": RateLimited,
}


class IoResult(NamedTuple):
    """What a call came to, and the artifact that it is recorded as."""

    response: Any
    recorded_payload_id: str | None


class ChildRun(NamedTuple):
    """A run that a handler spawned. `fact_key` names it: its id follows from that, and from the id of the parent."""

    run_id: str
    manifest_id: str
    initial_snapshot_id: str
    fact_key: str


class Ended(NamedTuple):
    """How a child run ended: `Completed`, `Failed` or `Cancelled`, and its context then (None: its ends disagree)."""

    run_id: str
    status: str
    final_snapshot_id: str | None
    context: dict[str, Any] | None

    @property
    def ok(self) -> bool:
        return self.status == "Completed"


class Io:
    """The one door outside. A call with a fact key happens once in a run: from then on its recorded reply is given."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._ordinal = -1
        self._beaten = float("-inf")

    def call(self, namespace: str, request: Any, fact_key: str | None = None) -> IoResult:
        """Ask a transport: `http`, `exec`, `file`, `env`, `clock` or `random`, or one that a host adds."""
        answer = self._put({"op": "call", "namespace": namespace, "request": request, "fact_key": fact_key})
        return IoResult(answer["response"], answer["payload_id"])

    def record_value(self, fact_key: str, value: Any) -> str:
        """Keep a value as a fact; the artifact id of the first one kept under this key."""
        return str(self._put({"op": "record_value", "fact_key": fact_key, "value": value})["payload_id"])

    def record_secret(self, fact_key: str, value: Any) -> str:
        """Keep a value as a fact that only this run can read: on the disk it is ciphertext."""
        return str(self._put({"op": "record_secret", "fact_key": fact_key, "value": value})["payload_id"])

    def read_secret(self, fact_key: str) -> Any:
        """The value of a fact that was recorded as a secret in this run."""
        return self._put({"op": "read_secret", "fact_key": fact_key})["value"]

    def get_recorded_fact(self, fact_key: str) -> str | None:
        """The artifact id of a fact, if the run has it."""
        found = self._put({"op": "get_recorded_fact", "fact_key": fact_key})["payload_id"]
        return None if found is None else str(found)

    def now_millis(self) -> int:
        """The time, recorded: a replayed run sees the same."""
        return int(self._put({"op": "now_millis", "ordinal": self._next()})["value"])

    def random_bytes(self, size: int) -> bytes:
        """Random bytes, recorded: a replayed run sees the same."""
        answer = self._put({"op": "random_bytes", "ordinal": self._next(), "size": size})
        return base64.b64decode(answer["base64"])

    def heartbeat(self, note: Any = None) -> None:
        """Say that the handler is alive, and how far it got; more often than ten times a second says nothing more."""
        now = time.monotonic()
        if now - self._beaten >= BEAT:
            self._beaten = now
            self._put({"op": "heartbeat", "note": note})

    def spawn(
        self,
        target: str,
        fact_key: str,
        params: Mapping[str, Any] | None = None,
        initial_context: Mapping[str, Any] | None = None,
    ) -> ChildRun:
        """Begin a run of a target that this one names in `spawns`; it goes on while the handler does."""
        request = {
            "kind": "child_run_spawn_v1",
            "op_id": target,
            "op_version": None,
            "op_config": dict(params or {}),
            "input": None,
            "run_config": None,
            "initial_context": dict(initial_context or {}),
        }
        reply = self.call("machine.child_run.spawn", request, fact_key).response
        return ChildRun(reply["child_run_id"], reply["child_manifest_id"], reply["child_initial_snapshot_id"], fact_key)

    def await_run(self, child: ChildRun, fact_key: str | None = None) -> Ended:
        """Wait until a child run has ended, however it did."""
        request = {
            "kind": "child_run_await_v1",
            "child_run_id": child.run_id,
            "child_manifest_id": child.manifest_id,
        }
        reply = self.call("machine.child_run.await", request, fact_key or f"{child.fact_key} ended").response
        return Ended(reply["child_run_id"], reply["status"], reply["final_snapshot_id"], reply["final_snapshot"])

    def _next(self) -> int:
        self._ordinal += 1
        return self._ordinal

    def _put(self, question: dict[str, Any]) -> dict[str, Any]:
        try:
            json.dumps(question, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise IoFailed(f"what is asked is no JSON: {error}", code="io_request_invalid") from None
        answer = self._ask(question)
        info = answer.get("error")
        if info is not None:
            message, more = info["message"], {name: info[name] for name in ("code", "category", "retryable", "details")}
            raise _KINDS.get(info["code"], IoFailed)(message, **more)
        return answer


class Emit:
    """Records domain events of the handler's own in the run's journal: `emit("page_read", {"bytes": 10})`."""

    def __init__(self, ask: Ask) -> None:
        self._io = Io(ask)

    def __call__(self, name: str, payload: Any = None) -> None:
        self.many([(name, payload)])

    def many(self, events: Iterable[tuple[str, Any]]) -> None:
        """Several events, all of them or none."""
        rows = [{"name": name, "payload": payload} for name, payload in events]
        self._io._put({"op": "emit", "events": rows})

    def heartbeat(self, note: Any = None) -> None:
        """As `io.heartbeat`."""
        self._io.heartbeat(note)


class Context:
    """Small JSON values that states hand on along the edges of the graph. Only declared keys are there.

    A write is seen by the handler at once, and by others when the state has completed; a state that fails wrote
    nothing.
    """

    def __init__(self, base: Mapping[str, Any], reads: Collection[str], writes: Collection[str]) -> None:
        self._base = {key: json.dumps(value) for key, value in base.items()}
        self._reads = frozenset(reads)
        self._writes = frozenset(writes)
        self.written: dict[str, Any] = {}
        self.deleted: set[str] = set()

    def read(self, key: str, default: Any = None) -> Any:
        """The value of a key, or the default where nothing has written it."""
        self._check(key, self._reads | self._writes, "reads")
        text = self.written.get(key, None if key in self.deleted else self._base.get(key))
        return default if text is None else json.loads(text)

    def read_typed(self, key: str, kind: type[Any]) -> Any:
        """The value of a key, which must be there and of this Python type."""
        value = self.read(key)
        if value is None:
            raise ContextFailed(f"context key {key!r} is not there", code="context_key_missing", category="Context")
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            said = f"context key {key!r} holds {type(value).__name__}, not {kind.__name__}"
            raise ContextFailed(said, code="context_deserialize_failed", category="Context")
        return value

    def write(self, key: str, value: Any) -> None:
        """Set a key to a JSON value without floats."""
        self._check(key, self._writes, "writes")
        try:
            if _is_deep(value, MOST_DEEP):
                raise ValueError(f"more than {MOST_DEEP} levels deep")
            text = json.dumps(value, allow_nan=False)
            if len(text) + sum(len(one) for other, one in self.written.items() if other != key) > MOST_BYTES:
                raise ValueError(f"more than {MOST_BYTES} bytes are no context; make them an output")
        except (TypeError, ValueError) as error:
            said = f"context key {key!r}: {error}"
            raise ContextFailed(said, code="context_serialize_failed", category="Context") from None
        self.written[key] = text
        self.deleted.discard(key)

    def delete(self, key: str) -> None:
        """Remove a key, if it is there."""
        self._check(key, self._writes, "writes")
        self.written.pop(key, None)
        self.deleted.add(key)

    def dump(self) -> dict[str, Any]:
        """All that this handler sees: the keys that it reads, and what it wrote."""
        seen = {key: text for key, text in self._base.items() if key not in self.deleted}
        return {key: json.loads(text) for key, text in {**seen, **self.written}.items()}

    def changes(self) -> dict[str, Any]:
        """What the state changes, as its outcome says it."""
        return {
            "write": {key: json.loads(text) for key, text in sorted(self.written.items())},
            "delete": sorted(self.deleted),
        }

    def _check(self, key: str, declared: Collection[str], attribute: str) -> None:
        if key not in declared:
            said = f"context key {key!r} is not declared; add it to `{attribute}`"
            raise ContextFailed(said, code="context_key_undeclared", category="Context")


def _is_deep(value: Any, left: int) -> bool:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return left == 0 or any(_is_deep(item, left - 1) for item in items)
