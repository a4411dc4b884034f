"""Statements and their signatures, held against the official bindings and the `openssl` program."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("securesystemslib", reason="the extra `sign` is not installed")

from flowbuild.bundle.envelope import PAYLOAD_TYPE, new_key, open_envelope, private_key, public_key, sign
from flowbuild.bundle.promote import PACKET, promotion_packet
from flowbuild.bundle.read import load_bundle
from flowbuild.bundle.sign import promote
from flowbuild.bundle.statement import PREDICATES, PROVENANCE, SVR, TEST_RESULT, answers, statements
from flowbuild.core.canonical import canonical, sha256
from flowbuild.core.errors import BadPath, CapabilitiesMismatch, NotPromotable, StoreCorrupt

from .evidence_sample import agreeing, sample
from .sample_bundle import commit, edit, snapshot

NOON = 1795262400  # 21 Nov 2026, 12:00 UTC


def documents(path: Path) -> dict[str, dict[str, Any]]:
    bundle = load_bundle(path)
    found = statements(bundle, promotion_packet(bundle), NOON)
    return {doc["predicateType"]: doc for doc in found}


def test_the_official_bindings_read_every_statement(tmp_path: Path) -> None:
    from google.protobuf.json_format import ParseDict
    from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
    from in_toto_attestation.predicates.test_result.v0.test_result_pb2 import TestResult
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement

    path = commit(tmp_path, sample(channel="clean"))
    found = documents(path)
    assert set(found) == set(PREDICATES.values())
    for doc in found.values():
        statement = Statement.copy_from_pb(ParseDict(doc, statement_pb2.Statement()))
        statement.validate()
        assert statement.pb.subject[0].digest["sha256"] == sha256((path / "artifact_index.json").read_bytes())
    # Unknown fields, and values of other types, are refused by these.
    provenance = ParseDict(found[PROVENANCE]["predicate"], Provenance())
    assert provenance.run_details.metadata.finished_on.seconds == 1795255004
    assert provenance.build_definition.external_parameters["label"] == "//e:run"
    result = ParseDict(found[TEST_RESULT]["predicate"], TestResult())
    assert (result.result, list(result.failed_tests)) == ("FAILED", ["staged-only.signal"])
    assert list(result.warned_tests) == ["no-network.read-outside", "no-network.signal", "no-network.tcp-connect"]


def test_dependencies_are_what_was_run_under_their_digests(tmp_path: Path) -> None:
    path = commit(tmp_path)
    definition = documents(path)[PROVENANCE]["predicate"]["buildDefinition"]
    named = {one["name"]: one["digest"]["sha256"] for one in definition["resolvedDependencies"]}
    assert {"plan.json", "probes.json", "profiles.json", "profiles/staged-only.json"} <= set(named)
    assert all(sha256((path / name).read_bytes()) == digest for name, digest in named.items())


def test_a_verification_lists_what_holds(tmp_path: Path) -> None:
    svr = documents(commit(tmp_path / "a"))[SVR]["predicate"]
    assert svr["timeCreated"] == "2026-11-21T12:00:00Z" and svr["verifier"]["policies"] == []
    assert svr["properties"][-2:] == ["FLOWBUILD_PROMOTABLE_DECISION_STAGE", "FLOWBUILD_EVERY_PROBE_AS_EXPECTED"]
    svr = documents(commit(tmp_path / "b", sample(channel="clean")))[SVR]["predicate"]
    assert svr["properties"][-1] == "FLOWBUILD_PROMOTABLE_DECISION_STAGE"
    svr = documents(commit(tmp_path / "c", agreeing()))[SVR]["predicate"]
    assert not {"FLOWBUILD_CLEAN_CHANNEL", "FLOWBUILD_PROMOTABLE_DECISION_STAGE"} & set(svr["properties"])


@pytest.mark.parametrize(
    "results",
    ["[]", "3", '{"p": {}}', '{"p": {"probes": [{"match": 1.5, "name": "x"}]}}', '{"p": {"probes": [{"match": []}]}}'],
)
def test_results_of_another_shape_are_refused(tmp_path: Path, results: str) -> None:
    path = commit(tmp_path)
    (path / "runtime_results.json").write_text(results)

    def index(doc: dict[str, Any]) -> None:
        row = next(row for row in doc["artifacts"] if row["path"] == "runtime_results.json")
        row.update(sha256=sha256(results.encode()), file_size=len(results))

    edit(path / "artifact_index.json", index)
    with pytest.raises(StoreCorrupt, match="not the results of a run"):
        answers(load_bundle(path))


# Signatures


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("keys")
    new_key(place)
    new_key(place / "other.key")
    return place


def test_a_signed_payload_is_canonical_and_opens_with_its_key_alone(keys: Path) -> None:
    doc = {"b": 1, "a": [None, True, "é"]}
    line = sign(doc, private_key(keys / "flowbuild.key"))
    assert line.endswith(b"\n") and b"\n" not in line[:-1]
    assert base64.b64decode(json.loads(line)["payload"]) == canonical(doc)
    mine, other = public_key(keys / "flowbuild.pub"), public_key(keys / "other.pub")
    opened = open_envelope(line, [other, mine])
    assert opened is not None and (opened.payload, opened.signed_by) == (canonical(doc), (mine.keyid,))
    assert open_envelope(line, [other]).signed_by == ()
    assert sign(doc, private_key(keys / "flowbuild.key")) == line  # nothing in it is random


def test_openssl_verifies_the_same_signature(keys: Path, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl")
    path = commit(tmp_path)
    done = promote(load_bundle(path), tmp_path / PACKET, private_key(keys / "flowbuild.key"), require_promotable=True)
    assert done.statements is not None
    lines = done.statements.read_bytes().splitlines()
    assert len(lines) == 3
    for line in lines:
        envelope = json.loads(line)
        payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
        # DSSE's pre-authentication encoding, written out anew.
        signed = b"DSSEv1 " + b" ".join([str(len(kind)).encode(), kind, str(len(payload)).encode(), payload])
        (tmp_path / "signed").write_bytes(signed)
        (tmp_path / "signature").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
        words = [openssl, "pkeyutl", "-verify", "-pubin", "-inkey", str(keys / "flowbuild.pub"), "-rawin"]
        words += ["-in", str(tmp_path / "signed"), "-sigfile", str(tmp_path / "signature")]
        said = subprocess.run(words, capture_output=True, text=True)
        if "not supported" in said.stderr:
            pytest.skip(f"this openssl does not know ed25519: {said.stderr.splitlines()[0]}")
        assert (said.returncode, kind.decode()) == (0, PAYLOAD_TYPE), said
        (tmp_path / "signed").write_bytes(signed.replace(b"PASSED", b"FAILED").replace(b"clean", b"dirty"))
        changed = subprocess.run(words, capture_output=True, text=True)
        assert (changed.returncode == 0) is (signed == (tmp_path / "signed").read_bytes())


ODD_LINES: list[bytes] = [
    b"", b"{", b"[]", b"3", b"{}", b'{"payload": 3}', b'{"payload": "!", "payloadType": "x", "signatures": []}',
    b'{"payload": "e30=", "payloadType": "x", "signatures": []}', b"[" * 100_000, b"\xff",
    b'{"payload": "e30=", "payloadType": "application/vnd.in-toto+json", "signatures": 3}',
    b'{"payload": "e30=", "payloadType": "application/vnd.in-toto+json", "signatures": [{}]}',
    b'{"payload": "e30=", "payloadType": "application/vnd.in-toto+json", "signatures": [{"keyid": "a", "sig": "e30="}, {"keyid": "a", "sig": "e30="}]}',
]  # fmt: skip


@pytest.mark.parametrize("line", ODD_LINES, ids=range(len(ODD_LINES)))
def test_what_is_no_envelope_opens_to_nothing(keys: Path, line: bytes) -> None:
    assert open_envelope(line, [public_key(keys / "flowbuild.pub")]) is None


@pytest.mark.parametrize("signature", ["", "AA==", "A" * 88])
def test_a_signature_of_the_right_key_that_is_none_does_not_hold(keys: Path, signature: str) -> None:
    key = public_key(keys / "flowbuild.pub")
    doc = json.loads(sign({}, private_key(keys / "flowbuild.key")))
    doc["signatures"][0]["sig"] = signature
    opened = open_envelope(json.dumps(doc).encode(), [key])
    assert opened is not None and (opened.key_ids, opened.signed_by) == ((key.keyid,), ())


def test_nothing_is_signed_about_what_is_not_promotable(keys: Path, tmp_path: Path) -> None:
    path, signer = commit(tmp_path, agreeing()), private_key(keys / "flowbuild.key")
    before = snapshot(tmp_path)
    with pytest.raises(NotPromotable):
        promote(load_bundle(path), tmp_path / PACKET, signer, require_promotable=True)
    assert snapshot(tmp_path) == before
    done = promote(load_bundle(path), tmp_path / PACKET, signer, require_promotable=False)
    assert done.statements is None and set(snapshot(tmp_path)) - set(before) == {PACKET}


# Keys


def test_a_new_pair_is_for_its_owner_and_never_overwritten(tmp_path: Path) -> None:
    made = new_key(tmp_path)
    assert (made.private, made.public) == (tmp_path / "flowbuild.key", tmp_path / "flowbuild.pub")
    assert made.private.stat().st_mode & 0o777 == 0o600 and made.public.stat().st_mode & 0o777 == 0o644
    assert made.key_id == public_key(made.public).keyid == private_key(made.private).public_key.keyid
    before = snapshot(tmp_path)
    with pytest.raises(BadPath, match="is there already"):
        new_key(tmp_path)
    made.private.unlink()
    with pytest.raises(BadPath, match=r"flowbuild\.pub is there already"):
        new_key(tmp_path)
    assert set(snapshot(tmp_path)) == set(before) - {"flowbuild.key"}
    with pytest.raises(BadPath, match="there is no such directory"):
        new_key(tmp_path / "none/k")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(BadPath, match="is there already"):
        new_key(tmp_path / "link")


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    made = new_key(tmp_path / "mine")
    made.private.chmod(0o640)
    with pytest.raises(BadPath, match="others may read") as told:
        private_key(made.private)
    assert told.value.remedy == f"chmod 600 {made.private}"


def test_what_is_no_key_is_refused_without_a_word_of_it(keys: Path, tmp_path: Path) -> None:
    secret = (keys / "flowbuild.key").read_text().splitlines()[1]
    odd = tmp_path / "odd"
    odd.write_text(f"-----BEGIN PRIVATE KEY-----\n{secret[:-3]}\n-----END PRIVATE KEY-----\n")
    odd.chmod(0o600)
    for read in (private_key, public_key):
        with pytest.raises(BadPath) as told:
            read(odd)
        assert secret[:10] not in told.value.report()
        for path in (tmp_path, tmp_path / "none", tmp_path / "odd/below"):
            with pytest.raises(BadPath):
                read(path)
    with pytest.raises(BadPath, match="not a public"):
        public_key(keys / "flowbuild.key")


def test_a_key_of_another_kind_is_refused_by_its_name(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    path = tmp_path / "ec.key"
    path.touch(0o600)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    with pytest.raises(BadPath, match="not a private ed25519 key") as told:
        private_key(path)
    assert "PrivateKey" in told.value.remedy


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] in ("securesystemslib", "cryptography"):
            monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(CapabilitiesMismatch, match="the extra `sign` is missing") as told:
        new_key(tmp_path)
    assert told.value.remedy == "pip install 'flowbuild[sign]'" and list(tmp_path.iterdir()) == []
