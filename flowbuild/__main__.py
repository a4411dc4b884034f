"""The launcher: answers at once when nothing moved, and hands everything else to the command line.

Knows nothing of builds. It stands before every import of weight: what is imported here is paid by each null build, and
a test holds the list.

Errors:  exit 3 on Windows, 5 when the answer can't be written or the program can't be read, 141 when nobody reads it,
         130 when interrupted; all else is the slow road's.
Source:  DESIGN.md, section 8.
"""

import os
import sys
from time import perf_counter

from flowbuild.front import arguments

ON_WINDOWS = os.name == "nt"


def main() -> int:
    """The console script."""
    started = perf_counter()
    if ON_WINDOWS:
        print("flowbuild does not run on Windows; it does under WSL2", file=sys.stderr)
        return 3
    argv = sys.argv[1:]
    try:
        if argv == ["--version"]:
            return _print(_version())
        request = arguments.parse(argv)
        text = _unmoved(request, started) if request is not None else None
        if text is not None:
            return _print(text)
        return _slow(argv, request)
    except KeyboardInterrupt:
        return 130
    except OSError as error:  # a module that can't be read; once the guard is there, it answers
        print(f"flowbuild: {error}", file=sys.stderr)
        return 5


def _version() -> str:
    from flowbuild.version import __version__

    return f"flowbuild {__version__}\n"


def _slow(argv: list[str], request: arguments.Request | None) -> int:
    """The slow road. A build that was read by hand goes there without the command line's library."""
    from flowbuild.front.guard import guarded

    return guarded(lambda: _command(argv, request), argv)  # importing reads a disk too, which may refuse


def _command(argv: list[str], request: arguments.Request | None) -> int:
    if request is None:
        from flowbuild.front import cli

        return cli.main(argv)
    from flowbuild.front.build import build

    return build(request)


def _unmoved(request: arguments.Request, started: float) -> str | None:
    """What to print when nothing moved since the last such request; None when that can't be shown."""
    if not arguments.is_provable(request) or os.environ.get("GITHUB_STEP_SUMMARY"):  # who adds to it is the slow road
        return None
    try:
        place = arguments.place(request)
    except OSError:  # the slow road will say what is wrong with that directory
        return None
    if place is None:
        return None
    from flowbuild.store import null

    text = null.check(place[0], arguments.key(request, place[1]))
    return None if text is None else arguments.fill(text, perf_counter() - started, place[0])


def _print(text: str) -> int:
    """Write the answer past Python's own layers."""
    data = text.encode("utf-8", "surrogateescape")
    try:
        while data and sys.stdout is not None:
            data = data[os.write(1, data) :]
    except BrokenPipeError:
        return 141  # as the shell says of a program that SIGPIPE ended, and as the slow road does
    except OSError as error:
        print(f"flowbuild: can't write to standard output: {error.strerror}", file=sys.stderr)
        return 5
    return 0


if __name__ == "__main__":
    sys.exit(main())
