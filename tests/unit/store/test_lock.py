"""Locks that die with their holder."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from flowbuild.core.errors import DiskRefused, StoreConflict
from flowbuild.store.files import Lock

_HOLDER = """
import sys, time
from pathlib import Path
from flowbuild.store.files import Lock
with Lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_held_by_one_at_a_time(tmp_path: Path) -> None:
    with Lock(tmp_path / "lock"):
        with pytest.raises(StoreConflict, match=rf"lock is locked by another process \(process {os.getpid()}\)"):
            Lock(tmp_path / "lock", wait=False).__enter__()
        with pytest.raises(StoreConflict):
            Lock(tmp_path / "lock", timeout=0.02).__enter__()
    with Lock(tmp_path / "lock", wait=False):
        pass


def test_waits_for_its_turn(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with Lock(tmp_path / "lock", timeout=10):
            order.append("second")

    with Lock(tmp_path / "lock"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.02)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(StoreConflict, match=f"process {holder.pid}"):
            Lock(tmp_path / "lock", wait=False).__enter__()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with Lock(tmp_path / "lock", timeout=1):
            pass


@pytest.mark.parametrize("hint", [b"", b"1\n", b"not a number", b"\0" * 40])
def test_what_a_stale_file_says_decides_nothing(tmp_path: Path, hint: bytes) -> None:
    (tmp_path / "lock").write_bytes(hint)
    with Lock(tmp_path / "lock", wait=False):
        pass
    assert (tmp_path / "lock").exists()


def test_a_read_only_lock_file_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lock").write_bytes(b"")
    real = os.open

    def read_only(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_RDWR:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", read_only)
    with Lock(tmp_path / "lock"):
        pass
    with pytest.raises(DiskRefused, match="EROFS"):
        Lock(tmp_path / "other").__enter__()


def test_a_file_system_without_locks_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(DiskRefused, match="does not lock"):
        Lock(tmp_path / "lock").__enter__()
