#!/usr/bin/env python3
"""It stands for launchd where there is none: a daemon that really starts what a property list says, and its launchctl.

What it does is what launchd.plist(5) and launchctl(1) promise of the keys that flowbuild uses: the program is a child
of the daemon, in a session of its own, with the daemon's few variables, nothing on its standard input and no other
descriptor; it runs once; `bootout` ends it and forgets it. Domains that DIRECTORY/refused names are refused, as is a
list that others could write to. What launchd would refuse besides, it does not know: the real one is tried on macOS.

    fake_launchd.py serve DIRECTORY       the daemon
    DIRECTORY/launchctl WORD...           what `installed` puts there
"""

from __future__ import annotations

import contextlib
import json
import os
import plistlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VARIABLES = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/", "OF_LAUNCHD": "1"}


@contextlib.contextmanager
def installed(directory: Path) -> Iterator[Path]:
    """A daemon, and its launchctl in a directory; the directory."""
    directory.mkdir()
    launchctl = directory / "launchctl"
    launchctl.write_text(f"#!/bin/sh\nexec '{sys.executable}' -I '{__file__}' ask '{directory}' \"$@\"\n")
    launchctl.chmod(0o755)
    argv = [sys.executable, "-I", __file__, "serve", str(directory)]
    with subprocess.Popen(argv, env=VARIABLES, stdin=subprocess.DEVNULL) as daemon:
        while not (directory / "door").exists():
            time.sleep(0.005)
        try:
            yield directory
        finally:
            daemon.terminate()


def jobs(directory: Path) -> list[dict[str, Any]]:
    """Every job that was ever taken, and what became of it."""
    with contextlib.suppress(FileNotFoundError):
        return [json.loads(line) for line in (directory / "log").read_text().splitlines()]
    return []


def _ask(directory: Path, words: list[str]) -> int:
    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.connect(str(directory / "door"))
        daemon.sendall(json.dumps(words).encode() + b"\n")
        answer = json.loads(daemon.makefile().readline())
    sys.stderr.write(answer["said"])
    return int(answer["code"])


def _serve(directory: Path) -> None:
    running: dict[str, subprocess.Popen[bytes]] = {}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(directory / "new"))
        door.listen()
        os.rename(directory / "new", directory / "door")
        try:
            while True:
                client, _ = door.accept()
                with client:
                    answer = _done(directory, json.loads(client.makefile().readline()), running)
                    with contextlib.suppress(BrokenPipeError):  # a job that takes itself out is not there to hear it
                        client.sendall(json.dumps(answer).encode() + b"\n")
        finally:
            for job in running.values():
                job.kill()


def _done(directory: Path, words: list[str], running: dict[str, subprocess.Popen[bytes]]) -> dict[str, Any]:
    if words[0] == "bootstrap":
        domain, file = words[1:]
        if (directory / "refused").exists() and domain.split("/")[0] in (directory / "refused").read_text().split():
            return {"code": 5, "said": "Bootstrap failed: 5: Input/output error\n"}
        if os.stat(file).st_mode & 0o022:
            return {"code": 122, "said": "Bootstrap failed: 122: Path had bad ownership/permissions\n"}
        told = plistlib.loads(Path(file).read_bytes())
        running[f"{domain}/{told['Label']}"] = job = _begun(told)
        _log(directory, service=f"{domain}/{told['Label']}", pid=job.pid, told=told)
        return {"code": 0, "said": ""}
    job = running.pop(words[1], None)
    if job is None:
        return {"code": 3, "said": "Boot-out failed: 3: No such process\n"}
    job.terminate()
    _log(directory, removed=words[1], status=job.wait())
    return {"code": 0, "said": ""}


def _begun(told: dict[str, Any]) -> subprocess.Popen[bytes]:
    with open(told["StandardErrorPath"], "ab") as said:
        return subprocess.Popen(
            told["ProgramArguments"],
            cwd=told["WorkingDirectory"],
            env={**VARIABLES, "XPC_SERVICE_NAME": told["Label"]},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        )


def _log(directory: Path, **words: object) -> None:
    with open(directory / "log", "a") as log:
        log.write(json.dumps(words) + "\n")


if __name__ == "__main__":
    what, where, *rest = sys.argv[1:]
    sys.exit(_ask(Path(where), rest) if what == "ask" else _serve(Path(where)))
