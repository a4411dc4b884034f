"""The pages of formats: each example is read by the real reader."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from seed_tree import SeedTree

from flowbuild.bundle.documents import pretty
from flowbuild.bundle.inventory import build_runtime_inventory
from flowbuild.bundle.op_summary import build_op_runtime_summary
from flowbuild.evidence.__main__ import COMMANDS
from flowbuild.graph.plan_template import load_plan_template
from flowbuild.graph.plans import lint_plan, load_plan
from flowbuild.graph.registries import lint_registry
from flowbuild.load.links import list_linked_expectations, list_linked_profiles, load_runtime_links
from flowbuild.load.registry_check import PROBE, PROFILE

DOCS = Path(__file__).resolve().parents[3] / "docs"


def example(page: str) -> str:
    return str(re.findall(r"^```json\n(.*?)^```$", (DOCS / f"formats/{page}.md").read_text(), re.M | re.S)[-1])


def told(page: str, heading: str) -> set[str]:
    """The names in the first column of a table."""
    lines = (DOCS / f"formats/{page}.md").read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append(line.split("|")[1])
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_the_plan_s_example(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(example("plan"))
    assert load_plan(tmp_path / "plan.json") == load_plan_template("network-access")["plan"]


def test_the_registry_s_example(tmp_path: Path) -> None:
    tree = SeedTree(tmp_path / "tree")
    documents: dict[str, Any] = json.loads(example("registry"))
    for name, doc in documents.items():
        tree.write(f"registry/{name}", json.dumps(doc))
    tree.edit("plan.json", "profiles", value=["closed"])
    assert lint_registry("small", tree.root).errors == ()
    assert lint_plan(tree.plan).errors == ()


def test_the_registry_s_tables_are_the_code() -> None:
    assert told("registry", "key of a probe") == set(PROBE)
    assert told("registry", "key of a profile") == set(PROFILE)


def test_the_template_s_example() -> None:
    head: dict[str, Any] = json.loads(example("plan-template"))
    template = load_plan_template("network-access")
    assert head == {key: template[key] for key in head}
    assert set(template) <= told("plan-template", "field")


def test_the_op_summary_s_example() -> None:
    doc: dict[str, Any] = json.loads(example("op-summary"))
    assert pretty(doc).decode() == example("op-summary")
    assert set(doc["meta"]) == told("op-summary", "field of `meta`")
    (entry,) = doc["ops"].values()
    made = build_op_runtime_summary([{"operation": "x", "match": False}])
    assert set(entry) == set(made["ops"]["x"]) - {"world_id", "mismatch_details"} | {"world_id"}
    assert set(made["ops"]["x"]) - {"world_id"} == told("op-summary", "field of an entry")


def test_the_links_example(tmp_path: Path) -> None:
    (tmp_path / "links.json").write_text(example("runtime-links"))
    links = load_runtime_links(tmp_path / "links.json")
    assert (list_linked_profiles(links), list_linked_expectations(links)) == (
        ["no-network"],
        ["no-network.tcp-connect"],
    )


def test_the_inventory_s_example(tmp_path: Path) -> None:
    tree = SeedTree(tmp_path / "tree")
    tree.write("registry/notes.txt", "seatbelt")
    made = build_runtime_inventory(tree.root, tmp_path / "inventory.json")
    doc: dict[str, Any] = json.loads(example("inventory"))
    assert pretty(doc).decode() == example("inventory")
    assert {**doc, "world_id": made["world_id"]} == made
    assert set(doc) == told("inventory", "field")


def test_the_page_s_code_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", (DOCS / "evidence-api.md").read_text(), re.M | re.S)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "evidence-api.md", "exec"), {})
    assert capsys.readouterr().out.strip() in ("ok", "partial")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_page_of_the_surface_names_every_command(command: str) -> None:
    assert f"`{command}`" in (DOCS / "evidence-api.md").read_text()
