"""The surface: what is public is said, what is there is used, and both parsers of the command line agree."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import flowbuild
from flowbuild.core.errors import FlowError
from flowbuild.front import arguments, cli
from flowbuild.front.arguments import Request

ROOT = Path(flowbuild.__file__).parent
MODULES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}
# Modules that no other module imports: who runs them.
ENTRY_POINTS = {
    "flowbuild.evidence.__main__": "`python -m flowbuild.evidence`",
    "flowbuild.__main__": "the console script, and `python -m flowbuild`",
    "flowbuild.testing": "people's tests",
    "flowbuild.io": "people's handlers",
    "flowbuild.engine.launch": "the launcher of the channel `clean`, a program of its own",
    "flowbuild.rep.mock": "an executor, by `python -m`",
    "flowbuild.engine.worker_main": "a worker, by path",
    "flowbuild.engine.http_main": "the program that sends a request",
    "flowbuild.engine.preflight": "a program of its own, by `python -m`",
    "flowbuild.engine.golden": "the handler of the rule `golden`",
    "flowbuild.graph.builtin": "the `lower:` of the rules that ship",
}
# What importing the package may not bring: each costs more than a null build.
HEAVY = {"networkx", "jinja2", "yaml", "typer", "rich", "msgspec", "rfc8785", "pathspec", "xxhash", "dataclasses"}


def tree(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text())


def imported(name: str) -> Iterator[str]:
    """The modules of ours that a module names in its imports, and in texts of the form `module:function`."""
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_importing_the_package_brings_nothing_heavy() -> None:
    code = "import sys, flowbuild; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert HEAVY & set(done.stdout.split()) == set()


def test_all_is_what_is_public() -> None:
    assert set(flowbuild.__all__) == set(flowbuild._HOMES)
    modules = {name.removeprefix("flowbuild.") for name in MODULES}
    public = {name for name in vars(flowbuild) if not name.startswith("_")} - modules
    assert public <= set(flowbuild.__all__)
    for name, home in flowbuild._HOMES.items():
        assert getattr(flowbuild, name) is getattr(sys.modules[home], name)


def test_no_module_is_dead() -> None:
    used = {name for module in MODULES for name in imported(module)}
    packages = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    assert sorted(set(MODULES) - used - packages - set(ENTRY_POINTS)) == []


def test_entry_points_are_there() -> None:
    assert set(ENTRY_POINTS) <= set(MODULES)


def public(module: str) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """The public functions and classes of a module."""
    for node in tree(module).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node


# Their modules say what all of them are: the variants of an event, and the branches of the error tree.
DESCRIBED_BY_THEIR_MODULE = {"flowbuild.core.event", "flowbuild.core.errors"}


def test_public_functions_and_classes_say_what_they_are() -> None:
    modules = set(MODULES) - DESCRIBED_BY_THEIR_MODULE
    silent = [f"{module}.{node.name}" for module in modules for node in public(module) if not ast.get_docstring(node)]
    assert sorted(silent) == []


# Command lines of the common form, which both parsers read, and those that the hand parser leaves alone.
COMMON = [
    *("//a", "//a:b", "build //a/...", ":b", "//... -//x/...", "-//x/... //...", "//a -:b", "build //a //b"),
    *("-C dir //a", "-Cdir //a", "--directory dir //a", "--directory=dir //a", "//a -C dir", "-C dir build //a"),
    *("//a -j 2", "//a -j2", "-j2 //a", "//a --jobs 2", "//a --jobs=2", "-j 4 build //a"),
    *("//a --set x=1", "//a --set x=1 --set y=2", "//a --set=x=1", "--set x=a=b //a", "//a --set //b:c.x=1"),
    *("//a --force //b", "//a --force :b --force //c", "//a --continue always", "//a --continue=never"),
    *("//a --continue dependencies-successful", "//a --json", "//a -q", "//a --quiet", "//a -v", "//a --verbose"),
    *("//a --color never", "//a --color=always", "//a --strict", "//a --durability all", "//a --durability none"),
    *("//a --policy live", "//a --policy dry", "//a --channel clean", "//a --channel direct", "//a --out dir"),
    *(
        "//a --only-profile p --only-profile q",
        "//a --only-scenario p.q",
        "//a --engine proc",
        "//a --executor-path x --runtime-config y",
        "//a -q -v --json",
        "-v //a -j1 -C x",
    ),
]
REFUSED = [
    *("//a --nope", "//a --nope=1", "//a -x", "//a -j", "//a -j 0", "//a -j x", "//a --color rainbow", "//a -j=2"),
    *("//a --policy nonsense", "//a --continue sometimes", "//a --json=1", "//a --set", "//a -C", "a/b", "build"),
    *("//a --channel secret", "//a --durability some", "buidl //a"),
]


def slow(line: str, monkeypatch: pytest.MonkeyPatch) -> Request:
    """What typer makes of a command line."""
    found: list[Request] = []

    def keep(request: Request) -> int:
        found.append(request)
        return 0

    monkeypatch.setattr("flowbuild.front.build.build", keep)
    assert cli.app(cli.ordered(line.split()), prog_name="flowbuild", standalone_mode=False) == 0
    return found[0]


@pytest.mark.parametrize("line", COMMON)
def test_both_parsers_read_the_same_request(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    by_hand = arguments.parse(line.split())
    assert by_hand is not None
    assert by_hand == slow(line, monkeypatch)


@pytest.mark.parametrize("line", REFUSED)
def test_what_is_wrong_is_refused_by_one_and_left_alone_by_the_other(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert arguments.parse(line.split()) is None
    assert cli.main(line.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith("flowbuild: ")
    assert "Traceback" not in said


def test_every_flag_of_the_hand_parser_is_a_flag_of_build() -> None:
    """The two tables name the same flags, except those that are for later."""
    import typer

    command: Any = typer.main.get_command(cli.app)
    options = {word for param in command.commands["build"].params for word in param.opts if word.startswith("-")}
    assert options - {"--help", "-h"} <= set(arguments.FLAGS)
    assert set(arguments.FLAGS) - options == LATER


# Flags of the table that no engine of this version can use yet; typer refuses them.
LATER = {"--config", "--timeout"}


@pytest.mark.parametrize("flag", sorted(LATER))
def test_flags_for_later_are_refused_by_the_slow_road(flag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FlowError, match=f"no flag {flag}"):
        slow(f"//a {flag} 1", monkeypatch)


# What the project's own description fixes, and what may join it.
TOP = {"flowbuild", "rules", "examples", "tests", "templates", "docs", "benchmarks", "pyproject.toml"}
PAGES = {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"}


def test_nothing_else_stands_at_the_top() -> None:
    if not (ROOT.parent / ".git").exists():
        pytest.skip("only a checkout says what belongs to it")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT.parent, capture_output=True, text=True, check=True).stdout
    tops = {path.partition("/")[0] for path in listed.splitlines()}
    assert {name for name in tops if not name.startswith(".")} <= TOP | PAGES
