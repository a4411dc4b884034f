"""What a run begins with, and whether all of it is about the same run.

Knows nothing of how states are performed. The checks stand in the order of seed 001; those of a plan are
`graph.valid`'s. A run that is gone on with begins with the manifest that its journal names, and keeps to the
configuration that stands there.

Errors:  BadConfig `unsupported_execution_mode`; BadManifest `manifest_not_canonical`, `manifest_id_mismatch`,
         `manifest_op_id_mismatch`, `run_config_mismatch`, `manifest_not_found`, `manifest_artifact_mismatch`,
         `run_started_op_id_mismatch`; SecretsDetected; InvalidPlan; RunStale `plan_op_id_mismatch`.
Source:  seed 001, `StartRun`, the checks of `start()` and resume; CONTRACTS, 001.2.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from flowbuild.core.canonical import Digest, canonical, sha256
from flowbuild.core.errors import BadAttribute, BadConfig, BadManifest, RunStale, SecretsDetected
from flowbuild.core.run_config import RunConfig, from_doc
from flowbuild.core.secrets import find_secret
from flowbuild.core.structured import has_float
from flowbuild.graph.state import State
from flowbuild.graph.valid import check_plan
from flowbuild.run.manifest import Asked, manifest
from flowbuild.run.story import Story
from flowbuild.store.cas import Cas

_AGAIN = "start a new run"


class StartRun(NamedTuple):
    """What a run begins with. `op` is that of its plan; `manifest` is the manifest's bytes, as they are kept."""

    op: str
    config: RunConfig
    manifest: bytes
    manifest_id: Digest

    @property
    def doc(self) -> dict[str, Any]:
        """The manifest's document."""
        found: dict[str, Any] = json.loads(self.manifest)
        return found


def start_run(
    asked: Asked, channel: str, policy: str, variables: tuple[str, ...] = (), commit: str | None = None
) -> StartRun:
    """What a new run begins with."""
    data = canonical(manifest(asked, channel=channel, policy=policy, variables=variables, commit=commit))
    return StartRun(asked.op, asked.config, data, sha256(data))


def started(story: Story, cas: Cas, op: str) -> StartRun:
    """What a run began with that is gone on with, as its journal and its manifest say. `op` is that of today's plan."""
    doc = manifest_of(story, cas)
    if op != story.op_id:
        raise RunStale(f"plan_op_id_mismatch: the run is of {story.op_id}, and {op} is asked for")
    return StartRun(op, from_doc(doc["run_config"]), canonical(doc), Digest(story.manifest_id))


def manifest_of(story: Story, cas: Cas) -> dict[str, Any]:
    """The manifest that a journal names. One that is damaged stays where it is: there is no other."""
    doc = _document(_held(cas, Digest(story.manifest_id)))
    if doc["op_id"] != story.op_id:
        said = f"the journal of run {story.run_id} says {story.op_id}, its manifest {doc['op_id']}"
        raise BadManifest(f"run_started_op_id_mismatch: {said}", remedy=_AGAIN)
    return doc


def check_start(start: StartRun, states: Sequence[State], wanted: Sequence[int]) -> None:
    """Refuse what is not about one run, before anything of it is written."""
    mode = start.config.max_concurrency
    if mode is not None and mode < 1:
        raise BadConfig(f"unsupported_execution_mode: FanOutJoin with room for {mode} states")
    doc = _document(start.manifest)
    if not any(states[number].allows for number in wanted if number < len(states)):
        _check_secrets(doc)
    if sha256(start.manifest) != start.manifest_id:
        said = f"the manifest has the digest {sha256(start.manifest)}, and {start.manifest_id} is named"
        raise BadManifest(f"manifest_id_mismatch: {said}", remedy=_AGAIN)
    if doc["op_id"] != start.op:
        said = f"the manifest is of {doc['op_id']}, the plan of {start.op}"
        raise BadManifest(f"manifest_op_id_mismatch: {said}", remedy=_AGAIN)
    if from_doc(doc["run_config"]) != start.config:
        raise BadManifest("run_config_mismatch: the manifest says another configuration", remedy=_AGAIN)
    if wanted:  # the oracle's lane alone performs nothing
        check_plan(states, wanted)


def keep(start: StartRun, cas: Cas) -> None:
    """Put a new run's manifest into the store, and anew if what is there was damaged."""
    cas.put(start.manifest)
    if not cas.verify(start.manifest_id):
        cas.discard(start.manifest_id)
        cas.put(start.manifest)
    check_held(start, cas)


def check_held(start: StartRun, cas: Cas) -> None:
    """Refuse a run whose manifest is not in the store as it is."""
    if _held(cas, start.manifest_id) != start.manifest:
        said = f"the store has another document under {start.manifest_id}"
        raise BadManifest(f"manifest_artifact_mismatch: {said}", remedy=_AGAIN)


def _held(cas: Cas, manifest_id: Digest) -> bytes:
    """The bytes of a manifest. A damaged one stays where it is: nobody will make it anew."""
    if cas.verify(manifest_id):
        return cas.read(manifest_id)
    if cas.path(manifest_id).exists():
        raise BadManifest(f"manifest_artifact_mismatch: object {manifest_id} was damaged in the store", remedy=_AGAIN)
    raise BadManifest(f"manifest_not_found: object {manifest_id} is not in the store", remedy=_AGAIN)


def _document(data: bytes) -> dict[str, Any]:
    """The document of a manifest: canonical JSON without floats, with all of its fields."""
    try:
        doc = json.loads(data)
        is_canonical = canonical(doc) == data and not has_float(doc)
    except (ValueError, RecursionError, BadAttribute):
        is_canonical, doc = False, None
    if not is_canonical:
        raise BadManifest("manifest_not_canonical: it is not the canonical JSON of a document", remedy=_AGAIN)
    fields = {"op_id", "op_version", "input_params", "run_config", "build"}
    if not isinstance(doc, dict) or doc.keys() != fields or not isinstance(doc["op_id"], str):
        raise BadManifest(f"manifest_malformed: it is no object of {', '.join(sorted(fields))}", remedy=_AGAIN)
    asked = doc["input_params"]
    kinds = {"label": str, "params": dict, "settings": dict}
    if not isinstance(asked, dict) or any(
        not isinstance({"settings": {}, **asked}.get(name), kind) for name, kind in kinds.items()
    ):
        raise BadManifest("manifest_malformed: its input_params do not say what was asked", remedy=_AGAIN)
    return doc


def _check_secrets(doc: Mapping[str, Any]) -> None:
    """Names are not looked at: a target may be called `api_keys`, and a variable as it likes."""
    asked = doc["input_params"]
    params = {name: one for name, one in asked.items() if name != "label"}
    if "settings" in params:
        params["settings"] = list(params["settings"].values())
    for name, said in (("input_params", params), ("run_config", doc["run_config"])):
        if (pointer := find_secret(said)) is not None:
            raise SecretsDetected(f"the manifest would hold what looks like a secret, at /{name}{pointer}")
