"""Templates: `each`, `when`, late values, commands and handlers, as a workspace's own rules use them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from workshop import Workshop, declare, lowered, target

from flowbuild.core.errors import BadAttribute, BadExpression, BadRule, FlowError
from flowbuild.core.label import parse
from flowbuild.graph.state import Product, Source, State

RULE = """
rule: report
doc: A section for each table, then a page.
attributes:
  tables: {type: files, required: true, doc: The tables.}
  heading: {type: string, default: "${{ target.package }}", doc: A title.}
  draft: {type: boolean, default: false, doc: Whether it is one.}
outputs: {page: "${{ states.page.outputs.page }}"}
states:
  section:
    each: {table: "${{ attr.tables }}"}
    kind: exec
    with: {command: ["cut", "${{ table.name }}", "${{ inputs.table }}", "${{ outputs.part }}"]}
    inputs: {table: "${{ table }}"}
    outputs: {part: "${{ table.index }}.part"}
    timeout: 1.5
    tags: [table]
  banner:
    when: ${{ attr.draft }}
    kind: exec
    with: {command: ["draft", "${{ outputs.banner }}"]}
    outputs: {banner: banner.txt}
  page:
    kind: exec
    with: {script: "cat ${{ inputs.parts }} > ${{ outputs.page }} # ${{ attr.heading }}"}
    inputs: {parts: "${{ states.section.outputs.part }}"}
    outputs: {page: "${{ target.name }}.md"}
"""


@pytest.fixture
def report(workshop: Workshop) -> Workshop:
    workshop.write("rules/report.rule.yaml", RULE)
    workshop.write("w/a.csv", "a\n")
    workshop.write("w/b.csv", "b\n")
    return workshop


def states(space: Workshop, **attrs: Any) -> list[State]:
    space.write("w/BUILD.yaml", declare({"page": {"rule": "report", **attrs}}))
    return list(lowered(space).states)


def test_each_makes_a_state_an_item(report: Workshop) -> None:
    report.write("w/deep/a.csv", "a\n")
    *sections, _ = states(report, tables=["a.csv", "b.csv", "deep/a.csv"])
    assert [state.declared["part"] for state in sections] == ["0.part", "1.part", "2.part"]
    assert [state.id.rpartition(".")[2] for state in sections] == ["section_a", "section_b", "section_a_2"]
    assert sections[2].with_ == {"command": ["cut", "a", "deep/a.csv", "../out/bin/w/page/2.part"]}
    assert sections[0].timeout_ms == 1500


def test_a_state_has_the_tags_of_its_target_and_of_its_rule(report: Workshop) -> None:
    *sections, page = states(report, tables=["a.csv"], tags=["night", "table"])
    assert ([one.tags for one in sections], page.tags) == ([("night", "table")], ("night", "table"))
    *sections, page = states(report, tables=["a.csv"])
    assert ([one.tags for one in sections], page.tags) == ([("table",)], ())


def test_an_edge_is_an_expression(report: Workshop) -> None:
    *sections, page = states(report, tables=["a.csv", "b.csv"])
    assert list(page.needs) == [0, 1]
    assert page.inputs["parts"].many
    assert page.inputs["parts"].items[0] == Product(0, "part", "out/bin/w/page/0.part")
    assert sections[0].inputs["table"].items == (Source("w/a.csv"),)


def test_no_items_no_states(report: Workshop) -> None:
    (page,) = states(report, tables={"glob": "*.nothing", "optional": True})
    assert page.inputs["parts"].items == ()


@pytest.mark.parametrize(("draft", "count"), [(False, 2), (True, 3)])
def test_when_decides_before_anything_runs(report: Workshop, draft: bool, count: int) -> None:
    assert len(states(report, tables="a.csv", draft=draft)) == count


def test_a_default_is_an_expression_too(report: Workshop) -> None:
    *_, page = states(report, tables="a.csv")
    assert page.with_["script"].endswith("# w")


def test_what_others_see(report: Workshop) -> None:
    report.write("w/BUILD.yaml", declare({"page": {"rule": "report", "tables": "a.csv"}}))
    built = lowered(report).targets[parse("//w:page")]
    assert built.outputs["page"].items == (Product(1, "page", "out/bin/w/page/page.md"),)
    assert built.states == (0, 1)


def exec_state(space: Workshop, **attrs: Any) -> State:
    """The state of an exec target."""
    space.write("w/BUILD.yaml", declare({"t": {"rule": "exec", "outputs": {"o": "o"}, **attrs}}))
    return lowered(space).states[-1]


def test_a_command_is_split_before_it_is_rendered(workshop: Workshop) -> None:
    workshop.write("w/a b.txt", "")
    command = "tool 'two words' ${{ inputs.i }} --out=${{ outputs.o }}"
    found = exec_state(workshop, command=command, inputs={"i": "a b.txt"})
    assert found.with_["command"] == ["tool", "two words", "a b.txt", "--out=../out/bin/w/t/o"]
    assert found.title == "tool two words a b.txt …"


def test_a_list_is_as_many_words_in_a_command(workshop: Workshop) -> None:
    for name in "ab":
        workshop.write(f"w/{name}.txt", "")
    found = exec_state(workshop, command="tool ${{ inputs.i }}", inputs={"i": {"glob": "*.txt"}})
    assert found.with_["command"] == ["tool", "a.txt", "b.txt"]


def test_a_script_is_quoted(workshop: Workshop) -> None:
    workshop.write("w/it's.txt", "")
    found = exec_state(workshop, script="cat ${{ inputs.i }} > ${{ outputs.o }}", inputs={"i": "it's.txt"})
    assert found.with_ == {"script": """cat 'it'"'"'s.txt' > ../out/bin/w/t/o"""}


@pytest.mark.parametrize(
    ("env", "expected"),
    [(["A", "B"], {"A": None, "B": None}), ({"A": "1"}, {"A": "1"}), ({"A": "${{ target.name }}"}, {"A": "t"})],
)
def test_env(workshop: Workshop, env: Any, expected: dict[str, str | None]) -> None:
    assert exec_state(workshop, command="x", env=env).env == expected


def test_a_variable_may_name_an_output(workshop: Workshop) -> None:
    assert exec_state(workshop, command="x", env={"TO": "${{ outputs.o }}"}).env == {"TO": "../out/bin/w/t/o"}


@pytest.mark.parametrize(("workspace", "own", "stage"), [("", None, True), ("stage: false", None, False)])
def test_stage(workshop: Workshop, workspace: str, own: bool | None, stage: bool) -> None:
    workshop.write("flowbuild.yaml", workspace)
    assert exec_state(workshop, command="x").stage is stage
    assert exec_state(workshop, command="x", stage=True).stage
    assert not exec_state(workshop, command="x", stage=False).stage


@pytest.mark.parametrize(
    ("attrs", "kind", "message"),
    [
        ({"command": ""}, BadAttribute, "no program"),
        ({"command": "${{ inputs.nope }}"}, BadExpression, "nope"),
        ({"command": "x", "script": "y"}, BadAttribute, "script"),
        ({}, BadAttribute, "command"),
        ({"command": "x 'open"}, FlowError, "quot"),
    ],
)
def test_what_is_refused_has_a_place(
    workshop: Workshop, attrs: dict[str, Any], kind: type[FlowError], message: str
) -> None:
    with pytest.raises(kind, match=re.compile(message, re.IGNORECASE)) as caught:
        exec_state(workshop, **attrs)
    assert caught.value.location is not None
    assert caught.value.location.path == "w/BUILD.yaml"
    assert caught.value.location.line


HANDLER = "from util import x\ndef f(i, o, n): ...\n"


def python_state(space: Workshop, source: str = HANDLER, **attrs: Any) -> State:
    space.write("w/h.py", source)
    space.write("w/util.py", "x = 1\n")
    space.write("w/i.txt", "")
    spec = {"rule": "python", "handler": "h.py:f", "modules": ["util.py"], "inputs": {"i": "i.txt"}}
    space.write("w/BUILD.yaml", declare({"t": {**spec, "outputs": {"o": "o"}, "with": {"n": 3}, **attrs}}))
    return lowered(space).states[-1]


def test_a_handler_gets_its_arguments_by_name(workshop: Workshop) -> None:
    found = python_state(workshop)
    arguments = {"i": {"path": "i.txt"}, "o": {"path": "../out/bin/w/t/o"}, "n": {"value": 3}}
    assert found.with_["arguments"] == arguments
    assert (found.with_["source"], found.with_["function"]) == ("w/h.py", "f")
    assert found.code is not None
    assert found.code.modules == {"util": "w/util.py"}


def test_a_list_is_a_list_of_paths(workshop: Workshop) -> None:
    assert python_state(workshop, inputs={"i": ["i.txt"]}).with_["arguments"]["i"] == {"paths": ["i.txt"]}


@pytest.mark.parametrize(
    ("attrs", "message"),
    [
        ({"with": {"m": 3}}, "f\\(\\) has no argument 'm'"),
        ({"handler": "h.py:g"}, "no function g"),
        ({"handler": "gone.py:f"}, "gone.py"),
        ({"modules": []}, "util"),
        ({"modules": ["i.txt"]}, "i.txt is no Python source"),
        ({"with": {"n": 1, "o": 2}}, "'o'"),
    ],
)
def test_a_handler_that_does_not_fit(workshop: Workshop, attrs: dict[str, Any], message: str) -> None:
    with pytest.raises((FlowError, ExceptionGroup)) as caught:
        python_state(workshop, **attrs)
    errors = caught.value.exceptions if isinstance(caught.value, ExceptionGroup) else [caught.value]
    assert re.search(message, "\n".join(map(str, errors)))
    assert all(isinstance(error, FlowError) and error.location is not None for error in errors)


@pytest.mark.parametrize("command", ["[true]", "[sort, 3]", "{a: b}"])
def test_a_rule_s_own_command_is_of_words(workshop: Workshop, command: str) -> None:
    state = "{kind: exec, with: {command: %s}, outputs: {o: o}}" % command  # noqa: UP031
    workshop.write("rules/mine.rule.yaml", f"rule: mine\nstates:\n  s: {state}\n")
    workshop.write("BUILD.yaml", "targets:\n  t: {rule: mine}\n")
    with pytest.raises(BadRule, match="rule mine: a word of its command is"):
        lowered(workshop)


@pytest.mark.parametrize(
    ("effects", "applies", "asks", "tags"),
    [
        ("pure", False, False, ()),
        ("read_only_io", False, True, ()),
        ("apply_side_effect", True, False, ("apply_side_effect",)),
    ],
)
def test_what_a_state_does_to_the_world(
    workshop: Workshop, effects: str, applies: bool, asks: bool, tags: tuple[str, ...]
) -> None:
    workshop.write("BUILD.yaml", declare({"a": target("a", side_effects=effects)}))
    (one,) = lowered(workshop).states
    assert (one.applies, one.asks, one.tags) == (applies, asks, tags)
