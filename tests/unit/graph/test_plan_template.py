"""Plan templates: each ships sound, and building one never writes over what is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flowbuild.core.errors import BadPath, Faults, FlowError, UnknownName
from flowbuild.graph import plan_template
from flowbuild.graph.declared import open_catalog, registry, targets
from flowbuild.graph.plan_template import build_plan_from_template, list_plan_templates, load_plan_template
from flowbuild.graph.plans import lint_plan
from flowbuild.graph.registries import lint_registry

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
TEMPLATES = [row["template_id"] for row in list_plan_templates()]


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_templates_are_listed_with_what_they_are_for() -> None:
    assert TEMPLATES == ["file-access", "hardened-runtime", "network-access", "path-aliases"]
    assert all(row["description"] and row["path"] == f"{row['template_id']}.json" for row in list_plan_templates())


@pytest.mark.parametrize("template_id", TEMPLATES)
def test_what_a_template_builds_is_sound_as_it_stands(template_id: str, tmp_path: Path) -> None:
    root = tmp_path / "e"
    made = build_plan_from_template(template_id, root)
    assert (made.template_id, made.registry_id) == (template_id, template_id)
    assert made.plan_path == root / "plan.json"
    assert (made.probes_path, made.profiles_path) == (root / "registry/probes.json", root / "registry/profiles.json")
    assert made.expected_matrix_path == root / "out/expected_matrix.json"
    assert lint_plan(made.plan_path).errors == ()
    assert lint_registry(template_id, root).errors == ()
    template = load_plan_template(template_id)
    for key, path in (("plan", made.plan_path), ("probes", made.probes_path), ("profiles", made.profiles_path)):
        assert json.loads(path.read_text()) == template[key]
    matrix = json.loads(made.expected_matrix_path.read_text())
    assert list(matrix["profiles"]) == template["plan"]["profiles"]


def test_the_first_example_is_a_template_too() -> None:
    catalog = open_catalog(EXAMPLES)
    (target,) = (one for one in targets(catalog, "registry") if one.label.package == "experiments/hardened-runtime")
    declared, template = registry(catalog, target), load_plan_template("hardened-runtime")
    assert template["probes"]["probes"] == declared.probe_entries
    at_home = {name: {**row, "profile_path": f"policies/{name}.json"} for name, row in declared.profile_entries.items()}
    assert template["profiles"]["profiles"] == at_home
    forbidden = {path.removeprefix("profiles/"): document.value for path, document in declared.files.items()}
    assert {path.removeprefix("policies/"): doc for path, doc in template["policies"].items()} == forbidden


def test_the_matrix_is_left_out_on_request(tmp_path: Path) -> None:
    made = build_plan_from_template("network-access", tmp_path, write_expected_matrix=False)
    assert made.expected_matrix_path is None
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "path", ["plan.json", "registry/probes.json", "registry/policies/no-network.json", "out/expected_matrix.json"]
)
def test_nothing_is_written_over_what_is_there(tmp_path: Path, path: str) -> None:
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text("mine")
    with pytest.raises(BadPath, match="is there already"):
        build_plan_from_template("network-access", tmp_path)
    assert files(tmp_path) == {path: b"mine"}
    build_plan_from_template("network-access", tmp_path, overwrite=True)
    assert (tmp_path / path).read_text() != "mine"


def test_building_twice_is_refused_with_every_file_named(tmp_path: Path) -> None:
    build_plan_from_template("network-access", tmp_path)
    with pytest.raises(Faults) as found:
        build_plan_from_template("network-access", tmp_path)
    assert len(found.value.exceptions) == len(files(tmp_path))


def test_an_unknown_template_is_told_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'network-access'"):
        load_plan_template("network-acces")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema_version": "x"}, "a plan template is runtime-tools.plan_template.v0.1"),
        ({"template_id": "other"}, "the template is 'mine', and here it is 'other'"),
        ({"registry_id": "other"}, "the registry is 'other', and here it is 'network-access'"),
        ({"plan": None}, "a template needs `plan`"),
        ({"probes": {"schema_version": "x"}}, "a template needs `probes`"),
        ({"policies": {"../../x": {}}}, "'../../x' is no path below the registry"),
        ({"policies": {"/etc/x": {}}}, "'/etc/x' is no path below the registry"),
    ],
)
def test_a_template_that_contradicts_itself_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, object], says: str
) -> None:
    doc = load_plan_template("network-access") | {"template_id": "mine"} | change
    (tmp_path / "mine.json").write_text(json.dumps(doc))
    monkeypatch.setattr(plan_template, "_files", lambda: {"mine": tmp_path / "mine.json"})
    with pytest.raises(BaseException) as found:
        build_plan_from_template("mine", tmp_path / "out")
    told = found.value.exceptions if isinstance(found.value, Faults) else [found.value]
    assert all(isinstance(one, FlowError) for one in told)
    assert any(says in str(one) for one in told)
    assert not (tmp_path / "out").exists()


GENERATE = {
    "probes": {"read": {"operation": "file-read-data", "target": "/etc/hosts"}},
    "profiles": {"open": {"restrict": {}}, "closed": {"restrict": {"files": "staged"}, "denies": ["read"]}},
}


def made_of(path: Path, monkeypatch: pytest.MonkeyPatch, **more: object) -> Path:
    doc = {"schema_version": plan_template.TEMPLATE_SCHEMA, "template_id": "mine", "description": "d", **more}
    (path / "mine.json").write_text(json.dumps(doc))
    monkeypatch.setattr(plan_template, "_files", lambda: {"mine": path / "mine.json"})
    return build_plan_from_template("mine", path / "out").plan_path


def test_a_generated_template_is_every_probe_under_every_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = made_of(tmp_path, monkeypatch, generate=GENERATE)
    assert lint_plan(plan).errors == ()
    doc = json.loads(plan.read_text())
    assert (doc["plan_id"], doc["profiles"]) == ("mine.v1", ["open", "closed"])
    assert doc["lanes"] == {"baseline": True, "scenario": True, "oracle": True}
    probes = json.loads((plan.parent / "registry/probes.json").read_text())["probes"]
    assert {name: probe["expected"] for name, probe in probes.items()} == {"open.read": "allow", "closed.read": "deny"}


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"generate": GENERATE, "plan": {}}, "a template is static, or `generate` is all that it has"),
        ({"generate": []}, "a template is static, or `generate` is all that it has"),
        ({"generate": GENERATE | {"lanes": ["orakle"]}}, "orakle"),
        ({"generate": {**GENERATE, "profiles": {"open": {"restrict": {"files": "some"}}}}}, "some"),
        ({"generate": {**GENERATE, "profiles": {"../../x": {"restrict": {}}}}}, "../../x"),
    ],
)
def test_what_can_t_be_generated_is_refused_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, object], says: str
) -> None:
    with pytest.raises(BaseException) as found:
        made_of(tmp_path, monkeypatch, **more)
    told = found.value.exceptions if isinstance(found.value, Faults) else [found.value]
    assert all(isinstance(one, FlowError) for one in told) and any(says in str(one) for one in told)
    assert not (tmp_path / "out").exists()
