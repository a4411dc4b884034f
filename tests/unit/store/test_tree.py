"""Directories as listings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flowbuild.core.canonical import sha256
from flowbuild.core.errors import NotAnArtifact, StoreCorrupt
from flowbuild.store.cas import SEALED_NS, Cas
from flowbuild.store.tree import Artifact, Entry, collect, entries, intact, listing, listing_bytes, materialize

HELLO = sha256(b"hello")


@pytest.fixture
def cas(tmp_path: Path) -> Cas:
    return Cas(tmp_path / "cas")


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    top = tmp_path / "parts"
    (top / "b" / "c").mkdir(parents=True)
    (top / "b" / "c" / "run").write_bytes(b"hello")
    (top / "b" / "c" / "run").chmod(0o755)
    (top / "a").write_bytes(b"one")
    (top / "b.txt").write_bytes(b"")
    return top


def shape(top: Path) -> dict[str, tuple[bytes, bool]]:
    return {
        str(path.relative_to(top)): (path.read_bytes(), os.access(path, os.X_OK) and bool(path.stat().st_mode & 0o100))
        for path in top.rglob("*")
        if path.is_file()
    }


def test_a_listing_is_sorted_canonical_json() -> None:
    found = listing_bytes([Entry("b", HELLO, True), Entry("a", HELLO, False)])
    assert found == (
        b'[{"executable":false,"path":"a","sha256":"%b"},{"executable":true,"path":"b","sha256":"%b"}]'
        % (HELLO.encode(), HELLO.encode())
    )
    assert listing([Entry("a", HELLO, False), Entry("b", HELLO, True)]) == sha256(found)


def test_a_file(cas: Cas, parts: Path) -> None:
    found = collect(cas, parts / "b" / "c" / "run", declared="run")
    assert found == Artifact(HELLO, 5, True, False, "run") and found.listing is None
    assert found.doc() == {"executable": True, "path": "run", "sha256": HELLO, "size": 5}
    assert found.doc("other")["path"] == "other"
    assert Artifact.from_doc(found.doc()) == found


def test_a_directory_comes_back_as_it_was(cas: Cas, parts: Path, tmp_path: Path) -> None:
    found = collect(cas, parts, declared="parts/")
    assert [entry.path for entry in entries(cas, found.sha256)] == ["a", "b.txt", "b/c/run"]
    assert found.doc() == {"listing": found.sha256, "path": "parts/", "size": 8}
    assert Artifact.from_doc(found.doc()) == found and found.listing == found.sha256
    materialize(cas, found, tmp_path / "new" / "out")
    assert shape(tmp_path / "new" / "out") == shape(parts)
    assert os.listdir(tmp_path / "new") == ["out"]
    assert collect(Cas(tmp_path / "cas"), tmp_path / "new" / "out", declared="parts/") == found


def test_an_empty_directory(cas: Cas, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    found = collect(cas, tmp_path / "empty")
    assert found.sha256 == sha256(b"[]") and found.size == 0 and intact(cas, found)
    materialize(cas, found, tmp_path / "out")
    assert os.listdir(tmp_path / "out") == []


@pytest.mark.parametrize("before", ["file", "directory", "link"])
@pytest.mark.parametrize("kind", ["a", "b"])
def test_replaces_whatever_was_there(cas: Cas, parts: Path, tmp_path: Path, before: str, kind: str) -> None:
    target = tmp_path / "out"
    if before == "file":
        target.write_bytes(b"old")
    elif before == "directory":
        (target / "old").mkdir(parents=True)
    else:
        target.symlink_to(parts)
    materialize(cas, collect(cas, parts / kind), target)
    assert (target.read_bytes() == b"one") if kind == "a" else (shape(target) == shape(parts / "b"))
    assert not target.is_symlink() and (parts / "b.txt").exists()


def test_links_fifos_and_odd_names_are_named(cas: Cas, parts: Path) -> None:
    for make, match in [
        (lambda path: path.symlink_to("a"), "z is a symbolic link"),
        (lambda path: path.symlink_to("/absent"), "z is a symbolic link"),
        (lambda path: os.mkfifo(path), "z is neither a file nor a directory"),
    ]:
        make(parts / "z")
        with pytest.raises(NotAnArtifact, match=match):
            collect(cas, parts)
        with pytest.raises(NotAnArtifact, match=match):
            collect(cas, parts / "z")
        (parts / "z").unlink()


def test_a_name_that_is_not_unicode_is_refused(cas: Cas, parts: Path) -> None:
    try:
        with open(os.fsencode(parts) + b"/\xff", "wb"):
            pass
    except OSError:
        pytest.skip("this file system holds Unicode names only")
    with pytest.raises(NotAnArtifact, match="not UTF-8"):
        collect(cas, parts)


@pytest.mark.parametrize("name", ["née", "ne\u0301e", "a b", "-x", "new\nline", "😀", 'quo"te', "back\\slash"])
def test_odd_names_come_back(cas: Cas, tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(b"x")
    found = collect(cas, tmp_path / "in")
    cas.listings.clear()
    materialize(cas, found, tmp_path / "out")
    assert os.listdir(tmp_path / "out") == [name]


def test_intact_means_every_file(cas: Cas, parts: Path) -> None:
    found = collect(cas, parts)
    assert intact(cas, found)
    cas.discard(HELLO)
    assert not intact(cas, found)
    collect(cas, parts)
    assert intact(cas, found)
    cas.discard(found.sha256)
    assert not intact(cas, found)


def test_intact_minds_the_size_of_a_file(cas: Cas, parts: Path) -> None:
    found = collect(cas, parts / "a")
    assert intact(cas, found) and not intact(cas, Artifact(found.sha256, 4))


def test_a_poisoned_listing_is_absent(cas: Cas, parts: Path, tmp_path: Path) -> None:
    found = collect(cas, parts)
    path = cas.path(found.sha256)
    path.chmod(0o644)
    path.write_bytes(b"[]")
    path.chmod(0o444)
    os.utime(path, ns=(SEALED_NS, SEALED_NS))
    assert not intact(Cas(tmp_path / "cas"), found)


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../b", "", "a//b", "a/", "./a", "a\0b", ".", ".."])
def test_a_hostile_listing_writes_nothing(cas: Cas, tmp_path: Path, path: str) -> None:
    digest = cas.put(listing_bytes([Entry(path, cas.put(b"x"), False)]))
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(StoreCorrupt, match="not a listing"):
        materialize(cas, Artifact(digest, 1, is_directory=True), tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[1]", b'[{"path":"a"}]', b"\xff", b'[{"path":"a","sha256":"x","executable":1}]'],
)
def test_an_object_that_is_no_listing(cas: Cas, data: bytes) -> None:
    with pytest.raises(StoreCorrupt, match="not a listing"):
        entries(cas, cas.put(data))


@pytest.mark.parametrize("paths", [["a", "a"], ["a", "a/b"], ["a/b/c", "a/b"]])
def test_listings_that_contradict_themselves(cas: Cas, paths: list[str]) -> None:
    with pytest.raises(StoreCorrupt, match="not a listing"):
        entries(cas, cas.put(listing_bytes([Entry(path, HELLO, False) for path in paths])))


@pytest.mark.parametrize("doc", [None, 1, [], {}, {"sha256": "x"}, {"listing": 1, "path": "", "size": 0}, "listing"])
def test_documents_that_are_no_artifact(doc: object) -> None:
    with pytest.raises(StoreCorrupt, match="not an artifact"):
        Artifact.from_doc(doc)


def test_a_failed_directory_leaves_nothing(cas: Cas, parts: Path, tmp_path: Path) -> None:
    found = collect(cas, parts)
    cas.discard(HELLO)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_bytes(b"")
    with pytest.raises(StoreCorrupt):
        materialize(cas, found, tmp_path / "out")
    assert os.listdir(tmp_path / "out") == ["old"]
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".tmp-")]
