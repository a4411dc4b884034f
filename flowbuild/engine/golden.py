"""The handler of the rule `golden`: is an output what it was?

Knows nothing of targets but a label and a path to show. JSON is compared as JSON, without what is volatile; text by
lines; anything else by bytes; directories file by file. Standard library only: it runs in a worker.

Shapes:  a verdict is {"golden", "label", "verdict": "equal"}.
Errors:  Differs, whose message is what a person reads.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, NamedTuple

SHOWN = 10  # differences that a message shows
WIDTH = 100  # characters of each side
MATCHED = 2000  # lines beyond which no best match is sought: that takes quadratic time

STYLES: tuple[dict[str, Any], ...] = tuple(
    {"indent": indent, "ensure_ascii": ascii_} for indent in (2, 4, "\t", 1) for ascii_ in (True, False)
)


class Differs(Exception):
    """The output is not the golden one."""

    __flowbuild_message__ = True


class Difference(NamedTuple):
    """One place where the two differ. None is a side that has nothing there."""

    place: str
    old: str | None
    new: str | None

    def __str__(self) -> str:
        sides = [f"{sign} {_short(text)}" for sign, text in (("-", self.old), ("+", self.new)) if text is not None]
        return "   ".join([self.place, *sides])


def compare(
    actual: Path, expected: list[Path] | Path | None, verdict: Path, volatile: list[str], label: str, golden: str
) -> None:
    """Compare an output with its golden file or directory, and write the verdict."""
    known = Path(golden) if actual.is_dir() and isinstance(expected, list) and expected else expected
    if isinstance(known, list):
        known = known[0] if known else None
    accept = f"accept it with: flowbuild test {label} --update-goldens"
    if known is None or not known.exists():
        raise Differs(f"{golden}   no golden yet\n{accept}")
    if not actual.exists():
        raise Differs(f"{golden}   nothing to compare: what it compares was not made")
    found = list(_compare(actual, known, volatile, golden.rstrip("/")))
    if found:
        more = [f"... and {len(found) - SHOWN} more differences"] if len(found) > SHOWN else []
        raise Differs("\n".join([*map(str, found[:SHOWN]), *more, accept]))
    verdict.write_text(json.dumps({"golden": golden, "label": label, "verdict": "equal"}) + "\n")


def _compare(actual: Path, known: Path, volatile: list[str], place: str) -> Iterator[Difference]:
    if actual.is_dir() != known.is_dir():
        kinds = ["a directory" if path.is_dir() else "a file" for path in (known, actual)]
        yield Difference(place, *kinds)
    elif actual.is_dir():
        yield from _directories(actual, known, volatile, place)
    else:
        yield from _files(actual.read_bytes(), known.read_bytes(), volatile, place)


def _directories(actual: Path, known: Path, volatile: list[str], place: str) -> Iterator[Difference]:
    old, new = ({path.relative_to(root): path for path in root.rglob("*")} for root in (known, actual))
    for name in sorted({*old, *new}):
        if name not in new or name not in old:
            yield Difference(f"{place}/{name}", "is there" if name in old else None, "is new" if name in new else None)
        elif not (old[name].is_dir() and new[name].is_dir()):
            yield from _compare(new[name], old[name], volatile, f"{place}/{name}")


def _files(new: bytes, old: bytes, volatile: list[str], place: str) -> Iterator[Difference]:
    if new == old:
        return
    try:
        new_text, old_text = new.decode(), old.decode()
    except UnicodeDecodeError:
        at = next(
            (index for index, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new))
        )
        yield Difference(f"{place}: byte {at}", f"{len(old)} bytes", f"{len(new)} bytes")
        return
    if volatile or place.endswith(".json"):
        try:
            docs = json.loads(new_text), json.loads(old_text)
        except ValueError:
            pass
        else:
            yield from _documents(*docs, old_text, volatile, place)
            return
    yield from _lines(new_text.splitlines(keepends=True), old_text.splitlines(keepends=True), place)


def _documents(new: Any, old: Any, text: str, volatile: list[str], place: str) -> Iterator[Difference]:
    """The differences of two JSON documents: by line when the golden is printed in a known style, else by pointer."""
    for pointer in volatile:
        # The golden's own value stands in for both: so its lines keep their numbers.
        new = _overlay(new, old, pointer)
    if _canonical(new) == _canonical(old):
        return
    for style in STYLES:
        if json.dumps(old, **style) == text.rstrip("\n"):
            printed = json.dumps(_ordered(new, old), **style)
            for place_, was, is_ in _lines(printed.splitlines(), text.splitlines(), place):
                yield Difference(place_, *(side and side.strip().rstrip(",") for side in (was, is_)))
            return
    yield from _pointers(new, old, place + "#")


def _pointers(new: Any, old: Any, place: str) -> Iterator[Difference]:
    if type(new) is type(old) and isinstance(new, dict | list):
        pairs = [dict(enumerate(side)) if isinstance(side, list) else side for side in (new, old)]
        for key in [*pairs[1], *(key for key in pairs[0] if key not in pairs[1])]:
            inner = f"{place}/{str(key).replace('~', '~0').replace('/', '~1')}"
            if all(key in side for side in pairs):
                yield from _pointers(pairs[0][key], pairs[1][key], inner)
            else:
                was, is_ = (_canonical(side[key]) if key in side else None for side in reversed(pairs))
                yield Difference(inner, was, is_)
    elif _canonical(new) != _canonical(old):
        yield Difference(place, _canonical(old), _canonical(new))


def _lines(new: list[str], old: list[str], place: str) -> Iterator[Difference]:
    """The differences of two texts, at the lines of the old one. What only one side has stands at where it would be."""
    first = next((n for n, (a, b) in enumerate(zip(new, old, strict=False)) if a != b), min(len(new), len(old)))
    if max(len(new), len(old)) - first > MATCHED:
        blocks = [(first, len(old), first, len(new))]
    else:
        codes = SequenceMatcher(None, old[first:], new[first:], autojunk=False).get_opcodes()
        blocks = [(a + first, b + first, c + first, d + first) for tag, a, b, c, d in codes if tag != "equal"]
    for a, b, c, d in blocks:
        for offset in range(max(b - a, d - c)):
            was = old[a + offset] if a + offset < b else None
            is_ = new[c + offset] if c + offset < d else None
            if was != is_:
                yield Difference(f"{place}:{min(a + offset, max(b, a + 1) - 1) + 1}", *_visible(was, is_))


def _visible(was: str | None, is_: str | None) -> tuple[str | None, str | None]:
    """Two lines without their ends, unless the ends are all that differs."""
    old, new = (side if side is None else side.rstrip("\r\n") for side in (was, is_))
    return (repr(was), repr(is_)) if old == new else (old, new)


def _overlay(new: Any, old: Any, pointer: str) -> Any:
    """`new` with the value that `old` has at a pointer, or without one."""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    changed = copy.deepcopy(new)
    above, source = changed, old
    for part in parts[:-1]:
        above, source = _child(above, part), _child(source, part)
    if isinstance(above, dict) and parts:
        above.pop(parts[-1], None)
        if isinstance(source, dict) and parts[-1] in source:
            above[parts[-1]] = source[parts[-1]]
    elif isinstance(above, list) and _child(above, parts[-1]) is not None:
        above[int(parts[-1])] = _child(source, parts[-1])
    return changed


def _child(doc: Any, part: str) -> Any:
    if isinstance(doc, dict):
        return doc.get(part)
    return doc[int(part)] if isinstance(doc, list) and part.isdecimal() and int(part) < len(doc) else None


def _ordered(new: Any, old: Any) -> Any:
    """`new` with its keys in the order of `old`: order is no difference, and should not look like one."""
    if isinstance(new, dict):
        known = old if isinstance(old, dict) else {}
        keys = [key for key in known if key in new] + [key for key in new if key not in known]
        return {key: _ordered(new[key], known.get(key)) for key in keys}
    if isinstance(new, list):
        others = old if isinstance(old, list) else []
        return [_ordered(item, others[n] if n < len(others) else None) for n, item in enumerate(new)]
    return new


def _canonical(doc: Any) -> str:
    return json.dumps(doc, sort_keys=True, ensure_ascii=False)


def _short(text: str) -> str:
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"
