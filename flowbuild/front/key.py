"""The command `key new`: a pair of keys for signing promotions.

Knows nothing of what is signed. No key is made where a build could take it for an input.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flowbuild.front.flags import Directory, Json, requested

app = typer.Typer(help="Keys that sign promotions.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Keys that sign promotions."""


@app.command()
def new(
    where: Annotated[
        str, typer.Argument(metavar="DIR/|FILE", help="Where the private key goes; the public one lies beside.")
    ],
    directory: Directory = "",
    json: Json = False,
) -> int:
    """Make an ed25519 key pair. The private key is readable by you alone, and is nowhere else."""
    from flowbuild.bundle.envelope import new_key
    from flowbuild.core.errors import BadPath, UserError
    from flowbuild.front.console import console
    from flowbuild.load.workspace import find_root
    from flowbuild.store.refusal import refused

    request = requested("key", locals())
    path, out = (Path(request.directory) / where), console(request)
    try:
        root = find_root((path if path.is_dir() else path.parent).resolve())
    except UserError:
        root = None
    if root is not None:
        raise BadPath(
            f"{path} lies in the workspace {root}, where an action could take the key for an input",
            remedy="name a place outside of it, such as ~/.config/flowbuild.key",
        )
    if where.endswith("/"):  # a trailing slash is a directory, whether it is there or not
        with refused(path):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = new_key(path)
    out.emit({"key_id": made.key_id, "private": str(made.private), "public": str(made.public)})
    out.line(f"private  {made.private}\npublic   {made.public}\nkey id   {made.key_id}")
    return 0
