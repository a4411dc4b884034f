"""What helps while writing: schemas for editors, by the real program."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from flowbuild.testing import Space

RULE = """
rule: shout
attributes: {text: {type: string, required: true}}
states: {say: {kind: exec, with: {script: "echo ${{ attr.text }}"}}}
"""


def test_schemas_know_the_rules_of_the_workspace(space: Space) -> None:
    space.write("rules/shout.rule.yaml", RULE)
    ran = space.run("schema", "--out", ".schemas")
    assert ran.code == 0, ran
    assert ".schemas/build.schema.json" in ran.out.splitlines()
    build = json.loads(space.read(".schemas/build.schema.json"))
    assert "text" in build["$defs"]["shout"]["required"]
    assert json.loads(space.run("schema", "shout").out)["title"] == "rule shout"


def test_an_unknown_schema_is_refused_with_the_nearest(space: Space) -> None:
    ran = space.run("schema", "exce")
    assert (ran.code, "did you mean 'exec'?" in ran.err) == (2, True), ran


# Lint

ODD = """
targets:
  a:
    rule: exec
    script: date > ${{ outputs.o }}
    outputs: {o: o}
    params: {x: 1}
"""


def test_lint_tells_all_findings_at_once_with_their_lines(space: Space) -> None:
    space.write("p/BUILD.yaml", ODD)
    ran = space.run("lint")
    assert (ran.code, ran.err) == (1, "")
    assert ran.out.splitlines()[:3] == [
        "p/BUILD.yaml:4:13: date makes the outputs differ from run to run, and nothing declares that"
        " [volatile-output //p:a]",
        "        script: date > ${{ outputs.o }}",
        "                ^",
    ]
    assert ran.out.splitlines()[-1] == "2 findings in 1 package"
    assert not (space.root / ".flowbuild").exists()


def test_lint_as_json_is_one_finding_a_line(space: Space) -> None:
    space.write("p/BUILD.yaml", ODD)
    ran = space.run("lint", "//p:all", "--json")
    first, second = map(json.loads, ran.out.splitlines())
    assert (ran.code, first["check"], second["check"]) == (1, "volatile-output", "unused-param")
    assert second["path"] == "p/BUILD.yaml" and (second["line"], second["column"]) == (6, 14)
    assert second["text"] == "    params: {x: 1}" and second["label"] == "//p:a"


def test_in_a_workflow_findings_stand_at_their_lines(space: Space) -> None:
    space.write("p/BUILD.yaml", ODD)
    ran = space.run("lint", GITHUB_ACTIONS="true", GITHUB_WORKSPACE=str(space.root))
    assert ran.code == 1
    first, second = ran.err.splitlines()
    assert first.startswith("::error file=p/BUILD.yaml,line=4,col=13,title=volatile-output::date makes the outputs")
    assert second.startswith("::error file=p/BUILD.yaml,line=6,col=14,title=unused-param::")


def test_lint_of_nothing_and_of_nothing_odd(space: Space) -> None:
    assert space.run("lint")[:2] == (0, "nothing found in 0 packages\n")
    space.write("p/BUILD.yaml", ODD.replace("date", "true").replace("params: {x: 1}", ""))
    assert space.run("lint")[:2] == (0, "nothing found in 1 package\n")
    assert space.run("lint", "-C", "p", ":a")[:2] == (0, "nothing found in 1 package\n")
    assert space.run("lint", "--json")[:2] == (0, "")


def test_what_does_not_load_comes_before_what_is_odd(space: Space) -> None:
    space.write("p/BUILD.yaml", ODD)
    space.write("q/BUILD.yaml", "targets: {a: {rule: exce}}\n")
    ran = space.run("lint")
    assert (ran.code, ran.out) == (2, "") and "did you mean 'exec'?" in ran.err


def test_the_examples_have_no_findings() -> None:
    examples = Path(__file__).resolve().parents[2] / "examples"
    done = subprocess.run(
        [sys.executable, "-m", "flowbuild", "-C", examples, "lint"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0 and done.stdout.startswith("nothing found in "), done
