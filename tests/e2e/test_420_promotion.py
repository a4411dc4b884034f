"""From a committed run to a promotion that somebody else verifies, by the real program."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flowbuild.bundle.read import load_bundle
from flowbuild.testing import Ran, Space
from tests.unit.bundle.evidence_sample import agreeing, sample
from tests.unit.bundle.sample_bundle import commit, edit, snapshot

needs_sign = pytest.mark.skipif(
    subprocess.run([sys.executable, "-c", "import securesystemslib, cryptography"], capture_output=True).returncode
    != 0,
    reason="the extra `sign` is not installed: pip install '.[sign]'",
)

LAB = """
targets:
  probes:
    rule: registry
    probes:
      read-outside: {operation: file-read-data, target: outside/file}
      read-variable: {operation: environment-read, target: FLOWBUILD_PLANTED}
    profiles:
      unrestricted: {restrict: {}}
      scrubbed: {restrict: {environment: scrub}, denies: [read-variable]}
  plan: {rule: plan, registry: //lab:probes, profiles: [unrestricted, scrubbed]}
  run: {rule: run, plan: //lab:plan}
  noise: {rule: exec, command: echo, outputs: {o: o}}
"""
RUN = "//lab:run"


@pytest.fixture
def lab(space: Space) -> Space:
    """A workspace with one direct run."""
    space.write("lab/BUILD.yaml", LAB)
    assert space.run(RUN).code == 0
    return space


def out(space: Space) -> Path:
    return space.root / "out/lab/run"


def clean(space: Space) -> Path:
    """A promotable bundle in the place of the lab's."""
    return commit(space.root / "out/lab/run")


def says(ran: Ran, code: int, *texts: str) -> None:
    assert ran.code == code, ran
    for text in texts:
        assert text in ran.out + ran.err, ran
    assert "Traceback" not in ran.err, ran


def test_every_name_of_a_bundle_leads_to_it(lab: Space) -> None:
    bundle = load_bundle(out(lab)).out_dir
    for name in (RUN, "out/lab/run", str(bundle)):
        says(lab.run("bundle", "validate", name), 0, "whole")
    says(lab.run("-C", "lab", "bundle", "validate", ":run"), 0, "whole")
    says(lab.run("-C", "lab", "bundle", "validate", "../out/lab/run"), 0, "whole")
    (said,) = [json.loads(line) for line in lab.run("bundle", "validate", RUN, "--json").out.splitlines()]
    assert said == {"bundle": "out/lab/run", "ok": True, "errors": []}
    says(lab.run("bundle", "summarize", RUN), 0, "# //lab:plan: ok", "scrubbed")
    assert json.loads(lab.run("bundle", "summarize", RUN, "--json").out)["plan_id"] == "//lab:plan"
    says(lab.run("bundle", "reindex", RUN, "--strict"), 0, "ok")


def test_what_means_no_bundle_is_said_kindly(lab: Space) -> None:
    says(lab.run("bundle", "validate", "nowhere"), 2, "nowhere: there is no such directory")
    says(lab.run("bundle", "validate", "//lab:noise"), 2, "is no run target")
    says(lab.run("bundle", "validate", "//lab:rum"), 2, "did you mean")
    says(lab.run("bundle", "reindex", RUN), 2, "one of --strict and --repair")
    says(lab.run("bundle", "reindex", RUN, "--strict", "--repair"), 2, "one of --strict and --repair")
    says(lab.run("bundle", "validat", RUN), 2, "validate")
    shutil.rmtree(lab.root / "out")
    says(lab.run("bundle", "validate", RUN), 2, "//lab:run has no bundle yet")


def test_damage_is_named_with_exit_5_and_nothing_is_written(lab: Space) -> None:
    bundle = load_bundle(out(lab)).out_dir
    (bundle / "summary.md").write_text("all is well")
    (bundle / "notes").write_text("")
    before = snapshot(lab.root / "out")
    says(
        lab.run("bundle", "validate", RUN),
        5,
        f"{bundle.relative_to(lab.root)}/summary.md: file_size mismatch",
        f"{bundle.relative_to(lab.root)}/notes: a file",
        "2 faults",
    )
    for words in (("reindex", RUN, "--strict"), ("summarize", RUN), ("promote", RUN)):
        says(lab.run("bundle", *words), 5, "summary.md: file_size mismatch")
    assert snapshot(lab.root / "out") == before
    (bundle / "notes").unlink()
    says(lab.run("bundle", "reindex", RUN, "--repair"), 0, "repaired", "digest_mismatches  summary.md")
    says(lab.run("bundle", "validate", RUN), 0)
    says(lab.run("bundle", "promote", RUN), 1, "bundle_integrity_unverified")


def test_a_direct_run_is_refused(lab: Space) -> None:
    before = snapshot(lab.root / "out")
    says(lab.run("bundle", "promote", RUN, "--require-promotable"), 1, "not promotable: not_clean_channel")
    assert snapshot(lab.root / "out") == before
    says(lab.run("bundle", "promote", RUN), 1, "not promotable: not_clean_channel", "promotion_packet.json")
    packet = json.loads((out(lab) / "promotion_packet.json").read_text())
    assert packet["promotability"]["reasons"] == ["not_clean_channel"]
    assert not (out(lab) / "promotion_packet.intoto.jsonl").exists()
    assert lab.run(RUN).performed == 0  # what lies beside a bundle is no part of it


def test_a_run_in_progress_or_killed_is_refused(lab: Space) -> None:
    bundle = load_bundle(out(lab)).out_dir
    edit(bundle / "run_status.json", lambda doc: doc.update(state="in_progress"))
    for words in (("validate",), ("promote",), ("reindex", "--repair")):
        says(lab.run("bundle", words[0], RUN, *words[1:]), 5, "in progress")
    (bundle / "artifact_index.json").unlink()
    says(lab.run("bundle", "promote", RUN), 5)


@needs_sign
def test_a_promotion_is_signed_and_verified_elsewhere(lab: Space, tmp_path: Path) -> None:
    bundle = clean(lab)
    made = lab.run("key", "new", str(tmp_path / "release.key"))
    says(made, 0, "key id")
    key_id = made.out.split()[-1]
    says(lab.run("bundle", "promote", RUN, "--key", str(tmp_path / "release.key"), "--require-promotable"), 0, key_id)
    moved = tmp_path / "elsewhere"
    shutil.copytree(out(lab), moved)
    (moved / "policy.yaml").write_text(f"keys: [{key_id}]\nchannels: [clean]\n")
    words = [
        "bundle",
        "verify",
        "promotion_packet.json",
        "--key",
        str(tmp_path / "release.pub"),
        "--policy",
        "policy.yaml",
    ]
    other = Space(tmp_path / "other")  # another workspace, which knows nothing of the first
    says(other.run("-C", str(moved), *words), 0, f"{bundle.name}: verified")
    (moved / bundle.name / "summary.md").write_text("all is well")
    says(other.run("-C", str(moved), *words), 1, "summary.md: file_size mismatch", "not verified")
    said = json.loads(other.run("-C", str(moved), *words, "--json").out)
    assert said["ok"] is False and any("summary.md" in finding for finding in said["findings"])


@needs_sign
def test_a_run_by_the_clean_channel_is_promotable_in_earnest(lab: Space, tmp_path: Path) -> None:
    """Nothing here is made up: the kernel confined each probe, and the packet follows from what the preflight met."""
    ran = lab.run(RUN, "--channel", "clean")
    if ran.code == 3:
        pytest.skip(f"this host can't isolate: {ran.err}")
    assert ran.code == 0, ran
    packet = json.loads((clean_packet := lab.run("bundle", "promote", RUN, "--json")).out or "{}")
    if packet["promotability"]["reasons"] == ["already_sandboxed"]:
        pytest.skip("this host's processes are in a sandbox already")
    assert clean_packet.code == 0, packet["promotability"]
    lab.run("key", "new", str(tmp_path / "k"))
    says(lab.run("bundle", "promote", RUN, "--key", str(tmp_path / "k"), "--require-promotable"), 0, "signed by")
    shutil.move(out(lab), tmp_path / "moved")
    says(lab.run("-C", str(tmp_path), "bundle", "verify", "moved", "--key", "k.pub"), 0, "verified")


@needs_sign
def test_it_is_verified_with_the_network_cut(lab: Space, tmp_path: Path) -> None:
    if subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode != 0:
        pytest.skip("this host has no namespaces for us")
    clean(lab)
    lab.run("key", "new", str(tmp_path / "k"))
    says(lab.run("bundle", "promote", RUN, "--key", str(tmp_path / "k")), 0)
    words = [sys.executable, "-m", "flowbuild", "bundle", "verify", RUN, "--key", str(tmp_path / "k.pub")]
    done = subprocess.run(["unshare", "-rn", *words], cwd=lab.root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_sign
def test_a_private_key_is_nowhere_but_in_its_file(lab: Space, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    clean(lab)
    printed = [lab.run("key", "new", str(tmp_path / "k"))]
    for place in (RUN, "out/lab/run"):
        printed.append(lab.run("bundle", "promote", place, "--key", str(tmp_path / "k")))
    printed.append(lab.run("bundle", "verify", RUN, "--key", str(tmp_path / "k")))  # the private one, by mistake
    printed.append(lab.run(RUN, "--policy", "live"))  # the cache and the logs are used beside the key
    pem = (tmp_path / "k").read_bytes()
    seed = load_pem_private_key(pem, None).private_bytes_raw()
    forms = [pem.splitlines()[1], seed, seed.hex().encode(), base64.b64encode(seed).rstrip(b"=")]
    texts = [(ran.out + ran.err).encode() for ran in printed]
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path != tmp_path / "k"]
    assert len(files) > 50
    found = [str(path) for path in files for form in forms if form in path.read_bytes()]
    assert found == [] and not any(form in text for text in texts for form in forms)
    assert (tmp_path / "k").stat().st_mode & 0o777 == 0o600


@needs_sign
@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_a_private_key_is_its_owner_s_whatever_the_umask(space: Space, tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        says(space.run("key", "new", str(tmp_path / "k")), 0)
    finally:
        os.umask(before)
    assert (tmp_path / "k").stat().st_mode & 0o777 == 0o600


@needs_sign
def test_a_trailing_slash_is_a_directory_that_may_have_to_be_made(space: Space, tmp_path: Path) -> None:
    for _ in range(2):
        made = space.run("key", "new", f"{tmp_path}/a/keys/", "--json")
        assert made.code == 0 and json.loads(made.out)["private"] == f"{tmp_path}/a/keys/flowbuild.key"
        assert (tmp_path / "a/keys").stat().st_mode & 0o777 == 0o700
        (tmp_path / "a/keys/flowbuild.key").unlink()
        (tmp_path / "a/keys/flowbuild.pub").unlink()


@needs_sign
def test_no_key_is_made_in_a_workspace_or_over_another(space: Space, tmp_path: Path) -> None:
    (space.root / "keys").mkdir()
    for place in ("keys", "keys/k", "more/keys/", "."):
        says(space.run("key", "new", place), 2, "lies in the workspace", "could take the key for an input")
    (tmp_path / "k.pub").write_text("mine")
    says(space.run("key", "new", str(tmp_path / "k")), 2, "is there already")
    assert (tmp_path / "k.pub").read_text() == "mine" and not (tmp_path / "k").exists()
    assert not (space.root / "more").exists()
    says(space.run("key"), 2, "new")


@needs_sign
def test_words_that_mean_nothing_are_refused(lab: Space, tmp_path: Path) -> None:
    clean(lab)
    lab.run("key", "new", str(tmp_path / "k"))
    key, public = str(tmp_path / "k"), str(tmp_path / "k.pub")
    says(lab.run("bundle", "promote", RUN, "--key", "none"), 2, "there is no such key")
    says(lab.run("bundle", "promote", RUN, "--key", public), 2, "not a private ed25519 key")
    says(lab.run("bundle", "verify", RUN, "--key", public), 2, "there is no such packet")
    says(
        lab.run("bundle", "promote", RUN, "--key", key, "--out", str(load_bundle(out(lab)).out_dir)),
        2,
        "lies in the bundle",
    )
    says(
        lab.run("bundle", "promote", RUN, "--key", key, "--out", "elsewhere/new"),
        0,
        "elsewhere/new/promotion_packet.json",
    )
    says(lab.run("bundle", "verify", "elsewhere/new", "--key", public), 2, "the bundle is not there", "--bundle")
    says(
        lab.run("bundle", "verify", "elsewhere/new", "--key", public, "--bundle", str(load_bundle(out(lab)).out_dir)), 0
    )
    says(lab.run("bundle", "verify", "elsewhere/new", "--key", public, "--bundle", RUN), 0)
    says(lab.run("bundle", "verify", "elsewhere/new"), 2, "--key")
    lab.write("policy.yaml", "chanels: [clean]\n")
    says(
        lab.run("bundle", "verify", "elsewhere/new", "--key", public, "--policy", "policy.yaml"),
        2,
        "policy.yaml:1:1",
        "did you mean 'channels'?",
    )


@needs_sign
def test_an_older_run_is_verified_after_latest_moved_on(lab: Space, tmp_path: Path) -> None:
    bundle = clean(lab)
    lab.run("key", "new", str(tmp_path / "k"))
    says(lab.run("bundle", "promote", RUN, "--key", str(tmp_path / "k")), 0)
    assert lab.run(RUN, "--policy", "live").code == 0
    assert (out(lab) / "LATEST").read_text().strip() != bundle.name
    says(lab.run("bundle", "verify", RUN, "--key", str(tmp_path / "k.pub")), 0, f"{bundle.name}: verified")


@needs_sign
def test_a_promotion_target_is_signed_and_verified_by_its_label(lab: Space, tmp_path: Path) -> None:
    lab.run("key", "new", str(tmp_path / "k"))
    target = f"  promotion: {{rule: promotion, run: //lab:run, key: {tmp_path}/k}}\n"
    lab.write("lab/BUILD.yaml", LAB + target)
    ran = lab.run("//lab:promotion", "--channel", "clean")
    if ran.code == 3 or "not promotable" in ran.out:
        pytest.skip(f"this host can't isolate: {ran.out}{ran.err}")
    says(ran, 0, "promotion_packet.json, promotion_packet.intoto.jsonl")
    says(lab.run("bundle", "verify", "//lab:promotion", "--key", str(tmp_path / "k.pub")), 0, "verified")
    says(lab.run("bundle", "validate", "//lab:promotion"), 0, "whole")
    before = (lab.root / "out/bin/lab/promotion/promotion_packet.intoto.jsonl").read_bytes()
    lab.run("clean")
    assert lab.run("//lab:promotion", "--channel", "clean").performed == 0
    shown = (lab.root / "out/bin/lab/promotion/promotion_packet.intoto.jsonl").read_bytes()
    assert shown.splitlines()[:2] == before.splitlines()[:2]  # the third tells the time of signing


@needs_sign
def test_a_policy_decides_over_probes_that_differ(space: Space, tmp_path: Path) -> None:
    commit(space.root / "runs", sample(channel="clean"))
    space.run("key", "new", str(tmp_path / "k"))
    says(space.run("bundle", "promote", "runs", "--key", str(tmp_path / "k")), 0)
    words = ["bundle", "verify", "runs", "--key", str(tmp_path / "k.pub")]
    says(space.run(*words), 1, "staged-only.signal is not as expected", "no-network.signal is blocked")
    allowed = ["staged-only.signal", *(f"no-network.{probe}" for probe in ("read-outside", "tcp-connect", "signal"))]
    space.write("policy.yaml", json.dumps({"mismatches": allowed}))
    says(space.run(*words, "--policy", "policy.yaml"), 0, "verified")
    assert agreeing().run_id in space.run(*words, "--policy", "policy.yaml").out
