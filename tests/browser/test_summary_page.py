"""summary.html in a real browser: every cell shows, nothing is fetched, nothing complains, and it can be read."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowbuild.testing import Space

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = pytest.mark.browser

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
# As root Chromium needs --no-sandbox; the others keep it from asking its maker about updates.
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
ARGUMENTS += ["--disable-component-update", "--disable-quic"]

REGISTRY = """
targets:
  probes:
    rule: registry
    probes:
      read-staged: {operation: file-read-data, target: staged/file}
      read-variable: {operation: environment-read, target: FLOWBUILD_PLANTED}
    profiles:
      unrestricted: {restrict: {}}
      scrubbed: {restrict: {environment: scrub}}
  plan: {rule: plan, registry: ":probes", profiles: [unrestricted, scrubbed]}
  run: {rule: run, plan: ":plan"}
"""
CELLS = {(profile, probe) for profile in ("unrestricted", "scrubbed") for probe in ("read-staged", "read-variable")}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a real run, in which one probe answers otherwise than expected."""
    space = Space(tmp_path_factory.mktemp("space"))
    space.write("e/BUILD.yaml", REGISTRY)
    assert space.run("//e:run").code == 0
    out = space.root / "out" / "e" / "run"
    return out / (out / "LATEST").read_text().strip() / "summary.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    with playwright.sync_playwright() as driver:
        if program is None and not Path(driver.chromium.executable_path).exists():
            pytest.skip("there is no Chromium on this host")
        found = driver.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield found
        found.close()


@pytest.fixture(params=["light", "dark"])
def shown(request: pytest.FixtureRequest, browser: Any, path: Path) -> Iterator[tuple[Any, list[str]]]:
    """The open page, and everything that it asked for or complained about."""
    page = browser.new_page(viewport={"width": 640, "height": 480}, color_scheme=request.param)
    noted: list[str] = []
    page.on("console", lambda message: noted.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: noted.append(f"error: {error}"))
    page.on("request", lambda asked: noted.append(f"request: {asked.url}"))
    page.goto(path.as_uri())
    page.wait_for_load_state("networkidle")
    yield page, noted
    page.close()


def test_it_asks_for_nothing_and_complains_of_nothing(shown: tuple[Any, list[str]], path: Path) -> None:
    assert shown[1] == [f"request: {path.as_uri()}"]


def test_every_cell_of_the_matrix_is_visible(shown: tuple[Any, list[str]]) -> None:
    cells = shown[0].locator("#probes-by-profiles td[data-probe]")
    found = {}
    for cell in cells.all():
        assert cell.is_visible()
        found[cell.get_attribute("data-profile"), cell.get_attribute("data-probe")] = cell.inner_text()
    assert set(found) == CELLS
    assert all("expected allow" in text for text in found.values())
    assert "deny" in found["scrubbed", "read-variable"] and "✗" in found["scrubbed", "read-variable"]
    assert shown[0].locator("#probes-by-profiles td[data-lane=baseline]").count() == 2


def test_the_mismatch_stands_above_the_matrix(shown: tuple[Any, list[str]]) -> None:
    boxes = [shown[0].locator(f"#{name}").bounding_box()["y"] for name in ("mismatches", "matrix", "identities")]
    assert boxes == sorted(boxes)


def test_a_narrow_window_scrolls_tables_and_not_the_page(shown: tuple[Any, list[str]]) -> None:
    assert shown[0].evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_headers_are_found_by_role(shown: tuple[Any, list[str]]) -> None:
    matrix = shown[0].locator("#probes-by-profiles")
    assert matrix.get_by_role("columnheader").count() == 4
    assert matrix.get_by_role("rowheader").count() == 3


# Contrast as WCAG 2 counts it, of every text against the background that it really has.
CONTRAST = """() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = one => { for (; one; one = one.parentElement) {
    const found = rgb(getComputedStyle(one).backgroundColor);
    if (found.length < 4 || found[3] > 0) return found; } return [255, 255, 255]; };
  const own = one => [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim());
  return [...document.querySelectorAll("body *")].filter(own).map(one => {
    const [a, b] = [light(rgb(getComputedStyle(one).color)), light(behind(one))];
    return [(Math.max(a, b) + .05) / (Math.min(a, b) + .05), one.outerHTML.slice(0, 80)];
  }).filter(([ratio]) => ratio < 4.5);
}"""


def test_every_text_has_enough_contrast(shown: tuple[Any, list[str]]) -> None:
    assert shown[0].evaluate(CONTRAST) == []


def test_it_prints_in_black_and_white_with_its_signs(browser: Any, path: Path) -> None:
    page = browser.new_page()
    page.emulate_media(media="print")
    page.goto(path.as_uri())
    cell = page.locator("td.differ").last
    assert cell.evaluate("one => getComputedStyle(one).color") == "rgb(0, 0, 0)"
    assert "✗" in cell.inner_text()
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
    page.close()
