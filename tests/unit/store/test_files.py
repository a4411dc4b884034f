"""Files written whole or not at all, copied, and removed."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flowbuild.core.errors import DiskRefused
from flowbuild.store import draft, stream
from flowbuild.store.draft import sweep, unique_name
from flowbuild.store.files import (
    atomic_write,
    copy_file,
    ensure_directory,
    flush_directory,
    flush_file,
    flush_filesystem,
    refused,
    remove_tree,
)


def test_writes_bytes_and_leaves_nothing_else(tmp_path: Path) -> None:
    atomic_write(tmp_path / "a", b"one")
    atomic_write(tmp_path / "a", b"two", flush=True)
    assert (tmp_path / "a").read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_mode_does_not_depend_on_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        atomic_write(tmp_path / "a", b"", mode=0o755)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o755


def test_replaces_a_link_and_not_what_it_points_at(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"kept")
    (tmp_path / "link").symlink_to("real")
    atomic_write(tmp_path / "link", b"new")
    assert (tmp_path / "real").read_bytes() == b"kept"
    assert not (tmp_path / "link").is_symlink()


def test_a_missing_parent_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DiskRefused, match=r"no/a: No such file or directory \(ENOENT\)"):
        atomic_write(tmp_path / "no" / "a", b"")


def test_a_failed_write_leaves_old_bytes_and_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    atomic_write(tmp_path / "a", b"old")

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(draft.os, "write", full)
        with pytest.raises(DiskRefused, match="free some space"):
            atomic_write(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_short_writes_are_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(draft.os, "write", lambda descriptor, data: write(descriptor, data[:7]))
        atomic_write(tmp_path / "a", bytes(range(100)))
    assert (tmp_path / "a").read_bytes() == bytes(range(100))


def test_readers_never_see_half(tmp_path: Path) -> None:
    path, sizes = tmp_path / "a", set()
    atomic_write(path, b"0" * 100_000)
    writers = [
        threading.Thread(target=lambda c=c: [atomic_write(path, c * 100_000) for _ in range(20)])  # type: ignore[misc]
        for c in (b"1", b"2", b"3")
    ]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        data = path.read_bytes()
        sizes.add((len(data), len(set(data))))
    assert sizes == {(100_000, 1)}
    assert os.listdir(tmp_path) == ["a"]


def test_refused_names_path_errno_and_remedy() -> None:
    with pytest.raises(DiskRefused) as caught, refused("out/x"):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    assert caught.value.message == "out/x: Read-only file system (EROFS)"
    assert "read-only" in caught.value.remedy
    assert caught.value.details == {"path": "out/x", "errno": "EROFS"}
    assert caught.value.exit_code == 5


def test_ensure_directory_where_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(DiskRefused):
        ensure_directory(tmp_path / "a" / "b")


def test_flushing_says_durable(tmp_path: Path) -> None:
    atomic_write(tmp_path / "a", b"x")
    assert flush_file(tmp_path / "a")
    assert flush_directory(tmp_path)
    assert flush_filesystem(tmp_path) or os.uname().sysname != "Linux"


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_flush_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def cannot(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", cannot)
    monkeypatch.setattr("sys.platform", "linux")
    atomic_write(tmp_path / "a", b"x", flush=True)
    assert not flush_file(tmp_path / "a")
    assert not flush_directory(tmp_path)


def test_a_failing_flush_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fails)
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(DiskRefused, match="EIO"):
        atomic_write(tmp_path / "a", b"x", flush=True)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("size", [0, 1, 3 << 20])
@pytest.mark.parametrize("by_hand", [False, True])
def test_copies_bytes_without_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, by_hand: bool) -> None:
    if by_hand:
        monkeypatch.setattr(stream, "_copy_in_kernel", lambda source, target: False)
        monkeypatch.setattr(stream, "clone", lambda source, target: False)
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(os.urandom(size))
    target.write_bytes(b"old")
    copy_file(source, target)
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_nlink == 1 and target.stat().st_ino != source.stat().st_ino


def test_copies_a_file_that_claims_to_be_empty(tmp_path: Path) -> None:
    source = Path("/proc/self/status")
    if not source.exists():
        pytest.skip("no /proc on this host")
    copy_file(source, tmp_path / "a")
    assert b"Pid:" in (tmp_path / "a").read_bytes()


def test_copies_although_the_kernel_says_there_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"hello")
    monkeypatch.setattr(os, "copy_file_range", lambda *_: 0, raising=False)
    copy_file(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"hello"


@pytest.mark.parametrize(("mode", "asked", "got"), [(0o500, None, 0o755), (0o666, None, 0o644), (0o644, True, 0o755)])
def test_copied_modes(tmp_path: Path, mode: int, asked: bool | None, got: int) -> None:
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "a").chmod(mode)
    copy_file(tmp_path / "a", tmp_path / "b", executable=asked)
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == got


def test_a_missing_source_leaves_the_target(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"old")
    with pytest.raises(DiskRefused, match="ENOENT"):
        copy_file(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"old"


def test_removes_a_tree_with_links_and_read_only_directories(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_bytes(b"kept")
    top = tmp_path / "top"
    (top / "a" / "b" / "c").mkdir(parents=True)
    (top / "a" / "b" / "c" / "file").write_bytes(b"")
    (top / "link").symlink_to(kept)
    (top / "a" / "link").symlink_to(kept)
    os.mkfifo(top / "a" / "fifo")
    for directory in (top / "a" / "b" / "c", top / "a" / "b", top / "a"):
        directory.chmod(0o500)
    remove_tree(top)
    assert os.listdir(tmp_path) == ["kept"]
    assert (kept / "file").read_bytes() == b"kept"


def test_removes_what_its_owner_may_not_read() -> None:
    with tempfile.TemporaryDirectory() as top, unprivileged(top):
        for mode in (0o000, 0o500, 0o300):
            deepest = Path(top) / "tree" / "a" / "b" / "c"
            deepest.mkdir(parents=True)
            (deepest / "file").write_bytes(b"")
            for directory in list(deepest.parents)[:3][::-1]:
                (directory / "file").write_bytes(b"")
            for directory in (deepest, *list(deepest.parents)[:3]):
                directory.chmod(mode)
            remove_tree(Path(top) / "tree")
            assert os.listdir(top) == []


@contextmanager
def unprivileged(directory: str) -> Iterator[None]:
    """Permissions mean nothing to root: be somebody else."""
    if os.geteuid() != 0:
        yield
        return
    os.chown(directory, 65534, -1)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_removes_a_tree_too_deep_for_a_path(tmp_path: Path) -> None:
    here = os.getcwd()
    try:
        os.chdir(tmp_path)
        for _ in range(1200):
            os.mkdir("deep-name")
            os.chdir("deep-name")
        with open("file", "w"):
            pass
    finally:
        os.chdir(here)
    remove_tree(tmp_path / "deep-name")
    assert os.listdir(tmp_path) == []


def test_removes_files_links_and_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("file", "link", "absent"):
        remove_tree(tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_sweeps_old_drafts_only(tmp_path: Path) -> None:
    young = tmp_path / unique_name()
    for path in (young, tmp_path / "file"):
        path.write_bytes(b"")
    assert sweep(tmp_path) == 0
    assert sweep(tmp_path, older_than_s=-60) == 1
    assert os.listdir(tmp_path) == ["file"]
    assert sweep(tmp_path / "absent") == 0
