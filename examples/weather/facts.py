"""Find: what a report says of each city, beside when and by what it was said."""

import csv
import json
import platform
from datetime import UTC, datetime
from pathlib import Path


def find(table: Path, cleaned: list[Path], facts: Path) -> None:
    """Write the facts of a table of months, and how many hours stand behind each city."""
    with table.open(newline="") as file:
        (_, *cities), *rows = csv.reader(file)
    hours = dict(_hours(path) for path in cleaned)
    found = {}
    for column, city in enumerate(cities, start=1):
        means = {row[0]: float(row[column]) for row in rows}
        warmest, coldest = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
        found[city] = {
            "hours": hours[city],
            "warmest": [warmest, means[warmest]],
            "coldest": [coldest, means[coldest]],
            "range": round(means[warmest] - means[coldest], 1),
        }
    made = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "by": f"Python {platform.python_version()}"}
    facts.write_text(json.dumps({"cities": found, "made": made}, indent=2) + "\n")


def _hours(path: Path) -> tuple[str, int]:
    """A city's name, and how many hours its cleaned table has."""
    with path.open(newline="") as file:
        (_, city), *rows = csv.reader(file)
    return city, len(rows)
