"""Policies in the language of a host's own sandbox, as other people's profiles have them: `sbpl` texts and `blob`s.

Knows nothing of profiles or probes. Only macOS can apply a text, through the same door as our own restrictions; a
compiled policy has no public door anywhere. What can't be applied is unavailable, and never taken for applied.

Shapes:  a policy is {mode: sbpl, text} or {mode: blob, base64}.
Errors:  PolicyUnavailable, with the report.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Mapping

from flowbuild.engine.restrict import UNAVAILABLE, PolicyUnavailable, Step, step


def refusal(policy: Mapping[str, str], platform: str = sys.platform) -> Step | None:
    """The row of a report that says why this host can't even try; None when it can."""
    if platform == "darwin" and policy["mode"] == "sbpl":
        return None
    return step(policy["mode"], "seatbelt", errno.ENOSYS)


def apply(policy: Mapping[str, str]) -> list[Step]:
    """Apply a policy to the calling process, for good."""
    row = refusal(policy)
    if row is None:
        from flowbuild.engine import seatbelt

        row = step(policy["mode"], "seatbelt", seatbelt.enter(policy["text"]))
    if row.status == UNAVAILABLE:
        raise PolicyUnavailable([policy["mode"]], [row])
    return [row]
