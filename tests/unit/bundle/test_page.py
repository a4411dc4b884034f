"""summary.html: every cell is there, everything is escaped, nothing is fetched."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from flowbuild.bundle.documents import documents
from flowbuild.bundle.lanes import Evidence
from flowbuild.bundle.layout import SUMMARY_PAGE, in_order
from flowbuild.bundle.matrix import AGREE, BLOCKED, DIFFER, MISSING, view
from flowbuild.bundle.page import STATUSES, VERDICTS, lines

from .evidence_sample import agreeing, blocked, row, sample

EMPTY = {"meta", "link"}


class Tree(HTMLParser):
    """The page's tags with their attributes and the text in them; an error where they are not nested well."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[tuple[dict[str, str | None], str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self._text: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self._open.append(tag)
        if tag in ("td", "th"):
            self.cells.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self._open):
            attrs, text = self.cells[-1]
            self.cells[-1] = attrs, f"{text} {data}"

    def squares(self) -> dict[tuple[str | None, str | None], str]:
        """The text of each cell of the matrix."""
        found = [(attrs, " ".join(text.split())) for attrs, text in self.cells if "data-probe" in attrs]
        return {(attrs["data-profile"], attrs["data-probe"]): text for attrs, text in found}


def page(evidence: Evidence) -> Tree:
    return Tree(documents(evidence)[SUMMARY_PAGE].decode())


def text(evidence: Evidence) -> str:
    return documents(evidence)[SUMMARY_PAGE].decode()


def test_the_tables_are_total() -> None:
    assert set(VERDICTS) == {AGREE, DIFFER, BLOCKED, MISSING}
    assert set(STATUSES) == {"ok", "partial", "failed", "dry"}
    assert len({sign for sign, _, _ in VERDICTS.values()}) == 4


def test_every_cell_says_what_was_seen_and_expected() -> None:
    assert page(sample()).squares() == {
        ("unrestricted", "read-outside"): "✓ agrees: allow expected allow",
        ("unrestricted", "tcp-connect"): "✓ agrees: allow expected allow",
        ("unrestricted", "signal"): "✓ agrees: allow expected allow",
        ("staged-only", "read-outside"): "✓ agrees: deny EACCES expected deny",
        ("staged-only", "tcp-connect"): "✓ agrees: allow expected allow",
        ("staged-only", "signal"): "✗ differs: deny EPERM expected allow",
        ("no-network", "read-outside"): "! blocked: blocked policy_unavailable at apply expected allow",
        ("no-network", "tcp-connect"): "! blocked: blocked policy_unavailable at apply expected deny",
        ("no-network", "signal"): "! blocked: blocked policy_unavailable at apply expected allow",
    }


def test_what_needs_a_look_comes_first_and_only_when_there_is_something() -> None:
    found = text(sample())
    assert found.index("Not as expected") < found.index("Every probe under every profile") < found.index("Identities")
    assert "Not as expected" not in text(agreeing())
    assert "Every probe answered as expected. 9 agree." in text(agreeing())


def test_a_cell_without_a_result_and_lanes_that_did_not_run() -> None:
    some = {**agreeing().scenario, "no-network": ()}
    assert page(agreeing(scenario=some)).squares()["no-network", "signal"] == "· no result: no result expected allow"
    plan = {**agreeing().plan, "lanes": {"baseline": False, "scenario": True}}
    without = agreeing(lanes=("scenario",), baseline=(), plan=plan)
    assert "baseline" not in re.sub(r"<style>.*</style>", "", text(without), flags=re.S)
    dry = text(agreeing(dry_run=True, scenario={}, baseline=(), lanes=()))
    assert "A dry run: nothing was asked. 9 would be asked." in dry


def test_a_probe_that_profiles_ask_differently_has_a_line_for_each_way() -> None:
    probes = {**agreeing().probes["probes"]}
    probes["no-network.signal"] = {**probes["no-network.signal"], "target": "child"}
    found = lines(view(agreeing(probes={**agreeing().probes, "probes": probes})))
    ways = [(line.probe, line.target, [square is not None for square in line.squares]) for line in found]
    assert ways[2:] == [("signal", "parent", [True, True, False]), ("signal", "child", [False, False, True])]


EVIL = "<script>alert(1)</script>\"'&{{ 7*7 }}{% raise %}"


def test_everything_is_escaped() -> None:
    late = row("signal", "no-network", None, failure_stage="probe", failure_kind=EVIL)
    scenario = {**agreeing().scenario, "no-network": (*agreeing().scenario["no-network"][:2], late)}
    plan = {**agreeing().plan, "plan_id": EVIL}
    only = {"only_profiles": (), "only_scenarios": ()}
    preflight = {"operations": {EVIL: {"status": EVIL, "mechanism": EVIL, "leaves": [EVIL], "errno_name": EVIL}}}
    evil = agreeing(scenario=scenario, plan=plan, world_id=EVIL, preflight=preflight, error=EVIL, **only)
    found = page(evil)
    assert [tag for tag, _ in found.tags if tag in ("script", "img", "iframe", "object")] == []
    assert "<script" not in text(evil)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&amp;{{ 7*7 }}{% raise %}" in text(evil)


def test_names_cannot_leave_their_attribute() -> None:
    name = 'x" onload="alert(1)'
    restrictions = {name: {"restrict": {"files": EVIL}}}
    evidence = sample()
    profiles = {
        **evidence.profiles,
        "profiles": {name: {**evidence.profiles["profiles"]["no-network"], "profile_id": name}},
    }
    plan = {**evidence.plan, "profiles": [name]}
    scenario = {name: tuple(blocked(probe) for probe in ("signal",))}
    found = page(sample(plan=plan, profiles=profiles, restrictions=restrictions, scenario=scenario))
    assert {profile for profile, _ in found.squares()} == {name}
    assert not [attrs for _, attrs in found.tags if "onload" in attrs]


def test_nothing_is_fetched_and_no_script_is_there() -> None:
    found = text(sample())
    tree = Tree(found)
    assert [attrs for tag, attrs in tree.tags if tag in ("script", "img", "iframe", "object", "form", "a")] == []
    assert [attrs["href"] for tag, attrs in tree.tags if tag == "link"] == ["data:,"]
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(", found.replace("//e:plan", ""))
    policy = next(attrs["content"] for tag, attrs in tree.tags if attrs.get("http-equiv"))
    assert str(policy).startswith("default-src 'none';")


def test_tables_have_headers_for_whoever_does_not_see_them() -> None:
    heads = [attrs for tag, attrs in page(sample()).tags if tag == "th"]
    assert heads and {attrs.get("scope") for attrs in heads} == {"col", "row"}


@pytest.mark.parametrize("evidence", [agreeing(), sample(), agreeing(error="stopped")])
def test_the_same_evidence_gives_the_same_bytes(evidence: Evidence) -> None:
    assert documents(evidence)[SUMMARY_PAGE] == documents(evidence)[SUMMARY_PAGE]


def test_it_stands_beside_the_text() -> None:
    assert sorted(["journal.jsonl", "summary.html", "summary.md"], key=in_order)[:2] == ["summary.md", "summary.html"]


def test_what_the_channel_was_found_to_hold_is_told_beside_what_the_host_enforces() -> None:
    isolation = {"operations": {"sight": {"status": "enforced", "mechanism": "landlock", "abi": 7}}}
    found = text(agreeing(channel="clean", preflight={**(agreeing().preflight or {}), "isolation": isolation}))
    assert found.index("What this host enforces") < found.index("What channel clean holds") < found.index("Identities")
    assert '<th scope="row">sight</th><td>enforced</td><td>landlock ABI 7</td>' in found
    assert "What channel" not in text(agreeing())


def test_the_oracle_stands_in_each_cell_apart_from_what_was_seen() -> None:
    found = page(sample(lanes=("baseline", "scenario", "oracle"))).squares()
    assert found["staged-only", "signal"] == "✗ differs: deny EPERM expected allow oracle allow"
    assert found["no-network", "tcp-connect"].endswith("expected deny oracle deny")
    assert "oracle" not in re.sub(r"<style>.*</style>", "", text(sample()), flags=re.S)


def test_without_the_scenario_lane_nothing_was_tried() -> None:
    plan = {**agreeing().plan, "lanes": {"baseline": True, "scenario": False}}
    found = page(agreeing(lanes=("baseline",), scenario={}, plan=plan))
    assert set(found.squares().values()) == {
        "· no result: not asked expected allow",
        "· no result: not asked expected deny",
    }
    assert "Nothing was tried under a profile. 3 answered." in text(
        agreeing(lanes=("baseline",), scenario={}, plan=plan)
    )
