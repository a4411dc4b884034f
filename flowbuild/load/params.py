"""Parameters: the values of a target that `--set name=value` changes.

Knows nothing of the command line but the text that it gives.

Shapes:  in a BUILD.yaml `{limit: 10}`, whose type is the value's, or `{limit: {type: integer, default: 10, doc: ...}}`
         with type string, integer, number, boolean or enum (and `values`).
Errors:  findings like those of attributes; BadFlag for a text that is no such value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flowbuild.core.errors import BadFlag, UserError
from flowbuild.load.attribute import NAME, NAME_FORM
from flowbuild.load.attributes import Attribute, Checker, check_value, described
from flowbuild.load.position import Pointer
from flowbuild.load.scalar import resolve
from flowbuild.load.source import JSON

_TYPES = ("boolean", "enum", "integer", "number", "string")
_KINDS: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string"}
_PARAM = {
    "type": Attribute("type", "enum", "what it holds", values=_TYPES, literal=True),
    "default": Attribute("default", "any", "its value when nothing sets it", required=True),
    "doc": Attribute("doc", "string", default=""),
    "values": Attribute("values", "list", default=[], items=Attribute("value", "string", literal=True), literal=True),
}


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter, and the value that it has when nothing sets it."""

    name: str
    type: str
    default: JSON
    doc: str = ""
    values: tuple[str, ...] = ()

    def read(self, text: str) -> JSON:
        """The value that a text of the command line says."""
        value: JSON = text
        try:
            if "${{" in text:
                raise BadFlag("a parameter is a value, and no expression")
            if self.type in ("boolean", "integer", "number"):
                value = resolve(text)
            return check_value(self._attribute, value)
        except (UserError, ValueError) as error:
            remedy = error.remedy if isinstance(error, UserError) else ""
            raise BadFlag(f"--set {self.name}={text}: {error}", remedy=remedy) from None

    @property
    def _attribute(self) -> Attribute:
        return Attribute(self.name, self.type, values=self.values)


def read_params(to: Checker, given: Mapping[str, JSON], pointer: Pointer) -> dict[str, Param]:
    """The parameters that a target declares."""
    done = {}
    for name, item in given.items():
        at = (*pointer, name)
        if not NAME.fullmatch(name):
            to.fault(at, f"{name!r} is not the name of a parameter", NAME_FORM, key=True)
        param = _long(to, name, item, at) if type(item) is dict else _short(to, name, item, at)
        if param is not None:
            done[name] = param
    return done


def _short(to: Checker, name: str, item: JSON, at: Pointer) -> Param | None:
    kind = _KINDS.get(type(item))
    if kind is None:
        remedy = "write {type: string, default: ...}" if item is None else ""
        to.fault(at, f"the parameter {name!r} is a plain value, and here stands {described(item)}", remedy)
        return None
    return _checked(to, Param(name, kind, item), at)


def _long(to: Checker, name: str, item: JSON, at: Pointer) -> Param | None:
    found = to.fields(_PARAM, item, at, f"the parameter {name!r}")
    if found["default"] is None or (found["type"] is not None and found["type"] not in _TYPES):
        return None  # which is a fault already
    kind = found["type"] or _KINDS.get(type(found["default"]))
    if kind is None:
        return _short(to, name, found["default"], (*at, "default"))
    values = tuple(map(str, found["values"])) if isinstance(found["values"], list) else ()
    if (kind == "enum") != bool(values):
        to.fault(at, f"{name!r}: `values` belongs to type enum, and enum needs it", key=True)
        return None
    return _checked(to, Param(name, kind, found["default"], str(found["doc"]), values), (*at, "default"))


def _checked(to: Checker, param: Param, at: Pointer) -> Param:
    if type(param.default) is str and "${{" in param.default:
        to.fault(at, f"the parameter {param.name!r} is a value, and no expression", "write the value")
    else:
        to.value(Attribute(param.name, param.type, values=param.values), param.default, at)
    return param
