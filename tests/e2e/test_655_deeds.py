"""A deed with an idempotency key happens at most once, wherever the program is killed: a real server counts.

Every boundary between two events of the journal is tried, and each barrier torn, written and flushed. After each kill
the same words are typed again; the pipeline must come to what it comes to undisturbed, nobody is asked again for what
is a fact, and the server has seen one effect.

Seed 001: 001-13, 001-28, 001-31.
"""

from __future__ import annotations

import http.server
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from counting import serving
from killing import killed, points

from flowbuild.bundle.read import load_bundle
from flowbuild.run.story import Story, story
from flowbuild.store.journal import read
from flowbuild.testing import Space

pytest.importorskip("httpx", reason="httpx is not installed: pip install '.[dev]'")

BUILD = """
targets:
  page: {rule: python, handler: steps.py:page, outputs: {page: page.txt}}
  tell:
    rule: python
    handler: steps.py:tell
    inputs: {page: ":page"}
    outputs: {receipt: receipt.txt}
    side_effects: apply_side_effect
    idempotency_key: the only one
  loud: {rule: exec, script: "tr a-z A-Z < ${{ inputs.r }} > ${{ outputs.o }}", inputs: {r: ":tell"}, outputs: {o: loud.txt}}
  report: {rule: run, targets: [":loud"]}
"""
STEPS = """
def page(page, io):
    page.write_text(io.call("http", {"url": "URL"}, fact_key="page").response["body"])

def tell(page, receipt, io):
    request = {"method": "POST", "url": "URL", "body": page.read_text(), "headers": {"Idempotency-Key": "k-1"}}
    receipt.write_text(io.call("http", request, fact_key="receipt").response["body"])
"""
SLICES = 4
WORDS = ("//:report", "-j1")


class Outside(http.server.BaseHTTPRequestHandler):
    """Counts what it is asked, what it is told, and what came of it."""

    asked = told = 0
    honours = True
    effects: list[str]
    on_post: Callable[[], None] | None

    def do_GET(self) -> None:
        Outside.asked += 1
        self.answer(b"the page")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        Outside.told += 1
        key = self.headers["Idempotency-Key"]
        if key not in Outside.effects or not Outside.honours:
            Outside.effects.append(key)
        if Outside.on_post is not None:
            Outside.on_post()
        self.answer(f"done {key}".encode())

    def answer(self, body: bytes) -> None:
        try:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:  # who asked was killed
            pass

    def log_message(self, *words: Any) -> None: ...


@pytest.fixture
def url() -> Iterator[str]:
    with serving(Outside) as address:
        yield address


def fresh(root: Path, url: str) -> Space:
    Outside.asked, Outside.told, Outside.effects, Outside.on_post, Outside.honours = 0, 0, [], None, True
    space = Space(root)
    space.write("BUILD.yaml", BUILD)
    space.write("steps.py", STEPS.replace("URL", url))
    return space


def told(space: Space) -> Story:
    """What the one run that there is says until now; an empty story before it began."""
    journals = list((space.root / "out").glob("report/*/journal.jsonl"))
    assert len(journals) <= 1
    return story(read(journals[0])) if journals else Story()


def outputs(space: Space) -> dict[str, Any]:
    """What each state of the last bundle came to."""
    out = space.root / "out/report"
    bundle = load_bundle(out / out.joinpath("LATEST").read_text().strip())
    assert story(read(bundle.out_dir / "journal.jsonl")).status == "Completed"
    return {state_id: row["outputs"] for state_id, row in bundle.document("summary.json")["states"].items()}


@pytest.mark.parametrize("part", range(SLICES))
def test_a_deed_is_done_once_wherever_the_program_is_killed(tmp_path: Path, url: str, part: int) -> None:
    space = fresh(tmp_path / "undisturbed", url)
    everywhere = points(space, *WORDS)
    whole = outputs(space)
    assert (Outside.asked, Outside.told, Outside.effects) == (1, 1, ["k-1"])
    assert sum(where == "flushed" for where, _ in everywhere) == 3  # two facts, one intent
    for number, (where, event) in enumerate(everywhere[part::SLICES]):
        space = fresh(tmp_path / str(number), url)
        done = killed(space, where, event, *WORDS)
        assert done.returncode == -signal.SIGKILL, (where, event, done)
        before, counted = told(space), (Outside.asked, Outside.told)
        assert len(Outside.effects) == counted[1] <= 1
        again = space.run("//:report", "-j1")
        assert again.code == 0, (where, event, again)
        assert outputs(space) == whole, (where, event)
        assert Outside.effects == ["k-1"], (where, event)
        asked, posted = Outside.asked - counted[0], Outside.told - counted[1]
        assert (asked, posted) == ("page" not in before.facts, "receipt" not in before.facts), (where, event)
        posted = Outside.told
        assert (space.run("//:report", "-j1").code, Outside.told) == (0, posted), (where, event)


def kill_at_post(space: Space) -> Callable[[], None]:
    """Kills the program as soon as the outside has done what it asked for, and before it can hear of it."""
    process = space.start("//:report", "-j1")
    ended = threading.Event()

    def kill() -> None:
        Outside.on_post = None
        os.kill(process.pid, signal.SIGKILL)
        ended.set()

    Outside.on_post = kill
    assert ended.wait(60)
    process.communicate()
    return kill


def test_killed_between_the_deed_and_its_fact_it_is_told_twice_and_done_once(tmp_path: Path, url: str) -> None:
    space = fresh(tmp_path / "workspace", url)
    kill_at_post(space)
    assert "receipt" not in told(space).facts
    assert space.run("//:report").code == 0
    assert (Outside.asked, Outside.told, Outside.effects) == (1, 2, ["k-1"])
    assert (space.run("//:report").code, Outside.told) == (0, 2)


DEED = """
import os, pathlib, signal

def deed(receipt):
    if not os.path.exists("GATE"):
        pathlib.Path("GATE").touch()
        os.kill(os.getppid(), signal.SIGKILL)
    receipt.write_text("done")
"""


def test_a_run_that_was_killed_in_a_deed_that_asks_nobody_is_gone_on_with(space: Space, tmp_path: Path) -> None:
    deed = "{rule: python, handler: steps.py:deed, outputs: {receipt: r.txt}, side_effects: apply_side_effect}"
    space.write("BUILD.yaml", f"targets:\n  deed: {deed}\n")
    space.write("steps.py", DEED.replace("GATE", str(tmp_path / "gate")))
    assert space.run("//:deed").code == -signal.SIGKILL
    ran = space.run("//:deed")
    assert (ran.code, "going on with run" in ran.out) == (0, True), ran


def test_where_the_outside_does_not_honour_the_key_it_is_done_twice(tmp_path: Path, url: str) -> None:
    """The limit: between a deed and the record of it nobody here can know that it was done."""
    space = fresh(tmp_path / "workspace", url)
    Outside.honours = False
    kill_at_post(space)
    assert space.run("//:report").code == 0
    assert (Outside.told, Outside.effects) == (2, ["k-1", "k-1"])
    journal = next((space.root / "out").glob("report/*/journal.jsonl")).read_text().splitlines()
    intents = [json.loads(line)["event"] for line in journal if '"effect_intended"' in line]
    assert [row["Domain"]["payload"]["idempotency_key"] for row in intents] == ["the only one"] * 2
