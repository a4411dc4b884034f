"""The threads of an executor: who performs does not keep the others from being heard."""

from __future__ import annotations

import os
import queue
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from flowbuild.rep import crew
from flowbuild.rep.crew import Crew

TIME = 20  # seconds that anything may take


class Held:
    """A run that goes on until it is let go."""

    def __init__(self) -> None:
        self.begun, self.let_go, self.over = threading.Event(), threading.Event(), threading.Event()
        self.thread = 0

    def perform(self) -> None:
        self.thread = threading.get_ident()
        self.begun.set()
        assert self.let_go.wait(TIME)
        self.over.set()


class Quick(Held):
    def __init__(self) -> None:
        super().__init__()
        self.let_go.set()


class Line:
    """Both ends of a crew's line: what is said is a run's name, or a word to be said back."""

    def __init__(self, limit: int) -> None:
        self.runs: dict[bytes, Held] = {}
        self._said: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._reading, writing = os.pipe()
        self.crew = Crew(iter(self._said.get, b"end"), self._answer, writing, limit)
        self.thread = threading.Thread(target=self.crew.work, daemon=True)
        self.thread.start()
        self._ends = (self._reading, writing)

    def say(self, word: bytes, run: Held | None = None) -> bytes:
        if run is not None:
            self.runs[word] = run
        self._said.put(word)
        assert select.select([self._reading], [], [], TIME)[0], "nobody reads"
        return os.read(self._reading, 100)

    def end(self) -> None:
        self._said.put(b"end")
        self.thread.join(TIME)
        assert not self.thread.is_alive()
        for descriptor in self._ends:
            os.close(descriptor)

    def _answer(self, line: bytes | None) -> tuple[bytes | None, Held | None]:
        assert line is not None
        return line.upper(), self.runs.get(line)


@contextmanager
def line(limit: int = 1) -> Iterator[Line]:
    one = Line(limit)
    try:
        yield one
    finally:
        for run in one.runs.values():
            run.let_go.set()
        one.end()


def test_who_reads_performs_what_is_quick() -> None:
    with line() as one:
        runs = [Quick() for _ in range(5)]
        for number, run in enumerate(runs):
            assert one.say(b"run%d" % number, run) == b"RUN%d" % number
        assert one.say(b"hello") == b"HELLO"
        assert all(run.over.wait(TIME) for run in runs)


def test_who_performs_for_long_loses_the_line() -> None:
    with line() as one:
        first = Held()
        assert one.say(b"first", first) == b"FIRST" and first.begun.wait(TIME)
        for _ in range(3):
            assert one.say(b"hello") == b"HELLO"  # another reads
        first.let_go.set()
        assert first.over.wait(TIME)
        second = Held()
        assert one.say(b"second", second) == b"SECOND" and second.begun.wait(TIME)
        assert one.say(b"hello") == b"HELLO"


def test_after_a_long_run_the_next_is_handed_on_at_once() -> None:
    with line(limit=3) as one:
        first = Held()
        assert one.say(b"first", first) == b"FIRST" and first.begun.wait(TIME)
        assert one.say(b"hello") == b"HELLO"
        assert not one.crew._is_quick
        second = Held()
        assert one.say(b"second", second) == b"SECOND" and second.begun.wait(TIME)
        assert one.crew._held is None  # nobody has to take the line away
        assert one.say(b"hello") == b"HELLO"
        third = Quick()
        assert one.say(b"third", third) == b"THIRD" and third.over.wait(TIME)
        assert one.say(b"hello") == b"HELLO"


def test_no_more_are_performed_than_the_limit_says_and_the_rest_in_order() -> None:
    with line(limit=2) as one:
        runs = [Held() for _ in range(4)]
        for number, run in enumerate(runs):
            one.say(b"run%d" % number, run)
        assert runs[0].begun.wait(TIME) and runs[1].begun.wait(TIME)
        assert one.say(b"hello") == b"HELLO"
        assert not runs[2].begun.is_set() and not runs[3].begun.is_set()
        runs[1].let_go.set()
        assert runs[2].begun.wait(TIME) and not runs[3].begun.is_set()
        runs[0].let_go.set()
        assert runs[3].begun.wait(TIME)


def test_it_ends_with_its_input_whatever_is_under_way() -> None:
    with line() as one:
        run = Held()
        one.say(b"run", run)
        one._said.put(b"end")
        one.thread.join(TIME)
        assert not one.thread.is_alive() and not run.over.is_set()


def test_nobody_is_watched_while_nothing_is_performed() -> None:
    with line() as one:
        assert one.say(b"run", Quick()) == b"RUN"
        slept = threading.Event()
        for _ in range(1000):
            if one.crew._dozes:
                break
            slept.wait(crew.WHILE)
        assert one.crew._dozes
        held = Held()
        assert one.say(b"held", held) == b"HELD" and held.begun.wait(TIME)
        assert one.say(b"hello") == b"HELLO"  # and it wakes when something is
