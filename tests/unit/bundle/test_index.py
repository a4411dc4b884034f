"""The index: its shape, and what a hostile one is refused for."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from flowbuild.bundle import index as module
from flowbuild.bundle.index import Artifact, index, read_index, safe_path, schema_version, write_index
from flowbuild.core.canonical import Digest
from flowbuild.core.errors import StoreCorrupt

ZERO = Digest("0" * 64)
A = Artifact("a.json", 3, ZERO, "a.v1")


def document(**changes: Any) -> dict[str, Any]:
    found = json.loads(write_index(index("run", "world", [A], [], "ok")))
    return {**found, **changes}


def with_path(*paths: Any) -> dict[str, Any]:
    return document(artifacts=[{**document()["artifacts"][0], "path": path} for path in paths])


def test_an_index_has_the_fields_of_the_seed() -> None:
    assert document() == {
        "schema_version": "runtime-tools.artifact_index.v0.1",
        "run_id": "run",
        "world_id": "world",
        "artifacts": [{"path": "a.json", "file_size": 3, "sha256": ZERO, "schema_version": "a.v1"}],
        "missing": [],
        "status": "ok",
    }


def test_what_is_written_is_read() -> None:
    value = index("run", "world", [A, A._replace(path="run_status.json")], ["summary.md"], "ok")
    assert read_index(write_index(value)) == value
    assert [entry.path for entry in value.artifacts] == ["run_status.json", "a.json"]


@pytest.mark.parametrize(
    ("given", "absent", "status"),
    [("ok", [], "ok"), ("ok", ["x"], "partial"), ("failed", ["x"], "failed"), ("failed", [], "failed")],
)
def test_the_status_says_whether_files_are_missing(given: str, absent: list[str], status: str) -> None:
    assert index("run", "world", [], absent, given).status == status


@pytest.mark.parametrize(
    ("path", "data", "version"),
    [
        ("a.json", b'{"x": 1, "schema_version": "v"}', "v"),
        ("a.json", b'{"schema_version": 3}', None),
        ("a.json", b"[1]", None),
        ("a.json", b'{"schema_version": "v"', None),
        ("a.json", b"\xff", None),
        ("objects/0", b'{"schema_version": "v"}', "v"),
        ("a.jsonl", b'{"schema_version": "v"}\n{"schema_version": "w"}\n', "v"),
        ("a.jsonl", b"", None),
    ],
)
def test_a_document_says_its_own_shape(path: str, data: bytes, version: str | None) -> None:
    assert schema_version(path, data) == version


PATHS: list[Any] = [
    "../x", "/etc/passwd", "a/../../x", "a/..", ".", "..", "./a", "a//b", "a/", "", "a\0b", "a\nb", "a\\b",
    "\\\\host\\x", "a\x7f", "\ud800", "artifact_index.json", "Artifact_Index.JSON", "x" * 4097, None, 3, True, ["a"],
    {"a": 1}, "/run/x", "x/run/../y", "x/run//y", "x/run/",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS, ids=range(len(PATHS)))
def test_a_path_that_may_lead_out_is_refused(path: Any) -> None:
    with pytest.raises(StoreCorrupt):
        read_index(json.dumps(with_path(path)).encode())
    with pytest.raises(StoreCorrupt):
        read_index(json.dumps(document(missing=[path], status="partial")).encode())


@pytest.mark.parametrize(
    "paths",
    [
        ("a", "a"),
        ("a", "A"),
        ("stra\u00dfe", "STRASSE"),
        ("caf\u00e9", "cafe\u0301"),
        ("CAFE\u0301", "caf\u00e9"),
        ("x", "out/run/x"),
    ],
)
def test_two_paths_that_may_be_one_file_are_refused(paths: tuple[str, str]) -> None:
    with pytest.raises(StoreCorrupt, match="may be one file"):
        read_index(json.dumps(with_path(*paths)).encode())
    with pytest.raises(StoreCorrupt, match="may be one file"):
        read_index(json.dumps(with_path(paths[0]) | {"missing": [paths[1]], "status": "partial"}).encode())


def entry(**changes: Any) -> dict[str, Any]:
    return document(artifacts=[{**document()["artifacts"][0], **changes}])


HOSTILE: list[Any] = [
    entry(file_size=-1), entry(file_size=1.0), entry(file_size=True), entry(file_size="3"), entry(file_size=1 << 63),
    entry(file_size=None), entry(sha256="0" * 63), entry(sha256="A" * 64), entry(sha256="sha1:" + "0" * 40),
    entry(sha256=None), entry(sha256="0" * 64 + "\n"), entry(schema_version=3), document(artifacts={}),
    document(artifacts=None), document(artifacts=["a"]), document(artifacts=[{"path": "a"}]), document(missing=None),
    document(missing="a"), document(status="good"), document(status=None), document(status="partial"),
    document(missing=["x"]), document(schema_version="runtime-tools.artifact_index.v0.2"), document(run_id="../run"),
    document(run_id=None), document(world_id=3), {k: v for k, v in document().items() if k != "world_id"},
    [], None, "x",
]  # fmt: skip


@pytest.mark.parametrize("doc", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_index_is_refused(doc: Any) -> None:
    with pytest.raises(StoreCorrupt, match=r"artifact_index\.json: "):
        read_index(json.dumps(doc).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"{",
        b"[" * 100_000,
        b'{"a": 1, "a": 1}',
        b'{"a": NaN}',
        b"\xef\xbb\xbf{}",
        b'{"a": ' + b"9" * 5000,
    ],
)
def test_bytes_that_are_no_json_are_refused(data: bytes) -> None:
    with pytest.raises(StoreCorrupt, match="not JSON"):
        read_index(data)


def test_too_many_entries_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = json.dumps(with_path("a", "b", "c")).encode()
    assert len(read_index(data).artifacts) == 3
    monkeypatch.setattr(module, "MAX_ENTRIES", 2)
    with pytest.raises(StoreCorrupt, match="3 entries, more than 2"):
        read_index(data)


def test_too_many_bytes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 10)
    with pytest.raises(StoreCorrupt, match="too many"):
        read_index(json.dumps(document()).encode())


def test_paths_of_the_seed_are_read_as_paths_of_the_bundle() -> None:
    assert safe_path("book/experiments/x/out/run/registry/probes.json", "run") == "registry/probes.json"
    assert safe_path("registry/probes.json", "run") == "registry/probes.json"


def test_what_could_not_be_read_back_is_not_written() -> None:
    bad: Callable[[], bytes] = lambda: write_index(index("run", "w", [A._replace(path="../x")], [], "ok"))  # noqa: E731
    with pytest.raises(StoreCorrupt, match="lead out"):
        bad()
