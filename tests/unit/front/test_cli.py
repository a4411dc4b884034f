"""The command line: words in any order, and the exit code of whatever happens."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from flowbuild.core.errors import (
    BadFlag,
    BadYaml,
    EngineLost,
    Faults,
    FlowError,
    StateFailed,
    StoreCorrupt,
    UnsupportedHost,
)
from flowbuild.front import cli
from flowbuild.front.arguments import Request
from flowbuild.front.guard import guarded


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("//x", "build //x"),
        (":x", "build :x"),
        ("-//y //x", "build -//y //x"),
        ("-C dir //x", "build -C dir //x"),
        ("-C dir build //x", "build -C dir //x"),
        ("-q -j 3 test //x", "test -q -j 3 //x"),
        ("--set a=b explain //x", "explain --set a=b //x"),
        ("--jobs=3 why //x", "why --jobs=3 //x"),
        ("list rules", "list rules"),
        ("--help", "--help"),
        ("", ""),
        ("-C", "build -C"),
    ],
)
def test_the_command_comes_first(line: str, expected: str) -> None:
    assert cli.ordered(line.split()) == expected.split()


@pytest.mark.parametrize(("word", "remedy"), [("tset", "did you mean 'test'?"), ("a/b", "--help"), ("zzz", "labels")])
def test_a_word_that_is_no_command(word: str, remedy: str) -> None:
    with pytest.raises(BadFlag) as caught:
        cli.ordered([word, "//x"])
    assert remedy in caught.value.remedy


def test_every_command_has_a_line_of_help(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("build", "test", "explain", "why", "outputs", "list", "describe", "clean", "version"):
        assert cli.main([command, "--help"]) == 0
        assert f"Usage: flowbuild {command}" in capsys.readouterr().out


def raising(error: BaseException) -> Callable[[], int]:
    def command() -> int:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadYaml("x"), 2),
        (UnsupportedHost("x"), 3),
        (StateFailed("x"), 1),
        (EngineLost("x"), 4),
        (StoreCorrupt("x"), 5),
        (Faults([StoreCorrupt("one"), BadYaml("two")]), 5),
    ],
)
def test_an_error_is_its_report_and_its_code(
    error: FlowError | Faults, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(raising(error)) == code
    out, err = capsys.readouterr()
    assert (out, "Traceback" in err) == ("", False)
    assert all(line.startswith("flowbuild: ") for line in err.splitlines())


def test_a_bug_is_a_traceback_and_a_request(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(raising(ZeroDivisionError("x"))) == 70
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "please report it" in err


def test_an_interrupt_is_130() -> None:
    assert guarded(lambda: signal.raise_signal(signal.SIGINT) or 0) == 130


def test_fields_reach_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Request] = []
    monkeypatch.setattr("flowbuild.front.explain.explain", lambda request: seen.append(request) or 7)
    assert cli.main(["explain", "//a", "//b", "--set", "x=1", "--force", "//b", "-v"]) == 7
    assert seen == [
        Request("explain", ("//a", "//b"), policy="dry", sets=("x=1",), force=("//b",), verbose=True),
    ]
