"""The guard around every command: whatever happens becomes a message and an exit code.

Knows nothing of commands. A FlowError is its report and its code; what the operating system refused
and nobody named better is a DiskRefused; anything else is a bug, exit 70, with a traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from flowbuild.core.errors import DiskRefused, Faults, FlowError
from flowbuild.store.refusal import SHORTAGES, refused


def guarded(command: Callable[[], int], argv: Sequence[str] = ()) -> int:
    """Run a command; the exit code of whatever it came to. `argv` is what was asked, for who must find the place."""
    try:
        code = command()
        if sys.stdout is not None:
            sys.stdout.flush()  # a full disk behind `> file` is told here, and not when the interpreter ends
        return code
    except FlowError as error:
        _say(f"flowbuild: {error.report()}")
        _annotate(error, argv)
        return error.exit_code
    except Faults as faults:
        for fault in faults.exceptions:
            _say(f"flowbuild: {fault.report() if isinstance(fault, FlowError) else fault}")
        _annotate(faults, argv)
        return faults.exit_code
    except KeyboardInterrupt as stopped:
        return 128 + getattr(stopped, "number", 2)
    except BrokenPipeError:
        silence()  # whoever read our output is gone
        return 141
    except OSError as error:
        return _say_refused(error)
    except Exception:
        import traceback

        traceback.print_exc()
        _say("flowbuild: this is a bug in flowbuild; please report it with the lines above")
        return 70


def _annotate(error: FlowError | Faults, argv: Sequence[str]) -> None:
    if os.environ.get("GITHUB_ACTIONS") == "true":
        from flowbuild.front.github import annotate_faults

        with suppress(OSError):
            annotate_faults(error, argv)


def _say_refused(error: OSError) -> int:
    """A refusal that reached us bare: the path that the system gave with it is all that is known."""
    unnamed = "one more file" if error.errno in SHORTAGES else "standard output, or a file that the system did not name"
    path = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else unnamed
    try:
        with refused(path):
            raise error
    except DiskRefused as known:
        _say(f"flowbuild: {known.report()}")
        with suppress(OSError):
            sys.stdout.flush()
            return known.exit_code
        silence()
        return known.exit_code


def silence() -> None:
    """Say nothing more on standard output, not even when the interpreter ends and writes what is left."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _say(text: str) -> None:
    with suppress(OSError):  # nobody can be told that nobody can be told
        print(text, file=sys.stderr, flush=True)
