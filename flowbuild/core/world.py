"""The world: a fingerprint of the host as far as it decides what a kernel lets a process do.

Knows nothing of policies or runs. It reads the host and changes nothing; it imports little, because a build that has
nothing to do asks for it too. Evidence of one world is never served as another's.

The facts, none of them a time, a process id or an id of this boot; what a host does not say is null:

    machine_id, machine_id_source   SHA-256 of the machine's id, and where the id was read; `hostname` is a substitute
                                    for a host without one, and two hosts of one name are then one machine
    kernel, release, architecture   as uname says
    product                         macOS: the product version
    lsm                             Linux security modules, in order
    landlock_abi                    the version that this process may use
    max_user_namespaces, unprivileged_userns_clone, apparmor_restrict_unprivileged_userns     sysctl settings
    is_root, capabilities           effective user 0 or not; the effective set in hexadecimal
    seccomp, seccomp_filters, no_new_privs                               what is on this process already

Shapes:  world id, `<linux|darwin>-<architecture>-<16 hex digits>` of SHA-256 over the facts, sorted compact JSON.
Source:  proc(5), machine-id(5), landlock(7).
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping

Fact = str | int | bool | list[str] | None

_LANDLOCK_CREATE_RULESET, _LANDLOCK_VERSION = 444, 1
_MACHINE_ID_FILES = ("/etc/machine-id", "/var/lib/dbus/machine-id")


def facts() -> dict[str, Fact]:
    """The facts of this host and process, as documented above. The same keys everywhere."""
    host = os.uname()
    machine_id, source = _machine_id(host.nodename)
    status = _status(_read("/proc/self/status") or "")
    lsm = _read("/sys/kernel/security/lsm")
    return {
        "machine_id": hashlib.sha256(f"flowbuild world {machine_id}".encode()).hexdigest(),
        "machine_id_source": source,
        "kernel": host.sysname,
        "release": host.release,
        "architecture": host.machine,
        "product": _product(),
        "lsm": lsm.split(",") if lsm else None,
        "landlock_abi": _landlock_abi(),
        "max_user_namespaces": _setting("user/max_user_namespaces"),
        "unprivileged_userns_clone": _setting("kernel/unprivileged_userns_clone"),
        "apparmor_restrict_unprivileged_userns": _setting("kernel/apparmor_restrict_unprivileged_userns"),
        "is_root": os.geteuid() == 0,
        "capabilities": status.get("CapEff"),
        "seccomp": _number(status.get("Seccomp")),
        "seccomp_filters": _number(status.get("Seccomp_filters")),
        "no_new_privs": _number(status.get("NoNewPrivs")),
    }


def world_id(known: Mapping[str, Fact] | None = None) -> str:
    """The id of this host's world, or of the one that some facts describe."""
    said = facts() if known is None else known
    system = str(said["kernel"]).lower()
    return f"{system}-{said['architecture']}-{hashlib.sha256(_compact(said)).hexdigest()[:16]}"


def _machine_id(hostname: str) -> tuple[str, str]:
    for path in _MACHINE_ID_FILES:
        found = _read(path)
        if found and found != "uninitialized":
            return found, path
    if sys.platform == "darwin":
        found = _host_uuid()
        if found:
            return found, "gethostuuid"
    return hostname, "hostname"


def _read(path: str) -> str | None:
    """A small file's text, stripped; None when it is absent, hidden or empty."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(descriptor, 65536).decode("utf-8", "replace").strip() or None
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _status(text: str) -> dict[str, str]:
    return dict(line.replace("\t", "").split(":", 1) for line in text.splitlines() if ":" in line)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None


def _setting(name: str) -> int | None:
    return _number(_read(f"/proc/sys/{name}"))


def _landlock_abi() -> int | None:
    if not sys.platform.startswith("linux"):
        return None
    import ctypes  # only here: it is a third of the time that all facts take

    ask = ctypes.CDLL(None).syscall
    ask.restype = ctypes.c_long
    words = [ctypes.c_long(n) for n in (_LANDLOCK_CREATE_RULESET, 0, 0, _LANDLOCK_VERSION)]
    abi: int = ask(*words)
    return abi if abi > 0 else None


def _product() -> str | None:
    if sys.platform != "darwin":
        return None
    import ctypes

    size = ctypes.c_size_t(64)
    buffer = ctypes.create_string_buffer(size.value)
    found = ctypes.CDLL(None).sysctlbyname(
        b"kern.osproductversion", buffer, ctypes.byref(size), None, ctypes.c_size_t(0)
    )
    return buffer.value.decode() if found == 0 else None


def _host_uuid() -> str | None:
    import ctypes

    buffer = ctypes.create_string_buffer(16)
    patience = (ctypes.c_long * 2)(1, 0)  # a timespec: one second
    found = ctypes.CDLL(None).gethostuuid(buffer, patience)
    return buffer.raw.hex() if found == 0 else None


def _compact(known: Mapping[str, Fact]) -> bytes:
    """Sorted compact JSON, as `json` would write it; a test holds them equal."""
    return ("{" + ",".join(f"{_json(key)}:{_json(known[key])}" for key in sorted(known)) + "}").encode()


def _json(value: Fact) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return "[" + ",".join(map(_json, value)) + "]"
    if value.isascii() and value.isprintable() and '"' not in value and "\\" not in value:
        return f'"{value}"'
    import json  # a strange host name or release; `json` costs more to import than all of this to run

    return json.dumps(value)
