"""The quickstart's page in a real browser: its answer is on the first screen, on a phone too, in any theme."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest
import torch
from chromium import SIZES, launched, offline_pages

from ariel_scripts.pages.plots import Spectrum
from ariel_scripts.pages.quickstart import FittedPlanet
from ariel_scripts.pages.quickstart_page import CLASSICAL, MEASURES, MODEL, Judged, quickstart_page
from modeling_ariel.retrieval import ClassicalFit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
CONTRAST = """() => {
  const shade = text => { const [r, g, b] = text.match(/[\\d.]+/g).map(Number).map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const paper = element => {
    for (; element; element = element.parentElement) {
      const own = getComputedStyle(element).backgroundColor;
      if (!/, 0\\)$/.test(own)) return own;
    }
  };
  const read = "h1,h2,h3,p,td,th,a,figcaption,code,dt,dd,summary,label";
  return Math.min(...[...document.querySelectorAll(read)].map(one => {
    const pair = [shade(getComputedStyle(one).color), shade(paper(one))].sort((a, b) => b - a);
    return (pair[0] + 0.05) / (pair[1] + 0.05); }));
}"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The quickstart's page of made-up light curves and answers."""
    wavelengths = np.concatenate([[0.7], np.linspace(1.95, 3.9, 282)])
    truth = 1e-2 + 1e-4 * np.sin(6 * wavelengths)
    answers = {name: Spectrum(truth + 1e-5, np.full(283, 2e-5)) for name in (MODEL, CLASSICAL)}
    time = np.linspace(0, 7, 60)
    noise = 1e-4 * np.random.default_rng(0).standard_normal((283, 60))
    arrays = {"model": np.where(np.abs(time - 3.5) < 1, 0.99, 1.0) + 0 * noise, "residual": noise, "drift": 0.1 * noise,
              "weight": np.full_like(noise, 1e8), "depth": truth, "depth_err": np.full(283, 1e-4)}  # fmt: skip
    fitted = SimpleNamespace(**{name: torch.as_tensor(array)[None] for name, array in arrays.items()})
    lead = FittedPlanet({"planet_id": 7, "time": time}, wavelengths, cast(ClassicalFit, fitted), answers, truth)
    numbers = {measure.key: 0.8 for measure in MEASURES}
    judged = [Judged("12 planets", numbers, numbers, single=False)]
    steps = [("raw", np.arange(320.0).reshape(8, 40))]
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(quickstart_page(lead, "all frames", [lead], judged, steps, {"written": "today"}, "light-curves"))
    return path


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture
def visit(chromium: Browser, report: Path) -> Iterator[Callable[..., Page]]:
    """Open the page at a size and in a theme."""
    with offline_pages(chromium, report.as_uri(), "html[data-ready] #answer .main-svg") as opened:
        yield opened


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_spectrum_is_on_the_first_screen_and_everything_is_read(
    visit: Callable[..., Page], size: str, theme: str
) -> None:
    page = visit(size, theme)
    box = page.locator("#answer .plot").bounding_box()
    assert box is not None
    assert box["y"] + 0.75 * box["height"] < min(SIZES[size]["height"], 800)
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size]["width"]
    assert page.evaluate(CONTRAST) >= 4.5


def test_on_paper_figures_are_in_ink_and_narrow_and_afterwards_as_before(visit: Callable[..., Page]) -> None:
    page = visit("desktop", "dark")
    width = "document.querySelector('#answer .main-svg').getBoundingClientRect().width"
    ink = "getComputedStyle(document.querySelector('#answer .ytick text')).fill"
    before, shade = page.evaluate(width), page.evaluate(ink)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.wait_for_function(f"{width} === 680")
    assert page.evaluate(ink) == "rgb(27, 31, 36)"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.wait_for_function(f"{width} === {before}")
    assert page.evaluate(ink) == shade
