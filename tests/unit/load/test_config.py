"""flowbuild.yaml: every default, every fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowbuild.load.config import Outside
from flowbuild.load.runtime import Runtime

from .conftest import Loading


def test_an_empty_file_takes_every_default(loading: Loading) -> None:
    config = loading.open().config
    assert (config.name, config.runtime, config.stage) == ("w", Runtime(), True)
    assert config.cache_dir == loading.root / ".flowbuild"
    assert config.path == ("/usr/local/bin", "/usr/bin", "/bin")
    assert config.ignore == ("out/", ".flowbuild/", ".git/", "**/__pycache__/")
    assert (config.pools, config.bundle_max_input, config.max_items) == ({}, 2**20, 10_000)
    assert config.outside == Outside(("/nix/store",), {}, None)


def test_everything_said(loading: Loading) -> None:
    loading.write(
        "flowbuild.yaml",
        "name: n\nruntime: {engine: proc, executor_path: ./x -v, language: c}\ncache: {dir: ../shared}\npath: [/bin]\nignore: ['*.tmp']\n"
        "pools: {gpu: 2}\nstage: false\nbundle: {max_input: 0}\nfanout: {max_items: 7}\n"
        "io: {programs: [/opt/bin], credentials: {own: {variable: TOKEN}}, secret_key: KEY}\n",
    )
    config = loading.open().config
    assert (config.name, config.runtime, config.stage) == ("n", Runtime("proc", "c", "c", ("./x", "-v")), False)
    assert config.cache_dir == loading.root.parent / "shared"
    assert (config.path, config.ignore) == (("/bin",), ("*.tmp",))
    assert (config.pools, config.bundle_max_input, config.max_items) == ({"gpu": 2}, 0, 7)
    own = {"variable": "TOKEN", "header": "Authorization", "prefix": "Bearer "}
    assert config.outside == Outside(("/opt/bin",), {"own": own}, "KEY")


@pytest.mark.parametrize("written", ["/var/cache/x", "~/x"])
def test_a_cache_elsewhere(loading: Loading, written: str) -> None:
    loading.write("flowbuild.yaml", f"cache: {{dir: '{written}'}}\n")
    assert loading.open().config.cache_dir == Path(written).expanduser()


def test_a_cache_within_the_workspace_is_no_part_of_it(loading: Loading) -> None:
    loading.write("flowbuild.yaml", "cache: {dir: build/cache}\n")
    assert loading.open().ignore.matches("build/cache/x")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("runtme: {}", "1:1: flowbuild.yaml has no 'runtme'; did you mean 'runtime'?"),
        ("runtime: {engin: x}", "1:11: runtime has no 'engin'; did you mean 'engine'?"),
        ("runtime: fast", "1:10: 'runtime' is a mapping, and here stands the string 'fast'"),
        ("runtime: {engine: 3}", "1:19: 'engine' is a string, and here stands the number 3; quote it"),
        ("stage: no", "1:8: 'stage' is a boolean, and here stands the string 'no'; write true or false"),
        ("path: [bin]", "1:8: 'bin' is not an absolute directory; PATH holds absolute directories"),
        ("path: ['/a:/b']", "1:8: '/a:/b' is not an absolute directory; PATH holds absolute directories"),
        ("path: /bin", "1:7: 'path' is a list, and here stands the string '/bin'; write it as [one, two]"),
        ("ignore: ['[z-a]']", "1:10: the pattern '[z-a]' can't be read: bad character range z-a at position 10"),
        ("pools: {gpu: 0}", "1:14: the pool 'gpu' has no room; write a number above zero"),
        ("pools: {gpu: many}", "1:14: 'pool' is an integer, and here stands the string 'many'"),
        ("bundle: {max_input: -1}", "1:21: `max_input` is a number of bytes"),
        ("fanout: {max_items: 0}", "1:21: `max_items` is a number from 1 to 100,000"),
        ("fanout: {max_items: 100001}", "1:21: `max_items` is a number from 1 to 100,000"),
        ("cache: {dir: '${{ x }}'}", "1:14: '${{ x }}': settings hold no expressions; write the value"),
        ("stage: ${{ x }}", "1:8: '${{ x }}': settings hold no expressions; write the value"),
        ("- a", "1:1: flowbuild.yaml is a mapping, and here stands a list"),
    ],
)
def test_faults(loading: Loading, text: str, fault: str) -> None:
    loading.write("flowbuild.yaml", text)
    assert loading.faults(loading.open) == [f"flowbuild.yaml:{fault}"]


def test_all_faults_at_once_in_the_order_of_the_text(loading: Loading) -> None:
    loading.write("flowbuild.yaml", "stage: 1\nx: 1\npools: 3\nruntime: {engine: [], y: 1}\n")
    assert [fault.split(": ")[0] for fault in loading.faults(loading.open)] == [
        "flowbuild.yaml:1:8", "flowbuild.yaml:2:1", "flowbuild.yaml:3:8", "flowbuild.yaml:4:19", "flowbuild.yaml:4:23",
    ]  # fmt: skip
