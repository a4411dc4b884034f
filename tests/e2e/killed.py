"""The program itself, ended by SIGKILL at one event of all that it writes: `killed.py WHERE NUMBER words...`.

`before` and `after` the event of that number is written, `torn` in the middle of it, `flushed` when it is on the disk.
Events are counted through all journals of the process, in the order in which they are written. `count 0` kills nothing,
and says on standard error how the events came: one line a write, the last of each marked if it was a barrier.
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
done = 0
reached: list[Journal] = []  # whose event has that number


def end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def written(journal: Journal, data: bytes) -> None:
    global done
    lines, left = data.splitlines(keepends=True), number - done
    if where == "count":
        word = "barrier" if any(f'"{name}"'.encode() in lines[-1] for name in BARRIERS) else "plain"
        print("killed.py", done + 1, done + len(lines), word, file=sys.stderr)
    if 0 < left <= len(lines):
        reached.append(journal)
        if where in ("before", "after", "torn"):
            kept = lines[: left - 1]
            last = lines[left - 1]
            kept += {"before": [], "after": [last], "torn": [last[: len(last) // 2]]}[where]
            write(journal, b"".join(kept))
            end()
    done += len(lines)
    write(journal, data)


def flushed(journal: Journal) -> bool:
    is_done = flush(journal)
    if where == "flushed" and journal in reached:
        end()
    return is_done


Journal._write = written  # type: ignore[method-assign]
Journal.flush = flushed  # type: ignore[method-assign]
sys.argv = ["flowbuild", *sys.argv[3:]]
sys.exit(main())
