"""Every flipped bit in a bundle of the example is noticed. A seeded ten thousand; FLOWBUILD_EVERY_BIT=1 tries all.

A strict load holds every listed file against its entry, which is shown once. So for a bit of a listed file, its own
check is asked; for a bit of the index, what the changed index says otherwise is; and a hundred are asked of the whole.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowbuild.bundle.held import Held
from flowbuild.bundle.index import Index, read_index
from flowbuild.bundle.read import load_bundle, validate_bundle
from flowbuild.core.errors import StoreError
from flowbuild.testing import Space

EXAMPLES = Path(__file__).parents[2] / "examples"
RUN = "//experiments/hardened-runtime:run"
MANY = 10_000


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output root of the example, run once for this module."""
    place = tmp_path_factory.mktemp("flips") / "examples"
    shutil.copytree(EXAMPLES / "experiments", place / "experiments", ignore=shutil.ignore_patterns("out"))
    shutil.copy(EXAMPLES / "flowbuild.yaml", place)
    ran = Space(place).run(RUN)
    assert ran.code == 0, ran
    return place / "out/experiments/hardened-runtime/run"


def places(root: Path, names: list[str]) -> Iterator[tuple[str, int]]:
    """Files and bits: all of them if asked to, else a seeded sample in which every bit is as likely as any other."""
    sizes = {name: 8 * (root / name).stat().st_size for name in names}
    if os.environ.get("FLOWBUILD_EVERY_BIT"):
        yield from ((name, bit) for name in names for bit in range(sizes[name]))
        return
    chosen = random.Random(2026)
    yield from ((chosen.choices(names, [sizes[n] for n in names])[0], chosen.getrandbits(60)) for _ in range(MANY))


def differs(held: Held, good: Index, data: bytes) -> bool:
    """Whether a changed index is refused, or says something that is not so."""
    try:
        found = read_index(data)
        for entry in set(found.artifacts) - set(good.artifacts):
            held.check(entry)
    except StoreError:
        return True
    return (found.run_id, found.world_id, found.status) != (good.run_id, good.world_id, good.status)


def test_a_strict_load_checks_every_listed_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = []
    real = Held.check
    monkeypatch.setattr(Held, "check", lambda self, entry: (checked.append(entry), real(self, entry))[1])
    assert load_bundle(root).index.artifacts == tuple(checked)


def test_every_flipped_bit_is_noticed(root: Path) -> None:
    bundle = load_bundle(root)
    entries = {entry.path: entry for entry in bundle.index.artifacts}
    data = (bundle.out_dir / "artifact_index.json").read_bytes()
    unnoticed = []
    with Held(bundle.out_dir) as held:
        for name, bit in places(bundle.out_dir, [*entries, "artifact_index.json"]):
            byte, mask = divmod(bit % (8 * (bundle.out_dir / name).stat().st_size), 8)
            if name == "artifact_index.json":
                changed = bytearray(data)
                changed[byte] ^= 1 << mask
                is_noticed = differs(held, bundle.index, bytes(changed))
            else:
                is_noticed = flipped(bundle.out_dir / name, byte, mask, lambda name=name: refuses(held, entries[name]))
            if not is_noticed:
                unnoticed.append((name, byte, mask))
    assert unnoticed == []
    assert load_bundle(root)


def refuses(held: Held, entry: object) -> bool:
    try:
        held.check(entry)
    except StoreError:
        return True
    return False


def flipped(path: Path, byte: int, bit: int, ask: object) -> bool:
    """What is said while one bit of a file is another."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        good = os.pread(descriptor, 1, byte)
        os.pwrite(descriptor, bytes([good[0] ^ 1 << bit]), byte)
        try:
            return ask()
        finally:
            os.pwrite(descriptor, good, byte)
    finally:
        os.close(descriptor)


def test_a_hundred_flips_are_noticed_by_whoever_asks_for_the_whole(root: Path) -> None:
    bundle = load_bundle(root).out_dir
    files = [path for path in sorted(bundle.rglob("*")) if path.is_file() and path.stat().st_size] + [root / "LATEST"]
    chosen = random.Random(7)
    for path in chosen.choices(files, k=100):
        byte, bit = chosen.randrange(path.stat().st_size), chosen.randrange(8)
        assert flipped(path, byte, bit, lambda: not validate_bundle(root).ok), (path, byte, bit)
    assert validate_bundle(root).ok
