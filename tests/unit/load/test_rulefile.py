"""Rule files: those that ship load, a full one means what it says, and every fault has its place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flowbuild.load.attributes import Attribute
from flowbuild.load.rule import Rule
from flowbuild.load.rulefile import load_rule, load_rules
from flowbuild.load.workspace import RuleFile, builtin_rules

from .conftest import Loading

SHIPPED = sorted(path.name for path in builtin_rules().iterdir())

FULL = """\
rule: report
doc: A report.
attributes:
  tables:  {type: inputs, required: true, doc: The tables.}
  heading: {type: string, default: "${{ target.name }}"}
  draft:   {type: boolean, default: false}
  lanes:   {type: list, items: {type: enum, values: [a, b]}}
outputs: {page: "${{ states.page.outputs.page }}"}
states:
  section:
    each: {table: "${{ attr.tables }}"}
    kind: exec
    with: {command: [flow-section, "${{ inputs.table }}", "${{ outputs.part }}"]}
    inputs: {table: "${{ table }}"}
    outputs: {part: "${{ table.name }}.part"}
  page:
    when: ${{ not attr.draft }}
    kind: exec
    with: {script: "cat ${{ inputs.parts }} > ${{ outputs.page }}"}
    inputs: {parts: "${{ states.section.outputs.part }}"}
    outputs: {page: "${{ target.name }}.md"}
    env: [LC_ALL]
    timeout: 3
    observes: host
    missing: allowed
    tags: [x]
"""


def read(loading: Loading, text: str, name: str = "report") -> Rule:
    return load_rule(RuleFile(loading.write(f"rules/{name}.rule.yaml", text), f"rules/{name}.rule.yaml", False))


@pytest.mark.parametrize("name", SHIPPED)
def test_each_rule_that_ships_loads(name: str) -> None:
    rule = load_rule(RuleFile(builtin_rules() / name, name, True))
    assert rule.name == name.removesuffix(".rule.yaml")
    assert rule.doc and all(attribute.doc for attribute in rule.attributes.values()), "it is the reference"


def test_the_rules_that_ship() -> None:
    names = "exec executor filegroup flow golden group plan promotion python registry run summary"
    assert [name.removesuffix(".rule.yaml") for name in SHIPPED] == names.split()


def test_rules_that_ship_need_no_jinja() -> None:
    code = (
        "import sys; from pathlib import Path; from flowbuild.load.workspace import open_workspace, find\n"
        "from flowbuild.load.rulefile import load_rules\n"
        "load_rules(find(Path('examples')), lambda directory: None); sys.exit('jinja2' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=False).returncode == 0


def test_a_full_rule(loading: Loading) -> None:
    rule = read(loading, FULL)
    assert rule.attributes["heading"] == Attribute("heading", "string", default="${{ target.name }}")
    assert rule.attributes["lanes"].items == Attribute("lanes", "enum", values=("a", "b"))
    assert (rule.lower, rule.test, list(rule.states)) == (None, False, ["section", "page"])
    page = rule.states["page"]
    assert (page.when, page.timeout, page.observes, page.missing) == ("${{ not attr.draft }}", 3, "host", "allowed")
    assert (page.env, page.tags, page.each, page.stage) == ({"LC_ALL": None}, ("x",), None, None)
    assert rule.states["section"].each == {"table": "${{ attr.tables }}"}


FAULTS = [
    ("rule: report", "rule: other", "1:7: the rule is named 'other' and its file 'report'; make the two agree"),
    ("doc: A report.", "docs: A report.", "2:1: a rule file has no 'docs'; did you mean 'doc'?"),
    ("type: inputs", "type: input", "4:19: 'type' is one of any, boolean, command"),
    ("type: string, ", "", "5:3: the attribute 'heading' needs 'type'"),
    ("required: true", "requird: true", "4:27: the attribute 'tables' has no 'requird'; did you mean 'required'?"),
    ("default: false", "default: no", "6:37: 'draft' is a boolean, and here stands the string 'no'; write true or"),
    ("${{ target.name }}\"}\n  draft", "${{ target.nme }}\"}\n  draft", "5:36: ${{ target.nme }}: 'target' has no"),
    ("  draft: ", "  params:", "6:3: every target has 'params' already; name it otherwise"),
    ("  draft: ", "  Draft: ", "6:3: 'Draft' is not a name"),
    ("values: [a, b]", "values: []", "7:25: 'lanes': `values` belongs to type enum, and enum needs it"),
    ("{type: boolean, default", "{type: boolean, items: string, default", "6:28: only a list and a map have items"),
    ("states.page.outputs.page", "states.pge.outputs.page", "8:17: ${{ states.pge.outputs.page }}: 'states' has no"),
    ("states.page.outputs.page", "states.page.outputs.pge", "8:17: the state 'page' has no output 'pge'; did you"),
    ("states.page.outputs.page", "states.page.inputs.page", "8:17: a state has `outputs` and nothing else:"),
    ("states.page.outputs.page", "inputs.page", "8:17: ${{ inputs.page }}: there is no 'inputs' here; inputs are"),
    ("    kind: exec\n    with: {command", "    with: {command", "10:3: the state 'section' needs 'kind'"),
    ("with: {command", "wth: {command", "13:5: the state 'section' has no 'wth'; did you mean 'with'?"),
    ("${{ inputs.table }}", "${{ inputs.tabel }}", "13:36: ${{ inputs.tabel }}: 'inputs' has no 'tabel'; did you"),
    ("${{ outputs.part }}", "${{ states.page.outputs.page }}", "13:59: ${{ states.page.outputs.page }}: there is no"),
    ("${{ table }}", "${{ tabel }}", "14:21: ${{ tabel }}: there is no 'tabel' here; did you mean 'table'?"),
    ("${{ table.name }}", "${{ table.nme }}", "15:21: ${{ table.nme }}: 'table' has no 'nme'; did you mean 'name'?"),
    ("attr.draft", "attr.drft", "17:11: ${{ not attr.drft }}: 'attr' has no 'drft'; did you mean 'draft'?"),
    ("not attr.draft", "not", "17:11: ${{ not }}: "),
    ("not attr.draft }}", "not attr.draft }", "17:11: '${{ not attr.draft }': an expression is opened and never"),
    ("${{ not attr.draft }}", "sometimes", "17:11: 'when' is a boolean, and here stands the string 'sometimes'"),
    ('"${{ states.section.outputs.part }}"', '"${{ states.page.outputs.page }}"', "20:21: these states wait for one"),
    ("{parts:", "{Parts:", "20:14: 'Parts' is not a name"),
    ("observes: host", "observes: me", "24:15: 'observes' is one of host, and here stands the string 'me'"),
    ("timeout: 3", "timeout: -3", "23:14: 'timeout' is a number of seconds above zero, and here stands the number -3"),
    ("each: {table: ", "each: {a: x, table: ", "11:11: `each` names one variable, and gives its items"),
    ('"${{ attr.tables }}"}\n    kind', "tables}\n    kind", "11:19: the items are a list, or one whole expression"),
    ("  page:\n", "  Page:\n", "16:3: 'Page' is not a name"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "fault"), FAULTS)
def test_a_fault_has_its_very_place(loading: Loading, old: str, new: str, fault: str) -> None:
    assert old in FULL
    found = loading.faults(lambda: read(loading, FULL.replace(old, new, 1)))
    assert any(line.startswith(f"rules/report.rule.yaml:{fault}") for line in found), found


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("rule: report", "1:7: a rule has `states`, or `lower` instead of them; give one of the two"),
        ("rule: report\nlower: a.b:c\nstates: {s: {kind: exec}}", "1:7: a rule has `states`, or `lower` instead"),
        ("rule: report\nlower: a.b", "2:8: 'a.b' is not a function; write package.module:function"),
        ("rule: report\nlower: a:b\none_of: [x]", "3:10: the rule has no attribute 'x'"),
        ("rule: report\nlower: a:b\ndistinct: x", "3:11: 'distinct' is a list"),
        ("rule: report\nlower: a:b\nattributes: [x]", "3:13: 'attributes' is a mapping, and here stands a list"),
        ("rule: report\nstates: {s: exec}", "2:13: the state 's' is a mapping, and here stands the string 'exec'"),
        ("lower: a:b", "1:1: a rule file needs 'rule'; it is a string: the rule's name"),
        ("rule: report\nstates: ${{ x }}", "2:9: 'states' holds no expression; write a mapping"),
        ("rule: report\nlower: a:b\nattributes: ${{ x }}", "3:13: 'attributes' holds no expression"),
        ("rule: report\nstates: {s: {kind: exec, tags: '${{ x }}'}}", "2:32: 'tags' holds no expression"),
        ("- a", "1:1: a rule file is a mapping, and here stands a list"),
        ("", "a rule file is a mapping, and here stands nothing"),
    ],
)
def test_what_a_rule_needs(loading: Loading, text: str, fault: str) -> None:
    found = loading.faults(lambda: read(loading, text))
    assert any(fault in line for line in found), found


@pytest.mark.parametrize("pairs", [("ab", "bc", "ca"), ("ac", "cb", "ba")])
def test_states_in_a_circle(loading: Loading, pairs: tuple[str, str, str]) -> None:
    state = '  {0}: {{kind: exec, inputs: {{i: "${{{{ states.{1}.outputs.o }}}}"}}, outputs: {{o: {0}}}}}\n'
    text = "rule: report\nstates:\n" + "".join(state.format(*pair) for pair in (*pairs, "da"))
    (found,) = loading.faults(lambda: read(loading, text))
    place, *edges = found.splitlines()
    assert place == "rules/report.rule.yaml:3:31: these states wait for one another:"
    assert edges == [f"    {a} --inputs.i--> {b}" for a, b in pairs[:2]] + [
        f"    {pairs[2][0]} --inputs.i--> a; cut one of these edges"
    ]


EACH = """
rule: report
attributes: {names: {type: map}}
states:
  one:
    each: EACH
    kind: exec
    with: {command: "say ${{ it.any.thing }}"}
    outputs: {o: o/*}
  two:
    kind: exec
    with: {command: say}
    inputs: {i: "${{ states.one.outputs.o }}"}
    outputs: {p: p}
"""


def test_a_circle_may_lead_through_each(loading: Loading) -> None:
    text = EACH.replace("EACH", '{it: "${{ states.two.outputs.p }}"}')
    (fault,) = loading.faults(lambda: read(loading, text))
    assert "these states wait for one another" in fault and "each" in fault


def test_the_variable_of_each_may_be_the_targets_own(loading: Loading) -> None:
    text = EACH.replace("EACH", '"${{ attr.names }}"').replace("${{ it.any.thing }}", "x")
    assert read(loading, text).each_attributes == {"names"}
    (fault,) = loading.faults(lambda: read(loading, text.replace("attr.names", "attr.nmes")))
    assert "did you mean 'names'?" in fault


def test_faults_of_every_rule_file_come_at_once(loading: Loading) -> None:
    loading.write("rules/one.rule.yaml", "rule: two\nx: 1\nlower: a:b\n")
    loading.write("rules/two.rule.yaml", "rule: !x two\n")
    loading.write("rules/exec.rule.yaml", "rule: exec\nlower: a:b\n")
    (loading.root / "rules/gone.rule.yaml").symlink_to("nowhere")
    found = loading.faults(lambda: load_rules(loading.open(), lambda directory: None))
    assert [line.split(": ")[0] for line in found] == [
        "rules/exec.rule.yaml", "rules/gone.rule.yaml is a link to nothing; remove it, or mend it",
        "rules/one.rule.yaml:1:7", "rules/one.rule.yaml:2:1", "rules/two.rule.yaml:1:7",
    ]  # fmt: skip


def test_a_rule_of_the_workspace_stands_beside_those_that_ship(loading: Loading) -> None:
    loading.write("rules/report.rule.yaml", FULL)
    visits: list[str] = []
    rules = load_rules(loading.open(), visits.append)
    assert list(rules) == [*(name.removesuffix(".rule.yaml") for name in SHIPPED), "report"]
    assert visits == ["rules"]
