"""Jinja2 expressions in a closed room: no attributes of Python objects, no methods, and a bound on every result.

Knows nothing of the `${{ }}` around an expression. Jinja2's own sandbox refuses private attributes, but a width in
`%`, a repeated string or a large `range` still exhaust the machine, and every method of `str` is within reach. So the
room is built the other way round: what is listed here exists, and nothing else does.

Shapes:  `a.b` and `a['b']` look a part up, `a[0]` and `a[1:]` in a list or string; `+ - * / // %`, `~`,
         comparisons, `and or not`, `x if c else y`, literals, `range(n)`, and the filters and tests of `filters`.
Errors:  BadExpression with the expression, and the nearest name that there is.
Source:  Jinja2's ImmutableSandboxedEnvironment; the attacks are those of tests/unit/load/test_sandbox.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, Undefined, nodes
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from flowbuild.core.canonical import canonical
from flowbuild.core.errors import BadExpression, UserError
from flowbuild.core.suggest import did_you_mean
from flowbuild.load.expression import Names, part_of, parts_of, shown, unknown
from flowbuild.load.filters import FILTERS, OPERATORS, TESTS, Refused, bounded, numbers

MAX_DEPTH = 40
MAX_NODES = 200
MAX_FILTERS = 20  # each is a walk over all of its value

_ALLOWED: tuple[type[nodes.Node], ...] = (
    nodes.Const, nodes.Name, nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.List, nodes.Tuple, nodes.Dict,
    nodes.Pair, nodes.Keyword, nodes.Filter, nodes.Test, nodes.Compare, nodes.Operand, nodes.CondExpr, nodes.And,
    nodes.Or, nodes.Not, nodes.Neg, nodes.Pos, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod,
    nodes.Concat, nodes.Call,
)  # fmt: skip


class _Missing(StrictUndefined):
    """A name that is not there: an error when used, with the names that are."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        remedy = did_you_mean(str(self._undefined_name), parts_of(self._undefined_obj) or ())
        return f"there is no {self._undefined_name!r}" + (f"; {remedy}" if remedy else "")


class _Room(ImmutableSandboxedEnvironment):
    """Jinja2's sandbox where only `parts_of` says what has names in it."""

    intercepted_binops = frozenset(OPERATORS)

    def __init__(self) -> None:
        # Not optimized: folding constants would evaluate before anything is bounded.
        super().__init__(undefined=_Missing, optimized=False, autoescape=False)
        self.filters = dict(FILTERS)
        self.tests = dict(TESTS)
        self.globals = {"range": numbers}

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Undefined):
            obj._fail_with_undefined_error()
        known = parts_of(obj) if isinstance(argument, str) else None
        if known is not None:
            return part_of(obj, argument) if argument in known else self.undefined(obj=obj, name=argument)
        if isinstance(obj, list | tuple | str) and isinstance(argument, int | slice):
            try:
                return obj[argument]
            except IndexError:
                raise Refused(f"there is no item {argument} among {len(obj)}") from None
        raise Refused(f"{repr(argument)[:60]} is asked of something that has no such part")

    def is_safe_callable(self, obj: Any) -> bool:
        return obj is numbers

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        for side in (left, right):
            if isinstance(side, Undefined):
                side._fail_with_undefined_error()
        return OPERATORS[operator](left, right)


def evaluate(body: str, names: Names) -> Any:
    """The value of an expression over names; lists for tuples and ranges."""
    template, paths = _compiled(body)
    for path in sorted(paths):
        root = path.partition(".")[0]
        if root not in names:
            raise unknown(body, "", root, names)
    try:
        context = template.new_context(dict(names))
        for _ in template.root_render_func(context):
            pass
        value = context.vars["result"]
        if isinstance(value, Undefined):
            value._fail_with_undefined_error()
        return bounded(value)
    except (TemplateError, Refused, UserError, ArithmeticError, TypeError, ValueError, LookupError) as error:
        raise BadExpression(f"{shown(body)}: {error}") from None


def names(body: str) -> frozenset[str]:
    """The dotted names that an expression uses, each as far as it is written out."""
    return _compiled(body)[1]


# Pure: the same text always gives the same program, and a workspace has few different ones.
@lru_cache(maxsize=1_000)
def _compiled(body: str) -> tuple[Template, frozenset[str]]:
    room = _Room()
    try:
        if not body.strip():
            raise BadExpression(f"{shown(body)}: there is nothing between the braces")
        parser = Parser(room, body, state="variable")
        tree = parser.parse_expression()
        if not parser.stream.eos:
            raise BadExpression(f"{shown(body)}: {str(parser.stream.current.value)!r} is left over at the end")
        _check(tree, body)
        paths = frozenset(_paths(tree))
        result = nodes.Assign(nodes.Name("result", "store"), _Flat().visit(tree), lineno=1)
        return room.from_string(nodes.Template([result], lineno=1)), paths
    except TemplateSyntaxError as error:
        words = (error.message or "").split("'")
        remedy = did_you_mean(words[1], FILTERS if "filter" in words[0] else TESTS) if "named" in words[0] else ""
        raise BadExpression(f"{shown(body)}: {error.message}", remedy=remedy) from None
    except (RecursionError, MemoryError, SyntaxError, ValueError) as error:
        raise BadExpression(f"{shown(body)}: this can't be read ({type(error).__name__})") from None


class _Flat(NodeTransformer):
    """`~` as a filter of ours: Jinja2's own joins whatever it is given, at any length."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        parts = nodes.List([self.visit(part) for part in node.nodes], lineno=node.lineno)
        return nodes.Filter(parts, "concatenated", [], [], None, None, lineno=node.lineno)


def _check(tree: nodes.Node, body: str) -> None:
    """Refuse what is not listed, and what is too deep or too much to be an honest expression."""
    open_nodes, seen, filters = [(tree, 1)], 0, 0
    while open_nodes:
        node, depth = open_nodes.pop()
        seen += 1
        filters += isinstance(node, nodes.Filter | nodes.Concat)
        if depth > MAX_DEPTH or seen > MAX_NODES or filters > MAX_FILTERS:
            raise BadExpression(f"{shown(body)}: the expression is too long or too deep")
        if not isinstance(node, _ALLOWED):
            raise BadExpression(f"{shown(body)}: {type(node).__name__.lower()!r} has no place in an expression")
        if isinstance(node, nodes.Const):
            _check_literal(node.value, body)
        if isinstance(node, nodes.Call) and not _is_range(node.node):
            remedy = "range is the one function; filters are written `value | upper`"
            raise BadExpression(f"{shown(body)}: there are no methods and functions here", remedy=remedy)
        open_nodes += [(child, depth + 1) for child in node.iter_child_nodes()]


def _check_literal(value: Any, body: str) -> None:
    try:
        canonical(value)  # no infinity, and no half of a surrogate pair
    except UserError as error:
        raise BadExpression(f"{shown(body)}: {error}") from None


def _paths(node: nodes.Node) -> Iterator[str]:
    path = _path(node)
    if path is not None:
        yield path
        return
    for child in node.iter_child_nodes(exclude=("node",) if isinstance(node, nodes.Call) else None):
        yield from _paths(child)


def _path(node: nodes.Node) -> str | None:
    if isinstance(node, nodes.Name):
        return node.name
    if isinstance(node, nodes.Getattr):
        owner, name = _path(node.node), node.attr
    elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
        owner, name = _path(node.node), node.arg.value
    else:
        return None
    return None if owner is None else f"{owner}.{name}"


def _is_range(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Name) and node.name == "range"
