"""Plans: the seed's documents and our targets, loaded, listed and linted alike."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from seed_tree import SeedTree, probe

from flowbuild.core.errors import BadAttribute, BadPath, FlowError
from flowbuild.graph.evidence import plan_digest
from flowbuild.graph.plans import lint_plan, list_plans, load_plan
from flowbuild.testing import Space

EXAMPLE = Path(__file__).resolve().parents[3] / "examples"


@pytest.fixture
def tree(tmp_path: Path) -> SeedTree:
    return SeedTree(tmp_path / "tree")


def findings(plan: Path | str) -> list[str]:
    return [str(error) for error in lint_plan(plan).errors]


def test_a_plan_is_loaded_as_it_is(tree: SeedTree) -> None:
    assert load_plan(tree.plan) == tree.docs["plan.json"]
    assert load_plan(tree.root) == tree.docs["plan.json"]


def test_a_sound_plan_has_no_finding(tree: SeedTree) -> None:
    assert lint_plan(tree.plan) == (tree.docs["plan.json"], ())


def test_linting_starts_no_program_and_opens_no_connection(tree: SeedTree) -> None:
    code = """
import sys
from flowbuild.graph.plans import lint_plan
events = []
sys.addaudithook(lambda name, args: events.append(name))
assert lint_plan(sys.argv[1]).document is not None
assert "open" in events
assert not [e for e in events if e.startswith(("os.exec", "os.fork", "os.posix_spawn", "os.system", "subprocess", "socket"))]
"""
    subprocess.run([sys.executable, "-c", code, tree.plan], cwd=tree.root, check=True, timeout=60)


@pytest.mark.parametrize(
    ("pointer", "value", "says"),
    [
        (("schema_version",), "runtime-tools.plan.v0.2", "plan.json:2:21: the schema is 'runtime-tools.plan.v0.2'"),
        (("schema_version",), ..., "plan.json:1:1: the schema is None"),
        (("schema_versions",), {}, "a plan can't override `schema_versions`"),
        (("plan_id",), ..., "a plan needs `plan_id`"),
        (("plan_id",), "", "plan.json:3:14: a plan needs `plan_id`"),
        (("registry_id",), 7, "plan.json:4:18: a plan needs `registry_id`"),
        (("profiles",), {"open": 1}, "`profiles` is a list"),
        (("profiles",), [1], "`profiles` is a list"),
        (("lanes", "scenaro"), True, "there is no lane 'scenaro'; did you mean 'scenario'?"),
        (("lanes", "oracle"), "no", "the lane 'oracle' is true or false"),
        (("lanes",), [], "`lanes` is an object"),
        (("lanes",), {"baseline": False, "scenario": False, "oracle": False}, "a plan runs at least one lane"),
    ],
)
def test_what_is_no_plan_is_refused_with_its_line(tree: SeedTree, pointer: Any, value: Any, says: str) -> None:
    tree.edit("plan.json", *pointer, value=value)
    with pytest.raises(BaseException) as found:
        load_plan(tree.plan)
    assert isinstance(found.value, FlowError)
    assert says in str(found.value)
    assert any(says in one for one in findings(tree.plan))
    assert lint_plan(tree.plan).document is None


def test_a_file_that_is_no_json_and_one_that_is_not_there(tree: SeedTree) -> None:
    tree.write("plan.json", "{,}")
    assert findings(tree.plan) == ["plan.json:1:2: this is not JSON: Expecting property name enclosed in double quotes"]
    with pytest.raises(BadPath, match=r"there is no plan gone\.json"):
        load_plan(tree.root / "gone.json")


LINT: list[tuple[str, tuple[Any, ...], Any, str]] = [
    ("plan.json", ("registry_id",), "smal", "plan.json:4:18: there is no registry 'smal'; did you mean 'small'?"),
    ("plan.json", ("profiles",), [], "plan.json:6:15: a plan names at least one profile"),
    (
        "plan.json",
        ("profiles",),
        ["opem"],
        "plan.json:7:5: registry 'small' has no profile 'opem'; did you mean 'open'",
    ),
    ("plan.json", ("profiles",), ["open", "open"], "plan.json:8:5: the profile 'open' stands here twice"),
    ("plan.json", ("lane",), {}, "a plan has no key 'lane'; did you mean 'lanes'?"),
    ("plan.json", ("apply_preflight_profile",), "no.sb", "the preflight profile 'no.sb' is not there"),
    ("plan.json", ("apply_preflight_profile",), "../../x", "leads out of the tree"),
    ("registry/profiles.json", ("profiles", "open", "profile_path"), ..., "a profile needs `profile_path`"),
    (
        "registry/profiles.json",
        ("profiles", "open", "profile_path"),
        "no.json",
        "'no.json' of profile 'open' is not there",
    ),
    ("registry/profiles.json", ("profiles", "open", "profile_path"), "/etc/hosts", "leads out of the tree"),
    ("registry/profiles.json", ("profiles", "open", "probe_refs"), [], "profile 'open' names no probe"),
    (
        "registry/profiles.json",
        ("profiles", "open", "probe_refs"),
        ["gone"],
        "names the probe 'gone', which the registry has not",
    ),
    ("registry/profiles.json", ("profiles", "open", "mood"), "x", "a profile has no key 'mood'; did you mean 'mode'?"),
    (
        "registry/probes.json",
        ("probes", "open:read", "expect"),
        "x",
        "a probe has no key 'expect'; did you mean 'expected'?",
    ),
    ("registry/policies/closed.json", ("restrict", "exce"), "deny", "unknown restriction 'exce'; did you mean 'exec'?"),
    ("registry/policies/closed.json", ("restrict", "exec"), "maybe", "`exec` is deny, and here stands 'maybe'"),
    ("registry/probes.json", ("registry_id",), "other", "the registry is 'small', and here it is 'other'"),
    ("registry/probes.json", ("schema_version",), "runtime-tools.probe_registry.v0.1", "upgrade it"),
]


@pytest.mark.parametrize(("name", "pointer", "value", "says"), LINT)
def test_lint_finds_it_and_says_where(tree: SeedTree, name: str, pointer: Any, value: Any, says: str) -> None:
    tree.edit(name, *pointer, value=value)
    found = findings(tree.plan)
    assert any(says in one for one in found), found
    assert all(":" in one and one.split(":")[1].isdigit() for one in found), found


def test_lint_finds_everything_at_once(tree: SeedTree) -> None:
    tree.edit("plan.json", "profiles", value=["open", "closed", "third"])
    tree.edit("plan.json", "apply_preflight_profile", value="no.sb")
    tree.edit("registry/profiles.json", "profiles", "open", "profile_path", value="no.json")
    tree.edit("registry/probes.json", "probes", "closed:read", "expected", value="perhaps")
    assert len(findings(tree.plan)) == 4


@pytest.mark.parametrize(
    ("policy", "rules", "driver", "scenario", "count"),
    [
        ("(version 1)\n(deny default)\n", [], None, True, 1),
        ("(version 1)\n(allow default)\n", ["(deny default)"], None, True, 1),
        ("(version 1)\n(deny default)\n", [], "sandbox_mach_probe", True, 0),
        ("(version 1)\n(deny default)\n", [], None, False, 0),
        ("(version 1)\n(allow default)\n", [], None, True, 0),
    ],
)
def test_a_mach_lookup_under_deny_default_needs_its_driver(
    tree: SeedTree, policy: str, rules: list[str], driver: str | None, scenario: bool, count: int
) -> None:
    tree.edit(
        "registry/probes.json", "probes", "open:mach", value=probe("open:mach", "mach-lookup", "x.y", driver=driver)
    )
    row = tree.docs["registry/profiles.json"]["profiles"]["open"]
    row.update(mode="sbpl", profile_path="policies/open.sb", probe_refs=["open:mach"], key_specific_rules=rules)
    tree.edit("plan.json", "lanes", "scenario", value=scenario)
    tree.write("registry/profiles.json")
    tree.write("registry/policies/open.sb", policy)
    found = [one for one in findings(tree.plan) if "its driver must be sandbox_mach_probe" in one]
    assert len(found) == count
    assert len(findings(tree.plan)) == count


def test_the_digest_of_a_plan_of_the_seed_s_own() -> None:
    names = ("mach_lookup", "mach_lookup_allow", "notifications", "notifications_allow", "process_info_allow")
    names += ("process_info_allow_canary", "process_info_deny", "signal_self_allow", "signal_self_deny")
    names += ("sysctl_read", "sysctl_read_allow")
    plan = {
        "schema_version": "runtime-tools.plan.v0.1",
        "plan_id": "hardened-runtime.v1",
        "registry_id": "hardened-runtime",
        "world_id": "not part of it",
        "profiles": [f"hardened:{name}" for name in names],
        "lanes": {"baseline": True, "oracle": True, "scenario": True},
        "controls": {"baseline": True},
        "apply_preflight_profile": "book/experiments/hardened-runtime/sb/apply_preflight_allow.sb",
    }
    vector = "94d6e76483e1414b5e44bbda225be222a2ce5fcdfdd5001648237f6ccca2f11e"
    assert plan_digest(plan) == vector
    assert plan_digest({**plan, "notes": "nor this"}) == vector
    assert plan_digest({**plan, "lanes": {}}) != vector


def test_plans_of_files_and_targets_are_listed(tree: SeedTree) -> None:
    tree.write("flowbuild.yaml", "")
    tree.write("e/BUILD.yaml", TARGETS)
    tree.write("broken/plan.json", "{")
    tree.write("out/run/plan.json", "{")
    tree.write("other/flowbuild.yaml", "")
    tree.write("other/plan.json", "{")
    tree.write("kept/a-bundle/run_status.json", "{}")
    tree.write("kept/a-bundle/plan.json", "{")
    assert list_plans(tree.root) == [
        {
            "path": "broken/plan.json",
            "error": "broken/plan.json:1:2: this is not JSON: Expecting property name enclosed in double quotes",
        },
        {"plan_id": "small.v1", "registry_id": "small", "profiles": 2, "path": "plan.json"},
        {"plan_id": "//e:plan", "registry_id": "mine", "profiles": 1, "label": "//e:plan"},
    ]


TARGETS = """
targets:
  probes:
    rule: registry
    registry_id: mine
    probes: {read: {operation: file-read-data, target: /etc/hosts}}
    profiles: {open: {restrict: {}}}
  plan: {rule: plan, registry: //e:probes, profiles: [open]}
  run: {rule: run, plan: //e:plan}
"""


def test_a_target_is_a_plan_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space(tmp_path / "w")
    space.write("e/BUILD.yaml", TARGETS)
    monkeypatch.chdir(space.root)
    assert load_plan("//e:plan")["profiles"] == ["open"]
    assert load_plan("//e:run") == load_plan("//e:plan")
    assert findings("//e:plan") == []
    with pytest.raises(BadAttribute, match="is no plan: its rule is registry"):
        load_plan("//e:probes")
    space.write("e/BUILD.yaml", TARGETS.replace("[open]", "[opne]"))
    assert findings("//e:plan") == ["e/BUILD.yaml:7:55: the registry has no profile 'opne'; did you mean 'open'?"]


def test_a_label_needs_a_workspace(tree: SeedTree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree.root)
    with pytest.raises(BadAttribute, match="is no workspace"):
        load_plan("//e:plan")


def test_the_example_is_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLE)
    assert findings("//experiments/hardened-runtime:plan") == []
