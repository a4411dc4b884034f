"""Handlers that run inline come to what they come to in a worker, and leave the build's process as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flowbuild.store.journal import read
from flowbuild.testing import Space

STEPS = """
import importlib, os, signal, sys, tempfile, threading, time
from pathlib import Path
from yaml import WORD

SEEN = []

def writes(source, o, word):
    SEEN.append(word)
    print("said", word)
    os.write(2, b"") and None
    o.write_text(f"{WORD} {word} {source.read_text()} {os.getcwd().split('/')[-1]} {SEEN} {sys.argv} {time.tzname[0]}")

def spoils(source, o, word):
    source.write_text("overwritten")
    os.environ["LEFT"] = "behind"
    os.umask(0o077)
    sys.path.insert(0, "/nowhere")
    sys.meta_path.clear()
    sys.stdout = None
    tempfile.tempdir = "/nowhere"
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.alarm(1)
    o.write_text("spoiled")
    os.chdir("/")

def sees(source, o, word):
    held = [os.environ.get("LEFT"), sys.path[0] == "/nowhere", tempfile.tempdir == "/nowhere"]
    held.append(signal.getsignal(signal.SIGTERM) is signal.SIG_IGN)
    o.write_text(str(held))

def raises(source, o, word):
    print("before", file=sys.stderr)
    raise ValueError("caf\\udce9")

def leaves(source, o, word):
    sys.exit(3)

def nothing(source, o, word):
    pass

def returns(source, o, word):
    return 1

def reaches(source, o, word):
    importlib.import_module("secret_one")

def tells(source, o, word, emit):
    emit("page", {"n": 1})
    emit.many([("line", 1), ("line", 2)])
    o.write_text("told")

def changes(source, o, word, emit):
    page = {"n": 1, 2: (3, 4)}
    emit("page", page)
    page |= {"n": 2, "password": "x"}
    o.write_text("changed")

def scales(source, o, word, emit):
    emit("page", (1.5,))

def refused(source, o, word, emit):
    emit("", None)

def prints_badly(source, o, word):
    print("\\udcff")
    sys.stdout.buffer.write(b"\\xfe\\n")
    o.write_text("x")

def forks(source, o, word):
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        o.write_text("parent")
"""
RULE = '{rule: python, handler: "steps.py:HOW", modules: [yaml.py], inputs: {source: in.txt}, outputs: {o: o}, WITH}'
SAME = [
    "writes",
    "spoils",
    "sees",
    "raises",
    "leaves",
    "nothing",
    "returns",
    "reaches",
    "tells",
    "changes",
    "scales",
    "refused",
    "prints_badly",
    "forks",
]
QUIET = {"changes", "forks", "nothing", "sees", "spoils", "tells"}  # of which no log is left


@pytest.fixture
def space(tmp_path: Path) -> Space:
    space = Space(tmp_path, {"PYTHONSAFEPATH": "1"})  # as the installed program: yaml.py is not for flowbuild itself
    space.write("flowbuild.yaml", "")
    space.write("steps.py", STEPS)
    space.write("yaml.py", "WORD = 'ours'\n")
    space.write("secret_one.py", "")
    space.write("in.txt", "in")
    return space


def declare(space: Space, more: str, **names: str) -> None:
    rows = [
        f"  {name}: {RULE.replace('HOW', how).replace('WITH', f'with: {{word: w}}, {more}')}"
        for name, how in names.items()
    ]
    space.write("BUILD.yaml", "targets:\n" + "\n".join(rows).replace(", }", "}") + "\n")


def told(space: Space) -> list[Any]:
    """What the newest run's journal says of the handler: its own events, and how the state ended."""
    journal = max(space.root.glob(".flowbuild/runs/*/journal.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    found: list[Any] = []
    for one in read(journal):
        doc = one["event"]
        domain, kernel = doc.get("Domain"), doc.get("Kernel")
        if domain and domain["name"] in ("page", "line"):
            found.append((domain["name"], domain["payload"]["value"]))
        if domain and domain["name"] == "outcome_recorded":
            found.append(domain["payload"]["outputs"])
        if kernel and "StateFailed" in kernel:
            info = kernel["StateFailed"]["error"]["info"]
            found.append((info["code"], info["message"]))
    return found


@pytest.mark.parametrize("how", SAME)
def test_a_handler_comes_to_the_same_inline_and_in_a_worker(space: Space, how: str) -> None:
    ends = []
    for more in ("", "inline: true"):
        declare(space, more, t=how)
        ran = space.run("//:t", "--force", "//:t")
        logs = {path.name: path.read_bytes() for path in space.root.glob(".flowbuild/runs/*/logs/*")}
        ends.append((ran.code, told(space), logs))
        assert logs or how in QUIET
        for path in space.root.glob(".flowbuild/runs/*/logs/*"):
            path.unlink()
    assert ends[0] == ends[1]
    assert space.read("in.txt") == "in"


def test_what_a_handler_did_to_the_process_is_undone_for_the_next(space: Space) -> None:
    declare(space, "inline: true", a="spoils", b="sees", c="writes", d="writes")
    assert space.run("-j1", "//:all").code == 0
    assert space.read("out/bin/b/o") == "[None, False, False, False]"
    assert space.read("out/bin/c/o") == "ours w in tree ['w'] ['steps.py'] UTC"  # nothing of the call before it
    assert space.run("//:all").out.startswith("up to date")


INTERPRETER = """
import decimal, faulthandler, gc, os, signal, sys, warnings

def spoils(source, o, word):
    warnings.simplefilter("error")
    decimal.getcontext().prec = 3
    gc.disable()
    sys.setrecursionlimit(100_000)
    sys.set_int_max_str_digits(700)
    faulthandler.dump_traceback_later(1, exit=True, file=sys.__stderr__)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    signal.setitimer(signal.ITIMER_PROF, 0.01)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.01)
    o.write_text("spoiled")
    os.environ = None
    sys.settrace(lambda *told: None)
    sys.setprofile(lambda *told: None)

def sees(source, o, word):
    held = [warnings.filters[0][0] == "error", decimal.getcontext().prec == 3, not gc.isenabled()]
    held += [sys.getrecursionlimit() == 100_000, sys.get_int_max_str_digits() == 700]
    held += [bool(signal.pthread_sigmask(signal.SIG_BLOCK, ())), sys.gettrace() or sys.getprofile()]
    o.write_text(str(any(held)))
"""


def test_what_a_handler_did_to_the_interpreter_is_undone_too(space: Space) -> None:
    space.write("steps.py", INTERPRETER)
    declare(space, "inline: true", a="spoils", b="sees")
    assert space.run("-j1", "//:all").code == 0
    assert space.read("out/bin/b/o") == "False"


def test_an_interrupt_ends_the_build_when_the_handler_returns(space: Space) -> None:
    text = "import os, signal\ndef waits(source, o, word):\n    os.kill(os.getpid(), signal.SIGINT)\n    o.write_text('x')\n"
    space.write("steps.py", text + "def writes(source, o, word):\n    o.write_text('y')\n")
    declare(space, "inline: true", a="waits", b="writes")
    assert space.run("-j1", "//:a", "//:b").code == 130
    assert not (space.root / "out/bin/b").exists()
    assert space.run("-j1", "//:a", "//:b").performed == 1  # what was done before it is kept


def test_an_inline_result_has_a_key_of_its_own_and_why_says_so(space: Space) -> None:
    declare(space, "", t="writes")
    space.build("//:t")
    declare(space, "inline: true", t="writes")
    assert space.build("//:t").performed == 1
    assert "runs inline" in space.run("why", "//:t").out


def test_a_thread_that_is_left_behind_is_a_failure(space: Space) -> None:
    text = STEPS + "\ndef forgets(source, o, word):\n    o.write_text('x')\n"
    space.write("steps.py", text + "    threading.Thread(target=time.sleep, args=(3,), daemon=True).start()\n")
    declare(space, "inline: true", t="forgets")
    ran = space.run("//:t")
    assert ran.code == 1
    assert "left a thread behind" in ran.out + ran.err


def test_a_handler_that_ends_the_build_is_gone_on_from(space: Space) -> None:
    space.write("steps.py", STEPS + "\ndef ends(source, o, word):\n    os._exit(9)\n")
    declare(space, "inline: true", a="writes", b="ends")
    assert space.run("-j1", "//:a", "//:b").code == 9
    space.write("steps.py", STEPS + "\ndef ends(source, o, word):\n    o.write_text('well')\n")
    assert space.run("-j1", "//:a", "//:b").code == 0
    assert space.read("out/bin/b/o") == "well"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("timeout: 1", "nobody can end"),
        ("heartbeat_timeout: 1", "nobody can end"),
        ("env: {A: b}", "one environment"),
        ("secrets: [TOKEN]", "one environment"),
    ],
)
def test_what_a_call_in_our_own_process_cannot_keep_is_refused(space: Space, more: str, said: str) -> None:
    declare(space, f"inline: true, {more}", t="tells")
    ran = space.run("//:t", TOKEN="x")
    assert ran.code == 2
    assert said in ran.err
    assert "BUILD.yaml:2:" in ran.err
    assert more.partition(":")[0] in ran.err


def test_io_is_refused(space: Space) -> None:
    space.write("steps.py", STEPS + "\ndef asks(source, o, word, io):\n    pass\n")
    declare(space, "inline: true", t="asks")
    ran = space.run("//:t")
    assert ran.code == 2
    assert "asks for `io` and has `inline: true`" in ran.err


def test_channel_clean_refuses_it(space: Space) -> None:
    declare(space, "inline: true", t="writes")
    ran = space.run("--channel", "clean", "//:t")
    assert ran.code in (1, 3)
    assert "nothing confines" in ran.out + ran.err or ran.code == 3


def test_context_is_kept(space: Space) -> None:
    space.write("steps.py", "def one(o, context):\n    context.write('k', 5)\n    o.write_text('')\n\n")
    with (space.root / "steps.py").open("a") as file:
        file.write("def two(o, a, context):\n    o.write_text(str(context.read('k')))\n")
    head = 'targets:\n  a: {rule: python, handler: "steps.py:one", outputs: {o: o}, writes: [k], inline: true}\n'
    tail = (
        '  b: {rule: python, handler: "steps.py:two", inputs: {a: ":a"}, outputs: {o: o}, reads: [k], inline: true}\n'
    )
    space.write("BUILD.yaml", head + tail)
    assert space.run("//:b").code == 0
    assert space.read("out/bin/b/o") == "5"


def test_who_belongs_to_an_action_beside_it_is_left_alone(space: Space, tmp_path: Path) -> None:
    """Its parent ended, so it is a child of the build, born while the handler ran."""
    born, go = tmp_path / "born", tmp_path / "go"
    space.write(
        "BUILD.yaml",
        f"""
        targets:
          a:
            rule: exec
            script: |
              sh -c 'sleep 60 & echo $! > {tmp_path}/pid'
              touch {born}
              while ! test -e {go}; do sleep 0.01; done
              kill -0 $(cat {tmp_path}/pid)
              echo alive > ${{{{ outputs.o }}}}
            outputs: {{o: o}}
          b: {{rule: python, handler: "b.py:b", outputs: {{o: o}}, inline: true}}
          c: {{rule: exec, script: "touch {go}; touch ${{{{ outputs.o }}}}", inputs: {{b: ":b"}}, outputs: {{o: o}}}}
        """,
    )
    space.write(
        "b.py",
        f"""
        import os, time

        def b(o):
            while not os.path.exists({str(born)!r}):
                time.sleep(0.01)
            o.write_text("b")
        """,
    )
    ran = space.run("//:a", "//:c", "-j2")
    assert ran.code == 0, ran
