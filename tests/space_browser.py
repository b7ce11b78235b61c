"""The Space in Chromium, for tests: pages of users of their own, what they hold and how they are used."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

WAIT_MS = 90_000  # a busy machine
PLOTS = {
    "spectrum": "spectrum-plot",
    "light-curves": "image-plot",
    "why": "reliability-plot",
    "what-if": "what-if-plot",
    "more-transits": "more-plot",
    "guess": "guess-plot",
    "transients": "transient-plot",
}
VALUES = """([id, name, axis]) => {
  const plot = document.querySelector(`#${id} .js-plotly-plot`);
  const traces = (plot?._fullData || []).filter(trace => trace.name === name);
  return traces.length ? Array.from(traces[traces.length - 1][axis]) : [];
}"""


def opened(browser: Any, width: int = 1280, dark: bool = False) -> Iterator[Any]:
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light", accept_downloads=True
    )
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    asked: list[str] = []
    failed: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: failed.append(str(error)))
    yield page
    context.close()
    outside = [url for url in asked if urlsplit(url).hostname not in ("127.0.0.1", None)]
    assert not outside
    assert not failed


def values(page: Any, view: str, name: str, axis: str = "y") -> np.ndarray:
    """Numbers of a trace as the browser has them."""
    return np.array(page.evaluate(VALUES, [PLOTS[view], name, axis]), dtype=float)


def visit(page: Any, address: str, query: str = "", view: str = "spectrum") -> None:
    page.goto(f"{address}/?{query}")
    page.wait_for_selector(f"#{PLOTS[view]} .main-svg")
    page.wait_for_function("document.querySelector('#link textarea, #link input').value !== ''")


def wait_for_change(page: Any, view: str, name: str, before: np.ndarray) -> np.ndarray:
    """The trace once it differs from what it was."""
    page.wait_for_function(
        f"([id, name, axis, before]) => {{ const now = ({VALUES})([id, name, axis]);"
        " return now.length > 0 && (now.length !== before.length || now.some((x, i) => x !== before[i])); }",
        arg=[PLOTS[view], name, "y", before.tolist()],
    )
    return values(page, view, name)


def pixels(page: Any, clip: dict[str, float]) -> np.ndarray:
    """A part of the page as people see it (row, column, colour)."""
    picture = Image.open(io.BytesIO(page.screenshot(clip=clip, full_page=True)))
    return np.asarray(picture.convert("RGB"), int)


def shown(page: Any, view: str, name: str, expected: np.ndarray) -> None:
    """The trace becomes what is expected."""
    page.wait_for_function(
        f"([id, name, axis, expected]) => {{ const now = ({VALUES})([id, name, axis]);"
        " return now.length === expected.length && now.every((x, i) => x === expected[i]); }",
        arg=[PLOTS[view], name, "y", expected.tolist()],
    )


def choose(page: Any, text: str) -> None:
    """Type into the menu of planets and take the first that fits."""
    page.click("#planet input")
    page.fill("#planet input", "")
    page.keyboard.type(text, delay=10)
    page.wait_for_timeout(300)
    page.keyboard.press("Enter")


def move(page: Any, slider: str, value: float) -> None:
    """Set a slider by its number field, as keyboards do."""
    field = page.locator(f"#{slider} input[type=number]")
    field.fill(str(value))
    field.press("Enter")
    field.blur()


def address_says(page: Any, pattern: str) -> None:
    page.wait_for_url(re.compile(pattern))
