"""Handlers that ask a shop. All that they learn of it comes through `io`, and is a fact of the run."""

import os
from decimal import Decimal
from pathlib import Path

from flowbuild.io import HandlerFailed, Io


def url(path: str) -> str:
    """Where the shop is: the variable SHOP says it, if it is set."""
    return os.environ.get("SHOP", "http://127.0.0.1:8765") + path


def price(price: Path, io: Io, fruit: str) -> None:
    """What one fruit costs. A shop that asks for patience raises `RateLimited`, and `retry` asks again."""
    reply = io.call("http", {"url": url(f"/prices/{fruit}")}, fact_key=f"price of {fruit}").response
    if reply["status"] != 200:
        raise HandlerFailed(f"the shop has no {fruit}", code="no_price")
    price.write_text(reply["body"])


def basket(prices: list[Path], basket: Path) -> None:
    """What one of each costs."""
    total = sum(Decimal(path.read_text()) for path in prices)
    basket.write_text(f"one of each of {len(prices)}: {total}\n")


def announce(basket: Path, receipt: Path, io: Io, week: int) -> None:
    """Tell the shop what the basket costs. It does that once for each key, however often it is told."""
    request = {
        "method": "POST",
        "url": url("/announcements"),
        "headers": {"Idempotency-Key": f"basket-{week}"},
        "body": basket.read_text(),
    }
    receipt.write_text(io.call("http", request, fact_key=f"announcement {week}").response["body"])
