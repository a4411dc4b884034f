"""Rows: what is read, and what is refused because nobody could believe it."""

from __future__ import annotations

from typing import Any

import pytest

from flowbuild.bundle.lanes import read_row
from flowbuild.core.errors import StoreCorrupt

from .evidence_sample import row, row_document


def test_a_row_is_read_as_it_was_written() -> None:
    found = row("signal", "staged-only", "deny", errno=1, errno_name="EPERM")
    assert (found.probe, found.profile, found.actual, found.result.errno_name) == (
        "signal",
        "staged-only",
        "deny",
        "EPERM",
    )
    assert not found.is_blocked and row("signal", None, None).is_blocked


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"probe": None}, "probe is a text"),
        ({"lane": "oracle"}, "lane is 'oracle'"),
        ({"actual": "maybe"}, "actual is 'maybe'"),
        ({"exit_code": True}, "exit_code is an integer"),
        ({"profile": None}, "the scenario lane with profile None"),
        ({"runtime_result": None}, "needs runtime_result"),
        ({"runtime_result": {"status": "errno", "errno": None}}, "a deny without an errno"),
        ({"runtime_result": {"status": "errno", "errno": 0}}, "a deny without an errno"),
        ({"runtime_result": {"status": "blocked", "errno": 13}}, "status 'blocked' with actual 'deny'"),
        ({"runtime_result": {"status": "errno", "errno": 1, "failure_stage": "later"}}, "failure_stage is 'later'"),
        ({"runtime_result": {"status": "errno", "errno": 1, "apply_report": ["x"]}}, "list of objects"),
    ],
)
def test_a_row_that_nobody_could_believe_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(StoreCorrupt, match=says):
        read_row(row_document("signal", "staged-only", "deny") | changes)


def test_what_is_no_row_is_refused() -> None:
    with pytest.raises(StoreCorrupt, match="a lane row is an object"):
        read_row([])


def test_output_that_no_document_can_carry_is_cleaned() -> None:
    assert read_row(row_document("signal", None, "allow") | {"stdout": "a\ud800b"}).stdout == "a?b"
