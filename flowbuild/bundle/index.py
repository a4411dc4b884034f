"""artifact_index.json: every file of a bundle with its size and digest. A bundle without it does not exist.

Knows nothing of disks: bytes in, an Index out, and back. An index may come from anybody, so reading it is strict: a
path that could lead out of the bundle, or that two file systems would read differently, is refused.

Shapes:  artifact_index.v0.1. Paths are relative to the bundle, with `/`; those of seed 003, relative to a repository,
         are cut after the run id. `schema_version` of an artifact is its top-level key, or its first JSON line's.
         Unknown keys are ignored.
Errors:  StoreCorrupt, naming the fault.
Source:  seed 003, artifact_index; RELIABILITY I3.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from flowbuild.bundle.layout import INDEX, in_order, is_run_id
from flowbuild.core.canonical import Digest
from flowbuild.core.errors import StoreCorrupt

SCHEMA = "runtime-tools.artifact_index.v0.1"
STATUSES = ("ok", "partial", "failed")
MAX_ENTRIES = 1_000_000
MAX_BYTES = 512 << 20
MAX_PARSED = 16 << 20  # larger files are data, not documents

_DIGEST = re.compile(r"[0-9a-f]{64}")


class Artifact(NamedTuple):
    """One file of a bundle."""

    path: str
    file_size: int
    sha256: Digest
    schema_version: str | None


@dataclass(frozen=True, slots=True)
class Index:
    """All files of a bundle. `partial` says that some are missing, which `missing` names."""

    run_id: str
    world_id: str | None
    artifacts: tuple[Artifact, ...]
    missing: tuple[str, ...]
    status: str


def index(
    run_id: str, world_id: str | None, artifacts: Iterable[Artifact], missing: Iterable[str], status: str
) -> Index:
    """An index in its order. Its status follows: missing files turn `ok` into `partial`, never `failed` into it."""
    absent = tuple(sorted(set(missing)))
    found = "partial" if status == "ok" and absent else status
    return Index(run_id, world_id, tuple(sorted(artifacts, key=lambda entry: in_order(entry.path))), absent, found)


def write_index(value: Index) -> bytes:
    """The bytes of an index. What could not be read back is refused here, before it is committed."""
    data = (json.dumps(index_document(value), indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
    read_index(data)
    return data


def index_document(value: Index) -> dict[str, Any]:
    """An index as its JSON document."""
    return {
        "schema_version": SCHEMA,
        "run_id": value.run_id,
        "world_id": value.world_id,
        "artifacts": [entry._asdict() for entry in value.artifacts],
        "missing": list(value.missing),
        "status": value.status,
    }


def read_index(data: bytes) -> Index:
    """The index in these bytes, or StoreCorrupt."""
    if len(data) > MAX_BYTES:
        raise _corrupt(f"{len(data)} bytes are too many")
    doc = _parse(data)
    if doc.get("schema_version") != SCHEMA:
        raise _corrupt(f"schema_version is {doc.get('schema_version')!r:.80}, not {SCHEMA}")
    run_id, world_id, status = doc.get("run_id"), doc.get("world_id"), doc.get("status")
    if not isinstance(run_id, str) or not is_run_id(run_id):
        raise _corrupt(f"run_id is {run_id!r:.80}")
    if "world_id" not in doc or not (world_id is None or isinstance(world_id, str)):
        raise _corrupt(f"world_id is {world_id!r:.80}")
    if status not in STATUSES:
        raise _corrupt(f"status is {status!r:.80}, not one of {', '.join(STATUSES)}")
    artifacts = tuple(_artifact(entry, run_id) for entry in _list(doc, "artifacts"))
    missing = tuple(safe_path(path, run_id) for path in _list(doc, "missing"))
    _check_distinct([entry.path for entry in artifacts] + list(missing))
    if bool(missing) != (status == "partial") and status != "failed":
        raise _corrupt(f"status is {status} and {len(missing)} files are missing")
    return Index(run_id, world_id, artifacts, missing, str(status))


def schema_version(path: str, data: bytes) -> str | None:
    """What a document says of its own shape; None for what says nothing."""
    if path.endswith(".jsonl"):
        data = data[:MAX_PARSED].partition(b"\n")[0]
    if data[:1] != b"{" or len(data) > MAX_PARSED:
        return None
    try:
        found = _decode(data).schema_version
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found if isinstance(found, str) else None


def safe_path(value: object, run_id: str) -> str:
    """A path that stays in the bundle on any file system."""
    if not isinstance(value, str) or not value or len(value) > 4096:
        raise _corrupt(f"{value!r:.80} is not a path")
    _, is_from_repository, rest = value.partition(f"/{run_id}/")
    path = rest if is_from_repository else value
    if any(part in ("", ".", "..") for part in (value + "/" + path).split("/")):
        raise _corrupt(f"path {value!r:.200} may lead out of the bundle")
    if "\\" in path or any(unicodedata.category(mark) in ("Cc", "Cs") for mark in path):
        raise _corrupt(f"path {value!r:.200} has a character that is not for paths")
    if folded(path) == INDEX:
        raise _corrupt("the index lists itself")
    return path


class _Versioned(msgspec.Struct):
    schema_version: Any = None


_decode = msgspec.json.Decoder(_Versioned).decode


def _parse(data: bytes) -> dict[str, Any]:
    try:
        doc = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _corrupt(f"not JSON: {error}") from None
    if not isinstance(doc, dict):
        raise _corrupt("not a JSON object")
    return doc


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _list(doc: dict[str, Any], key: str) -> list[Any]:
    value = doc.get(key)
    if not isinstance(value, list):
        raise _corrupt(f"{key} is not a list")
    if len(value) > MAX_ENTRIES:
        raise _corrupt(f"{key} has {len(value)} entries, more than {MAX_ENTRIES}")
    return value


def _artifact(entry: object, run_id: str) -> Artifact:
    if not isinstance(entry, dict) or "schema_version" not in entry:
        raise _corrupt(f"an artifact is {{path, file_size, sha256, schema_version}}, not {entry!r:.80}")
    path = safe_path(entry.get("path"), run_id)
    size, digest, version = entry.get("file_size"), entry.get("sha256"), entry["schema_version"]
    if type(size) is not int or not 0 <= size < 1 << 63:
        raise _corrupt(f"file_size of {path} is {size!r:.80}")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise _corrupt(f"sha256 of {path} is {digest!r:.80}")
    if not (version is None or isinstance(version, str)):
        raise _corrupt(f"schema_version of {path} is {version!r:.80}")
    return Artifact(path, size, Digest(digest), version)


def _check_distinct(paths: list[str]) -> None:
    """No two paths that some file system takes for one: equal, equal but for case, or composed otherwise."""
    seen: dict[str, str] = {}
    for path in paths:
        key = folded(path)
        if key in seen:
            raise _corrupt(f"{path!r:.200} and {seen[key]!r:.200} may be one file")
        seen[key] = path


def folded(path: str) -> str:
    """The form in which paths are equal that some file system takes for one."""
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def _corrupt(fault: str) -> StoreCorrupt:
    return StoreCorrupt(f"{INDEX}: {fault}")
