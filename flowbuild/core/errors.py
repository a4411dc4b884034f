"""The errors of flowbuild, split first by whose fault they are; that is also the exit code.

Knows nothing of how an error is printed, but for its one-line and located forms.

    FlowError                      exit 70  a bug, unless a subclass says otherwise
    ├─ UserError                   exit 2   your files or flags
    │  ├─ BadYaml  BadJson  BadLabel  BadRule  BadAttribute  BadExpression  BadPath  BadFlag
    │  ├─ UnknownTarget  UnknownRule  UnknownName
    │  ├─ UndeclaredModule         a handler imports a workspace module that its target does not declare
    │  ├─ BadFlow                  a Flow IR document, its manifest or its inputs are not what their schema says
    │  ├─ SecretsDetected          what looks like a secret, or is one, would be written down
    │  ├─ BadConfig                a run's configuration is not one that this version can keep to
    │  ├─ InvalidPlan              states that are no graph: none, one twice, one missing, or in a circle
    │  └─ CycleFound  OutputClash  NoMatch  PathTaken
    ├─ Incapable                   exit 3   the engine or the host cannot do this
    │  ├─ CapabilitiesMismatch  LanguageMismatch  UnsupportedHost
    │  └─ RepRefused               an executor says that it can't take this
    ├─ RunFailed                   exit 1   your build ran and failed
    │  ├─ StateFailed  NotPromotable  OutputExists
    │  └─ RunStale                 a killed run can't be gone on with: its work is not what it was
    ├─ EngineError                 exit 4   the engine broke its word
    │  ├─ EngineLost
    │  ├─ RepTransport             an executor is silent, gone, or does not keep to the protocol
    │  └─ RepInternal              an executor says that it failed itself
    └─ StoreError                  exit 5   the disk, the store or a bundle
       └─ StoreCorrupt  StoreConflict  NotCommitted  DiskRefused
          BadManifest          a run's manifest is gone, or is not that of the run
          NotAnArtifact        what should be kept is no file any more

Several faults of one file travel together in one `Faults`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a file that a person wrote. Line and column count from 1; 0 means unknown."""

    path: str
    line: int = 0
    column: int = 0
    text: str = ""

    def __str__(self) -> str:
        return ":".join([self.path, *(str(n) for n in (self.line, self.column) if n)])


class FlowError(Exception):
    """The root. `code` is the stable snake_case name of the class; `remedy` says what to do next."""

    exit_code: ClassVar[int] = 70

    def __init__(
        self, message: str, *, remedy: str = "", location: Location | None = None, details: Any = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.location = location
        self.details = details

    @property
    def code(self) -> str:
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()

    def __str__(self) -> str:
        where = f"{self.location}: " if self.location else ""
        return f"{where}{self.message}" + (f"; {self.remedy}" if self.remedy else "")

    def report(self) -> str:
        """The error as a person reads it: place, message, the line with a marker, the remedy."""
        where = self.location
        lines = [f"{where}: {self.message}" if where else self.message]
        if where and where.text:
            shown = where.text.replace("\t", " ")[:200]
            lines += [f"    {shown}", "    " + " " * (max(where.column, 1) - 1) + "^"]
        if self.remedy:
            lines.append(f"  {self.remedy}")
        return "\n".join(lines)


class UserError(FlowError):
    exit_code = 2


class BadYaml(UserError): ...


class BadJson(UserError): ...


class BadLabel(UserError): ...


class BadRule(UserError): ...


class BadAttribute(UserError): ...


class BadExpression(UserError): ...


class BadPath(UserError): ...


class BadFlag(UserError): ...


class UnknownTarget(UserError): ...


class UnknownRule(UserError): ...


class UnknownName(UserError): ...


class UndeclaredModule(UserError): ...


class BadFlow(UserError): ...


class SecretsDetected(UserError): ...


class BadConfig(UserError): ...


class InvalidPlan(UserError): ...


class CycleFound(UserError): ...


class OutputClash(UserError): ...


class NoMatch(UserError): ...


class PathTaken(UserError): ...


class Incapable(FlowError):
    exit_code = 3


class CapabilitiesMismatch(Incapable): ...


class LanguageMismatch(Incapable): ...


class UnsupportedHost(Incapable): ...


class RepRefused(Incapable): ...


class RunFailed(FlowError):
    exit_code = 1


class StateFailed(RunFailed): ...


class NotPromotable(RunFailed): ...


class OutputExists(RunFailed): ...


class RunStale(RunFailed): ...


class EngineError(FlowError):
    exit_code = 4


class EngineLost(EngineError): ...


class RepTransport(EngineError): ...


class RepInternal(EngineError): ...


class StoreError(FlowError):
    exit_code = 5


class StoreCorrupt(StoreError): ...


class StoreConflict(StoreError): ...


class NotCommitted(StoreError): ...


class DiskRefused(StoreError): ...


class BadManifest(StoreError): ...


class NotAnArtifact(StoreError): ...


class Faults(ExceptionGroup[FlowError]):
    """Every fault of one reading, in the order of the text. The exit code is that of the first."""

    def __new__(cls, faults: Sequence[FlowError]) -> Faults:
        return super().__new__(cls, f"{len(faults)} faults", faults)

    def derive(self, excs: Sequence[FlowError]) -> Faults:  # type: ignore[override]
        return Faults(excs)

    @property
    def exit_code(self) -> int:
        return self.exceptions[0].exit_code if isinstance(self.exceptions[0], FlowError) else 70


def raise_all(faults: Iterable[FlowError]) -> None:
    """Raise nothing, the one fault, or all of them together."""
    found = list(faults)
    if len(found) == 1:
        raise found[0]
    if found:
        raise Faults(found)
