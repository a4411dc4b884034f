"""A commit that is killed, or refused by the disk, at each of its system calls in turn, until none is left.

After each: a bundle is whole or does not exist, LATEST is unchanged or names a whole bundle, and the next commit works
with nobody having cleaned up.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flowbuild.bundle.commit import begin
from flowbuild.bundle.layout import COMMITTED, STALE, latest, state
from flowbuild.bundle.read import load_bundle
from flowbuild.core.canonical import sha256
from flowbuild.core.errors import DiskRefused, NotCommitted
from flowbuild.store import flush

WORLD = "world-1"
KILLED = 9
# Every call that changes something on the disk, or takes a lock; a commit makes no other that matters.
WRITING = ["open", "write", "rename", "mkdir", "fsync", "fchmod", "copy_file_range", "ftruncate", "pwrite"]
Step = Callable[[str], None]


def status(run_id: str, state: str) -> bytes:
    return json.dumps({"run_id": run_id, "world_id": WORLD, "state": state}).encode()


def commit(root: Path, run_id: str, files: int) -> None:
    """A run with documents, a journal and an object from a store."""
    with begin(root / "out", run_id, status(run_id, "in_progress")) as writer:
        writer.add("run_status.json", status(run_id, "complete"))
        for number in range(files):
            writer.add(f"profiles/{number}.json", b"{}")
        writer.add_object(sha256(b"bytes"), root / "stored")
        writer.commit("ok", world_id=WORLD, move_latest=True)


@contextmanager
def before_each_call(step: Step) -> Iterator[None]:
    """Run `step(name)` before each writing call."""
    with pytest.MonkeyPatch.context() as patch:

        def watched(name: str, real: Any) -> Any:
            def call(*words: Any, **named: Any) -> Any:
                step(name)
                return real(*words, **named)

            return call

        for name in WRITING:
            if hasattr(os, name):
                patch.setattr(os, name, watched(name, getattr(os, name)))
        patch.setattr(fcntl, "flock", watched("flock", fcntl.flock))
        patch.setattr(fcntl, "ioctl", watched("ioctl", fcntl.ioctl))
        patch.setattr(flush, "syncfs", watched("syncfs", flush.syncfs))
        yield


def killed_at(point: int, root: Path, run_id: str, files: int) -> bool:
    """Commit in a process that dies before its nth writing call. False when it has fewer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork of a process with threads: it only writes and dies
        child = os.fork()
    if child == 0:
        calls = iter(range(1, 1 << 30))

        def step(name: str) -> None:
            if next(calls) == point:
                os._exit(KILLED)

        try:
            with before_each_call(step):
                commit(root, run_id, files)
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, KILLED)
    return code == KILLED


def check(root: Path, before: str | None, run_id: str, files: int) -> None:
    """What holds whatever happened to a commit."""
    path = root / "out" / run_id
    if path.exists():
        if state(path) == COMMITTED:
            assert len(load_bundle(path).index.artifacts) == files + 2
        else:
            assert state(path) == STALE
            with pytest.raises(NotCommitted):
                load_bundle(path)
    now = latest(root / "out")
    assert now in (before, run_id)
    assert now is None or load_bundle(root / "out").index.run_id == now


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "stored").write_bytes(b"bytes")
    return tmp_path


@pytest.mark.parametrize("files", [2, 16])
def test_killed_at_every_call_it_leaves_a_whole_bundle_or_none(root: Path, files: int) -> None:
    point, before = 0, None
    while killed_at(point + 1, root, f"killed-{point + 1}", files):
        point += 1
        check(root, before, f"killed-{point}", files)
        before = latest(root / "out")
        if point % 8 == 0:
            commit(root, f"next-{point}", files)
            before = latest(root / "out")
            assert before == f"next-{point}"
    assert point > 20 + files
    commit(root, "last", files)
    assert load_bundle(root / "out").index.run_id == "last"


@pytest.mark.parametrize("files", [2, 16])
@pytest.mark.parametrize("is_lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_refused_at_every_call_it_says_so_and_the_next_one_works(
    root: Path, number: int, is_lasting: bool, files: int
) -> None:
    commit(root, "first", files)
    point, failed, is_reached = 0, 0, True
    while is_reached:
        point, is_reached, run_id = point + 1, False, f"run-{point}"
        calls = iter(range(1, 1 << 30))

        def step(name: str, calls: Iterator[int] = calls, point: int = point) -> None:
            nonlocal is_reached
            if (count := next(calls)) == point or (is_lasting and count > point):
                is_reached = True
                raise OSError(number, os.strerror(number))

        before = latest(root / "out")
        try:
            with before_each_call(step):
                commit(root, run_id, files)
        except DiskRefused as error:
            failed += 1
            assert errno.errorcode[number] in error.message
        else:
            assert load_bundle(root / "out" / run_id).index.status == "ok"  # no silent success
        check(root, before, run_id, files)
    commit(root, "last", files)
    assert load_bundle(root / "out").index.run_id == "last" and failed > 10
