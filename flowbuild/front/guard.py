"""The guard around every command: whatever happens becomes a message and an exit code.

Knows nothing of commands. A FlowError is its report and its code; anything else is a bug, exit 70, with a traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress

from flowbuild.core.errors import Faults, FlowError


def guarded(command: Callable[[], int]) -> int:
    """Run a command; the exit code of whatever it came to."""
    try:
        return command()
    except FlowError as error:
        _say(f"flowbuild: {error.report()}")
        return error.exit_code
    except Faults as faults:
        for fault in faults.exceptions:
            _say(f"flowbuild: {fault.report() if isinstance(fault, FlowError) else fault}")
        return faults.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        silence()  # whoever read our output is gone
        return 141
    except Exception:
        import traceback

        traceback.print_exc()
        _say("flowbuild: this is a bug in flowbuild; please report it with the lines above")
        return 70


def silence() -> None:
    """Say nothing more on standard output, not even when the interpreter ends and writes what is left."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _say(text: str) -> None:
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)
