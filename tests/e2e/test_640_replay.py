"""Facts and replay: what a handler asks of the outside is recorded, and a bundle repeats its run without it.

Seed 001: 001-03, 001-18, 001-20.
"""

from __future__ import annotations

import http.server
import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from counting import Counting

from flowbuild.testing import Space

BUILD = """
targets:
  page: {rule: python, handler: fetch.py:page, outputs: {page: page.txt}}
  loud: {rule: exec, script: "tr a-z A-Z < ${{ inputs.page }} > ${{ outputs.loud }}", inputs: {page: ":page"}, outputs: {loud: loud.txt}}
  report: {rule: run, targets: [":loud"]}
"""
FETCH = """
from flowbuild.io import Emit, Io

def page(page, io: Io, emit: Emit):
    reply = io.call("http", {"url": "URL"}, fact_key="page").response
    emit("page_read", {"status": reply["status"]})
    page.write_text(f"{reply['body']} {io.now_millis()} {io.random_bytes(4).hex()}\\n")
"""


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    Counting.seen = 0
    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Counting)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


@pytest.fixture
def report(space: Space, server: http.server.ThreadingHTTPServer) -> Space:
    space.write("BUILD.yaml", BUILD)
    space.write("fetch.py", FETCH.replace("URL", f"http://127.0.0.1:{server.server_port}/"))
    return space


def bundle(space: Space) -> Path:
    out = space.root / "out/report"
    return out / out.joinpath("LATEST").read_text().strip()


def events(path: Path, name: str) -> list[dict[str, Any]]:
    rows = [json.loads(line)["event"] for line in (path / "journal.jsonl").read_text().splitlines()]
    return [row["Domain"]["payload"] for row in rows if row.get("Domain", {}).get("name") == name]


def test_a_run_that_asked_the_outside_is_performed_again_next_time(report: Space) -> None:
    first = report.run("//:report")
    assert (first.code, first.performed, Counting.seen) == (0, 2, 1), first
    facts = events(bundle(report), "fact_recorded")
    assert [fact["key"].partition("|")[0] for fact in facts] == [
        "page",
        "flowbuild:now_millis",
        "flowbuild:random_bytes",
    ]
    assert events(bundle(report), "page_read") == [{"state_id": facts[0]["meta"]["state_id"], "value": {"status": 200}}]
    assert (report.run("//:report").performed, Counting.seen) == (2, 2)


def test_a_bundle_repeats_its_run_with_the_server_gone_and_elsewhere(
    report: Space, server: http.server.ThreadingHTTPServer, tmp_path: Path
) -> None:
    assert report.run("//:report").code == 0
    server.shutdown()
    shutil.copytree(bundle(report), tmp_path / "elsewhere")
    os.rename(report.root, tmp_path / "gone")
    other = Space(tmp_path / "other")
    ran = other.run("runs", "replay", str(tmp_path / "elsewhere"), "-v")
    assert (ran.code, ran.out.splitlines()) == (
        0,
        ["  equal    //:page", "  equal    //:loud", "replayed elsewhere: 2 equal"],
    ), ran
    assert Counting.seen == 1


def test_a_handler_that_asks_for_more_than_its_run_did_is_found(report: Space) -> None:
    text = (report.root / "fetch.py").read_text()
    report.write("fetch.py", text.replace('fact_key="page"', "fact_key=open('/proc/self/stat').read().split()[0]"))
    assert report.run("//:report").code == 0
    ran = report.run("runs", "replay", "//:report")
    assert ran.code == 1
    assert "differs  //:page  missing_fact: the source run has no fact " in ran.out


def test_what_is_not_deterministic_differs(report: Space) -> None:
    report.write("fetch.py", "import os\ndef page(page): page.write_text(os.urandom(8).hex())\n")
    assert report.run("//:report").code == 0
    rows = [json.loads(line) for line in report.run("runs", "replay", "//:report", "--json").out.splitlines()]
    assert [(row["label"], row["found"], list(row["outputs"])) for row in rows[:-1]] == [
        ("//:page", "differs", ["page"]),
        ("//:loud", "equal", []),
    ]
    assert rows[-1]["differs"] == 1
    lines = (bundle(report) / "journal.jsonl").read_text().splitlines()
    said = json.loads(lines[rows[0]["event"]["seq"] - 1])["event"]["Domain"]
    assert (said["name"], said["payload"]["state_id"]) == (rows[0]["event"]["name"], rows[0]["state"])
    told = f"; the first that differs is //:page, event {rows[0]['event']['seq']} (outcome_recorded)\n"
    assert report.run("runs", "replay", "//:report").out.endswith(f"1 equal, 1 differs{told}")


def test_a_large_input_is_external_and_named(report: Space) -> None:
    report.write("flowbuild.yaml", "bundle: {max_input: 100}\n")
    report.write("big.txt", "x" * 101)
    report.write("BUILD.yaml", "targets:\n  c: {rule: exec, script: 'cat ${{ inputs.i }} | wc -c > ${{ outputs.o }}', inputs: {i: big.txt}, outputs: {o: o}}\n  report: {rule: run, targets: [':c']}\n")  # fmt: skip
    assert report.run("//:report").code == 0
    assert [row["path"] for row in json.loads((bundle(report) / "external.json").read_text())["artifacts"]] == [
        "big.txt"
    ]
    ran = report.run("runs", "replay", "//:report")
    assert ran.code == 1 and "absent   //:c  the bundle does not hold big.txt" in ran.out


def test_an_object_under_another_name_is_found_when_it_is_taken_in(report: Space) -> None:
    """A whole bundle, as far as its index can tell: each file has the digest of its row, and one has a wrong name."""
    assert report.run("//:report").code == 0
    path = bundle(report)
    (mine,) = (row["payload_id"] for row in events(path, "fact_recorded") if row["key"] == "page")
    wrong = "0" * 64
    (path / "objects" / mine).rename(path / "objects" / wrong)
    index = path / "artifact_index.json"
    index.write_text(index.read_text().replace(f"objects/{mine}", f"objects/{wrong}"))
    ran = report.run("runs", "replay", str(path))
    assert ran.code == 5 and "artifact_put_id_mismatch: " in ran.err and f"are those of {mine}" in ran.err, ran
    assert "build its target again" in ran.err


def test_an_up_to_date_run_of_targets_makes_no_new_bundle(report: Space) -> None:
    report.write("fetch.py", "def page(page): page.write_text('same')\n")
    assert report.run("//:report").performed == 2
    first = bundle(report)
    again = report.run("//:report")
    assert (again.code, again.performed, bundle(report)) == (0, 0, first)
    assert report.run("bundle", "validate", "//:report").code == 0


def test_a_failed_run_of_targets_is_committed_and_moves_nothing(report: Space) -> None:
    report.write("fetch.py", "def page(page): page.write_text('same')\n")
    assert report.run("//:report").code == 0
    first = bundle(report)
    report.write("fetch.py", "def page(page): raise ValueError('no')\n")
    assert report.run("//:report").code == 1
    assert bundle(report) == first
    statuses = sorted(
        json.loads(path.read_text())["status"] for path in (report.root / "out/report").glob("*/summary.json")
    )
    assert statuses == ["failed", "ok"]


def test_a_secret_is_no_fact(report: Space) -> None:
    report.write("fetch.py", "def page(page, io): io.record_value('k', {'api_key': 'abc123'})\n")
    ran = report.run("//:page")
    assert ran.code == 1 and "secrets_detected" not in ran.err
    assert "a fact or an event holds what looks like a secret" in ran.out
