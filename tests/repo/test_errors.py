"""docs/errors.md, example by example: what it shows somebody write is written, and what it shows printed is printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from workshop import Workshop

import flowbuild.core.errors as errors
from flowbuild import __main__ as launcher
from flowbuild.bundle import experiment
from flowbuild.bundle.read import load_bundle
from flowbuild.core.errors import FlowError
from flowbuild.core.ids import OpId
from flowbuild.core.run_config import RunConfig, from_doc
from flowbuild.engine import rep
from flowbuild.graph.state import StateGraph
from flowbuild.graph.valid import check_plan
from flowbuild.load.strict_json import parse_json
from flowbuild.run.manifest import Asked
from flowbuild.run.resume import check
from flowbuild.run.start import check_start, start_run
from flowbuild.run.story import Story, Told
from flowbuild.store.cas import SEALED_NS, Cas
from flowbuild.store.lock import Lock
from flowbuild.store.tree import collect
from flowbuild.testing import Space

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
SECTIONS = {
    found[1]: found[2] for found in re.finditer(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", PAGE.replace("\r", ""), re.M | re.S)
}
ANYTHING = "…"  # stands for what differs from run to run: on a line a part of it, alone some lines


def classes(kind: type[FlowError] = FlowError) -> Iterator[type[FlowError]]:
    yield kind
    for one in kind.__subclasses__():
        if one.__module__ == errors.__name__:
            yield from classes(one)


CODES = {kind("").code: kind for kind in classes()}
# Those that stand for the codes below them.
GROUPS = {kind("").code for kind in CODES.values() if kind.__subclasses__()} - {"user_error"}


def blocks(code: str, *languages: str) -> list[str]:
    return re.findall(rf"^```(?:{'|'.join(languages)})\n(.*?)^```$", SECTIONS[code], re.M | re.S)


def is_told(told: str, printed: str) -> bool:
    """Whether the page tells what was printed."""
    lines = [".*" if line == ANYTHING else re.escape(line).replace(ANYTHING, "[^\n]*") for line in told.splitlines()]
    return re.fullmatch("\n".join(lines), printed.rstrip("\n"), re.S) is not None


def commands(block: str) -> Iterator[tuple[str, str]]:
    """Each command of a console, and what is printed after it."""
    for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
        command, _, printed = part.partition("\n")
        yield command, printed


def test_every_code_has_an_example() -> None:
    """Who adds a code says here what it looks like: a section `### code` with a console, or a row of `REAL` below."""
    assert set(CODES) - GROUPS - set(SECTIONS) == set()
    unshown = {code for code in SECTIONS if not blocks(code, "console", "text")}
    assert unshown == {"state_failed"}
    assert {code for code in SECTIONS if blocks(code, "text")} == set(REAL) | {"unsupported_host"}


@pytest.fixture
def space(tmp_path: Path) -> Space:
    program = tmp_path / "bin/flowbuild"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m flowbuild "$@"\n')
    program.chmod(0o755)
    space = Space(tmp_path / "workspace")
    space.environment["PATH"] = f"{program.parent}:{space.environment['PATH']}"
    return space


@pytest.mark.parametrize("code", [code for code in SECTIONS if blocks(code, "console")])
def test_an_example_prints_what_is_told(space: Space, code: str) -> None:
    for text in blocks(code, "yaml", "python"):
        space.write(text.partition("\n")[0].removeprefix("# "), text.encode())
    status = 0
    for command, told in commands("".join(blocks(code, "console"))):
        words = ["sh", "-c", f"exec 2>&1; {command}"]
        done = subprocess.run(words, cwd=space.root, env=space.environment, capture_output=True, check=False)
        printed, status = done.stdout.decode("utf-8", "replace"), done.returncode
        assert is_told(told, printed), f"$ {command}\n{printed}"
    assert status == (CODES[code].exit_code if code in CODES else 1)


# Those that need a damaged disk or another program: the real thing, called as the program calls it.


def damaged(place: Path) -> None:
    cas = Cas(place / ".flowbuild/cas")
    path = cas.path(digest := cas.put(b"mo\n"))
    path.chmod(0o644)
    path.write_bytes(b"no\n")
    os.utime(path, ns=(SEALED_NS, SEALED_NS))
    path.chmod(0o444)
    cas.read(digest)


def locked(place: Path) -> None:
    with Lock(place / "lock"), Lock(place / "lock", wait=False):
        pass


def uncommitted(place: Path) -> None:
    run = place / "out/lab/run/8ab14e73-1840-432a-b9eb-f95fd97d0eb0"
    run.mkdir(parents=True)
    (run / "run_status.json").write_text('{"status": "in_progress"}')
    load_bundle(run)


def broken(place: Path) -> None:
    space = Workshop(place)
    space.write("BUILD.yaml", LAB)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment.preflight, "command", lambda channel: ["/bin/echo", "no json"])
        space.make("//:run")


LAB = """
targets:
  probes:
    rule: registry
    probes: {read: {operation: environment-read, target: PLANTED}}
    profiles: {free: {restrict: {}}}
  plan: {rule: plan, registry: ":probes", profiles: [free]}
  run: {rule: run, plan: ":plan"}
"""


def torn(place: Path) -> None:
    parse_json(b'{"plan_id": "mine",\n "profiles": [}\n', "plan.json")


def talking(place: Path) -> None:
    session = rep.Session()
    session.ask("Runtime.Capabilities", {})
    session.feed(b"Listening on port 8080\n")


def refusing(code: int, message: str) -> Callable[[Path], None]:
    def refuse(place: Path) -> None:
        found = rep.refusal({"code": code, "message": message})
        assert found is not None
        rep.raise_refusal(found)

    return refuse


def stale(place: Path) -> None:
    told = Story(states={"old_1.main.call": Told("old_1.main.call")})
    check(StateGraph((), {}), [], told, lambda state, products: None, lambda told: None)  # type: ignore[arg-type, return-value]


def edited(place: Path) -> None:
    start = start_run(Asked(OpId("a_run"), "//a:run", {}, RunConfig()), "direct", "build")
    check_start(start._replace(op="b_run"), (), ())


def linked(place: Path) -> None:
    (place / "plot.txt").symlink_to("elsewhere")
    collect(Cas(place / "cas"), place / "plot.txt")


REAL: dict[str, Callable[[Path], None]] = {
    "rep_transport": talking,
    "rep_refused": refusing(1002, "unsupported step kind opcua.read"),
    "rep_internal": refusing(3002, "out of memory"),
    "bad_json": torn,
    "bad_config": lambda place: from_doc({**RunConfig().doc(), "execution_mode": "Parallel"}) and None,
    "invalid_plan": lambda place: check_plan((), ()),
    "bad_manifest": edited,
    "run_stale": stale,
    "store_corrupt": damaged,
    "store_conflict": locked,
    "not_committed": uncommitted,
    "engine_lost": broken,
    "not_an_artifact": linked,
}


@pytest.mark.parametrize("code", REAL)
def test_what_can_t_be_written_down_is_done(tmp_path: Path, code: str) -> None:
    with pytest.raises(FlowError) as caught:
        REAL[code](tmp_path)
    assert caught.value.code == code
    (told,) = blocks(code, "text")
    assert is_told(told, f"flowbuild: {caught.value.report()}"), caught.value.report()


EDITS = {"`rule: goldn`": ("rule: golden", "rule: goldn"), "`sort --unique": ("sort -u", "sort --unique --nonsense")}


@pytest.mark.parametrize("told", EDITS)
def test_what_the_readme_shows_going_wrong(space: Space, told: str) -> None:
    """In a workspace where the words are built already, after the edit that it names."""
    if sys.platform == "darwin" and "sort" in told:
        pytest.skip("this sort has other words for it")
    (shown,) = re.findall(
        rf"^\$ \S*flowbuild -C examples //words +# after writing {told}.*\n((?:.*\n)*?)```$", README, re.M
    )
    for path in (ROOT / "examples").rglob("*"):
        if path.is_file() and not {"out", ".flowbuild", "__pycache__"} & set(path.parts):
            space.write(f"examples/{path.relative_to(ROOT / 'examples')}", path.read_bytes())
    assert space.run("-C", "examples", "//words").code == 0
    old, new = EDITS[told]
    space.write("examples/words/BUILD.yaml", space.read("examples/words/BUILD.yaml").replace(old, new))
    ran = space.run("-C", "examples", "//words")
    assert is_told(re.sub(r"\d+\.\d\d s$", "… s", shown, flags=re.M), ran.out + ran.err), ran


def test_what_windows_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(launcher, "ON_WINDOWS", True)
    assert launcher.main() == CODES["unsupported_host"].exit_code
    assert is_told(blocks("unsupported_host", "text")[0], capsys.readouterr().err)
