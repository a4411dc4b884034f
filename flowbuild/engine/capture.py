"""What a child prints: kept in bounded memory and on bounded disk, for people.

Knows nothing of processes. Of one stream the log holds the first half and the last half of a limit, with a line
between them that says how many bytes are not there. Secrets are masked before anything is kept.

Shapes:  the log's file appears with the first byte; a stream that said nothing leaves none.
Errors:  DiskRefused when the log cannot be written.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from flowbuild.core.mask import Mask, Stream
from flowbuild.store.refusal import refused

LIMIT = 1 << 20
TAIL = 2048


class Capture:
    """One stream of one child. Its path may be a function, which is called once something is said."""

    def __init__(self, path: Path | Callable[[], Path], limit: int = LIMIT, mask: Mask | None = None) -> None:
        self.mask = mask or Mask()
        self._stream = Stream(self.mask)
        self._path = path
        self.total = 0
        self._half = limit // 2
        self._head = 0  # bytes in the file already
        self._tail = bytearray()  # the newest bytes that are not in the file, at most two halves of them
        self._file: BinaryIO | None = None

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._keep(self._stream.feed(data))

    def _keep(self, data: bytes) -> None:
        if not data:
            return
        self.total += len(data)
        room = self._half - self._head
        if room > 0:
            self._write(data[:room])
            self._head += len(data[:room])
        self._tail += data
        # Cut only at twice what is kept, so that each byte is moved once on average.
        if len(self._tail) > 2 * self._half:
            del self._tail[: -self._half]

    def close(self) -> None:
        """Write what belongs behind the head, and close the log. Twice is once."""
        self._keep(self._stream.end())
        if self._file is None:
            return
        behind = min(self.total - self._head, self._half)
        cut = self.total - self._head - behind
        try:
            if cut:
                self._write(b"\n[... %d bytes are not kept ...]\n" % cut)
            if behind:
                self._write(bytes(self._tail[-behind:]))
        finally:
            file, self._file = self._file, None
            self._finish(file)

    @property
    def path(self) -> Path:
        """Where it is kept."""
        if not isinstance(self._path, Path):
            self._path = self._path()
        return self._path

    @property
    def tail(self) -> str:
        """The end of what was said, for messages."""
        return (self._tail[-TAIL:] + self._stream.rest())[-TAIL:].decode("utf-8", "replace")

    @property
    def log(self) -> Path | None:
        """Where it is kept, or None when nothing was said."""
        return self.path if self.total else None

    def _write(self, data: bytes) -> None:
        with refused(self.path):
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = open(self.path, "wb")  # noqa: SIM115 - closed by close()
            self._file.write(data)
            self._file.flush()

    def _finish(self, file: BinaryIO) -> None:
        with refused(self.path):
            file.close()
