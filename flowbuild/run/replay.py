"""Replay: perform a run's states again from what its bundle holds, and compare what they come to.

Knows nothing of the workspace that the run came from: every input is an object of the bundle, every answer from outside
a fact of its journal, and no transport is ever made. What was applied to the world is taken as it was, not done again.

Shapes:  yields a Verdict for each state in the journal's order; `EQUAL`, `DIFFERS`, `TAKEN`, `ABSENT`.
Errors:  StoreCorrupt for an object that the journal names and the bundle lacks altogether, and for one that is not what
         its name says (seed 001's artifact_put_id_mismatch).
Source:  DESIGN, section 1, policy `replay`; seed 001, replay rules.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from flowbuild.core.action import Action, Outcome, Staged
from flowbuild.core.canonical import Digest, canonical, digest
from flowbuild.core.errors import StoreCorrupt
from flowbuild.core.label import parse
from flowbuild.core.retry import Retry
from flowbuild.core.run_config import from_doc
from flowbuild.engine.engine import Engine, Performance, Ready, Wait
from flowbuild.engine.process import drive
from flowbuild.graph.step import ERROR
from flowbuild.run.attempt import caught, retried
from flowbuild.run.context import OUTPUT, kept, snapshot_of
from flowbuild.run.door import Door
from flowbuild.run.io import RunIo
from flowbuild.run.items import name as item_name
from flowbuild.run.items import tag
from flowbuild.run.secret import Secrets
from flowbuild.run.spread import KIND as EACH
from flowbuild.run.spread import join
from flowbuild.run.start import manifest_of
from flowbuild.run.story import Story, Told
from flowbuild.store.cas import Cas
from flowbuild.store.tree import Artifact, entries


class Found(StrEnum):
    """What a replayed state came to, beside what it came to in its run."""

    EQUAL = "equal"
    DIFFERS = "differs"
    TAKEN = "taken"  # it was applied to the world outside: its outcome stands
    ABSENT = "absent"  # an input, or what the outside refused, is not in the bundle


class Verdict(NamedTuple):
    """One state. `why` says what differs, or what is missing; `outputs` pairs the digests that differ.

    The event of the run's journal that says otherwise is `told.said`.
    """

    told: Told
    found: Found
    why: str = ""
    outputs: Mapping[str, tuple[str | None, str | None]] = {}


class Replay:
    """One replay. `cas` holds the bundle's objects; `root` is a directory of its own to work in."""

    def __init__(self, story: Story, cas: Cas, engine: Engine, root: Path, search_path: tuple[str, ...]) -> None:
        self._story = story
        self._cas = cas
        self._engine = engine
        secrets, directory = Secrets(os.environ, run_id=story.run_id), root / ".flowbuild"
        secrets.know(_secrets(story, cas))
        config = from_doc(manifest_of(story, cas)["run_config"])
        self._door = Door(
            cas,
            None,
            story.facts,
            missing_is_retryable=config.replay_missing_fact_retryable,
            secrets=secrets,
            requests=story.requests,
            directory=directory,
        )
        self._attempts = config.retry.attempts
        self._secrets = secrets
        self._io = RunIo(root, search_path, cas, directory, self._door)

    def run(self) -> Iterator[Verdict]:
        """Every state, in the order in which the run entered them."""
        for told in self._story.states.values():
            if told.action is not None:
                yield self._one(told)

    def _one(self, told: Told) -> Verdict:
        doc = self._document(told)
        if doc.get("effect") == "apply_side_effect":
            return Verdict(told, Found.TAKEN, "what it did outside is not done again")
        if told.error is not None and told.error["code"] == "context_conflict":
            return Verdict(told, Found.TAKEN, "it was never performed: its needs disagreed about the context")
        if doc["step_kind"] == EACH:
            return self._each(told, doc)
        outcome = self._performed(told, doc)
        return outcome if isinstance(outcome, Verdict) else self._compared(told, doc, outcome)

    def _document(self, told: Told) -> Mapping[str, Any]:
        doc: Mapping[str, Any] = json.loads(self._cas.read(told.action or Digest("")))
        return doc

    def _performed(self, told: Told, doc: Mapping[str, Any]) -> Outcome | Verdict:
        """What an action comes to now, or why it can't be performed here."""
        if doc["with"].get("stage") is False:
            return Verdict(told, Found.ABSENT, "it ran in place, where its inputs were is not recorded")
        if not self._is_ours(doc):
            why = f"the bundle does not hold what performs {doc['step_kind']}"
            return Verdict(told, Found.ABSENT, why)
        missing = [name for name, sha in inputs(doc) if not self._cas.intact(sha)]
        if missing:
            return Verdict(told, Found.ABSENT, f"the bundle does not hold {', '.join(missing)}")
        if doc.get("context") and not self._cas.intact(Digest(told.base)):
            return Verdict(told, Found.ABSENT, "the bundle does not hold its context")
        action = rebuilt(told, doc, self._cas)
        writes = doc["with"]["writes"] if OUTPUT in told.outputs and OUTPUT not in doc["outputs"] else None

        def perform() -> Performance:
            self._door.begin(action)
            steps = self._secrets.performed(action, self._engine, self._io)
            return steps if writes is None else kept(writes, steps, self._keep)

        retry = Retry(max(self._attempts, told.attempt + 1))
        outcome = drive(_waits(retried(retry, action, perform)))
        if outcome.error is not None and outcome.error.code == "secret_missing":
            return Verdict(told, Found.ABSENT, outcome.error.message)
        return caught(outcome, self._keep) if ERROR in told.outputs else outcome

    def _is_ours(self, doc: Mapping[str, Any]) -> bool:
        """Whether the engine can perform an action by its document, which doesn't name the handler of a step."""
        ours, kind = self._engine.capabilities, doc["step_kind"]
        is_own = "handler" in doc and kind != "python"
        return doc["engine"]["name"] == ours.name and kind in ours.step_kinds and not is_own

    def _each(self, told: Told, doc: Mapping[str, Any]) -> Verdict:
        """A fan-out: its children performed again, and joined. Of one that failed, the children that failed."""
        failed = [key for key, child in told.items.items() if child.error is not None]
        if told.error is not None and not failed:
            return Verdict(told, Found.TAKEN, "it was never performed: it could not have these items")
        apart = ""
        made: dict[str, dict[str, Artifact]] = {}
        for key in dict.fromkeys(failed if told.error is not None else doc["with"]["children"]):
            before = told.items.get(key)
            child = replace(told, action=Digest(key), outputs={}, error=before.error if before else None)
            found = self._document(child)
            outcome = self._performed(child, found)
            item = f"item {item_name(found['item'])}: "
            if isinstance(outcome, Verdict):
                return Verdict(told, outcome.found, item + outcome.why)
            if outcome.error is not None or child.error is not None:
                verdict = self._compared(child, found, outcome)
                if verdict.found is not Found.EQUAL:
                    return Verdict(told, verdict.found, item + verdict.why)
                continue
            made[key] = {output: Artifact.from_doc(one) for output, one in outcome.outputs.items()}
            if before is not None and not apart and _digests(before.outputs) != _digests(made[key]):
                apart = item
        if told.error is not None:
            return Verdict(told, Found.EQUAL)
        joined = join(self._cas, doc["outputs"], [made[key] for key in doc["with"]["children"]])
        verdict = self._compared(told, doc, Outcome({output: one.doc() for output, one in joined.items()}))
        return verdict._replace(why=f"{apart}{verdict.why}") if verdict.found is Found.DIFFERS else verdict

    def _keep(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        data = canonical(document)
        return Artifact(self._cas.put(data), len(data)).doc()

    def _compared(self, told: Told, doc: Mapping[str, Any], outcome: Outcome) -> Verdict:
        if outcome.error is not None:
            if told.error is not None and told.error["code"] == outcome.error.code:
                return Verdict(told, Found.EQUAL)
            if told.error is not None and outcome.error.code in ("missing_fact", "missing_fact_key"):
                return Verdict(told, Found.ABSENT, f"it failed then ({told.error['code']}), and a refusal is no fact")
            return Verdict(told, Found.DIFFERS, f"{outcome.error.code}: {outcome.error.message}")
        if told.error is not None:
            return Verdict(told, Found.DIFFERS, f"it failed then ({told.error['code']}), and succeeds now")
        now = {name: Artifact.from_doc(one).sha256 for name, one in outcome.outputs.items()}
        apart: dict[str, tuple[str | None, str | None]] = {
            name: (told.outputs.get(name), now.get(name))
            for name in sorted({*told.outputs, *now})
            if told.outputs.get(name) != now.get(name)
        }
        if not apart:
            return Verdict(told, Found.EQUAL)
        return Verdict(told, Found.DIFFERS, " ".join([f"output {next(iter(apart))}", *_host(doc)]), apart)


def _secrets(story: Story, cas: Cas) -> Iterator[str]:
    """The secrets that any state of a run names: what one state has is known when another speaks, as it was then."""
    keys = {key for told in story.states.values() for key in (told.action, *told.items) if key is not None}
    for key in sorted(key for key in keys if cas.intact(Digest(key))):
        if b'"secrets"' in (data := cas.read(Digest(key))):
            yield from json.loads(data)["with"].get("secrets") or ()


def _digests(outputs: Mapping[str, Artifact]) -> dict[str, Digest]:
    return {output: one.sha256 for output, one in outputs.items()}


def inputs(doc: Mapping[str, Any]) -> Iterator[tuple[str, Digest]]:
    """What an action reads: a name for people, and the digest of its bytes."""
    for name, one in doc["inputs"].items():
        if "missing" not in one:
            yield one.get("path", name), Digest(one.get("sha256") or one["listing"])
    handler, with_ = doc.get("handler"), doc["with"]
    if handler is not None:
        if with_.get("source") is not None:
            yield with_["source"], Digest(handler["source"])
        yield from ((path, Digest(sha)) for path, sha in handler["modules"].items())


def rebuilt(told: Told, doc: Mapping[str, Any], cas: Cas) -> Action:
    """The action behind a document, its inputs staged from the store."""
    label = parse(told.label)
    staged: list[Staged] = []
    for one in doc["inputs"].values():
        if "sha256" in one:
            staged.append(_file(one["path"], one["sha256"], one["executable"], cas))
        elif "path" in one and "listing" in one:
            artifact = Artifact(one["listing"], 0, is_directory=True)
            staged.append(Staged(one["path"], artifact.doc(one["path"])))
        elif "listing" in one:
            staged += [_member(*entry, cas) for entry in entries(cas, one["listing"])]
    handler, with_ = doc.get("handler"), doc["with"]
    if handler is not None:
        sources = {**handler["modules"]}
        if with_.get("source") is not None:
            sources[with_["source"]] = handler["source"]
        staged += [_file(path, sha, False, cas) for path, sha in sources.items()]
    outputs = {name: f"out/bin/{label.directory}/{path}" for name, path in doc["outputs"].items()}
    key, seen = told.action or Digest(""), _context(told, doc, cas)
    item = tag(doc["item"]) if "item" in doc else ""
    package = label.package
    return Action(key, doc, told.label, told.state_id, package, tuple(staged), outputs, None, context=seen, item=item)


def _context(told: Told, doc: Mapping[str, Any], cas: Cas) -> dict[str, Any]:
    """What a state reads of the snapshot that it began with."""
    asked = {key: sha for key, sha in doc.get("context", {}).items() if sha is not None}
    snapshot = snapshot_of(cas.read(Digest(told.base)), Digest(told.base)) if asked else {}
    for key, sha in asked.items():
        if key not in snapshot or digest(snapshot[key]) != sha:
            raise StoreCorrupt(f"{told.state_id}: the snapshot {told.base} does not hold the {key!r} that it read")
    return {key: snapshot[key] for key in asked}


def _file(path: str, sha256: str, executable: bool, cas: Cas) -> Staged:
    size = cas.path(Digest(sha256)).stat().st_size
    return Staged(path, Artifact(Digest(sha256), size, executable).doc(path))


def _member(path: str, sha256: str, executable: bool, cas: Cas) -> Staged:
    """One of several files; a directory among them stands under the digest of its listing."""
    if path.endswith("/"):
        return Staged(path, Artifact(Digest(sha256), 0, is_directory=True).doc(path))
    return _file(path, sha256, executable, cas)


def _waits(performance: Performance) -> Generator[Wait, Ready, Outcome]:
    """A performance without its events: a replay's journal is the source's."""
    ready: Ready = None
    try:
        while True:
            step = performance.send(ready)
            ready = (yield step) if isinstance(step, Wait) else None
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome


def _host(doc: Mapping[str, Any]) -> list[str]:
    """What of this machine is not what the run had, where the action says what that was."""
    handler = doc.get("handler")
    if handler and handler["python"] != platform.python_version():
        return [f"(Python {platform.python_version()} here, {handler['python']} then)"]
    return []


def fill(cas: Cas, objects: Path) -> None:
    """Put a bundle's objects into a store of one's own."""
    for path in sorted(objects.iterdir()):
        found, _ = cas.put_file(path)
        if found != path.name:
            code = "artifact_put_id_mismatch"
            message = f"{code}: {path}: its bytes are those of {found}"
            raise StoreCorrupt(message, remedy="the bundle is damaged: build its target again", details={"code": code})
