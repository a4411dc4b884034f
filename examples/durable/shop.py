"""Handlers that ask a shop. All that they learn of it comes through `io`, and is a fact of the run."""

from decimal import Decimal
from pathlib import Path

from flowbuild.io import HandlerFailed, Io


def price(price: Path, io: Io, shop: str, fruit: str) -> None:
    """What one fruit costs. A shop that asks for patience raises `RateLimited`, and `retry` asks again."""
    reply = io.call("http", {"url": f"{shop}/prices/{fruit}"}, fact_key=f"price of {fruit}").response
    if reply["status"] != 200:
        raise HandlerFailed(f"the shop has no {fruit}", code="no_price")
    price.write_text(reply["body"])


def basket(prices: list[Path], basket: Path) -> None:
    """What one of each costs."""
    total = sum(Decimal(path.read_text()) for path in prices)
    basket.write_text(f"one of each of {len(prices)}: {total}\n")


def announce(basket: Path, receipt: Path, io: Io, shop: str, week: int) -> None:
    """Tell the shop what the basket costs. It does that once for each key, however often it is told."""
    request = {
        "method": "POST",
        "url": f"{shop}/announcements",
        "headers": {"Idempotency-Key": f"basket-{week}"},
        "body": basket.read_text(),
    }
    receipt.write_text(io.call("http", request, fact_key=f"announcement {week}").response["body"])
