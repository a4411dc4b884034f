"""The channel clean, from the command line: the same bytes, nothing undeclared, and evidence that may be promoted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from counting import Told, serving

from flowbuild.engine import landlock, seccomp
from flowbuild.testing import Space

EXAMPLES = Path(__file__).parents[2] / "examples"
RUN = "//experiments/hardened-runtime:run"


def _lacks() -> str | None:
    try:
        seccomp.require()
        return None if landlock.version() >= landlock.SCOPE_SINCE else "needs Landlock ABI 6"
    except (OSError, seccomp.Unsupported) as error:
        return f"needs Landlock and seccomp: {error}"


pytestmark = pytest.mark.skipif(_lacks() is not None, reason=str(_lacks()))


@pytest.fixture
def examples(tmp_path: Path) -> Space:
    space = Space(tmp_path / "examples")
    ignored = shutil.ignore_patterns("out", ".flowbuild")
    shutil.copytree(EXAMPLES, space.root, ignore=ignored, dirs_exist_ok=True)
    return space


def shown(space: Space) -> dict[str, bytes]:
    root = space.root / "out/bin"
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def memo(space: Space) -> dict[str, str]:
    """The channel of the record that counts of each key."""
    lines = (space.root / ".flowbuild/memo").read_text().splitlines()
    records = [json.loads(line.split(" ", 1)[1]) for line in lines]
    return {record["action"]: record["channel"] for record in records}


def bundle(space: Space) -> Path:
    root = space.root / "out/experiments/hardened-runtime/run"
    return root / (root / "LATEST").read_text().strip()


def test_clean_makes_the_same_bytes_under_the_same_keys(examples: Space) -> None:
    assert examples.run("//words:top", "//words:sorted").code == 0
    direct, keys = shown(examples), memo(examples)
    done = examples.run("//words:top", "//words:sorted", "--channel", "clean")
    assert done.code == 0 and ", 0 reused" in done.out, done.out
    assert shown(examples) == direct
    assert set(memo(examples)) == set(keys) and set(memo(examples).values()) == {"clean"}
    for channel in ("clean", "direct"):
        again = examples.run("//words:top", "//words:sorted", "--channel", channel)
        assert "0 performed" in again.out or "up to date" in again.out, again.out


FAULTY = """
targets:
  reads:  {rule: exec, command: "cat %(undeclared)s", outputs: {o: o}}
  sees:   {rule: exec, command: "cat %(root)s/a/BUILD.yaml", outputs: {o: o}}
  signals: {rule: exec, command: "kill -TERM %(pid)s", outputs: {o: o}}
  connects: {rule: python, handler: "h.py:connect", outputs: {o: o}}
  peeks:  {rule: python, handler: "h.py:peek", outputs: {o: o}}
  inplace: {rule: exec, script: "echo hi > o", stage: false, outputs: {o: o}}
"""
HANDLERS = """
import socket

def connect(o):
    socket.create_connection(("127.0.0.1", 9))

def peek(o):
    open({undeclared!r}).read()
"""


@pytest.mark.parametrize("target", ["reads", "sees", "signals", "connects", "peeks", "inplace"])
def test_what_is_not_declared_fails_with_a_message_that_names_the_channel(
    space: Space, tmp_path: Path, target: str
) -> None:
    undeclared = tmp_path / "undeclared"
    undeclared.write_text("secret")
    names = {"undeclared": undeclared, "root": space.root, "pid": os.getpid()}
    space.write("a/BUILD.yaml", FAULTY % names)
    space.write("a/h.py", HANDLERS.format(undeclared=str(undeclared)))
    done = space.run(f"//a:{target}", "--channel", "clean")
    assert done.code == 1 and "channel clean" in done.out + done.err, done.out + done.err
    assert "secret" not in done.out + done.err


def test_a_handler_s_questions_are_answered_in_clean_too(space: Space) -> None:
    space.write("a/BUILD.yaml", 'targets: {t: {rule: python, handler: "h.py:f", outputs: {o: o}}}')
    space.write("a/h.py", "def f(o, io):\n    o.write_text(str(io.now_millis() > 0))\n")
    done = space.run("//a:t", "--channel", "clean")
    assert done.code == 0, done.out + done.err
    assert (space.root / "out/bin/a/t/o").read_text() == "True"


def test_launchd_clean_is_refused_with_the_name_to_use(space: Space) -> None:
    if sys.platform == "darwin":
        pytest.skip("macOS has it")
    space.write("a/BUILD.yaml", "targets: {}\n")
    done = space.run("//a:x", "--channel", "launchd_clean")
    assert done.code == 3 and "--channel clean" in done.err


def test_the_experiment_runs_in_clean_and_its_preflight_proves_it(examples: Space) -> None:
    done = examples.run(RUN, "--channel", "clean", "-j2")
    assert done.code == 0 and "136 agree" in done.out, done.out + done.err
    found = json.loads((bundle(examples) / "apply_preflight.json").read_text())
    assert (found["status"], found["apply_ok"], found["channel"]) == ("ok", True, "clean")
    statuses = {entry["status"] for entry in found["isolation"]["operations"].values()}
    assert statuses == {"enforced"} and found["isolation"]["works"]
    assert json.loads((bundle(examples) / "run_manifest.json").read_text())["channel"] == "clean"
    assert "## What channel clean holds" in (bundle(examples) / "summary.md").read_text()
    first = _worlds(bundle(examples))
    assert examples.run("bundle", "promote", str(bundle(examples)), "--require-promotable").code == 0
    assert examples.run(RUN).code == 0
    refused = examples.run("bundle", "promote", str(bundle(examples)), "--require-promotable")
    assert refused.code == 1 and "not promotable: not_clean_channel" in refused.err
    assert not first & _worlds(bundle(examples)), "evidence of one channel was served as another's"


def _worlds(place: Path) -> set[str]:
    """What each action that observed the host holds of it."""
    objects = [json.loads(path.read_bytes()) for path in (place / "objects").iterdir()]
    return {json.dumps(doc["world"]) for doc in objects if "world" in doc}


BARE = """
import errno, sys
sys.path[:0] = {path!r}
from flowbuild.engine import seccomp, syscalls
syscalls.forbid_new_privileges()
seccomp.install([seccomp.refuse(number, errno.ENOSYS) for number in (444, 445, 446)])
from flowbuild.__main__ import main
sys.argv[:] = ["flowbuild", *sys.argv[1:]]
sys.exit(main())
"""


def test_a_host_that_cannot_isolate_says_so_and_blocks(examples: Space) -> None:
    argv = [sys.executable, "-c", BARE.format(path=sys.path), "-C", str(examples.root), "--channel", "clean"]
    done = subprocess.run([*argv, RUN], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "136 blocked" in done.stdout, done.stdout + done.stderr
    assert "channel clean: files:declared could not be applied: landlock unavailable (ENOSYS)" in done.stdout
    found = json.loads((bundle(examples) / "apply_preflight.json").read_text())
    assert (found["status"], found["apply_ok"]) == ("error", False)
    assert json.loads((bundle(examples) / "summary.json").read_text())["mismatch_counts"] == {"preflight_blocked": 136}
    plain = subprocess.run([*argv, "//words:top"], capture_output=True, text=True, timeout=120)
    assert plain.returncode == 1 and "can't be held on this host" in plain.stdout + plain.stderr


PYTHONS = [sys.executable, "/usr/bin/python3"]
AS_NOBODY: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}


@pytest.fixture
def ordinary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Space]]:
    """An interpreter that nobody may run and that has what we import, and a workspace of theirs."""
    packages = [entry for entry in sys.path if os.path.isabs(entry) and os.path.isdir(entry)]
    probe = f"import sys; sys.path += {packages!r}; assert sys.version_info[:2] == {sys.version_info[:2]}; import flowbuild.front.cli"
    found = None
    for python in PYTHONS:
        try:
            if subprocess.run([python, "-c", probe], cwd="/", capture_output=True, **AS_NOBODY).returncode == 0:
                found = python
                break
        except OSError:
            continue
    if found is None:
        pytest.skip("no interpreter here that an ordinary user may run and that finds flowbuild")
    place = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True, cwd="/").stdout.strip())
    place.chmod(0o755)
    shutil.copytree(EXAMPLES, place / "ws", ignore=shutil.ignore_patterns("out", ".flowbuild"))
    if AS_NOBODY:
        for path in (place, *place.rglob("*")):
            os.chown(path, 65534, 65534)
    yield found, Space(place / "ws")
    shutil.rmtree(place)


def test_an_ordinary_user_gets_evidence_that_may_be_promoted(ordinary: tuple[str, Space]) -> None:
    python, space = ordinary
    code = f"import sys; sys.path += {sys.path!r}\nfrom flowbuild.__main__ import main\nsys.argv[0] = 'flowbuild'\nsys.exit(main())"

    def flowbuild(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [python, "-c", code, *words]
        return subprocess.run(argv, capture_output=True, text=True, timeout=120, cwd="/", **AS_NOBODY)

    done = flowbuild("-C", str(space.root), "--channel", "clean", RUN, "//words:top")
    assert done.returncode == 0 and "136 agree" in done.stdout, done.stdout + done.stderr
    promoted = flowbuild("bundle", "promote", str(bundle(space)), "--require-promotable")
    assert promoted.returncode == 0, promoted.stdout + promoted.stderr
    found = json.loads((bundle(space) / "apply_preflight.json").read_text())
    assert (found["status"], found["apply_ok"], found["channel"]) == ("ok", True, "clean")


DEEDS = """
targets:
  page: {rule: exec, script: "echo page > ${{ outputs.o }}", outputs: {o: o}}
  one:
    rule: python
    handler: steps.py:one
    inputs: {page: ":page"}
    outputs: {receipt: one.txt}
    side_effects: apply_side_effect
    idempotency_key: one
  each:
    rule: python
    handler: steps.py:each
    each: {who: who.json}
    outputs: {receipt: receipts/*}
    side_effects: apply_side_effect
    idempotency_key: "tell ${{ who }}"
"""
STEPS = """
def one(page, receipt, io):
    each("one", receipt, io)

def each(who, receipt, io):
    request = {"method": "POST", "url": "URL", "body": who}
    receipt.write_text(io.call("http", request, fact_key="receipt").response["body"])
"""


def test_a_deed_that_was_done_in_clean_is_not_done_again_for_a_lost_memo(space: Space) -> None:
    pytest.importorskip("httpx", reason="httpx is not installed: pip install '.[dev]'")
    Told.bodies = []
    space.write("BUILD.yaml", DEEDS)
    space.write("who.json", '["ada", "bob"]')
    with serving(Told) as url:
        space.write("steps.py", STEPS.replace("URL", url))
        words = ("//:one", "//:each", "--channel", "clean")
        done = space.run(*words)
        assert done.code == 0 and sorted(Told.bodies) == ["ada", "bob", "one"], done
        (space.root / ".flowbuild/memo").unlink()
        shutil.rmtree(space.root / ".flowbuild/null")
        again = space.run(*words)
        assert again.code == 0 and len(Told.bodies) == 3, again
        assert again.performed == 1 and set(memo(space).values()) == {"clean"}  # the page, which may be made anew

        (manifest,) = {row["artifact_id"] for row in space.events("runs", "log", "//:one", "--artifacts") if row["kind"] == "Manifest"}  # fmt: skip
        for path in (space.root / ".flowbuild/memo", space.root / ".flowbuild/cas" / manifest[:2] / manifest):
            path.unlink()
        assert space.run("//:one", "--channel", "direct").performed == 0
        assert "direct" in memo(space).values() and len(Told.bodies) == 3
