"""A small experiment, and what must hold whatever was done to its disk or its documents."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from flowbuild.bundle.layout import latest
from flowbuild.bundle.read import load_bundle
from flowbuild.testing import Ran, Space

RUN = "//lab:run"
LAB = """
targets:
  probes:
    rule: registry
    probes:
      read-variable: {operation: environment-read, target: FLOWBUILD_PLANTED}
    profiles:
      scrubbed: {restrict: {environment: scrub}, denies: [read-variable]}
  plan: {rule: plan, registry: "//lab:probes", profiles: [scrubbed]}
  run: {rule: run, plan: "//lab:plan"}
"""


def lab(root: Path) -> Space:
    space = Space(root)
    space.write("lab/BUILD.yaml", LAB)
    return space


def told(ran: Ran, *, codes: Sequence[int] = (5,)) -> None:
    """A failure is a message with the error's name, and never a traceback."""
    assert ran.code in codes, ran
    assert "Traceback" not in ran.out + ran.err, ran
    assert re.search(r"\bE[A-Z]{2,}\b|No space|Read-only|rror|open files|cannot start", ran.err + ran.out), ran


def whole(space: Space) -> None:
    """LATEST names a bundle that loads strictly."""
    out = space.root / "out/lab/run"
    named = latest(out)
    assert named is not None
    load_bundle(out / named)
