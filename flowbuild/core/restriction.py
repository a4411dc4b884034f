"""The words of a profile's `restrict:`, and the values that each may have.

Knows nothing of mechanisms: `engine/restrict.py` says what each covers and how a kernel is made to hold it.
"""

from __future__ import annotations

from collections.abc import Mapping

RESTRICTIONS: Mapping[str, tuple[str, ...]] = {
    "files": ("read-only", "staged"),
    "network": ("deny",),
    "exec": ("deny",),
    "signals": ("deny",),
    "environment": ("scrub",),
}
