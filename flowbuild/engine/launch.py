"""A launcher: a program that confines itself, then becomes the program of an action.

Knows nothing of actions. It keeps its process id, so that who started it holds the program itself.

Shapes:  arguments: the program's file, its Confinement, the names of its variables as a JSON list, the number of the
         report's descriptor, its argv. Variables come in the environment as `_0`, `_1`, ...: under its own name the
         loader that starts this very program would heed LD_PRELOAD, before it is confined. Descriptors below the
         report's are the program's. The report takes JSON lines: {"report": [step]} when it is confined, and {"stage":
         confine|exec, "errno", "message"} if the program was not begun.
"""

from __future__ import annotations

import json
import os
import signal
import sys

from flowbuild.engine.confine import Confinement, enter, unavailable
from flowbuild.engine.restrict import PolicyUnavailable

REFUSED = 126  # as a shell says it; descriptor 3 tells it from a program that ends so


def main() -> int:
    """Confine this process and become the program."""
    program, confinement, names, number, *argv = sys.argv[2:]
    said = int(number)
    os.set_inheritable(said, False)
    environment = {name: os.environ[f"_{place}"] for place, name in enumerate(json.loads(names))}
    try:
        _say(said, report=[step._asdict() for step in enter(Confinement.parse(confinement), keeps=said)])
    except PolicyUnavailable as error:
        return _say(
            said, stage="confine", errno=None, message=unavailable(error), report=[s._asdict() for s in error.report]
        )
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by this interpreter, and exec would keep that
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execve(program, argv, environment)
    except OSError as error:
        return _say(said, stage="exec", errno=error.errno, message=error.strerror)


def _say(descriptor: int, **words: object) -> int:
    os.write(descriptor, json.dumps(words).encode() + b"\n")
    return REFUSED
