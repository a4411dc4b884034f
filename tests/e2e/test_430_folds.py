"""Targets made of a committed bundle: `promotion` and `summary`. They follow their run, and are made once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flowbuild.bundle import fold
from flowbuild.bundle.fold import FOLDS
from flowbuild.bundle.read import load_bundle
from flowbuild.graph.builtin import SUMMARIES
from flowbuild.load.rulefile import load_rules
from flowbuild.load.workspace import find
from flowbuild.testing import Space

LAB = """
targets:
  probes:
    rule: registry
    probes:
      read-outside: {operation: file-read-data, target: outside/file}
      read-variable: {operation: environment-read, target: FLOWBUILD_PLANTED}
    profiles:
      unrestricted: {restrict: {}}
      scrubbed: {restrict: {environment: scrub}, denies: [read-variable]}
  plan: {rule: plan, registry: //lab:probes, profiles: [unrestricted, scrubbed]}
  run: {rule: run, plan: //lab:plan}
  promotion: {rule: promotion, run: //lab:run}
  told: {rule: summary, run: //lab:run}
  data: {rule: summary, run: //lab:run, format: json}
  ops: {rule: summary, run: //lab:run, format: ops}
  everything: {rule: group, targets: [//lab:promotion, //lab:told, //lab:data, //lab:ops]}
"""


@pytest.fixture
def lab(space: Space) -> Space:
    space.write("lab/BUILD.yaml", LAB)
    return space


def shown(space: Space, path: str) -> Path:
    return space.root / "out/bin/lab" / path


def test_a_promotion_builds_its_run_first_and_says_what_it_found(lab: Space) -> None:
    ran = lab.run("//lab:promotion")
    assert ran.code == 0 and ran.performed == 6, ran
    assert "//lab:promotion: not promotable: not_clean_channel" in ran.out
    assert "out/bin/lab/promotion/promotion_packet.json" in ran.out
    packet = json.loads(shown(lab, "promotion/promotion_packet.json").read_text())
    assert packet["run_id"] == load_bundle(lab.root / "out/lab/run").index.run_id
    again = lab.run("//lab:promotion")
    assert (again.code, again.performed) == (0, 0), again
    assert lab.run("outputs", "//lab:promotion").out.splitlines() == [
        f"out/lab/run/{packet['run_id']}",
        "out/bin/lab/promotion/promotion_packet.json",
    ]


def test_a_summary_is_the_bundle_s_own(lab: Space) -> None:
    assert lab.build("//lab:everything").performed == 6
    bundle = load_bundle(lab.root / "out/lab/run")
    assert shown(lab, "told/summary.md").read_bytes() == bundle.read("summary.md")
    assert shown(lab, "data/summary.json").read_bytes() == bundle.read("summary.json")
    ops = json.loads(shown(lab, "ops/op_summary.json").read_text())
    assert set(ops["ops"]) == {"file-read-data", "environment-read"}
    assert json.loads(lab.run("bundle", "summarize", "//lab:run", "--ops").out) == ops
    shown(lab, "told/summary.md").write_text("better")
    assert lab.run("//lab:everything").code == 0
    assert shown(lab, "told/summary.md").read_bytes() == bundle.read("summary.md")


def test_another_run_is_told_anew(lab: Space) -> None:
    lab.build("//lab:everything")
    before = shown(lab, "promotion/promotion_packet.json").read_text()
    lab.write("lab/BUILD.yaml", LAB.replace("outside/file", "/etc/hosts"))
    assert lab.build("//lab:everything").performed == 3
    after = shown(lab, "promotion/promotion_packet.json").read_text()
    assert before != after and load_bundle(lab.root / "out/lab/run").index.run_id in after
    assert "/etc/hosts" not in after and lab.run("explain", "//lab:promotion").code == 0


def test_a_run_that_must_be_promotable_fails_the_build(lab: Space) -> None:
    lab.write(
        "lab/BUILD.yaml",
        LAB.replace("promotion, run: //lab:run", "promotion, run: //lab:run, require_promotable: true"),
    )
    ran = lab.run("//lab:promotion")
    assert ran.code == 1 and "not_clean_channel" in ran.out, ran
    assert not shown(lab, "promotion/promotion_packet.json").exists()


def test_json_tells_of_it(lab: Space) -> None:
    told = [event for event in lab.events("//lab:promotion") if event.get("label") == "//lab:promotion"]
    assert told == [
        {
            "label": "//lab:promotion",
            "paths": ["out/bin/lab/promotion/promotion_packet.json"],
            "reasons": ["not_clean_channel"],
        }
    ]


WRONG = {
    "run: //lab:plan": "//lab:plan is no run: its rule is plan",
    "run: //lab:rum": "did you mean",
    "run: //lab:run, key: keys/k": "keys/k is no place outside of the workspace",
    "run: //lab:run, key: ROOT/k": "lies in the workspace",
    "run: //lab:run, require: true": "has no 'require'",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_said_with_its_place(lab: Space, text: str) -> None:
    target = "{rule: promotion, " + text.replace("ROOT", str(lab.root)) + "}"
    lab.write("lab/BUILD.yaml", LAB.replace("{rule: promotion, run: //lab:run}", target))
    ran = lab.run("//lab:promotion")
    assert ran.code == 2 and "lab/BUILD.yaml:12:" in ran.err and WRONG[text] in ran.err, ran


def test_every_fold_has_its_rule(space: Space) -> None:
    rules = load_rules(find(space.root), lambda directory: None)
    assert {name for name in rules if name in FOLDS} == set(FOLDS)
    assert set(SUMMARIES) == set(rules["summary"].attributes["format"].values)
    assert set(SUMMARIES.values()) == set(fold._SUMMARIES)
