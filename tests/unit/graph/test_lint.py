"""The checks of lint: each finds its own, and keeps silent about what is fine. The docs' examples are run."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from seed_tree import SeedTree
from workshop import Workshop, declare, target

from flowbuild.core.errors import UserError
from flowbuild.core.label import parse_pattern
from flowbuild.graph.lint import CHECKS, lint
from flowbuild.graph.linted import Finding, Linted

PAGE = (Path(__file__).resolve().parents[3] / "docs/lint.md").read_text()


def look(space: Workshop, *patterns: str) -> list[Finding]:
    build = space.open("//...")
    labels = build.catalog.select([parse_pattern(text) for text in patterns or ("//...",)])
    return lint(Linted(build.catalog, labels, is_whole=not patterns))


def found(space: Workshop, targets: dict[str, Any], *patterns: str) -> list[tuple[str, str]]:
    """The checks that find something in a package `p`, with their messages."""
    space.write("p/BUILD.yaml", declare(targets))
    return [(one.check, one.message) for one in look(space, *patterns)]


def names(space: Workshop, targets: dict[str, Any], *patterns: str) -> list[str]:
    return [check for check, _ in found(space, targets, *patterns)]


def script(text: str, **more: Any) -> dict[str, Any]:
    return {"rule": "exec", "script": text, "outputs": {"o": "o"}, **more}


def handler(space: Workshop, source: str, **more: Any) -> dict[str, Any]:
    space.write("p/h.py", source)
    return {"rule": "python", "handler": "h.py:f", "outputs": {"o": "o"}, **more}


# The page


def test_the_page_s_table_is_the_code() -> None:
    told = re.findall(r"^\| `([\w-]+)` \| (.*) \|$", PAGE, re.M)
    assert told == [(check.name, check.doc) for check in CHECKS]


@pytest.mark.parametrize("check", [check.name for check in CHECKS])
def test_the_page_s_example_has_this_one_finding(check: str, workshop: Workshop) -> None:
    section = PAGE.split(f"### {check}\n")[1].split("\n### ")[0]
    assert "**Remedy:**" in section
    for text in re.findall(r"^```\w+\n(.*?)^```$", section, re.M | re.S):
        path = text.split()[1]
        workshop.write(path, text.partition("\n")[2] if path.endswith(".json") else text)  # JSON has no comments
    (one,) = look(workshop)
    assert (one.check, bool(one.remedy)) == (check, True)
    line = (workshop.root / one.location.path).read_text().splitlines()[one.location.line - 1]
    assert one.location.text == line and one.location.column > 0


def test_the_page_s_tag_silences(workshop: Workshop) -> None:
    (example,) = re.findall(r"^```yaml\n(targets:.*?)^```$", PAGE.split("## Checks")[0], re.M | re.S)
    workshop.write("p/BUILD.yaml", example)
    assert look(workshop) == []
    workshop.write("p/BUILD.yaml", example.replace("allow:", "allow-"))
    assert [one.check for one in look(workshop)] == ["volatile-output"]


def test_documents_are_looked_at_only_with_the_whole_workspace(workshop: Workshop) -> None:
    tree = SeedTree(workshop.root)
    workshop.write("p/BUILD.yaml", declare({"t": script("true > ${{ outputs.o }}")}))
    assert look(workshop) == []
    tree.edit("plan.json", "profiles", value=["opne"])
    tree.edit("registry/probes.json", "probes", "open:read", "name")
    tree.write("registry/registry_index.json", "[")
    said = {(one.location.path, one.check) for one in look(workshop)}
    names = ("plan.json", "registry/probes.json", "registry/registry_index.json")
    assert said == {(name, "bad-document") for name in names}
    assert look(workshop, "//p:all") == []


# What is right


def test_what_does_not_load_is_no_finding(workshop: Workshop) -> None:
    with pytest.raises(UserError):
        found(workshop, {"a": target("x", inputs={"i": ":b"})})


def test_a_tag_silences_its_own_target_only(workshop: Workshop) -> None:
    tagged = handler(workshop, "import time\ndef f(o): time.time()\n", tags=["allow:volatile-output"])
    plain = {name: value for name, value in tagged.items() if name != "tags"}
    assert names(workshop, {"a": tagged}) == []
    workshop.write("p/BUILD.yaml", declare({"a": tagged, "b": plain, "c": plain}))
    (one,) = look(workshop)
    assert str(one.label) == "//p:b", "one place is told once, with a target that does not allow it"


def test_findings_are_in_the_order_of_the_text(workshop: Workshop) -> None:
    spec = {"b": script("date > ${{ outputs.o }}", params={"x": 1}), "a": script("cp /etc/x ${{ outputs.o }}")}
    workshop.write("p/BUILD.yaml", json.dumps({"targets": spec}, indent=1))
    lines = [one.location.line for one in look(workshop)]
    assert lines == sorted(lines) and len(lines) == 3


# Parameters and attributes


@pytest.mark.parametrize(
    ("attrs", "expected"),
    [
        ({"command": "x"}, ["unused-param"]),
        ({"command": "x ${{ params.n }}"}, []),
        ({"command": "x ${{ params['n'] }}"}, []),
        ({"command": "x ${{ params.n + 1 }}"}, []),
        ({"command": "x", "env": {"N": "${{ params.n }}"}}, []),
        ({"command": "x ${{ params.nn }}", "params": {"n": 1, "nn": 2}}, ["unused-param"]),
    ],
)
def test_a_param_is_used_by_any_expression(workshop: Workshop, attrs: dict[str, Any], expected: list[str]) -> None:
    spec = {"rule": "exec", "outputs": {"o": "o"}, "params": {"n": 1}, **attrs}
    assert names(workshop, {"t": spec}) == expected


RULE = """
rule: say
attributes: {text: {type: string, default: hi}}
states:
  one:
    when: ${{ params.loud or attr.text }}
    kind: exec
    with: {script: "%s"}
"""


def test_a_rule_may_read_a_param(workshop: Workshop) -> None:
    workshop.write("rules/say.rule.yaml", RULE % "true")
    assert names(workshop, {"t": {"rule": "say", "params": {"loud": True}}}) == []


def test_what_a_rule_says_is_found_in_its_file_once(workshop: Workshop) -> None:
    workshop.write("rules/say.rule.yaml", RULE % "date; cat /etc/hosts")
    spec = {"rule": "say", "params": {"loud": True}}
    workshop.write("p/BUILD.yaml", declare({"a": spec, "b": spec}))
    assert [(one.check, str(one.location)) for one in look(workshop)] == [
        ("volatile-output", "rules/say.rule.yaml:7:21"),
        ("absolute-path", "rules/say.rule.yaml:7:31"),
    ]


def test_a_rule_is_unused_in_the_whole_workspace_only(workshop: Workshop) -> None:
    workshop.write("rules/say.rule.yaml", RULE % "true")
    assert names(workshop, {"t": target("x")}) == ["unused-rule"]
    assert names(workshop, {"t": target("x")}, "//p:all") == []


def test_a_rule_s_attributes_are_looked_at_with_its_targets(workshop: Workshop) -> None:
    workshop.write("rules/say.rule.yaml", RULE.replace("hi}", "hi}, more: any") % "true")
    spec = {"rule": "say", "params": {"loud": True}}
    assert names(workshop, {"t": spec, "u": target("x")}, "//p:t") == ["unused-attribute"]
    assert names(workshop, {"t": spec, "u": target("x")}, "//p:u") == []


def test_a_run_s_params_stand_in_its_bundle(workshop: Workshop) -> None:
    probes = {"p": {"operation": "process-exec", "target": "/bin/true"}}
    targets = {
        "probes": {"rule": "registry", "probes": probes, "profiles": {"free": {"restrict": {}}}},
        "plan": {"rule": "plan", "registry": ":probes", "profiles": ["free"]},
        "run": {"rule": "run", "plan": ":plan", "params": {"note": "x"}},
    }
    assert names(workshop, targets) == []


# Modules


@pytest.mark.parametrize(
    ("source", "modules", "expected"),
    [
        ("import a\n", ["a.py", "b.py"], ["unused-module"]),
        ("def g():\n    import a, b\n", ["a.py", "b.py"], []),
        ("from e import x\n", ["e/x.py"], []),
        ("from e import *\n", ["e/x.py"], []),
        ("import d.x\n", ["d/x.py", "d/__init__.py"], []),
        ("import importlib\n", ["a.py"], []),
        ("import c\n", ["c.py", "a.py"], []),  # c imports a
        ("import a\n", {"glob": "[ab].py"}, []),
        ("", {"glob": "[ab].py"}, ["unused-module"]),
        ("", ":lib", ["unused-module"]),
        ("import b\n", [":lib"], []),
    ],
)
def test_modules_that_are_not_imported(workshop: Workshop, source: str, modules: Any, expected: list[str]) -> None:
    for name, text in {"a": "", "b": "", "c": "import a\n", "d/x": "", "d/__init__": "", "e/x": ""}.items():
        workshop.write(f"p/{name}.py", text)
    lib = {"rule": "filegroup", "files": ["a.py", "b.py"]}
    spec = handler(workshop, source + "def f(o): ...\n", modules=modules)
    assert names(workshop, {"lib": lib, "t": spec}) == expected


# Outputs


def two(**more: Any) -> dict[str, Any]:
    return script("x", outputs={"a": "a", "b": "b"}, **more)


def test_an_output_beside_those_that_are_read(workshop: Workshop) -> None:
    reader = script("x", inputs={"a": ":t#a"})
    assert names(workshop, {"t": two()}) == []
    assert names(workshop, {"t": two(), "r": reader}) == ["unread-output"]
    assert names(workshop, {"t": two(), "r": reader}, "//p:all") == []
    assert names(workshop, {"t": two(), "r": reader, "g": {"rule": "group", "targets": [":t"]}}) == []
    assert names(workshop, {"t": two(), "r": reader, "s": {"rule": "filegroup", "files": [":t#b"]}}) == []
    assert names(workshop, {"t": two(), "s": {"rule": "filegroup", "files": [":t#b"]}}) == ["unread-output"]
    golden = {"rule": "golden", "actual": ":t#b", "expected": "b.txt"}
    assert names(workshop, {"t": two(), "r": reader, "s": golden}) == []


def test_a_target_that_is_named_without_an_output_may_be_wanted_whole(workshop: Workshop) -> None:
    rule = """
    rule: ship
    attributes: {what: {type: label, required: true}}
    states: {say: {kind: exec, with: {script: "echo ${{ attr.what }}"}}}
    """
    workshop.write("rules/ship.rule.yaml", rule)
    reader = script("x", inputs={"a": ":t#a"})
    assert names(workshop, {"t": two(), "r": reader, "s": {"rule": "ship", "what": ":t"}}) == []


# Absolute paths


@pytest.mark.parametrize(
    ("command", "path"),
    [
        ("cp /home/me/x ${{ outputs.o }}", "/home/me/x"),
        ("cc -I/usr/include --out=/opt/o", "/usr/include"),
        ("/opt/tool/bin/run x", "/opt/tool/bin/run"),
        ("sed -f /etc/script", "/etc/script"),
        ("tool /tmp/", "/tmp/"),
        ("tool /tmp", "/tmp"),
        ("dd if=/srv/x", "/srv/x"),
        ("tool /unusual/x", "/unusual/x"),
    ],
)
def test_absolute_paths_of_commands(workshop: Workshop, command: str, path: str) -> None:
    check, message = found(workshop, {"t": target(command)})[0]
    assert check == "absolute-path" and message.startswith(f"{path} is")


@pytest.mark.parametrize(
    "command",
    [
        "/usr/bin/sort x",
        "cat /dev/null",
        "sed -n /foo/p x",
        "awk /foo/",
        "awk /data/",
        "sed -n /data/p x",
        "cl /O2 x",
        "curl https://example.org/etc/x",
        "x a/b ./c ../d ${{ inputs.i }}/e",
        "x -o ${{ outputs.o }}",
        "tr / _",
        "x /regular expression/",
    ],
)
def test_what_is_no_absolute_path(workshop: Workshop, command: str) -> None:
    workshop.write("p/i", "")
    assert names(workshop, {"t": target(command, inputs={"i": "i"})}) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cat /etc/hosts", ["absolute-path"]),
        ('cat "/home/me/a b"', ["absolute-path"]),
        ("x > /tmp/y", ["absolute-path"]),
        ("sed '/data/d' x | awk '/tmp/ {print}' | sed '/usr/s/a/b/' | sed -n '/etc/,/end/p'", []),
        ("PATH=/usr/local/bin:/usr/bin x", []),
        ("# cat /etc/hosts\ncat x # like /etc/hosts", []),
        ("echo https://example.org/etc/x $HOME/etc/x ${A}/etc/x $(pwd)/etc/x ./etc/x > /dev/null", []),
        ("/usr/bin/env python3; sed 's/usr/x/' y", []),
        ("echo '#!/usr/bin/env python3'", []),
    ],
)
def test_absolute_paths_of_scripts(workshop: Workshop, text: str, expected: list[str]) -> None:
    assert names(workshop, {"t": script(text)}) == expected


def test_a_place_in_a_long_script(workshop: Workshop) -> None:
    workshop.write(
        "p/BUILD.yaml",
        """
        targets:
          t:
            rule: exec
            script: |
              # /etc/hosts is not read
              cat a |
                cat - /etc/hosts > ${{ outputs.o }}
            outputs: {o: o}
        """,
    )
    (one,) = look(workshop)
    assert (str(one.location), one.location.text[14:24]) == ("p/BUILD.yaml:7:15", "/etc/hosts")


def test_a_word_that_stands_otherwise_in_its_file_is_not_found_in_another_target(workshop: Workshop) -> None:
    workshop.write(
        "p/BUILD.yaml",
        r"""
        targets:
          t:
            rule: exec
            command: "cp \u002fhome/me/x"
            outputs: {o: o}
          u:
            doc: Not /home/me/x itself.
            rule: group
            targets: []
        """,
    )
    (one,) = look(workshop)
    assert str(one.location) == "p/BUILD.yaml:4:5"


# Names that are alike


def test_files_that_differ_by_capitals_or_by_unicode_form(workshop: Workshop) -> None:
    composed = "é.txt"
    other = unicodedata.normalize("NFD", composed)
    for name in ("A.txt", "a.txt", composed, other):
        workshop.write(f"p/{name}", "")
    if len(list((workshop.root / "p").iterdir())) < 4:
        pytest.skip("this file system does not tell such names apart")
    spec = {"rule": "filegroup", "files": {"glob": "*.txt"}}
    messages = dict(found(workshop, {"t": spec, "u": spec}))
    assert len(found(workshop, {"t": spec, "u": spec})) == 2, "each pair is told once"
    assert set(messages) == {"alike-names"}
    assert {message.split(",")[0].rpartition(" by ")[2] for _, message in found(workshop, {"t": spec})} == {
        "capitals",
        "Unicode form",
    }


def test_packages_that_differ_by_capitals(workshop: Workshop) -> None:
    (workshop.root / "p").mkdir()
    if (workshop.root / "P").exists():
        pytest.skip("this file system does not tell such names apart")
    workshop.write("P/BUILD.yaml", declare({"a": script("x"), "b": script("x")}))
    ((check, message),) = found(workshop, {"a": script("x")})
    assert (check, message.partition(" differ")[0]) == ("alike-names", "'P' and 'p'")


def test_a_directory_is_told_once(workshop: Workshop) -> None:
    outputs = {"a": "D/a", "b": "d/b", "c": "d/c"}
    assert names(workshop, {"t": script("x", outputs=outputs)}) == ["alike-names"]


# What differs from run to run


@pytest.mark.parametrize("tag", [[], ["allow:volatile-output"]])
def test_a_golden_declares_what_differs(workshop: Workshop, tag: list[str]) -> None:
    clock = handler(workshop, "import time\ndef f(o): time.time()\n")
    after = script("x", inputs={"i": ":t"})
    golden = {"rule": "golden", "actual": ":t", "expected": "g.json"}
    plain = ["volatile-output"]
    assert names(workshop, {"t": clock, "g": golden}) == plain
    assert names(workshop, {"t": clock, "g": {**golden, "volatile": ["/at"]}}) == []
    assert names(workshop, {"t": clock, "g": {**golden, "volatile": ["/at"]}}, "//p:t") == []
    behind = {**golden, "actual": ":u", "volatile": ["/at"]}
    assert names(workshop, {"t": clock, "u": after, "g": behind}) == []


def test_a_module_s_clock_is_the_target_s(workshop: Workshop) -> None:
    workshop.write("p/m.py", "from datetime import datetime\n\ndef now():\n    return datetime.now()\n")
    workshop.write("p/BUILD.yaml", declare({"t": handler(workshop, "import m\ndef f(o): ...\n", modules=["m.py"])}))
    (one,) = look(workshop)
    assert (str(one.location), str(one.label)) == ("p/m.py:4:12", "//p:t")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_places_do_not_depend_on_line_ends(workshop: Workshop, end: str) -> None:
    spec = handler(workshop, end.join(["import time", "", "def f(o):", "    é = time.time()", ""]))
    workshop.write("p/BUILD.yaml", declare({"t": spec}))
    (one,) = look(workshop)
    assert (str(one.location), one.location.text) == ("p/h.py:4:9", "    é = time.time()")


def test_equal_scripts_on_one_line_have_places_of_their_own(workshop: Workshop) -> None:
    workshop.write("p/BUILD.yaml", declare({"a": script("date"), "b": script("date")}))
    one, two = look(workshop)
    assert (str(one.label), str(two.label)) == ("//p:a", "//p:b")
    assert one.location.column < two.location.column


BLOCK = """
targets:
  t:
    rule: exec
    outputs: {o: o}
    script: |
"""


def test_equal_lines_of_a_script_have_places_of_their_own(workshop: Workshop) -> None:
    workshop.write("p/BUILD.yaml", (BLOCK + "      date\n      x\n      date; date\n").encode())
    assert [str(one.location)[13:] for one in look(workshop)] == ["7:7", "9:7", "9:13"]


def test_a_hostile_script_tells_its_first_hundred(workshop: Workshop) -> None:
    workshop.write("p/BUILD.yaml", (BLOCK + "      date; cat <<A /etc/x\n" * 20_000).encode())
    assert len(look(workshop)) == 200


# Tags


def test_a_tag_that_names_no_check(workshop: Workshop) -> None:
    ((check, message),) = found(workshop, {"t": target("x", tags=["allow:unused-parm", "other"])})
    assert (check, message) == ("unknown-allow", "the tag allow:unused-parm names no check")
