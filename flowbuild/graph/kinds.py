"""What the states of a kind are asked: the `with` of a template, rendered.

Knows nothing of digests or engines. A kind that needs its `with` in a special form has a row in `KINDS`. Commands stay
text until here, since their words are split before they are rendered.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from flowbuild.core.errors import BadAttribute, BadRule, FlowError
from flowbuild.graph.code import Keys, code_of
from flowbuild.graph.scope import Scope
from flowbuild.graph.state import Code, File
from flowbuild.load.attributes import described
from flowbuild.load.expression import is_whole, names_in
from flowbuild.load.rule import StateTemplate
from flowbuild.load.words import render_script, render_words, split_words


def is_late(value: Any, items: Collection[str]) -> bool:
    """Whether a value waits for items or the paths of inputs or outputs; then it is rendered where a state uses it."""
    return any(name.partition(".")[0] in ("inputs", "outputs", *items) for name in names_in(value))


def late(scope: Scope, value: Any, names: Mapping[str, Any]) -> Any:
    """A template's value rendered, and what an attribute in it left for now."""
    found = rendered(scope, value, names)
    return scope.render(found, names) if is_late(found, scope.items) else found


def rendered(scope: Scope, value: Any, names: Mapping[str, Any]) -> Any:
    """A value of the rule file; its faults point at the target, and name the rule."""
    if value is None or (type(value) is str and "${{" not in value):  # as most are
        return value
    try:
        return scope.render(value, names)
    except FlowError as error:
        error.message = f"rule {scope.rule.name}: {error.message}"
        raise


class Common(NamedTuple):
    """What all that is asked of one state has in common. `item` is the variable of a fan-out and its value."""

    inputs: Mapping[str, Any]
    declared: Mapping[str, str]
    keys: Keys
    code: Code | None
    item: Mapping[str, Any] = {}


class Parts(NamedTuple):
    """What a kind makes of a template's `with`."""

    with_: dict[str, Any]
    title: str = ""


def plain(scope: Scope, template: StateTemplate, names: Mapping[str, Any], _: Common) -> Parts:
    """The `with` of any other kind, rendered as it is."""
    return Parts(late(scope, template.with_, names))


def _exec(scope: Scope, template: StateTemplate, names: Mapping[str, Any], _: Common) -> Parts:
    given = template.with_ if isinstance(template.with_, Mapping) else rendered(scope, template.with_, names)
    command, script = (template_text(scope, given.get(key), names) for key in ("command", "script"))
    _check_words(scope, command if isinstance(command, list) else [command, script])
    try:
        if script is not None:
            return Parts({"script": render_script(script, names)})
        if command is None:
            raise BadAttribute("an exec state needs `command` or `script`")
        words = render_words(split_words(command) if isinstance(command, str) else command, names)
    except FlowError as error:
        raise scope.fault(error, "script" if script is not None else "command") from None
    if not words or not words[0]:
        raise scope.fault(BadAttribute("the command is empty"), "command")
    return Parts({"command": words}, " ".join(words[:3]) + (" …" if len(words) > 3 else ""))


def _check_words(scope: Scope, words: list[Any]) -> None:
    """Refuse words that are no texts. A target's own are checked already; these the rule writes itself."""
    wrong = next((word for word in words if not isinstance(word, str | None)), None)
    if wrong is not None:
        problem = f"rule {scope.rule.name}: a word of its command is {described(wrong)}"
        raise scope.fault(BadRule(problem, remedy="quote it"))


def template_text(scope: Scope, value: Any, names: Mapping[str, Any]) -> Any:
    """A command's text: when the rule passes an attribute on, the attribute's own text, not yet rendered."""
    return rendered(scope, value, names) if isinstance(value, str) and is_whole(value) else value


def handler_code(
    scope: Scope, template: StateTemplate, names: Mapping[str, Any], given: Sequence[str], declared: Keys
) -> Code | None:
    """The code of a handler, which is called with the arguments that are `given` and those of its `with`."""
    if template.kind != "python":
        return None
    with_ = rendered(scope, template.with_, names)
    values = with_.get("with") or {}
    clash = [name for name in values if name in given]
    if clash:
        problem = f"{clash[0]!r} is the name of an input, an output or an item too"
        raise scope.fault(BadAttribute(problem), "with", clash[0])
    code = code_of(scope, with_["handler"], with_.get("modules") or [], [*given, *values], declared)
    return replace(code, inline=_is_inline(scope, with_.get("inline")))


def _is_inline(scope: Scope, value: Any) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    raise scope.fault(BadRule(f"rule {scope.rule.name}: `inline` is true or false, not {described(value)}"))


def _python(scope: Scope, template: StateTemplate, names: Mapping[str, Any], common: Common) -> Parts:
    code = common.code
    assert code is not None, "a handler has code"
    values = late(scope, template.with_, names).get("with") or {}
    arguments: dict[str, Any] = {}
    for name, files in common.inputs.items():
        arguments[name] = {"paths": list(map(str, files))} if isinstance(files, list) else {"path": str(files)}
    arguments |= {name: {"path": str(path)} for name, path in names["outputs"].items()}
    arguments |= {name: {"value": value} for name, value in values.items()}
    arguments |= {
        name: {"path": str(item)} if isinstance(item, File) else {"value": item} for name, item in common.item.items()
    }
    handed = {name: list(found) for name, found in zip(("reads", "writes"), common.keys, strict=True) if found}
    return Parts({**code.doc(), "arguments": arguments, **handed}, code.function)


# kind -> how its `with` is made. Other kinds are rendered as they are.
KINDS: Mapping[str, Callable[[Scope, StateTemplate, Mapping[str, Any], Common], Parts]] = {
    "exec": _exec,
    "python": _python,
}
