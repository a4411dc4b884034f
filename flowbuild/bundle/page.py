"""summary.html: a run as one page that needs nothing else, for a browser, a screen reader or a printer.

Knows nothing of wording that `summary` has, nor of how it looks: that is `summary.html.j2`, beside this module. What
differs and what is blocked comes first, then every probe under every profile, with what was expected and what each
lane saw. Nothing is fetched and no script is run; every value is escaped.

Shapes:  HTML. A verdict is a sign and a word, never a colour alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from flowbuild.bundle.lanes import BASELINE, ORACLE, SCENARIO, Doc, Row
from flowbuild.bundle.matrix import AGREE, BLOCKED, DIFFER, MISSING, Pair, View
from flowbuild.bundle.mismatch import mismatches
from flowbuild.bundle.summary import answer_parts, headline_of, mechanisms, reasons_of, said_by_document, why

TEMPLATE = "summary.html.j2"

# verdict: its sign, its word in a cell, and its word in a count. A test asserts that this is total.
VERDICTS: Mapping[str, tuple[str, str, str]] = {
    AGREE: ("✓", "agrees", "agree"),
    DIFFER: ("✗", "differs", "differ"),
    BLOCKED: ("!", "blocked", "blocked"),
    MISSING: ("·", "no result", "without a result"),
}
# A run's status: what it means to whoever reads it first.
STATUSES: Mapping[str, str] = {
    "ok": "Every probe answered as expected.",
    "partial": "Not every probe answered as expected, or could be asked.",
    "failed": "The run failed. What it saw until then is below.",
    "dry": "A dry run: nothing was asked.",
}
# What an `ok` run without the scenario lane means.
UNTRIED = "Nothing was tried under a profile."


class Seen(NamedTuple):
    """What one lane saw: a word, and what the probe met."""

    lane: str
    word: str
    detail: str


class Square(NamedTuple):
    """One cell of the matrix. `oracle` is what the profile's document says, which decides nothing."""

    verdict: str
    expected: str
    scenario: Seen
    oracle: str | None


class Line(NamedTuple):
    """One row of the matrix: a probe, what it asks, what the baseline lane saw, and a square for each profile."""

    probe: str
    operation: str
    target: str
    baseline: Seen
    squares: tuple[Square | None, ...]


def page(seen: View) -> str:
    """summary.html."""
    from jinja2 import Environment, StrictUndefined  # 60 ms: only for those who commit

    room = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = room.from_string(Path(__file__).with_name(TEMPLATE).read_text(encoding="utf-8"))
    return template.render(context(seen)) + "\n"


def context(seen: View) -> dict[str, Any]:
    """What the page says, as plain values."""
    evidence = seen.evidence
    return {
        "title": evidence.plan["plan_id"],
        "status": seen.status,
        "means": STATUSES[seen.status] if SCENARIO in evidence.lanes or seen.status != "ok" else UNTRIED,
        "headline": headline_of(seen),
        "reasons": reasons_of(seen),
        "verdicts": VERDICTS,
        "mismatches": [_mismatch(pair, seen) for pair in mismatches(seen)],
        "profiles": [_profile(name, seen) for name in seen.matrix["profiles"]],
        "lines": lines(seen),
        "has_baseline": BASELINE in evidence.lanes,
        "has_oracle": ORACLE in evidence.lanes,
        "enforced": _rows(evidence.preflight or {}),
        "channel": evidence.channel,
        "held": _rows((evidence.preflight or {}).get("isolation") or {}),
        "identities": _identities(seen),
    }


def lines(seen: View) -> list[Line]:
    """The matrix, in the plan's order. Profiles may ask probes of one name differently: each way is a line."""
    found: dict[tuple[str, str, str], dict[str, Pair]] = {}
    for pair in seen.pairs:
        entry = pair.entry
        found.setdefault((entry["name"], entry["operation"], entry["target"]), {})[pair.profile] = pair
    return [
        Line(
            *asks,
            _seen(BASELINE, next(iter(pairs.values())).baseline),
            tuple(_square(pairs.get(profile), seen) for profile in seen.matrix["profiles"]),
        )
        for asks, pairs in found.items()
    ]


def _square(pair: Pair | None, seen: View) -> Square | None:
    """A cell; none where a profile does not ask the probe. The baseline asks once a probe, and has a column."""
    if pair is None:
        return None
    scenario = _seen(SCENARIO, pair.scenario) if SCENARIO in seen.evidence.lanes else Seen(SCENARIO, "not asked", "")
    return Square(pair.verdict, pair.entry["expected"], scenario, said_by_document(pair, seen))


def _seen(lane: str, row: Row | None) -> Seen:
    return Seen(lane, *(("no result", "") if row is None else answer_parts(row)))


def _mismatch(pair: Pair, seen: View) -> dict[str, Any]:
    return {
        "profile": pair.profile,
        "probe": pair.entry["name"],
        "operation": pair.entry["operation"],
        "target": pair.entry["target"],
        "verdict": pair.verdict,
        "expected": pair.entry["expected"],
        "baseline": _seen(BASELINE, pair.baseline),
        "scenario": _seen(SCENARIO, pair.scenario),
        "mechanisms": mechanisms(pair, seen),
        "why": why(pair),
    }


def _profile(name: str, seen: View) -> dict[str, Any]:
    tally = Counter(pair.verdict for pair in seen.of(name))
    counted = [f"{tally[verdict]} {words[2]}" for verdict, words in VERDICTS.items() if tally[verdict]]
    restrict = seen.evidence.restrictions.get(name, {}).get("restrict", {})
    return {
        "name": name,
        "restrict": [f"{key}: {value}" for key, value in restrict.items()],
        "tally": counted if SCENARIO in seen.evidence.lanes else ["not asked"],
    }


def _rows(record: Mapping[str, Any]) -> list[Doc]:
    """What was found to be enforced before the run, of the host or of the channel."""
    operations = record.get("operations") or {}
    return [
        {
            "name": name,
            "status": operations[name].get("status"),
            "mechanism": operations[name].get("mechanism") or "",
            "abi": operations[name].get("abi"),
            "errno": operations[name].get("errno_name") or "",
            "leaves": operations[name].get("leaves") or [],
        }
        for name in sorted(operations)
    ]


def _identities(seen: View) -> list[tuple[str, str]]:
    evidence = seen.evidence
    began, ended = evidence.started_at_unix, evidence.updated_at_unix
    return [
        ("run", evidence.run_id),
        ("began", datetime.fromtimestamp(began, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")),
        ("took", f"{max(0, ended - began)} s"),
        ("world", evidence.world_id),
        ("channel", evidence.channel),
        ("plan", evidence.plan["plan_id"]),
        ("plan digest", seen.plan_digest),
        *((("only", ", ".join(only)),) if (only := [*evidence.only_profiles, *evidence.only_scenarios]) else ()),
    ]
