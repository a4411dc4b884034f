"""A replay with the network cut by the kernel: all kinds of facts, items and a child run, from a bundle alone.

The server goes on answering outside, so a replay that asked would be seen. Seed 001: 001-03, 001-18, 001-20.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cut
import pytest
from counting import Counting, serving

from flowbuild.store.journal import read
from flowbuild.testing import Space

pytest.importorskip("httpx", reason="httpx is not installed: pip install '.[dev]'")

BUILD = """
targets:
  page:  {rule: python, handler: ask.py:page, env: [SHOP, PLACE], outputs: {page: page.json}}
  names: {rule: python, handler: ask.py:names, env: [SHOP], outputs: {names: names.json}}
  cards: {rule: python, handler: ask.py:card, env: [SHOP], each: {name: ":names"}, outputs: {card: cards/*.txt}}
  leaf:  {rule: python, handler: ask.py:leaf, env: [SHOP], params: {n: 1}, with: {n: "${{ params.n }}"},
          writes: [leaf.said], outputs: {leaf: leaf.txt}}
  tree:  {rule: run, targets: [":leaf"]}
  every: {rule: python, handler: ask.py:every, spawns: [":tree", ":leaf"], outputs: {said: every.json}}
  loud:
    rule: exec
    script: cat ${{ inputs.all }} | tr a-z A-Z > ${{ outputs.loud }}
    inputs: {all: [":page", ":names", ":every"]}
    outputs: {loud: loud.txt}
  report: {rule: run, targets: [":loud", ":cards"]}
"""
ASK = """
import json, os

def page(page, io):
    place = os.environ["PLACE"]
    seen = [
        io.call("http", {"url": os.environ["SHOP"] + "page"}, fact_key="page").response["body"],
        io.call("exec", {"program_path": place + "/draw", "argv": ["x"]}, fact_key="drawn").response,
        io.call("file", {"path": place + "/note.txt"}, fact_key="note").response["text"],
        io.call("env", {"name": "MOOD"}, fact_key="mood").response["value"],
        io.call("clock", {}, fact_key="then").response["millis"],
        io.call("random", {"size": 8}, fact_key="dice").response["base64"],
        io.now_millis(),
        io.random_bytes(8).hex(),
        io.record_value("pid", os.getpid()),
    ]
    page.write_text(json.dumps(seen))

def names(names, io):
    first = io.call("http", {"url": os.environ["SHOP"] + "names"}, fact_key="names").response["body"]
    names.write_text(json.dumps([f"{first} {letter}" for letter in "abc"]))

def card(name, card, io):
    card.write_text(io.call("http", {"url": os.environ["SHOP"] + name[-1]}, fact_key="card").response["body"])

def leaf(leaf, n, io, context):
    said = io.call("http", {"url": os.environ["SHOP"] + f"leaf/{n}"}, fact_key="leaf").response["body"]
    leaf.write_text(f"{n} {said} {io.random_bytes(4).hex()}")
    context.write("leaf.said", said)

def every(said, io):
    children = [io.spawn("//:tree", "tree"), io.spawn("//:leaf", "leaf", params={"n": 2})]
    said.write_text(json.dumps([list(io.await_run(child)) for child in children]))
"""
DRAW = '#!/bin/sh\nprintf \'{"drawn": "%s %s"}\' "$1" $$\n'
CONNECT = """
import errno, socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).close()
except OSError as error:
    print(errno.errorcode[error.errno])
"""
STATES = {"//:page", "//:names", "//:cards", "//:every", "//:loud"}


class Made(NamedTuple):
    """Two bundles far from their workspace, which is gone, and the address that was asked, which still answers."""

    report: Path
    child: Path
    address: tuple[str, str]
    variables: dict[str, str]


@pytest.fixture
def asked(space: Space, tmp_path: Path) -> Iterator[Space]:
    """A workspace that asks for everything that can be asked for."""
    Counting.seen = 0
    (tmp_path / "world").mkdir()
    (tmp_path / "world/note.txt").write_text("outside of it\n")
    (tmp_path / "world/draw").write_text(DRAW)
    (tmp_path / "world/draw").chmod(0o755)
    space.write("flowbuild.yaml", f"io: {{programs: [{tmp_path / 'world'}]}}\n")
    space.write("BUILD.yaml", BUILD)
    space.write("ask.py", ASK)
    with serving(Counting) as url:
        space.environment |= {"SHOP": url, "PLACE": str(tmp_path / "world"), "MOOD": "calm"}
        yield space


@pytest.fixture
def made(asked: Space, tmp_path: Path) -> Made:
    ran = asked.run("//:report")
    assert (ran.code, Counting.seen) == (0, 7), ran
    found = []
    for name in ("report", "tree"):
        (bundle,) = (path for path in (asked.root / "out" / name).iterdir() if path.is_dir())
        shutil.copytree(bundle, tmp_path / "elsewhere" / name)
        found.append(tmp_path / "elsewhere" / name)
    host, port = re.findall(r"//(.*):(\d+)/", asked.environment["SHOP"])[0]
    shutil.rmtree(asked.root)
    shutil.rmtree(tmp_path / "world")
    (tmp_path / "fresh").mkdir()
    plain = {name: text for name, text in asked.environment.items() if name not in ("SHOP", "PLACE", "MOOD")}
    return Made(*found, (host, port), plain)


@pytest.fixture(params=cut.WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """A way to cut that this host has."""
    refusal = cut.refusal(request.param)
    if refusal is not None:
        pytest.skip(f"this host can't cut by {request.param}: {refusal}")
    return str(request.param)


def verdicts(out: str) -> tuple[dict[str, str], dict[str, Any]]:
    """What a replay found of each state, and its sum."""
    rows = [json.loads(line) for line in out.splitlines()]
    return {row["label"]: row["found"] for row in rows[:-1]}, rows[-1]


def test_a_replay_of_everything_is_equal_where_no_packet_can_leave(made: Made, way: str, tmp_path: Path) -> None:
    cut_off = cut.run(way, ["-c", CONNECT, *made.address], tmp_path / "fresh", made.variables)
    assert cut_off.out.strip() in ("ENETUNREACH", "EACCES"), cut_off
    for bundle, states in ((made.report, STATES), (made.child, {"//:leaf"})):
        words = ["-m", "flowbuild", "runs", "replay", str(bundle), "--json"]
        ran = cut.run(way, words, tmp_path / "fresh", made.variables)
        assert ran.code == 0, ran
        found, total = verdicts(ran.out)
        assert (set(found), set(found.values()), total["equal"]) == (states, {"equal"}, len(states))
    assert Counting.seen == 7
    assert list((tmp_path / "fresh").iterdir()) == []


def test_a_handler_that_asked_by_itself_is_found_out_without_a_network(asked: Space, way: str, tmp_path: Path) -> None:
    asked.write("BUILD.yaml", "targets:\n  sly: {rule: python, handler: sly.py:sly, env: [SHOP], outputs: {o: o}}\n  report: {rule: run, targets: [':sly']}\n")  # fmt: skip
    asked.write("sly.py", "import os, urllib.request\ndef sly(o):\n    urllib.request.urlopen(os.environ['SHOP']).close()\n    o.write_text('same')\n")  # fmt: skip
    assert asked.run("//:report").code == 0
    words = ["runs", "replay", "//:report"]
    assert asked.run(*words).code == 0  # there, nobody notices
    ran = cut.run(way, ["-m", "flowbuild", *words], asked.root, asked.environment)
    assert ran.code == 1 and "  differs  //:sly  handler_raised: " in ran.out, ran


def test_a_verification_fails_there_with_the_code_of_the_door(asked: Space, way: str) -> None:
    """All is made anew, so what must ask is refused: exit 1, nothing is called equal, and LATEST stays."""
    assert asked.run("//:report").code == 0
    latest = (asked.root / "out/report/LATEST").read_text()
    words = ["-m", "flowbuild", "//:report", "--policy", "verify", "--continue", "always"]
    ran = cut.run(way, words, asked.root, asked.environment)
    assert ran.code == 1, ran
    assert re.search(r"^  failed  //:page   ConnectError: \[Errno \d+\] ", ran.out, re.M), ran
    assert re.search(r"^verified: 0 equal, 1 differs$", ran.out, re.M), ran  # it heard how its children ended: not well
    assert (asked.root / "out/report/LATEST").read_text() == latest
    (new,) = (path for path in (asked.root / "out/report").iterdir() if path.is_dir() and path.name != latest.strip())
    kernel = [event["event"].get("Kernel", {}) for event in read(new / "journal.jsonl")]
    infos = [one["StateFailed"]["error"]["info"] for one in kernel if "StateFailed" in one]
    assert [(info["code"], info["retryable"]) for info in infos] == [("http_refused", True)] * 2


def test_the_system_calls_of_a_replay_reach_nobody(made: Made, tmp_path: Path) -> None:
    """Nothing is cut off here: whatever could be reached is there, and the kernel saw no call that has to do with it."""
    refusal = cut.tried(["strace", "-f", "-o", os.devnull, "true"])
    if refusal is not None:
        pytest.skip(f"nothing can be traced here: {refusal}")
    assert any(call.startswith("connect(") for call in calls(tmp_path, made, ["-c", CONNECT, *made.address]))
    assert calls(tmp_path, made, ["-m", "flowbuild", "runs", "replay", str(made.report)]) == []


def calls(tmp_path: Path, made: Made, words: list[str]) -> list[str]:
    """Each call of a program of Python, or of what it starts, that makes or uses a socket of any family."""
    log = tmp_path / "calls"
    traced = ["strace", "-f", "-qq", "-e", "trace=network", "-e", "signal=none", "-o", str(log), sys.executable, *words]
    ended = subprocess.run(traced, capture_output=True, text=True, timeout=300, cwd=tmp_path, env=made.variables)
    assert ended.returncode == 0, ended
    return [line.split(maxsplit=1)[1] for line in log.read_text().splitlines()]


def test_another_user_replays_a_bundle_that_he_can_only_read(made: Made, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    with tempfile.TemporaryDirectory(prefix="flowbuild-cut-") as place:
        root = Path(place)
        root.chmod(0o755)
        for name in ("python", "own"):
            (root / name).mkdir()
        os.chown(root / "own", cut.NOBODY, cut.NOBODY)
        stranger = cut.Stranger(root / "python")
        refusal = stranger.refusal()
        if refusal is not None:
            pytest.skip(f"nobody can be another user here: {refusal}")
        shutil.copytree(made.report, root / "bundle")
        for path in [root / "bundle", *(root / "bundle").rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        variables = {**made.variables, "HOME": str(root / "own"), "TMPDIR": str(root / "own")}
        wrote = "import sys; open(sys.argv[1], 'w')"
        assert "PermissionError" in stranger.run(["-c", wrote, str(root / "bundle/new")], root / "own", variables).err
        ran = stranger.run(
            ["-m", "flowbuild", "runs", "replay", str(root / "bundle"), "--json"], root / "own", variables
        )
        assert ran.code == 0, ran
        found, _ = verdicts(ran.out)
        assert (set(found), set(found.values())) == (STATES, {"equal"})
        assert list((root / "own").iterdir()) == []
