"""Threads that read requests, answer them and perform runs, in turn.

Knows nothing of messages or flows. Whoever holds the line reads it and answers, and performs a run that was asked for
itself: to hand it on and to be told of its end takes longer than most steps do. Who is at it for more than a while
loses the line to another, so that Poll and Cancel are always heard; and after such a run the next one is handed on at
once, until one is quick again.

Shapes:  `answer(line)` gives the bytes to write, and a run to perform if the line started one. No more runs are
         performed at a time than the limit says; others wait for their turn.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

WHILE = 0.005  # seconds between two looks at who holds the line; who performs the same run at both loses it

Answer = Callable[[bytes | None], "tuple[bytes | None, Performs | None]"]


class Performs(Protocol):
    """A run, as far as it is known here."""

    def perform(self) -> None:
        """Perform it to its end. Never raises."""


class Crew:
    """As many threads as there may be runs, one more to read, and one that watches them."""

    def __init__(self, lines: Iterator[bytes | None], answer: Answer, output: int, limit: int) -> None:
        self._lines = lines
        self._answer = answer
        self._output = output
        self._limit = limit
        self._line = threading.Lock()  # who holds it, reads
        self._table = threading.Lock()  # guards what follows
        self._busy = 0
        self._queue: deque[Performs] = deque()
        self._held: Performs | None = None  # what whoever holds the line performs
        self._is_quick = True  # the run before; the best guess for the next one
        self._performed = 0
        self._dozes = False
        self._alarm = threading.Semaphore(0)
        self._ended = threading.Event()

    def work(self) -> None:
        """Answer until the input ends. Runs that are under way by then are left alone."""
        for body in (self._watch, *[self._live] * (self._limit + 1)):
            threading.Thread(target=body, daemon=True).start()
        self._ended.wait()

    def _live(self) -> None:
        try:
            self._line.acquire()
            for line in self._lines:
                reply, run = self._answer(line)
                while reply:
                    reply = reply[os.write(self._output, reply) :]
                if run is not None and not self._perform(run):
                    self._line.acquire()
        finally:
            self._ended.set()

    def _perform(self, run: Performs) -> bool:
        """Perform a run, and then those that wait for their turn; whether the line is still held."""
        with self._table:
            if self._busy == self._limit:
                self._queue.append(run)
                return True
            self._busy += 1
            self._performed += 1
            if self._is_quick:
                self._held = run
            else:
                self._line.release()
            if self._dozes:
                self._dozes = False
                self._alarm.release()
        while True:
            began = time.monotonic()
            run.perform()
            with self._table:
                self._is_quick = time.monotonic() - began < WHILE
                if self._held is run:  # then nobody else could read, and so nothing waits
                    self._held = None
                    self._busy -= 1
                    return True
                if not self._queue:
                    self._busy -= 1
                    return False
                run = self._queue.popleft()

    def _watch(self) -> None:
        """Take the line from who performs for long. While nothing is performed, sleep."""
        seen: Performs | None = None
        performed = -1
        while True:
            with self._table:
                if self._held is not None and self._held is seen:
                    self._held, self._is_quick = None, False
                    self._line.release()
                self._dozes = dozes = self._held is None and performed == self._performed
                seen, performed = self._held, self._performed
            if dozes:
                self._alarm.acquire()
            time.sleep(WHILE)
