"""What helps while writing: schemas for editors, by the real program."""

from __future__ import annotations

import json

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
