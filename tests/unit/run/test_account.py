"""The account of a journal: of a run that ended, of one that goes on, of one that was killed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flowbuild.core.errors import StoreCorrupt
from flowbuild.core.event import (
    Domain,
    Event,
    RunCompleted,
    RunStarted,
    StateCompleted,
    StateEntered,
    StateFailed,
    to_doc,
)
from flowbuild.run.account import HOW, account, is_live, opening
from flowbuild.store.journal import Journal

BEGUN: list[Event] = [
    RunStarted("build", "d" * 64, "e" * 64),
    StateEntered("a.main.x", 0, ""),
    Domain("action_bound", {"state_id": "a.main.x", "label": "//a", "action": "1" * 64}),
    StateEntered("b.main.x", 0, ""),
    Domain("reused", {"state_id": "b.main.x", "label": "//b", "action": "2" * 64, "outputs": {"o": "3" * 64}}),
    StateCompleted("b.main.x", ""),
]
ENDED: list[Event] = [
    Domain("artifact_written", {"state_id": "a.main.x", "artifact_id": "4" * 64, "name": "o"}),
    Domain("outcome_recorded", {"state_id": "a.main.x", "action": "1" * 64, "outputs": {"o": "4" * 64}}),
    StateCompleted("a.main.x", ""),
    Domain("skipped", {"state_id": "d.main.x", "label": "//d"}),
    StateEntered("c.main.x", 0, ""),
    Domain("action_bound", {"state_id": "c.main.x", "label": "//c", "action": "5" * 64}),
    StateFailed("c.main.x", {"state_id": "c.main.x", "info": {"code": "exit", "message": "exit 1"}}),
    RunCompleted("Failed", ""),
]


def journal(path: Path, *events: Event) -> Path:
    times = iter(range(1000, 9000, 10))
    with Journal.create(path, "run-1", clock=lambda: next(times)) as found:
        for event in events:
            found.append([to_doc(event)])
    return path


def test_a_run_that_ended(tmp_path: Path) -> None:
    found = account(journal(tmp_path / "j", *BEGUN, *ENDED))
    assert (found.run_id, found.op, found.manifest_id, found.ended) == ("run-1", "build", "d" * 64, "Failed")
    assert (found.started_ms, found.last_ms) == (1000, 1130)
    assert [(one.label, one.how, one.action, one.outputs) for one in found.states.values()] == [
        ("//a", "performed", "1" * 64, {"o": "4" * 64}),
        ("//b", "reused", "2" * 64, {"o": "3" * 64}),
        ("//d", "skipped", None, {}),
        ("//c", "failed", "5" * 64, {}),
    ]
    assert found.states["c.main.x"].error == {"code": "exit", "message": "exit 1"}
    assert [one.label for one in found.of("performed")] == ["//a"]


def test_every_prefix_has_an_account(tmp_path: Path) -> None:
    events = [*BEGUN, *ENDED]
    for count in range(len(events) + 1):
        found = account(journal(tmp_path / f"j{count}", *events[:count]))
        assert (found.ended is None) is (count < len(events))
        assert {one.how for one in found.states.values()} <= set(HOW)
    assert [one.label for one in account(tmp_path / "j5").of("running")] == ["//a"]


def test_the_opening_reads_one_event(tmp_path: Path) -> None:
    path = journal(tmp_path / "j", *BEGUN)
    path.write_bytes(path.read_bytes() + b"not JSON\n")
    assert (opening(path).op, opening(path).states) == ("build", {})
    with pytest.raises(StoreCorrupt, match="j:7"):
        account(path)


def test_a_torn_tail_is_left_out_and_no_journal_is_an_empty_account(tmp_path: Path) -> None:
    path = journal(tmp_path / "j", *BEGUN)
    path.write_bytes(path.read_bytes()[:-5])
    assert account(path).states["b.main.x"].how == "reused"
    assert account(tmp_path / "none").run_id == ""


@pytest.mark.parametrize("event", [{"Kernel": {"Unheard": {}}}, {"Other": {}}, {"Domain": {"nme": "x"}}, [], 7])
def test_an_event_of_another_version_is_told(tmp_path: Path, event: object) -> None:
    line = {"event": event, "run_id": "run-1", "seq": 1, "ts_millis": 1}
    (tmp_path / "j").write_text(json.dumps(line) + "\n")
    with pytest.raises(StoreCorrupt, match="j:1: not an event of this version"):
        account(tmp_path / "j")


def test_a_journal_is_live_while_its_writer_holds_it(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "j", "run-1") as found:
        found.append([to_doc(BEGUN[0])])
        assert is_live(tmp_path / "j")
    assert not is_live(tmp_path / "j")
    assert not is_live(tmp_path / "none")
