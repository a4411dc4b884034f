"""Damaged documents: only our own errors come out, each with a place in the file, and soon."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from flowbuild.core.errors import Faults, FlowError, UserError
from flowbuild.load.package import load_package
from flowbuild.load.rule import Rule
from flowbuild.load.rulefile import load_rule, load_rules
from flowbuild.load.workspace import RuleFile, Workspace, find

from .conftest import Loading
from .test_package import WORDS
from .test_rulefile import FULL

ROUNDS = 1_500
PIECES = [
    "", " ", "\n", "\t", ":", "- ", "? ", "&a ", "*a", "!x ", "|", ">", "'", '"', "{", "}", "[", "]", ",", "#", "%",
    "@", "`",
    "~", "null", "true", "no", "0755", "1e3", "1e999", ".inf", "99999999999999999999", "<<: ", "---\n", "...", "\\",
    "/", "//",
    "//a:b", ":c", "..", "../../..", "${{", "}}", "${{ x }}", "${{ inputs.x }}", "${{ 'x' * 9 }}",
    "${{ params.limit|upper }}",
    "\0", "\x1b", "\u2028", "\ufeff", "é", "e\u0301", "😀", "\ud7ff",
    "a" * 300, "[" * 200, "{a: " * 50, "rule: exec\n", "    ",
    "io", "all", "glob", "optional", "each", "states", "when", "lower", "items", "values", "default", "required",
    "type",
]  # fmt: skip


def mutated(text: str, chance: random.Random) -> bytes:
    """A text with a few cuts, insertions, swaps and repetitions; sometimes with a bit turned over."""
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(text) + 1)
        end = min(len(text), start + chance.choice([0, 1, 3, 10, 40]))
        lines = text.split("\n")
        act = chance.randrange(5)
        if act == 0:
            text = text[:start] + chance.choice(PIECES) + text[end:]
        elif act == 1:
            text = text[:start] + text[start:end] * 2 + text[end:]
        elif act == 2:
            place = chance.randrange(len(lines))
            lines[place] = " " * chance.randrange(6) + lines[place].lstrip()
            text = "\n".join(lines)
        elif act == 3:
            one, two = chance.randrange(len(lines)), chance.randrange(len(lines))
            lines[one], lines[two] = lines[two], lines[one]
            text = "\n".join(lines)
        else:
            text = text[:start] + text[end:]
    data = bytearray(text.encode())
    if data and chance.random() < 0.1:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def check(act: Callable[[], object], shown: str) -> bool:
    """Whether an act is refused; if so by the user's fault alone, in a file and with a message that prints."""
    start = time.process_time()
    try:
        act()
        return False
    except (FlowError, Faults) as error:
        faults = error.exceptions if isinstance(error, Faults) else (error,)
        for fault in faults:
            assert isinstance(fault, UserError) and fault.location is not None and fault.location.path == shown
            assert fault.location.line > 0 and fault.message and fault.report()
        return True
    finally:
        assert time.process_time() - start < 2


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return find(Loading(tmp_path_factory.mktemp("fuzz")).root)


@pytest.fixture(scope="module")
def rules(workspace: Workspace) -> Mapping[str, Rule]:
    return load_rules(workspace, lambda directory: None)


def test_damaged_packages(workspace: Workspace, rules: Mapping[str, Rule]) -> None:
    chance, file = random.Random(1), workspace.root / "BUILD.yaml"
    refused = 0
    for _ in range(ROUNDS):
        file.write_bytes(mutated(WORDS, chance))
        refused += check(lambda: load_package(workspace, "", rules), "BUILD.yaml")
    assert ROUNDS // 2 < refused < ROUNDS


def test_damaged_rules(tmp_path: Path) -> None:
    chance, file = random.Random(2), tmp_path / "report.rule.yaml"
    refused = 0
    for _ in range(ROUNDS):
        file.write_bytes(mutated(FULL, chance))
        refused += check(lambda: load_rule(RuleFile(file, "r", False)), "r")
    assert ROUNDS // 2 < refused < ROUNDS


def test_damaged_settings(tmp_path: Path) -> None:
    text = (
        "name: n\nruntime: {engine: python}\ncache: {dir: .flowbuild}\npath: [/bin]\nignore: ['*.o']\npools: {g: 1}\n"
    )
    chance, file = random.Random(3), tmp_path / "flowbuild.yaml"
    for _ in range(ROUNDS):
        file.write_bytes(mutated(text, chance))
        check(lambda: find(tmp_path), "flowbuild.yaml")
