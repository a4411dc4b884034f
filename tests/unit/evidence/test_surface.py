"""The stable surface: 36 names in their order, each documented, each signature as the seed promises it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import get_type_hints

import pytest

import flowbuild.evidence as evidence

PAGE = Path(__file__).resolve().parents[3] / "docs/evidence-api.md"
NAMES = [
    "ChannelName",
    "ChannelSpec",
    "LockMode",
    "load_plan",
    "list_plans",
    "plan_digest",
    "lint_plan",
    "list_registries",
    "list_probes",
    "list_profiles",
    "resolve_probe",
    "resolve_profile",
    "lint_registry",
    "list_plan_templates",
    "load_plan_template",
    "build_plan_from_template",
    "PlanBuildResult",
    "load_runtime_links",
    "list_linked_profiles",
    "list_linked_expectations",
    "resolve_profile_link",
    "resolve_expectation_link",
    "build_op_runtime_summary",
    "summarize_ops_from_bundle",
    "summarize_ops_from_packet",
    "write_op_runtime_summary",
    "RunBundle",
    "ValidationResult",
    "run_plan",
    "load_bundle",
    "validate_bundle",
    "emit_promotion_packet",
    "runtime_status",
    "open_bundle_unverified",
    "reindex_bundle",
    "build_runtime_inventory",
]

# The parameters that the seed names, in its order; those after a star are by keyword. Ours may follow, with defaults.
PROMISED = {
    "load_plan": "plan_path",
    "list_plans": "",
    "plan_digest": "plan_doc",
    "lint_plan": "plan_path",
    "list_registries": "",
    "list_probes": "registry_id",
    "list_profiles": "registry_id",
    "resolve_probe": "registry_id probe_id",
    "resolve_profile": "registry_id profile_id",
    "lint_registry": "registry_id",
    "list_plan_templates": "",
    "load_plan_template": "template_id",
    "build_plan_from_template": "template_id out_root * overwrite write_expected_matrix",
    "load_runtime_links": "path",
    "list_linked_profiles": "links_doc",
    "list_linked_expectations": "links_doc",
    "resolve_profile_link": "links_doc profile_id",
    "resolve_expectation_link": "links_doc expectation_id",
    "build_op_runtime_summary": "observations * world_id inputs input_hashes source_jobs notes",
    "summarize_ops_from_bundle": "bundle_root * out_path strict",
    "summarize_ops_from_packet": "packet_path * out_path require_promotable",
    "write_op_runtime_summary": "summary_doc out_path",
    "run_plan": "plan_path out_root * channel only_profiles only_scenarios dry_run",
    "load_bundle": "out_root",
    "validate_bundle": "out_root",
    "emit_promotion_packet": "bundle_root out_path * require_promotable",
    "runtime_status": "",
    "open_bundle_unverified": "out_root",
    "reindex_bundle": "out_root * repair",
    "build_runtime_inventory": "repo_root out_path",
}
FUNCTIONS = [name for name in NAMES if name.islower()]


def test_the_names_and_their_order() -> None:
    assert evidence.__all__ == NAMES
    assert len(NAMES) == 36
    assert set(FUNCTIONS) == set(PROMISED)


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_documented(name: str) -> None:
    assert len(inspect.getdoc(getattr(evidence, name)) or "") > 20


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_is_typed_and_takes_what_is_promised(name: str) -> None:
    function = getattr(evidence, name)
    hints = get_type_hints(function)
    parameters = inspect.signature(function).parameters
    assert set(parameters) | {"return"} == set(hints)
    by_place, _, by_name = PROMISED[name].partition("*")
    given = list(parameters.values())
    wanted = by_place.split()
    assert [one.name for one in given[: len(wanted)]] == wanted
    assert {one.name for one in given if one.kind is one.KEYWORD_ONLY} >= set(by_name.split())
    rest = [one for one in given if one.name not in (*wanted, *by_name.split())]
    assert all(one.default is not one.empty for one in rest)


def test_who_checks_types_sees_ours() -> None:
    assert (Path(evidence.__file__).parents[1] / "py.typed").is_file()


def test_the_page_lists_every_name_with_its_parameters() -> None:
    told = re.findall(r"^\| `(\w+)(?:\(([^)`]*)\))?`", PAGE.read_text(), re.M)
    assert [name for name, _ in told] == NAMES
    for name, parameters in told:
        if name in PROMISED:
            assert parameters.replace(",", "") == PROMISED[name], name
