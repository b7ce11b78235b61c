"""The page of a fit in a real browser, opened from disk: it draws, fits a phone, and lets one choose a curve."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from chromium import SIZES, launched, offline_pages

pytest.importorskip("batman")
from telescope_visits import DAY0, PERIOD, T0, A, B, Visit

from ariel_scripts.report.telescope.writer import fit_page
from modeling_ariel.any_telescope import FitChoices, Orbit, fit_observations

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two visits that chose between systematics."""
    orbit = Orbit(period=PERIOD, a=A, b=B, t0=T0, t0_err=1e-3)
    visits = [Visit().observation(), Visit(2).observation()]
    found = fit_observations(visits, orbit, FitChoices())
    assert visits[1].bjd0 == DAY0 + 2 * PERIOD
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(fit_page(found, orbit, FitChoices(), {"written": "today"}))
    return path


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture
def visit(chromium: Browser, report: Path) -> Iterator[Callable[..., Page]]:
    """Open the page at a size and in a theme; afterwards nothing was asked for and nothing complained."""
    with offline_pages(chromium, report.as_uri(), "html[data-ready]") as opened:
        yield opened


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_every_figure_is_drawn_and_fits_the_window(
    visit: Callable[..., Page], tmp_path: Path, size: str, theme: str
) -> None:
    page = visit(size, theme)
    plots = page.locator(".plot")
    assert plots.count() == 11
    for place in range(plots.count()):
        plots.nth(place).scroll_into_view_if_needed()
        plots.nth(place).locator(".main-svg").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size]["width"]
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    shade = [int(part) for part in re.findall(r"\d+", paper)[:3]]
    assert (max(shade) < 60) == (theme == "dark")
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(300)
    folder = Path(os.environ.get("ARIEL_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"fit-{size}-{theme}.png", full_page=True)


def test_a_channel_is_drawn_when_it_is_chosen_and_the_spectrum_about_its_mean(visit: Callable[..., Page]) -> None:
    page = visit()
    curve = page.locator("#curves figure").first
    curve.scroll_into_view_if_needed()
    curve.locator(".scatterlayer .point").first.wait_for()
    residual = "data.find(t => t.name === 'residual').y"
    scatter = f"figure => Math.hypot(...figure.querySelector('.plot').{residual})"
    white = curve.evaluate(scatter)
    options = curve.locator("option").all_inner_texts()
    assert options == ["white", "1.100 µm", "1.300 µm", "1.500 µm", "1.700 µm"]
    curve.locator("select").select_option(label="1.300 µm")
    drawn = f"Math.hypot(...document.querySelector('#curves .plot').{residual})"
    page.wait_for_function(f"{drawn} > {1.5 * white}")
    spectrum = page.locator("#spectrum figure").first
    spectrum.scroll_into_view_if_needed()
    spectrum.locator("select").select_option(label="about the white depth")
    page.wait_for_function("Math.abs(document.querySelector('#spectrum .plot').data[0].y[0]) < 2000")
