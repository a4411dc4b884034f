"""An experiment's run: when a bundle is made, and what moves LATEST; the answers of the probes are scripted."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from workshop import Workshop

from flowbuild.bundle import commit, experiment
from flowbuild.bundle.read import load_bundle
from flowbuild.core.action import Action, ErrorInfo, Outcome
from flowbuild.core.canonical import canonical
from flowbuild.core.errors import DiskRefused
from flowbuild.engine.engine import Io, Performance
from flowbuild.testing import ScriptedEngine

BUILD = """
targets:
  probes:
    rule: registry
    probes:
      read: {operation: file-read-data, target: /etc/hosts}
      shell: {operation: process-exec, target: /bin/sh}
    profiles:
      open: {restrict: {}}
      no-exec: {restrict: {exec: deny}, denies: [shell]}
  plan: {rule: plan, registry: //e:probes, profiles: [open, no-exec]}
  run: {rule: run, plan: //e:plan}
"""
RUN = "//e:run"


class Probing(ScriptedEngine):
    """Answers every probe as its profile expects, unless `answers` say otherwise; `broken` ones fail."""

    answers: Mapping[tuple[str | None, str], str] = {}
    broken: frozenset[str] = frozenset()

    def perform(self, action: Action, io: Io) -> Performance:
        if action.kind != "probe":
            return (yield from super().perform(action, io))
        asked = action.with_
        name, profile = asked["probe"]["name"], asked["profile"]
        self.performed.append(f"{profile}.{name}")
        if name in self.broken:
            return Outcome(error=ErrorInfo("probe_broke", f"{name} broke"))
        denied = asked["restrict"] and name == "shell"
        actual = self.answers.get((profile, name), "deny" if denied else "allow")
        row = io.scratch(action) / "row"
        row.write_bytes(canonical(answer(asked, actual)))
        return Outcome({"row": io.collect(row) or {}})


def answer(asked: Mapping[str, Any], actual: str) -> dict[str, Any]:
    result = {"status": "errno", "errno": 1, "errno_name": "EPERM"} if actual == "deny" else {"status": "success"}
    probe = asked["probe"]
    return {
        "probe": probe["name"],
        "operation": probe["operation"],
        "target": probe["target"],
        "lane": asked["lane"],
        "profile": asked["profile"],
        "actual": actual,
        "runtime_result": result,
    }


Make = Callable[..., Any]


@pytest.fixture
def lab(workshop: Workshop) -> Workshop:
    workshop.write("e/BUILD.yaml", BUILD)
    workshop.engine = Probing
    return workshop


def runs(space: Workshop) -> set[str]:
    return {path.name for path in (space.root / "out/e/run").iterdir() if path.is_dir()}


def latest(space: Workshop) -> str:
    return space.read("out/e/run/LATEST").strip()


def summary(space: Workshop, run_id: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(space.read(f"out/e/run/{run_id or latest(space)}/summary.json"))
    return found


def test_a_first_run_is_a_bundle_that_loads(lab: Workshop) -> None:
    made = lab.make(RUN)
    assert made.code == 0
    assert runs(lab) == {latest(lab)}
    assert load_bundle(lab.root / "out/e/run").index.run_id == latest(lab)
    assert "scenario lane    2 profiles" in made.out


def test_nothing_performed_and_nothing_new_makes_none(lab: Workshop) -> None:
    lab.make(RUN)
    again = lab.make(RUN)
    assert again.performed == []
    assert len(runs(lab)) == 1
    assert again.out.startswith(f"up to date: //e:run (run {latest(lab)[:8]}")


def test_live_makes_a_new_one_and_moves_latest(lab: Workshop) -> None:
    lab.make(RUN)
    before = latest(lab)
    lab.make(RUN, "--policy", "live")
    assert latest(lab) != before
    assert len(runs(lab)) == 2


@pytest.mark.parametrize("words", [("--only-profile", "open"), ("--only-scenario", "no-exec.shell")])
def test_a_filtered_run_never_moves_latest(lab: Workshop, words: tuple[str, str]) -> None:
    lab.make(RUN)
    before = latest(lab)
    assert lab.make(RUN, *words).code == 0
    assert latest(lab) == before
    assert len(runs(lab)) == 2


@pytest.mark.parametrize(
    ("words", "performed"),
    [
        ((), ["None.read", "None.shell", "open.read", "open.shell", "no-exec.read", "no-exec.shell"]),
        (("--only-profile", "open"), ["None.read", "None.shell", "open.read", "open.shell"]),
        (("--only-scenario", "no-exec.shell"), ["None.shell", "no-exec.shell"]),
        (("--only-profile", "open", "--only-scenario", "open.read"), ["None.read", "open.read"]),
    ],
)
def test_what_a_filter_leaves(lab: Workshop, words: tuple[str, ...], performed: list[str]) -> None:
    assert lab.make(RUN, *words, "-j1").performed == performed


class Broken(Probing):
    broken = frozenset({"shell"})


def test_a_failed_run_is_committed_and_never_moves_latest(lab: Workshop) -> None:
    lab.make(RUN)
    before = latest(lab)
    lab.engine = Broken
    assert lab.make(RUN, "--policy", "live").code == 1
    assert latest(lab) == before
    (failed,) = runs(lab) - {before}
    assert summary(lab, failed)["status"] == "failed"


class Surprising(Probing):
    answers: Mapping[tuple[str | None, str], str] = {("no-exec", "shell"): "allow"}


@pytest.mark.parametrize(("words", "code"), [((), 0), (("--strict",), 1)])
def test_a_mismatch_is_partial(lab: Workshop, words: tuple[str, ...], code: int) -> None:
    lab.engine = Surprising
    assert lab.make(RUN, *words).code == code
    assert summary(lab)["status"] == "partial"


def test_out_is_another_place(lab: Workshop) -> None:
    assert lab.make(RUN, "--out", "elsewhere").code == 0
    assert (lab.root / "elsewhere/e/run/LATEST").exists()
    assert not (lab.root / "out/e").exists()


def test_what_the_journal_names_is_in_the_bundle(lab: Workshop) -> None:
    lab.make(RUN)
    bundle = load_bundle(lab.root / "out/e/run")
    journal = (bundle.out_dir / "journal.jsonl").read_text()
    held = {path.name for path in (bundle.out_dir / "objects").iterdir()}
    named = {word for word in journal.replace('"', " ").split() if len(word) == 64}
    assert named <= held


def test_a_bundle_that_may_not_outlive_the_power_is_exit_5(lab: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bool:
        raise DiskRefused(f"{path}: Input/output error (EIO)")

    with monkeypatch.context() as patch:
        patch.setattr(
            commit, "flush_directory", lambda path: refuse(path) if list(path.glob("artifact_index.json")) else True
        )
        assert lab.make(RUN).code == 5
    assert lab.make(RUN).code == 0


def test_a_preflight_that_breaks_is_the_engines_fault(lab: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    from flowbuild.core.errors import EngineLost

    monkeypatch.setattr(experiment.preflight, "command", lambda channel: ["/bin/echo", "no json"])
    with pytest.raises(EngineLost, match="the preflight broke"):
        lab.make(RUN)


def test_the_host_is_asked_once_and_only_for_probes(lab: Workshop, tmp_path: Path) -> None:
    with lab.open("//e:plan") as build:
        build.build()
        assert build.experiment.preflight is None
    with lab.open(RUN) as build:
        build.build()
        assert build.session.facts.world() is build.session.facts.world()
        assert build.experiment.preflight is not None
