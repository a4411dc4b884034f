"""run_plan: the seed's documents become bundles, as those of a `run` target do."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from seed_tree import SeedTree, probe, profile

from flowbuild.bundle.inventory import build_runtime_inventory
from flowbuild.bundle.op_source import summarize_ops_from_bundle
from flowbuild.bundle.op_summary import write_op_runtime_summary
from flowbuild.bundle.plan_run import run_plan
from flowbuild.bundle.read import RunBundle, load_bundle, validate_bundle
from flowbuild.core.errors import BadPath, CapabilitiesMismatch, Faults, StoreConflict, UnknownName
from flowbuild.graph.evidence import plan_digest
from flowbuild.run.channel import ChannelSpec, LockMode
from flowbuild.testing import Space


@pytest.fixture
def tree(tmp_path: Path) -> SeedTree:
    return SeedTree(tmp_path / "tree")


def run(tree: SeedTree, **more: object) -> RunBundle:
    return run_plan(tree.plan, tree.root / "out", **{"channel": "direct", **more})  # type: ignore[arg-type]


def latest(tree: SeedTree) -> str | None:
    file = tree.root / "out/LATEST"
    return file.read_text().strip() if file.exists() else None


def test_documents_become_a_bundle_that_loads(tree: SeedTree) -> None:
    bundle = run(tree)
    assert bundle.out_dir == tree.root / "out" / str(bundle.index and bundle.index.run_id)
    assert latest(tree) == bundle.out_dir.name
    assert load_bundle(tree.root / "out").out_dir == bundle.out_dir
    assert validate_bundle(tree.root / "out") == (True, ())
    summary = bundle.document("summary.json")
    assert (summary["plan_id"], summary["plan_digest"]) == ("small.v1", plan_digest(tree.docs["plan.json"]))
    assert (summary["profile_count"], summary["scenario_count"], summary["channel"]) == (2, 3, "direct")
    assert bundle.document("plan.json") == tree.docs["plan.json"]
    assert bundle.document("probes.json") == tree.docs["registry/probes.json"]
    assert bundle.document("profiles/closed.json")["restrict"] == {"exec": "deny"}
    rows = {row["expectation_id"]: row for row in bundle.document("runtime_events.normalized.json")}
    assert rows["open:read"]["actual"] == "allow"
    assert rows["closed:shell"]["actual"] in ("deny", None)  # a host that can't forbid exec says blocked


def test_documents_run_in_clean_answer_as_in_direct_or_are_blocked(tree: SeedTree) -> None:
    """A tree without a workspace, the channel's preflight, and a plan that leaves no lane out but the oracle."""
    direct, clean = run(tree), run(tree, channel="clean")
    record = clean.document("apply_preflight.json")
    assert (record["channel"], clean.document("run_manifest.json")["channel"]) == ("clean", "clean")
    answers = [
        {row["expectation_id"]: row.get("actual") for row in bundle.document("runtime_events.normalized.json")}
        for bundle in (direct, clean)
    ]
    assert answers[0] == answers[1] if record["apply_ok"] else set(answers[1].values()) == {None}


def test_every_run_is_a_run_of_its_own(tree: SeedTree) -> None:
    first, second = run(tree), run(tree)
    assert first.out_dir != second.out_dir
    assert latest(tree) == second.out_dir.name
    names = {line["event"]["Domain"]["name"] for line in journal(second) if "Domain" in line["event"]}
    assert "reused" not in names and "action_bound" in names


def journal(bundle: RunBundle) -> list[dict[str, dict[str, dict[str, str]]]]:
    return [json.loads(line) for line in bundle.read("journal.jsonl").splitlines()]


def test_nothing_is_written_but_below_the_output_root(tree: SeedTree) -> None:
    before = sorted(path for path in tree.root.rglob("*"))
    run(tree)
    assert sorted(path for path in tree.root.rglob("*") if not path.is_relative_to(tree.root / "out")) == before


def test_a_dry_run_asks_nothing_and_says_so(tree: SeedTree) -> None:
    bundle = run(tree, dry_run=True)
    summary = bundle.document("summary.json")
    assert (summary["status"], summary["dry_run"]) == ("dry", True)
    assert summary["lanes"] == {"baseline": False, "scenario": False, "oracle": False}
    assert (bundle.status or {})["state"] == "complete"
    assert latest(tree) is None
    assert not any(
        bundle.has(name) for name in ("runtime_results.json", "baseline_results.json", "apply_preflight.json")
    )
    assert set(bundle.document("expected_matrix.json")["profiles"]) == {"open", "closed"}
    assert [next(iter(line["event"]["Kernel"])) for line in journal(bundle)] == ["RunStarted", "RunCompleted"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"only_profiles": ["open"]}, {"open:read"}),
        ({"only_scenarios": ["closed:shell"]}, {"closed:shell"}),
        ({"only_profiles": ["closed"], "only_scenarios": ["closed:read"]}, {"closed:read"}),
    ],
)
def test_filters_leave_what_they_name_and_never_move_latest(
    tree: SeedTree, filters: dict[str, list[str]], expected: set[str]
) -> None:
    bundle = run(tree, **filters)
    assert {row["expectation_id"] for row in bundle.document("runtime_events.normalized.json")} == expected
    assert (bundle.status or {})["state"] == "complete"
    assert latest(tree) is None


@pytest.mark.parametrize(
    ("filters", "says"),
    [
        ({"only_profiles": ["opne"]}, "no profile 'opne'; did you mean 'open'"),
        ({"only_scenarios": ["read"]}, "no scenario 'read'"),
        ({"only_profiles": ["open"], "only_scenarios": ["closed:read"]}, "leave nothing of the plan"),
    ],
)
def test_a_filter_of_nothing_leaves_no_run_behind(tree: SeedTree, filters: dict[str, list[str]], says: str) -> None:
    with pytest.raises(UnknownName, match=says):
        run(tree, **filters)
    assert not (tree.root / "out").exists()


def test_what_is_wrong_is_told_at_once_and_nothing_is_written(tree: SeedTree) -> None:
    tree.edit("registry/probes.json", "probes", "open:read", "surprise", value=1)
    tree.edit("registry/profiles.json", "profiles", "closed", "probe_refs", value=["gone"])
    with pytest.raises(Faults) as found:
        run(tree)
    assert len(found.value.exceptions) == 2
    assert not (tree.root / "out").exists()


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS applies such a policy")
@pytest.mark.parametrize("mode", ["sbpl", "blob"])
def test_a_policy_of_another_host_is_blocked_at_apply(tree: SeedTree, mode: str) -> None:
    tree.edit("registry/probes.json", "probes", "mac:look", value=probe("mac:look", "mach-lookup", "x.y"))
    tree.edit("registry/profiles.json", "profiles", "mac", value=profile("mac", "policies/mac", "mac:look", mode=mode))
    tree.edit("plan.json", "profiles", value=["mac"])
    tree.write("registry/policies/mac", "(version 1)\n(allow default)\n")
    bundle = run(tree)
    (row,) = bundle.document("runtime_events.normalized.json")
    assert (row["failure_stage"], row["failure_kind"]) == ("apply", "policy_unavailable")
    assert "actual" not in row
    assert row["policy_layers"]["process_policy"]["decision"] == "unknown"
    assert bundle.document("summary.json")["status"] == "partial"
    assert bundle.document("mismatch_summary.json")["counts"] == {"apply_gate": 1}
    assert bundle.document("profiles/mac.json")["mode"] == mode


def test_a_held_output_root_is_refused(tree: SeedTree) -> None:
    with ChannelSpec().held(tree.root / "out"), pytest.raises(StoreConflict, match="runtime bundle is locked"):
        run(tree, dry_run=True)
    with (
        ChannelSpec().held(tree.root / "out"),
        pytest.raises(StoreConflict, match="runtime lock timeout"),
    ):
        run(tree, dry_run=True, channel=ChannelSpec(lock_mode=LockMode.WAIT, lock_timeout_seconds=0.1))
    assert run(tree, dry_run=True, channel=ChannelSpec(lock=False)).status is not None


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has this channel")
def test_a_channel_of_another_host_is_refused_with_the_one_to_use(tree: SeedTree) -> None:
    with pytest.raises(CapabilitiesMismatch, match="--channel clean"):
        run(tree, channel="launchd_clean")
    assert not (tree.root / "out").exists()


def test_a_channel_that_is_none_is_a_value_error(tree: SeedTree) -> None:
    with pytest.raises(ValueError, match="secret"):
        run(tree, channel="secret")


def test_a_target_s_plan_is_run_by_its_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space(tmp_path / "w")
    space.write(
        "e/BUILD.yaml",
        """
        targets:
          probes:
            rule: registry
            probes: {read: {operation: file-read-data, target: /etc/hosts}}
            profiles: {open: {restrict: {}}}
          plan: {rule: plan, registry: //e:probes, profiles: [open]}
        """,
    )
    monkeypatch.chdir(space.root)
    bundle = run_plan("//e:plan", "results", channel="direct")
    assert bundle.out_dir.parent == space.root / "results"
    assert bundle.document("summary.json")["status"] == "ok"
    assert (space.root / ".flowbuild").is_dir() and not (space.root / "results/.flowbuild").exists()


LANE_FILES = {
    "baseline": {"baseline_results.json"},
    "scenario": {"runtime_results.json", "runtime_events.normalized.json"},
    "oracle": {"oracle_results.json"},
}


@pytest.mark.parametrize("lane", LANE_FILES)
def test_a_lane_writes_its_own_files_and_no_other_s(tree: SeedTree, lane: str) -> None:
    tree.edit("plan.json", "lanes", value={name: name == lane for name in LANE_FILES})
    bundle = run(tree)
    present = {name for names in LANE_FILES.values() for name in names if bundle.has(name)}
    assert present == LANE_FILES[lane]
    assert bundle.document("summary.json")["lanes"] == {name: name == lane for name in LANE_FILES}
    assert validate_bundle(bundle.out_dir) == (True, ())


def test_a_lane_that_is_not_mentioned_runs(tree: SeedTree) -> None:
    tree.edit("plan.json", "lanes", value={"scenario": False})
    bundle = run(tree)
    assert bundle.has("baseline_results.json") and bundle.has("oracle_results.json")
    assert not bundle.has("runtime_results.json")


def test_the_oracle_answers_unknown_for_a_language_that_is_not_ours(tree: SeedTree) -> None:
    tree.edit(
        "registry/profiles.json", "profiles", "mac", value=profile("mac", "policies/mac", "open:read", mode="sbpl")
    )
    tree.edit("plan.json", "profiles", value=["mac", "closed"])
    tree.edit("plan.json", "lanes", value={"baseline": False, "scenario": False, "oracle": True})
    tree.write("registry/policies/mac", "(version 1)\n(deny default)\n")
    results = run(tree).document("oracle_results.json")["results"]
    decisions = {row["expectation_id"]: row["decision"] for row in results}
    assert decisions == {"open:read": "unknown", "closed:read": "allow", "closed:shell": "deny"}


def test_a_lane_leaves_out_the_probes_that_do_not_support_it(tree: SeedTree) -> None:
    tree.edit("registry/probes.json", "probes", "closed:read", "supports_lanes", "scenario", value=False)
    tree.edit("registry/probes.json", "probes", "closed:shell", "supports_lanes", "baseline", value=False)
    bundle = run(tree)
    rows = bundle.document("runtime_events.normalized.json")
    assert {row["expectation_id"] for row in rows} == {"open:read", "closed:shell"}
    assert {row["probe_name"] for row in bundle.document("baseline_results.json")["results"]} == {"read"}
    assert bundle.document("runtime_results.json")["closed"]["status"] in ("ok", "blocked")
    assert (bundle.status or {})["state"] == "complete"


def test_nothing_is_written_into_a_bundle(tree: SeedTree) -> None:
    bundle = run(tree)
    (tree.root / "way").symlink_to(bundle.out_dir)
    attempts: list[Callable[[Path], object]] = [
        lambda at: run_plan(tree.plan, at, channel="direct", dry_run=True),
        lambda at: run_plan(tree.plan, at / "more/out", channel="direct", dry_run=True),
        lambda at: summarize_ops_from_bundle(bundle.out_dir, out_path=at / "ops.json"),
        lambda at: write_op_runtime_summary({}, at / "ops.json"),
        lambda at: build_runtime_inventory(tree.root, at / "inventory.json"),
    ]
    for attempt in attempts:
        for at in (bundle.out_dir, bundle.out_dir / "objects", tree.root / "way"):
            with pytest.raises(BadPath, match="lies in the bundle"):
                attempt(at)
    assert validate_bundle(bundle.out_dir) == (True, ())


@pytest.mark.parametrize("mode", ["restrict", "sbpl"])
def test_a_policy_that_is_a_link_out_of_the_tree_is_in_no_bundle(tree: SeedTree, tmp_path: Path, mode: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text('{"restrict": {}, "key": "secret"}')
    tree.edit("registry/profiles.json", "profiles", "closed", "mode", value=mode)
    policy = tree.root / "registry" / tree.docs["registry/profiles.json"]["profiles"]["closed"]["profile_path"]
    policy.unlink()
    policy.symlink_to(secret)
    with pytest.raises((BadPath, Faults)) as refused:
        run(tree)
    told = refused.value.exceptions if isinstance(refused.value, Faults) else [refused.value]
    assert any("is a link that leads out of the tree" in str(one) for one in told)
    assert not (tree.root / "out").exists()
    policy.unlink()
    inside = tree.write("registry/policies/other.json", json.dumps(tree.docs["registry/policies/closed.json"]))
    policy.symlink_to(inside.name)
    tree.edit("registry/profiles.json", "profiles", "closed", "mode", value="restrict")
    assert run(tree).out_dir.is_dir()
