"""Filters: the program as an interpreter of classic BPF reads it, for both architectures, and on this kernel."""

from __future__ import annotations

import errno
import struct

import hosts
import pytest

from flowbuild.engine import enforcement, seccomp
from flowbuild.engine.seccomp import ARCHITECTURES, KILL_PROCESS, Architecture, Rule, refuse

ALLOW = 0x7FFF0000


def answer(code: bytes, audit: int, number: int, argument: int = 0) -> int:
    """What a filter answers to a call: the four instructions that our programs use, run here."""
    words = {0: number, 4: audit, 16: argument}
    steps = list(struct.iter_unpack("=HBBI", code))
    at, held = 0, 0
    while True:
        operation, if_true, if_false, value = steps[at]
        at += 1
        if operation == 0x20:
            held = words[value]
        elif operation == 0x06:
            return int(value)
        else:
            at += if_true if (held == value if operation == 0x15 else held >= value) else if_false


@pytest.mark.parametrize("arch", ARCHITECTURES.values(), ids=list(ARCHITECTURES))
def test_rules_answer_their_calls_and_no_others(arch: Architecture) -> None:
    code = seccomp.program([refuse("execve"), Rule("kill", KILL_PROCESS), refuse(444, errno.ENOSYS)], arch)
    answers = [answer(code, arch.audit, n) for n in (arch.calls["execve"], arch.calls["kill"], 444, 1000)]
    assert answers == [0x50000 | errno.EACCES, KILL_PROCESS, 0x50000 | errno.ENOSYS, ALLOW]


@pytest.mark.parametrize("arch", ARCHITECTURES.values(), ids=list(ARCHITECTURES))
def test_an_argument_narrows_a_rule_and_the_next_one_still_sees_the_number(arch: Architecture) -> None:
    code = seccomp.program([refuse("socket", spare=1), refuse("socket", 99, only=1), refuse("prctl", only=22)], arch)
    socket, prctl = arch.calls["socket"], arch.calls["prctl"]
    assert answer(code, arch.audit, socket, 2) == 0x50000 | errno.EACCES
    assert answer(code, arch.audit, socket, 1) == 0x50000 | 99
    assert answer(code, arch.audit, prctl, 22) == 0x50000 | errno.EACCES
    assert answer(code, arch.audit, prctl, 38) == ALLOW


def test_a_foreign_architecture_finds_no_entrance() -> None:
    arch = ARCHITECTURES["x86_64"]
    code = seccomp.program([], arch)
    assert answer(code, 0x40000003, 1) == 0x50000 | errno.ENOSYS  # i386
    assert answer(code, arch.audit, 0x40000001) == 0x50000 | errno.ENOSYS  # x32
    assert answer(code, arch.audit, 1) == ALLOW


def test_both_architectures_know_every_call_that_a_policy_names() -> None:
    every = ["network:deny", "exec:deny", "signals:deny"]
    calls = {rule.call for rules in enforcement.filter_rules(every, 0).values() for rule in rules}
    for arch in ARCHITECTURES.values():
        assert calls <= set(arch.calls)
    assert set(ARCHITECTURES["x86_64"].calls) == set(ARCHITECTURES["aarch64"].calls)


def test_signals_need_no_filter_where_landlock_has_a_scope() -> None:
    assert enforcement.filter_rules(["signals:deny"], 6) == {}
    assert "signals:deny" in enforcement.filter_rules(["signals:deny"], 5)


@pytest.mark.skipif(not hosts.has_filters(), reason="needs seccomp filters")
def test_a_filter_is_known_to_be_possible_or_not() -> None:
    ask = "from flowbuild.engine import enforcement; print(enforcement.means().filter_errno)"
    command = ["-c", f"import sys; sys.path.append(sys.argv[1]); {ask}", hosts.ROOT]
    assert hosts.raw([*hosts.PYTHON, *command]) == b"None\n"
    outer = [refuse("prctl", errno.EINVAL, only=22)]
    assert hosts.raw([*hosts.PYTHON, *command], outer=outer) == f"{errno.EINVAL}\n".encode()
