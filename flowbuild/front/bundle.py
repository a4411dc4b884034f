"""The commands `bundle ...`: what somebody does with a committed run, on any machine and offline.

Knows nothing of how a bundle is read, repaired or judged. PATH is a bundle's directory, an output root with LATEST, or
the label of a `run` target.

Errors:  exit 5 for what is damaged, 1 for what is not promotable or not verified, 2 for a path that means nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from flowbuild.core.errors import BadFlag
from flowbuild.core.label import is_label
from flowbuild.front.arguments import Request
from flowbuild.front.flags import Directory, Json, requested

app = typer.Typer(help="Check, repair, promote and verify committed runs.", no_args_is_help=True)

Place = Annotated[
    str, typer.Argument(metavar="PATH", help="A bundle, an output root with LATEST, or a run target's label.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Load it strictly, and change nothing.")]
Repair = Annotated[bool, typer.Option("--repair", help="Index what is there, and log what was found.")]


@app.command()
def validate(path: Place, directory: Directory = "", json: Json = False) -> int:
    """Say whether a bundle is whole, and everything that is wrong with it."""
    from flowbuild.bundle.read import validate_bundle
    from flowbuild.front.console import console

    request = requested("bundle", locals())
    out, where = console(request), place(request, path)
    result = validate_bundle(where)
    out.emit({"bundle": str(where), "ok": result.ok, "errors": list(result.errors)})
    for error in result.errors:
        out.line(error)
    out.line(f"{where}: whole" if result.ok else f"{where}: {len(result.errors)} faults")
    return 0 if result.ok else 5


@app.command()
def reindex(
    path: Place, strict: Strict = False, repair: Repair = False, directory: Directory = "", json: Json = False
) -> int:
    """Check a bundle against its index, or index anew what is there. A repaired bundle is never promotable."""
    from flowbuild.bundle.reindex import reindex_bundle
    from flowbuild.front.console import console

    request = requested("bundle", {**locals(), "strict": False})
    if strict == repair:
        raise BadFlag("one of --strict and --repair is needed", remedy="--strict changes nothing")
    out = console(request)
    done = reindex_bundle(place(request, path), repair=repair)
    out.emit(done)
    out.line(f"{done['bundle_dir']}: {done['status']}")
    for what, names in done.get("repair_log", {}).get("before", {}).items():
        for name in [names] if isinstance(names, str) else names:
            out.line(f"  {what}  {name}")
    return 0


@app.command()
def summarize(
    path: Place,
    ops: Annotated[bool, typer.Option("--ops", help="What was seen of each operation, as JSON.")] = False,
    directory: Directory = "",
    json: Json = False,
) -> int:
    """Print the summary of a bundle that loads strictly."""
    from flowbuild.bundle.documents import pretty
    from flowbuild.bundle.layout import SUMMARY, SUMMARY_TEXT
    from flowbuild.bundle.op_source import summarize_ops_from_bundle
    from flowbuild.bundle.read import load_bundle
    from flowbuild.front.console import console

    request = requested("bundle", locals())
    bundle, out = load_bundle(place(request, path)), console(request)
    doc = summarize_ops_from_bundle(bundle.out_dir) if ops else bundle.document(SUMMARY)
    out.emit(doc)
    text = pretty(doc) if ops else bundle.read(SUMMARY_TEXT)
    for line in text.decode("utf-8", "replace").splitlines():
        out.always("".join(mark if mark.isprintable() else "\ufffd" for mark in line))  # anybody may have written it
    return 0


@app.command()
def promote(
    path: Place,
    key: Annotated[str | None, typer.Option("--key", metavar="FILE", help="Sign statements with this key.")] = None,
    out: Annotated[
        str | None, typer.Option("--out", metavar="DIR", help="Where; beside the bundle by default.")
    ] = None,
    require: Annotated[
        bool, typer.Option("--require-promotable", help="Write nothing unless the bundle is promotable.")
    ] = False,
    directory: Directory = "",
    json: Json = False,
) -> int:
    """Write a bundle's promotion packet, and with a key the signed statements beside it."""
    from flowbuild.bundle.envelope import private_key
    from flowbuild.bundle.promote import PACKET, check_promotable
    from flowbuild.bundle.read import load_bundle
    from flowbuild.bundle.sign import promote as perform
    from flowbuild.front.console import console

    request = requested("bundle", {**locals(), "out": None})
    start, shown = Path(request.directory), console(request)
    signer = private_key(start / key) if key else None
    bundle = load_bundle(place(request, path))
    target = (start / out if out else bundle.out_dir.parent) / PACKET
    done = perform(bundle, target, signer, require_promotable=require)
    shown.emit(done.packet)
    shown.line(str(done.path))
    if signer is not None and done.statements:
        shown.line(f"{done.statements}  signed by {signer.public_key.keyid}")
    check_promotable(done.packet)
    return 0


@app.command()
def verify(
    packet: Annotated[
        str,
        typer.Argument(metavar="PACKET", help="A promotion packet, the directory with it, or a run target's label."),
    ],
    key: Annotated[list[str], typer.Option("--key", metavar="FILE", help="A public key that is trusted.")],
    policy: Annotated[str | None, typer.Option("--policy", metavar="FILE", help="What must hold.")] = None,
    bundle: Annotated[str | None, typer.Option("--bundle", metavar="DIR", help="A PATH of the bundle.")] = None,
    directory: Directory = "",
    json: Json = False,
) -> int:
    """Check a promotion offline: signatures, statements, the packet, then every file of the bundle."""
    from flowbuild.bundle.envelope import public_key
    from flowbuild.bundle.promote import PACKET
    from flowbuild.bundle.trust import Trust, load_trust
    from flowbuild.bundle.verify import verify as perform
    from flowbuild.front.console import console

    request = requested("bundle", {**locals(), "policy": "build"})
    start, out = Path(request.directory), console(request)
    trust = load_trust(start / policy) if policy else Trust()
    keys = [public_key(start / file) for file in key]
    given = place(request, bundle) if bundle else None
    if is_label(packet):
        root, where = _labelled(request, packet)
        given = given or root
    else:
        where = start / packet if (start / packet).is_file() else place(request, packet) / PACKET
    done = perform(where, keys, trust, given)
    out.emit({"bundle": str(done.bundle), "ok": not done.findings, "findings": list(done.findings)})
    for finding in done.findings:
        out.always(finding)
    out.line(f"{done.bundle}: {'not verified' if done.findings else 'verified'}")
    return 1 if done.findings else 0


def place(request: Request, path: str) -> Path:
    """The directory that a path or a label means, as it is reached from here."""
    if is_label(path):
        return _labelled(request, path)[0]
    where = Path(request.directory or ".") / path
    if not where.is_dir():
        raise BadFlag(f"{where}: there is no such directory", remedy="a bundle, an output root, or a label")
    return where


def _labelled(request: Request, label: str) -> tuple[Path, Path]:
    """The output root that a `run` target commits to, or that of a promotion's run; and where its packet lies."""
    from flowbuild.bundle.promote import PACKET
    from flowbuild.front.build import Build
    from flowbuild.front.console import console

    request.patterns = (label,)
    with Build(request, console(request)) as build:
        run, *others = build.wanted
        if others or build.graph.targets[run].bundle is None:
            raise BadFlag(f"{label} is no run target: it has no bundle", remedy="name a target of the rule `run`")
        root = build.workspace.root
        folds = [build.graph.targets[one].fold for one in build.graph.folds(build.labels)]
        where = Path(os.path.relpath(root / "out" / run.directory))
        packets = [root / fold.outputs["packet"] for fold in folds if fold and "packet" in fold.outputs]
    if not where.is_dir():
        raise BadFlag(f"{run} has no bundle yet", remedy=f"flowbuild {run}")
    return where, Path(os.path.relpath(packets[0])) if packets else where / PACKET
