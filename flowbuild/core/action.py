"""Actions and outcomes: what an engine is asked, and what it came to.

Knows nothing of graphs, runs or stores. An action is a JSON document that says everything its result may depend
on; its key is the document's digest. What stands beside the document here (`Staged`, the log's name) helps to
perform it and can't change its result.

Shapes:  see docs/design.md, "Action keys".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

from flowbuild.core.canonical import EMPTY_CONTEXT, Digest

# Where an error came from, in the words of seed 001.
Category = Literal["ParsingInput", "OnChain", "OffChain", "Rpc", "Storage", "Context", "Unknown"]
CATEGORIES: tuple[Category, ...] = get_args(Category)


class Staged(NamedTuple):
    """One file or directory that an action may read: where it stands for the action, and where its bytes are.

    `path` is relative to the workspace root. `artifact` is None for a source file of the workspace, which is read
    from its own place; otherwise the artifact's document (`sha256` or `listing`, `size`, `executable`).
    """

    path: str
    artifact: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Action:
    """One thing for an engine to perform.

    `outputs` maps each declared name to the path, relative to the workspace root, where the action writes it.
    `package` is the directory, relative to the root, that the action runs in. `listings` are the documents behind
    the listing digests in `doc`, kept so that a difference can name the file. `context` has the values of the
    context keys that it reads, and `base` is the digest of the whole snapshot that it begins with. `refused` is why it
    can't be performed at all: what it needs disagrees about a context key. `handler` says where a worker finds the
    function behind a step kind of one's own. `heartbeat_ms` is how long it may give no sign of life; with
    `keeps_failed` an outcome tells what was changed in the context before it failed. `item` tells the child of an item
    from the others of its state.
    """

    key: Digest
    doc: Mapping[str, Any]
    label: str
    state_id: str
    package: str
    staged: tuple[Staged, ...] = ()
    outputs: Mapping[str, str] = field(default_factory=dict)
    timeout_ms: int | None = None
    listings: tuple[bytes, ...] = ()
    context: Mapping[str, Any] = field(default_factory=dict)
    handler: Mapping[str, Any] | None = None
    base: Digest = EMPTY_CONTEXT
    refused: ErrorInfo | None = None
    heartbeat_ms: int | None = None
    keeps_failed: bool = False
    item: str = ""

    @property
    def own_id(self) -> str:
        """The id of its state, and which of the state's children it is."""
        return f"{self.state_id}.{self.item}" if self.item else self.state_id

    @property
    def kind(self) -> str:
        return str(self.doc["step_kind"])

    @property
    def with_(self) -> Mapping[str, Any]:
        return self.doc["with"]  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """Why an action failed, as JSON, free of secrets."""

    code: str
    message: str
    category: Category = "Unknown"
    retryable: bool = False
    details: Any = None

    def doc(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "category": self.category,
            "retryable": self.retryable,
            "message": self.message,
            "details": self.details,
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an action came to: its outputs' documents by name, or an error.

    `stderr_tail` is for people: the end of what it said. `reproduce` is a command that does the same again.
    `remember` is False for a result that must be found anew next time, such as a probe that timed out. `context` is
    what it changed in the context, `{"write": {key: value}, "delete": [key]}`; `failure_snapshot` is the digest of
    the context as one that failed had it then.
    """

    outputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    error: ErrorInfo | None = None
    stdout_tail: str = ""
    stderr_tail: str = ""
    log: str | None = None
    reproduce: str | None = None
    cancelled: bool = False
    remember: bool = True
    context: Mapping[str, Any] | None = None
    failure_snapshot: Digest | None = None

    @property
    def ok(self) -> bool:
        return self.error is None and not self.cancelled
