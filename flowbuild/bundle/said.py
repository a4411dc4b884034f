"""Whether the last bundle says all that a run would say again.

Knows nothing of what a bundle is about: whoever asks may look at more of it.

Errors:  none: a bundle that can't be read says nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from flowbuild.bundle import layout
from flowbuild.bundle.read import RunBundle, load_bundle
from flowbuild.core.errors import StoreError
from flowbuild.core.event import Domain, from_doc
from flowbuild.store.journal import read


def already_said(
    out_root: Path,
    manifest: Mapping[str, Any],
    keys: Mapping[str, str],
    agrees: Callable[[RunBundle], bool] = lambda bundle: True,
) -> RunBundle | None:
    """The bundle of LATEST, if it loads strictly and records just these actions, by state, with these parameters."""
    if layout.latest(out_root) is None:
        return None
    try:
        bundle = load_bundle(out_root)
        if json.loads(bundle.read(layout.MANIFEST))["input_params"] != manifest["input_params"] or not agrees(bundle):
            return None
        return bundle if dict(_actions(bundle)) == keys else None
    except (StoreError, KeyError, ValueError):
        return None


def _actions(bundle: RunBundle) -> Iterator[tuple[str, str]]:
    """The action key of every state in a bundle's journal."""
    for envelope in read(bundle.out_dir / layout.JOURNAL):
        event = from_doc(envelope["event"])
        if isinstance(event, Domain) and event.name in ("action_bound", "reused"):
            yield event.payload["state_id"], event.payload["action"]
