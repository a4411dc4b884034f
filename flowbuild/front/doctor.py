"""`flowbuild doctor`: what this host can do, as a table, and what is missing with the command that brings it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from flowbuild.bundle.experiment import host_check
from flowbuild.core.errors import BadFlag, BadPath, EngineLost, Faults, UserError
from flowbuild.engine.restrict import DEGRADED, UNAVAILABLE
from flowbuild.front.arguments import Request
from flowbuild.front.console import Console, console
from flowbuild.load.workspace import find_root, open_workspace
from flowbuild.run.channel import ChannelName
from flowbuild.run.checkup import MISSING, SAID, WORKS, Row, checkup

_WANTING = (DEGRADED, UNAVAILABLE, MISSING)


def doctor(request: Request) -> int:
    """Print every row; exit 1 if something that a plain build needs does not work here."""
    out = console(request)
    fatal: list[str] = []
    start = Path(os.path.abspath(request.directory))
    if not start.is_dir():
        raise BadFlag(f"-C {request.directory}: there is no such directory")
    found = _found(start)
    for group, rows in groupby(found, key=lambda row: row.group):
        members = list(rows)
        fatal += [row.name for row in members if row.is_fatal]
        _show(out, group, members)
    if fatal:
        out.line(f"a plain build does not work here: {', '.join(fatal)}")
        return 1
    out.line("everything that a plain build needs works")
    return 0


def _found(start: Path) -> Iterator[Row]:
    """What a check-up finds, in the workspace if there is one; else in the directory for temporary files."""
    try:
        root = find_root(start)
    except BadPath as fault:
        yield Row("workspace", "root", UNAVAILABLE, fault.message, fault.remedy, needed=True)
        yield from checkup(_temporary(start), None, _record())
        return
    except UserError:
        place = _temporary(start)
        said = f"none here: there is no flowbuild.yaml in {start} or above, so the disk is that of {place}"
        yield Row("workspace", "root", SAID, said)
        yield from checkup(place, None, _record())
        return
    cache = root / ".flowbuild"
    try:
        cache = open_workspace(root).config.cache_dir
        yield Row("workspace", "root", WORKS, str(root))
    except (UserError, Faults) as fault:
        first = fault.exceptions[0] if isinstance(fault, Faults) else fault
        yield Row("workspace", "root", UNAVAILABLE, f"{root}: {first}", "correct flowbuild.yaml", needed=True)
    yield from checkup(root / ".flowbuild", cache, _record())


def _record() -> dict[str, Any] | None:
    """What the preflight finds."""
    try:
        return host_check(ChannelName.CLEAN)
    except EngineLost:
        return None


def _temporary(start: Path) -> Path:
    """Where a program may try things; where it stands, if this host has no other place."""
    try:
        return Path(tempfile.gettempdir())
    except OSError:
        return start


def _show(out: Console, group: str, rows: list[Row]) -> None:
    out.line(group)
    for row in rows:
        out.emit({**row._asdict(), "remedy": row.remedy if row.status in _WANTING else ""})
        color = {UNAVAILABLE: "failed", MISSING: "warning", DEGRADED: "warning"}.get(row.status, "done")
        status = " " * 11 if row.status == SAID else out.paint(color, f"{row.status:<11}")
        out.line(f"  {row.name:<20} {status}  {row.detail}".rstrip())
        if row.remedy and row.status in _WANTING:
            out.line(f"  {'':<20} {'':<11}  {row.remedy}")
