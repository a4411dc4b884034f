"""For handlers: the types of `io`, `context` and `emit`, and the exceptions that say how a handler failed.

    from flowbuild.io import Io, RateLimited

    def fetch(page: Path, io: Io) -> None:
        reply = io.call("http", {"method": "GET", "url": "https://example.org/"}, fact_key="page")
        page.write_text(reply.response["body"])

A handler that names an argument `io`, `context` or `emit` is given it. `raise HandlerFailed("busy", retryable=True)`
asks for another attempt, if the target declares `retry`.
"""

from flowbuild.engine.door import (
    ChildRun,
    Context,
    ContextFailed,
    Emit,
    Ended,
    HandlerFailed,
    Io,
    IoFailed,
    IoResult,
    MissingFact,
    MissingFactKey,
    RateLimited,
)

__all__ = [
    "Io",
    "IoResult",
    "ChildRun",
    "Ended",
    "Context",
    "Emit",
    "HandlerFailed",
    "IoFailed",
    "MissingFact",
    "MissingFactKey",
    "RateLimited",
    "ContextFailed",
]
