"""The types of attributes that name files: paths, labels, globs, inputs and outputs.

Knows nothing of what is on the disk. A path is checked where it is written; once expressions are filled in it is
normal already.

Errors:  through Checks: BadAttribute, BadLabel, BadPath, UnknownName, OutputClash.
"""

from __future__ import annotations

from flowbuild.core.errors import BadAttribute, BadLabel, OutputClash, UnknownName
from flowbuild.core.label import is_label, parse
from flowbuild.core.suggest import did_you_mean
from flowbuild.load.attribute import NAME, NAME_FORM, Attribute, Checks
from flowbuild.load.glob import check_glob
from flowbuild.load.ignore import check_patterns
from flowbuild.load.path import check_output, check_path
from flowbuild.load.position import Pointer
from flowbuild.load.source import JSON

_GLOB = frozenset({"glob", "exclude", "optional"})
_INPUT = Attribute("input", "files")
_OUTPUT = Attribute("output", "output")


def path(to: Checks, attribute: Attribute, value: JSON, at: Pointer) -> JSON:
    """A path of the workspace."""
    if type(value) is not str:
        return to.wrong(attribute, value, at)
    if is_label(value):
        return to.wrong(attribute, value, at, "a label can't stand here")
    return check_path(to.package, value) if to.names is None else value


def label(to: Checks, attribute: Attribute, value: JSON, at: Pointer) -> JSON:
    """A label."""
    if type(value) is not str:
        return to.wrong(attribute, value, at)
    if not is_label(value):
        raise BadLabel(f"{value!r} is not a label", remedy="a label looks like //package:target or :target")
    return str(parse(value, to.package))


def file(to: Checks, attribute: Attribute, value: JSON, at: Pointer) -> JSON:
    """A path or a label."""
    if type(value) is not str:
        return to.wrong(attribute, value, at)
    if is_label(value):
        return str(parse(value, to.package))
    return check_path(to.package, value) if to.names is None else value


def files(to: Checks, attribute: Attribute, value: JSON, at: Pointer) -> JSON:
    """One file, several, or those that globs find."""
    if type(value) is str:
        return file(to, attribute, value, at)
    if type(value) is dict:
        return _glob(to, attribute, value, at)
    if type(value) is not list:
        return to.wrong(attribute, value, at)
    if any(type(item) is list for item in value):
        return to.wrong(attribute, value, at, "a list of files holds no other list")
    done: list[JSON] = []
    for index, item in enumerate(value):
        checked = to.value(attribute, item, (*at, index))
        done += checked if type(checked) is list else [checked]  # an expression may have given several
    return done


def _glob(to: Checks, attribute: Attribute, value: dict[str, JSON], at: Pointer) -> JSON:
    for key in value.keys() - _GLOB:
        to.fault((*at, key), f"a glob has no {key!r}", did_you_mean(key, _GLOB), UnknownName, key=True)
    globs, exclude = _texts(to, value, "glob", at), _texts(to, value, "exclude", at)
    if not value.get("glob"):
        to.fault(at, f"{attribute.name!r} is a mapping without `glob`", "write {glob: texts/**/*.txt}")
    for checked, texts, key in ((check_glob, globs, "glob"), (_one_pattern, exclude, "exclude")):
        for index, text in enumerate(texts):
            try:
                if "${{" in text:
                    raise BadAttribute("a glob holds no expression", remedy="write it out")
                checked(text)
            except BadAttribute as error:
                where = (*at, key, index) if isinstance(value[key], list) else (*at, key)
                to.fault(where, error.message, error.remedy)
    optional = value.get("optional", False)
    if type(optional) is not bool:
        to.fault((*at, "optional"), "`optional` is true or false")
    return {"glob": globs, "exclude": exclude, "optional": optional}


def _texts(to: Checks, value: dict[str, JSON], key: str, at: Pointer) -> list[str]:
    given = value.get(key)
    texts = given if isinstance(given, list) else [] if given is None else [given]
    if all(type(text) is str for text in texts):
        return texts
    to.fault((*at, key), f"`{key}` is a pattern or a list of patterns")
    return []


def _one_pattern(pattern: str) -> None:
    check_patterns([pattern])


def _names(to: Checks, attribute: Attribute, value: JSON, at: Pointer) -> dict[str, JSON]:
    if type(value) is not dict:
        to.wrong(attribute, value, at)
        return {}
    for name in value:
        if not NAME.fullmatch(name):
            to.fault((*at, name), f"{name!r} is not a name in {attribute.name!r}", NAME_FORM, key=True)
    return value


def inputs(to: Checks, attribute: Attribute, value: JSON, at: Pointer) -> JSON:
    """Files by the names of inputs."""
    done: dict[str, JSON] = {}
    for name, item in _names(to, attribute, value, at).items():
        if item is None:
            to.fault((*at, name), f"the input {name!r} names no file", "write a path or a label", key=True)
        else:
            done[name] = to.value(_INPUT, item, (*at, name))
    return done


def outputs(to: Checks, attribute: Attribute, value: JSON, at: Pointer) -> JSON:
    """Paths by the names of outputs, none of which lies where another does."""
    done: dict[str, JSON] = {}
    for name, item in _names(to, attribute, value, at).items():
        done[name] = to.value(_OUTPUT, item, (*at, name))
        path = done[name]
        if len(done) == 1 or type(path) is not str or "${{" in path:
            continue
        for other in list(done.values())[:-1]:
            if type(other) is str and overlap(path, other):
                to.fault(
                    (*at, name), f"the output {path!r} lies where {other!r} does", "rename one of the two", OutputClash
                )
                break
    return done


def overlap(one: str, two: str) -> bool:
    """Whether two paths are one, or one lies in the other, where a file system may not tell capitals apart."""
    a, b = one.casefold().rstrip("/") + "/", two.casefold().rstrip("/") + "/"
    return a.startswith(b) or b.startswith(a)


def output(to: Checks, attribute: Attribute, value: JSON, at: Pointer) -> JSON:
    """A path below the target's output directory."""
    return check_output(value) if type(value) is str else to.wrong(attribute, value, at)
