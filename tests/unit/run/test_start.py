"""What a run begins with: every check of the seed, in its order, each with its code.

Seed 001: 001-12, 001-27.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from workshop import Workshop, declare, target

from flowbuild.core.canonical import canonical, sha256
from flowbuild.core.errors import BadConfig, BadManifest, FlowError, RunStale, SecretsDetected
from flowbuild.core.ids import OpId, StateId, new_run_id
from flowbuild.core.label import Label
from flowbuild.core.run_config import RunConfig
from flowbuild.graph.state import State
from flowbuild.run.manifest import Asked
from flowbuild.run.start import StartRun, check_held, check_start, keep, start_run, started
from flowbuild.run.story import Story
from flowbuild.store.cas import SEALED_NS, Cas

CONFIG = RunConfig(max_concurrency=2)
STATE = State(StateId("a.main.call"), Label("", "a"), "exec", "", {}, {}, {}, {})


def start(**params: Any) -> StartRun:
    return start_run(Asked(OpId("a"), "//:a", params, CONFIG), "direct", "build", ("AWS_ACCESS_KEY_ID",))


def edited(**fields: Any) -> StartRun:
    data = canonical({**start().doc, **fields})
    return start()._replace(manifest=data, manifest_id=sha256(data))


def test_what_fits_together_may_start() -> None:
    check_start(start(), [STATE], [0])
    check_start(start(), [STATE], [])  # the oracle's lane performs nothing


WRONG = [
    (start()._replace(config=RunConfig(max_concurrency=0)), BadConfig, "unsupported_execution_mode"),
    (start()._replace(manifest=b"{}  "), BadManifest, "manifest_not_canonical"),
    (start()._replace(manifest=b'{"a":1.5}'), BadManifest, "manifest_not_canonical"),
    (start()._replace(manifest=b"no json"), BadManifest, "manifest_not_canonical"),
    (start()._replace(manifest=b"{}"), BadManifest, "manifest_malformed"),
    (edited(op_id=1), BadManifest, "manifest_malformed"),
    (start(password="x"), SecretsDetected, "the manifest would hold what looks like a secret, at /input_params/params"),
    (start()._replace(manifest_id=sha256(b"")), BadManifest, "manifest_id_mismatch"),
    (start()._replace(op="b"), BadManifest, "manifest_op_id_mismatch"),
    (edited(op_id="b"), BadManifest, "manifest_op_id_mismatch"),
    (start()._replace(config=RunConfig(skip_tags=("a",))), BadManifest, "run_config_mismatch"),
    (edited(run_config={**CONFIG.doc(), "execution_mode": "Parallel"}), BadConfig, "unsupported_execution_mode"),
    (edited(run_config={}), BadConfig, "run_config_malformed"),
]


@pytest.mark.parametrize(("one", "kind", "said"), WRONG)
def test_what_does_not_fit_together(one: StartRun, kind: type[FlowError], said: str) -> None:
    with pytest.raises(kind, match=f"^{said}"):
        check_start(one, [STATE], [0])


def test_of_several_faults_the_first_of_the_seed_s_order_is_told() -> None:
    """Everything is wrong at first; each row mends what the one before named."""
    good, other = start(), RunConfig(skip_tags=("a",))
    rows = [
        ("unsupported_execution_mode", StartRun("b", RunConfig(max_concurrency=0), b"{}  ", sha256(b""))),
        ("manifest_not_canonical", StartRun("b", other, b"{}  ", sha256(b""))),
        ("the manifest would hold what looks like a secret", StartRun("b", other, start(password="x").manifest, sha256(b""))),
        ("manifest_id_mismatch", StartRun("b", other, good.manifest, sha256(b""))),
        ("manifest_op_id_mismatch", good._replace(op="b", config=other)),
        ("run_config_mismatch", good._replace(config=other)),
        ("DuplicateStateId", good),
    ]  # fmt: skip
    for said, one in rows:
        with pytest.raises(FlowError, match=f"^{said}"):
            check_start(one, [STATE, STATE], [0, 1])


def test_a_run_begins_with_these_checks(workshop: Workshop) -> None:
    workshop.write("BUILD.yaml", declare({"a": target("a")}))
    with workshop.open("//:a") as build:
        asked = Asked(OpId("build"), "//:a", {}, build.config())
        run = build.new_run(build.graph.closure(build.wanted), asked, new_run_id(), lambda: workshop.root)
        run.start = run.start._replace(op=OpId("other"))
        with pytest.raises(BadManifest, match="^manifest_op_id_mismatch"):
            next(run.events())
    assert not run.record.begun


def test_the_store_has_the_manifest_as_it_is(tmp_path: Path) -> None:
    cas, one = Cas(tmp_path), start()
    with pytest.raises(BadManifest, match="^manifest_not_found"):
        check_held(one, cas)
    cas.put(one.manifest)
    check_held(one, cas)
    other = cas.put(b"another document")
    with pytest.raises(BadManifest, match="^manifest_artifact_mismatch"):
        check_held(one._replace(manifest_id=other), cas)


def story(one: StartRun) -> Story:
    return Story("run", one.op, one.manifest_id)


def test_a_run_goes_on_as_it_began(tmp_path: Path) -> None:
    cas, one = Cas(tmp_path), start(limit=3)
    cas.put(one.manifest)
    assert started(story(one), cas, "a") == one


def test_another_manifest_than_the_journal_s(tmp_path: Path) -> None:
    cas, one = Cas(tmp_path), start()
    with pytest.raises(BadManifest, match="^manifest_not_found"):
        started(story(one), cas, "a")
    cas.put(one.manifest)
    told = story(one)
    told.op_id = "b"
    with pytest.raises(BadManifest, match="^run_started_op_id_mismatch"):
        started(told, cas, "b")
    with pytest.raises(RunStale, match="^plan_op_id_mismatch"):
        started(story(one), cas, "b")
    cas.put(b"{ }")
    told.manifest_id = sha256(b"{ }")
    with pytest.raises(BadManifest, match="^manifest_not_canonical"):
        started(told, cas, "a")


def edit_in(cas: Cas, one: StartRun) -> None:
    """Edit a manifest where it lies, and take care that stat doesn't tell."""
    path = cas.path(cas.put(one.manifest))
    path.chmod(0o644)
    path.write_bytes(one.manifest.replace(b'"//:a"', b'"//:b"'))
    os.utime(path, ns=(SEALED_NS, SEALED_NS))
    path.chmod(0o444)


def test_a_manifest_that_was_edited_in_the_store(tmp_path: Path) -> None:
    cas, one = Cas(tmp_path), start()
    edit_in(cas, one)
    with pytest.raises(BadManifest, match="^manifest_artifact_mismatch"):
        started(story(one), cas, "a")
    assert cas.path(one.manifest_id).exists()  # it is the evidence: nobody removes it, or makes it anew


def test_a_new_run_makes_anew_what_was_edited(tmp_path: Path) -> None:
    cas, one = Cas(tmp_path), start()
    edit_in(cas, one)
    keep(one, cas)
    assert started(story(one), cas, "a") == one


def test_what_was_set_is_looked_at_and_not_whose_it_is() -> None:
    def setting(settings: Any) -> StartRun:
        return edited(input_params={**start().doc["input_params"], "settings": settings})

    check_start(setting({"//:api_keys.limit": "3"}), [STATE], [0])
    with pytest.raises(SecretsDetected):
        check_start(setting({"//:a.limit": "password=3"}), [STATE], [0])
    with pytest.raises(BadManifest, match="do not say what was asked"):
        check_start(setting(["//:a.limit=3"]), [STATE], [0])


def test_a_run_that_does_not_fit_together_writes_nothing(tmp_path: Path) -> None:
    space = Workshop(tmp_path / "w")
    space.write("BUILD.yaml", declare({"a": target("a")}))
    with space.open("//:a") as build:
        asked = Asked(OpId("a"), "//:a", {}, build.config())
        run = build.new_run([0], asked, new_run_id(), lambda: pytest.fail("it begins"))
        run.start = run.start._replace(op="b")
        with pytest.raises(BadManifest, match="^manifest_op_id_mismatch"):
            next(run.events())
        assert not build.session.cas.intact(run.start.manifest_id)
