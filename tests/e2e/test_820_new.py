"""`flowbuild new`: each template makes what builds, passes its test, and has nothing left to do when built again."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from flowbuild.load.template import find_templates
from flowbuild.testing import Ran, Space


def run(here: Path, *words: str) -> Ran:
    """The real program, in a directory that need not be a workspace."""
    command = [sys.executable, "-m", "flowbuild", *words]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=120, check=False)
    return Ran(done.returncode, done.stdout, done.stderr)


# template: what it is given, what builds, and how many tests it brings.
TEMPLATES = {
    "workspace": (["made"], "//words", 1),
    "python": (["made"], "//made:summary", 1),
    "rule": ([".", "-D", "name=shout"], "//shout_example:pages", 1),
    "plan": (["made"], "//made:run", 0),
    "executor": (["made"], "//made:hello", 0),
}


def test_every_template_that_ships_is_tried_here() -> None:
    assert set(find_templates(None)) == set(TEMPLATES)


@pytest.mark.parametrize("name", TEMPLATES)
def test_what_is_made_builds_passes_and_is_up_to_date(tmp_path: Path, name: str) -> None:
    words, label, tests = TEMPLATES[name]
    space = None if name == "workspace" else Space(tmp_path)
    made = run(tmp_path, "new", name, *words)
    assert (made.code, made.err) == (0, "")
    space = space or Space(tmp_path / "made")
    built = space.build(label)
    assert built.performed and " 0 failed" in built.out
    if tests:
        package = label.removeprefix("//").partition(":")[0]
        tested = space.run("test", f"//{package}:all")
        assert tested.code == 0 and tested.out.endswith(f"\n{tests} passed\n")
    assert space.run("//...").code == 0
    assert space.run("lint")[:2] == (0, "nothing found in 1 package\n")


def test_the_made_executor_keeps_to_rep_and_performs_the_flow(tmp_path: Path) -> None:
    space = Space(tmp_path)
    steps = run(tmp_path, "new", "executor", "made", "-D", "kind=own.hello").out.partition("next:\n")[2].splitlines()
    for step in steps:
        ran = run(tmp_path, *shlex.split(step)[1:])
        assert ran.code == 0, ran
    assert len(steps) == 3 and ran.out.endswith("it keeps to REP v0.1\n")
    assert json.loads(space.read("out/bin/made/hello/result.json"))["steps"]["greet"] == {"text": "Hello, Ada"}


def test_what_to_type_next_is_said_from_where_one_stands(tmp_path: Path) -> None:
    made = run(tmp_path, "new", "workspace", "made", "-D", "package=poems")
    steps = made.out.partition("next:\n")[2].splitlines()
    assert steps == ["  cd made", "  flowbuild //poems", "  flowbuild test //poems:all"]
    assert run(tmp_path / "made", "//poems").code == 0
    inside = run(tmp_path / "made" / "poems", "new", "python", "deeper")
    assert "next:\n  flowbuild //poems/deeper:summary\n" in inside.out
    assert run(tmp_path / "made", "new", "plan", "//x/y", "--json").out.splitlines()[0] == json.dumps(
        {"wrote": "x/y/BUILD.yaml"}
    )


def test_a_made_plan_says_on_request_what_it_expects(tmp_path: Path) -> None:
    space = Space(tmp_path)
    for name, more, outputs in (("plain", (), 1), ("told", ("-D", "expected_matrix=true"), 2)):
        assert run(tmp_path, "new", "plan", name, *more).code == 0
        assert space.run(f"//{name}:plan").code == 0
        assert len(list((tmp_path / "out/bin" / name / "plan").iterdir())) == outputs
    matrix = json.loads(space.read("out/bin/told/plan/expected_matrix.json"))
    expected = {
        (name, probe["name"]): probe["expected"] for name, p in matrix["profiles"].items() for probe in p["probes"]
    }
    assert expected["staged-only", "read-host"] == "deny" and expected["unrestricted", "read-host"] == "allow"


def test_what_is_there_is_kept_unless_asked(tmp_path: Path) -> None:
    space = Space(tmp_path)
    space.write("made/measured.csv", "mine,1\n")
    refused = space.run("new", "python", "made")
    assert refused.code == 2 and "measured.csv is there already" in refused.err
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["measured.csv"]
    assert space.run("new", "python", "made", "--overwrite").code == 0
    assert space.read("made/measured.csv") != "mine,1\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("workspce x", "did you mean 'workspace'?"),
        ("rule .", "the template 'rule' needs 'name'"),
        ("rule . -D nmae=x", "did you mean 'name'?"),
        ("rule . -D name=exec", "a rule of that name ships with flowbuild"),
        ("rule below -D name=x", "adds to the root of a workspace"),
        ("plan out/x", "out/ is no part of the workspace"),
        ("plan ..", "there is no workspace around"),
        ("plan a{x}b", "is not a label"),
        ("plan //a/../../b", "is not a label"),
        ("plan e -D host_file=etc", "does not match"),
        ("python link/x -D name=../y", "does not match"),
        ("python a\nb", "is not a label"),
        ("workspace a\nb", "control character"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_written(tmp_path: Path, words: str, said: str) -> None:
    space = Space(tmp_path / "w")
    before = sorted(tmp_path.rglob("*"))
    done = space.run("new", *words.split(" "))
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert sorted(tmp_path.rglob("*")) == before


def own(space: Space) -> None:
    """A template of the workspace, whose one param makes a file's name and a directory's."""
    space.write("templates/svc/template.yaml", "doc: A service.\nparams: {name: {pattern: '(?s).*'}}\n")
    space.write("templates/svc/${{ new.name }}/${{ new.name }}.txt", "${{ new.name }}\n")
    space.write("templates/svc/BUILD.yaml", "targets: {x: {rule: filegroup, files: ${{ new.name }}/}}\n")


@pytest.mark.parametrize("name", ["..", ".", "", "/tmp/x", "../../x", "a/b", "a\nb", "a\x01b", ".git"])
def test_no_value_leads_out_of_the_directory(tmp_path: Path, name: str) -> None:
    space = Space(tmp_path / "w")
    own(space)
    before = sorted(tmp_path.rglob("*"))
    done = space.run("new", "svc", "made", "-D", f"name={name}")
    assert done.code == 2, done
    assert "Traceback" not in done.err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_linked_directory_in_the_way_is_not_followed(tmp_path: Path) -> None:
    space = Space(tmp_path / "w")
    own(space)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "w" / "made").mkdir()
    (tmp_path / "w" / "made" / "ada").symlink_to(tmp_path / "elsewhere")
    done = space.run("new", "svc", "made", "-D", "name=ada", "--overwrite")
    assert done.code == 2 and "is a link, where a directory is needed" in done.err
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert [path.name for path in (tmp_path / "w" / "made").iterdir()] == ["ada"]


def test_a_workspace_has_templates_of_its_own_and_still_builds(tmp_path: Path) -> None:
    space = Space(tmp_path)
    own(space)
    listed = space.run("list", "templates")
    assert [line.split()[0] for line in listed.out.splitlines()] == [*sorted(TEMPLATES), "svc"]
    assert space.run("describe", "svc").out == "template svc: A service.\n  -D name        string    required\n"
    assert space.run("new", "svc", "made", "-D", "name=ada").code == 0
    assert space.read("made/ada/ada.txt") == "ada\n"
    assert [line.split()[0] for line in space.run("list").out.splitlines()] == ["//made:x"]
    assert "no package //templates/svc" in space.run("//templates/svc:x").err


def test_templates_are_listed_where_there_is_no_workspace(tmp_path: Path) -> None:
    listed = run(tmp_path, "list", "templates")
    assert listed.code == 0
    assert [line.split()[0] for line in listed.out.splitlines()] == sorted(TEMPLATES)


def test_a_package_that_becomes_a_template_is_no_longer_up_to_date(tmp_path: Path) -> None:
    space = Space(tmp_path)
    space.write(
        "templates/svc/BUILD.yaml", "targets: {x: {rule: exec, script: 'echo > ${{ outputs.o }}', outputs: {o: o}}}\n"
    )
    space.build("//templates/svc:x")
    space.write("templates/svc/template.yaml", "doc: A service.\n")
    assert "no package //templates/svc" in space.run("//templates/svc:x").err
    space.remove("templates/svc/template.yaml")
    assert space.run("//templates/svc:x").code == 0


def test_removing_a_template_uncovers_its_package(tmp_path: Path) -> None:
    space = Space(tmp_path)
    space.write("a/BUILD.yaml", "targets: {x: {rule: exec, script: 'echo > ${{ outputs.o }}', outputs: {o: o}}}\n")
    space.write("templates/svc/BUILD.yaml", space.read("a/BUILD.yaml"))
    space.write("templates/svc/template.yaml", "doc: A service.\n")
    assert space.build("//...").performed == 1
    space.remove("templates/svc/template.yaml")
    assert space.run("//...").performed == 1
