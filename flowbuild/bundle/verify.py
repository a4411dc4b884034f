"""Verifying a promotion, on any machine and offline: signatures, statements, the packet, then every file.

Knows nothing of the network. It believes nothing that it has not checked: a statement is read after its signature
held, and the packet is made again from the bundle and compared.

Shapes:  Verification: what was verified, and a finding for each thing that is missing, changed or not trusted.
Errors:  BadPath where there is no packet or no bundle; those of `envelope`. All else is a finding.
Source:  in-toto Attestation Framework v1, validation; DESIGN, section 6.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from flowbuild.bundle.envelope import Envelope, Key, open_envelope
from flowbuild.bundle.layout import RUN_MANIFEST, RUNTIME_RESULTS, is_run_id
from flowbuild.bundle.promote import packet_document, promotion_packet, statements_path
from flowbuild.bundle.read import RunBundle, everything_wrong, open_bundle_unverified
from flowbuild.bundle.statement import PREDICATES, STATEMENT, answers
from flowbuild.bundle.trust import Trust
from flowbuild.core.errors import BadPath, StoreError
from flowbuild.store.files import refused

MAX_PACKET = 1 << 20
MAX_STATEMENTS = 64 << 20
MAX_LINES = 1000


class Verification(NamedTuple):
    """What a promotion came to under a policy. Without findings it holds."""

    bundle: Path
    statements: tuple[str, ...]  # the predicate types that hold
    findings: tuple[str, ...]


def verify(packet_path: Path, keys: Sequence[Key], trust: Trust, bundle_path: Path | None = None) -> Verification:
    """Check a packet, the statements beside it and the bundle that they are about."""
    packet = packet_document(_bytes(packet_path, MAX_PACKET, "there is no such packet"))
    where = _bundle(packet_path, packet, bundle_path)
    bundle = open_bundle_unverified(where)
    findings = everything_wrong(bundle)
    findings += _packet_faults(packet_path, packet, bundle)
    signed = list(_signed(packet_path, keys, trust))
    findings += [text for text in signed if isinstance(text, str)]
    held, faults = _statements([one for one in signed if not isinstance(one, str)], bundle)
    findings += faults
    findings += [_absent(kind, packet_path) for kind in trust.predicates if kind not in held]
    findings += _against(bundle, trust)
    return Verification(bundle.out_dir, tuple(sorted(held)), tuple(dict.fromkeys(findings)))


def _bundle(packet_path: Path, packet: dict[str, Any] | None, given: Path | None) -> Path:
    """Where the bundle is: as given, or beside its packet; under its run's id, whatever LATEST names by now."""
    run_id = (packet or {}).get("run_id")
    if not isinstance(run_id, str) or not is_run_id(run_id):
        if given is not None:
            return given
        raise BadPath(f"{packet_path}: not a packet that says which run it is about", remedy="name it with --bundle")
    if given is not None:
        return given / run_id if (given / run_id).is_dir() else given
    if not (packet_path.parent / run_id).is_dir():
        raise BadPath(f"{packet_path.parent / run_id}: the bundle is not there", remedy="say where, with --bundle DIR")
    return packet_path.parent / run_id


def _packet_faults(path: Path, packet: dict[str, Any] | None, bundle: RunBundle) -> Iterator[str]:
    """Where the packet says other things than the bundle."""
    if packet is None:
        yield f"{path}: not a promotion packet"
        return
    made = promotion_packet(bundle)
    for key in sorted(made.keys() | packet.keys()):
        if key not in packet:
            yield f"{path}: {key} is missing"
        elif key in made and packet[key] != made[key] and (bundle.is_verified or key != "promotability"):
            yield f"{path}: {key} is not what the bundle says"
    for reason in made["promotability"]["reasons"]:
        yield f"{bundle.out_dir}: not promotable: {reason}"


def _signed(packet_path: Path, keys: Sequence[Key], trust: Trust) -> Iterator[Envelope | str]:
    """The envelopes that a trusted key signed; a finding for each of the others."""
    path = statements_path(packet_path)
    counted = [key for key in keys if trust.key_ids is None or key.keyid in trust.key_ids]
    if not counted:
        yield "none of the given keys counts under this policy"
    try:
        lines = _bytes(path, MAX_STATEMENTS, "there are no statements").splitlines()
    except BadPath as error:
        yield error.message
        return
    if len(lines) > MAX_LINES:
        yield f"{path}: {len(lines)} lines are too many"
        return
    for number, line in enumerate(lines, 1):
        found = open_envelope(line, counted)
        if found is None:
            yield f"{path}:{number}: not an envelope of a statement"
        elif not found.signed_by:
            known = {key.keyid for key in counted}
            named = ", ".join(_shown(one[:16]) for one in found.key_ids) or "nobody"
            is_known = any(one in known for one in found.key_ids)
            why = "does not hold" if is_known else "is by no key that counts here"
            yield f"{path}:{number}: the signature {why} (key {named})"
        else:
            yield found


def _statements(envelopes: Sequence[Envelope], bundle: RunBundle) -> tuple[set[str], list[str]]:
    """The predicate types of the statements that are about this bundle, and what is wrong with the others."""
    held, faults = set(), []
    for envelope in envelopes:
        try:
            doc = json.loads(envelope.payload)
            kind, subjects = str(doc["predicateType"]), [one["digest"].get("sha256") for one in doc["subject"]]
            is_statement = doc["_type"] == STATEMENT and isinstance(doc["predicate"], dict)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            faults.append("a signed payload is not an in-toto Statement v1")
            continue
        if not is_statement:
            faults.append(f"{_name(kind)}: not an in-toto Statement v1")
        elif bundle.index_digest is None or bundle.index_digest not in subjects:
            faults.append(f"{_name(kind)}: the statement is about another bundle, or this one's index changed")
        else:
            held.add(kind)
    return held, faults


def _against(bundle: RunBundle, trust: Trust) -> Iterator[str]:
    """What the policy does not allow of the run itself."""
    channel = (bundle.run_manifest or {}).get("channel")
    if channel not in trust.channels:
        yield f"{bundle.out_dir / RUN_MANIFEST}: channel {channel!r:.40} is not allowed by the policy"
    try:
        found = answers(bundle)
    except StoreError as error:
        yield error.message
        return
    for what, names in (("not as expected", found.failed), ("blocked", found.warned)):
        for name in names:
            if name not in trust.mismatches:
                yield f"{bundle.out_dir / RUNTIME_RESULTS}: {_shown(name)} is {what}, and the policy does not allow it"


def _absent(kind: str, packet_path: Path) -> str:
    return f"{statements_path(packet_path)}: no trusted statement {_name(kind)} about this bundle"


def _name(kind: str) -> str:
    short = next((word for word, uri in PREDICATES.items() if uri == kind), None)
    return f"{short} ({kind})" if short else repr(kind)[:200]


def _shown(text: str) -> str:
    """A text that anybody may have written, without what a terminal would act on."""
    return text if text.isprintable() else repr(text)


def _bytes(path: Path, most: int, absent: str) -> bytes:
    with refused(path):
        try:
            if not path.is_file():
                raise FileNotFoundError
            with path.open("rb") as file:
                data = file.read(most + 1)
        except FileNotFoundError:
            raise BadPath(f"{path}: {absent}", remedy="`flowbuild bundle promote` makes both") from None
    if len(data) > most:
        raise BadPath(f"{path}: more than {most} bytes")
    return data
