"""The inventory: what a tree has, and which files speak of sandboxes."""

from __future__ import annotations

import json
import os
from pathlib import Path

from seed_tree import SeedTree

from flowbuild.bundle.inventory import KEYWORDS, build_runtime_inventory
from flowbuild.bundle.plan_run import run_plan


def test_plans_registries_and_files_are_told(tmp_path: Path) -> None:
    tree = SeedTree(tmp_path / "tree")
    tree.write("notes.txt", "seccomp and landlock")
    tree.write("registry/notes.txt", "seatbelt")
    tree.write("out/seen.txt", "seccomp")
    (tree.root / "data.bin").write_bytes(b"\0seccomp")
    os.mkfifo(tree.root / "pipe")
    found = build_runtime_inventory(tree.root, tmp_path / "inventory.json")
    assert json.loads((tmp_path / "inventory.json").read_text()) == found
    assert set(found) == {
        "schema_version",
        "world_id",
        "generated_by",
        "keywords",
        "in_repo",
        "unclassified_hits",
        "external",
    }
    plan, registry = found["in_repo"]
    assert (plan["id"], plan["status"], plan["evidence_tier"]) == ("small.v1", "never run", "decision-stage")
    assert (registry["id"], registry["paths"]) == ("registry small", ["registry"])
    assert registry["files"] == [{"path": "registry/notes.txt", "keywords": ["seatbelt"]}]
    assert found["unclassified_hits"] == [{"path": "notes.txt", "keywords": ["landlock", "seccomp"]}]
    assert list(found["keywords"]) == sorted(KEYWORDS)


def test_a_committed_plan_and_a_broken_one_say_so(tmp_path: Path) -> None:
    tree = SeedTree(tmp_path / "tree")
    run_plan(tree.plan, tree.root / "out", channel="direct")
    tree.write("broken/plan.json", "{")
    found = build_runtime_inventory(tree.root, tmp_path / "inventory.json")
    assert {item["id"]: item["status"] for item in found["in_repo"]} == {
        "broken/plan.json": "broken",
        "small.v1": "committed",
        "registry small": "declared",
    }


def test_targets_are_told_with_where_they_commit(tmp_path: Path) -> None:
    tree = SeedTree(tmp_path / "tree")
    tree.write("flowbuild.yaml", "")
    tree.write(
        "e/BUILD.yaml",
        """
targets:
  probes:
    rule: registry
    probes: {read: {operation: file-read-data, target: /etc/hosts}}
    profiles: {open: {restrict: {}}}
  plan: {rule: plan, registry: //e:probes, profiles: [open]}
  run: {rule: run, plan: //e:plan}
""",
    )
    items = {item["id"]: item for item in build_runtime_inventory(tree.root, tmp_path / "i.json")["in_repo"]}
    assert items["//e:plan"]["paths"] == ["e", "out/e/run"]
    assert items["registry //e:probes"]["paths"] == ["e"]
