"""The table of what executors offered."""

from __future__ import annotations

from pathlib import Path

from flowbuild.core.canonical import digest
from flowbuild.engine.engine import Capabilities
from flowbuild.run.offers import KEPT, Offers

OFFER = Capabilities("proc", "1.0.0", ("a", "b", "ir"), 2)


def test_what_was_noted_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "state/offers"
    Offers(path).note(digest(1), OFFER)
    assert Offers(path).get(digest(1)) == OFFER
    assert Offers(path).get(digest(2)) is None


def test_what_is_not_kept_leaves_nothing(tmp_path: Path) -> None:
    offers = Offers(tmp_path / "offers", is_kept=False)
    offers.note(digest(1), OFFER)
    assert offers.get(digest(1)) == OFFER and list(tmp_path.iterdir()) == []


def test_the_newest_are_kept(tmp_path: Path) -> None:
    offers = Offers(tmp_path / "offers")
    for number in range(KEPT + 2):
        offers.note(digest(number), OFFER)
    found = Offers(tmp_path / "offers")
    assert [found.get(digest(number)) is None for number in (0, 1, 2, KEPT + 1)] == [True, True, False, False]


def test_a_disk_that_is_full_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("no directory")
    offers = Offers(tmp_path / "state/offers")
    offers.note(digest(1), OFFER)
    assert offers.get(digest(1)) == OFFER
