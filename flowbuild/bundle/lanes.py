"""What a run observed: the rows of its lanes, the preflight of its host, and the whole of it as one value.

Knows nothing of documents or files. A row says nothing of runs, processes or times: those are added where rows become
documents, so that a row may be remembered.

Shapes:  Row, RuntimeResult, Evidence. `actual` is None where the question could not be put: that is `blocked`.
Errors:  StoreCorrupt for a row that is none, and for a deny without an errno: nobody may believe one.
Source:  seed 003, runtime_results; decision 17 (a time-out is blocked, never a deny).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flowbuild.core.errors import StoreCorrupt

Doc = dict[str, Any]

BASELINE, SCENARIO, ORACLE = "baseline", "scenario", "oracle"
# The stages before the probed operation itself: what fails there says nothing of the policy's decision.
BEFORE_DECISION = ("preflight", "apply", "bootstrap")
_STAGES = (None, *BEFORE_DECISION, "probe")
_STATUSES = ("success", "errno", "blocked")
_DECISIONS = ("allow", "deny", None)


@dataclass(frozen=True, slots=True)
class RuntimeResult:
    """How a probe ended: what it met, and at which stage it failed when it never came to its operation."""

    status: str
    errno: int | None = None
    errno_name: str | None = None
    failure_stage: str | None = None
    failure_kind: str | None = None
    apply_report: tuple[Doc, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One probe in one lane."""

    probe: str
    operation: str
    target: str
    lane: str
    profile: str | None
    actual: str | None
    result: RuntimeResult
    details: Doc = field(default_factory=dict)
    exit_code: int | None = None
    stdout: str = ""
    stderr: str = ""

    @property
    def is_blocked(self) -> bool:
        return self.actual is None


@dataclass(frozen=True, slots=True)
class Evidence:
    """A finished run. Documents are functions of this value and of nothing else.

    `lanes` are the lanes that ran, or were read. `error` and `failure_stage` say why the run as a whole failed;
    `cancelled` is one of the stages. `restrictions` holds each profile's restriction document. Times are given: nothing
    here has a clock.
    `output_root` is where runs of this target are kept, relative to the workspace.
    """

    run_id: str
    world_id: str
    channel: str
    plan: Doc
    probes: Doc
    profiles: Doc
    restrictions: Mapping[str, Doc]
    lanes: tuple[str, ...]
    baseline: tuple[Row, ...] = ()
    scenario: Mapping[str, tuple[Row, ...]] = field(default_factory=dict)
    preflight: Doc | None = None
    dry_run: bool = False
    only_profiles: tuple[str, ...] = ()
    only_scenarios: tuple[str, ...] = ()
    error: str | None = None
    failure_stage: str | None = None
    started_at_unix: int = 0
    updated_at_unix: int = 0
    writer_pid: int = 0
    output_root: str | None = None


def read_row(doc: object) -> Row:
    """The row that a probe action wrote."""
    if not isinstance(doc, Mapping):
        raise StoreCorrupt(f"a lane row is an object, not {doc!r:.80}")
    result = _result(doc)
    row = Row(
        probe=_text(doc, "probe"),
        operation=_text(doc, "operation"),
        target=_text(doc, "target"),
        lane=_one_of(doc, "lane", (BASELINE, SCENARIO)),
        profile=_text_or_none(doc, "profile"),
        actual=_one_of(doc, "actual", _DECISIONS),
        result=result,
        details=dict(doc.get("probe_details") or {}),
        exit_code=_integer_or_none(doc, "exit_code"),
        stdout=_clean(_text_or_none(doc, "stdout")),
        stderr=_clean(_text_or_none(doc, "stderr")),
    )
    if (row.profile is None) != (row.lane == BASELINE):
        raise StoreCorrupt(f"lane row of {row.probe!r}: the {row.lane} lane with profile {row.profile!r}")
    if row.actual == "deny" and not result.errno:
        raise StoreCorrupt(f"lane row of {row.probe!r}: a deny without an errno")
    if (row.actual is None) != (result.status == "blocked"):
        raise StoreCorrupt(f"lane row of {row.probe!r}: status {result.status!r} with actual {row.actual!r}")
    return row


def _result(doc: Mapping[str, Any]) -> RuntimeResult:
    inner = doc.get("runtime_result")
    if not isinstance(inner, Mapping):
        raise StoreCorrupt("a lane row needs runtime_result")
    report = inner.get("apply_report") or []
    if not isinstance(report, list) or not all(isinstance(step, Mapping) for step in report):
        raise StoreCorrupt("apply_report is a list of objects")
    return RuntimeResult(
        status=_one_of(inner, "status", _STATUSES),
        errno=_integer_or_none(inner, "errno"),
        errno_name=_text_or_none(inner, "errno_name"),
        failure_stage=_one_of(inner, "failure_stage", _STAGES),
        failure_kind=_text_or_none(inner, "failure_kind"),
        apply_report=tuple(dict(step) for step in report),
    )


def _one_of(doc: Mapping[str, Any], key: str, known: tuple[str | None, ...]) -> Any:
    value = doc.get(key)
    if value not in known:
        raise StoreCorrupt(f"lane row: {key} is {value!r}, not one of {', '.join(str(word) for word in known)}")
    return value


def _text(doc: Mapping[str, Any], key: str) -> str:
    value = doc.get(key)
    if not isinstance(value, str):
        raise StoreCorrupt(f"lane row: {key} is a text, not {value!r:.80}")
    return value


def _text_or_none(doc: Mapping[str, Any], key: str) -> str | None:
    return None if doc.get(key) is None else _text(doc, key)


def _integer_or_none(doc: Mapping[str, Any], key: str) -> int | None:
    value = doc.get(key)
    if value is not None and type(value) is not int:
        raise StoreCorrupt(f"lane row: {key} is an integer, not {value!r:.80}")
    return value


def _clean(text: str | None) -> str:
    """What a probe printed, without the half characters that no JSON document can carry."""
    return (text or "").encode("utf-8", "replace").decode()
