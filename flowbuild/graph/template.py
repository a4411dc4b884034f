"""Lowering by templates: a rule's `states:` filled in for one target.

Knows nothing of digests or engines, and leaves to `kinds` what each kind of state is asked.

Approach: attributes become values (files for `inputs`, rendered text for the rest; commands stay text, since their
words are split before they are rendered). Then each state template in turn: `when`, `each`, inputs, outputs, `with`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from flowbuild.core.errors import BadAttribute, BadRule, FlowError
from flowbuild.core.retry import Retry, read_retry
from flowbuild.core.suggest import did_you_mean
from flowbuild.graph.fan import STAR, Fan, Filled
from flowbuild.graph.fan_template import directories, has_star, items_input, variable_of
from flowbuild.graph.handed import after, check_heartbeat, check_keys, keys, snapshots
from flowbuild.graph.hints import hints
from flowbuild.graph.inlined import check_inline
from flowbuild.graph.kinds import KINDS, Common, handler_code, is_late, late, plain, rendered, template_text
from flowbuild.graph.scope import FILES, Scope, as_inputs, holds
from flowbuild.graph.spawned import check_spawns, spawns
from flowbuild.graph.state import APPLY, READ_ONLY_IO, Built, File, Input, Product, Source, State, seen_from
from flowbuild.load.attributes import expressions, render_attribute
from flowbuild.load.expression import render
from flowbuild.load.rule import StateTemplate
from flowbuild.load.types import TYPES


def lower_templates(scope: Scope) -> Built:
    """A target of a rule whose states are written in YAML."""
    scope.may_miss = any(template.missing == "allowed" for template in scope.rule.states.values())
    resolve_attributes(scope)
    names = scope.names()
    states: dict[str, Any] = {}
    names["states"] = states
    for template in scope.rule.states.values():
        if template.when is not None and not rendered(scope, template.when, names):
            continue
        states[template.name] = {"outputs": _made(scope, template, names)}
    shown = rendered(scope, scope.rule.outputs, names)
    return scope.finish(as_inputs(shown))


def resolve_attributes(scope: Scope) -> None:
    """Fill `scope.attr`: files for attributes that name files, the rendered value for the others."""
    names = scope.names()  # holds `scope.attr` itself
    for name, attribute in scope.rule.attributes.items():
        value = scope.target.attrs.get(name)
        try:
            if any(expressions(value, ())) and not is_late(value, scope.items):  # the others are in their normal form
                value = render_attribute(attribute, value, names, scope.package)
                # The items of a plain map or list have no type that would have rendered them.
                value = value if TYPES[attribute.type].splits else render(value, names)
        except FlowError as error:
            raise scope.fault(error, name) from None
        scope.attr[name] = scope.files(value, name) if value is not None and holds(attribute, FILES) else value


def _made(scope: Scope, template: StateTemplate, names: Mapping[str, Any]) -> dict[str, Any]:
    """Make a template's states. What expressions see of their outputs: a file, or with `each` over files that are
    known the list of them in item order."""
    each = template.each if isinstance(template.each, Mapping) else rendered(scope, template.each, names)
    if not each:
        return _shown(scope, _state(scope, template, names))
    variable, source = variable_of(scope, each)
    items = rendered(scope, source, names)
    outputs = rendered(scope, template.outputs, names) if isinstance(template.outputs, str) else template.outputs
    if isinstance(template.each, str) or has_star(outputs):
        return _shown(scope, _state(scope, template, names, fanned=(variable, items)))
    made = [
        _state(scope, template, {**names, variable: item}, item.name if isinstance(item, File) else str(item))
        for item in (items if isinstance(items, list) else [items])
    ]
    found = dict.fromkeys(name for number in made for name in scope.states[number].outputs)
    if not made and isinstance(template.outputs, Mapping):  # no items: every list is there, and empty
        found = dict.fromkeys(template.outputs)
    return {name: [scope.product(number, name) for number in made] for name in found}


def _shown(scope: Scope, number: int) -> dict[str, Any]:
    return {name: scope.product(number, name) for name in scope.states[number].outputs}


class _Work(NamedTuple):
    """What is asked of a state, and what it makes; with items, its fan-out and the input that holds them."""

    filled: Filled
    outputs: Mapping[str, str]
    fan: Fan | None = None
    held: Mapping[str, Input] = {}


def _state(
    scope: Scope,
    template: StateTemplate,
    names: Mapping[str, Any],
    suffix: str = "",
    fanned: tuple[str, Any] | None = None,
) -> int:
    """Make one state. `fanned` is the variable of its items, and what they are in."""
    common = _common(scope, template, names, (fanned or ())[:1])
    stage = rendered(scope, template.stage, names)
    applies = _applies(scope, template, names)
    work = _work(scope, template, names, common, fanned)
    hinted, either = hints(scope)
    state = State(
        id=scope.state_id("main", f"{template.name}_{suffix}" if suffix else template.name),
        label=scope.target.label,
        kind=template.kind,
        package=scope.package,
        with_=work.filled.with_,
        inputs={**as_inputs(common.inputs), **work.held},
        declared=common.declared,
        outputs=scope.place(work.outputs),
        env=work.filled.env,
        secrets=rendered(scope, template.secrets, names) or {},
        stage=scope.catalog.workspace.config.stage if stage is None else bool(stage),
        retry=_retry(scope, template, names),
        pool=_pool(scope, template, names),
        applies=applies,
        asks=rendered(scope, template.side_effects, names) == READ_ONLY_IO,
        idempotency_key=work.filled.idempotency_key,
        remembers=bool(rendered(scope, template.remember, names)),
        timeout_ms=_milliseconds(rendered(scope, template.timeout, names)),
        heartbeat_ms=_milliseconds(rendered(scope, template.heartbeat_timeout, names)),
        observes_host=template.observes == "host",
        code=common.code,
        title=_title(scope, template, work.filled.title, suffix),
        accepts_missing=template.missing == "allowed",
        after=(*after(scope, rendered(scope, template.after, names)), *hinted),
        either=either,
        reads=common.keys[0],
        writes=common.keys[1],
        snapshots=snapshots(scope, rendered(scope, template.snapshot, names)),
        tags=tuple(dict.fromkeys((*scope.target.tags, *template.tags, *([APPLY] if applies else [])))),
        initial=keys(scope, "initial", rendered(scope, template.initial, names)),
        spawns=spawns(scope, rendered(scope, template.spawns, names)),
        fan=work.fan,
    )
    check_keys(scope, state, template.kind == "python")
    check_inline(scope, state)
    check_heartbeat(scope, state)
    check_spawns(scope, state)
    return scope.add(state)


def _common(scope: Scope, template: StateTemplate, names: Mapping[str, Any], item: Sequence[str]) -> Common:
    """What a state is given and declares, whoever fills the rest in; `item` is the variable of its items, if any."""
    inputs = _files(scope, template, rendered(scope, template.inputs, names))
    declared = rendered(scope, template.outputs, {**names, "inputs": inputs})
    reads = keys(scope, "reads", rendered(scope, template.reads, names))
    writes = keys(scope, "writes", rendered(scope, template.writes, names))
    code = handler_code(scope, template, names, [*inputs, *declared, *item], (reads, writes))
    return Common(inputs, declared, (reads, writes), code)


def _work(
    scope: Scope, template: StateTemplate, names: Mapping[str, Any], common: Common, fanned: tuple[str, Any] | None
) -> _Work:
    """What is asked of a state: at once, or of each of its items when they are known."""
    if fanned is None:
        return _Work(_filled(scope, template, names, common, STAR), common.declared)
    fan, held = _fan(scope, template, names, common, *fanned)
    outputs = directories(scope, common.declared)
    title = common.code.function if common.code else ""
    env = rendered(scope, template.env, names) if isinstance(template.env, str) else template.env
    unfilled = Filled(_unfilled(scope, template, names), _environment(env), None, title)
    return _Work(unfilled, outputs, fan, held)


def _filled(scope: Scope, template: StateTemplate, names: Mapping[str, Any], common: Common, tag: str) -> Filled:
    """What an action of a state is asked; `tag` is what the star of an output stands for."""
    placed = scope.place(common.declared)
    written = {name: _Written(path.replace(STAR, tag), scope.package) for name, path in placed.items()}
    inner = {**names, **common.item, "inputs": common.inputs, "outputs": written}
    parts = KINDS.get(template.kind, plain)(scope, template, inner, common)
    env = late(scope, template.env, inner) if template.env else {}
    return Filled(parts.with_, _environment(env), late(scope, template.idempotency_key, inner), parts.title)


def _fan(
    scope: Scope, template: StateTemplate, names: Mapping[str, Any], common: Common, variable: str, items: Any
) -> tuple[Fan, dict[str, Input]]:
    """The fan-out of a state, and the input that holds its items."""
    held = items_input(scope, variable, items, {**common.inputs, **common.declared})
    if template.kind == "python" and common.keys[1]:
        problem = "a state with items writes no context keys: no item comes after another"
        raise scope.fault(BadAttribute(problem, remedy="write them in a state that reads what it made"), "writes")
    fan = Fan(
        variable,
        scope.catalog.workspace.config.max_items,
        any(type(one) is Product and scope.states[one.state].fan is not None for one in held.items),
        lambda item, tag: _filled(scope, template, names, common._replace(item={variable: item}), tag),
    )
    return fan, {variable: held}


def _unfilled(scope: Scope, template: StateTemplate, names: Mapping[str, Any]) -> dict[str, Any]:
    """What the items of a state are asked, as it is written."""
    given = template.with_ if isinstance(template.with_, Mapping) else rendered(scope, template.with_, names)
    found = {name: template_text(scope, one, names) for name, one in given.items() if name in ("command", "script")}
    return {name: one for name, one in found.items() if one is not None}


def _applies(scope: Scope, template: StateTemplate, names: Mapping[str, Any]) -> bool:
    applies = bool(rendered(scope, template.side_effects, names) == APPLY)
    if not applies and rendered(scope, template.idempotency_key, names) is not None:
        problem = f"an idempotency key belongs to `side_effects: {APPLY}`"
        raise scope.fault(BadAttribute(problem, remedy="add that, or remove the key"), "idempotency_key")
    return applies


def _milliseconds(seconds: Any) -> int | None:
    return None if seconds is None else round(float(seconds) * 1000)


def _pool(scope: Scope, template: StateTemplate, names: Mapping[str, Any]) -> str | None:
    name: str | None = rendered(scope, template.pool, names)
    known = scope.catalog.workspace.config.pools
    if name is not None and name not in known:
        remedy = did_you_mean(name, known) if known else f"write `pools: {{{name}: 1}}`"
        raise scope.fault(BadAttribute(f"flowbuild.yaml has no pool {name!r}", remedy=remedy), "pool")
    return name


def _retry(scope: Scope, template: StateTemplate, names: Mapping[str, Any]) -> Retry | None:
    value = rendered(scope, template.retry, names)
    try:
        return None if value is None else read_retry(value)
    except FlowError as error:
        raise scope.fault(error, "retry") from None


class _Written(str):
    """What expressions see of an output: the path to write, from the package's directory."""

    __slots__ = ("name", "path")
    expression_names = ("name", "path")
    name: str
    path: str

    def __new__(cls, path: str, package: str) -> _Written:
        from posixpath import basename, splitext

        shown = seen_from(package, path)
        self = super().__new__(cls, shown)
        self.path, self.name = shown, splitext(basename(path.rstrip("/")))[0]
        return self


def _files(scope: Scope, template: StateTemplate, value: Any) -> dict[str, Any]:
    """A state's inputs as files: expressions gave files already, plain text is a path or a label.

    With `missing: allowed`, a source that is not there is an empty list to its reader.
    """
    if not isinstance(value, Mapping):
        raise BadRule(f"rule {scope.rule.name}: `inputs` of a state must be a map of names to files")
    found = {name: scope.files(one) for name, one in value.items() if one is not None}
    if template.missing == "allowed":
        return {name: [] if _is_absent(scope, files) else files for name, files in found.items()}
    return found


def _title(scope: Scope, template: StateTemplate, own: str, suffix: str) -> str:
    """What tells a state from the others of its target, where there are others: of a fan-out, its item."""
    name = own or (template.name if len(scope.rule.states) > 1 or isinstance(template.each, Mapping) else "")
    return f"{name} {suffix}".rstrip()


def _is_absent(scope: Scope, files: Any) -> bool:
    if not isinstance(files, File) or not isinstance(files.item, Source):
        return False
    path = files.item.path
    if (scope.catalog.workspace.root / path).is_file():
        return False
    scope.catalog.seen.absent(path)
    return True


def _environment(value: Any) -> dict[str, str | None]:
    if isinstance(value, Mapping):
        return {name: None if text is None else str(text) for name, text in value.items()}
    return dict.fromkeys(value)
