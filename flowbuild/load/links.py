"""Runtime links: which profiles and expectations have evidence, and where it leads.

Knows nothing of what a link is about: each is an object of its own, told as it stands.

Shapes:  {"profiles": {id: {}}, "expectations": {id: {}}}; other keys are left alone.
Errors:  BadJson, BadAttribute for a document that is none; BadPath when it is not there.
Source:  seed 003, runtime links.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flowbuild.core.errors import BadAttribute, BadPath, raise_all
from flowbuild.load.strict_json import read_json
from flowbuild.load.tree import root_of

LINKS = "runtime_links.json"
_PARTS = ("profiles", "expectations")

Doc = dict[str, Any]


def load_runtime_links(path: Path | str | None = None) -> Doc:
    """The links in a file; without a path those of the tree's root, `runtime_links.json`."""
    file = Path(path) if path is not None else root_of(Path.cwd()) / LINKS
    try:
        document = read_json(file, str(file))
    except FileNotFoundError:
        raise BadPath(f"there are no runtime links in {file}") from None
    doc = document.value
    if not isinstance(doc, dict):
        raise document.fault(BadAttribute, (), "runtime links are an object")
    raise_all(
        document.fault(BadAttribute, (part,), f"`{part}` is an object of ids")
        for part in _PARTS
        if not isinstance(doc.get(part, {}), dict)
    )
    return doc


def list_linked_profiles(links_doc: Mapping[str, Any]) -> list[str]:
    """The ids of profiles that have a link, sorted."""
    return sorted(links_doc.get("profiles") or {})


def list_linked_expectations(links_doc: Mapping[str, Any]) -> list[str]:
    """The ids of expectations that have a link, sorted."""
    return sorted(links_doc.get("expectations") or {})


def resolve_profile_link(links_doc: Mapping[str, Any], profile_id: str) -> Doc | None:
    """The link of a profile, if there is one."""
    return _link(links_doc, "profiles", profile_id)


def resolve_expectation_link(links_doc: Mapping[str, Any], expectation_id: str) -> Doc | None:
    """The link of an expectation, if there is one."""
    return _link(links_doc, "expectations", expectation_id)


def _link(links_doc: Mapping[str, Any], part: str, wanted: str) -> Doc | None:
    found = (links_doc.get(part) or {}).get(wanted)
    return found if isinstance(found, dict) else None
