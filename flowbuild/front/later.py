"""What the command line knows and this version cannot do yet: refused, and never ignored."""

from __future__ import annotations

from flowbuild.core.errors import CapabilitiesMismatch
from flowbuild.front.arguments import Request
from flowbuild.run.channel import resolve

LATER_FLAGS = {"config": "--config", "timeout_s": "--timeout"}


def check_host(request: Request) -> None:
    """Refuse what is asked for and not there, before anything is read."""
    resolve(request.channel)
    for name, flag in LATER_FLAGS.items():
        if getattr(request, name) is not None:
            raise CapabilitiesMismatch(f"this version has no flag {flag}", remedy="leave it out")
