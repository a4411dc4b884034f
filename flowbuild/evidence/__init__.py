"""Evidence that others can trust: the stable Python surface of plans, registries, runs, bundles and packets.

Only the names of `__all__` are promised; what they do lives in the floors below. `python -m flowbuild.evidence` is the
same from a shell.
"""

from __future__ import annotations

from flowbuild.bundle.plan_run import run_plan
from flowbuild.bundle.promote import emit_promotion_packet
from flowbuild.bundle.read import RunBundle, ValidationResult, load_bundle, open_bundle_unverified, validate_bundle
from flowbuild.bundle.reindex import reindex_bundle
from flowbuild.graph.evidence import plan_digest
from flowbuild.graph.plans import lint_plan, list_plans, load_plan
from flowbuild.graph.registries import (
    lint_registry,
    list_probes,
    list_profiles,
    list_registries,
    resolve_probe,
    resolve_profile,
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
    "RunBundle",
    "ValidationResult",
    "run_plan",
    "load_bundle",
    "validate_bundle",
    "emit_promotion_packet",
    "open_bundle_unverified",
    "reindex_bundle",
]
