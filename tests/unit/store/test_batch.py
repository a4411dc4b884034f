"""Several files put down together: all of them, or none, whatever stands in the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flowbuild.core.errors import DiskRefused, Faults, FlowError, PathTaken
from flowbuild.store import batch
from flowbuild.store.batch import Item, write

ITEMS = [Item("a.txt", b"a\n", 0o644), Item("b/c/run.sh", b"#!/bin/sh\n", 0o755), Item("b/d.txt", b"d\n", 0o644)]


def listing(root: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(root.rglob("*"))
    }


ALL = {"a.txt": b"a\n", "b": None, "b/c": None, "b/c/run.sh": b"#!/bin/sh\n", "b/d.txt": b"d\n"}


def test_files_directories_and_modes(tmp_path: Path) -> None:
    root = tmp_path / "new" / "place"
    write(root, ITEMS, overwrite=False)
    assert listing(root) == ALL
    assert [oct((root / item.path).stat().st_mode & 0o777) for item in ITEMS] == ["0o644", "0o755", "0o644"]


def test_everything_in_the_way_is_told_at_once_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("mine\n")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "b").symlink_to("elsewhere")
    before = listing(tmp_path)
    with pytest.raises(Faults) as caught:
        write(tmp_path, ITEMS, overwrite=False)
    assert [type(fault) for fault in caught.value.exceptions] == [PathTaken, PathTaken]
    assert caught.value.exit_code == 2
    assert "a.txt is there already" in str(caught.value.exceptions[0])
    assert "b is a link, where a directory is needed" in str(caught.value.exceptions[1])
    assert listing(tmp_path) == before


@pytest.mark.parametrize("kind", ["a link", "a directory", "a device or pipe", "a file"])
def test_overwrite_replaces_files_and_nothing_else(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "a.txt"
    {
        "a link": lambda: place.symlink_to("/etc/hosts"),
        "a directory": place.mkdir,
        "a device or pipe": lambda: os.mkfifo(place),
        "a file": lambda: place.write_text("old\n"),
    }[kind]()
    if kind == "a file":
        write(tmp_path, ITEMS, overwrite=True)
        assert listing(tmp_path) == ALL
        return
    with pytest.raises(PathTaken, match=f"is {kind}, where a file is needed"):
        write(tmp_path, ITEMS, overwrite=True)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("refusal", range(3))
def test_a_rename_that_is_refused_undoes_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: int, overwrite: bool
) -> None:
    if overwrite:
        (tmp_path / "a.txt").write_text("old\n")
    before, count, real = listing(tmp_path), iter(range(9)), os.rename

    def rename(source: str, target: str) -> None:
        if next(count) == refusal:
            raise OSError(5, "Input/output error")
        real(source, target)

    monkeypatch.setattr("flowbuild.store.draft.os.rename", rename)
    with pytest.raises(DiskRefused):
        write(tmp_path, ITEMS, overwrite=overwrite)
    assert listing(tmp_path) == before


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: object, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("flowbuild.store.draft.write_all", full)
    with pytest.raises(DiskRefused, match="No space left"):
        write(tmp_path / "new", ITEMS, overwrite=False)
    assert listing(tmp_path) == {}


def test_a_file_that_comes_between_the_look_and_the_write_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "_taken", lambda *_: [])
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "d.txt").write_text("theirs\n")
    with pytest.raises(FlowError, match="there already"):
        write(tmp_path, ITEMS, overwrite=False)
    assert listing(tmp_path) == {"b": None, "b/d.txt": b"theirs\n"}


def test_a_file_where_the_directory_should_be(tmp_path: Path) -> None:
    (tmp_path / "new").write_text("")
    with pytest.raises(PathTaken, match="is no directory"):
        write(tmp_path / "new", ITEMS, overwrite=True)
