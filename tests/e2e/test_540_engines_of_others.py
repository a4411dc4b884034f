"""An engine that an installed distribution brings performs the steps of a flow."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from flowbuild.testing import Space

ENGINE = """
import json
from flowbuild.core.action import Outcome
from flowbuild.core.event import Domain
from flowbuild.engine.engine import Capabilities


class Shouting:
    capabilities = Capabilities("shouting", "1", ("shout",))

    def __init__(self, setting):
        pass

    def perform(self, action, io):
        yield Domain("shouted", {"state_id": action.state_id})
        (name,) = action.outputs
        path = io.scratch(action) / "result.json"
        path.write_text(json.dumps({"text": action.with_["text"].upper()}))
        return Outcome({name: io.collect(path)})

    def interrupt(self): ...

    def close(self): ...
"""
FLOW = """
targets:
  loud:
    rule: flow
    steps:
      one: {type: shout, with: {text: hello}, next: two}
      two: {type: shout, with: {text: $step.one.text}}
"""


@pytest.fixture
def space(tmp_path: Path) -> Space:
    """A workspace beside a directory of installed packages that holds one more."""
    site = tmp_path / "site"
    info = site / "shouting-2.1.dist-info"
    info.mkdir(parents=True)
    (site / "shouting_engine.py").write_text(ENGINE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shouting\nVersion: 2.1\n")
    (info / "entry_points.txt").write_text("[flowbuild.engines]\nshouting = shouting_engine:Shouting\n")
    path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
    space = Space(tmp_path / "ws", {"PYTHONPATH": path})
    space.write("p/BUILD.yaml", FLOW)
    return space


def test_it_performs_the_steps_of_a_flow_and_they_are_remembered(space: Space) -> None:
    ran = space.run("//p:loud", "--engine", "shouting")
    assert ran.code == 0, ran
    assert json.loads(space.read("out/bin/p/loud/result.json"))["steps"]["two"] == {"text": "HELLO"}
    assert space.run("//p:loud", "--engine", "shouting").performed == 0
    assert "shouting" in space.run("list", "engines").out


def test_another_engine_has_not_its_step_kinds(space: Space) -> None:
    ran = space.run("//p:loud")
    assert ran.code == 3 and "no step kind 'shout'" in ran.err
