"""Signals: noted, waited for, and given back."""

from __future__ import annotations

import os
import select
import signal
import threading

import pytest

from flowbuild.run.signals import STOPPING, Signals, Stopped


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_is_noted_and_can_be_waited_for(number: signal.Signals) -> None:
    with Signals() as signals:
        assert signals.received is None
        assert signals.descriptor is not None
        signals.is_heeded = True
        os.kill(os.getpid(), number)
        assert select.select([signals.descriptor], [], [], 2)[0] == [signals.descriptor]
        assert signals.received == number


def test_the_first_one_counts() -> None:
    with Signals() as signals:
        signals.is_heeded = True
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert signals.received == signal.SIGTERM


def test_handlers_are_given_back() -> None:
    before = [signal.getsignal(number) for number in STOPPING]
    with Signals():
        assert signal.getsignal(signal.SIGTERM) not in before
    assert [signal.getsignal(number) for number in STOPPING] == before
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_what_was_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
    try:
        with Signals() as signals:
            signal.raise_signal(signal.SIGHUP)
            assert signals.received is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_outside_the_main_thread_it_does_nothing() -> None:
    found: list[int | None] = [1]

    def enter() -> None:
        with Signals() as signals:
            found[0] = signals.descriptor

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [None]


def test_where_nobody_waits_it_is_raised() -> None:
    with Signals(), pytest.raises(Stopped) as stopped:
        signal.raise_signal(signal.SIGTERM)
    assert stopped.value.number == signal.SIGTERM
