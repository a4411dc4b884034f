"""The preflight: a program that applies each restriction alone, sends canaries, and records what was achieved.

Knows nothing of plans. A restriction counts for what its canaries met, not for what a call returned: each operation
that it covers is performed without it and under it, in fresh processes. In a clean channel, canaries go through the
channel's own door too (`isolation`). It is a host check, not a state.

Shapes:  record, {operations: {`key:value`: {status, mechanism, abi, errno, errno_name, leaves, untested}},
         sandbox_check_self: {source, sandboxed, ...}, apply_report, apply_ok, failure_stage, channel, isolation}.
         `isolation` is null in `direct`. apply_ok: every restriction can be applied, and the channel holds all of its
         own, leaving nothing open.
         enforced: every canary was refused. degraded: some were (`leaves` names the others), or all by means that the
         apply report calls degraded, or this host refuses all of them anyway, which proves nothing (`untested`).
         unavailable: it can't be applied, or stops nothing. errno is the first canary's, or the failed
         mechanism's.
Errors:  exit 0 with a record, whatever it says. Anything else says that the preflight itself broke.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from typing import Any

from flowbuild.engine import probe, restrict

# A test asserts that there is a canary for each operation that a restriction covers.
CANARIES: Mapping[str, str] = {
    "file-read-data": "outside/file",
    "file-read-directory": "outside/directory",
    "file-write-data": "outside/file",
    "file-write-create": "outside/canary",
    "file-write-truncate": "outside/file",
    "file-write-unlink": "outside/file",
    "process-exec": "/bin/sh",
    "network-outbound": "127.0.0.1:0",
    "network-bind": "127.0.0.1:0",
    "network-outbound-udp": "127.0.0.1:0",
    "signal": "victim",
    "process-info": "victim",
    "environment-read": "FLOWBUILD_CANARY",
}


def command(channel: str = "direct") -> list[str]:
    """The argv of this program."""
    return [*probe.command("preflight"), channel]


def main() -> int:
    """Print the record of this host, as this process may use it."""
    probe.take_charge()
    found = check(*sys.argv[2:])
    sys.stdout.write(json.dumps(found, sort_keys=True, separators=(",", ":")) + "\n")
    return 0


def isolation_digest(record: Mapping[str, Any]) -> str:
    """The digest of what was achieved. Action keys hold it; the rest of a record is how it was found out."""
    achieved = record["operations"]
    if record["isolation"] is not None:
        achieved = {"restrictions": achieved, "channel": record["isolation"]["operations"]}
    text = json.dumps(achieved, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def check(channel: str = "direct") -> dict[str, Any]:
    """Try every restriction alone, then the channel."""
    open_anyway = {name: _send(name, {})["actual"] == "allow" for name in CANARIES}
    achieved, report = {}, []
    for key, values in restrict.VALUES.items():
        for value in values:
            name = f"{key}:{value}"
            rows = [_send(operation, {key: value}) for operation in restrict.COVERS[name]]
            steps = rows[0]["runtime_result"]["apply_report"]
            achieved[name] = achievement(name, rows, steps, open_anyway)
            report += [step for step in steps if step not in report]
    isolation = None if channel == "direct" else _isolation(channel)
    is_whole = all(entry["status"] != restrict.UNAVAILABLE for entry in achieved.values())
    is_whole = is_whole and (isolation is None or is_held(isolation))
    return {
        "operations": achieved,
        "sandbox_check_self": sandbox_check_self(),
        "apply_report": report,
        "apply_ok": is_whole,
        "failure_stage": None if is_whole else "apply",
        "channel": channel,
        "isolation": isolation,
    }


def is_held(isolation: Mapping[str, Any]) -> bool:
    """Whether a channel holds all that it promises, and what is declared can still be done in it."""
    entries = isolation["operations"].values()
    return bool(isolation["works"]) and not any(
        entry["status"] == restrict.UNAVAILABLE or entry["leaves"] for entry in entries
    )


def _isolation(channel: str) -> dict[str, Any]:
    from flowbuild.engine import isolation  # only where a channel is asked for

    return isolation.check(channel)


def achievement(
    name: str, rows: list[dict[str, Any]], steps: list[dict[str, Any]], open_anyway: Mapping[str, bool]
) -> dict[str, Any]:
    """What one restriction came to, from its canaries' rows and its apply report."""
    own = [step for step in steps if step["operation"] == name]
    means = [step for step in own if step["status"] != restrict.UNAVAILABLE]
    tested = [row for row in rows if open_anyway[row["operation"]]]
    refused = [row for row in tested if row["actual"] == "deny"]
    leaves = [row["operation"] for row in tested if row["actual"] != "deny"]
    if not means or (tested and not refused):
        status = restrict.UNAVAILABLE
    elif not refused or leaves or any(step["status"] == restrict.DEGRADED and not step["leaves"] for step in means):
        status = restrict.DEGRADED
    else:
        status = restrict.ENFORCED
    evidence = refused[0]["runtime_result"] if refused else own[-1] if own else {}
    return {
        "status": status,
        "mechanism": "+".join(step["mechanism"] for step in means) or None,
        "abi": next((step["abi"] for step in own if step["abi"]), None),
        "errno": evidence.get("errno"),
        "errno_name": evidence.get("errno_name"),
        "leaves": leaves,
        "untested": [row["operation"] for row in rows if not open_anyway[row["operation"]]],
    }


def sandbox_check_self() -> dict[str, Any]:
    """Whether this process is in a sandbox already, as far as it can be told: an outer Landlock domain can't be."""
    if sys.platform == "darwin":
        from flowbuild.engine.seatbelt import is_sandboxed

        return {"source": "sandbox_check", "sandboxed": is_sandboxed()}
    from flowbuild.core.world import facts

    said = facts()
    mode, no_new_privs = said["seccomp"], said["no_new_privs"]
    # no_new_privs alone is what a container sets, and what a Landlock domain needs: it does not tell which
    sandboxed = True if mode else None if mode is None or no_new_privs else False
    return {"source": "/proc/self/status", "sandboxed": sandboxed, "seccomp": mode, "no_new_privs": no_new_privs}


def _send(operation: str, policy: Mapping[str, str]) -> dict[str, Any]:
    request = {"name": operation, "operation": operation, "target": CANARIES[operation]}
    return probe.run({"lane": "scenario", "profile": None, "restrict": policy, "probe": request})


if __name__ == "__main__":
    sys.argv.insert(1, "")  # where `command` has the place of the package
    sys.exit(main())
