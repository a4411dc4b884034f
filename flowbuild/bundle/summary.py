"""A run in words: one line for the console, the reasons behind it, and summary.md.

Knows nothing of terminals. What went otherwise than expected comes first; identities come last.

Shapes:  summary.md is Markdown: what to look at, the matrix `expected / seen`, what the host enforces, identities.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from flowbuild.bundle.lanes import ORACLE, Doc, Evidence, Row
from flowbuild.bundle.matrix import AGREE, BLOCKED, DIFFER, MISSING, Pair, View, view
from flowbuild.bundle.mismatch import mismatch_type, mismatches
from flowbuild.bundle.oracle import is_supported, oracle_result

_WORDS = {AGREE: "agree", DIFFER: "differ", BLOCKED: "blocked", MISSING: "without a result"}


def headline(evidence: Evidence) -> str:
    """How the probes came out, in one phrase: `44 agree, 4 blocked`."""
    return headline_of(view(evidence))


def reasons(evidence: Evidence) -> list[str]:
    """Why a run is not `ok`, a sentence each: what differs, and which restriction could not be applied and why."""
    return reasons_of(view(evidence))


def summary_text(seen: View) -> str:
    """summary.md."""
    evidence = seen.evidence
    lines = [f"# {_cell(evidence.plan['plan_id'])}: {seen.status}", "", f"{headline_of(seen)}.", ""]
    lines += [f"- {_cell(reason)}" for reason in reasons_of(seen)]
    lines += [""] * bool(reasons_of(seen))
    if rows := [_mismatch_row(pair, seen) for pair in mismatches(seen)]:
        head = ("profile", "probe", "asks", "expected", "seen", "errno", "mechanism", "why")
        lines += ["## Not as expected", "", *_table(head, rows), ""]
    lines += ["## Every probe under every profile", "", "Each cell says `expected / seen`.", ""]
    lines += [*_matrix(seen), ""]
    if ORACLE in evidence.lanes:
        says = "The oracle lane reads the documents, tries nothing and decides nothing."
        lines += ["## What the profiles' documents say", "", says, "", *_oracle(seen), ""]
    lines += ["## What this host enforces", "", *_enforced(evidence), ""]
    if isolation := (evidence.preflight or {}).get("isolation"):
        lines += [f"## What channel {evidence.channel} holds", "", *_achieved(isolation["operations"]), ""]
    lines += ["## Identities", "", *_identities(seen)]
    return "\n".join(lines) + "\n"


def headline_of(seen: View) -> str:
    """How the probes of a view came out."""
    if seen.evidence.dry_run:
        return f"{len(seen.pairs)} would be asked"
    tally = Counter(pair.verdict for pair in seen.pairs)
    if seen.evidence.lanes == (ORACLE,):
        return f"{len(seen.pairs)} read in the policies' documents, none tried"
    if not seen.decided:  # no scenario lane: the baseline is all there is
        blocked = sum(row.is_blocked for row in seen.evidence.baseline)
        answered = f"{len(seen.evidence.baseline) - blocked} answered"
        return answered + (f", {blocked} blocked" if blocked else "")
    return ", ".join(f"{tally[verdict]} {word}" for verdict, word in _WORDS.items() if tally[verdict])


def reasons_of(seen: View) -> list[str]:
    """Why a view is not `ok`."""
    found = [seen.error] if seen.error else []
    for profile in seen.matrix["profiles"]:
        pairs = [pair for pair in seen.of(profile) if pair.scenario is not None]
        found += [_difference(pair) for pair in pairs if pair.verdict == DIFFER]
        why = Counter(_why_blocked(pair, seen) for pair in pairs if pair.verdict == BLOCKED)
        found += [f"{count} blocked in profile {profile} ({reason})" for reason, count in why.items()]
    stuck = [f"{row.probe}: {_failure(row)}" for row in seen.evidence.baseline if row.is_blocked]
    return found + ([f"{len(stuck)} blocked in the baseline lane ({'; '.join(stuck)})"] if stuck else [])


def _difference(pair: Pair) -> str:
    row = pair.scenario
    seen = f"{row.actual} ({row.result.errno_name})" if row and row.result.errno_name else row and row.actual
    return f"{pair.entry['name']} in profile {pair.profile}: expected {pair.entry['expected']}, seen {seen}"


def _why_blocked(pair: Pair, seen: View) -> str:
    """Which restriction could not be applied and why; else what the probe itself met."""
    row = pair.scenario
    if row is None:
        return "no result"
    if row.result.failure_stage == "preflight":
        return f"channel {seen.evidence.channel}: {_not_applied(list(row.result.apply_report)) or _failure(row)}"
    if row.result.failure_stage != "apply":
        return _failure(row)
    return _not_applied(_own_steps(pair, seen)) or _failure(row)


def _not_applied(report: list[Doc]) -> str:
    """The restrictions of a report that no mechanism applied, each with what its mechanisms said."""
    applied = {step.get("operation") for step in report if step.get("status") != "unavailable"}
    failed = [step for step in report if step.get("operation") not in applied]
    named = dict.fromkeys(str(step.get("operation")) for step in failed)
    return "; ".join(f"{name} could not be applied: {', '.join(_steps(name, failed))}" for name in named)


def _own_steps(pair: Pair, seen: View) -> list[Doc]:
    """The apply report's steps for what this profile restricts; others, such as dropped privileges, come with any."""
    restrict = seen.evidence.restrictions.get(pair.profile, {}).get("restrict", {})
    wanted = {f"{key}:{value}" for key, value in restrict.items()}
    report = pair.scenario.result.apply_report if pair.scenario else ()
    return [step for step in report if step.get("operation") in wanted]


def _steps(operation: str, report: Iterable[Doc]) -> list[str]:
    return [_mechanism(step) + _because(step) for step in report if step.get("operation") == operation]


def _mechanism(step: Doc) -> str:
    return str(step.get("mechanism")) + (f" ABI {step['abi']}" if step.get("abi") else "")


def _because(step: Doc) -> str:
    return f" {step.get('status')}" + (f" ({step['errno_name']})" if step.get("errno_name") else "")


def _failure(row: Row) -> str:
    stage = f" at {row.result.failure_stage}" if row.result.failure_stage else ""
    name = f", {row.result.errno_name}" if row.result.errno_name else ""
    return f"{row.result.failure_kind or 'stopped'}{stage}{name}"


def _mismatch_row(pair: Pair, seen: View) -> list[str]:
    row = pair.scenario
    return [
        pair.profile,
        pair.entry["name"],
        f"{pair.entry['operation']} {pair.entry['target']}",
        pair.entry["expected"],
        (row and row.actual) or "blocked",
        (row and row.result.errno_name) or "",
        mechanisms(pair, seen) or "none",
        why(pair),
    ]


def mechanisms(pair: Pair, seen: View) -> str:
    """What applied the restrictions of a pair's profile."""
    applied = [step for step in _own_steps(pair, seen) if step.get("status") != "unavailable"]
    return ", ".join(dict.fromkeys(_mechanism(step) for step in applied))


def why(pair: Pair) -> str:
    """Of what type a mismatch is; of what is blocked, what it met."""
    row = pair.scenario
    return _failure(row) if row and row.is_blocked else mismatch_type(pair) or ""


def _matrix(seen: View) -> list[str]:
    """The probes down, the profiles across, the baseline first. A probe that a profile does not ask is a dash."""
    profiles = list(seen.matrix["profiles"])
    probes = dict.fromkeys(pair.entry["name"] for pair in seen.pairs)
    by_cell = {(pair.entry["name"], pair.profile): pair for pair in seen.pairs}
    baseline = {row.probe: row for row in seen.evidence.baseline}
    rows = [
        [probe, _seen(baseline.get(probe)), *(_pair_cell(by_cell.get((probe, profile))) for profile in profiles)]
        for probe in probes
    ]
    return _table(("probe", "baseline", *profiles), rows)


def _oracle(seen: View) -> list[str]:
    """Where the documents and what was seen part; all of it where nothing was seen."""
    said = [(pair, said_by_document(pair, seen)) for pair in seen.pairs]
    parted = [(pair, word) for pair, word in said if word != (pair.scenario and pair.scenario.actual)]
    rows = [[pair.profile, pair.entry["name"], word or "not asked", _seen(pair.scenario)] for pair, word in parted]
    if not rows:
        return ["The same as was seen, everywhere."]
    return _table(("profile", "probe", "document", "seen"), rows)


def _pair_cell(pair: Pair | None) -> str:
    if pair is None:
        return "-"
    text = f"{pair.entry['expected']} / {_seen(pair.scenario)}"
    return text if pair.verdict in (AGREE, MISSING) else f"**{text}**"


def answer(row: Row) -> str:
    """What a probe answered, and where it could not, why."""
    word, detail = answer_parts(row)
    return f"{word} ({detail})" if row.is_blocked else f"{word} {detail}".rstrip()


def answer_parts(row: Row) -> tuple[str, str]:
    """The word that a probe answered, and what it met: the errno of a deny, the cause of a block."""
    if row.is_blocked:
        return "blocked", _failure(row)
    return str(row.actual), (row.result.errno_name or "") if row.actual == "deny" else ""


def said_by_document(pair: Pair, seen: View) -> str | None:
    """What the profile's own document says, when the oracle lane asked it."""
    if ORACLE not in seen.evidence.lanes or not is_supported(seen, pair):
        return None
    return str(oracle_result(seen, pair)["decision"])


def _seen(row: Row | None) -> str:
    if row is None:
        return "-"
    if row.actual == "deny" and row.result.errno_name:
        return f"deny {row.result.errno_name}"
    return row.actual or "blocked"


def _enforced(evidence: Evidence) -> list[str]:
    operations = (evidence.preflight or {}).get("operations") or {}
    if not operations:
        return ["Nothing was checked before this run."]
    return _achieved(operations)


def _achieved(operations: Mapping[str, Doc]) -> list[str]:
    head = ("restriction", "status", "mechanism", "ABI", "errno", "lets through")
    keys = ("status", "mechanism", "abi", "errno_name", "leaves")
    rows = [[name, *(_text(operations[name].get(key)) for key in keys)] for name in sorted(operations)]
    return _table(head, rows)


def _identities(seen: View) -> list[str]:
    evidence = seen.evidence
    filters = [*evidence.only_profiles, *evidence.only_scenarios]
    rows = [
        ["run", evidence.run_id],
        ["world", evidence.world_id],
        ["channel", evidence.channel],
        ["plan", evidence.plan["plan_id"]],
        ["plan digest", seen.plan_digest],
    ]
    return _table(("what", "identity"), rows + ([["only", ", ".join(filters)]] if filters else []))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [list(head), ["---"] * len(head), *([_cell(text) for text in row] for row in rows)]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _cell(text: str) -> str:
    """A text that stays one cell and one line, whatever a probe was named or printed."""
    for mark, safe in (("\\", "\\\\"), ("|", "\\|"), ("<", "&lt;"), ("`", "\\`")):
        text = text.replace(mark, safe)
    return " ".join(text.split())


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
