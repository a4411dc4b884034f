"""Report: the facts as Markdown, and as one page of HTML that holds its chart."""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

HEAD = ("city", "hours", "warmest month", "coldest month", "range")


def write(facts: Path, chart: Path, markdown: Path, page: Path) -> None:
    """Write both reports from one table."""
    doc = json.loads(facts.read_text())
    rows = [
        (city, str(one["hours"]), _month(one["warmest"]), _month(one["coldest"]), f"{one['range']:.1f} °C")
        for city, one in doc["cities"].items()
    ]
    made = f"Made {doc['made']['at']} by {doc['made']['by']}."
    lines = ["# Temperatures", "", _row(HEAD), _row(["---"] * len(HEAD)), *map(_row, rows), "", made]
    markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")
    cells = [f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows]
    html = [
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Temperatures</title>',
        "<h1>Temperatures</h1>",
        chart.read_text(encoding="utf-8"),
        f"<table><tr>{''.join(f'<th>{escape(name)}</th>' for name in HEAD)}</tr>",
        *cells,
        f"</table><p>{escape(made)}</p></html>",
    ]
    page.write_text("\n".join(html) + "\n", encoding="utf-8")


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _month(pair: tuple[str, float]) -> str:
    month, mean = pair
    return f"{month} ({mean:.1f} °C)"
