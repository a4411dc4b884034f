"""Masks: every form of a known value is found, wherever a stream is cut."""

from __future__ import annotations

import base64
import html
import json
import shlex
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowbuild.core.mask import Mask, Stream

VALUE = "pä\"ss/w\\rd+<1>'%"


def mask(*values: str) -> Mask:
    made = Mask()
    for value in values:
        made.add(value)
    return made


FORMS = {
    "plain": VALUE,
    "base64": base64.b64encode(VALUE.encode()).decode(),
    "base64 of more": base64.b64encode(f"user:{VALUE}\n".encode()).decode(),
    "base64 for URLs": base64.urlsafe_b64encode(f"a{VALUE}".encode()).decode(),
    "wrapped base64": base64.encodebytes((VALUE * 9).encode()).decode(),
    "hexadecimal": VALUE.encode().hex(),
    "URL": quote(VALUE, safe=""),
    "URL, small": quote(VALUE, safe="").lower(),
    "form": quote_plus(VALUE),
    "path": quote(VALUE),
    "JSON": json.dumps({"k": VALUE}),
    "JSON, not ASCII": json.dumps({"k": VALUE}, ensure_ascii=False),
    "JSON in JSON": json.dumps({"body": json.dumps({"k": VALUE})}),
    "JSON in JSON, not ASCII": json.dumps({"body": json.dumps({"k": VALUE}, ensure_ascii=False)}, ensure_ascii=False),
    "Python": repr({"k": VALUE}),
    "Python, ASCII": ascii({"k": VALUE}),
    "Python, bytes": repr(VALUE.encode()),
    "Python in JSON": json.dumps({"said": repr(VALUE)}),
    "HTML": html.escape(VALUE),
    "shell": shlex.quote(VALUE),
    "over lines": VALUE[:5] + "\r\n" + VALUE[5:],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_found_and_nothing_of_it_is_left(form: str) -> None:
    data = f"before {FORMS[form]} after".encode()
    hidden = mask(VALUE).hide(data)
    assert mask(VALUE).finds(data)
    assert hidden.startswith(b"before ") and hidden.endswith(b" after") and b"***" in hidden
    left = hidden.translate(None, b"\r\n").removeprefix(b"before ").removesuffix(b" after")
    whole = data.translate(None, b"\r\n").removeprefix(b"before ").removesuffix(b" after")
    core = whole[len(whole) // 2 - 3 : len(whole) // 2 + 3]
    assert core not in left


def test_what_holds_no_value_is_as_it_was() -> None:
    data = b"pass word\r\n\n" * 5
    assert mask(VALUE).hide(data) == data and not mask(VALUE).finds(data)
    assert mask().hide(VALUE.encode()) == VALUE.encode() and not mask()
    assert not mask("short")  # would hide too much


def test_values_that_overlap_are_hidden_together() -> None:
    assert mask("abcdefgh", "efghijkl").hide(b"<abcdefghijkl>") == b"<***>"


def test_each_longer_line_of_a_value_is_one() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADAN\nshort\n"
    assert mask(key).hide(b"1: MIIEvQIBADAN\n2: short") == b"1: ***\n2: short"


@given(st.lists(st.sampled_from([VALUE, "abcdefgh", "abcdefg", "ijkl", "\n", "\r\n", " ", "x", VALUE[:7], VALUE[7:]]), max_size=12), st.data())  # fmt: skip
def test_a_stream_is_masked_as_a_whole_is_however_it_is_cut(parts: list[str], data: st.DataObject) -> None:
    whole = "".join(parts).encode()
    known = mask(VALUE, "abcdefgh", "efghijkl")
    stream, shown, at = Stream(known), b"", 0
    while at < len(whole):
        size = data.draw(st.integers(1, 9))
        shown += stream.feed(whole[at : at + size])
        at += size
        assert not known.finds(shown + stream.rest())
    rest = stream.rest()
    assert (stream.end(), stream.end()) == (rest, b"")
    assert shown + rest == known.hide(whole)


def test_a_flood_of_line_breaks_is_not_held_back() -> None:
    stream = Stream(mask("abcdefgh"))
    shown = sum(len(stream.feed(b"\n" * 65536)) for _ in range(20))
    assert shown > 65536 * 17
