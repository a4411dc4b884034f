"""The memo: one answer a key, whoever else writes, whatever is damaged."""

from __future__ import annotations

import fcntl
import os
import threading
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowbuild.core.canonical import Digest, sha256
from flowbuild.core.errors import DiskRefused, StoreCorrupt
from flowbuild.store.memo import Memo, Record
from flowbuild.store.tree import Artifact

EXAMPLE = (
    b'55ad6d2d {"action":"5571991abc017105fa9d55ad8f9d9a19ee74f8bbf5738661a350450d36e4e723","channel":"direct",'
    b'"outputs":{"sorted":{"executable":false,"path":"sorted.txt","sha256":'
    b'"6711d448387dfd2737e987a51331f2295d56b03ed8c389469c99dbe531f79fcf","size":7}},'
    b'"run_id":"0b7d41c2-9d0e-4f6b-8a3e-5f0c2b1d7a90","wall_ms":9}\n'
)


def record(n: int, output: bytes = b"x", *, replaces: bool = False) -> Record:
    artifact = Artifact(sha256(output), len(output), path="out.txt")
    return Record(sha256(b"%d" % n), "direct", {"out": artifact}, f"run-{n}", n, replaces)


def test_the_documented_line(tmp_path: Path) -> None:
    outputs = {
        "sorted": Artifact(
            Digest("6711d448387dfd2737e987a51331f2295d56b03ed8c389469c99dbe531f79fcf"), 7, path="sorted.txt"
        )
    }
    action = Digest("5571991abc017105fa9d55ad8f9d9a19ee74f8bbf5738661a350450d36e4e723")
    found = Record(action, "direct", outputs, "0b7d41c2-9d0e-4f6b-8a3e-5f0c2b1d7a90", 9)
    (tmp_path / "memo").write_bytes(EXAMPLE)
    assert Memo(tmp_path / "memo").lookup(action) == found
    Memo(tmp_path / "other").append([found])
    assert (tmp_path / "other").read_bytes() == EXAMPLE


def test_a_missing_file_is_empty(tmp_path: Path) -> None:
    memo = Memo(tmp_path / "memo")
    assert len(memo) == memo.damaged == 0 and memo.lookup(sha256(b"")) is None and list(memo) == []
    memo.append([])
    assert not (tmp_path / "memo").exists()


def test_remembers(tmp_path: Path) -> None:
    records = [record(n) for n in range(5)]
    directory = Artifact(sha256(b"[]"), 0, is_directory=True, path="parts/")
    records[3] = replace(records[3], outputs={"parts": directory, "é": records[3].outputs["out"]})
    memo = Memo(tmp_path / "memo")
    memo.append(records)
    assert [memo.lookup(r.action) for r in records] == records
    assert list(Memo(tmp_path / "memo")) == records


def test_the_first_record_wins(tmp_path: Path) -> None:
    one, two = Memo(tmp_path / "memo"), Memo(tmp_path / "memo")
    one.append([record(1, b"first")])
    two.append([record(1, b"second"), record(2), record(2, b"again")])
    assert two.lookup(record(1).action) == record(1, b"first")
    assert len(Memo(tmp_path / "memo")) == 2 and (tmp_path / "memo").read_bytes().count(b"\n") == 2
    assert one.lookup(record(2).action) is None  # as of the last time it read
    one.append([record(3)])
    assert one.lookup(record(2).action) == record(2)


def test_the_first_wins_in_a_file_with_two(tmp_path: Path) -> None:
    Memo(tmp_path / "a").append([record(1, b"first")])
    Memo(tmp_path / "b").append([record(1, b"second")])
    (tmp_path / "c").write_bytes((tmp_path / "a").read_bytes() + (tmp_path / "b").read_bytes())
    assert list(Memo(tmp_path / "c")) == [record(1, b"first")]


def test_a_replacing_record_wins_over_those_before(tmp_path: Path) -> None:
    memo = Memo(tmp_path / "memo")
    memo.append([record(1, b"lost"), record(2)])
    memo.append([record(1, b"new", replaces=True)])
    memo.append([record(1, b"late")])
    assert memo.lookup(record(1).action) == record(1, b"new", replaces=True)
    assert Memo(tmp_path / "memo").lookup(record(1).action) == record(1, b"new", replaces=True)
    assert len(memo) == 2


def test_replacing_by_the_same_adds_nothing(tmp_path: Path) -> None:
    memo = Memo(tmp_path / "memo")
    memo.append([record(1)])
    size = (tmp_path / "memo").stat().st_size
    memo.append([replace(record(1, replaces=True), run_id="other", wall_ms=99)])
    assert (tmp_path / "memo").stat().st_size == size


def test_what_clean_confirms_is_worth_more_than_the_same_by_direct(tmp_path: Path) -> None:
    memo, confirmed = Memo(tmp_path / "memo"), replace(record(1, replaces=True), channel="clean")
    memo.append([record(1)])
    memo.append([confirmed])
    memo.append([record(1, replaces=True)])
    assert memo.lookup(record(1).action) == Memo(tmp_path / "memo").lookup(record(1).action) == confirmed


def test_a_path_that_talks_of_replacing_replaces_nothing(tmp_path: Path) -> None:
    sly = replace(record(1, b"sly"), run_id='","replaces":true,"')
    Memo(tmp_path / "a").append([record(1, b"first")])
    Memo(tmp_path / "b").append([sly])
    (tmp_path / "c").write_bytes((tmp_path / "a").read_bytes() + (tmp_path / "b").read_bytes())
    assert list(Memo(tmp_path / "c")) == [record(1, b"first")]


def test_a_torn_tail_never_glues(tmp_path: Path) -> None:
    path = tmp_path / "memo"
    Memo(path).append([record(1)])
    Memo(path).append([record(2)])
    data = path.read_bytes()
    first = data.index(b"\n") + 1
    for size in range(len(data)):
        path.write_bytes(data[:size])
        Memo(path).append([record(3)])
        found = Memo(path)
        assert found.lookup(record(3).action) == record(3)
        assert (found.lookup(record(1).action) == record(1)) is (size >= first - 1)
        assert found.damaged == (size not in (0, first - 1, first, len(data) - 1))


@given(st.data())
def test_any_flipped_bit_is_a_miss_or_harmless(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("memo") / "memo"
    records = [record(n) for n in range(3)]
    Memo(path).append(records)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    memo = Memo(path)
    for known in records:
        assert memo.lookup(known.action) in (known, None)
    memo.append(records)
    assert list(Memo(path)) and all(Memo(path).lookup(known.action) == known for known in records)


def test_damage_is_counted(tmp_path: Path) -> None:
    Memo(tmp_path / "memo").append([record(n) for n in range(3)])
    lines = (tmp_path / "memo").read_bytes().splitlines(keepends=True)
    (tmp_path / "memo").write_bytes(lines[0] + b"\0\0\n" + lines[1].replace(b"direct", b"dIrect") + b"\n" + lines[2])
    memo = Memo(tmp_path / "memo")
    assert (len(memo), memo.damaged) == (2, 3)
    memo.compact()
    assert (tmp_path / "memo").read_bytes() == lines[0] + lines[2]
    assert (len(memo), memo.damaged) == (2, 0)


def test_a_record_of_another_version_is_unknown(tmp_path: Path) -> None:
    data = b'{"action":"%b","channel":"direct","more":1}' % (b"a" * 64)
    (tmp_path / "memo").write_bytes(b"%08x %b\n" % (zlib.crc32(data), data))
    memo = Memo(tmp_path / "memo")
    assert memo.lookup(Digest("a" * 64)) is None and list(memo) == []
    with pytest.raises(StoreCorrupt):
        Record.from_doc({"action": 1})


def test_compacting_keeps_what_counts_and_what_is_wanted(tmp_path: Path) -> None:
    memo, other = Memo(tmp_path / "memo"), Memo(tmp_path / "memo")
    memo.append([record(1, b"lost"), record(2), record(3)])
    memo.append([record(1, b"new", replaces=True)])
    other.append([record(4)])
    memo.compact(lambda found: found.wall_ms != 2)
    kept = [record(1, b"new", replaces=True), record(3), record(4)]
    assert list(memo) == list(Memo(tmp_path / "memo")) == kept
    other.append([record(5)])  # its file was replaced behind its back
    assert list(other) == list(Memo(tmp_path / "memo")) == [*kept, record(5)]
    memo.append([record(6)])
    assert list(Memo(tmp_path / "memo")) == [*kept, record(5), record(6)]
    assert os.listdir(tmp_path) == ["memo"]


def test_waits_for_who_is_writing(tmp_path: Path) -> None:
    Memo(tmp_path / "memo").append([record(1)])
    thread = threading.Thread(target=lambda: Memo(tmp_path / "memo").append([record(2)]))
    with (tmp_path / "memo").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        thread.start()
        thread.join(0.05)
        assert thread.is_alive() and len(Memo(tmp_path / "memo")) == 1
    thread.join(10)
    assert len(Memo(tmp_path / "memo")) == 2


def test_a_deleted_memo_begins_anew(tmp_path: Path) -> None:
    memo = Memo(tmp_path / "memo")
    memo.append([record(1)])
    (tmp_path / "memo").unlink()
    memo.append([record(2)])
    assert list(memo) == list(Memo(tmp_path / "memo")) == [record(2)]


def test_a_memo_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DiskRefused, match="EISDIR"):
        Memo(tmp_path)
