"""What looks like a secret, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from flowbuild.core.secrets import MARKS, find_secret, looks_secret

PHRASE = " ".join(["abandon"] * 11 + ["about"])


@pytest.mark.parametrize("text", ["password=123", "MNEMONIC", "private_key", "seed phrase: ...", "AWS_SECRET_ACCESS_KEY=x", PHRASE, "Authorization: Bearer x", *MARKS])  # fmt: skip
def test_secrets_are_seen(text: str) -> None:
    assert looks_secret(text)


@pytest.mark.parametrize(
    "text",
    [
        "artifact_written",
        "seeding_database",
        "bearer",  # without the space it is a word
        " ".join(["abandon"] * 11),
        " ".join(["abandon"] * 25),
        PHRASE.capitalize(),
        PHRASE + ".",
        PHRASE.replace("about", "ab0ut"),
    ],
)
def test_other_texts_are_not(text: str) -> None:
    assert not looks_secret(text)


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        ({"a": [1, {"api_key": 3}]}, "/a/1/api_key"),
        ({"a": {"b": "my password"}}, "/a/b"),
        ("token: Bearer x", ""),
        ([None, True, 3, "plain"], None),
        ({"a": {}}, None),
    ],
)
def test_a_value_is_searched_through(value: Any, pointer: str | None) -> None:
    assert find_secret(value) == pointer
