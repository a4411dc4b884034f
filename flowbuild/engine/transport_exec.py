"""The `exec` transport: a program under an allowed directory, JSON in and JSON out.

Knows nothing of facts. Nothing that the program printed is ever part of an error.

Shapes:  {"kind": "run_program_v1", "program_path", "argv": [], "stdin_json": null, "timeout_ms": 300000, "env": {}};
         the reply is what it printed.
Errors:  exec_request_invalid; exec_program_not_allowed, _missing, _not_executable; exec_spawn_failed;
         exec_stdin_too_large; exec_timeout; exec_failed with {"program_path", "exit_code", "signal"};
         exec_stdout_invalid_json, exec_stdout_too_large, exec_stderr_too_large.
Source:  seed 001, external programs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flowbuild.engine.capture import Capture
from flowbuild.engine.process import attend
from flowbuild.engine.reaper import Reaper
from flowbuild.engine.spawn import Start
from flowbuild.engine.transport import TIMEOUT, Kinds, Refused, Replying, fields, plain
from flowbuild.store.files import ensure_directory, remove_tree
from flowbuild.store.refusal import refused as disk_refused

MOST = 1 << 20  # bytes of each stream
TIMEOUT_MS = 300_000
_FIELDS: Kinds = {
    "program_path": (str,),
    "argv": (list,),
    "stdin_json": (object,),
    "timeout_ms": TIMEOUT,
    "env": (dict,),
}


class ExecTransport:
    """Runs programs whose real path lies below one of `allowed`. `directory` keeps their streams meanwhile."""

    def __init__(self, reaper: Reaper, directory: Path, allowed: Sequence[str]) -> None:
        self._reaper = reaper
        self._directory = directory
        self._allowed = tuple(os.path.realpath(prefix) for prefix in allowed)
        self._count = 0

    def __call__(self, request: Any) -> Replying:
        asked = fields(request, "exec_request_invalid", "run_program_v1", _FIELDS, "program_path")
        argv, env = asked.get("argv") or [], asked.get("env") or {}
        plain("exec_request_invalid", [asked["program_path"], *argv, *env, *env.values()])
        if any(not name or "=" in name for name in env):
            raise Refused("exec_request_invalid", "a variable has a name, without `=`")
        program = self._program(asked["program_path"])
        stdin = b"" if asked.get("stdin_json") is None else json.dumps(asked["stdin_json"]).encode()
        if len(stdin) > MOST:
            raise Refused("exec_stdin_too_large", f"stdin has {len(stdin)} bytes; the limit is {MOST}")
        self._count += 1
        place = self._directory / f"exec-{self._count}"
        ensure_directory(place)
        try:
            with disk_refused(place):
                (place / "stdin").write_bytes(stdin)
            return (yield from self._run(program, argv, env, place, asked.get("timeout_ms") or TIMEOUT_MS))
        finally:
            remove_tree(place)

    def _program(self, path: str) -> str:
        real = os.path.realpath(path)
        if not any(real.startswith(prefix.rstrip("/") + "/") for prefix in self._allowed):
            raise Refused(
                "exec_program_not_allowed", f"{path} lies below no directory of `io.programs` in flowbuild.yaml"
            )
        if not os.path.isfile(real):
            raise Refused("exec_program_missing", f"there is no program {path}")
        if not os.access(real, os.X_OK):
            raise Refused("exec_program_not_executable", f"{path} is not executable")
        return real

    def _run(self, program: str, argv: list[str], env: dict[str, str], place: Path, timeout_ms: int) -> Replying:
        captures = Capture(place / "stdout", MOST), Capture(place / "stderr", MOST)
        start = Start(program, (program, *argv), place, env, stdin=place / "stdin")
        try:
            child = self._reaper.start(start)
            start.stdin.unlink()  # the program has it open, and whoever is killed now leaves no request behind
        except OSError as error:
            raise Refused("exec_spawn_failed", f"cannot start {program}: {error.strerror}", "OffChain") from None
        exit_ = yield from attend(self._reaper, child, captures, timeout_ms / 1000)
        stdout, stderr = captures
        if exit_.timed_out:
            raise Refused("exec_timeout", f"{program} took longer than {timeout_ms} ms", "OffChain", retryable=True)
        for capture, name in ((stdout, "stdout"), (stderr, "stderr")):
            if capture.total > MOST:
                raise Refused(f"exec_{name}_too_large", f"{name} has {capture.total} bytes; the limit is {MOST}")
        if exit_.code != 0:
            details = {"program_path": program, "exit_code": exit_.code, "signal": exit_.signal}
            raise Refused("exec_failed", f"{program}: {exit_}", "OffChain", details=details)
        try:
            return json.loads(stdout.log.read_bytes() if stdout.log else b"")
        except ValueError:
            raise Refused("exec_stdout_invalid_json", f"{program} printed no JSON") from None
