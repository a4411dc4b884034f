"""A table as a list of rows, and a card for one of them."""

import csv
import json
from pathlib import Path


def rows(table: Path, rows: Path) -> None:
    with table.open(newline="") as file:
        rows.write_text(json.dumps(list(csv.DictReader(file)), indent=1))


def card(planet: dict[str, str], card: Path) -> None:
    radius, days = float(planet["mean_radius_km"]), float(planet["orbit_days"])
    earths = radius / 6371.0
    card.write_text(
        f"## {planet['name']}\n\n"
        f"- {radius:,.1f} km from its middle to its surface, {earths:.2f} of Earth's\n"
        f"- once around the Sun in {days:,.1f} days\n\n"
    )
