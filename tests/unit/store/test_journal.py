"""The journal: every event, once, in order.

Seed 001: 001-21, 001-24.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from journals import envelopes, line, write

from flowbuild.core.canonical import canonical
from flowbuild.core.errors import DiskRefused, StoreConflict, StoreCorrupt
from flowbuild.store import draft
from flowbuild.store.journal import Journal, is_live, now_millis, read

RUN = "0b7d41c2-9d0e-4f6b-8a3e-5f0c2b1d7a90"


def event(n: int) -> dict[str, Any]:
    return {"Domain": {"name": "é" if n == 2 else "e", "payload": {"z": n, "a": [True, None]}, "payload_ref": None}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Journal.create(tmp_path / "journal.jsonl", RUN, clock=lambda: 1795255000000) as journal:
        assert journal.append([event(1), event(2)]) == 2
        assert journal.append([event(3)], expected_seq=2) == 3
    return tmp_path / "journal.jsonl"


def test_lines_are_canonical_envelopes(path: Path) -> None:
    rows = [{"run_id": RUN, "seq": n, "ts_millis": 1795255000000, "event": event(n)} for n in (1, 2, 3)]
    assert path.read_bytes() == b"".join(map(line, rows))
    assert list(read(path)) == rows
    assert envelopes(path)[0].keys() - rows[0].keys() == {"crc"}


def test_lines_without_a_checksum_are_read_too(path: Path) -> None:
    bare = [{key: value for key, value in row.items() if key != "crc"} for row in envelopes(path)]
    path.write_bytes(b"".join(canonical(row) + b"\n" for row in bare))
    with Journal.open(path) as journal:
        journal.append([event(4)], 3)
    assert [envelope["event"] for envelope in read(path)] == [event(n) for n in (1, 2, 3, 4)]


def test_reads_a_range(path: Path) -> None:
    assert [envelope["seq"] for envelope in read(path)] == [1, 2, 3]
    assert [envelope["event"] for envelope in read(path, 2)] == [event(2), event(3)]
    assert [envelope["seq"] for envelope in read(path, -5, 2)] == [1, 2]
    assert list(read(path, 4)) == list(read(path, 2, 1)) == list(read(path.with_name("absent"))) == []


def test_goes_on_where_it_ended(path: Path) -> None:
    with Journal.open(path) as journal:
        assert (journal.head, journal.run_id) == (3, RUN)
        assert journal.append([event(4)], 3) == 4
        assert journal.flush()
    assert [envelope["seq"] for envelope in read(path)] == [1, 2, 3, 4]


def test_another_head_is_a_conflict(path: Path) -> None:
    with Journal.open(path) as journal:
        for expected in (0, 2, 4):
            with pytest.raises(StoreConflict, match=f"expected to follow event {expected}, but the head is 3"):
                journal.append([event(4)], expected)
        assert journal.append([], 3) == journal.append([]) == 3
    assert len(list(read(path))) == 3


def test_one_writer_and_one_beginning(path: Path) -> None:
    with pytest.raises(StoreConflict, match="exists already"):
        Journal.create(path, RUN)
    with Journal.open(path), pytest.raises(StoreConflict, match="being written"):
        Journal.open(path)
    Journal.open(path).close()


def test_may_be_read_while_written(path: Path) -> None:
    with Journal.open(path) as journal:
        journal.append([event(4)])
        assert [envelope["seq"] for envelope in read(path, 4)] == [4]


def test_a_torn_tail_is_cut_wherever_it_tore(path: Path) -> None:
    data = path.read_bytes()
    whole = [n + 1 for n, byte in enumerate(data) if byte == 10]
    for size in range(whole[0], len(data)):
        path.write_bytes(data[:size])
        head = sum(end <= size for end in whole)
        assert len(list(read(path))) == head
        with Journal.open(path) as journal:
            assert journal.append([event(9)], head) == head + 1
        assert [envelope["seq"] for envelope in read(path)] == list(range(1, head + 2))


def test_lost_blocks_at_the_end_are_a_torn_tail(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\0" * 4096 + b'"}\n' + b"\0" * 100)
    assert len(list(read(path))) == 3
    with Journal.open(path) as journal:
        assert journal.head == 3
    assert b"\0" not in path.read_bytes()


def edit(path: Path, number: int, **changes: Any) -> None:
    rows = envelopes(path)
    changed = rows[number - 1] | changes
    rows[number - 1] = {key: value for key, value in changed.items() if value != "drop"}
    write(path, rows)


def test_every_byte_that_is_changed_is_found(path: Path) -> None:
    """Each byte of a journal becomes eleven others: its neighbours by one bit, a NUL, a line break, a letter."""
    data = path.read_bytes()
    assert len(data) > 400
    for place, byte in enumerate(data):
        for other in {byte ^ (1 << bit) for bit in range(8)} | {0, 10, 97} - {byte}:
            path.write_bytes(data[:place] + bytes([other]) + data[place + 1 :])
            for look in (lambda: list(read(path)), lambda: Journal.open(path).close()):
                with pytest.raises(StoreCorrupt, match=r"journal\.jsonl:[123]: "):
                    look()
            assert path.stat().st_size == len(data)


@pytest.mark.parametrize("take", [1, 2])
def test_a_range_that_is_gone_is_found(path: Path, take: int) -> None:
    rows = envelopes(path)
    write(path, rows[:1] + rows[1 + take :] + [rows[2] | {"seq": 4}])
    with pytest.raises(StoreCorrupt, match=r"non_monotonic_seq"):
        Journal.open(path)


@pytest.mark.parametrize(
    "changes",
    [{"seq": 1}, {"seq": 3}, {"run_id": "other"}, {"seq": True}, {"ts_millis": "x"}, {"event": "drop"}, {"more": 1}],
    ids=str,
)
def test_what_is_wrong_is_named_with_its_line(path: Path, changes: dict[str, Any]) -> None:
    edit(path, 2, **changes)
    with pytest.raises(StoreCorrupt, match=r"journal\.jsonl:2: ") as caught:
        Journal.open(path)
    assert caught.value.details["line"] == 2
    with pytest.raises(StoreCorrupt, match=r"journal\.jsonl:2: "):
        list(read(path))


@pytest.mark.parametrize("other", [b"\n", b"[]\n", b"nonsense\n", b'{"seq":2}\n'])
def test_a_line_that_is_no_envelope(path: Path, other: bytes) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + other + lines[2])
    with pytest.raises(StoreCorrupt, match=":2: "):
        Journal.open(path)


def test_null_times_are_read(path: Path) -> None:
    edit(path, 2, ts_millis=None)
    assert [envelope["ts_millis"] for envelope in read(path)][1] is None


def test_a_journal_of_another_run(path: Path) -> None:
    with pytest.raises(StoreCorrupt, match=":1: run"):
        Journal.open(path, "other")


def test_a_journal_without_events(tmp_path: Path) -> None:
    Journal.create(tmp_path / "j", RUN).close()
    assert list(read(tmp_path / "j")) == []
    with Journal.open(tmp_path / "j", RUN) as journal:
        assert journal.head == 0 and journal.append([event(1)]) == 1
    (tmp_path / "j").write_bytes(b'{"event":')
    with pytest.raises(StoreCorrupt, match="no whole event"):
        Journal.open(tmp_path / "j")


def test_a_missing_or_unreadable_journal(tmp_path: Path) -> None:
    with pytest.raises(DiskRefused, match="ENOENT"):
        Journal.open(tmp_path / "absent")
    with pytest.raises(DiskRefused, match="EISDIR"):
        list(read(tmp_path))


@pytest.mark.parametrize("cut_works", [True, False])
def test_a_refused_append_leaves_nothing_behind(path: Path, monkeypatch: pytest.MonkeyPatch, cut_works: bool) -> None:
    write = os.write

    def half(descriptor: int, data: bytes) -> int:
        if len(data) < 100:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data[:-50])

    def stuck(descriptor: int, size: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with Journal.open(path) as journal:
        journal.append([event(4)])
        before = path.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(draft.os, "write", half)
            if not cut_works:
                patch.setattr(os, "ftruncate", stuck)
            with pytest.raises(DiskRefused, match="ENOSPC"):
                journal.append([event(5), event(6)])
        assert journal.head == 4
        assert path.read_bytes() == before or not cut_works
        journal.append([event(5)], 4)
    assert [envelope["event"] for envelope in read(path)] == [event(n) for n in (1, 2, 3, 4, 5)]


def test_events_that_are_no_json_add_nothing(path: Path) -> None:
    with Journal.open(path) as journal:
        with pytest.raises(Exception, match="canonical"):
            journal.append([event(4), {"x": float("nan")}])
        assert journal.head == 3
    assert len(list(read(path))) == 3


def test_the_clock_is_in_milliseconds() -> None:
    assert 1_700_000_000_000 < now_millis() < 5_000_000_000_000


def test_a_journal_is_live_while_its_writer_holds_it(path: Path) -> None:
    with Journal.open(path):
        assert is_live(path)
    assert not is_live(path)
    assert not is_live(path.with_name("none"))
