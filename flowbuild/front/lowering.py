"""Lowering: what a request asks for, and its graph: kept by an earlier one, or lowered anew.

Knows nothing of how either is done.
"""

from __future__ import annotations

import gc
import json
from functools import cached_property
from typing import Any

from flowbuild.core.label import Label, Pattern, parse_pattern
from flowbuild.front.arguments import Request
from flowbuild.front.settings import settings
from flowbuild.graph.lower import Setting, lower
from flowbuild.graph.state import StateGraph
from flowbuild.load.catalog import Catalog
from flowbuild.run.kept import KeptGraphs, Lowered
from flowbuild.run.looks import Looks


class Lowering:
    """See the module. `package` is the one that relative labels belong to."""

    def __init__(self, graphs: KeptGraphs, catalog: Catalog, looks: Looks, request: Request, package: str) -> None:
        self._graphs = graphs
        self._catalog = catalog
        self._looks = looks
        self._request = request
        self._package = package

    @cached_property
    def labels(self) -> list[Label]:
        """The targets asked for. Tests are built when they are named, and by `flowbuild test`."""
        if self._kept is not None:
            return self._kept.labels
        patterns = self._patterns
        named = {Label(one.package, one.name) for one in patterns if one.name is not None}
        is_test = self._request.command == "test"
        rules = self._catalog.rules
        found = self._catalog.select(patterns)
        return [label for label in found if label in named or rules[self._catalog.target(label).rule].test is is_test]

    @cached_property
    def graph(self) -> StateGraph:
        """Their graph. It stays as long as the process does, so the garbage collector need not walk it."""
        if self._kept is not None:
            graph = self._kept.graph
        else:
            graph = lower(self._catalog, self.labels, self._settings)
            made = Lowered(self.labels, graph)
            self._graphs.put(self._looks, self._targets(self.labels), self._asked, made)
        gc.freeze()
        return graph

    @cached_property
    def _kept(self) -> Lowered | None:
        names = [Label(one.package, one.name) for one in self._patterns if one.name is not None and not one.negative]
        targets = self._targets(list(dict.fromkeys(names))) if len(names) == len(self._patterns) else None
        return self._graphs.get(self._looks, targets, self._asked)

    @cached_property
    def _patterns(self) -> list[Pattern]:
        return [parse_pattern(text, self._package) for text in self._request.patterns]

    @cached_property
    def _settings(self) -> list[Setting]:
        return list(settings(self._request.sets, self._package))

    def _targets(self, labels: list[Label]) -> str:
        """All that the graph of some targets depends on beside what is read for it."""
        sets = [(label and str(label), name, text) for label, name, text in self._settings]
        return json.dumps([*self._where, list(map(str, labels)), sets])

    @property
    def _asked(self) -> str:
        """All that the targets of a request depend on, and their graph."""
        request = self._request
        return json.dumps([*self._where, self._package, request.command == "test", request.patterns, request.sets])

    @property
    def _where(self) -> list[Any]:
        """The workspace, and what it leaves out: where its cache is, HOME may decide."""
        workspace = self._catalog.workspace
        return [str(workspace.root), workspace.config.ignore]
