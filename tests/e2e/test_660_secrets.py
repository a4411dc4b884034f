"""Secrets: twenty are planted wherever a value may stand, and none is in any byte that the program leaves behind.

Seed 001: 001-26.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from planted import leaks, written

from flowbuild.testing import Space

TOKEN = 'tok"en/&=+ 5f2a\\9c1e'
OTHER = "second-value-0417\nline-two-of-it-88"
KEY = base64.b64encode(bytes(range(32))).decode()

# Each prints, raises or writes the value as a program in the wild might.
HANDLER = """
import base64, json, os, sys, urllib.parse
from pathlib import Path
from flowbuild.io import Context, Emit, HandlerFailed, Io

T = os.environ["TOKEN"]

def says(out):
    out.write_text("made\\n")
    print(T, repr(T), json.dumps({"t": T}), urllib.parse.quote(T, safe=""), urllib.parse.quote_plus(T))
    print(base64.b64encode(b"user:" + T.encode()).decode(), base64.b64encode(T.encode() * 9).decode(), T.encode().hex())
    print(os.environ["OTHER"], file=sys.stderr)
    for letter in T:
        os.write(2, letter.encode())

def raises(out):
    raise ValueError(f"no access with {T}")

def fails(out):
    raise HandlerFailed(f"401 for {T}", details={"sent": T})

def ends(out):
    os.write(2, T.encode())
    os._exit(3)

def exits(out):
    sys.exit(T)

def emits(out, emit: Emit):
    emit("seen", {"header": T})

def names(out, emit: Emit):
    emit(T, 1)

def records(out, io: Io):
    io.record_value("reply", {"echo": f"<{T}>"})

def keys(out, io: Io):
    io.record_value(T, 1)

def asks(out, io: Io):
    io.call("exec", {"program_path": T, "argv": [T]}, fact_key="k")

def writes(out):
    out.write_bytes(b"x" * 100000 + base64.b64encode(T.encode()))

def hides(out):
    (out / T.replace("/", "")).mkdir(parents=True)
    (out / "a").write_text(urllib.parse.quote(T, safe=""))

def hands_on(out, context: Context):
    out.write_text("made\\n")
    Path("left").write_text(T)
    context.write("session", {"cookie": T})

def halves(out, context: Context):
    out.write_text("made\\n")
    Path("left").write_text(T)
    context.write("session", 0.5)

def buries(out):
    for _ in range(25):
        os.mkdir("d" * 200)
        os.chdir("d" * 200)
    Path("left").write_text(T)
    raise ValueError("too deep for a path")

def seals(out, io: Io):
    cookie = "-".join(["brand", "new", "cookie", "31337"])
    io.record_secret("session", {"cookie": cookie})
    assert io.read_secret("session") == {"cookie": cookie}
    mine = [path for path in Path(os.environ["TMPDIR"]).parent.rglob("*") if path.is_file()]
    assert mine and not any(cookie.encode() in path.read_bytes() for path in mine)
    print("got", cookie)
    out.write_text("sealed\\n")
"""
FAILING = (
    "raises",
    "fails",
    "ends",
    "exits",
    "emits",
    "names",
    "records",
    "keys",
    "asks",
    "writes",
    "hides",
    "hands_on",
    "halves",
    "buries",
)


@pytest.fixture
def planted(space: Space) -> Space:
    space.environment |= {"TOKEN": TOKEN, "OTHER": OTHER, "BOX_KEY": KEY}
    space.write("flowbuild.yaml", "io: {secret_key: BOX_KEY}\n")
    space.write("handlers.py", HANDLER)
    names = {"says": "o", **dict.fromkeys(FAILING, "o"), "hides": "o/", "seals": "o"}
    targets = {
        name: {
            "rule": "python",
            "handler": f"handlers.py:{name}",
            "outputs": {"out": path.replace("o", name)},
            "secrets": {"TOKEN": {"version": "2"}, "OTHER": None},
        }
        for name, path in names.items()
    }
    for name in ("hands_on", "halves"):
        targets[name]["writes"] = ["session"]
    shell = {"rule": "exec", "secrets": ["TOKEN"], "outputs": {"o": "shell"}}
    targets["shell"] = {**shell, "script": 'echo "$TOKEN"; echo "$TOKEN" | base64 -w 7 >&2; env > dump; exit 4'}
    targets["traced"] = {**shell, "script": 'set -x; : "$TOKEN" > ${{ outputs.o }}', "outputs": {"o": "traced"}}
    targets["every"] = {"rule": "run", "targets": [f":{name}" for name in targets]}
    space.write("BUILD.yaml", json.dumps({"targets": targets}))
    return space


def test_none_of_those_planted_is_in_anything_that_was_written(planted: Space, tmp_path: Path) -> None:
    summary, junit = tmp_path / "reports/summary.md", tmp_path / "reports/junit.xml"
    summary.parent.mkdir()
    ran = planted.run("//:every", "--continue", "always", "-v", GITHUB_STEP_SUMMARY=str(summary), GITHUB_ACTIONS="true")
    assert ran.code == 1, ran
    assert f"{len(FAILING) + 1} failed" in ran.out, ran.out
    assert "***" in ran.out
    tests = planted.run("test", "//...", "--junit", str(junit))
    explained = planted.run("explain", "//...", "--json").out + planted.run("why", "//:says").out
    (run,) = (path for path in (planted.root / "out/every").iterdir() if path.is_dir())
    told = "".join(
        str(planted.run("runs", *words, run.name)) for words in (["log"], ["show", "-v"], ["show", "--json"])
    )
    promoted = planted.run("bundle", "promote", str(run))
    assert promoted.code == 1 and (run.parent / "promotion_packet.json").is_file(), promoted
    (tmp_path / "reports/said").write_text(ran.out + ran.err + tests.out + explained + told + str(promoted))
    assert written(planted, TOKEN, OTHER, KEY, "brand-new-cookie-31337") == []
    assert leaks(tmp_path / "reports", TOKEN, OTHER, KEY, "brand-new-cookie-31337") == []


def test_a_secret_reaches_its_action_and_a_new_version_is_another_action(space: Space) -> None:
    def target(secrets: str) -> None:
        script = "test ${#TOKEN} = 13 && echo ok > ${{ outputs.o }}"
        space.write("BUILD.yaml", f"targets: {{a: {{rule: exec, script: '{script}', outputs: {{o: o}}, secrets: {secrets}}}}}\n")  # fmt: skip

    target("[TOKEN]")
    assert "the secret TOKEN is not set" in space.run("//:a").out
    assert space.build("//:a", TOKEN="first value 1").performed == 1
    assert space.run("//:a", TOKEN="other value 2").performed == 0  # the value is in no key
    target("{TOKEN: {version: 2}}")
    assert space.build("//:a", TOKEN="other value 2").performed == 1
    target("[TOKEN]")
    assert space.run("//:a").performed == 0  # remembered: nobody needs the value
    missing = space.run("//:a", "--force", "//:a")
    assert missing.code == 1 and "the secret TOKEN is not set" in missing.out
    short = space.run("//:a", "--force", "//:a", TOKEN="abc")
    assert short.code == 1 and "too few to be masked" in short.out


REFUSED = {
    "a variable by its name": "env: [API_KEY]",
    "a variable's value": "env: {HEADER: 'Authorization: SECRET'}",
    "a URL's user": "env: {URL: 'https://me:SECRET@example.org/'}",
    "a command": "params: {x: 'ftp://me:SECRET@example.org/'}",
    "a parameter by its name": "params: {password: SECRET}",
    "a parameter's value": "params: {x: 'password=SECRET'}",
    "an idempotency key": "idempotency_key: 'once with password=SECRET'",
    "a long parameter": "params: {x: {type: string, default: 'bearer SECRET'}}",
}


@pytest.mark.parametrize("where", REFUSED)
def test_what_looks_like_a_secret_is_refused_before_anything_is_written(space: Space, where: str) -> None:
    value = "hunter2hunter2"
    declared = REFUSED[where].replace("SECRET", value)
    space.write("BUILD.yaml", f"targets:\n  a:\n    rule: exec\n    script: date > ${{{{ outputs.o }}}}\n    outputs: {{o: o}}\n    {declared}\n")  # fmt: skip
    ran = space.run("//:a", API_KEY=value)
    assert ran.code == 2 and "BUILD.yaml:6:" in ran.err and "secrets: [NAME]" in ran.err, ran
    assert value not in ran.err + ran.out
    assert leaks(space.root / ".flowbuild", value) == [] and not (space.root / "out").exists()


def test_a_target_may_be_excused_and_its_actions_say_so(space: Space) -> None:
    text = "targets:\n  a: {rule: exec, script: 'date > ${{ outputs.o }}', outputs: {o: o}, env: {MODE: password-less}TAGS}\n  r: {rule: run, targets: [':a']}\n"  # fmt: skip
    space.write("BUILD.yaml", text.replace("TAGS", ", tags: ['allow:secret-words']"))
    assert space.run("//:r").code == 0
    objects = [path.read_text() for path in space.root.glob("out/r/*/objects/*")]
    assert any('"allows":["secret-words"]' in text and "password-less" in text for text in objects)
    space.write("BUILD.yaml", text.replace("TAGS", ""))
    assert space.run("//:r").code == 2


@pytest.mark.parametrize("how", ["env", "set", "with"])
def test_the_value_of_a_declared_secret_is_refused_wherever_it_stands(space: Space, how: str) -> None:
    value = "plain-looking-value-77"
    env = f", env: {{COPY: {value}}}" if how == "env" else ""
    script = f"echo {value}" if how == "with" else "date"
    space.write("BUILD.yaml", f"targets:\n  a: {{rule: exec, script: '{script} > ${{{{ outputs.o }}}}', outputs: {{o: o}}, secrets: [TOKEN]{env}}}\n  r: {{rule: run, targets: [':a'], params: {{p: x}}}}\n")  # fmt: skip
    ran = space.run("//:r", *(["--set", f"p={value}"] if how == "set" else []), TOKEN=value)
    assert ran.code == 2 and "the value of a secret stands in" in ran.err, ran
    assert value not in ran.err + ran.out
    assert written(space, value) == []


def test_a_sealed_fact_is_read_again_with_its_key_and_only_with_it(space: Space) -> None:
    space.write("flowbuild.yaml", "io: {secret_key: BOX_KEY}\n")
    space.write("seal.py", "def seal(o, io):\n    io.record_secret('s', 'the-sealed-value-9')\n    o.write_text(str(len(io.read_secret('s'))))\n")  # fmt: skip
    space.write("BUILD.yaml", "targets:\n  a: {rule: python, handler: seal.py:seal, outputs: {o: o}}\n  r: {rule: run, targets: [':a']}\n")  # fmt: skip
    assert space.run("//:r", BOX_KEY=KEY).code == 0
    assert written(space, KEY) == []
    objects = [path.read_text() for path in space.root.glob("out/r/*/objects/*")]
    assert sum('"ciphertext":' in text for text in objects) == 1
    assert space.run("runs", "replay", "//:r", BOX_KEY=KEY).code == 0
    for variables, said in (
        ({}, "the variable BOX_KEY, which is not set"),
        ({"BOX_KEY": base64.b64encode(b"k" * 32).decode()}, "BOX_KEY holds another key"),
        ({"BOX_KEY": "short"}, "the variable BOX_KEY holds no key"),
    ):
        ran = space.run("runs", "replay", "//:r", **variables)
        assert ran.code == 1 and said in ran.out, ran


def test_what_is_set_on_the_command_line_is_looked_at(space: Space) -> None:
    space.write("BUILD.yaml", "targets:\n  a: {rule: exec, script: 'date > ${{ outputs.o }}', outputs: {o: o}, params: {p: x}}\n")  # fmt: skip
    ran = space.run("//:a", "--set", "p=password:hunter2hunter2")
    assert ran.code == 2 and "its value looks like a secret" in ran.err and "hunter2" not in ran.err + ran.out
    assert written(space, "hunter2hunter2") == []


def test_a_confined_action_gets_its_secret_and_no_other_variable(space: Space) -> None:
    space.write("h.py", "import os, sys\ndef h(o):\n    o.write_text(str(len(os.environ['TOKEN'])) + str('OTHER' in os.environ))\n    sys.exit(os.environ['TOKEN'])\n")  # fmt: skip
    space.write("BUILD.yaml", "targets: {a: {rule: python, handler: h.py:h, outputs: {o: o}, secrets: [TOKEN]}}\n")
    ran = space.run("//:a", "--channel", "clean", TOKEN=TOKEN, OTHER=OTHER)
    if "unavailable" in ran.out + ran.err:
        pytest.skip("this host can't confine")
    assert ran.code == 1 and "sys.exit('***')" in ran.out, ran
    assert written(space, TOKEN, OTHER) == []


def test_a_name_is_a_variable_or_a_secret_and_a_secret_has_no_value(space: Space) -> None:
    text = "targets:\n  a:\n    {rule: exec, script: date, outputs: {o: o}, env: {TOKEN: x}, secrets: SECRETS}\n"
    space.write("BUILD.yaml", text.replace("SECRETS", "[TOKEN]"))
    assert "'TOKEN' stands in `env` too" in space.run("//:a").err
    for wrong in ("{OTHER: hunter2hunter2}", "{OTHER: {value: hunter2hunter2}}", "[a-b]", "x"):
        space.write("BUILD.yaml", text.replace("SECRETS", wrong))
        ran = space.run("//:a")
        assert ran.code == 2 and leaks(space.root / ".flowbuild", "hunter2hunter2") == [], ran


def test_a_report_for_ci_has_no_line_that_looks_secret(space: Space, tmp_path: Path) -> None:
    space.write("BUILD.yaml", "targets:\n  a: {rule: exec, script: 'printf \"pass%s=hunter2hunter2\\nplain\\n\" word; exit 1', outputs: {o: o}}\n")  # fmt: skip
    space.run("//:a", GITHUB_STEP_SUMMARY=str(tmp_path / "summary.md"), GITHUB_ACTIONS="true")
    summary = (tmp_path / "summary.md").read_text()
    assert "plain" in summary and "[a line that looks like a secret]" in summary and "hunter2" not in summary


def test_a_replay_without_the_variable_says_so(space: Space) -> None:
    space.write("BUILD.yaml", "targets:\n  a: {rule: exec, script: 'echo ${#TOKEN} > ${{ outputs.o }}', outputs: {o: o}, secrets: [TOKEN]}\n  r: {rule: run, targets: [':a']}\n")  # fmt: skip
    assert space.run("//:r", TOKEN=TOKEN).code == 0
    assert space.run("runs", "replay", "//:r", TOKEN=TOKEN).code == 0
    ran = space.run("runs", "replay", "//:r")
    assert ran.code == 1 and "absent   //:a  the secret TOKEN is not set" in ran.out


EXECUTOR = """
from flowbuild.rep import serve
serve({"own.tell": lambda with_, context: {"said": "the pass" + "word is hunter2hunter2"}})
"""


def test_what_a_step_returns_is_no_secret_in_an_executor_or_here(space: Space) -> None:
    space.write("own.py", EXECUTOR)
    space.write("h.py", "def tell(): return {'said': 'the pass' + 'word is hunter2' * 2}\n")
    flow = "targets:\n  f:\n    rule: flow\n    steps: {a: {type: own.tell, next: b}, b: {type: finish}}\n"
    space.write("BUILD.yaml", flow)
    away = space.run("//:f", "--engine", "proc", "--executor-path", "./own.py")
    space.write("BUILD.yaml", flow + "    handlers: {own.tell: 'h.py:tell'}\n")
    here = space.run("//:f")
    for ran in (away, here):
        assert ran.code == 1 and "the result of the step holds what looks like a secret" in ran.out, ran
    assert leaks(space.root / "out", "hunter2hunter2") == [] or not (space.root / "out").exists()
    assert not list(space.root.glob("out/bin/f/*"))
