"""The engine of flows' steps that a request asks for, opened in a session.

Knows nothing of what it performs. Flags win over --runtime-config, and that over flowbuild.yaml. With the `python`
engine nothing is opened: it performs steps as it performs everything else.
"""

from __future__ import annotations

from pathlib import Path
from shutil import which

from flowbuild.engine.registry import Setting, open_engine
from flowbuild.front.arguments import Request
from flowbuild.front.executor_target import declared
from flowbuild.load.runtime import PYTHON, chosen, load_runtime
from flowbuild.run.session import Session


def open_steps(session: Session, start: Path, request: Request) -> None:
    """Open the engine that performs steps; the session closes it. `start` is where flags' paths begin."""
    runtime = session.workspace.config.runtime
    if request.runtime_config is not None:
        runtime = load_runtime(start / request.runtime_config, request.runtime_config)
    runtime = chosen(runtime, request.engine, request.executor_path, start)
    runtime.check()
    if runtime.engine != PYTHON:
        session.rows.spoil()  # what an executor offers is known when it is asked
        argv = runtime.executor
        sources: tuple[str, ...] = ()
        if argv and argv[0].startswith("//"):
            (command, sources), words = declared(session, argv[0]), argv[1:]
            argv = (*command, *words)
        argv = (which(argv[0]) or argv[0], *argv[1:]) if argv else ()
        session.executor = (*argv, *sources)
        setting = Setting(session.workspace.root, argv, float(runtime.timeout), reaper=session.reaper)
        session.steps = open_engine(runtime.engine, setting)
