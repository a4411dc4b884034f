"""Handlers: plain functions. Inputs are paths, outputs are paths to write, and `with` gives the other values."""

import csv
import json
from pathlib import Path


def clean(raw: Path, rows: Path) -> None:
    """Keep the rows that have a number."""
    with raw.open(newline="") as source, rows.open("w", newline="") as made:
        writer = csv.writer(made, lineterminator="\n")
        for name, value in csv.reader(source):
            if value.strip():
                writer.writerow([name.strip(), float(value)])


def summarize(rows: Path, summary: Path, digits: int) -> None:
    """Write the mean of each name's values."""
    found: dict[str, list[float]] = {}
    with rows.open(newline="") as source:
        for name, value in csv.reader(source):
            found.setdefault(name, []).append(float(value))
    means = {name: round(sum(values) / len(values), digits) for name, values in sorted(found.items())}
    summary.write_text(json.dumps(means, indent=2) + "\n")
