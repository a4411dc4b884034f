"""Channels by name, and the lock of a whole run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from flowbuild.core.errors import CapabilitiesMismatch, DiskRefused, StoreConflict
from flowbuild.run.channel import LOCK, ChannelName, ChannelSpec, LockMode, resolve
from flowbuild.run.engines import Engines
from flowbuild.testing import ScriptedEngine

_HOLDER = """
import sys, time
from pathlib import Path
from flowbuild.run.channel import ChannelSpec
with ChannelSpec().held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_seeds_defaults() -> None:
    spec = ChannelSpec()
    assert (spec.channel, spec.require_clean, spec.staging_base) == (ChannelName.DIRECT, False, None)
    assert (spec.lock, spec.lock_mode, spec.lock_timeout_seconds) == (True, LockMode.FAIL, 30.0)
    assert spec.label_prefix is None


def test_words_will_do_and_other_words_will_not() -> None:
    spec = ChannelSpec(channel="clean", lock_mode="wait")  # type: ignore[arg-type]
    assert spec == ChannelSpec(channel=ChannelName.CLEAN, lock_mode=LockMode.WAIT)
    with pytest.raises(ValueError):
        ChannelSpec(lock_mode="spin")  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        ChannelSpec(channel="dirty")  # type: ignore[arg-type]
    for seconds in (float("nan"), -1.0):
        with pytest.raises(ValueError, match="lock_timeout_seconds"):
            ChannelSpec(lock_timeout_seconds=seconds)


def test_launchd_clean_is_a_clean_channel_of_macos_and_named_elsewhere() -> None:
    assert resolve("launchd_clean", "darwin") is ChannelName.LAUNCHD_CLEAN
    assert [name.is_clean for name in ChannelName] == [False, True, True]
    with pytest.raises(CapabilitiesMismatch, match="--channel clean"):
        resolve("launchd_clean", "linux")
    assert resolve("direct") is ChannelName.DIRECT


def test_require_clean_takes_nothing_else() -> None:
    assert ChannelSpec(channel=ChannelName.CLEAN, require_clean=True).resolve() is ChannelName.CLEAN
    with pytest.raises(CapabilitiesMismatch, match="channel direct is not clean"):
        ChannelSpec(require_clean=True).resolve()


def test_one_run_at_a_time(tmp_path: Path) -> None:
    lock = tmp_path / "out" / LOCK
    with ChannelSpec().held(lock.parent):
        assert lock.read_text() == f"pid={os.getpid()}\n"
        with pytest.raises(StoreConflict) as failed, ChannelSpec().held(lock.parent):
            raise AssertionError("two runs held one lock")
        waiting = ChannelSpec(lock_mode=LockMode.WAIT, lock_timeout_seconds=0.12)
        with pytest.raises(StoreConflict) as late, waiting.held(lock.parent):
            raise AssertionError("two runs held one lock")
    assert failed.value.message == f"runtime bundle is locked: {lock}"
    assert late.value.message == f"runtime lock timeout after 0.12s: {lock}"
    with ChannelSpec().held(lock.parent):
        pass


def test_a_spec_without_lock_takes_none(tmp_path: Path) -> None:
    with ChannelSpec(lock=False).held(tmp_path), ChannelSpec().held(tmp_path):
        pass


def test_who_waits_gets_its_turn(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with ChannelSpec(lock_mode=LockMode.WAIT, lock_timeout_seconds=10).held(tmp_path):
            order.append("second")

    with ChannelSpec().held(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.06)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_the_file_is_neither_truncated_before_it_is_held_nor_removed(tmp_path: Path) -> None:
    with ChannelSpec().held(tmp_path):
        inode, said = (tmp_path / LOCK).stat().st_ino, (tmp_path / LOCK).read_bytes()
        with pytest.raises(StoreConflict), ChannelSpec().held(tmp_path):
            raise AssertionError("two runs held one lock")
        assert (tmp_path / LOCK).read_bytes() == said
    assert (tmp_path / LOCK).stat().st_ino == inode


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    """The holder writes into the file, and the one that a link leads to may be somebody's."""
    (tmp_path / "mine").write_text("precious")
    (tmp_path / LOCK).symlink_to(tmp_path / "mine")
    with pytest.raises(DiskRefused, match="ELOOP"), ChannelSpec().held(tmp_path):
        raise AssertionError("a link was followed")
    assert (tmp_path / "mine").read_text() == "precious"


@pytest.mark.parametrize("hint", ["pid=1\n", f"pid={os.getppid()}\n", "", "\0" * 64])
def test_a_stale_file_with_the_id_of_somebody_alive_decides_nothing(tmp_path: Path, hint: str) -> None:
    (tmp_path / LOCK).write_text(hint)
    with ChannelSpec().held(tmp_path):
        assert (tmp_path / LOCK).read_text() == f"pid={os.getpid()}\n"


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", _HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(StoreConflict), ChannelSpec().held(tmp_path):
            raise AssertionError("two runs held one lock")
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with ChannelSpec().held(tmp_path):
            pass


def test_clean_holds_no_engine_that_keeps_one_process_for_many_steps() -> None:
    own, other = ScriptedEngine(), ScriptedEngine()
    Engines(own, other), Engines(own, None, None, "clean")
    with pytest.raises(CapabilitiesMismatch, match="channel clean can't hold another engine"):
        Engines(own, other, None, "clean")
