"""The pages about promotions and the code say the same."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest
from test_docs import fence, page, rows

from flowbuild.bundle.promote import packet_bytes, packet_document, promotion_packet, reasons
from flowbuild.bundle.read import open_bundle_unverified
from flowbuild.bundle.statement import PREDICATES, STATEMENT, SVR, statements
from flowbuild.bundle.trust import SETTINGS, load_trust
from flowbuild.core.canonical import canonical
from tests.unit.bundle.sample_bundle import commit


def test_the_packet_s_example_has_the_fields_of_a_packet(tmp_path: Path) -> None:
    data = fence("promotion-packet", "json")
    packet = packet_document(data)
    assert packet is not None and packet_bytes(packet) == data
    made = promotion_packet(open_bundle_unverified(commit(tmp_path)))
    assert packet.keys() == made.keys() and packet["promotability"] == made["promotability"]
    told = " ".join(row[0] for row in rows(page("docs/formats/promotion-packet.md"), "field"))
    assert [key for key in packet if f"`{key}`" not in told] == []


def test_every_reason_is_told(tmp_path: Path) -> None:
    told = {row[0].strip("`") for row in rows(page("docs/formats/promotion-packet.md"), "reason")}
    (tmp_path / "empty").mkdir()
    found = set(reasons(open_bundle_unverified(tmp_path / "empty")))
    assert found < told and len(told) == 11


def test_the_statements_are_told(tmp_path: Path) -> None:
    text = page("docs/formats/attestations.md")
    assert {row[0].strip("`"): row[1].strip("`") for row in rows(text, "statement")} == PREDICATES
    bundle = open_bundle_unverified(commit(tmp_path))
    found = {doc["predicateType"]: doc["predicate"] for doc in statements(bundle, promotion_packet(bundle), 0)}
    assert {row[0].strip("`") for row in rows(text, "property")} == set(found[SVR]["properties"])


def test_the_statement_s_example_is_an_envelope() -> None:
    (line,) = fence("attestations", "jsonl").splitlines()
    envelope = json.loads(line)
    assert canonical(envelope) == line
    payload = base64.b64decode(envelope["payload"], validate=True)
    statement = json.loads(payload)
    assert (canonical(statement), statement["_type"]) == (payload, STATEMENT)
    assert statement["predicateType"] in PREDICATES.values()


def test_the_policy_s_example_is_a_policy(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_bytes(fence("verify-policy", "yaml"))
    trust = load_trust(tmp_path / "policy.yaml")
    assert len(trust.predicates) == 2 and trust.mismatches == {"sealed.signal-parent"}
    assert {row[0].strip("`") for row in rows(page("docs/formats/verify-policy.md"), "setting")} == set(SETTINGS)


@pytest.mark.parametrize("name", ["promotion-packet", "attestations", "verify-policy"])
def test_a_format_s_page_says_what_a_reader_does(name: str) -> None:
    assert re.search(r"^## (What a reader does|Example)$", page(f"docs/formats/{name}.md"), re.M)
