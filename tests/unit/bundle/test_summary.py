"""The run in words: the phrase for the console, the reasons, and the page."""

from __future__ import annotations

from pathlib import Path

from flowbuild.bundle.documents import documents
from flowbuild.bundle.lanes import Evidence
from flowbuild.bundle.summary import headline, reasons

from .evidence_sample import agreeing, row, sample


def text(evidence: Evidence) -> str:
    return documents(evidence)["summary.md"].decode()


def test_headlines() -> None:
    assert headline(agreeing()) == "9 agree"
    assert headline(sample()) == "5 agree, 1 differ, 3 blocked"
    assert headline(agreeing(scenario={})) == "3 answered"
    assert headline(agreeing(dry_run=True, scenario={})) == "9 would be asked"


def test_the_restriction_that_could_not_be_applied_is_named_in_one_sentence() -> None:
    assert reasons(agreeing()) == []
    assert reasons(sample()) == [
        "signal in profile staged-only: expected allow, seen deny (EPERM)",
        "3 blocked in profile no-network (network:deny could not be applied: "
        "landlock ABI 3 unavailable, seccomp unavailable (ENOSYS))",
    ]


def test_a_probe_that_timed_out_says_so_in_either_lane() -> None:
    late = row("signal", "unrestricted", None, failure_stage="probe", failure_kind="timeout")
    scenario = {**agreeing().scenario, "unrestricted": (*agreeing().scenario["unrestricted"][:2], late)}
    stuck = (*agreeing().baseline[:2], row("signal", None, None, failure_stage="probe", failure_kind="timeout"))
    assert reasons(agreeing(scenario=scenario, baseline=stuck)) == [
        "1 blocked in profile unrestricted (timeout at probe)",
        "1 blocked in the baseline lane (signal: timeout at probe)",
    ]


def test_the_page_reads_as_it_did() -> None:
    assert text(sample()) == (Path(__file__).parent / "summary.golden.md").read_text()


def test_only_the_mechanisms_of_the_restriction_itself_are_named() -> None:
    assert "| EPERM | landlock ABI 7 | unexpected_deny |" in text(sample())
    assert "capset" not in text(sample())


def test_a_run_that_agrees_has_nothing_to_look_at() -> None:
    found = text(agreeing())
    assert found.startswith("# //e:plan: ok\n\n9 agree.\n\n## Every probe under every profile\n")


def test_names_and_filters_cannot_break_the_page() -> None:
    evil = sample(only_profiles=("no-network",), error="a | b\n<script>`x`", preflight=None)
    found = text(evil)
    assert "- a \\| b &lt;script>\\`x\\`" in found
    assert "| only | no-network |" in found and "Nothing was checked" in found


def test_the_oracle_has_a_section_of_its_own() -> None:
    lanes = ("baseline", "scenario", "oracle")
    assert "tries nothing and decides nothing.\n\nThe same as was seen, everywhere.\n" in text(agreeing(lanes=lanes))
    found = text(sample(lanes=lanes)).partition("## What the profiles' documents say")[2].partition("\n## ")[0]
    assert "| staged-only | signal | allow | deny EPERM |" in found
    assert "| no-network | tcp-connect | deny | blocked |" in found
    assert "unrestricted" not in found and "oracle" not in text(sample())
