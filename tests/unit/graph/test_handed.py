"""Context keys and `after`, as far as they are known before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from workshop import Workshop, lowered

from flowbuild.core.errors import Faults, FlowError

WRITER = "a: {rule: python, handler: h.py:write, outputs: {o: o}, writes: [k, l.m]}"
HANDLERS = """
def write(o, context):
    context.write("k", 1)
    context.write("l.m", 1)
def read(o, context):
    context.read("k")
def plain(o): ...
"""


@pytest.fixture
def space(tmp_path: Path) -> Workshop:
    found = Workshop(tmp_path)
    found.write("h.py", HANDLERS)
    found.write("rules/odd.rule.yaml", "rule: odd\nattributes: {keys: {type: list, default: []}}\nstates:\n  s: {kind: exec, with: {command: ['true']}, outputs: {o: o}, reads: '${{ attr.keys }}'}\n")  # fmt: skip
    found.write("rules/stray.rule.yaml", "rule: stray\nstates:\n  s: {kind: write, with: {content: ''}, outputs: {o: o}, after: ['//:a']}\n")  # fmt: skip
    return found


def declare(space: Workshop, *targets: str) -> None:
    space.write("BUILD.yaml", "\n  ".join(["targets:", *targets]) + "\n")


def fault(space: Workshop) -> FlowError:
    try:
        lowered(space)
    except Faults as several:
        (one,) = several.exceptions
        assert isinstance(one, FlowError)
        return one
    except FlowError as error:
        return error
    raise AssertionError("nothing is wrong")


@pytest.mark.parametrize(
    ("target", "code", "said"),
    [
        ("{handler: h.py:read, reads: [kk], after: [':a']}", "unknown_name", "the key is not declared; add it to `reads`"),
        ("{handler: h.py:write, writes: [k]}", "unknown_name", "context.write('l.m'): the key is not declared; add it to `writes`"),
        ("{handler: h.py:read, writes: [k], reads: [m], after: [':a']}", "unknown_name", "no state that comes before writes the context key 'm'"),
        ("{handler: h.py:read, reads: [k]}", "unknown_name", "name the one that writes it in `inputs` or `after`"),
        ("{handler: h.py:plain, writes: [k]}", "bad_attribute", "plain() does not ask for `context`; give it an argument `context`"),
        ("{handler: h.py:write, writes: [K]}", "bad_label", "invalid context_key: K; up to three words"),
        ("{handler: h.py:write, writes: [a.b.c.d]}", "bad_label", "invalid context_key: a.b.c.d"),
        ("{handler: h.py:write, writes: ['']}", "bad_label", "invalid context_key: "),
        ("{handler: h.py:write, writes: [api_key]}", "secrets_detected", "looks like a secret"),
        ("{handler: h.py:plain, after: [':gone']}", "unknown_target", "gone"),
        ("{rule: odd, keys: [k]}", "bad_rule", "only a state of kind python has a context"),
        ("{rule: odd, keys: {k: 1}}", "bad_attribute", "list"),
        ("{rule: stray}", "bad_rule", "`after` names //:a, which no attribute names"),
    ],
)  # fmt: skip
def test_what_is_refused(space: Workshop, target: str, code: str, said: str) -> None:
    whole = target if "rule:" in target else target.replace("{", "{rule: python, outputs: {o: o}, ", 1)
    declare(space, f"b: {whole}", WRITER)
    found = fault(space)
    assert (found.code, said in str(found)) == (code, True), found
    assert found.location is not None


def test_a_circle_of_after_is_found(space: Workshop) -> None:
    declare(space, "a: {rule: python, handler: h.py:plain, outputs: {o: o}, after: [':b']}", "b: {rule: python, handler: h.py:plain, outputs: {o: o}, after: [':a']}")  # fmt: skip
    assert fault(space).code == "cycle_found"


def test_after_a_group_waits_for_its_members_and_reads_none_of_their_files(space: Workshop) -> None:
    declare(
        space,
        WRITER,
        "b: {rule: exec, command: ['true'], outputs: {o: o}}",
        "both: {rule: group, targets: [':a', ':b']}",
        "z: {rule: python, handler: h.py:read, outputs: {o: o}, reads: [k, k], after: [':both']}",
    )
    graph = lowered(space, "//:z")
    last = graph.states[-1]
    assert {str(graph.states[number].label) for number in last.needs} == {"//:a", "//:b"}
    assert (last.inputs, last.reads, last.with_["reads"]) == ({}, ("k",), ["k"])


def test_nobody_waits_for_what_is_made_of_a_bundle(space: Workshop) -> None:
    declare(space, WRITER, "r: {rule: run, targets: [':a']}", "s: {rule: summary, run: ':r'}", "z: {rule: python, handler: h.py:plain, outputs: {o: o}, after: [':s']}")  # fmt: skip
    assert "no state can wait for it" in str(fault(space))


def test_without_keys_an_action_says_nothing_of_contexts(space: Workshop) -> None:
    declare(space, "a: {rule: python, handler: h.py:plain, outputs: {o: o}}")
    assert not {"reads", "writes"} & lowered(space).states[0].with_.keys()


def test_a_rule_of_ones_own_gives_each_of_its_states_keys(space: Workshop) -> None:
    space.write("rules/each.rule.yaml", """
        rule: each
        attributes: {names: {type: list, required: true}, wait: {type: list, items: label, default: []}}
        states:
          s:
            kind: python
            each: {reads: "${{ attr.names }}"}
            with: {handler: "h.py:own", with: {given: "${{ reads }}"}}
            outputs: {o: "${{ reads }}.txt"}
            after: "${{ attr.wait }}"
            reads: ["k"]
            writes: ["done.${{ reads }}"]
        """)  # fmt: skip
    space.write("h.py", HANDLERS + "def own(o, given, context): context.write(f'done.{given}', context.read('k'))\n")
    declare(space, WRITER, "z: {rule: each, names: [x, y], wait: [':a']}")
    one, two = lowered(space, "//:z").states[1:]
    assert [(state.reads, state.writes) for state in (one, two)] == [(("k",), ("done.x",)), (("k",), ("done.y",))]
    assert (one.after, one.with_["arguments"]["given"]) == ((0,), {"value": "x"})
