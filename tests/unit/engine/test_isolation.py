"""What the channel clean achieves: canaries are really sent, and a door that holds nothing is found out."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hosts
import pytest

from flowbuild.engine import clean, isolation, preflight, probe, shared
from flowbuild.engine.confine import Confinement
from flowbuild.engine.restrict import DEGRADED, ENFORCED, UNAVAILABLE
from flowbuild.engine.seccomp import refuse
from flowbuild.engine.spawn import Start

WHOLE = pytest.mark.skipif(
    hosts.landlock_abi() < 6 or not hosts.has_filters(), reason="needs Landlock ABI 6 and seccomp"
)
FILTERS = pytest.mark.skipif(not hosts.has_filters(), reason="needs seccomp filters")
NO_LANDLOCK = [refuse(number, errno.ENOSYS) for number in (444, 445, 446)]
CLEAN = preflight.command("clean")


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    return hosts.record(command=CLEAN)


@WHOLE
def test_a_whole_host_holds_everything(record: dict[str, Any]) -> None:
    found = record["isolation"]["operations"]
    assert set(found) == set(isolation.COVERS)
    assert {name: (e["status"], e["mechanism"], e["errno_name"]) for name, e in found.items()} == {
        "environment:declared": (ENFORCED, "fresh-environment", "ENOENT"),
        "descriptors:closed": (ENFORCED, "close-range", "EBADF"),
        "files:declared": (ENFORCED, "landlock", "EACCES"),
        "network:none": (ENFORCED, "seccomp", "EACCES"),
        "signals:deny": (ENFORCED, "landlock", "EPERM"),
    }
    assert not any(entry["leaves"] or entry["untested"] for entry in found.values())
    assert (record["channel"], record["apply_ok"], record["isolation"]["works"]) == ("clean", True, True)
    assert found["files:declared"]["abi"] == hosts.landlock_abi()


@WHOLE
def test_it_is_the_same_on_every_run_and_leaves_nothing(record: dict[str, Any], tmp_path: Path) -> None:
    done = subprocess.run(CLEAN, capture_output=True, env={**os.environ, "TMPDIR": str(tmp_path)}, check=True)
    assert json.loads(done.stdout) == record
    assert list(tmp_path.iterdir()) == []


def test_every_operation_has_its_canary() -> None:
    assert {name for covered in isolation.COVERS.values() for name in covered} == set(isolation._OUTSIDE)


def test_direct_promises_nothing_and_its_digest_is_of_the_restrictions_alone(record: dict[str, Any]) -> None:
    direct = hosts.record()
    assert (direct["channel"], direct["isolation"]) == ("direct", None)
    assert preflight.isolation_digest(direct) != preflight.isolation_digest(record)
    assert direct["operations"] == record["operations"]


@FILTERS
def test_a_host_without_landlock_says_so() -> None:
    found = hosts.record(NO_LANDLOCK, CLEAN)
    entry = found["isolation"]["operations"]["files:declared"]
    assert (entry["status"], entry["mechanism"], entry["errno_name"]) == (UNAVAILABLE, None, "ENOSYS")
    assert {each["status"] for each in found["isolation"]["operations"].values()} == {UNAVAILABLE}
    assert (found["isolation"]["works"], found["apply_ok"], found["failure_stage"]) == (False, False, "apply")


@FILTERS
@pytest.mark.skipif(hosts.landlock_abi() < 4, reason="needs Landlock's TCP rules")
def test_what_a_weaker_host_leaves_open_is_named_and_is_no_proof() -> None:
    found = hosts.record([refuse("prctl", errno.EINVAL, only=22)], CLEAN)
    entry = found["isolation"]["operations"]["network:none"]
    assert entry["status"] == DEGRADED and {"socket-local", "memory-shared"} <= set(entry["leaves"])
    assert "network-outbound" not in entry["leaves"]
    assert found["isolation"]["works"] and not found["apply_ok"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux system calls")
@pytest.mark.parametrize("kind", [shared.MEMORY, shared.QUEUE, shared.KEY])
def test_what_is_planted_is_reached_by_its_name_and_goes(kind: str) -> None:
    with shared.planted() as names:
        try:
            shared.reach(kind, names[kind])
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.EPERM):  # a host without it, or a container that refuses it
                raise
            pytest.skip(f"{kind}: {error}")
    with pytest.raises(OSError):
        shared.reach(kind, names[kind])


class Ajar(clean.Launch):
    """A launcher that says that it has confined the program, and has not."""

    def __init__(self, start: Start, what: Confinement) -> None:
        super().__init__(start, what)
        planted = {**os.environ, **start.environment}
        self.start = Start(start.program, start.argv, start.cwd, planted, descriptors=start.descriptors)

    def report(self) -> list[dict[str, Any]]:
        return [
            {"operation": name, "mechanism": "promise", "status": ENFORCED, "abi": None, "leaves": []}
            for name in isolation.COVERS
        ]


@pytest.fixture
def quiet() -> Iterator[None]:
    before = os.environ.get(isolation.VARIABLE)
    yield
    os.environ.pop(isolation.VARIABLE, None) if before is None else None


def test_a_door_that_holds_nothing_is_found_out(monkeypatch: pytest.MonkeyPatch, quiet: None) -> None:
    monkeypatch.setattr(clean, "Launch", Ajar)
    found = isolation.check()
    assert {entry["status"] for entry in found["operations"].values()} == {UNAVAILABLE}
    assert found["operations"]["signals:deny"]["leaves"] == ["signal"]
    assert found["works"] and not preflight.is_held(found)


def test_what_is_held_in_part_is_not_held() -> None:
    entry = {"status": "degraded", "leaves": ["network-outbound-udp"]}
    whole = {"works": True, "operations": {"network:none": entry | {"leaves": []}}}
    assert preflight.is_held(whole)
    assert not preflight.is_held(whole | {"operations": {"network:none": entry}})
    assert not preflight.is_held(whole | {"works": False})


def test_the_canary_says_errno_or_null() -> None:
    place = {"name": "/nowhere", "port": 0, "pid": 0}
    asked = [
        {"key": "a", "operation": "file-read-data", **place},
        {"key": "b", "operation": "file-read-directory", **place, "name": "/"},
        {"key": "c", "operation": isolation.INHERITED, **place, "name": "2"},
    ]
    done = subprocess.run([*probe.command("isolation"), json.dumps(asked)], capture_output=True, check=True)
    assert json.loads(done.stdout) == {"a": errno.ENOENT, "b": None, "c": None}


@WHOLE
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux capabilities")
def test_an_ordinary_user_is_held_alike(record: dict[str, Any]) -> None:
    if os.geteuid() == 0 and not _can_nobody_run():
        pytest.skip("nobody can't run this interpreter")
    found = hosts.record(command=[*hosts.as_nobody("preflight"), "clean"])
    assert found["isolation"]["operations"] == record["isolation"]["operations"]


def _can_nobody_run() -> bool:
    try:
        done = subprocess.run([sys.executable, "-c", ""], user=65534, group=65534, extra_groups=[], cwd="/")
    except PermissionError:
        return False
    return done.returncode == 0


def test_a_listener_is_there_to_be_reached() -> None:
    """The control of the network's canaries: without a door they get through."""
    with isolation._standing() as canaries:
        (asked,) = [each for each in canaries.asked if each["key"] == "outside network-outbound"]
        with socket.create_connection(("127.0.0.1", asked["port"])):
            pass


_NUMBERS = """
import os, sys
from flowbuild.engine import isolation
number, (mine, planted) = isolation.DESCRIPTOR, (os.open(path, os.O_CREAT | os.O_RDWR) for path in sys.argv[1:])
os.dup2(mine, number)
with isolation._planted(planted):
    assert os.path.sameopenfile(number, planted)
assert os.path.sameopenfile(number, mine)
os.close(number)
with isolation._planted(planted):
    assert os.path.sameopenfile(number, planted)
try:
    os.fstat(number)
except OSError:
    print("as it was")
"""


def test_what_has_the_number_of_the_planted_descriptor_has_it_again(tmp_path: Path) -> None:
    """In a process of its own: here that number may be anybody's."""
    argv = [sys.executable, "-c", _NUMBERS, str(tmp_path / "mine"), str(tmp_path / "planted")]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout == "as it was\n"
