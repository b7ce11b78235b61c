"""The report in a real browser, opened from disk: it draws, sorts, shows the chosen planet, and asks for nothing."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from chromium import SIZES, launched, offline_pages
from tiny_models import BINS, POPULATION, save_model

from ariel_scripts.options.report import ReportOptions
from ariel_scripts.report.writer import write_report
from ariel_scripts.run_record import Run
from hf_dataset.simulation import light_curves, planets
from hf_dataset.store import shards
from hf_dataset.store.card import write_card
from modeling_ariel.predictions import Predictions, read_predictions, write_predictions

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser


def calibrated(row: dict[str, Any], place: int) -> dict[str, Any]:
    """The row with a short log of calibration steps."""
    steps = [{"step": "adc", "before": {"median": 450.0}, "after": {"median": 44.0 + place, "masked_fraction": 0.0}},
             {"step": "hits", "after": {"samples": 5 + place, "fraction": 1e-6 * place}}]  # fmt: skip
    return {**row, "calibration": json.dumps({"instruments": {"AIRS-CH0": steps, "FGS1": steps}})}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on seven planets: a tiny model beside a file of wider predictions."""
    folder = tmp_path_factory.mktemp("report")
    rows = light_curves.simulate_rows(POPULATION, visits=1, n_bins=BINS, seed=1)
    shards.write_rows(folder / "curves", "train", [calibrated(row, i) for i, row in enumerate(rows)], n_bins=BINS)
    write_card(folder / "curves", planets.wavelengths_um("2025"), "Simulated.", {})
    model = save_model(folder / "model", physics="none")
    options = ReportOptions(
        str(folder / "curves"),
        folder / "report.html",
        [str(model)],
        workers=1,
        device="cpu",
        embed="pca,tsne",
        attributions=2,
    )
    write_report(options, Run("report", {}))
    made = read_predictions(folder / "report.predictions/model.parquet")
    truth = np.stack([next(p.spectrum for p in POPULATION if p.planet_id == planet) for planet in made.planet_id])
    rng = np.random.default_rng(0)
    error = 3e-5 * rng.standard_normal((7, 1)) + 1e-5 * rng.standard_normal(made.mu.shape)
    good = Predictions(made.planet_id, (truth + error).astype(np.float32), np.full(made.mu.shape, 3.5e-5, np.float32))
    write_predictions(folder / "good.parquet", good)
    both = replace(options, predictions=[folder / "good.parquet"])
    write_report(both, Run("report", {}))
    return both.out


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture
def visit(chromium: Browser, report: Path) -> Iterator[Callable[..., Page]]:
    """Open the report at a size and in a theme; afterwards nothing was asked for and nothing complained."""
    with offline_pages(chromium, report.as_uri(), "html[data-ready] #planet-plot .main-svg") as opened:
        yield opened


def column(page: Page, number: int) -> list[str]:
    return page.eval_on_selector_all(
        "#planet-table tbody tr", f"rows => rows.map(row => row.cells[{number}].textContent)"
    )


def numbers(texts: list[str]) -> list[float]:
    return [float(text.replace("−", "-")) for text in texts]


def drawn(page: Page) -> list[float]:
    """The mean spectrum that the plot shows."""
    return page.evaluate("document.getElementById('planet-plot').data.find(t => t.mode === 'lines').y")


def test_a_click_on_a_column_sorts_the_table_both_ways_and_says_so(visit: Callable[..., Page]) -> None:
    page = visit()
    before = numbers(column(page, 1))
    assert before == sorted(before)  # the lowest score first
    head = page.locator("#planet-table th", has_text="RMSE").first
    place = head.evaluate("cell => cell.cellIndex")
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    values = numbers(column(page, place))
    assert values == sorted(values)
    assert values[0] < values[-1]
    head.locator("button").press("Enter")  # the keyboard does it too
    assert head.get_attribute("aria-sort") == "descending"
    assert numbers(column(page, place)) == values[::-1]
    others = page.locator("#planet-table thead th[aria-sort=none]")
    assert others.count() == page.locator("#planet-table thead th").count() - 1


def test_a_chosen_planet_is_drawn_named_and_in_the_address(visit: Callable[..., Page]) -> None:
    page = visit()
    ids = column(page, 0)
    first = drawn(page)
    page.locator("#planet-table tbody a").nth(3).click()
    assert page.evaluate("location.hash") == f"#planet-{ids[3]}"
    page.wait_for_function(f"document.getElementById('planet-plot').dataset.planet === '{ids[3]}'")
    second = drawn(page)
    assert second != first
    assert ids[3] in page.locator("#chosen").inner_text()
    assert page.locator("#planet-table tr.chosen").count() == 1
    page.locator("#next").click()
    page.wait_for_function(f"document.getElementById('planet-plot').dataset.planet === '{ids[4]}'")
    page.locator("#find").fill(ids[6])
    assert page.locator("#planet-table tbody tr:visible").count() == 1


def test_a_link_to_a_planet_opens_it(visit: Callable[..., Page]) -> None:
    planet = POPULATION[4].planet_id
    page = visit(anchor=f"#planet-{planet}")
    assert page.locator("#planet-plot").get_attribute("data-planet") == str(planet)


def test_a_click_on_a_point_shows_its_planet_and_a_choice_another_variant(visit: Callable[..., Page]) -> None:
    page = visit()
    figure = page.locator("figure", has_text="PCA of")
    figure.scroll_into_view_if_needed()
    figure.locator(".scatterlayer .point").first.wait_for()
    colours = "element => element.querySelector('.plot').data[0].marker.color[0]"
    before = figure.evaluate(colours)
    figure.locator("select").select_option(label="star temperature, K")
    hot = "[...document.querySelectorAll('.plot')].some(plot => plot.data?.[0].marker?.color?.[0] > 2000)"
    page.wait_for_function(hot)
    assert figure.evaluate(colours) != before
    wanted = figure.evaluate("element => element.querySelector('.plot').data[0].customdata[2]")
    box = figure.locator(".scatterlayer .point").nth(2).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_function(f"location.hash === '#planet-{wanted}'")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_everything_is_drawn_and_fits_the_window(
    visit: Callable[..., Page], tmp_path: Path, size: str, theme: str
) -> None:
    page = visit(size, theme)
    plots = page.locator(".plot")
    assert plots.count() > 12
    for place in range(plots.count()):
        plots.nth(place).scroll_into_view_if_needed()
        plots.nth(place).locator(".main-svg").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size]["width"]
    wide = "[...document.querySelectorAll('.scroll')].filter(one => one.scrollWidth > one.clientWidth + 1).length"
    assert size == "phone" or page.evaluate(wide) == 0, "no table loses its last column"
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    shade = [int(part) for part in re.findall(r"\d+", paper)[:3]]
    assert (max(shade) < 60) == (theme == "dark")
    ink = page.evaluate("document.getElementById('planet-plot').layout.font.color")
    assert (int(ink[1:3], 16) > 150) == (theme == "dark")
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(300)
    folder = Path(os.environ.get("ARIEL_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"report-{size}-{theme}.png", full_page=True)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_on_a_phone_the_last_column_of_every_table_can_be_reached_and_only_tables_scroll_sideways(
    visit: Callable[..., Page], theme: str
) -> None:
    page = visit("phone", theme)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.evaluate("dispatchEvent(new Event('afterprint'))")  # all is drawn, and again as wide as the screen
    hidden = """[...document.querySelectorAll('.scroll')].filter(box => {
      box.scrollLeft = 1e6;
      const cells = [...box.querySelectorAll('tr')].map(row => row.cells[row.cells.length - 1]);
      const edge = box.getBoundingClientRect();
      return edge.right > innerWidth || cells.some(cell => cell.getBoundingClientRect().right > edge.right + 1
        || cell.getBoundingClientRect().left < edge.left);
    }).map(box => box.textContent.slice(0, 80))"""
    assert page.evaluate(hidden) == []
    page.evaluate("scrollTo(1e6, 0)")
    assert page.evaluate("scrollX") == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES["phone"]["width"]


def test_the_verdict_comes_first_and_leads_to_what_supports_it(visit: Callable[..., Page]) -> None:
    page = visit()
    said = page.locator(".verdict").first
    box = said.bounding_box()
    assert box is not None
    assert box["y"] + box["height"] < 500
    targets = page.eval_on_selector_all(".verdict a", "links => links.map(link => link.hash)")
    assert targets
    assert all(page.locator(target).count() == 1 for target in targets)
    link = page.locator("#verdict .texts a").first
    planet = link.inner_text()
    link.click()
    page.wait_for_function(f"document.getElementById('planet-plot').dataset.planet === '{planet}'")


def test_the_theme_can_change_while_the_page_is_open(visit: Callable[..., Page]) -> None:
    page = visit()
    light = page.evaluate("document.getElementById('planet-plot').layout.font.color")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"document.getElementById('planet-plot').layout.font.color !== '{light}'")


def test_print_draws_what_was_never_in_view(visit: Callable[..., Page]) -> None:
    page = visit()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("[...document.querySelectorAll('.plot')].every(plot => plot.data)")
