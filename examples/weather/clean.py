"""Clean: one city's table as it was published becomes hours in degrees Celsius, in order.

The tables differ in the order of their columns and in how they write a time, and a reading may be missing.
"""

import csv
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from vega_datasets import local_data

TO_CELSIUS: dict[str, Callable[[float], float]] = {
    "celsius": lambda degrees: degrees,
    "fahrenheit": lambda degrees: (degrees - 32) / 1.8,
}
FORMATS = ("%Y/%m/%d %H:%M", "%Y/%m/%d %H:%M:%S")


def clean(source: Path, made: Path) -> None:
    """Write `time,<city>` with one row for each hour that counts and has a reading."""
    city = json.loads(source.read_text())
    first, last = city["hours"]
    to_celsius = TO_CELSIUS[city["unit"]]
    readings: dict[datetime, float] = {}
    with Path(getattr(local_data, city["table"]).filepath).open(newline="") as raw:
        for row in csv.DictReader(raw):
            time = read_time(row["date"])
            if row["temp"] and first <= time.hour <= last:
                readings.setdefault(time, to_celsius(float(row["temp"])))
    with made.open("w", newline="") as out:
        table = csv.writer(out, lineterminator="\n")
        table.writerow(["time", city["name"]])
        table.writerows([time.isoformat(), f"{readings[time]:.2f}"] for time in sorted(readings))


def read_time(text: str) -> datetime:
    """A time in one of the forms that the tables use."""
    for form in FORMATS:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    raise ValueError(f"{text!r} is not a time")
