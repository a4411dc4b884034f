"""The console: what is printed for whom, on a terminal and elsewhere."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from flowbuild.core.event import Domain, Event, StateCompleted, StateEntered, StateFailed
from flowbuild.core.ids import StateId
from flowbuild.core.label import Label
from flowbuild.front.console import Console
from flowbuild.graph.state import State, StateGraph


class Terminal(io.StringIO):
    """A terminal, 40 columns wide."""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return 1


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowbuild.front.console.time", SimpleNamespace(monotonic=lambda: 0.0))
    monkeypatch.setattr(os, "get_terminal_size", lambda descriptor: os.terminal_size((40, 20)))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)


def state(number: int, kind: str = "exec") -> State:
    name = f"t{number}"
    return State(StateId(f"{name}.main.x"), Label("p", name), kind, "p", {}, {}, {}, {}, title=f"run {name}")


GRAPH = StateGraph((state(0), state(1), state(2, "probe")), {})
INFO = {"code": "x", "category": "Unknown", "retryable": False, "message": "exit 3 after 0.10 s", "details": None}


def entered(number: int) -> list[Event]:
    one = GRAPH.states[number]
    bound = {"action": "k", "label": str(one.label), "state_id": one.id}
    return [StateEntered(one.id, 0, "s"), Domain("action_bound", bound)]


def done(number: int) -> list[Event]:
    return [StateCompleted(GRAPH.states[number].id, "s")]


def failed(number: int, **captured: object) -> list[Event]:
    one = GRAPH.states[number].id
    said = Domain("output_captured", {"state_id": one, **captured})
    return [said, StateFailed(one, {"state_id": one, "info": INFO})]


def shown(events: Sequence[Event], console: Console, way: str = "") -> str:
    progress = console.follow(GRAPH, [0, 1, 2], lambda state, key, outputs: ("", ""), way)
    progress.show(events, "run")
    return console._out.getvalue()  # type: ignore[attr-defined]


def test_a_state_that_is_done_is_a_line() -> None:
    out = shown([*entered(0), *done(0)], Console(out=io.StringIO()))
    assert out == f"  done    //p:t0  {'run t0':<30}   0.00 s\n"


def test_quiet_says_nothing_of_it() -> None:
    assert shown([*entered(0), *done(0)], Console(out=io.StringIO(), quiet=True)) == ""


def test_a_probe_is_told_with_verbose_only() -> None:
    assert shown([*entered(2), *done(2)], Console(out=io.StringIO())) == ""
    assert "//p:t2" in shown([*entered(2), *done(2)], Console(out=io.StringIO(), verbose=True))


@pytest.mark.parametrize("quiet", [True, False])
def test_a_failure_is_always_told(quiet: bool) -> None:
    events = entered(0) + failed(0, stderr_tail="a\nb\n", log="logs/x", reproduce="cd stage && sh x")
    assert shown(events, Console(out=io.StringIO(), quiet=quiet), "../") == (
        "  failed  //p:t0  exit 3 after 0.10 s\n    a\n    b\n"
        "    log        ../logs/x\n    reproduce  cd ../stage && sh x\n"
    )


def test_only_the_end_of_what_was_said() -> None:
    out = shown(
        entered(0) + failed(0, stderr_tail="".join(f"line {n}\n" for n in range(50))), Console(out=io.StringIO())
    )
    assert "line 29\n" not in out
    assert out.count("line ") == 20


def test_a_warning_is_always_told() -> None:
    event = Domain("not_remembered", {"label": "//p:t0", "reason": "x moved", "state_id": "s", "files": []})
    out = shown([event], Console(out=io.StringIO(), quiet=True))
    assert out == "  warning //p:t0: x moved; its result is not remembered\n"


def test_json_is_the_events_and_nothing_else() -> None:
    console = Console(out=io.StringIO(), as_json=True)
    lines = shown(entered(0) + failed(0), console).splitlines()
    assert [next(iter(json.loads(line)["event"])) for line in lines] == ["Kernel", "Domain", "Domain", "Kernel"]
    console.line("x")
    console.always("x")
    assert len(console._out.getvalue().splitlines()) == 4  # type: ignore[attr-defined]


def test_a_terminal_has_a_live_line_that_fits() -> None:
    out = shown([*entered(0), *entered(1)], Console(out=Terminal()))
    live = out.rpartition("\r\033[K")[2]
    assert live.startswith("[0/3] 0 done, 0 reused  0.0 s  //p:t0 /")
    assert len(live) == 39


def test_the_live_line_counts() -> None:
    console = Console(out=io.StringIO())
    progress = console.follow(GRAPH, [0, 1, 2], lambda state, key, outputs: ("", ""))
    reused = Domain("reused", {"state_id": GRAPH.states[1].id})
    progress.show([*entered(0), *failed(0), StateEntered(GRAPH.states[1].id, 0, "s"), reused, *done(1)], "run")
    assert progress.live_line() == "[2/3] 0 done, 1 reused, 1 failed  0.0 s  "


def test_a_line_takes_the_place_of_the_live_line() -> None:
    console = Console(out=Terminal())
    console.status("now")
    console.line("text")
    assert console._out.getvalue() == "\r\033[Know\r\033[Ktext\n"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("color", "out", "variables", "colored"),
    [
        ("auto", Terminal, {}, True),
        ("auto", io.StringIO, {}, False),
        ("auto", Terminal, {"NO_COLOR": ""}, False),
        ("auto", Terminal, {"TERM": "dumb"}, False),
        ("never", Terminal, {}, False),
        ("always", io.StringIO, {"NO_COLOR": "1"}, True),
    ],
)
def test_color(
    color: str, out: type[io.StringIO], variables: dict[str, str], colored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert ("\033[" in Console(color=color, out=out()).paint("done", "x")) is colored


def test_errors_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    Console().error("trouble")
    assert capsys.readouterr() == ("", "trouble\n")
