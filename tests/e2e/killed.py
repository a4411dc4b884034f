"""The program itself, ended by SIGKILL at one point of its journal: `killed.py WHERE NUMBER words...`.

`before` and `after` the event of that number is written, `torn` in the middle of it, `flushed` when it is on the disk.
`count 0` kills nothing, and says on standard error how the events came: one line a write, the last of each marked if it
was a barrier.
"""

from __future__ import annotations

import os
import signal
import sys

from flowbuild.__main__ import main
from flowbuild.run.record import BARRIERS
from flowbuild.store.journal import Journal

where, number = sys.argv[1], int(sys.argv[2])
write, flush = Journal._write, Journal.flush


def end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def written(journal: Journal, data: bytes) -> None:
    lines, left = data.splitlines(keepends=True), number - journal.head
    if where == "count":
        word = "barrier" if any(f'"{name}"'.encode() in lines[-1] for name in BARRIERS) else "plain"
        print("killed.py", journal.head + 1, journal.head + len(lines), word, file=sys.stderr)
    if where in ("before", "after", "torn") and 0 < left <= len(lines):
        kept = lines[: left - 1]
        kept += {"before": [], "after": [lines[left - 1]], "torn": [lines[left - 1][: len(lines[left - 1]) // 2]]}[
            where
        ]
        write(journal, b"".join(kept))
        end()
    write(journal, data)


def flushed(journal: Journal) -> bool:
    done = flush(journal)
    if where == "flushed" and journal.head >= number:
        end()
    return done


Journal._write = written  # type: ignore[method-assign]
Journal.flush = flushed  # type: ignore[method-assign]
sys.argv = ["flowbuild", *sys.argv[3:]]
sys.exit(main())
