"""What differs from run to run: found in Python by what is called, in scripts where a shell would run it."""

from __future__ import annotations

import random

import pytest

from flowbuild.load.volatile import in_command, in_python, in_script


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import time\ntime.time()", ["time.time"]),
        ("from time import time as t\nt()", ["time.time"]),
        ("import datetime as dt\ndt.datetime.now(dt.UTC)", ["datetime.datetime.now"]),
        ("from datetime import datetime, date\ndatetime.utcnow(); date.today()", ["datetime.datetime.utcnow", "datetime.date.today"]),
        ("import uuid\nuuid.uuid4(); uuid.uuid5(uuid.NAMESPACE_DNS, 'x')", ["uuid.uuid4"]),
        ("import random\nrandom.shuffle(x)", ["random.shuffle"]),
        ("import random\nrandom.seed(1)\nrandom.shuffle(x)", []),
        ("import random\nrandom.seed()\nrandom.shuffle(x)", ["random.shuffle"]),
        ("import random\nrandom.Random(7).random(); random.Random()", ["random.Random"]),
        ("import numpy as np\nnp.random.rand(); np.random.default_rng(1)", ["numpy.random.rand"]),
        ("import numpy as np\nnp.random.seed(0)\nnp.random.rand()", []),
        ("import numpy as np\nnp.random.default_rng(); np.random.default_rng(seed=1)", ["numpy.random.default_rng"]),
        ("import time\ntime.strftime('%Y'); time.strftime('%Y', x); time.gmtime(0)", ["time.strftime"]),
        ("import time\ntime.sleep(1); time.monotonic()", []),
        ("def time(): ...\ntime()\nx.time.time()", []),
        ("from .time import time\ntime()", []),
        ("import os.path\nos.urandom(4)", ["os.urandom"]),
        ("not python(", []),
    ],
)  # fmt: skip
def test_calls(source: str, expected: list[str]) -> None:
    assert [spot.name for spot in in_python(source)] == expected


def test_a_call_s_place_counts_characters() -> None:
    source = 'import time\n\nx = "é"; y = time.time()\n'
    (spot,) = in_python(source)
    assert source[spot.offset :].startswith("time.time()")


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("date > x", ["date"]),
        ("a; date +%s", ["date"]),
        ("x=$(date)", ["date"]),
        ('echo "at $(date)"', ["date"]),
        ("echo `hostname`", ["hostname"]),
        ("a | shuf | b", ["shuf"]),
        ("if a; then uuidgen; fi", ["uuidgen"]),
        ("TZ=UTC date", ["date"]),
        ("echo $RANDOM ${EPOCHSECONDS}", ["RANDOM", "EPOCHSECONDS"]),
        ("head -c 8 /dev/urandom", ["/dev/urandom"]),
        ("cat <<EOF\nat $(date)\nEOF", ["date"]),
        ("cat <<A <<-'B' > x\n$(date)\nA\n$(date)\n\tB\nuptime", ["date", "uptime"]),
        ("cat <<< EOF\ndate\nEOF", ["date"]),
        ("n=$((1 << n))\ndate", ["date"]),
        # what is steady, or no command at all
        ("date -d @0; date --date=x; date -ur x; shuf --random-source=x; uuidgen -m -n x", []),
        ("date -Iseconds; date -u +%d; date --rfc-email", ["date", "date", "date"]),
        ("echo date; echo 'date'; echo \"it; date\"", []),
        ("awk '\n  date = 1; { print }\n' x", []),
        ("# date\na # ; date", []),
        ("cat <<EOF\ndate of birth\nEOF", []),
        ("cat <<'EOF'\n$(date)\nEOF", []),
        ("case $1 in\n  date) a;;\nesac", []),
        ("date=1; date_of x; update; my-date x", []),
        ("cut -f date x; sort --key date", []),
        ("echo '$RANDOM'", []),
    ],
)
def test_scripts(script: str, expected: list[str]) -> None:
    assert [spot.name for spot in in_script(script)] == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["date"], [(0, "date")]),
        (["/usr/bin/date", "+%s"], [(0, "date")]),
        (["date", "-d", "@0"], []),
        (["bash", "-c", "a; date"], [(2, "date")]),
        (["echo", "date"], []),
        (["sh", "-c"], []),
    ],
)
def test_commands(words: list[str], expected: list[tuple[int, str]]) -> None:
    assert [(number, spot.name) for number, spot in in_command(words)] == expected


@pytest.mark.parametrize("seed", range(20))
def test_any_text_has_spots_where_it_says_so(seed: int) -> None:
    chance = random.Random(seed)
    parts = [
        "date",
        "<<EOF",
        "EOF",
        "<<'X'",
        "X",
        "\n",
        "'",
        '"',
        "`",
        "$(",
        ")",
        "\\",
        "#",
        " ",
        ";",
        "case x in date)",
    ]
    for _ in range(500):
        script = "".join(chance.choice([*parts, "é", "\r\n", "A=1 ", "$RANDOM"]) for _ in range(chance.randrange(30)))
        for spot in in_script(script):
            assert script[spot.offset :].lstrip("${").startswith(spot.name), script
