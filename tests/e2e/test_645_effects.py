"""Attempts and deeds: what may help is tried again, what changes the world is done once for each key.

Seed 001: 001-04, 001-13.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from flowbuild.testing import Space

FLAKY = """
import pathlib
from flowbuild.io import HandlerFailed

def tries(out, place, good):
    count = pathlib.Path(place)
    number = int(count.read_text()) + 1 if count.exists() else 1
    count.write_text(str(number))
    if number < good:
        raise HandlerFailed("busy", code="busy", retryable=RETRYABLE)
    out.write_text(str(number))
"""


def flaky(space: Space, *, good: int, retry: str, is_retryable: bool = True) -> None:
    space.write("flaky.py", FLAKY.replace("RETRYABLE", str(is_retryable)))
    place = space.root.parent / "count"
    space.write("BUILD.yaml", f"targets:\n  t: {{rule: python, handler: 'flaky.py:tries', with: {{place: '{place}', good: {good}}}, outputs: {{out: o}}, retry: {retry}}}\n")  # fmt: skip


def journal(space: Space) -> list[tuple[str, Any]]:
    (path,) = (space.root / ".flowbuild/runs").glob("*/journal.jsonl")
    rows = [json.loads(line)["event"] for line in path.read_text().splitlines()]
    return [next(iter(row["Kernel"].items())) for row in rows if "Kernel" in row]


@pytest.mark.parametrize(
    "retry", ["{attempts: 3}", "{attempts: 3, delay_ms: 1}", "{attempts: 9, delay_ms: 1, max_delay_ms: 2}"]
)
def test_what_may_help_is_tried_again(space: Space, retry: str) -> None:
    flaky(space, good=3, retry=retry)
    assert space.run("//:t").code == 0
    assert space.read("out/bin/t/o") == "3"
    entered = [fields["attempt"] for name, fields in journal(space) if name == "StateEntered"]
    failed = [fields["error"]["info"]["code"] for name, fields in journal(space) if name == "StateFailed"]
    assert (entered, failed) == ([0, 1, 2], ["busy", "busy"])


@pytest.mark.parametrize(
    ("retry", "is_retryable", "attempts"), [("{attempts: 2}", True, 2), ("{attempts: 5}", False, 1)]
)
def test_what_does_not_help_is_not(space: Space, retry: str, is_retryable: bool, attempts: int) -> None:
    flaky(space, good=9, retry=retry, is_retryable=is_retryable)
    ran = space.run("//:t")
    assert ran.code == 1 and "busy" in ran.out
    assert (space.root.parent / "count").read_text() == str(attempts)


def test_a_command_says_try_again_by_its_exit_code(space: Space) -> None:
    place = space.root.parent / "count"
    body = f"echo x >> {place}; test $(wc -l < {place}) -gt 2 || exit 75; echo > ${{{{ outputs.o }}}}"
    space.write(
        "BUILD.yaml", f"targets:\n  t: {{rule: exec, script: '{body}', outputs: {{o: o}}, retry: {{attempts: 3}}}}\n"
    )
    assert space.run("//:t").code == 0
    assert place.read_text() == "x\n" * 3


@pytest.mark.parametrize(
    ("retry", "said"),
    [
        ("{tries: 3}", "`retry` has no 'tries'"),
        ("{attempts: 0}", "`attempts` of `retry` is a whole number from 1"),
        ("{delay_ms: 3}", "`retry` needs `attempts`"),
        ("{attempts: '3'}", "`attempts` of `retry` is a whole number"),
        ("3", "'retry' is a mapping"),
    ],
)
def test_what_retry_may_not_say(space: Space, retry: str, said: str) -> None:
    flaky(space, good=1, retry=retry)
    ran = space.run("//:t")
    assert ran.code == 2 and said in ran.err and "BUILD.yaml:2:" in ran.err


DEED = """
targets:
  deed:
    rule: exec
    script: "echo $WHO >> PLACE; echo done > ${{ outputs.o }}"
    env: {WHO: "${{ params.who }}"}
    params: {who: me, key: one}
    side_effects: apply_side_effect
    outputs: {o: o}
"""


def deed(space: Space, more: str = "") -> Path:
    place = space.root.parent / "deeds"
    space.write("BUILD.yaml", DEED.replace("PLACE", str(place)) + more)
    return place


KEY = '    idempotency_key: "${{ params.key }}"\n'


def test_a_deed_is_done_in_every_build(space: Space) -> None:
    place = deed(space)
    assert [space.run("//:deed").performed for _ in range(3)] == [1, 1, 1]
    assert place.read_text() == "me\n" * 3


@pytest.mark.parametrize(("effects", "performed"), [("pure", [1, 0]), ("read_only_io", [1, 1])])
def test_what_reads_from_outside_is_performed_in_every_build(space: Space, effects: str, performed: list[int]) -> None:
    deed(space)
    space.write("BUILD.yaml", space.read("BUILD.yaml").replace("apply_side_effect", effects))
    assert [space.run("//:deed").performed for _ in range(2)] == performed
    space.write("BUILD.yaml", space.read("BUILD.yaml").replace(effects, "pure"))
    assert space.run("//:deed").performed == performed[1]
    space.write("BUILD.yaml", space.read("BUILD.yaml").replace("pure", "read_only_io"))
    assert space.run("//:deed").performed == 1  # it was remembered when it was pure


def test_a_deed_with_a_key_is_done_once_for_each(space: Space) -> None:
    place = deed(space, KEY)
    assert space.build("//:deed").performed == 1
    assert space.build("//:deed", "--set", "key=two").performed == 1
    assert space.run("//:deed", "--policy", "live").performed == 0
    assert place.read_text() == "me\n" * 2


def test_a_key_means_one_thing(space: Space) -> None:
    place = deed(space, KEY)
    space.build("//:deed")
    ran = space.run("//:deed", "--set", "who=you")
    assert ran.code == 2
    assert "//:deed: the idempotency key 'one' was used with other inputs" in ran.err
    assert place.read_text() == "me\n"


def test_a_key_of_a_second_attempt_means_one_thing_after_a_lost_memo_too(space: Space) -> None:
    flaky(space, good=2, retry="{attempts: 2}, side_effects: apply_side_effect, idempotency_key: once")
    assert space.run("//:t").code == 0
    space.write("flaky.py", space.read("flaky.py") + "# another action\n")
    space.remove(".flowbuild/memo")
    again = space.run("//:t")
    assert (again.code, "was used with other inputs" in again.err) == (2, True), again


def test_a_key_without_a_deed_is_refused(space: Space) -> None:
    deed(space, KEY)
    text = space.read("BUILD.yaml").replace("    side_effects: apply_side_effect\n", "")
    space.write("BUILD.yaml", text)
    ran = space.run("//:deed")
    assert ran.code == 2 and "an idempotency key belongs to `side_effects: apply_side_effect`" in ran.err


def test_a_deed_is_not_done_again_by_a_replay(space: Space) -> None:
    place = deed(space, KEY + "  report: {rule: run, targets: [':deed']}\n")
    assert space.run("//:report").code == 0
    ran = space.run("runs", "replay", "//:report")
    assert (ran.code, place.read_text()) == (0, "me\n")
    assert "taken" in ran.out
    assert (space.run("//:report").performed, place.read_text()) == (0, "me\n")


def test_the_wait_for_another_attempt_is_cancelled(space: Space) -> None:
    flaky(space, good=9, retry="{attempts: 3, delay_ms: 3600000}")
    process = space.start("//:t")
    until = time.monotonic() + 60
    while not (space.root.parent / "count").exists():
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.01)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert (space.root.parent / "count").read_text() == "1"
    ended = [fields for name, fields in journal(space) if name == "RunCompleted"]
    assert [fields["status"] for fields in ended] == ["Cancelled"]
