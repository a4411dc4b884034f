"""flowbuild.yaml: what a workspace says about itself.

Knows nothing of packages and rules. Every section is a mapping of attributes, checked like those of a target.

Shapes:  Config, with every default filled in.
Errors:  BadYaml, BadAttribute, UnknownName: all of the file at once, each with its place.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowbuild.core.canonical import Digest, sha256
from flowbuild.core.errors import UserError
from flowbuild.load.attributes import Attribute, Checker, expressions
from flowbuild.load.document import ParsedFiles, parse_file
from flowbuild.load.ignore import check_patterns
from flowbuild.load.path import RESERVED
from flowbuild.load.position import raise_found
from flowbuild.load.run_settings import RUN, read_settings
from flowbuild.load.runtime import RUNTIME, Runtime
from flowbuild.load.runtime import read as read_runtime
from flowbuild.load.source import JSON

_WORDS = Attribute("item", "string")
_HANDLER = Attribute("handler", "handler")

_SECTIONS: dict[str, Attribute] = {
    "name": Attribute("name", "string", "the workspace's name; that of its directory by default"),
    "runtime": Attribute("runtime", "map", "the engine that performs", default={}),
    "cache": Attribute("cache", "map", "where results are remembered", default={}),
    "bundle": Attribute("bundle", "map", "what a bundle holds", default={}),
    "fanout": Attribute("fanout", "map", "how far `each` goes", default={}),
    "io": Attribute("io", "map", "what handlers may reach outside", default={}),
    "run": Attribute("run", "map", "how runs are performed", default={}),
    "path": Attribute("path", "list", "where programs are looked up", items=_WORDS),
    "ignore": Attribute("ignore", "list", "what is no part of the workspace, as in .gitignore", items=_WORDS),
    "pools": Attribute("pools", "map", "scarce things, and how many there are", {}, items=Attribute("pool", "integer")),
    "handlers": Attribute("handlers", "map", "step kinds of one's own to functions", {}, items=_HANDLER),
    "stage": Attribute("stage", "boolean", "whether commands run in a directory of their own", default=True),
}  # fmt: skip
_CACHE = {"dir": Attribute("dir", "string", "relative to the workspace, absolute, or from `~`", default=".flowbuild")}
_IO = {
    "programs": Attribute("programs", "list", "directories whose programs `exec` may run", items=_WORDS),
    "credentials": Attribute(
        "credentials", "map", "names for requests, and where each value is", {}, items=Attribute("credential", "map")
    ),
    "secret_key": Attribute("secret_key", "string", "the variable that holds the key of secret payloads"),
}
_CREDENTIAL = {
    "variable": Attribute("variable", "string", "the environment variable that holds it", required=True),
    "header": Attribute("header", "string", "the header that carries it", default="Authorization"),
    "prefix": Attribute("prefix", "string", "what stands before it", default="Bearer "),
}
_FANOUT = {"max_items": Attribute("max_items", "integer", "a state has no more items than these", default=10_000)}
MOST_ITEMS = 100_000  # their numbers have five digits
_BUNDLE = {"max_input": Attribute("max_input", "integer", "larger inputs are listed, not copied", default=2**20)}

# The top of the file, and each of its sections; `schema` reads it too.
SETTINGS: Mapping[str, Mapping[str, Attribute]] = {
    "": _SECTIONS,
    "runtime": RUNTIME,
    "cache": _CACHE,
    "bundle": _BUNDLE,
    "fanout": _FANOUT,
    "io": _IO,
    "run": RUN,
}

DEFAULT_PATH = ("/usr/local/bin", "/usr/bin", "/bin")
DEFAULT_PROGRAMS = ("/nix/store",)
DEFAULT_IGNORE = ("out/", ".flowbuild/", ".git/", "**/__pycache__/")


@dataclass(frozen=True, slots=True)
class Outside:
    """What handlers may reach: directories of programs, and credentials as {"variable", "header", "prefix"}."""

    programs: tuple[str, ...]
    credentials: Mapping[str, Mapping[str, str]]
    secret_key: str | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of a workspace. `cache_dir` is absolute; `ignore` has the cache's directory added; `run` is
    what is said of a run's configuration."""

    name: str
    runtime: Runtime
    cache_dir: Path
    path: tuple[str, ...]
    ignore: tuple[str, ...]
    pools: Mapping[str, int]
    handlers: Mapping[str, str]
    stage: bool
    bundle_max_input: int
    max_items: int
    outside: Outside
    run: Mapping[str, Any]
    digest: Digest


def load_config(root: Path, file: Path, shown: str, cache: ParsedFiles | None = None) -> Config:
    """The settings that a flowbuild.yaml says; an empty file takes every default."""
    doc, digest = parse_file(file, shown, cache)
    return _settings(root, doc, digest, file, shown)


def default_config(root: Path) -> Config:
    """The settings of a directory that says none."""
    return _settings(root, None, sha256(b""), root / "flowbuild.yaml", "flowbuild.yaml")


def _settings(root: Path, doc: JSON, digest: Digest, file: Path, shown: str) -> Config:
    to = Checker("")
    top = to.fields(_SECTIONS, {} if doc is None else doc, (), "flowbuild.yaml")
    for pointer, text in expressions(doc, ()):
        to.fault(pointer, f"{text[:60]!r}: settings hold no expressions", "write the value")
    sections = {name: top[name] if isinstance(top[name], dict) else {} for name in SETTINGS if name}
    runtime = to.fields(RUNTIME, sections["runtime"], ("runtime",), "runtime")
    cached = to.fields(_CACHE, sections["cache"], ("cache",), "cache")
    bundle = to.fields(_BUNDLE, sections["bundle"], ("bundle",), "bundle")
    fanout = to.fields(_FANOUT, sections["fanout"], ("fanout",), "fanout")
    run = read_settings(to, sections["run"], ("run",), "run")
    outside = to.fields(_IO, sections["io"], ("io",), "io")
    credentials = {
        name: to.fields(_CREDENTIAL, one, ("io", "credentials", name), f"the credential {name!r}")
        for name, one in (outside["credentials"] if isinstance(outside["credentials"], dict) else {}).items()
    }
    _check_ranges(to, top, bundle, fanout)
    raise_found(to.findings, file, shown)
    cache_dir = Path(os.path.normpath(root / os.path.expanduser(cached["dir"])))
    return Config(
        name=top["name"] or root.name,
        runtime=read_runtime(runtime, root),
        cache_dir=cache_dir,
        path=tuple(top["path"] or DEFAULT_PATH),
        ignore=(*(DEFAULT_IGNORE if top["ignore"] is None else top["ignore"]), *_cache_pattern(root, cache_dir)),
        pools=top["pools"],
        handlers=top["handlers"],
        stage=top["stage"],
        bundle_max_input=bundle["max_input"],
        max_items=fanout["max_items"],
        outside=Outside(tuple(outside["programs"] or DEFAULT_PROGRAMS), credentials, outside["secret_key"]),
        run=run,
        digest=digest,
    )


def _check_ranges(to: Checker, top: Mapping[str, Any], bundle: Mapping[str, Any], fanout: Mapping[str, Any]) -> None:
    for index, directory in enumerate(_list(top["path"])):
        if not directory.startswith("/") or ":" in directory:
            to.fault(("path", index), f"{directory!r} is not an absolute directory", "PATH holds absolute directories")
    for index, pattern in enumerate(_list(top["ignore"])):
        try:
            check_patterns([pattern])
        except UserError as error:
            to.fault(("ignore", index), error.message, error.remedy)
    pools = top["pools"] if isinstance(top["pools"], dict) else {}
    for name, size in pools.items():
        if type(size) is int and size < 1:
            to.fault(("pools", name), f"the pool {name!r} has no room", "write a number above zero")
    if type(bundle["max_input"]) is int and bundle["max_input"] < 0:
        to.fault(("bundle", "max_input"), "`max_input` is a number of bytes")
    if type(fanout["max_items"]) is int and not 0 < fanout["max_items"] <= MOST_ITEMS:
        to.fault(("fanout", "max_items"), f"`max_items` is a number from 1 to {MOST_ITEMS:,}")


def _list(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _cache_pattern(root: Path, cache_dir: Path) -> list[str]:
    """The pattern that keeps a cache within the workspace out of globs, unless it is where it always is."""
    inside = os.path.relpath(cache_dir, root)
    return [] if inside.startswith("..") or inside.split("/")[0] in RESERVED else [f"/{inside}/"]
