"""An executor is started when there is something for it to do, and what it offers then counts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from flowbuild.testing import Space

sys.path.append(str(Path(__file__).parents[1] / "unit" / "engine"))

from peer import write_peer

# Two steps, each with a value that a test may change.
FLOW = """
targets:
  two:
    rule: flow
    steps:
      one: {{type: a, with: {{n: {one}}}, next: two}}
      two: {{type: {kind}, with: {{n: {two}}}}}
"""
# What it offers stands in a file that no key knows of.
OFFERS = """
open("started", "a").write("x")
if os.path.exists("offer.json"):
    OFFER = json.load(open("offer.json"))
"""


@pytest.fixture
def space(tmp_path: Path) -> Space:
    space = Space(tmp_path)
    space.write("flowbuild.yaml", f"runtime: {{engine: proc, executor_path: [{sys.executable}, peer.py]}}\n")
    write_peer(tmp_path, OFFERS)
    write(space)
    return space


def write(space: Space, one: int = 1, two: int = 1, kind: str = "b") -> None:
    space.write("p/BUILD.yaml", FLOW.format(one=one, two=two, kind=kind))


def offer(space: Space, *kinds: str) -> None:
    space.write("offer.json", json.dumps({"version": "1.0.1", "step_kinds": kinds, "limits": {"concurrency": 1}}))


def starts(space: Space) -> int:
    path = space.root / "started"
    return len(path.read_text()) if path.exists() else 0


def test_a_build_that_performs_nothing_starts_nothing(space: Space) -> None:
    space.build("//p:two")
    assert starts(space) == 1
    assert space.run("explain", "//p:two").code == 0
    assert starts(space) == 1
    write(space, two=2)
    assert "1 would run" in space.run("explain", "//p:two").out
    assert starts(space) == 1
    space.build("//p:two")
    assert starts(space) == 2


def test_another_executor_is_asked(space: Space) -> None:
    space.build("//p:two")
    write_peer(space.root, OFFERS + "# edited\n")
    assert space.build("//p:two").performed == 2
    assert starts(space) == 2


def test_what_it_offers_now_counts_for_what_is_performed(space: Space) -> None:
    space.build("//p:two")
    offer(space, "a", "b")
    assert space.run("//p:two").performed == 0  # nobody asked
    write(space, one=2)
    assert space.run("//p:two").performed == 2  # the second step's key has the new offer, too
    again = space.run("//p:two")
    assert (again.code, again.performed, starts(space)) == (0, 0, 2)


def test_results_of_two_offers_are_not_mixed(space: Space) -> None:
    space.build("//p:two")
    offer(space, "a", "b")
    write(space, two=2)  # the first step is reused, and then the second one's engine is asked
    ran = space.run("//p:two")
    assert ran.code == 3 and "offers something else than when it was asked last" in ran.err, ran
    assert "run the same command again" in ran.err
    assert space.build("//p:two").performed == 2


def test_a_step_kind_that_is_gone_is_missed_when_it_is_needed(space: Space) -> None:
    space.build("//p:two")
    offer(space, "a")
    assert space.run("//p:two").performed == 0
    write(space, one=2, two=2)
    ran = space.run("//p:two")
    assert ran.code == 3 and "no step kind 'b'" in ran.err, ran


def test_a_step_kind_that_is_new_is_asked_for(space: Space) -> None:
    space.build("//p:two")
    offer(space, "a", "b", "c")
    write(space, kind="c")
    assert space.build("//p:two").performed == 2
    assert starts(space) == 2


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff", b'{"version":9,"offers":{}}', None])
def test_without_the_table_it_is_asked_at_once(space: Space, damage: bytes | None) -> None:
    space.build("//p:two")
    table = space.root / ".flowbuild/offers"
    assert table.exists()
    table.unlink() if damage is None else table.write_bytes(damage)
    assert space.run("//p:two").performed == 0
    assert starts(space) == 2 and json.loads(table.read_bytes())["version"] == 1


@pytest.mark.parametrize("policy", ["live", "verify"])  # under `verify` an engine that changed is a difference
def test_a_policy_that_performs_asks_first(space: Space, policy: str) -> None:
    space.build("//p:two")
    offer(space, "a", "b")
    assert space.run("//p:two", "--policy", policy).performed == 3
    assert starts(space) == 2


def test_what_was_offered_lies_where_trace_mind_would_look(space: Space) -> None:
    offer(space, "a")
    home = space.root / "home"
    home.mkdir()
    assert space.run("//p:two", HOME=str(home)).code == 3
    assert list(home.iterdir()) == []  # nobody here has TraceMind
    (home / ".trace_mind").mkdir()
    assert space.run("//p:two", HOME=str(home)).code == 3
    said = json.loads((home / ".trace_mind/runtime_capabilities/proc.json").read_text())
    assert said == {"version": "1.0.1", "step_kinds": ["a", "ir"], "limits": {"concurrency": 1}}
