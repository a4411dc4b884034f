"""What GitHub Actions shows of a command: annotations beside the code, and the job's summary.

Knows nothing of other CI systems. Nothing here happens unless GITHUB_ACTIONS is `true`. Annotations go to standard
error, which the runner reads too: so they are never in the way of `--json` or of `$(flowbuild outputs ...)`.

Shapes:  `::error file=F,line=L,col=C,title=T::message`, F from the repository's root; a summary is Markdown.
Source:  GitHub's "Workflow commands for GitHub Actions".
"""

from __future__ import annotations

import html
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from flowbuild.core.errors import Faults, FlowError, Location
from flowbuild.core.event import StateStatus
from flowbuild.front import arguments
from flowbuild.front.arguments import Request
from flowbuild.front.tally import WORST_FIRST, Ended, bad

if TYPE_CHECKING:
    from flowbuild.front.build import Build

Note = tuple[str, str, Location | None]
"""What an annotation says, its title, and its place from the workspace root."""

MOST = 10  # annotations of one step that GitHub shows
ROWS, LOGS, LINES = 100, 20, 40  # of a summary: targets in its table, logs below it, lines of each
WORDS = {StateStatus.COMPLETED: "performed", StateStatus.NOT_STARTED: "not started"}


def is_here() -> bool:
    """Whether this is a step of a workflow."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def annotate(notes: Iterable[Note], root: Path) -> None:
    """Show notes at their places, as many as GitHub takes."""
    for note in islice(notes, MOST) if is_here() else ():
        print(annotation(*note, root), file=sys.stderr, flush=True)


def annotate_faults(error: FlowError | Faults, argv: Sequence[str]) -> None:
    """Show each fault at its place. `argv` says where the workspace is that places are told from."""
    found = arguments.place(Request(directory=arguments.directory([*argv])))
    faults = error.exceptions if isinstance(error, Faults) else [error]
    annotate(map(_told, faults), Path(found[0]) if found else Path.cwd())


def tell(build: Build, code: int) -> None:
    """Annotate the targets that failed, and add what was done to the job's summary."""
    if not is_here():
        return
    ended = build.tally.ended(build.graph)
    catalog = build.catalog
    notes = ((_said(one), str(one.label), catalog.locate(catalog.target(one.label))) for one in bad(ended))
    annotate(notes, build.workspace.root)
    place = os.environ.get("GITHUB_STEP_SUMMARY")
    if place:
        try:
            with open(place, "a", encoding="utf-8", errors="replace") as file:
                file.write(summary(build, ended, code))
        except OSError as error:
            build.console.error(f"flowbuild: the job's summary can't be written: {error.strerror}")


def annotation(message: str, title: str, where: Location | None, root: Path) -> str:
    """One workflow command."""
    repository = os.path.realpath(os.environ.get("GITHUB_WORKSPACE") or os.getcwd())
    properties: dict[str, str | int] = {}
    if where is not None:
        path = os.path.relpath(os.path.realpath(root / where.path), repository)
        if not path.startswith("../"):  # GitHub shows what is in the repository
            properties = {"file": path, "line": where.line, "col": where.column}
    said = ",".join(
        f"{name}={_property(str(value))}" for name, value in {**properties, "title": title}.items() if value
    )
    return f"::error {said}::{_data(message)}"


def summary(build: Build, ended: list[Ended], code: int) -> str:
    """What ran, what was remembered, what failed; the bundles; the end of each failed log, folded."""
    rows = sorted(ended, key=lambda one: WORST_FIRST.index(one.status))
    request = build.request
    heading = f"### flowbuild {request.command} {' '.join(request.patterns)}".rstrip()
    counts = ", ".join(f"{sum(one.status is status for one in rows)} {_word(status)}" for status in _met(rows))
    lines = [_text(heading), "", f"{counts or 'nothing to do'} in {build.tally.elapsed:.2f} s (exit {code})", ""]
    if rows:
        lines += ["| target | | | seconds |", "|---|---|---|---:|", *map(_row, rows[:ROWS])]
        lines += [f"| and {len(rows) - ROWS} more | | | |"] if len(rows) > ROWS else []
    for made in build.report.made:
        if made.run_id:
            new = "committed" if made.is_new else "stands"
            lines += ["", f"`{made.label}`: bundle `{made.run_id}` {new}, {made.status}"]
    for one in list(bad(rows))[:LOGS]:
        lines += ["", *_folded(one)]
    return "\n".join(lines) + "\n\n"


def _met(rows: list[Ended]) -> list[StateStatus]:
    return [status for status in WORST_FIRST if any(one.status is status for one in rows)]


def _word(status: StateStatus) -> str:
    return WORDS.get(status, status.value)


def _row(one: Ended) -> str:
    seconds = f"{one.seconds:.2f}" if one.status in (StateStatus.COMPLETED, StateStatus.FAILED) else ""
    return f"| `{one.label}` | {_word(one.status)} | {_text(one.headline)} | {seconds} |"


def _folded(one: Ended) -> Iterator[str]:
    text = _said(one)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))  # longer than any in the text
    yield from (f"<details><summary>{html.escape(str(one.label))}</summary>", "")
    yield from (fence, text, fence, "", "</details>")


def _text(text: str) -> str:
    """A text that Markdown takes as it is, on one line of a table."""
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", html.escape(text, quote=False)).replace("\n", " ")


def _said(one: Ended) -> str:
    return "\n".join([one.message, *one.log.splitlines()[-LINES:]])


def _told(fault: Exception) -> Note:
    if not isinstance(fault, FlowError):
        return str(fault), type(fault).__name__, None
    return "\n".join(filter(None, (fault.message, fault.remedy))), fault.code, fault.location


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
