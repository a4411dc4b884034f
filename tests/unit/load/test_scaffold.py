"""Values of a template, its texts and names: what is rendered, what is left alone, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest

from flowbuild.core.errors import BadExpression, BadFlag, BadPath, Faults, FlowError, OutputClash
from flowbuild.load.scaffold import NewFile, next_steps, scaffold, values
from flowbuild.load.template import Template, load_template
from flowbuild.load.workspace import Workspace

FIXED = {"directory": "here", "label": "//a/here"}


class Loading(Protocol):
    root: Path

    def write(self, path: str, text: str) -> Path: ...

    def open(self) -> Workspace: ...


def template(loading: Loading, top: str = "", **files: str) -> Template:
    loading.write("templates/t/template.yaml", f"doc: A template.\n{top}")
    for path, text in files.items():
        loading.write(f"templates/t/{path}", text)
    return load_template("t", loading.open())


NAME = 'params: {name: {pattern: "[^x]*"}}\n'


def made(loading: Loading, text: str, name: str = "ada") -> str:
    found = template(loading, NAME, file=text)
    return scaffold(found, values(found, [f"name={name}"], FIXED))[0].data.decode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${{ new.name }}", "ada"),
        ("a${{new.name}}b ${{ new.name | upper }}", "aadab ADA"),
        ("${{ new.label }}:x in ${{ new.directory }}", "//a/here:x in here"),
        ("${{ inputs.names }} ${{ params.new }} $HOME {{ x }}", "${{ inputs.names }} ${{ params.new }} $HOME {{ x }}"),
        ("${{ hashFiles('**/*.lock') }}", "${{ hashFiles('**/*.lock') }}"),
        ("${{ '${{ new.name }}' }}", "${{ '${{ new.name }}' }}"),
        ("${{ new.name ~ '-' ~ new.directory }}", "ada-here"),
    ],
)
def test_expressions_about_new_are_rendered_and_no_others(loading: Loading, text: str, expected: str) -> None:
    assert made(loading, text) == expected


@pytest.mark.parametrize("value", ["${{ new.label }}", "{{ 7 * 7 }}", "${{ '' }}", "%s", "../..", "'; rm -rf /"])
def test_a_value_is_text_and_never_an_expression(loading: Loading, value: str) -> None:
    assert made(loading, "<${{ new.name }}>", value) == f"<{value}>"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\nb ${{ new.nmae }}", "templates/t/file:2: ${{ new.nmae }}: 'new' has no 'nmae'; did you mean 'name'?"),
        ("${{ new.name ~ inputs.x }}", "`new` stands with names that nobody knows yet"),
        ("\n\n${{ new.name", "templates/t/file:3: "),
        ("${{ new.name.__class__ }}", "has no parts"),
    ],
)
def test_what_cannot_be_rendered_is_told_with_its_line(loading: Loading, text: str, said: str) -> None:
    with pytest.raises(BadExpression) as caught:
        made(loading, text)
    assert said in str(caught.value)


def test_binary_files_and_the_executable_bit(loading: Loading) -> None:
    found = template(loading)
    (loading.root / "templates/t/logo.png").write_bytes(b"\x89PNG ${{ new.x \xff")
    loading.write("templates/t/bin/go", "#!/bin/sh\n").chmod(0o755)
    loading.write("templates/t/__pycache__/x.pyc", "")
    assert scaffold(found, values(found, [], FIXED)) == [
        NewFile("bin/go", b"#!/bin/sh\n", True),
        NewFile("logo.png", b"\x89PNG ${{ new.x \xff", False),
    ]


PARAMS = """
params:
  name: {pattern: "[a-z]+", doc: Who it is.}
  title: {default: "The ${{ new.name }}"}
  count: {type: integer, default: 3}
  loud: {type: boolean, default: false}
  kind: {type: enum, values: [big, small], default: big}
next: ["flowbuild ${{ new.label }}:${{ new.name }}"]
"""


def test_values_have_types_and_defaults_may_use_those_above(loading: Loading) -> None:
    found = template(loading, PARAMS)
    known = values(found, ["name=ada", "count=4", "loud=true", "kind=small"], FIXED)
    assert known == {**FIXED, "name": "ada", "title": "The ada", "count": 4, "loud": True, "kind": "small"}
    assert next_steps(found, known) == ["flowbuild //a/here:ada"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], ["the template 't' needs 'name': Who it is.; -D name=..."]),
        (["name=Ada"], ["-D name='Ada': 'Ada' does not match [a-z]+"]),
        (["name=ada\n"], ["one line, without control characters"]),
        (["name=ada", "title=a\0b"], ["U+0000"]),
        (["name=ada", "count=x"], ["'count' is an integer, and here stands the string 'x'"]),
        (["name=ada", "kind=bigg"], ["did you mean 'big'?"]),
        (["nam=ada", "name"], ["did you mean 'name'?", "-D name: a value is missing", "needs 'name'"]),
    ],
)
def test_wrong_values_are_told_all_at_once(loading: Loading, given: list[str], said: list[str]) -> None:
    found = template(loading, PARAMS)
    with pytest.raises((BadFlag, Faults)) as caught:
        values(found, given, FIXED)
    error = caught.value
    told = [str(fault) for fault in error.exceptions] if isinstance(error, Faults) else [str(error)]
    assert len(told) == len(said) and error.exit_code == 2
    assert all(part in line for part, line in zip(said, told, strict=True))


@pytest.mark.parametrize(
    "name",
    ["..", ".", "", "/etc/passwd", "../x", "a/b", "a\\b", ".git", ".GIT", ".flowbuild", "-rf", "e\u0301", "a" * 300],
)
def test_a_value_never_makes_a_name_that_leads_elsewhere(loading: Loading, name: str) -> None:
    loose = 'params: {name: {pattern: "(?s).*"}}\n'
    found = template(loading, loose, **{"${{ new.name }}": "x", "ok.txt": "x"})
    with pytest.raises(BadPath):
        scaffold(found, values(found, [f"name={name}"], FIXED))


def test_a_link_in_a_template_is_refused(loading: Loading) -> None:
    found = template(loading)
    (loading.root / "templates/t/link").symlink_to("/etc/passwd")
    with pytest.raises(BadPath, match="files and directories, and nothing else"):
        scaffold(found, values(found, [], FIXED))


@pytest.mark.parametrize("name", ["a", "A", "a-b"])
def test_two_files_in_one_place(loading: Loading, name: str) -> None:
    found = template(loading, NAME, **{"${{ new.name }}": "1", "a/b": "2", "a-b": "3"})
    with pytest.raises(OutputClash):
        scaffold(found, values(found, [f"name={name}"], FIXED))


def test_a_huge_value_is_bounded(loading: Loading) -> None:
    with pytest.raises(FlowError):
        made(loading, "${{ new.name * 1000000000 }}", "a" * 1000)
