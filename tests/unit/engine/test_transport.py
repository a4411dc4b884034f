"""Transports: real programs, real files, a real server on loopback.

Seed 001: 001-11, 001-18, 001-30.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import http.server
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flowbuild.core.errors import BadAttribute
from flowbuild.engine.process import drive
from flowbuild.engine.reaper import Reaper
from flowbuild.engine.transport import Refused, Replying, Router
from flowbuild.engine.transport_exec import MOST, TIMEOUT_MS, ExecTransport
from flowbuild.engine.transport_http import Credential, HttpTransport
from flowbuild.engine.transport_local import clock, draw, read_file, variables


def reply(replying: Replying) -> Any:
    return drive(replying)  # type: ignore[arg-type]


def refused(replying: Replying) -> Refused:
    with pytest.raises(Refused) as caught:
        reply(replying)
    return caught.value


def plain(name: str) -> Callable[[Any], Replying]:
    def transport(request: Any) -> Replying:
        yield from ()
        return [name, request]

    return transport


def test_the_longest_group_serves() -> None:
    router = Router([("a", plain("a")), ("a.b", plain("a.b")), ("ab", plain("ab"))])
    served = {name: reply(router.call(name, 1))[0] for name in ("a", "a.x", "a.b", "a.b.c", "a.bc", "ab")}
    assert served == {"a": "a", "a.x": "a", "a.b": "a.b", "a.b.c": "a.b", "a.bc": "a", "ab": "ab"}
    assert refused(router.call("abc", 1)).info.code == "io_unknown_namespace"


@pytest.mark.parametrize("groups", [[""], ["a", "a"]])
def test_a_group_is_served_once(groups: list[str]) -> None:
    with pytest.raises(BadAttribute):
        Router([(name, plain(name)) for name in groups])


@pytest.fixture
def reaper() -> Iterator[Reaper]:
    found = Reaper()
    yield found
    found.close()


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


def script(programs: Path, body: str, name: str = "tool") -> str:
    path = programs / name
    path.write_text(f"#!{sys.executable}\nimport json, os, sys, time\n{body}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def run(reaper: Reaper, tmp_path: Path, programs: Path) -> Callable[..., Replying]:
    transport = ExecTransport(reaper, tmp_path / "io", [str(programs)])
    return lambda path, **more: transport({"kind": "run_program_v1", "program_path": path, **more})


def test_a_program_takes_json_and_gives_json(run: Callable[..., Replying], programs: Path, tmp_path: Path) -> None:
    tool = script(programs, "print(json.dumps([sys.argv[1:], json.load(sys.stdin), dict(os.environ)]))")
    said = reply(run(tool, argv=["x", "y z"], stdin_json={"a": 1}, env={"B": "2"}))
    assert said[:2] == [["x", "y z"], {"a": 1}] and said[2]["B"] == "2" and "HOME" not in said[2]
    assert list((tmp_path / "io").iterdir()) == []


@pytest.mark.parametrize(
    ("body", "more", "code"),
    [
        ("sys.exit(3)", {}, "exec_failed"),
        ("print('secret words')", {}, "exec_stdout_invalid_json"),
        ("", {}, "exec_stdout_invalid_json"),
        (f"print('x' * {MOST})", {}, "exec_stdout_too_large"),
        (f"print('x' * {MOST}, file=sys.stderr)", {}, "exec_stderr_too_large"),
        ("time.sleep(60)", {"timeout_ms": 100}, "exec_timeout"),
        ("", {"stdin_json": "x" * MOST}, "exec_stdin_too_large"),
        ("", {"argv": [1]}, "exec_request_invalid"),
        ("", {"kind": "other"}, "exec_request_invalid"),
        ("", {"shell": "secret words"}, "exec_request_invalid"),
        ("", {"env": "secret words"}, "exec_request_invalid"),
        ("", {"timeout_ms": "1"}, "exec_request_invalid"),
        ("", {"timeout_ms": 0}, "exec_request_invalid"),
        ("", {"timeout_ms": True}, "exec_request_invalid"),
        ("", {"timeout_ms": 10**30}, "exec_request_invalid"),
        ("", {"argv": ["a\0"]}, "exec_request_invalid"),
        ("", {"argv": ["\ud800"]}, "exec_request_invalid"),
        ("", {"env": {"A=B": "1"}}, "exec_request_invalid"),
        ("", {"env": {"": "1"}}, "exec_request_invalid"),
        ("", {"env": {"A": "\0"}}, "exec_request_invalid"),
        ("", {"argv": ["x" * 5_000_000]}, "exec_spawn_failed"),
    ],
)
def test_what_a_program_may_not(run: Callable[..., Replying], programs: Path, body: str, more: Any, code: str) -> None:
    tool = script(programs, f"print('secret words', file=sys.stderr)\n{body}")
    found = refused(run(tool, **more))
    assert (found.info.code, found.info.retryable) == (code, code == "exec_timeout")
    assert "secret words" not in json.dumps(found.info.doc())


def test_the_bounds_are_those_of_the_seed_and_may_be_reached(run: Callable[..., Replying], programs: Path) -> None:
    assert (MOST, TIMEOUT_MS) == (1 << 20, 300_000)
    tool = script(programs, "print(end=sys.stdin.read())\nprint('x' * (1 << 20), end='', file=sys.stderr)")
    text = "x" * (MOST - 2)  # and its quotes
    assert reply(run(tool, stdin_json=text)) == text


def test_any_json_may_stand_on_stdin(run: Callable[..., Replying], programs: Path) -> None:
    tool = script(programs, "print(json.dumps([json.load(sys.stdin)]))")
    for value in (True, False, 0, "\0", {"a": [1, None]}):
        assert reply(run(tool, stdin_json=value)) == [value]


def test_a_failure_has_its_details(run: Callable[..., Replying], programs: Path) -> None:
    tool = script(programs, "os.kill(os.getpid(), 9)")
    assert refused(run(tool)).info.details == {"program_path": tool, "exit_code": None, "signal": 9}


def test_only_programs_below_the_allowed_directories(
    run: Callable[..., Replying], programs: Path, tmp_path: Path
) -> None:
    outside = script(tmp_path, "print(1)", "other")
    (tmp_path / "bin2").mkdir()
    (programs / "link").symlink_to(outside)
    (programs / "plain").write_text("x")
    (tmp_path / "binary").mkdir()
    beside = script(tmp_path / "binary", "print(1)")
    asked = {
        outside: "exec_program_not_allowed",
        beside: "exec_program_not_allowed",
        str(programs / "link"): "exec_program_not_allowed",
        f"{programs}/../other": "exec_program_not_allowed",
        script(tmp_path / "bin2", "print(1)"): "exec_program_not_allowed",
        str(programs / "absent"): "exec_program_missing",
        str(programs / "plain"): "exec_program_not_executable",
        f"{programs}/tool\0": "exec_request_invalid",
    }
    assert {path: refused(run(path)).info.code for path in asked} == asked


def test_an_allowed_directory_may_be_a_link(reaper: Reaper, programs: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(programs)
    tool = script(programs, "print(1)")
    for name in ("link", "link/"):
        transport = ExecTransport(reaper, tmp_path / "io", [f"{tmp_path}/{name}"])
        assert reply(transport({"program_path": tool})) == 1


def test_a_file_is_read_and_bounded(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("é")
    (tmp_path / "b").write_bytes(b"\xff\0")
    os.mkfifo(tmp_path / "fifo")
    assert reply(read_file({"path": f"{tmp_path}/t"})) == {"text": "é", "size": 2}
    assert reply(read_file({"path": f"{tmp_path}/b"})) == {"base64": base64.b64encode(b"\xff\0").decode(), "size": 2}
    asked: dict[str, Any] = {
        "file_missing": {"path": f"{tmp_path}/absent"},
        "file_not_regular": {"path": f"{tmp_path}/fifo"},
        "file_too_large": {"path": f"{tmp_path}/t", "max_bytes": 1},
        "io_request_invalid": {"path": "relative"},
    }
    assert [refused(read_file(request)).info.code for request in asked.values()] == list(asked)
    assert refused(read_file({"path": str(tmp_path)})).info.code == "file_not_regular"
    for wrong in (
        {"path": "/\0"},
        {"path": "/\ud800"},
        {"path": "/t", "max_bytes": 0},
        {"path": "/t", "max_bytes": -2},
    ):
        assert refused(read_file(wrong)).info.code == "io_request_invalid"


def test_variables_the_clock_and_dice() -> None:
    read = variables({"A": "1", "MY_API_KEY": "x"})
    assert (reply(read({"name": "A"})), reply(read({"name": "B"}))) == ({"value": "1"}, {"value": None})
    assert refused(read({"name": "MY_API_KEY"})).info.code == "secrets_detected"
    assert reply(clock(lambda: 7)({})) == {"millis": 7}
    assert len(base64.b64decode(reply(draw({"size": 9}))["base64"])) == 9
    assert refused(draw({"size": -1})).info.code == "io_request_invalid"


class Handler(http.server.BaseHTTPRequestHandler):
    elsewhere = ""

    def do_GET(self) -> None:
        if self.path.startswith("/hop"):
            left = int(self.path[4:] or 0)
            return self.answer(302, b"", Location=f"/hop{left - 1}" if left else "/plain")
        if self.path == "/slow":
            time.sleep(3)
        if self.path == "/drip":
            return self.drip()
        if self.path.startswith("/elsewhere"):
            return self.answer(302, b"", Location=Handler.elsewhere + "/plain")
        if self.path in ("/429", "/503"):
            return self.answer(int(self.path[1:]), b"")
        if self.path == "/zip":
            return self.answer(200, gzip.compress(b"x" * 100_000), **{"Content-Encoding": "gzip"})
        if self.path == "/raw":
            return self.answer(200, b"\xff")
        seen = {name: value for name, value in self.headers.items() if name in ("Authorization", "X-Own", "X-Token")}
        self.answer(
            404 if self.path == "/none" else 200,
            json.dumps(seen).encode(),
            **{"Set-Cookie": "a=b", "X-Back": "1", "Vary": "Authorization"},
        )

    def drip(self) -> None:
        """A byte now and then, for ever: each of them in time, and all of them never."""
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(b"x")
                time.sleep(0.05)

    def do_POST(self) -> None:
        self.answer(201, self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: Any) -> None: ...


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{found.server_port}"
    found.shutdown()
    found.server_close()


@pytest.fixture
def fetch(reaper: Reaper, tmp_path: Path, server: str) -> Callable[..., Replying]:
    known = {
        "own": Credential("OWN_TOKEN"),
        "unset": Credential("UNSET"),
        "odd": Credential("OWN_TOKEN", "X-Token", ""),
    }
    transport = HttpTransport(reaper, tmp_path / "io", known, {"OWN_TOKEN": "t0k"})
    return lambda path, **more: transport({"url": server + path, **more})


def test_a_reply(fetch: Callable[..., Replying], server: str, tmp_path: Path) -> None:
    said = reply(fetch("/plain", headers={"X-Own": "1"}))
    assert (said["status"], said["redirects"], json.loads(said["body"])) == (200, 0, {"X-Own": "1"})
    assert said["headers"]["x-back"] == "1" and not {"set-cookie", "date", "vary"} & said["headers"].keys()
    assert reply(fetch("/none"))["status"] == 404
    assert reply(fetch("/", method="POST", body="hi"))["body"] == "hi"
    assert reply(fetch("/raw"))["body_base64"] == "/w=="
    assert (reply(fetch("/hop2"))["redirects"], reply(fetch("/hop2"))["url"]) == (3, f"{server}/plain")
    assert list((tmp_path / "io").iterdir()) == []


def test_a_credential_goes_by_name(fetch: Callable[..., Replying]) -> None:
    assert json.loads(reply(fetch("/plain", credential="own"))["body"]) == {"Authorization": "Bearer t0k"}
    assert json.loads(reply(fetch("/plain", credential="odd"))["body"]) == {"X-Token": "t0k"}
    assert refused(fetch("/plain", credential="unset")).info.code == "http_credential_missing"
    assert refused(fetch("/plain", credential="other")).info.code == "io_request_invalid"


def test_a_credential_does_not_follow_a_redirect_to_another_host(
    fetch: Callable[..., Replying], server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for credential, seen in (("own", {"Authorization": "Bearer t0k"}), ("odd", {"X-Token": "t0k"})):
        monkeypatch.setattr(Handler, "elsewhere", server.replace("127.0.0.1", "localhost"))
        away = reply(fetch("/elsewhere", credential=credential))
        assert (away["redirects"], json.loads(away["body"])) == (1, {})
        monkeypatch.setattr(Handler, "elsewhere", "")
        assert json.loads(reply(fetch("/elsewhere", credential=credential))["body"]) == seen


@pytest.mark.parametrize(
    ("path", "more", "code", "is_retryable"),
    [
        ("/slow", {"timeout_ms": 200}, "http_timeout", True),
        ("/drip", {"timeout_ms": 300}, "http_timeout", True),
        ("/429", {}, "rate_limited", True),
        ("/503", {}, "rate_limited", True),
        ("/hop3", {"redirects": 2}, "http_redirects", False),
        ("/zip", {"max_bytes": 99_999}, "http_too_large", False),
        ("/plain", {"url": "http://127.0.0.1:9/"}, "http_refused", True),
        ("/plain", {"url": "file:///etc/passwd"}, "io_request_invalid", False),
        ("/plain", {"url": "http://a:b@127.0.0.1/"}, "secrets_detected", False),
        ("/plain", {"headers": {"Authorization": "x"}}, "secrets_detected", False),
        ("/plain", {"headers": {"a": 1}}, "io_request_invalid", False),
        ("/plain", {"headers": {"a": "b\r\nc: d"}}, "io_request_invalid", False),
        ("/plain", {"headers": {"a": "é"}}, "io_request_invalid", False),
        ("/plain", {"headers": {"a b": "c"}}, "io_request_invalid", False),
        ("/plain", {"verb": "GET"}, "io_request_invalid", False),
        ("/plain", {"method": "GET /"}, "io_request_invalid", False),
        ("/plain", {"method": "POST", "body": "\ud800"}, "io_request_invalid", False),
        ("/plain", {"url": "http://["}, "io_request_invalid", False),
        ("/plain", {"url": "http://127.0.0.1:9\n/"}, "io_request_invalid", False),
        ("/plain", {"timeout_ms": 0}, "io_request_invalid", False),
        ("/plain", {"max_bytes": 1 << 30}, "io_request_invalid", False),
        ("/plain", {"redirects": -1}, "io_request_invalid", False),
    ],
)
def test_why_there_is_no_reply(
    fetch: Callable[..., Replying], path: str, more: dict[str, Any], code: str, is_retryable: bool
) -> None:
    info = refused(fetch(path, **more)).info
    assert (info.code, info.retryable) == (code, is_retryable)
