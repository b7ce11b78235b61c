"""The look of the Space in a real browser: what the first screen shows, what can be read, what is drawn where.

ARIEL_SCREENSHOTS=folder python -m pytest -m browser tests/space/test_browser_looks.py
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from space_browser import PLOTS, address_says, choose, opened, pixels, visit
from space_scenes import planet

pytestmark = pytest.mark.browser

CLIPPED = """id => {
  const graph = document.querySelector(`#${id} .js-plotly-plot`), lost = [];
  let found = 0;
  for (const element of graph.querySelectorAll('svg *'))
    for (const name of ['clip-path', 'fill', 'stroke', 'mask', 'filter']) {
      const value = element.getAttribute(name) || element.style.getPropertyValue(name) || '';
      const match = value.match(/url\\(["']?([^"')]*)/);
      if (!match) continue;
      found += 1;
      if (!match[1].startsWith('#') || !document.getElementById(match[1].slice(1)))
        lost.push(`${element.tagName} ${name} ${value}`);
    }
  return [found, lost];
}"""


GRAPH = "const graph = document.querySelector('#spectrum-plot .js-plotly-plot'), layout = graph._fullLayout;"
LANES = f"""() => {{ {GRAPH}
  const box = graph.getBoundingClientRect(), lanes = layout.yaxis;
  return {{x: box.x, y: box.y + scrollY, width: box.width, height: lanes._offset + lanes._length + 4}};
}}"""
ZOOM = f"""() => {{ {GRAPH}
  const [low, high] = layout.yaxis2.range;
  return window.Plotly.relayout(graph, {{'yaxis2.range': [low + 0.4 * (high - low), low + 0.42 * (high - low)]}});
}}"""
DEPTHS_END = f"""() => {{ {GRAPH}
  const axes = Object.values(layout._plots).map(one => one.yaxis).sort((a, b) => b._length - a._length);
  return graph.getBoundingClientRect().y + axes[0]._offset + axes[0]._length;
}}"""


@pytest.mark.parametrize("view", ["spectrum", "light-curves"])
def test_nothing_is_drawn_outside_its_axes_after_a_second_choice(page: Any, address: str, view: str) -> None:
    """Every clip path and gradient is found in the page, and points moved far out of range leave no trace."""
    visit(page, address, f"planet={planet()}&view={view}", view)
    before = page.evaluate("document.querySelector('#status').innerText")
    choose(page, "FGS1 missing")
    page.wait_for_function("before => document.querySelector('#status').innerText !== before", arg=before)
    address_says(page, f"planet={planet('FGS1 missing')}")
    page.wait_for_timeout(1500)
    found, lost = page.evaluate(CLIPPED, PLOTS[view])
    assert found > 3
    assert not lost
    if view == "light-curves":
        return
    graph = page.locator("#spectrum-plot .js-plotly-plot")
    lanes = page.evaluate(LANES)
    graph.hover(position={"x": 5, "y": 300})
    before_zoom = pixels(page, lanes)
    page.evaluate(ZOOM)
    page.wait_for_timeout(1000)
    assert np.abs(pixels(page, lanes) - before_zoom).max() < 32


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_screenshots_of_every_view(browser: Any, address: str, tmp_path: Path, width: int, theme: str) -> None:
    """Nothing runs out of the page; the pictures are for people to look at."""
    folder = Path(os.environ.get("ARIEL_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    for view, query in {
        "spectrum": f"planet={planet()}",
        "light-curves": f"planet={planet('raw frames')}&view=light-curves",
        "why": f"planet={planet()}&view=why",
        "what-if": f"planet={planet()}&view=what-if&noise=3&missing_width=0.4",
        "more-transits": f"planet={planet('strong drift')}&view=more-transits&more=5",
        "guess": "view=guess&series=7&round=3",
        "transients": "view=transients&transient=tde-1",
    }.items():
        for page in opened(browser, width, theme == "dark"):
            visit(page, address, query, view)
            page.wait_for_timeout(1000)
            page.screenshot(path=folder / f"space-{view}-{width}-{theme}.png", full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            text = page.evaluate(f"getComputedStyle(document.querySelector('#{PLOTS[view]} [class$=tick] text')).fill")
            assert text == ("rgb(209, 213, 219)" if theme == "dark" else "rgb(55, 65, 81)")


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_the_first_screen_shows_the_whole_spectrum(
    browser: Any, address: str, cards: list[int], width: int, height: int
) -> None:
    for page in opened(browser, width):
        page.set_viewport_size({"width": width, "height": height})
        visit(page, address)
        page.wait_for_selector("#cards [aria-pressed=true]")
        assert page.inner_text("#verdict").count("ppm") == 3
        bottom = page.evaluate(DEPTHS_END)
        assert bottom < 0.85 * height
        axes = page.evaluate(f"() => {{ {GRAPH} return Object.keys(layout._plots); }}")
        assert len(axes) == (5 if width > 640 else 3), "a phone has no panel of FGS1"
        assert page.evaluate("document.documentElement.scrollWidth") <= width


CONTRASTS = """() => {
  const channel = value => value <= 10 ? value / 3295 : ((value / 255 + 0.055) / 1.055) ** 2.4;  // WCAG 2
  const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const over = (front, back, a = front[3] ?? 1) => [0, 1, 2].map(i => a * front[i] + (1 - a) * back[i]);
  const light = c => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
  const behind = element => {
    const layers = [];
    for (let one = element; one; one = one.parentElement) layers.unshift(parse(getComputedStyle(one).backgroundColor));
    return layers.reduce((back, layer) => layer.length ? over(layer, back) : back, [255, 255, 255]);
  };
  const poor = [];
  let seen = 0;
  const walker = document.createTreeWalker(document.querySelector('.gradio-container'), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, text = walker.currentNode.textContent.trim();
    const style = getComputedStyle(element), box = element.getBoundingClientRect();
    if (!text || !box.width || style.visibility === 'hidden') continue;
    if (element.closest('style, script, footer, [disabled]')) continue;
    const back = behind(element.closest('svg') ? element.closest('svg').parentElement : element);
    const front = over(parse(element.closest('svg') ? style.fill : style.color), back);
    const [low, high] = [light(front), light(back)].sort((a, b) => a - b);
    seen += 1;
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < 4.5) poor.push(`${text.slice(0, 40)}: ${contrast.toFixed(1)}`);
  }
  return [seen, poor];
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_all_text_has_a_contrast_of_four_and_a_half(browser: Any, address: str, cards: list[int], theme: str) -> None:
    for page in opened(browser, dark=theme == "dark"):
        for view in ("spectrum", "light-curves", "what-if", "more-transits", "guess", "transients"):
            visit(page, address, f"view={view}", view)
            page.click("#own button >> nth=0")
            page.wait_for_timeout(500)
            seen, poor = page.evaluate(CONTRASTS)
            assert seen > 40
            assert not poor


def test_nothing_moves_for_those_who_ask_for_rest(page: Any, address: str) -> None:
    page.emulate_media(reduced_motion="reduce")
    visit(page, address)
    moving = """() => [...document.querySelectorAll('.gradio-container *')].filter(one => {
      const style = getComputedStyle(one), times = `${style.transitionDuration}, ${style.animationDuration}`;
      return times.split(', ').some(time => parseFloat(time) > 0);
    }).length"""
    assert page.evaluate(moving) == 0


def test_an_upload_s_label_leaves_its_words_alone(page: Any, address: str) -> None:
    visit(page, address)
    page.click("#bring")
    page.wait_for_timeout(500)
    label = page.locator("#upload label").first.bounding_box()
    icon = page.locator("#upload button svg").first.bounding_box()
    assert icon["y"] >= label["y"] + label["height"]
