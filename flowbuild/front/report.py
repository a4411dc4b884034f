"""The report of a build: its last lines, and the text that the null road prints when nothing moved since.

Knows nothing of how anything was built. Both are made here, so that they can't drift apart.

Shapes:  the null text is plain, and holds ELAPSED and ROOT where the null road fills in what it finds.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from flowbuild.core.event import StateStatus
from flowbuild.core.label import Label
from flowbuild.front.arguments import ELAPSED, ROOT, Request
from flowbuild.front.console import Console

MOST = 20
"""Lines of a kind that the report shows without --verbose."""


class Made(NamedTuple):
    """One target that was asked for: its paths below the root, and for a run its id, status and whether it is new."""

    label: Label
    paths: tuple[str, ...]
    run_id: str | None = None
    status: str = "ok"
    is_new: bool = False


class Report:
    """What is said at the end. Filled while the build goes on."""

    def __init__(self, request: Request, console: Console, root: Path) -> None:
        self._request = request
        self._console = console
        self._root = root
        self._started = time.monotonic()
        self.count: Counter[StateStatus] = Counter()
        self.is_filtered = False  # something was asked for and left out
        self.made: list[Made] = []

    def say(self, code: int) -> None:
        """Print the summary, and where things are."""
        elapsed = f"{time.monotonic() - self._started:.2f}"
        if self._is_up_to_date(code):
            for text in self.null_text(code).splitlines():
                text = text.replace(ELAPSED, elapsed).replace(ROOT, self.way)
                self._console.raw(text)
            return
        self._console.emit(self._summary(code))
        performed, reused, failed, waiting = self._numbers
        skipped = self.count[StateStatus.SKIPPED]
        more = f", {skipped} skipped" if skipped else ""
        more += f", {waiting} not started" if waiting else ""
        self._console.line(f"{performed} performed, {reused} reused, {failed} failed{more} in {elapsed} s")
        places = self._places(self.way)
        shown = len(places) if self._console.verbose else MOST
        for line in places[:shown]:
            self._console.line(line)
        if len(places) > shown:
            self._console.line(f"  and {len(places) - shown} more: -v lists all")

    def null_text(self, code: int) -> str:
        """What the same request prints when nothing moved: one line, and with --verbose the paths."""
        if self._request.json:
            performed, reused, _, _ = self._numbers
            again = {"performed": 0, "reused": performed + reused, "failed": 0, "not_started": 0}
            return json.dumps({"exit_code": code, "summary": again}, sort_keys=True) + "\n"
        if self._request.quiet:
            return ""
        runs = "".join(f"run {(one.run_id or '')[:8]}{_unless_ok(one)}, " for one in self.made if one.run_id)
        lines = [f"up to date: {' '.join(self._request.patterns)} ({runs}{ELAPSED} s)"]
        if self._request.verbose:
            lines += self._places(ROOT)
        return "\n".join(lines) + "\n"

    @property
    def way(self) -> str:
        """The way from where the user stands to the workspace root: nothing, or a path that ends in a slash."""
        way = os.path.relpath(self._root)
        return "" if way == "." else f"{way}/"

    @property
    def _numbers(self) -> tuple[int, int, int, int]:
        wanted = (StateStatus.COMPLETED, StateStatus.REUSED, StateStatus.FAILED, StateStatus.NOT_STARTED)
        performed, reused, failed, waiting = (self.count[status] for status in wanted)
        return performed, reused, failed, waiting

    def _is_up_to_date(self, code: int) -> bool:
        if self.is_filtered:
            return False
        return code == 0 and not self._numbers[0] and not any(one.is_new for one in self.made)

    def _summary(self, code: int) -> dict[str, object]:
        names = ("performed", "reused", "failed", "not_started")
        return {"exit_code": code, "summary": dict(zip(names, self._numbers, strict=True))}

    def _places(self, way: str) -> list[str]:
        wide = max((len(str(one.label)) for one in self.made), default=0)
        lines = []
        for one in self.made:
            first, *others = one.paths or ("",)
            if one.is_new and one.run_id and first:
                lines.append(f"  committed {(one.run_id or '')[:8]}  {way}{first}")
            elif first:
                beside = [path.removeprefix(f"out/bin/{one.label.directory}/") for path in others]
                lines.append(f"  {one.label!s:<{wide}}   {', '.join([f'{way}{first}', *beside])}")
        return lines


def _unless_ok(one: Made) -> str:
    return "" if one.status == "ok" else f" {one.status}"
