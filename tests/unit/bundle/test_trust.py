"""The policy of whoever verifies: what may stand in it, and what is wrong with others, each at its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowbuild.bundle.statement import PREDICATES, PROVENANCE
from flowbuild.bundle.trust import Trust, load_trust
from flowbuild.core.errors import BadPath, Faults, FlowError

KEY = "a" * 64


def read(tmp_path: Path, text: str) -> Trust:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    return load_trust(path)


@pytest.mark.parametrize("text", ["", "{}\n", "# nothing\n"])
def test_nothing_said_is_the_strictest(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == Trust()
    assert Trust().predicates == tuple(PREDICATES.values()) and Trust().mismatches == frozenset()


def test_everything_may_be_said(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        f"predicates: [provenance, 'https://example.com/review/v1']\nkeys:\n  - {KEY}\n"
        "channels: [clean]\nmismatches: [sealed.read-host]\n",
    )
    review = "https://example.com/review/v1"
    assert found == Trust((PROVENANCE, review), (KEY,), ("clean",), frozenset({"sealed.read-host"}))


FAULTS = {
    "channel: [clean]\n": "policy.yaml:1:1: a policy has no 'channel'; did you mean 'channels'?",
    "channels: [cleen]\n": "policy.yaml:1:12: 'item' is one of direct, clean, launchd_clean",
    "predicates: [provenence]\n": "policy.yaml:1:14: there is no statement 'provenence'; did you mean 'provenance'?",
    "keys:\n  - abc\n": "policy.yaml:2:5: 'abc' is no key id",
    "mismatches: [sealed]\n": "policy.yaml:1:14: 'sealed' is no probe of a profile; write <profile>.<probe>",
    "predicates: []\n": "policy.yaml:1:1: 'predicates' is empty",
    "keys: []\n": "policy.yaml:1:1: 'keys' is empty",
    "channels: []\n": "policy.yaml:1:1: 'channels' is empty",
    "keys: abc\n": "policy.yaml:1:7: 'keys' is a list",
    "keys: [3]\n": "policy.yaml:1:8:",
    "[]\n": "policy.yaml:1:1: a policy is a mapping",
    "mismatches: ['${{ x }}']\n": "policies hold no expressions",
    "keys: [\n": "policy.yaml:2:1",
    "channels: [clean]\nchannels: [direct]\n": "the key 'channels' is given twice",
}


@pytest.mark.parametrize("text", FAULTS)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, text: str) -> None:
    with pytest.raises(FlowError) as told:
        read(tmp_path, text)
    assert FAULTS[text] in str(told.value).replace(f"{tmp_path}/", ""), str(told.value)
    assert told.value.exit_code == 2


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(Faults) as told:
        read(tmp_path, "chanels: [clean]\nkeys: 3\n")
    assert len(told.value.exceptions) == 2


def test_a_policy_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadPath, match="there is no such policy"):
        load_trust(tmp_path / "none.yaml")
