"""Bind: join a state and the digests of its inputs into an action, and make its key.

Knows nothing of memos, policies or engines at work. The document it makes says everything that the result may
depend on, and nothing else: no path of the machine, no time, no run id.

Shapes:  the action document, `flowbuild.action.v1`; see docs/design.md, "Action keys".
Errors:  whatever reading a source gives; UserError for a program or variable that is not there is left to the
         engine, so that `explain` can speak of states that could not run.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from flowbuild.core.action import Action, Staged
from flowbuild.core.canonical import Digest, canonical, digest, sha256
from flowbuild.graph.state import APPLY, Code, Held, Input, Item, SnapshotPolicy, Source, State
from flowbuild.run.context import UNTOUCHED, Beginning, Products
from flowbuild.run.items import tag
from flowbuild.store.tree import Entry, listing_bytes

KEY_VERSION = "flowbuild.action.v1"
IDEMPOTENT_VERSION = "flowbuild.idempotent.v1"


class Facts(Protocol):
    """What binding asks of the machine. Answers are kept for a session."""

    def source(self, path: str) -> tuple[Digest, bool]:
        """The digest of a workspace file, and whether it is executable."""

    def program(self, name: str) -> Mapping[str, Any] | None:
        """The program behind a bare word: `{"name", "sha256"}` and its interpreter's, or None when there is none."""

    def harness(self) -> Mapping[str, Any]:
        """The probe harness that ships with flowbuild, as a program."""

    def variable(self, name: str) -> str | None:
        """A variable of the caller's environment."""

    def code(self, code: Code) -> Mapping[str, Any]:
        """The `handler` part of a Python state's action."""

    def world(self) -> Mapping[str, Any]:
        """What `observes: host` adds: world_id, channel, and the digest of the isolation achieved."""


def bind(
    state: State,
    products: Products,
    engine: Mapping[str, Any],
    facts: Facts,
    values: Mapping[str, Any] | None = None,
    base: Beginning = UNTOUCHED,
    spawns: Mapping[str, Digest] | None = None,
) -> Action:
    """The action of a state whose inputs are all known. `values` is its `with` where that was known only now; `base`
    is the context that it begins with, of which the document holds what it reads; `spawns` says of each target that
    its handler may run what that would do."""
    staged: list[Staged] = []
    listings: list[bytes] = []
    inputs = {name: _input(one, products, facts, staged, listings) for name, one in state.inputs.items()}
    with_ = dict(state.with_ if values is None else values)
    kind = state.kind if state.step is None else ""  # a step may be of any kind, and is none of ours
    if kind in ("exec", "python"):
        with_["env"] = {n: v for n, v in _environment(state, facts) if v is not None}
        with_["stage"] = state.stage
        if state.secrets:
            with_["secrets"] = {name: {"version": version} for name, version in state.secrets.items()}
    doc: dict[str, Any] = {
        "schema_version": KEY_VERSION,
        "step_kind": state.kind,
        "with": with_,
        "inputs": inputs,
        "outputs": dict(state.declared),
        "engine": engine,
    }
    if kind == "exec":
        doc["program"] = _program(state, facts)
    if kind == "probe":
        doc["program"] = facts.harness()
    if state.code is not None:
        doc["handler"] = {**facts.code(state.code), "python": platform.python_version()}
        staged += [Staged(path, None) for path in _code_files(state.code)]
    if state.observes_host:
        doc["world"] = facts.world()
    seen = {key: base.values[key] for key in state.reads if key in base.values}
    if state.reads:
        doc["context"] = {key: digest(seen[key]) if key in seen else None for key in state.reads}
    doc |= _said(state, spawns or {})
    return Action(
        sha256(canonical(hashed(state, doc))),
        doc,
        str(state.label),
        state.id,
        state.package,
        tuple(staged),
        state.outputs,
        state.timeout_ms,
        tuple(listings),
        context=seen,
        base=base.snapshot,
        refused=base.conflict,
        heartbeat_ms=state.heartbeat_ms,
        item=tag(state.item) if state.item is not None else "",
        keeps_failed=state.snapshots is SnapshotPolicy.ALWAYS,
        handler=state.code.doc() if state.code is not None and state.step is not None else None,
    )


def _said(state: State, spawns: Mapping[str, Digest]) -> dict[str, Any]:
    """What few states have in their documents."""
    found: dict[str, Any] = {}
    if state.allows:
        found["allows"] = list(state.allows)
    if state.applies:
        found["effect"] = APPLY
    if state.item is not None:
        found["item"] = dict(state.item)
    if state.spawns:
        found["spawns"] = dict(spawns)
    return found


def hashed(state: State, doc: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an action's key is the digest of: its document, or what an idempotency key leaves of it."""
    if state.idempotency_key is None:
        return doc
    return {
        "schema_version": IDEMPOTENT_VERSION,
        "effect": APPLY,
        "engine": doc["engine"],
        "idempotency_key": state.idempotency_key,
        "state_id": state.id,
        **({"item": doc["item"]} if "item" in doc else {}),
    }


def _environment(state: State, facts: Facts) -> Sequence[tuple[str, str | None]]:
    return [(name, facts.variable(name) if text is None else text) for name, text in sorted(state.env.items())]


def _program(state: State, facts: Facts) -> Mapping[str, Any] | None:
    if "script" in state.with_:
        return facts.program("/bin/sh")
    word: str = state.with_["command"][0]
    # A word with a slash that is no absolute path is a file of the workspace: an input, and covered as one.
    return facts.program(word) if "/" not in word or word.startswith("/") else None


def _code_files(code: Code) -> list[str]:
    return [path for path in (code.source, *code.modules.values()) if path is not None]


def _input(one: Input, products: Products, facts: Facts, staged: list[Staged], listings: list[bytes]) -> dict[str, Any]:
    if not one.many:
        return _item(one.items[0], products, facts, staged)
    entries: list[Entry] = []
    for item in one.items:
        doc = _item(item, products, facts, staged)
        # A directory among several is one line of the listing, under its own listing's digest.
        if "missing" not in doc:
            entries.append(Entry(doc["path"], doc.get("sha256") or doc["listing"], doc.get("executable", False)))
    listings.append(listing_bytes(entries))
    return {"listing": sha256(listings[-1])}


def _item(item: Item, products: Products, facts: Facts, staged: list[Staged]) -> dict[str, Any]:
    if isinstance(item, Source):
        staged.append(Staged(item.path, None))
        sha, executable = facts.source(item.path)
        return {"path": item.path, "sha256": sha, "executable": executable}
    if isinstance(item, Held):
        staged.append(Staged(item.path, item.doc))
        return {"path": item.path, "sha256": item.doc["sha256"], "executable": item.doc["executable"]}
    if item.state not in products:  # only a state that accepts missing inputs is bound without them
        return {"path": item.path, "missing": True}
    artifact = products[item.state][item.output]
    staged.append(Staged(item.path, artifact.doc(item.path)))
    if artifact.is_directory:
        return {"path": item.path, "listing": artifact.sha256}
    return {"path": item.path, "sha256": artifact.sha256, "executable": artifact.executable}
