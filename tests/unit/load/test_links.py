"""Runtime links: listed sorted, resolved as they stand, and absent ones are None."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flowbuild.core.errors import BadAttribute, BadJson, BadPath
from flowbuild.load.links import (
    list_linked_expectations,
    list_linked_profiles,
    load_runtime_links,
    resolve_expectation_link,
    resolve_profile_link,
)

LINKS = {"profiles": {"b": {"digest": "x"}, "a": {}}, "expectations": {"a:read": {"op": 1}}, "meta": {}}


def test_links_are_listed_and_resolved(tmp_path: Path) -> None:
    (tmp_path / "links.json").write_text(json.dumps(LINKS))
    links = load_runtime_links(tmp_path / "links.json")
    assert links == LINKS
    assert list_linked_profiles(links) == ["a", "b"]
    assert list_linked_expectations(links) == ["a:read"]
    assert resolve_profile_link(links, "b") == {"digest": "x"}
    assert resolve_profile_link(links, "c") is None
    assert resolve_expectation_link(links, "a:read") == {"op": 1}
    assert resolve_expectation_link(links, "gone") is None


def test_a_tree_has_its_links_at_its_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "flowbuild.yaml").write_text("")
    (tmp_path / "runtime_links.json").write_text(json.dumps(LINKS))
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    assert load_runtime_links() == LINKS


def test_a_document_without_links_has_none() -> None:
    assert list_linked_profiles({}) == list_linked_expectations({}) == []
    assert resolve_profile_link({"profiles": {"a": 1}}, "a") is None


@pytest.mark.parametrize(
    ("text", "kind"), [("[]", BadAttribute), ('{"profiles": []}', BadAttribute), ("{", BadJson), (None, BadPath)]
)
def test_what_are_no_links_is_refused(tmp_path: Path, text: str | None, kind: type[Exception]) -> None:
    if text is not None:
        (tmp_path / "links.json").write_text(text)
    with pytest.raises(kind):
        load_runtime_links(tmp_path / "links.json")
