"""`--policy verify` performs anew and compares; `--policy replay` does it from the last bundle."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from flowbuild.testing import Space

BUILD = """
targets:
  made: {rule: python, handler: make.py:made, outputs: {out: made.txt}}
  loud: {rule: exec, script: "tr a-z A-Z < ${{ inputs.i }} > ${{ outputs.o }}", inputs: {i: ":made"}, outputs: {o: loud.txt}}
  report: {rule: run, targets: [":loud"]}
"""
STABLE = "def made(out): out.write_text('same')\n"
FICKLE = "import os\ndef made(out): out.write_text(os.urandom(4).hex())\n"


@pytest.fixture
def report(space: Space) -> Space:
    space.write("BUILD.yaml", BUILD)
    space.write("make.py", STABLE)
    return space


def latest(space: Space) -> str:
    return (space.root / "out/report/LATEST").read_text()


@pytest.mark.parametrize("label", ["//:loud", "//:report"])
def test_what_comes_to_the_same_is_verified(report: Space, label: str) -> None:
    report.build(label)
    ran = report.run(label, "--policy", "verify")
    assert (ran.code, ran.performed) == (0, 2), ran
    assert "verified: 2 equal\n" in ran.out
    assert report.build(label).performed == 0


def test_what_does_not_is_named_and_what_follows_is_told_apart(report: Space) -> None:
    report.write("make.py", FICKLE)
    report.build("//:report")
    first = latest(report)
    ran = report.run("//:report", "--policy", "verify")
    assert ran.code == 1, ran
    assert "  differs    //:made" in ran.out and re.search("  changed    //:loud .*since //:made differs\n", ran.out)
    assert "verified: 0 equal, 1 differs, 1 changed\n" in ran.out
    told = re.search(
        r"first apart: //:made, event (\d+) \(outcome_recorded\) of (\w{8})\n  flowbuild (.*--first) ", ran.out
    )
    assert told is not None and told[2] == first[:8]
    event = json.loads((report.root / "out/report" / first.strip() / "journal.jsonl").read_text().splitlines()[int(told[1]) - 1])  # fmt: skip
    assert event["event"]["Domain"]["name"] == "outcome_recorded"
    parted = report.run(*told[3].split())
    assert parted.code == 1 and "first apart: //:made call, the first of all" in parted.out
    assert "it depends on something that is not in its key" in parted.out
    assert latest(report) == first
    rows = [json.loads(line) for line in report.run("//:report", "--policy", "verify", "--json").out.splitlines()]
    found = {row["label"]: row["found"] for row in rows if "found" in row}
    assert found == {"//:made": "differs", "//:loud": "changed"}


def test_what_was_never_built_or_was_edited_can_t_be_verified(report: Space) -> None:
    never = report.run("//:made", "--policy", "verify")
    assert never.code == 1 and "was never built" in never.out
    report.build("//:made")
    report.write("make.py", STABLE + "# edited\n")
    edited = report.run("//:made", "--policy", "verify")
    assert edited.code == 1 and "is another action than last time" in edited.out


def test_a_deed_is_not_done_again_to_compare(report: Space, tmp_path: Path) -> None:
    deeds = tmp_path / "deeds"
    report.write("BUILD.yaml", f"targets:\n  deed: {{rule: exec, script: 'echo x >> {deeds}; echo > ${{{{ outputs.o }}}}', side_effects: apply_side_effect, outputs: {{o: o}}}}\n")  # fmt: skip
    assert report.run("//:deed").code == 0
    ran = report.run("//:deed", "--policy", "verify")
    assert ran.code == 1 and "is not done again to compare" in ran.out
    assert deeds.read_text() == "x\n"


def test_a_deed_with_a_key_stands_as_it_is_and_what_needs_it_is_verified(report: Space, tmp_path: Path) -> None:
    deeds = tmp_path / "deeds"
    report.write("BUILD.yaml", f"""
        targets:
          made: {{rule: python, handler: make.py:made, outputs: {{out: made.txt}}}}
          deed: {{rule: exec, script: 'echo x >> {deeds}; echo > ${{{{ outputs.o }}}}', inputs: {{i: ":made"}}, side_effects: apply_side_effect, idempotency_key: k, outputs: {{o: o}}}}
          after: {{rule: exec, script: 'cp ${{{{ inputs.i }}}} ${{{{ outputs.o }}}}', inputs: {{i: ":deed"}}, outputs: {{o: o}}}}
          report: {{rule: run, targets: [":after"]}}
        """)  # fmt: skip
    report.write("make.py", FICKLE)
    assert report.run("//:report").code == 0
    ran = report.run("//:report", "--policy", "verify")  # another input, which would be another deed
    assert ran.code == 1 and "verified: 1 equal, 1 differs, 1 unverified\n" in ran.out, ran
    assert re.search("  unverified //:deed .*is not done again to compare; what it came to stands\n", ran.out)
    report.write("make.py", STABLE)
    report.write("BUILD.yaml", report.read("BUILD.yaml").replace("key: k", "key: l"))
    assert report.run("//:report").code == 0
    ran = report.run("//:report", "--policy", "verify")
    assert ran.code == 0 and "verified: 2 equal, 1 unverified\n" in ran.out, ran
    assert deeds.read_text() == "x\nx\n"


def test_the_policy_replay_takes_the_last_bundle(report: Space) -> None:
    report.build("//:report")
    ran = report.run("//:report", "--policy", "replay")
    assert ran.code == 0 and "2 equal" in ran.out
    plain = report.run("//:loud", "--policy", "replay")
    assert plain.code == 2 and "no run is asked for" in plain.err
