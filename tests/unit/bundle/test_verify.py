"""Verifying a promotion: it holds in another place, and whatever is missing, changed or not trusted is named."""

from __future__ import annotations

import base64
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("securesystemslib", reason="the extra `sign` is not installed")

from flowbuild.bundle.envelope import new_key, private_key, public_key, sign
from flowbuild.bundle.promote import PACKET
from flowbuild.bundle.read import load_bundle
from flowbuild.bundle.reindex import reindex_bundle
from flowbuild.bundle.sign import promote
from flowbuild.bundle.statement import PREDICATES
from flowbuild.bundle.trust import Trust
from flowbuild.bundle.verify import Verification, verify
from flowbuild.core.errors import BadPath

from .evidence_sample import agreeing, sample
from .sample_bundle import commit, edit, snapshot

STATEMENTS = "promotion_packet.intoto.jsonl"


class Promotion(NamedTuple):
    """A promoted bundle, moved away from where it was made, and the keys of two people."""

    root: Path
    bundle: Path
    key: Any
    other: Any
    keys: Path

    def verify(self, trust: Trust | None = None, key: Any = None, bundle: Path | None = None) -> Verification:
        return verify(self.root / PACKET, [key or self.key], trust or Trust(), bundle)

    def findings(self, trust: Trust | None = None, **how: Any) -> list[str]:
        return [text.replace(f"{self.root}/", "") for text in self.verify(trust, **how).findings]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("keys")
    new_key(place / "mine.key")
    new_key(place / "other.key")
    return place


def promoted(tmp_path: Path, keys: Path, evidence: Any = None) -> Promotion:
    path = commit(tmp_path / "made", evidence)
    signer = private_key(keys / "mine.key")
    promote(load_bundle(path), path.parent / PACKET, signer, require_promotable=False)
    (tmp_path / "made").rename(tmp_path / "moved")
    root = tmp_path / "moved"
    return Promotion(root, root / path.name, public_key(keys / "mine.pub"), public_key(keys / "other.pub"), keys)


@pytest.fixture
def promotion(tmp_path: Path, keys: Path) -> Promotion:
    return promoted(tmp_path, keys)


def test_it_holds_in_another_place(promotion: Promotion) -> None:
    before = snapshot(promotion.root)
    assert promotion.verify() == (promotion.bundle, tuple(sorted(PREDICATES.values())), ())
    assert snapshot(promotion.root) == before


def test_the_bundle_may_lie_elsewhere(promotion: Promotion, tmp_path: Path) -> None:
    promotion.bundle.rename(tmp_path / "elsewhere")
    with pytest.raises(BadPath, match="the bundle is not there") as told:
        promotion.verify()
    assert "--bundle" in told.value.remedy
    assert promotion.findings(bundle=tmp_path / "elsewhere") == []


def lines(root: Path) -> list[bytes]:
    return (root / STATEMENTS).read_bytes().splitlines(keepends=True)


def drop(number: int) -> Callable[[Promotion], None]:
    def change(it: Promotion) -> None:
        kept = lines(it.root)
        del kept[number]
        (it.root / STATEMENTS).write_bytes(b"".join(kept))

    return change


def alter_payload(it: Promotion) -> None:
    """The same signature over another payload."""
    first, *rest = lines(it.root)
    doc = json.loads(first)
    doc["payload"] = base64.b64encode(base64.b64decode(doc["payload"]).replace(b"clean", b"dirty")).decode()
    (it.root / STATEMENTS).write_bytes(b"".join([json.dumps(doc).encode() + b"\n", *rest]))


def add_line(data: bytes) -> Callable[[Promotion], None]:
    return lambda it: (it.root / STATEMENTS).write_bytes(b"".join([*lines(it.root), data, b"\n"]))


def another_subject(it: Promotion) -> None:
    """A rightly signed statement, of another bundle."""
    docs = [json.loads(base64.b64decode(json.loads(line)["payload"])) for line in lines(it.root)]
    docs[0]["subject"][0]["digest"]["sha256"] = "0" * 64
    signer = private_key(it.keys / "mine.key")
    (it.root / STATEMENTS).write_bytes(b"".join(sign(doc, signer) for doc in docs))


def no_statement(it: Promotion) -> None:
    """Rightly signed, but something else."""
    signer = private_key(it.keys / "mine.key")
    (it.root / STATEMENTS).write_bytes(b"".join([*lines(it.root), sign({"a": 1}, signer)]))


def packet(**changes: Any) -> Callable[[Promotion], None]:
    return lambda it: edit(it.root / PACKET, lambda doc: doc.update(changes))


RUN = agreeing().run_id
CHANGES: dict[str, tuple[Callable[[Promotion], object], list[str]]] = {
    "a changed file": (
        lambda it: (it.bundle / "summary.md").write_text("all is well"),
        [f"{RUN}/summary.md: file_size mismatch", f"{RUN}: not promotable: bundle_integrity_unverified"],
    ),
    "a deleted file": (lambda it: (it.bundle / "plan.json").unlink(), [f"{RUN}/plan.json: missing"]),
    "a stray": (
        lambda it: (it.bundle / "more.json").write_text("{}"),
        [f"{RUN}/more.json: a file that is no part of the bundle"],
    ),
    "a repaired bundle": (
        lambda it: ((it.bundle / "summary.md").write_text(""), reindex_bundle(it.bundle, repair=True)),
        ["artifact_index is not what the bundle says", "provenance (https://slsa.dev/provenance/v1): the statement is about another bundle"],
    ),
    "no provenance": (drop(0), [f"{STATEMENTS}: no trusted statement provenance (https://slsa.dev/provenance/v1)"]),
    "no test result": (drop(1), ["no trusted statement test-result"]),
    "no verification": (drop(2), ["no trusted statement svr"]),
    "no statements": (lambda it: (it.root / STATEMENTS).unlink(), [f"{STATEMENTS}: there are no statements", "no trusted statement svr"]),
    "statements that are a directory": (
        lambda it: ((it.root / STATEMENTS).unlink(), (it.root / STATEMENTS).mkdir()),
        [f"{STATEMENTS}: there are no statements"],
    ),
    "another payload": (alter_payload, [f"{STATEMENTS}:1: the signature does not hold", "no trusted statement provenance"]),
    "another subject": (another_subject, ["provenance (https://slsa.dev/provenance/v1): the statement is about another bundle"]),
    "a line of noise": (add_line(b"noise"), [f"{STATEMENTS}:4: not an envelope of a statement"]),
    "too many lines": (add_line(b"\n" * 1000), ["lines are too many"]),
    "no statement inside": (no_statement, ["a signed payload is not an in-toto Statement v1"]),
    "a kinder packet": (
        packet(promotability={"promotable_decision_stage": True, "reasons": [], "gating_inputs": {}}),
        [f"{PACKET}: promotability is not what the bundle says"],
    ),
    "a shorter packet": (lambda it: edit(it.root / PACKET, lambda doc: doc.pop("plan_digest")), ["plan_digest is missing"]),
    "a packet of another path": (packet(runtime_results="../x"), ["runtime_results is not what the bundle says"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_missing_or_changed_is_named(promotion: Promotion, name: str) -> None:
    change, wanted = CHANGES[name]
    change(promotion)
    found = promotion.findings(bundle=promotion.bundle)
    for text in wanted:
        assert any(text in finding for finding in found), found


@pytest.mark.parametrize("name", [PACKET, STATEMENTS])
def test_every_flipped_bit_of_packet_and_statements_is_noticed(promotion: Promotion, name: str) -> None:
    """A seeded sample; the bundle's own bits have a test of theirs."""
    path = promotion.root / name
    good = path.read_bytes()
    for bit in random.Random(11).sample(range(8 * len(good)), 300):
        changed = bytearray(good)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        assert promotion.findings(bundle=promotion.bundle) != [], bit
    path.write_bytes(good)
    assert promotion.findings() == []


def test_a_new_field_of_a_later_packet_is_ignored(promotion: Promotion) -> None:
    packet(later=1)(promotion)
    assert promotion.findings() == []


def test_a_signature_by_another_key_is_named(promotion: Promotion) -> None:
    mine = promotion.key.keyid[:16]
    found = promotion.findings(key=promotion.other)
    assert found[:3] == [
        f"{STATEMENTS}:{n}: the signature is by no key that counts here (key {mine})" for n in (1, 2, 3)
    ]
    assert sum("no trusted statement" in text for text in found) == 3


def test_a_forged_key_id_does_not_hold(promotion: Promotion) -> None:
    """Signed by another key, under the name of the trusted one."""
    docs = [json.loads(base64.b64decode(json.loads(line)["payload"])) for line in lines(promotion.root)]
    forged = [sign(doc, private_key(promotion.keys / "other.key")) for doc in docs]
    swapped = [line.replace(promotion.other.keyid.encode(), promotion.key.keyid.encode()) for line in forged]
    (promotion.root / STATEMENTS).write_bytes(b"".join(swapped))
    assert f"{STATEMENTS}:1: the signature does not hold (key {promotion.key.keyid[:16]})" in promotion.findings()


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"schema_version": "runtime-tools.promotion_packet.v0.1"}', b"[" * 10**5]
)
def test_what_is_no_packet_says_so(promotion: Promotion, data: bytes) -> None:
    (promotion.root / PACKET).write_bytes(data)
    with pytest.raises(BadPath, match="not a packet"):
        promotion.verify()
    assert promotion.findings(bundle=promotion.bundle) == [f"{PACKET}: not a promotion packet"]


@pytest.mark.parametrize("run_id", ["../made", "/etc", ".", "", None, 3, "LATEST"])
def test_a_packet_leads_nowhere_but_beside_itself(promotion: Promotion, run_id: object) -> None:
    packet(run_id=run_id)(promotion)
    with pytest.raises(BadPath, match="not a packet that says which run"):
        promotion.verify()


# Policies


def test_only_keys_that_the_policy_names_count(promotion: Promotion) -> None:
    assert promotion.findings(Trust(key_ids=(promotion.key.keyid,))) == []
    found = promotion.findings(Trust(key_ids=(promotion.other.keyid,)))
    assert found[0] == "none of the given keys counts under this policy"


def test_a_statement_that_the_policy_wants_more_is_missed(promotion: Promotion) -> None:
    wanted = (*PREDICATES.values(), "https://example.com/review/v1")
    assert promotion.findings(Trust(predicates=wanted)) == [
        f"{STATEMENTS}: no trusted statement 'https://example.com/review/v1' about this bundle"
    ]
    drop(2)(promotion)
    assert promotion.findings(Trust(predicates=tuple(PREDICATES.values())[:2])) == []


def test_a_probe_that_differs_needs_the_policy_s_leave(tmp_path: Path, keys: Path) -> None:
    promotion = promoted(tmp_path, keys, sample(channel="clean"))
    found = promotion.findings()
    assert (
        found[0]
        == f"{RUN}/runtime_results.json: staged-only.signal is not as expected, and the policy does not allow it"
    )
    assert sum("is blocked" in text for text in found) == 3
    allowed = frozenset(
        {"staged-only.signal", "no-network.read-outside", "no-network.signal", "no-network.tcp-connect"}
    )
    assert promotion.findings(Trust(mismatches=allowed)) == []


def test_a_channel_needs_the_policy_s_leave(promotion: Promotion) -> None:
    (found,) = promotion.findings(replace(Trust(), channels=("launchd_clean",)))
    assert found == f"{RUN}/run_manifest.json: channel 'clean' is not allowed by the policy"


def test_a_direct_run_is_never_verified(tmp_path: Path, keys: Path) -> None:
    promotion = promoted(tmp_path, keys, agreeing())
    found = promotion.findings(Trust(channels=("direct",), predicates=()))
    assert f"{RUN}: not promotable: not_clean_channel" in found


def test_two_people_may_sign(promotion: Promotion, tmp_path: Path) -> None:
    more = tmp_path / "more"
    shutil.copytree(promotion.bundle, more / promotion.bundle.name)
    promote(
        load_bundle(promotion.bundle), more / PACKET, private_key(promotion.keys / "other.key"), require_promotable=True
    )
    both = (promotion.root / STATEMENTS).read_bytes() + (more / STATEMENTS).read_bytes()
    (more / STATEMENTS).write_bytes(both)
    assert verify(more / PACKET, [promotion.key, promotion.other], Trust()).findings == ()
    alone = verify(more / PACKET, [promotion.key], Trust())
    assert len(alone.findings) == 3 and set(alone.statements) == set(PREDICATES.values())


def test_nothing_that_a_terminal_acts_on_is_told(promotion: Promotion, tmp_path: Path, keys: Path) -> None:
    line = json.loads(lines(promotion.root)[0])
    line["signatures"][0]["keyid"] = "\x1b[2J"
    add_line(json.dumps(line).encode())(promotion)
    assert f"{STATEMENTS}:4: the signature is by no key that counts here (key '\\x1b[2J')" in promotion.findings()
