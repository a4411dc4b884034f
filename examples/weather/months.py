"""Aggregate: one city's hours become its months."""

import csv
from itertools import groupby
from pathlib import Path
from statistics import fmean


def months(source: Path, made: Path) -> None:
    """Write `month,<city>` with the mean of each month's hours."""
    with source.open(newline="") as hours:
        table = csv.reader(hours)
        _, name = next(table)
        # The hours are in order, so the hours of a month stand together.
        groups = groupby(table, key=lambda row: row[0][:7])
        rows = [(month, fmean(float(row[1]) for row in group)) for month, group in groups]
    with made.open("w", newline="") as out:
        result = csv.writer(out, lineterminator="\n")
        result.writerow(["month", name])
        result.writerows([month, f"{mean:.1f}"] for month, mean in rows)
