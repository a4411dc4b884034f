"""A refusal at any call: the real program, with one system call or all later ones of its kind refused by strace.

Every call counts that touches `.flowbuild` or `out`. At each one of the errors that it may answer is injected, in turn:
once, or from there on for good. Exit 0 says that a whole bundle is there and LATEST names it; whatever else happens
is a message with the error's name, and the next run succeeds.

A sample of the points is tried each time; `FLOWBUILD_FAULTS=all` tries every one, which takes half an hour.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
from lab import RUN, lab, told, whole

from flowbuild.testing import Ran, Space

pytestmark = pytest.mark.faults

# The errors that each call may answer. EINTR is not for good: nobody interrupts for ever, and Python asks again.
ERRORS = {
    "openat": ("ENOSPC", "EMFILE", "EROFS", "EDQUOT", "EIO", "EINTR"),
    "mkdir": ("ENOSPC", "EROFS", "EDQUOT", "EIO"),
    "write": ("ENOSPC", "EIO", "EDQUOT", "EINTR"),
    "pwrite64": ("ENOSPC", "EIO"),
    "rename": ("ENOSPC", "EIO", "EROFS", "EDQUOT"),
    "unlink": ("EIO", "EROFS"),
    "unlinkat": ("EIO", "EROFS"),
    "rmdir": ("EIO", "EROFS"),
    "fchmod": ("EIO", "EROFS"),
    "utimensat": ("EIO", "EROFS"),
    "ftruncate": ("EIO", "ENOSPC"),
    "fsync": ("EIO", "ENOSPC", "EDQUOT", "EINTR"),
    "syncfs": ("EIO", "ENOSPC"),
    "read": ("EIO", "EINTR"),
    "pread64": ("EIO",),
    "getdents64": ("EIO",),
    "flock": ("ENOLCK", "EINTR"),
}
SAMPLE = 18
PARTS = 8


class Point(NamedTuple):
    """One fault: at the Nth of these calls, or from there on."""

    call: str
    when: int
    error: str
    lasts: bool

    def __str__(self) -> str:
        return f"{self.call}:error={self.error}:when={self.when}{'+' if self.lasts else ''}"


def traced(space: Space, log: Path, inject: Point | None = None) -> Ran:
    """The real program under strace, without its children."""
    more = ["-e", f"inject={inject}"] if inject else []
    words = ["strace", "-y", "-o", str(log), "-e", f"trace={','.join(ERRORS)}", *more]
    program = [str(Path(sys.executable).resolve()), "-m", "flowbuild", RUN]
    environment = {**space.environment, "PYTHONPATH": ":".join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [*words, *program], cwd=space.root, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> list[Point]:
    """Every point, by call and number."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    base = tmp_path_factory.mktemp("count")
    space = lab(base / "workspace")
    ran = traced(space, base / "log")
    text = (base / "log").read_text()
    if ran.code != 0 and "ptrace" in text + ran.err:
        pytest.skip("this host does not let anybody trace")
    assert ran.code == 0, ran
    count: Counter[str] = Counter()
    touching: Counter[str] = Counter()
    found = []
    for line in text.splitlines():
        call, bracket, rest = line.partition("(")
        if not bracket or call not in ERRORS:
            continue
        count[call] += 1
        if any(place in rest for place in kept(space)):
            error = ERRORS[call][touching[call] % len(ERRORS[call])]
            lasting = ERRORS[call][(touching[call] + 1) % len(ERRORS[call])]
            touching[call] += 1
            found.append(Point(call, count[call], error, False))
            found += [Point(call, count[call], lasting, True)] if lasting != "EINTR" else []
    assert len(found) > 500, "the program was not seen at work"
    return found


def sample(points: list[Point]) -> list[Point]:
    """So many, evenly spread over each call's points, every call among them; or all."""
    if os.environ.get("FLOWBUILD_FAULTS") == "all":
        return points
    chosen: list[Point] = []
    for call in ERRORS:
        mine = [point for point in points if point.call == call]
        share = max(1, round(SAMPLE * len(mine) / len(points)))
        chosen += mine[len(mine) // (2 * share) :: max(1, len(mine) // share)][:share]
    return chosen


@pytest.mark.parametrize("part", range(PARTS))
def test_a_refusal_at_any_call(tmp_path: Path, points: list[Point], part: int) -> None:
    mine = sample(points)[part::PARTS]
    injected = 0
    wrong = []
    for number, point in enumerate(mine):
        space, log = lab(tmp_path / str(number)), tmp_path / "log"
        ran = traced(space, log, point)
        if not met_its_mark(space, log):
            continue
        injected += 1
        try:
            judge(space, point, ran)
        except Exception as error:  # the whole list is worth more than its first entry
            wrong.append(f"{point}: {error!r}\n{ran}")
        shutil.rmtree(space.root)
    assert not wrong, "\n\n".join(wrong)
    assert injected >= len(mine) * 0.5, "the faults were not injected"


def kept(space: Space) -> tuple[str, str]:
    return f"{space.root.resolve()}/.flowbuild", f"{space.root.resolve()}/out"


def met_its_mark(space: Space, log: Path) -> bool:
    """Whether the first refused call was about ours, and not an import that came a call earlier or later this time."""
    refused = next((line for line in log.read_text().splitlines() if line.endswith("(INJECTED)")), "")
    return any(place in refused for place in kept(space))


def judge(space: Space, point: Point, ran: Ran) -> None:
    """What must hold after a fault, and once it is gone."""
    if ran.code == 0:
        whole(space)
    elif point.lasts and point.call == "write":
        # Then nothing can be said, on any descriptor: 120 is what the interpreter ends with.
        assert ran.code in (5, 120), ran
    else:
        told(ran)
    # Python asks again; but for the opening of a directory that it lists.
    assert point.error != "EINTR" or ran.code == 0 or point.call == "openat", "who is interrupted asks again"
    again = space.run(RUN)
    assert again.code == 0, again
    whole(space)
