"""What a file system does, tried on real ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flowbuild.store import trial
from flowbuild.store.trial import Trial, trials


def test_an_ordinary_directory(tmp_path: Path) -> None:
    found = {one.name: one.works for one in trials(tmp_path)}
    assert found.pop("clone") in (True, False)
    assert found == dict.fromkeys(["write", "fsync", "syncfs", "lock"], True)
    assert os.listdir(tmp_path) == []


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    assert trials(tmp_path / "gone") == [Trial("write", False, "ENOENT")]


def test_a_lock_that_two_can_hold_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "try_hold", lambda descriptor: True)
    assert Trial("lock", False) in trials(tmp_path)
