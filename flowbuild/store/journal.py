"""The journal of one evaluation: its events in order, one line each, only ever appended to.

Knows nothing of what the events say. One writer at a time: it holds the file's lock while it is open, so that a torn
tail is never cut under a living one. `append` never flushes: the caller flushes in groups, and at its barriers.

A killed writer leaves at most one batch incomplete, and a prefix of that batch may be there: whole lines count. What
a lost power supply leaves of unflushed lines are blocks of NUL bytes, which a line never holds: that is a torn tail
too. Anything else that is not what was written is damage, and a damaged journal is never written to.

Shapes:  {"crc","event","run_id","seq","ts_millis"}, canonical JSON and a newline; `seq` from 1, without a gap. `crc` is
         the CRC-32 of the line without it, eight hex digits. Readers are given envelopes without it, as seed 001 has
         them; a line that was written without one is read too.
Errors:  StoreCorrupt, with the line; StoreConflict for a wrong `expected_seq` or a second writer; DiskRefused.
Source:  seed 001, event store and sequence rules.
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import msgspec

from flowbuild.core.canonical import canonical
from flowbuild.core.errors import StoreConflict, StoreCorrupt
from flowbuild.store.draft import write_all
from flowbuild.store.flush import flush_descriptor
from flowbuild.store.lock import try_hold
from flowbuild.store.refusal import refused

_KEYS = {"event", "run_id", "seq", "ts_millis"}
# A line begins `{"crc":"xxxxxxxx",`: "crc" is the first key of the canonical form. Without it, `{` is left of that.
_CRC, _REST, _BRACE = b'{"crc":"', 18, zlib.crc32(b"{")
_decode = msgspec.json.Decoder().decode


def now_millis() -> int:
    """Milliseconds since 1970. Journals' times inform; nothing is decided by them."""
    return time.time_ns() // 1_000_000


class Journal:
    """An open journal: `append`, then `flush`."""

    def __init__(self, path: Path, descriptor: int, run_id: str, clock: Callable[[], int]) -> None:
        self.path = path
        self.run_id = run_id
        self.head = 0
        self._descriptor = descriptor
        self._clock = clock
        self._size = 0
        self._is_torn = False
        self._middle = b',"run_id":' + canonical(run_id) + b',"seq":'

    @classmethod
    def create(cls, path: Path, run_id: str, *, clock: Callable[[], int] = now_millis) -> Journal:
        """A new journal. One that is there already is a StoreConflict."""
        with refused(path):
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            except FileExistsError:
                raise StoreConflict(f"{path} exists already", remedy="a run id is used once: take another") from None
            return cls(path, _lock(descriptor, path), run_id, clock)

    @classmethod
    def open(cls, path: Path, run_id: str | None = None, *, clock: Callable[[], int] = now_millis) -> Journal:
        """A journal to go on with: checked whole, and its torn tail cut off."""
        with refused(path):
            descriptor = _lock(os.open(path, os.O_RDWR | os.O_CLOEXEC), path)
            try:
                with open(os.dup(descriptor), "rb") as file:
                    found, head, size = run_id, 0, 0
                    for envelope, end in _envelopes(file, path, 1, run_id):
                        found, head, size = envelope["run_id"], envelope["seq"], end
                if found is None:
                    raise StoreCorrupt(f"{path} holds no whole event", remedy="start a new run")
                journal = cls(path, descriptor, found, clock)
                journal.head, journal._size = head, size
                journal._cut()
            except BaseException:
                os.close(descriptor)
                raise
        return journal

    def append(self, events: Sequence[Any], expected_seq: int | None = None) -> int:
        """Add event documents, all or none; the new head. Somebody who expects another head has missed something."""
        if expected_seq is not None and expected_seq != self.head:
            raise StoreConflict(
                f"{self.path}: expected to follow event {expected_seq}, but the head is {self.head}"
                " (event_store_concurrency)",
                details={"expected": expected_seq, "head": self.head},
            )
        if events:
            data = self._lines(events)
            with refused(self.path):
                self._write(data)
            self.head += len(events)
        return self.head

    def _lines(self, events: Sequence[Any]) -> bytes:
        # Written by hand around the event, in the order of the canonical form: half the time, and the same bytes.
        end = b',"ts_millis":%d}\n' % self._clock()
        lines: list[bytes] = []
        for seq, event in enumerate(events, self.head + 1):
            rest = b'"event":%b%b%d%b' % (canonical(event), self._middle, seq, end)
            lines.append(b'{"crc":"%08x",%b' % (zlib.crc32(rest[:-1], _BRACE), rest))
        return b"".join(lines)

    def _write(self, data: bytes) -> None:
        """One write at the end. What a failed write left is cut off now, or before the next one."""
        if self._is_torn:
            self._cut()
        try:
            write_all(self._descriptor, data)
        except OSError:
            self._is_torn = True
            with suppress(OSError):
                self._cut()
            raise
        self._size += len(data)

    def _cut(self) -> None:
        os.ftruncate(self._descriptor, self._size)
        os.lseek(self._descriptor, self._size, os.SEEK_SET)
        self._is_torn = False

    def flush(self) -> bool:
        """Everything appended is on the disk. False when this file system cannot flush."""
        with refused(self.path):
            return flush_descriptor(self._descriptor)

    def close(self) -> None:
        """Give up the lock. Flushes nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with refused(self.path):
                os.close(descriptor)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read(path: Path, first: int = 1, last: int | None = None) -> Iterator[dict[str, Any]]:
    """The envelopes from `first` to `last`, both included. A torn tail is left out; without a file there are none.

    May be read while it is written.
    """
    if last is not None and last < max(first, 1):
        return
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError:
        with refused(path):
            raise
    with refused(path), open(descriptor, "rb") as file:
        for envelope, _ in _envelopes(file, path, first, None):
            yield envelope
            if envelope["seq"] == last:
                return


def is_live(path: Path) -> bool:
    """Whether somebody is writing a journal: its writer holds the file's lock."""
    with refused(path):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return not try_hold(descriptor, exclusive=False)
        finally:
            os.close(descriptor)


def _lock(descriptor: int, path: Path) -> int:
    try:
        if not try_hold(descriptor):
            raise StoreConflict(f"{path} is being written by another process", remedy="wait for it to end, or end it")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _envelopes(file: BinaryIO, path: Path, first: int, run_id: str | None) -> Iterator[tuple[dict[str, Any], int]]:
    """The whole envelopes from `first` on, each with the offset of its end."""
    end = 0
    for number, line in enumerate(file, 1):
        end += len(line)
        if not line.endswith(b"\n"):
            if _is_summed(line[:-1] + b"\n"):
                raise _corrupt(path, number, "checksum_mismatch", "its end is damaged")
            return
        if number < first:
            continue
        envelope = _envelope(line, number, path)
        if envelope is None:
            return
        if run_id is None:
            run_id = envelope["run_id"]
        if envelope["run_id"] != run_id:
            what = f"run {envelope['run_id']!r} in the journal of run {run_id!r}"
            raise _corrupt(path, number, "run_id_mismatch", what)
        if envelope["seq"] != number:
            raise _corrupt(path, number, "non_monotonic_seq", f"event {envelope['seq']} where {number} was due")
        yield envelope, end


def _envelope(line: bytes, number: int, path: Path) -> dict[str, Any] | None:
    """One line decoded; None where a torn tail begins. One NUL is a damaged byte, and no lost block."""
    if b"\0\0" in line:
        return None
    if line.startswith(_CRC) and not _is_summed(line):
        raise _corrupt(path, number, "checksum_mismatch", "it is not what was written")
    try:
        envelope = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _corrupt(path, number, "not_an_envelope", str(error)) from None
    if type(envelope) is dict and envelope.keys() - ({"crc"} if line.startswith(_CRC) else set()) == _KEYS:
        envelope.pop("crc", None)
        kinds = type(envelope["run_id"]), type(envelope["seq"]), type(envelope["ts_millis"])
        if kinds in ((str, int, int), (str, int, type(None))):
            return envelope
    raise _corrupt(path, number, "not_an_envelope", "not an event envelope")


def _is_summed(line: bytes) -> bool:
    """Whether a line with a checksum is what was written."""
    return line[:_REST] == b'%b%08x",' % (_CRC, zlib.crc32(line[_REST:-1], _BRACE))


def _corrupt(path: Path, number: int, kind: str, what: str) -> StoreCorrupt:
    return StoreCorrupt(
        f"{path}:{number}: {what} ({kind})",
        remedy="the run can't be resumed: run its target again",
        details={"path": str(path), "line": number, "kind": kind},
    )
