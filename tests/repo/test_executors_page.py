"""docs/executors.md: its executor runs, its conversation is a real one, and its tables are the code's."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

from flowbuild.engine.conformance import CHECKS, Trial, checked
from flowbuild.engine.executor import environment

PAGE = (Path(__file__).parents[2] / "docs" / "executors.md").read_text(encoding="utf-8")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def fence(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)
    return str(found)


def column(heading: str) -> list[str]:
    """The first cells of the table with this heading."""
    table = PAGE.split(f"| {heading} |", 1)[1].split("\n\n")[0].splitlines()[2:]
    return [line.split("|")[1].strip() for line in table]


def test_the_executor_takes_ten_lines(tmp_path: Path) -> None:
    lines = [line for line in fence("python").splitlines() if line and not line.startswith("#!")]
    assert len(lines) <= 10


def test_the_executor_keeps_to_rep(tmp_path: Path) -> None:
    path = tmp_path / "greeter.py"
    path.write_text(fence("python"))
    trial = Trial((sys.executable, str(path)), tmp_path, with_={"name": "Ada"}, failing={})
    assert {finding.verdict for finding in checked(trial)} == {"ok"}


def test_the_conversation_is_a_real_one(tmp_path: Path) -> None:
    path = tmp_path / "greeter.py"
    path.write_text(fence("python"))
    told = fence("rep").splitlines()
    process = subprocess.Popen([sys.executable, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin and process.stdout
    with process, process.stdin:
        for asked, answered in zip(told[::2], told[1::2], strict=True):
            assert asked[:2] == "> "
            if "Runtime.Poll" in asked:
                time.sleep(0.3)  # by then the run is over, as it was on the page
            process.stdin.write(asked[2:] + "\n")
            process.stdin.flush()
            said = json.loads(process.stdout.readline())
            compact = json.dumps(said, separators=(",", ":"), ensure_ascii=False)
            assert TIME.sub("now", "< " + compact) == TIME.sub("now", answered)
        process.stdin.close()
        assert process.wait(10) == 0


def test_every_check_is_told() -> None:
    assert column("check") == list(CHECKS)


def test_every_variable_is_told() -> None:
    told = {name for cell in column("variable") for name in re.findall(r"`(\w+)`", cell)}
    assert told == set(environment("r", "t", 1.0, base={}))


def test_every_method_is_told() -> None:
    from flowbuild.engine import rep

    assert [cell.strip("`") for cell in column("method")] == [
        rep.CAPABILITIES,
        rep.START,
        rep.POLL,
        rep.CANCEL,
        rep.HEALTH,
    ]
