"""What the channel `clean` achieves here: canaries are sent through the very door that actions take.

Knows nothing of profiles. A variable and a descriptor are planted, a file, a listener and a process stand outside; then
one program tries to get at each of them, first without a door and then by way of the launcher. Whatever the first could
not reach proves nothing; whatever the second reached is open.

Shapes:  {"operations": {name: entry}, "apply_report": [step], "works": bool}, where entries are as in `preflight`, and
         `works` says that what is declared can still be done.
         The canary: arguments are the canaries, each {"key", "operation", "name", "port", "pid"}; a JSON object of the
         errno of each key, null for what was done, is its output.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from flowbuild.engine import clean, confine, fixtures, operations, probe, restrict, shared
from flowbuild.engine.reaper import Reaper
from flowbuild.engine.spawn import Start

VARIABLE, DESCRIPTOR = "FLOWBUILD_CANARY", 200
INHERITED, LOCAL = (
    "descriptor-inherited",
    "socket-local",
)  # no operations of a probe, as those of `shared`: the channel alone answers for them
_SHARED = (shared.MEMORY, shared.QUEUE, shared.KEY)

# A test asserts that there is a canary for each.
COVERS: Mapping[str, tuple[str, ...]] = {
    "environment:declared": ("environment-read",),
    "descriptors:closed": (INHERITED,),
    **confine.COVERS,
    "network:none": (*confine.COVERS["network:none"], LOCAL, *_SHARED),
}
# What the door does beside confining: the steps that no apply report has.
_BESIDE = {"environment:declared": "fresh-environment", "descriptors:closed": "close-range"}
_OUTSIDE = {
    "file-read-data": "outside/file",
    "file-read-directory": "outside/directory",
    "file-write-data": "outside/file",
    "file-write-create": "outside/new",
    "process-exec": "outside/program",
    "network-outbound": "127.0.0.1:0",
    "network-bind": "127.0.0.1:0",
    "network-outbound-udp": "127.0.0.1:0",
    "signal": "victim",
    "process-info": "victim",
    "environment-read": VARIABLE,
    INHERITED: str(DESCRIPTOR),
    LOCAL: "",
    **dict.fromkeys(_SHARED, ""),
    "file-write-truncate": "outside/file",
    "file-write-unlink": "outside/file",
}
_STAGED = {"file-read-data": "staged/file", "file-write-create": "staged/new", "process-exec": "/bin/sh"}


class Canaries(NamedTuple):
    """What is to be tried, and the tree that it stands in."""

    tree: str
    asked: list[dict[str, Any]]


class Passage(NamedTuple):
    """What came of each canary, None if the program was not even begun; the launcher's report; launchd's refusal."""

    held: dict[str, int | None] | None
    report: list[dict[str, Any]]
    refused: str | None


def check(channel: str = "clean") -> dict[str, Any]:
    """Send the canaries through a channel's door, and say what became of each."""
    os.environ[VARIABLE] = "planted"
    reaper = _reaper(channel)
    reading, writing = os.pipe()
    try:
        with _standing() as canaries:
            free = _without_door(canaries, reading)
        with _standing() as canaries:
            held, report, refused = _through_door(canaries, reading, reaper)
    finally:
        reaper.close()
        os.close(reading)
        os.close(writing)
    steps = [*(step._asdict() for step in _of_the_door(channel, refused)), *report]
    return {
        "operations": {name: _entry(name, free, held, steps) for name in COVERS},
        "apply_report": report,
        "works": held is not None and all(held[f"staged {name}"] is None for name in _STAGED),
    }


def main() -> int:
    """The canary: try everything that is asked, and say what came of it."""
    asked = json.loads(sys.argv[2])
    print(json.dumps({each["key"]: _try(each) for each in asked}))
    return 0


def _try(asked: Mapping[str, Any]) -> int | None:
    """Perform one operation. The errno of its refusal, or None when it was done."""
    try:
        if asked["operation"] == INHERITED:
            os.fstat(int(asked["name"]))
        elif asked["operation"] == LOCAL:
            socket.socket(socket.AF_UNIX).close()
        elif asked["operation"] in _SHARED:
            shared.reach(asked["operation"], asked["name"])
        else:
            place = operations.Place(asked["name"], asked["port"], asked["pid"])
            operations.OPERATIONS[asked["operation"]].perform(place, [])
    except OSError as error:
        return error.errno
    return None


@contextlib.contextmanager
def _standing() -> Iterator[Canaries]:
    """Fixtures for one round, since some canaries eat theirs."""
    with contextlib.ExitStack() as stack:
        names = stack.enter_context(shared.planted())
        stands = {
            operation: stack.enter_context(fixtures.standing(operation, target))
            for operation, target in _OUTSIDE.items()
            if operation in ("file-read-data", "network-outbound", "network-outbound-udp", "signal")
        }
        own = stands["file-read-data"]
        program = Path(own.tree, "outside", "program")
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        asked = []
        for prefix, table in (("outside", _OUTSIDE), ("staged", _STAGED)):
            for operation, target in table.items():
                stand = stands["signal"] if target == "victim" else stands.get(operation, own)
                place = (own if stand.port == stand.victim == 0 else stand).place(target)
                told = place._asdict() | {"name": names.get(operation, place.name)}
                asked.append({"key": f"{prefix} {operation}", "operation": operation, **told})
        yield Canaries(own.tree, asked)


def _without_door(canaries: Canaries, planted: int) -> dict[str, int | None]:
    with _planted(planted):
        done = subprocess.run(_argv(canaries), capture_output=True, pass_fds=(DESCRIPTOR,), check=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@contextlib.contextmanager
def _planted(descriptor: int) -> Iterator[None]:
    """A copy under the number that the canary looks at; what has that number already has it again afterwards."""
    try:
        taken = os.dup(DESCRIPTOR)
    except OSError:
        taken = None
    os.dup2(descriptor, DESCRIPTOR)
    try:
        yield
    finally:
        if taken is None:
            os.close(DESCRIPTOR)
        else:
            os.dup2(taken, DESCRIPTOR, inheritable=False)
            os.close(taken)


def _through_door(canaries: Canaries, planted: int, reaper: Reaper) -> Passage:
    """Send the canaries through the door that a reaper opens."""
    staged, outside = f"{canaries.tree}/staged", f"{canaries.tree}/outside"
    argv = _argv(canaries)
    package = argv[-2]  # the canary is found in it
    what = clean.confinement(staged, outside, (*clean.library(), package), clean.interpreter())
    start = Start(argv[0], tuple(argv), Path(staged), {"TMPDIR": staged}, descriptors={DESCRIPTOR: planted})
    with clean.Launch(start, what) as launch:
        child = reaper.start(launch.start)
        os.set_blocking(child.stdout, True)
        said = b"".join(iter(lambda: os.read(child.stdout, 65536), b""))
        reaper.finish(child)
        held = json.loads(said) if launch.refusal() is None and said else None
        return Passage(held, launch.report(), child.refused)


def _reaper(channel: str) -> Reaper:
    """Who starts the processes of a channel."""
    if channel != "launchd_clean":
        return Reaper()
    from flowbuild.engine.launchd import ByLaunchd

    return ByLaunchd()


def _argv(canaries: Canaries) -> list[str]:
    return [*probe.command("isolation"), json.dumps(canaries.asked)]


def _of_the_door(channel: str, refused: str | None) -> Iterator[restrict.Step]:
    if refused:
        print(refused, file=sys.stderr)  # which is kept beside the record
    for name, own in _BESIDE.items():
        if channel == "launchd_clean":
            born = restrict.step(name, "launchd")
            yield born._replace(status=restrict.UNAVAILABLE) if refused else born
        yield restrict.step(name, own)


def _entry(
    name: str, free: Mapping[str, int | None], held: Mapping[str, int | None] | None, steps: list[dict[str, Any]]
) -> dict[str, Any]:
    from flowbuild.engine.preflight import achievement

    rows = []
    for operation in COVERS[name]:
        number = held[f"outside {operation}"] if held is not None else None
        result = {"errno": number, "errno_name": errno.errorcode.get(number or 0)}
        rows.append({"operation": operation, "actual": "deny" if number else "allow", "runtime_result": result})
    open_anyway = {operation: free[f"outside {operation}"] is None for operation in COVERS[name]}
    return achievement(name, rows, steps, open_anyway)
