"""Pools: no more at once than there are, and nothing else waits for that."""

from __future__ import annotations

from flowbuild.testing import Space

ALONE = """
  {name}:
    rule: exec
    script: "mkdir {place} && sleep 0.1 && rmdir {place} && echo > ${{{{ outputs.o }}}}"
    outputs: {{o: o}}
    pool: gpu
"""


def test_no_more_at_once_than_there_are(space: Space) -> None:
    space.write("flowbuild.yaml", "pools: {gpu: 1}\n")
    place = space.root.parent / "alone"
    targets = "".join(ALONE.format(name=f"t{number}", place=place) for number in range(4))
    space.write("BUILD.yaml", f"targets:{targets}")
    assert space.build("//...", "-j", "4").performed == 4


def test_who_needs_no_pool_does_not_wait(space: Space) -> None:
    space.write("flowbuild.yaml", "pools: {gpu: 1}\n")
    flag = space.root.parent / "flag"
    waits = f"until test -e {flag}; do sleep 0.01; done; echo > ${{{{ outputs.o }}}}"
    free = f"touch {flag}; echo > ${{{{ outputs.o }}}}"
    space.write("BUILD.yaml", f"""
        targets:
          a: {{rule: exec, script: "{waits}", outputs: {{o: o}}, pool: gpu, timeout: 30}}
          b: {{rule: exec, script: "{waits}", outputs: {{o: o}}, pool: gpu, timeout: 30}}
          c: {{rule: exec, script: "{free}", outputs: {{o: o}}}}
    """)  # fmt: skip
    assert space.build("//...", "-j", "2").performed == 3


def test_a_pool_that_is_not_there_is_refused(space: Space) -> None:
    space.write("flowbuild.yaml", "pools: {gpu: 1}\n")
    space.write("BUILD.yaml", "targets:\n  a: {rule: exec, script: 'x', outputs: {o: o}, pool: gpo}\n")
    ran = space.run("//:a")
    assert ran.code == 2
    assert "BUILD.yaml:2:55: flowbuild.yaml has no pool 'gpo'" in ran.err and "did you mean 'gpu'?" in ran.err
