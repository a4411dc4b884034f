"""A command leaves no descriptor open in its process, however it ends."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from workshop import Workshop

from flowbuild.core.action import ErrorInfo
from flowbuild.testing import ScriptedEngine

NUMBERS = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"


def held(workshop: Workshop) -> Counter[str]:
    """What is open below a workspace."""
    found: Counter[str] = Counter()
    for number in os.listdir(NUMBERS):
        try:
            place = os.readlink(f"{NUMBERS}/{number}")
        except OSError:
            continue
        if place.startswith(str(workshop.root)):
            found[place] += 1
    return found


@pytest.mark.skipif(NUMBERS == "/dev/fd", reason="this host does not say what a descriptor is")
@pytest.mark.parametrize("durability", ["none", "commit", "all"])
@pytest.mark.parametrize("says", ["done", "failed", "stopped"])
def test_a_build_leaves_none(workshop: Workshop, durability: str, says: str) -> None:
    def stop(action: object) -> None:
        raise KeyboardInterrupt

    said = {"done": "x", "failed": ErrorInfo("broken", "it broke"), "stopped": stop}[says]
    workshop.words().engine = lambda: ScriptedEngine({"//words:stats": said})  # type: ignore[dict-item]
    for _ in range(2):
        if says == "stopped":
            with pytest.raises(KeyboardInterrupt):
                workshop.make("//words", "--durability", durability)
        else:
            workshop.make("//words", "--durability", durability)
        assert not held(workshop)
