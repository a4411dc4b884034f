"""What a handler may spawn, as far as it is known before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from workshop import Workshop, lowered

from flowbuild.core.errors import FlowError
from flowbuild.core.label import Label
from flowbuild.graph.spawned import behind

HANDLERS = "def spawning(o, io): ...\ndef plain(o): ...\ndef reading(o, context): ...\n"
OTHERS = """
  b: {rule: exec, script: "cat ${{ inputs.c }} > ${{ outputs.o }}", inputs: {c: ":c"}, outputs: {o: b}}
  c: {rule: python, handler: h.py:spawning, outputs: {o: c}, pool: gpu, spawns: [":d"]}
  d: {rule: python, handler: h.py:plain, outputs: {o: d}, pool: disk}
  g: {rule: group, targets: [":b"]}
  f: {rule: filegroup, files: [h.py]}
  p: {rule: run, targets: [":b"]}
"""


@pytest.fixture
def space(tmp_path: Path) -> Workshop:
    found = Workshop(tmp_path)
    found.write("flowbuild.yaml", "pools: {gpu: 1, disk: 1}\n")
    found.write("h.py", HANDLERS)
    return found


def declare(space: Workshop, attributes: str) -> None:
    space.write("BUILD.yaml", f"targets:\n  a: {{rule: python, outputs: {{o: a}}, {attributes}}}{OTHERS}")


@pytest.mark.parametrize(
    ("attributes", "code", "said"),
    [
        ("handler: h.py:plain, spawns: [':b']", "bad_attribute", "plain() does not ask for `io`"),
        ("handler: h.py:spawning, spawns: [':gone']", "unknown_target", "gone"),
        ("handler: h.py:spawning, spawns: [':g']", "bad_attribute", "//:g performs nothing of its own"),
        ("handler: h.py:spawning, spawns: [':f']", "bad_attribute", "//:f performs nothing of its own"),
        ("handler: h.py:spawning, spawns: [':a']", "cycle_found", "//:a needs itself"),
        ("handler: h.py:spawning, pool: gpu, spawns: [':b']", "bad_attribute", "it holds one of pool 'gpu'"),
        ("handler: h.py:spawning, pool: disk, spawns: [':p']", "bad_attribute", "it holds one of pool 'disk'"),
        ("handler: h.py:reading, initial: [k]", "bad_attribute", "a run may begin with the context key 'k'"),
        ("handler: h.py:plain, reads: [k], initial: [k]", "bad_attribute", "does not ask for `context`"),
    ],
)
def test_what_can_not_spawn_or_be_spawned_is_refused(space: Workshop, attributes: str, code: str, said: str) -> None:
    declare(space, attributes)
    with pytest.raises(FlowError) as refused:
        lowered(space)
    assert refused.value.code == code and said in str(refused.value)
    assert refused.value.location is not None


def test_what_is_spawned_is_in_the_graph_and_nothing_waits_for_it(space: Workshop) -> None:
    declare(space, "handler: h.py:spawning, spawns: [':p', ':b']")
    graph = lowered(space)
    (a,) = (state for state in graph.states if state.label == Label("", "a"))
    assert a.spawns == (Label("", "p"), Label("", "b")) and not list(a.needs)
    assert graph.closure([Label("", "a")]) == [graph.states.index(a)]
    found = {graph.states[number].label.name for number in behind(graph.states, graph.targets, [Label("", "p")])}
    assert found == {"b", "c", "d"}


def test_a_run_may_begin_with_a_key_that_nobody_writes(space: Workshop) -> None:
    declare(space, "handler: h.py:reading, reads: [k], initial: [k]")
    assert [state.initial for state in lowered(space).states if state.label.name == "a"] == [("k",)]
