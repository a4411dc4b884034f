"""A launcher: a program that confines itself, then becomes the program of an action.

Knows nothing of actions. It keeps its process id, so that who started it holds the program itself.

Shapes:  arguments: the program's file, its Confinement, the names of its variables as a JSON list, its argv. Variables
         come in the environment; only the named ones go on, since an interpreter may add some of its own.
         Descriptor 3 takes JSON lines: {"report": [step]} when it is confined, and {"stage": confine|exec, "errno",
         "message"} if the program was not begun.
"""

from __future__ import annotations

import json
import os
import signal
import sys

from flowbuild.engine.confine import Confinement, enter, unavailable
from flowbuild.engine.restrict import PolicyUnavailable

REPORT = 3
REFUSED = 126  # as a shell says it; descriptor 3 tells it from a program that ends so


def main() -> int:
    """Confine this process and become the program."""
    program, confinement, names, *argv = sys.argv[2:]
    os.set_inheritable(REPORT, False)
    environment = {name: os.environ[name] for name in json.loads(names)}
    try:
        _say(report=[step._asdict() for step in enter(Confinement.parse(confinement), keeps=REPORT)])
    except PolicyUnavailable as error:
        return _say(stage="confine", errno=None, message=unavailable(error), report=[s._asdict() for s in error.report])
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # this interpreter ignores them, and exec would keep that
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execve(program, argv, environment)
    except OSError as error:
        return _say(stage="exec", errno=error.errno, message=error.strerror)


def _say(**words: object) -> int:
    os.write(REPORT, json.dumps(words).encode() + b"\n")
    return REFUSED
