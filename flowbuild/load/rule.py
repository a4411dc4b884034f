"""Rules: what a kind of target is, as data.

Knows nothing of targets. A rule file is one document:

    rule: markdown_report              # the file's own name, before .rule.yaml
    doc: One section for each table.   # what `flowbuild describe` prints
    attributes:                        # beside those that every target has: rule, doc, params, tags
      tables: {type: inputs, required: true, doc: The tables., default: ..., items: ..., values: [...]}
    one_of: [command, script]          # exactly one of these attributes is given
    distinct: [inputs, outputs, with]  # no name stands in two of these mappings
    test: true                         # runs under `flowbuild test`, or when it is named
    outputs: {page: "${{ states.page.outputs.page }}"}     # what other targets see
    states:
      page: {kind: exec, with: {...}, inputs: {...}, outputs: {...}, each: ..., when: ..., env: ..., ...}
    lower: package.module:function     # instead of `states`: what can't be said in YAML

Where a mapping is asked for (`outputs`, and `with`, `inputs`, `outputs`, `env` of a state), one whole expression may
stand for all of it: `inputs: "${{ attr.inputs }}"`. What an expression gives may hold expressions itself: those of a
target's own command are rendered last, when the inputs are known. A value of `with` that comes to null is left out.

Shapes:  Rule, StateTemplate, and Attribute of `types`.
Errors:  those of `rulefile`; every fault of every rule file at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flowbuild.core.canonical import Digest
from flowbuild.load.attribute import Attribute
from flowbuild.load.expression import names_in
from flowbuild.load.source import JSON

UNIVERSAL: dict[str, Attribute] = {
    "rule": Attribute("rule", "string", "The rule that the target is made by.", required=True, literal=True),
    "doc": Attribute("doc", "string", "What the target is, for people.", default=""),
    "params": Attribute("params", "map", "Values that `--set name=value` changes.", default={}, literal=True),
    "tags": Attribute(
        "tags",
        "list",
        "Words to select targets by.",
        default=[],
        items=Attribute("tag", "string", literal=True),
        literal=True,
    ),
}


@dataclass(frozen=True, slots=True)
class StateTemplate:
    """One state of a rule, or with `each` one for every item. Mappings may be one whole expression instead."""

    name: str
    kind: str
    doc: str
    each: Mapping[str, JSON] | str | None
    when: JSON
    with_: Mapping[str, JSON] | str
    inputs: Mapping[str, JSON] | str
    outputs: Mapping[str, JSON] | str
    env: Mapping[str, JSON] | list[str] | str
    secrets: Mapping[str, JSON] | str
    stage: bool | str | None
    timeout: float | str | None
    heartbeat_timeout: float | str | None
    observes: str | None
    missing: str
    pool: str | None
    snapshot: str
    retry: JSON
    side_effects: str
    idempotency_key: str | None
    remember: bool | str
    tags: tuple[str, ...]
    after: JSON
    reads: JSON
    writes: JSON
    initial: JSON
    spawns: JSON


@dataclass(frozen=True, slots=True)
class Rule:
    """A kind of target. It has states, or a function that lowers it."""

    name: str
    doc: str
    attributes: Mapping[str, Attribute]
    one_of: tuple[str, ...]
    distinct: tuple[str, ...]
    outputs: Mapping[str, JSON] | str
    states: Mapping[str, StateTemplate]
    lower: str | None
    test: bool
    path: str
    digest: Digest

    @property
    def each_attributes(self) -> frozenset[str]:
        """The attributes in which a target names its items itself."""
        texts = [template.each for template in self.states.values() if isinstance(template.each, str)]
        return frozenset(name.split(".")[1] for text in texts for name in names_in(text) if name.startswith("attr."))
