"""Promotion packets: each of the eleven reasons from a bundle that has it, and nothing that a caller could set."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowbuild.bundle.promote import PACKET, emit_promotion_packet, promotion_packet
from flowbuild.bundle.read import load_bundle, open_bundle_unverified
from flowbuild.core.canonical import sha256
from flowbuild.core.errors import BadPath, NotCommitted, NotPromotable

from .evidence_sample import PREFLIGHT, agreeing, sample
from .sample_bundle import commit, edit, snapshot


def emit(path: Path, **how: Any) -> dict[str, Any]:
    return emit_promotion_packet(path, path.parent / PACKET, **how)


def test_an_agreeing_run_by_the_clean_channel_is_promotable(tmp_path: Path) -> None:
    path = commit(tmp_path)
    packet = emit(path, require_promotable=True)
    assert packet == json.loads((tmp_path / PACKET).read_text())
    assert packet["promotability"] == {
        "promotable_decision_stage": True,
        "reasons": [],
        "gating_inputs": {
            "channel": "clean",
            "apply_preflight_present": True,
            "apply_ok": True,
            "sandbox_check_self": PREFLIGHT["sandbox_check_self"],
        },
    }
    assert packet["artifact_index"]["sha256"] == sha256((path / "artifact_index.json").read_bytes())
    for key in ("run_manifest", "expected_matrix", "runtime_results", "runtime_events", "baseline_results"):
        assert (path / packet[key]).is_file()
    assert packet["oracle_results"] == "oracle_results.json" and "path_witnesses" not in packet


def test_the_seed_s_name_of_the_channel_counts(tmp_path: Path) -> None:
    assert emit(commit(tmp_path, agreeing(channel="launchd_clean")))["promotability"]["reasons"] == []


def test_mismatches_are_no_reason(tmp_path: Path) -> None:
    assert emit(commit(tmp_path, sample(channel="clean")))["promotability"]["reasons"] == []


def with_preflight(**changes: Any) -> Callable[[Path], Path]:
    return lambda root: commit(root, agreeing(channel="clean", preflight={**PREFLIGHT, **changes}))


def damaged(change: Callable[[Path], object]) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        path = commit(root)
        change(path)
        return path

    return make


def in_progress(path: Path) -> None:
    edit(path / "run_status.json", lambda doc: doc.update(state="in_progress"))


def no_index(path: Path) -> None:
    (path / "artifact_index.json").unlink()


CASES: dict[str, tuple[Callable[[Path], Path], set[str]]] = {
    "direct": (lambda root: commit(root, agreeing()), {"not_clean_channel"}),
    "apply not ok": (with_preflight(apply_ok=False), {"apply_failed"}),
    "apply a word": (with_preflight(apply_ok="yes"), {"apply_failed"}),
    "apply stopped": (with_preflight(failure_stage="apply"), {"apply_failed"}),
    "sandboxed": (with_preflight(sandbox_check_self={"sandboxed": True}), {"already_sandboxed"}),
    "no preflight": (
        lambda root: commit(root, agreeing(channel="clean", preflight=None)),
        {"apply_preflight_missing", "apply_failed", "bundle_incomplete"},
    ),
    "failed": (
        lambda root: commit(root, agreeing(channel="clean", error="x", failure_stage="probe")),
        {"bundle_failed"},
    ),
    "a file missing": (lambda root: commit(root, without=("summary.md",)), {"bundle_incomplete"}),
    "results missing": (
        lambda root: commit(root, without=("runtime_results.json",)),
        {"bundle_incomplete", "decision_stage_artifacts_missing"},
    ),
    "no manifest": (
        lambda root: commit(root, without=("run_manifest.json",)),
        {"manifest_missing", "not_clean_channel", "bundle_incomplete"},
    ),
    "dry": (
        lambda root: commit(root, agreeing(channel="clean", dry_run=True, lanes=(), baseline=(), scenario={})),
        {"decision_stage_artifacts_missing"},
    ),
    "changed since": (damaged(lambda path: (path / "summary.md").write_text("")), {"bundle_integrity_unverified"}),
    "no index": (damaged(no_index), {"bundle_integrity_unverified"}),
    "in progress": (damaged(in_progress), {"bundle_in_progress", "bundle_integrity_unverified"}),
    "no status": (
        damaged(lambda path: (path / "run_status.json").unlink()),
        {"run_status_missing", "bundle_integrity_unverified", "not_clean_channel"},
    ),
    "manifest tells otherwise": (
        damaged(lambda path: edit(path / "run_manifest.json", lambda doc: doc.update(channel="direct"))),
        {"manifest_missing", "not_clean_channel", "bundle_integrity_unverified"},
    ),
}
REASONS = {
    "manifest_missing", "run_status_missing", "bundle_in_progress", "not_clean_channel", "apply_preflight_missing",
    "already_sandboxed", "apply_failed", "bundle_integrity_unverified", "bundle_failed", "bundle_incomplete",
    "decision_stage_artifacts_missing",
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_reason_is_told_and_refuses(tmp_path: Path, name: str) -> None:
    make, reasons = CASES[name]
    path = make(tmp_path)
    before = snapshot(tmp_path)
    with pytest.raises(NotPromotable) as told:
        emit(path, require_promotable=True)
    assert told.value.details == {"reasons": sorted(reasons)}
    assert snapshot(tmp_path) == before
    packet = emit(path)
    assert packet["promotability"]["reasons"] == sorted(reasons)
    assert packet["promotability"]["promotable_decision_stage"] is False


def test_all_eleven_reasons_are_covered_and_no_other() -> None:
    assert len(REASONS) == 11 and set().union(*(reasons for _, reasons in CASES.values())) == REASONS


def test_two_channels_in_one_bundle_are_not_clean(tmp_path: Path) -> None:
    """Somebody who changed run_manifest.json and indexed it anew, by hand, forgot run_status.json."""
    path = commit(tmp_path, agreeing())
    edit(path / "run_manifest.json", lambda doc: doc.update(channel="clean"))
    data = (path / "run_manifest.json").read_bytes()

    def index(doc: dict[str, Any]) -> None:
        row = next(row for row in doc["artifacts"] if row["path"] == "run_manifest.json")
        row.update(sha256=sha256(data), file_size=len(data))

    edit(path / "artifact_index.json", index)
    assert load_bundle(path).is_verified
    assert emit(path)["promotability"]["reasons"] == ["not_clean_channel"]


def test_nothing_can_be_set_by_a_caller() -> None:
    assert list(inspect.signature(emit_promotion_packet).parameters) == [
        "bundle_root",
        "out_path",
        "require_promotable",
    ]
    assert list(inspect.signature(promotion_packet).parameters) == ["bundle"]


def test_a_packet_is_a_function_of_its_bundle(tmp_path: Path) -> None:
    path = commit(tmp_path)
    assert promotion_packet(open_bundle_unverified(path)) == emit(path)
    first = (tmp_path / PACKET).read_bytes()
    emit(path)
    assert (tmp_path / PACKET).read_bytes() == first


@pytest.mark.parametrize("where", ["promotion_packet.json", "objects/x", "summary.md"])
def test_no_packet_is_written_into_its_bundle(tmp_path: Path, where: str) -> None:
    path = commit(tmp_path)
    before = snapshot(tmp_path)
    with pytest.raises(BadPath, match="lies in the bundle"):
        emit_promotion_packet(path, path / where)
    (tmp_path / "way").symlink_to(path)
    with pytest.raises(BadPath, match="lies in the bundle"):
        emit_promotion_packet(path, tmp_path / "way" / "p.json")
    (tmp_path / "way").unlink()
    assert snapshot(tmp_path) == before


def test_where_there_is_nothing_there_is_no_packet(tmp_path: Path) -> None:
    with pytest.raises(NotCommitted):
        emit_promotion_packet(tmp_path / "none", tmp_path / PACKET)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", ['{"sandboxed": NaN}', '{"source": "\\ud800"}', "3", '{"n": 9007199254740993}'])
def test_what_json_can_t_say_again_is_not_told(tmp_path: Path, value: str) -> None:
    path = commit(tmp_path)
    text = (path / "apply_preflight.json").read_text()
    doc = json.loads(text)
    old = json.dumps(doc["sandbox_check_self"], indent=2, sort_keys=True).replace("\n", "\n  ")
    assert old in text
    (path / "apply_preflight.json").write_text(text.replace(old, value))
    packet = emit(path)
    assert packet["promotability"]["gating_inputs"]["sandbox_check_self"] is None
    assert packet["promotability"]["reasons"] == ["bundle_integrity_unverified"]
