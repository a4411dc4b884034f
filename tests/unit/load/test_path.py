"""Paths: one spelling, inside the workspace, the same on every machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowbuild.core.errors import BadPath
from flowbuild.load.path import check_output, check_path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a.txt", "w/p/a.txt"), ("a/b/c.txt", "w/p/a/b/c.txt"), ("a/", "w/p/a/"), ("./a", "w/p/a"),
        ("a/./b", "w/p/a/b"),
        ("a/../b", "w/p/b"), ("../x", "w/x"), ("../../x/", "x/"), (".hidden", "w/p/.hidden"), ("a..b", "w/p/a..b"),
        ("é.txt", "w/p/é.txt"), ("😀", "w/p/😀"), ("a b ", "w/p/a b "), ("CON", "w/p/CON"), ("out/x", "w/p/out/x"),
        ("x" * 255, "w/p/" + "x" * 255), ("a/-b", "w/p/a/-b"), ("../outer", "w/outer"),
    ],
)  # fmt: skip
def test_one_spelling(text: str, path: str) -> None:
    assert check_path("w/p", text) == path


BAD = [
    ("", "is empty"), ("/etc/passwd", "is absolute"), ("../../../x", "leaves the workspace"), ("..", "w"),
    ("a//b", "empty name"), ("a\\b", "backslash"), ("e\u0301", "NFC"), ("-rf", "begins with '-'"),
    ("./-rf", "begins with '-'"), ("a\0b", "control character"), ("a\nb", "control character"), ("\x7f", "control"),
    (".", "starts from"), ("./", "starts from"), ("a/..", "starts from"), ("x" * 256, "256 bytes"),
    ("é" * 128, "256 bytes"),
    ("\ud800", "UTF-8"), ("../../out/x", "where flowbuild writes"), ("../../.flowbuild/memo", "where flowbuild writes"),
    ("../../out", "where flowbuild writes"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), [row for row in BAD if row[0] != ".."])
def test_refused(text: str, message: str) -> None:
    with pytest.raises(BadPath, match=message):
        check_path("w/p", text)


@pytest.mark.parametrize("text", ["out", "out/x", ".flowbuild/x", "./out/x", "-x", "..", "../x", "."])
def test_refused_at_the_root(text: str) -> None:
    with pytest.raises(BadPath):
        check_path("", text)


@pytest.mark.parametrize("text", ["/a", "../a", "a/../b", "..", ".", "", "a//b", "-a", "a\\b"])
def test_outputs_stay_where_they_belong(text: str) -> None:
    with pytest.raises(BadPath):
        check_output(text)


@pytest.mark.parametrize(
    ("text", "path"), [("a.txt", "a.txt"), ("parts/", "parts/"), ("./a/b c", "a/b c"), ("out/x", "out/x")]
)
def test_outputs(text: str, path: str) -> None:
    assert check_output(text) == path


@given(st.text(st.sampled_from("ab./-_ \\é\0"), max_size=12), st.sampled_from(["", "w", "w/p"]))
def test_whatever_passes_is_normal(text: str, package: str) -> None:
    try:
        path = check_path(package, text)
    except BadPath:
        return
    assert not path.startswith(("/", "-", "out/")) and "//" not in path and "\\" not in path
    assert not {"", ".", ".."} & set(path.removesuffix("/").split("/"))
    assert path.endswith("/") == text.endswith("/")
    assert check_path("", path) == path
