"""Templates: what ships, what a workspace adds, and what a template.yaml may say."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest

from flowbuild.core.errors import UnknownName
from flowbuild.core.label import Pattern
from flowbuild.load.template import find_templates, load_template
from flowbuild.load.workspace import Workspace, packages


class Loading(Protocol):
    root: Path

    def write(self, path: str, text: str) -> Path: ...

    def open(self) -> Workspace: ...

    def faults(self, act: object) -> list[str]: ...


SHIPPED = sorted(find_templates(None))


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_can_be_read(name: str) -> None:
    template = load_template(name, None)
    assert template.doc.endswith(".") and template.next
    assert all(param.doc for param in template.params.values())


def test_a_workspace_adds_its_own(loading: Loading) -> None:
    loading.write("templates/svc/template.yaml", "doc: A service.\n")
    loading.write("templates/notes/readme.txt", "no template\n")
    found = load_template("svc", loading.open())
    assert (found.doc, found.place, found.shown) == ("A service.", "package", "templates/svc")
    assert sorted(find_templates(loading.open())) == sorted([*SHIPPED, "svc"])


def test_a_template_that_ships_keeps_its_name(loading: Loading) -> None:
    loading.write("templates/plan/template.yaml", "doc: Mine.\n")
    assert loading.faults(lambda: find_templates(loading.open())) == [
        "templates/plan: the template 'plan' ships with flowbuild; name it otherwise"
    ]


def test_the_nearest_name_is_suggested() -> None:
    with pytest.raises(UnknownName, match="did you mean 'workspace'"):
        load_template("workspce", None)


def test_a_template_is_no_package_of_its_workspace(loading: Loading) -> None:
    loading.write("templates/svc/BUILD.yaml", "targets: ${{ new.x }}\n")
    loading.write("templates/BUILD.yaml", "")
    tree, one = Pattern("", tree=True), Pattern("templates/svc", tree=True)
    seen: list[str] = []
    assert packages(loading.open(), tree, seen.append) == ["templates", "templates/svc"]
    loading.write("templates/svc/template.yaml", "doc: A service.\n")
    seen.clear()
    assert packages(loading.open(), tree, seen.append) == ["templates"]
    assert "templates/svc" in seen  # where template.yaml may go away again
    seen.clear()
    assert (packages(loading.open(), one, seen.append), seen) == ([], ["templates/svc"])


BAD = """
dco: x
place: nowhere
params:
  directory: {default: x}
  Name: {}
  kind: {type: enum}
  count: {type: integer, default: many}
  text: {pattern: "["}
  number: {type: integer, pattern: "[0-9]+"}
  late: {default: "${{ new.later }}"}
  later: {default: "${{ attr.x }}"}
next: ["flowbuild ${{ new.labl }}"]
"""


def test_everything_wrong_is_told_at_once_with_its_place(loading: Loading) -> None:
    loading.write("templates/bad/template.yaml", BAD.lstrip())
    found = loading.faults(lambda: load_template("bad", loading.open()))
    where = [fault.removeprefix("templates/bad/template.yaml:").partition(":")[0] for fault in found]
    assert where == ["1", "1", "2", "4", "5", "6", "7", "8", "9", "10", "11", "12"]
    for part in ("did you mean 'doc'", "needs 'doc'", "one of package, root", "already", "later"):
        assert any(part in fault for fault in found), part


@pytest.mark.parametrize("pattern", ["[", "a{99999999999999999999}", "(" * 5000 + ")" * 5000, "[a--z]+", "[[a]"])
def test_a_pattern_that_no_python_takes(loading: Loading, pattern: str) -> None:
    loading.write("templates/bad/template.yaml", f"doc: A template.\nparams: {{a: {{pattern: '{pattern}'}}}}\n")
    (fault,) = loading.faults(lambda: load_template("bad", loading.open()))
    assert "is not a regular expression" in fault
    assert len(fault) < 400


def test_a_template_that_is_no_mapping(loading: Loading) -> None:
    loading.write("templates/bad/template.yaml", "- doc\n")
    assert len(loading.faults(lambda: load_template("bad", loading.open()))) == 1
