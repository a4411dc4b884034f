"""The null table against real files: what holds, each way in which something may have moved, and bad tables."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flowbuild.store import null
from flowbuild.store.rows import KEPT, Rows, row, write

LONG_AGO = 10**18


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace that is older than the build which looks at it."""
    for name in ("src/a.txt", "src/b.txt", "src/deep/er/c.txt", "top.txt", "out/made.txt", "cas/ab/abc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    os.utime(tmp_path / "cas/ab/abc", ns=(LONG_AGO, LONG_AGO))
    settle(tmp_path)
    return tmp_path


def settle(root: Path) -> None:
    """Wait until the clock of the file system ticks, so that nothing made so far counts as new."""
    probe = root.parent / "probe"
    probe.write_text("")
    first = probe.stat().st_mtime_ns
    while probe.stat().st_mtime_ns == first:
        probe.write_text("")


def collect(root: Path) -> Rows:
    rows = Rows(root)
    for name in ("src/a.txt", "src/b.txt", "src/deep/er/c.txt", "top.txt"):
        rows.file(root / name)
    rows.output(root / "out/made.txt")
    rows.stored(root / "cas/ab/abc")
    rows.directory(root / "src", frozenset({"__pycache__"}))
    rows.absent(root / "src/BUILD.yaml")
    rows.absent(root / "elsewhere/BUILD.yaml")
    rows.environment("FLOWBUILD_TEST_ABSENT")
    rows.environment("PATH")
    return rows


def answer(root: Path) -> str | None:
    return null.check(str(root), "key")


def test_answers_while_nothing_moves(root: Path) -> None:
    assert write(collect(root), "key", "up to date\n")
    assert answer(root) == answer(root) == "up to date\n"


def rewrite(path: Path) -> None:
    """The same bytes, size and mtime: only ctime tells."""
    found = path.stat()
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def replace(path: Path) -> None:
    shutil.copy2(path, path.with_name("other"))
    os.replace(path.with_name("other"), path)


MOVES: dict[str, Callable[[Path], object]] = {
    "edited": lambda root: (root / "src/a.txt").write_text("other"),
    "rewritten with the same size and mtime": lambda root: rewrite(root / "src/b.txt"),
    "touched": lambda root: os.utime(root / "src/a.txt"),
    "made executable": lambda root: (root / "src/a.txt").chmod(0o755),
    "replaced by a copy": lambda root: replace(root / "src/a.txt"),
    "deleted, deep down": lambda root: (root / "src/deep/er/c.txt").unlink(),
    "edited at the root": lambda root: (root / "top.txt").write_text("other"),
    "its directory renamed": lambda root: os.rename(root / "src/deep", root / "src/deeper"),
    "a directory became a file": lambda root: (shutil.rmtree(root / "src/deep"), (root / "src/deep").write_text("")),
    "new file in a listed directory": lambda root: (root / "src/new").write_text(""),
    "new BUILD.yaml in it": lambda root: (root / "src/BUILD.yaml").write_text(""),
    "new BUILD.yaml where no directory was": lambda root: (
        (root / "elsewhere").mkdir(),
        (root / "elsewhere/BUILD.yaml").write_text(""),
    ),
    "output edited": lambda root: (root / "out/made.txt").write_text("other"),
    "output deleted": lambda root: (root / "out/made.txt").unlink(),
    "object damaged": lambda root: (root / "cas/ab/abc").write_text("cas/ab/abd"),
    "object deleted": lambda root: (root / "cas/ab/abc").unlink(),
    "object made writable": lambda root: (root / "cas/ab/abc").chmod(0o600),
}


@pytest.mark.parametrize("move", MOVES)
def test_sees_what_moved(root: Path, move: str) -> None:
    assert write(collect(root), "key", "up to date\n")
    MOVES[move](root)
    assert answer(root) is None


STAYS: dict[str, Callable[[Path], object]] = {
    "an ignored name in a listed directory": lambda root: (root / "src/__pycache__").mkdir(),
    "a file that came and went": lambda root: ((root / "src/t").write_text(""), (root / "src/t").unlink()),
    "a directory that nobody listed": lambda root: (root / "out/more.txt").write_text(""),
    "an object healed by an equal one": lambda root: replace(root / "cas/ab/abc"),
    "a file that was only read": lambda root: (root / "src/a.txt").read_bytes(),
}


@pytest.mark.parametrize("change", STAYS)
def test_is_not_disturbed_by(root: Path, change: str) -> None:
    assert write(collect(root), "key", "up to date\n")
    STAYS[change](root)
    assert answer(root) == "up to date\n"


def test_directory_that_became_another_kind_is_seen(root: Path) -> None:
    rows = Rows(root)
    rows.directory(root)
    write(rows, "key", "text")
    (root / "top.txt").unlink()
    (root / "top.txt").mkdir()
    assert answer(root) is None


def test_link_that_leads_elsewhere_is_seen(root: Path) -> None:
    (root / "src/link").symlink_to("deep")
    settle(root)
    rows = Rows(root)
    rows.directory(root / "src")
    write(rows, "key", "text")
    (root / "src/link").unlink()
    (root / "src/link").symlink_to("er")
    assert answer(root) is None


def test_environment_counts_by_value_and_by_absence(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(collect(root), "key", "text")
    monkeypatch.setenv("FLOWBUILD_TEST_ABSENT", "")
    assert answer(root) is None
    monkeypatch.delenv("FLOWBUILD_TEST_ABSENT")
    assert answer(root) == "text"
    monkeypatch.setenv("PATH", "/elsewhere")
    assert answer(root) is None


def test_another_world_is_no_proof(root: Path) -> None:
    world = pytest.importorskip("flowbuild.core.world", reason="the world is written on another branch")
    for world_id, expected in ((world.world_id(), "text"), ("linux-other-0", None)):
        rows = collect(root)
        rows.world(world_id)
        write(rows, "key", "text")
        assert answer(root) == expected


def test_workspace_may_move_but_not_answer_for_its_copy(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    write(collect(root), "key", "text")
    copied = tmp_path_factory.mktemp("b") / "copied"
    shutil.copytree(root, copied, symlinks=True)
    moved = Path(shutil.move(root, tmp_path_factory.mktemp("a")))
    assert answer(moved) == "text"
    assert answer(copied) is None


def test_file_outside_of_the_workspace_counts(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("elsewhere") / "tool"
    outside.write_text("")
    settle(root)
    rows = Rows(root)
    rows.file(outside)
    write(rows, "key", "text")
    assert answer(root) == "text"
    outside.write_text("moved")
    assert answer(root) is None


def test_names_of_any_bytes(root: Path) -> None:
    names = [b"\xff.txt", "ümlaut ☃".encode(), b"new\nline", b"-dash", b" "]
    for name in names:
        Path(os.fsdecode(os.fsencode(root) + b"/src/" + name)).write_text("")
    settle(root)
    rows = collect(root)
    for name in names:
        rows.file(os.fsdecode(os.fsencode(root) + b"/src/" + name))
    assert write(rows, "key", "text")
    assert answer(root) == "text"
    (root / "src/ümlaut ☃").write_text("moved")
    assert answer(root) is None


def test_proof_holds_in_another_process_with_other_hash_seeds(root: Path) -> None:
    write(collect(root), "key", "text")
    code = f"from flowbuild.store import null; print(null.check({str(root)!r}, 'key'))"
    for seed in ("1", "2"):
        found = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        )
        assert found.stdout == b"text\n"


# Bad tables


def test_table_cut_anywhere_is_no_table(root: Path) -> None:
    write(collect(root), "key", "text")
    table = Path(null.place(str(root), "key"))
    data = table.read_bytes()
    for length in range(len(data)):
        table.write_bytes(data[:length])
        assert answer(root) is None


def test_every_flipped_bit_is_seen(root: Path) -> None:
    write(collect(root), "key", "text")
    table = Path(null.place(str(root), "key"))
    data = bytearray(table.read_bytes())
    for place in range(len(data)):
        data[place] ^= 1 << place % 8
        table.write_bytes(data)
        assert answer(root) is None
        data[place] ^= 1 << place % 8


def test_checksummed_nonsense_is_no_table(root: Path) -> None:
    (root / null.PLACE).mkdir(parents=True)
    for body in (b"", b"N", b"(\x00\x00\x00\x00", b"\x00" * 100):
        Path(null.place(str(root), "key")).write_bytes(null.header() + null.checksum(body) + body)
        assert answer(root) is None


def test_table_of_a_clashing_key_is_not_ours(root: Path) -> None:
    write(collect(root), "key", "text")
    os.replace(null.place(str(root), "key"), null.place(str(root), "other"))
    assert null.check(str(root), "other") is None


def test_no_table_and_no_workspace(root: Path) -> None:
    assert answer(root) is None
    assert null.check(str(root / "nowhere"), "key") is None


def test_table_of_another_boot_is_no_proof(root: Path) -> None:
    boot = Path("/proc/sys/kernel/random/boot_id")
    if not boot.exists():
        pytest.skip("this host has no boot id")
    write(collect(root), "key", "text")
    table = Path(null.place(str(root), "key"))
    table.write_bytes(table.read_bytes().replace(boot.read_bytes().strip(), b"0" * 36))
    assert answer(root) is None


def test_row_is_what_must_stay(root: Path) -> None:
    found = (root / "top.txt").stat()
    assert row(found) == (7, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_mode)


def test_oldest_tables_go(root: Path) -> None:
    for number in range(KEPT + 3):
        assert write(collect(root), f"key {number}", "text")
    assert len(os.listdir(root / null.PLACE)) == KEPT
    assert null.check(str(root), "key 0") is None
    assert null.check(str(root), f"key {KEPT + 2}") == "text"
