"""Secrets below a run: in items, attempts, child runs, and in what the outside sends back; none is written or said.

Each group has a secret of its own, so a leak names its group. Seed 001: 001-18, 001-26, 001-29.
"""

from __future__ import annotations

import gzip
import http.server
import json
import signal
import threading
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from counting import serving
from planted import leaks, written

from flowbuild.testing import Space

pytest.importorskip("httpx", reason="httpx is not installed: pip install '.[dev]'")

VALUES = {name: f'{name.lower()}"é/&=+ 5f2a\\{number}c1e' for number, name in enumerate(("ITEM", "KID", "PARENT"))}
SENT = VALUES["SENT"] = 'sent"/&=+ 5f2a\\9c1e'  # it travels in headers, which are ASCII
UNHEARD = "a-value-that-nobody-named"
VALUES |= {"SHOP_WORD": "plain-header-value-0417", "LISTED": "one-of-the-items-88"}

CARDS = """
import base64, json, os, sys, traceback
from flowbuild.io import HandlerFailed, IoFailed

def shout(value):
    print(value, repr(value), ascii(value), value.encode(), json.dumps([value]), json.dumps(json.dumps([value])))
    print(base64.b64encode(b"u:" + value.encode()), value.encode().hex(), file=sys.stderr)

def throw(error, cause=None):
    raise error from cause

def caught(io, value):
    try:
        io.record_value("caught", value)
    except IoFailed as error:
        print(error, error.info, traceback.format_exc())
    raise RuntimeError(value)

def noted(value):
    error = ExceptionGroup("many", [ValueError(value), TypeError(value.encode())])
    error.add_note(f"with {value}")
    return error

WAYS = {
    "fine": lambda value, card, io: None,
    "raises": lambda value, card, io: throw(KeyError(value)),
    "bytes": lambda value, card, io: throw(KeyError(value.encode())),
    "named": lambda value, card, io: throw(type(value, (Exception,), {})(value)),
    "group": lambda value, card, io: throw(noted(value), OSError(value)),
    "syntax": lambda value, card, io: compile(f"x = ({value}", value, "exec"),
    "again": lambda value, card, io: throw(HandlerFailed(f"busy: {value}", retryable=True, details={value: value})),
    "code": lambda value, card, io: throw(HandlerFailed("busy", code=value, retryable=True)),
    "category": lambda value, card, io: throw(HandlerFailed("busy", category=f"x {value}")),
    "writes": lambda value, card, io: card.write_text(json.dumps({"a": json.dumps(value)})),
    "fact": lambda value, card, io: io.record_value("fact", {"said": value}),
    "key": lambda value, card, io: io.record_value(value, 1),
    "namespace": lambda value, card, io: io.call("clock." + value, {}, fact_key="k"),
    "beats": lambda value, card, io: io.heartbeat({"at": value}),
    "caught": lambda value, card, io: caught(io, value),
}

def card(name, card, io):
    shout(os.environ["ITEM"])
    card.write_text(name)
    WAYS[name](os.environ["ITEM"], card, io)

def listed(name, card):
    card.write_text("never")

def inlined(note, o):
    value = open(note).read()  # nothing confines it
    shout(value)
    o.write_text("made")
    raise HandlerFailed(value, code=value)
"""
CODES = dict.fromkeys(("raises", "bytes", "named", "group", "syntax", "caught"), "handler_raised")
CODES |= {
    "again": "handler_failed",
    "category": "handler_failed",
    "code": "error_redacted",
    "writes": "secret_in_output",
}
CODES |= dict.fromkeys(("fact", "key", "namespace", "beats"), "secrets_detected")

FAMILY = """
import json, os
from cards import shout
from flowbuild.io import HandlerFailed, IoFailed

def refused(ask):
    try:
        return str(ask())
    except IoFailed as error:
        print(error, error.info)
        return error.info["code"]

def kid(o, how, io, context):
    value = os.environ["KID"]
    shout(value)
    if how == "fails":
        raise HandlerFailed(value, code=value, retryable=True)
    if how == "context":
        context.write("kid", {"x": value})
    if how == "asks":
        o.write_text(refused(lambda: io.call("env", {"name": "PARENT"}, fact_key="p")))
    else:
        o.write_text(value if how == "writes" else how)

def parent(o, io):
    value = os.environ["PARENT"]
    shout(value)
    kids = {how: io.spawn("//:kid", how, {"how": how}) for how in ("fine", "fails", "context", "writes", "asks")}
    kids["whole"] = io.spawn("//:tree", "whole")
    tries = [
        refused(lambda: io.spawn("//:kid", "1", params={"how": value})),
        refused(lambda: io.spawn("//:kid", "2", initial_context={"begin": {"x": value}})),
        refused(lambda: io.spawn("//:kid", value)),
        refused(lambda: io.spawn(value, "4")),
        refused(lambda: io.call("env", {"name": "KID"}, fact_key="5")),
        refused(lambda: io.call("env", {"name": "PARENT"}, fact_key="6")),
    ]
    o.write_text(json.dumps([{how: io.await_run(one).status for how, one in kids.items()}, tries]))

def hands_on(o, context):
    context.write("key", {"deep": [os.environ["PARENT"]]})
    raise HandlerFailed(os.environ["PARENT"], retryable=True)
"""
ASKS = """
import json, os
from urllib.parse import quote

T, U, P = os.environ["SENT"], os.environ["URL"], os.environ["TOOL"]
Q = quote(T, safe="")
ASKS = {
    "echoed header": ("http", {"url": U + "echo", "headers": {"X-Thing": T}}),
    "echoed body": ("http", {"url": U + "echo", "method": "POST", "body": T}),
    "address": ("http", {"url": f"{U}plain/{Q}?q={Q}"}),
    "user": ("http", {"url": U.replace("//", f"//me:{Q}@")}),
    "method": ("http", {"url": U, "method": T}),
    "header's name": ("http", {"url": U, "headers": {T: "x"}}),
    "field": ("http", {"url": U, T: "x"}),
    "redirect": ("http", {"url": U + "redirect"}),
    "header": ("http", {"url": U + "header"}),
    "packed": ("http", {"url": U + "packed"}),
    "refused": ("http", {"url": U + "refused"}),
    "busy": ("http", {"url": U + "busy"}),
    "no HTTP": ("http", {"url": U + "broken"}),
    "credential": ("http", {"url": U + "word", "credential": "shop"}),
    "no host": ("http", {"url": "http://" + T + ".invalid/"}),
    "exec says": ("exec", {"program_path": P, "argv": ["says", T]}),
    "exec fails": ("exec", {"program_path": P, "argv": ["fails", T], "env": {"T": T}, "stdin_json": {"t": T}}),
    "exec babbles": ("exec", {"program_path": P, "argv": ["babbles", T]}),
    "exec of nothing": ("exec", {"program_path": P + T}),
    "exec outside": ("exec", {"program_path": "/bin/" + T}),
    "file": ("file", {"path": "/nowhere/" + Q}),
    "file that holds it": ("file", {"path": os.environ["NOTE"]}),
    "variable": ("env", {"name": "SENT"}),
}

def ask(name, o, io):
    namespace, request = ASKS[name]
    o.write_text(str(io.call(namespace, request, fact_key="k").response))
"""
ASKED = {
    **dict.fromkeys(("echoed header", "echoed body", "address", "user", "redirect", "header"), "secrets_detected"),
    **dict.fromkeys(("packed", "refused", "credential", "exec says"), "secrets_detected"),
    **dict.fromkeys(("file that holds it", "variable"), "secrets_detected"),
    **dict.fromkeys(("method", "header's name", "field"), "io_request_invalid"),
    **{"busy": "rate_limited", "no HTTP": "http_refused", "no host": "http_refused", "file": "file_missing"},
    **{"exec fails": "exec_failed", "exec babbles": "exec_stdout_invalid_json"},
    **{"exec of nothing": "exec_program_missing", "exec outside": "exec_program_not_allowed"},
}
TOOL = """#!/bin/sh
case "$1" in says) printf '["%s"]' "$(printf %s "$2" | sed 's/[\\"]/\\\\&/g')";; fails) echo "$2" >&2; exit 3;; *) echo "$2";; esac
"""


class World(http.server.BaseHTTPRequestHandler):
    """Sends back what it was sent, and a secret that nobody sent."""

    asked = threading.Event()

    def do_GET(self) -> None:
        what = self.path.strip("/").partition("/")[0]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        said = json.dumps({"thing": self.headers.get("X-Thing"), "body": body}).encode()
        status, header = {"redirect": 302, "refused": 401, "busy": 503}.get(what, 200), ("X-Plain", "x")
        if what == "broken":
            self.wfile.write(f"HTTP/1.1 {SENT} {UNHEARD}\r\n\r\n".encode())
            return
        if what == "slow":
            self.asked.set()
            threading.Event().wait(20)
        if what == "redirect":
            header = ("Location", f"/plain?t={quote(SENT, safe='')}")
        elif what == "header":
            header = ("X-Echo", SENT)
        elif what == "packed":
            said, header = gzip.compress(SENT.encode() + b"\xff"), ("Content-Encoding", "gzip")
        elif what in ("refused", "busy"):
            said = f"no {SENT}".encode()
        elif what == "word":
            said = (self.headers.get("X-Word") or "").encode()
        self.send_response(status)
        self.send_header(*header)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_POST = do_GET

    def log_message(self, *words: Any) -> None: ...


def python(handler: str, *secrets: str, **more: Any) -> dict[str, Any]:
    return {"rule": "python", "handler": handler, "outputs": {"o": "o"}, "secrets": list(secrets), **more}


def items(handler: str, names: str, *secrets: str, output: str = "card", **more: Any) -> dict[str, Any]:
    """A fan-out, whose items are tried twice."""
    outputs = {output: f"{handler.partition(':')[2]}-{names.strip(':').partition('.')[0]}/*"}
    target = python(handler, *secrets, each={"name": names}, outputs=outputs, retry={"attempts": 2})
    return {**target, **more}


class Told(NamedTuple):
    """A run with everything planted, and whatever was said of it."""

    space: Space
    said: Path
    failed: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    root = tmp_path_factory.mktemp("below")
    space = Space(root / "workspace", VALUES)
    (root / "world").mkdir()
    note, tool, said = root / "world/note", root / "world/tool", root / "said"
    said.mkdir()
    note.write_text(SENT)
    tool.write_text(TOOL)
    tool.chmod(0o755)
    credentials = "{shop: {variable: SHOP_WORD, header: X-Word, prefix: ''}}"
    space.write("flowbuild.yaml", f"io: {{programs: [{root / 'world'}], credentials: {credentials}}}\n")
    for name, text in (("cards", CARDS), ("family", FAMILY), ("asks", ASKS)):
        space.write(f"{name}.py", text)
    space.write("ways.json", json.dumps(["fine", *CODES]))
    space.write("asks.json", json.dumps(list(ASKED)))
    space.write("listed.json", json.dumps(["plain", {"id": VALUES["LISTED"]}]))
    with serving(World) as url:
        variables = {"URL": url, "TOOL": str(tool), "NOTE": str(note)}
        kid = {"params": {"how": "fine"}, "with": {"how": "${{ params.how }}"}, "retry": {"attempts": 2}}
        kid |= {"modules": ["cards.py"], "reads": ["begin"], "initial": ["begin"], "writes": ["kid"]}
        targets = {
            "cards": items("cards.py:card", "ways.json", "ITEM"),
            "copy": {
                "rule": "exec",
                "script": "cat ${{ inputs.i }} > ${{ outputs.o }}",
                "inputs": {"i": "ways.json"},
                "outputs": {"o": "copy.json"},
            },
            "late": items("cards.py:card", ":copy", "ITEM"),
            "listed": items("cards.py:listed", "listed.json", "LISTED"),
            "inlined": python("cards.py:inlined", inline=True, **{"with": {"note": str(note)}}),
            "asks": items("asks.py:ask", "asks.json", "SENT", output="o", env=variables),
            "kid": python("family.py:kid", "KID", outputs={"o": "kid"}, **kid),
            "parent": python(
                "family.py:parent",
                "PARENT",
                outputs={"o": "parent.json"},
                modules=["cards.py"],
                spawns=[":kid", ":tree"],
            ),
            "hands": python(
                "family.py:hands_on",
                "PARENT",
                outputs={"o": "hands"},
                modules=["cards.py"],
                writes=["key"],
                snapshot="always",
                retry={"attempts": 2},
            ),
        }
        targets["inlined"].pop("secrets")
        wanted = [f":{name}" for name in targets if name != "kid"]
        targets["tree"] = {"rule": "run", "targets": [":kid"]}  # whose bundle is the child's own
        targets["report"] = {"rule": "run", "targets": wanted}
        targets["gold"] = {"rule": "golden", "actual": ":hands", "expected": "hands.golden"}
        space.write("BUILD.yaml", json.dumps({"targets": targets}))
        words = ("//:report", "--continue", "always", "-v")
        ran = space.run(*words, GITHUB_STEP_SUMMARY=str(said / "summary.md"), GITHUB_ACTIONS="true")
        assert ran.code == 1, ran
        again = space.run(*words, "--set", "//:kid.how=other", "--json")
    first, *others = (path.parent.name for path in sorted(space.root.glob("out/report/*/journal.jsonl")))
    child = next(space.root.glob(".flowbuild/runs/*/journal.jsonl")).parent.name
    words = ["runs diff {0} {1}", "runs diff {0} {1} --json", "runs list --json", "runs replay {0} -v"]
    words += ["runs replay {0} --json", "bundle promote out/report/{0}", "why //:parent", "why //:cards"]
    words += [f"runs {what} {{{one}}}" for what in ("log", "log --artifacts", "show -v") for one in (0, 2)]
    words += ["explain //... --json", f"test //... --continue always --junit {said}/junit.xml"]
    told = [space.run(*line.format(first, others[0], child).split()) for line in words]
    (said / "all").write_text("\n".join(f"{one.out}{one.err}" for one in [ran, again, *told]))
    failed: dict[str, dict[str, Any]] = {}
    for line in (space.root / "out/report" / ran_id(ran.out) / "journal.jsonl").read_text().splitlines():
        event = json.loads(line)["event"]
        row = event.get("Domain", {})
        if row.get("name") == "item_failed":
            label = row["payload"]["state_id"].partition("_")[0]
            failed.setdefault(label, {})[row["payload"]["item"]] = row["payload"]["info"]["code"]
        elif "StateFailed" in event.get("Kernel", {}):
            info = event["Kernel"]["StateFailed"]["error"]
            failed.setdefault("states", {})[info["state_id"].partition("_")[0]] = info["info"]
    return Told(space, said, failed)


def ran_id(out: str) -> str:
    """The id of the run that a build committed, from its path."""
    return next(line for line in out.splitlines() if "  committed " in line).split("/")[-2]


def test_nothing_of_what_is_planted_below_a_run_is_written(told: Told) -> None:
    assert written(told.space, *VALUES.values()) == []


def test_nothing_of_it_is_said(told: Told) -> None:
    assert {path.name for path in told.said.iterdir()} == {"all", "summary.md", "junit.xml"}
    assert leaks(told.said, *VALUES.values()) == []
    assert "***" in (told.said / "all").read_text()


@pytest.mark.parametrize(("label", "codes"), [("cards", CODES), ("late", CODES), ("asks", ASKED)])
def test_each_item_failed_for_its_own_reason(told: Told, label: str, codes: dict[str, str]) -> None:
    assert told.failed[label] == codes


def test_each_state_failed_for_its_own_reason(told: Told) -> None:
    states = told.failed["states"]
    assert {name: info["code"] for name, info in states.items() if name in ("listed", "inlined", "hands")} == {
        "listed": "secrets_detected",
        "inlined": "error_redacted",
        "hands": "handler_failed",
    }


def test_a_family_knows_each_other_s_secrets(told: Told) -> None:
    """What only a child declares is none of its parent's facts, and the other way round."""
    objects = [path.read_text() for path in told.space.root.glob("out/report/*/objects/*")]
    ended, tries = json.loads(next(text for text in objects if text.startswith('[{"fine"')))
    failed = {how for how, status in ended.items() if status == "Failed"}
    assert (set(ended), failed) == (
        {"fine", "fails", "context", "writes", "asks", "whole"},
        {"fails", "context", "writes"},
    )
    assert len(list(told.space.root.glob("out/tree/*/artifact_index.json"))) == 2
    assert tries == ["secrets_detected"] * 6


def test_what_the_other_side_sent_is_no_part_of_an_error(told: Told) -> None:
    """Not even where nobody knows it for a secret."""
    assert written(told.space, UNHEARD) + leaks(told.said, UNHEARD) == []


def test_whoever_is_killed_while_he_asks_leaves_no_request_behind(tmp_path: Path) -> None:
    space = Space(tmp_path / "workspace", VALUES)
    request = '{"url": os.environ["URL"] + "slow", "headers": {"X-Thing": os.environ["SENT"]}}'
    space.write("slow.py", f"import os\n\ndef slow(o, io):\n    io.call('http', {request}, fact_key='k')\n")
    World.asked.clear()
    with serving(World) as url:
        targets = {
            "slow": python("slow.py:slow", "SENT", env={"URL": url}),
            "run": {"rule": "run", "targets": [":slow"]},
        }
        space.write("BUILD.yaml", json.dumps({"targets": targets}))
        process = space.start("//:run")
        assert World.asked.wait(60)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert list(space.root.glob(".flowbuild/runs/*/io/*"))  # it was at work
    assert written(space, SENT) == []


INNOCENT = [
    "artifact_written", "seeding_database", "the key of the door", "a token of thanks", "the author has authority",
    "Twelve words of plain English, with a comma and a full stop at the end.", "passing by", "keys", "mnemo", "SEED 42",
    "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0", "2b9c3b0e-6a0f-4d1c-9f5e-0a1b2c3d4e5f",
    "QSBsb25nIHRleHQgaW4gYmFzZTY0LCB3aGljaCBpcyBub25lIG9mIHRoZSBzZWNyZXRz", "https://example.org/a:b?c=d@e",
    "one two three four five six seven eight nine ten eleven", "%2Fpath%2Fto%2Ffile", "item", "5f2a", "***",
]  # fmt: skip
PLAIN = """
import json
from flowbuild.io import IoFailed

def plain(name, o, io):
    print(name, repr(name), json.dumps([name]))
    io.record_value(f"said {name}"[:500], {"said": name, name: 1})
    io.heartbeat({"at": name})
    o.write_text(name)

def told(names, o, io, context, emit):
    said = json.loads(names.read_text())
    emit("told", said)
    context.write("names", said)
    ended = io.await_run(io.spawn("//:last", "last", {"word": said[0]}, {"names": said}))
    o.write_text(json.dumps([ended.status, said]))

def last(o, word, context):
    o.write_text(json.dumps([word, context.read("names")]))
"""


def test_innocent_words_pass_everywhere_beside_secrets(tmp_path: Path) -> None:
    """With all these secrets known, nothing of what only resembles them is refused or masked."""
    space = Space(tmp_path / "workspace", VALUES)
    space.write("plain.py", PLAIN)
    space.write("names.json", json.dumps(INNOCENT))
    secrets = [name for name in VALUES if name != "SENT"]
    last = {"params": {"word": "x"}, "with": {"word": "${{ params.word }}"}, "reads": ["names"], "initial": ["names"]}
    targets = {
        "plain": items("plain.py:plain", "names.json", *secrets, output="o"),
        "told": python(
            "plain.py:told",
            "SENT",
            inputs={"names": "names.json"},
            outputs={"o": "t"},
            writes=["names"],
            spawns=[":last"],
        ),
        "last": python("plain.py:last", "KID", outputs={"o": "l"}, **last),
        "run": {"rule": "run", "targets": [":plain", ":told"]},
    }
    space.write("BUILD.yaml", json.dumps({"targets": targets}))
    ran = space.run("//:run", "-v")
    assert ran.code == 0, ran
    logs = "".join(path.read_text() for path in space.root.glob(".flowbuild/runs/*/logs/*"))
    assert all(logs.count(name) >= 2 for name in INNOCENT)
    assert space.run("runs", "replay", "//:run").code == 0
