"""Stamps: read again whenever anything moved, and only then."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from flowbuild.core.canonical import sha256
from flowbuild.core.errors import BadPath, DiskRefused
from flowbuild.store import stamps as module
from flowbuild.store.stamps import Seen, Stamps


class Reads:
    """Counts the files that are read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, real = 0, module.pour

        def pour(source: int) -> tuple[str, int]:
            self.count += 1
            return real(source)

        monkeypatch.setattr(module, "pour", pour)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    return Reads(monkeypatch)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(b"one")
    settle()
    return tmp_path / "file"


def settle() -> None:
    """Let the file system's clock move on: its ticks are up to 10 ms apart."""
    time.sleep(0.015)


def load(tmp_path: Path) -> Stamps:
    return Stamps.load(tmp_path / "stamps")


def test_read_once_and_never_again(tmp_path: Path, file: Path, reads: Reads) -> None:
    stamps = load(tmp_path)
    assert stamps.digest(file) == stamps.digest(file) == (sha256(b"one"), False)
    stamps.save()
    assert load(tmp_path).digest(file) == Seen(sha256(b"one"), False)
    assert reads.count == 1


def write_in_place(file: Path) -> None:
    """Same size, same times as far as a program can set them."""
    before = file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(file: Path) -> None:
    before = file.stat()
    other = file.with_name("other")
    other.write_bytes(b"two")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(file)


@pytest.mark.parametrize("change", [write_in_place, replace])
def test_edits_that_hide_their_time_are_seen(tmp_path: Path, file: Path, change: object) -> None:
    stamps = load(tmp_path)
    stamps.digest(file)
    stamps.save()
    change(file)  # type: ignore[operator]
    assert load(tmp_path).digest(file).sha256 == sha256(b"two")
    assert stamps.moved(file)


def test_the_executable_bit_counts(tmp_path: Path, file: Path) -> None:
    stamps = load(tmp_path)
    saw = stamps.digest(file)
    file.chmod(0o755)
    assert stamps.moved(file, saw) and stamps.digest(file).executable


def test_racy_files_are_read_again(tmp_path: Path, reads: Reads, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"one")
    real = Stamps._write_probe

    def same_tick(stamps: Stamps) -> None:  # the file system's clock stood still since the file was written
        real(stamps)
        stamps._probe_ns = file.stat().st_ctime_ns

    monkeypatch.setattr(Stamps, "_write_probe", same_tick)
    stamps = load(tmp_path)
    stamps.digest(file)
    stamps.save()
    load(tmp_path).digest(file)
    assert reads.count == 2


def test_a_file_of_the_future_is_always_read(tmp_path: Path, file: Path, reads: Reads) -> None:
    os.utime(file, (2**33, 2**33))
    stamps = load(tmp_path)
    stamps.digest(file)
    stamps.save()
    assert load(tmp_path).digest(file).sha256 == sha256(b"one") and reads.count == 2


def test_another_file_system_is_kept_at_a_distance(tmp_path: Path, file: Path, reads: Reads) -> None:
    stamps = load(tmp_path)
    stamps._write_probe()
    stamps._device += 1  # as if the file were elsewhere
    stamps.digest(file)
    stamps.digest(file)
    assert reads.count == 2
    stamps._probe_ns += module._ELSEWHERE_NS  # an hour later
    stamps.digest(file)
    stamps.digest(file)
    assert reads.count == 3


def test_moved_compares_with_what_was_seen(tmp_path: Path, file: Path) -> None:
    stamps = load(tmp_path)
    assert stamps.moved(file)  # nobody asked for it yet
    saw = stamps.digest(file)
    assert not stamps.moved(file)
    os.utime(file)  # touched, with the same bytes
    assert not stamps.moved(file) and not stamps.moved(file, saw)
    file.write_bytes(b"two")
    stamps.digest(file)  # somebody else asks, and sees the new bytes
    assert not stamps.moved(file) and stamps.moved(file, saw)
    file.unlink()
    assert stamps.moved(file) and stamps.moved(file, saw)


def test_a_file_that_changes_while_it_is_read_is_not_settled(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module.pour

    def pour(source: int) -> tuple[str, int]:
        found = real(source)
        with file.open("ab") as writing:
            writing.write(b"!")
        settle()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(module, "pour", pour)
        stamps = load(tmp_path)
        assert stamps.digest(file).sha256 == sha256(b"one!!")
    assert stamps.digest(file).sha256 == sha256(b"one!!!")


def test_a_link_stands_for_its_target(tmp_path: Path, file: Path) -> None:
    (tmp_path / "link").symlink_to(file)
    assert load(tmp_path).digest(tmp_path / "link") == load(tmp_path).digest(file)


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path, match in [
        (tmp_path / "absent", "does not exist"),
        (tmp_path / "fifo" / "x", "does not exist"),
        (tmp_path / "fifo", "not a regular file"),
        (tmp_path, "not a regular file"),
    ]:
        with pytest.raises(BadPath, match=match):
            load(tmp_path).digest(path)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(DiskRefused, match="ELOOP"):
        load(tmp_path).digest(tmp_path / "loop")


def test_a_damaged_table_is_dropped(tmp_path: Path, file: Path) -> None:
    stamps = load(tmp_path)
    stamps.digest(file)
    stamps.save()
    data = (tmp_path / "stamps").read_bytes()
    assert load(tmp_path)._rows
    for at in range(len(data)):
        (tmp_path / "stamps").write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert not load(tmp_path)._rows
        (tmp_path / "stamps").write_bytes(data[:at])
        assert not load(tmp_path)._rows


def test_a_whole_table_of_other_shape_is_dropped(tmp_path: Path) -> None:
    body = b"\x93\x01\x02\x03"
    (tmp_path / "stamps").write_bytes(module._MAGIC + module.xxhash.xxh3_64_digest(body) + body)
    assert not load(tmp_path)._rows


def test_where_nothing_can_be_written_nothing_is_settled(file: Path, reads: Reads) -> None:
    stamps = Stamps.load(file.parent / "absent" / "stamps")
    assert stamps.digest(file) == stamps.digest(file) and reads.count == 2


def test_saving_writes_only_what_changed(tmp_path: Path, file: Path) -> None:
    stamps = load(tmp_path)
    stamps.save()
    assert not (tmp_path / "stamps").exists()
    stamps.digest(file)
    stamps.save()
    inode = (tmp_path / "stamps").stat().st_ino
    again = load(tmp_path)
    again.digest(file)
    again.save()
    assert (tmp_path / "stamps").stat().st_ino == inode


def test_forgets_files_that_are_gone_and_keeps_the_others(tmp_path: Path, file: Path) -> None:
    stamps = load(tmp_path)
    for name in ("gone", "kept"):
        (tmp_path / name).write_bytes(b"x")
        stamps.digest(tmp_path / name)
    stamps.save()
    (tmp_path / "gone").unlink()
    later = load(tmp_path)
    later.digest(file)
    later.save()
    assert sorted(load(tmp_path)._rows) == [str(file), str(tmp_path / "kept")]


def test_a_name_that_is_not_unicode_is_stamped_but_not_kept(tmp_path: Path, file: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    try:
        odd.write_bytes(b"x")
    except OSError:
        pytest.skip("this file system holds Unicode names only")
    stamps = load(tmp_path)
    stamps.digest(file)
    assert stamps.digest(odd).sha256 == sha256(b"x")
    stamps.save()
    assert list(load(tmp_path)._rows) == [str(file)]
