"""Each check of the contract finds the executor that breaks it, and only that one."""

from __future__ import annotations

from pathlib import Path

import pytest
from peer import write_peer

from flowbuild.engine import conformance
from flowbuild.engine.conformance import CHECKS, Trial, checked

# A peer that keeps to all of it, for each check to have one thing wrong.
GOOD = """
    import threading
    runs = {}
    def start(id, params):
        ir = params["ir"]
        if "graph" not in ir: return refuse(id, 1003)
        if ir["version"] != "1.0.0": return refuse(id, 1001)
        (node,) = ir["graph"]["nodes"]
        if node["type"] not in "ab": return refuse(id, 1002)
        failed = node["with"].get("fail")
        runs[params["options"]["run_id"]] = "failed" if failed else "completed"
        reply(id, {"run_id": params["options"]["run_id"]})
    def poll(id, params):
        error = {"error": {"code": 2001, "message": "asked to"}}
        status = runs[params["run_id"]]
        reply(id, {"status": status, "events": [], "summary": error if status == "failed" else {}})
    class Methods(dict):
        def __missing__(self, name): return lambda id, params: refuse(id, -32601)
    def loads(line, loads=json.loads):
        try:
            request = loads(line)
            request["method"]
            return request
        except Exception:
            refuse(None, 3001)
            return {"method": "nothing", "id": None, "params": {}}
    json.loads = loads
    def nothing(id, params): pass
"""
DISPATCH = ("methods = {", "methods = Methods(nothing=nothing, **{"), ('"Cancel": cancel}', '"Cancel": cancel})')


def findings(
    tmp_path: Path, replaced: str = "", failing: dict[str, bool] | None = None, names: tuple[str, ...] | None = None
) -> dict[str, tuple[str, str]]:
    argv = write_peer(tmp_path, GOOD)
    path = Path(argv[1])
    text = path.read_text()
    for old, new in DISPATCH:
        text = text.replace(old, new)
    path.write_text(text.replace("methods = Methods", f"{replaced}\nmethods = Methods"))
    trial = Trial(argv, tmp_path, timeout=0.8, failing=failing)
    return {finding.name: (finding.verdict, finding.detail) for finding in checked(trial, names)}


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conformance, "ENDING", 1.0)
    monkeypatch.setattr(conformance, "QUIET", 0.5)


def test_one_that_keeps_to_it_passes_all(tmp_path: Path) -> None:
    found = findings(tmp_path, failing={"fail": True})
    assert [(name, verdict) for name, (verdict, _) in found.items() if verdict != "ok"] == []
    assert list(found) == list(CHECKS)
    assert found["failure"] == ("ok", "2001 asked to")


BROKEN = {
    "handshake": "OFFER.pop('limits')",
    "completion": "def poll(id, params): reply(id, {'status': 'completed', 'events': [{'type': 'log'}]})",
    "one process for many runs": (
        "served = 0\nthen = start\ndef start(id, params):\n    global served\n    served += 1\n"
        "    if served > 3: os._exit(1)\n    then(id, params)"
    ),
    "failure": "def poll(id, params): reply(id, {'status': 'completed'})",
    "cancel": (
        "over = time.monotonic()\ncancelled = False\n"
        "def cancel(id, params):\n    global cancelled, over\n    cancelled, over = True, time.monotonic()\n    reply(id, {'ok': True})\n"
        "then_poll = poll\n"
        "def poll(id, params):\n    if not cancelled: return then_poll(id, params)\n"
        "    reply(id, {'status': 'failed' if time.monotonic() < over + 0.1 else 'completed'})"
    ),
    "unsupported version": "then = start\ndef start(id, params): params['ir']['version'] = '1.0.0'; then(id, params)",
    "unknown step kind": (
        "then = start\ndef start(id, params):\n    for node in params['ir'].get('graph', {}).get('nodes', []): node['type'] = 'a'\n    then(id, params)"
    ),
    "invalid IR": "then = start\ndef start(id, params): then(id, params) if 'graph' in params['ir'] else refuse(id, 3002)",
    "unknown method": "Methods.__missing__ = lambda self, name: lambda id, params: reply(id, {})",
    "health": "Methods.__missing__ = lambda self, name: (lambda id, params: reply(id, {})) if name == 'Health' else (lambda id, params: refuse(id, 3002))",
    "silence": "then = capabilities\ndef capabilities(id, params): then(id, params); threading.Timer(0.02, lambda: say(b'{}')).start()",
    "end of input": "import atexit; atexit.register(time.sleep, 60)",
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_check_finds_what_breaks_it(name: str, tmp_path: Path) -> None:
    verdict, detail = findings(tmp_path, BROKEN[name], failing={"fail": True}, names=(name,))[name]
    assert verdict == "failed" and detail


@pytest.mark.parametrize("name", ["bad JSON", "batch", "huge frame"])
def test_silence_about_nonsense_is_found(name: str, tmp_path: Path) -> None:
    found = findings(
        tmp_path,
        "refuse = lambda id, code, **data: None if id is None else say(frame(id, error={'code': code, 'message': ''}))",
    )
    assert found[name] == ("failed", "silence, so that a client waits until its time-out")
    assert found["handshake"][0] == "ok"


def test_what_can_t_be_started_fails_every_check(tmp_path: Path) -> None:
    found = list(checked(Trial(("./nowhere",), tmp_path)))
    assert {finding.verdict for finding in found} == {"failed"}
    assert found[0].detail == "there is no program ./nowhere"
