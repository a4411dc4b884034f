"""Lowering by templates: a rule's `states:` filled in for one target.

Knows nothing of digests or engines; the kinds of state that need their `with` in a special form have a row in
`KINDS`.

Approach: attributes become values (files for `inputs`, rendered text for the rest; commands stay text, since their
words are split before they are rendered). Then each state template in turn: `when`, `each`, inputs, outputs, `with`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product as crossed
from typing import Any, NamedTuple

from flowbuild.core.errors import BadAttribute, BadRule, FlowError
from flowbuild.core.retry import Retry, read_retry
from flowbuild.core.suggest import did_you_mean
from flowbuild.graph.code import Keys, code_of
from flowbuild.graph.handed import ALWAYS, after, check_heartbeat, check_keys, keys
from flowbuild.graph.hints import hints
from flowbuild.graph.scope import FILES, Scope, as_inputs, holds
from flowbuild.graph.spawned import check_spawns, spawns
from flowbuild.graph.state import APPLY, Built, Code, File, Input, Source, State, seen_from
from flowbuild.load.attributes import described, render_attribute
from flowbuild.load.expression import is_whole, names_in, render
from flowbuild.load.rule import StateTemplate
from flowbuild.load.types import TYPES
from flowbuild.load.words import render_script, render_words, split_words


def lower_templates(scope: Scope) -> Built:
    """A target of a rule whose states are written in YAML."""
    scope.may_miss = any(template.missing == "allowed" for template in scope.rule.states.values())
    resolve_attributes(scope)
    names = scope.names()
    states: dict[str, Any] = {}
    names["states"] = states
    for template in scope.rule.states.values():
        if template.when is not None and not _render(scope, template.when, names):
            continue
        made = [
            _state(scope, template, {**names, **chosen}, suffix) for chosen, suffix in _each(scope, template, names)
        ]
        states[template.name] = {"outputs": _products(scope, template, made)}
    shown = _render(scope, scope.rule.outputs, names)
    return scope.finish(as_inputs(shown))


def resolve_attributes(scope: Scope) -> None:
    """Fill `scope.attr`: files for attributes that name files, the rendered value for the others."""
    names = scope.names()  # holds `scope.attr` itself
    for name, attribute in scope.rule.attributes.items():
        value = scope.target.attrs.get(name)
        try:
            if value is not None and not _is_late(value):
                value = render_attribute(attribute, value, names, scope.package)
                # The items of a plain map or list have no type that would have rendered them.
                value = value if TYPES[attribute.type].splits else render(value, names)
        except FlowError as error:
            raise scope.fault(error, name) from None
        scope.attr[name] = scope.files(value, name) if value is not None and holds(attribute, FILES) else value


def _is_late(value: Any) -> bool:
    """Whether a value waits for the paths of inputs or outputs; then it is rendered where a state uses it."""
    return any(name.partition(".")[0] in ("inputs", "outputs") for name in names_in(value))


def _late(scope: Scope, value: Any, names: Mapping[str, Any]) -> Any:
    """A template's value rendered, and what an attribute in it left for now."""
    found = _render(scope, value, names)
    return scope.render(found, names) if _is_late(found) else found


def _render(scope: Scope, value: Any, names: Mapping[str, Any]) -> Any:
    """A value of the rule file; its faults point at the target, and name the rule."""
    try:
        return scope.render(value, names)
    except FlowError as error:
        error.message = f"rule {scope.rule.name}: {error.message}"
        raise


def _products(scope: Scope, template: StateTemplate, made: list[int]) -> dict[str, Any]:
    """What expressions see of a template's outputs: a file, or with `each` the list of them in item order."""
    if template.each is None:
        return {name: scope.product(made[0], name) for name in scope.states[made[0]].outputs}
    names = dict.fromkeys(name for number in made for name in scope.states[number].outputs)
    if not made and isinstance(template.outputs, Mapping):  # no items: every list is there, and empty
        names = dict.fromkeys(template.outputs)
    return {name: [scope.product(number, name) for number in made] for name in names}


def _each(scope: Scope, template: StateTemplate, names: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """The `each` variables of every state that a template stands for, and what tells its name apart."""
    if template.each is None:
        yield {}, ""
        return
    lists = []
    for name, source in template.each.items():
        items = _render(scope, source, names)
        if not isinstance(items, list):
            items = [items]
        lists.append([(name, item) for item in items])
    for chosen in crossed(*lists):
        yield dict(chosen), "_".join(item.name if isinstance(item, File) else str(item) for _, item in chosen)


def _state(scope: Scope, template: StateTemplate, names: dict[str, Any], suffix: str) -> int:
    inputs = _files(scope, template, _render(scope, template.inputs, names))
    declared = _render(scope, template.outputs, {**names, "inputs": inputs})
    placed = scope.place(declared)
    package = scope.package
    number = len(scope.states)
    shown = {name: _Written(path, package) for name, path in placed.items()}
    reads = keys(scope, "reads", _render(scope, template.reads, names))
    writes = keys(scope, "writes", _render(scope, template.writes, names))
    inner = {**names, "inputs": inputs, "outputs": shown}
    parts = KINDS.get(template.kind, _plain)(scope, template, inner, (reads, writes))
    env = _late(scope, template.env, inner) if template.env else {}
    secrets = _render(scope, template.secrets, inner) or {}
    stage = _render(scope, template.stage, inner)
    applies = _render(scope, template.side_effects, inner) == APPLY
    idempotency_key = _late(scope, template.idempotency_key, inner)
    if idempotency_key is not None and not applies:
        problem = f"an idempotency key belongs to `side_effects: {APPLY}`"
        raise scope.fault(BadAttribute(problem, remedy="add that, or remove the key"), "idempotency_key")
    hinted, either = hints(scope)
    state = State(
        id=scope.state_id("main", f"{template.name}_{suffix}" if suffix else template.name),
        label=scope.target.label,
        kind=template.kind,
        package=package,
        with_=parts.with_,
        inputs={**as_inputs(inputs), **parts.inputs},
        declared=declared,
        outputs=placed,
        env=_environment(env),
        secrets=secrets,
        stage=scope.catalog.workspace.config.stage if stage is None else bool(stage),
        retry=_retry(scope, template, inner),
        pool=_pool(scope, template, inner),
        applies=applies,
        idempotency_key=idempotency_key,
        remembers=bool(_render(scope, template.remember, inner)),
        timeout_ms=_milliseconds(_render(scope, template.timeout, inner)),
        heartbeat_ms=_milliseconds(_render(scope, template.heartbeat_timeout, inner)),
        observes_host=template.observes == "host",
        code=parts.code,
        title=_title(scope, template, parts.title, suffix),
        accepts_missing=template.missing == "allowed",
        after=(*after(scope, _render(scope, template.after, names)), *hinted),
        either=either,
        reads=reads,
        writes=writes,
        keeps_failed=_render(scope, template.snapshot, inner) == ALWAYS,
        tags=tuple(dict.fromkeys((*scope.target.tags, *template.tags, *([APPLY] if applies else [])))),
        initial=keys(scope, "initial", _render(scope, template.initial, names)),
        spawns=spawns(scope, _render(scope, template.spawns, names)),
    )
    check_keys(scope, state, template.kind == "python")
    check_heartbeat(scope, state)
    check_spawns(scope, state)
    scope.add(state)
    return number


def _milliseconds(seconds: Any) -> int | None:
    return None if seconds is None else round(float(seconds) * 1000)


def _pool(scope: Scope, template: StateTemplate, names: Mapping[str, Any]) -> str | None:
    name: str | None = _render(scope, template.pool, names)
    known = scope.catalog.workspace.config.pools
    if name is not None and name not in known:
        remedy = did_you_mean(name, known) if known else f"write `pools: {{{name}: 1}}`"
        raise scope.fault(BadAttribute(f"flowbuild.yaml has no pool {name!r}", remedy=remedy), "pool")
    return name


def _retry(scope: Scope, template: StateTemplate, names: Mapping[str, Any]) -> Retry | None:
    value = _render(scope, template.retry, names)
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
    name = own or (template.name if len(scope.rule.states) > 1 or template.each else "")
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


class _Parts(NamedTuple):
    """What a kind makes of a template's `with`."""

    with_: dict[str, Any]
    title: str = ""
    code: Code | None = None
    inputs: Mapping[str, Input] = {}


def _plain(scope: Scope, template: StateTemplate, names: Mapping[str, Any], _: Keys) -> _Parts:
    return _Parts(_late(scope, template.with_, names))


def _exec(scope: Scope, template: StateTemplate, names: Mapping[str, Any], _: Keys) -> _Parts:
    given = template.with_ if isinstance(template.with_, Mapping) else _render(scope, template.with_, names)
    command, script = (_template_text(scope, given.get(key), names) for key in ("command", "script"))
    _check_words(scope, command if isinstance(command, list) else [command, script])
    try:
        if script is not None:
            return _Parts({"script": render_script(script, names)})
        if command is None:
            raise BadAttribute("an exec state needs `command` or `script`")
        words = render_words(split_words(command) if isinstance(command, str) else command, names)
    except FlowError as error:
        raise scope.fault(error, "script" if script is not None else "command") from None
    if not words or not words[0]:
        raise scope.fault(BadAttribute("the command is empty"), "command")
    return _Parts({"command": words}, " ".join(words[:3]) + (" …" if len(words) > 3 else ""))


def _check_words(scope: Scope, words: list[Any]) -> None:
    """Refuse words that are no texts. A target's own are checked already; these the rule writes itself."""
    wrong = next((word for word in words if not isinstance(word, str | None)), None)
    if wrong is not None:
        problem = f"rule {scope.rule.name}: a word of its command is {described(wrong)}"
        raise scope.fault(BadRule(problem, remedy="quote it"))


def _template_text(scope: Scope, value: Any, names: Mapping[str, Any]) -> Any:
    """A command's text: when the rule passes an attribute on, the attribute's own text, not yet rendered."""
    return _render(scope, value, names) if isinstance(value, str) and is_whole(value) else value


def _python(scope: Scope, template: StateTemplate, names: Mapping[str, Any], declared: Keys) -> _Parts:
    given = _late(scope, template.with_, names)
    inputs, outputs, values = names["inputs"], names["outputs"], given.get("with") or {}
    clash = [name for name in values if name in inputs or name in outputs]
    if clash:
        raise scope.fault(BadAttribute(f"{clash[0]!r} is the name of an input or output too"), "with", clash[0])
    code = code_of(scope, given["handler"], given.get("modules") or [], [*inputs, *outputs, *values], declared)
    arguments: dict[str, Any] = {}
    for name, files in inputs.items():
        arguments[name] = {"paths": list(map(str, files))} if isinstance(files, list) else {"path": str(files)}
    arguments |= {name: {"path": str(path)} for name, path in outputs.items()}
    arguments |= {name: {"value": value} for name, value in values.items()}
    handed = {name: list(found) for name, found in zip(("reads", "writes"), declared, strict=True) if found}
    return _Parts({**code.doc(), "arguments": arguments, **handed}, code.function, code)


# kind -> how its `with` is made. Other kinds are rendered as they are.
KINDS: Mapping[str, Callable[[Scope, StateTemplate, Mapping[str, Any], Keys], _Parts]] = {
    "exec": _exec,
    "python": _python,
}
