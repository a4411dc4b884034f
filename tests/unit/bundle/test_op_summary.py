"""Op summaries: a fold of observations, and of the bundles and packets that hold them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from seed_tree import SeedTree

from flowbuild.bundle.op_source import summarize_ops_from_bundle, summarize_ops_from_packet
from flowbuild.bundle.op_summary import build_op_runtime_summary, write_op_runtime_summary
from flowbuild.bundle.plan_run import run_plan
from flowbuild.bundle.promote import emit_promotion_packet
from flowbuild.bundle.read import RunBundle, load_bundle
from flowbuild.core.canonical import sha256
from flowbuild.core.errors import BadAttribute, BadJson, BadPath, NotPromotable, StoreCorrupt, StoreError


def seen(operation: str, scenario: str, match: bool | None = True, **more: Any) -> dict[str, Any]:
    row = {"operation": operation, "scenario_id": scenario, "expectation_id": scenario, "world_id": "w"}
    row |= {"expected": "allow", "actual": "allow" if match else "deny", "match": match, "target": "/x"}
    return row | more


ROWS = [
    seen("file-read-data", "b"),
    seen("file-read-data", "a", False),
    seen("file-read-data", "c", None, failure_stage="apply", failure_kind="policy_unavailable"),
    seen("file-read-data", "d", None, failure_stage="bootstrap"),
    seen("file-read-data", "e", None, intended_op_witnessed=False),
    seen("signal", "f"),
    seen("process-exec", "g", None, failure_stage="preflight", failure_kind="x"),
]


def test_each_operation_is_counted() -> None:
    found = build_op_runtime_summary(ROWS)
    assert list(found["ops"]) == ["file-read-data", "process-exec", "signal"]
    read = found["ops"]["file-read-data"]
    assert read["op_name"] == "file-read-data" and read["op_id"] is None and read["world_id"] == "w"
    assert (read["probes"], read["matches"], read["mismatches"]) == (2, 1, 1)
    assert (read["probes_including_blocked"], read["unobserved"]) == (5, 1)
    assert read["blocked"] == {
        "total": 2,
        "by_stage": {"apply": 1, "bootstrap": 1},
        "by_kind": {"policy_unavailable": 1},
    }
    assert read["scenarios"] == ["a", "b", "c", "d", "e"]
    assert [one["scenario_id"] for one in read["examples"]] == ["b", "a"]
    assert read["mismatch_details"] == [
        {"scenario_id": "a", "expectation_id": "a", "expected": "allow", "actual": "deny", "target": "/x"}
    ]


@pytest.mark.parametrize(
    ("operation", "status"), [("file-read-data", "partial"), ("signal", "ok"), ("process-exec", "brittle")]
)
def test_coverage_is_never_told_better_than_it_is(operation: str, status: str) -> None:
    entry = build_op_runtime_summary(ROWS)["ops"][operation]
    assert entry["coverage_status"] == status
    assert ("mismatch_details" in entry) is (status == "partial")


def test_examples_are_five_at_most() -> None:
    rows = [seen("signal", str(number)) for number in range(9)]
    assert len(build_op_runtime_summary(rows)["ops"]["signal"]["examples"]) == 5


def test_the_head_says_where_it_comes_from() -> None:
    meta = build_op_runtime_summary(
        [], world_id="v", inputs=["a"], input_hashes={"a": "0"}, source_jobs=["j"], notes="n"
    )["meta"]
    assert meta == {
        "world_id": "v",
        "schema_version": "runtime-mapping.v0.1",
        "runtime_log_schema": "runtime_log_schema.v0.1",
        "status": "partial",
        "tier": "mapped",
        "source_jobs": ["j"],
        "notes": "n",
        "inputs": ["a"],
        "input_hashes": {"a": "0"},
    }


@pytest.mark.parametrize("row", [[], {}, {"operation": 1}])
def test_what_is_no_observation_is_refused(row: Any) -> None:
    with pytest.raises(BadAttribute, match="an observation is an object"):
        build_op_runtime_summary([row])


def test_a_summary_is_written_whole(tmp_path: Path) -> None:
    path = write_op_runtime_summary(build_op_runtime_summary(ROWS), tmp_path / "deep/ops.json")
    assert json.loads(path.read_text()) == build_op_runtime_summary(ROWS)


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = SeedTree(tmp_path_factory.mktemp("seed") / "tree")
    run_plan(tree.plan, tree.root / "out", channel="direct")
    return tree.root


@pytest.fixture
def bundle(committed: Path, tmp_path: Path) -> RunBundle:
    """A bundle of one's own to change: a copy."""
    shutil.copytree(committed, tmp_path / "tree")
    return load_bundle(tmp_path / "tree/out")


def test_a_bundle_is_summarized_with_the_digests_of_what_was_read(bundle: RunBundle, tmp_path: Path) -> None:
    found = summarize_ops_from_bundle(bundle.out_dir.parent, out_path=tmp_path / "ops.json")
    assert json.loads((tmp_path / "ops.json").read_text()) == found
    assert found["meta"]["source_jobs"] == ["runtime_bundle"]
    name = f"{bundle.out_dir.name}/runtime_events.normalized.json"
    assert found["meta"]["input_hashes"][name] == sha256(bundle.read("runtime_events.normalized.json"))
    assert found["ops"]["file-read-data"]["probes"] == 2
    assert found["meta"]["world_id"] == (bundle.run_manifest or {})["world_id"]


def test_a_damaged_bundle_is_summarized_only_when_asked(bundle: RunBundle) -> None:
    (bundle.out_dir / "summary.md").write_text("other")
    with pytest.raises(StoreError):
        summarize_ops_from_bundle(bundle.out_dir)
    found = summarize_ops_from_bundle(bundle.out_dir, strict=False)
    assert "not verified" in found["meta"]["notes"]
    assert found["ops"]["file-read-data"]["probes"] == 2


def test_a_dry_bundle_has_nothing_to_summarize(tmp_path: Path) -> None:
    tree = SeedTree(tmp_path / "dry")
    dry = run_plan(tree.plan, tree.root / "out", channel="direct", dry_run=True)
    with pytest.raises(BadPath, match=r"there is no runtime_events\.normalized\.json"):
        summarize_ops_from_bundle(dry.out_dir)


def test_a_packet_that_is_not_promotable_is_refused_unless_allowed(bundle: RunBundle) -> None:
    packet = bundle.out_dir.parent / "promotion_packet.json"
    emit_promotion_packet(bundle.out_dir, packet)
    with pytest.raises(NotPromotable, match="not_clean_channel"):
        summarize_ops_from_packet(packet)
    found = summarize_ops_from_packet(packet, require_promotable=False)
    assert found["meta"]["source_jobs"] == ["promotion_packet"]
    assert found["meta"]["input_hashes"]["promotion_packet.json"] == sha256(packet.read_bytes())
    assert found["ops"] == summarize_ops_from_bundle(bundle.out_dir)["ops"]


def test_what_a_packet_says_of_itself_is_not_believed(bundle: RunBundle) -> None:
    packet = bundle.out_dir.parent / "promotion_packet.json"
    doc = emit_promotion_packet(bundle.out_dir, packet)
    doc["promotability"] = {"promotable_decision_stage": True, "reasons": []}
    packet.write_text(json.dumps(doc))
    with pytest.raises(NotPromotable, match="not_clean_channel"):
        summarize_ops_from_packet(packet)


def test_a_packet_of_other_bytes_is_refused(bundle: RunBundle) -> None:
    packet = bundle.out_dir.parent / "promotion_packet.json"
    doc = emit_promotion_packet(bundle.out_dir, packet)
    doc["artifact_index"]["sha256"] = "0" * 64
    packet.write_text(json.dumps(doc))
    with pytest.raises(StoreCorrupt, match="not the bundle as"):
        summarize_ops_from_packet(packet, require_promotable=False)


def test_a_packet_without_its_bundle_leads_nowhere(bundle: RunBundle, tmp_path: Path) -> None:
    emit_promotion_packet(bundle.out_dir, tmp_path / "apart.json")
    with pytest.raises(BadPath, match="is not there"):
        summarize_ops_from_packet(tmp_path / "apart.json", require_promotable=False)
    with pytest.raises(BadPath, match="no such packet"):
        summarize_ops_from_packet(tmp_path / "gone.json")


def test_a_packet_with_the_seed_s_paths_finds_its_bundle(bundle: RunBundle) -> None:
    out = bundle.out_dir.parent
    packet = {"run_manifest": f"out/{bundle.out_dir.name}/run_manifest.json", "promotability": {}}
    (out / "packet.json").write_text(json.dumps(packet))
    assert summarize_ops_from_packet(out / "packet.json", require_promotable=False)["ops"]


@pytest.mark.parametrize(
    "packet",
    [
        {"run_id": "../x", "run_manifest": "run_manifest.json"},
        {"run_manifest": "../tree/out/run_manifest.json"},
        {"run_manifest": "/etc/run_manifest.json"},
    ],
)
def test_a_packet_leads_nowhere_else(bundle: RunBundle, packet: dict[str, str]) -> None:
    path = bundle.out_dir.parent / "packet.json"
    path.write_text(json.dumps(packet))
    with pytest.raises(BadPath, match="is not there"):
        summarize_ops_from_packet(path, require_promotable=False)


@pytest.mark.parametrize("text", ["[]", "{}", '{"run_manifest": 1}', "{"])
def test_what_is_no_packet_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "packet.json").write_text(text)
    with pytest.raises(BadJson):
        summarize_ops_from_packet(tmp_path / "packet.json")


def test_events_that_are_no_json_are_damage(bundle: RunBundle) -> None:
    (bundle.out_dir / "runtime_events.normalized.json").write_text("{")
    with pytest.raises(StoreCorrupt, match="not JSON"):
        summarize_ops_from_bundle(bundle.out_dir, strict=False)
