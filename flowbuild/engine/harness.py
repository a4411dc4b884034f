"""Step kind `probe`: one request to the probe harness, one row of evidence back.

Knows nothing of what is probed. The harness restricts itself and tries the operation, so nothing is staged: what it
may see is what is asked.

Shapes:  with: the request. It goes to the harness as one JSON line on stdin, and the JSON object on the one line that
         comes back on stdout is the content of the output `row`. Outcome code `probe_broke` when nothing such comes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from flowbuild.core.action import Action, ErrorInfo, Outcome
from flowbuild.core.canonical import canonical
from flowbuild.engine import clean
from flowbuild.engine.command import run, seconds, streams, told
from flowbuild.engine.engine import Io, Performance
from flowbuild.engine.place import Place, prepare
from flowbuild.engine.reaper import Reaper
from flowbuild.engine.spawn import Start
from flowbuild.store.refusal import refused as disk_refused


def perform(
    action: Action,
    io: Io,
    reaper: Reaper,
    command: Callable[[], list[str]] | None = None,
    is_clean: bool = False,
) -> Performance:
    """Ask the harness, which confines itself in the channel `clean`, and keep its row."""
    argv = (command or _harness())()
    place = prepare(action, io)
    if is_clean:
        asked = action.with_["probe"]
        argv = [*argv, clean.for_probe(place, io, asked["operation"], asked["target"]).text]
    request = place.scratch / "request.json"
    with disk_refused(request):
        request.write_bytes(canonical(action.with_) + b"\n")
    captures = streams(action, io)
    environment = place.environment(io.environment(action), {})
    start = Start(argv[0], tuple(argv), place.cwd, environment, stdin=request)
    error = yield from run(reaper, start, captures, seconds(action))
    if error is not None and error.code == "exit":
        error = ErrorInfo("probe_broke", f"the probe harness broke: {error.message}", details=error.details)
    row = None if error else _row(captures[0].log.read_bytes() if captures[0].log else b"")
    is_asked = error is None or error.code != "channel_refused"
    if not is_asked:
        from flowbuild.engine.probe import unasked

        error, row = None, unasked(action.with_)
    if error is None and row is None:
        error = ErrorInfo("probe_broke", "the probe harness said something else than one JSON object")
    outcome = Outcome(_keep(row, io, place) if row is not None else {}, error, remember=is_asked and _is_answer(row))
    return told(outcome, captures, io)


def _harness() -> Callable[[], list[str]]:
    from flowbuild.engine import probe  # starts with the first probe, not with the engine

    return probe.command


def _row(said: bytes) -> dict[str, Any] | None:
    """The one JSON object on the one line, if that is what was said."""
    try:
        row = json.loads(said, parse_constant=_refuse) if said.count(b"\n", 0, -1) == 0 else None
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _is_answer(row: dict[str, Any] | None) -> bool:
    """Whether a row may be served again: a probe that timed out or was short of something has said nothing."""
    result = (row or {}).get("runtime_result")
    return isinstance(result, dict) and result.get("failure_stage") != "probe"


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _keep(row: dict[str, Any], io: Io, place: Place) -> dict[str, Any]:
    path = place.scratch / "row.json"
    with disk_refused(path):
        path.write_bytes(canonical(row))
    return {"row": io.collect(path)}
