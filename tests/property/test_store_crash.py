"""The store under fire: a crash and a refusal at every system call, and eight processes at once.

Approach: every call that the store makes of the operating system is counted. A scenario is run again and again, and
its Nth call fails, N = 1, 2, … until a run gets through untouched; what the last run counted is thus all there is.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from flowbuild.core.canonical import sha256
from flowbuild.core.errors import StoreError
from flowbuild.store import cas, flush, stream
from flowbuild.store.cas import Cas
from flowbuild.store.files import atomic_write
from flowbuild.store.journal import Journal, read
from flowbuild.store.memo import Memo, Record
from flowbuild.store.stamps import Stamps
from flowbuild.store.tree import Artifact, collect, intact, materialize

CALLS = (
    *("open", "write", "read", "pread", "fsync", "rename", "unlink", "rmdir", "mkdir", "makedirs", "fchmod", "utime"),
    *("ftruncate", "copy_file_range", "fstat", "stat", "lstat", "listdir", "scandir", "lseek", "pwrite"),
)
LARGE = b"large" * 300  # two chunks of a thousand bytes: the road of files that are not read in one piece
SMALL = {n: b"small %d" % n for n in range(3)}


class Crash(BaseException):
    """The process is gone. Whatever it would have done next does not happen."""


class Fault:
    """Counts the store's calls, and makes the Nth fail. A write that fails has done half of its work."""

    def __init__(self, at: int, raises: Callable[[], BaseException], *, lasting: bool) -> None:
        self.at, self.raises, self.lasting = at, raises, lasting
        self.count = 0
        self.name = ""

    @property
    def was_met(self) -> bool:
        return self.count >= self.at

    def wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if not sys._getframe(1).f_globals.get("__name__", "").startswith("flowbuild.store"):
                return real(*args, **kwargs)
            self.count += 1
            if self.count == self.at or (self.lasting and self.count > self.at):
                self.name = self.name or name
                if name == "write" and self.count == self.at:
                    real(args[0], args[1][: len(args[1]) // 2])
                raise self.raises()
            return real(*args, **kwargs)

        return call

    @contextmanager
    def injected(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name in CALLS:
                if hasattr(os, name):
                    patch.setattr(os, name, self.wrap(name, getattr(os, name)))
            patch.setattr(fcntl, "flock", self.wrap("flock", fcntl.flock))
            patch.setattr(fcntl, "ioctl", self.wrap("ioctl", fcntl.ioctl))
            for module in (stream, cas):
                patch.setattr(module, "CHUNK", 1000)
            # The whole file system of a test machine is not ours to flush a thousand times.
            patch.setattr(flush, "syncfs", self.wrap("syncfs", lambda descriptor: True))
            yield


class Store:
    """One of everything, as a build uses it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.journal = root / "journal.jsonl"
        self.latest = root / "LATEST"
        self.source = root / "source"

    def prepare(self) -> None:
        (self.source / "sub").mkdir(parents=True)
        (self.source / "large").write_bytes(LARGE)
        (self.source / "sub" / "small").write_bytes(SMALL[0])
        atomic_write(self.latest, b"old\n")
        with Journal.create(self.journal, "run") as journal:
            journal.append([{"n": 1}, {"n": 2}])
        Memo(self.root / "memo").append([self.record(0)])

    def record(self, n: int) -> Record:
        return Record(sha256(b"%d" % n), "direct", {"out": Artifact(sha256(SMALL[n]), len(SMALL[n]))}, "run", n)

    def build(self) -> None:
        objects = Cas(self.root / "cas")
        stamps = Stamps.load(self.root / "stamps")
        stamps.digest(self.source / "large")
        found = collect(objects, self.source)
        for n in (0, 1, 2):
            objects.put(SMALL[n])
        Memo(self.root / "memo").append([self.record(1), self.record(2)])
        with Journal.open(self.journal) as journal:
            journal.append([{"n": journal.head + 1}])
            journal.append([{"n": journal.head + 1}, {"n": journal.head + 2}])
            journal.flush()
        materialize(objects, found, self.root / "shown")
        stamps.save()
        objects.flush()
        atomic_write(self.latest, b"new\n", flush=True)

    def check(self) -> None:
        """What holds whenever, however it was left."""
        objects = Cas(self.root / "cas")
        for digest in objects:
            assert not objects.intact(digest) or objects.verify(digest), "a torn object under its digest"
        events = [envelope["event"]["n"] for envelope in read(self.journal)]
        assert events == list(range(1, len(events) + 1)) and len(events) >= 2
        memo = Memo(self.root / "memo")
        assert memo.lookup(self.record(0).action) == self.record(0)
        assert all(memo.lookup(self.record(n).action) in (None, self.record(n)) for n in (1, 2))
        assert self.latest.read_bytes() in (b"old\n", b"new\n")
        shown = self.root / "shown"
        assert not shown.exists() or (shown / "large").read_bytes() == LARGE
        if self.latest.read_bytes() == b"new\n":
            self.check_whole()

    def check_whole(self) -> None:
        objects, memo = Cas(self.root / "cas"), Memo(self.root / "memo")
        assert all(objects.intact(sha256(data), len(data)) for data in (LARGE, *SMALL.values()))
        assert all(memo.lookup(self.record(n).action) == self.record(n) for n in SMALL)
        assert (self.root / "shown" / "sub" / "small").read_bytes() == SMALL[0]
        assert len(list(read(self.journal))) >= 5


def sweep_points(
    tmp_path: Path, raises: Callable[[], BaseException], *, lasting: bool
) -> Iterator[tuple[Store, bool, str]]:
    """A store for each point of failure, after that build; whether it said that it succeeded; and what failed."""
    for at in range(1, 2000):
        root = tmp_path / str(at)
        root.mkdir()
        store = Store(root)
        store.prepare()
        fault, has_succeeded = Fault(at, raises, lasting=lasting), False
        with fault.injected(), suppress(Crash, StoreError):
            store.build()
            has_succeeded = True
        close_leaked(root)
        yield store, has_succeeded, fault.name
        if not fault.was_met:
            assert at > 80, "nothing was injected"
            return
    raise AssertionError("never got through")


def drafts(directory: Path) -> list[str]:
    return [name for name in os.listdir(directory) if name.startswith(".tmp-")]


def close_leaked(root: Path) -> None:
    """What the kernel does for a process that is gone: close its files, and so give up its locks."""
    if not os.path.isdir("/proc/self/fd"):
        return
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith(str(root)):
                os.close(int(name))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="a crash in process needs /proc to close what was open")
def test_a_crash_at_every_call(tmp_path: Path) -> None:
    for store, has_succeeded, _ in sweep_points(tmp_path, Crash, lasting=True):
        store.check()
        store.build()
        store.check_whole()
        assert has_succeeded or store.latest.read_bytes() == b"new\n"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "lasting"])
def test_a_refusal_at_every_call(tmp_path: Path, number: int, lasting: bool) -> None:
    def refusal() -> OSError:
        return OSError(number, os.strerror(number))

    for store, has_succeeded, failed in sweep_points(tmp_path, refusal, lasting=lasting):
        store.check()
        if has_succeeded:
            store.check_whole()  # no silent success
        store.build()
        store.check_whole()
        if not lasting and failed != "unlink":
            assert drafts(store.root) == drafts(store.root / "cas") == [], failed


WORKER = """
import json, sys
from pathlib import Path
from flowbuild.core.canonical import sha256
from flowbuild.store.cas import Cas
from flowbuild.store.files import Lock, atomic_write
from flowbuild.store.journal import Journal
from flowbuild.store.memo import Memo, Record
from flowbuild.store.tree import Artifact

root, me = Path(sys.argv[1]), sys.argv[2]
cas, memo = Cas(root / "cas"), Memo(root / "memo")
(root / me).write_bytes(b"large" * 300_000)
sys.stdin.readline()
for n in range(40):
    data = b"object %d" % n
    digest = cas.put(data)
    assert cas.intact(digest, len(data)) and cas.read(digest) == data
    assert cas.put_file(root / me)[1] == 1_500_000
    memo.append([Record(sha256(data), "direct", {"out": Artifact(digest, len(data), path=me)}, me, n)])
    atomic_write(root / "LATEST", me.encode() * 1000)
    if n % 10 == 0:
        memo.compact()
        cas.flush()
    with Lock(root / "lock"):
        count = int((root / "count").read_text())
        (root / "count").write_text(str(count + 1))
print(json.dumps({r.action: r.run_id for r in memo}))
"""


def test_eight_processes_at_once(tmp_path: Path) -> None:
    (tmp_path / "count").write_text("0")
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path), f"w{n}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(8)
    ]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    answers = [json.loads(worker.communicate()[0]) for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 8
    final = {found.action: found.run_id for found in Memo(tmp_path / "memo")}
    assert len(final) == 40 and all(answer.items() <= final.items() for answer in answers)  # the first record won
    assert Memo(tmp_path / "memo").damaged == 0
    objects = Cas(tmp_path / "cas")
    assert len(list(objects)) == 41 and all(objects.verify(digest) for digest in objects)
    assert (tmp_path / "count").read_text() == str(8 * 40)
    assert len((tmp_path / "LATEST").read_bytes()) == 2000
    assert drafts(tmp_path) == drafts(tmp_path / "cas") == []


def test_two_writers_of_one_directory(tmp_path: Path) -> None:
    """What one process collects another one finds intact, whole directories too."""
    (tmp_path / "in").mkdir()
    for n in range(20):
        (tmp_path / "in" / str(n)).write_bytes(b"%d" % n)
    one, two = Cas(tmp_path / "cas"), Cas(tmp_path / "cas")
    found = collect(one, tmp_path / "in")
    assert intact(two, found) and collect(two, tmp_path / "in") == found
