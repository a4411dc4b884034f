"""Rule files: read, and checked as far as anything can be before a target uses them.

Knows nothing of targets. A rule that loads names only attributes, inputs, outputs and states that it has, and its
states do not wait for one another in a circle.

Shapes:  a file `<name>.rule.yaml` gives a Rule of that name; the form is drawn in `rule`.
Errors:  BadYaml, BadRule, BadAttribute, BadExpression, UnknownName, CycleFound: all at once, each with its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from flowbuild.core.cycle import shortest_cycle
from flowbuild.core.errors import BadRule, CycleFound, Faults, FlowError, UnknownName, raise_all
from flowbuild.core.suggest import did_you_mean
from flowbuild.load.attribute import NAME
from flowbuild.load.attributes import Attribute, Checker
from flowbuild.load.document import Parsed, ParsedFiles, parse_file
from flowbuild.load.position import Pointer, raise_found
from flowbuild.load.rule import UNIVERSAL, Rule, StateTemplate
from flowbuild.load.scope import DEFAULTS, ROOTS, TARGET, Scope, check_names
from flowbuild.load.source import JSON
from flowbuild.load.types import TYPES
from flowbuild.load.workspace import RULE_SUFFIX, RuleFile, Workspace, find_rule_files

_WORD = Attribute("item", "string", literal=True)
_FUNCTION = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*:[A-Za-z_]\w*", re.ASCII)

_RULE: dict[str, Attribute] = {
    "rule": Attribute("rule", "string", "the rule's name", required=True, literal=True),
    "doc": Attribute("doc", "string", default=""),
    "attributes": Attribute("attributes", "map", default={}, literal=True),
    "one_of": Attribute("one_of", "list", default=[], items=_WORD, literal=True),
    "distinct": Attribute("distinct", "list", default=[], items=_WORD, literal=True),
    "test": Attribute("test", "boolean", default=False, literal=True),
    "outputs": Attribute("outputs", "map", default={}),
    "states": Attribute("states", "map", default={}, literal=True),
    "lower": Attribute("lower", "string", literal=True),
}
_ATTRIBUTE: dict[str, Attribute] = {
    "type": Attribute("type", "enum", "what it holds", required=True, values=tuple(sorted(TYPES)), literal=True),
    "doc": Attribute("doc", "string", default=""),
    "default": Attribute("default", "any"),
    "required": Attribute("required", "boolean", default=False, literal=True),
    "values": Attribute("values", "list", default=[], items=_WORD, literal=True),
    "items": Attribute("items", "any"),
    "missing": Attribute("missing", "enum", default="refused", values=("allowed", "refused"), literal=True),
}
_STATE: dict[str, Attribute] = {
    "kind": Attribute("kind", "string", "exec, python, or a step kind of another engine", required=True, literal=True),
    "doc": Attribute("doc", "string", default=""),
    "each": Attribute("each", "map"),
    "when": Attribute("when", "boolean", default=True),
    "with": Attribute("with", "map", default={}),
    "inputs": Attribute("inputs", "map", default={}),
    "outputs": Attribute("outputs", "map", default={}),
    "env": Attribute("env", "env", default={}),
    "secrets": Attribute("secrets", "secrets", default={}),
    "stage": Attribute("stage", "boolean"),
    "timeout": Attribute("timeout", "seconds"),
    "heartbeat_timeout": Attribute("heartbeat_timeout", "seconds"),
    "observes": Attribute("observes", "enum", values=("host",), literal=True),
    "missing": Attribute("missing", "enum", default="refused", values=("allowed", "refused"), literal=True),
    "after": Attribute("after", "list", default=[], items=Attribute("item", "label")),
    "reads": Attribute("reads", "list", default=[], items=Attribute("item", "string")),
    "writes": Attribute("writes", "list", default=[], items=Attribute("item", "string")),
    "snapshot": Attribute("snapshot", "string", default="on_success"),
    "initial": Attribute("initial", "list", default=[], items=Attribute("item", "string")),
    "spawns": Attribute("spawns", "list", default=[], items=Attribute("item", "label")),
    "retry": Attribute("retry", "map"),
    "side_effects": Attribute("side_effects", "string", default="pure"),
    "idempotency_key": Attribute("idempotency_key", "string"),
    "remember": Attribute("remember", "boolean", default=False),
    "pool": Attribute("pool", "string"),
    "tags": Attribute("tags", "list", default=[], items=_WORD, literal=True),
}
_LATER = {
    "states": "name the output in `inputs:` of the state, and use that name",
    "inputs": "inputs are known when the state runs: they stand in `with` and `env`",
    "outputs": "outputs are known when the state runs: they stand in `with` and `env`",
}


def load_rules(
    workspace: Workspace, visited: Callable[[str], None], cache: ParsedFiles | None = None
) -> dict[str, Rule]:
    """Every rule that ships and every rule of the workspace, by name."""
    rules: dict[str, Rule] = {}
    faults: list[FlowError] = []
    for file in find_rule_files(workspace, visited):
        try:
            rule = load_rule(file, cache)
            if rule.name in rules:
                raise BadRule(f"{file.shown}: the rule {rule.name!r} ships with flowbuild", remedy="name it otherwise")
            rules[rule.name] = rule
        except Faults as several:
            faults += several.exceptions  # type: ignore[arg-type]
        except FlowError as fault:
            faults.append(fault)
    raise_all(faults)
    return rules


def load_rule(file: RuleFile, cache: ParsedFiles | None = None) -> Rule:
    """The rule that one file says."""
    try:
        parsed = parse_file(file.path, file.shown, cache)
    except FileNotFoundError:
        raise BadRule(f"{file.shown} is a link to nothing", remedy="remove it, or mend it") from None
    reading = _Reading(file.path.name.removesuffix(RULE_SUFFIX))
    rule = reading.rule(parsed, file.shown)
    raise_found(reading.to.findings, file.path, file.shown)
    return rule


class _Reading:
    """One rule file, read from the top; what is wrong is collected on the way."""

    def __init__(self, stem: str) -> None:
        self.stem = stem
        self.to = Checker("")
        self.attributes: dict[str, Attribute] = {}
        self.states: dict[str, Any] = {}

    def rule(self, parsed: Parsed, shown: str) -> Rule:
        top = self.to.fields(_RULE, parsed.doc, (), "a rule file")
        self.attributes = self._attributes(_mapping(top["attributes"]), ("attributes",))
        self.states = _mapping(top["states"])
        self._check_top(top)
        states = {name: self._state(name, spec) for name, spec in self.states.items()}
        self._check_order(states)
        return Rule(
            name=str(top["rule"]),
            doc=str(top["doc"]).strip(),
            attributes=self.attributes,
            one_of=tuple(map(str, _list(top["one_of"]))),
            distinct=tuple(map(str, _list(top["distinct"]))),
            outputs=top["outputs"],
            states=states,
            lower=top["lower"],
            test=top["test"] is True,
            path=shown,
            digest=parsed.digest,
        )

    def _check_top(self, top: Mapping[str, JSON]) -> None:
        name = top["rule"]
        if type(name) is str and name != self.stem:
            self.to.fault(
                ("rule",), f"the rule is named {name!r} and its file {self.stem!r}", "make the two agree", BadRule
            )
        elif type(name) is str and not NAME.fullmatch(name):
            self.to.fault(("rule",), f"{name!r} is not a name", "small letters, digits and '_'", BadRule)
        if (top["lower"] is None) == (not self.states):
            self.to.fault(("rule",), "a rule has `states`, or `lower` instead of them", "give one of the two", BadRule)
        if type(top["lower"]) is str and not _FUNCTION.fullmatch(top["lower"]):
            self.to.fault(("lower",), f"{top['lower']!r} is not a function", "write package.module:function", BadRule)
        for key in ("one_of", "distinct"):
            for index, known in enumerate(_list(top[key])):
                if known not in self.attributes:
                    remedy = did_you_mean(str(known), self.attributes)
                    self.to.fault((key, index), f"the rule has no attribute {known!r}", remedy, UnknownName)
        self._check_names(top["outputs"], ("outputs",), self._scope("states"))

    def _attributes(self, specs: Mapping[str, JSON], pointer: Pointer) -> dict[str, Attribute]:
        done = {}
        for name, spec in specs.items():
            at = (*pointer, name)
            if name in UNIVERSAL:
                self.to.fault(at, f"every target has {name!r} already", "name it otherwise", BadRule, key=True)
            elif not NAME.fullmatch(name):
                self.to.fault(at, f"{name!r} is not a name", "small letters, digits and '_'", BadRule, key=True)
            done[name] = self._attribute(name, spec, at)
        for name, attribute in done.items():
            if attribute.default is not None:
                self.to.value(attribute, attribute.default, (*pointer, name, "default"))
                check_names(self.to, attribute.default, (*pointer, name, "default"), DEFAULTS, _LATER)
        return done

    def _attribute(self, name: str, spec: JSON, at: Pointer) -> Attribute:
        found = self.to.fields(_ATTRIBUTE, {"type": spec} if type(spec) is str else spec, at, f"the attribute {name!r}")
        kind = found["type"] if found["type"] in TYPES else "any"
        if (kind == "enum") != bool(found["values"]):
            self.to.fault(at, f"{name!r}: `values` belongs to type enum, and enum needs it", "", BadRule, key=True)
        items = None
        if found["items"] is not None:
            if kind not in ("list", "map"):
                self.to.fault((*at, "items"), "only a list and a map have items", "", BadRule, key=True)
            items = self._attribute(name, found["items"], (*at, "items"))
        values = tuple(map(str, _list(found["values"])))
        return Attribute(
            name, kind, str(found["doc"]), found["default"], found["required"] is True, values, items, found["missing"]
        )

    def _state(self, name: str, spec: JSON) -> StateTemplate:
        at: Pointer = ("states", name)
        if not NAME.fullmatch(name):
            self.to.fault(at, f"{name!r} is not a name", "small letters, digits and '_'", BadRule, key=True)
        found = self.to.fields(_STATE, spec, at, f"the state {name!r}")
        variables = self._each(found["each"], found["outputs"], at)
        early = {**self._scope(), **variables}
        ios = {key: _names(found[key]) for key in ("inputs", "outputs")}
        for key, scope in (
            ("when", early),
            ("inputs", {**early, "states": self.states.keys()}),
            ("outputs", early),
            ("with", {**early, **ios}),
            ("env", {**early, **ios}),
            ("secrets", early),
            ("stage", early),
            ("timeout", early),
            ("heartbeat_timeout", early),
            ("pool", early),
            ("after", early),
            ("reads", early),
            ("writes", early),
            ("snapshot", early),
            ("initial", early),
            ("spawns", early),
            ("retry", early),
            ("side_effects", early),
            ("idempotency_key", early),
            ("remember", early),
        ):
            self._check_names(found[key], (*at, key), scope)
        for key in ("inputs", "outputs"):
            for each_name in _mapping(found[key]):
                if not NAME.fullmatch(each_name):
                    self.to.fault((*at, key, each_name), f"{each_name!r} is not a name", "", BadRule, key=True)
        with_ = found.pop("with")
        tags = tuple(map(str, _list(found.pop("tags"))))
        return StateTemplate(name=name, with_=with_, tags=tags, **found)

    def _each(self, each: JSON, outputs: JSON, at: Pointer) -> dict[str, frozenset[str] | None]:
        """The variable of an `each`, and what is known of it: nothing, where outputs with stars say that items are
        known only when the state runs."""
        self._check_names(each, (*at, "each"), self._scope("states"))
        if each is None or type(each) is str:  # the target names the variable
            return {}
        names = list(_mapping(each))
        if len(names) != 1 or not NAME.fullmatch(names[0]) or names[0] in ROOTS:
            problem = "`each` names one variable, and gives its items"
            self.to.fault((*at, "each"), problem, 'write {table: "${{ attr.tables }}"}', BadRule)
            return {}
        items = each[names[0]]
        is_one = type(items) is str and "${{" in items and self.to.is_whole_expression(items)
        if not (type(items) is list or is_one):
            self.to.fault((*at, "each", names[0]), "the items are a list, or one whole expression", "", BadRule)
        return {names[0]: None if "*" in str(outputs) else frozenset({"name", "path", "index"})}

    def _scope(self, *more: str) -> dict[str, Any]:
        scope: dict[str, Any] = {"target": TARGET, "attr": self.attributes.keys(), "params": None}
        return {**scope, "states": self.states.keys()} if more else scope

    def _check_names(self, value: JSON, pointer: Pointer, scope: Scope) -> None:
        for path, at in check_names(self.to, value, pointer, scope, _LATER).items():
            parts = path.split(".")
            if parts[0] != "states" or len(parts) == 1 or parts[1] not in self.states:
                continue
            known = _names(_mapping(self.states[parts[1]]).get("outputs"))
            if len(parts) < 3 or parts[2] != "outputs":
                self.to.fault(at, f"a state has `outputs` and nothing else: {path}", "", BadRule)
            elif len(parts) > 3 and known is not None and parts[3] not in known:
                remedy = did_you_mean(parts[3], known)
                self.to.fault(at, f"the state {parts[1]!r} has no output {parts[3]!r}", remedy, UnknownName)

    def _check_order(self, states: Mapping[str, StateTemplate]) -> None:
        silent = Checker("")
        waits = {
            name: {
                path.split(".")[1]: at
                for path, at in check_names(
                    silent,
                    {"inputs": state.inputs, "each": state.each},
                    (),
                    {"states": None, **dict.fromkeys(ROOTS)},
                    {},
                ).items()
                if path.startswith("states.")
            }
            for name, state in states.items()
        }
        done: set[str] = set()
        while ready := {name for name in waits if name not in done and not (waits[name].keys() & states.keys()) - done}:
            done |= ready
        circle = sorted(states.keys() - done)
        # What only waits for a circle is no part of it.
        while idle := [name for name in circle if not any(name in waits[other] for other in circle)]:
            circle = [name for name in circle if name not in idle]
        if circle:
            found = shortest_cycle(circle, lambda name: (other for other in waits[name] if other in circle))
            edges = [
                f"\n    {name} --{'.'.join(map(str, waits[name][need]))}--> {need}"
                for name, need in zip(found, [*found[1:], found[0]], strict=True)
            ]
            at = ("states", found[0], *waits[found[0]][(found * 2)[1]])
            self.to.fault(
                at, f"these states wait for one another:{''.join(edges)}", "cut one of these edges", CycleFound
            )


def _mapping(value: JSON) -> dict[str, JSON]:
    return value if isinstance(value, dict) else {}


def _list(value: JSON) -> list[JSON]:
    return value if isinstance(value, list) else []


def _names(value: JSON) -> frozenset[str] | None:
    """The names of a mapping; None where an expression stands for it."""
    return frozenset(value) if isinstance(value, dict) else frozenset() if value is None else None
