"""`flowbuild status`: what this host enforces, for a person or as one JSON object."""

from __future__ import annotations

from pathlib import Path

from flowbuild.bundle.status import runtime_status
from flowbuild.front.arguments import Request
from flowbuild.front.console import console


def status(request: Request) -> int:
    """Print whether this host is ready for evidence."""
    out = console(request)
    found = runtime_status(Path(request.directory) if request.directory else None)
    out.emit(found)
    itself = found["sandbox_check_self"] or {}
    out.line(f"world    {found['world_id']}")
    out.line(f"root     {found['repo_root']}")
    out.line(f"sandbox  {'already in one' if itself.get('sandboxed') else 'not in one'}")
    out.line(f"clean    {'works here' if found['clean']['works'] else 'does not work here'}")
    rows = sorted({**found["operations"], **found["clean"]["operations"]}.items())
    for name, row in rows:
        reason = row.get("mechanism") or row.get("errno_name") or ""
        out.line(f"  {name:<20} {row['status']:<12} {reason}".rstrip())
    for name, path in found["tools"].items():
        out.line(f"  {name:<20} {path or 'not there'}")
    return 0
