"""Folds of a bundle: signed once, left alone while they are what the bundle says, and never stale."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("securesystemslib", reason="the extra `sign` is not installed")

from flowbuild.bundle.envelope import new_key, public_key
from flowbuild.bundle.fold import fold
from flowbuild.bundle.trust import Trust
from flowbuild.bundle.verify import verify
from flowbuild.core.errors import BadPath, StoreError

from .evidence_sample import agreeing
from .sample_bundle import commit, snapshot

RUN = agreeing().run_id


@pytest.fixture
def options(tmp_path: Path) -> dict[str, object]:
    return {"key": str(new_key(tmp_path / "k").private), "require_promotable": False}


def places(root: Path) -> dict[str, Path]:
    return {"packet": root / "shown/promotion_packet.json", "statements": root / "shown/promotion_packet.intoto.jsonl"}


def test_a_promotion_is_signed_once(tmp_path: Path, options: dict[str, object]) -> None:
    path, outputs = commit(tmp_path / "out"), places(tmp_path)
    done = fold("promotion", path, outputs, options)
    assert done == (tuple(outputs.values()), True, (), False)
    assert verify(outputs["packet"], [public_key(tmp_path / "k.pub")], Trust(), path).findings == ()
    before = snapshot(tmp_path)
    assert fold("promotion", path, outputs, options).is_new is False and snapshot(tmp_path) == before


def test_another_key_signs_anew(tmp_path: Path, options: dict[str, object]) -> None:
    path, outputs = commit(tmp_path / "out"), places(tmp_path)
    fold("promotion", path, outputs, options)
    new_key(tmp_path / "other")
    assert fold("promotion", path, outputs, {**options, "key": str(tmp_path / "other")}).is_new
    assert verify(outputs["packet"], [public_key(tmp_path / "other.pub")], Trust(), path).findings == ()
    new = {**options, "key": str(tmp_path / "other")}
    assert fold("promotion", path, outputs, new).is_new is False
    elsewhere = places(tmp_path / "elsewhere")
    fold("promotion", commit(tmp_path / "b", agreeing(channel="launchd_clean")), elsewhere, new)
    outputs["statements"].write_bytes(elsewhere["statements"].read_bytes())  # rightly signed, of another bundle
    assert fold("promotion", path, outputs, new).is_new
    outputs["statements"].write_text("noise\n")
    assert fold("promotion", path, outputs, options).is_new
    outputs["statements"].unlink()
    assert fold("promotion", path, outputs, options).is_new


def test_nothing_signed_stays_beside_a_run_that_is_not_promotable(tmp_path: Path, options: dict[str, object]) -> None:
    outputs = places(tmp_path)
    fold("promotion", commit(tmp_path / "clean"), outputs, options)
    done = fold("promotion", commit(tmp_path / "direct", agreeing()), outputs, options)
    assert done == ((outputs["packet"],), True, ("not_clean_channel",), False)
    assert not outputs["statements"].exists()


def test_a_run_that_must_be_promotable_writes_nothing_when_it_is_not(
    tmp_path: Path, options: dict[str, object]
) -> None:
    outputs = places(tmp_path)
    fold("promotion", commit(tmp_path / "clean"), outputs, options)
    path = commit(tmp_path / "direct", agreeing())
    before = snapshot(tmp_path)
    done = fold("promotion", path, outputs, {**options, "require_promotable": True})
    assert done == ((), False, ("not_clean_channel",), True)
    assert snapshot(tmp_path) == before  # what was promoted before, was


def test_a_damaged_bundle_or_a_key_that_is_gone_makes_nothing(tmp_path: Path, options: dict[str, object]) -> None:
    path, outputs = commit(tmp_path / "out"), places(tmp_path)
    with pytest.raises(BadPath, match="no such key"):
        fold("promotion", path, outputs, {**options, "key": str(tmp_path / "none")})
    (path / "summary.md").write_text("")
    for kind in ("promotion", "summary"):
        with pytest.raises(StoreError):
            fold(kind, path, outputs, options)
    assert not (tmp_path / "shown").exists()
