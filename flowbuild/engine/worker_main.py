"""A worker: a process that calls handlers, one after another. Standard library only, and few of its modules.

Knows nothing of actions. Each task begins as if it were the first: variables, directory, search path, and the code
of the workspace are new; only distributions stay imported.

Shapes:  descriptor 3 brings one line a task: its request, a JSON document (see `worker`), or the path of one.
         Descriptor 4 takes one JSON line back: {"ok", "retire", "code", "message", "traceback", "context"}. Before
         that it may take questions, {"ask": ...}; each is answered on 3 by a line that is the path of the answer.
         Standard streams are the handler's.
         Run with a request's path as its argument it performs that one and says how it went: to reproduce a failure.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flowbuild.engine.door import Ask, Context, Emit, Io
from flowbuild.engine.guard import Guard, Undeclared
from flowbuild.engine.worker_pipe import REPLIES, REQUESTS, asking, nobody, read, write

KEPT = 64 * 1024  # characters of a message or a traceback: a reply is bounded

Request = dict[str, Any]
Reply = dict[str, Any]


def serve() -> None:
    """Perform tasks until there is no one to ask."""
    for descriptor in (REQUESTS, REPLIES):
        os.set_inheritable(descriptor, False)
    faulthandler.enable()
    variables, search = dict(os.environ), list(sys.path)
    with open(REQUESTS, encoding="utf-8") as requests:
        ask = asking(requests)
        while line := requests.readline():
            pid = os.getpid()
            reply = perform(read(line), variables, search, ask)
            if os.getpid() != pid:  # a handler forked, and this is the child: it has nothing to answer
                os._exit(0)
            write(reply)


def perform(request: Request, variables: dict[str, str], search: list[str], ask: Ask = nobody) -> Reply:
    """Call one handler, and say whether this process can serve again."""
    reply = once(request, variables, search, ask)
    return {"ok": "code" not in reply, **reply, "retire": reply.get("code") == "worker_lost" or _lingers()}


def once(request: Request, variables: dict[str, str], search: list[str], ask: Ask) -> Reply:
    """Call one handler, and leave nothing of it behind."""
    set_variables({**variables, **request["environment"]})
    sys.path[:] = dict.fromkeys([*search, *request["search"]])
    sys.argv[:] = [request["source"] or request["module"]]
    if "tempfile" in sys.modules:
        sys.modules["tempfile"].__dict__["tempdir"] = None  # it remembers the last task's
    guard = Guard(request["modules"], request["root"], request["workspace"], request["package"])
    before = set(sys.modules)
    sys.meta_path.insert(0, guard)
    try:
        os.chdir(request["cwd"])
        reply = call(request, ask)
    finally:
        if guard in sys.meta_path:
            sys.meta_path.remove(guard)
        os.chdir("/")
        _forget(request, before)
    return reply


def set_variables(wanted: dict[str, str]) -> None:
    """Have these variables and no others. Most of them stay as they are: each change is a call."""
    now = dict(os.environ)
    for name in now.keys() - wanted.keys():
        del os.environ[name]
    os.environ.update({name: value for name, value in wanted.items() if now.get(name) != value})


def call(request: Request, ask: Ask) -> Reply:
    """Import the handler and call it; what it changed in the context, when it returned what it should."""
    doors = _doors(request, ask)
    try:
        try:
            returned = handler(request)(**{k: argument(v) for k, v in request["arguments"].items()}, **doors)
        finally:
            _flush()
    except Undeclared as error:
        return {"code": "undeclared_module", "message": _cut(str(error)), "traceback": ""}
    except SystemExit as error:
        return {"code": "worker_lost", "message": f"the handler called sys.exit({error.code!r})", "traceback": ""}
    except BaseException as error:
        reply = _raised(error, request["root"])
        return {**reply, "context": doors["context"].changes()} if request.get("keeps_failed") else reply
    if request.get("returns"):
        return _keep(returned, request)
    if returned is not None:
        said = f"{request['function']}() returned {_cut(repr(returned), 200)}; a handler returns None"
        return {"code": "handler_returned", "message": said, "traceback": ""}
    return {"context": doors["context"].changes()} if "context" in doors else {}


def _doors(request: Request, ask: Ask) -> dict[str, Any]:
    """What the handler asked for by name."""
    made = {
        "io": Io(ask),
        "emit": Emit(ask),
        "context": Context(request["context"], request["reads"], request["writes"]),
    }
    return {name: made[name] for name in request["doors"]}


def _keep(returned: object, request: Request) -> Reply:
    """Write what a step's handler returned where the step's result is expected."""
    from flowbuild.core.canonical import canonical
    from flowbuild.core.errors import FlowError

    said = f"{request['function']}() returned {_cut(repr(returned), 200)}; a step's handler returns a JSON object"
    if not isinstance(returned, dict):
        return {"code": "handler_returned", "message": said, "traceback": ""}
    try:
        data = canonical(returned)
    except (FlowError, TypeError) as error:
        return {"code": "handler_returned", "message": f"{said} ({error})", "traceback": ""}
    Path(request["returns"]).write_bytes(data)
    return {}


def handler(request: Request) -> Callable[..., object]:
    """The function that a request names."""
    from importlib import import_module

    return getattr(import_module(request["module"]), request["function"])  # type: ignore[no-any-return]


def argument(doc: dict[str, Any]) -> Any:
    """What a handler is given for one document of an argument."""
    if "path" in doc:
        return Path(doc["path"])
    return [Path(path) for path in doc["paths"]] if "paths" in doc else doc["value"]


def _raised(error: BaseException, root: str) -> Reply:
    """An exception as people read it: from the handler's own frames on, with paths as in the workspace."""
    import traceback

    info = getattr(error, "info", None) if getattr(error, "__flowbuild_error__", False) else None
    if getattr(error, "__flowbuild_message__", False):
        return {"code": "handler_raised", "message": _cut(str(error)), "traceback": ""}
    frames = error.__traceback__
    while frames is not None and _is_ours(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    text = _printable("".join(traceback.format_exception(type(error), error, frames)).replace(root + os.sep, ""))
    message = "".join(traceback.format_exception_only(type(error), error)).strip().replace(root + os.sep, "")
    if isinstance(error, SyntaxError):
        where = f" ({error.filename}:{error.lineno})" if error.filename else ""
        message = f"{type(error).__name__}: {error.msg}{where}".replace(root + os.sep, "")
    if isinstance(info, dict):
        return {**info, "message": _cut(str(info["message"])), "details": None, "traceback": text[-KEPT:]}
    return {"code": "handler_raised", "message": _cut(message), "traceback": text[-KEPT:]}


def _is_ours(file: str) -> bool:
    """Whether a frame is the worker's or the import system's."""
    return file == __file__ or file.startswith("<frozen importlib") or "/importlib/" in file


def _cut(text: str, limit: int = KEPT) -> str:
    text = _printable(text)
    return text if len(text) <= limit else text[:limit] + "…"


def _printable(text: str) -> str:
    """A text that UTF-8 can hold: names of files that aren't come into messages as lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def _forget(request: Request, before: set[str]) -> None:
    """Drop the code of the workspace, so that the next task reads its own. None of it was there before."""
    staged = os.path.dirname(request["root"]) + os.sep
    for name in sys.modules.keys() - before | sys.modules.keys() & request["modules"].keys():
        if name in request["modules"] or str(getattr(sys.modules[name], "__file__", None) or "").startswith(staged):
            del sys.modules[name]
    for name in request["modules"]:  # and the namespaces that only led to it
        while name := name.rpartition(".")[0]:
            if name in sys.modules and getattr(sys.modules[name], "__file__", None) is None:
                del sys.modules[name]
    for entry in [entry for entry in sys.path_importer_cache if entry.startswith(staged)]:
        del sys.path_importer_cache[entry]
    if "linecache" in sys.modules:
        sys.modules["linecache"].clearcache()


def _lingers() -> bool:
    """Whether a thread or a child of the handler still runs: then this process is no clean place any more."""
    if "threading" in sys.modules and sys.modules["threading"].active_count() > 1:
        return True
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def reproduce(path: str) -> int:
    """Perform one request in the foreground."""
    reply = perform(json.loads(Path(path).read_bytes()), dict(os.environ), list(sys.path))
    if not reply["ok"]:
        print((reply["traceback"] or reply["message"]).rstrip("\n"), file=sys.stderr)
    return 0 if reply["ok"] else 1


if __name__ == "__main__":
    sys.exit(reproduce(sys.argv[1]))
