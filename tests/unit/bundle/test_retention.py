"""Which runs stay: by age, by rank, and for the sake of others."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowbuild.bundle.history import Entry
from flowbuild.bundle.retention import verdicts
from flowbuild.core.event import Domain, Event, RunCompleted, RunStarted, StateEntered, to_doc
from flowbuild.store.journal import Journal

STARTED, ENDED = RunStarted("op", "0" * 64, "1" * 64), RunCompleted("Completed", None)


class History:
    """Runs that are made by hand, one a second."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.entries: list[Entry] = []

    def run(self, name: str, label: str, *events: Event, status: str = "ok", is_latest: bool = False) -> None:
        (self._root / name).mkdir()
        with Journal.create(self._root / name / "journal.jsonl", name) as journal:
            journal.append([to_doc(event) for event in (STARTED, *events)])
        when = 1000 * len(self.entries)
        self.entries.append(Entry(name, label, self._root / name, False, is_latest, status, when, {}))

    def stays(self, keep: int, before_ms: int | None = None) -> dict[str, str]:
        return {one.entry.run_id: one.reason for one in verdicts(self.entries, keep=keep, before_ms=before_ms) if not one.goes}  # fmt: skip


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


def spawned(child: str) -> Domain:
    return Domain(
        "child_run_spawned",
        {"child_run_id": child, "fact_key": child, "label": f"//{child}", "state_id": "a.main.x"},
    )


def test_the_newest_of_each_target(history: History) -> None:
    for number in range(3):
        history.run(f"a{number}", "//a", ENDED)
        history.run(f"b{number}", "//b", ENDED)
    assert history.stays(1) == {"a2": "one of the newest 1 of its target", "b2": "one of the newest 1 of its target"}
    assert history.stays(2).keys() == {"a1", "a2", "b1", "b2"}
    assert history.stays(0) == {}
    assert history.stays(0, 3000) == {"b1": "young", "a2": "young", "b2": "young"}


@pytest.mark.parametrize("status", ["in progress", "damaged"])
def test_what_is_at_work_or_damaged(history: History, status: str) -> None:
    history.run("a", "//a", ENDED, status=status)
    history.run("b", "//a", ENDED, is_latest=True)
    assert history.stays(0) == {"a": status, "b": "LATEST"}


@pytest.mark.parametrize(
    "event",
    [
        Domain("fact_recorded", {"key": "k", "payload_id": "1" * 64, "meta": {}}),
        Domain("effect_intended", {"state_id": "a.main.x", "label": "//a", "idempotency_key": None, "document": None}),
        spawned("c"),
    ],
    ids=lambda event: event.name,
)
def test_what_was_killed_after_it_dealt_with_the_outside(history: History, event: Domain) -> None:
    history.run("plain", "//a", StateEntered("a.main.x", 0, ""), status="killed")
    history.run("dealt", "//a", StateEntered("a.main.x", 0, ""), event, status="killed")
    history.run("ended", "//a", StateEntered("a.main.x", 0, ""), event, ENDED, status="failed")
    assert history.stays(0).keys() == {"dealt"}


def test_children_stay_with_their_parents(history: History) -> None:
    history.run("grandchild", "//c", ENDED)
    history.run("child", "//b", spawned("grandchild"), ENDED)
    history.run("other", "//b", ENDED)
    history.run("parent", "//a", spawned("child"), ENDED, is_latest=True)
    assert history.stays(0) == {"grandchild": "spawned by a run that stays", "child": "spawned by a run that stays", "parent": "LATEST"}  # fmt: skip
