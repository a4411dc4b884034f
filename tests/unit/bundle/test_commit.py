"""Committing: what a bundle holds, what moves LATEST, and what is said when the disk refuses."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flowbuild.bundle import commit as module
from flowbuild.bundle.commit import begin
from flowbuild.bundle.layout import latest, runs
from flowbuild.bundle.read import load_bundle
from flowbuild.core.canonical import Digest, sha256
from flowbuild.core.errors import DiskRefused, StoreConflict, StoreCorrupt

from .small_bundle import OBJECT, WORLD, committed, status, writer


def names(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


@pytest.mark.parametrize("durability", ["none", "commit", "all"])
def test_a_bundle_holds_what_was_added_and_latest_names_it(tmp_path: Path, durability: str) -> None:
    result = committed(tmp_path / "a/b", durability=durability)
    assert (result.moved_latest, result.is_durable, result.warning) == (True, durability != "none", None)
    assert latest(tmp_path / "a/b") == "run-1"
    assert names(tmp_path / "a/b") == {
        "LATEST",
        ".latest.lock",
        "run-1/artifact_index.json",
        "run-1/run_status.json",
        "run-1/run_manifest.json",
        "run-1/journal.jsonl",
        "run-1/profiles/p.json",
        f"run-1/objects/{sha256(OBJECT)}",
    }
    assert [entry.path for entry in load_bundle(tmp_path / "a/b").index.artifacts][:3] == [
        "run_status.json",
        "run_manifest.json",
        "journal.jsonl",
    ]


def test_many_files_are_flushed_by_one_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[Path] = []
    monkeypatch.setattr(module, "flush_filesystem", lambda path: flushed.append(path) or True)
    with writer(tmp_path) as found:
        for number in range(20):
            found.add(f"profiles/{number}.json", b"{}")
        assert found.commit("ok", world_id=WORLD, move_latest=True).is_durable
    assert flushed == [tmp_path / "run-1"]
    assert len(load_bundle(tmp_path).index.artifacts) == 25


@pytest.mark.skipif(sys.platform == "darwin", reason="flushing is F_FULLFSYNC there, which no test can watch")
def test_everything_is_flushed_in_the_order_of_the_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files before their names, directories before the index, the index before LATEST, and each name after that."""
    log: list[tuple[str, int | str]] = []
    fsync, rename = os.fsync, os.rename
    monkeypatch.setattr(os, "fsync", lambda fd: (log.append(("flush", os.fstat(fd).st_ino)), fsync(fd))[1])
    monkeypatch.setattr(os, "rename", lambda old, new: (log.append(("name", str(new))), rename(old, new))[1])
    with writer(tmp_path / "out") as found:
        del log[:]
        path = found.commit("ok", world_id=WORLD, move_latest=True).path
    inode = {str(place): place.stat().st_ino for place in [tmp_path, *tmp_path.rglob("*")]}
    flushed = {place: [n for n, entry in enumerate(log) if entry == ("flush", inode[place])] for place in inode}
    named = {str(place): n for n, (kind, place) in enumerate(log) if kind == "name"}
    index, last = named[str(path / "artifact_index.json")], named[str(tmp_path / "out/LATEST")]
    assert index == max(n for place, n in named.items() if not place.endswith("LATEST")) < last
    assert all(min(flushed[place]) < n for place, n in named.items())
    assert flushed[str(path / "journal.jsonl")][0] < index
    for directory in (tmp_path, tmp_path / "out", path, path / "objects", path / "profiles"):
        assert any(max(n for n in named.values() if n < index) < n < index for n in flushed[str(directory)])
    assert index < flushed[str(path)][-1] < last < flushed[str(tmp_path / "out")][-1]


def test_an_object_is_a_copy_and_never_a_link(tmp_path: Path) -> None:
    (tmp_path / "cas").write_bytes(OBJECT)
    (tmp_path / "cas").chmod(0o444)
    with writer(tmp_path / "out") as found:
        found.add_object(sha256(OBJECT), tmp_path / "cas")
        result = found.commit("ok", world_id=WORLD, move_latest=True)
    copied = result.path / "objects" / sha256(OBJECT)
    assert copied.stat().st_ino != (tmp_path / "cas").stat().st_ino
    assert copied.stat().st_mode & 0o777 == 0o644


def test_a_damaged_object_is_never_committed(tmp_path: Path) -> None:
    with writer(tmp_path) as found:
        found.add_object(Digest("0" * 64), b"other")
        with pytest.raises(StoreCorrupt, match="not what was to be written"):
            found.commit("ok", world_id=WORLD, move_latest=True)
    assert [run.state for run in runs(tmp_path)] == ["stale"] and latest(tmp_path) is None


def test_latest_stays_where_it_is_unless_asked_and_for_failed_runs(tmp_path: Path) -> None:
    committed(tmp_path, "first")
    assert not committed(tmp_path, "quiet", move_latest=False).moved_latest
    assert not committed(tmp_path, "broken", status="failed").moved_latest
    assert latest(tmp_path) == "first"
    assert load_bundle(tmp_path / "broken").index.status == "failed"
    partial = committed(tmp_path, "partial", missing=["summary.md"])
    assert partial.moved_latest and partial.index.status == "partial" and latest(tmp_path) == "partial"


def test_a_run_id_is_used_once(tmp_path: Path) -> None:
    committed(tmp_path)
    with pytest.raises(StoreConflict, match="taken"):
        begin(tmp_path, "run-1", b"{}")


def test_an_abandoned_run_leaves_nothing_and_a_committed_one_stays(tmp_path: Path) -> None:
    writer(tmp_path).abandon()
    assert runs(tmp_path) == []
    with writer(tmp_path) as found:
        found.commit("ok", world_id=WORLD, move_latest=True)
        with pytest.raises(StoreConflict, match="is committed"):
            found.abandon()


@pytest.mark.parametrize("path", ["../x", "/x", "artifact_index.json", "a\\b"])
def test_no_document_is_written_outside_the_bundle(tmp_path: Path, path: str) -> None:
    with writer(tmp_path) as found, pytest.raises(StoreCorrupt):
        found.add(path, b"")


def test_a_bundle_without_its_final_status_is_a_bug(tmp_path: Path) -> None:
    with begin(tmp_path, "run-1", status("run-1", "in_progress")) as found, pytest.raises(ValueError, match="final"):
        found.commit("ok", world_id=WORLD, move_latest=True)


def failing_flush(monkeypatch: pytest.MonkeyPatch, where: Path, after: str) -> None:
    """The directory `where` cannot be flushed once `after` is there."""
    real = module.flush_directory

    def flush(path: Any) -> bool:
        if path == where and (where / after).exists():
            raise DiskRefused(f"{path}: Input/output error (EIO)") from OSError(errno.EIO, "")
        return real(path)

    monkeypatch.setattr(module, "flush_directory", flush)


def test_what_the_disk_refuses_after_latest_moved_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing_flush(monkeypatch, tmp_path, "LATEST")
    result = committed(tmp_path, durability="commit")
    assert (result.moved_latest, result.is_durable) == (True, False)
    assert result.warning is not None and "not known to be durable" in result.warning and "EIO" in result.warning
    assert load_bundle(tmp_path).index.run_id == "run-1"


def test_latest_does_not_follow_an_index_of_unknown_durability(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing_flush(monkeypatch, tmp_path / "run-1", "artifact_index.json")
    result = committed(tmp_path, durability="commit")
    assert (result.moved_latest, result.is_durable, latest(tmp_path)) == (False, False, None)
    assert load_bundle(tmp_path / "run-1").index.run_id == "run-1"


def test_a_disk_that_cannot_flush_commits_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "flush_file", lambda path: False)
    result = committed(tmp_path, durability="commit")
    assert (result.moved_latest, result.is_durable, result.warning) == (True, False, None)


COMMIT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from unit.bundle.small_bundle import committed
sys.stdin.readline()
print(committed(Path(sys.argv[1]), sys.argv[2], durability="commit").moved_latest)
"""


def test_sixteen_processes_commit_at_once(tmp_path: Path) -> None:
    tests = str(Path(__file__).parents[2])
    arguments = [[sys.executable, "-c", COMMIT, str(tmp_path / "out"), f"run-{n}", tests] for n in range(16)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    writers: list[Any] = [subprocess.Popen(words, cwd=os.getcwd(), **pipes) for words in arguments]
    for found in writers:
        found.stdin.write(b"go\n")
        found.stdin.flush()
    answers = [found.communicate() for found in writers]
    assert answers == [(b"True\n", b"")] * 16
    assert [run.state for run in runs(tmp_path / "out")] == ["committed"] * 16
    assert all(load_bundle(run.path) for run in runs(tmp_path / "out")) and load_bundle(tmp_path / "out")
    assert not [name for name in names(tmp_path / "out") if ".tmp" in name]
