"""A fan-out of deeds: each is done once for its idempotency key, and their join is remembered if all of them have one.

A real server counts what it is told.
"""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator

import pytest
from counting import Told, serving
from killing import killed

from flowbuild.testing import Ran, Space

pytest.importorskip("httpx", reason="httpx is not installed: pip install '.[dev]'")

BUILD = """
targets:
  tell:
    rule: python
    handler: steps.py:tell
    each: {one: list.json}
    with: {word: "${{ params.word }}"}
    params: {word: hello}
    side_effects: apply_side_effect
    idempotency_key: "${{ one.key }}"
    outputs: {receipt: receipts/*.txt}
  report: {rule: run, targets: [":tell"]}
"""
STEPS = """
def tell(one, word, receipt, io):
    request = {"method": "POST", "url": "URL", "body": f"{word} {one['name']}"}
    receipt.write_text(io.call("http", request, fact_key="receipt").response["body"])
"""


def people(space: Space, *names: str, unkeyed: str = "") -> None:
    rows = [{"name": name, "key": None if name == unkeyed else f"tell {name}"} for name in names]
    space.write("list.json", json.dumps(rows))


@pytest.fixture
def deeds(space: Space) -> Iterator[Space]:
    Told.bodies = []
    space.write("BUILD.yaml", BUILD)
    people(space, "ada", "bob", "cay")
    with serving(Told) as url:
        space.write("steps.py", STEPS.replace("URL", url))
        yield space


def told() -> list[str]:
    """What the server was told since this was asked last."""
    said, Told.bodies = sorted(Told.bodies), []
    return said


def built(ran: Ran) -> int | None:
    assert ran.code == 0, ran
    return ran.performed


ALL = ["hello ada", "hello bob", "hello cay"]


def test_an_unchanged_fan_out_of_deeds_with_keys_is_up_to_date(deeds: Space) -> None:
    assert (built(deeds.run("//:tell")), told()) == (1, ALL)
    explained = deeds.run("explain", "//:tell")
    assert "0 would run, 0 may run, 1 would be reused" in explained.out, explained
    assert deeds.run("//:tell").out.startswith("up to date")
    shutil.rmtree(deeds.root / ".flowbuild/null")
    assert deeds.run("//:tell").out.startswith("up to date")
    assert told() == []


def test_a_run_of_it_commits_no_second_bundle(deeds: Space) -> None:
    built(deeds.run("//:report"))
    latest = deeds.read("out/report/LATEST")
    assert built(deeds.run("//:report")) == 0
    shutil.rmtree(deeds.root / ".flowbuild/null")
    assert built(deeds.run("//:report")) == 0
    assert deeds.read("out/report/LATEST") == latest
    assert deeds.run("runs", "replay", "//:report").code == 0
    assert told() == ALL


def test_only_the_new_deed_is_done(deeds: Space) -> None:
    deeds.run("//:tell")
    told()
    people(deeds, "dan", "cay", "ada")
    assert "1 of 3 items" in deeds.run("//:tell").out
    assert told() == ["hello dan"]
    assert (built(deeds.run("//:tell")), told()) == (0, [])
    assert deeds.read("out/bin/tell/receipts/00000.txt") == "done: hello dan"


def test_a_deed_without_a_key_is_done_in_every_build_and_its_join_with_it(deeds: Space) -> None:
    people(deeds, "ada", "bob", unkeyed="bob")
    for expected in (["hello ada", "hello bob"], ["hello bob"], ["hello bob"]):
        assert (built(deeds.run("//:tell")), told()) == (1, expected)
    assert "1 would run" in deeds.run("explain", "//:tell").out


def test_a_key_that_was_used_with_other_inputs_is_refused_before_anything_is_done(deeds: Space) -> None:
    people(deeds, "bob", "cay")
    deeds.run("//:tell", "--set", "word=hi")
    told()
    people(deeds, "ada", "bob")
    for words in (("//:tell",), ("explain", "//:tell"), ("//:tell", "--policy", "live")):
        ran = deeds.run(*words)
        assert (ran.code, told()) == (2, []), ran
        assert "the idempotency key 'tell bob' was used with other inputs" in ran.err


def test_a_key_is_asked_even_if_the_join_is_remembered(deeds: Space) -> None:
    """The key of the join holds the keys of its children, which say nothing of their other inputs."""
    deeds.run("//:tell")
    told()
    ran = deeds.run("//:tell", "--set", "word=hi")
    assert (ran.code, told()) == (2, []) and "was used with other inputs" in ran.err, ran
    assert (built(deeds.run("//:tell")), told()) == (0, [])


def test_force_and_a_verification_are_as_before(deeds: Space) -> None:
    built(deeds.run("//:report"))
    told()
    verified = deeds.run("//:report", "--policy", "verify")
    assert (verified.code, told()) == (0, []) and "verified: 0 equal, 1 unverified\n" in verified.out, verified
    assert (built(deeds.run("//:tell", "--policy", "live")), told()) == (0, [])
    assert (built(deeds.run("//:tell", "--force", "//:tell")), told()) == (1, ALL)


def test_a_lost_memo_loses_no_deed(deeds: Space) -> None:
    built(deeds.run("//:tell"))
    (deeds.root / ".flowbuild/memo").unlink()
    shutil.rmtree(deeds.root / ".flowbuild/null")
    assert built(deeds.run("//:tell")) == 0
    people(deeds, "ada", "dan")
    built(deeds.run("//:tell"))
    assert told() == [*ALL, "hello dan"]
    (deeds.root / ".flowbuild/memo").unlink()
    ran = deeds.run("//:tell", "--set", "word=hi")
    assert (ran.code, told()) == (2, []) and "was used with other inputs" in ran.err, ran


@pytest.mark.parametrize("which", [0, -1])
def test_a_deed_that_was_killed_between_memo_and_journal_is_not_lost_with_the_memo(deeds: Space, which: int) -> None:
    built(deeds.run("//:report", "-j1"))
    (journal,) = deeds.root.glob("out/report/*/journal.jsonl")
    number = [n for n, line in enumerate(journal.read_text().splitlines(), 1) if '"item_recorded"' in line][which]
    for place in ("out", ".flowbuild"):
        shutil.rmtree(deeds.root / place)
    told()
    assert killed(deeds, "before", number, "//:report", "-j1").returncode == -signal.SIGKILL
    ran = deeds.run("//:report", "-j1")
    assert "going on with run" in ran.out and built(ran) == 1, ran
    shutil.rmtree(deeds.root / ".flowbuild/null")
    (deeds.root / ".flowbuild/memo").unlink()
    assert built(deeds.run("//:report", "-j1")) == 0
    assert told() == ALL
