"""What `--set` says: which parameters of which targets, for the graph and for the manifest of a run.

Knows nothing of whether there are such parameters.

Errors:  BadFlag for a setting without a value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flowbuild.core.errors import BadFlag
from flowbuild.core.label import parse
from flowbuild.graph.lower import Setting


def settings(texts: Sequence[str], package: str) -> Iterator[Setting]:
    """Each setting: its target if it names one, relative to `package`; the parameter; the text of the value."""
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise BadFlag(f"--set {text}: a value is missing", remedy="write --set name=value")
        owner, dot, short = name.rpartition(".")
        is_label = dot and owner.startswith(("//", ":"))
        yield (parse(owner, package), short, value) if is_label else (None, name, value)


def written(texts: Sequence[str], package: str) -> dict[str, str]:
    """The settings as a manifest holds them, so that whoever goes on with the run sets the same."""
    found = settings(texts, package)
    return {f"{label}.{name}" if label else name: value for label, name, value in found}
