"""What the host may have lost with the power is looked at before it counts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flowbuild.core.canonical import Digest, sha256
from flowbuild.store import boot, cas
from flowbuild.store.boot import Unflushed, boot_id
from flowbuild.store.cas import SEALED_NS, Cas


def marks(root: Path) -> list[str]:
    return os.listdir(root / "unflushed") if (root / "unflushed").exists() else []


def lose(store: Cas, digest: Digest, data: bytes = b"\0\0\0") -> None:
    """What a lost power supply may leave: the right name, size, mode and time, and other bytes."""
    path = store.path(digest)
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(0o444)
    os.utime(path, ns=(SEALED_NS, SEALED_NS))


def reboot(monkeypatch: pytest.MonkeyPatch, name: str = "next-boot") -> None:
    monkeypatch.setattr(boot, "_boot_uuid", lambda: name)


def test_boot_id_is_the_same_all_along() -> None:
    if not boot._boot_uuid():
        pytest.skip("this host has no boot id")
    assert boot_id() == boot_id() and len(boot_id()) == 36


def test_a_host_without_boot_id_never_meets_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    reboot(monkeypatch, "")
    assert boot_id() != boot_id()


def test_marked_from_the_first_object_to_the_flush(tmp_path: Path) -> None:
    store = Cas(tmp_path)
    assert not store.intact(sha256(b"one")) and marks(tmp_path) == []
    store.put(b"one")
    assert marks(tmp_path) == [boot_id()]
    assert store.flush() and marks(tmp_path) == []
    store.put(b"one")  # there already: nothing written, nothing unflushed
    assert marks(tmp_path) == []
    store.put(b"two")
    assert marks(tmp_path) == [boot_id()]


def test_the_mark_stays_while_another_session_needs_it(tmp_path: Path) -> None:
    one, two = Cas(tmp_path), Cas(tmp_path)
    one.put(b"one")
    two.put(b"two")
    assert one.flush() and marks(tmp_path) == [boot_id()]
    assert two.flush() and marks(tmp_path) == []


def test_the_mark_of_a_killed_session_is_joined(tmp_path: Path) -> None:
    (tmp_path / "unflushed").mkdir()
    (tmp_path / "unflushed" / boot_id()).write_bytes(b"")
    store = Cas(tmp_path)
    assert store.flush() and marks(tmp_path) == [boot_id()]  # it wrote nothing, so it vouches for nothing
    store.put(b"one")
    assert store.flush() and marks(tmp_path) == []


def test_the_mark_stays_where_nothing_can_be_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cas, "flush_filesystem", lambda path: False)
    store = Cas(tmp_path)
    store.put(b"one")
    assert not store.flush() and marks(tmp_path) == [boot_id()]


def test_after_an_unclean_boot_torn_objects_are_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Cas(tmp_path)
    kept, lost = store.put(b"one"), store.put(b"two")
    lose(store, lost)
    assert store.intact(lost, 3)  # stat can't see it, and this boot has no doubt
    reboot(monkeypatch)
    after = Cas(tmp_path)
    assert after.intact(kept, 3) and not after.intact(lost, 3)
    assert len(marks(tmp_path)) == 1  # `store` still holds its own


def test_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Cas(tmp_path)
    digest = store.put(b"one")
    store.close()  # the process is gone
    reboot(monkeypatch)
    assert Cas(tmp_path).intact(digest) and marks(tmp_path) == []
    lose(store, digest)
    assert Cas(tmp_path).intact(digest)  # no doubt any more: not hashed again


def test_older_objects_are_not_doubted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boot, "_SLACK_NS", -(10**18))  # as if the mark were younger than every object
    store = Cas(tmp_path)
    digest = store.put(b"one")
    lose(store, digest)
    reboot(monkeypatch)
    assert Cas(tmp_path).intact(digest)


def test_a_living_session_elsewhere_keeps_its_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Cas(tmp_path)
    other.put(b"one")
    reboot(monkeypatch)
    here = Cas(tmp_path)
    here.put(b"two")
    assert here.flush() and len(marks(tmp_path)) == 1
    assert other.flush() and marks(tmp_path) == []


def test_a_mark_removed_while_waiting_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = boot.is_named, []

    def removed_once(descriptor: int, path: str) -> bool:
        if not calls:
            os.unlink(path)
        calls.append(path)
        return real(descriptor, path)

    monkeypatch.setattr(boot, "is_named", removed_once)
    mark = Unflushed(str(tmp_path / "unflushed"))
    mark.enter()
    assert len(calls) == 2 and marks(tmp_path) == [boot_id()]


def test_a_failing_flush_keeps_the_mark(tmp_path: Path) -> None:
    def fails() -> bool:
        raise RuntimeError

    mark = Unflushed(str(tmp_path / "unflushed"))
    mark.enter()
    with pytest.raises(RuntimeError):
        mark.leave(fails)
    assert marks(tmp_path) == [boot_id()]
    mark.enter()
    assert mark.leave(lambda: True) and marks(tmp_path) == []
