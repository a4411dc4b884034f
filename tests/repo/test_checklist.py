"""Every item of seed 001's checklist, 001-01 to 001-31, is named by a test module that shows it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ITEMS = [f"001-{number:02}" for number in range(1, 32)]


def named(path: Path) -> set[str]:
    """The items in the last line of a module's docstring."""
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    last = doc.rstrip().splitlines()[-1:]
    return {item for line in last if line.startswith("Seed 001: ") for item in re.findall(r"\b\d{3}-\d{2}\b", line)}


def test_every_item_has_a_test_and_every_name_is_an_item() -> None:
    found = set().union(*(named(path) for path in TESTS.rglob("test_*.py") if path.parent != Path(__file__).parent))
    assert sorted(found) == ITEMS
