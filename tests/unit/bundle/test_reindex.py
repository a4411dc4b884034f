"""Indexing again: what a repair puts right, what it keeps, and what it refuses to touch."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from flowbuild.bundle.promote import promotion_packet
from flowbuild.bundle.read import load_bundle, open_bundle_unverified, validate_bundle
from flowbuild.bundle.reindex import reindex_bundle
from flowbuild.core.errors import NotCommitted, StoreConflict, StoreCorrupt, StoreError
from flowbuild.store.lock import hold

from .evidence_sample import agreeing
from .sample_bundle import commit, edit, snapshot


def reasons(path: Path) -> list[str]:
    found: list[str] = promotion_packet(open_bundle_unverified(path))["promotability"]["reasons"]
    return found


def log(path: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((path / "repair_log.json").read_text())
    return found


@pytest.mark.parametrize("repair", [False, True])
def test_a_whole_bundle_is_left_as_it_is(tmp_path: Path, repair: bool) -> None:
    path = commit(tmp_path)
    before = snapshot(tmp_path)
    assert reindex_bundle(tmp_path, repair=repair) == {"status": "ok", "bundle_dir": str(path)}
    assert snapshot(tmp_path) == before and reasons(path) == []


def test_a_zeroed_digest_is_refused_strictly_and_repaired_with_a_log(tmp_path: Path) -> None:
    path = commit(tmp_path)
    edit(path / "artifact_index.json", lambda doc: doc["artifacts"][0].update(sha256="0" * 64))
    for strictly in (load_bundle, reindex_bundle):
        with pytest.raises(StoreCorrupt, match=r"run_status\.json: sha256 mismatch"):
            strictly(path)
    done = reindex_bundle(path, repair=True)
    assert done["status"] == "repaired" and done["repair_log"] == log(path)
    assert log(path)["before"] == {"missing": [], "digest_mismatches": ["run_status.json"]}
    assert log(path)["after"] == {"missing": [], "digest_mismatches": []}
    assert load_bundle(path).index.status == "ok" and validate_bundle(path).ok
    assert reasons(path) == ["bundle_integrity_unverified"]


def test_what_is_gone_is_missing_from_then_on(tmp_path: Path) -> None:
    path = commit(tmp_path)
    (path / "runtime_results.json").unlink()
    reindex_bundle(path, repair=True)
    found = load_bundle(path).index
    assert (found.status, found.missing) == ("partial", ("runtime_results.json",))
    (path / "runtime_results.json").write_text("{}")  # found again, somebody says
    (path / "summary.md").write_text("")
    reindex_bundle(path, repair=True)
    found = load_bundle(path).index
    assert (found.status, found.missing) == ("partial", ("runtime_results.json",))
    assert log(path)["earlier"]["before"]["missing"] == ["runtime_results.json"]
    assert {"bundle_incomplete", "bundle_integrity_unverified"} <= set(reasons(path))


def test_a_failed_bundle_stays_failed(tmp_path: Path) -> None:
    path = commit(tmp_path, agreeing(channel="clean", error="the host went away", failure_stage="probe"))
    (path / "summary.md").write_text("all is well")
    reindex_bundle(path, repair=True)
    assert load_bundle(path).index.status == "failed" and "bundle_failed" in reasons(path)


def test_a_lost_index_is_made_of_what_is_there_and_what_the_plan_wants(tmp_path: Path) -> None:
    path = commit(tmp_path)
    (path / "artifact_index.json").unlink()
    (path / ".tmp-1-0").write_text("a draft")
    reindex_bundle(path, repair=True)
    assert load_bundle(path).index.status == "ok"
    assert "objects" in {entry.path.split("/")[0] for entry in load_bundle(path).index.artifacts}
    assert reasons(path) == ["bundle_integrity_unverified"]
    (path / "artifact_index.json").write_text("{")
    (path / "baseline_results.json").unlink()
    reindex_bundle(path, repair=True)
    assert load_bundle(path).index.missing == ("baseline_results.json",)


def test_a_lost_index_of_a_failed_run_is_failed(tmp_path: Path) -> None:
    path = commit(tmp_path, agreeing(error="x", failure_stage="probe"))
    (path / "artifact_index.json").unlink()
    reindex_bundle(path, repair=True)
    assert load_bundle(path).index.status == "failed"


def test_no_repair_follows_a_link(tmp_path: Path) -> None:
    path = commit(tmp_path)
    (path / "summary.md").unlink()
    (path / "summary.md").symlink_to("/etc/passwd")
    reindex_bundle(path, repair=True)
    assert load_bundle(path).index.missing == ("summary.md",)


def in_progress(path: Path) -> None:
    edit(path / "run_status.json", lambda doc: doc.update(state="in_progress"))


def another_run(path: Path) -> None:
    edit(path / "run_status.json", lambda doc: doc.update(run_id="another"))


def no_status(path: Path) -> None:
    (path / "run_status.json").unlink()


def nameless(path: Path) -> None:
    (path / "artifact_index.json").unlink()
    edit(path / "run_status.json", lambda doc: doc.update(run_id="../x"))


def colliding(path: Path) -> None:
    (path / "artifact_index.json").unlink()
    (path / "Summary.md").write_text("")
    (path / "SUMMARY.md").write_text("")


def odd_plan(path: Path) -> None:
    (path / "artifact_index.json").unlink()
    edit(path / "plan.json", lambda doc: doc.update(lanes=3))


@pytest.mark.parametrize("damage", [in_progress, another_run, no_status, nameless, colliding, odd_plan])
def test_what_nobody_can_vouch_for_is_refused_and_nothing_is_written(tmp_path: Path, damage: object) -> None:
    path = commit(tmp_path)
    damage(path)
    before = snapshot(tmp_path)
    with pytest.raises((StoreCorrupt, NotCommitted)):
        reindex_bundle(path, repair=True)
    assert snapshot(tmp_path) == before


def test_a_live_writer_is_not_disturbed(tmp_path: Path) -> None:
    path = commit(tmp_path)
    (path / "summary.md").write_text("")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        hold(descriptor)
        with pytest.raises(StoreConflict, match="writer is alive"):
            reindex_bundle(path, repair=True)
    finally:
        os.close(descriptor)
    with pytest.raises(StoreError):
        load_bundle(path)


@pytest.mark.parametrize("data", ["{", "[]", '{"a": NaN}', '{"a": "\\ud800"}'])
def test_a_damaged_log_is_no_obstacle(tmp_path: Path, data: str) -> None:
    path = commit(tmp_path)
    (path / "summary.md").write_text("")
    reindex_bundle(path, repair=True)
    (path / "repair_log.json").write_text(data)
    reindex_bundle(path, repair=True)
    assert log(path)["earlier"] is None and validate_bundle(path).ok
