"""Objects: stored once, sealed, checked, healed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flowbuild.core.canonical import Digest, sha256
from flowbuild.core.errors import DiskRefused, NotAnArtifact, StoreCorrupt
from flowbuild.store import cas as module
from flowbuild.store.cas import SEALED_NS, Cas


@pytest.fixture
def cas(tmp_path: Path) -> Cas:
    return Cas(tmp_path / "cas")


def drafts(cas: Cas) -> list[str]:
    return [name for name in os.listdir(cas._root) if name.startswith(".tmp-")]


@pytest.mark.parametrize("data", [b"", b"hello", os.urandom(5 << 20)], ids=["empty", "small", "large"])
def test_file_and_bytes_meet_under_one_digest(cas: Cas, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "file").write_bytes(data)
    assert cas.put_file(tmp_path / "file") == (sha256(data), len(data))
    inode = cas.path(sha256(data)).stat().st_ino
    assert cas.put(data) == sha256(data) and cas.put_file(tmp_path / "file")[1] == len(data)
    assert cas.path(sha256(data)).stat().st_ino == inode  # an intact object is left alone
    assert cas.read(sha256(data)) == data and cas.verify(sha256(data))
    assert list(cas) == [sha256(data)] and not drafts(cas)


def test_objects_are_sealed(cas: Cas) -> None:
    before = os.umask(0o077)
    try:
        found = cas.path(cas.put(b"x")).stat()
    finally:
        os.umask(before)
    assert (found.st_mode & 0o777, found.st_mtime_ns, found.st_nlink) == (0o444, SEALED_NS, 1)


def append(path: Path) -> None:
    path.chmod(0o644)
    with path.open("ab") as file:
        file.write(b"!")


def overwrite(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(b"HELLO")
    path.chmod(0o444)


def replace_by_directory(path: Path) -> None:
    path.unlink()
    (path / "sub").mkdir(parents=True)


def replace_by_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


DAMAGE: dict[str, Callable[[Path], None]] = {
    "appended": append,
    "overwritten": overwrite,
    "unsealed": lambda path: path.chmod(0o644),
    "touched": lambda path: os.utime(path),
    "directory": replace_by_directory,
    "link": replace_by_link,
    "gone": lambda path: path.unlink(),
    "truncated": lambda path: os.truncate(path, 0),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_object_is_absent_and_put_heals_it(cas: Cas, damage: Callable[[Path], None]) -> None:
    digest = cas.put(b"hello")
    damage(cas.path(digest))
    assert not cas.intact(digest)
    assert not cas.verify(digest)
    cas.put(b"hello")
    assert cas.intact(digest, 5) and cas.read(digest) == b"hello"


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_put_file_heals_too(
    cas: Cas, tmp_path: Path, damage: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 2)  # the road of large files
    (tmp_path / "file").write_bytes(b"hello")
    digest, _ = cas.put_file(tmp_path / "file")
    damage(cas.path(digest))
    cas.put_file(tmp_path / "file")
    assert cas.intact(digest, 5) and cas.read(digest) == b"hello"
    assert not drafts(cas)


def test_another_size_is_not_intact(cas: Cas) -> None:
    digest = cas.put(b"hello")
    assert cas.intact(digest) and cas.intact(digest, 5) and not cas.intact(digest, 4)


def poison(cas: Cas, digest: Digest, data: bytes) -> None:
    """Damage that no stat can see."""
    path = cas.path(digest)
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(0o444)
    os.utime(path, ns=(SEALED_NS, SEALED_NS))


@pytest.mark.parametrize("large", [False, True])
def test_what_stat_cannot_see_does_not_leave_the_store(cas: Cas, tmp_path: Path, large: bool) -> None:
    data = b"hello" * (1 << 19 if large else 1)
    digest = cas.put(data)
    poison(cas, digest, data[:-1] + b"O")
    assert cas.intact(digest, len(data)) and not cas.verify(digest)
    with pytest.raises(StoreCorrupt, match="damaged"):
        cas.copy_to(digest, tmp_path / "out", executable=False)
    assert not (tmp_path / "out").exists()
    assert not cas.intact(digest)  # removed: a miss from now on, not an error for ever


def test_read_removes_what_is_damaged(cas: Cas) -> None:
    digest = cas.put(b"hello")
    poison(cas, digest, b"HELLO")
    with pytest.raises(StoreCorrupt, match="damaged"):
        cas.read(digest)
    with pytest.raises(StoreCorrupt, match="not in the store") as caught:
        cas.read(digest)
    assert "run the same command again" in caught.value.remedy


def test_one_object_in_place_of_another_is_refused(cas: Cas) -> None:
    one, two = cas.put(b"one"), cas.put(b"two")
    os.replace(cas.path(one), cas.path(two))
    with pytest.raises(StoreCorrupt):
        cas.read(two)


def test_a_healed_object_is_not_removed_by_a_late_reader(cas: Cas, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = cas.put(b"hello")
    poison(cas, digest, b"HELLO")
    real = module.sha256

    def heal_meanwhile(data: bytes) -> Digest:
        if data == b"HELLO":
            cas.discard(digest)
            Cas(Path(cas._root)).put(b"hello")
        return real(data)

    monkeypatch.setattr(module, "sha256", heal_meanwhile)
    with pytest.raises(StoreCorrupt):
        cas.read(digest)
    assert cas.read(digest) == b"hello"


@pytest.mark.parametrize("verify", [True, False])
def test_copies_out_without_sharing_an_inode(cas: Cas, tmp_path: Path, verify: bool) -> None:
    digest = cas.put(b"hello")
    target = tmp_path / "out"
    cas.copy_to(digest, target, executable=True, verify=verify)
    cas.copy_to(digest, target, executable=False, verify=verify)
    assert target.read_bytes() == b"hello" and target.stat().st_mode & 0o777 == 0o644
    target.write_bytes(b"changed")
    assert cas.read(digest) == b"hello"


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_what_is_no_digest_is_no_path(cas: Cas, digest: str) -> None:
    with pytest.raises(StoreCorrupt, match="no SHA-256"):
        cas.path(Digest(digest))


def test_neither_directories_nor_fifos_are_objects(cas: Cas, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo"):
        with pytest.raises(NotAnArtifact, match="not a regular file"):
            cas.put_file(path)
    with pytest.raises(DiskRefused, match="ENOENT"):
        cas.put_file(tmp_path / "absent")


def test_a_file_that_grows_while_it_is_read_is_stored_as_read(
    cas: Cas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"hello")
    real = os.fstat

    def short(descriptor: int) -> os.stat_result:
        found = list(real(descriptor))
        found[6] = 3  # the size, before somebody appended
        return os.stat_result(found)

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "fstat", short)
        digest, size = cas.put_file(tmp_path / "file")
    assert (digest, size) == (sha256(b"hello"), 5) and cas.read(digest) == b"hello"


def test_iterates_in_order_over_objects_only(cas: Cas) -> None:
    digests = sorted(cas.put(b"%d" % n) for n in range(20))
    (Path(cas._root) / "zz").mkdir()
    (Path(cas._root) / "stray").write_bytes(b"")
    cas.path(digests[0]).with_name("stray").write_bytes(b"")
    assert list(cas) == digests
    assert list(Cas(Path(cas._root) / "absent")) == []


def test_sweeps_what_killed_writers_left(cas: Cas) -> None:
    cas.put(b"x")
    stray = Path(cas._root) / ".tmp-1-abc"
    stray.write_bytes(b"")
    os.utime(stray, ns=(SEALED_NS, SEALED_NS))  # as an object is that gets its name next
    assert cas.sweep() == 0 and stray.exists()
    assert cas.sweep(older_than_s=-60) == 1 and not stray.exists()


def test_memory_stays_flat_for_a_large_file(tmp_path: Path) -> None:
    with open(tmp_path / "large", "wb") as file:
        file.truncate(128 << 20)
    script = (
        "import resource, sys; from pathlib import Path; from flowbuild.store.cas import Cas\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "cas = Cas(Path(sys.argv[1]) / 'cas'); digest, size = cas.put_file(Path(sys.argv[1]) / 'large')\n"
        "cas.copy_to(digest, Path(sys.argv[1]) / 'out', executable=False)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < 16 << 20
