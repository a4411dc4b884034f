"""Whoever uses a store is waited for by whoever would remove from it, and the other way round."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from flowbuild.core.errors import StoreConflict
from flowbuild.store.use import Use


def test_many_use_it_and_one_is_alone(tmp_path: Path) -> None:
    first, second, third = (Use(str(tmp_path)) for _ in range(3))
    first.enter()
    first.enter()
    second.enter()
    with pytest.raises(StoreConflict, match="in use by a build"), third.alone(0.0):
        pass
    first.leave()
    with pytest.raises(StoreConflict), third.alone(0.0):
        pass
    second.leave()
    with third.alone(0.0), pytest.raises(StoreConflict), first.alone(0.0):
        pass
    with second.alone(0.0):
        pass


def test_who_uses_it_alone_does_so_although_it_used_it_before(tmp_path: Path) -> None:
    use = Use(str(tmp_path))
    use.enter()
    with use.alone(0.0):
        pass


def test_a_build_waits_for_a_removal_under_way(tmp_path: Path) -> None:
    order: list[str] = []
    gone, come = Use(str(tmp_path)), Use(str(tmp_path))

    def build() -> None:
        come.enter()
        order.append("built")
        come.leave()

    thread = threading.Thread(target=build)
    with gone.alone(0.0):
        thread.start()
        thread.join(0.1)
        order.append("removed")
    thread.join()
    assert order == ["removed", "built"]


def test_what_is_not_there_is_used_by_nobody(tmp_path: Path) -> None:
    one, other = Use(str(tmp_path / "none")), Use(str(tmp_path / "none"))
    one.enter()
    with other.alone(0.0):
        pass
    one.leave()
