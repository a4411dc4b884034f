"""A fresh workspace for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowbuild.testing import Space

WORDS = """
targets:
  sorted:
    rule: exec
    command: sort -u ${{ inputs.names }} -o ${{ outputs.sorted }}
    inputs: {names: names.txt}
    outputs: {sorted: sorted.txt}
    env: [LC_ALL]

  counted:
    rule: exec
    script: wc -l < ${{ inputs.names }} | tr -d ' ' > ${{ outputs.count }}
    inputs:
      names: :sorted
    outputs: {count: count.txt}

  top:
    rule: python
    handler: top.py:most_frequent
    modules: [tokens.py]
    inputs:
      words: :counted
    outputs: {top: top.json}
    params: {limit: 10}
    with: {limit: "${{ params.limit }}"}

  words:
    rule: group
    targets: [//words:top, //words:sorted]
"""

TOP = '''
"""Says how many lines there are, at most `limit`."""

from pathlib import Path
import json
from tokens import number


def most_frequent(words: Path, top: Path, limit: int) -> None:
    top.write_text(json.dumps(min(number(words.read_text()), limit)) + "\\n")
'''

TOKENS = """
def number(text: str) -> int:
    return int(text)
"""


@pytest.fixture
def space(tmp_path: Path) -> Space:
    """An empty workspace."""
    return Space(tmp_path / "workspace")


@pytest.fixture
def words(space: Space) -> Space:
    """A workspace with a package of three steps: sort, count, and a handler with a module."""
    space.write("words/BUILD.yaml", WORDS)
    space.write("words/names.txt", "mo\nada\nada\n")
    space.write("words/top.py", TOP)
    space.write("words/tokens.py", TOKENS)
    return space
