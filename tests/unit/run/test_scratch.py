"""Scratch directories that serve more than once: each action finds its own as if it were the first."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from flowbuild.run.scratch import ScratchPool

SHAPES = (
    ("home", "tmp", "tree", "tree/p", "tree/p/q"),
    ("home", "tmp", "tree", "tree/out", "tree/out/a", "tree/out/a/b", "tree/p"),
    ("home", "tmp"),
    ("home", "tmp", "tree", "tree/z"),
)


@pytest.fixture
def pool(tmp_path: Path) -> ScratchPool:
    return ScratchPool(str(tmp_path / "stage"))


def found(place: str) -> dict[str, int]:
    """All that is in a directory, itself included, with its mode."""
    names = [str(path.relative_to(place)) for path in Path(place).rglob("*")]
    return {name: os.lstat(f"{place}/{name}").st_mode for name in [".", *names]}


def expected(place: str, wanted: tuple[str, ...]) -> dict[str, int]:
    """The same of directories that were just made."""
    fresh = f"{place}.fresh"
    for name in ("", *wanted):
        os.mkdir(f"{fresh}/{name}")
    try:
        return found(fresh)
    finally:
        shutil.rmtree(fresh)


def test_a_directory_that_served_is_the_next_ones(pool: ScratchPool) -> None:
    first = pool.take("a", SHAPES[0])
    numbers = {os.stat(f"{first}/{name}").st_ino for name in ("", *SHAPES[0])}
    Path(first, "tree/p/left").write_text("x")
    pool.vacate("a")
    second = pool.take("b", SHAPES[0])
    assert not os.path.exists(first)
    assert {os.stat(f"{second}/{name}").st_ino for name in ("", *SHAPES[0])} == numbers
    assert found(second) == expected(second, SHAPES[0])


def test_what_nobody_vacated_serves_nobody_else(pool: ScratchPool) -> None:
    first = pool.take("a", SHAPES[0])
    assert os.stat(pool.take("b", SHAPES[0])).st_ino != os.stat(first).st_ino
    pool.remove("a")
    assert not os.path.exists(first)
    assert found(pool.take("a", SHAPES[3])) == expected(first, SHAPES[3])


def link(place: str, outside: Path) -> None:
    shutil.rmtree(f"{place}/tree")
    os.symlink(outside, f"{place}/tree")


MESSES: dict[str, Callable[[str, Path], object]] = {
    "files": lambda place, outside: [Path(place, name, "left").write_text("x") for name in ("", "home", "tree/p")],
    "a file of no name in UTF-8": lambda place, outside: Path(os.fsdecode(os.fsencode(place) + b"/\xff")).touch(),
    "directories": lambda place, outside: os.makedirs(f"{place}/tmp/deep/{'/'.join('x' * 40)}"),
    "a mode": lambda place, outside: os.chmod(f"{place}/tree/p", 0o500),
    "the mode of the whole": lambda place, outside: os.chmod(place, 0o711),
    "no rights": lambda place, outside: os.chmod(f"{place}/tree/p", 0),
    "an attribute": lambda place, outside: os.setxattr(f"{place}/tmp", "user.note", b"x"),
    "removed": lambda place, outside: os.rmdir(f"{place}/tree/p/q"),
    "all removed": lambda place, outside: shutil.rmtree(place),
    "a file for a directory": lambda place, outside: (os.rmdir(f"{place}/home"), Path(place, "home").touch()),
    "a link to elsewhere": link,
    "moved": lambda place, outside: os.rename(f"{place}/tree/p", f"{place}/tree/moved"),
    "a pipe": lambda place, outside: os.mkfifo(f"{place}/tmp/pipe"),
}


@pytest.mark.parametrize("mess", MESSES)
def test_nothing_that_one_did_is_seen_by_the_next(pool: ScratchPool, tmp_path: Path, mess: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    try:
        MESSES[mess](pool.take("a", SHAPES[0]), outside)
    except OSError as error:
        pytest.skip(f"this file system has no such thing: {error}")
    pool.vacate("a")
    for shape in SHAPES:
        place = pool.take("b", shape)
        assert found(place) == expected(place, shape)
        assert not os.listxattr(f"{place}/tmp")
        pool.vacate("b")
    assert (outside / "kept").read_text() == "x"


def test_an_access_list_is_not_handed_on(pool: ScratchPool) -> None:
    place = pool.take("a", SHAPES[0])
    if shutil.which("setfacl") is None:
        pytest.skip("no setfacl here")
    if subprocess.run(["setfacl", "-d", "-m", "u:65534:rwx", f"{place}/tree/p"], check=False).returncode:
        pytest.skip("this file system has no access lists")
    pool.vacate("a")
    assert not os.listxattr(f"{pool.take('b', SHAPES[0])}/tree/p")


@pytest.mark.parametrize("seed", range(30))
def test_in_any_order_each_finds_its_own(pool: ScratchPool, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    used: dict[str, tuple[str, ...]] = {}
    for turn in range(40):
        name = chance.choice([f"s{turn % 5}", f"s{turn}"])
        if used and chance.random() < 0.6:
            done = chance.choice(sorted(used))
            del used[done]
            chance.choice([pool.vacate, pool.vacate, pool.remove])(done)
        if name in used:
            continue
        shape = chance.choice(SHAPES)
        place = pool.take(name, shape)
        assert found(place) == expected(place, shape)
        used[name] = shape
        for _ in range(chance.randrange(3)):
            mess = chance.choice([key for key in MESSES if key not in ("no rights", "a link to elsewhere")])
            try:
                MESSES[mess](place, tmp_path)
            except OSError:
                continue
    assert pool.given == {f"{tmp_path}/stage/{name}/{inner}" for name, shape in used.items() for inner in shape}


def test_what_is_left_of_another_process_is_removed(pool: ScratchPool, tmp_path: Path) -> None:
    left = tmp_path / "stage" / "a" / "tree"
    left.mkdir(parents=True)
    (left / "old").write_text("x")
    place = pool.take("a", SHAPES[0])
    assert found(place) == expected(place, SHAPES[0])
