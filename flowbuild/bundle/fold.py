"""What targets make of a run's bundle once it is committed: its promotion, or its summary.

Knows nothing of graphs or terminals. A fold follows from the bundle alone, so it is no action and nothing remembers
it: it is made again when it is not what the bundle says, and left alone when it is.

Shapes:  a fold is given the bundle's directory, where its outputs go by name, and its target's options.
Errors:  StoreError when the bundle is damaged; those of `envelope` for a key.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from flowbuild.bundle.documents import pretty
from flowbuild.bundle.envelope import Signer, open_envelope, private_key
from flowbuild.bundle.layout import SUMMARY, SUMMARY_TEXT
from flowbuild.bundle.op_source import summarize_ops_from_bundle
from flowbuild.bundle.promote import packet_bytes, promotion_packet
from flowbuild.bundle.read import RunBundle, load_bundle
from flowbuild.bundle.sign import promote
from flowbuild.store.files import atomic_write, ensure_directory, refused, remove_tree

Outputs = Mapping[str, Path]
Options = Mapping[str, Any]


class Folded(NamedTuple):
    """What a fold came to: the files that are there now, whether one is new, and why it is not as it should be."""

    paths: tuple[Path, ...]
    is_new: bool
    reasons: tuple[str, ...] = ()
    failed: bool = False


def fold(kind: str, path: Path, outputs: Outputs, options: Options) -> Folded:
    """Make one of a committed bundle."""
    return FOLDS[kind](load_bundle(path), outputs, options)


def _promotion(bundle: RunBundle, outputs: Outputs, options: Options) -> Folded:
    packet = promotion_packet(bundle)
    reasons = tuple(packet["promotability"]["reasons"])
    told, signed = outputs["packet"], outputs.get("statements")
    if reasons and options["require_promotable"]:
        return Folded((), False, reasons, failed=True)
    signer = private_key(Path(options["key"]).expanduser()) if signed else None
    if reasons and signed:
        remove_tree(signed)  # of an earlier run
    kept = (told,) if reasons or not signed else (told, signed)
    is_current = _is_current(told, packet_bytes(packet))
    if is_current and (signed is None or reasons or _is_signed(signed, signer, str(bundle.index_digest))):
        return Folded(kept, False, reasons)
    ensure_directory(told.parent)
    promote(bundle, told, signer, require_promotable=False)
    return Folded(kept, True, reasons)


def _summary(bundle: RunBundle, outputs: Outputs, options: Options) -> Folded:
    path = outputs["summary"]
    data = _SUMMARIES[path.name](bundle)
    if _is_current(path, data):
        return Folded((path,), False)
    ensure_directory(path.parent)
    atomic_write(path, data)
    return Folded((path,), True)


# A test asserts that the rules that ship name these.
FOLDS: Mapping[str, Callable[[RunBundle, Outputs, Options], Folded]] = {"promotion": _promotion, "summary": _summary}


# A test asserts that the rule's formats lead to these.
_SUMMARIES: Mapping[str, Callable[[RunBundle], bytes]] = {
    "summary.md": lambda bundle: bundle.read(SUMMARY_TEXT),
    "summary.json": lambda bundle: bundle.read(SUMMARY),
    "op_summary.json": lambda bundle: pretty(summarize_ops_from_bundle(bundle.out_dir)),
}


def _is_current(path: Path, data: bytes) -> bool:
    with refused(path):
        return path.is_file() and path.read_bytes() == data


def _is_signed(path: Path, signer: Signer, digest: str) -> bool:
    """Whether statements are there that this key signed about this bundle."""
    if not path.is_file():
        return False
    with refused(path):
        lines = path.read_bytes().splitlines()
    opened = [open_envelope(line, [signer.public_key]) for line in lines]
    subjects = [json.loads(one.payload)["subject"] for one in opened if one is not None and one.signed_by]
    return len(subjects) == len(lines) > 0 and all(one[0]["digest"]["sha256"] == digest for one in subjects)
