"""Registries: indexes, pairs and targets, listed, resolved, linted and upgraded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from seed_tree import INDEX, PLAN, PROBES, PROFILES, SeedTree, probe

from flowbuild.core.errors import BadAttribute, BadPath, Faults, UnknownName
from flowbuild.graph.plans import lint_plan
from flowbuild.graph.registries import (
    lint_registry,
    list_probes,
    list_profiles,
    list_registries,
    resolve_probe,
    resolve_profile,
    upgrade_registry,
)


@pytest.fixture
def tree(tmp_path: Path) -> SeedTree:
    return SeedTree(tmp_path / "tree")


def findings(tree: SeedTree, registry_id: str | None = None) -> list[str]:
    return [str(error) for error in lint_registry(registry_id, tree.root).errors]


def test_registries_of_an_index_are_listed(tree: SeedTree) -> None:
    rows = list_registries(tree.root)
    assert rows == [{**INDEX["registries"][0], "description": None}]


def test_probes_and_profiles_are_listed_and_resolved(tree: SeedTree) -> None:
    assert list_probes("small", tree.root) == list(PROBES["probes"].values())
    assert list_profiles("small", tree.root) == list(PROFILES["profiles"].values())
    assert resolve_probe("small", "closed:shell", tree.root) == PROBES["probes"]["closed:shell"]
    assert resolve_profile("small", "open", tree.root) == PROFILES["profiles"]["open"]


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda root: resolve_probe("smal", "x", root), "there is no registry 'smal'; did you mean 'small'"),
        (
            lambda root: resolve_probe("small", "closed:shel", root),
            "no probe 'closed:shel'; did you mean 'closed:shell'",
        ),
        (lambda root: resolve_profile("small", "opne", root), "no profile 'opne'; did you mean 'open'"),
        (lambda root: list_probes("other", root), "there is no registry 'other'"),
    ],
)
def test_what_is_not_there_is_told_with_the_nearest(tree: SeedTree, act: Any, says: str) -> None:
    with pytest.raises(UnknownName) as found:
        act(tree.root)
    assert says in str(found.value)


def test_a_pair_needs_no_index(tree: SeedTree) -> None:
    tree.write("apart/probes.json", json.dumps({**PROBES, "registry_id": "apart"}))
    tree.write("apart/profiles.json", json.dumps({**PROFILES, "registry_id": "apart"}))
    assert [row["id"] for row in list_registries(tree.root)] == ["small", "apart"]
    assert len(list_probes("apart", tree.root)) == 3


def test_an_id_that_two_places_say_is_refused(tree: SeedTree) -> None:
    tree.write("apart/probes.json", json.dumps(PROBES))
    tree.write("apart/profiles.json", json.dumps(PROFILES))
    with pytest.raises(BadAttribute, match="said in 2 places"):
        list_probes("small", tree.root)


def test_of_two_a_plan_means_its_own(tree: SeedTree) -> None:
    for name in ("a", "b"):
        tree.write(f"{name}/probes.json", json.dumps({**PROBES, "registry_id": "twice"}))
        tree.write(f"{name}/profiles.json", json.dumps({**PROFILES, "registry_id": "twice", "profiles": {}}))
        tree.write(f"{name}/plan.json", json.dumps({**PLAN, "registry_id": "twice", "profiles": ["open"]}))
    tree.write("plan.json", json.dumps({**PLAN, "registry_id": "twice"}))
    assert "has no profile 'open'" in str(lint_plan(tree.root / "a/plan.json").errors[0])
    assert "said in 2 places" in str(lint_plan(tree.plan).errors[0])
    assert sum("said in 2 places" in one for one in findings(tree)) == 1


def test_a_sound_registry_has_no_finding(tree: SeedTree) -> None:
    assert findings(tree) == []
    assert findings(tree, "small") == []


LINT: list[tuple[str, tuple[Any, ...], Any, str]] = [
    ("registry/registry_index.json", ("schema_version",), "x", "registry_index.json:2:21: an index of registries is"),
    ("registry/registry_index.json", ("registries",), {}, "`registries` is a list"),
    ("registry/registry_index.json", ("registries", 0, "probes"), ..., "an index needs `probes`"),
    ("registry/registry_index.json", ("registries", 0, "id"), "", "an index needs `id`"),
    ("registry/registry_index.json", ("registries", 0, "probes"), "../../x", "leads out of the tree"),
    ("registry/registry_index.json", ("registries", 0, "probes"), "gone.json", "gone.json is not there"),
    ("registry/registry_index.json", ("registrys",), [], "an index of registries has no key 'registrys'; did you mean"),
    ("registry/registry_index.json", ("registries", 0, "prob"), "x", "a registry of an index has no key 'prob'"),
    ("registry/probes.json", ("extra",), 1, "a registry document has no key 'extra'"),
    (
        "registry/profiles.json",
        ("Profiles",),
        {},
        "a registry document has no key 'Profiles'; did you mean 'profiles'?",
    ),
    ("registry/policies/closed.json", ("restricted",), {}, "a restriction has no key 'restricted'; did you mean"),
    ("registry/probes.json", ("schema_version",), "x", "probes.json:2:21: the schema is 'x'"),
    ("registry/probes.json", ("probes",), [], "`probes` is an object of ids"),
    ("registry/probes.json", ("probes", "open:read"), [], "a probe is an object"),
    (
        "registry/probes.json",
        ("probes", "open:read", "probe_id"),
        "other",
        "`probe_id` is 'other', and it stands under 'open:read'",
    ),
    ("registry/probes.json", ("probes", "open:read", "name"), ..., "a probe needs `name`"),
    ("registry/probes.json", ("probes", "open:read", "operation"), 7, "`operation` is a text"),
    ("registry/probes.json", ("probes", "open:read", "expected"), "maybe", "`expected` is allow or deny"),
    ("registry/probes.json", ("probes", "open:read", "supports_lanes"), ["baseline"], "`supports_lanes` is an object"),
    ("registry/probes.json", ("probes", "open:read", "supports_lanes", "oracle"), 1, "`supports_lanes` is an object"),
    (
        "registry/probes.json",
        ("probes", "open:read", "controls_supported"),
        ["base"],
        "`controls_supported` is baseline or",
    ),
    ("registry/probes.json", ("probes", "open:read", "expected_predicates"), "x", "`expected_predicates` is a list"),
    ("registry/probes.json", ("probes", "open:read", "filter_type"), True, "`filter_type` is an integer"),
    ("registry/probes.json", ("probes", "open:read", "driver"), 1, "`driver` is a text or null"),
    ("registry/probes.json", ("probes", "open:read", "extra"), 1, "a probe has no key 'extra'"),
    ("registry/profiles.json", ("profiles", "open"), 1, "a profile is an object"),
    ("registry/profiles.json", ("profiles", "open", "family"), ..., "a profile needs `family`"),
    ("registry/profiles.json", ("profiles", "open", "mode"), "sb", "`mode` is sbpl or blob or restrict"),
    ("registry/profiles.json", ("profiles", "open", "profile_path"), "gone", "'gone' of profile 'open' is not there"),
    ("registry/profiles.json", ("profiles", "open", "probe_refs"), [], "profile 'open' names no probe"),
    (
        "registry/profiles.json",
        ("profiles", "open", "probe_refs"),
        ["x"],
        "names the probe 'x', which the registry has not",
    ),
    (
        "registry/profiles.json",
        ("profiles", "open", "probe_refs"),
        ["open:read", "closed:read"],
        "the probe name 'read' twice",
    ),
    ("registry/policies/open.json", ("schema_version",), "x", "a restriction is flowbuild.restriction.v1"),
    ("registry/policies/open.json", ("restrict",), None, "`restrict` is an object"),
]


@pytest.mark.parametrize(("name", "pointer", "value", "says"), LINT)
def test_lint_finds_it_and_says_where(tree: SeedTree, name: str, pointer: Any, value: Any, says: str) -> None:
    tree.edit(name, *pointer, value=value)
    found = findings(tree)
    assert any(says in one for one in found), found
    assert all(one.split(":")[1].isdigit() for one in found if says in one)


def test_lint_of_all_finds_everything_and_of_one_its_own(tree: SeedTree) -> None:
    tree.write("apart/probes.json", "{")
    tree.write("apart/profiles.json", json.dumps({**PROFILES, "registry_id": "apart"}))
    tree.edit("registry/probes.json", "probes", "open:read", "name", value=...)
    assert len(findings(tree, "small")) == 1
    assert len(findings(tree)) >= 2
    assert findings(tree, "gone")[-1].startswith("there is no registry 'gone'")


def test_an_unreadable_index_is_a_finding(tree: SeedTree) -> None:
    tree.write("registry/registry_index.json", "[")
    assert any(one.startswith("registry/registry_index.json:1:2: this is not JSON") for one in findings(tree))


V1_PROBE = {"probe_id": "p", "name": "p", "operation": "file-read-data", "target": "/x", "expected": "deny"}
V1_PROFILE = {"profile_id": "f", "profile_path": "f.json", "mode": "restrict", "probe_refs": ["p"]}


def old(tree: SeedTree) -> None:
    head = {"registry_id": "old", "world_id": "w"}
    probes = {"schema_version": "runtime-tools.probe_registry.v0.1", **head, "probes": {"p": V1_PROBE}}
    profiles = {"schema_version": "runtime-tools.profile_registry.v0.1", **head, "profiles": {"f": V1_PROFILE}}
    tree.write("old/probes.json", json.dumps(probes))
    tree.write("old/profiles.json", json.dumps(profiles))


def test_an_old_registry_is_upgraded_by_its_defaults(tree: SeedTree) -> None:
    old(tree)
    before = (tree.root / "old/probes.json").read_bytes()
    done = upgrade_registry("old", out_dir=tree.root / "new", root=tree.root)
    probes, profiles = (json.loads(path.read_text()) for path in done)
    assert probes["schema_version"] == "runtime-tools.probe_registry.v0.2"
    assert probes["probes"]["p"] == {
        **V1_PROBE,
        "supports_lanes": {"baseline": True, "scenario": True, "oracle": True},
        "expected_primary_ops": ["file-read-data"],
        "expected_predicates": ["/x"],
        "capabilities_required": [],
        "controls_supported": [],
    }
    assert profiles["profiles"]["f"] == {
        **V1_PROFILE,
        "family": None,
        "semantic_group": None,
        "key_specific_rules": [],
        "notes": None,
    }
    assert done.probes_path.read_text() == json.dumps(probes, indent=2, sort_keys=True) + "\n"
    assert (tree.root / "old/probes.json").read_bytes() == before


def test_upgrading_writes_over_nothing_unless_asked(tree: SeedTree) -> None:
    old(tree)
    (tree.root / "new").mkdir()
    (tree.root / "new/profiles.json").write_text("mine")
    with pytest.raises(BadPath, match="is there already"):
        upgrade_registry("old", out_dir=tree.root / "new", root=tree.root)
    assert sorted(path.name for path in (tree.root / "new").iterdir()) == ["profiles.json"]
    with pytest.raises(Faults):
        upgrade_registry("old", root=tree.root)
    upgrade_registry("old", overwrite=True, root=tree.root)
    assert findings(tree, "old") == ["old/profiles.json:12:23: the file 'f.json' of profile 'f' is not there"]


def test_upgrading_what_is_new_puts_it_in_order(tree: SeedTree) -> None:
    done = upgrade_registry("small", out_dir=tree.root / "again", root=tree.root)
    assert json.loads(done.probes_path.read_text()) == PROBES


def test_upgrading_never_invents_what_has_no_default(tree: SeedTree) -> None:
    old(tree)
    doc = json.loads((tree.root / "old/probes.json").read_text())
    doc["probes"]["q"] = {key: value for key, value in probe("q").items() if key not in ("expected", "name")}
    tree.write("old/probes.json", json.dumps(doc))
    with pytest.raises(BadAttribute, match="a probe needs `name`, `expected`"):
        upgrade_registry("old", out_dir=tree.root / "new", root=tree.root)
    assert not (tree.root / "new").exists()


def test_a_registry_target_is_listed_and_resolved(tree: SeedTree) -> None:
    tree.write("flowbuild.yaml", "")
    tree.write("e/BUILD.yaml", TARGETS)
    assert list_registries(tree.root)[-1] == {
        "id": "//e:probes",
        "probes": "//e:probes",
        "profiles": "//e:probes",
        "description": "mine",
    }
    assert resolve_probe("//e:probes", "closed.shell", tree.root)["expected"] == "deny"
    assert resolve_profile("//e:probes", "closed", tree.root)["mode"] == "restrict"
    assert findings(tree, "//e:probes") == []
    with pytest.raises(BadAttribute, match="is a target"):
        upgrade_registry("//e:probes", root=tree.root)


def test_what_is_wrong_with_a_registry_target_stands_in_its_build_file(tree: SeedTree) -> None:
    tree.write("flowbuild.yaml", "")
    tree.write("e/BUILD.yaml", TARGETS.replace("denies: [shell]", "denies: [shel]"))
    assert findings(tree, "//e:probes") == [
        "e/BUILD.yaml:9:49: the registry has no probe 'shel'; did you mean 'shell'?"
    ]


TARGETS = """
targets:
  probes:
    doc: mine
    rule: registry
    probes:
      shell: {operation: process-exec, target: /bin/sh}
    profiles:
      closed: {restrict: {exec: deny}, denies: [shell]}
"""


@pytest.mark.parametrize("name", ["../../x", "a\\b", "a\nb", "OPEN"])
def test_a_profile_is_named_so_that_it_can_have_a_file(tree: SeedTree, name: str) -> None:
    row = {**PROFILES["profiles"]["open"], "profile_id": name}
    tree.edit("registry/profiles.json", "profiles", name, value=row)
    assert any("can't name a file" in one or "differ only in case" in one for one in findings(tree))


def test_an_index_of_somebody_else_s_tree_is_found_and_its_paths_begin_at_the_root(tmp_path: Path) -> None:
    tree = SeedTree(tmp_path / "tree")
    (tree.root / "registry/registry_index.json").unlink()
    rows = [{"id": "small", "probes": "registry/probes.json", "profiles": "registry/profiles.json", "description": "d"}]
    tree.write("book/api/index.json", json.dumps({**INDEX, "registries": rows}))
    tree.write("web/index.json", json.dumps({"name": "an index of something else"}))
    tree.write("other/index.json", "{ not json")
    assert list_registries(tree.root) == rows
    assert findings(tree) == []
    assert lint_plan(tree.plan).errors == ()


def test_a_plan_with_its_own_registry_needs_no_target_to_be_right(tree: SeedTree) -> None:
    tree.write("flowbuild.yaml", "")
    tree.write("e/BUILD.yaml", "targets: [")
    assert lint_plan(tree.plan).errors == ()
