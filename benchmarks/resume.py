"""What it costs to go on with a run that was killed, beside what was left to do.

Knows nothing of the other tools. A run is killed by SIGKILL once its journal says that most of its states are done,
then gone on with by `flowbuild runs resume`, which comes to its end and shows all outputs.

Errors:  Failed when the run ended before it could be killed, or the outputs are not what they must be.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.cpu import Failed, Spent, spend
from benchmarks.graph import Graph
from benchmarks.peers import Peer

_DONE = b'"name":"outcome_recorded"'


class Resumed(NamedTuple):
    """A whole run of so many states; of another one that was killed, what was left, and what going on took."""

    states: int
    whole: Spent
    left: int
    rest: Spent


def resume(peer: Peer, graph: Graph, directory: Path, share: float) -> Resumed:
    """Measure a whole run, then kill another one when that share of it is done, and go on with it."""
    whole = directory / "whole"
    peer.prepare(graph, whole)
    spent = spend(list(peer.argv), whole, directory / "whole.log")
    killed = directory / "killed"
    peer.prepare(graph, killed)
    journal = _kill(peer, killed, round(graph.targets * share))
    left = graph.targets - journal.read_bytes().count(_DONE)
    argv = [sys.executable, "-m", "flowbuild", "runs", "resume", journal.parent.name]
    rest = spend(argv, killed, directory / "killed.log")
    peer.verify(graph, killed)
    return Resumed(graph.targets, spent, left, rest)


def _kill(peer: Peer, root: Path, enough: int) -> Path:
    """Start it, and kill it when its journal says that enough states are done; the journal."""
    with subprocess.Popen(peer.argv, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            journal = _await(root, process)
            with journal.open("rb") as lines:
                done = 0
                while done < enough:
                    said = lines.read()
                    done += said.count(_DONE)
                    if not said:
                        _check(process)
                        time.sleep(0.002)
        finally:
            process.kill()
    return journal


def _await(root: Path, process: subprocess.Popen[bytes]) -> Path:
    while True:
        for journal in root.glob(".flowbuild/runs/*/journal.jsonl"):
            return journal
        _check(process)
        time.sleep(0.002)


def _check(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        raise Failed("the run ended before it could be killed")
