"""The report: the last lines of a build, and what the null road says instead."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from flowbuild.core.event import StateStatus
from flowbuild.core.label import parse
from flowbuild.front.arguments import ELAPSED, ROOT, Request, fill
from flowbuild.front.console import Console
from flowbuild.front.report import MOST, Made, Report

TOP = Made(parse("//w:top"), ("out/bin/w/top/top.json",))
STATS = Made(parse("//w:stats"), ("out/bin/w/stats/counts.txt", "out/bin/w/stats/parts/"))
RUN = Made(parse("//e:run"), ("out/e/run/6f1c1e6e-3b0a/summary.md",), "6f1c1e6e-3b0a", "partial", True)


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("flowbuild.front.report.time", SimpleNamespace(monotonic=lambda: 0.0))
    monkeypatch.chdir(tmp_path)


def said(*made: Made, code: int = 0, done: int = 1, request: Request | None = None, **count: int) -> str:
    request = request or Request(patterns=("//w",))
    out = io.StringIO()
    console = Console(quiet=request.quiet, verbose=request.verbose, as_json=request.json, out=out)
    report = Report(request, console, Path.cwd())
    report.made += made
    report.count.update({StateStatus.COMPLETED: done, **{StateStatus(name): n for name, n in count.items()}})
    report.say(code)
    return out.getvalue()


def test_counts_and_places() -> None:
    assert said(TOP, STATS, reused=2) == (
        "1 performed, 2 reused, 0 failed in 0.00 s\n"
        "  //w:top     out/bin/w/top/top.json\n"
        "  //w:stats   out/bin/w/stats/counts.txt, parts/\n"
    )


def test_what_was_not_started_is_counted_when_there_is_some() -> None:
    assert said(code=1, failed=1, not_started=2).startswith("1 performed, 0 reused, 1 failed, 2 not started in ")


def test_a_new_run_says_where_it_is() -> None:
    assert said(RUN, done=0).splitlines()[-1] == "  committed 6f1c1e6e  out/e/run/6f1c1e6e-3b0a/summary.md"


def test_nothing_to_do_is_one_line() -> None:
    assert said(TOP, done=0, reused=3) == "up to date: //w (0.00 s)\n"


def test_an_old_run_is_named_with_its_status() -> None:
    old = RUN._replace(is_new=False)
    assert said(old, old._replace(status="ok"), done=0) == (
        "up to date: //w (run 6f1c1e6e partial, run 6f1c1e6e, 0.00 s)\n"
    )


def test_verbose_lists_the_places_too() -> None:
    request = Request(patterns=("//w",), verbose=True)
    assert said(TOP, done=0, request=request).splitlines()[1:] == ["  //w:top   out/bin/w/top/top.json"]


def test_a_failure_is_never_up_to_date() -> None:
    assert said(code=1, done=0, failed=1).startswith("0 performed, 0 reused, 1 failed")


def test_many_places_are_cut() -> None:
    many = [Made(parse(f"//w:t{n}"), (f"out/bin/w/t{n}/o",)) for n in range(MOST + 3)]
    assert said(*many).splitlines()[-1] == "  and 3 more: -v lists all"
    assert len(said(*many, request=Request(patterns=("//w",), verbose=True)).splitlines()) == MOST + 4


def test_json_is_one_summary() -> None:
    doc = json.loads(said(TOP, code=1, failed=1, request=Request(patterns=("//w",), json=True)))
    assert doc == {"exit_code": 1, "summary": {"performed": 1, "reused": 0, "failed": 1, "not_started": 0}}


def test_quiet_is_silence() -> None:
    assert said(TOP, request=Request(patterns=("//w",), quiet=True)) == ""
    assert said(TOP, done=0, request=Request(patterns=("//w",), quiet=True)) == ""


@pytest.mark.parametrize("here", [".", "sub", "sub/deep"])
@pytest.mark.parametrize("verbose", [True, False])
def test_the_null_road_says_the_same(here: str, verbose: bool, tmp_path: Path) -> None:
    (tmp_path / "sub/deep").mkdir(parents=True)
    os.chdir(here)
    out = io.StringIO()
    request = Request(patterns=("//w",), verbose=verbose)
    report = Report(request, Console(out=out, verbose=verbose), tmp_path)
    report.made += [TOP, STATS]
    report.say(0)
    text = report.null_text(0)
    assert ELAPSED in text
    assert (ROOT in text) is verbose
    assert fill(text, 0.0, str(tmp_path)) == out.getvalue()


def test_what_was_performed_is_reused_next_time() -> None:
    report = Report(Request(patterns=("//w",), json=True), Console(out=io.StringIO()), Path.cwd())
    report.count.update({StateStatus.COMPLETED: 2, StateStatus.REUSED: 3})
    assert json.loads(report.null_text(0))["summary"] == {"performed": 0, "reused": 5, "failed": 0, "not_started": 0}
