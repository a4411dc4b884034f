"""Evidence that others can trust: the stable Python surface of plans, registries, runs, bundles and packets.

Only the names of `__all__` are promised; what they do lives in the floors below. `python -m flowbuild.evidence` is the
same from a shell.
"""

from __future__ import annotations

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

__all__ = [
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
]
