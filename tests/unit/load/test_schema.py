"""The loader and the schemas: what the loader accepts the schemas accept, on a corpus of good and bad files."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from flowbuild.core.errors import FlowError
from flowbuild.load.config import load_config
from flowbuild.load.package import load_package
from flowbuild.load.rulefile import load_rules
from flowbuild.load.schema import SHAPES, build_schema, schemas, workspace_schema
from flowbuild.load.source import parse
from flowbuild.load.types import TYPES
from flowbuild.load.workspace import open_workspace

HEAD = "{rule: exec, outputs: {o: o}, "
GOOD = {
    "empty": "",
    "null targets": "targets:\ndoc:\n",
    "command": HEAD + "command: ls}",
    "words": HEAD + "command: [head, -n, 3]}",
    "script": HEAD + "script: 'echo ${{ outputs.o }}', command: null}",
    "glob": HEAD + "command: ls, inputs: {a: {glob: '*.txt', exclude: [b.txt], optional: true}}}",
    "several": HEAD + "command: ls, inputs: {a: [x.txt, ':t', {glob: [a/*, b/*]}]}}",
    "env list": HEAD + "command: ls, env: [HOME]}",
    "env map": HEAD + "command: ls, env: {A: b, B: 3, C: null}}",
    "timeout": HEAD + "command: ls, timeout: 0.5, stage: false, tags: [slow]}",
    "expressions": HEAD + "command: ls, params: {t: 3, s: true}, timeout: '${{ params.t }}', stage: '${{ params.s }}'}",
    "params": HEAD + "command: ls, params: {a: {type: enum, values: [x, y], default: x}, b: 1.5, c: {default: z, doc: d}}}",
    "python": "{rule: python, handler: 'top.py:run', outputs: {o: o/}, modules: [a.py], with: {a: [1, {b: null}]}}",
    "golden": "{rule: golden, actual: ':a', expected: golden.json, volatile: [/a/0, '']}",
    "group": "{rule: group, targets: [':a', //b:c]}",
    "plan": "{rule: plan, registry: ':r', profiles: [p], lanes: [baseline]}",
    "registry": "{rule: registry, probes: {p: {operation: x}}, profiles: {}}",
    "executor": "{rule: executor, command: node plant.js, sources: {glob: '*.js'}}",
    "filegroup": "{rule: filegroup, files: a.txt, doc: '${{ not read }}'}",
}  # fmt: skip
BAD = {
    "unknown rule": "{rule: exce}",
    "no rule": "{outputs: {o: o}}",
    "null rule": "{rule: null}",
    "unknown attribute": HEAD + "command: ls, comand: ls}",
    "no output": "{rule: exec, command: ls}",
    "null outputs": "{rule: exec, command: ls, outputs: null}",
    "neither": "{rule: exec, outputs: {o: o}}",
    "both": HEAD + "command: ls, script: ls}",
    "number": HEAD + "script: 3}",
    "empty command": HEAD + "command: []}",
    "flag": HEAD + "command: ls, stage: no}",
    "half an expression": HEAD + "command: ls, stage: 'a ${{ params.x }}', params: {x: 1}}",
    "expression for params": HEAD + "command: ls, params: '${{ x }}'}",
    "expression for tags": HEAD + "command: ls, tags: '${{ x }}'}",
    "no time": HEAD + "command: ls, timeout: 0}",
    "output name": "{rule: exec, command: ls, outputs: {O: o}}",
    "absolute output": "{rule: exec, command: ls, outputs: {o: /o}}",
    "null input": HEAD + "command: ls, inputs: {a: null}}",
    "nested list": HEAD + "command: ls, inputs: {a: [[x]]}}",
    "glob key": HEAD + "command: ls, inputs: {a: {glob: x, exlude: y}}}",
    "no glob": HEAD + "command: ls, inputs: {a: {exclude: y}}}",
    "variable": HEAD + "command: ls, env: [A-B]}",
    "variable name": HEAD + "command: ls, env: {A-B: c}}",
    "handler": "{rule: python, handler: top.py, outputs: {o: o}}",
    "label": "{rule: golden, actual: a, expected: b}",
    "path": "{rule: golden, actual: ':a', expected: ':b'}",
    "pointer": "{rule: golden, actual: ':a', expected: b, volatile: [a]}",
    "enum": "{rule: plan, registry: ':r', profiles: [p], lanes: [bas]}",
    "list": "{rule: group, targets: ':a'}",
    "param": HEAD + "command: ls, params: {a: [1]}}",
    "param without default": HEAD + "command: ls, params: {a: {type: string}}}",
}  # fmt: skip
# What only the loader can know: the schemas accept these, and the loader refuses them.
ONLY_LOADER = {
    "a path that leaves": "{rule: filegroup, files: ../../x}",
    "outputs that clash": "{rule: exec, command: ls, outputs: {a: x, b: x/y}}",
    "an unknown name": HEAD + "command: 'ls ${{ params.x }}'}",
    "one name twice": HEAD + "command: ls, inputs: {o: x}}",
    "an integral float": HEAD + "command: ls, params: {a: {type: integer, default: 1.5}}}",
    "an open quote": HEAD + "command: 'a \"'}",
    "a bad glob": "{rule: filegroup, files: {glob: /x}}",
    "a bad label": "{rule: group, targets: ['//a//b']}",
}  # fmt: skip
SETTINGS_GOOD = ["", "name: x", "cache: {dir: c}", "runtime:", "pools: {gpu: 1}", "ignore: [a/]", "stage: false"]
SETTINGS_BAD = ["nam: x", "name: 3", "cache: {dri: c}", "pools: {gpu: 0}", "ignore: a", "stage: 1", "bundle: []"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "flowbuild.yaml").write_text("")
    return tmp_path


def says(root: Path, text: str) -> tuple[bool, bool]:
    """Whether the loader and the schema accept a BUILD.yaml."""
    whole = f"targets:\n  t: {text}\n" if text.startswith("{") else text
    (root / "BUILD.yaml").write_text(whole)
    workspace = open_workspace(root)
    rules = load_rules(workspace, lambda _: None)
    accepts = jsonschema.Draft202012Validator(build_schema(rules)).is_valid(parse(whole.encode(), "BUILD.yaml"))
    try:
        load_package(workspace, "", rules)
    except (FlowError, ExceptionGroup):
        return False, accepts
    return True, accepts


@pytest.mark.parametrize("name", GOOD)
def test_both_accept(root: Path, name: str) -> None:
    assert says(root, GOOD[name]) == (True, True)


@pytest.mark.parametrize("name", BAD)
def test_both_refuse(root: Path, name: str) -> None:
    assert says(root, BAD[name]) == (False, False)


@pytest.mark.parametrize("name", ONLY_LOADER)
def test_only_the_loader_knows(root: Path, name: str) -> None:
    assert says(root, ONLY_LOADER[name]) == (False, True)


@pytest.mark.parametrize("text", [*SETTINGS_GOOD, *SETTINGS_BAD])
def test_settings(root: Path, text: str) -> None:
    (root / "flowbuild.yaml").write_text(text)
    accepts = jsonschema.Draft202012Validator(workspace_schema()).is_valid(parse(text.encode(), ""))
    assert accepts is (text in SETTINGS_GOOD)
    try:
        load_config(root, root / "flowbuild.yaml", "flowbuild.yaml")
    except (FlowError, ExceptionGroup):
        assert not accepts
    else:
        assert accepts


def test_every_type_has_a_shape() -> None:
    assert SHAPES.keys() == TYPES.keys()


def test_schemas_are_schemas(root: Path) -> None:
    rules = load_rules(open_workspace(root), lambda _: None)
    for schema in schemas(rules).values():
        jsonschema.Draft202012Validator.check_schema(schema)
