"""Draw: a line for each city over the months, as SVG, by hand."""

import csv
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path

COLORS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#8c564b", "#17becf")
HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 360, 48, 128, 40, 32


def draw(table: Path, chart: Path, width: int) -> None:
    """Write the chart of a table of months."""
    with table.open(newline="") as file:
        (_, *cities), *rows = csv.reader(file)
    months = [row[0] for row in rows]
    lines = [[float(row[column]) for row in rows] for column in range(1, len(cities) + 1)]
    low = min(0.0, *(value for line in lines for value in line))
    high = 5.0 * (max(value for line in lines for value in line) // 5 + 1)

    def x(place: int) -> float:
        return LEFT + (width - LEFT - RIGHT) * place / max(1, len(months) - 1)

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{HEIGHT}" font-family="sans-serif" '
        f'font-size="12">',
        f'<rect width="{width}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="14">Mean temperature, °C</text>',
        *_grid(int(high), x(len(months) - 1), y),
    ]
    parts += [
        f'<text x="{x(place):.1f}" y="{HEIGHT - 12}" text-anchor="middle">{escape(month[5:])}</text>'
        for place, month in enumerate(months)
    ]
    for number, (city, line) in enumerate(zip(cities, lines, strict=True)):
        color = COLORS[number % len(COLORS)]
        points = " ".join(f"{x(place):.1f},{y(value):.1f}" for place, value in enumerate(line))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"/>')
        end = f'x="{x(len(line) - 1) + 6:.1f}" y="{y(line[-1]) + 4 + 14 * number:.1f}"'
        parts.append(f'<text {end} fill="{color}">{escape(city)}</text>')
    chart.write_text("\n".join([*parts, "</svg>"]) + "\n", encoding="utf-8")


def _grid(high: int, right: float, y: Callable[[float], float]) -> Iterator[str]:
    for value in range(0, high + 1, 5):
        yield f'<line x1="{LEFT}" x2="{right:.1f}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ddd"/>'
        yield f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value}</text>'
