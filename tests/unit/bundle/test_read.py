"""Loading: what is refused, and that nothing damaged is ever believed."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from flowbuild.bundle.commit import begin
from flowbuild.bundle.read import intact, load_bundle, resolve
from flowbuild.core.errors import NotCommitted, StoreCorrupt, StoreError

from .small_bundle import OBJECT, committed, status


def age(root: Path) -> None:
    """Let the files be older than the index by more than a clock's tick, as in any bundle of some size."""
    index = root / "artifact_index.json"
    index.rename(root / "kept")
    past = os.stat(root / "kept").st_ctime_ns
    while os.stat(root / "kept").st_ctime_ns < past + 30_000_000:
        os.utime(root / "kept")
    (root / "kept").rename(index)


def test_a_bundle_is_found_by_latest_or_by_itself(tmp_path: Path) -> None:
    path = committed(tmp_path).path
    assert resolve(tmp_path) == resolve(path) == path
    bundle = load_bundle(tmp_path)
    assert (bundle.out_dir, bundle.status["state"], bundle.index.run_id) == (path, "complete", "run-1")
    assert bundle.run_manifest == {"channel": "direct"} == bundle.document("run_manifest.json")
    assert bundle.read("journal.jsonl") == b'{"seq":1}\n'


def test_a_run_without_an_index_is_not_committed(tmp_path: Path) -> None:
    with begin(tmp_path, "run-1", status("run-1", "in_progress")), pytest.raises(NotCommitted, match="in progress"):
        load_bundle(tmp_path / "run-1")
    path = committed(tmp_path, "run-2").path
    (path / "artifact_index.json").unlink()
    with pytest.raises(NotCommitted, match="never committed"):
        load_bundle(path)
    for nothing in (tmp_path / "none", tmp_path):
        with pytest.raises(StoreError):
            load_bundle(nothing)
    assert not intact(tmp_path)


@pytest.mark.parametrize("text", ["run-2\n", "run-1", "../run-1\n", "", "run-1\n\n"])
def test_a_latest_that_names_no_run_is_damage(tmp_path: Path, text: str) -> None:
    committed(tmp_path)
    (tmp_path / "LATEST").write_text(text)
    with pytest.raises(StoreCorrupt, match="LATEST"):
        load_bundle(tmp_path)


def test_a_file_that_the_index_says_is_missing_fails_no_load(tmp_path: Path) -> None:
    committed(tmp_path, missing=["summary.md"])
    assert load_bundle(tmp_path).index.missing == ("summary.md",) and intact(tmp_path)


def swap(root: Path) -> None:
    (root / "journal.jsonl").rename(root / "x")
    (root / "run_manifest.json").rename(root / "journal.jsonl")
    (root / "x").rename(root / "run_manifest.json")


def relink(root: Path, *, directory: bool) -> None:
    """The same bytes, but through a link that leads out of the bundle."""
    path = root / ("profiles" if directory else "journal.jsonl")
    path.rename(root.parent / "moved")
    path.symlink_to(root.parent / "moved")


def replace_by(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        (root / "journal.jsonl").unlink()
        make(root / "journal.jsonl")

    return damage


def longer(root: Path) -> None:
    with (root / "journal.jsonl").open("ab") as file:
        file.write(b"\n")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "deleted": lambda root: (root / "profiles/p.json").unlink(),
    "directory deleted": lambda root: shutil.rmtree(root / "objects"),
    "truncated": lambda root: os.truncate(root / "journal.jsonl", 5),
    "emptied": lambda root: os.truncate(root / "run_manifest.json", 0),
    "longer": longer,
    "same size": lambda root: (root / "journal.jsonl").write_bytes(b'{"seq":2}\n'),
    "swapped": swap,
    "linked": lambda root: relink(root, directory=False),
    "directory linked": lambda root: relink(root, directory=True),
    "directory": replace_by(lambda path: path.mkdir()),
    "pipe": replace_by(os.mkfifo),
    "other case": lambda root: (root / "journal.jsonl").rename(root / "Journal.jsonl"),
    "status gone": lambda root: (root / "run_status.json").unlink(),
    "status no JSON": lambda root: (root / "run_status.json").write_bytes(b"{"),
    "status no object": lambda root: (root / "run_status.json").write_bytes(b"[]"),
    "index emptied": lambda root: os.truncate(root / "artifact_index.json", 0),
    "index of another run": lambda root: shutil.copy(root.parent / "run-2/artifact_index.json", root),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_refused(tmp_path: Path, name: str) -> None:
    path = committed(tmp_path).path
    committed(tmp_path, "run-2", move_latest=False)
    assert intact(tmp_path)
    age(path)
    assert intact(tmp_path)
    DAMAGES[name](path)
    with pytest.raises((StoreCorrupt, NotCommitted), match=str(tmp_path)):
        load_bundle(tmp_path)
    assert not intact(tmp_path)


def test_a_file_touched_since_is_hashed_and_still_intact(tmp_path: Path) -> None:
    path = committed(tmp_path).path
    age(path)
    os.utime(path / "journal.jsonl")
    (path / "notes.txt").write_text("of nobody's concern")
    assert intact(tmp_path) and load_bundle(tmp_path)


def test_an_edit_that_hides_its_mtime_is_seen(tmp_path: Path) -> None:
    path = committed(tmp_path).path
    age(path)
    before = os.stat(path / "journal.jsonl")
    (path / "journal.jsonl").write_bytes(b'{"seq":2}\n')
    os.utime(path / "journal.jsonl", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not intact(tmp_path)


def test_every_flipped_bit_is_detected(tmp_path: Path) -> None:
    """A sample over all files of a bundle, and over LATEST; every bit would take a minute."""
    path = committed(tmp_path).path
    files = [file for file in sorted(path.rglob("*")) if file.is_file()] + [tmp_path / "LATEST"]
    places = [(file, bit) for file in files for bit in range(8 * file.stat().st_size)]
    for file, bit in random.Random(5).sample(places, 2000):
        data = file.read_bytes()
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        with pytest.raises((StoreCorrupt, NotCommitted)):
            load_bundle(tmp_path)
        file.write_bytes(data)
    assert load_bundle(tmp_path) and OBJECT
