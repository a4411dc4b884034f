"""Random pipelines under random harm: whatever is done to their runs, they come to what they come to undisturbed.

Each seed makes a pipeline of commands, questions to a real server, deeds, fan-outs, contexts, child runs and retries.
It is killed at events and at moments, cancelled, stopped and let on, built twice at once, edited and swept, and must
then build. `FLOWBUILD_CHAOS=40` tries forty seeds, and `FLOWBUILD_CHAOS=17..18` these.
"""

from __future__ import annotations

import http.server
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from counting import serving

from flowbuild.store.journal import read
from flowbuild.testing import Space

pytest.importorskip("httpx", reason="httpx is not installed: pip install '.[dev]'")

HANDLERS = '''
import json
from flowbuild.io import HandlerFailed


def fetch(out, io, name, inp=None):
    """Asks, and asks what never says the same twice: the same attempt after a kill must hear the same."""
    body = io.call("http", {"url": f"URL/{name}"}, fact_key=f"{name} page").response["body"]
    drawn = io.random_bytes(8).hex()
    told = io.call("http", {"url": f"URL/tell/{name}/{drawn}"}, fact_key=f"{name} told").response["body"]
    io.call("clock", {}, fact_key=f"{name} now")
    out.write_text(f"{body} {told == drawn} {inp.read_text() if inp else ''}\\n")


def flaky(out, io, name, inp=None):
    body = io.call("http", {"url": f"URL/flaky/{name}"}, fact_key=f"{name} page").response["body"]
    if io.get_recorded_fact(f"{name} tried") is None:
        io.record_value(f"{name} tried", True)
        raise HandlerFailed("not yet", retryable=True)
    out.write_text(f"{body}\\n")


def deed(out, io, name):
    request = {"method": "POST", "url": f"URL/{name}", "body": name, "headers": {"Idempotency-Key": name}}
    out.write_text(io.call("http", request, fact_key=f"{name} receipt").response["body"])


def names(out, inp=None):
    text = inp.read_text() if inp else "none"
    out.write_text(json.dumps([f"{n} {text[:20].strip()}" for n in range(3)]))


def item(out, word):
    out.write_text(f"item {word}\\n")


def ask_item(out, word, io):
    out.write_text(io.call("http", {"url": "URL/item"}, fact_key="page").response["body"] + word)


def write(out, context, name, inp=None):
    context.write(f"key.{name}", inp.read_text() if inp else name)
    out.write_text(name)


def child(out, io, name):
    children = [io.spawn(":leaf", f"{name} {n}", params={"n": n}) for n in (1, 2)]
    out.write_text(" ".join(io.await_run(one).status for one in children))


def leaf(out, n, io):
    out.write_text(io.call("http", {"url": f"URL/leaf/{n}"}, fact_key="page").response["body"])
'''
PYTHON = "rule: python, handler: 'steps.py:{0}', with: {{name: {1}}}"
KINDS = {
    "command": "rule: exec, script: 'cat $INP seed.txt | tr a-z A-Z > ${{{{ outputs.out }}}}'",
    "fetch": PYTHON,
    "flaky": PYTHON + ", retry: {{attempts: 4, delay_ms: 20}}, pool: one",
    "deed": PYTHON + ", side_effects: apply_side_effect, idempotency_key: {1}",
    "write": PYTHON + ", writes: [key.{1}]",
    "child": PYTHON + ", spawns: [':leaf']",
    "each": "rule: python, handler: 'steps.py:{2}', each: {{word: ':{1}_names'}}",
}
READS = ("command", "fetch", "write")
KILLED = Path(__file__).with_name("killed.py")


class Outside(http.server.BaseHTTPRequestHandler):
    """Says the same to the same question, fails now and then, and does what it is told once for each key."""

    effects: ClassVar[Counter[str]] = Counter()
    asked: ClassVar[Counter[str]] = Counter()

    def do_GET(self) -> None:
        Outside.asked[self.path] += 1
        tell = re.fullmatch(r"/tell/(\w+)/(\w+)", self.path)
        patience = self.path.startswith("/flaky") and Outside.asked[self.path] % 2
        self.answer(503 if patience else 200, tell[2] if tell else f"said {self.path}")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        Outside.effects[self.headers["Idempotency-Key"]] = 1
        self.answer(200, f"done {self.path}")

    def answer(self, status: int, text: str) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())
        except OSError:
            pass  # whoever asked was killed

    def log_message(self, *words: object) -> None: ...


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(Outside) as address:
        yield address.rstrip("/")


def seeds() -> list[int]:
    asked = os.environ.get("FLOWBUILD_CHAOS", "1")
    first, dots, last = asked.partition("..")
    return list(range(int(first), int(last))) if dots else list(range(int(asked)))


def pipeline(space: Space, seed: int, url: str) -> None:
    """A pipeline of this seed, in which each step may read one before."""
    chance = random.Random(seed)
    lines = [
        "targets:",
        "  leaf: {rule: python, handler: 'steps.py:leaf', params: {n: 1}, with: {n: '${{ params.n }}'},",
    ]
    lines += ["    outputs: {out: leaf.txt}}"]
    made: list[str] = []
    kinds = [*KINDS, *chance.choices(list(KINDS), k=4)]
    chance.shuffle(kinds)
    for number, kind in enumerate(kinds):
        name = f"s{number}"
        before = chance.choice(made) if made and kind in (*READS, "each") and chance.random() < 0.8 else None
        inputs = f", inputs: {{inp: ':{before}'}}" if before else ""
        text = KINDS[kind].format(kind, name, chance.choice(["item", "ask_item"]))
        text = text.replace("$INP", "${{ inputs.inp }}" if before else "")
        if kind == "each":
            lines.append(
                f"  {name}_names: {{rule: python, handler: 'steps.py:names'{inputs}, outputs: {{out: n.json}}}}"
            )
            inputs = ""
        if kind == "command":
            inputs = ", inputs: {seed: seed.txt" + (f", inp: ':{before}'" if before else "") + "}"
        after = f", after: [':{chance.choice(made)}']" if made and kind in ("deed", "flaky", "child") else ""
        out = "out/*.txt" if kind == "each" else "out.txt"
        lines.append(f"  {name}: {{{text}{inputs}{after}, outputs: {{out: {out}}}}}")
        if kind != "each":
            made.append(name)
    each = [f"s{number}" for number, kind in enumerate(kinds) if kind == "each"]
    lines.append(f"  whole: {{rule: run, targets: [{', '.join(repr(':' + name) for name in made + each)}]}}")
    space.write("flowbuild.yaml", "pools: {one: 1}\n")
    space.write("BUILD.yaml", "\n".join(lines) + "\n")
    space.write("steps.py", HANDLERS.replace("URL", url))
    space.write("seed.txt", "first\n")


class Harm:
    """What is done to a workspace; each word is a row."""

    def __init__(self, space: Space, chance: random.Random) -> None:
        self.space, self.chance = space, chance

    def start(self, *before: str, words: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        environment = {**os.environ, **self.space.environment, "PYTHONPATH": ":".join(sys.path)}
        run = [*(before or ("-m", "flowbuild")), "//:whole", "-j", str(self.chance.choice([1, 2, 4])), *words]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": self.space.root, "env": environment}
        return subprocess.Popen([sys.executable, *run], start_new_session=True, **quiet)  # type: ignore[call-overload,no-any-return]

    def at_an_event(self) -> None:
        where = self.chance.choice(["before", "after", "torn", "flushed"])
        self.start(str(KILLED), where, str(self.chance.randrange(1, 90))).wait(60)

    def at_a_moment(self) -> None:
        process = self.start()
        time.sleep(self.chance.uniform(0.1, 1.5))
        process.kill()
        process.wait(60)

    def two_at_once(self) -> None:
        both = [self.start(), self.start()]
        time.sleep(self.chance.uniform(0.2, 1.0))
        self.chance.choice(both).kill()
        for process in both:
            process.wait(60)

    def sleep(self) -> None:
        process = self.start()
        time.sleep(self.chance.uniform(0.2, 0.8))
        os.killpg(process.pid, signal.SIGSTOP)
        time.sleep(0.3)
        os.killpg(process.pid, signal.SIGCONT)
        assert process.wait(60) in (0, 1)

    def interrupt(self) -> None:
        process = self.start()
        time.sleep(self.chance.uniform(0.3, 1.0))
        for number in self.chance.choice([(signal.SIGINT,), (signal.SIGINT, signal.SIGINT), (signal.SIGHUP,)]):
            process.send_signal(number)
        process.wait(60)

    def cancel(self) -> None:
        process = self.start()
        time.sleep(self.chance.uniform(0.3, 1.0))
        listed = self.space.run("runs", "list", "-v").out
        for found in re.findall(r"^[ *] (\S+) .*in progress", listed, re.MULTILINE):
            assert self.space.run("runs", "cancel", found).code in (0, 1, 2)
        process.wait(60)

    def sweep(self) -> None:
        for words in (["runs", "gc", "--keep", "1"], ["cache", "gc"], ["cache", "verify"]):
            ran = self.space.run(*words)
            assert ran.code == 0, (words, ran)

    def resume(self) -> None:
        listed = self.space.run("runs", "list", "-v").out
        for found in re.findall(r"^[ *] (\S+) .*killed", listed, re.MULTILINE)[-1:]:
            ran = self.space.run("runs", "resume", found)
            assert ran.code in (0, 1, 2) and "Traceback" not in ran.err, ran

    def edit(self) -> None:
        self.space.write("seed.txt", "second\n")


HARMS = [Harm.at_an_event, Harm.at_a_moment, Harm.two_at_once, Harm.sleep, Harm.interrupt, Harm.cancel]
CALM = [Harm.sweep, Harm.resume]


def bundle(space: Space) -> Path:
    out = space.root / "out/whole"
    return out / (out / "LATEST").read_text().strip()


def made(space: Space) -> dict[str, Any]:
    """What each state of the last committed run came to, by its id."""
    payloads = domain(bundle(space) / "journal.jsonl", "outcome_recorded", "reused")
    return {payload["state_id"]: payload["outputs"] for payload in payloads}


def domain(journal: Path, *names: str) -> list[dict[str, Any]]:
    rows = [envelope["event"].get("Domain") for envelope in read(journal)]
    return [row["payload"] for row in rows if row is not None and row["name"] in names]


def strays(root: Path) -> list[str]:
    """Processes that work in this workspace."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (
                os.readlink(process / "cwd").startswith(str(root))
                or str(root).encode() in (process / "cmdline").read_bytes()
            ):
                found.append(f"{process.name} {(process / 'cmdline').read_bytes()!r}")
        except OSError:
            continue
    return found


def check(space: Space) -> None:
    """What must hold of a workspace in which nothing is at work."""
    ends = time.monotonic() + 10
    while strays(space.root) and time.monotonic() < ends:
        time.sleep(0.1)
    assert strays(space.root) == []
    for journal in [*space.root.glob("out/whole/*/journal.jsonl"), *space.root.glob(".flowbuild/runs/*/journal.jsonl")]:
        facts: dict[str, str] = {}
        for payload in domain(journal, "fact_recorded"):
            assert facts.setdefault(payload["key"], payload["payload_id"]) == payload["payload_id"], journal
    for words in (["cache", "verify"], ["bundle", "validate", str(bundle(space))]):
        ran = space.run(*words)
        assert ran.code == 0, (words, ran)
    ran = space.run("runs", "list")
    assert ran.code == 0 and "damaged" not in ran.out, ran


@pytest.mark.parametrize("seed", seeds())
def test_whatever_is_done_to_its_runs_a_pipeline_comes_to_the_same(tmp_path: Path, url: str, seed: int) -> None:
    chance = random.Random(seed)
    calm, space = Space(tmp_path / "calm"), Space(tmp_path / "harmed")
    for one in (calm, space):
        pipeline(one, seed, url)
    calm.write("seed.txt", "second\n")
    Outside.effects.clear()
    ran = calm.run("//:whole")
    print(ran.out, ran.err)
    assert ran.code == 0, ran
    deeds = set(Outside.effects)
    assert deeds == set(re.findall(r"idempotency_key: (\w+)", (calm.root / "BUILD.yaml").read_text()))

    Outside.effects.clear()
    harm = Harm(space, chance)
    rows = chance.choices(HARMS, k=4) + chance.choices(CALM, k=2)
    chance.shuffle(rows)
    rows.insert(chance.randrange(1, 5), Harm.edit)
    for row in rows:
        print(seed, row.__name__, flush=True)
        row(harm)
    for _ in range(2):
        ran = space.run("//:whole")
        assert "Traceback" not in ran.err, ran
        if ran.code == 0:
            break
    assert ran.code == 0, ran
    print(ran.out, ran.err)
    assert space.run("//:whole").code == 0
    assert set(Outside.effects) == deeds
    assert made(space) == made(calm)
    replayed = space.run("runs", "replay", "//:whole")
    assert replayed.code == 0, replayed
    check(space)
