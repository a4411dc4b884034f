"""A lost memo, folded anew from journals: what they say was performed and kept, and what the store still has.

Knows nothing of labels or of disks but the journals that it is given. A bundle may have been brought here from
elsewhere, so nothing that is folded counts as made by another channel than `direct`: `clean` performs it anew. A deed
is not to be done twice: it has the channel of its run, if the store still has that run's manifest.

Errors:  none: what can't be read is not remembered.
Source:  DESIGN, section 1, primary stores.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from flowbuild.core.canonical import Digest
from flowbuild.core.errors import StoreError
from flowbuild.run.channel import ChannelName
from flowbuild.run.idempotent import DOCUMENT
from flowbuild.run.start import manifest_of
from flowbuild.run.story import PERFORMED, Story, Told
from flowbuild.run.story import story as strict
from flowbuild.store.cas import Cas
from flowbuild.store.journal import read
from flowbuild.store.memo import Memo, Record
from flowbuild.store.tree import Artifact, intact


def rebuild(memo: Memo, cas: Cas, journals: Iterable[Path], *, writes: bool = True) -> int:
    """Let the memo know what it doesn't, the newest run first, and say how many records those are."""
    known, found = len(memo), list(records(cas, journals))
    if writes:
        memo.append([record for record in found if memo.lookup(record.action) is None])
        memo.compact()  # one that holds nothing is there from now on, and is not looked for again
    else:
        memo.learn(found)
    return len(memo) - known


def records(cas: Cas, journals: Iterable[Path]) -> Iterator[Record]:
    """What runs came to that the store still holds, the newest run first."""
    stories = []
    for path in journals:
        try:
            stories.append(strict(read(path)))
        except StoreError:
            continue
    for story in sorted(stories, key=lambda story: story.started_ms or 0, reverse=True):
        for told in story.states.values():
            channel = _channel(story, cas) if told.deed else ChannelName.DIRECT
            for record in (*_items(told, story.run_id, channel), _record(told, story.run_id, channel)):
                if record is not None and all(intact(cas, artifact) for artifact in record.outputs.values()):
                    yield record


def _channel(story: Story, cas: Cas) -> ChannelName:
    try:
        return ChannelName(manifest_of(story, cas)["input_params"].get("channel"))
    except (StoreError, ValueError):
        return ChannelName.DIRECT


def _items(told: Told, run_id: str, channel: ChannelName) -> Iterator[Record]:
    """The children of a fan-out, but for deeds of which an earlier version did not say what each was. A deed that was
    killed between the memo and the journal is told of as reused, and by nobody else."""
    for key, item in told.items.items():
        is_known = item.completed if item.document is not None else item.how == PERFORMED and not told.deed
        with suppress(StoreError):
            if is_known and item.remembered:
                outputs = item.outputs | _noted(item.document)
                yield Record(Digest(key), channel, outputs, run_id, 0)


def _record(told: Told, run_id: str, channel: ChannelName) -> Record | None:
    if told.action is None or told.open or told.how != PERFORMED or not told.remembered:
        return None
    try:
        outputs = {name: Artifact.from_doc(doc) for name, doc in told.written.items()} | _noted(told.document)
    except StoreError:
        return None
    if {name: outputs[name].sha256 for name in told.written} != told.outputs:
        return None
    return Record(told.action, channel, outputs, run_id, 0)


def _noted(document: Mapping[str, Any] | None) -> dict[str, Artifact]:
    """What a record of a deed holds beside its outputs: see `idempotent`."""
    return {DOCUMENT: Artifact.from_doc(document)} if document is not None else {}
