"""The commands that only read, and `clean`: as text and as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from seed_tree import SeedTree
from workshop import Workshop

from flowbuild.front import cli
from flowbuild.testing import ScriptedEngine

Run = Any


@pytest.fixture
def told(workshop: Workshop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line in the workspace of the examples; its code and its lines."""
    monkeypatch.chdir(workshop.words().root)
    monkeypatch.setattr("flowbuild.run.session.PythonEngine", lambda reaper, **more: ScriptedEngine())

    def told(line: str) -> tuple[int, list[str]]:
        code = cli.main(line.split())
        out, err = capsys.readouterr()
        return code, (out + err).splitlines()

    return told


@pytest.mark.parametrize(
    "line",
    ["list", "list rules", "describe exec", "describe //words:top", "outputs //words:top", "explain //words", "clean"]
    + ["why //words:top", "//words", "test //words/..."],
)
def test_json_is_an_object_a_line(told: Run, line: str) -> None:
    told("//words")
    _, lines = told(f"{line} --json")
    assert lines
    assert all(isinstance(json.loads(one), dict) for one in lines)


def test_targets_are_listed_as_declared(told: Run) -> None:
    assert [line.split() for line in told("list")[1]] == [
        ["//words:texts", "filegroup"],
        ["//words:sorted", "exec"],
        ["//words:stats", "exec"],
        ["//words:top", "python"],
        ["//words", "group"],
    ]


REGISTRY = """
targets:
  probes:
    rule: registry
    probes: {read: {operation: file-read-data, target: /etc/hosts, doc: Reads.}}
    profiles: {open: {restrict: {}}}
  plan: {rule: plan, registry: //e:probes, profiles: [open]}
"""


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("plans", "//e:plan plan"),
        ("registries", "//e:probes registry"),
        ("profiles", "open //e:probes"),
        ("probes", "read //e:probes Reads."),
    ],
)
def test_what_experiments_declare(told: Run, workshop: Workshop, kind: str, expected: str) -> None:
    workshop.write("e/BUILD.yaml", REGISTRY)
    assert [" ".join(line.split()) for line in told(f"list {kind}")[1]] == [expected]


def test_outputs_before_and_after(told: Run) -> None:
    assert told("outputs //words:top") == (1, ["out/bin/words/top/top.json  (not built)"])
    told("//words:top")
    assert told("outputs //words:top") == (0, ["out/bin/words/top/top.json"])
    assert told("outputs //words:texts") == (0, [])


def test_describe_a_target(told: Run) -> None:
    code, lines = told("describe --json //words:stats")
    doc = json.loads(lines[0])
    assert code == 0
    assert doc["outputs"] == {"counts": ["out/bin/words/stats/counts.txt"], "parts": ["out/bin/words/stats/parts/"]}
    assert doc["defined_at"].startswith("words/BUILD.yaml:")
    assert [state["kind"] for state in doc["states"]] == ["exec"]


@pytest.mark.parametrize(("flags", "performed"), [("", 0), ("--cache", 3)])
def test_clean(told: Run, workshop: Workshop, flags: str, performed: int) -> None:
    told("//words")
    (workshop.root / "out/e/run/x").mkdir(parents=True)
    assert told(f"clean {flags}")[0] == 0
    assert not (workshop.root / "out/bin").exists()
    assert (workshop.root / "out/e/run/x").exists()
    summary = json.loads(told("//words --json")[1][-1])["summary"]
    assert summary["performed"] == performed


def test_clean_twice_is_nothing(told: Run) -> None:
    told("clean")
    assert told("clean")[0] == 0


def test_update_goldens_then_pass_then_fail(told: Run, workshop: Workshop) -> None:
    workshop.write("words/BUILD.yaml", workshop.read("words/BUILD.yaml") + GOLDEN)
    code, lines = told("test //words:all --update-goldens")
    assert (code, workshop.read("words/golden/sorted.txt")) == (0, "//words:sorted")
    assert "  updated words/golden/sorted.txt" in lines
    assert told("test //words:all")[1][-1] == "1 passed"


GOLDEN = """
  stable:
    rule: golden
    actual: //words:sorted
    expected: golden/sorted.txt
"""


def test_plans_and_registries_that_files_say_are_listed_too(told: Run, workshop: Workshop) -> None:
    SeedTree(workshop.root)
    assert told("list plans") == (0, ["plan.json  plan.json  2 profiles of small"])
    assert told("list registries") == (0, ["small  probes.json"])
