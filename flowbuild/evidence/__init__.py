"""Evidence that others can trust: the stable Python surface of plans, registries, runs, bundles and packets.

Only the names of `__all__` are promised; what they do lives in the floors below. `python -m flowbuild.evidence` is the
same from a shell.
"""

from __future__ import annotations

from flowbuild.bundle.inventory import build_runtime_inventory
from flowbuild.bundle.op_source import summarize_ops_from_bundle, summarize_ops_from_packet
from flowbuild.bundle.op_summary import build_op_runtime_summary, write_op_runtime_summary
from flowbuild.bundle.plan_run import run_plan
from flowbuild.bundle.promote import emit_promotion_packet
from flowbuild.bundle.read import RunBundle, ValidationResult, load_bundle, open_bundle_unverified, validate_bundle
from flowbuild.bundle.reindex import reindex_bundle
from flowbuild.bundle.status import runtime_status
from flowbuild.graph.evidence import plan_digest
from flowbuild.graph.plan_template import (
    PlanBuildResult,
    build_plan_from_template,
    list_plan_templates,
    load_plan_template,
)
from flowbuild.graph.plans import lint_plan, list_plans, load_plan
from flowbuild.graph.registries import (
    lint_registry,
    list_probes,
    list_profiles,
    list_registries,
    resolve_probe,
    resolve_profile,
)
from flowbuild.load.links import (
    list_linked_expectations,
    list_linked_profiles,
    load_runtime_links,
    resolve_expectation_link,
    resolve_profile_link,
)
from flowbuild.run.channel import ChannelName, ChannelSpec, LockMode

__all__ = [
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
