"""The null table: proof that nothing moved since a build that had nothing left to do, by stat data and nothing else.

Knows nothing of labels, graphs or runs: a build says what its answer rested on (rows.py), and this says whether all of
it still stands. What stat can't see is not seen here either.

Approach. `check` is the whole cost of a build that has nothing to do, so it walks no graph and makes no objects. Files
are grouped by directory, which makes a look-up one name long. A group keeps its names in one string, and *one number*:
the hash of all its rows. Two states of a group have the same number once in 2^61 changes, which is less often than a
disk gives back a wrong byte; keeping every number made the table twice as long and the check a tenth slower.
CPU time for 30,000 files in 456 directories, Python 3.11, Linux 6.18: os.stat alone 56 ms, this 63, columns of exact
numbers 69 to 72, and a chdir to each directory 61. Slower still are joined paths (a fifth) and os.scandir with
entry.stat (a half). statx through ctypes takes 52 and 2 for its import, but knows one system's structures.

Shapes:  .flowbuild/null/<CRC-32 of the key>: a header line, CRC-32 of the body, the body in marshal's form. Another
         header, checksum or key is an absent table. Paths are relative to the workspace root, absolute outside of it.
Errors:  none. A table that can't be read is no table.
Source:  DESIGN.md, section 5.
"""

import marshal
import os
import sys
import zlib
from operator import attrgetter

from flowbuild.version import __version__

TYPE_CHECKING = False  # importing typing costs as much as checking 3,000 files
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    Group = tuple[bytes, bytes, int]

PLACE = ".flowbuild/null"
FILE = attrgetter("st_size", "st_mtime_ns", "st_ctime_ns", "st_ino", "st_mode")
"""The row of a file: what must stay of it."""
OBJECT = attrgetter("st_size", "st_mtime_ns", "st_mode")
"""The row of an object in a content-addressed store: another file with the same bytes is as good."""

_FORMAT = 1
_SEARCH = ("PYTHONPATH", "PYTHONUSERBASE", "PYTHONNOUSERSITE")
# O_PATH opens what may be searched but not read, and touches nothing. macOS has no such thing.
_DIRECTORY = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC


def check(root: str, key: str) -> str | None:
    """The answer to print, if everything that it rested on still stands; else None."""
    try:
        with open(place(root, key), "rb", buffering=0) as file:
            data = memoryview(file.read())
        mark = header()
        start = len(mark) + 4
        if data[: start - 4] != mark or data[start - 4 : start] != checksum(data[start:]):
            return None
        whose, text, *rest = marshal.loads(data[start:])
        if whose != key:
            return None
        top = os.open(root, _DIRECTORY)
        try:
            return text if _stands(root, top, *rest) else None
        finally:
            os.close(top)
    except (OSError, ValueError, EOFError, TypeError):
        return None


def place(root: str, key: str) -> str:
    """Where the table of a key lies. Keys that clash share the place, never the answer: the key is in the table."""
    return f"{root}/{PLACE}/{zlib.crc32(key.encode('utf-8', 'surrogatepass')):08x}"


def checksum(body: "bytes | memoryview") -> bytes:
    """Four bytes that tell a torn or rotten table, before marshal sees it."""
    return zlib.crc32(body).to_bytes(4, "big")


def header() -> bytes:
    """Whose table it is: of this format, interpreter and flowbuild, and of this boot of the host.

    Two virtual environments of one interpreter, and two search paths, hold different distributions.

    After a power cut a file may have its old times and lost its bytes, if nobody flushed it. The slow road knows
    which those are. Hosts that don't say which boot it is (macOS) have file systems that write bytes before times.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb", buffering=0) as file:
            boot = file.read(36).decode("ascii", "replace")
    except OSError:
        boot = "-"
    tag = sys.implementation.cache_tag
    where = "\0".join([sys.prefix, *(os.environ.get(name, "") for name in _SEARCH)])
    path = zlib.crc32(where.encode("utf-8", "surrogateescape"))
    return f"flowbuild null {_FORMAT} {tag} {sys.hexversion:x} {path:08x} {__version__} {boot}\n".encode()


def _stands(
    root: str,
    top: int,
    environment: "Iterable[tuple[str, str | None]]",
    worlds: "Iterable[str]",
    directories: "Iterable[tuple[str, int, int, int, list[str], frozenset[str]]]",
    absent: "Iterable[str]",
    files: "Iterable[Group]",
    objects: "Iterable[Group]",
) -> bool:
    """Everything, what is cheap or moves often first. Relative paths are looked up from `top`, a descriptor."""
    return (
        all(os.environ.get(name) == value for name, value in environment)
        and all(_lists_the_same(root, top, *row) for row in directories)
        and not any(os.access(path, os.F_OK, dir_fd=top) for path in absent)
        and all(tally(top, FILE, where, names) == rows for where, names, rows in files)
        and all(tally(top, OBJECT, where, names) == rows for where, names, rows in objects)
        and all(map(_is_same_world, worlds))
    )


def _lists_the_same(
    root: str, top: int, path: str, mtime: int, ctime: int, inode: int, names: list[str], ignored: frozenset[str]
) -> bool:
    """A directory that moved is listed again: builds make files beside those that they read."""
    found = os.stat(path, dir_fd=top)
    if found.st_mtime_ns == mtime and found.st_ctime_ns == ctime and found.st_ino == inode:
        return True
    return listing(os.path.join(root, path), ignored) == names


def listing(path: str, ignored: "Collection[str]") -> list[str]:
    """The names in a directory, sorted: `name`, `name/` for a directory, `name/target` for a symbolic link, `name//`
    for what is none of these and no file."""
    with os.scandir(path) as entries:
        return sorted(_marked(entry) for entry in entries if entry.name not in ignored)


def _marked(entry: "os.DirEntry[str]") -> str:
    if entry.is_symlink():
        return f"{entry.name}/{os.readlink(entry.path)}"
    if entry.is_dir():
        return f"{entry.name}/"
    return entry.name if entry.is_file() else f"{entry.name}//"


def tally(top: int, row: "Callable[[os.stat_result], object]", directory: bytes, names: bytes) -> int:
    """One number for the rows of some names in a directory. Hashes of whole numbers are the same in each process."""
    stat = os.stat
    within = os.open(directory, _DIRECTORY, dir_fd=top)
    try:
        return hash(tuple(map(row, [stat(name, dir_fd=within) for name in names.split(b"\0")])))
    finally:
        os.close(within)


def _is_same_world(recorded: str) -> bool:
    from flowbuild.core.world import world_id  # reads the host, so only where an answer rested on it

    return world_id() == recorded
