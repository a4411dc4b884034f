"""`flowbuild runs log`: a run's journal, event by event, as people read it or as it stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from flowbuild.core.errors import StoreCorrupt
from flowbuild.front.arguments import Request
from flowbuild.front.console import console
from flowbuild.front.history import Runs
from flowbuild.run.artifacts import artifacts
from flowbuild.store.journal import read

LONGEST = 60  # letters of a value; --json prints all of it
_DIGEST = 64


def log(request: Request, text: str, *, lists_artifacts: bool = False) -> int:
    """Print a run's journal; with `lists_artifacts` what it names instead, each with its kind."""
    out, entry = console(request), Runs(request).find(text)
    envelopes = read(entry.journal)
    try:
        if lists_artifacts:
            for one in artifacts(envelopes):
                out.emit(one.doc())
                kind = str(one.kind)
                out.line(f"{one.artifact_id}  {kind:<15}  {one.state_id}  {one.name}".rstrip())
            return 0
        for envelope in envelopes:
            out.emit(envelope)
            out.line(_line(envelope))
    except (AttributeError, KeyError, TypeError, ValueError):
        raise StoreCorrupt(f"{entry.journal}: an event that is not of this version", remedy="--json shows it") from None
    return 0


def _line(envelope: Mapping[str, Any]) -> str:
    event = envelope["event"]
    if "Kernel" in event:
        ((name, fields),) = event["Kernel"].items()
    else:
        name, fields = event["Domain"]["name"], event["Domain"]["payload"]
    said = "  ".join(_said(dict(fields)))
    return f"{envelope['seq']:>5}  {_time(envelope['ts_millis'])}  {name:<16}  {said}".rstrip()


def _said(fields: dict[str, Any]) -> Iterator[str]:
    """Whose it is first; then every other field."""
    if state_id := fields.pop("state_id", ""):
        yield str(state_id)
    for name, value in sorted(fields.items()):
        if value not in (None, "", {}, []):
            yield f"{name}={_short(value)}"


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = " ".join(f"{name}={_short(one)}" for name, one in sorted(value.items()) if one is not None)
        return f"{{{inner}}}"
    text = str(value).replace("\n", "↵")
    if len(text) == _DIGEST and text.isalnum():
        return text[:8]
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _time(millis: int | None) -> str:
    try:
        return datetime.fromtimestamp((millis or 0) / 1000).strftime("%H:%M:%S.%f")[:-3] if millis else "?".ljust(12)
    except (OSError, OverflowError, ValueError):  # a journal may say any number
        return "?".ljust(12)
