"""Bytes that are no text in what a handler raises: the state fails and says so, and the run ends."""

from __future__ import annotations

import json

import pytest

from flowbuild.testing import Space

HANDLER = {"rule": "python", "handler": "odd.py:odd", "outputs": {"o": "o"}}
BODIES = {
    "in what it raises": "raise ValueError('\\udcff is odd')",
    "in the error of a file": "open('\\udcff is odd')",
    "in a long error": "raise ValueError('\\udcff' * 100_000 + ' is odd')",
    "in a failure of its own": "from flowbuild.io import HandlerFailed\n    raise HandlerFailed('\\udcff is odd')",
}


def ended(space: Space) -> None:
    """Nothing is left for somebody to go on with."""
    listed = space.run("runs", "list").out
    assert "failed" in listed and "killed" not in listed, listed


@pytest.mark.parametrize("where", BODIES)
def test_what_a_handler_says(space: Space, where: str) -> None:
    space.write("BUILD.yaml", json.dumps({"targets": {"odd": HANDLER}}))
    space.write("odd.py", f"def odd(o):\n    {BODIES[where]}\n")
    ran = space.run("//:odd")
    assert ran.code == 1 and "\\udcff" in ran.out, ran
    ended(space)
