"""The seed's command line: every command by its own name and flags."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from seed_tree import PLAN, PROBES, PROFILES, SeedTree

from flowbuild.bundle.status import runtime_status
from flowbuild.evidence.__main__ import main
from flowbuild.graph.evidence import plan_digest


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SeedTree:
    made = SeedTree(tmp_path / "tree")
    monkeypatch.chdir(made.root)
    return made


class Said:
    """Runs command lines, and keeps what they print."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, line: str, code: int = 0) -> str:
        assert main(line.split()) == code
        said = self.capsys.readouterr()
        return said.out if code < 2 else said.err

    def json(self, line: str) -> Any:
        return json.loads(self(line))


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    return Said(capsys)


def test_a_sound_plan_and_registry(tree: SeedTree, said: Said) -> None:
    assert said("plan-lint --plan plan.json") == "[+] plan ok\n"
    assert said("registry-lint --registry small") == "[+] registry ok\n"
    assert said("registry-lint") == "[+] registry ok\n"


def test_findings_are_a_line_each_and_exit_1(tree: SeedTree, said: Said) -> None:
    tree.edit("plan.json", "profiles", value=["opne", "gone"])
    assert said("plan-lint --plan plan.json", 1).splitlines() == [
        "[!] plan.json:7:5: registry 'small' has no profile 'opne'; did you mean 'open'?",
        "[!] plan.json:8:5: registry 'small' has no profile 'gone'; known here: closed, open",
    ]
    tree.edit("registry/probes.json", "probes", "open:read", "target")
    assert said("registry-lint --registry small", 1) == "[!] registry/probes.json:6:5: a probe needs `target`\n"


def test_lists_and_descriptions_are_json(tree: SeedTree, said: Said) -> None:
    assert said.json("list-plans") == [
        {"plan_id": "small.v1", "registry_id": "small", "profiles": 2, "path": "plan.json"}
    ]
    assert [row["id"] for row in said.json("list-registries")] == ["small"]
    assert said.json("list-probes --registry small") == list(PROBES["probes"].values())
    assert said.json("list-profiles --registry small") == list(PROFILES["profiles"].values())
    assert said.json("describe-probe --registry small --probe open:read") == PROBES["probes"]["open:read"]
    assert said.json("describe-profile --registry small --profile open") == PROFILES["profiles"]["open"]
    described = said.json("describe-plan --plan plan.json")
    assert described == {"plan": PLAN, "path": "plan.json", "plan_digest": plan_digest(PLAN)}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "COMMAND"),
        ("plan-lnt --plan x", "invalid choice"),
        ("plan-lint", "--plan"),
        ("plan-lint --pla x", "--plan"),
        ("list-probes --registry gone", "there is no registry 'gone'"),
        ("describe-plan --plan gone.json", "there is no plan"),
        ("run --plan plan.json --channel secret", "invalid choice: 'secret' (choose from 'direct', 'clean', "),
        ("run --plan plan.json --lock-timeout-seconds nan", "'nan' is no number of seconds"),
        ("run --plan plan.json --lock-timeout-seconds=-1", "'-1' is no number of seconds"),
        ("run --plan gone.json", "there is no plan"),
        ("run --plan plan.json --only-profile opne", "did you mean 'open'"),
    ],
)
def test_what_is_asked_wrongly_is_exit_2(tree: SeedTree, said: Said, line: str, says: str) -> None:
    assert says in said(line, 2)


def test_upgrading_a_registry(tree: SeedTree, said: Said) -> None:
    assert "is there already" in said("registry-upgrade --registry small", 2)
    assert (
        said("registry-upgrade --registry small --out-dir new")
        == "[+] wrote new/probes.json\n[+] wrote new/profiles.json\n"
    )
    assert said("registry-upgrade --registry small --overwrite").count("[+] wrote") == 2


def test_a_run_from_its_plan_to_a_packet(tree: SeedTree, said: Said) -> None:
    wrote, moved = said("run --plan plan.json --channel direct").splitlines()
    run_id = Path("out/LATEST").read_text().strip()
    assert wrote == f"[+] wrote {tree.root}/out/{run_id}"
    assert moved == "[+] updated out/LATEST"
    assert said("validate-bundle --bundle out") == "[+] bundle ok\n"
    assert said("reindex-bundle --bundle out --strict") == "[+] bundle ok\n"
    assert said("emit-promotion --bundle out --out packet.json").splitlines() == [
        "[!] not promotable: ['not_clean_channel']",
        "[+] wrote packet.json",
    ]
    assert json.loads(Path("packet.json").read_text())["promotability"]["reasons"] == ["not_clean_channel"]
    main(["emit-promotion", "--bundle", "out", "--out", "strict.json", "--require-promotable"])
    assert not Path("strict.json").exists()
    assert said("emit-promotion --bundle out --out strict.json --require-promotable", 1) == ""


def test_a_dry_and_a_filtered_run_say_only_what_they_wrote(tree: SeedTree, said: Said) -> None:
    assert len(said("run --plan plan.json --dry --out results").splitlines()) == 1
    assert len(said("run --plan . --only-scenario open:read --lock-mode wait").splitlines()) == 1
    assert not Path("results/LATEST").exists() and not Path("out/LATEST").exists()


def test_a_damaged_bundle_is_found_and_repaired(tree: SeedTree, said: Said) -> None:
    said("run --plan plan.json --dry")
    (bundle,) = (path for path in Path("out").iterdir() if path.name[0] != ".")
    (bundle / "summary.json").write_text("{}")
    assert said(f"validate-bundle --bundle {bundle}", 1).startswith("[!] ")
    assert "summary.json" in said(f"reindex-bundle --bundle {bundle} --strict", 5)
    assert said(f"reindex-bundle --bundle {bundle} --repair") == "[+] bundle reindexed\n"
    assert said(f"reindex-bundle --bundle {bundle} --strict") == "[+] bundle ok\n"


@pytest.mark.parametrize("words", ["", "--strict --repair"])
def test_reindexing_needs_one_of_two_flags(tree: SeedTree, said: Said, words: str) -> None:
    assert "--repair" in said(f"reindex-bundle --bundle out {words}", 2)


def test_from_a_template_to_a_summary_of_what_may_be_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Said
) -> None:
    monkeypatch.chdir(tmp_path)
    if not runtime_status()["clean"]["works"]:
        pytest.skip("this host can't isolate: the channel clean does not work here")
    assert said("plan-build --template network-access --out e").count("[+] wrote") == 3
    assert said("plan-build --template network-access --out m --write-expected-matrix").count("[+] wrote") == 4
    assert "is there already" in said("plan-build --template network-access --out e", 2)
    assert said("run --plan e/plan.json --channel clean").count("[+]") == 2
    assert (
        said("emit-promotion --bundle e/out --out e/out/promotion_packet.json --require-promotable").count("[+]") == 1
    )
    assert said("summarize-ops --packet e/out/promotion_packet.json --out ops.json") == "[+] wrote ops.json\n"
    summary = json.loads(Path("ops.json").read_text())
    assert summary["meta"]["source_jobs"] == ["promotion_packet"]
    assert summary["ops"]["network-outbound"]["coverage_status"] == "ok"


def test_an_op_summary_needs_one_source_and_says_what_it_may_not_have(tree: SeedTree, said: Said) -> None:
    assert "--packet" in said("summarize-ops --out ops.json", 2)
    assert "not allowed" in said("summarize-ops --bundle out --packet p --out ops.json", 2)
    said("run --plan plan.json")
    said("emit-promotion --bundle out --out out/packet.json")
    assert "not_clean_channel" in told(said, "summarize-ops --packet out/packet.json --out ops.json", 1)
    assert not Path("ops.json").exists()
    assert said("summarize-ops --packet out/packet.json --allow-nonpromotable --out ops.json") == "[+] wrote ops.json\n"
    (bundle,) = (path for path in Path("out").iterdir() if path.is_dir() and path.name[0] != ".")
    (bundle / "summary.md").write_text("other")
    assert "summary.md" in said("summarize-ops --bundle out --out ops.json", 5)
    assert said("summarize-ops --bundle out --allow-unverified --out ops.json") == "[+] wrote ops.json\n"


def told(said: Said, line: str, code: int) -> str:
    """What a command line says on both streams."""
    assert main(line.split()) == code
    both = said.capsys.readouterr()
    return both.out + both.err


def test_templates_and_the_status_are_json(tree: SeedTree, said: Said) -> None:
    assert [row["template_id"] for row in said.json("list-templates")] == [
        "file-access",
        "hardened-runtime",
        "network-access",
        "path-aliases",
    ]
    assert said.json("status")["repo_root"] == str(tree.root)


def test_an_interrupted_run_is_committed_as_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Said
) -> None:
    monkeypatch.chdir(tmp_path)
    said("plan-build --template hardened-runtime --out e")
    command = [sys.executable, "-m", "flowbuild.evidence", "run", "--plan", "e/plan.json"]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        while not list(Path("e/out").glob("*/journal.jsonl")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    finally:
        process.kill()
    (bundle,) = (path for path in Path("e/out").iterdir() if path.is_dir() and path.name[0] != ".")
    assert json.loads((bundle / "run_status.json").read_text())["failure_stage"] == "cancelled"
    assert said(f"validate-bundle --bundle {bundle}") == "[+] bundle ok\n"
    assert not Path("e/out/LATEST").exists()
