"""The rules that Python lowers: filegroup, group, golden, registry, plan, run."""

from __future__ import annotations

import json
from typing import Any

import pytest
from workshop import Workshop, declare, lowered, target

from flowbuild.core.errors import BadAttribute, FlowError
from flowbuild.core.label import parse
from flowbuild.graph.evidence import Cell
from flowbuild.graph.state import Built, Product, Source, State

EXPERIMENT: dict[str, Any] = {
    "probes": {
        "rule": "registry",
        "probes": {
            "read": {"operation": "file-read-data", "target": "/etc/hosts"},
            "secret": {"operation": "environment-read", "target": "PLANTED"},
        },
        "profiles": {"open": {"restrict": {}}, "staged": {"restrict": {"files": "staged"}, "denies": ["read"]}},
    },
    "plan": {"rule": "plan", "registry": "//e:probes", "profiles": ["open", "staged"]},
    "run": {"rule": "run", "plan": "//e:plan"},
}


def build(space: Workshop, label: str, targets: dict[str, Any]) -> tuple[Built, tuple[State, ...]]:
    space.write("e/BUILD.yaml", declare(targets))
    graph = lowered(space, label)
    return graph.targets[parse(label)], graph.states


def test_a_filegroup_is_one_list_and_no_state(workshop: Workshop) -> None:
    workshop.write("e/a.txt", "")
    built, states = build(workshop, "//e:t", {"t": {"rule": "filegroup", "files": "a.txt"}})
    assert (built.states, states) == ((), ())
    assert built.outputs["files"].items == (Source("e/a.txt"),)
    assert built.outputs["files"].many


def test_a_group_stands_for_its_members(workshop: Workshop) -> None:
    targets = {"t": {"rule": "group", "targets": ["//e:a"]}, "a": target("x")}
    built, states = build(workshop, "//e:t", targets)
    assert built.members == (parse("//e:a"),)
    assert len(states) == 1


def golden(**attrs: Any) -> dict[str, Any]:
    return {"a": target("x"), "t": {"rule": "golden", "actual": "//e:a", "expected": "want.txt", **attrs}}


@pytest.mark.parametrize("is_there", [True, False])
def test_a_golden_compares_an_output_with_a_file_that_may_be_missing(workshop: Workshop, is_there: bool) -> None:
    if is_there:
        workshop.write("e/want.txt", "")
    built, states = build(workshop, "//e:t", golden(volatile=["/a"]))
    compare = states[1]
    assert built.test
    assert built.golden is not None
    assert built.golden.expected == "e/want.txt"
    assert built.golden.actual == Product(0, "o", "out/bin/e/a/o") == compare.inputs["actual"].items[0]
    assert compare.inputs["expected"].items == ((Source("e/want.txt"),) if is_there else ())
    assert compare.with_["arguments"]["volatile"] == {"value": ["/a"]}


def test_a_golden_of_a_source_is_refused(workshop: Workshop) -> None:
    workshop.write("e/a.txt", "")
    targets = golden() | {"a": {"rule": "filegroup", "files": ["a.txt"]}}
    with pytest.raises(BadAttribute, match="//e:a is not one output of a target"):
        build(workshop, "//e:t", targets)


def test_a_registry_writes_its_documents(workshop: Workshop) -> None:
    built, states = build(workshop, "//e:probes", EXPERIMENT)
    assert list(built.outputs) == ["probes", "profiles"]
    assert [state.kind for state in states] == ["write", "write"]
    probes = json.loads(states[0].with_["content"])
    assert set(probes["probes"]) == {f"{p}.{n}" for p in ("open", "staged") for n in ("read", "secret")}
    assert probes["registry_id"] == "//e:probes"


def test_a_plan_writes_its_document(workshop: Workshop) -> None:
    built, states = build(workshop, "//e:plan", EXPERIMENT)
    document = json.loads(states[built.states[0]].with_["content"])
    assert (document["plan_id"], document["registry_id"]) == ("//e:plan", "//e:probes")


def test_a_run_is_a_state_for_each_cell(workshop: Workshop) -> None:
    built, states = build(workshop, "//e:run", EXPERIMENT)
    assert built.bundle is not None
    cells: dict[Cell, int] = built.bundle["cells"]
    assert [(cell.lane, cell.profile, cell.probe) for cell in cells] == [
        ("baseline", None, "read"),
        ("baseline", None, "secret"),
        ("scenario", "open", "read"),
        ("scenario", "open", "secret"),
        ("scenario", "staged", "read"),
        ("scenario", "staged", "secret"),
    ]
    assert len({states[number].id for number in cells.values()}) == 6
    assert all(states[number].observes_host and states[number].kind == "probe" for number in cells.values())


def test_a_cell_says_what_its_profile_forbids(workshop: Workshop) -> None:
    built, states = build(workshop, "//e:run", EXPERIMENT)
    withs = [states[number].with_ for number in (built.bundle or {})["cells"].values()]
    assert withs[0] == {
        "lane": "baseline",
        "profile": None,
        "restrict": {},
        "probe": {"name": "read", "operation": "file-read-data", "target": "/etc/hosts"},
    }
    assert withs[4]["restrict"] == {"files": "staged"}
    assert withs[1]["planted"] == {"variable": "PLANTED"}


@pytest.mark.parametrize(
    ("label", "change", "message"),
    [
        ("//e:run", {"run": {"rule": "run", "plan": "//e:probes"}}, "//e:probes is no plan: its rule is registry"),
        (
            "//e:plan",
            {"plan": {**EXPERIMENT["plan"], "registry": "//e:x"}, "x": target("x")},
            "//e:x is no registry: its rule is exec",
        ),
        ("//e:plan", {"plan": {**EXPERIMENT["plan"], "profiles": ["opn"]}}, "did you mean 'open'?"),
        (
            "//e:probes",
            {"probes": {**EXPERIMENT["probes"], "profiles": {"p": {"restrict": {"disk": "deny"}}}}},
            "'disk'",
        ),
    ],
)
def test_what_is_wrong_has_a_place(workshop: Workshop, label: str, change: dict[str, Any], message: str) -> None:
    with pytest.raises(FlowError) as caught:
        build(workshop, label, EXPERIMENT | change)
    assert message in str(caught.value)
    assert str(caught.value.location).startswith("e/BUILD.yaml:")


def test_faults_travel_together(workshop: Workshop) -> None:
    profiles = {"p": {"restrict": {"disk": "deny"}}, "q": {"restrict": {}, "denies": ["nothing"]}}
    with pytest.raises(ExceptionGroup) as caught:
        build(workshop, "//e:probes", {"probes": {**EXPERIMENT["probes"], "profiles": profiles}})
    assert len(caught.value.exceptions) == 2
