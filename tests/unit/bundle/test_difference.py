"""Two runs beside each other: what came to something else, and which fields explain it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flowbuild.bundle.difference import Side, difference
from flowbuild.core.canonical import Digest, canonical, sha256
from flowbuild.core.errors import StoreCorrupt
from flowbuild.run.story import FAILED, PERFORMED, REUSED, Story, Told
from flowbuild.run.why import Change

from .evidence_sample import row_document


class Run:
    """A run to compare, made by hand."""

    def __init__(self, **asked: Any) -> None:
        self.objects: dict[str, bytes] = {}
        self.account = Story()
        self.asked = {"label": "//e:run", "channel": "direct", "policy": "build", "params": {}, **asked}
        self.expected: dict[str, str] = {}

    def keep(self, doc: Any) -> str:
        data = canonical(doc)
        self.objects[sha256(data)] = data
        return sha256(data)

    def state(self, name: str, action: dict[str, Any], output: Any, how: str = PERFORMED) -> Run:
        outputs = {"row" if action.get("step_kind") == "probe" else "o": self.keep(output)}
        error = {"code": "exit"} if how == FAILED else None
        told = Told(name, how, f"//{name}", self.keep(action), {} if how == FAILED else outputs, error)
        self.account.states[name] = told
        return self

    def probe(self, probe: str, actual: str | None, profile: str = "no-network", **more: Any) -> Run:
        asked = {"lane": "scenario", "profile": profile, "probe": {"name": probe}}
        action = {"step_kind": "probe", "with": asked, **more}
        failure = {} if actual else {"failure_stage": "apply", "failure_kind": "policy_unavailable"}
        return self.state(probe, action, row_document(probe, profile, actual, **failure))

    def read(self, digest: Digest) -> bytes:
        if digest not in self.objects:
            raise StoreCorrupt(f"{digest} is gone")
        return self.objects[digest]

    @property
    def side(self) -> Side:
        return Side(self.account, self.asked, self.expected, self.read)


def test_a_run_beside_itself() -> None:
    run = Run().probe("signal", "deny").state("top", {"step_kind": "exec"}, 1)
    found = difference(run.side, run.side)
    assert (found.differs, found.compared) == (False, 2)


def test_reused_or_performed_live_or_built_is_no_difference() -> None:
    old = Run().state("top", {"step_kind": "exec"}, 1)
    new = Run(policy="live").state("top", {"step_kind": "exec"}, 1, REUSED)
    assert not difference(old.side, new.side).differs


def test_an_answer_that_changed_and_the_fields_that_explain_it() -> None:
    old = Run().probe("signal", "allow", world={"isolation": "a"})
    new = Run().probe("signal", "deny", world={"isolation": "b"})
    (moved,) = difference(old.side, new.side).moved
    assert (moved.probe, moved.old, moved.new) == ("scenario no-network/signal", "allow", "deny EACCES")
    assert moved.changes == (Change("world.isolation", "a", "b"),)


def test_an_answer_that_changed_from_the_same_action() -> None:
    (moved,) = difference(Run().probe("signal", "allow").side, Run().probe("signal", None).side).moved
    assert (moved.is_same_action, moved.changes) == (True, ())
    assert moved.new == "blocked (policy_unavailable at apply)"


def test_what_every_changed_action_has_in_common_is_told_once() -> None:
    old = Run().probe("signal", "allow", world="a").probe("tcp-connect", "allow", world="a")
    new = Run().probe("signal", "allow", world="b").probe("tcp-connect", "deny", world="b", more=1)
    found = difference(old.side, new.side)
    assert found.everywhere == (Change("world", "a", "b"),)
    assert [(one.label, len(one.changes)) for one in found.moved] == [("//tcp-connect", 2)]
    assert [one.label for one in found.unmoved] == ["//signal"]


def test_other_words_of_one_answer_are_no_difference() -> None:
    old, new = Run().probe("signal", "allow"), Run()
    action = {"step_kind": "probe", "with": {"lane": "scenario", "profile": "no-network", "probe": {"name": "signal"}}}
    new.state("signal", action, row_document("signal", "no-network", "allow") | {"stdout": "hello"})
    assert old.account.states["signal"].outputs != new.account.states["signal"].outputs
    assert not difference(old.side, new.side).differs


def test_outputs_failures_and_states_of_one_run_only() -> None:
    old = Run().state("top", {"step_kind": "exec", "with": 1}, 1).state("gone", {}, 1).state("bad", {}, 1)
    new = Run().state("top", {"step_kind": "exec", "with": 2}, 2).state("fresh", {}, 1).state("bad", {}, 1, FAILED)
    found = difference(old.side, new.side)
    assert [(one.label, one.old.split()[0], one.new.split()[0]) for one in found.moved] == [
        ("//top", "o", "o"),
        ("//bad", "o", "failed"),
    ]
    assert found.moved[0].changes == (Change("with", 1, 2),)
    assert [one.label for one in (*found.only_old, *found.only_new)] == ["//gone", "//fresh"]


@pytest.mark.parametrize(
    ("asked", "field"),
    [({"channel": "clean"}, "channel"), ({"params": {"limit": 3}}, "params.limit"), ({"label": "//f:run"}, "label")],
)
def test_options_are_differences(asked: dict[str, Any], field: str) -> None:
    found = difference(Run().side, Run(**asked).side)
    assert [change.field for change in found.options] == [field]
    assert found.differs


def test_what_is_expected_is_a_difference() -> None:
    old, new = Run(), Run()
    old.expected, new.expected = {"p/x": "allow"}, {"p/x": "deny"}
    assert difference(old.side, new.side).expected == (Change("p/x", "allow", "deny"),)


def test_a_document_that_is_gone_is_not_made_up() -> None:
    old, new = Run().probe("signal", "allow", world="a"), Run().probe("signal", "deny", world="b")
    old.objects.clear()
    (moved,) = difference(old.side, new.side).moved
    assert (moved.is_same_action, moved.changes) == (False, ())
    assert moved.old.startswith("row ")
    assert json.dumps(moved._asdict())
