"""What a run of this workspace may reach outside: the transports that its flowbuild.yaml allows.

Knows nothing of facts or of who asks. Made when the first question needs it, and never for a replay.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flowbuild.engine.reaper import Reaper
from flowbuild.engine.transport import Replying, Router
from flowbuild.engine.transport_exec import ExecTransport
from flowbuild.engine.transport_http import Credential, HttpTransport
from flowbuild.engine.transport_local import clock, draw, read_file, variables
from flowbuild.load.config import Outside as Settings
from flowbuild.store.journal import now_millis


class Outside:
    """The transports of one run. `directory` is theirs to keep streams in."""

    def __init__(self, settings: Settings, reaper: Reaper, directory: Path, environment: Mapping[str, str]) -> None:
        self._settings = settings
        self._reaper = reaper
        self._directory = directory
        self._environment = environment
        self._router: Router | None = None

    def call(self, namespace: str, request: Any) -> Replying:
        """The reply of the transport that serves a namespace."""
        if self._router is None:
            self._router = self._made()
        return (yield from self._router.call(namespace, request))

    def _made(self) -> Router:
        credentials = {name: Credential(**one) for name, one in self._settings.credentials.items()}
        return Router(
            [
                ("exec", ExecTransport(self._reaper, self._directory, self._settings.programs)),
                ("http", HttpTransport(self._reaper, self._directory, credentials, self._environment)),
                ("file", read_file),
                ("env", variables(self._environment)),
                ("clock", clock(now_millis)),
                ("random", draw),
            ]
        )
